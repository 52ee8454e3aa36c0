//! Control-plane member: membership, certificates, the node list, health, drains, names.
//!
//! What it decides is in `membership` (pure), what it does about it in `member`, how members agree in `quorum`, who of
//! them decides in `reign`, and how one is reached in `service`. Every member looks at the nodes (`vantage`, `probe`) and
//! answers for names (`dns`); the leader judges (`health`) and acts (`plan`, `operating`).

mod config;
mod dns;
mod groups;
mod health;
mod joining;
mod life;
mod member;
mod members;
mod membership;
mod operating;
mod operator;
mod plan;
mod probe;
mod process;
mod promote;
mod quorum;
mod record;
mod reign;
mod service;
#[cfg(test)]
mod simulation;
mod store;
mod vantage;
mod wish;
mod words;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use locum_cluster::Wish;
use locum_cluster::protocol::{FaultName, OperatorRequest};
use locum_identity::{JoinTokenClaims, NodeId, NodeIdentity, RegionId, Role};
use locum_replication::GroupId;

use crate::config::Config;
use crate::operator::Operated;
use crate::wish::Drain;

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
        /// What the node will do: edge, media or control.
        #[arg(long)]
        role: Role,
        /// The node's name; made up when not given.
        #[arg(long)]
        node: Option<NodeId>,
        /// Where the node will run; this member's region when not given.
        #[arg(long)]
        region: Option<RegionId>,
    },
    /// Say how each record group stands: who leads it in which epoch, and how many copies are complete. Run it
    /// where the member runs: it shows the authority's key.
    Status {
        /// One JSON object.
        #[arg(long)]
        json: bool,
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
    /// The members of the control plane. Run it where one of them runs: it shows the authority's key.
    #[command(subcommand)]
    Member(members::Members),
    /// Take a node or a whole region out of service: nobody new, and nothing that must be there. Shows what
    /// follows; carries it out only with --yes, and then waits until it is so. It stays so until `undrain`.
    Drain {
        /// The node or region.
        name: String,
        /// Carry it out.
        #[arg(long)]
        yes: bool,
    },
    /// Take a node or region back into service, once it has caught up.
    Undrain {
        /// The node or region.
        name: String,
        /// Carry it out.
        #[arg(long)]
        yes: bool,
    },
    /// Lead a record group in this region whenever that is possible.
    Pin {
        /// The region.
        region: RegionId,
        /// The record group.
        #[arg(long, default_value = "main")]
        group: GroupId,
        /// Carry it out.
        #[arg(long)]
        yes: bool,
    },
    /// Lead a record group wherever it happens to be.
    Unpin {
        /// The record group.
        #[arg(long, default_value = "main")]
        group: GroupId,
        /// Carry it out.
        #[arg(long)]
        yes: bool,
    },
    /// Keep that a drill begins, and who holds it, for the audit. `locum drill` says it before it does anything.
    #[command(hide = true)]
    NoteDrill {
        /// What it does, such as region-loss.
        fault: FaultName,
    },
    /// Print how the network is operated, and what happened lately, as JSON.
    Operations,
}

/// What asks for something that cannot be done at the moment ends with this: EX_TEMPFAIL of sysexits.h.
const LATER: u8 = 75;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    locum_telemetry::cores::forbid().context("forbid core dumps")?;
    let path = args.config.unwrap_or_else(|| {
        Args::command().error(ErrorKind::MissingRequiredArgument, "--config <FILE> is needed").exit()
    });
    let config = Config::read(&path).unwrap_or_else(|error| locum_telemetry::config::exit_64(&error));
    match args.command {
        Some(command) => return ask(operate(&config, command)),
        None if args.check => {}
        None => {
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?
                .block_on(process::run(config))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What asks the running member.
#[allow(clippy::print_stderr, reason = "where errors of a command go")]
fn ask(question: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(question) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if operator::is_later(&error) => {
            eprintln!("Error: {error:?}");
            Ok(ExitCode::from(LATER))
        }
        Err(error) => Err(error),
    }
}

/// What a person asks of the running member.
async fn operate(config: &Config, command: Command) -> anyhow::Result<()> {
    match command {
        Command::JoinToken { role, node, region } => join_token(config, role, node, region),
        Command::Promote { to, group, accept_loss, yes } => {
            promote::run(config, promote::Wanted { group, to, accept_loss }, yes).await
        }
        Command::Status { json } => operator::show_groups(config, json).await,
        Command::Member(wanted) => members::run(config, wanted).await,
        Command::Drain { name, yes } => wish::drain(config, &name, Drain::Out, yes).await,
        Command::Undrain { name, yes } => wish::drain(config, &name, Drain::Back, yes).await,
        Command::Pin { region, group, yes } => wish::run(config, Wish::Pin { group, region }, yes).await,
        Command::Unpin { group, yes } => wish::run(config, Wish::Unpin { group }, yes).await,
        Command::DnsKey { command } => dns::command::keys(dns_of(config)?, &config.zone, &command),
        Command::DnsWhere { address } => {
            let dns = dns_of(config)?;
            dns::command::print(&dns::command::locate(dns, &config.state_dir, &config.zone, address));
            Ok(())
        }
        Command::DnsChallenge { command } => {
            dns::command::challenge(&config.state_dir, &config.zone, &command)
        }
        Command::NoteDrill { fault } => {
            Operated::find(config)?.ask(OperatorRequest::Drill(fault)).await.map(drop)
        }
        Command::Operations => {
            let view = Operated::find(config)?.operations().await?;
            operator::say(&serde_json::to_string_pretty(&view)?);
            Ok(())
        }
    }
}

fn dns_of(config: &Config) -> anyhow::Result<&dns::config::DnsConfig> {
    config.dns.as_ref().context("no [dns] in the configuration")
}

fn join_token(
    config: &Config,
    role: Role,
    node: Option<NodeId>,
    region: Option<RegionId>,
) -> anyhow::Result<()> {
    let node = match node {
        Some(node) => node,
        None => format!("{role}-{:08x}", getrandom::u32()?).parse()?,
    };
    let region = region.unwrap_or_else(|| config.region.clone());
    let keys = operator::keys(config)?;
    let identity = NodeIdentity { zone: config.zone.clone(), region, role, node };
    let claims = JoinTokenClaims::new(identity, keys.authority.fingerprint(), SystemTime::now())?;
    operator::say(&claims.sign(&keys.signing)?);
    Ok(())
}
