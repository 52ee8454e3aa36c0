//! A person moves the primary of a record group: `locum-control promote`.
//!
//! It speaks to the running member over the mesh, under a certificate that only who holds the authority's key
//! can make.

use std::time::Duration;

use anyhow::{Context as _, bail};
use locum_cluster::protocol::{NodeAnswer, NodeRequest, OperatorRequest};
use locum_identity::{RegionId, Role};
use locum_mesh::{Client, Limits, Peer, PeerName};
use locum_replication::{GroupId, GroupStatus, Promotion, PromotionPlan};
use locum_telemetry::ReadyFile;
use tokio::time::{Instant, sleep};

use crate::config::Config;
use crate::member::Keys;
use crate::process::Own;

const DEADLINE: Duration = Duration::from_secs(5);
/// A wish that is not fulfilled by then is forgotten by the member too.
const FULFILLED_WITHIN: Duration = Duration::from_secs(35);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What the person wants.
pub(crate) struct Wanted {
    pub(crate) group: GroupId,
    pub(crate) to: RegionId,
    pub(crate) accept_loss: bool,
}

/// The running member, as a person reaches it.
struct Member {
    client: Client,
    peer: Peer,
}

/// Shows the plan, and with `yes` carries it out and waits until the target leads.
pub(crate) async fn run(config: &Config, wanted: Wanted, yes: bool) -> anyhow::Result<()> {
    let member = Member::find(config)?;
    let Wanted { group, to, accept_loss } = wanted;
    let plan = match member.ask(OperatorRequest::Plan { group, to, accept_loss }).await? {
        NodeAnswer::Plan(plan) => plan,
        _ => bail!("the member answers another question"),
    };
    show(&plan);
    if !yes {
        say("nothing was done; add --yes to carry this out");
        return Ok(());
    }
    let group = plan.group.clone();
    let (target, before) = (plan.target.clone(), plan.epoch);
    let mut status = member.status(OperatorRequest::Promote(plan)).await?;
    let begun = Instant::now();
    loop {
        if status.epoch > before && status.served {
            if status.primary.as_ref() != Some(&target) {
                bail!("another voter leads epoch {} now: look again", status.epoch);
            }
            say(&format!("{target} leads epoch {}", status.epoch));
            return Ok(());
        }
        if begun.elapsed() > FULFILLED_WITHIN {
            bail!("{target} does not lead yet, and {} promises are missing: look again", status.missing);
        }
        sleep(LOOK_EVERY).await;
        status = member.status(OperatorRequest::Status(group.clone())).await?;
    }
}

impl Member {
    fn find(config: &Config) -> anyhow::Result<Self> {
        if !config.state_dir.join("ca.pem").exists() {
            bail!("no keys in {}: start the member once first", config.state_dir.display());
        }
        let keys = Keys::open(&config.state_dir, &config.zone)?;
        let own = Own { identity: config.identity()?, authority: keys.authority };
        // A member that was given port 0 tells where it listens.
        let ready = config.ready_file.as_ref().and_then(|path| ReadyFile::read(path).ok());
        let told = ready.and_then(|ready| ready.addresses.get("mesh").copied());
        let address = told.unwrap_or(config.mesh_listen);
        let client = Client::new(address, &own.credentials()?, Limits::default())?;
        Ok(Self { client, peer: Peer { address, name: PeerName::Role(Role::Control) } })
    }

    async fn ask(&self, request: OperatorRequest) -> anyhow::Result<NodeAnswer> {
        let question = serde_json::to_vec(&NodeRequest::Operator(request))?;
        let answer = self.client.request(&self.peer, &question, DEADLINE).await;
        serde_json::from_slice(&answer.context("ask the member")?).context("read the member's answer")
    }

    async fn status(&self, request: OperatorRequest) -> anyhow::Result<GroupStatus> {
        match self.ask(request).await? {
            NodeAnswer::Status(status) => Ok(status),
            _ => bail!("the member answers another question"),
        }
    }
}

fn show(plan: &PromotionPlan) {
    let PromotionPlan { group, epoch, target, from, .. } = plan;
    say(&format!("group {group}: epoch {epoch} ends, {target} leads the next from {from}"));
    say(match plan.promotion {
        Promotion::Switchover => "the primary comes to rest first and nothing is lost",
        Promotion::Failover => "there is no primary; nothing that was acknowledged is lost",
        Promotion::AcceptLoss => "ACKNOWLEDGED WRITES MAY BE LOST: too few voters answer to rule it out",
    });
    for risk in &plan.at_risk {
        let held = risk.copy.map_or("an unknown position".to_owned(), |copy| copy.to_string());
        say(&format!("  {} does not answer; it held {held}, and what is beyond {from} goes", risk.node));
    }
}

#[allow(clippy::print_stdout, reason = "the plan is what was asked for")]
fn say(text: &str) {
    println!("{text}");
}
