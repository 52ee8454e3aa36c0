//! Audit events as files: ids, and the user names of staff; no patient's name leaves.

use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, LINK};
use jiff::Timestamp;
use kit::audit::Action;
use kit::audit_log::{Found, MOST, Report};
use kit::context::Context;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::Reply;
use serde::Serialize;

use crate::names::{self, Names};
use crate::{fhir, pdf, wishes};

const COLUMNS: &str = "recorded,action,code,agent_type,agent,user,entity_type,entity,patient,outcome,purpose,token,old,\
                       new,region,node,request";

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Format {
    Csv,
    Ndjson,
    Fhir,
    Pdf,
}

impl Format {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "csv" => Self::Csv,
            "ndjson" => Self::Ndjson,
            "fhir" => Self::Fhir,
            "pdf" => Self::Pdf,
            _ => return None,
        })
    }

    /// An answer holds 4 MiB.
    const fn events(self) -> usize {
        match self {
            Self::Csv | Self::Ndjson | Self::Pdf => MOST,
            Self::Fhir => 1_500,
        }
    }

    /// Media type and file name.
    const fn terms(self) -> (&'static str, &'static str) {
        match self {
            Self::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"audit.csv\""),
            Self::Ndjson => ("application/x-ndjson", "attachment; filename=\"audit.ndjson\""),
            Self::Fhir => ("application/fhir+json", "attachment; filename=\"audit.json\""),
            Self::Pdf => ("application/pdf", "attachment; filename=\"audit.pdf\""),
        }
    }
}

/// A line of a file: the words of `locum audit list`.
#[derive(Serialize)]
struct Line<'e> {
    recorded: String,
    action: char,
    code: &'e str,
    agent_type: &'e str,
    agent: &'e str,
    user: &'e str,
    entity_type: &'e str,
    entity: &'e str,
    patient: &'e str,
    outcome: u16,
    purpose: &'e str,
    token: &'e str,
    old: &'e str,
    new: &'e str,
    region: &'e str,
    node: &'e str,
    request: &'e str,
}

/// `GET /audit/export`: as many events as an answer holds, and where the next part is.
pub async fn export_audit_events(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut query = Query::of(context.request.uri());
    let format = query.required("format", "csv, ndjson, fhir or pdf", Format::parse)?;
    let (mut wish, patient) = wishes::read(&mut query)?;
    query.finish()?;
    wish.limit = format.events();
    let is_first = wish.after.is_none();
    if let Some(patient) = patient {
        wish.entities = wishes::entities_of(context, patient).await?;
    }
    let report = context.events(&wish).await?;
    let names = names::of(context, &report.events).await?;
    let action = if format == Format::Pdf { Action::AuditPrinted } else { Action::AuditExported };
    let size = (None, Some(report.events.len().to_string()));
    context.audit_change(action, patient.as_ref().map(|id| id as _), size);
    let body = match format {
        Format::Csv => csv(&report, &names, is_first),
        Format::Ndjson => ndjson(&report, &names),
        Format::Fhir => fhir::bundle(context.clinic.as_str(), &report, &names),
        Format::Pdf => {
            let clinic = context.clinic().await?;
            pdf::document(&report, &names, &clinic.zone, (context.clinic.as_str(), context.now))
        }
    };
    let mut reply = Reply::new(body);
    let (media_type, disposition) = format.terms();
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    if let Some(last) = report.events.last().filter(|_| report.more) {
        let next = format!("<?after={}>; rel=\"next\"", wishes::cursor(&wish.place(last)));
        headers.insert(LINK, HeaderValue::from_str(&next).map_err(Problem::internal)?);
    }
    Ok(reply)
}

impl<'e> Line<'e> {
    fn of(found: &'e Found, names: &'e Names) -> Self {
        let event = &found.event;
        let optional = |text: &'e Option<String>| text.as_deref().unwrap_or_default();
        let user = event.agent.as_ref().and_then(|id| names.staff.get(id));
        Self {
            recorded: recorded(found),
            action: event.action,
            code: &event.code,
            agent_type: &event.agent_type,
            agent: optional(&event.agent),
            user: user.map_or("", |staff| staff.username.as_str()),
            entity_type: optional(&event.entity_type),
            entity: optional(&event.entity),
            patient: optional(&event.patient),
            outcome: event.status,
            purpose: optional(&event.purpose),
            token: optional(&event.token),
            old: optional(&event.old),
            new: optional(&event.new),
            region: &event.region,
            node: &event.node,
            request: &event.request,
        }
    }

    fn fields(&self) -> [String; 17] {
        [
            self.recorded.as_str(),
            self.action.encode_utf8(&mut [0; 4]),
            self.code,
            self.agent_type,
            self.agent,
            self.user,
            self.entity_type,
            self.entity,
            self.patient,
            &self.outcome.to_string(),
            self.purpose,
            self.token,
            self.old,
            self.new,
            self.region,
            self.node,
            self.request,
        ]
        .map(quoted)
    }
}

/// When, in RFC 3339.
pub fn recorded(found: &Found) -> String {
    let at = Timestamp::from_millisecond(found.event.recorded_at_ms);
    at.map(|at| at.to_string()).unwrap_or_default()
}

/// RFC 4180. With the head in the first part only: parts put together are one file.
fn csv(report: &Report, names: &Names, is_first: bool) -> Vec<u8> {
    let mut text = if is_first { format!("{COLUMNS}\r\n") } else { String::new() };
    for found in &report.events {
        text.push_str(&Line::of(found, names).fields().join(","));
        text.push_str("\r\n");
    }
    text.into_bytes()
}

fn ndjson(report: &Report, names: &Names) -> Vec<u8> {
    let mut text = Vec::new();
    for found in &report.events {
        text.extend(serde_json::to_vec(&Line::of(found, names)).unwrap_or_default());
        text.push(b'\n');
    }
    text
}

/// A spreadsheet must neither split a field nor take it for a formula: user names may begin with `-`, `+` or `@`.
fn quoted(field: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/@+".contains(&byte);
    if field.bytes().all(plain) && !field.starts_with(['-', '+', '@']) {
        field.to_owned()
    } else {
        format!("\"'{}\"", field.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_field_stays_one_field_and_no_formula() {
        assert_eq!(quoted("grey@clinic"), "grey@clinic");
        assert_eq!(quoted(""), "");
        assert_eq!(quoted("@sum"), "\"'@sum\"");
        assert_eq!(quoted("-1"), "\"'-1\"");
        assert_eq!(quoted("a,b\"c"), "\"'a,b\"\"c\"");
    }
}
