//! A node's own end of the mesh: calls others, may be called, and shows the certificate of the day.

use std::net::{IpAddr, SocketAddr};

use locum_mesh::{Client, Credentials, Limits, MeshError, Server};

/// Whole answers of an edge host (4 MiB) and their heads.
const MESSAGE_BYTES: usize = (4 << 20) + (256 << 10);

/// Where a node is called.
#[derive(Clone, Debug)]
pub struct MeshListen {
    /// What it binds; port 0: any.
    pub address: SocketAddr,
    /// What it tells others, best first, when they reach it by other addresses than it binds: one for each of its
    /// links.
    pub announce: Vec<IpAddr>,
}

/// Both directions. The agent renews the certificate; whoever holds this need not know.
pub struct Mesh {
    client: Client,
    server: Option<Server>,
    announced: Vec<SocketAddr>,
}

impl Mesh {
    /// Calls from `own`, or else from any address of `reachable`'s family.
    pub(crate) fn open(
        (own, reachable): (Option<IpAddr>, SocketAddr),
        listen: Option<MeshListen>,
        credentials: &Credentials,
    ) -> Result<Self, MeshError> {
        let limits = Limits { message_bytes: MESSAGE_BYTES, ..Limits::default() };
        let client = match own {
            Some(own) => Client::from(own, credentials, limits)?,
            None => Client::new(reachable, credentials, limits)?,
        };
        let Some(listen) = listen else { return Ok(Self { client, server: None, announced: Vec::new() }) };
        let server = Server::bind(listen.address, credentials, limits)?;
        let bound = server.address();
        let addresses = if listen.announce.is_empty() { vec![bound.ip()] } else { listen.announce };
        let announced = addresses.into_iter().map(|ip| SocketAddr::new(ip, bound.port())).collect();
        Ok(Self { client, server: Some(server), announced })
    }

    /// Asks other nodes.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Bound, and announced; callers wait until somebody runs it. `None` for a node that is not called.
    pub fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// What others are told.
    pub(crate) fn announced(&self) -> &[SocketAddr] {
        &self.announced
    }

    pub(crate) fn replace_credentials(&self, credentials: &Credentials) -> Result<(), MeshError> {
        self.client.replace_credentials(credentials)?;
        self.server.as_ref().map_or(Ok(()), |server| server.replace_credentials(credentials))
    }
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mesh").field("announced", &self.announced).finish_non_exhaustive()
    }
}
