//! `locum audit list`: the audit events on the disks of hosts whose configuration is given, as lines.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::VerifyAuditError;
use crate::audit::{Event, Wanted, list};
use crate::store::GroupId;
use crate::verify_audit::hosts;

/// What of them is wanted.
#[derive(Args)]
pub struct AuditListOptions {
    /// Configurations of the hosts. They may run meanwhile.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    config: Vec<PathBuf>,
    /// Of this record group only.
    #[arg(long)]
    group: Option<String>,
    /// Of this clinic only.
    #[arg(long)]
    clinic: Option<String>,
    /// From this time or day (UTC) on.
    #[arg(long, value_parser = instant)]
    from: Option<Timestamp>,
    /// Up to this time or day (UTC), which is not included.
    #[arg(long, value_parser = instant)]
    until: Option<Timestamp>,
    /// By whoever has this id.
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Done to what has this id: an appointment, an encounter, a member of staff.
    #[arg(long, value_name = "ID")]
    entity: Option<String>,
    /// What was done, such as `note-read`.
    #[arg(long)]
    code: Option<String>,
    /// Only what was refused or failed.
    #[arg(long)]
    failed: bool,
    /// Comma-separated values (RFC 4180) instead of one JSON object a line.
    #[arg(long)]
    csv: bool,
}

/// An event, as it is shown: names as in FHIR's `AuditEvent`.
#[derive(Serialize)]
struct Line<'e> {
    group: &'e str,
    recorded: String,
    clinic: &'e str,
    action: &'static str,
    code: &'e str,
    agent_type: &'e str,
    agent: &'e str,
    entity_type: &'e str,
    entity: &'e str,
    /// Status of the answer.
    outcome: u16,
    region: &'e str,
    node: &'e str,
    request: &'e str,
}

const HEAD: &str =
    "group,recorded,clinic,action,code,agent_type,agent,entity_type,entity,outcome,region,node,request";

/// Says each line, a group after the other, oldest first. Blocks.
pub fn list_audit(options: &AuditListOptions, mut say: impl FnMut(String)) -> Result<(), VerifyAuditError> {
    let (hosts, groups) = hosts(&options.config, options.group.as_deref())?;
    let wanted = Wanted {
        clinic: options.clinic.clone(),
        from_ms: options.from.map(Timestamp::as_millisecond),
        until_ms: options.until.map(Timestamp::as_millisecond),
        agent: options.agent.clone(),
        entity: options.entity.clone(),
        code: options.code.clone(),
        failed: options.failed,
    };
    if options.csv {
        say(HEAD.to_owned());
    }
    for group in groups.into_iter().collect::<BTreeSet<_>>() {
        for event in list(&hosts, &group, &wanted).map_err(VerifyAuditError::Verify)? {
            let line = Line::of(&group, &event);
            say(if options.csv { line.csv() } else { line.json() });
        }
    }
    Ok(())
}

impl<'e> Line<'e> {
    fn of(group: &'e GroupId, event: &'e Event) -> Self {
        let recorded = Timestamp::from_millisecond(event.recorded_at_ms);
        Self {
            group: group.as_str(),
            recorded: recorded.map(|at| at.to_string()).unwrap_or_default(),
            clinic: &event.clinic,
            action: event.action.as_str(),
            code: &event.code,
            agent_type: &event.agent_type,
            agent: event.agent.as_deref().unwrap_or_default(),
            entity_type: event.entity_type.as_deref().unwrap_or_default(),
            entity: event.entity.as_deref().unwrap_or_default(),
            outcome: event.status,
            region: &event.region,
            node: &event.node,
            request: &event.request,
        }
    }

    fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    fn csv(&self) -> String {
        let outcome = self.outcome.to_string();
        let fields = [
            self.group,
            &self.recorded,
            self.clinic,
            self.action,
            self.code,
            self.agent_type,
            self.agent,
            self.entity_type,
            self.entity,
            &outcome,
            self.region,
            self.node,
            self.request,
        ];
        fields.map(quoted).join(",")
    }
}

/// Ids need no quotes; should one ever, a spreadsheet must neither split it nor take it for a formula.
fn quoted(field: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    if field.bytes().all(plain) && !field.starts_with('-') {
        field.to_owned()
    } else {
        format!("\"'{}\"", field.replace('"', "\"\""))
    }
}

fn instant(text: &str) -> Result<Timestamp, &'static str> {
    let day = || Some(text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    text.parse()
        .ok()
        .or_else(day)
        .ok_or("must be a time such as 2026-01-31T09:00:00Z, or a day such as 2026-01-31")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_stays_one_field_and_no_formula() {
        assert_eq!(quoted("u-1/nurse"), "u-1/nurse");
        assert_eq!(quoted(""), "");
        assert_eq!(quoted("a,b\"c"), "\"'a,b\"\"c\"");
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
        assert_eq!(quoted("-1"), "\"'-1\"");
    }

    #[test]
    fn times_and_days_are_read() {
        assert_eq!(instant("2026-01-31").unwrap().to_string(), "2026-01-31T00:00:00Z");
        assert!(instant("2026-01-31T09:00:00+01:00").is_ok());
        assert!(instant("31.1.2026").is_err());
    }
}
