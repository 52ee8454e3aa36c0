//! A message and the bytes that belong to it: length of the JSON (u32, big endian), JSON, bytes.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What came is none of ours.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a message of this version")]
pub(crate) struct Malformed;

/// Puts `message` and `bytes` together.
pub(crate) fn seal(message: &impl Serialize, bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let json = serde_json::to_vec(message).map_err(|_| Malformed)?;
    let length = u32::try_from(json.len()).map_err(|_| Malformed)?;
    let mut sealed = BytesMut::with_capacity(4 + json.len() + bytes.len());
    sealed.put_u32(length);
    sealed.put_slice(&json);
    sealed.put_slice(bytes);
    Ok(sealed.into())
}

/// Takes them apart again; the bytes are not copied.
pub(crate) fn open<T: DeserializeOwned>(sealed: &Bytes) -> Result<(T, Bytes), Malformed> {
    let (length, rest) = sealed.split_first_chunk::<4>().ok_or(Malformed)?;
    let length = u32::from_be_bytes(*length) as usize;
    let json = rest.get(..length).ok_or(Malformed)?;
    // Not the parser's own words: they quote what was sent.
    let message = serde_json::from_slice(json).map_err(|_| Malformed)?;
    Ok((message, sealed.slice(4 + length..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_can_be_opened_and_nothing_else() {
        let sealed = Bytes::from(seal(&("a", 1), b"bytes\0\xff").unwrap());
        let ((text, number), bytes) = open::<(String, u8)>(&sealed).unwrap();
        assert_eq!((text.as_str(), number, bytes.as_ref()), ("a", 1, &b"bytes\0\xff"[..]));
        for cut in 0..sealed.len() - 7 {
            assert_eq!(open::<(String, u8)>(&sealed.slice(..cut)).err(), Some(Malformed), "{cut}");
        }
        assert_eq!(open::<String>(&sealed).err(), Some(Malformed));
        assert_eq!(open::<String>(&Bytes::from_static(b"\xff\xff\xff\xff{}")).err(), Some(Malformed));
    }
}
