//! Old backups go, and documents that no backup needs any more.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use locum_backup::{Erasure, Keep, Kept, Needs, ReadError, WriteError, expired, unneeded};

use super::source::Source;

/// No object takes so long to be written: what is half written since then is left of a process that was killed.
const HALF_WRITTEN: Duration = Duration::from_secs(3_600);

/// Old backups or documents stay.
#[derive(Debug, thiserror::Error)]
pub(super) enum RetainError {
    #[error("look at the backups")]
    Look(#[source] ReadError),
    #[error("remove what is not needed")]
    Remove(#[source] WriteError),
}

/// Right after a backup was taken: it is the newest.
pub(super) async fn remove_expired(source: &Source, keep: Keep) -> Result<(), RetainError> {
    let (repository, group) = (&source.repository, &source.group);
    let found = repository.backups(group).await.map_err(RetainError::Look)?;
    let (mut kept, mut is_certain) = (Vec::new(), true);
    for found in found {
        match found.manifest {
            Ok(_) => kept.push(Kept { id: found.id, is_good: true }),
            Err(ReadError::Unfinished(_)) => kept.push(Kept { id: found.id, is_good: false }),
            // Without a key nothing of it is needed any more.
            Err(ReadError::NoKey(_)) => {}
            // With another key, or in a place that is in trouble: nothing to decide on.
            Err(_) => is_certain = false,
        }
    }
    let gone = expired(&kept, keep, Timestamp::now());
    for id in &gone {
        repository.remove(group, id).await.map_err(RetainError::Remove)?;
        tracing::info!(%group, backup = %id, "old backup removed");
    }
    kept.retain(|backup| !gone.contains(&backup.id));
    if is_certain {
        remove_documents(source, &kept).await?;
    }
    let left = repository.sweep(HALF_WRITTEN).await.map_err(RetainError::Remove)?;
    if left > 0 {
        tracing::info!(files = left, "what was left half written in the place of backups is removed");
    }
    Ok(())
}

async fn remove_documents(source: &Source, kept: &[Kept]) -> Result<(), RetainError> {
    let (repository, group) = (&source.repository, &source.group);
    let erased = repository.erasures(group).await.map_err(RetainError::Look)?;
    let mut needs = Needs {
        erased: erased.iter().filter_map(Erasure::content).collect(),
        is_another_on_its_way: kept.iter().any(|backup| !backup.is_good),
        ..Needs::default()
    };
    for backup in kept.iter().filter(|backup| backup.is_good) {
        let opened = repository.open(group, &backup.id).await.map_err(RetainError::Look)?;
        let needed: BTreeSet<_> = opened.needed_documents().await.map_err(RetainError::Look)?;
        needs.kept.extend(&needed);
        // They are in order.
        needs.newest = needed;
    }
    let there = repository.documents(group).await.map_err(RetainError::Look)?;
    let gone = unneeded(&there, &needs, Timestamp::now());
    for name in &gone {
        repository.remove_document(group, *name).await.map_err(RetainError::Remove)?;
    }
    if !gone.is_empty() {
        tracing::info!(%group, documents = gone.len(), "documents that no backup needs are removed");
    }
    Ok(())
}
