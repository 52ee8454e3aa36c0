//! Request bodies: JSON read strictly into types that cannot hold anything wrong.

use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use crate::problem::{InputError, Problem};

/// A body without fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// The body of `request` as a `T`. An empty one counts as `{}`.
pub fn read<T: DeserializeOwned>(request: &Request<Vec<u8>>) -> Result<T, Problem> {
    let body = if request.body().is_empty() { b"{}" } else { request.body().as_slice() };
    if !request.body().is_empty() && !is_json(request) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The body must be application/json",
        ));
    }
    // serde would also take a struct's fields from an array, in order.
    if !body.trim_ascii_start().starts_with(b"{") {
        let json = serde_json::from_slice::<serde::de::IgnoredAny>(body);
        return Err(
            json.map_or_else(|error| refusal("", &error), |_| Problem::invalid("", "must be an object"))
        );
    }
    let deserializer = &mut serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut *deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        refusal(&pointer, &error.into_inner())
    })?;
    deserializer.end().map_err(|error| refusal("", &error))?;
    Ok(value)
}

/// `value` as a `T`, or what in it is wrong, and where.
pub fn parse<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, InputError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let pointer = pointer(error.path());
        InputError { pointer, detail: without_value(&error.into_inner().to_string()) }
    })
}

fn is_json(request: &Request<Vec<u8>>) -> bool {
    let value = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn refusal(pointer: &str, error: &serde_json::Error) -> Problem {
    match error.classify() {
        Category::Data => Problem::invalid(pointer, without_value(&error.to_string())),
        _ => Problem::new(StatusCode::BAD_REQUEST, "malformed-json", "The body is not JSON"),
    }
}

/// The path as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("/{index}")),
            Segment::Map { key } => text.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { variant } => text.push_str(&format!("/{variant}")),
            Segment::Unknown => {}
        }
    }
    text
}

/// serde's messages quote what was sent, which may be a name or a password: only what was expected is kept.
fn without_value(message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(text, _)| text);
    let expected = |text: &str| {
        let (_, wanted) = text.rsplit_once("expected ")?;
        // Names of our own types mean nothing to whoever asks.
        let wanted = if wanted.starts_with("struct ") { "an object" } else { wanted };
        Some(format!("expected {wanted}"))
    };
    if message.starts_with("unknown field") {
        return "unknown field".to_owned();
    }
    for quoting in ["invalid type", "invalid value", "invalid length", "unknown variant"] {
        if message.starts_with(quoting) {
            return expected(message).unwrap_or_else(|| quoting.to_owned());
        }
    }
    message.to_owned()
}

macro_rules! text_types {
    ($($(#[$doc:meta])+ $name:ident, $check:expr, $refusal:literal;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Eq, PartialEq, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                let check: fn(String) -> Option<String> = $check;
                check(text).map(Self).ok_or($refusal)
            }
        }

        /// Of the kind only.
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!("[", stringify!($name), "]"))
            }
        }
    )+};
}

text_types! {
    /// A name of a person or a thing: 1 to 200 characters in one line, without blanks around them.
    Name, |text| one_line(text.trim(), 200), "must be 1 to 200 characters in one line, and be readable";
    /// What a member of staff signs in with: 1 to 64 of letters, digits and `. _ - @ +`, in lower case.
    Username, username, "must be 1 to 64 of a-z, 0-9, . _ - @ +";
    /// A password as typed: 1 to 256 characters. What a new one must be stands in [`NewPassword`].
    Password, |text| (1..=256).contains(&text.chars().count()).then_some(text), "must be 1 to 256 characters";
    /// A password to be set. Without a second factor it takes 15 characters (NIST SP 800-63B-4 §3.1.1.2).
    NewPassword, |text| (15..=256).contains(&text.chars().count()).then_some(text),
        "must be 15 to 256 characters";
    /// An e-mail address, checked as far as that makes sense without sending (RFC 5321 §4.5.3.1 for the
    /// lengths).
    Email, email, "must be an e-mail address";
    /// A telephone number with its country (E.164): `+` and 8 to 15 digits. Blanks, dots, hyphens and brackets are left out.
    Phone, phone, "must be a number with its country, such as +491701234567";
    /// A country, or a part of one: ISO 3166-1 or 3166-2, such as `DE` or `US-OR`.
    Jurisdiction, jurisdiction, "must be a code such as DE or US-OR (ISO 3166)";
    /// The number of a licence: 1 to 40 of letters, digits and `- / . `, blanks between them.
    LicenceNumber, |text| {
        let text = text.trim();
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"-/. ".contains(&c);
        ((1..=40).contains(&text.len()) && text.bytes().all(allowed)).then(|| text.to_owned())
    }, "must be 1 to 40 of A-Z, a-z, 0-9, - / . and blanks";
    /// A language (BCP 47), such as `en` or `pt-BR`.
    Language, |text| {
        let (language, region) = text.split_once('-').map_or((text.as_str(), None), |(l, r)| (l, Some(r)));
        let fits = (2..=3).contains(&language.len()) && language.bytes().all(|c| c.is_ascii_lowercase());
        let of_region = |part: &str| part.len() == 2 && part.bytes().all(|c| c.is_ascii_uppercase());
        (fits && region.is_none_or(of_region)).then(|| text.clone())
    }, "must be a language such as en or pt-BR (BCP 47)";
    /// A name that stays when what people read changes.
    Key, |text| {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        ((1..=63).contains(&text.len()) && text.bytes().all(allowed)).then_some(text)
    }, "must be 1 to 63 of a-z, 0-9 and -";
    /// A clinical note: 1 to 20,000 characters.
    NoteText, |text| {
        let allowed = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
        let fits = (1..=20_000).contains(&text.chars().count());
        (fits && text.chars().all(allowed) && text.chars().any(is_visible)).then_some(text)
    }, "must be 1 to 20000 characters of text";
    /// A secret as its holder presents it: up to 128 characters of base64url.
    SecretText, |text| {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        ((1..=128).contains(&text.len()) && text.bytes().all(allowed)).then_some(text)
    }, "must be 1 to 128 of A-Z, a-z, 0-9, - and _";
}

