//! Who did what, as a list: the events on the disks of the hosts that are given, each once, however many copies hold it.
//!
//! It shows what can be read. Whether it is what was written is what [`super::verify()`] says.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::Path;

use super::event::Event;
use super::frame::{self, FileName, PURPOSE, Sealer};
use super::verify::{names, records_error};
use super::{HostOnDisk, VerifyError, own_folder, rows};
use crate::store::{GroupId, GroupOnDisk};

/// What of it is wanted; what is `None` is not looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) clinic: Option<String>,
    /// Unix milliseconds, from the first to before the second.
    pub(crate) from_ms: Option<i64>,
    pub(crate) until_ms: Option<i64>,
    /// Id of whoever did it.
    pub(crate) agent: Option<String>,
    /// Id of what it was done to, or what the id begins with.
    pub(crate) entity: Option<String>,
    pub(crate) code: Option<String>,
    /// Only what was refused or failed.
    pub(crate) failed: bool,
}

impl Wanted {
    fn takes(&self, event: &Event) -> bool {
        let is = |wanted: &Option<String>, given: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| given == Some(wanted))
        };
        let entity = event.entity.as_deref();
        is(&self.clinic, Some(&event.clinic))
            && is(&self.agent, event.agent.as_deref())
            && is(&self.code, Some(&event.code))
            && self.entity.as_deref().is_none_or(|wanted| {
                // Roles are recorded as `person/role`.
                entity.is_some_and(|entity| entity.split('/').next() == Some(wanted) || entity == wanted)
            })
            && self.from_ms.is_none_or(|from| event.recorded_at_ms >= from)
            && self.until_ms.is_none_or(|until| event.recorded_at_ms < until)
            && (!self.failed || event.status >= 400)
    }
}

/// The events of one group, oldest first. Blocks.
pub(crate) fn list(
    hosts: &[HostOnDisk],
    group: &GroupId,
    wanted: &Wanted,
) -> Result<Vec<Event>, VerifyError> {
    let (mut found, mut databases, mut sealers) = (Vec::new(), Vec::new(), Vec::new());
    for host in hosts {
        let opened = GroupOnDisk::open(&host.state_dir, group, &host.master_key);
        let Some(records) = opened.map_err(|error| records_error(host, error))? else { continue };
        let Some(sealer) = Sealer::new(group, &records.derived_key(PURPOSE)) else { continue };
        sealers.push((host, sealer));
        if records.has_database() {
            databases.push((host, records));
        }
    }
    // A host's own log before what others keep of it: the copy may be behind.
    let mut seen = HashSet::new();
    for (host, sealer) in &sealers {
        let own = own_folder(&host.state_dir.join("audit"), group);
        reads(&own, sealer, &mut seen, |event| found.extend(wanted.takes(&event).then_some(event)))?;
    }
    for (host, sealer) in &sealers {
        let from = host.state_dir.join("audit").join(group.as_str()).join("from");
        for node in names(&from)? {
            let take = |event| found.extend(wanted.takes(&event).then_some(event));
            reads(&from.join(node), sealer, &mut seen, take)?;
        }
    }
    // The rows are the same in all copies, up to how far each has come.
    let mut furthest = None;
    for (host, mut records) in databases {
        let last = rows::last(|sql, values| records.select(sql, values));
        let last = last.map_err(|error| records_error(host, error))?;
        if furthest.as_ref().is_none_or(|(most, _, _)| last > *most) {
            furthest = Some((last, host, records));
        }
    }
    if let Some((_, host, mut records)) = furthest {
        let take = |event| found.extend(wanted.takes(&event).then_some(event));
        let read = rows::each(|sql, values| records.select(sql, values), take);
        read.map_err(|error| records_error(host, error))?;
    }
    found.sort_by_key(|event| event.recorded_at_ms);
    Ok(found)
}

/// The events of a folder's logs that were not seen before, as far as they can be opened.
fn reads(
    folder: &Path,
    sealer: &Sealer,
    seen: &mut HashSet<(u64, u64)>,
    mut take: impl FnMut(Event),
) -> Result<(), VerifyError> {
    let files: BTreeSet<FileName> = names(folder)?.iter().filter_map(|name| FileName::parse(name)).collect();
    for file in files {
        let path = file.in_folder(folder);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            // Expired between the two looks.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(VerifyError::File { path, source }),
        };
        frame::walk(file, &bytes, |frame| {
            if seen.insert((file.log, frame.sequence))
                && let Some(event) = sealer.open(file.log, &frame)
            {
                take(event);
            }
        });
    }
    Ok(())
}
