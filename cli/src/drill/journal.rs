//! What a writer notes, and what must then be found of it.
//!
//! A writer keeps one clinical note of the canary clinic. Its text is the list of the writer's acknowledged changes
//! and of the one it is about to make; each change goes through only if nobody changed the note since
//! (`If-Match`). So a change that was acknowledged and lost is missed by the very next one, and one that took
//! effect twice as well; and whoever reads the note finds each of them once.

use std::collections::BTreeSet;
use std::fmt::Write;

/// So many of the newest changes stand in the text one by one; a note has at most 20,000 characters.
const ONE_BY_ONE: u32 = 500;

/// What is wrong with a note.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Wrong {
    /// Acknowledged and not there.
    pub lost: u32,
    /// There more than once.
    pub doubled: u32,
}

/// The text after change `number` of the writer whose journal is called `name`.
pub(super) fn text(name: &str, number: u32) -> String {
    let mut text = name.to_owned();
    let first = number.saturating_sub(ONE_BY_ONE - 1).max(1);
    if first > 1 {
        let _ = write!(text, " 1-{}", first - 1);
    }
    for single in first..=number {
        let _ = write!(text, " {single}");
    }
    text
}

/// The newest change in a text of the journal `name`.
pub(super) fn newest(name: &str, text: &str) -> Option<u32> {
    numbers(name, text).into_iter().max()
}

/// What is wrong with a text of the journal `name` of which `acknowledged` changes were acknowledged.
pub(super) fn check(name: &str, text: &str, acknowledged: u32) -> Wrong {
    let all = numbers(name, text);
    let once: BTreeSet<u32> = all.iter().copied().collect();
    let missing = (1..=acknowledged).filter(|number| !once.contains(number)).count();
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Wrong { lost: count(missing), doubled: count(all.len() - once.len()) }
}

/// The changes in a text; none in one of another journal. What is no number is no change.
fn numbers(name: &str, text: &str) -> Vec<u32> {
    let mut words = text.split(' ');
    if words.next() != Some(name) {
        return Vec::new();
    }
    let range = |word: &str| -> Option<std::ops::RangeInclusive<u32>> {
        let (from, to) = word.split_once('-').unwrap_or((word, word));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        // Longer than any drill: nobody makes this tool count to a billion.
        (to.checked_sub(from)? < 10_000_000).then_some(from..=to)
    };
    words.filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_in_the_text_once() {
        for number in [1, 2, ONE_BY_ONE, ONE_BY_ONE + 1, 3 * ONE_BY_ONE] {
            let text = text("j", number);
            assert!(text.len() < 20_000);
            assert_eq!(check("j", &text, number), Wrong::default(), "{text}");
            assert_eq!(newest("j", &text), Some(number));
        }
        assert_eq!(text("j", 3), "j 1 2 3");
        assert_eq!(text("j", ONE_BY_ONE + 2).split(' ').nth(1), Some("1-2"));
    }

    #[test]
    fn a_change_more_than_was_acknowledged_is_no_harm() {
        assert_eq!(check("j", &text("j", 8), 7), Wrong::default());
    }

    #[test]
    fn what_is_missing_or_twice_is_counted() {
        assert_eq!(check("j", "j 1 2 4", 5), Wrong { lost: 2, doubled: 0 });
        assert_eq!(check("j", "j 1-3 3 4 4 5", 5), Wrong { lost: 0, doubled: 2 });
        assert_eq!(check("j", &text("i", 5), 5), Wrong { lost: 5, doubled: 0 }, "another journal's");
        assert_eq!(check("j", "", 2), Wrong { lost: 2, doubled: 0 });
        assert_eq!(check("j", "j 1 x 5-1 0-4000000000", 1), Wrong::default());
        assert_eq!(newest("j", "i 1 2"), None);
    }
}
