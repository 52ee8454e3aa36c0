//! The running member as a person on its machine reaches it: over the mesh, under a certificate that only who holds
//! the authority's key can make, and that names them. A member that does not lead asks the one that does.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use locum_cluster::operate::OperationsView;
use locum_cluster::protocol::{NodeAnswer, NodeRequest, OperatorRequest};
use locum_identity::{NodeId, NodeIdentity, ParseIdError, Role};
use locum_mesh::{Client, Limits, Peer, PeerName, RefusalCode, RequestError};
use locum_replication::{GroupId, GroupStatus};
use locum_telemetry::ReadyFile;

use crate::config::Config;
use crate::member::Keys;
use crate::process::Own;

const DEADLINE: Duration = Duration::from_secs(5);
/// Of an account; the rest of a longer one is left out.
const LONGEST_NAME: usize = 48;

/// The member that is asked.
pub(crate) struct Operated {
    client: Client,
    peer: Peer,
}

impl Operated {
    /// The member of this configuration. Nothing is said yet.
    pub(crate) fn find(config: &Config) -> anyhow::Result<Self> {
        let keys = keys(config)?;
        let identity = NodeIdentity { node: name()?, ..config.identity()? };
        let own = Own { identity, authority: keys.authority };
        // A member that was given port 0 tells where it listens.
        let ready = config.ready_file.as_ref().and_then(|path| ReadyFile::read(path).ok());
        let told = ready.and_then(|ready| ready.addresses.get("mesh").copied());
        let address = told.unwrap_or(config.mesh_listen);
        let client = Client::new(address, &own.credentials()?, Limits::default())?;
        Ok(Self { client, peer: Peer { address, name: PeerName::Role(Role::Control) } })
    }

    /// Any question.
    pub(crate) async fn ask(&self, request: OperatorRequest) -> anyhow::Result<NodeAnswer> {
        let question = serde_json::to_vec(&NodeRequest::Operator(request))?;
        let answer = self.client.request(&self.peer, &question, DEADLINE).await;
        serde_json::from_slice(&answer.context("ask the member")?).context("read the member's answer")
    }

    /// How the network is operated.
    pub(crate) async fn operations(&self) -> anyhow::Result<OperationsView> {
        match self.ask(OperatorRequest::Operations).await? {
            NodeAnswer::Operations(view) => Ok(*view),
            _ => bail!("the member answers another question"),
        }
    }

    /// One that is answered with how a group is.
    pub(crate) async fn status(&self, request: OperatorRequest) -> anyhow::Result<GroupStatus> {
        match self.ask(request).await? {
            NodeAnswer::Status(status) => Ok(status),
            _ => bail!("the member answers another question"),
        }
    }
}

/// What the record and the audit call who gives orders: `operator-` and the account that they have on this machine, or
/// whom `LOCUM_OPERATOR` names, for machines that act for a person. Whoever holds the key could take any name: it says
/// who it was among those.
fn name() -> Result<NodeId, ParseIdError> {
    let named = |variable: &str| std::env::var(variable).ok().filter(|name| !name.is_empty());
    let known = ["LOCUM_OPERATOR", "SUDO_USER", "LOGNAME", "USER"].into_iter().find_map(named);
    label(&known.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()))).parse()
}

fn label(name: &str) -> String {
    let letter = |letter: char| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9') => letter,
        _ => '-',
    };
    let name: String = name.chars().take(LONGEST_NAME).map(letter).collect();
    format!("operator-{}", name.trim_matches('-')).trim_end_matches('-').to_owned()
}

/// The member answers, and cannot do it at the moment: it knows no leader, say.
pub(crate) fn is_later(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(RequestError::Refused { refusal, .. }) if refusal.code == RefusalCode::Busy)
}

/// The network's keys, which a member of this host must have made or got.
pub(crate) fn keys(config: &Config) -> anyhow::Result<Keys> {
    if !config.state_dir.join("ca.pem").exists() {
        bail!("no keys in {}: start the member once first", config.state_dir.display());
    }
    Ok(Keys::open(&config.state_dir, &config.zone)?)
}

/// Says how each record group stands: a line each, or one JSON object.
pub(crate) async fn show_groups(config: &Config, json: bool) -> anyhow::Result<()> {
    let member = Operated::find(config)?;
    let mut groups = BTreeMap::new();
    for group in config.groups.keys() {
        groups.insert(group, member.status(OperatorRequest::Status(group.clone())).await?);
    }
    if json {
        say(&serde_json::to_string(&groups)?);
    } else {
        groups.iter().for_each(|(group, status)| say(&line(group, status)));
    }
    Ok(())
}

fn line(group: &GroupId, status: &GroupStatus) -> String {
    let GroupStatus { epoch, primary, served, preparing, missing, complete, voters, misplaced } = status;
    let led = match (primary, served) {
        (Some(primary), true) => format!("led by {primary}"),
        (Some(primary), false) => format!("no primary ({primary} was the last)"),
        (None, _) => "no primary yet".to_owned(),
    };
    let prepared = preparing.map_or_else(String::new, |next| match missing {
        0 => format!("; epoch {next} is being prepared"),
        missing => format!("; epoch {next} lacks promises of {missing}"),
    });
    let misplaced =
        misplaced.iter().map(|node| format!("; {node} holds a copy that its region may not hold"));
    let misplaced: String = misplaced.collect();
    format!("{group}: epoch {epoch}, {led}; {complete} of {voters} copies complete{prepared}{misplaced}")
}

#[allow(clippy::print_stdout, reason = "what was asked for")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use locum_replication::Epoch;

    use super::*;

    #[test]
    fn whoever_gives_orders_has_a_name_that_a_certificate_can_bear() {
        for (account, name) in [
            ("ada", "operator-ada"),
            ("Ada.Byron@example.org", "operator-ada-byron-example-org"),
            ("Åsa", "operator-sa"),
            ("---", "operator"),
        ] {
            assert_eq!(label(account), name);
        }
        for account in ["", "\u{1f980}", &"x".repeat(500)] {
            assert!(label(account).parse::<NodeId>().is_ok(), "{account}");
        }
    }

    #[test]
    fn a_line_says_who_leads_or_what_is_missing() {
        let group: GroupId = "main".parse().unwrap();
        let mut status = GroupStatus {
            epoch: Epoch(7),
            primary: Some("edge-us-east".parse().unwrap()),
            served: true,
            preparing: None,
            missing: 0,
            complete: 3,
            voters: 3,
            misplaced: Vec::new(),
        };
        assert_eq!(line(&group, &status), "main: epoch 7, led by edge-us-east; 3 of 3 copies complete");
        (status.served, status.preparing, status.missing, status.complete) = (false, Some(Epoch(8)), 1, 1);
        assert_eq!(
            line(&group, &status),
            "main: epoch 7, no primary (edge-us-east was the last); 1 of 3 copies complete; \
             epoch 8 lacks promises of 1"
        );
        status.misplaced.push("edge-us-west".parse().unwrap());
        assert!(line(&group, &status).ends_with("; edge-us-west holds a copy that its region may not hold"));
    }
}
