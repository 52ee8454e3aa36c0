//! People whom the fault meets: one with a page open, one in a call, one who comes anew. Each does what the pages
//! do, and stops as soon as it is served.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;

use super::canary::Visit;
use super::log::What;
use super::person::{Door, Person};
use super::stage::Stage;

/// Who waits longer for a host that says nothing asks the next one.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A request that writes may be waiting for the next primary.
const WRITTEN_WITHIN: Duration = Duration::from_secs(4);
/// Between two rounds of asking: the resolution of what is measured here.
const AGAIN: Duration = Duration::from_millis(50);

/// A place in a call, as `POST /tokens/join` answers it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Place {
    token: String,
    nodes: Vec<MediaNode>,
}

#[derive(Clone, Debug, Deserialize)]
struct MediaNode {
    id: String,
    url: String,
}

/// Who is in the middle of what when the fault comes.
pub(super) struct People {
    /// Where they are.
    pub region: String,
    /// A doctor of the canary.
    pub doctor: Person,
    /// The visit whose call is open.
    pub visit: Visit,
    /// A place in it, from before the fault.
    pub held: Place,
}

/// Lets them go on from now, which is when the fault has come. `away`: nodes that nobody should be sent to.
pub(super) fn start(stage: &Stage, people: &People, away: &BTreeSet<String>) -> JoinSet<()> {
    let mut going_on = JoinSet::new();
    let doors = stage.doors_from(&people.region);
    going_on.spawn(browse(stage.clone(), people.doctor.another(), doors.clone()));
    going_on.spawn(hold_on(stage.clone(), people.held.clone()));
    let comes = Person::another(&people.doctor);
    going_on.spawn(come_anew(stage.clone(), comes, people.visit.clone(), doors, away.clone()));
    going_on
}

/// A place in the visit's call, through the first of `doors` that gives one.
pub(super) async fn join(doctor: &Person, doors: &[Door], visit: &Visit) -> Option<Place> {
    for door in doors {
        let body = json!({"appointment": visit.appointment});
        let asked = doctor.send(door, Method::POST, "/tokens/join", Some(&body), &[]);
        if let Ok(Ok(answer)) = tokio::time::timeout(WRITTEN_WITHIN, asked).await
            && answer.status == 201
            && let Ok(place) = serde_json::from_value::<Place>(answer.body)
        {
            return Some(place);
        }
    }
    None
}

/// Somebody with a page open asks for something that is only read, their own region's hosts first.
async fn browse(stage: Stage, person: Person, doors: Vec<Door>) {
    loop {
        for door in &doors {
            let asked = person.get(door, "/scheduling/clinic");
            if let Ok(Ok(answer)) = tokio::time::timeout(ANSWER_WITHIN, asked).await
                && answer.status == 200
            {
                stage.log.note(What::Edge { host: door.host.clone() });
                return;
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Somebody in a call tries the media nodes of the list they hold, best first.
async fn hold_on(stage: Stage, place: Place) {
    loop {
        for node in &place.nodes {
            if lets_in(&stage.client, node, &place.token).await {
                stage.log.note(What::Held { node: node.id.clone() });
                return;
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Somebody asks for a place until the node named first is one that lets them in.
async fn come_anew(stage: Stage, person: Person, visit: Visit, doors: Vec<Door>, away: BTreeSet<String>) {
    loop {
        if let Some(place) = join(&person, &doors, &visit).await
            && let Some(first) = place.nodes.first().filter(|first| !away.contains(&first.id))
            && lets_in(&stage.client, first, &place.token).await
        {
            stage.log.note(What::Joined { node: first.id.clone() });
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether a media node opens the signalling of a call: it has then verified the token and made a participant,
/// who leaves at once.
async fn lets_in(client: &Client, node: &MediaNode, token: &str) -> bool {
    // The WebSocket's scheme is HTTP's until it is one (RFC 6455 §4).
    let base = node.url.replacen("ws", "http", usize::from(node.url.starts_with("ws")));
    // A join request without fields has no bytes.
    let url = format!("{}/rtc/v1?access_token={token}&join_request=", base.trim_end_matches('/'));
    let asked = client
        .get(url)
        .timeout(ANSWER_WITHIN)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "bG9jdW0gZHJpbGwgcHJvYg==");
    asked.send().await.is_ok_and(|answer| answer.status() == StatusCode::SWITCHING_PROTOCOLS)
}
