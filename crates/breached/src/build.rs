//! Makes the file from the public list: `SHA1:count` a line, or a folder of files of ranges (named by the first five digits
//! of the hashes, `suffix:count` a line).

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::{BLOCK_BYTES, HEADER_BYTES, MAGIC, place, probes};

/// For each hash. With eight probes one other password in a few thousand is taken for one of the list.
const BITS: u64 = 20;
/// No line is longer; what is, is no such list.
const MAX_LINE: u64 = 256;
/// Digits that stand in the name of a file of a range.
const PREFIX: usize = 5;

/// What was made.
#[derive(Clone, Copy, Debug)]
pub struct Built {
    /// Hashes in it.
    pub entries: u64,
    /// Its length.
    pub bytes: u64,
}

/// It was not made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file or folder.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The list changed, or is no such list.
    #[error("{path}, line {line}: not `SHA1:count`")]
    Line {
        /// Its file.
        path: PathBuf,
        /// From 1.
        line: u64,
    },
    /// Nothing in it.
    #[error("no hash was seen so often")]
    Empty,
    /// The file to be made.
    #[error("write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Reads `list` twice: to count, and to fill. Takes 2.5 bytes of memory a hash. What was seen fewer than `least` times is
/// left out.
pub fn build(list: &Path, out: &Path, least: u64) -> Result<Built, BuildError> {
    let files = files(list)?;
    let mut entries = 0_u64;
    each(&files, least, |_| entries += 1)?;
    if entries == 0 {
        return Err(BuildError::Empty);
    }
    let blocks = (entries * BITS).div_ceil(8 * BLOCK_BYTES as u64);
    let mut bits = vec![0_u8; blocks as usize * BLOCK_BYTES];
    each(&files, least, |hash| {
        let block = place(hash, blocks) as usize * BLOCK_BYTES;
        for bit in probes(hash) {
            bits[block + bit / 8] |= 1 << (bit % 8);
        }
    })?;
    let write = || -> io::Result<()> {
        let partial = out.with_extension("partial");
        let mut file = File::create(&partial)?;
        let mut header = [0; HEADER_BYTES as usize];
        header[..32].copy_from_slice(MAGIC);
        header[32..40].copy_from_slice(&blocks.to_le_bytes());
        header[40..48].copy_from_slice(&entries.to_le_bytes());
        file.write_all(&header)?;
        file.write_all(&bits)?;
        file.sync_all()?;
        fs::rename(partial, out)
    };
    write().map_err(|source| BuildError::Write { path: out.to_owned(), source })?;
    Ok(Built { entries, bytes: HEADER_BYTES + bits.len() as u64 })
}

/// The files of a list, each with the digits that its lines lack.
fn files(list: &Path) -> Result<Vec<(PathBuf, String)>, BuildError> {
    let read = |source| BuildError::Read { path: list.to_owned(), source };
    if !fs::metadata(list).map_err(read)?.is_dir() {
        return Ok(vec![(list.to_owned(), String::new())]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(list).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if name.len() == PREFIX && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            files.push((path, name));
        }
    }
    Ok(files)
}

fn each(files: &[(PathBuf, String)], least: u64, mut found: impl FnMut(&[u8; 20])) -> Result<(), BuildError> {
    for (path, prefix) in files {
        let read = |source| BuildError::Read { path: path.clone(), source };
        let mut lines = BufReader::with_capacity(1 << 20, File::open(path).map_err(read)?);
        let mut text = String::new();
        for line in 1.. {
            text.clear();
            text.push_str(prefix);
            if lines.by_ref().take(MAX_LINE).read_line(&mut text).map_err(read)? == 0 {
                break;
            }
            let (hash, count) =
                parse(text.trim_end()).ok_or_else(|| BuildError::Line { path: path.clone(), line })?;
            if count >= least {
                found(&hash);
            }
        }
    }
    Ok(())
}

fn parse(line: &str) -> Option<([u8; 20], u64)> {
    let (digits, count) = line.split_once(':')?;
    if digits.len() != 40 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut hash = [0; 20];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some((hash, count.parse().ok()?))
}
