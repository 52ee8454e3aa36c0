//! `Idempotency-Key`: a request sent again has no second effect and gets the first answer again.
//!
//! The answer is a row of the same transaction as the effect, so there is never one without the other. The
//! key belongs to a clinic; the row also holds a hash of method, target, body and who asks, so that nobody
//! reads another's answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use crate::clock::unix_ms;
use crate::http::SEEN_COOKIES;
use crate::store::{Access, Caller, GroupId, RecordStore, Session, SqlError, Value};

/// The header's name.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Marks an answer that was given before.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const LIFETIME_MS: i64 = 24 * 60 * 60 * 1_000;
const MAX_KEY_BYTES: usize = 255;
/// How the names of cookies begin that carry a session.
const SESSION_COOKIES: &str = "locum_";
/// Rows that one purge transaction removes, so that it never holds the writer for long.
const PURGE_ROWS: i64 = 500;
const PURGE_DEADLINE: Duration = Duration::from_secs(10);

/// A client's key, inside its clinic.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Key {
    clinic: String,
    key: String,
}

/// What makes two requests the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Fingerprint([u8; 32]);

/// What is known about a key.
pub(crate) enum Known {
    /// Nothing yet: run the request.
    New,
    /// This request was answered before.
    Answered(Response<Bytes>),
    /// Another request used the key.
    Reused,
}

/// Requests with a key that are running now, so that a duplicate waits for the first.
#[derive(Default)]
pub(crate) struct InFlight(Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>);

/// Holds a key while its request runs.
pub(crate) struct Turn<'a> {
    in_flight: &'a InFlight,
    key: Key,
    guard: Option<OwnedMutexGuard<()>>,
}

/// Not a key.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct InvalidKey;

impl Key {
    /// The request's key, if it has one.
    pub(crate) fn read(headers: &HeaderMap, clinic: &str) -> Result<Option<Self>, InvalidKey> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let key = value.to_str().map_err(|_| InvalidKey)?;
        let printable = key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if values.next().is_some() || key.is_empty() || key.len() > MAX_KEY_BYTES || !printable {
            return Err(InvalidKey);
        }
        Ok(Some(Self { clinic: clinic.to_owned(), key: key.to_owned() }))
    }

    /// Of a request whose client sent none, so that the host it arrived at may ask for it twice. It is not
    /// printable: no client can send it.
    pub(crate) fn of_request(clinic: &str, id: Uuid) -> Self {
        Self { clinic: clinic.to_owned(), key: format!("\u{1}{id}") }
    }
}

impl Fingerprint {
    /// Of a request whose body is here.
    pub(crate) fn of(request: &Request<Bytes>) -> Self {
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(request.method().as_str().as_bytes());
        part(target.as_bytes());
        part(request.body());
        for value in request.headers().get_all(AUTHORIZATION) {
            part(value.as_bytes());
        }
        for cookie in session_cookies(request.headers()) {
            part(cookie.as_bytes());
        }
        Self(hash.finalize().into())
    }
}

impl InFlight {
    /// Waits until no other request with this key runs. The caller bounds the wait.
    pub(crate) async fn turn(&self, key: Key) -> Turn<'_> {
        let lock = {
            let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(running.entry(key.clone()).or_default())
        };
        let mut turn = Turn { in_flight: self, key, guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut running = self.in_flight.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's own reference is the last one: nobody waits.
        if running.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            running.remove(&self.key);
        }
    }
}

/// What the group knows about the key.
pub(crate) async fn look_up(
    session: &dyn Session,
    key: &Key,
    request: Fingerprint,
) -> Result<Known, SqlError> {
    let sql = "SELECT request, status, headers, body FROM locum_idempotency
               WHERE clinic = ? AND key = ? AND created_at_ms > ?";
    let parameters =
        vec![key.clinic.as_str().into(), key.key.as_str().into(), (unix_ms() - LIFETIME_MS).into()];
    let rows = session.execute(sql.to_owned(), parameters, Caller::Host).await?.rows;
    let Some(row) = rows.into_iter().next() else { return Ok(Known::New) };
    let Ok([Value::Blob(known), Value::Integer(status), Value::Blob(headers), Value::Blob(body)]) =
        <[Value; 4]>::try_from(row)
    else {
        return Err(SqlError::Misuse("a stored answer is malformed".to_owned()));
    };
    if known != request.0 {
        return Ok(Known::Reused);
    }
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() =
        u16::try_from(status).ok().and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or_default();
    *response.headers_mut() = parse_headers(&headers);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(Known::Answered(response))
}

