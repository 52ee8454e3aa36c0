use super::*;

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn at(epoch: u64, frame: u64) -> Position {
    Position::new(Epoch(epoch), FrameNo(frame))
}

fn kept(promised: u64, started: u64) -> Kept {
    Kept { store: StoreId(7), promised: Epoch(promised), started: Epoch(started) }
}

fn voter(kept: Kept, copy: Option<Position>) -> Voter {
    Voter::new("main".parse().unwrap(), node("b"), kept, copy)
}

fn view(epoch: u64, primary: &str) -> GroupView {
    GroupView {
        group: "main".parse().unwrap(),
        epoch: Epoch(epoch),
        primary: Some(node(primary)),
        start: None,
        lease_ms: None,
        prepare: None,
        quiesce: false,
        voters: vec![node("a"), node("b"), node("c")],
        regions: Vec::new(),
        w: 2,
        single_copy: false,
        complete: 1,
        missing: 0,
        again_ms: 500,
        history: Vec::new(),
    }
}

fn started(epoch: u64, start: Option<Position>) -> crate::EpochStart {
    crate::EpochStart { epoch: Epoch(epoch), primary: node("a"), start, accepted_loss: false }
}

fn preparing(epoch: u64, primary: &str, prepare: u64) -> GroupView {
    GroupView { prepare: Some(Epoch(prepare)), ..view(epoch, primary) }
}

fn hint(epoch: u64, frame: u64) -> Hint {
    Hint { group: "main".parse().unwrap(), epoch: Epoch(epoch), frame: FrameNo(frame), acked: None }
}

/// Follows `a` in epoch 1 and holds 5 frames of it.
fn following() -> Voter {
    let mut voter = voter(kept(1, 0), None);
    let follow = Action::Follow { epoch: Epoch(1), primary: node("a") };
    assert_eq!(voter.heard(view(1, "a")), [follow]);
    voter.copied(at(1, 5));
    voter
}

#[test]
fn it_follows_only_what_it_has_promised_on_disk() {
    let mut voter = voter(kept(0, 0), None);
    assert_eq!(voter.heard(view(1, "a")), [Action::Persist(kept(1, 0))]);
    assert_eq!(voter.standing(), &Standing::Idle);
    let follow = Action::Follow { epoch: Epoch(1), primary: node("a") };
    assert_eq!(voter.persisted(kept(1, 0), None), [Action::Ask, follow]);
}

#[test]
fn a_promise_binds_before_it_is_written_and_is_told_only_after() {
    let mut voter = following();
    let told = voter.heard(preparing(1, "a", 2));
    assert_eq!(told, [Action::Stop, Action::Persist(kept(2, 0))]);
    assert_eq!(voter.report().promised, Epoch(1));
    assert_eq!(voter.hint(&node("a"), &hint(1, 6)), HintAnswer::Asks, "it may yet be forgotten");
    assert_eq!(voter.copied(at(1, 6)), [], "nothing of that epoch is reported any more");
    assert!(!voter.may_follow(Epoch(1), &node("a")));
    assert_eq!(voter.persisted(kept(2, 0), Some(at(1, 6))), [Action::Ask]);
    assert_eq!((voter.report().promised, voter.report().copy), (Epoch(2), Some(at(1, 6))));
    assert_eq!(voter.hint(&node("a"), &hint(1, 6)), HintAnswer::Fenced { promised: Epoch(2) });
    assert_eq!(voter.heard(view(1, "a")), [], "an answer from before comes late");
    assert_eq!(voter.hint(&node("c"), &hint(2, 1)), HintAnswer::Asks, "promised, not yet appointed");
}

#[test]
fn it_reports_what_it_holds_to_its_primary_and_only_as_a_voter() {
    let mut voter = following();
    let report = CopyReport { group: "main".parse().unwrap(), epoch: Epoch(1), frame: FrameNo(6) };
    let told = Action::Report { to: node("a"), report };
    assert_eq!(voter.copied(at(1, 6)), [told]);
    assert_eq!(voter.copied(at(1, 6)), []);
    assert_eq!(voter.copied(at(2, 9)), [], "not an epoch it follows");
    voter.heard(GroupView { voters: vec![node("a"), node("c")], ..view(1, "a") });
    assert_eq!(voter.copied(at(1, 7)), []);
    assert_eq!(voter.report_again(), None);
}