fn one_line(text: &str, max: usize) -> Option<String> {
    let fits = (1..=max).contains(&text.chars().count());
    let misleads = |c: char| c.is_control() || is_bidi_control(c) || matches!(c, '\u{2028}' | '\u{2029}');
    (fits && !text.chars().any(misleads) && text.chars().any(is_visible)).then(|| text.to_owned())
}

/// Turns the text around it: a name could read as another one (Unicode Standard Annex #9, §2).
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_visible(c: char) -> bool {
    let joins_or_marks =
        matches!(c, '\u{00ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    !(c.is_whitespace() || c.is_control() || is_bidi_control(c) || joins_or_marks)
}

fn jurisdiction(text: String) -> Option<String> {
    let text = text.trim().to_ascii_uppercase();
    let (country, part) =
        text.split_once('-').map_or((text.as_str(), None), |(country, part)| (country, Some(part)));
    let is_country = country.len() == 2 && country.bytes().all(|c| c.is_ascii_uppercase());
    let is_part =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_alphanumeric());
    (is_country && part.is_none_or(is_part)).then(|| text.clone())
}

fn username(text: String) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-@+".contains(&c);
    ((1..=64).contains(&text.len()) && text.bytes().all(allowed)).then_some(text)
}

fn email(text: String) -> Option<String> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@')?;
    let local_fits = (1..=64).contains(&local.len()) && !local.contains('@');
    let label = |part: &str| {
        let inner = part.chars().all(|c| c.is_alphanumeric() || c == '-');
        !part.is_empty() && inner && !part.starts_with('-') && !part.ends_with('-')
    };
    let domain_fits = domain.split('.').count() > 1 && domain.split('.').all(label);
    let plain = !text.chars().any(|c| c.is_control() || c.is_whitespace() || "<>\",;:\\()[]".contains(c));
    (text.len() <= 254 && local_fits && domain_fits && plain).then(|| text.to_owned())
}

fn phone(text: String) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '.' | '-' | '(' | ')' | '/')).collect();
    let number = digits.strip_prefix('+')?;
    let fits = (8..=15).contains(&number.len()) && number.bytes().all(|c| c.is_ascii_digit());
    (fits && text.len() <= 40 && !number.starts_with('0')).then_some(digits)
}

/// An instant in RFC 3339.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Instant(pub Timestamp);

impl TryFrom<String> for Instant {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self).map_err(|_| "must be a time such as 2026-01-31T09:00:00Z")
    }
}

/// A calendar day.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Day(pub Date);

impl TryFrom<String> for Day {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse_day(&text).map(Self).ok_or("must be a date such as 2026-01-31")
    }
}

