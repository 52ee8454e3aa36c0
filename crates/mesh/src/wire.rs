//! How a question and its answer look on a stream.
//!
//! Question: length (u32, big endian), body. Answer: one byte (0 = answer, 1 = refusal as JSON), length,
//! body.

use std::io;

use quinn::{ReadExactError, RecvStream, SendStream};

use crate::Refusal;

const ANSWER: u8 = 0;
const REFUSAL: u8 = 1;

/// What could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// Longer than allowed; nothing of it was read.
    TooLarge,
    /// The stream or connection broke, or what came is no frame.
    Broken(io::Error),
}

pub(crate) async fn write_question(stream: &mut SendStream, body: &[u8]) -> io::Result<()> {
    write_body(stream, body).await
}

pub(crate) async fn read_question(stream: &mut RecvStream, limit: usize) -> Result<Vec<u8>, ReadError> {
    read_body(stream, limit).await
}

pub(crate) async fn write_answer(
    stream: &mut SendStream,
    answer: Result<Vec<u8>, Refusal>,
) -> io::Result<()> {
    let (status, body) = match answer {
        Ok(body) => (ANSWER, body),
        Err(refusal) => (REFUSAL, serde_json::to_vec(&refusal)?),
    };
    stream.write_all(&[status]).await?;
    write_body(stream, &body).await
}

pub(crate) async fn read_answer(
    stream: &mut RecvStream,
    limit: usize,
) -> Result<Result<Vec<u8>, Refusal>, ReadError> {
    let mut status = [0];
    stream.read_exact(&mut status).await.map_err(broken)?;
    let body = read_body(stream, limit).await?;
    match status {
        [ANSWER] => Ok(Ok(body)),
        [REFUSAL] => serde_json::from_slice(&body).map(Err).map_err(|error| ReadError::Broken(error.into())),
        _ => Err(ReadError::Broken(io::Error::new(io::ErrorKind::InvalidData, "neither answer nor refusal"))),
    }
}

async fn write_body(stream: &mut SendStream, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "longer than a frame can be"))?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(body).await?;
    stream.finish().map_err(io::Error::from)
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
