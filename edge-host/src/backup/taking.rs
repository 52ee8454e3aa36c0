//! Taking a whole backup of a copy, and segments of what changes afterwards.

use std::collections::BTreeSet;
use std::io;
use std::time::Instant;

use jiff::Timestamp;
use locum_backup::{
    ArchiveError, BackupId, GroupKey, MANIFEST_VERSION, MAX_PAGES, Manifest, Object, Opened, ReadError,
    SealError, Segment, SegmentHead, SnapshotTotals, WriteError,
};
use locum_identity::RegionId;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::documents::Sent;
use super::source::Source;
use crate::store::{LocalCopy, Moment, MomentError, SqlError, count_rows, position_of};

/// Sealed chunks between the disk and the place they go to.
const CHUNKS_ON_THE_WAY: usize = 2;

/// A backup that goes on: its log takes in what changes.
pub(crate) struct Chain {
    opened: Opened,
    copy: LocalCopy,
    /// Everything up to here is in the backup.
    moment: Held,
    /// Pages that a segment still lacks because it could not be written.
    owed: BTreeSet<u32>,
    segments: u32,
    documents: Sent,
    /// The last entry of the erasure journal that is in the place.
    erasures: i64,
    pub(crate) began: Instant,
}

/// A moment, while no thread works on it.
pub(super) struct Held(Option<Moment>);

/// Where a backup is taken, and where its group may be.
pub(crate) struct Regions {
    pub(crate) own: RegionId,
    /// Those that may hold the group; empty where nobody says.
    pub(crate) allowed: Vec<RegionId>,
}

/// What a backup came to.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) manifest: Manifest,
    pub(crate) seconds: f64,
}

