//! `openraft`'s own tests of a log and a state machine, run on ours.

use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::log_store::LogStore;
use super::machine::Machine;
use super::{LogFile, SnapshotFile, StorageError, Types};

struct InAFolder;

impl StoreBuilder<Types, LogStore, Machine, TempDir> for InAFolder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        LogFile::create(dir.path()).unwrap();
        let log = LogStore::new(LogFile::open(dir.path()).unwrap(), None);
        let machine = Machine::new(SnapshotFile::open(dir.path()).unwrap());
        Ok((dir, log, machine))
    }
}

#[test]
fn log_and_state_machine_are_as_raft_needs_them() {
    Suite::test_all(InAFolder).unwrap();
}
