//! Events on disk, in the order they happened, bounded.

use std::path::{Path, PathBuf};

use locum_cluster::calls::CallEvent;
use metrics::gauge;
use queue_file::QueueFile;
use tracing::warn;

use super::{Happened, lost};

/// Most that the file may hold.
const MAX_BYTES: u64 = 64 << 20;
/// The file, in the node's own folder.
const FILE: &str = "call-events.queue";

/// The queue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Its file.
    #[error("use {path}")]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: queue_file::Error,
    },
    /// An event did not become text.
    #[error("write an event")]
    Encode(#[source] serde_json::Error),
}

/// Owns the file, and numbers what goes into it.
pub struct Keeper {
    path: PathBuf,
    file: QueueFile,
    start: String,
    next: u64,
    max_bytes: u64,
}

impl Keeper {
    /// Opens the queue in `folder`; `start` is drawn for this start of the node. A file that cannot be read is put
    /// aside: calls go on, and whoever operates the node can look at it.
    ///
    /// # Errors
    /// When there can be no file at all.
    pub fn open(folder: &Path, start: String) -> Result<Self, QueueError> {
        let path = folder.join(FILE);
        let file = match open(&path) {
            Ok(file) => file,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "queue of call events put aside");
                lost("unreadable", 1);
                let aside = path.with_extension("unreadable");
                let failed =
                    |source: std::io::Error| QueueError::File { path: path.clone(), source: source.into() };
                std::fs::rename(&path, aside).map_err(failed)?;
                open(&path).map_err(|source| QueueError::File { path: path.clone(), source })?
            }
        };
        let keeper = Self { path, file, start, next: 0, max_bytes: MAX_BYTES };
        keeper.publish();
        Ok(keeper)
    }

    /// Adds events; they are on the disk when this returns. The oldest make room for them.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn add(&mut self, happened: Vec<Happened>) -> Result<(), QueueError> {
        let mut texts = Vec::with_capacity(happened.len());
        for Happened { at_ms, sink, participant, what } in happened {
            let (sink, participant) = (sink.to_string(), participant.to_string());
            let event =
                CallEvent { start: self.start.clone(), sequence: self.next, at_ms, sink, participant, what };
            self.next += 1;
            texts.push(serde_json::to_vec(&event).map_err(QueueError::Encode)?);
        }
        let bytes: u64 = texts.iter().map(|text| text.len() as u64).sum();
        while !self.file.is_empty() && self.file.used_bytes() + 2 * bytes > self.max_bytes {
            self.file.remove().map_err(|source| self.failed(source))?;
            lost("disk", 1);
        }
        self.file.add_n(texts).map_err(|source| self.failed(source))?;
        self.publish();
        Ok(())
    }

    /// The oldest events, at most so many. What cannot be read is left out; it goes with the others.
    #[must_use]
    pub fn oldest(&self, most: usize) -> (usize, Vec<CallEvent>) {
        let texts: Vec<_> = self.file.iter().take(most).collect();
        let events = texts.iter().filter_map(|text| serde_json::from_slice(text).ok());
        (texts.len(), events.collect())
    }

    /// The oldest are delivered, or given up.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remove(&mut self, events: usize) -> Result<(), QueueError> {
        self.file.remove_n(events).map_err(|source| self.failed(source))?;
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        let waiting = u32::try_from(self.file.size()).unwrap_or(u32::MAX);
        gauge!("locum_media_call_events_waiting").set(f64::from(waiting));
    }

    fn failed(&self, source: queue_file::Error) -> QueueError {
        QueueError::File { path: self.path.clone(), source }
    }
}

/// As long as it may ever be, in sparse blocks: a file that grew is cut when it is empty, and says until the next event
/// that it is longer than it is (`queue-file` 2.0.0). What was delivered is not overwritten, which would be all of it.
fn open(path: &Path) -> Result<QueueFile, queue_file::Error> {
    let mut file = QueueFile::with_capacity(path, MAX_BYTES)?;
    file.set_overwrite_on_remove(false);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use locum_cluster::calls::CallEventKind;

    use super::*;
    use crate::room::{Identity, Sink};

    fn joined(n: i64) -> Happened {
        Happened {
            at_ms: n,
            sink: Sink::parse("sink").unwrap(),
            participant: Identity::parse("p").unwrap(),
            what: CallEventKind::Joined { stay: "PA_1".to_owned() },
        }
    }

    fn times(keeper: &Keeper) -> Vec<i64> {
        keeper.oldest(usize::MAX).1.iter().map(|event| event.at_ms).collect()
    }

    #[test]
    fn what_was_added_outlives_the_process_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::open(folder.path(), "first".to_owned()).unwrap();
        keeper.add(vec![joined(1), joined(2)]).unwrap();
        keeper.add(vec![joined(3)]).unwrap();
        drop(keeper);
        let mut keeper = Keeper::open(folder.path(), "second".to_owned()).unwrap();
        keeper.add(vec![joined(4)]).unwrap();
        let (_, events) = keeper.oldest(10);
        let names: Vec<_> = events.iter().map(|event| (event.start.as_str(), event.sequence)).collect();
        assert_eq!(names, [("first", 0), ("first", 1), ("first", 2), ("second", 0)]);
        keeper.remove(3).unwrap();
        drop(keeper);
        assert_eq!(times(&Keeper::open(folder.path(), "third".to_owned()).unwrap()), [4]);
    }

    #[test]
    fn a_node_that_dies_when_all_is_delivered_finds_its_queue() {
        let (folder, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut keeper = Keeper::open(folder.path(), "first".to_owned()).unwrap();
        keeper.add((0..200).map(joined).collect()).unwrap();
        keeper.remove(200).unwrap();
        // As it is on the disk now; nothing is closed.
        std::fs::copy(folder.path().join(FILE), after.path().join(FILE)).unwrap();
        let mut keeper = Keeper::open(after.path(), "second".to_owned()).unwrap();
        assert!(!after.path().join("call-events.unreadable").exists());
        keeper.add(vec![joined(1)]).unwrap();
        assert_eq!(times(&keeper), [1]);
    }

    #[test]
    fn the_oldest_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::open(folder.path(), "s".to_owned()).unwrap();
        keeper.max_bytes = 16 << 10;
        for n in 0..200 {
            keeper.add(vec![joined(n)]).unwrap();
            assert!(keeper.file.used_bytes() <= keeper.max_bytes);
        }
        let kept = times(&keeper);
        assert_eq!(kept.last(), Some(&199));
        assert!(kept.len() > 5 && kept.is_sorted(), "{kept:?}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), [7; 5_000]).unwrap();
        let mut keeper = Keeper::open(folder.path(), "s".to_owned()).unwrap();
        keeper.add(vec![joined(1)]).unwrap();
        assert_eq!(times(&keeper), [1]);
        assert_eq!(std::fs::read(folder.path().join("call-events.unreadable")).unwrap().len(), 5_000);
    }
}
