//! A store in a folder of its own, for unit tests.

use std::path::Path;

use super::sqlite::Database;
use super::{
    GroupId, MasterKey, QueryResult, ResultLimits, SingleFileStore, SqlError, StoreSettings,
    TransactionLimits, Value,
};

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
        contract_after: std::time::Duration::ZERO,
    };
    (SingleFileStore::open([group.clone()], &settings).unwrap(), group)
}

/// Whatever somebody with the keys could do to the file of that group behind the host's back.
pub(crate) fn database(folder: &Path) -> impl FnMut(&str, &[Value]) -> Result<QueryResult, SqlError> {
    let group = GroupId::try_from("main".to_owned()).unwrap();
    let records = super::group::folder_of(folder, &group);
    let master = MasterKey::read(&folder.join("store.key")).unwrap();
    let key = master.kept_key(&group, &records.join("key.json")).unwrap().unwrap();
    let mut database = Database::open_tuned(&records.join("data.db"), &key).unwrap();
    move |sql, parameters| database.host(sql, parameters)
}
