//! Seeded lives of a record group: hosts and the control plane crash, pause, lose their disks and each other;
//! messages are lost, repeated and late; disks are slow; people write, retry and read anywhere. What must
//! hold is checked after every step, by name. A failing run prints its seed; with `LOCUM_SEED=n` that one runs
//! alone, and `LOCUM_SEEDS=n` asks for so many.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a simulation that cannot go on fails, and says why"
)]

mod clients;
mod content;
mod counts;
mod fault;
mod host;
mod node;
mod random;
mod truth;
mod weather;
mod world;

use std::thread;

use counts::Counts;
use fault::Fault;
use truth::Violation;
use world::World;

const SEEDS: u64 = 10_000;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(seed: u64, fault: Fault) -> Result<Counts, Violation> {
    let mut world = World::new(seed, fault);
    world.run().map(|()| world.counts)
}

#[test]
fn invariants_hold_whatever_happens() {
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
        ("epochs", total.epochs, 2 * seeds),
        ("acknowledged writes", total.acks, 20 * seeds),
        ("reads", total.reads, 20 * seeds),
        ("retries", total.retries, seeds),
        ("crashes of hosts", total.crashes, seeds),
        ("crashes of the control plane", total.registry_crashes, seeds / 2),
        ("tails", total.tails, seeds / 20),
        ("lost disks", total.wipes, seeds / 20),
        ("moves by a person", total.moves, seeds / 20),
        ("changes of release", total.changes_of_release, seeds / 20),
        ("full disks", total.full_disks, seeds / 20),
    ] {
        assert!(count >= least, "{count} {what}, at least {least} expected");
    }
}

/// The first violation of a planted fault.
fn caught(fault: Fault) -> (u64, Violation) {
    let found = (0..3_000).find_map(|seed| Some((seed, run(seed, fault).err()?)));
    let (seed, violation) = found.unwrap_or_else(|| panic!("{fault:?} was not caught"));
    println!("{fault:?}: seed {seed}: {}: {}", violation.invariant, violation.detail);
    (seed, violation)
}

#[test]
fn planted_faults_are_caught() {
    for (fault, invariants) in [
        (Fault::OwnCopyIsEnough, &["acked_is_durable"][..]),
        (Fault::PromiseNotPersisted, &["no_empty_promotion"]),
        (Fault::LeaseFromAnswer, &["one_lease"]),
        (Fault::GreatestFrame, &["no_empty_promotion", "acked_is_durable"]),
        (Fault::ReportBeforeSync, &["acked_is_durable"]),
        (Fault::AppliesAfterPromise, &["acked_is_durable", "fenced_stays_fenced", "no_empty_promotion"]),
        (Fault::SameEpochAgain, &["one_writer"]),
        (Fault::DropsBeforeComplete, &["acked_is_durable", "no_empty_promotion", "tail_kept"]),
        (Fault::ShowsOwnTail, &["no_unacked_reads"]),
        (Fault::ShowsWhatItHolds, &["no_unacked_reads"]),
        (Fault::TailForgotten, &["tail_kept"]),
        (Fault::OutdatedUnsaid, &["available_after_healing"]),
    ] {
        let (_, violation) = caught(fault);
        assert!(invariants.contains(&violation.invariant), "{fault:?} broke {}", violation.invariant);
    }
}
