//! A person moves the primary of a record group: `locum-control promote`.
//!
//! Shows the plan, and carries it out only with `--yes`.

use std::time::Duration;

use anyhow::bail;
use locum_cluster::protocol::{NodeAnswer, OperatorRequest};
use locum_identity::RegionId;
use locum_replication::{GroupId, GroupStatus, Promotion, PromotionPlan};
use tokio::time::{Instant, sleep};

use crate::config::Config;
use crate::operator::{Operator, say};

/// A wish that is not fulfilled by then is forgotten by the member too.
const FULFILLED_WITHIN: Duration = Duration::from_secs(35);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What the person wants.
pub(crate) struct Wanted {
    pub(crate) group: GroupId,
    pub(crate) to: RegionId,
    pub(crate) accept_loss: bool,
}

/// Shows the plan, and with `yes` carries it out and waits until the target leads.
pub(crate) async fn run(config: &Config, wanted: Wanted, yes: bool) -> anyhow::Result<()> {
    let operator = Operator::find(config)?;
    let Wanted { group, to, accept_loss } = wanted;
    let plan = match operator.ask(OperatorRequest::Plan { group, to, accept_loss }).await? {
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
    let mut status = self::status(&operator, OperatorRequest::Promote(plan)).await?;
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
        status = self::status(&operator, OperatorRequest::Status(group.clone())).await?;
    }
}

async fn status(operator: &Operator, request: OperatorRequest) -> anyhow::Result<GroupStatus> {
    match operator.ask(request).await? {
        NodeAnswer::Status(status) => Ok(status),
        _ => bail!("the member answers another question"),
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
