//! Taking the primary's frames into a copy.
//!
//! Where a copy stands is part of it: each transaction also writes its own position into the first page, so
//! one sync keeps both, and whatever state a power cut leaves, the copy knows which one that is.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use locum_replication::{Epoch, FrameNo, Position};
use tokio_util::sync::CancellationToken;

use crate::store::SqlError;
use crate::store::pages::{PageTransaction, PageWriter};
use crate::store::sqlite::DatabaseKey;

/// SQLite's file format reserves these bytes of the first page and never looks at them.
pub(super) const STAMP_AT: Range<usize> = 72..92;
/// Number, checksum (u64), page and size (u32), little endian; the page follows.
const FRAME_HEADER_BYTES: usize = 24;
/// A transaction of the primary's is over within seconds, see `TransactionLimits`; it is held in memory.
const MAX_PENDING_FRAMES: usize = 1 << 16;

/// Where a copy stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    pub(super) position: Position,
    /// Tells logs apart; from the id that `sqld` gave its log.
    pub(super) log: u32,
}

/// The copy and where it stands.
pub(super) struct Applier {
    writer: PageWriter,
    stop: CancellationToken,
}

/// Frames of transactions that have not been taken in yet.
#[derive(Default)]
pub(super) struct Pending {
    frames: Vec<Frame>,
    /// How many of them belong to transactions that have ended.
    ended: usize,
}

/// One or several commits of the primary, to be taken in as one.
pub(super) struct Applied {
    /// The frame that ends them.
    pub(super) last: Position,
    /// Number and content of each page; a later one replaces an earlier one of the same number.
    pub(super) pages: Vec<(u32, Bytes)>,
    /// Pages of the database afterwards.
    pub(super) size: u32,
}

/// One page as the primary's log has it.
struct Frame {
    number: FrameNo,
    page: u32,
    /// Pages of the database afterwards, on the frame that ends a transaction; otherwise 0.
    size: u32,
    bytes: Bytes,
}

/// What came is no log of this copy.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("not a frame")]
    Malformed,
    #[error("a frame is missing")]
    Gap,
    #[error("a transaction is too large for the log")]
    TooLarge,
}

impl Stamp {
    /// As the first page holds it; `None`: never was a copy.
    pub(super) fn of(first_page: &[u8]) -> Option<Self> {
        let stamp = first_page.get(STAMP_AT)?;
        let log = u32::from_be_bytes(*stamp.first_chunk()?);
        let epoch = u64::from_be_bytes(*stamp.get(4..)?.first_chunk()?);
        let frame = u64::from_be_bytes(*stamp.get(12..)?.first_chunk()?);
        (epoch != 0).then_some(Self { position: Position::new(Epoch(epoch), FrameNo(frame)), log })
    }

    fn write_to(self, first_page: &mut [u8]) {
        let Position { epoch, frame } = self.position;
        let parts = self.log.to_be_bytes().into_iter();
        let parts = parts.chain(epoch.0.to_be_bytes()).chain(frame.0.to_be_bytes());
        for (byte, value) in first_page.iter_mut().skip(STAMP_AT.start).zip(parts) {
            *byte = value;
        }
    }
}

impl Applier {
    /// Opens the copy and says where it stands. Blocks.
    pub(super) fn open(
        path: &Path,
        key: &DatabaseKey,
        stop: CancellationToken,
    ) -> Result<(Self, Option<Stamp>), SqlError> {
        let mut writer = PageWriter::open(path, key)?;
        let stamp = Stamp::of(&writer.first_page()?);
        Ok((Self { writer, stop }, stamp))
    }

    /// Notes where the copy stands, and nothing else. Durable when this returns. Blocks.
    pub(super) fn stamp(&mut self, stamp: Stamp) -> Result<(), SqlError> {
        self.begin()?.commit_at(stamp, None)
    }

    /// Takes in what has ended. Durable when this returns, and visible. Blocks.
    pub(super) fn apply(&mut self, log: u32, transaction: &Applied) -> Result<(), SqlError> {
        let mut pages = self.begin()?;
        pages.write(transaction.pages.iter().map(|(number, bytes)| (*number, bytes.to_vec())))?;
        pages.commit_at(Stamp { position: transaction.last, log }, Some(transaction.size))
    }

    /// Moves the copy's log into its file, as far as readers allow; how many pages the log has. Blocks.
    pub(super) fn checkpoint(&mut self) -> Result<u32, SqlError> {
        let pages = self.writer.checkpoint()?;
        metrics::gauge!("locum_edge_copy_log_pages").set(f64::from(pages));
        Ok(pages)
    }

    /// Nothing is taken in any more.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits for whoever writes to the copy: that never is more than a request.
    fn begin(&mut self) -> Result<PageTransaction<'_>, SqlError> {
        self.writer.begin(|| self.stop.is_cancelled())
    }
}

impl PageTransaction<'_> {
    /// `size`: pages of the database afterwards, unless they stay as they are.
    fn commit_at(mut self, stamp: Stamp, size: Option<u32>) -> Result<(), SqlError> {
        stamp.write_to(self.first_page()?);
        let size = size.unwrap_or(self.size());
        self.commit(size)
    }
}

