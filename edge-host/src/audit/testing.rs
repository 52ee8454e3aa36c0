//! Events and keys for unit tests.

use super::event::{Action, Event};
use super::frame::Sealer;
use crate::store::{DerivedKey, GroupId};

pub(crate) fn group() -> GroupId {
    GroupId::try_from("main".to_owned()).unwrap()
}

pub(crate) fn sealer() -> Sealer {
    Sealer::new(&group(), &DerivedKey::of_test(7)).unwrap()
}

pub(crate) fn event(number: u64) -> Event {
    Event {
        recorded_at_ms: 1_700_000_000_000 + i64::try_from(number).unwrap(),
        clinic: "demo".to_owned(),
        request: format!("request-{number}"),
        region: "eu-central".to_owned(),
        node: "edge-1".to_owned(),
        status: 200,
        action: Action::R,
        code: "note-read".to_owned(),
        agent_type: "staff".to_owned(),
        agent: Some("u-1".to_owned()),
        entity_type: Some("Encounter".to_owned()),
        entity: Some(format!("e-{number}")),
        patient: None,
        purpose: None,
        token: None,
        old: None,
        new: None,
    }
}
