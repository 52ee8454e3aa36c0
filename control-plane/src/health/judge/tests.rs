use super::*;
use crate::health::{Outcome, ProbeKind, Reason, Streak};

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One leader, three vantage points, each with streaks of its own; probes every [`PROBE_EVERY`].
struct World {
    health: Health,
    now: Duration,
    streaks: BTreeMap<(&'static str, &'static str), Streak>,
    standing: BTreeMap<NodeId, Standing>,
    /// How many of the vantage points report.
    reporting: usize,
}

const VANTAGES: [&str; 3] = ["control-1", "control-2", "control-3"];
const NODES: [&str; 2] = ["edge-1", "edge-2"];

impl World {
    fn new() -> Self {
        let standing = NODES.iter().map(|name| (node(name), Standing::default())).collect();
        Self {
            health: Health::new(at(0)),
            now: at(0),
            streaks: BTreeMap::new(),
            standing,
            reporting: VANTAGES.len(),
        }
    }

    /// One round of probes and reports; `reaches` says who reaches whom, `speaks` which nodes say that they
    /// are there.
    fn round(&mut self, reaches: impl Fn(&str, &str) -> bool, speaks: impl Fn(&str) -> bool) -> Vec<Verdict> {
        self.now += PROBE_EVERY;
        for vantage in VANTAGES {
            for name in NODES {
                let reached = reaches(vantage, name);
                let outcome = if reached { Outcome::Good(at(1)) } else { Outcome::Miss(Reason::Silent) };
                let streak = self.streaks.entry((vantage, name)).or_default();
                streak.note(outcome, self.now, self.now);
            }
        }
        for vantage in VANTAGES.into_iter().take(self.reporting) {
            let own = self.streaks.iter().filter(|((by, _), _)| *by == vantage);
            let seen = own.filter_map(|((_, name), s)| s.seen(&node(name), ProbeKind::Https, self.now));
            let report = Report { number: self.now.as_millis() as u64, life: 0, seen: seen.collect() };
            self.health.report(&node(vantage), report, self.now);
        }
        for name in NODES.iter().filter(|name| speaks(name)) {
            self.health.heard(&node(name), false, self.now);
        }
        self.health.look(self.now);
        let verdicts =
            self.health.judge(self.standing.iter().map(|(id, s)| (id, *s)), VANTAGES.len(), self.now);
        for verdict in &verdicts {
            let standing = self.standing.get_mut(&verdict.node).unwrap();
            *standing = match verdict.change {
                Change::Lost => standing.lost(),
                Change::Left => standing.left(),
                Change::Back => standing.back(),
                Change::Forgiven => standing.forgiven(),
            };
            self.health.changed(&verdict.node, self.now);
        }
        verdicts
    }

    /// So many rounds; the first verdict, and how long it took.
    fn until(
        &mut self,
        rounds: usize,
        reaches: impl Fn(&str, &str) -> bool,
        speaks: impl Fn(&str) -> bool,
    ) -> Option<(Verdict, Duration)> {
        let begun = self.now;
        (0..rounds).find_map(|_| {
            let first = self.round(&reaches, &speaks).into_iter().next()?;
            Some((first, self.now - begun))
        })
    }
}

fn all(_: &str, _: &str) -> bool {
    true
}

#[test]
fn a_majority_gives_a_node_up_within_four_seconds_and_says_why() {
    let mut world = World::new();
    assert!(world.until(20, all, |_| true).is_none());
    let reaches = |vantage: &str, name: &str| name != "edge-1" || vantage == "control-3";
    let (verdict, took) = world.until(10, reaches, |_| true).unwrap();
    assert_eq!((verdict.node.as_str(), verdict.change), ("edge-1", Change::Lost));
    assert!(took <= at(4_000), "{took:?}");
    let words: Vec<Word> = verdict.evidence.opinions.iter().map(|opinion| opinion.word).collect();
    assert_eq!(words, [Word::Misses, Word::Misses, Word::Steady]);
    let first = &verdict.evidence.opinions[0];
    assert_eq!((first.misses, first.reason), (4, Some(Reason::Silent)));
}

#[test]
fn one_vantage_point_alone_gives_nobody_up() {
    let mut world = World::new();
    world.until(10, all, |_| true);
    // Even if the node says nothing to the leader either.
    let reaches = |vantage: &str, name: &str| name != "edge-1" || vantage != "control-1";
    assert!(world.until(100, reaches, |name| name != "edge-1").is_none());
}

#[test]
fn who_sees_nobody_does_not_count() {
    let mut world = World::new();
    world.until(10, all, |_| true);
    // Two are cut off; the third reaches everybody.
    assert!(world.until(100, |vantage, _| vantage == "control-3", |_| true).is_none());
    // The third alone is not enough while the node speaks …
    let reaches = |vantage: &str, name: &str| vantage == "control-3" && name != "edge-1";
    assert!(world.until(100, reaches, |_| true).is_none());
    // … and is when it is silent.
    let (verdict, _) = world.until(6, reaches, |name| name != "edge-1").unwrap();
    assert_eq!((verdict.node.as_str(), verdict.change), ("edge-1", Change::Lost));
    assert_eq!(verdict.evidence.blind, [node("control-1"), node("control-2")]);
}

