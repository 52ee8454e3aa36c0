//! Six digits that are sent to somebody: ten minutes, five tries.

use jiff::{SignedDuration, Timestamp};
use kit::secret::{self, RandomError, Secret};
use serde::Deserialize;

/// How long a code works.
pub const LASTS: SignedDuration = SignedDuration::from_mins(10);
/// Between two messages with one.
pub const PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// Wrong ones that a code survives.
pub(crate) const TRIES: i64 = 5;

/// As somebody types it: six digits, blanks between them allowed.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Code(String);

impl TryFrom<String> for Code {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits: String = text.chars().filter(|c| *c != ' ').collect();
        let fits = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if fits { Ok(Self(digits)) } else { Err("must be six digits") }
    }
}

impl Code {
    /// A new one.
    pub(crate) fn new() -> Result<Self, RandomError> {
        // What is beyond the last whole million would make small codes a little likelier.
        const WHOLE: u32 = u32::MAX / 1_000_000 * 1_000_000;
        loop {
            let drawn = u32::from_be_bytes(secret::random::<4>()?);
            if drawn < WHOLE {
                return Ok(Self(format!("{:06}", drawn % 1_000_000)));
            }
        }
    }

    /// SHA-256.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Secret::presented(&self.0).hash()
    }

    /// For its owner: `123 456`.
    pub(crate) fn shown(&self) -> String {
        let (first, last) = self.0.split_at(3);
        format!("{first} {last}")
    }

    /// Whether it is the one of that hash, made at `made`.
    pub(crate) fn is(&self, hash: [u8; 32], made: Timestamp, now: Timestamp) -> bool {
        self.hash() == hash && now < made + LASTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_six_digits_and_reads_back_as_it_is_shown() {
        let (one, two) = (Code::new().unwrap(), Code::new().unwrap());
        assert!(one.0 != two.0 || Code::new().unwrap().0 != one.0);
        assert_eq!(Code::try_from(one.shown()).unwrap().hash(), one.hash());
        for bad in ["", "12345", "1234567", "12345a", "１２３４５６"] {
            assert!(Code::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_code_grows_old() {
        let (code, made) = (Code::new().unwrap(), Timestamp::UNIX_EPOCH);
        assert!(code.is(code.hash(), made, made));
        assert!(!code.is(code.hash(), made, made + LASTS));
    }
}
