//! Control-plane member: membership, certificates, the node list.
//!
//! One member for now. What it decides is in `membership` (pure), what it does about it in `member`, and how
//! it is reached in `service`.

mod config;
mod groups;
mod health;
mod member;
mod membership;
mod operating;
mod operator;
mod plan;
mod probe;
mod process;
mod promote;
mod service;
#[cfg(test)]
mod simulation;
mod store;
mod vantage;
mod wish;
mod words;

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::bail;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use locum_cluster::Wish;
use locum_identity::{JoinTokenClaims, NodeId, NodeIdentity, RegionId, Role};
use locum_replication::GroupId;

use crate::config::Config;
use crate::member::Keys;
use crate::operator::Operator;
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
    /// Print how the network is operated, and what happened lately, as JSON.
    Operations,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let path = args.config.unwrap_or_else(|| {
        Args::command().error(ErrorKind::MissingRequiredArgument, "--config <FILE> is needed").exit()
    });
    let config = Config::read(&path).unwrap_or_else(|error| locum_telemetry::config::exit_64(&error));
    match args.command {
        Some(Command::JoinToken { role, node, region }) => join_token(&config, role, node, region),
        Some(command) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(operate(&config, command)),
        None if args.check => Ok(()),
        None => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(process::run(config))
        }
    }
}

/// What a person asks of the running member.
async fn operate(config: &Config, command: Command) -> anyhow::Result<()> {
    match command {
        Command::JoinToken { .. } => bail!("a join token needs no running member"),
        Command::Promote { to, group, accept_loss, yes } => {
            promote::run(config, promote::Wanted { group, to, accept_loss }, yes).await
        }
        Command::Drain { name, yes } => wish::drain(config, &name, Drain::Out, yes).await,
        Command::Undrain { name, yes } => wish::drain(config, &name, Drain::Back, yes).await,
        Command::Pin { region, group, yes } => wish::run(config, Wish::Pin { group, region }, yes).await,
        Command::Unpin { group, yes } => wish::run(config, Wish::Unpin { group }, yes).await,
        Command::Operations => {
            let view = Operator::find(config)?.operations().await?;
            operator::say(&serde_json::to_string_pretty(&view)?);
            Ok(())
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