#[test]
fn it_leads_once_in_an_epoch_and_only_from_what_it_promised() {
    let appointed = GroupView { start: Some(at(1, 5)), ..view(2, "b") };
    let mut voter = following();
    let told = voter.heard(appointed.clone());
    assert_eq!(told, [Action::Stop, Action::Persist(kept(2, 2))]);
    let told = voter.persisted(kept(2, 2), Some(at(1, 5)));
    assert_eq!(told, [Action::Lead { epoch: Epoch(2) }, Action::Ask]);
    assert_eq!(voter.report().renew, Some(Epoch(2)));
    assert!(voter.may_serve(Epoch(2)));
    voter.committed(Epoch(2), FrameNo(3));
    assert_eq!(voter.copy(), Some(at(2, 3)));
    voter.acknowledged(at(2, 3));
    assert_eq!(voter.showable(), None, "whether it may show anything depends on its lease");
    assert_eq!(voter.engine_stopped(Epoch(2)), [Action::Ask]);
    assert_eq!(voter.heard(appointed.clone()), [], "never twice");
    assert_eq!((voter.report().renew, voter.report().started), (None, Epoch(2)));

    // The same after a restart of the host.
    let mut again = self::voter(kept(2, 2), Some(at(2, 3)));
    assert_eq!(again.heard(appointed.clone()), []);
    // And never on less than it was appointed for.
    let mut lost = self::voter(kept(0, 0), None);
    assert_eq!(lost.heard(appointed), []);
}

#[test]
fn who_is_asked_for_a_promise_while_preparing_to_lead_does_not_lead() {
    let mut voter = voter(kept(1, 0), None);
    assert_eq!(voter.heard(view(1, "b")), [Action::Persist(kept(1, 1))]);
    voter.heard(preparing(1, "b", 2));
    assert_eq!(voter.persisted(kept(1, 1), None), [Action::Ask, Action::Persist(kept(2, 1))]);
}

#[test]
fn a_tail_is_kept_before_the_new_epoch_is_followed() {
    let mut voter = voter(kept(2, 1), Some(at(1, 12)));
    let history = vec![started(1, None), started(2, Some(at(1, 10)))];
    let told = voter.heard(GroupView { history, ..view(2, "a") });
    let tail = Tail { after: Some(at(1, 10)) };
    let follow = Action::Follow { epoch: Epoch(2), primary: node("a") };
    assert_eq!(told, [Action::KeepTail { copy: at(1, 12), tail }, follow]);
    voter.acknowledged(at(2, 3));
    assert_eq!(voter.showable(), None, "what did not become history is not shown");
    voter.copied(at(2, 1));
    assert_eq!(voter.showable(), Some(at(2, 1)));
}

#[test]
fn older_copies_go_once_enough_hold_the_new_one() {
    let mut voter = voter(kept(2, 0), Some(at(1, 5)));
    voter.heard(GroupView { complete: 2, ..view(2, "a") });
    let told = voter.copied(at(2, 1));
    assert!(told.contains(&Action::DropOlder { epoch: Epoch(2) }), "{told:?}");
    assert_eq!(voter.heard(GroupView { complete: 3, ..view(2, "a") }), [], "once");

    let mut alone = self::voter(kept(2, 0), Some(at(1, 5)));
    alone.heard(view(2, "a"));
    let told = alone.copied(at(2, 1));
    assert!(!told.contains(&Action::DropOlder { epoch: Epoch(2) }), "{told:?}");
}

#[test]
fn it_shows_only_what_it_was_told_is_acknowledged() {
    let mut voter = following();
    assert_eq!(voter.showable(), None, "it may be ahead of the primary's own copy");
    let acked = |frame| Hint { acked: Some(FrameNo(frame)), ..hint(1, 6) };
    assert_eq!(voter.hint(&node("a"), &acked(4)), HintAnswer::Fetches);
    assert_eq!(voter.showable(), None);
    voter.acknowledged(at(2, 9));
    assert_eq!(voter.showable(), None, "not an epoch it takes part in");
    voter.hint(&node("a"), &acked(5));
    assert_eq!(voter.showable(), Some(at(1, 5)));
    voter.heard(preparing(1, "a", 2));
    assert_eq!(voter.showable(), Some(at(1, 5)), "also while nobody leads");
    let history = vec![started(1, None), started(2, Some(at(1, 5)))];
    voter.persisted(kept(2, 0), Some(at(1, 5)));
    voter.heard(GroupView { history, ..view(2, "c") });
    voter.acknowledged(at(2, 1));
    assert_eq!(voter.showable(), Some(at(1, 5)), "the new epoch grew out of it");
}
