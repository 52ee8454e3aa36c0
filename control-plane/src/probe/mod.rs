//! Looks at every node from outside, as people's programs and resolvers would, and remembers how it stands.
//!
//! One loop for each node and kind of probe, each at its own pace; the number of probes that are under way at
//! once is bounded, and each has a deadline of one second.

mod address;
mod dns;
mod dtls;
mod http;
mod ice;
mod lag;
mod records;
mod stun;
mod target;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use locum_identity::{Jwks, NodeId, Zone};
use locum_mesh::Client;
use metrics::{counter, histogram};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::health::{Outcome, PROBE_EVERY, PROBE_WITHIN, ProbeKind, Reason, Report, Streak};
use address::{Names, Url};
use http::Question;
use lag::Lag;

pub(crate) use target::{Target, Targets, targets};
pub(crate) use trust::client_config;

/// Probes under way at once; one more is not begun, and says nothing.
const AT_ONCE: usize = 256;
/// A canary is a transaction, at every host.
const CANARY_EVERY: Duration = Duration::from_secs(5);
/// Small, public, and signed for by nobody else: the keys under which an edge host issues tokens.
const EDGE_PATH: &str = "/.well-known/jwks.json";
/// Every LiveKit server answers here; one that does not know the path answers too.
const SIGNALLING_PATH: &str = "/";

/// A probe that failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Miss(Reason);

/// What a prober needs.
pub(crate) struct Means {
    /// The network's zone.
    pub(crate) zone: Zone,
    /// The address of this machine to probe from; the system's choice if not given.
    pub(crate) own: Option<IpAddr>,
    /// Whose certificates are believed under public names.
    pub(crate) tls: Arc<rustls::ClientConfig>,
    /// For canaries.
    pub(crate) mesh: Arc<Client>,
}

/// One vantage point.
pub(crate) struct Prober {
    means: Means,
    begun: Instant,
    streaks: Mutex<BTreeMap<(NodeId, ProbeKind), Streak>>,
    news: Notify,
    writes_canaries: AtomicBool,
    reports: AtomicU64,
    life: u64,
    places: Semaphore,
    names: Names,
    lag: Lag,
}

impl Prober {
    /// Has seen nothing yet.
    pub(crate) fn new(means: Means) -> Self {
        Self {
            means,
            begun: Instant::now(),
            streaks: Mutex::default(),
            news: Notify::new(),
            writes_canaries: AtomicBool::new(false),
            reports: AtomicU64::new(1),
            // Without randomness two lives may look like one, and reports count once they outnumber those of the last.
            life: getrandom::u64().unwrap_or_default(),
            places: Semaphore::new(AT_ONCE),
            names: Names::new(),
            lag: Lag::new(),
        }
    }

    /// Whether this member has canaries written: one does, the others only read them.
    pub(crate) fn write_canaries(&self, write: bool) {
        self.writes_canaries.store(write, Ordering::Relaxed);
    }

    /// How everything stands.
    pub(crate) fn report(&self) -> Report {
        let now = self.begun.elapsed();
        let streaks = self.streaks();
        let seen = streaks.iter().filter_map(|((node, kind), streak)| streak.seen(node, *kind, now));
        let number = self.reports.fetch_add(1, Ordering::Relaxed);
        Report { number, life: self.life, seen: seen.collect() }
    }

    /// Waits for something that should be reported without delay.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Probes whoever is among `targets`, until `stop`.
    pub(crate) async fn run(
        self: Arc<Self>,
        mut targets: watch::Receiver<Arc<Targets>>,
        stop: CancellationToken,
    ) {
        let mut loops = JoinSet::new();
        let watching = Arc::clone(&self);
        loops.spawn(async move { watching.lag.watch().await });
        let mut running: BTreeMap<(NodeId, ProbeKind), AbortHandle> = BTreeMap::new();
        loop {
            let wanted = wanted(&targets.borrow_and_update());
            running.retain(|one, probing| {
                let stays = wanted.contains(one);
                if !stays {
                    probing.abort();
                }
                stays
            });
            self.streaks().retain(|one, _| wanted.contains(one));
            for one in wanted {
                let probing =
                    || loops.spawn(Arc::clone(&self).probe_again_and_again(one.clone(), targets.clone()));
                running.entry(one.clone()).or_insert_with(probing);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = targets.changed() => if changed.is_err() { return },
                Some(_) = loops.join_next() => {}
            }
        }
    }

    async fn probe_again_and_again(
        self: Arc<Self>,
        (node, kind): (NodeId, ProbeKind),
        targets: watch::Receiver<Arc<Targets>>,
    ) {
        let every = if kind == ProbeKind::Records { CANARY_EVERY } else { PROBE_EVERY };
        let mut under_way = FuturesUnordered::new();
        // So that not everybody is probed at the same moment.
        let mut next = Instant::now() + every.mul_f64(random());
        loop {
            tokio::select! {
                () = sleep_until(next) => {
                    let Some(target) = targets.borrow().get(&node).cloned() else { return };
                    next = Instant::now() + every.mul_f64(0.9 + 0.2 * random());
                    under_way.push(self.probe_once(&node, kind, target));
                }
                Some(()) = under_way.next() => {}
            }
        }
    }

