//! Reading a request's body: whole, bounded in size and time, and in the memory of all bodies together.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, Request};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::problem::Problem;

/// What all bodies inside the host may take together, as one permit a byte: a slow sender holds only what it
/// sent.
const ALL_BODIES_BYTES: usize = 64 << 20;

/// Most that is taken of a body that is refused, and for how long.
const SKIPPED_BYTES: usize = 8 << 20;
const SKIP_WITHIN: Duration = Duration::from_secs(2);

/// Reads bodies within the host's bounds.
pub(super) struct BodyReader {
    budget: Arc<Semaphore>,
    most_bytes: usize,
    within: Duration,
}

/// Memory of a body that is inside.
pub(super) struct Held(#[allow(dead_code, reason = "given back when dropped")] Option<OwnedSemaphorePermit>);

impl BodyReader {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            budget: Arc::new(Semaphore::new(ALL_BODIES_BYTES)),
            most_bytes: limits.body_bytes as usize,
            within: limits.read_timeout(),
        }
    }

    /// The whole request, or what is wrong with it.
    pub(super) async fn read<B>(&self, request: Request<B>) -> Result<(Request<Bytes>, Held), Problem>
    where
        B: Body<Data = Bytes>,
    {
        let (parts, body) = request.into_parts();
        let mut body = pin!(body);
        let read = if announced(&parts.headers).is_some_and(|bytes| bytes > self.most_bytes as u64) {
            Err(Problem::BODY_TOO_LARGE)
        } else {
            let read = tokio::time::timeout(self.within, self.collect(body.as_mut())).await;
            read.unwrap_or(Err(Problem::REQUEST_TIMEOUT))
        };
        // Whoever asks before sending (RFC 9110 §10.1.1) has not begun.
        if matches!(read, Err(Problem::BODY_TOO_LARGE)) && !parts.headers.contains_key(EXPECT) {
            let _ = tokio::time::timeout(SKIP_WITHIN, skip(body)).await;
        }
        let (body, held) = read?;
        Ok((Request::from_parts(parts, body), held))
    }

    /// Room for a body that is here already.
    pub(super) fn hold(&self, body: &Bytes) -> Result<Held, Problem> {
        if body.len() > self.most_bytes {
            return Err(Problem::BODY_TOO_LARGE);
        }
        self.take(body.len()).map(|taken| Held(Some(taken)))
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let bytes = u32::try_from(bytes).map_err(|_| Problem::BODY_TOO_LARGE)?;
        Arc::clone(&self.budget).try_acquire_many_owned(bytes).map_err(|_| Problem::BUSY)
    }

    async fn collect<B>(&self, mut body: Pin<&mut B>) -> Result<(Bytes, Held), Problem>
    where
        B: Body<Data = Bytes>,
    {
        let mut all = BytesMut::new();
        let mut held: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Problem::BAD_REQUEST)?.into_data() else { continue };
            if all.len() + data.len() > self.most_bytes {
                return Err(Problem::BODY_TOO_LARGE);
            }
            let more = self.take(data.len())?;
            match &mut held {
                Some(held) => held.merge(more),
                None => held = Some(more),
            }
            all.extend_from_slice(&data);
        }
        Ok((all.freeze(), Held(held)))
    }
}

/// Takes what still comes of a body that is refused. A connection that is closed on a client in the middle of
/// its sending takes the answer with it.
async fn skip<B: Body<Data = Bytes>>(mut body: Pin<&mut B>) {
    let mut left = SKIPPED_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    fn reader(budget: usize) -> BodyReader {
        let reader = BodyReader::new(&Limits { body_bytes: 10, ..Limits::default() });
        BodyReader { budget: Arc::new(Semaphore::new(budget)), ..reader }
    }

    async fn read(reader: &BodyReader, bytes: usize) -> Result<(usize, Held), Problem> {
        let request = Request::new(Full::new(Bytes::from(vec![0; bytes])));
        reader.read(request).await.map(|(request, held)| (request.body().len(), held))
    }

    #[tokio::test]
    async fn bodies_share_a_budget_and_give_it_back() {
        let reader = reader(15);
        let (length, held) = read(&reader, 10).await.unwrap();
        assert_eq!(length, 10);
        assert_eq!(read(&reader, 6).await.err(), Some(Problem::BUSY));
        assert_eq!(read(&reader, 11).await.err(), Some(Problem::BODY_TOO_LARGE));
        drop(held);
        assert!(read(&reader, 6).await.is_ok());
        let _held = reader.hold(&Bytes::from(vec![0; 10])).unwrap();
        assert_eq!(reader.hold(&Bytes::from(vec![0; 6])).err(), Some(Problem::BUSY));
        assert_eq!(reader.hold(&Bytes::from(vec![0; 11])).err(), Some(Problem::BODY_TOO_LARGE));
    }
}
