//! `If-Match` (RFC 9110 §13.1.1): nobody overwrites what they have not seen.

use http::HeaderMap;
use http::StatusCode;
use http::header::IF_MATCH;
use kit::problem::Problem;

/// What a writer has seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum IfMatch {
    /// `*`: whatever is there.
    Any,
    /// One of these versions.
    Versions(Vec<String>),
}

impl IfMatch {
    /// The precondition of a request, which must have one (RFC 6585 §3). A weak tag never matches here, and
    /// neither does what is no tag.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let lines: Vec<_> =
            headers.get_all(IF_MATCH).iter().map(|line| line.to_str().unwrap_or("")).collect();
        if lines.is_empty() {
            let title = "Say with If-Match which version you have read";
            return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition-required", title));
        }
        if lines == ["*"] {
            return Ok(Self::Any);
        }
        let tags = lines.iter().flat_map(|line| line.split(','));
        let strong = |tag: &str| Some(tag.trim().strip_prefix('"')?.strip_suffix('"')?.to_owned());
        Ok(Self::Versions(tags.filter_map(strong).collect()))
    }

    /// Whether `version` is what the writer has seen.
    pub fn holds_for(&self, version: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.iter().any(|seen| seen == version),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(lines: &[&'static str]) -> Result<IfMatch, Problem> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IF_MATCH, HeaderValue::from_static(line));
        }
        IfMatch::of(&headers)
    }

    #[test]
    fn a_writer_must_say_what_they_have_seen() {
        assert_eq!(of(&[]).unwrap_err().status(), 428);
    }

    #[test]
    fn strong_tags_match_and_nothing_else() {
        let given = of(&["\"a\", W/\"b\", c", "\"d\""]).unwrap();
        assert!(given.holds_for("a") && given.holds_for("d"));
        for other in ["b", "c", "", "\"a\""] {
            assert!(!given.holds_for(other), "{other}");
        }
        assert!(of(&["*"]).unwrap().holds_for("anything"));
        assert!(!of(&["\""]).unwrap().holds_for(""));
    }
}
