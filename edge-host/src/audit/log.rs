//! A host's own log of read events of one group: added to, never changed, on disk before it is answered.
//!
//! One thread writes. While it syncs, events queue; the next sync takes all of them, so that many readers
//! share one and a single reader waits for nobody. Space is reserved ahead: when the disk is full there is
//! still room for so many bytes of events, and an alarm long before there is none.

#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;

use locum_identity::private_file;
use rustix::fs::{FallocateFlags, fallocate};
use tokio::sync::{mpsc, oneshot, watch};

use super::event::Event;
use super::frame::{self, Damage, End, FileName, Hash, Sealer};

/// Events that wait; beyond it a read answers that the host is busy.
const QUEUE: usize = 1_024;
/// Most events of one sync.
const BATCH: usize = 256;
/// What a crash can leave behind the last whole event: a batch.
const TORN_BYTES: u64 = 2 << 20;
/// Names the log that is added to.
const CURRENT: &str = "current";

/// Where and how large.
#[derive(Clone)]
pub(crate) struct LogSettings {
    /// Of this host's own events of one group.
    pub(crate) folder: PathBuf,
    /// Kept free on the disk for events.
    pub(crate) reserve_bytes: u64,
    /// A file this large is followed by another.
    pub(crate) file_bytes: u64,
    /// Reserves a file's blocks up to a length.
    pub(crate) allocate: fn(&File, u64) -> io::Result<()>,
    /// What was written is on the disk when it returns.
    pub(crate) sync: fn(&File) -> io::Result<()>,
}

/// Takes events until dropped.
pub(crate) struct OwnLog {
    queue: mpsc::Sender<Append>,
    synced: watch::Receiver<Synced>,
}

/// What is on disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Synced {
    /// The file that is added to.
    pub(crate) file: FileName,
    /// Its length.
    pub(crate) bytes: u64,
    pub(crate) end: End,
}

/// An event was not kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum AppendError {
    /// The disk and what was reserved are full.
    #[error("no space is left for audit events")]
    Full,
    /// More events wait than may.
    #[error("too many audit events wait")]
    Busy,
    /// The disk does not take what is written.
    #[error("audit events cannot be written")]
    Failed,
}

/// The log does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("make a name for a log")]
    Random(#[source] getrandom::Error),
}

struct Append {
    event: Event,
    done: oneshot::Sender<Result<(), AppendError>>,
}

/// The writing side.
struct Writer {
    settings: LogSettings,
    sealer: Sealer,
    file: File,
    at: Synced,
    /// Up to here blocks are reserved.
    allocated: u64,
    /// A sync failed: what is on the disk is not known any more.
    is_broken: bool,
    synced: watch::Sender<Synced>,
}

impl OwnLog {
    /// Opens the log and starts its thread. `vouched` is the newest signed checkpoint of a log, and its
    /// sequence: a log that is shorter was damaged, and another is begun beside it. Blocks.
    pub(crate) fn open(
        settings: LogSettings,
        sealer: Sealer,
        vouched: impl Fn(u64) -> u64,
    ) -> Result<Self, LogError> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = Writer::open(settings, sealer, vouched)?;
        let synced = writer.synced.subscribe();
        let path = writer.settings.folder.clone();
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(receiver))
            .map_err(|source| LogError::File { path, source })?;
        Ok(Self { queue: sender, synced })
    }

    /// Returns once the event is on the disk.
    pub(crate) async fn append(&self, event: Event) -> Result<(), AppendError> {
        let (done, kept) = oneshot::channel();
        self.queue.try_send(Append { event, done }).map_err(|_| AppendError::Busy)?;
        kept.await.map_err(|_| AppendError::Failed)?
    }

    /// Follows what is on disk.
    pub(crate) fn synced(&self) -> watch::Receiver<Synced> {
        self.synced.clone()
    }
}

impl Writer {
    fn open(settings: LogSettings, sealer: Sealer, vouched: impl Fn(u64) -> u64) -> Result<Self, LogError> {
        let folder = settings.folder.clone();
        let file_error = |path: &Path| {
            let path = path.to_owned();
            move |source| LogError::File { path, source }
        };
        private_file::create_dir(&folder).map_err(file_error(&folder))?;
        let found = match current(&folder).map_err(file_error(&folder))? {
            Some(file) => resume(&folder, file, vouched(file.log)).map_err(file_error(&folder))?,
            None => None,
        };
        let at = match found {
            Some(at) => at,
            None => begin(&folder, &sealer)?,
        };
        let file = open_file(&folder, at.file).map_err(file_error(&folder))?;
        let allocated = at.bytes + settings.reserve_bytes;
        (settings.allocate)(&file, allocated).map_err(file_error(&folder))?;
        let synced = watch::Sender::new(at);
        Ok(Self { settings, sealer, file, at, allocated, is_broken: false, synced })
    }

