//! How a question and its answer look on a stream.
//!
//! Question: one byte (0 = question, 1 = question for a tunnel), length (u32, big endian), body. Answer: one
//! byte (0 = answer, 1 = refusal as JSON), length, body. A question for a tunnel that is answered is followed
//! by the tunnel's bytes, both ways.

use std::io;

use quinn::{ReadExactError, RecvStream, SendStream};

use crate::Refusal;

const QUESTION: u8 = 0;
const TUNNEL: u8 = 1;

const ANSWER: u8 = 0;
const REFUSAL: u8 = 1;

/// What a question wants.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Kind {
    /// An answer.
    Question,
    /// A tunnel.
    Tunnel,
}

/// What could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// Longer than allowed; nothing of it was read.
    TooLarge,
    /// The stream or connection broke, or what came is no frame.
    Broken(io::Error),
}

/// The stream stays open.
pub(crate) async fn write_question(stream: &mut SendStream, kind: Kind, body: &[u8]) -> io::Result<()> {
    let kind = match kind {
        Kind::Question => QUESTION,
        Kind::Tunnel => TUNNEL,
    };
    write_frame(stream, kind, body).await
}

pub(crate) async fn read_kind(stream: &mut RecvStream) -> Result<Kind, ReadError> {
    match read_byte(stream).await? {
        QUESTION => Ok(Kind::Question),
        TUNNEL => Ok(Kind::Tunnel),
        _ => Err(no_frame("neither question nor tunnel")),
    }
}

pub(crate) async fn read_question(stream: &mut RecvStream, limit: usize) -> Result<Vec<u8>, ReadError> {
    read_body(stream, limit).await
}

/// The stream stays open.
pub(crate) async fn write_answer(
    stream: &mut SendStream,
    answer: Result<Vec<u8>, Refusal>,
) -> io::Result<()> {
    let (status, body) = match answer {
        Ok(body) => (ANSWER, body),
        Err(refusal) => (REFUSAL, serde_json::to_vec(&refusal)?),
    };
    write_frame(stream, status, &body).await
}

pub(crate) async fn read_answer(
    stream: &mut RecvStream,
    limit: usize,
) -> Result<Result<Vec<u8>, Refusal>, ReadError> {
    let status = read_byte(stream).await?;
    let body = read_body(stream, limit).await?;
    match status {
        ANSWER => Ok(Ok(body)),
        REFUSAL => serde_json::from_slice(&body).map(Err).map_err(|error| ReadError::Broken(error.into())),
        _ => Err(no_frame("neither answer nor refusal")),
    }
}

async fn write_frame(stream: &mut SendStream, first: u8, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "longer than a frame can be"))?;
    let [a, b, c, d] = length.to_be_bytes();
    stream.write_all(&[first, a, b, c, d]).await?;
    stream.write_all(body).await?;
    Ok(())
}

async fn read_byte(stream: &mut RecvStream) -> Result<u8, ReadError> {
    let mut byte = [0];
    stream.read_exact(&mut byte).await.map_err(broken)?;
    Ok(byte[0])
}

async fn read_body(stream: &mut RecvStream, limit: usize) -> Result<Vec<u8>, ReadError> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.map_err(broken)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > limit {
        return Err(ReadError::TooLarge);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(broken)?;
    Ok(body)
}

fn broken(error: ReadExactError) -> ReadError {
    ReadError::Broken(match error {
        ReadExactError::FinishedEarly(_) => io::ErrorKind::UnexpectedEof.into(),
        ReadExactError::ReadError(error) => error.into(),
    })
}

fn no_frame(what: &'static str) -> ReadError {
    ReadError::Broken(io::Error::new(io::ErrorKind::InvalidData, what))
}
