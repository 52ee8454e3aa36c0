//! The demo clinic's staff: random passwords, made at a network's first start and kept in its folder.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::data::Data;

const FILE: &str = "demo-accounts.json";
/// No letters that look like another: the passwords are read off a terminal.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A member of the demo clinic's staff.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Account {
    /// Whole name.
    pub name: String,
    /// What the person signs in with.
    pub username: String,
    /// Four groups of five letters: 100 bits.
    pub password: String,
    /// As the policy table knows them.
    pub roles: Vec<String>,
}

/// All of them.
pub(super) struct Accounts {
    /// Doctors first.
    pub list: Vec<Account>,
}

impl Accounts {
    /// Those kept in the folder, or new ones.
    pub(super) fn load_or_make(data: &Data) -> Result<Self> {
        if let Some(kept) = data.read(FILE)? {
            return Ok(Self { list: serde_json::from_str(&kept).with_context(|| format!("read {FILE}"))? });
        }
        let staff = [
            ("Dr. Mira Okafor", "mira.okafor", "doctor"),
            ("Dr. Jonas Lindqvist", "jonas.lindqvist", "doctor"),
            ("Petra Novak", "petra.novak", "front-desk"),
        ];
        let account = |(name, username, role): (&str, &str, &str)| {
            anyhow::Ok(Account {
                name: name.to_owned(),
                username: username.to_owned(),
                password: password()?,
                roles: vec![role.to_owned()],
            })
        };
        let list = staff.into_iter().map(account).collect::<Result<Vec<_>>>()?;
        data.write_secret(FILE, &serde_json::to_string_pretty(&list).context("write accounts")?)?;
        Ok(Self { list })
    }
}

fn password() -> Result<String> {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).context("gather randomness")?;
    // 256 is a multiple of 32, so the remainder is uniform.
    let letters = bytes.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    Ok(letters.chunks(5).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_outlive_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::open(&folder.path().join("n"), false).unwrap();
        let first = Accounts::load_or_make(&data).unwrap();
        let again = Accounts::load_or_make(&data).unwrap();
        for (a, b) in first.list.iter().zip(&again.list) {
            assert_eq!(a.password, b.password);
            assert_eq!(a.password.len(), 23);
        }
        assert_ne!(first.list[0].password, first.list[1].password);
    }
}
