//! Looks, while a round goes on, at node lists as clients get them, and at what members of the control plane say of
//! record groups.

use std::collections::BTreeSet;
use std::time::Duration;

use locum_cluster::{NodeList, NodeState};
use locum_identity::Role;
use tokio::task::JoinSet;

use super::log::What;
use super::stage::Stage;
use crate::look::{self, GroupSeen};

/// The resolution of what is measured here.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks at every edge host and every member until the round is over. Dropping it ends it too.
pub(super) fn start(stage: &Stage) -> JoinSet<()> {
    let mut looking = JoinSet::new();
    for host in stage.hosts().into_keys() {
        looking.spawn(lists(stage.clone(), host));
    }
    let members: Vec<String> =
        stage.site().with_role(Role::Control).map(|member| member.name.clone()).collect();
    for member in members {
        looking.spawn(groups(stage.clone(), member));
    }
    looking
}

async fn lists(stage: Stage, host: String) {
    let mut known = 0;
    while pause(&stage).await {
        let Some(door) = stage.door(&host) else { continue };
        let Some(list) = look::node_list(&stage.client, &door.api, known).await else { continue };
        known = list.version;
        stage.log.note(What::List { host: host.clone(), version: known, down: down(&list) });
    }
}

async fn groups(stage: Stage, member: String) {
    let (mut known, mut agreed): (Vec<GroupSeen>, u64) = (Vec::new(), 0);
    while pause(&stage).await {
        let Some(node) = stage.node(&member) else { continue };
        let Some(metrics) = look::metrics(&stage.client, &node).await else { continue };
        if look::leads(&metrics) && look::agreed(&metrics) > agreed {
            agreed = look::agreed(&metrics);
            stage.log.note(What::Agreed { member: member.clone(), index: agreed });
        }
        let said = look::groups(&member, &metrics);
        for group in said.iter().filter(|group| !known.contains(group)) {
            stage.log.note(What::Group(group.clone()));
        }
        known = said;
    }
}

fn down(list: &NodeList) -> BTreeSet<String> {
    let down = list.nodes.iter().filter(|node| node.state == NodeState::Down);
    down.map(|node| node.id.to_string()).collect()
}

/// `false` once the round is over.
async fn pause(stage: &Stage) -> bool {
    tokio::select! {
        () = tokio::time::sleep(LOOK_EVERY) => true,
        () = stage.over.cancelled() => false,
    }
}
