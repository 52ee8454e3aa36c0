//! Messages that are nearly right.

use super::wire::query::tests::{message, opt};

/// Numbers that are the same each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Less than `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Questions of all kinds.
pub(crate) fn questions() -> Vec<Vec<u8>> {
    let mut questions = Vec::new();
    for name in ["locum.test", "app.locum.test", "nobody.locum.test", "other.test", ""] {
        for record_type in [1, 2, 6, 28, 48, 65, 255] {
            questions.push(message(name, record_type, &[]));
            questions.push(message(name, record_type, &opt(0, 0x8000, &[])));
            let subnet: &[u8] = &[0, 1, 24, 0, 10, 1, 0];
            questions.push(message(name, record_type, &opt(0, 0xc000, &[(8, subnet), (10, &[7; 24])])));
            questions.push(message(name, record_type, &[0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]));
        }
    }
    questions
}

/// One of `questions`, damaged.
pub(crate) fn mutated(questions: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = questions[random.below(questions.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1));
        match random.below(6) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes.insert(at, random.below(256) as u8),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.extend_from_within(at.min(bytes.len())..),
            4 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ if at < bytes.len() => bytes[at] = random.below(256) as u8,
            _ => {}
        }
    }
    bytes
}
