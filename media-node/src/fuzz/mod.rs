//! Every parser of ours, fed with what damage and malice make of good messages.
//!
//! Each target has its good messages here and, in `fuzz/<target>`, inputs that once were a fault: those are tried first.
//! An input that fails is put there as `found`. `LOCUM_FUZZ_SECONDS` is how long each target runs; the soak gives more.
//! `LOCUM_FUZZ_SEED` runs the same inputs again, in the same order.

#![allow(clippy::print_stderr, reason = "this is a test")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

mod messages;
mod targets;

const DEFAULT_SECONDS: u64 = 2;

/// Bytes at which counts and lengths go over, and lines end.
const EDGES: [u8; 8] = [0, 1, 0x7F, 0x80, 0xFF, b' ', b'\n', b':'];

/// Changes of one message at most.
const MOST_CHANGES: usize = 6;

/// Noise, where it is not damage of something good.
const MOST_NOISE: usize = 1_500;

/// SplitMix64: the same inputs for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// A message: damaged, as a rule; now and then nothing but noise.
    fn input(&mut self, good: &[Vec<u8>]) -> Vec<u8> {
        if self.below(16) == 0 {
            let length = self.below(MOST_NOISE);
            return (0..length).map(|_| self.byte()).collect();
        }
        let mut message = good[self.below(good.len())].clone();
        for _ in 0..=self.below(MOST_CHANGES) {
            self.damage(&mut message, good);
        }
        message
    }

    fn damage(&mut self, message: &mut Vec<u8>, good: &[Vec<u8>]) {
        let at = self.below(message.len());
        let some = (at + self.below(40)).min(message.len());
        match self.below(7) {
            _ if message.is_empty() => message.push(self.byte()),
            0 => message[at] = self.byte(),
            1 => message[at] = EDGES[self.below(EDGES.len())],
            2 => message[at] ^= 1 << self.below(8),
            3 => drop(message.drain(at..some)),
            4 => {
                let again = message[at..some].to_vec();
                message.splice(at..at, again);
            }
            5 => message.truncate(at),
            _ => {
                // Goes on as another message does from there.
                let other = &good[self.below(good.len())];
                message.truncate(at);
                message.extend_from_slice(other.get(at..).unwrap_or_default());
            }
        }
    }
}

/// Runs a target on its old faults, then on what comes of these good messages.
fn fuzz(target: &'static str, good: &[Vec<u8>], check: impl Fn(&[u8])) {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(target);
    for file in fs::read_dir(&dir).into_iter().flatten() {
        let path = file.unwrap().path();
        check(&fs::read(&path).unwrap());
    }
    good.iter().for_each(|message| check(message));

    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let time = Duration::from_secs(number("LOCUM_FUZZ_SECONDS").unwrap_or(DEFAULT_SECONDS));
    let seed = number("LOCUM_FUZZ_SEED").unwrap_or_else(|| getrandom::u64().unwrap());
    let (mut random, started, mut count) = (Random(seed), Instant::now(), 0_u64);
    while started.elapsed() < time {
        let input = random.input(good);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&input))) {
            keep(&dir.join("found"), &input);
            eprintln!("{target}: LOCUM_FUZZ_SEED={seed}, input {count}, {} bytes", input.len());
            resume_unwind(panic);
        }
        count += 1;
    }
    eprintln!("{target}: {count} inputs");
}

/// Keeps an input for later runs: the shortest that was found.
fn keep(path: &PathBuf, input: &[u8]) {
    if fs::metadata(path).is_ok_and(|kept| kept.len() <= input.len() as u64) {
        return;
    }
    let _ = fs::create_dir_all(path.parent().unwrap());
    let _ = fs::write(path, input);
}
