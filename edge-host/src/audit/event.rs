//! One audit event, in the terms of FHIR's `AuditEvent`: ids only, never a name and never text.
//!
//! A function says what it did in the answer header `locum-audit`, one JSON object a line of the header; the
//! host takes the header off and adds what it alone knows: clinic, request, time, place.

use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};

/// The header in which a function names what it did. Never leaves the host.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("locum-audit");
/// Most events of one answer.
const MAX_EVENTS: usize = 256;
/// Longest id, code or type.
const MAX_WORD: usize = 64;

/// `AuditEvent.action`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub(crate) enum Action {
    /// Create.
    C,
    /// Read.
    R,
    /// Update.
    U,
    /// Delete.
    D,
    /// Execute: signing in, minting a token, exporting.
    E,
}

/// Somebody or something: its kind and its id.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
}

/// What a function says.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    /// `AuditEvent.action`.
    pub(crate) action: Action,
    /// `AuditEvent.subtype`: what it is called in this application.
    pub(crate) code: String,
    /// `AuditEvent.agent.who`.
    pub(crate) agent: Named,
    /// `AuditEvent.entity.what`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) entity: Option<Named>,
    /// `AuditEvent.entity` of role 1: whose record it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) patient: Option<String>,
    /// `AuditEvent.purposeOfEvent`, a code of HL7's PurposeOfUse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) purpose: Option<String>,
    /// The session, or the token of an app, by which it was done: its id, which opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// `AuditEvent.entity.detail`: what was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) old: Option<String>,
    /// The same: what is there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) new: Option<String>,
}

/// What the host knows of the request, beside what its function says.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances {
    pub(crate) recorded_at_ms: i64,
    pub(crate) clinic: String,
    pub(crate) request: String,
    pub(crate) region: String,
    pub(crate) node: String,
    pub(crate) status: u16,
}

/// A whole event. Its JSON, fields in this order, is what hashes are made of: a new field is optional and
/// left out where it has no value, so that old events keep their hashes.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    /// `AuditEvent.recorded`, Unix milliseconds.
    pub(crate) recorded_at_ms: i64,
    pub(crate) clinic: String,
    /// The host's id of the request.
    pub(crate) request: String,
    /// `AuditEvent.source`, with `node`.
    pub(crate) region: String,
    pub(crate) node: String,
    /// `AuditEvent.outcome`, as the status of the answer.
    pub(crate) status: u16,
    pub(crate) action: Action,
    pub(crate) code: String,
    pub(crate) agent_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) entity_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) entity: Option<String>,
    /// `AuditEvent.entity` of role 1: whose record it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) patient: Option<String>,
    /// `AuditEvent.purposeOfEvent`, a code of HL7's PurposeOfUse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) purpose: Option<String>,
    /// The session, or the token of an app, by which it was done: its id, which opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// `AuditEvent.entity.detail`: what was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) old: Option<String>,
    /// The same: what is there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) new: Option<String>,
}

/// The header is not what a function may say.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an audit event")]
pub(crate) struct Malformed;

/// What the answer's function says it did, in order. The header stays.
pub(crate) fn said(headers: &HeaderMap) -> Result<Vec<Said>, Malformed> {
    let lines = headers.get_all(HEADER);
    if lines.iter().count() > MAX_EVENTS {
        return Err(Malformed);
    }
    lines.iter().map(|line| Said::read(line.as_bytes())).collect()
}

impl Action {
    const ALL: [Self; 5] = [Self::C, Self::R, Self::U, Self::D, Self::E];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::R => "R",
            Self::U => "U",
            Self::D => "D",
            Self::E => "E",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

impl Said {
    fn read(line: &[u8]) -> Result<Self, Malformed> {
        // Not the parser's own words: they quote what was sent.
        let said: Self = serde_json::from_slice(line).map_err(|_| Malformed)?;
        if said.words().all(is_word) { Ok(said) } else { Err(Malformed) }
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        let named = [Some(&self.agent), self.entity.as_ref()].into_iter().flatten();
        let words = named.flat_map(|named| [Some(named.kind.as_str()), named.id.as_deref()]);
        let more = [&self.patient, &self.purpose, &self.token, &self.old, &self.new];
        let more = more.into_iter().filter_map(|word| word.as_deref());
        words.flatten().chain([self.code.as_str()]).chain(more)
    }

