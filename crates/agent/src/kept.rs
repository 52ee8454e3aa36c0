//! What a node keeps on disk: its key, its certificate, whom to believe, and the last node list.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use locum_cluster::protocol::Trust;
use locum_cluster::{NodeOrder, SignedNodeList};
use locum_identity::{Jwks, NodeCertificate, NodeKey, private_file};
use locum_mesh::{Credentials, MeshError};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{AgentError, NodeListView};

/// A node's own folder.
#[derive(Clone, Debug)]
pub(crate) struct StateDir {
    certificate: PathBuf,
    list: PathBuf,
    order: PathBuf,
}

/// A node's identity, whole: key, certificate and trust change together or not at all.
pub(crate) struct Kept {
    pub(crate) key: NodeKey,
    pub(crate) certificate: NodeCertificate,
    pub(crate) trust: Trust,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptFile {
    key: String,
    certificate: String,
    trust: Trust,
}

impl Kept {
    pub(crate) fn credentials(&self) -> Result<Credentials, MeshError> {
        Credentials::new(&self.trust.authority, &self.certificate, &self.key)
    }
}

impl StateDir {
    pub(crate) fn open(dir: &Path) -> Result<Self, AgentError> {
        private_file::create_dir(dir).map_err(|source| AgentError::State { path: dir.to_owned(), source })?;
        Ok(Self {
            certificate: dir.join("node.json"),
            list: dir.join("nodes.jws"),
            order: dir.join("order.json"),
        })
    }

    /// The certificate of last time, if there is one that is still valid.
    pub(crate) fn certificate(&self) -> Result<Option<Kept>, AgentError> {
        let Some(text) = read(&self.certificate)? else { return Ok(None) };
        let file: KeptFile = serde_json::from_str(&text)
            .map_err(|source| AgentError::State { path: self.certificate.clone(), source: source.into() })?;
        let certificate = NodeCertificate::from_pem(file.certificate)?;
        if certificate.not_after() <= SystemTime::now() {
            warn!("this node's certificate has expired");
            return Ok(None);
        }
        Ok(Some(Kept { key: NodeKey::from_pem(&file.key)?, certificate, trust: file.trust }))
    }

    pub(crate) fn keep_certificate(&self, kept: &Kept) -> Result<(), AgentError> {
        let file = KeptFile {
            key: kept.key.pem(),
            certificate: kept.certificate.pem().to_owned(),
            trust: kept.trust.clone(),
        };
        let text = serde_json::to_vec(&file).map_err(io::Error::from);
        text.and_then(|text| private_file::write(&self.certificate, &text))
            .map_err(|source| AgentError::State { path: self.certificate.clone(), source })
    }

    /// The list of last time. One that does not verify is as good as none.
    pub(crate) fn list(&self, keys: &Jwks) -> Result<Option<NodeListView>, AgentError> {
        let Some(text) = read(&self.list)? else { return Ok(None) };
        let signed = serde_json::from_value::<SignedNodeList>(text.into());
        match signed.ok().and_then(|signed| Some((signed.verify(keys).ok()?, signed))) {
            Some((list, signed)) => Ok(Some(NodeListView { list, signed })),
            None => {
                warn!("the node list kept on disk does not verify");
                Ok(None)
            }
        }
    }

    /// The newest order that this node obeyed. One that cannot be read is as good as none: it is told again.
    pub(crate) fn order(&self) -> NodeOrder {
        match read(&self.order).map(|text| text.map(|text| serde_json::from_str(&text))) {
            Ok(None) => NodeOrder::default(),
            Ok(Some(Ok(order))) => order,
            Ok(Some(Err(_))) | Err(_) => {
                warn!("the order kept on disk cannot be read");
                NodeOrder::default()
            }
        }
    }

    pub(crate) fn keep_order(&self, order: NodeOrder) -> io::Result<()> {
        private_file::write(&self.order, &serde_json::to_vec(&order)?)
    }

    pub(crate) fn keep_list(&self, list: &SignedNodeList) -> io::Result<()> {
        private_file::write(&self.list, list.as_str().as_bytes())
    }
}

fn read(path: &Path) -> Result<Option<String>, AgentError> {
    match private_file::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AgentError::State { path: path.to_owned(), source }),
    }
}
