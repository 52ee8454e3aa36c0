//! The canary clinic: its staff signs in, and opens visits that nobody attends.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jiff::{Span, Timestamp};
use locum_identity::private_file;
use locum_passkey::Passkey;
use reqwest::Method;
use serde_json::{Value, json};

use super::person::{Answer, Door, Person};
use crate::up::accounts::{Account, CANARY_FILE};

/// Longest wait for an answer while nothing is wrong with the network.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
const BETWEEN: Duration = Duration::from_millis(200);
/// Of one question for slots.
const DAYS: i32 = 14;
/// A clinic cannot be booked further ahead.
const MOST_DAYS: i32 = 350;

/// Its staff, signed in.
pub(super) struct Canary {
    /// Writes notes and holds calls.
    pub doctor: Person,
    desk: Person,
    client: reqwest::Client,
}

/// A visit whose patient was let in.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// Names it.
    pub appointment: String,
    /// Its clinical side, with the note.
    pub encounter: String,
}

impl Canary {
    /// Signs in with the accounts in the network's folder.
    pub(super) async fn sign_in(network: &Path, client: &reqwest::Client, doors: &[Door]) -> Result<Self> {
        let accounts = network.join(CANARY_FILE);
        let text = private_file::read_to_string(&accounts)
            .with_context(|| format!("read {}", accounts.display()))?;
        let mut list: Vec<Account> = serde_json::from_str(&text).context("read the canary's accounts")?;
        let (doctor, desk) = (Person::new(client), Person::new(client));
        for (person, role) in [(&doctor, "doctor"), (&desk, "front-desk")] {
            let account = list.iter_mut().find(|account| account.roles.iter().any(|has| has == role));
            let account = account.with_context(|| format!("the canary clinic has no {role}"))?;
            if enter(person, doors, account).await? {
                let text = serde_json::to_vec_pretty(&list).context("write the canary's accounts")?;
                private_file::write(&accounts, &text)
                    .with_context(|| format!("write {}", accounts.display()))?;
            }
        }
        Ok(Self { doctor, desk, client: client.clone() })
    }

    /// Books a visit and lets its patient in.
    pub(super) async fn open_visit(&self, doors: &[Door]) -> Result<Visit> {
        let person = Person::new(&self.client);
        let (hold, start) = self.hold(&person, doors).await?;
        // Nobody reads it: the domain never exists (RFC 2606).
        let email = format!("canary-{:016x}@canary.invalid", random()?);
        let body = json!({
            "hold": hold["id"], "secret": hold["secret"], "method": "pay-at-clinic",
            "patient": {"name": "Canary", "birthDate": "2000-01-01", "email": email},
        });
        let confirmed = self.done(&person, doors, "/payments/confirmations", &body).await?;
        let appointment = text(&confirmed["appointment"]["id"])?;
        let invited = |message: &Value| message["to"] == email.as_str();
        let link = text(&self.listed(doors, "/messages/outbox", "messages", invited).await?["link"])?;
        let token = link.split_once('#').context("the invitation's link has no fragment")?.1;
        self.done(&person, doors, "/auth/visit-sessions", &json!({"token": token})).await?;
        self.done(&person, doors, "/scheduling/visit/arrive", &json!({})).await?;
        let admit = format!("/scheduling/appointments/{appointment}/admit");
        self.done(&self.doctor, doors, &admit, &json!({})).await?;
        let day = start.get(..10).context("a slot's start is no time")?;
        let path = format!("/scheduling/appointments?date={day}");
        let admitted =
            |listed: &Value| listed["id"] == appointment.as_str() && listed["encounter"].is_string();
        let encounter = text(&self.listed(doors, &path, "appointments", admitted).await?["encounter"])?;
        Ok(Visit { appointment, encounter })
    }

    /// Ends a visit.
    pub(super) async fn end_visit(&self, doors: &[Door], visit: &Visit) -> Result<()> {
        let end = format!("/scheduling/appointments/{}/end", visit.appointment);
        self.done(&self.doctor, doors, &end, &json!({})).await.map(drop)
    }

    /// The first slot that nobody has, and when it begins.
    async fn hold(&self, person: &Person, doors: &[Door]) -> Result<(Value, String)> {
        let clinic = self.seen(doors, "/scheduling/clinic").await?;
        let service = text(&clinic["services"][0]["id"])?;
        // The canary's zone is UTC.
        let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        for ahead in (0..MOST_DAYS).step_by(DAYS as usize) {
            let from = today.checked_add(Span::new().days(ahead)).context("find a day")?;
            let path = format!("/scheduling/slots?service={service}&from={from}&days={DAYS}");
            let slots = self.seen(doors, &path).await?;
            for slot in slots["slots"].as_array().into_iter().flatten() {
                let wish = json!({"service": service, "practitioner": slot["practitioner"]["id"], "start": slot["start"]});
                let answer = ask(person, doors, (Method::POST, "/scheduling/holds"), Some(&wish)).await?;
                if answer.status == 201 {
                    return Ok((answer.body, text(&slot["start"])?));
                }
            }
        }
        bail!("the canary clinic is booked out")
    }

