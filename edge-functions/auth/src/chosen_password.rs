//! What a password must be that somebody chooses (NIST SP 800-63B-4 §3.1.1.2): long, not one that everybody tries first,
//! and none of their last ones. No rules about its letters, and no date on which it ends, unless their clinic wants them:
//! both make people choose worse ones.

use http::StatusCode;
use jiff::SignedDuration;
use kit::audit::Action;
use kit::context::Context;
use kit::form::Password;
use kit::params;
use kit::problem::Problem;
use sha1::{Digest as _, Sha1};

use crate::account::Account;
use crate::password;
use crate::settings::Settings;

/// With a second factor.
const SHORTEST: usize = 8;
/// Alone.
const SHORTEST_ALONE: usize = 15;
/// As many as a clinic can ask for.
const MOST_REMEMBERED: u32 = 24;
/// Passwords of 8 characters or more that are known from breaches, by how often, one a line, lower case.
const COMMON: &str = include_str!("common_passwords.txt");

/// Refuses what is too short, too easily guessed or one of their last, at `pointer`.
pub(crate) async fn check(
    context: &Context<'_>,
    password: &Password,
    account: &Account,
    pointer: &'static str,
) -> Result<(), Problem> {
    let text = password.as_str();
    let shortest = if account.owes_factor { SHORTEST } else { SHORTEST_ALONE };
    if text.chars().count() < shortest {
        return Err(Problem::invalid(pointer, format!("must be {shortest} to 256 characters")));
    }
    let clinic = context.clinic().await?;
    if is_guessed(text, [&account.username, &account.user.name, &clinic.name]) {
        let detail = "is one that is tried first: known from breaches, or made of names and repetitions";
        return Err(Problem::invalid(pointer, detail));
    }
    // The list knows hashes only (its public form is made of SHA-1), and is on this very host.
    let sha1: String = Sha1::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02X}")).collect();
    if context.is_breached(&sha1).await? {
        return Err(Problem::invalid(pointer, "is known from a breach"));
    }
    let settings = Settings::of(context).await?;
    if settings.password_composition && !is_mixed(text) {
        let detail = "must have three of: small letters, capital letters, digits, other characters";
        return Err(Problem::invalid(pointer, detail));
    }
    for hash in last(context, account, settings.password_history).await? {
        if password::verify(text, Some(&hash))? {
            return Err(Problem::invalid(pointer, "is one of your last passwords"));
        }
    }
    Ok(())
}

/// Their present password and the ones before, `count` together.
async fn last(context: &Context<'_>, account: &Account, count: u32) -> Result<Vec<String>, Problem> {
    let Some(before) = count.checked_sub(1) else { return Ok(Vec::new()) };
    let sql = "SELECT password_hash FROM password_history WHERE clinic = ? AND user = ? ORDER BY until DESC LIMIT ?";
    let rows = context.database().query(sql, params![&context.clinic, account.user.id, before]).await?;
    let mut hashes = vec![account.password_hash.clone()];
    for row in &rows {
        hashes.push(row.text(0)?);
    }
    Ok(hashes)
}

/// Three of four kinds of characters.
fn is_mixed(text: &str) -> bool {
    let kinds: [fn(char) -> bool; 4] =
        [char::is_lowercase, char::is_uppercase, |c| c.is_ascii_digit(), |c| !c.is_alphanumeric()];
    kinds.iter().filter(|kind| text.chars().any(*kind)).count() >= 3
}

/// Writes the new password's hash, and remembers the one before.
pub(crate) async fn set(context: &Context<'_>, account: &Account, hash: &str) -> Result<(), Problem> {
    let (clinic, database, user) = (&context.clinic, context.database(), account.user.id);
    let sql = "INSERT INTO password_history (clinic, user, until, password_hash) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (clinic, user, until) DO NOTHING";
    database.execute(sql, params![clinic, user, context.now, account.password_hash.as_str()]).await?;
    let sql = "DELETE FROM password_history WHERE clinic = ?1 AND user = ?2 AND until NOT IN (
                 SELECT until FROM password_history WHERE clinic = ?1 AND user = ?2 ORDER BY until DESC LIMIT ?3)";
    database.execute(sql, params![clinic, user, MOST_REMEMBERED]).await?;
    let sql = "UPDATE staff_user SET password_hash = ?, password_at = ? WHERE clinic = ? AND id = ?";
    database.execute(sql, params![hash, context.now, clinic, user]).await?;
    context.audit(Action::PasswordChanged, Some(&user));
    Ok(())
}

/// Whether the clinic wants another one by now.
pub(crate) async fn is_old(context: &Context<'_>, account: &Account) -> Result<bool, Problem> {
    let Some(days) = Settings::of(context).await?.password_max_days else { return Ok(false) };
    Ok(account.password_at + SignedDuration::from_hours(24 * i64::from(days)) <= context.now)
}

/// The hash of what somebody chose in place of a password that is too old.
pub(crate) async fn replacement(
    context: &Context<'_>,
    account: &Account,
    chosen: Option<&Password>,
) -> Result<String, Problem> {
    let Some(chosen) = chosen else {
        let title = "Your clinic wants another password by now: choose one";
        return Err(Problem::new(StatusCode::FORBIDDEN, "password-expired", title));
    };
    check(context, chosen, account, "/newPassword").await?;
    password::hash(chosen.as_str())
}

/// Whether it is known, known with something appended, one letter repeated, or little more than a name.
fn is_guessed(password: &str, names: [&str; 3]) -> bool {
    let lower = password.to_lowercase();
    let stem = lower.trim_end_matches(|c: char| c.is_ascii_digit() || c.is_ascii_punctuation());
    let is_common = |text: &str| COMMON.lines().any(|common| common == text);
    let mut different: Vec<char> = lower.chars().collect();
    different.sort_unstable();
    different.dedup();
    let words = names.iter().flat_map(|name| name.split(|c: char| !c.is_alphanumeric()));
    let words = words.filter(|word| word.chars().count() > 2);
    // What is left of it without the names in it.
    let mut rest = lower.clone();
    for word in words.chain(["locum", "password"]).map(str::to_lowercase) {
        rest = rest.replace(&word, "");
    }
    let little_else = rest.chars().filter(|c| !c.is_ascii_digit()).count() < SHORTEST / 2;
    is_common(&lower) || is_common(stem) || different.len() < 4 || (rest != lower && little_else)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_first_is_refused() {
        let names = ["grey", "Dr Meredith Grey", "Clinic at the lake"];
        for bad in [
            "password1",
            "Password123!",
            "iloveyou2",
            "qwertyuiop",
            "aaaaaaaaaaaaaaaa",
            "abababababababab",
            "grey2026",
            "meredithgrey",
            "locumlocum",
            "cliniclake1",
        ] {
            assert!(is_guessed(bad, names), "{bad}");
        }
        for good in ["correct horse battery", "tulips over Oslo", "gR7!kqvm2z", "greyhound races at dawn"] {
            assert!(!is_guessed(good, names), "{good}");
        }
    }

    #[test]
    fn the_list_can_be_looked_up() {
        assert!(COMMON.lines().count() > 1000);
        for line in COMMON.lines() {
            assert!(line.chars().count() >= SHORTEST && line == line.to_lowercase(), "{line}");
        }
    }
}
