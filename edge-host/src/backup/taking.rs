//! Taking a whole backup of a copy, and segments of what changes afterwards.

use std::collections::BTreeSet;
use std::time::Instant;

use jiff::Timestamp;
use locum_backup::{
    GroupKey, MANIFEST_VERSION, MAX_PAGES, Manifest, Object, Opened, Repository, SealError, Segment,
    SegmentHead, SnapshotTotals, WriteError,
};
use locum_identity::RegionId;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::store::{GroupId, LocalCopy, Moment, MomentError, SqlError, count_rows, position_of};

/// Sealed chunks between the disk and the place they go to.
const CHUNKS_ON_THE_WAY: usize = 2;

/// A backup that goes on: its log takes in what changes.
pub(crate) struct Chain {
    opened: Opened,
    /// Everything up to here is in the backup.
    moment: Moment,
    /// Pages that a segment still lacks because it could not be written.
    owed: BTreeSet<u32>,
    segments: u32,
    pub(crate) began: Instant,
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
    #[error("a task was given up")]
    Ended,
}

impl From<SqlError> for TakeError {
    fn from(source: SqlError) -> Self {
        Self::Moment(MomentError::Database(source))
    }
}

/// What the reading side finds out.
struct Read {
    moment: Moment,
    manifest: Manifest,
}

/// Takes a whole backup. Nothing of it is listed before the end.
pub(crate) async fn whole(
    repository: &Repository,
    group: &GroupId,
    region: &RegionId,
    copy: LocalCopy,
) -> Result<(Chain, Taken), TakeError> {
    let began = Instant::now();
    let opened = repository.begin(group, Timestamp::now()).await.map_err(TakeError::Write)?;
    let (chunks, mut sealed) = mpsc::channel(CHUNKS_ON_THE_WAY);
    let reading = {
        let (opened, region) = (opened.clone(), region.clone());
        spawn_blocking(move || read(&copy, &opened, region, &chunks))
    };
    while let Some(object) = sealed.recv().await {
        repository.put(object).await.map_err(TakeError::Write)?;
    }
    let Read { moment, manifest } = reading.await.map_err(|_| TakeError::Ended)??;
    opened.finish(&manifest).await.map_err(TakeError::Write)?;
    let chain = Chain { opened, moment, owed: BTreeSet::new(), segments: 0, began };
    Ok((chain, Taken { manifest, seconds: began.elapsed().as_secs_f64() }))
}

fn read(
    copy: &LocalCopy,
    opened: &Opened,
    region: RegionId,
    chunks: &mpsc::Sender<Object>,
) -> Result<Read, TakeError> {
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
        region,
        position,
        page_bytes: shape.page_bytes,
        pages: next - 1,
        sha256,
        chunks,
        sealed_bytes,
        tables,
        group_key: GroupKey::new(copy.key()),
    };
    Ok(Read { moment, manifest })
}

impl Chain {
    /// Whether it is of that very file.
    pub(crate) fn is_of(&self, copy: &LocalCopy) -> bool {
        self.moment.copy().is(copy)
    }

    /// Adds what changed since the last time; gives the bytes that were written. After an error what changed
    /// is owed: say it again.
    pub(crate) async fn ship(self) -> Result<(Self, u64), (Option<Self>, TakeError)> {
        let looked = spawn_blocking(move || {
            let next = self.moment.next();
            (self, next)
        });
        let Ok((mut chain, next)) = looked.await else { return Err((None, TakeError::Ended)) };
        match next {
            Ok((moment, changed)) => {
                chain.moment = moment;
                chain.owed.extend(changed);
            }
            Err(MomentError::Gap) => return Err((None, TakeError::Moment(MomentError::Gap))),
            Err(error) => return Err((Some(chain), TakeError::Moment(error))),
        }
        if chain.owed.is_empty() {
            return Ok((chain, 0));
        }
        let taken_at = Timestamp::now();
        let numbers: Vec<u32> = chain.owed.iter().copied().collect();
        let (mut bytes, mut number) = (0, chain.segments);
        let parts = numbers.chunks(MAX_PAGES).count();
        for (part, numbers) in numbers.chunks(MAX_PAGES).enumerate() {
            let (numbers, ends) = (numbers.to_vec(), part + 1 == parts);
            let read = spawn_blocking(move || {
                let segment = chain.segment(&numbers, taken_at, ends);
                (chain, segment)
            });
            let Ok((back, segment)) = read.await else { return Err((None, TakeError::Ended)) };
            chain = back;
            let segment = match segment {
                Ok(segment) => segment,
                Err(error) => return Err((Some(chain), error)),
            };
            number += 1;
            let opened = chain.opened.clone();
            match opened.append(number, &segment).await {
                Ok(written) => bytes += written,
                Err(error) => return Err((Some(chain), TakeError::Write(error))),
            }
        }
        chain.segments = number;
        chain.owed.clear();
        Ok((chain, bytes))
    }

    fn segment(&mut self, numbers: &[u32], taken_at: Timestamp, ends: bool) -> Result<Segment, TakeError> {
        let (mut pages, mut position) = (Vec::with_capacity(numbers.len()), None);
        let shape = self.moment.shape();
        // A page that was owed may be gone with the end of the database.
        let numbers = numbers.iter().copied().filter(|number| shape.holds(*number));
        self.moment.each(numbers, |number, page| {
            if number == 1 {
                position = position_of(&page);
            }
            pages.push((number, page));
            Ok::<_, TakeError>(())
        })?;
        let head =
            SegmentHead { taken_at, position, page_bytes: shape.page_bytes, pages_after: shape.pages, ends };
        Ok(Segment { head, pages })
    }
}