/// Adds the answer to the session's transaction; the caller commits. False when the key was answered
/// meanwhile: its first request lost its client during the commit, and this one began before that commit was
/// seen.
pub(crate) async fn record(
    session: &dyn Session,
    key: &Key,
    request: Fingerprint,
    answer: &Response<Bytes>,
) -> Result<bool, SqlError> {
    let sql = "INSERT INTO locum_idempotency
               (clinic, key, request, status, headers, body, created_at_ms)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT (clinic, key) DO UPDATE SET request = excluded.request, status = excluded.status,
                   headers = excluded.headers, body = excluded.body, created_at_ms = excluded.created_at_ms
               WHERE created_at_ms <= ?8 RETURNING 1";
    let now = unix_ms();
    let parameters = vec![
        key.clinic.as_str().into(),
        key.key.as_str().into(),
        Value::Blob(request.0.to_vec()),
        i64::from(answer.status().as_u16()).into(),
        Value::Blob(write_headers(answer.headers())),
        Value::Blob(answer.body().to_vec()),
        now.into(),
        (now - LIFETIME_MS).into(),
    ];
    let recorded = session.execute(sql.to_owned(), parameters, Caller::Host).await?;
    Ok(!recorded.rows.is_empty())
}

/// Removes what is older than a day, in small transactions.
pub(crate) async fn purge(store: &dyn RecordStore, group: &GroupId) -> Result<(), crate::store::StoreError> {
    let sql = "DELETE FROM locum_idempotency WHERE (clinic, key) IN (
                   SELECT clinic, key FROM locum_idempotency WHERE created_at_ms <= ? LIMIT ?
               ) RETURNING 1";
    loop {
        let session = store.session(group, Access::Write, Instant::now() + PURGE_DEADLINE)?;
        let parameters = vec![(unix_ms() - LIFETIME_MS).into(), PURGE_ROWS.into()];
        let purged = session.execute(sql.to_owned(), parameters, Caller::Host).await;
        let purged = purged.map_err(crate::store::StoreError::Commit)?.rows.len();
        session.commit().await?;
        if (purged as i64) < PURGE_ROWS {
            return Ok(());
        }
    }
}

/// The cookies that say who asks, without what changes while they say so: behind the first dot of a session's
/// value stands its time of last use, which is renewed now and then, also between a request and its retry.
fn session_cookies(headers: &HeaderMap) -> Vec<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let cookies = lines.flat_map(|line| line.split(';')).map(str::trim);
    // What a browser has seen says nothing of who it is, and grows with every answer.
    let ours =
        cookies.filter(|cookie| cookie.starts_with(SESSION_COOKIES) && !cookie.starts_with(SEEN_COOKIES));
    let mut stable: Vec<&str> =
        ours.map(|cookie| cookie.split_once('.').map_or(cookie, |(head, _)| head)).collect();
    stable.sort_unstable();
    stable
}

/// As on the wire: a header's value cannot hold a line break.
fn write_headers(headers: &HeaderMap) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.push(b':');
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

