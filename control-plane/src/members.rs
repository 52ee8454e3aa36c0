//! A person looks at the members of the control plane, takes one in or lets one go: `locum-control member`.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use locum_cluster::protocol::{ControlMember, NodeAnswer, OperatorRequest};
use locum_identity::{JoinTokenClaims, NodeId, NodeIdentity, RegionId, Role};
use tokio::time::{Instant, sleep};

use crate::config::Config;
use crate::membership::MOST_CONTROL;
use crate::operator::{self, Operated, say};

/// A member not heard from for this long does not count when another one leaves.
const SILENT_MS: u64 = 3_000;
/// A member that leaves has left by then, or somebody should look: a new leader first lets old leases end.
const LEFT_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What the person wants.
#[derive(Subcommand)]
pub(crate) enum Members {
    /// Show them.
    List,
    /// Take a new one in. Shows what changes; with --yes it prints the one-time token, good for 24 hours, with which the
    /// new host joins: in its configuration, `[join]` with `addresses` of members and `join_token_file`.
    Add {
        /// Its name.
        node: NodeId,
        /// Where it will run.
        #[arg(long)]
        region: RegionId,
        /// Make the token.
        #[arg(long)]
        yes: bool,
    },
    /// Let one go, for good: its disk counts for nothing from then on.
    Remove {
        /// Its name.
        node: NodeId,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
}

/// Carries it out.
pub(crate) async fn run(config: &Config, wanted: Members) -> anyhow::Result<()> {
    let operator = Operated::find(config)?;
    let members = ask(&operator, OperatorRequest::Members).await?;
    match wanted {
        Members::List => {
            members.iter().for_each(|member| say(&line(member)));
            say(&spare(&members));
            Ok(())
        }
        Members::Add { node, region, yes } => add(config, &members, node, region, yes),
        Members::Remove { node, yes } => remove(&operator, &members, &node, yes).await,
    }
}

fn add(
    config: &Config,
    members: &[ControlMember],
    node: NodeId,
    region: RegionId,
    yes: bool,
) -> anyhow::Result<()> {
    if members.iter().any(|member| member.node == node) {
        bail!("{node} is a member; if its disk is lost, remove it first");
    }
    if members.len() >= MOST_CONTROL {
        bail!("{MOST_CONTROL} members are the most: remove one first");
    }
    if let Some(hidden) = members.iter().find(|member| member.address.is_none()) {
        bail!("{} tells no address that others could call: set `mesh_announce_ip` there first", hidden.node);
    }
    if !yes {
        let (now, then) = (members.len(), members.len() + 1);
        say(&format!("{node} in {region} becomes a member: {now} members, then {then}"));
        say(&format!("of {now} {} may be lost, of {then} {}", tolerated(now), tolerated(then)));
        if then % 2 == 0 {
            say("an even number bears no more losses than one less: go on to the next odd one soon");
        }
        say("nothing was done; with --yes this prints the new host's token, and nothing else");
        return Ok(());
    }
    let keys = operator::keys(config)?;
    let identity = NodeIdentity { zone: config.zone.clone(), region, role: Role::Control, node };
    let claims = JoinTokenClaims::new(identity, keys.authority.fingerprint(), SystemTime::now())?;
    say(&claims.sign(&keys.signing)?);
    Ok(())
}

async fn remove(
    operator: &Operated,
    members: &[ControlMember],
    node: &NodeId,
    yes: bool,
) -> anyhow::Result<()> {
    let leaves = members.iter().find(|member| member.node == *node);
    let leaves = leaves.with_context(|| format!("{node} is no member of the control plane"))?;
    if !leaves.leaves {
        let (now, then) = (members.len(), members.len() - 1);
        say(&format!("{node} (number {}) leaves for good: {now} members, then {then}", leaves.id));
        say(&format!("of {now} {} may be lost, of {then} {}", tolerated(now), tolerated(then)));
        if leaves.leads {
            say("it leads: another one will within seconds");
        }
        may_leave(members, leaves.id).map_err(anyhow::Error::msg)?;
        if !yes {
            say("nothing was done; add --yes to carry this out");
            return Ok(());
        }
        let request = OperatorRequest::RemoveMember { node: node.clone(), id: leaves.id };
        ask(operator, request).await?;
    }
    let begun = Instant::now();
    loop {
        // Who led may be the one that left: then nobody answers for a moment.
        let gone = match ask(operator, OperatorRequest::Members).await {
            Ok(members) => !members.iter().any(|member| member.id == leaves.id),
            Err(_) => false,
        };
        if gone {
            say(&format!("{node} is no member any more; stop its process and destroy what is on its disk"));
            return Ok(());
        }
        if begun.elapsed() > LEFT_WITHIN {
            bail!("{node} has lost its seat and still votes: do not stop its process, and look again");
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Refuses what would leave too few who answer, or comes before an earlier change is over.
pub(crate) fn may_leave(members: &[ControlMember], id: u64) -> Result<(), String> {
    if members.len() == 1 {
        return Err("the last member stays".to_owned());
    }
    if let Some(other) = members.iter().find(|member| member.leaves) {
        return Err(format!("{} is still on its way out: look again when it is gone", other.node));
    }
    let stay: Vec<_> = members.iter().filter(|member| member.id != id && member.votes).collect();
    let (answering, needed) = (stay.iter().filter(|member| answers(member)).count(), majority(stay.len()));
    if answering < needed {
        return Err(format!(
            "of those that stay {answering} answer and {needed} must: bring one back or take a new one in first"
        ));
    }
    Ok(())
}

fn answers(member: &ControlMember) -> bool {
    member.leads || member.heard_ms.is_some_and(|ms| ms < SILENT_MS)
}

fn majority(members: usize) -> usize {
    members / 2 + 1
}

/// How many more may be lost now.
fn spare(members: &[ControlMember]) -> String {
    let voters: Vec<_> = members.iter().filter(|member| member.votes).collect();
    let (all, answering) = (voters.len(), voters.iter().filter(|member| answers(member)).count());
    match answering.saturating_sub(majority(all)) {
        0 => format!("{answering} of {all} voters answer: none more may be lost"),
        more => format!("{answering} of {all} voters answer: {more} more may be lost"),
    }
}

async fn ask(operator: &Operated, request: OperatorRequest) -> anyhow::Result<Vec<ControlMember>> {
    match operator.ask(request).await? {
        NodeAnswer::Members(members) => Ok(members),
        _ => bail!("the member answers another question"),
    }
}

/// How many of so many may be lost while a majority stays.
fn tolerated(members: usize) -> usize {
    members.saturating_sub(1) / 2
}

fn line(member: &ControlMember) -> String {
    let ControlMember { id, node, .. } = member;
    let region = member.region.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let address = member.address.map_or_else(|| "-".to_owned(), |address| address.to_string());
    let state = match (member.leaves, member.leads, member.votes) {
        (true, ..) => "leaving",
        (false, true, _) => "leads",
        (false, false, true) => "votes",
        (false, false, false) => "joining",
    };
    let heard = match member.heard_ms {
        _ if member.leads => "answers".to_owned(),
        Some(ms) if ms < SILENT_MS => "answers".to_owned(),
        Some(ms) => format!("silent for {} s", ms / 1000),
        None => "not heard from".to_owned(),
    };
    let behind = member.behind.map_or_else(String::new, |behind| format!("  {behind} behind"));
    let other = if member.other_groups { "  its [groups] are not the leader's" } else { "" };
    format!("{node:<16} {region:<14} number {id:<3} {address:<21} {state:<8} {heard}{behind}{other}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, heard_ms: u64) -> ControlMember {
        ControlMember {
            id,
            node: format!("control-{id}").parse().unwrap(),
            region: Some("west".parse().unwrap()),
            address: None,
            heard_ms: Some(heard_ms),
            leads: id == 1,
            votes: true,
            leaves: false,
            other_groups: false,
            behind: Some(0),
        }
    }

    #[test]
    fn nobody_leaves_when_too_few_of_the_others_answer() {
        let mut members = [member(1, 0), member(2, 100), member(3, 9_000)];
        assert!(may_leave(&members, 3).is_ok(), "the one that is dead");
        assert!(may_leave(&members, 2).is_err());
        assert!(may_leave(&members[..1], 1).is_err());
        assert_eq!([1, 2, 3, 4, 5].map(tolerated), [0, 0, 1, 1, 2]);
        members[2].leaves = true;
        let refused = may_leave(&members, 2).unwrap_err();
        assert!(refused.starts_with("control-3 is still on its way out"), "{refused}");
    }

    #[test]
    fn who_is_silent_cannot_be_lost_once_more() {
        let mut members = [member(1, 0), member(2, 100), member(3, 100)];
        assert_eq!(spare(&members), "3 of 3 voters answer: 1 more may be lost");
        members[2].heard_ms = Some(9_000);
        assert_eq!(spare(&members), "2 of 3 voters answer: none more may be lost");
        members[2].votes = false;
        assert_eq!(spare(&members), "2 of 2 voters answer: none more may be lost");
    }

    #[test]
    fn a_member_is_told_in_one_line() {
        let told = line(&member(3, 9_000));
        assert!(told.starts_with("control-3") && told.contains("silent for 9 s"), "{told}");
        assert!(line(&member(1, 9_000)).contains("leads    answers"));
    }
}
