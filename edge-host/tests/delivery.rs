//! Lives of two hosts that send one clinic's messages, with the real functions and the real desk: answers are lost, commits are
//! undone by a failover, hosts die in the middle of a batch or stand still, clocks jump. No message goes out twice, and each is
//! sent or for people in the end.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

// A process of its own: the functions' test database and the host's records cannot share one SQLite.
#[allow(dead_code, reason = "the host uses all of it")]
#[path = "../src/sending/desk.rs"]
mod desk;

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use jiff::SignedDuration;
use kit::params;
use kit::testing::World;
use messages::MessagesFunction;

use desk::{Answer, Desk, Message, Outcome, Question};

/// Mistakes that the simulation must find.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Planted {
    Nothing,
    /// What was claimed and not heard of again goes out once more.
    ClaimsComeBack,
    /// Whoever lost the last answer tries again.
    UnknownIsRetried,
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

struct Life<'w> {
    world: &'w World,
    clinic: String,
    dice: Dice,
    planted: Planted,
    desks: [Desk; 2],
    /// Of both hosts: it never goes back.
    clock: Duration,
    names: u64,
    /// What the mail server has taken, how often.
    taken: BTreeMap<String, u32>,
    wrong: Vec<String>,
}

const MESSAGES: u64 = 12;

impl<'w> Life<'w> {
    async fn begin(world: &'w World, seed: u64, planted: Planted) -> Self {
        let clinic = format!("{}-{seed}", format!("{planted:?}").to_ascii_lowercase());
        world.seed(&clinic, "Europe/Berlin").await;
        for number in 0..MESSAGES {
            let sql = "INSERT INTO outbox_message (clinic, id, recipient, subject, body, link, created_at)
                       VALUES (?, ?, 'a@example.org', 's', 'b', 'l', ?)";
            let id = format!("00000000-0000-7000-8000-{number:012}");
            world.run(sql, params![clinic.as_str(), id, world.now()]).await;
        }
        let (desks, taken) = ([new_desk(), new_desk()], BTreeMap::new());
        let (clock, dice) = (Duration::from_secs(1), Dice(seed));
        Self { world, clinic, dice, planted, desks, clock, names: seed << 20, taken, wrong: Vec::new() }
    }

    async fn live(&mut self) {
        for _ in 0..70 {
            let host = usize::try_from(self.dice.throw(2)).unwrap();
            match self.dice.throw(12) {
                0..=2 => self.ask(host, false).await,
                3..=7 => self.send(host),
                8 => {
                    let by = self.dice.throw(40) as i64;
                    self.pass(SignedDuration::from_secs(by));
                }
                9 => self.desks[host] = new_desk(),
                10 => self.jump(),
                _ => self.undo_mistakes().await,
            }
        }
        // Whoever still lives tells what it knows; then everything is quiet for a day.
        for _ in 0..60 {
            for host in 0..2 {
                self.ask(host, true).await;
                self.undo_mistakes().await;
                while self.desks[host].is_pending() && self.send_quietly(host) {}
            }
            self.pass(SignedDuration::from_mins(25));
        }
        self.judge().await;
    }

    fn pass(&mut self, by: SignedDuration) {
        self.clock += by.unsigned_abs();
        self.world.advance(by);
    }

    /// The wall clock of whoever leads, forward or back.
    fn jump(&mut self) {
        let by = SignedDuration::from_secs(self.dice.throw(600) as i64 - 300);
        self.world.advance(by);
    }

    /// A question whose answer comes, or not; whose effect stays, or is undone because nobody acknowledged it.
    async fn ask(&mut self, host: usize, surely: bool) {
        self.names += 1;
        let name = self.names.to_string();
        let mut question = self.desks[host].question(self.clock, &["email"], || name);
        question.most = 3;
        let fate = if surely { 0 } else { self.dice.throw(5) };
        match fate {
            1 => {}
            2 => drop(self.carry_out(&question).await),
            3 => {
                self.world.run("DROP TABLE IF EXISTS kept", vec![]).await;
                self.world.run("CREATE TABLE kept AS SELECT * FROM outbox_message", vec![]).await;
                self.carry_out(&question).await;
                self.world.run("DELETE FROM outbox_message", vec![]).await;
                self.world.run("INSERT INTO outbox_message SELECT * FROM kept", vec![]).await;
            }
            _ => {
                let answer = self.carry_out(&question).await;
                self.desks[host].answered(answer);
            }
        }
    }

