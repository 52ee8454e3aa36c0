//! A new member joins the others: by a one-time token it gets a seat and a certificate, with that the network's keys.
//! Each step can be done again after a crash.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use locum_cluster::protocol::{JoinAnswer, JoinRequest};
use locum_identity::{JoinTokenClaims, NodeCertificate, NodeIdentity, NodeKey, private_file};
use locum_mesh::{Client, Credentials, Limits, RefusalCode, RequestError};
use locum_telemetry::config::chain;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::config::{Config, JoinConfig};
use crate::member::KeyFiles;
use crate::quorum::{Disk, MemberAnswer, MemberId, MemberRequest, PeerError, Peers};

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(500);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A seat is taken, and the keys are not here yet.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Seated {
    id: MemberId,
    key: String,
    certificate: String,
    authority: String,
}

/// Makes a member of this host, unless it is one. Waits for members that do not answer.
pub(crate) async fn join_if_new(config: &Config) -> anyhow::Result<()> {
    let dir = &config.state_dir;
    let Some(join) = config.join.as_ref().filter(|_| !Disk::exists(dir)) else { return Ok(()) };
    private_file::create_dir(dir).with_context(|| format!("make {}", dir.display()))?;
    let identity = config.identity()?;
    let kept = dir.join("joining.json");
    let seated = match read(&kept)? {
        Some(seated) => seated,
        None => {
            let seated = take_seat(config, join, &identity).await?;
            private_file::write(&kept, &serde_json::to_vec(&seated)?)
                .with_context(|| format!("write {}", kept.display()))?;
            info!(id = %seated.id, "this host has a seat among the members of the control plane");
            seated
        }
    };
    fetch_keys(config, join, &seated).await?;
    Disk::create(dir, seated.id, &identity.node)?;
    std::fs::remove_file(&kept).with_context(|| format!("remove {}", kept.display()))
}

fn read(path: &Path) -> anyhow::Result<Option<Seated>> {
    match private_file::read_to_string(path) {
        Ok(text) => {
            Ok(Some(serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

async fn take_seat(config: &Config, join: &JoinConfig, identity: &NodeIdentity) -> anyhow::Result<Seated> {
    let file: &PathBuf = &join.join_token_file;
    let token = private_file::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let token = token.trim().to_owned();
    let claims = JoinTokenClaims::peek(&token).with_context(|| format!("read {}", file.display()))?;
    if claims.identity != *identity {
        bail!("configured as {identity}, but the join token is for {}", claims.identity);
    }
    let key = NodeKey::generate()?;
    let question = serde_json::to_vec(&JoinRequest { token, certificate_request: key.request()? })?;
    let mut members = join.addresses.iter().cycle();
    loop {
        let Some(&address) = members.next() else { bail!("[join] names no member") };
        let asked = locum_mesh::join(
            config.calls_from(),
            address,
            &config.zone,
            claims.ca,
            &question,
            Limits::default(),
        );
        match asked.await {
            Ok(answer) => {
                let JoinAnswer { certificate, trust, member } = serde_json::from_slice(&answer)?;
                let id =
                    MemberId(member.context("the control plane gave no seat: it is of an older release")?);
                return Ok(Seated { id, key: key.pem(), certificate, authority: trust.authority });
            }
            Err(RequestError::Refused { refusal, .. })
                if matches!(refusal.code, RefusalCode::Denied | RefusalCode::Invalid) =>
            {
                return Err(refusal).context("join the control plane");
            }
            Err(error) => warn!(error = chain(&error), %address, "could not join the control plane yet"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Over the mesh, from a member: both sides have shown certificates of role `control`.
async fn fetch_keys(config: &Config, join: &JoinConfig, seated: &Seated) -> anyhow::Result<()> {
    let certificate = NodeCertificate::from_pem(seated.certificate.clone())?;
    let credentials = Credentials::new(&seated.authority, &certificate, &NodeKey::from_pem(&seated.key)?)?;
    let first = join.addresses.first().context("[join] names no member")?;
    let client = match config.calls_from() {
        Some(own) => Client::from(own, &credentials, Limits::default())?,
        None => Client::new(*first, &credentials, Limits::default())?,
    };
    let peers = Peers::new(seated.id, config.mesh_listen, client);
    for &address in join.addresses.iter().cycle() {
        match peers.ask_at(address, MemberRequest::Keys, ANSWER_WITHIN).await {
            Ok(MemberAnswer::Keys { authority, authority_key, signing_key }) => {
                ensure!(authority == seated.authority, "the keys are of another network");
                return KeyFiles::within(&config.state_dir)
                    .write(&authority, &authority_key, &signing_key)
                    .context("keep the network's keys");
            }
            Ok(_) => bail!("a member answers another question"),
            // A member that is a little behind does not know of the seat yet.
            Err(error) => warn!(error = said(&error), %address, "could not get the network's keys yet"),
        }
        tokio::time::sleep(AGAIN).await;
    }
    bail!("[join] names no member")
}

fn said(error: &PeerError) -> String {
    chain(error)
}
