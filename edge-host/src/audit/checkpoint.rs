//! Signed statements of how far a chain had come. Kept here and in another region: whoever cuts a chain's end
//! off would have to do so in two regions, and to sign.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use locum_identity::{Jwk, Jwks, SigningKey, private_file};
use serde::{Deserialize, Serialize};

use super::frame::{End, Hash};
use crate::store::GroupId;

/// `typ` of a checkpoint's JWS.
const TYPE: &str = "locum-audit-checkpoint+jwt";
pub(super) const FILE: &str = "checkpoints";
pub(super) const KEYS: &str = "keys.json";
/// Nodes that were set up anew; beyond it something is wrong with whoever sends keys.
const MAX_KEYS: usize = 64;

/// Of a log of read events, or of the rows of what was written.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Chain {
    /// A host's log of read events.
    Reads(u64),
    /// The rows of the group's database.
    Writes,
    /// The same, where they came out of a backup: what was signed for beyond is lost with the network that the
    /// backup is of. Up to this row they were there, chained or not yet.
    Restored(u64),
    /// Of a host's log of read events: up to here they were old enough to go.
    Expired(u64),
}

impl Chain {
    /// Whether it speaks of what was changed, which stands in rows.
    pub(crate) fn is_of_rows(self) -> bool {
        matches!(self, Self::Writes | Self::Restored(_))
    }
}

/// What is signed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Checkpoint {
    pub(crate) group: GroupId,
    pub(crate) chain: Chain,
    pub(crate) sequence: u64,
    /// Base64url.
    hash: String,
    pub(crate) at_ms: i64,
    pub(crate) node: String,
    pub(crate) region: String,
}

impl Checkpoint {
    pub(crate) fn new(group: &GroupId, chain: Chain, end: End, (region, node): (&str, &str)) -> Self {
        Self {
            group: group.clone(),
            chain,
            sequence: end.sequence,
            hash: URL_SAFE_NO_PAD.encode(end.hash),
            at_ms: crate::clock::unix_ms(),
            node: node.to_owned(),
            region: region.to_owned(),
        }
    }

    pub(crate) fn sign(&self, key: &SigningKey) -> Option<String> {
        key.sign_typed(TYPE, self).ok()
    }

    /// `None` when none of the keys signed it.
    pub(crate) fn read(token: &str, keys: &Jwks) -> Option<Self> {
        keys.verify_typed(TYPE, token).ok()
    }

    pub(crate) fn hash(&self) -> Option<Hash> {
        URL_SAFE_NO_PAD.decode(&self.hash).ok()?.try_into().ok()
    }
}

/// Adds a signed checkpoint to a folder, with the key that signed it. Synced. Blocks.
pub(crate) fn keep(folder: &Path, token: &str, key: &Jwk) -> io::Result<()> {
    private_file::create_dir(folder)?;
    let mut keys = keys(folder)?;
    if !keys.keys.contains(key) {
        if keys.keys.len() >= MAX_KEYS {
            return Err(io::Error::other("too many keys for one node"));
        }
        keys.keys.push(key.clone());
        private_file::write(&folder.join(KEYS), &serde_json::to_vec(&keys)?)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join(FILE))?;
    file.write_all(format!("{token}\n").as_bytes())?;
    file.sync_data()
}

/// The keys that a folder's checkpoints are signed with.
fn keys(folder: &Path) -> io::Result<Jwks> {
    match private_file::read(&folder.join(KEYS)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Jwks::default()),
        Err(error) => Err(error),
    }
}

/// The checkpoints in a folder, and how many lines are none: altered, or signed by nobody known. The last
/// line may be half written. Blocks.
pub(crate) fn read(folder: &Path) -> io::Result<(Vec<Checkpoint>, usize)> {
    let keys = keys(folder)?;
    let text = match fs::read(folder.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let (mut found, mut wrong) = (Vec::new(), 0);
    for line in lines(&text) {
        match Checkpoint::read(&line, &keys) {
            Some(checkpoint) => found.push(checkpoint),
            None => wrong += 1,
        }
    }
    Ok((found, wrong))
}

/// The lines of a file of checkpoints that are whole.
pub(super) fn lines(text: &[u8]) -> Vec<String> {
    let whole = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let lines = text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
    lines.filter(|line| !line.is_empty()).map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::group;
    use super::*;

    #[test]
    fn what_is_not_signed_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let end = End { sequence: 9, hash: [3; 32] };
        let checkpoint = Checkpoint::new(&group(), Chain::Reads(7), end, ("eu", "edge-1"));
        keep(folder.path(), &checkpoint.sign(&key).unwrap(), &key.jwk()).unwrap();
        let (found, wrong) = read(folder.path()).unwrap();
        assert_eq!((found[0].sequence, found[0].hash(), wrong), (9, Some([3; 32]), 0));
        // Another's signature under a key that is known, and another type of token.
        keep(folder.path(), &checkpoint.sign(&other).unwrap(), &key.jwk()).unwrap();
        keep(folder.path(), &key.sign_jws(&checkpoint).unwrap(), &key.jwk()).unwrap();
        let (found, wrong) = read(folder.path()).unwrap();
        assert_eq!((found.len(), wrong), (1, 2));
    }
}
