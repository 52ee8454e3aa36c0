//! Texts under `_acme-challenge` (RFC 8555 §8.4): whoever fetches certificates sets them, waits until they are
//! answered, and clears them. They are in a file in the member's folder until the quorum's state has them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use locum_identity::{NodeId, Zone, private_file};

use super::zone::CHALLENGE;

/// Names at once, and texts of one name.
const MAX_NAMES: usize = 64;
const MAX_TEXTS: usize = 8;
const MAX_TEXT_BYTES: usize = 255;

/// Texts by the labels before the zone's.
pub(crate) type Challenges = BTreeMap<String, Vec<String>>;

/// A challenge cannot be set, or not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChallengeError {
    #[error("use the file of challenges")]
    File(#[source] io::Error),
    #[error("the file of challenges is damaged")]
    Damaged(#[source] serde_json::Error),
    #[error("a challenge's name is `{CHALLENGE}`, or `{CHALLENGE}.` and labels, in the zone")]
    Name,
    #[error("a challenge's text is 1 to {MAX_TEXT_BYTES} letters of base64url")]
    Text,
    #[error("at most {MAX_NAMES} names have challenges, and each at most {MAX_TEXTS}")]
    Full,
}

/// Where a member keeps them.
pub(crate) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("dns-challenges.json")
}

/// All of them; none when there is no file.
pub(crate) fn read(path: &Path) -> Result<Challenges, ChallengeError> {
    match private_file::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(ChallengeError::Damaged),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Challenges::new()),
        Err(error) => Err(ChallengeError::File(error)),
    }
}

/// Adds a text to a name. A certificate for a name and its wildcard has two under one name.
pub(crate) fn set(path: &Path, zone: &Zone, name: &str, text: &str) -> Result<(), ChallengeError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if text.is_empty() || text.len() > MAX_TEXT_BYTES || !text.bytes().all(plain) {
        return Err(ChallengeError::Text);
    }
    let labels = labels(zone, name)?;
    let mut challenges = read(path)?;
    if challenges.len() >= MAX_NAMES && !challenges.contains_key(&labels) {
        return Err(ChallengeError::Full);
    }
    let texts = challenges.entry(labels).or_default();
    if !texts.iter().any(|known| known == text) {
        if texts.len() >= MAX_TEXTS {
            return Err(ChallengeError::Full);
        }
        texts.push(text.to_owned());
    }
    write(path, &challenges)
}

/// Removes one text of a name, or all. What is not there is no error.
pub(crate) fn clear(path: &Path, zone: &Zone, name: &str, text: Option<&str>) -> Result<(), ChallengeError> {
    let labels = labels(zone, name)?;
    let mut challenges = read(path)?;
    if let Some(texts) = challenges.get_mut(&labels) {
        texts.retain(|known| text.is_some_and(|text| known != text));
        if texts.is_empty() {
            challenges.remove(&labels);
        }
    }
    write(path, &challenges)
}

fn write(path: &Path, challenges: &Challenges) -> Result<(), ChallengeError> {
    let bytes = serde_json::to_vec_pretty(challenges).map_err(ChallengeError::Damaged)?;
    private_file::write(path, &bytes).map_err(ChallengeError::File)
}

/// The labels before the zone's of `_acme-challenge.app.locum.example`, with or without a dot at the end.
fn labels(zone: &Zone, name: &str) -> Result<String, ChallengeError> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let labels = name.strip_suffix(zone.as_str()).and_then(|labels| labels.strip_suffix('.'));
    let labels = labels.ok_or(ChallengeError::Name)?;
    let mut parts = labels.split('.');
    let first = parts.next() == Some(CHALLENGE);
    // Short enough that a name can still be denied that stands below it.
    let rest = parts.all(|label| label.parse::<NodeId>().is_ok()) && name.len() <= 240;
    if first && rest { Ok(labels.to_owned()) } else { Err(ChallengeError::Name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_set_and_cleared_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path());
        let zone: Zone = "locum.test".parse().unwrap();
        let name = "_acme-challenge.app.locum.test.";
        set(&path, &zone, name, "one").unwrap();
        set(&path, &zone, name, "one").unwrap();
        set(&path, &zone, name, "two").unwrap();
        set(&path, &zone, "_ACME-challenge.locum.test", "three").unwrap();
        let kept = read(&path).unwrap();
        assert_eq!(kept["_acme-challenge.app"], ["one", "two"]);
        assert_eq!(kept["_acme-challenge"], ["three"]);
        clear(&path, &zone, name, Some("one")).unwrap();
        assert_eq!(read(&path).unwrap()["_acme-challenge.app"], ["two"]);
        clear(&path, &zone, name, None).unwrap();
        clear(&path, &zone, name, None).unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_challenge_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path());
        let zone: Zone = "locum.test".parse().unwrap();
        for name in
            ["app.locum.test", "_acme-challenge.other.test", "_acme-challenge..locum.test", "locum.test"]
        {
            assert!(matches!(set(&path, &zone, name, "x"), Err(ChallengeError::Name)), "{name}");
        }
        for text in ["", "a b", "\"", &"x".repeat(256)] {
            let wrong = set(&path, &zone, "_acme-challenge.locum.test", text);
            assert!(matches!(wrong, Err(ChallengeError::Text)));
        }
        for index in 0..64 {
            set(&path, &zone, &format!("_acme-challenge.a{index}.locum.test"), "x").unwrap();
        }
        let full = set(&path, &zone, "_acme-challenge.locum.test", "x");
        assert!(matches!(full, Err(ChallengeError::Full)));
    }
}
