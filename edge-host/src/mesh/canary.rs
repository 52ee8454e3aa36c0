//! A member of the control plane looks whether records can be read here, and written where this host leads: the
//! way a request goes, on a row of the host's own that holds a number.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use locum_cluster::probe::{GroupCanary, MemberAnswer, MemberQuestion};
use locum_mesh::{Refusal, RefusalCode};

use crate::http::Edge;
use crate::store::{Access, Caller, GroupId, RecordStore, Value, Writer};

/// Whoever asks waits no longer than a second.
const WITHIN: Duration = Duration::from_millis(900);
const READ: &str =
    "SELECT value FROM locum_key_value WHERE store = 'locum.canary' AND clinic = '' AND key = 'n'";
/// A clinic's name is never empty, so no function can reach this row.
const WRITE: &str =
    "INSERT INTO locum_key_value (store, clinic, key, value) VALUES ('locum.canary', '', 'n', ?1)
    ON CONFLICT (store, clinic, key) DO UPDATE SET value = excluded.value";

/// Answers a member: of all groups at once, each in time or not at all.
pub(super) async fn answer(edge: &Edge, question: &[u8]) -> Result<Vec<u8>, Refusal> {
    let Ok(MemberQuestion::Canary { write }) = serde_json::from_slice(question) else {
        return Err(Refusal::new(RefusalCode::Denied, "a member may ask for a canary only"));
    };
    let busy = || Refusal::new(RefusalCode::Busy, "too many canaries are under way");
    let _place = edge.canaries.try_acquire().map_err(|_| busy())?;
    let groups = edge.store.groups().into_iter().filter(|group| edge.store.holders(group).is_empty());
    let canaries = join_all(groups.map(|group| canary(&edge.store, group, write))).await;
    serde_json::to_vec(&MemberAnswer::Canary(canaries))
        .map_err(|_| Refusal::new(RefusalCode::Internal, "the answer cannot be written"))
}

async fn canary(store: &Arc<dyn RecordStore>, group: GroupId, write: bool) -> GroupCanary {
    let asked = write && store.writer(&group) == Writer::Here;
    let written = async { if asked { Some(in_time(run(store, &group, Access::Write)).await) } else { None } };
    let (read, write) = tokio::join!(in_time(run(store, &group, Access::Read)), written);
    GroupCanary { group, read, write }
}

async fn in_time(done: impl Future<Output = Option<()>>) -> bool {
    tokio::time::timeout(WITHIN, done).await.ok().flatten().is_some()
}

async fn run(store: &Arc<dyn RecordStore>, group: &GroupId, access: Access) -> Option<()> {
    let session = store.session(group, access, Instant::now() + WITHIN).ok()?;
    let statement = |sql: &str, parameters| session.execute(sql.to_owned(), parameters, Caller::Host);
    match access {
        Access::Read => statement(READ, Vec::new()).await,
        Access::Write => statement(WRITE, vec![Value::Blob(number()?)]).await,
    }
    .ok()?;
    session.commit().await.ok()
}

/// Another one each time, so that something is written.
fn number() -> Option<Vec<u8>> {
    getrandom::u64().ok().map(|number| number.to_be_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::store;

    #[tokio::test]
    async fn a_canary_is_read_and_written_and_no_clinic_sees_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, group) = store(folder.path());
        let store: Arc<dyn RecordStore> = Arc::new(store);
        let read_only = canary(&store, group.clone(), false).await;
        assert_eq!(read_only, GroupCanary { group: group.clone(), read: true, write: None });
        for _ in 0..2 {
            let written = canary(&store, group.clone(), true).await;
            assert_eq!((written.read, written.write), (true, Some(true)));
        }
        let session = store.session(&group, Access::Read, Instant::now() + WITHIN).unwrap();
        let count = "SELECT count(*), max(length(value)) FROM locum_key_value".to_owned();
        let rows = session.execute(count, Vec::new(), Caller::Host).await.unwrap().rows;
        assert_eq!(rows, [[Value::Integer(1), Value::Integer(8)]], "one row, one number");
    }

    #[tokio::test]
    async fn a_group_that_cannot_be_opened_is_not_good() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn RecordStore> = Arc::new(store(folder.path()).0);
        let none = canary(&store, "another".parse().unwrap(), true).await;
        assert!(!none.is_good());
    }
}
