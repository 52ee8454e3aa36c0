//! What a security team is told as it happens: RFC 5424 syslog and lines of JSON, with ids only.
//!
//! It is made of the audit events of this host, and of where requests came from. The writer of a record group sees
//! every sign-in of its clinics, whichever region they arrived in.

mod config;
mod rules;
mod signal;
mod syslog;
mod targets;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use config::{OpenFeedError, SecurityFeedConfig, SecurityRules, SyslogConfig};

use crate::audit::Event;
use crate::countries::Countries;
use rules::{Seen, Watch};
use signal::Signal;
use targets::Target;

/// Signals that wait for a target; beyond it they are dropped, and counted.
const QUEUE: usize = 1_024;

/// Looks at audit events.
pub(crate) struct SecurityFeed {
    watch: Mutex<Watch>,
    countries: Option<Arc<Countries>>,
    /// One for each target: that one cannot be reached holds up no other.
    queues: Vec<mpsc::Sender<Signal>>,
}

/// What is left to do: carrying signals to where they go.
pub(crate) struct Carrier {
    target: Target,
    queue: mpsc::Receiver<Signal>,
}

/// The feed of a configuration, and what carries it. `countries`: the host's own map.
pub(crate) fn open(
    config: &SecurityFeedConfig,
    countries: Option<Arc<Countries>>,
) -> Result<(SecurityFeed, Vec<Carrier>), OpenFeedError> {
    let countries = config.countries()?.or(countries);
    let (mut queues, mut carriers) = (Vec::new(), Vec::new());
    for target in Target::open(config)? {
        let (queue, waiting) = mpsc::channel(QUEUE);
        queues.push(queue);
        carriers.push(Carrier { target, queue: waiting });
    }
    let watch = Mutex::new(Watch::new(config.rules));
    Ok((SecurityFeed { watch, countries, queues }, carriers))
}

impl SecurityFeed {
    /// Looks at what a request did. Never waits.
    pub(crate) fn see(&self, events: &[Event], from: IpAddr) {
        let watched = events.iter().filter(|event| rules::is_watched(event));
        for event in watched {
            let country = self.countries.as_ref().and_then(|countries| countries.of(from));
            let seen = Seen { event, from, country: country.as_deref() };
            let signals = self.watch.lock().unwrap_or_else(PoisonError::into_inner).see(&seen);
            for signal in signals {
                metrics::counter!("locum_edge_security_signals_total", "kind" => signal.kind.as_str())
                    .increment(1);
                let full = self.queues.iter().filter(|queue| queue.try_send(signal.clone()).is_err()).count();
                metrics::counter!("locum_edge_security_signals_dropped_total").increment(full as u64);
            }
        }
    }
}

impl Carrier {
    /// Carries signals until `stop`, and what is there then.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let next = tokio::select! {
                next = self.queue.recv() => next,
                () = stop.cancelled() => {
                    self.queue.close();
                    while let Ok(signal) = self.queue.try_recv() {
                        self.target.last(&signal).await;
                    }
                    return;
                }
            };
            let Some(signal) = next else { return };
            self.target.tell(&signal, &stop).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use tokio::time::timeout;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::audit::testing;

    const DEADLINE: Duration = Duration::from_secs(20);

    fn failed(number: u64) -> Event {
        Event { code: "sign-in-failed".to_owned(), entity: None, status: 401, ..testing::event(number) }
    }

    /// A receiver's TLS side, and what it is trusted by.
    fn acceptor(folder: &Path) -> (TlsAcceptor, std::path::PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let ca_file = folder.join("ca.pem");
        std::fs::write(&ca_file, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        (TlsAcceptor::from(Arc::new(server)), ca_file)
    }

    /// One message of a receiver that takes one connection.
    async fn received(listener: &TcpListener, acceptor: &TlsAcceptor) -> String {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut bytes = vec![0; 4_096];
        let length = stream.read(&mut bytes).await.unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn signals_reach_a_file_and_a_receiver_and_wait_for_one_that_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let (acceptor, ca_file) = acceptor(folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        let file = folder.path().join("security.jsonl");
        let config = SecurityFeedConfig {
            file: Some(file.clone()),
            syslog: Some(SyslogConfig { address, tls: true, ca_file: Some(ca_file) }),
            geography_file: None,
            rules: SecurityRules::default(),
        };
        let (feed, carriers) = open(&config, None).unwrap();
        let stop = CancellationToken::new();
        let carried: Vec<_> =
            carriers.into_iter().map(|carrier| tokio::spawn(carrier.run(stop.clone()))).collect();
        feed.see(&[failed(1), testing::event(2)], "192.0.2.1".parse().unwrap());
        let lines = async {
            loop {
                let text = std::fs::read_to_string(&file).unwrap();
                if text.ends_with('\n') {
                    return text;
                }
                tokio::task::yield_now().await;
            }
        };
        let text = timeout(DEADLINE, lines).await.unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["kind"], &line["request"]), (&"sign-in-failed".into(), &"request-1".into()));
        assert!(!text.contains("192.0.2"), "an address is nobody's business");

        // A receiver that breaks off is asked again.
        drop(timeout(DEADLINE, listener.accept()).await.unwrap().unwrap());
        let message = timeout(DEADLINE, received(&listener, &acceptor)).await.unwrap();
        assert!(message.contains("<85>1 ") && message.contains(" sign-in-failed [locum@"), "{message}");
        stop.cancel();
        for carrier in carried {
            timeout(DEADLINE, carrier).await.unwrap().unwrap();
        }
    }
}
