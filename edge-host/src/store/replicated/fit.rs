//! Whether functions of this release may run on a copy: what they need is there, and nothing of it was taken away.

use std::sync::atomic::{AtomicU8, Ordering};

use super::group::{OpenCopy, ReplicatedGroup};
use crate::store::migrations::{Ledger, MigrationError, Standing};
use crate::store::{Failure, SqlError};

const UNKNOWN: u8 = 0;
const FITS: u8 = 1;
const LACKS: u8 = 2;
const OUTDATED: u8 = 3;

/// What is known of a copy. Its schema grows with it, so this may change.
#[derive(Debug, Default)]
pub(super) struct Fit(AtomicU8);

impl Fit {
    pub(super) fn set(&self, standing: Result<&Standing<'_>, &MigrationError>) {
        let found = match standing {
            Ok(standing) if standing.fits() => FITS,
            Err(MigrationError::Contracted { .. }) => OUTDATED,
            Ok(_) | Err(_) => LACKS,
        };
        self.0.store(found, Ordering::Release);
    }

    /// Somebody has looked, and they may not.
    pub(super) fn is_lacking(&self) -> bool {
        matches!(self.0.load(Ordering::Acquire), LACKS | OUTDATED)
    }

    /// Something was taken away that this release needs: no migration helps.
    pub(super) fn is_outdated(&self) -> bool {
        self.0.load(Ordering::Acquire) == OUTDATED
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
            match self.read_ledger(copy) {
                Ok(ledger) => copy.fit.set(self.schema.compare(&ledger).as_ref()),
                Err(error) => copy.fit.set(Err(&error)),
            }
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
}