#[test]
fn when_nobody_reaches_or_hears_anybody_nothing_is_said() {
    let mut world = World::new();
    world.until(10, all, |_| true);
    assert!(world.until(100, |_, _| false, |_| false).is_none());
    assert!(!world.health.is_sighted(world.now));
}

#[test]
fn it_comes_back_after_five_good_probes_and_later_each_time() {
    let mut world = World::new();
    world.until(10, all, |_| true);
    let without_it = |_: &str, name: &str| name != "edge-1";
    let mut waits = Vec::new();
    for _ in 0..3 {
        assert_eq!(world.until(10, without_it, |name| name != "edge-1").unwrap().0.change, Change::Lost);
        let (verdict, took) = world.until(100, all, |_| true).unwrap();
        assert_eq!(verdict.change, Change::Back);
        waits.push(took);
    }
    assert_eq!(waits[0], 5 * PROBE_EVERY);
    assert!(waits[1] >= at(10_000) && waits[2] >= at(20_000), "{waits:?}");
    world.now += Duration::from_secs(700);
    let (verdict, _) = world.until(3, all, |_| true).unwrap();
    assert_eq!(verdict.change, Change::Forgiven);
    assert!(world.until(20, all, |_| true).is_none());
}

#[test]
fn good_probes_without_a_word_of_the_node_itself_do_not_bring_it_back() {
    let mut world = World::new();
    world.until(10, all, |_| true);
    world.until(10, |_, name| name != "edge-1", |name| name != "edge-1").unwrap();
    assert!(world.until(20, all, |name| name != "edge-1").is_none());
}

#[test]
fn a_leader_that_stood_still_gives_nobody_up_for_it() {
    let mut world = World::new();
    world.until(10, all, |_| true);
    world.now += at(10_000);
    world.health.look(world.now);
    let standing: Vec<_> = world.standing.iter().map(|(id, standing)| (id, *standing)).collect();
    assert_eq!(world.health.judge(standing, VANTAGES.len(), world.now), []);
}

#[test]
fn a_new_leader_waits_only_for_a_word_that_could_change_its_mind() {
    let mut before = World::new();
    before.until(10, all, |_| true);
    let without_it = |_: &str, name: &str| name != "edge-1";
    before.until(3, without_it, |name| name != "edge-1");
    let takes_over = |reporting: usize| {
        let mut next = World { health: Health::new(before.now), ..World::new() };
        (next.now, next.streaks) = (before.now, before.streaks.clone());
        next.reporting = reporting;
        next.until(10, without_it, |name| name != "edge-1").unwrap().1
    };
    // The one that led before is gone; both that are left say the same.
    assert_eq!(takes_over(2), PROBE_EVERY);
    // One alone may be mistaken: the node has to be silent as well.
    assert!(takes_over(1) >= SILENT);
}

#[test]
fn whoever_goes_as_announced_is_not_lost_and_comes_back_at_once() {
    let mut health = Health::new(at(0));
    let (other, going) = (node("edge-2"), node("edge-1"));
    health.heard(&going, true, at(0));
    health.heard(&other, false, at(2_900));
    let up = [(&going, Standing::default())];
    assert_eq!(health.judge(up, 0, at(2_999)), []);
    let verdict = health.judge(up, 0, at(3_000)).remove(0);
    assert_eq!(verdict.change, Change::Left);
    health.changed(&going, at(3_000));
    let left = [(&going, Standing::default().left())];
    health.heard(&going, true, at(3_100));
    assert_eq!(health.judge(left, 0, at(3_100)), [], "it is still going");
    health.heard(&going, false, at(3_200));
    assert_eq!(health.judge(left, 0, at(3_200))[0].change, Change::Back);
}

#[test]
fn a_node_that_nobody_can_probe_lives_by_its_own_word() {
    let mut health = Health::new(at(0));
    let (quiet, other) = (node("edge-1"), node("edge-2"));
    for ms in (0..5_000).step_by(500) {
        health.heard(&other, false, at(ms));
    }
    let verdicts = health.judge([(&quiet, Standing::default())], 0, at(3_100));
    assert_eq!(verdicts[0].change, Change::Lost);
    assert_eq!(verdicts[0].after, at(3_100));
    health.changed(&quiet, at(3_100));
    let lost = [(&quiet, Standing::default().lost())];
    for ms in (3_500..7_250).step_by(500) {
        health.heard(&quiet, false, at(ms));
        assert_eq!(health.judge(lost, 0, at(ms)), [], "{ms}");
    }
    health.heard(&quiet, false, at(7_250));
    assert_eq!(health.judge(lost, 0, at(7_250))[0].change, Change::Back);
}
