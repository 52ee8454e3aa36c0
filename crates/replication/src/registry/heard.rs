//! What the registry remembers of reports, until it is told again.

use std::time::Duration;

use locum_identity::RegionId;

use crate::{Epoch, FRESH, GroupReport, Position, StoreId};

/// What was last heard from the host on a seat, or from a candidate for an empty one.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) region: RegionId,
    pub(super) store: StoreId,
    pub(super) promised: Epoch,
    pub(super) copy: Option<Position>,
    pub(super) started: Epoch,
    /// The epoch whose engine it runs.
    pub(super) running: Option<Epoch>,
    pub(super) quiesced: bool,
    pub(super) outdated: bool,
    pub(super) at: Duration,
}

impl Heard {
    pub(super) fn new(region: &RegionId, report: &GroupReport, now: Duration) -> Self {
        Self {
            region: region.clone(),
            store: report.store,
            promised: report.promised,
            copy: report.copy,
            started: report.started,
            running: report.renew,
            quiesced: report.quiesced,
            outdated: report.outdated,
            at: now,
        }
    }

    /// Reports may come late or twice: what only grows takes the greater, and an engine once gone stays gone.
    pub(super) fn merge(&mut self, report: &GroupReport, now: Duration) {
        let newer = report.started > self.started;
        let stopped = report.started == self.started && report.renew.is_none();
        if newer || stopped {
            self.running = report.renew;
        }
        self.promised = self.promised.max(report.promised);
        self.copy = self.copy.max(report.copy);
        self.started = self.started.max(report.started);
        self.quiesced = report.quiesced;
        self.outdated = report.outdated;
        self.at = now;
    }

    pub(super) fn is_fresh(&self, now: Duration) -> bool {
        now.saturating_sub(self.at) < FRESH
    }
}
