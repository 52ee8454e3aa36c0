//! Writers, one at every edge host, who note what was acknowledged; and a reader who walks from one host to the
//! next.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::canary::Visit;
use super::journal::{self, Wrong};
use super::log::What;
use super::person::{Answer, Person};
use super::report::Writes;
use super::stage::Stage;

/// People are not machines; and what is measured must not be this tool's own load.
const BETWEEN: Duration = Duration::from_millis(200);
/// Between two tries: the resolution of "first acknowledged".
const AGAIN: Duration = Duration::from_millis(50);
/// The reader looks somewhere else so often.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A change that is on its way when all are told to stop.
const FINISH_WITHIN: Duration = Duration::from_secs(30);
/// A copy may be behind for a moment.
const THERE_WITHIN: Duration = Duration::from_secs(60);
/// Longest wait for a writer to get something through.
const WRITES_WITHIN: Duration = Duration::from_secs(90);

/// All of them, while they write.
pub(super) struct Writers {
    writers: Vec<Running>,
    reader: JoinHandle<u32>,
    /// Ends all of them.
    over: DropGuard,
    doctor: Person,
    stage: Stage,
}

struct Running {
    host: String,
    written: watch::Receiver<u32>,
    task: JoinHandle<Written>,
    notebook: Notebook,
}

/// Where a writer writes.
#[derive(Clone)]
struct Notebook {
    /// Name of the journal.
    journal: String,
    encounter: String,
}

/// What came of one.
struct Written {
    acknowledged: u32,
    /// It was told something that no writer should be told.
    trouble: Option<String>,
}

impl Writers {
    /// Begins a journal at every edge host, each in the note of a visit of its own.
    pub(super) fn start(
        stage: &Stage,
        doctor: &Person,
        visits: &BTreeMap<String, Visit>,
        round: &str,
    ) -> Self {
        let over = stage.over.child_token();
        let start = |(host, visit): (&String, &Visit)| {
            let notebook =
                Notebook { journal: format!("{round}-{host}"), encounter: visit.encounter.clone() };
            let (count, written) = watch::channel(0);
            let writer = Writer { stage: stage.clone(), person: doctor.another(), over: over.clone(), count };
            let task = tokio::spawn(writer.write(host.clone(), notebook.clone()));
            Running { host: host.clone(), written, task, notebook }
        };
        let writers: Vec<Running> = visits.iter().map(start).collect();
        let notebooks = writers.iter().map(|writer| writer.notebook.clone()).collect();
        let reader = tokio::spawn(read(stage.clone(), doctor.another(), notebooks, over.clone()));
        Self { writers, reader, over: over.drop_guard(), doctor: doctor.clone(), stage: stage.clone() }
    }

    /// Waits until `more` further changes are acknowledged through each of `hosts`.
    pub(super) async fn go_on(&mut self, hosts: impl Fn(&str) -> bool, more: u32) -> Result<()> {
        for writer in self.writers.iter_mut().filter(|writer| hosts(&writer.host)) {
            let wanted = *writer.written.borrow() + more;
            let waited =
                tokio::time::timeout(WRITES_WITHIN, writer.written.wait_for(|count| *count >= wanted)).await;
            if !waited.is_ok_and(|count| count.is_ok()) {
                bail!("nothing more is acknowledged through {}", writer.host);
            }
        }
        Ok(())
    }

    /// Stops, and looks at every edge host for whatever was acknowledged anywhere.
    pub(super) async fn check(self) -> Result<(Writes, Vec<String>)> {
        drop(self.over);
        let (mut writes, mut trouble) = (Writes::default(), Vec::new());
        for writer in self.writers {
            let written = tokio::time::timeout(FINISH_WITHIN, writer.task).await;
            let Written { acknowledged, trouble: told } =
                written.with_context(|| format!("{} does not let go of its writer", writer.host))??;
            trouble.extend(told);
            writes.acknowledged += acknowledged;
            // One note, looked for everywhere: what one host lacks is lost to its people.
            let mut worst = Wrong::default();
            for host in self.stage.hosts().keys() {
                let wrong = look_at(&self.stage, &self.doctor, host, &writer.notebook, acknowledged).await;
                let wrong = wrong.unwrap_or_else(|| {
                    trouble.push(format!("{host} does not show the journal of {}", writer.host));
                    Wrong { lost: acknowledged, doubled: 0 }
                });
                worst.lost = worst.lost.max(wrong.lost);
                worst.doubled = worst.doubled.max(wrong.doubled);
            }
            writes.lost += worst.lost;
            writes.doubled += worst.doubled;
        }
        writes.went_back = self.reader.await.context("the reader died")?;
        Ok((writes, trouble))
    }
}

struct Writer {
    stage: Stage,
    person: Person,
    over: CancellationToken,
    count: watch::Sender<u32>,
}

