//! From a backup to a database: all pages of the snapshot, then what changed until the wanted moment, without
//! what was erased since.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use locum_backup::{BackupId, Erasure, Manifest, Opened, ReadError, Repository, SnapshotCheck};
use locum_replication::Position;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::audit;
use crate::blob;
use crate::store::{Batch, GroupId, Scratch, ScratchError, SqlError, Value, count_rows, numbered};

/// Batches between the place they come from and the disk.
const ON_THE_WAY: usize = 2;

/// What became of a backup.
#[derive(Clone, Debug)]
pub(crate) struct Rebuilt {
    pub(crate) manifest: Manifest,
    /// The moment it shows.
    pub(crate) until: Timestamp,
    /// `None` where there was one copy only.
    pub(crate) position: Option<Position>,
    /// Segments of the log that were needed.
    pub(crate) segments: u32,
    /// How many lists of documents the snapshot (0) and each segment have.
    pub(crate) document_lists: BTreeMap<u32, u32>,
    /// Table → rows, at that moment.
    pub(crate) tables: BTreeMap<String, u64>,
    /// Its audit events of writing, whose chain holds; `None`: of a release that had none.
    pub(crate) audit: Option<audit::Rows>,
    /// What was erased after that moment, and is erased again.
    pub(crate) erased: u64,
}