/// No backup was taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    #[error("look at the copy")]
    Moment(#[source] MomentError),
    #[error("seal its pages")]
    Seal(#[source] SealError),
    #[error("write it")]
    Write(#[source] WriteError),
    #[error("look at what is there already")]
    Read(#[source] ReadError),
    #[error("use the archive")]
    Archive(#[source] ArchiveError),
    #[error("read a document")]
    Document(#[source] io::Error),
    #[error("note that it was begun")]
    Note(#[source] io::Error),
    #[error("a task was given up")]
    Ended,
}

impl From<SqlError> for TakeError {
    fn from(source: SqlError) -> Self {
        Self::Moment(MomentError::Database(source))
    }
}

impl Held {
    pub(super) fn new(moment: Moment) -> Self {
        Self(Some(moment))
    }

    /// Works on it on a thread for what blocks.
    pub(super) async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Moment) -> Result<T, TakeError> + Send + 'static,
    ) -> Result<T, TakeError> {
        let mut moment = self.0.take().ok_or(TakeError::Ended)?;
        let worked = spawn_blocking(move || {
            let done = work(&mut moment);
            (moment, done)
        });
        let (moment, done) = worked.await.map_err(|_| TakeError::Ended)?;
        self.0 = Some(moment);
        done
    }
}

/// Takes a whole backup under a name of its own. Nothing of it is listed before the end.
pub(crate) async fn whole(
    source: &Source,
    id: BackupId,
    regions: Regions,
    copy: LocalCopy,
) -> Result<(Chain, Taken), TakeError> {
    let began = Instant::now();
    // Documents and journal first: no page in the place ever speaks of what is not there. Most of them go while
    // no snapshot is kept.
    let mut documents = source.begin().await?;
    let mut early = source.moment(&copy).await?;
    let erasures = source.send_erasures(&mut early, 0).await?;
    source.send_documents(&mut early, &mut documents).await?;
    drop(early);
    let opened = source.repository.begin(&source.group, id).await.map_err(TakeError::Write)?;
    let (chunks, mut sealed) = mpsc::channel(CHUNKS_ON_THE_WAY);
    let reading = {
        let (opened, copy) = (opened.clone(), copy.clone());
        spawn_blocking(move || read(&copy, &opened, regions, &chunks))
    };
    while let Some(object) = sealed.recv().await {
        source.repository.put(object).await.map_err(TakeError::Write)?;
    }
    let (moment, mut manifest) = reading.await.map_err(|_| TakeError::Ended)??;
    let mut moment = Held::new(moment);
    source.send_documents(&mut moment, &mut documents).await?;
    let names = documents.unlisted();
    manifest.document_lists = opened.list_documents(0, names).await.map_err(TakeError::Write)?;
    manifest.documents_missing = documents.missing();
    opened.finish(&manifest).await.map_err(TakeError::Write)?;
    documents.are_listed();
    let chain =
        Chain { opened, copy, moment, owed: BTreeSet::new(), segments: 0, documents, erasures, began };
    Ok((chain, Taken { manifest, seconds: began.elapsed().as_secs_f64() }))
}

fn read(
    copy: &LocalCopy,
    opened: &Opened,
    regions: Regions,
    chunks: &mpsc::Sender<Object>,
) -> Result<(Moment, Manifest), TakeError> {
    let mut moment = copy.moment().map_err(TakeError::Moment)?;
    // After the snapshot: nothing later is in it.
    let taken_at = Timestamp::now();
    let (shape, mut snapshot) = (moment.shape(), opened.snapshot());
    let hand_on = |object: Option<Object>| match object {
        // The other side only goes when it gave up; its error is the one that is told.
        Some(object) => chunks.blocking_send(object).map_err(|_| TakeError::Ended),
        None => Ok(()),
    };
    let (mut position, mut next) = (None, 1);
    moment.each(shape.numbers(), |number, page| {
        if number == 1 {
            position = position_of(&page);
        }
        // The page that SQLite locks holds nothing and keeps its place.
        while next < number {
            hand_on(snapshot.page(&vec![0; page.len()]).map_err(TakeError::Seal)?)?;
            next += 1;
        }
        next += 1;
        hand_on(snapshot.page(&page).map_err(TakeError::Seal)?)
    })?;
    let (last, totals) = snapshot.finish().map_err(TakeError::Seal)?;
    hand_on(last)?;
    let SnapshotTotals { chunks, sealed_bytes, sha256 } = totals;
    let tables = count_rows(|sql| moment.select(sql))?;
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        group: opened.group().clone(),
        id: opened.id().clone(),
        taken_at,
        region: regions.own,
        regions: regions.allowed,
        position,
        page_bytes: shape.page_bytes,
        pages: next - 1,
        sha256,
        chunks,
        sealed_bytes,
        tables,
        group_key: GroupKey::new(copy.key()),
        document_lists: 0,
        documents_missing: 0,
    };
    Ok((moment, manifest))
}

impl Chain {
    /// Whether it is of that very file.
    pub(crate) fn is_of(&self, copy: &LocalCopy) -> bool {
        self.copy.is(copy)
    }

    /// Whether it cannot go on: only a whole backup will do.
    pub(crate) fn is_over(&self) -> bool {
        self.moment.0.is_none()
    }

    /// Documents that rows name and nobody has.
    pub(crate) fn missing(&self) -> u64 {
        self.documents.missing()
    }

    /// Adds what changed since the last time; gives the bytes of pages that were written. After an error what
    /// changed is owed: say it again.
    pub(crate) async fn ship(&mut self, source: &Source) -> Result<u64, TakeError> {
        self.look().await?;
        self.erasures = source.send_erasures(&mut self.moment, self.erasures).await?;
        source.send_documents(&mut self.moment, &mut self.documents).await?;
        if self.owed.is_empty() && self.documents.unlisted().is_empty() {
            return Ok(0);
        }
        let taken_at = Timestamp::now();
        let numbers: Vec<u32> = self.owed.iter().copied().collect();
        // A document that was missing and came back changes no page.
        let parts: Vec<&[u32]> =
            if numbers.is_empty() { vec![&[]] } else { numbers.chunks(MAX_PAGES).collect() };
        let last = self.segments + u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let listed = self.opened.list_documents(last, self.documents.unlisted()).await;
        let listed = listed.map_err(TakeError::Write)?;
        let (mut bytes, mut number) = (0, self.segments);
        for numbers in &parts {
            number += 1;
            let (numbers, ends) = (numbers.to_vec(), number == last);
            let segment = self.moment.with(move |moment| segment(moment, &numbers, taken_at, ends)).await?;
            let head = SegmentHead { document_lists: if ends { listed } else { 0 }, ..segment.head };
            let segment = Segment { head, ..segment };
            bytes += self.opened.append(number, &segment).await.map_err(TakeError::Write)?;
        }
        self.segments = number;
        self.owed.clear();
        self.documents.are_listed();
        Ok(bytes)
    }

    /// Goes on to the present moment.
    async fn look(&mut self) -> Result<(), TakeError> {
        let (next, changed) =
            self.moment.with(|moment| moment.next().map_err(TakeError::Moment)).await.inspect_err(
                |error| {
                    if matches!(error, TakeError::Moment(MomentError::Gap)) {
                        self.moment.0 = None;
                    }
                },
            )?;
        self.moment = Held::new(next);
        self.owed.extend(changed);
        Ok(())
    }
}

fn segment(
    moment: &mut Moment,
    numbers: &[u32],
    taken_at: Timestamp,
    ends: bool,
) -> Result<Segment, TakeError> {
    let (mut pages, mut position) = (Vec::with_capacity(numbers.len()), None);
    let shape = moment.shape();
    // A page that was owed may be gone with the end of the database.
    let numbers = numbers.iter().copied().filter(|number| shape.holds(*number));
    moment.each(numbers, |number, page| {
        if number == 1 {
            position = position_of(&page);
        }
        pages.push((number, page));
        Ok::<_, TakeError>(())
    })?;
    let (page_bytes, pages_after) = (shape.page_bytes, shape.pages);
    let head = SegmentHead { taken_at, position, page_bytes, pages_after, ends, document_lists: 0 };
    Ok(Segment { head, pages })
}
