//! The staff of the demo clinic and of the canary: random passwords, made at a network's first start and kept in its
//! folder.

use anyhow::{Context, Result};
use locum_passkey::Passkey;
use serde::{Deserialize, Serialize};

use super::clinics::MAIN;
use super::data::Data;
use super::restoring;

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
    /// The canary's second factor, since its first sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passkey: Option<Passkey>,
}

/// All of a clinic.
pub(super) struct Accounts {
    /// Doctors first.
    pub list: Vec<Account>,
    file: &'static str,
    /// They are in the folder. Not before a clinic took them where it may have come from a backup with others.
    is_kept: bool,
    /// Some clinic came from a backup.
    pub restored: bool,
}

impl Accounts {
    /// The demo clinic's: those kept in the folder, or new ones.
    pub(super) fn of_demo(data: &Data) -> Result<Self> {
        let staff = [
            ("Dr. Mira Okafor", "mira.okafor", "doctor"),
            ("Dr. Jonas Lindqvist", "jonas.lindqvist", "doctor"),
            ("Petra Novak", "petra.novak", "front-desk"),
            ("Ada Brandt", "ada.brandt", "clinic-admin"),
        ];
        Self::load_or_make(data, DEMO_FILE, &staff)
    }

    /// The canary's.
    pub(super) fn of_canary(data: &Data) -> Result<Self> {
        let staff = [
            ("Canary Doctor", "canary.doctor", "doctor"),
            ("Canary Front Desk", "canary.desk", "front-desk"),
        ];
        Self::load_or_make(data, CANARY_FILE, &staff)
    }

    fn load_or_make(data: &Data, file: &'static str, staff: &[(&str, &str, &str)]) -> Result<Self> {
        let groups = restoring::restored(data)?;
        let restored = !groups.is_empty();
        if let Some(kept) = data.read(file)? {
            let list = serde_json::from_str(&kept).with_context(|| format!("read {file}"))?;
            return Ok(Self { list, file, is_kept: true, restored });
        }
        let account = |&(name, username, role): &(&str, &str, &str)| {
            anyhow::Ok(Account {
                name: name.to_owned(),
                username: username.to_owned(),
                password: password()?,
                roles: vec![role.to_owned()],
                passkey: None,
            })
        };
        let list = staff.iter().map(account).collect::<Result<Vec<_>>>()?;
        let mut accounts = Self { list, file, is_kept: false, restored };
        if !groups.contains_key(MAIN) {
            accounts.keep(data)?;
        }
        Ok(accounts)
    }

    /// A clinic has them.
    pub(super) fn keep(&mut self, data: &Data) -> Result<()> {
        if !self.is_kept {
            data.write_secret(
                self.file,
                &serde_json::to_string_pretty(&self.list).context("write accounts")?,
            )?;
            self.is_kept = true;
        }
        Ok(())
    }

    /// Those by which people can sign in; none where a backup alone knows them.
    pub(super) fn usable(&self) -> &[Account] {
        if self.is_kept { &self.list } else { &[] }
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
        let first = Accounts::of_demo(&data).unwrap();
        let again = Accounts::of_demo(&data).unwrap();
        for (a, b) in first.list.iter().zip(&again.list) {
            assert_eq!(a.password, b.password);
            assert_eq!(a.password.len(), 23);
        }
        assert_ne!(first.list[0].password, first.list[1].password);
        assert!(!again.restored && again.usable().len() == 4);
        let canary = Accounts::of_canary(&data).unwrap();
        assert!(canary.list.iter().all(|a| first.list.iter().all(|b| a.password != b.password)));
    }

    #[test]
    fn a_restored_clinic_has_its_own_until_it_takes_these() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::open(&folder.path().join("n"), false).unwrap();
        data.write_secret(restoring::FILE, r#"{"main": []}"#).unwrap();
        let mut accounts = Accounts::of_demo(&data).unwrap();
        assert!(accounts.restored && accounts.usable().is_empty() && data.read(DEMO_FILE).unwrap().is_none());
        accounts.keep(&data).unwrap();
        let again = Accounts::of_demo(&data).unwrap();
        assert_eq!(again.usable()[0].password, accounts.usable()[0].password);
    }
}
