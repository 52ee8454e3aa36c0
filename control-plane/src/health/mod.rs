//! Which nodes can be reached, judged from several places. Pure: time is passed in and nothing is sent.
//!
//! Each member of the control plane is a *vantage point*: it probes every node from outside and keeps a
//! [`Streak`] for each kind of probe. The leader holds the newest report of each member and what it hears from
//! the nodes themselves; [`Health::judge`] says whose standing should change, and on what evidence. What it
//! says counts once a step with a generation has put it into the record (`plan`).

mod judge;
mod observation;
mod region;
mod standing;
mod vantage;

pub(crate) use judge::{Change, Health, Verdict};
pub(crate) use observation::{Outcome, ProbeKind, Reason, Report, Seen, Streak};
pub(crate) use region::is_down;
pub(crate) use standing::{Condition, Standing};
pub(crate) use vantage::{Evidence, Opinion, Word};

use std::time::Duration;

/// How often a vantage point probes a node. Below [`PROBE_WITHIN`], so that three misses of a second each fit
/// into the four seconds within which a dead node is to be marked: the third begins 2.25 s after the last
/// good answer and has failed at 3.25 s.
pub(crate) const PROBE_EVERY: Duration = Duration::from_millis(750);
/// A probe without a good answer by then is a miss.
pub(crate) const PROBE_WITHIN: Duration = Duration::from_secs(1);
/// So many misses in a row …
pub(crate) const MISSES: u32 = 3;
/// … over at least so long speak against a node. A process that is started again refuses connections at once:
/// the time is what it has for that.
pub(crate) const FAILING: Duration = Duration::from_secs(3);
/// So many good answers in a row speak for a node that was down.
pub(crate) const GOOD: u32 = 5;
/// How often a member reports if nothing changes.
pub(crate) const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A report older than this says nothing. Below [`FAILING`]: a member that dies with its region does not speak
/// for it when the others have made up their minds.
pub(crate) const FRESH: Duration = Duration::from_millis(2_500);
/// A node that did not say that it is there for so long is silent.
pub(crate) const SILENT: Duration = Duration::from_secs(3);
