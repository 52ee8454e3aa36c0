//! Passwords known from breaches, as a file that is looked up with one read of 64 bytes.
//!
//! The file is a blocked Bloom filter over SHA-1 hashes: a password of the list is always found, one that is not in it is
//! taken for one of it about once in a thousand times; then its owner chooses another. It is a tenth of the list, needs
//! no memory of the process that looks, and holds no password that could be read back.

mod build;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

pub use build::{BuildError, Built, build};

/// What every such file begins with.
const MAGIC: &[u8; 32] = b"locum breached passwords 1\n\0\0\0\0\0";
const HEADER_BYTES: u64 = 64;
const BLOCK_BYTES: usize = 64;
/// Bits that are set for one hash, all in one block.
const PROBES: usize = 8;

/// A list that can be looked up.
#[derive(Debug)]
pub struct Breached {
    file: File,
    blocks: u64,
    entries: u64,
}

/// A file is not such a list.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error("read the list")]
    Read(#[source] io::Error),
    /// It begins otherwise.
    #[error("not made by `locum breached-passwords`")]
    Format,
    /// It is cut off, or longer than it says.
    #[error("{found} bytes, where {wanted} should be: cut off while it was copied?")]
    Length {
        /// By its header.
        wanted: u64,
        /// On the disk.
        found: u64,
    },
}

impl Breached {
    /// Opens a list and looks whether it is whole.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(OpenError::Read)?;
        let found = file.metadata().map_err(OpenError::Read)?.len();
        let mut header = [0; HEADER_BYTES as usize];
        if found < HEADER_BYTES {
            return Err(OpenError::Format);
        }
        file.read_exact_at(&mut header, 0).map_err(OpenError::Read)?;
        let number =
            |at: usize| header[at..at + 8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let (blocks, entries) = (number(32), number(40));
        if !header.starts_with(MAGIC) || blocks == 0 {
            return Err(OpenError::Format);
        }
        let wanted = blocks.saturating_mul(BLOCK_BYTES as u64).saturating_add(HEADER_BYTES);
        if wanted != found {
            return Err(OpenError::Length { wanted, found });
        }
        Ok(Self { file, blocks, entries })
    }

    /// Passwords it was made of.
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// Whether the password of that SHA-1 hash is in the list, or one of a thousand others that are not.
    pub fn contains(&self, sha1: &[u8; 20]) -> io::Result<bool> {
        let mut block = [0; BLOCK_BYTES];
        let at = HEADER_BYTES + place(sha1, self.blocks) * BLOCK_BYTES as u64;
        self.file.read_exact_at(&mut block, at)?;
        Ok(probes(sha1).into_iter().all(|bit| block[bit / 8] & 1 << (bit % 8) != 0))
    }
}

/// The block of a hash: its first 64 bits, as a fraction of all blocks.
fn place(sha1: &[u8; 20], blocks: u64) -> u64 {
    let first = sha1[..8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let product = u128::from(first) * u128::from(blocks);
    // Less than `blocks`: the fraction is less than one.
    (product >> 64) as u64
}

/// The bits of a hash in its block, nine bits of the hash each.
fn probes(sha1: &[u8; 20]) -> [usize; PROBES] {
    let rest = sha1[8..17].iter().fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
    std::array::from_fn(|probe| (rest >> (9 * probe)) as usize & 511)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// A stand-in for SHA-1: what matters is that bits look random.
    fn hash(number: u64) -> [u8; 20] {
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        std::array::from_fn(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
    }

    fn hex(hash: &[u8]) -> String {
        hash.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02X}");
            text
        })
    }

    const LISTED: u64 = 20_000;

    fn made(folder: &Path) -> Breached {
        let lines: String = (0..LISTED).map(|n| format!("{}:{}\r\n", hex(&hash(n)), n % 10 + 1)).collect();
        let list = folder.join("list.txt");
        std::fs::write(&list, lines).unwrap();
        let out = folder.join("list.breached");
        assert_eq!(build(&list, &out, 1).unwrap().entries, LISTED);
        Breached::open(&out).unwrap()
    }

    #[test]
    fn everything_listed_is_found_and_hardly_anything_else() {
        let folder = tempfile::tempdir().unwrap();
        let list = made(folder.path());
        assert_eq!(list.entries(), LISTED);
        for n in 0..LISTED {
            assert!(list.contains(&hash(n)).unwrap(), "{n}");
        }
        let taken = (LISTED..LISTED * 6).filter(|n| list.contains(&hash(*n)).unwrap()).count();
        assert!(taken < 200, "{taken} of 100,000 others");
    }

    #[test]
    fn files_of_ranges_and_a_least_count() {
        let folder = tempfile::tempdir().unwrap();
        let ranges = folder.path().join("ranges");
        std::fs::create_dir(&ranges).unwrap();
        for n in 0..100 {
            let hash = hex(&hash(n));
            let (prefix, suffix) = hash.split_at(5);
            let mut file = std::fs::read_to_string(ranges.join(prefix)).unwrap_or_default();
            let _ = writeln!(file, "{suffix}:{n}");
            std::fs::write(ranges.join(prefix), file).unwrap();
        }
        let out = folder.path().join("out");
        assert_eq!(build(&ranges, &out, 50).unwrap().entries, 50);
        let list = Breached::open(&out).unwrap();
        assert!((50..100).all(|n| list.contains(&hash(n)).unwrap()));
        assert!((0..50).filter(|n| list.contains(&hash(*n)).unwrap()).count() < 5);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        for bad in ["", "password\n", "ABC:1\n", &format!("{}:x\n", "A".repeat(40)), &"A".repeat(100_000)] {
            std::fs::write(&list, bad).unwrap();
            assert!(build(&list, &folder.path().join("out"), 1).is_err(), "{}", &bad[..bad.len().min(20)]);
        }
        let made = made(folder.path());
        drop(made);
        let file = folder.path().join("list.breached");
        let whole = std::fs::read(&file).unwrap();
        for (bytes, is_format) in [
            (&whole[..10], true),
            (&whole[..whole.len() - 1], false),
            (&[whole.as_slice(), b"x"].concat(), false),
            (&[b"x", &whole[1..]].concat(), true),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let refused = Breached::open(&file).unwrap_err();
            assert_eq!(matches!(refused, OpenError::Format), is_format, "{refused}");
        }
    }
}
