//! The staff of the demo clinic and of the canary: random passwords, made at a network's first start and kept in its
//! folder.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::data::Data;

const DEMO_FILE: &str = "demo-accounts.json";
/// Of the canary clinic, in the network's folder. Drills sign in with them.
pub(crate) const CANARY_FILE: &str = "canary-accounts.json";
/// No letters that look like another: the passwords are read off a terminal.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A member of a clinic's staff.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Account {
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
    /// The demo clinic's: those kept in the folder, or new ones.
    pub(super) fn load_or_make(data: &Data) -> Result<Self> {
        let staff = [
            ("Dr. Mira Okafor", "mira.okafor", "doctor"),
            ("Dr. Jonas Lindqvist", "jonas.lindqvist", "doctor"),
            ("Petra Novak", "petra.novak", "front-desk"),
        ];
        Self::of(data, DEMO_FILE, &staff)
    }

    /// The canary's.
    pub(super) fn of_canary(data: &Data) -> Result<Self> {
        let staff = [
            ("Canary Doctor", "canary.doctor", "doctor"),
            ("Canary Front Desk", "canary.desk", "front-desk"),
        ];
        Self::of(data, CANARY_FILE, &staff)
    }

    fn of(data: &Data, file: &str, staff: &[(&str, &str, &str)]) -> Result<Self> {
        if let Some(kept) = data.read(file)? {
            return Ok(Self { list: serde_json::from_str(&kept).with_context(|| format!("read {file}"))? });
        }
        let account = |&(name, username, role): &(&str, &str, &str)| {
            anyhow::Ok(Account {
                name: name.to_owned(),
                username: username.to_owned(),
                password: password()?,
                roles: vec![role.to_owned()],
            })
        };
        let list = staff.iter().map(account).collect::<Result<Vec<_>>>()?;
        data.write_secret(file, &serde_json::to_string_pretty(&list).context("write accounts")?)?;
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
        let canary = Accounts::of_canary(&data).unwrap();
        assert!(canary.list.iter().all(|a| first.list.iter().all(|b| a.password != b.password)));
    }
}
