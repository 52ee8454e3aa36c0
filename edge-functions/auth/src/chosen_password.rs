//! What a password must be that somebody chooses (NIST SP 800-63B-4 §3.1.1.2): long, and not one that everybody
//! tries first. No rules about its letters, and no date on which it ends: both make people choose worse ones.

use kit::form::Password;
use kit::problem::Problem;

use crate::account::Account;

/// With a second factor.
const SHORTEST: usize = 8;
/// Alone.
const SHORTEST_ALONE: usize = 15;
/// Passwords of 8 characters or more that are known from breaches, by how often, one a line, lower case.
const COMMON: &str = include_str!("common_passwords.txt");

/// Refuses what is too short or too easily guessed, at `pointer`.
pub(crate) fn check(
    password: &Password,
    account: &Account,
    clinic_name: &str,
    pointer: &'static str,
) -> Result<(), Problem> {
    let text = password.as_str();
    let shortest = if account.owes_factor { SHORTEST } else { SHORTEST_ALONE };
    if text.chars().count() < shortest {
        return Err(Problem::invalid(pointer, format!("must be {shortest} to 256 characters")));
    }
    if is_guessed(text, [&account.username, &account.user.name, clinic_name]) {
        let detail = "is one that is tried first: known from breaches, or made of names and repetitions";
        return Err(Problem::invalid(pointer, detail));
    }
    Ok(())
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
