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
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use config::{OpenFeedError, SecurityFeedConfig, SecurityRules, SyslogConfig};

use crate::audit::Event;
use rules::{Seen, Watch};
use signal::Signal;
use targets::Target;

/// Signals that wait for a target; beyond it they are dropped, and counted.
const QUEUE: usize = 1_024;

/// Looks at audit events.
pub(crate) struct SecurityFeed {
    watch: Mutex<Watch>,
    countries: Option<maxminddb::Reader<Vec<u8>>>,
    /// One for each target: that one cannot be reached holds up no other.
    queues: Vec<mpsc::Sender<Signal>>,
}

/// What is left to do: carrying signals to where they go.
pub(crate) struct Carrier {
    target: Target,
    queue: mpsc::Receiver<Signal>,
}

/// What is read of a country's record.
#[derive(serde::Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    country_code: Option<&'a str>,
    #[serde(borrow, default)]
    country: Country<'a>,
}

#[derive(Default, serde::Deserialize)]
struct Country<'a> {
    #[serde(borrow)]
    iso_code: Option<&'a str>,
}

/// The feed of a configuration, and what carries it.
pub(crate) fn open(config: &SecurityFeedConfig) -> Result<(SecurityFeed, Vec<Carrier>), OpenFeedError> {
    let countries = config.countries()?;
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
            let country = self.country(from);
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

    fn country(&self, from: IpAddr) -> Option<String> {
        let found = self.countries.as_ref()?.lookup(from).ok()?;
        let found: Found<'_> = found.decode().ok()??;
        found.country_code.or(found.country.iso_code).map(str::to_owned)
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
