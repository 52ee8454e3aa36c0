//! Which backups and documents go. Decides only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::{BackupId, DocumentName, KeptDocument};

/// A backup that was begun and not finished may still be on its way for so long.
const UNFINISHED: Duration = Duration::from_secs(24 * 3_600);

/// How long backups are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Keep {
    /// Every point in time that is younger can be restored.
    pub age: Duration,
    /// So many are kept whatever their age.
    pub count: usize,
}

/// A backup in the repository.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// Its name.
    pub id: BackupId,
    /// It has a manifest that opens, and its key.
    pub is_good: bool,
}

/// The backups that go, oldest first. A good one goes once the next good one is older than `keep.age`: until
/// then it is the only way back to some moment within that age. The newest good one therefore never goes.
pub fn expired(kept: &[Kept], keep: Keep, now: Timestamp) -> Vec<BackupId> {
    let mut sorted: Vec<&Kept> = kept.iter().collect();
    sorted.sort_by(|a, b| a.id.cmp(&b.id));
    let good: Vec<&BackupId> = sorted.iter().filter(|kept| kept.is_good).map(|kept| &kept.id).collect();
    let is_older = |id: &BackupId, age: Duration| is_older(id.began_at(), age, now);
    let goes = |kept: &&Kept| {
        if !kept.is_good {
            // Newer than every good one: there is nothing else to go back to, and somebody may want to look.
            return is_older(&kept.id, UNFINISHED) && good.last().is_some_and(|newest| **newest > kept.id);
        }
        let Some(place) = good.iter().position(|id| **id == kept.id) else { return false };
        let newer = good.len() - place - 1;
        newer >= keep.count.max(1) && good.get(place + 1).is_some_and(|next| is_older(next, keep.age))
    };
    sorted.into_iter().filter(goes).map(|kept| kept.id.clone()).collect()
}

/// What is known of the documents of a group, once a backup has been finished.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// By some backup that is kept.
    pub kept: BTreeSet<DocumentName>,
    /// By the newest one.
    pub newest: BTreeSet<DocumentName>,
    /// Went with an erasure: no restore brings their rows back.
    pub erased: BTreeSet<DocumentName>,
    /// A backup was begun that is not finished: what it needs is written nowhere yet.
    pub is_another_on_its_way: bool,
}

/// The documents that go.
pub fn unneeded(
    there: &BTreeMap<DocumentName, KeptDocument>,
    needs: &Needs,
    now: Timestamp,
) -> Vec<DocumentName> {
    let is_old = |document: &KeptDocument| is_older(document.at, UNFINISHED, now);
    let goes = |name: &DocumentName, document: &KeptDocument| {
        // Of a history that was lost, a document may have been erased and be there all the same.
        let is_erased = needs.erased.contains(name) && !needs.newest.contains(name);
        let is_left = !needs.kept.contains(name) && is_old(document) && !needs.is_another_on_its_way;
        is_erased || is_left
    };
    there.iter().filter(|(name, document)| goes(name, document)).map(|(name, _)| *name).collect()
}

fn is_older(at: Timestamp, age: Duration, now: Timestamp) -> bool {
    now.duration_since(at) > jiff::SignedDuration::try_from(age).unwrap_or(jiff::SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    fn at(day: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(24 * day)
    }

    fn backup(day: i64, is_good: bool) -> Kept {
        Kept { id: BackupId::new(at(day), 0), is_good }
    }

    fn days(expired: &[BackupId]) -> Vec<i64> {
        expired.iter().map(|id| id.began_at().as_second() / 86_400).collect()
    }

    fn keep(days: u32, count: usize) -> Keep {
        Keep { age: days * DAY, count }
    }

    #[test]
    fn what_still_reaches_into_the_age_is_kept() {
        let kept: Vec<_> = (0..=40).map(|day| backup(day, true)).collect();
        // Day 5 is 35 days old, and day 4's log ends where day 5's backup begins.
        assert_eq!(days(&expired(&kept, keep(35, 1), at(40))), [0, 1, 2, 3]);
        assert_eq!(days(&expired(&kept, keep(35, 39), at(40))), [0, 1]);
    }

    #[test]
    fn the_last_good_one_never_goes() {
        let kept = [backup(0, true), backup(1, true), backup(2, false), backup(3, false)];
        assert_eq!(days(&expired(&kept, keep(1, 1), at(1_000))), [0]);
        assert_eq!(days(&expired(&kept, keep(1, 0), at(1_000))), [0]);
        assert!(expired(&[backup(0, false)], keep(1, 1), at(1_000)).is_empty());
    }

    #[test]
    fn what_was_never_finished_goes_once_there_is_something_newer() {
        let kept = [backup(8, false), backup(9, true), backup(10, false)];
        assert_eq!(days(&expired(&kept, keep(35, 1), at(10))), [8]);
        assert!(expired(&kept, keep(35, 1), at(9)).is_empty(), "it may still be on its way");
    }

    #[test]
    fn a_document_goes_once_nothing_needs_it_and_nothing_might() {
        let names = [1, 2, 3, 4, 5].map(|byte| DocumentName::from([byte; 32]));
        let [kept, left, young, erased, back] = names;
        let of = |at: i64| KeptDocument { bytes: 1, at: self::at(at) };
        let there =
            BTreeMap::from([(kept, of(0)), (left, of(0)), (young, of(9)), (erased, of(9)), (back, of(0))]);
        let mut needs = Needs {
            kept: BTreeSet::from([kept, erased, back]),
            newest: BTreeSet::from([kept, back]),
            erased: BTreeSet::from([erased, back]),
            is_another_on_its_way: false,
        };
        assert_eq!(unneeded(&there, &needs, at(10)), [left, erased]);
        assert_eq!(unneeded(&there, &needs, at(11)), [left, young, erased]);
        needs.is_another_on_its_way = true;
        assert_eq!(unneeded(&there, &needs, at(11)), [erased]);
    }
}
