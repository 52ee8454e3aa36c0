//! The one question of a node that has no certificate yet.

use std::net::{IpAddr, SocketAddr};

use locum_identity::{Fingerprint, Role, Zone, role_name};
use quinn::{Endpoint, VarInt};
use tokio::time::timeout;

use crate::client::{any_address, exchange, shake_hands};
use crate::{ConnectError, Limits, RequestError, tls};

/// Asks the member of the control plane at `address`, believed by the fingerprint of its authority; from the
/// machine's address `own`, or any.
///
/// # Errors
/// [`RequestError`]. After `Deadline` and `Lost` the question may have been carried out.
pub async fn join(
    own: Option<IpAddr>,
    address: SocketAddr,
    zone: &Zone,
    authority: Fingerprint,
    question: &[u8],
    limits: Limits,
) -> Result<Vec<u8>, RequestError> {
    if question.len() > limits.join_message_bytes {
        return Err(RequestError::TooLarge { bytes: question.len() });
    }
    let failed = |source| RequestError::Connect { address, source };
    let config =
        tls::join_config(authority, &limits).map_err(|error| failed(ConnectError::Prepare(error)))?;
    let own = SocketAddr::new(own.unwrap_or_else(|| any_address(address)), 0);
    let endpoint = Endpoint::client(own).map_err(|error| failed(ConnectError::Socket(error)))?;
    let ask = async {
        let connection = shake_hands(&endpoint, config, address, &role_name(zone, Role::Control)).await?;
        exchange(&connection, address, question, limits.message_bytes).await
    };
    let answer = timeout(limits.deadline, ask).await.unwrap_or(Err(RequestError::Deadline { address }));
    endpoint.close(VarInt::from_u32(0), b"done");
    answer
}
