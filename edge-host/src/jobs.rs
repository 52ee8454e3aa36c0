//! Scheduled work of functions: `[[trigger.cron]]` of the manifest, in UTC. A job is asked for at each clinic, by the host that
//! leads its records; the same time of a job has its effect once, whoever leads.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use jiff_cron::Schedule;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::clinic::ClinicId;
use crate::http::Edge;
use crate::store::Writer;

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// A time that is over for longer is left out.
const LATE: SignedDuration = SignedDuration::from_mins(10);
/// A job that has more to do is asked again for so long; then others have their turn, and it goes on at its next time.
const LONGEST: Duration = Duration::from_secs(60);

/// One of the manifest's jobs.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub id: String,
    /// What is asked for, below `/c/:clinic`.
    pub path: String,
    schedule: Schedule,
}

/// What a job says of itself.
#[derive(Default, Deserialize)]
struct Answer {
    /// There is more to do at once.
    #[serde(default)]
    more: bool,
}

impl Job {
    /// `expression` as Spin's cron plug-in has it: seconds, minutes, hours, days, months, days of the week.
    pub fn new(id: String, path: String, expression: &str) -> Result<Self, String> {
        let schedule = Schedule::from_str(expression)
            .map_err(|_| format!("`{id}`: cron_expression is none, with seconds first"))?;
        Ok(Self { id, path, schedule })
    }

    /// The last time for it that is not after `now`, if that is not long ago.
    fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.schedule.after((now - LATE).to_zoned(TimeZone::UTC)).map(|at| at.timestamp());
        times.take_while(|at| *at <= now).last()
    }
}

/// Asks for jobs when it is time, until `stop`.
pub(crate) async fn run(jobs: Vec<Job>, edge: Arc<Edge>, stop: CancellationToken) {
    let mut done: BTreeMap<(ClinicId, usize), Timestamp> = BTreeMap::new();
    while tokio::time::timeout(LOOK, stop.cancelled()).await.is_err() {
        let now = Timestamp::now();
        for (number, job) in jobs.iter().enumerate() {
            let Some(at) = job.last(now) else { continue };
            for clinic in led_here(&edge) {
                let place = (clinic, number);
                if done.get(&place).is_some_and(|last| *last >= at) || stop.is_cancelled() {
                    continue;
                }
                let went = carry_out(&edge, job, &place.0, at).await;
                let outcome = if went { "done" } else { "failed" };
                metrics::counter!("locum_edge_jobs_total", "job" => job.id.clone(), "outcome" => outcome)
                    .increment(1);
                // What failed is asked for again at the next look, while it is not too late.
                if went {
                    done.insert(place, at);
                }
            }
        }
    }
}

fn led_here(edge: &Edge) -> Vec<ClinicId> {
    let groups = edge.store.groups().into_iter().filter(|group| edge.store.writer(group) == Writer::Here);
    groups.flat_map(|group| edge.clinics.of(&group).cloned().collect::<Vec<_>>()).collect()
}

/// The key is what makes it happen once: the host keeps the answer in the commit of what was done.
async fn carry_out(edge: &Edge, job: &Job, clinic: &ClinicId, at: Timestamp) -> bool {
    let begun = Instant::now();
    for round in 0_u64.. {
        let key = format!("job {} {at} {round}", job.id);
        let Some((status, answer)) = edge.ask(clinic, &job.path, b"{}".to_vec(), Some(&key)).await else {
            return false;
        };
        // A clinic that is not set up yet has nothing to do.
        if status.is_client_error() {
            return true;
        }
        if !status.is_success() {
            tracing::debug!(job = job.id, %clinic, status = status.as_u16(), "a job was not done");
            return false;
        }
        if !serde_json::from_slice::<Answer>(&answer).unwrap_or_default().more || begun.elapsed() > LONGEST {
            return true;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(expression: &str, now: &str) -> Option<String> {
        let job = Job::new("j".to_owned(), "/j".to_owned(), expression).unwrap();
        job.last(now.parse().unwrap()).map(|at| at.to_string())
    }

    #[test]
    fn the_last_time_counts_if_it_is_not_long_ago() {
        assert_eq!(last("0 * * * * *", "2026-03-02T07:00:59Z").unwrap(), "2026-03-02T07:00:00Z");
        assert_eq!(last("0 * * * * *", "2026-03-02T07:01:00Z").unwrap(), "2026-03-02T07:01:00Z");
        assert_eq!(last("0 0 3 * * *", "2026-03-02T03:09:00Z").unwrap(), "2026-03-02T03:00:00Z");
        assert_eq!(last("0 0 3 * * *", "2026-03-02T03:11:00Z"), None);
        assert!(Job::new("j".to_owned(), "/j".to_owned(), "* * * *").is_err());
    }
}
