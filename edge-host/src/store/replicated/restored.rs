//! A copy that came out of a backup becomes this host's.

use std::fs;
use std::path::Path;

use locum_replication::{Epoch, GroupId, Kept, Position, StoreId};
use tokio_util::sync::CancellationToken;

use super::applier::{Applier, Stamp};
use super::copies::Copies;
use crate::store::MasterKey;

/// Epochs that are left out: the lost network may have begun some that no backup knows of, and what a browser
/// saw in one of them must not be taken for part of a new one of the same number.
const LEFT_OUT: u64 = 1 << 20;

/// Where a copy stands, as its first page says.
pub(crate) fn position_of(first_page: &[u8]) -> Option<Position> {
    Stamp::of(first_page).map(|stamp| stamp.position)
}

/// Makes `data` the only complete copy in a group's folder that nobody uses yet. The key is there already.
pub(in crate::store) fn place(
    group: &GroupId,
    folder: &Path,
    master_key: &MasterKey,
    data: &Path,
    position: Position,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let copies = Copies::open(group.clone(), folder, master_key)?;
    let own = copies.make(position.epoch)?;
    fs::rename(data, &own)?;
    let opened = Applier::open(&own, &copies.key()?, CancellationToken::new());
    // Of no log that is still written; the connection's end leaves one file.
    opened?.0.stamp(Stamp { position, log: 0 })?;
    copies.mark_complete(position.epoch)?;
    let kept = Kept {
        store: StoreId(getrandom::u64()?),
        promised: Epoch(position.epoch.0.saturating_add(LEFT_OUT)),
        started: Epoch::ZERO,
    };
    copies.save_voter(&kept)?;
    Ok(())
}