    fn run(mut self, mut queue: mpsc::Receiver<Append>) {
        while let Some(first) = queue.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = queue.try_recv()
            {
                batch.push(next);
            }
            let began = std::time::Instant::now();
            let kept = self.append(&batch);
            metrics::histogram!("locum_edge_audit_sync_seconds").record(began.elapsed().as_secs_f64());
            let label = if kept.is_ok() { "kept" } else { "refused" };
            metrics::counter!("locum_edge_audit_events_total", "outcome" => label)
                .increment(batch.len() as u64);
            for append in batch {
                // Whoever asked may be gone; the event is kept all the same.
                let _ = append.done.send(kept);
            }
        }
    }

    fn append(&mut self, batch: &[Append]) -> Result<(), AppendError> {
        if self.is_broken {
            return Err(AppendError::Failed);
        }
        self.make_room();
        let (mut bytes, mut end) = (Vec::new(), self.at.end);
        for append in batch {
            let framed = self.sealer.frame(self.at.file.log, end, &append.event);
            let (frame, next) = framed.ok_or(AppendError::Failed)?;
            bytes.extend(frame);
            end = next;
        }
        if self.at.bytes + bytes.len() as u64 > self.allocated {
            return Err(AppendError::Full);
        }
        if let Err(error) = self.file.write_all_at(&bytes, self.at.bytes) {
            tracing::error!(error = %error.kind(), "audit events cannot be written");
            // What was written of them is written over by the next ones.
            return Err(AppendError::Full);
        }
        if let Err(error) = (self.settings.sync)(&self.file) {
            tracing::error!(error = %error.kind(), "audit events cannot be synced");
            self.is_broken = true;
            return Err(AppendError::Failed);
        }
        self.at = Synced { bytes: self.at.bytes + bytes.len() as u64, end, ..self.at };
        self.synced.send_replace(self.at);
        Ok(())
    }

    /// Reserves more when a sixteenth is used up, and begins another file when this one is large. A disk that
    /// is full leaves what is reserved.
    fn make_room(&mut self) {
        let reserve = self.settings.reserve_bytes;
        if self.at.bytes >= self.settings.file_bytes {
            match self.next_file() {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(error = %error.kind(), "no space for another file of audit events")
                }
            }
        }
        let wanted = self.at.bytes + reserve;
        if wanted - self.allocated.min(wanted) >= reserve / 16 {
            match (self.settings.allocate)(&self.file, wanted) {
                Ok(()) => self.allocated = wanted,
                Err(error) => tracing::error!(
                    error = %error.kind(),
                    left = self.allocated.saturating_sub(self.at.bytes),
                    "no space to reserve for audit events"
                ),
            }
        }
        metrics::gauge!("locum_edge_audit_reserved_bytes")
            .set(self.allocated.saturating_sub(self.at.bytes) as f64);
    }

    fn next_file(&mut self) -> io::Result<()> {
        let name = FileName { log: self.at.file.log, first: self.at.end.sequence + 1 };
        let folder = &self.settings.folder;
        let next = make_file(folder, name, &self.at.end.hash, |file| {
            (self.settings.allocate)(file, self.settings.reserve_bytes)
        });
        let (file, bytes) = next.inspect_err(|_| {
            let _ = fs::remove_file(name.in_folder(folder));
        })?;
        // Gives back what was reserved behind the old one.
        self.file.set_len(self.at.bytes)?;
        self.file = file;
        self.allocated = self.settings.reserve_bytes;
        self.at = Synced { file: name, bytes, end: self.at.end };
        self.synced.send_replace(self.at);
        Ok(())
    }
}

/// The newest file of the log that is added to.
pub(super) fn current(folder: &Path) -> io::Result<Option<FileName>> {
    let log = match private_file::read_to_string(&folder.join(CURRENT)) {
        Ok(text) => u64::from_str_radix(text.trim(), 16).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let Some(log) = log else { return Ok(None) };
    Ok(files(folder)?.into_iter().rfind(|file| file.log == log))
}

/// Every file of every log, in order.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<FileName>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        files.extend(entry?.file_name().to_str().and_then(FileName::parse));
    }
    files.sort_unstable();
    Ok(files)
}

/// Where to go on, without what a crash left behind; `None`: this log was damaged and stays as it is.
fn resume(folder: &Path, name: FileName, vouched: u64) -> io::Result<Option<Synced>> {
    let path = name.in_folder(folder);
    let bytes = private_file::read(&path)?;
    let walked = frame::walk(name, &bytes, |_| {});
    let torn = bytes.len() as u64 - walked.bytes;
    let is_torn = walked.damage != Some(Damage::Head) && torn <= TORN_BYTES;
    if !is_torn || walked.end.sequence < vouched {
        tracing::error!(sequence = walked.end.sequence, "a log of audit events is damaged; another begins");
        metrics::counter!("locum_edge_audit_damaged_total").increment(1);
        return Ok(None);
    }
    if torn > 0 {
        // Nothing of it was ever answered: those who asked were not told that it is kept.
        tracing::warn!(bytes = torn, "what a crash left of audit events was cut off");
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(walked.bytes)?;
        file.sync_all()?;
    }
    Ok(Some(Synced { file: name, bytes: walked.bytes, end: walked.end }))
}

/// A log that no event is in yet.
fn begin(folder: &Path, sealer: &Sealer) -> Result<Synced, LogError> {
    let name = FileName::begin().map_err(LogError::Random)?;
    let end = FileName::origin(name.log, sealer.group());
    let file_error = |source| LogError::File { path: name.in_folder(folder), source };
    let (_, bytes) = make_file(folder, name, &end.hash, |_| Ok(())).map_err(file_error)?;
    private_file::write(&folder.join(CURRENT), format!("{:016x}", name.log).as_bytes())
        .map_err(file_error)?;
    Ok(Synced { file: name, bytes, end })
}

fn make_file(
    folder: &Path,
    name: FileName,
    before: &Hash,
    reserve: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<(File, u64)> {
    let head = name.head(before);
    private_file::write(&name.in_folder(folder), &head)?;
    let file = open_file(folder, name)?;
    reserve(&file)?;
    Ok((file, head.len() as u64))
}

fn open_file(folder: &Path, name: FileName) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(name.in_folder(folder))
}

/// The file's length stays what was written.
pub(crate) fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    Ok(fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes)?)
}