/// `None` unless `text` is `YYYY-MM-DD` and that day exists.
pub fn parse_day(text: &str) -> Option<Date> {
    let day: Date = text.parse().ok()?;
    (day.to_string() == text).then_some(day)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only read")]
        people: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Inner {
        name: Name,
        age: u8,
    }

    fn refused(body: &str) -> (u16, Value) {
        let request = Request::post("/").header("content-type", "application/json; charset=utf-8");
        let request = request.body(body.as_bytes().to_vec()).unwrap();
        let reply = read::<Outer>(&request).unwrap_err().into_reply();
        (reply.status().as_u16(), serde_json::from_slice(reply.body()).unwrap())
    }

    #[test]
    fn a_refusal_points_at_the_input_and_never_quotes_it() {
        for (body, pointer, detail) in [
            (r#"{"people":[{"name":"Ada","age":1},{"name":" ","age":1}]}"#, "/people/1/name", "1 to 200"),
            (r#"{"people":[{"name":"Ada","age":"Lovelace"}]}"#, "/people/0/age", "expected u8"),
            (r#"{"people":[{"name":"Ada","age":4711}]}"#, "/people/0/age", "expected u8"),
            (r#"{"people":[{"name":"Ada"}]}"#, "/people/0", "missing field `age`"),
            (r#"{"people":[{"name":"Ada","age":1,"Lovelace":2}]}"#, "/people/0/Lovelace", "unknown field"),
            (r#"{"people":{"Lovelace":1}}"#, "/people", "expected a sequence"),
            (r#"{"people":"expected Lovelace"}"#, "/people", "expected a sequence"),
        ] {
            let (status, problem) = refused(body);
            assert_eq!(status, 422, "{body}");
            let error = &problem["errors"][0];
            assert_eq!(error["pointer"], pointer, "{body}");
            let text = error["detail"].as_str().unwrap();
            assert!(text.contains(detail), "{body}: {text}");
            assert!(!text.contains("Lovelace") && !text.contains("4711"), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_a_bad_request() {
        for body in ["{", "nil", r#"{"people":[]} x"#, "\u{0}", "[", "[] x"] {
            assert_eq!(refused(body).0, 400, "{body}");
        }
    }

    #[test]
    fn only_an_object_has_fields() {
        for body in ["[]", "[[]]", "null", "\"a\"", "1"] {
            let (status, problem) = refused(body);
            assert_eq!(
                (status, problem["errors"][0]["detail"].as_str()),
                (422, Some("must be an object")),
                "{body}"
            );
        }
        let (_, problem) = refused(r#"{"people":[null]}"#);
        assert_eq!(problem["errors"][0]["detail"], "expected an object");
    }

    #[test]
    fn a_name_can_be_read_and_misleads_nobody() {
        for good in ["Zoë", "علی\u{200c}رضا", "李", "X Æ 12", "-"] {
            assert!(takes::<Name>(good), "{good:?}");
        }
        for bad in ["\u{202e}evil", "\u{200b}", "\u{feff}", "a\u{2028}b", "a\u{2069}"] {
            assert!(!takes::<Name>(bad), "{bad:?}");
        }
        assert!(!takes::<NoteText>(" \n ") && !takes::<NoteText>("\u{202e}") && takes::<NoteText>("?"));
    }

    #[test]
    fn another_media_type_is_refused() {
        let request = Request::post("/").header("content-type", "text/plain").body(b"{}".to_vec()).unwrap();
        assert_eq!(read::<Empty>(&request).unwrap_err().status(), 415);
        assert!(read::<Empty>(&Request::post("/").body(Vec::new()).unwrap()).is_ok());
    }

    fn takes<T: DeserializeOwned>(text: &str) -> bool {
        serde_json::from_value::<T>(json!(text)).is_ok()
    }

    #[test]
    fn texts_are_bounded() {
        assert!(takes::<Name>("Zoë O'Hara-Núñez") && takes::<Name>(&"x".repeat(200)));
        assert!(!takes::<Name>("a\nb") && !takes::<Name>(&"x".repeat(201)) && !takes::<Name>("  "));
        assert!(takes::<Email>("zoë@example.org") && takes::<Email>("a+b@x-y.example"));
        for bad in ["a", "a@b", "@b.c", "a@", "a b@c.d", "a@b..c", "a@-b.c", "a@b.c\r\nBcc: d@e.f", "a@b@c.d"]
        {
            assert!(!takes::<Email>(bad), "{bad:?}");
        }
        assert!(!takes::<Email>(&format!("a@{}.example", "b".repeat(250))));
        assert!(takes::<Phone>("+49 170 123-4567") && takes::<Phone>("+1 (503) 555.0100"));
        for bad in [
            "",
            "0170 1234567",
            "+0170123456",
            "+49",
            "+4917012345678901",
            "+49a1701234567",
            "+49\n1701234567",
        ] {
            assert!(!takes::<Phone>(bad), "{bad:?}");
        }
        assert!(takes::<NewPassword>("fifteen letters") && !takes::<NewPassword>("fourteen chars"));
        assert!(takes::<Username>("Dr.House@x") && !takes::<Username>("a b") && !takes::<Username>(""));
        assert!(takes::<NoteText>("line\nline\t.") && !takes::<NoteText>("\u{7}") && !takes::<NoteText>(""));
        assert!(takes::<Day>("2024-02-29") && !takes::<Day>("2023-02-29") && !takes::<Day>("20240229"));
        assert!(takes::<Instant>("2026-01-31T09:00:00+01:00") && !takes::<Instant>("2026-01-31T09:00:00"));
    }
}