    async fn carry_out(&self, question: &Question) -> Answer {
        let client = self.world.client(&self.clinic);
        let body = serde_json::to_value(question).unwrap();
        let node = [("locum-node", "edge-1"), ("locum-host-key", "host-key")];
        let path = "/messages/deliveries";
        let answer = client.send::<MessagesFunction>(Method::POST, path, Some(body), &node).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_value(answer.body).unwrap()
    }

    /// One message, whatever the mail server makes of it; now and then the host dies before it knows.
    fn send(&mut self, host: usize) {
        let Some(message) = self.desks[host].next(self.clock) else { return };
        let (takes, outcome) = match self.dice.throw(6) {
            0 => (false, Outcome::Retry),
            1 => (false, Outcome::Failed),
            2 => (true, Outcome::Unknown),
            3 => (false, Outcome::Unknown),
            _ => (true, Outcome::Sent),
        };
        if takes {
            self.take(&message);
        }
        if self.dice.throw(6) == 0 {
            self.desks[host] = new_desk();
            return;
        }
        let outcome = match (outcome, self.planted) {
            (Outcome::Unknown, Planted::UnknownIsRetried) => Outcome::Retry,
            (outcome, _) => outcome,
        };
        self.desks[host].became(message.id, outcome, Some("smtp-1".to_owned()));
    }

    fn send_quietly(&mut self, host: usize) -> bool {
        let Some(message) = self.desks[host].next(self.clock) else { return false };
        self.take(&message);
        self.desks[host].became(message.id, Outcome::Sent, None);
        true
    }

    fn take(&mut self, message: &Message) {
        let times = self.taken.entry(message.id.clone()).or_default();
        *times += 1;
        if *times > 1 {
            self.wrong.push(format!("{} went out {times} times", message.id));
        }
    }

    async fn undo_mistakes(&mut self) {
        if self.planted == Planted::ClaimsComeBack {
            let sql = "UPDATE outbox_message SET state = 'waiting', claim = NULL WHERE clinic = ? AND reason = 'no-outcome'";
            self.world.run(sql, params![self.clinic.as_str()]).await;
        }
    }

    async fn judge(&mut self) {
        let sql = "SELECT id, state FROM outbox_message WHERE clinic = ?";
        let rows = self.world.query(sql, params![self.clinic.as_str()]).await;
        assert_eq!(rows.len() as u64, MESSAGES);
        for row in rows {
            let (id, state) = (row.text(0).unwrap(), row.text(1).unwrap());
            let taken = self.taken.get(&id).copied().unwrap_or_default();
            let right = match state.as_str() {
                "sent" => taken == 1,
                "unknown" => true,
                "failed" | "expired" => taken == 0,
                _ => false,
            };
            if !right {
                self.wrong.push(format!("{id} is {state} and was taken {taken} times"));
            }
        }
    }
}

fn new_desk() -> Desk {
    Desk::new(Duration::from_secs(60))
}

/// What went wrong in these lives; of one that is to go wrong, the first is enough.
async fn lives(seeds: u64, planted: Planted) -> Vec<String> {
    let world = World::new().await;
    world.set("host_key", "host-key");
    let mut wrong = Vec::new();
    for seed in 0..seeds {
        let mut life = Life::begin(&world, seed, planted).await;
        life.live().await;
        wrong.extend(life.wrong.into_iter().map(|what| format!("seed {seed}: {what}")));
        if planted != Planted::Nothing && !wrong.is_empty() {
            break;
        }
    }
    wrong
}

#[tokio::test]
async fn no_message_goes_out_twice_and_none_is_lost() {
    let seeds = std::env::var("LOCUM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let wrong = lives(seeds, Planted::Nothing).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn planted_mistakes_are_found() {
    for planted in [Planted::ClaimsComeBack, Planted::UnknownIsRetried] {
        assert!(!lives(60, planted).await.is_empty(), "{planted:?}");
    }
}
