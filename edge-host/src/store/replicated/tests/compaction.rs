//! The engine's log does not grow for ever: now and then `sqld` compacts it.

use locum_replication::Epoch;

use super::*;

/// Far more than one log holds, in one epoch, with everybody following.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_compacted_strands_nobody() {
    let network = Network::new();
    let mut hosts = Vec::new();
    for region in REGIONS {
        hosts.push(network.start(region).await);
    }
    let first = first_write(&hosts, "first").await;
    let began = epoch(&hosts[first]);
    let mut wanted = vec!["first".to_owned()];
    for number in 0..30 {
        let entry = format!("{number:02}");
        let filler = entry.repeat(150_000);
        let session = hosts[first].session(Access::Write);
        for (sql, text) in
            [("INSERT INTO filler VALUES (?)", &filler), ("INSERT INTO journal VALUES (?)", &entry)]
        {
            session.execute(sql.to_owned(), vec![text.as_str().into()], Caller::Function).await.unwrap();
        }
        session.commit().await.unwrap();
        wanted.push(entry);
    }
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    for host in &hosts {
        until_entries(host, &wanted).await;
        let sql = "SELECT count(*) FROM filler WHERE text = replace(hex(zeroblob(150000)), '00',
                   printf('%02d', rowid - 1))";
        let session = host.session(Access::Read);
        let whole = session.execute(sql.to_owned(), Vec::new(), Caller::Function).await.unwrap();
        assert_eq!(whole.rows, [[Value::Integer(30)]], "{}", host.node);
        assert_eq!(epoch(host), began, "{}", host.node);
    }
    for host in hosts {
        host.die(&network).await;
    }
}

fn epoch(host: &Host) -> Epoch {
    host.store.groups[&group()].serving.borrow().copy.as_ref().unwrap().epoch
}