fn parse_headers(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            headers.append(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, cookie: &str, body: &str) -> Fingerprint {
        let request = Request::builder().method(method).uri(path).header(COOKIE, cookie);
        Fingerprint::of(&request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap())
    }

    #[test]
    fn anything_that_matters_changes_the_fingerprint() {
        let one = request("POST", "/a?b", "locum_session=1", "x");
        for same in [
            "locum_session=1",
            "other=2; locum_session=1",
            "locum_session=1.time.mac",
            "locum_session=1; locum_seen_main=3.14.mac",
        ] {
            assert_eq!(one, request("POST", "/a?b", same, "x"), "{same}");
        }
        for other in [
            request("PUT", "/a?b", "locum_session=1", "x"),
            request("POST", "/a?c", "locum_session=1", "x"),
            request("POST", "/a?b", "locum_session=2", "x"),
            request("POST", "/a?b", "locum_visit=1", "x"),
            request("POST", "/a?b", "", "x"),
            request("POST", "/a?b", "locum_session=1", "y"),
            request("POST", "/a?bx", "locum_session=1", ""),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn headers_survive_storage() {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", HeaderValue::from_static("a=1; Path=/"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        headers.append("etag", HeaderValue::from_bytes(b"\"\xe9:1\"").unwrap());
        headers.append("empty", HeaderValue::from_static(""));
        assert_eq!(parse_headers(&write_headers(&headers)), headers);
    }

    #[test]
    fn keys_are_printable_and_single() {
        let read = |values: &[&'static [u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, HeaderValue::from_bytes(value).unwrap());
            }
            Key::read(&headers, "demo").map(|key| key.map(|key| key.key))
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"k-1"]), Ok(Some("k-1".to_owned())));
        assert_eq!(read(&[b""]), Err(InvalidKey));
        assert_eq!(read(&[b"a", b"b"]), Err(InvalidKey));
        assert_eq!(read(&[b"\xe9"]), Err(InvalidKey));
    }

    fn key() -> Key {
        Key { clinic: "demo".to_owned(), key: "k".to_owned() }
    }

    /// A retry that began before the first commit was seen must not have its effect as well.
    #[tokio::test]
    async fn a_second_answer_to_a_key_is_never_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let (store, group) = crate::store::testing::store(folder.path());
        let fingerprint = request("POST", "/a", "", "x");
        let record_answer = async |text: &'static str| {
            let deadline = Instant::now() + Duration::from_secs(5);
            let session = store.session(&group, Access::Write, deadline).unwrap();
            let answer = Response::new(Bytes::from_static(text.as_bytes()));
            let recorded = record(session.as_ref(), &key(), fingerprint, &answer).await.unwrap();
            session.commit().await.unwrap();
            recorded
        };
        assert!(record_answer("first").await);
        assert!(!record_answer("second").await);
        let deadline = Instant::now() + Duration::from_secs(5);
        let session = store.session(&group, Access::Read, deadline).unwrap();
        match look_up(session.as_ref(), &key(), fingerprint).await.unwrap() {
            Known::Answered(answer) => assert_eq!(answer.body(), "first"),
            _ => panic!("the key is known"),
        }
    }

    #[tokio::test]
    async fn what_is_older_than_a_day_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (store, group) = crate::store::testing::store(folder.path());
        let open = |access| store.session(&group, access, Instant::now() + Duration::from_secs(5)).unwrap();
        let fingerprint = request("POST", "/a", "", "x");
        let session = open(Access::Write);
        assert!(record(session.as_ref(), &key(), fingerprint, &Response::default()).await.unwrap());
        let age = "UPDATE locum_idempotency SET created_at_ms = created_at_ms - ?";
        session.execute(age.to_owned(), vec![LIFETIME_MS.into()], Caller::Host).await.unwrap();
        session.commit().await.unwrap();

        let known = look_up(open(Access::Read).as_ref(), &key(), fingerprint).await.unwrap();
        assert!(matches!(known, Known::New));
        let session = open(Access::Write);
        let again = record(session.as_ref(), &key(), fingerprint, &Response::default()).await.unwrap();
        assert!(again, "an expired key can be used again");
        session.rollback().await;
        purge(&store, &group).await.unwrap();
        let count = "SELECT count(*) FROM locum_idempotency".to_owned();
        let left = open(Access::Read).execute(count, Vec::new(), Caller::Host).await.unwrap();
        assert_eq!(left.rows, vec![vec![Value::Integer(0)]]);
    }

    #[tokio::test]
    async fn duplicates_wait_and_the_map_empties() {
        let in_flight = InFlight::default();
        let key = key();
        let first = in_flight.turn(key.clone()).await;
        let second = in_flight.turn(key.clone());
        tokio::pin!(second);
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        drop(first);
        drop(second.await);
        assert!(in_flight.0.lock().unwrap().is_empty());
    }
}