    /// An entry of a list, once the host that is asked has it: somebody else just made it, maybe at another host.
    async fn listed(
        &self,
        doors: &[Door],
        path: &str,
        list: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let mut answer = self.seen(doors, path).await?;
            let entries = answer[list].as_array_mut().with_context(|| format!("{path} is no list"))?;
            if let Some(place) = entries.iter().position(&is_it) {
                return Ok(entries.swap_remove(place));
            }
            ensure!(
                begun.elapsed() < ANSWERED_WITHIN,
                "{path} of the canary clinic lacks what was just made"
            );
            tokio::time::sleep(BETWEEN).await;
        }
    }

    async fn seen(&self, doors: &[Door], path: &str) -> Result<Value> {
        // The front desk sees lists and the outbox.
        let answer = ask(&self.desk, doors, (Method::GET, path), None).await?;
        ensure!(answer.status == 200, "{path} of the canary clinic: {} {}", answer.status, answer.problem());
        Ok(answer.body)
    }

    async fn done(&self, person: &Person, doors: &[Door], path: &str, body: &Value) -> Result<Value> {
        let answer = ask(person, doors, (Method::POST, path), Some(body)).await?;
        let done = matches!(answer.status, 200 | 201);
        ensure!(done, "{path} of the canary clinic: {} {}", answer.status, answer.problem());
        Ok(answer.body)
    }
}

/// Signs somebody in, with a passkey of their own from the first time on; whether it is a new one.
async fn enter(person: &Person, doors: &[Door], account: &mut Account) -> Result<bool> {
    let post = async |path: &str, body: Value| {
        let answer = ask(person, doors, (Method::POST, path), Some(&body)).await?;
        ensure!(
            answer.status == 201,
            "the canary clinic does not know its staff ({path}: {} {}): was it restored without its {CANARY_FILE}?",
            answer.status,
            answer.problem()
        );
        anyhow::Ok(answer.body)
    };
    let origin = &doors.first().context("the network has no edge host")?.origin;
    let begun =
        post("/auth/sessions", json!({"username": account.username, "password": account.password})).await?;
    match (begun["next"].as_str(), &account.passkey) {
        (Some("second-factor"), Some(passkey)) => {
            let options = post("/auth/second-factor/passkey", json!({})).await?;
            let credential = passkey.get(&options, origin)?;
            post("/auth/second-factor", json!({"passkey": credential})).await?;
            Ok(false)
        }
        (Some("enrolment"), _) => {
            let passkey = Passkey::generate()?;
            let options = post("/auth/passkeys/options", json!({})).await?;
            let credential = passkey.create(&options, origin)?;
            post("/auth/passkeys", json!({"name": "Canary", "credential": credential})).await?;
            account.passkey = Some(passkey);
            Ok(true)
        }
        (Some(_), _) => bail!("the passkey of the canary's {} is not in its {CANARY_FILE}", account.username),
        (None, _) => Ok(false),
    }
}

/// Asks one edge host after the other, as pages do, until one of them answers for good.
async fn ask(
    person: &Person,
    doors: &[Door],
    (method, path): (Method, &str),
    body: Option<&Value>,
) -> Result<Answer> {
    let (begun, key) = (Instant::now(), format!("{:016x}", random()?));
    let headers = [("idempotency-key", key.as_str())];
    let headers = if method == Method::GET { &[][..] } else { &headers[..] };
    let mut last = None;
    while begun.elapsed() < ANSWERED_WITHIN {
        for door in doors {
            match person.send(door, method.clone(), path, body, headers).await {
                Ok(answer) if answer.status < 500 => return Ok(answer),
                Ok(answer) => last = Some(format!("{}: {} {}", door.host, answer.status, answer.problem())),
                Err(error) => last = Some(format!("{error:#}")),
            }
        }
        tokio::time::sleep(BETWEEN).await;
    }
    bail!("no edge host answers {path} of the canary clinic: {}", last.unwrap_or_default())
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).context("an answer of the canary clinic lacks something")
}

/// What nobody else is called.
pub(super) fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).context("gather randomness")?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Whether the accounts are where they should be.
pub(super) fn is_there(network: &Path) -> bool {
    fs::exists(network.join(CANARY_FILE)).unwrap_or(false)
}