impl Pending {
    /// Adds a frame. `after`: the last one that was taken in.
    pub(super) fn push(&mut self, after: FrameNo, bytes: &Bytes) -> Result<(), FrameError> {
        let frame = Frame::parse(bytes).ok_or(FrameError::Malformed)?;
        let last = self.frames.last().map_or(after, |frame| frame.number);
        if frame.number.0 != last.0 + 1 {
            return Err(FrameError::Gap);
        }
        let ends = frame.size != 0;
        self.frames.push(frame);
        if ends {
            self.ended = self.frames.len();
        }
        if self.frames.len() - self.ended > MAX_PENDING_FRAMES { Err(FrameError::TooLarge) } else { Ok(()) }
    }

    /// Everything that has ended.
    pub(super) fn take(&mut self, epoch: Epoch) -> Option<Applied> {
        let last = self.frames.get(self.ended.checked_sub(1)?)?;
        let (last, size) = (Position::new(epoch, last.number), last.size);
        let pages = self.frames.drain(..self.ended).map(|frame| (frame.page, frame.bytes)).collect();
        self.ended = 0;
        Some(Applied { last, pages, size })
    }
}

/// Frames of a compacted log as one transaction. They go back from the newest to the first after `after`; the
/// last one that comes says how large the database is after all of them.
pub(super) fn compacted(epoch: Epoch, after: FrameNo, frames: &[Bytes]) -> Result<Applied, FrameError> {
    let frames = frames.iter().map(Frame::parse).collect::<Option<Vec<_>>>().ok_or(FrameError::Malformed)?;
    let size = frames.last().map_or(0, |frame| frame.size);
    let (Some(newest), 1..) = (frames.first(), size) else { return Err(FrameError::Malformed) };
    let last = Position::new(epoch, newest.number);
    let is_in_order = frames.is_sorted_by(|newer, older| newer.number > older.number);
    if !is_in_order || frames.iter().any(|frame| frame.number <= after) {
        return Err(FrameError::Gap);
    }
    let pages = frames.into_iter().map(|frame| (frame.page, frame.bytes)).collect();
    Ok(Applied { last, pages, size })
}

impl Frame {
    fn parse(bytes: &Bytes) -> Option<Self> {
        let number = u64::from_le_bytes(*bytes.first_chunk()?);
        let page = u32::from_le_bytes(*bytes.get(16..20)?.first_chunk()?);
        let size = u32::from_le_bytes(*bytes.get(20..24)?.first_chunk()?);
        Some(Self { number: FrameNo(number), page, size, bytes: bytes.slice(FRAME_HEADER_BYTES..) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u64, page: u32, size: u32) -> Bytes {
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.extend([0; 8]);
        bytes.extend(page.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend([7; 4_096]);
        bytes.into()
    }

    #[test]
    fn only_whole_transactions_are_taken_in() {
        let mut pending = Pending::default();
        for (number, page, size) in [(5, 2, 0), (6, 3, 9), (7, 1, 10), (8, 2, 0)] {
            pending.push(FrameNo(4), &frame(number, page, size)).unwrap();
        }
        let taken = pending.take(Epoch(3)).unwrap();
        assert_eq!(taken.last, Position::new(Epoch(3), FrameNo(7)));
        assert_eq!(taken.pages.iter().map(|page| page.0).collect::<Vec<_>>(), [2, 3, 1]);
        assert_eq!(taken.size, 10);
        assert!(pending.take(Epoch(3)).is_none());
        pending.push(FrameNo(7), &frame(9, 1, 10)).unwrap();
        assert_eq!(pending.take(Epoch(3)).unwrap().pages.len(), 2);
    }

    #[test]
    fn a_compacted_log_is_one_transaction() {
        let frames = [frame(9, 2, 0), frame(7, 1, 0), frame(6, 3, 12)];
        let taken = compacted(Epoch(3), FrameNo(4), &frames).unwrap();
        assert_eq!(taken.last, Position::new(Epoch(3), FrameNo(9)));
        assert_eq!((taken.pages.len(), taken.size), (3, 12));
        assert_eq!(compacted(Epoch(3), FrameNo(6), &frames).err(), Some(FrameError::Gap));
        assert_eq!(compacted(Epoch(3), FrameNo(4), &frames[..2]).err(), Some(FrameError::Malformed));
        let [newest, older, oldest] = frames;
        assert_eq!(compacted(Epoch(3), FrameNo(4), &[older, newest, oldest]).err(), Some(FrameError::Gap));
        assert_eq!(compacted(Epoch(3), FrameNo(4), &[]).err(), Some(FrameError::Malformed));
    }

    #[test]
    fn a_log_with_a_hole_is_refused() {
        let mut pending = Pending::default();
        assert_eq!(pending.push(FrameNo(4), &frame(6, 1, 1)), Err(FrameError::Gap));
        assert_eq!(pending.push(FrameNo(4), &Bytes::from_static(b"short")), Err(FrameError::Malformed));
    }
}
