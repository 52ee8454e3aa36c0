//! A store in a folder of its own, for unit tests.

use std::path::Path;

use super::{GroupId, MasterKey, ResultLimits, SingleFileStore, StoreSettings, TransactionLimits};

/// One group, no schema of an application.
pub(crate) fn store(folder: &Path) -> (SingleFileStore, GroupId) {
    let key = folder.join("store.key");
    locum_identity::private_file::write(&key, "5a".repeat(32).as_bytes()).unwrap();
    let group = GroupId::try_from("main".to_owned()).unwrap();
    let settings = StoreSettings {
        state_dir: folder,
        master_key: &MasterKey::read(&key).unwrap(),
        migrations: &[],
        results: ResultLimits::default(),
        transactions: TransactionLimits::default(),
    };
    (SingleFileStore::open([group.clone()], &settings).unwrap(), group)
}