    /// With all that the host adds.
    pub(crate) fn at(self, circumstances: &Circumstances) -> Event {
        let (entity_type, entity) = match self.entity {
            Some(entity) => (Some(entity.kind), entity.id),
            None => (None, None),
        };
        let here = circumstances.clone();
        Event {
            recorded_at_ms: here.recorded_at_ms,
            clinic: here.clinic,
            request: here.request,
            region: here.region,
            node: here.node,
            status: here.status,
            action: self.action,
            code: self.code,
            agent_type: self.agent.kind,
            agent: self.agent.id,
            entity_type,
            entity,
            patient: self.patient,
            purpose: self.purpose,
            token: self.token,
            old: self.old,
            new: self.new,
        }
    }
}

impl Event {
    /// What its hash is made of, and what is kept of it in files.
    pub(crate) fn canonical(&self) -> Vec<u8> {
        // Text and numbers only: nothing that JSON could not say.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// An id, a code, a type: nothing that a name or a sentence would pass for.
fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/');
    !text.is_empty() && text.len() <= MAX_WORD && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    const READ: &str = r#"{"action":"R","code":"note-read","agent":{"type":"staff","id":"u-1"},
        "entity":{"type":"Encounter","id":"e-1"}}"#;

    #[test]
    fn a_function_says_ids_and_nothing_else() {
        let read = READ.replace('\n', "");
        let anonymous = r#"{"action":"E","code":"link-refused","agent":{"type":"anonymous"}}"#;
        let found = said(&headers(&[&read, anonymous])).unwrap();
        assert_eq!((found[0].action, found[1].action), (Action::R, Action::E));
        for (from, to) in [
            ("e-1", "Jane Roe"),
            ("note-read", ""),
            ("u-1", "jane@example.org"),
            ("\"R\"", "\"X\""),
            ("\"code\"", "\"text\":\"x\",\"code\""),
        ] {
            assert_eq!(said(&headers(&[&read.replace(from, to)])), Err(Malformed), "{to}");
        }
        assert_eq!(said(&headers(&vec![anonymous; MAX_EVENTS + 1])), Err(Malformed));
    }

    /// Hashes of events that exist already must not change.
    #[test]
    fn the_canonical_form_is_fixed() {
        let circumstances = Circumstances {
            recorded_at_ms: 1,
            clinic: "demo".to_owned(),
            request: "r".to_owned(),
            region: "eu".to_owned(),
            node: "edge-1".to_owned(),
            status: 200,
        };
        let event = said(&headers(&[&READ.replace('\n', "")])).unwrap().remove(0).at(&circumstances);
        let canonical = r#"{"recorded_at_ms":1,"clinic":"demo","request":"r","region":"eu","node":"edge-1",
            "status":200,"action":"R","code":"note-read","agent_type":"staff","agent":"u-1",
            "entity_type":"Encounter","entity":"e-1"}"#;
        let canonical: String = canonical.split_whitespace().collect();
        assert_eq!(String::from_utf8(event.canonical()).unwrap(), canonical);
        assert_eq!(serde_json::from_str::<Event>(&canonical).unwrap(), event);
        let more = r#","patient":"p-1","purpose":"TREAT","token":"s-1","old":"nurse","new":"nurse.doctor"}"#;
        let said = READ.replace('\n', "").trim_end().trim_end_matches('}').to_owned() + "}" + more;
        let event = self::said(&headers(&[&said])).unwrap().remove(0).at(&circumstances);
        let canonical = canonical.trim_end_matches('}').to_owned() + more;
        assert_eq!(String::from_utf8(event.canonical()).unwrap(), canonical);
    }
}
