//! What to do next, from what is known: decides, without clock and without I/O.
//!
//! [`plan`] gives steps, each with the generation that begins with it. An executor takes them one by one: into
//! the record first, then into force. It may fail anywhere; the next plan begins from what is in the record
//! then. A step that was planned by somebody who did not know what is there now is refused
//! ([`Operations::apply`]), and so is an order of an older generation by the node that gets it.

mod draft;
mod operations;
mod patience;
mod sight;
#[cfg(test)]
mod simulation;
mod step;
mod timeline;

pub(crate) use operations::{Operations, StepRefused};
pub(crate) use patience::Patience;
pub(crate) use sight::{GroupSight, Place, Sight};
pub(crate) use step::{Action, Because, Step};
pub(crate) use timeline::{Author, Entry};

use std::time::Duration;

use locum_identity::Role;
use locum_replication::VoterStatus;

use crate::health::{self, Change, Condition};
use draft::Draft;

/// A voter further behind than this is not moved to while another one can be: it has to catch up while nobody
/// may write.
const FAR_BEHIND_FRAMES: u64 = 1_000;

/// The next steps, in their order; none when all is as it should be.
pub(crate) fn plan(operations: &Operations, sight: &Sight<'_>, now: Duration) -> Vec<Step> {
    let mut draft = Draft::new(operations, sight);
    standings(&mut draft, sight);
    regions(&mut draft, sight);
    orders(&mut draft, sight);
    primaries(&mut draft, sight, now);
    draft.steps()
}

/// Who is out, and who is back. An edge host comes back with its records: what it shows must be of today.
fn standings(draft: &mut Draft<'_>, sight: &Sight<'_>) {
    for verdict in sight.verdicts {
        let Some(place) = sight.place(&verdict.node) else { continue };
        if verdict.change == Change::Back && place.role == Role::Edge && !sight.has_caught_up(&place.node) {
            continue;
        }
        let (node, evidence) = (verdict.node.clone(), verdict.evidence.clone());
        draft.add(Action::Node { node, change: verdict.change, evidence }, verdict.after);
    }
}

fn regions(draft: &mut Draft<'_>, sight: &Sight<'_>) {
    for region in sight.regions() {
        let nodes = sight.places.iter().filter(|place| place.region == *region);
        let is_down = health::is_down(nodes.map(|place| draft.now().condition(&place.node)));
        if is_down != draft.now().down.contains(region) {
            draft.add(Action::Region { region: region.clone(), down: is_down }, Duration::ZERO);
        }
    }
}

/// Who should be empty is told so; who need not be any more is told so once it is well and has caught up.
fn orders(draft: &mut Draft<'_>, sight: &Sight<'_>) {
    for place in sight.places {
        let (wanted, told) = {
            let now = draft.now();
            (now.is_drained(&place.node, &place.region), now.is_told_to_drain(&place.node))
        };
        let is_well = draft.now().condition(&place.node) == Condition::Up
            && (place.role != Role::Edge || sight.has_caught_up(&place.node));
        let drain = match (wanted, told) {
            (true, false) => true,
            (false, true) if is_well => false,
            _ => continue,
        };
        draft.add(Action::Tell { node: place.node.clone(), drain }, Duration::ZERO);
    }
}

/// A primary that lives, and should live elsewhere. One that does not is the registry's to replace.
fn primaries(draft: &mut Draft<'_>, sight: &Sight<'_>, now: Duration) {
    for group in sight.groups.iter().filter(|group| group.is_served && !group.is_moving) {
        let Some((to, because)) = destination(draft.now(), sight, group) else { continue };
        if !sight.patience.is_over(&group.group, now) {
            continue;
        }
        let (epoch, to, group) = (group.epoch, to.node.clone(), group.group.clone());
        draft.add(Action::MovePrimary { group, epoch, to, because }, Duration::ZERO);
    }
}

/// Where a group's primary should go, if it should go anywhere and can.
fn destination<'a>(
    operations: &Operations,
    sight: &Sight<'_>,
    group: &'a GroupSight,
) -> Option<(&'a VoterStatus, Because)> {
    let primary = group.primary()?;
    let pinned = operations.pins.get(&group.group);
    let because = if operations.is_drained(&primary.node, &primary.region) {
        Because::Drained
    } else if operations.condition(&primary.node) != Condition::Up {
        Because::Lost
    } else if pinned.is_some_and(|region| *region != primary.region) {
        Because::Pinned
    } else {
        return None;
    };
    let may_lead = |voter: &&VoterStatus| {
        voter.node != primary.node
            && voter.is_current
            && operations.condition(&voter.node) == Condition::Up
            && !operations.is_drained(&voter.node, &voter.region)
            && !operations.is_told_to_drain(&voter.node)
            && sight.serves_records(&voter.node)
            && (because != Because::Pinned || pinned == Some(&voter.region))
    };
    let best = |(index, voter): &(usize, &VoterStatus)| {
        (pinned != Some(&voter.region), voter.behind > FAR_BEHIND_FRAMES, *index)
    };
    let able = group.voters.iter().filter(may_lead).enumerate();
    able.min_by_key(best).map(|(_, voter)| (voter, because))
}

#[cfg(test)]
mod tests;
