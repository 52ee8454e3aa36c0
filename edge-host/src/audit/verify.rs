//! Walks every chain of a group on the disks of the hosts that are given, compares copies and signatures, and
//! names what is first wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::checkpoint::{self, Chain, Checkpoint};
use super::frame::{self, Damage, FileName, Hash, PURPOSE, Sealer};
use super::own_folder;
use super::report::{Copy, Finding, Gap, LostWrites, Report, WriteCopy};
use super::rows::{self, Fault};
use crate::store::{GroupId, GroupOnDisk, MasterKey, OnDiskError, SqlError};

/// A host's disk.
pub(crate) struct HostOnDisk {
    /// How the report names it.
    pub(crate) name: String,
    pub(crate) state_dir: PathBuf,
    pub(crate) master_key: MasterKey,
}

/// Nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The group's key or database.
    #[error("open the records of {host}")]
    Records {
        /// Of which host.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A folder or file.
    #[error("read {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A log as one host holds it.
struct LogCopy {
    holder: String,
    /// `None`: the host's own.
    from: Option<String>,
    log: u64,
    /// Sequence of its first event here, and a hash an event from there on.
    first: u64,
    /// The hash before that.
    before: Option<Hash>,
    hashes: Vec<Hash>,
    /// The last file ends inside an event: a host that runs is writing it.
    is_unfinished: bool,
}

/// What is being put together.
struct Walk<'a> {
    group: &'a GroupId,
    report: Report,
    copies: Vec<LogCopy>,
    checkpoints: Vec<Checkpoint>,
    /// Nodes whose own disks were looked at.
    looked_at: BTreeSet<String>,
}

/// Verifies one group. Blocks.
pub(crate) fn verify(hosts: &[HostOnDisk], group: &GroupId) -> Result<Report, VerifyError> {
    let mut walk = Walk {
        group,
        report: Report::new(group),
        copies: Vec::new(),
        checkpoints: Vec::new(),
        looked_at: BTreeSet::new(),
    };
    let mut databases = Vec::new();
    for host in hosts {
        let opened = GroupOnDisk::open(&host.state_dir, group, &host.master_key);
        let opened = opened.map_err(|error: OnDiskError| records_error(host, error))?;
        let Some(records) = opened else { continue };
        // Derived keys are 32 bytes long.
        let Some(sealer) = Sealer::new(group, &records.derived_key(PURPOSE)) else { continue };
        walk.host(host, &sealer)?;
        databases.push((host, records));
    }
    for (host, records) in databases.into_iter().filter(|(_, records)| records.has_database()) {
        walk.database(host, records)?;
    }
    walk.compare_writes();
    walk.compare_reads();
    Ok(walk.report)
}

