//! A request on its way to the host that writes its group, and the answer on its way back.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use locum_identity::NodeId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Question;
use super::envelope::{self, Malformed};

/// Everything of a request but its body.
#[derive(Serialize, Deserialize)]
pub(crate) struct Head {
    /// Names the request in every log, and is its key when the client sent none.
    id: Uuid,
    /// Who sent it, as the host saw it that it arrived at.
    client: SocketAddr,
    /// The node of this network that it comes from, if it is not a person's.
    #[serde(default)]
    node: Option<NodeId>,
    /// How long whoever asks goes on waiting.
    within_ms: u64,
    method: String,
    uri: String,
    headers: Headers,
}

/// A request to carry out for another host.
pub(crate) struct ReplayedRequest {
    pub(crate) id: Uuid,
    pub(crate) client: SocketAddr,
    pub(crate) node: Option<NodeId>,
    pub(crate) within: Duration,
    pub(crate) request: Request<Bytes>,
}

/// A request to be sent; it may have to be sent twice.
pub(crate) struct Replay<'a> {
    pub(crate) id: Uuid,
    pub(crate) client: SocketAddr,
    pub(crate) node: Option<&'a NodeId>,
    pub(crate) request: &'a Request<Bytes>,
}

/// What became of it.
pub(crate) enum Outcome {
    /// It was carried out, or refused by the rules that hold for every request.
    Answered(Response<Bytes>),
    /// Nothing was done: this host does not write the group. Who does, if it knows.
    NotWriter(Option<NodeId>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Answered { status: u16, headers: Headers },
    NotWriter { writer: Option<NodeId> },
}

/// Values are any bytes (RFC 9110 §5.5): each stands for the character of its number.
type Headers = Vec<(String, String)>;

impl Replay<'_> {
    /// As it is sent to another host that has `within` to answer.
    pub(crate) fn question(&self, within: Duration) -> Result<Vec<u8>, Malformed> {
        let head = Head {
            id: self.id,
            client: self.client,
            node: self.node.cloned(),
            within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            method: self.request.method().to_string(),
            uri: self.request.uri().to_string(),
            headers: write_headers(self.request.headers()),
        };
        envelope::seal(&Question::Replay(head), self.request.body())
    }
}

impl Head {
    pub(super) fn with(self, body: Bytes) -> Result<ReplayedRequest, Malformed> {
        let mut request = Request::builder().method(self.method.as_str()).uri(self.uri);
        *request.headers_mut().ok_or(Malformed)? = read_headers(self.headers)?;
        Ok(ReplayedRequest {
            id: self.id,
            client: self.client,
            node: self.node,
            within: Duration::from_millis(self.within_ms),
            request: request.body(body).map_err(|_| Malformed)?,
        })
    }
}

impl Outcome {
    pub(super) fn seal(self) -> Result<Vec<u8>, Malformed> {
        match self {
            Self::Answered(response) => {
                let headers = write_headers(response.headers());
                let head = Answer::Answered { status: response.status().as_u16(), headers };
                envelope::seal(&head, response.body())
            }
            Self::NotWriter(writer) => envelope::seal(&Answer::NotWriter { writer }, &[]),
        }
    }

    /// From what another host answered.
    pub(crate) fn open(answer: Vec<u8>) -> Result<Self, Malformed> {
        match envelope::open(&Bytes::from(answer))? {
            (Answer::Answered { status, headers }, body) => {
                let mut response = Response::new(body);
                *response.status_mut() = StatusCode::from_u16(status).map_err(|_| Malformed)?;
                *response.headers_mut() = read_headers(headers)?;
                Ok(Self::Answered(response))
            }
            (Answer::NotWriter { writer }, _) => Ok(Self::NotWriter(writer)),
        }
    }
}

fn write_headers(headers: &HeaderMap) -> Headers {
    let text = |value: &HeaderValue| value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn read_headers(headers: Headers) -> Result<HeaderMap, Malformed> {
    let mut read = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Malformed)?;
        let bytes = value.chars().map(u8::try_from).collect::<Result<Vec<_>, _>>().map_err(|_| Malformed)?;
        read.append(name, HeaderValue::from_bytes(&bytes).map_err(|_| Malformed)?);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_arrives_as_it_was() {
        let request = Request::builder()
            .method("PATCH")
            .uri("/c/demo/test?a=1&a=2")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x-latin", HeaderValue::from_bytes(b"\xe9 \xff").unwrap())
            .body(Bytes::from_static(b"\0body\xff"))
            .unwrap();
        let (id, client) = (Uuid::now_v7(), "192.0.2.1:5".parse().unwrap());
        let sealed = Replay { id, client, node: None, request: &request }
            .question(Duration::from_millis(900))
            .unwrap();
        let (question, body) = envelope::open::<Question>(&Bytes::from(sealed)).unwrap();
        let Question::Replay(head) = question else { panic!("a replay") };
        let arrived = head.with(body).unwrap();
        assert_eq!((arrived.id, arrived.client, arrived.within.as_millis()), (id, client, 900));
        assert_eq!(arrived.request.method(), request.method());
        assert_eq!(arrived.request.uri(), request.uri());
        assert_eq!(arrived.request.headers(), request.headers());
        assert_eq!(arrived.request.body(), request.body());
    }

    #[test]
    fn an_answer_arrives_as_it_was() {
        let mut response = Response::new(Bytes::from_static(b"\0\xff"));
        *response.status_mut() = StatusCode::CONFLICT;
        response.headers_mut().append("set-cookie", HeaderValue::from_static("a=1; Path=/"));
        response.headers_mut().append("set-cookie", HeaderValue::from_static("b=2"));
        let sealed = Outcome::Answered(response.clone()).seal().unwrap();
        let Outcome::Answered(arrived) = Outcome::open(sealed).unwrap() else { panic!("an answer") };
        assert_eq!(arrived.status(), response.status());
        assert_eq!(arrived.headers(), response.headers());
        assert_eq!(arrived.body(), response.body());

        let writer: NodeId = "edge-2".parse().unwrap();
        let sealed = Outcome::NotWriter(Some(writer.clone())).seal().unwrap();
        assert!(matches!(Outcome::open(sealed).unwrap(), Outcome::NotWriter(Some(named)) if named == writer));
        assert!(Outcome::open(b"something else".to_vec()).is_err());
    }
}
