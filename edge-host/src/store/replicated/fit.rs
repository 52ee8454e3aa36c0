//! Whether functions of this release may run on a copy: what they need is there, and nothing of it was taken away.

use std::sync::atomic::{AtomicU8, Ordering};

use super::group::{OpenCopy, ReplicatedGroup};
use crate::store::migrations::{Ledger, MigrationError};
use crate::store::{Failure, SqlError};

const UNKNOWN: u8 = 0;
const FITS: u8 = 1;
const LACKS: u8 = 2;

/// What is known of a copy. Its schema grows with it, so this may change.
#[derive(Debug, Default)]
pub(super) struct Fit(AtomicU8);

impl Fit {
    pub(super) fn set(&self, fits: bool) {
        self.0.store(if fits { FITS } else { LACKS }, Ordering::Release);
    }

    /// Somebody has looked, and it does not.
    pub(super) fn is_lacking(&self) -> bool {
        self.0.load(Ordering::Acquire) == LACKS
    }

    fn is_unknown(&self) -> bool {
        self.0.load(Ordering::Acquire) == UNKNOWN
    }

    /// Somebody has looked, and it does.
    pub(super) fn is_known_to_fit(&self) -> bool {
        self.0.load(Ordering::Acquire) == FITS
    }
}

impl ReplicatedGroup {
    /// An error unless functions may run on `copy`. Blocks where nobody has looked yet.
    pub(super) fn check_fit(&self, copy: &OpenCopy) -> Result<(), SqlError> {
        if copy.fit.is_unknown() {
            // Whatever is wrong with it is said by the one that keeps the schema.
            copy.fit.set(matches!(self.read_ledger(copy).map(|ledger| self.fits(&ledger)), Ok(true)));
        }
        if copy.fit.is_lacking() { Err(SqlError::Ended(Failure::Upgrading)) } else { Ok(()) }
    }

    /// What `copy` has been through. Blocks.
    pub(super) fn read_ledger(&self, copy: &OpenCopy) -> Result<Ledger, MigrationError> {
        let mut database = copy.readers.connection().map_err(MigrationError::Ledger)?;
        database.set_deadline(None);
        let ledger = Ledger::read(&mut database)?;
        copy.readers.give_back(database);
        Ok(ledger)
    }

    fn fits(&self, ledger: &Ledger) -> bool {
        self.schema.compare(ledger).is_ok_and(|standing| standing.fits())
    }
}