impl Walk<'_> {
    fn host(&mut self, host: &HostOnDisk, sealer: &Sealer) -> Result<(), VerifyError> {
        let audit = host.state_dir.join("audit");
        self.folder(host, None, &own_folder(&audit, self.group), sealer)?;
        let from = audit.join(self.group.as_str()).join("from");
        for node in names(&from)? {
            let folder = from.join(&node);
            self.folder(host, Some(node), &folder, sealer)?;
        }
        Ok(())
    }

    fn folder(
        &mut self,
        host: &HostOnDisk,
        from: Option<String>,
        folder: &Path,
        sealer: &Sealer,
    ) -> Result<(), VerifyError> {
        let file_error = |source| VerifyError::File { path: folder.to_owned(), source };
        let (checkpoints, wrong) = checkpoint::read(folder).map_err(file_error)?;
        if wrong > 0 {
            self.report.find(Finding::Signatures { holder: host.name.clone(), wrong });
        }
        let of_group = checkpoints.into_iter().filter(|checkpoint| checkpoint.group == *self.group);
        for checkpoint in of_group {
            if from.is_none() {
                self.looked_at.insert(checkpoint.node.clone());
            }
            self.checkpoints.push(checkpoint);
        }
        let mut logs: BTreeMap<u64, Vec<FileName>> = BTreeMap::new();
        for name in names(folder)? {
            match FileName::parse(&name) {
                Some(file) => logs.entry(file.log).or_default().push(file),
                None if name.contains(".damaged-") => {
                    self.report.note(format!("{}: {name} was found damaged and set aside", host.name));
                }
                None => {}
            }
        }
        for (log, mut files) in logs {
            files.sort_unstable();
            let copy = LogCopy {
                holder: host.name.clone(),
                from: from.clone(),
                log,
                first: files.first().map_or(1, |file| file.first),
                before: None,
                hashes: Vec::new(),
                is_unfinished: false,
            };
            self.log(copy, &files, folder, sealer)?;
        }
        Ok(())
    }

    /// Goes through the files of one log, as far as they are whole and follow on.
    fn log(
        &mut self,
        mut copy: LogCopy,
        files: &[FileName],
        folder: &Path,
        sealer: &Sealer,
    ) -> Result<(), VerifyError> {
        let origin = FileName::origin(copy.log, self.group);
        let mut before = (copy.first == 1).then_some(origin);
        let mut wrong = None;
        for (place, file) in files.iter().enumerate() {
            let path = file.in_folder(folder);
            let bytes = std::fs::read(&path).map_err(|source| VerifyError::File { path, source })?;
            let mut unsealed = None;
            let walked = frame::walk(*file, &bytes, |frame| {
                match sealer.open(copy.log, &frame) {
                    Some(event) if copy.from.is_none() => drop(self.looked_at.insert(event.node)),
                    Some(_) => {}
                    None => unsealed = unsealed.or(Some(frame.sequence)),
                }
                copy.hashes.push(frame.hash);
            });
            copy.before.get_or_insert(walked.before.hash);
            let follows = before.is_none_or(|before| before == walked.before);
            let is_last = place + 1 == files.len();
            wrong = match (follows, walked.damage) {
                (false, _) => Some(Fault::Changed(before.map_or(file.first, |end| end.sequence + 1))),
                (true, Some(Damage::CutOff)) if is_last => {
                    copy.is_unfinished = true;
                    None
                }
                (true, Some(_)) => Some(Fault::Changed(walked.end.sequence + 1)),
                (true, None) => None,
            };
            wrong = unsealed.map(Fault::Changed).or(wrong);
            if wrong.is_some() {
                break;
            }
            before = Some(walked.end);
        }
        if let Some(fault) = wrong {
            self.report.find(copy.finding(fault));
        }
        self.report.reads.push(copy.summary());
        self.copies.push(copy);
        Ok(())
    }

    fn database(&mut self, host: &HostOnDisk, mut records: GroupOnDisk) -> Result<(), VerifyError> {
        let signed = self.checkpoints.iter().filter(|checkpoint| checkpoint.chain.is_of_rows());
        let wanted: Vec<u64> = signed.map(|checkpoint| checkpoint.sequence).collect();
        let found = rows::verify(|sql, parameters| records.select(sql, parameters), &wanted);
        let found = found.map_err(|error: SqlError| records_error(host, error))?;
        if let Some(fault) = found.fault {
            self.report.find(Finding::Writes { holder: host.name.clone(), fault });
        }
        self.report.writes.push(WriteCopy { holder: host.name.clone(), rows: found });
        Ok(())
    }

    /// The copy that goes furthest against what was signed; the others may be behind it.
    fn compare_writes(&mut self) {
        let furthest = self.report.writes.iter().max_by_key(|copy| copy.rows.chained);
        let Some(furthest) = furthest.filter(|copy| copy.rows.fault.is_none()) else { return };
        let (holder, chained) = (furthest.holder.clone(), furthest.rows.chained);
        let hashes: BTreeMap<u64, Hash> =
            self.report.writes.iter().flat_map(|copy| copy.rows.hashes.iter().copied()).collect();
        let (lost, signed) = self.signed_rows();
        let fault = signed.into_iter().filter_map(|checkpoint| {
            if checkpoint.sequence > chained {
                return Some(Fault::CutOff(chained + 1));
            }
            let own = hashes.get(&checkpoint.sequence).copied();
            (own != checkpoint.hash()).then_some(Fault::Changed(checkpoint.sequence))
        });
        let fault = fault.min_by_key(Fault::sequence);
        self.report.lost_writes.extend(lost);
        if let Some(fault) = fault {
            self.report.find(Finding::Writes { holder, fault });
        }
    }

    /// What each restore cost, and the checkpoints that still count: one that goes beyond what a backup held,
    /// and was signed before the restore from it, speaks of another history.
    fn signed_rows(&self) -> (Vec<LostWrites>, Vec<&Checkpoint>) {
        let mut restores = Vec::new();
        for restore in &self.checkpoints {
            let Chain::Restored(after) = restore.chain else { continue };
            let is_over = |other: &&Checkpoint| is_before(other, restore) && other.chain == Chain::Writes;
            let known_to = self.checkpoints.iter().filter(is_over).map(|other| other.sequence).max();
            let known_to = known_to.unwrap_or(0).max(after);
            restores.push((restore, LostWrites { at_ms: restore.at_ms, after, known_to }));
        }
        let of_rows = |signed: &&Checkpoint| signed.chain.is_of_rows();
        let counts = |signed: &&Checkpoint| {
            // Nothing was chained yet.
            signed.sequence > 0 && !restores.iter().any(|(restore, _)| is_before(signed, restore))
        };
        let signed = self.checkpoints.iter().filter(of_rows).filter(counts).collect();
        (restores.into_iter().map(|(_, lost)| lost).collect(), signed)
    }

    fn compare_reads(&mut self) {
        let logs: BTreeSet<u64> = self.copies.iter().map(|copy| copy.log).collect();
        for log in logs {
            let (own, others): (Vec<_>, Vec<_>) =
                self.copies.iter().filter(|copy| copy.log == log).partition(|copy| copy.from.is_none());
            let signed = self.checkpoints.iter().filter(|signed| signed.chain == Chain::Reads(log));
            let signed: Vec<_> = signed.collect();
            let mut found = Vec::new();
            for copy in own.iter().chain(&others) {
                found.extend(copy.contradicted_by(&signed).map(|fault| copy.finding(fault)));
            }
            let expired = self.checkpoints.iter().filter(|signed| signed.chain == Chain::Expired(log));
            let expired: Vec<_> = expired.collect();
            found.extend(own.iter().filter_map(|own| own.begins_too_late(&expired)));
            for other in &others {
                found.extend(own.iter().filter_map(|own| own.differs_from(other)));
            }
            let vouched = signed.iter().map(|signed| signed.sequence).max().unwrap_or(0);
            let gap = match own.first() {
                Some(own) => {
                    let known = others.iter().map(|other| other.end()).max().unwrap_or(0).max(vouched);
                    if known > own.end() {
                        found.push(own.finding(Fault::CutOff(own.end() + 1)));
                    }
                    None
                }
                None => gap(&others, vouched, &self.looked_at),
            };
            for finding in found {
                self.report.find(finding);
            }
            self.report.gaps.extend(gap);
        }
    }
}

