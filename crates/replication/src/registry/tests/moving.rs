//! A person moves the primary.

use super::*;

#[test]
fn a_person_moves_the_primary_without_losing_anything() {
    let mut group = Group::led_by_west(10, 8);
    let plan = group.registry.plan(&node("central"), false, group.now).unwrap();
    assert_eq!((plan.promotion, plan.at_risk.len()), (Promotion::Switchover, 0));
    group.registry.promote(&plan, group.now).unwrap();
    assert!(group.says("west").quiesce);
    assert!(!group.says("east").quiesce);
    group.said.get_mut("west").unwrap().quiesced = true;
    group.says("west");
    assert_eq!(group.says("central").prepare, None, "it lacks two frames");
    group.said.get_mut("central").unwrap().copy = Some(at(1, 10));
    assert_eq!(group.says("central").prepare, Some(Epoch(2)));
    for name in ["west", "central"] {
        group.promises(name);
    }
    assert_eq!(group.primary(), ("central", 2), "among equals whom the person wants");
}

#[test]
fn who_could_lead_is_told_apart_from_who_could_not() {
    let mut group = Group::led_by_west(10, 8);
    let told = |group: &Group| -> Vec<(String, bool, u64)> {
        let statuses = group.registry.voter_statuses(group.now);
        statuses.into_iter().map(|voter| (voter.region.to_string(), voter.is_current, voter.behind)).collect()
    };
    let expected = [("west", true, 0), ("east", true, 0), ("central", true, 2)];
    assert_eq!(told(&group), expected.map(|(region, is, behind)| (region.to_owned(), is, behind)));
    assert!(!group.registry.is_moving());
    group.later(3_000);
    group.says("east");
    group.said.get_mut("central").unwrap().copy = Some(at(0, 900));
    let current: Vec<bool> = told(&group).into_iter().map(|(_, is_current, _)| is_current).collect();
    assert_eq!(current, [false, true, false], "who is silent, or of another epoch, could not");
    group.said.get_mut("central").unwrap().copy = Some(at(1, 8));
    group.says("central");
    let plan = group.registry.plan(&node("east"), false, group.now).unwrap();
    assert!(!group.registry.is_moving(), "a plan moves nothing");
    group.registry.promote(&plan, group.now).unwrap();
    assert!(group.registry.is_moving());
}

#[test]
fn a_primary_that_does_not_come_to_rest_goes_on() {
    let mut group = Group::led_by_west(10, 10);
    let plan = group.registry.plan(&node("east"), false, group.now).unwrap();
    group.registry.promote(&plan, group.now).unwrap();
    for _ in 0..10 {
        group.later(500);
        group.says("west");
    }
    let view = group.says("west");
    assert_eq!((view.quiesce, view.lease_ms), (false, Some(4_000)));
}

#[test]
fn accepting_loss_names_what_is_at_risk() {
    let mut group = Group::led_by_west(10, 8);
    group.later(4_500);
    group.promises("central");
    let target = node("central");
    let refused = group.registry.plan(&target, false, group.now);
    assert_eq!(refused, Err(PromoteError::TooFew { answering: 1, needed: 2 }));
    let plan = group.registry.plan(&target, true, group.now).unwrap();
    assert_eq!((plan.promotion, plan.from), (Promotion::AcceptLoss, at(1, 8)));
    let silent: Vec<_> = plan.at_risk.iter().map(|risk| (risk.node.as_str(), risk.copy)).collect();
    assert_eq!(silent, [("west", Some(at(1, 10))), ("east", Some(at(1, 10)))]);
    let stale = PromotionPlan { from: at(1, 7), ..plan.clone() };
    assert_eq!(group.registry.promote(&stale, group.now), Err(PromoteError::Changed));
    group.registry.promote(&plan, group.now).unwrap();
    let view = group.says("central");
    assert_eq!(group.primary(), ("central", 2));
    assert!(view.history.last().unwrap().accepted_loss);
}

#[test]
fn who_holds_less_is_not_promoted_by_a_person_either() {
    let mut group = Group::led_by_west(10, 8);
    group.later(4_500);
    group.says("central");
    group.says("east");
    let refused = group.registry.plan(&node("central"), true, group.now);
    assert_eq!(refused, Err(PromoteError::Behind { target: node("central"), better: node("east") }));
    let stranger = group.registry.plan(&node("second"), false, group.now);
    assert_eq!(stranger, Err(PromoteError::NoVoter { target: node("second") }));
}

/// Others may be quicker to promise, and enough to begin the epoch without whom the person wants.
#[test]
fn whom_a_person_wants_is_waited_for_while_it_answers() {
    let moved = || {
        let mut group = Group::led_by_west(10, 10);
        let plan = group.registry.plan(&node("central"), false, group.now).unwrap();
        group.registry.promote(&plan, group.now).unwrap();
        group.said.get_mut("west").unwrap().quiesced = true;
        group.says("west");
        group.says("central");
        for name in ["west", "east"] {
            group.promises(name);
        }
        assert_eq!(group.primary(), ("west", 1), "not before central has promised, or is silent");
        group
    };
    let mut group = moved();
    group.promises("central");
    assert_eq!(group.primary(), ("central", 2));

    let mut group = moved();
    for _ in 0..8 {
        group.later(500);
        group.says("west");
        group.says("east");
    }
    assert_eq!(group.primary().1, 2, "silence ends the wait");
    assert_ne!(group.primary().0, "central");
}

/// Whoever holds most leads even if it can serve nothing: its copy is handed on, then the group moves.
#[test]
fn a_primary_that_is_too_old_for_its_copy_hands_it_on() {
    let mut group = Group::led_by_west(10, 8);
    group.said.get_mut("east").unwrap().outdated = true;
    group.later(4_500);
    for name in ["east", "central"] {
        group.promises(name);
    }
    assert_eq!(group.primary(), ("east", 2), "it holds what may be acknowledged");
    group.said.get_mut("east").unwrap().copy = Some(at(2, 3));
    group.begins("east", 2);
    assert!(!group.says("east").quiesce, "nobody else has it yet");
    group.said.get_mut("central").unwrap().copy = Some(at(2, 3));
    group.says("central");
    assert!(group.says("east").quiesce);
    group.said.get_mut("east").unwrap().quiesced = true;
    group.says("east");
    for name in ["east", "central"] {
        group.promises(name);
    }
    assert_eq!(group.primary(), ("central", 3));
}

#[test]
fn among_equals_whoever_can_serve_its_copy_leads() {
    let mut group = Group::led_by_west(10, 10);
    group.said.get_mut("east").unwrap().outdated = true;
    group.later(4_500);
    for name in ["east", "central"] {
        group.promises(name);
    }
    assert_eq!(group.primary(), ("central", 2));
}

#[test]
fn nobody_moves_a_group_to_where_it_cannot_be_served() {
    let mut group = Group::led_by_west(10, 10);
    group.said.get_mut("east").unwrap().outdated = true;
    group.says("east");
    let refused = group.registry.plan(&node("east"), false, group.now);
    assert_eq!(refused, Err(PromoteError::Outdated { target: node("east") }));
}
