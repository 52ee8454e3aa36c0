//! What resources can be found by (<http://hl7.org/fhir/R4/search.html>): the parameters that HL7 names, and what of a
//! resource each of them sees.

use serde_json::Value;

use crate::moment::{self, Range};

/// What kind of parameter it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A time.
    Date,
    /// A number.
    Number,
    /// A number with its unit.
    Quantity,
    /// Another resource.
    Reference,
    /// Words.
    String,
    /// A code or an identifier.
    Token,
    /// A URI as it is.
    Uri,
}

impl Kind {
    /// As FHIR calls it (<http://hl7.org/fhir/R4/valueset-search-param-type.html>).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Number => "number",
            Self::Quantity => "quantity",
            Self::Reference => "reference",
            Self::String => "string",
            Self::Token => "token",
            Self::Uri => "uri",
        }
    }
}

/// A parameter of a type of resource.
#[derive(Debug)]
pub struct Parameter {
    /// The type of resource.
    pub resource: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its definition.
    pub url: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The only type that it finds references to; empty: any.
    pub target: &'static str,
    places: &'static [Place],
}

#[derive(Debug)]
struct Place {
    /// Names of properties, with dots between.
    path: &'static str,
    ty: &'static str,
    /// Only contacts of this system.
    system: &'static str,
}

/// What a parameter sees of a resource.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Key {
    /// A time; without an end it goes on.
    Date(Range),
    /// A number in millionths, and its unit.
    Number {
        /// Millionths.
        micro: i64,
        /// Of the unit.
        system: String,
        /// Of the unit, or the unit as it is written.
        code: String,
    },
    /// A reference as it is written: `Patient/1`.
    Reference(String),
    /// Words, folded ([`fold`]) and as they are.
    String(String, String),
    /// System, which may be empty, and code.
    Token(String, String),
    /// A URI.
    Uri(String),
}

/// Longest text that is kept to search by.
const MAX_KEY: usize = 400;
/// More keys are not made of one resource by one parameter.
const MAX_KEYS: usize = 200;

const fn p(path: &'static str, ty: &'static str, system: &'static str) -> Place {
    Place { path, ty, system }
}

const fn s(
    resource: &'static str,
    name: &'static str,
    url: &'static str,
    kind: Kind,
    target: &'static str,
    places: &'static [Place],
) -> Parameter {
    Parameter { resource, name, url, kind, target, places }
}

/// The parameters of a type, by name.
pub fn parameters(resource: &str) -> &'static [Parameter] {
    let first = PARAMETERS.partition_point(|parameter| parameter.resource < resource);
    let count = PARAMETERS[first..].iter().take_while(|parameter| parameter.resource == resource).count();
    &PARAMETERS[first..first + count]
}

/// The parameter of that name.
pub fn parameter(resource: &str, name: &str) -> Option<&'static Parameter> {
    parameters(resource).iter().find(|parameter| parameter.name == name)
}

/// Words as they are compared: without case and accents (as far as Latin letters go), one blank between.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        for letter in word.chars().flat_map(char::to_lowercase) {
            match letter {
                'à'..='å' | 'ā' | 'ă' | 'ą' => folded.push('a'),
                'ç' | 'ć' | 'č' => folded.push('c'),
                'è'..='ë' | 'ē' | 'ę' | 'ě' => folded.push('e'),
                'ì'..='ï' | 'ī' | 'į' => folded.push('i'),
                'ñ' | 'ń' | 'ň' => folded.push('n'),
                'ò'..='ö' | 'ø' | 'ō' | 'ő' => folded.push('o'),
                'ś' | 'š' | 'ş' => folded.push('s'),
                'ù'..='ü' | 'ū' | 'ů' | 'ű' => folded.push('u'),
                'ý' | 'ÿ' => folded.push('y'),
                'ź' | 'ż' | 'ž' => folded.push('z'),
                'ß' => folded.push_str("ss"),
                'æ' => folded.push_str("ae"),
                'ł' => folded.push('l'),
                // Accents that stand by themselves.
                '\u{300}'..='\u{36f}' => {}
                other => folded.push(other),
            }
        }
    }
    folded
}

impl Parameter {
    /// What it sees of `resource`.
    pub fn keys(&self, resource: &Value) -> Vec<Key> {
        let mut keys = Vec::new();
        for place in self.places {
            let mut found = Vec::new();
            follow(resource, place.path, &mut found);
            for value in found {
                self.keys_of(place, value, &mut keys);
            }
        }
        keys.truncate(MAX_KEYS);
        keys
    }

    fn keys_of(&self, place: &Place, value: &Value, keys: &mut Vec<Key>) {
        match self.kind {
            Kind::Date => keys.extend(dates(value).map(Key::Date)),
            Kind::Number | Kind::Quantity => keys.extend(number(value)),
            Kind::Reference => {
                let text = value.get("reference").or(Some(value)).and_then(Value::as_str);
                let target = |text: &&str| self.target.is_empty() || is_of(text, self.target);
                keys.extend(text.filter(target).map(|text| Key::Reference(cut(text))));
            }
            Kind::String => {
                words(value, &mut |text| keys.push(Key::String(cut(&fold(text)), cut(text))));
            }
            Kind::Token => tokens(place, value, keys),
            Kind::Uri => keys.extend(value.as_str().map(|text| Key::Uri(cut(text)))),
        }
    }
}

