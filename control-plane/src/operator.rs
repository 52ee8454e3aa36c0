//! The running member, as a person reaches it who holds the authority's key: over the mesh, under a certificate
//! that nobody else can make.

use std::time::Duration;

use anyhow::{Context as _, bail};
use locum_cluster::operate::OperationsView;
use locum_cluster::protocol::{NodeAnswer, NodeRequest, OperatorRequest};
use locum_identity::Role;
use locum_mesh::{Client, Limits, Peer, PeerName};
use locum_telemetry::ReadyFile;

use crate::config::Config;
use crate::member::Keys;
use crate::process::Own;

const DEADLINE: Duration = Duration::from_secs(5);

/// The way to the member.
pub(crate) struct Operator {
    client: Client,
    peer: Peer,
}

impl Operator {
    /// The member that `config` describes, which runs here.
    pub(crate) fn find(config: &Config) -> anyhow::Result<Self> {
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

    /// Asks it.
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
}

/// For the person who asked.
#[allow(clippy::print_stdout, reason = "this is what was asked for")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