    async fn probe_once(&self, node: &NodeId, kind: ProbeKind, target: Target) {
        let Ok(_place) = self.places.try_acquire() else {
            counter!("locum_probes_total", "kind" => kind.as_str(), "outcome" => "skipped").increment(1);
            return;
        };
        let begun = Instant::now();
        let ended = timeout(PROBE_WITHIN, self.probe(node, kind, &target)).await;
        let outcome = match ended.unwrap_or(Err(Miss(Reason::Silent))) {
            Ok(()) => Outcome::Good(begun.elapsed()),
            Err(_) if self.lag.since(begun) => Outcome::Void,
            Err(Miss(reason)) => Outcome::Miss(reason),
        };
        let label = match outcome {
            Outcome::Good(_) => "good",
            Outcome::Miss(reason) => reason.as_str(),
            Outcome::Void => "void",
        };
        counter!("locum_probes_total", "kind" => kind.as_str(), "outcome" => label).increment(1);
        histogram!("locum_probe_seconds", "kind" => kind.as_str()).record(begun.elapsed());
        self.note(node, kind, outcome, begun);
    }

    fn note(&self, node: &NodeId, kind: ProbeKind, outcome: Outcome, begun: Instant) {
        let (begun, now) = (begun.saturating_duration_since(self.begun), self.begun.elapsed());
        let is_news = {
            let mut streaks = self.streaks();
            streaks.entry((node.clone(), kind)).or_default().note(outcome, begun, now)
        };
        if is_news {
            self.news.notify_one();
        }
    }

    async fn probe(&self, node: &NodeId, kind: ProbeKind, target: &Target) -> Result<(), Miss> {
        let own = self.means.own;
        match kind {
            ProbeKind::Https => {
                let is_it = |status, body: &[u8]| status == 200 && has_key(body, &target.key_ids);
                self.ask_public(target, EDGE_PATH, is_it).await
            }
            ProbeKind::Signalling => {
                let is_it = |status, _: &[u8]| (200..500).contains(&status);
                self.ask_public(target, SIGNALLING_PATH, is_it).await
            }
            ProbeKind::Ice => {
                let media = target.media.as_ref().ok_or(Miss(Reason::Unresolved))?;
                first_good(media.addresses.iter().map(|to| ice::probe(own, *to, media))).await
            }
            ProbeKind::Records => {
                let (mesh, write) = (&self.means.mesh, self.writes_canaries.load(Ordering::Relaxed));
                let ask = |to: &SocketAddr| records::probe(mesh, *to, node, write, PROBE_WITHIN);
                first_good(target.mesh.iter().map(ask)).await
            }
            ProbeKind::Dns => {
                first_good(target.dns.iter().map(|to| dns::probe(own, *to, &self.means.zone))).await
            }
        }
    }

    /// A node that can be reached by one of its addresses can be reached.
    async fn ask_public(
        &self,
        target: &Target,
        path: &str,
        is_it: impl Fn(u16, &[u8]) -> bool,
    ) -> Result<(), Miss> {
        let url = target.urls.first().and_then(|url| Url::parse(url)).ok_or(Miss(Reason::Unresolved))?;
        let question = Question { url: &url, path, own: self.means.own };
        let addresses = url.addresses(&target.public, &self.names).await?;
        let ask = async |to| {
            let answer = question.ask(to, &self.means.tls).await?;
            if is_it(answer.status, &answer.body) { Ok(()) } else { Err(Miss(Reason::Wrong)) }
        };
        first_good(addresses.into_iter().map(ask)).await
    }

    fn streaks(&self) -> std::sync::MutexGuard<'_, BTreeMap<(NodeId, ProbeKind), Streak>> {
        self.streaks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wanted(targets: &Targets) -> BTreeSet<(NodeId, ProbeKind)> {
    let kinds = |(node, target): (&NodeId, &Target)| -> Vec<_> {
        target.kinds().map(|kind| (node.clone(), kind)).collect()
    };
    targets.iter().flat_map(kinds).collect()
}

/// All at once; the first good one decides, and if there is none, the last one says why.
async fn first_good(
    probes: impl Iterator<Item = impl Future<Output = Result<(), Miss>>>,
) -> Result<(), Miss> {
    let mut probes: FuturesUnordered<_> = probes.collect();
    let mut last = Err(Miss(Reason::Unresolved));
    while let Some(ended) = probes.next().await {
        last = ended;
        if last.is_ok() {
            break;
        }
    }
    last
}

/// Whether an edge host's keys are those it announced. One that announced none is believed.
fn has_key(body: &[u8], key_ids: &[String]) -> bool {
    let Ok(jwks) = serde_json::from_slice::<Jwks>(body) else { return false };
    key_ids.is_empty() || jwks.keys.iter().any(|key| key_ids.contains(&key.kid))
}

/// Any address of this machine's, of the same family.
fn unspecified(to: SocketAddr) -> IpAddr {
    if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// From 0 to 1. Without randomness everybody is probed at once, which is bearable.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
