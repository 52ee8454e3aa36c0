//! Seeded lives of a network as its control plane sees it: nodes die, stand still, are slow, come and go; links
//! break in one direction or both, for one vantage point or all; members are blind, stop for a while, lead in
//! turn; people drain and take back; wall clocks jump. What must hold is checked after every step, by name. A
//! failing run prints its seed; `LOCUM_SEED=n` runs that one, `LOCUM_SEEDS=n` asks for so many.

mod people;
mod truth;
mod weather;
mod world;

use std::thread;

use truth::Violation;
use world::World;

const SEEDS: u64 = 10_000;

/// Mistakes that somebody could make. The runner that finds nothing without one must find each of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    /// Everything is done as it should be.
    None,
    /// A vantage point that sees nobody is believed all the same.
    BlindCounts,
    /// Two misses in a row are enough.
    Impatient,
    /// Whoever comes back is taken back with its first good probe.
    NotDamped,
    /// A step is applied whatever its generation.
    OldStepsCount,
    /// A node does what it hears last, whatever its generation.
    ObeysAnybody,
    /// A new leader forgets what people want.
    DrainsForgotten,
}

/// A simulation in which nothing happens proves nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    lost: u64,
    back: u64,
    held: u64,
    leaders: u64,
    stalls: u64,
    old_steps: u64,
    old_orders: u64,
    drains: u64,
    moves: u64,
    regions: u64,
    hidden: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.back += other.back;
        self.held += other.held;
        self.leaders += other.leaders;
        self.stalls += other.stalls;
        self.old_steps += other.old_steps;
        self.old_orders += other.old_orders;
        self.drains += other.drains;
        self.moves += other.moves;
        self.regions += other.regions;
        self.hidden += other.hidden;
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(seed: u64, fault: Fault) -> Result<Counts, Violation> {
    let mut world = World::new(seed, fault);
    world.run().map(|()| world.counts)
}

#[test]
fn what_must_hold_holds_whatever_happens() {
    if let Some(seed) = from_environment("LOCUM_SEED") {
        println!("{:?}", run(seed, Fault::None).unwrap());
        return;
    }
    let seeds = from_environment("LOCUM_SEEDS").unwrap_or(SEEDS).max(SEEDS);
    let threads = thread::available_parallelism().map_or(2, usize::from).min(8) as u64;
    let share = |from: u64| {
        let mut total = Counts::default();
        for seed in (from..seeds).step_by(threads as usize) {
            match run(seed, Fault::None) {
                Ok(counts) => total.add(counts),
                Err(Violation { invariant, detail }) => panic!("seed {seed}: {invariant}: {detail}"),
            }
        }
        total
    };
    let mut total = Counts::default();
    thread::scope(|scope| {
        let shares: Vec<_> = (0..threads).map(|from| scope.spawn(move || share(from))).collect();
        for share in shares {
            total.add(share.join().unwrap());
        }
    });
    println!("{total:?}");
    for (what, count, least) in [
        ("nodes lost", total.lost, seeds),
        ("nodes back", total.back, seeds),
        ("returns that had to wait", total.held, seeds / 50),
        ("new leaders", total.leaders, seeds / 2),
        ("members that stood still", total.stalls, seeds / 2),
        ("old steps", total.old_steps, seeds / 20),
        ("old orders", total.old_orders, seeds / 20),
        ("drains", total.drains, seeds / 2),
        ("moves of the primary", total.moves, seeds / 20),
        ("regions down", total.regions, seeds / 20),
        ("nodes that nobody could see for four seconds", total.hidden, seeds / 2),
    ] {
        assert!(count >= least, "{count} {what}, at least {least} expected");
    }
}

#[test]
fn planted_mistakes_are_caught() {
    for (fault, invariant) in [
        (Fault::BlindCounts, "no_false_down"),
        (Fault::Impatient, "no_false_down"),
        (Fault::NotDamped, "damped"),
        (Fault::OldStepsCount, "old_steps_are_refused"),
        (Fault::ObeysAnybody, "orders_only_grow"),
        (Fault::DrainsForgotten, "drains_survive"),
    ] {
        // Some break other things too, and sooner.
        let found = (0..2_000).find_map(|seed| {
            let violation = run(seed, fault).err()?;
            (violation.invariant == invariant).then_some((seed, violation.detail))
        });
        let (seed, detail) = found.unwrap_or_else(|| panic!("{fault:?} was not caught"));
        println!("{fault:?}: seed {seed}: {invariant}: {detail}");
    }
}

/// SplitMix64: small, seeded, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from)
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn permille(&mut self, chance: u64) -> bool {
        self.next() % 1000 < chance
    }
}
