//! Looks through the events on this host: its own log of what was read, what it keeps of others', and the rows of
//! what was changed. The files are their own index: each is looked at only if anything in it can be of the time asked
//! for, which is remembered of files that are complete.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use locum_identity::{NodeId, private_file};

use super::frame::{self, FileName, Sealer};
use super::rows::{COLUMNS, read_event};
use super::wish::{Best, Found, Picking, ROWS, Wish};
use super::{Audit, log, own_folder};
use crate::store::{Access, Caller, GroupId, QueryResult, StoreError, Value};

/// Rows of one statement: an answer of the store is bounded.
const ROWS_AT_ONCE: usize = 2_500;
/// Complete files whose times are remembered; each holds some 150,000 events.
const MAX_SPANS: usize = 10_000;

/// First and last time of the events in files that are complete.
#[derive(Default)]
pub(super) struct Spans(BTreeMap<PathBuf, (i64, i64)>);

/// A log of which this host holds something.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Held {
    pub(super) log: u64,
    /// Whose; `None`: this host's own.
    pub(super) of: Option<NodeId>,
    /// The files that there are, the first sequence of each.
    #[serde(skip)]
    files: Vec<FileName>,
    /// How far it goes, in bytes of the newest file, and which that is.
    pub(super) end: (u64, u64),
}

impl Audit {
    /// The logs on this host's disk. Blocks.
    pub(super) fn held(&self, group: &GroupId) -> io::Result<Vec<Held>> {
        let own = own_folder(&self.settings.folder, group);
        let mut held = held_in(&own, None)?;
        for node in folders(&own.with_file_name("from"))? {
            let folder = own.with_file_name("from").join(node.as_str());
            held.extend(held_in(&folder, Some(node))?);
        }
        Ok(held)
    }

    /// The best events of these logs. Blocks; one look at a time, so that reports leave the disk and the processors
    /// to visits.
    pub(super) fn look(&self, group: &GroupId, clinic: &str, logs: &[Held], wish: &Wish) -> io::Result<Best> {
        let Some(sealer) = self.sealer(group) else { return Ok(Best::default()) };
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let mut picking = Picking::new(wish);
        for held in logs {
            let own = own_folder(&self.settings.folder, group);
            let folder = match &held.of {
                None => own,
                Some(node) => own.with_file_name("from").join(node.as_str()),
            };
            for (place, file) in held.files.iter().enumerate() {
                let path = file.in_folder(&folder);
                let is_complete = place + 1 < held.files.len();
                if spans.0.get(&path).is_some_and(|(first, last)| !wish.may_want(*first, *last)) {
                    continue;
                }
                let bytes = match private_file::read(&path) {
                    Ok(bytes) => bytes,
                    // Expired between the two looks.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                let span = look_at(*file, &bytes, &sealer, (clinic, wish), &mut picking);
                if is_complete && spans.0.len() < MAX_SPANS {
                    spans.0.insert(path, span);
                }
            }
        }
        Ok(picking.best())
    }

    /// The best of the rows of what was changed, in this host's copy.
    pub(super) async fn look_at_rows(
        &self,
        group: &GroupId,
        clinic: &str,
        wish: &Wish,
        within: Duration,
    ) -> Result<Best, StoreError> {
        let session = self.store.session(group, Access::Read, Instant::now() + within)?;
        session.allow_older(None);
        let run = async |sql: String, values: Vec<Value>| {
            let ran = session.execute(sql, values, Caller::Host).await;
            ran.map_err(StoreError::Commit)
        };
        let (conditions, wanted) = wish.conditions();
        let values = || [vec![clinic.into()], wanted.clone()].concat();
        let count = format!("SELECT count(*) FROM locum_audit WHERE clinic = ?{conditions}");
        let matched = match run(count, values()).await?.rows.first().map(Vec::as_slice) {
            Some([Value::Integer(matched)]) => u64::try_from(*matched).unwrap_or(0),
            _ => 0,
        };
        let mut best = Best { matched, ..Best::default() };
        let mut wish = wish.clone();
        loop {
            let missing = wish.limit() - best.events.len().min(wish.limit());
            let at_once = missing.min(ROWS_AT_ONCE) + 1;
            let (order, behind, after) = wish.ordered();
            let sql = format!(
                "SELECT {COLUMNS} FROM locum_audit WHERE clinic = ?{conditions}{behind} \
                 ORDER BY {order} LIMIT {at_once}"
            );
            let rows = run(sql, [values(), after].concat()).await?;
            let mut found = read(&rows);
            let is_all = found.len() < at_once;
            found.truncate(at_once - 1);
            best.events.extend(found);
            if is_all || best.events.len() >= wish.limit() {
                best.more = !is_all;
                break;
            }
            wish.after = best.events.last().map(|last| wish.place(last));
        }
        session.commit().await?;
        Ok(best)
    }
}

fn read(rows: &QueryResult) -> Vec<Found> {
    let found = rows.rows.iter().filter_map(|row| read_event(row));
    found.map(|(sequence, event)| Found { event, origin: ROWS.to_owned(), sequence }).collect()
}

/// The name of a log among origins.
pub(super) fn origin(log: u64) -> String {
    format!("{log:016x}")
}

/// Shows what is wanted of a file's events; the times of all. What a crash or a change spoiled ends it: verifying says
/// so.
fn look_at(
    file: FileName,
    bytes: &[u8],
    sealer: &Sealer,
    (clinic, wish): (&str, &Wish),
    picking: &mut Picking<'_>,
) -> (i64, i64) {
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    let name = origin(file.log);
    frame::each(file, bytes, |frame| {
        let Some(event) = sealer.open(file.log, &frame) else { return };
        (first, last) = (first.min(event.recorded_at_ms), last.max(event.recorded_at_ms));
        if event.clinic == clinic && wish.takes(&event) {
            picking.take(event, &name, frame.sequence);
        }
    });
    (first, last)
}

fn held_in(folder: &Path, of: Option<NodeId>) -> io::Result<Vec<Held>> {
    let files = match log::files(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut logs: BTreeMap<u64, Vec<FileName>> = BTreeMap::new();
    for file in files {
        logs.entry(file.log).or_default().push(file);
    }
    let held = logs.into_iter().filter_map(|(log, files)| {
        let newest = *files.last()?;
        let bytes = std::fs::metadata(newest.in_folder(folder)).map_or(0, |metadata| metadata.len());
        Some(Held { log, of: of.clone(), files, end: (newest.first, bytes) })
    });
    Ok(held.collect())
}

fn folders(from: &Path) -> io::Result<Vec<NodeId>> {
    let entries = match std::fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut nodes = Vec::new();
    for entry in entries {
        nodes.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()));
    }
    Ok(nodes)
}
