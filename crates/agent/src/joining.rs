//! Once in a node's life: the join token becomes a certificate.

use locum_cluster::protocol::{JoinAnswer, JoinRequest};
use locum_identity::{JoinTokenClaims, NodeCertificate, NodeKey, private_file};
use locum_mesh::{Limits, RequestError};
use locum_telemetry::config::chain;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::control::passes;
use crate::kept::{Kept, StateDir};
use crate::{AgentConfig, AgentError};

/// Joins by the configured token. Waits for ever for a control plane that does not answer; takes its "no" for
/// an answer.
pub(crate) async fn join(
    config: &AgentConfig,
    dir: &StateDir,
    stop: &CancellationToken,
) -> Result<Kept, AgentError> {
    let path = config.join_token_file.as_ref().ok_or(AgentError::NoToken)?;
    let token = private_file::read_to_string(path)
        .map_err(|source| AgentError::State { path: path.clone(), source })?;
    let token = token.trim();
    let claims =
        JoinTokenClaims::peek(token).map_err(|source| AgentError::Token { path: path.clone(), source })?;
    config.check("the join token", &claims.identity)?;

    let key = NodeKey::generate()?;
    let question = JoinRequest { token: token.to_owned(), certificate_request: key.request()? };
    let question = serde_json::to_vec(&question).map_err(AgentError::Answer)?;
    let answer = tokio::select! {
        answer = ask(config, &claims, &question) => answer?,
        () = stop.cancelled() => return Err(AgentError::Stopped),
    };
    let answer: JoinAnswer = serde_json::from_slice(&answer).map_err(AgentError::Answer)?;
    let certificate = NodeCertificate::from_pem(answer.certificate)?;
    let kept = Kept { key, certificate, trust: answer.trust };
    dir.keep_certificate(&kept)?;
    info!(node = %claims.identity.node, "joined the network");
    Ok(kept)
}

async fn ask(config: &AgentConfig, claims: &JoinTokenClaims, question: &[u8]) -> Result<Vec<u8>, AgentError> {
    let mut backoff = Backoff::default();
    for control in config.control.iter().cycle() {
        let asked =
            locum_mesh::join(config.from, *control, &config.zone, claims.ca, question, Limits::default());
        match asked.await {
            Ok(answer) => return Ok(answer),
            Err(RequestError::Refused { refusal, .. }) if !passes(refusal.code) => {
                return Err(AgentError::Refused(refusal));
            }
            Err(error) => warn!(error = chain(&error), "could not join yet"),
        }
        tokio::time::sleep(backoff.next()).await;
    }
    Err(AgentError::NoControl)
}
