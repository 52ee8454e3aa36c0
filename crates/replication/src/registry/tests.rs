use super::*;
use crate::{FrameNo, Position, StoreId};

const STORES: [(&str, u64); 4] = [("west", 1), ("east", 2), ("central", 3), ("second", 4)];

/// A registry and what its hosts last said.
struct Group {
    registry: GroupRegistry,
    said: BTreeMap<&'static str, GroupReport>,
    now: Duration,
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn config(regions: &[&str]) -> GroupConfig {
    GroupConfig {
        regions: regions.iter().map(|region| region.parse().unwrap()).collect(),
        single_copy: false,
    }
}

fn at(epoch: u64, frame: u64) -> Position {
    Position::new(Epoch(epoch), FrameNo(frame))
}

impl Group {
    fn new(regions: &[&'static str]) -> Self {
        let registry = GroupRegistry::new(
            "main".parse().unwrap(),
            &config(regions),
            None,
            Duration::ZERO,
            Duration::ZERO,
        );
        let said = STORES.iter().map(|(name, store)| {
            let report = GroupReport {
                group: "main".parse().unwrap(),
                store: StoreId(*store),
                promised: Epoch::ZERO,
                copy: None,
                started: Epoch::ZERO,
                renew: None,
                quiesced: false,
                known: Epoch::ZERO,
                outdated: false,
            };
            (*name, report)
        });
        Self { registry: registry.unwrap(), said: said.collect(), now: Duration::ZERO }
    }

    /// `west`, `east` and `central`; `west` leads epoch 1 and holds 10 frames, the others as given.
    fn led_by_west(east: u64, central: u64) -> Self {
        let mut group = Self::new(&["west", "east", "central"]);
        for _ in 0..2 {
            for name in ["west", "east", "central"] {
                group.says(name);
                group.promises(name);
            }
        }
        assert_eq!(group.primary(), ("west", 1));
        group.begins("west", 1);
        for (name, frame) in [("west", 10), ("east", east), ("central", central)] {
            group.said.get_mut(name).unwrap().copy = Some(at(1, frame));
            group.says(name);
        }
        group
    }

    /// A host says what it said before, or what changed since.
    fn says(&mut self, name: &'static str) -> GroupView {
        let region = if name == "second" { "west" } else { name };
        let report = self.said[name].clone();
        self.registry.hear(&node(name), &region.parse().unwrap(), &report, self.now).unwrap();
        self.writes();
        self.registry.view(&node(name), report.known, self.now)
    }

    fn writes(&mut self) {
        while let Some(next) = self.registry.next(self.now) {
            self.registry.commit(next, self.now);
        }
    }

    /// Promises what it is asked to, if anything.
    fn promises(&mut self, name: &'static str) -> GroupView {
        let view = self.says(name);
        let Some(prepare) = view.prepare else { return view };
        let report = self.said.get_mut(name).unwrap();
        report.promised = prepare;
        report.renew = None;
        self.says(name)
    }

    fn begins(&mut self, name: &'static str, epoch: u64) -> GroupView {
        let report = self.said.get_mut(name).unwrap();
        report.started = Epoch(epoch);
        report.renew = Some(Epoch(epoch));
        self.says(name)
    }

    fn later(&mut self, ms: u64) {
        // As often as the control plane does: a longer gap means that it did not run.
        for _ in 0..ms / 100 {
            self.now += Duration::from_millis(100);
            self.registry.look(self.now);
        }
        self.writes();
    }

    fn primary(&self) -> (&str, u64) {
        let record = self.registry.record();
        (record.primary.as_ref().map_or("", |primary| primary.as_str()), record.epoch.0)
    }

    fn restart(&mut self) {
        let record = Some(self.registry.record().clone());
        let regions = ["west", "east", "central"];
        self.registry =
            GroupRegistry::new("main".parse().unwrap(), &config(&regions), record, self.now, self.now)
                .unwrap();
    }
}

#[test]
fn it_begins_only_when_everybody_is_there_and_empty() {
    let mut group = Group::new(&["west", "east", "central"]);
    for name in ["west", "east"] {
        group.says(name);
        assert_eq!(group.promises(name).voters, [], "a seat is empty");
    }
    assert_eq!(group.primary(), ("", 0));
    group.says("central");
    group.promises("central");
    assert_eq!(group.primary(), ("west", 1), "the first region declared");
    let view = group.begins("west", 1);
    assert_eq!((view.lease_ms, view.w, view.voters.len()), (Some(4_000), 2, 3));
    assert_eq!(group.says("east").lease_ms, None);
}

#[test]
fn of_two_hosts_in_a_region_the_first_votes() {
    let mut group = Group::new(&["west", "east", "central"]);
    for name in ["second", "west", "east", "central"] {
        group.says(name);
    }
    let view = group.says("west");
    assert_eq!(view.voters, [node("second"), node("east"), node("central")]);
    assert_eq!(view.prepare, None, "nobody asks it for a promise");
    group.said.get_mut("west").unwrap().promised = Epoch(1);
    group.promises("east");
    group.promises("central");
    group.says("west");
    assert_eq!(group.primary(), ("", 0), "its promise is not the voter's");
}

#[test]
fn the_greatest_copy_among_enough_promises_leads() {
    let mut group = Group::led_by_west(9, 8);
    group.later(4_400);
    assert_eq!(group.says("central").prepare, None, "the lease may still be held");
    group.later(100);
    group.promises("central");
    assert_eq!(group.primary(), ("west", 1), "one promise of two");
    assert_eq!(group.registry.status(group.now).missing, 1);
    group.promises("east");
    assert_eq!(group.primary(), ("east", 2));
    assert_eq!(group.says("central").start, Some(at(1, 9)));
    assert_eq!(group.registry.status(group.now).missing, 0);
}

#[test]
fn the_one_who_lacks_the_acknowledged_frame_is_not_promoted_alone() {
    // west acknowledged 10 with east; west dies while east does not reach the control plane.
    let mut group = Group::led_by_west(10, 8);
    group.later(4_500);
    group.promises("central");
    for _ in 0..100 {
        group.later(500);
        group.says("central");
    }
    assert_eq!(group.primary(), ("west", 1));
    group.promises("east");
    assert_eq!(group.primary(), ("east", 2));
}

#[test]
fn nobody_succeeds_a_primary_that_may_still_hold_its_lease() {
    let mut group = Group::led_by_west(10, 10);
    // A promise for an epoch this process does not know of: it prepares, but does not appoint.
    for name in ["east", "central"] {
        group.said.get_mut(name).unwrap().promised = Epoch(2);
        group.says(name);
    }
    assert_eq!(group.says("west").lease_ms, None, "from now on none is granted");
    assert_eq!(group.primary(), ("west", 1));
    group.later(4_500);
    for name in ["east", "central"] {
        group.says(name);
    }
    assert_eq!(group.primary(), ("east", 2));
}

#[test]
fn an_engine_that_stopped_is_followed_by_a_new_epoch_at_once() {
    let mut group = Group::led_by_west(10, 10);
    group.said.get_mut("west").unwrap().renew = None;
    assert_eq!(group.says("west").prepare, Some(Epoch(2)));
    group.promises("west");
    group.promises("central");
    assert_eq!(group.primary(), ("west", 2), "its own promise ends its lease");
}

#[test]
fn late_reports_change_nothing() {
    let mut group = Group::led_by_west(10, 10);
    let early = GroupReport {
        promised: Epoch(1),
        copy: None,
        started: Epoch::ZERO,
        renew: None,
        ..group.said["west"].clone()
    };
    let now = group.said.insert("west", early).unwrap();
    let view = group.says("west");
    assert_eq!((view.prepare, view.complete), (None, 3));
    group.said.insert("west", now);
    assert_eq!(group.says("west").lease_ms, Some(4_000));
    // Now its engine stops, and a renewal from before comes after.
    let running = group.said["west"].clone();
    group.said.get_mut("west").unwrap().renew = None;
    group.says("west");
    group.said.insert("west", running);
    assert_eq!(group.says("west").lease_ms, None);
}

#[test]
fn who_was_appointed_and_died_before_anybody_copied_is_succeeded_by_the_old_copies() {
    let mut group = Group::led_by_west(10, 8);
    group.later(4_500);
    group.promises("east");
    group.promises("central");
    assert_eq!(group.primary(), ("east", 2));
    group.said.get_mut("east").unwrap().copy = Some(at(2, 3));
    group.begins("east", 2);
    // east dies; west comes back, with a tail that nobody acknowledged.
    group.later(4_500);
    group.promises("central");
    group.said.get_mut("west").unwrap().copy = Some(at(1, 12));
    group.promises("west");
    assert_eq!(group.primary(), ("west", 3));
    assert_eq!(group.says("central").start, Some(at(1, 12)));
}

#[test]
fn an_epoch_counts_more_than_a_frame() {
    let mut group = Group::led_by_west(10, 500);
    group.said.get_mut("east").unwrap().copy = Some(at(2, 3));
    group.later(4_500);
    group.promises("central");
    group.promises("east");
    assert_eq!(group.primary().0, "east");
}

#[test]
fn a_lost_disk_does_not_count_until_it_is_complete_again() {
    let mut group = Group::led_by_west(10, 8);
    let east = group.said.get_mut("east").unwrap();
    *east = GroupReport { store: StoreId(9), promised: Epoch::ZERO, copy: None, ..east.clone() };
    group.says("east");
    group.later(4_500);
    group.promises("east");
    group.promises("central");
    assert_eq!(group.primary(), ("west", 1), "it would have outvoted what its old disk acknowledged");
    group.said.get_mut("east").unwrap().copy = Some(at(1, 10));
    group.says("east");
    assert_eq!(group.primary(), ("east", 2));
}

#[test]
fn nothing_begins_empty_once_something_was_there() {
    let mut group = Group::led_by_west(10, 10);
    for (name, store) in [("west", 11), ("east", 12), ("central", 13)] {
        let report = group.said.get_mut(name).unwrap();
        *report = GroupReport {
            store: StoreId(store),
            promised: Epoch::ZERO,
            copy: None,
            started: Epoch::ZERO,
            renew: None,
            ..report.clone()
        };
    }
    for _ in 0..20 {
        group.later(500);
        for name in ["west", "east", "central"] {
            group.promises(name);
        }
    }
    assert_eq!(group.primary(), ("west", 1));
}

#[test]
fn nothing_begins_empty_when_copies_are_gone_and_their_hosts_do_not_notice() {
    let mut group = Group::led_by_west(10, 10);
    group.restart();
    for report in group.said.values_mut() {
        *report = GroupReport { copy: None, renew: None, ..report.clone() };
    }
    for _ in 0..20 {
        group.later(500);
        for name in ["west", "east", "central"] {
            group.promises(name);
        }
    }
    assert_eq!(group.primary(), ("west", 1));
}

#[test]
fn a_restarted_control_plane_leaves_the_primary_its_lease_and_takes_nobody_elses_word() {
    let mut group = Group::led_by_west(10, 10);
    group.restart();
    assert_eq!(group.says("west").lease_ms, Some(4_000), "it goes on at once");
    group.restart();
    for _ in 0..8 {
        group.later(500);
        group.says("east");
        assert_eq!(group.says("central").prepare, None);
    }
    group.later(500);
    assert_eq!(group.says("central").prepare, Some(Epoch(2)));
    // Forgotten in the middle of preparing: the promise that was given brings it back.
    group.promises("central");
    group.restart();
    group.says("central");
    assert_eq!(group.says("east").prepare, Some(Epoch(2)));
}

#[test]
fn a_control_plane_that_did_not_run_gives_primaries_time() {
    let mut group = Group::led_by_west(10, 10);
    group.now += Duration::from_secs(20);
    group.registry.look(group.now);
    assert_eq!(group.says("west").lease_ms, Some(4_000));
}

#[test]
fn a_late_report_takes_no_promise_back() {
    let mut group = Group::led_by_west(10, 8);
    let before = group.said["central"].clone();
    group.later(4_500);
    group.promises("central");
    let now = group.said.insert("central", before).unwrap();
    assert_eq!(group.says("central").prepare, None);
    group.said.insert("central", now);
    group.promises("east");
    assert_eq!(group.primary(), ("east", 2));
}

#[test]
fn a_late_report_of_a_lost_disk_is_not_taken_for_a_new_one() {
    let mut group = Group::led_by_west(10, 8);
    let before = group.said["east"].clone();
    let empty = GroupReport { store: StoreId(9), promised: Epoch::ZERO, copy: None, ..before.clone() };
    group.said.insert("east", empty.clone());
    group.says("east");
    group.said.insert("east", before);
    assert_eq!(group.says("east").complete, 2, "what is gone does not count");
    group.said.insert("east", empty);
    group.later(4_500);
    group.promises("east");
    group.promises("central");
    assert_eq!(group.primary(), ("west", 1));
}

#[test]
fn the_next_epoch_is_above_all_that_were_promised() {
    let mut group = Group::led_by_west(10, 10);
    group.said.get_mut("east").unwrap().promised = Epoch(7);
    group.says("east");
    assert_eq!(group.says("central").prepare, Some(Epoch(7)));
    group.promises("central");
    group.promises("west");
    assert_eq!(group.primary(), ("west", 7));
}

#[test]
fn damage_does_not_spend_all_epochs() {
    let mut group = Group::led_by_west(10, 10);
    let report = GroupReport { promised: Epoch(u64::MAX), ..group.said["east"].clone() };
    let refused = group.registry.hear(&node("east"), &"east".parse().unwrap(), &report, group.now);
    assert_eq!(refused, Err(ReportRefused::TooFarAhead));
}

#[test]
fn other_regions_are_refused() {
    let record = Group::led_by_west(1, 1).registry.record().clone();
    let other = config(&["west", "east"]);
    assert!(
        GroupRegistry::new("main".parse().unwrap(), &other, Some(record), Duration::ZERO, Duration::ZERO)
            .is_err()
    );
}

/// Restored to a host of another region: its own begin nothing over it.
#[test]
fn nothing_begins_empty_while_another_region_holds_a_copy() {
    let mut group = Group::new(&["east", "central"]);
    group.said.get_mut("west").unwrap().copy = Some(at(1, 10));
    group.says("west");
    for _ in 0..2 {
        for name in ["east", "central"] {
            group.says(name);
            group.promises(name);
        }
    }
    let status = group.registry.status(group.now);
    assert_eq!((status.primary, status.misplaced), (None, vec![node("west")]));
    // Its folder was removed.
    group.said.get_mut("west").unwrap().copy = None;
    group.says("west");
    group.says("east");
    assert_eq!(group.primary(), ("east", 1));
    assert_eq!(group.registry.status(group.now).misplaced, []);
}

#[test]
fn a_copy_that_is_not_heard_of_any_more_does_not_count_as_complete() {
    let mut group = Group::led_by_west(10, 10);
    assert_eq!(group.registry.status(group.now).complete, 3);
    for _ in 0..10 {
        group.later(400);
        group.says("west");
        group.says("east");
    }
    assert_eq!(group.registry.status(group.now).complete, 2);
    assert_eq!(group.says("west").complete, 3, "of what a host may drop it still counts");
}

#[test]
fn one_region_stands_alone() {
    let mut group = Group::new(&["west"]);
    group.says("west");
    let view = group.promises("west");
    assert_eq!((group.primary(), view.w), (("west", 1), 1));
}

mod moving;

/// As one without room on its disk would, which steps down with a change that nobody else has.
#[test]
fn whoever_cannot_begin_is_passed_over_even_if_it_holds_more() {
    let mut group = Group::led_by_west(10, 10);
    let west = group.said.get_mut("west").unwrap();
    (west.copy, west.renew) = (Some(at(1, 11)), None);
    for expected in [("west", 2), ("east", 3)] {
        for name in ["west", "east", "central"].repeat(2) {
            group.promises(name);
        }
        assert_eq!(group.primary(), expected);
        // It has a lease while its engine starts.
        group.begins("west", 2);
        group.said.get_mut("west").unwrap().renew = None;
    }
    let newest = group.registry.record().history.since(Epoch(2)).last().cloned().unwrap();
    assert_eq!((newest.start, newest.accepted_loss), (Some(at(1, 10)), false));
}

/// What only one of two holds may have been acknowledged.
#[test]
fn with_too_few_others_whoever_holds_more_leads_again() {
    let mut group = Group::led_by_west(10, 9);
    let west = group.said.get_mut("west").unwrap();
    (west.copy, west.renew) = (Some(at(1, 11)), None);
    for _ in 0..3 {
        let (_, before) = group.primary();
        for name in ["west", "central"].repeat(4) {
            group.later(1_000);
            group.promises(name);
        }
        let (primary, epoch) = group.primary();
        assert!(primary == "west" && epoch > before, "{primary} leads epoch {epoch} after {before}");
        group.said.get_mut("west").unwrap().started = Epoch(epoch);
    }
}
