//! One value of an answer.

use std::cmp::Ordering;
use std::fmt;

use jiff::civil::Date;
use serde_json::{Map, Value as Json, json};

use super::Kind;
use crate::form;

/// A value that FHIR R4 allows for an answer, as far as our pages ask for it.
#[derive(Clone, PartialEq)]
pub enum Answer {
    /// Yes or no.
    Boolean(bool),
    /// A whole number.
    Integer(i32),
    /// A number.
    Decimal(f64),
    /// A day.
    Date(Date),
    /// Words of one's own.
    String(String),
    /// One of what was offered.
    Coding(Coding),
}

/// A code, and whose.
#[derive(Clone)]
pub struct Coding {
    system: Option<String>,
    code: String,
    display: Option<String>,
}

/// The same code of the same system is the same answer, whatever it is called.
impl PartialEq for Coding {
    fn eq(&self, other: &Self) -> bool {
        (&self.system, &self.code) == (&other.system, &other.code)
    }
}

/// Of the kind only: what somebody answered is health data.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[answer]")
    }
}

impl Answer {
    /// The only `prefix[x]` of an object that has nothing else.
    pub(super) fn read(map: &Map<String, Json>, prefix: &str) -> Result<Self, &'static str> {
        let mut fields = map.iter();
        let (Some((name, value)), None) = (fields.next(), fields.next()) else {
            return Err("must have one answer, and nothing else");
        };
        let read = || match (name.strip_prefix(prefix)?, value) {
            ("Boolean", Json::Bool(value)) => Some(Self::Boolean(*value)),
            ("Integer", Json::Number(value)) => {
                value.as_i64().and_then(|value| value.try_into().ok()).map(Self::Integer)
            }
            ("Decimal", Json::Number(value)) => value.as_f64().filter(|v| v.is_finite()).map(Self::Decimal),
            ("Date", Json::String(value)) => form::parse_day(value).map(Self::Date),
            ("String", Json::String(value)) => is_text(value).then(|| Self::String(value.clone())),
            ("Coding", Json::Object(value)) => Coding::read(value).map(Self::Coding),
            _ => None,
        };
        read().ok_or("is no answer that can be asked for")
    }

    /// As `value[x]`.
    pub(super) fn write(&self) -> Json {
        match self {
            Self::Boolean(value) => json!({"valueBoolean": value}),
            Self::Integer(value) => json!({"valueInteger": value}),
            Self::Decimal(value) => json!({"valueDecimal": value}),
            Self::Date(value) => json!({"valueDate": value.to_string()}),
            Self::String(value) => json!({"valueString": value}),
            Self::Coding(value) => json!({"valueCoding": value.write()}),
        }
    }

    /// Whether a question of that kind can be answered so.
    pub(super) const fn fits(&self, kind: Kind) -> bool {
        match self {
            Self::Boolean(_) => matches!(kind, Kind::Boolean),
            Self::Integer(_) => matches!(kind, Kind::Integer),
            Self::Decimal(_) => matches!(kind, Kind::Decimal),
            Self::Date(_) => matches!(kind, Kind::Date),
            Self::String(_) => matches!(kind, Kind::String | Kind::Text | Kind::Choice | Kind::OpenChoice),
            Self::Coding(_) => matches!(kind, Kind::Choice | Kind::OpenChoice),
        }
    }

    /// Which is more, of numbers and days.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(one), Self::Integer(other)) => Some(one.cmp(other)),
            (Self::Decimal(one), Self::Decimal(other)) => one.partial_cmp(other),
            (Self::Date(one), Self::Date(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}

impl Coding {
    fn read(map: &Map<String, Json>) -> Option<Self> {
        let known = |name: &String| ["system", "code", "display", "_display"].contains(&name.as_str());
        let text = |name: &str| match map.get(name) {
            None => Some(None),
            Some(Json::String(text)) => is_text(text).then(|| Some(text.clone())),
            Some(_) => None,
        };
        let (system, code, display) = (text("system")?, text("code")??, text("display")?);
        let fits = code.len() <= 100 && system.as_ref().is_none_or(|system| system.len() <= 200);
        (fits && map.keys().all(known)).then_some(Self { system, code, display })
    }

    fn write(&self) -> Json {
        let mut coding = json!({"code": self.code});
        if let Some(system) = &self.system {
            coding["system"] = json!(system);
        }
        if let Some(display) = &self.display {
            coding["display"] = json!(display);
        }
        coding
    }
}

/// Something to read: FHIR has no empty strings.
fn is_text(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}
