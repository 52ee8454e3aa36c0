//! Saying "I am here" twice a second, and what comes back.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use locum_cluster::NodeOrder;
use locum_cluster::operate::Ordered;
use locum_cluster::protocol::{HEARTBEAT_INTERVAL_MS, Heartbeat, NodeAnswer, NodeRequest};
use locum_identity::{CertificateError, NodeCertificate, NodeKey, VerifyError};
use locum_mesh::{MeshError, RequestError};
use locum_telemetry::config::chain;
use metrics::{counter, gauge};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::control::Control;
use crate::kept::{Kept, StateDir};
use crate::{AgentError, Announcement, Mesh, NodeListView, Said};

const INTERVAL: Duration = Duration::from_millis(HEARTBEAT_INTERVAL_MS);
/// A heartbeat older than this is of no use, and the connection is probably dead: the node counts as down
/// after 3 s.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long a node that holds a list waits for a newer one before it starts with what it has.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries to renew the certificate, of which there are ten days.
const RENEW_RETRY: Duration = Duration::from_secs(600);

/// Why a question to the control plane was in vain.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("ask the control plane")]
    Request(#[from] RequestError),
    #[error("read the control plane's answer")]
    Json(#[from] serde_json::Error),
    #[error("the control plane's answer is to another question")]
    Unexpected,
    #[error("verify the node list")]
    List(#[source] VerifyError),
    #[error("use the renewed certificate")]
    Certificate(#[from] CertificateError),
    #[error("use the renewed certificate on the mesh")]
    Mesh(#[from] MeshError),
    #[error("keep the renewed certificate")]
    Keep(#[source] Box<AgentError>),
}

/// The loop that keeps a node known.
pub(crate) struct Heart {
    own: Own,
    control: Arc<Control>,
    said: watch::Receiver<Said>,
    orders: watch::Sender<NodeOrder>,
    ordered: watch::Sender<Vec<Ordered>>,
    stop: CancellationToken,
    renew_after: Instant,
}

/// What a node is and has.
pub(crate) struct Own {
    pub(crate) announcement: Announcement,
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) dir: StateDir,
    pub(crate) kept: Kept,
}

impl Heart {
    pub(crate) fn new(
        control: Arc<Control>,
        own: Own,
        said: watch::Receiver<Said>,
        stop: CancellationToken,
    ) -> Self {
        let orders = watch::Sender::new(own.dir.order());
        let ordered = watch::Sender::default();
        Self { own, control, said, orders, ordered, stop, renew_after: Instant::now() }
    }

    /// What people ordered lately, as far as this node is told of it.
    pub(crate) fn ordered(&self) -> watch::Receiver<Vec<Ordered>> {
        self.ordered.subscribe()
    }

    /// What the control plane told this node last.
    pub(crate) fn orders(&self) -> watch::Receiver<NodeOrder> {
        self.orders.subscribe()
    }

    /// Begins to beat; returns with the first list.
    pub(crate) async fn start(
        self,
        last: Option<NodeListView>,
    ) -> Result<watch::Receiver<Arc<NodeListView>>, AgentError> {
        self.publish_expiry();
        let first = tokio::select! {
            () = self.stop.cancelled() => return Err(AgentError::Stopped),
            first = self.first_list(last) => first,
        };
        let lists = watch::Sender::new(Arc::new(first));
        let list = lists.subscribe();
        tokio::spawn(self.run(lists));
        Ok(list)
    }

    /// The newest list, or the `last` one when nobody has a newer one or nobody answers soon.
    async fn first_list(&self, last: Option<NodeListView>) -> NodeListView {
        let Some(last) = last else {
            loop {
                // A member that has no list yet is about to make one: this node is on it.
                if let Some(first) = self.until_answered(0).await {
                    self.keep_list(&first).await;
                    return first;
                }
                tokio::time::sleep(INTERVAL).await;
            }
        };
        match timeout(PATIENCE, self.until_answered(last.list.version)).await {
            Ok(Some(newer)) => {
                self.keep_list(&newer).await;
                newer
            }
            Ok(None) => last,
            Err(_) => {
                warn!("starting with the node list of last time: the control plane does not answer");
                last
            }
        }
    }

    /// The answer to the first heartbeat that gets one. `None`: what is held is the newest.
    async fn until_answered(&self, held: u64) -> Option<NodeListView> {
        let mut backoff = Backoff::default();
        loop {
            match self.beat(held).await {
                Ok(newest) => return newest,
                Err(error) => {
                    warn!(error = chain(&error), "no answer to the first heartbeat")
                }
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    async fn run(mut self, lists: watch::Sender<Arc<NodeListView>>) {
        let mut backoff = Backoff::default();
        let mut connected = true;
        let mut draining = false;
        loop {
            let held = lists.borrow().list.version;
            gauge!("locum_node_list_version").set(held as f64);
            let begun = Instant::now();
            let answered = tokio::select! {
                () = self.stop.cancelled() => return,
                answered = self.beat(held) => answered,
            };
            gauge!("locum_control_connected").set(if answered.is_ok() { 1.0 } else { 0.0 });
            let next = match answered {
                Ok(newest) => {
                    if !connected {
                        info!("the control plane answers again");
                    }
                    connected = true;
                    backoff.reset();
                    if let Some(newest) = newest {
                        self.keep_list(&newest).await;
                        lists.send_replace(Arc::new(newest));
                    }
                    self.renew_if_due().await;
                    begun + INTERVAL
                }
                Err(error) => {
                    if connected {
                        warn!(error = chain(&error), "the control plane does not answer");
                    }
                    connected = false;
                    Instant::now() + backoff.next()
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep_until(next) => {}
                () = told_to_drain(&mut self.said), if !draining => {}
            }
            draining = self.said.borrow().draining;
        }
    }

    /// One heartbeat; the list that came back, if it is newer than the one held.
    async fn beat(&self, held: u64) -> Result<Option<NodeListView>, AskError> {
        let said = *self.said.borrow();
        let question = NodeRequest::Heartbeat(Heartbeat {
            addresses: self.own.announcement.addresses.clone(),
            jwks: self.own.announcement.jwks.clone(),
            mesh: self.own.mesh.announced().to_vec(),
            public: self.own.announcement.public.clone(),
            probe: self.own.announcement.probe.clone(),
            load: said.load,
            draining: said.draining,
            held_version: held,
            obeyed: self.orders.borrow().generation,
            heard_of: self.ordered.borrow().last().map_or(0, |newest| newest.generation),
            ..Heartbeat::default()
        });
        let answer = self.ask(&question).await;
        counter!("locum_heartbeats_sent_total", "answered" => answer.is_ok().to_string()).increment(1);
        let NodeAnswer::Heartbeat { list, order, ordered } = answer? else {
            return Err(AskError::Unexpected);
        };
        self.obey(order).await;
        self.hear(ordered);
        let Some(signed) = list else { return Ok(None) };
        let list = signed.verify(&self.own.kept.trust.list_keys).map_err(AskError::List)?;
        // Also signed, and also old: whoever replays it would bring back nodes that left.
        Ok((list.version > held).then_some(NodeListView { list, signed }))
    }

    async fn ask(&self, question: &NodeRequest) -> Result<NodeAnswer, AskError> {
        let question = serde_json::to_vec(question)?;
        let answer = self.control.ask(self.own.mesh.client(), &question, DEADLINE).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// An order is on disk before it counts, so that after a restart an older one is still refused.
    async fn obey(&self, order: NodeOrder) {
        let held = *self.orders.borrow();
        if !order.replaces(held) {
            return;
        }
        let dir = self.own.dir.clone();
        let kept = tokio::task::spawn_blocking(move || dir.keep_order(order)).await;
        if let Ok(Err(error)) = kept {
            // A full disk must not keep a node from being drained.
            warn!(%error, "could not keep the control plane's order");
        }
        info!(generation = order.generation, drain = order.drain, "ordered by the control plane");
        gauge!("locum_node_told_to_drain").set(if order.drain { 1.0 } else { 0.0 });
        self.orders.send_replace(order);
    }

    fn hear(&self, ordered: Vec<Ordered>) {
        if ordered.is_empty() {
            return;
        }
        self.ordered.send_modify(|known| {
            let newest = known.last().map_or(0, |newest| newest.generation);
            known.extend(ordered.into_iter().filter(|order| order.generation > newest));
            known.drain(..known.len().saturating_sub(Ordered::MOST));
        });
    }

    /// A list that could not be written is only missed at a restart without a control plane.
    async fn keep_list(&self, newest: &NodeListView) {
        self.control.learn(&newest.list);
        let list = newest.signed.clone();
        let dir = self.own.dir.clone();
        let kept = tokio::task::spawn_blocking(move || dir.keep_list(&list)).await;
        if let Ok(Err(error)) = kept {
            warn!(%error, "could not keep the node list");
        }
    }

    async fn renew_if_due(&mut self) {
        let due = self.own.kept.certificate.renew_at() <= SystemTime::now();
        if !due || Instant::now() < self.renew_after {
            return;
        }
        self.renew_after = Instant::now() + RENEW_RETRY;
        match self.renew().await {
            Ok(()) => info!("renewed this node's certificate"),
            Err(error) => {
                warn!(error = chain(&error), "could not renew this node's certificate");
            }
        }
        self.publish_expiry();
    }

    async fn renew(&mut self) -> Result<(), AskError> {
        let key = NodeKey::generate()?;
        let question = NodeRequest::Renew { certificate_request: key.request()? };
        let NodeAnswer::Renewed { certificate } = self.ask(&question).await? else {
            return Err(AskError::Unexpected);
        };
        let certificate = NodeCertificate::from_pem(certificate)?;
        let kept = Kept { key, certificate, trust: self.own.kept.trust.clone() };
        self.own.mesh.replace_credentials(&kept.credentials()?)?;
        self.own.dir.keep_certificate(&kept).map_err(|error| AskError::Keep(Box::new(error)))?;
        self.own.kept = kept;
        Ok(())
    }

    fn publish_expiry(&self) {
        let expiry = self.own.kept.certificate.not_after().duration_since(UNIX_EPOCH).unwrap_or_default();
        gauge!("locum_node_certificate_expiry_timestamp_seconds").set(expiry.as_secs_f64());
    }
}

/// News that should not wait for the next heartbeat.
async fn told_to_drain(said: &mut watch::Receiver<Said>) {
    let told = said.wait_for(|said| said.draining).await.is_ok();
    if !told {
        // Nobody is left to tell.
        std::future::pending().await
    }
}