/// A backup gives no database.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Its parts. Names the file.
    #[error(transparent)]
    Read(ReadError),
    /// There is none that reaches back so far, or none at all.
    #[error("record group `{group}`: no backup{}", if *.is_early { " is that old" } else { "" })]
    None {
        /// Of this group.
        group: GroupId,
        /// There are younger ones.
        is_early: bool,
    },
    /// The disk.
    #[error("build the database")]
    Scratch(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was built is not what was backed up.
    #[error("backup {id} is not sound: {problem}")]
    Unsound {
        /// Which.
        id: BackupId,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A document is there, and not the one that its row names.
    #[error("{name} does not open with the key in its row")]
    Document {
        /// Its file.
        name: String,
    },
    /// Documents or audit events cannot be put where they belong.
    #[error("keep what comes out of the backup")]
    Files(#[source] io::Error),
    /// The audit events cannot be looked at.
    #[error("verify the audit events")]
    Audit(#[source] audit::VerifyError),
}

impl From<ScratchError> for RebuildError {
    fn from(source: ScratchError) -> Self {
        Self::Scratch(Box::new(source))
    }
}

/// The newest backup, or the newest that is not younger than `at`. One that cannot be used is an error, not
/// passed over: an older one is another state.
pub(crate) async fn choose(
    repository: &Repository,
    group: &GroupId,
    at: Option<Timestamp>,
) -> Result<Opened, RebuildError> {
    let found = repository.backups(group).await.map_err(RebuildError::Read)?;
    let (mut is_early, mut passed) = (false, None);
    for backup in found.into_iter().rev() {
        match backup.manifest {
            Ok(manifest) if at.is_none_or(|at| manifest.taken_at <= at) => {
                return repository.open(group, &backup.id).await.map_err(RebuildError::Read);
            }
            Ok(_) => is_early = true,
            Err(ReadError::Unfinished(_)) => {}
            // Retention may have been cut off in the middle.
            Err(error @ ReadError::NoKey(_)) => passed = Some(error),
            Err(error) => return Err(RebuildError::Read(error)),
        }
    }
    Err(passed
        .filter(|_| !is_early)
        .map_or(RebuildError::None { group: group.clone(), is_early }, RebuildError::Read))
}

/// Builds the database, without what the journal says was erased since, and checks it.
pub(crate) async fn rebuild(
    opened: &Opened,
    at: Option<Timestamp>,
    journal: Vec<Erasure>,
    scratch: Arc<Scratch>,
) -> Result<Rebuilt, RebuildError> {
    let manifest = opened.manifest().await.map_err(RebuildError::Read)?;
    let last = last_segment(opened, at).await.map_err(RebuildError::Read)?;
    write(&scratch, manifest.page_bytes, |batches| snapshot(opened, &manifest, batches)).await?;
    let id = opened.id().clone();
    let unsound = move |problem| RebuildError::Unsound { id: id.clone(), problem };
    if tables(&scratch).await? != manifest.tables {
        return Err(unsound("its tables hold other numbers of rows"));
    }
    let mut rebuilt = Rebuilt {
        until: manifest.taken_at,
        position: manifest.position,
        segments: last,
        document_lists: BTreeMap::from([(0, manifest.document_lists)]),
        tables: BTreeMap::new(),
        audit: None,
        erased: 0,
        manifest,
    };
    if last > 0 {
        let bytes = rebuilt.manifest.page_bytes;
        write(&scratch, bytes, |batches| log(opened, last, &mut rebuilt, batches)).await?;
    }
    rebuilt.erased = erase(&scratch, journal).await?;
    rebuilt.tables = tables(&scratch).await?;
    let checked = spawn_blocking(move || check(&scratch)).await.map_err(|_| ScratchError::Unfinished)??;
    rebuilt.audit = checked.map_err(unsound)?;
    Ok(rebuilt)
}

async fn erase(scratch: &Arc<Scratch>, journal: Vec<Erasure>) -> Result<u64, ScratchError> {
    if journal.is_empty() {
        return Ok(0);
    }
    let scratch = Arc::clone(scratch);
    let erased = spawn_blocking(move || scratch.change(|run| blob::erase_again(run, &journal)));
    erased.await.map_err(|_| ScratchError::Unfinished)?
}

async fn tables(scratch: &Arc<Scratch>) -> Result<BTreeMap<String, u64>, ScratchError> {
    let scratch = Arc::clone(scratch);
    let counted = spawn_blocking(move || {
        let mut select = scratch.open()?;
        count_rows(|sql| Ok(select(sql, &[])?.rows)).map_err(ScratchError::Read)
    });
    counted.await.map_err(|_| ScratchError::Unfinished)?
}

/// Reads on one side and writes on the other; what was not read to its end is not written.
async fn write<'a, F>(
    scratch: &Arc<Scratch>,
    page_bytes: u32,
    give: impl FnOnce(mpsc::Sender<Batch>) -> F,
) -> Result<(), RebuildError>
where
    F: Future<Output = Result<(), ReadError>> + 'a,
{
    let (batches, mut received) = mpsc::channel(ON_THE_WAY);
    let scratch = Arc::clone(scratch);
    let writing =
        spawn_blocking(move || scratch.write(page_bytes, std::iter::from_fn(|| received.blocking_recv())));
    let given = give(batches).await;
    let written = writing.await.map_err(|_| ScratchError::Unfinished)?;
    // Why it was not read to its end says more than that it was not.
    given.map_err(RebuildError::Read)?;
    Ok(written?)
}

async fn snapshot(
    opened: &Opened,
    manifest: &Manifest,
    batches: mpsc::Sender<Batch>,
) -> Result<(), ReadError> {
    let (mut check, mut first) = (SnapshotCheck::new(manifest), 1);
    for number in 1..=manifest.chunks {
        let chunk = opened.chunk(number).await?;
        check.chunk(&chunk);
        let pages = numbered(&chunk, first, manifest.page_bytes, manifest.pages).collect();
        first += u32::try_from(chunk.len()).unwrap_or(0) / manifest.page_bytes;
        // The other side only goes when it failed; its error is told then.
        let _ = batches.send(Batch::Pages(pages)).await;
    }
    check.finish(opened)?;
    let _ = batches.send(Batch::End(manifest.pages)).await;
    Ok(())
}

async fn log(
    opened: &Opened,
    last: u32,
    rebuilt: &mut Rebuilt,
    batches: mpsc::Sender<Batch>,
) -> Result<(), ReadError> {
    let mut pages = rebuilt.manifest.pages;
    for number in 1..=last {
        let segment = opened.segment(number).await?;
        pages = segment.head.pages_after;
        rebuilt.until = segment.head.taken_at;
        rebuilt.document_lists.insert(number, segment.head.document_lists);
        rebuilt.position = segment.head.position.or(rebuilt.position);
        // What a later segment cut off is not to come back.
        let kept = segment.pages.into_iter().filter(|(number, _)| *number <= pages).collect();
        let _ = batches.send(Batch::Pages(kept)).await;
    }
    let _ = batches.send(Batch::End(pages)).await;
    Ok(())
}

/// The last segment that ends a consistent state not younger than `at`; 0: the snapshot itself.
async fn last_segment(opened: &Opened, at: Option<Timestamp>) -> Result<u32, ReadError> {
    let mut last = opened.segments().await?;
    if let Some(at) = at {
        // They are in the order of time.
        let mut least = 0;
        while least < last {
            let middle = least + (last - least).div_ceil(2);
            if opened.segment(middle).await?.head.taken_at <= at { least = middle } else { last = middle - 1 }
        }
    }
    while last > 0 && !opened.segment(last).await?.head.ends {
        last -= 1;
    }
    Ok(last)
}

impl Rebuilt {
    /// Audit events of writing whose chain holds.
    pub(crate) fn audited(&self) -> u64 {
        self.audit.as_ref().map_or(0, |rows| rows.chained)
    }
}

/// Integrity, foreign keys, the chain of audit events; gives what that chain says.
fn check(scratch: &Scratch) -> Result<Result<Option<audit::Rows>, &'static str>, ScratchError> {
    let mut select = scratch.open()?;
    let mut rows = |sql: &str| select(sql, &[]).map(|answer| answer.rows).map_err(ScratchError::Read);
    if rows("PRAGMA integrity_check")? != [[Value::Text("ok".to_owned())]] {
        return Ok(Err("its database is damaged"));
    }
    if !rows("PRAGMA foreign_key_check")?.is_empty() {
        return Ok(Err("rows refer to rows that are not there"));
    }
    let is_audited = "SELECT count(*) FROM sqlite_schema WHERE name IN ('locum_audit', 'locum_audit_chain')";
    if rows(is_audited)? != [[Value::Integer(2)]] {
        return Ok(Ok(None));
    }
    let found = audit::verify_rows::<SqlError>(&mut select, &[]).map_err(ScratchError::Read)?;
    Ok(match found.fault {
        None => Ok(Some(found)),
        Some(_) => Err("the chain of its audit events is broken"),
    })
}
