//! Seeded lives of a control plane of several members: they crash, stand still, are suspended, lose each other one way or
//! both; messages are lost, repeated and late; every clock runs at its own speed. A simple Raft agrees on the record;
//! who may grant a lease is decided by the crate's own `Asked`, `Round` and `GroupRegistry`, and held by its own
//! `Voter` and `Primary`. What must hold is checked after every step, by name. A failing run prints its seed; with
//! `LOCUM_SEED=n` that one runs alone, and `LOCUM_SEEDS=n` asks for so many.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a simulation that cannot go on fails, and says why"
)]

mod host;
mod member;
mod raft;
#[path = "../simulation/random.rs"]
mod random;
mod world;

use std::thread;

use world::{Counts, Fault, Violation, World};

const SEEDS: u64 = 10_000;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(seed: u64, fault: Fault) -> Result<Counts, Violation> {
    let mut world = World::new(seed, fault);
    world.run().map(|()| world.counts)
}

#[test]
fn one_host_at_most_holds_a_lease_whoever_leads() {
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
        ("reigns", total.reigns, 3 * seeds),
        ("epochs", total.epochs, 2 * seeds),
        ("leases", total.leases, 10 * seeds),
        ("crashes of members", total.crashes, seeds),
        ("rounds in vain", total.vain, seeds),
    ] {
        assert!(count >= least, "{count} {what}, at least {least} expected");
    }
}

#[test]
fn planted_faults_are_caught() {
    for (fault, invariants) in [
        (Fault::NewLeaderDoesNotWait, &["one_lease"][..]),
        (Fault::LeaseWithoutConfirmation, &["one_lease"]),
        (Fault::AgeForgotten, &["one_lease"]),
        (Fault::TermForgotten, &["one_leader", "agreed_stays", "one_primary"]),
    ] {
        let found = (0..12_000).find_map(|seed| Some((seed, run(seed, fault).err()?)));
        let (seed, violation) = found.unwrap_or_else(|| panic!("{fault:?} was not caught"));
        println!("{fault:?}: seed {seed}: {}: {}", violation.invariant, violation.detail);
        assert!(invariants.contains(&violation.invariant), "{fault:?} broke {}", violation.invariant);
    }
}