/// Whether a checkpoint speaks of rows that a restore did not bring back.
fn is_before(signed: &Checkpoint, restore: &Checkpoint) -> bool {
    signed.at_ms <= restore.at_ms && signed.sequence > restore.sequence
}

impl LogCopy {
    fn end(&self) -> u64 {
        self.first + self.hashes.len() as u64 - 1
    }

    fn hash(&self, sequence: u64) -> Option<Hash> {
        self.hashes.get(usize::try_from(sequence.checked_sub(self.first)?).ok()?).copied()
    }

    fn contradicted_by(&self, signed: &[&Checkpoint]) -> Option<Fault> {
        let contradicted = signed
            .iter()
            .filter(|signed| self.hash(signed.sequence).is_some_and(|own| Some(own) != signed.hash()));
        contradicted.map(|signed| Fault::Changed(signed.sequence)).min_by_key(Fault::sequence)
    }

    /// What stood before its first event has to have expired. A copy elsewhere may have been begun late.
    fn begins_too_late(&self, expired: &[&Checkpoint]) -> Option<Finding> {
        let last = self.first.checked_sub(1).filter(|last| *last > 0)?;
        let is_said = |said: &&Checkpoint| said.sequence == last && said.hash() == self.before;
        (!expired.iter().any(is_said)).then(|| self.finding(Fault::Missing(last)))
    }

    fn differs_from(&self, other: &Self) -> Option<Finding> {
        let mut both = self.first.max(other.first)..=self.end().min(other.end());
        let first = both.find(|sequence| self.hash(*sequence) != other.hash(*sequence))?;
        Some(self.finding(Fault::Changed(first)))
    }

    fn finding(&self, fault: Fault) -> Finding {
        Finding::Reads { holder: self.holder.clone(), from: self.from.clone(), log: self.log, fault }
    }

    fn summary(&self) -> Copy {
        Copy {
            holder: self.holder.clone(),
            from: self.from.clone(),
            log: self.log,
            first: self.first,
            end: self.end(),
            is_unfinished: self.is_unfinished,
        }
    }
}

/// What a log lacks whose host's disk is not here.
fn gap(copies: &[&LogCopy], vouched: u64, looked_at: &BTreeSet<String>) -> Option<Gap> {
    let furthest = copies.iter().max_by_key(|copy| copy.end())?;
    let node = furthest.from.clone()?;
    // Nobody keeps less of such a log than there ever was.
    if (FileName { log: furthest.log, first: 1 }).is_overflow() {
        return None;
    }
    let after = furthest.end();
    let disk_lost = looked_at.contains(&node);
    Some(Gap { node, log: furthest.log, after, known_to: vouched.max(after), disk_lost })
}

pub(super) fn names(folder: &Path) -> Result<Vec<String>, VerifyError> {
    let file_error = |source| VerifyError::File { path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(file_error(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(file_error)?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

pub(super) fn records_error(
    host: &HostOnDisk,
    source: impl std::error::Error + Send + Sync + 'static,
) -> VerifyError {
    VerifyError::Records { host: host.name.clone(), source: Box::new(source) }
}
