//! Control-plane member: membership, certificates, the node list.
//!
//! One member for now. What it decides is in `membership` (pure), what it does about it in `member`, and how
//! it is reached in `service`.

mod config;
mod dns;
mod groups;
mod member;
mod membership;
mod process;
mod promote;
mod service;
#[cfg(test)]
mod simulation;
mod store;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use locum_identity::{JoinTokenClaims, NodeId, NodeIdentity, RegionId, Role};
use locum_replication::GroupId;

use crate::config::Config;
use crate::member::Keys;

#[derive(Parser)]
#[command(version, about = "Control-plane member: membership, certificates, the node list")]
struct Args {
    /// The member's configuration (TOML).
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say what is wrong with the configuration (exit code 64) or nothing.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Print a one-time join token, good for 24 hours. The member may run meanwhile and must have run once.
    JoinToken {
        /// What the node will do: edge or media.
        #[arg(long)]
        role: Role,
        /// The node's name; made up when not given.
        #[arg(long)]
        node: Option<NodeId>,
        /// Where the node will run; this member's region when not given.
        #[arg(long)]
        region: Option<RegionId>,
    },
    /// The keys that sign the network's zone.
    DnsKey {
        #[command(subcommand)]
        command: dns::command::KeyCommand,
    },
    /// Which regions the zone sends an address to.
    DnsWhere {
        /// A client's address, or any of its network.
        address: IpAddr,
    },
    /// Texts in the zone that prove to a certificate authority that it is ours (ACME DNS-01).
    DnsChallenge {
        #[command(subcommand)]
        command: dns::command::ChallengeCommand,
    },
    /// Move the primary of a record group. Shows the plan; carries it out only with --yes. Run it where the
    /// member runs: it shows the authority's key.
    Promote {
        /// The region whose voter should lead.
        to: RegionId,
        /// The record group.
        #[arg(long, default_value = "main")]
        group: GroupId,
        /// Also when too few voters answer to rule out that acknowledged writes are lost; the plan names whose.
        #[arg(long)]
        accept_loss: bool,
        /// Carry the plan out.
        #[arg(long)]
        yes: bool,
    },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let path = args.config.unwrap_or_else(|| {
        Args::command().error(ErrorKind::MissingRequiredArgument, "--config <FILE> is needed").exit()
    });
    let config = Config::read(&path).unwrap_or_else(|error| locum_telemetry::config::exit_64(&error));
    match args.command {
        Some(Command::JoinToken { role, node, region }) => join_token(&config, role, node, region),
        Some(Command::Promote { to, group, accept_loss, yes }) => {
            let wanted = promote::Wanted { group, to, accept_loss };
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(promote::run(&config, wanted, yes))
        }
        Some(Command::DnsKey { command }) => {
            let dns = config.dns.as_ref().context("no [dns] in the configuration")?;
            dns::command::keys(dns, &config.zone, &command)
        }
        Some(Command::DnsWhere { address }) => {
            let dns = config.dns.as_ref().context("no [dns] in the configuration")?;
            dns::command::print(&dns::command::locate(dns, &config.state_dir, &config.zone, address));
            Ok(())
        }
        Some(Command::DnsChallenge { command }) => {
            dns::command::challenge(&config.state_dir, &config.zone, &command)
        }
        None if args.check => Ok(()),
        None => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(process::run(config))
        }
    }
}

#[allow(clippy::print_stdout, reason = "the token is what was asked for")]
fn join_token(
    config: &Config,
    role: Role,
    node: Option<NodeId>,
    region: Option<RegionId>,
) -> anyhow::Result<()> {
    if role == Role::Control {
        bail!("members of the control plane do not join by token");
    }
    if !config.state_dir.join("ca.pem").exists() {
        bail!("no keys in {}: start the member once first", config.state_dir.display());
    }
    let node = match node {
        Some(node) => node,
        None => format!("{role}-{:08x}", getrandom::u32()?).parse()?,
    };
    let region = region.unwrap_or_else(|| config.region.clone());
    let keys = Keys::open(&config.state_dir, &config.zone)?;
    let identity = NodeIdentity { zone: config.zone.clone(), region, role, node };
    let claims = JoinTokenClaims::new(identity, keys.authority.fingerprint(), SystemTime::now())?;
    println!("{}", claims.sign(&keys.signing)?);
    Ok(())
}
