//! Ways to an engine's replication log: over loopback on its own host, through the mesh from others.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use locum_identity::NodeId;
use locum_replication::{Epoch, GroupId};
use tokio::net::TcpStream;

use super::links::{Links, LogRequest};
use super::log_client::{ByteStream, LogSource};

/// On the engine's own host.
pub(super) struct LocalLog {
    pub(super) address: SocketAddr,
    pub(super) token: String,
}

/// On another host, which checks the epoch before it lets a byte through.
pub(super) struct RemoteLog {
    pub(super) links: Arc<dyn Links>,
    pub(super) primary: NodeId,
    pub(super) group: GroupId,
    pub(super) epoch: Epoch,
}

impl RemoteLog {
    /// A stream on which the primary's copy and this host's are compared.
    pub(super) async fn open_copy(&self) -> io::Result<Box<dyn ByteStream>> {
        let request = LogRequest { group: self.group.clone(), epoch: self.epoch };
        self.links.open_copy(&self.primary, request).await
    }
}

impl LogSource for LocalLog {
    fn open(&self) -> BoxFuture<'_, io::Result<(Box<dyn ByteStream>, String)>> {
        async {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Box<dyn ByteStream>, self.token.clone()))
        }
        .boxed()
    }
}

impl LogSource for RemoteLog {
    fn open(&self) -> BoxFuture<'_, io::Result<(Box<dyn ByteStream>, String)>> {
        async {
            let request = LogRequest { group: self.group.clone(), epoch: self.epoch };
            let token = self.links.log_token(&self.primary, request.clone()).await?;
            Ok((self.links.open_log(&self.primary, request).await?, token))
        }
        .boxed()
    }
}
