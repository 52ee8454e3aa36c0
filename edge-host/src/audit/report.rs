//! What verifying found, for a person.

use std::fmt;

use super::rows::{Fault, Rows};
use crate::store::GroupId;

/// Of one group.
pub struct Report {
    group: GroupId,
    pub(super) writes: Vec<WriteCopy>,
    pub(super) reads: Vec<Copy>,
    findings: Vec<Finding>,
    pub(super) gaps: Vec<Gap>,
    pub(super) lost_writes: Vec<LostWrites>,
    notes: Vec<String>,
}

/// The rows of what was written, in one host's copy of the database.
pub(super) struct WriteCopy {
    pub(super) holder: String,
    pub(super) rows: Rows,
}

/// A log of read events as one host holds it.
pub(super) struct Copy {
    pub(super) holder: String,
    /// Whose, when it is another's.
    pub(super) from: Option<String>,
    pub(super) log: u64,
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) is_unfinished: bool,
}

/// Something is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Finding {
    Writes { holder: String, fault: Fault },
    Reads { holder: String, from: Option<String>, log: u64, fault: Fault },
    Signatures { holder: String, wrong: usize },
}

/// Read events that no disk here holds: their host had not shipped them when it was lost.
pub(super) struct Gap {
    pub(super) node: String,
    pub(super) log: u64,
    /// The last event that is known.
    pub(super) after: u64,
    /// There were events up to this one at least, by a signed checkpoint.
    pub(super) known_to: u64,
    /// The host is here, and began another log.
    pub(super) disk_lost: bool,
}

/// The records came out of a backup.
pub(super) struct LostWrites {
    /// When.
    pub(super) at_ms: i64,
    /// The last event that the backup held.
    pub(super) after: u64,
    /// There were events up to this one at least, by a signed checkpoint.
    pub(super) known_to: u64,
}

impl Report {
    pub(super) fn new(group: &GroupId) -> Self {
        Self {
            group: group.clone(),
            writes: Vec::new(),
            reads: Vec::new(),
            findings: Vec::new(),
            gaps: Vec::new(),
            lost_writes: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn find(&mut self, finding: Finding) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Nothing was altered. Gaps are no alteration: they are what a loss cost.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What is wrong, for a log.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.findings().iter().map(ToString::to_string).collect()
    }
}

impl Fault {
    pub(super) fn sequence(&self) -> u64 {
        match self {
            Self::Missing(sequence) | Self::Changed(sequence) | Self::CutOff(sequence) => *sequence,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "record group {}", self.group)?;
        for WriteCopy { holder, rows } in &self.writes {
            let (chained, unchained) = (rows.chained, rows.unchained);
            writeln!(f, "  changes, copy of {holder}: {chained} events chained, {unchained} not yet")?;
        }
        for copy in &self.reads {
            writeln!(f, "  {copy}")?;
        }
        if self.reads.iter().all(|copy| copy.from.is_none()) && !self.reads.is_empty() {
            writeln!(f, "  reads have one copy: no other region was looked at, or there is none")?;
        }
        for (number, gap) in (1..).zip(&self.gaps) {
            writeln!(f, "  gap {number}: {gap}")?;
        }
        for lost in &self.lost_writes {
            writeln!(f, "  {lost}")?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        for finding in &self.findings {
            writeln!(f, "  WRONG: {finding}")?;
        }
        write!(f, "  {}", if self.is_sound() { "nothing was altered" } else { "something was altered" })
    }
}

impl fmt::Display for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { holder, from, log, first, end, is_unfinished } = self;
        match from {
            Some(node) => write!(f, "reads of {node}, kept by {holder}")?,
            None => write!(f, "reads of {holder}")?,
        }
        write!(f, ", log {log:016x}: events {first} to {end}")?;
        if *is_unfinished { f.write_str(", and one being written") } else { Ok(()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writes { holder, fault } => write!(f, "changes, copy of {holder}: {fault}"),
            Self::Reads { holder, from: None, log, fault } => {
                write!(f, "reads of {holder}, log {log:016x}: {fault}")
            }
            Self::Reads { holder, from: Some(node), log, fault } => {
                write!(f, "reads of {node}, kept by {holder}, log {log:016x}: {fault}")
            }
            Self::Signatures { holder, wrong } => {
                write!(f, "{wrong} of the checkpoints kept by {holder} are signed by nobody known")
            }
        }
    }
}

impl fmt::Display for LostWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_ms, after, known_to } = self;
        let at = jiff::Timestamp::from_millisecond(*at_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        write!(f, "restored at {at:.0} from a backup that held changes up to event {after}")?;
        if known_to > after {
            write!(f, "; events {} to {known_to} of the lost network are not in it", after + 1)?;
        }
        Ok(())
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, log, after, known_to, disk_lost } = self;
        if known_to > after {
            write!(f, "events {} to {known_to} of {node}", after + 1)?;
        } else {
            write!(f, "whatever {node} recorded after event {after}")?;
        }
        let why = if *disk_lost { "its disk was lost" } else { "its disk was not looked at" };
        write!(f, " (log {log:016x}) had not reached another region; {why}")
    }
}