impl Writer {
    async fn write(self, host: String, notebook: Notebook) -> Written {
        // Whatever an earlier journal left in the note.
        let mut version = "*".to_owned();
        let mut acknowledged = 0;
        while !self.over.is_cancelled() {
            let number = acknowledged + 1;
            let (answer, asked) = match self.change(&host, &notebook, number, &version).await {
                Some(answered) => answered,
                // Told to stop while nobody could say what became of it.
                None => break,
            };
            match (answer.status, answer.etag.as_ref()) {
                (200, Some(etag)) => version.clone_from(etag),
                _ => {
                    let trouble =
                        format!("change {number} of {host}: {} {}", answer.status, answer.problem());
                    self.stage.log.note(What::Done(trouble.clone()));
                    return Written { acknowledged, trouble: Some(trouble) };
                }
            }
            acknowledged = number;
            self.stage.log.note(What::Acknowledged { host: host.clone(), asked });
            self.count.send_replace(acknowledged);
            tokio::select! {
                () = tokio::time::sleep(BETWEEN) => {}
                () = self.over.cancelled() => {}
            }
        }
        Written { acknowledged, trouble: None }
    }

    /// Asks until it is answered: the key makes it safe to say it again. With the answer goes when it was asked
    /// for.
    async fn change(
        &self,
        host: &str,
        notebook: &Notebook,
        number: u32,
        version: &str,
    ) -> Option<(Answer, Duration)> {
        let body = json!({"text": journal::text(&notebook.journal, number)});
        let path = format!("/records/encounters/{}/note", notebook.encounter);
        let key = format!("{}-{number}", notebook.journal);
        let headers = [("idempotency-key", key.as_str()), ("if-match", version)];
        let (mut refused, mut stop_at) = (false, None);
        loop {
            let asked = self.stage.log.now();
            let why = match self.stage.door(host) {
                None => "it is not there".to_owned(),
                Some(door) => {
                    match self.person.send(&door, Method::PUT, &path, Some(&body), &headers).await {
                        Ok(answer) if answer.status < 500 => return Some((answer, asked)),
                        Ok(answer) => format!("{} {}", answer.status, answer.problem()),
                        Err(error) => word(&error),
                    }
                }
            };
            if !std::mem::replace(&mut refused, true) {
                self.stage.log.note(What::Refused { host: host.to_owned(), why });
            }
            if self.over.is_cancelled() {
                let stop_at = *stop_at.get_or_insert_with(|| Instant::now() + FINISH_WITHIN / 2);
                if Instant::now() > stop_at {
                    return None;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Walks from host to host and through the notes; says how often one showed less than the one before.
async fn read(stage: Stage, person: Person, notebooks: Vec<Notebook>, over: CancellationToken) -> u32 {
    let (mut newest, mut went_back) = (BTreeMap::<String, u32>::new(), 0);
    let mut turn = 0_usize;
    while !over.is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = over.cancelled() => break,
        }
        let hosts: Vec<String> = stage.hosts().into_keys().collect();
        let (Some(host), Some(notebook)) = (
            hosts.get(turn % hosts.len().max(1)),
            notebooks.get(turn / hosts.len().max(1) % notebooks.len().max(1)),
        ) else {
            continue;
        };
        turn += 1;
        let Some(door) = stage.door(host) else { continue };
        let path = format!("/records/encounters/{}", notebook.encounter);
        let answer = tokio::select! {
            answer = person.get(&door, &path) => answer,
            () = over.cancelled() => break,
        };
        let Ok(answer) = answer else { continue };
        let text = answer.body["note"]["text"].as_str().unwrap_or_default();
        if answer.status != 200 {
            continue;
        }
        let shown = journal::newest(&notebook.journal, text).unwrap_or(0);
        let before = newest.entry(notebook.journal.clone()).or_default();
        if shown < *before {
            went_back += 1;
            let what = format!("{host} shows change {shown}, and {before} was seen before");
            stage.log.note(What::Done(what));
        }
        *before = shown.max(*before);
    }
    went_back
}

/// What is wrong with a note at one host, once that host has had time to catch up. `None`: it shows nothing.
async fn look_at(
    stage: &Stage,
    doctor: &Person,
    host: &str,
    notebook: &Notebook,
    acknowledged: u32,
) -> Option<Wrong> {
    let (person, begun, mut found) = (doctor.another(), Instant::now(), None);
    let path = format!("/records/encounters/{}", notebook.encounter);
    while begun.elapsed() < THERE_WITHIN {
        if let Some(door) = stage.door(host)
            && let Ok(answer) = person.get(&door, &path).await
            && answer.status == 200
        {
            let text = answer.body["note"]["text"].as_str().unwrap_or_default();
            let wrong = journal::check(&notebook.journal, text, acknowledged);
            found = Some(wrong);
            if wrong == Wrong::default() {
                break;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    found
}

/// Why nothing came, in a word: the whole chain names addresses.
fn word(error: &anyhow::Error) -> String {
    let of = |error: &reqwest::Error| {
        let kind = if error.is_timeout() {
            "no answer in time"
        } else if error.is_connect() {
            "no connection"
        } else {
            "the connection broke"
        };
        kind.to_owned()
    };
    error.downcast_ref::<reqwest::Error>().map_or_else(|| "no answer".to_owned(), of)
}

/// For a check before and after a time in which nothing is written: one change through each edge host.
pub(super) async fn one_change_each(
    stage: &Stage,
    doctor: &Person,
    visits: &BTreeMap<String, Visit>,
    name: &str,
) -> Result<(Writes, Vec<String>)> {
    let mut writers = Writers::start(stage, doctor, visits, name);
    writers.go_on(|_| true, 1).await?;
    writers.check().await
}
