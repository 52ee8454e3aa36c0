//! Primitive types: what their values may be (<http://hl7.org/fhir/R4/datatypes.html#primitive>).

use serde_json::Value;

use crate::moment;
use crate::narrative;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Primitive {
    Base64Binary,
    Boolean,
    Canonical,
    Code,
    Date,
    DateTime,
    Decimal,
    Id,
    Instant,
    Integer,
    Markdown,
    Oid,
    PositiveInt,
    String,
    Time,
    UnsignedInt,
    Uri,
    Url,
    Uuid,
    Xhtml,
}

/// FHIR's bound on a string, 1 MiB.
const MAX_TEXT: usize = 1 << 20;

impl Primitive {
    /// What a value must be, for people.
    pub(crate) const fn wanted(self) -> &'static str {
        match self {
            Self::Base64Binary => "must be base64 (RFC 4648)",
            Self::Boolean => "must be true or false",
            Self::Code => "must be a code: text without blanks at its ends and without two in a row",
            Self::Date => "must be a date: YYYY, YYYY-MM or YYYY-MM-DD",
            Self::DateTime => "must be a date, or a date with a time to the second and its zone",
            Self::Decimal => "must be a number",
            Self::Id => "must be an id: 1 to 64 letters, digits, '-' and '.'",
            Self::Instant => "must be a date with a time to the second and its zone",
            Self::Integer => "must be a whole number of 32 bits",
            Self::Oid => "must be an OID as a URI (urn:oid:…)",
            Self::PositiveInt => "must be a whole number from 1",
            Self::Time => "must be a time: hh:mm:ss",
            Self::UnsignedInt => "must be a whole number from 0",
            Self::Canonical | Self::Uri | Self::Url => "must be a URI without blanks",
            Self::Uuid => "must be a UUID as a URI (urn:uuid:…)",
            Self::String | Self::Markdown => "must be text that is not empty",
            Self::Xhtml => {
                "must be a <div> of XHTML with text, lists, tables, links and pictures, and nothing active"
            }
        }
    }

    /// Whether `value` is one.
    pub(crate) fn takes(self, value: &Value) -> bool {
        let whole = |from: i64| value.as_i64().is_some_and(|n| (from..=i64::from(i32::MAX)).contains(&n));
        match self {
            Self::Boolean => value.is_boolean(),
            Self::Decimal => value.is_number(),
            Self::Integer => whole(i64::from(i32::MIN)),
            Self::PositiveInt => whole(1),
            Self::UnsignedInt => whole(0),
            _ => value.as_str().is_some_and(|text| text.len() <= MAX_TEXT && self.takes_text(text)),
        }
    }

    fn takes_text(self, text: &str) -> bool {
        match self {
            Self::String | Self::Markdown => is_text(text),
            Self::Code => is_code(text),
            Self::Id => is_id(text),
            Self::Uri | Self::Url | Self::Canonical => is_uri(text),
            Self::Oid => text.strip_prefix("urn:oid:").is_some_and(is_oid),
            Self::Uuid => text.strip_prefix("urn:uuid:").is_some_and(is_uuid),
            Self::Date => moment::date_parts(text).is_some(),
            Self::DateTime => moment::range(text).is_some(),
            Self::Instant => text.contains('T') && moment::range(text).is_some(),
            Self::Time => moment::clock_ms(text).is_some(),
            Self::Base64Binary => is_base64(text),
            Self::Xhtml => narrative::is_harmless(text),
            Self::Boolean | Self::Decimal | Self::Integer | Self::PositiveInt | Self::UnsignedInt => false,
        }
    }
}

fn is_text(text: &str) -> bool {
    let plain = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    !text.is_empty() && text.chars().all(plain)
}

fn is_code(text: &str) -> bool {
    let words = text.split(|c: char| c.is_whitespace());
    !text.is_empty() && words.into_iter().all(|word| !word.is_empty()) && !text.chars().any(char::is_control)
}

/// Whether a text can be the id of a resource.
pub fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

fn is_uri(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn is_oid(text: &str) -> bool {
    let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty();
    let plain = |part: &str| number(part) && (part == "0" || !part.starts_with('0'));
    let mut parts = text.split('.');
    parts.next().is_some_and(|first| matches!(first, "0" | "1" | "2"))
        && text.contains('.')
        && parts.all(plain)
}

fn is_uuid(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let fits = |(place, byte): (usize, u8)| match place {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => hex(byte),
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

fn is_base64(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let (mut count, mut padding) = (0_usize, 0_usize);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        match byte {
            b'=' => padding += 1,
            byte if letter(byte) && padding == 0 => count += 1,
            _ => return false,
        }
    }
    count > 0 && padding <= 2 && (count + padding) % 4 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primitives_take_what_fhir_says() {
        use serde_json::json;
        for (primitive, right, wrong) in [
            (Primitive::Code, json!("a b"), json!("a  b")),
            (Primitive::Code, json!("a"), json!(" a")),
            (Primitive::Id, json!("A-1.b"), json!("a_b")),
            (Primitive::Integer, json!(-5), json!(1.5)),
            (Primitive::Integer, json!(2_147_483_647), json!(2_147_483_648_i64)),
            (Primitive::PositiveInt, json!(1), json!(0)),
            (Primitive::UnsignedInt, json!(0), json!(-1)),
            (Primitive::Decimal, json!(1.50), json!("1.50")),
            (Primitive::Boolean, json!(false), json!("false")),
            (Primitive::Oid, json!("urn:oid:2.16.840"), json!("urn:oid:2.016")),
            (
                Primitive::Uuid,
                json!("urn:uuid:c757873d-ec9a-4326-a141-556f43239520"),
                json!("urn:uuid:C757873D-EC9A-4326-A141-556F43239520"),
            ),
            (Primitive::Uri, json!("urn:x"), json!("a b")),
            (Primitive::Instant, json!("2026-03-02T08:00:00Z"), json!("2026-03-02")),
            (Primitive::Time, json!("08:00:00"), json!("08:00")),
            (Primitive::Base64Binary, json!("AAAA\nAA=="), json!("AAA")),
            (Primitive::String, json!("a\nb"), json!("")),
            (Primitive::String, json!(" a"), json!("a\u{0}b")),
        ] {
            assert!(primitive.takes(&right), "{primitive:?} {right}");
            assert!(!primitive.takes(&wrong), "{primitive:?} {wrong}");
        }
    }
}