fn is_of(reference: &str, resource: &str) -> bool {
    let local = reference.rsplit('/').nth(1) == Some(resource);
    local || reference.starts_with("urn:")
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_KEY).collect()
}

fn follow<'v>(value: &'v Value, path: &str, found: &mut Vec<&'v Value>) {
    if let Value::Array(items) = value {
        return items.iter().for_each(|item| follow(item, path, found));
    }
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, rest),
        None if path.is_empty() => return found.push(value),
        None => (path, ""),
    };
    if let Some(value) = value.get(name) {
        follow(value, rest, found);
    }
}

/// A time, a period, or the times of a timing.
fn dates(value: &Value) -> Option<Range> {
    let of = |value: Option<&Value>| value.and_then(Value::as_str).and_then(moment::range);
    if let Some(range) = of(Some(value)) {
        return Some(range);
    }
    if let Some(events) = value.get("event").and_then(Value::as_array) {
        let ranges: Vec<Range> = events.iter().filter_map(|event| of(Some(event))).collect();
        let (from, until) =
            (ranges.iter().map(|one| one.from_ms).min(), ranges.iter().map(|one| one.until_ms).max());
        return from.zip(until).map(|(from_ms, until_ms)| Range { from_ms, until_ms });
    }
    let period = value.pointer("/repeat/boundsPeriod").unwrap_or(value);
    let (start, end) = (of(period.get("start")), of(period.get("end")));
    if start.is_none() && end.is_none() {
        return None;
    }
    let from_ms = start.map_or(i64::MIN, |range| range.from_ms);
    Some(Range { from_ms, until_ms: end.map_or(i64::MAX, |range| range.until_ms) })
}

fn number(value: &Value) -> Option<Key> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let given = value.get("value").unwrap_or(value).as_f64()?;
    let micro = micro(given)?;
    let code = text("code").or_else(|| text("unit")).or_else(|| text("currency")).unwrap_or_default();
    Some(Key::Number { micro, system: text("system").unwrap_or_default(), code })
}

/// A number in millionths, as far as that goes.
pub fn micro(number: f64) -> Option<i64> {
    let scaled = (number * 1e6).round();
    #[allow(clippy::cast_possible_truncation, reason = "within what both can hold")]
    (scaled.abs() < 9e15).then_some(scaled as i64)
}

/// The texts of a value, and of a name or address its parts.
fn words(value: &Value, each: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => each(text),
        Value::Array(items) => items.iter().for_each(|item| words(item, each)),
        Value::Object(members) => {
            let parts = [
                "text",
                "family",
                "given",
                "prefix",
                "suffix",
                "line",
                "city",
                "district",
                "state",
                "postalCode",
                "country",
            ];
            members
                .iter()
                .filter(|(name, _)| parts.contains(&name.as_str()))
                .for_each(|(_, part)| words(part, each));
        }
        _ => {}
    }
}

fn tokens(place: &Place, value: &Value, keys: &mut Vec<Key>) {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut push = |system: &str, code: &str| {
        if !code.is_empty() {
            keys.push(Key::Token(cut(system), cut(code)));
        }
    };
    match (place.ty, value) {
        (_, Value::Bool(flag)) => push("", if *flag { "true" } else { "false" }),
        (_, Value::String(code)) => push("", code),
        ("Identifier", _) => push(text("system"), text("value")),
        ("ContactPoint", _) if !place.system.is_empty() && place.system != text("system") => {}
        ("ContactPoint", _) => push(text("system"), text("value")),
        ("Coding", _) => push(text("system"), text("code")),
        ("CodeableConcept", _) => {
            for coding in value.get("coding").and_then(Value::as_array).into_iter().flatten() {
                let text = |name: &str| coding.get(name).and_then(Value::as_str).unwrap_or_default();
                push(text("system"), text("code"));
            }
        }
        _ => {}
    }
}

include!("search.in");

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_see_what_they_name() {
        let observation = json!({
            "resourceType": "Observation", "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
            "subject": {"reference": "Patient/1"}, "effectiveDateTime": "2026-03-02",
            "valueQuantity": {"value": 61.5, "system": "http://unitsofmeasure.org", "code": "/min"},
        });
        let keys = |name: &str| parameter("Observation", name).unwrap().keys(&observation);
        assert_eq!(keys("code"), [Key::Token("http://loinc.org".into(), "8867-4".into())]);
        assert_eq!(keys("status"), [Key::Token(String::new(), "final".into())]);
        assert_eq!(keys("patient"), [Key::Reference("Patient/1".into())]);
        assert_eq!(keys("date"), [Key::Date(moment::range("2026-03-02").unwrap())]);
        let (system, code) = ("http://unitsofmeasure.org".to_owned(), "/min".to_owned());
        assert_eq!(keys("value-quantity"), [Key::Number { micro: 61_500_000, system, code }]);
        assert!(keys("encounter").is_empty());
        let patient = json!({"resourceType": "Patient", "name": [{"family": "Müller", "given": ["Éva"]}],
                             "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "a@b"}]});
        let keys = |name: &str| parameter("Patient", name).unwrap().keys(&patient);
        let string = |folded: &str, text: &str| Key::String(folded.into(), text.into());
        assert_eq!(keys("name"), [string("muller", "Müller"), string("eva", "Éva")]);
        assert_eq!(keys("email"), [Key::Token("email".into(), "a@b".into())]);
    }
}
