//! Spin's route grammar: exact segments, `:name` for one segment, a trailing `/...` for any rest.

use std::cmp::Ordering;
use std::fmt;

/// A parsed route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    raw: String,
    segments: Vec<Segment>,
    wildcard: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Segment {
    Exact(String),
    Named(String),
}

/// Where a path met a route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteMatch<'p> {
    /// Named segments, in order, with the path's own text.
    pub named: Vec<(String, &'p str)>,
    /// What the trailing wildcard matched, with its leading slash; empty without a wildcard.
    pub path_info: &'p str,
}

/// Not a route.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{0}` is not a route: it starts with `/`, a segment is text or `:name`, and `...` stands only at the end"
)]
pub struct ParseRouteError(String);

impl Route {
    /// Parses the text of a manifest.
    pub fn parse(raw: &str) -> Result<Self, ParseRouteError> {
        let error = || ParseRouteError(raw.to_owned());
        let path = raw.strip_prefix('/').ok_or_else(error)?;
        let (path, wildcard) = match path.strip_suffix("...") {
            Some("") => ("", true),
            Some(head) => (head.strip_suffix('/').ok_or_else(error)?, true),
            None => (path, false),
        };
        let mut segments: Vec<Segment> = Vec::new();
        for text in path.split('/').filter(|_| !path.is_empty()) {
            let (segment, fine) = match text.strip_prefix(':') {
                Some(name) => (Segment::Named(name.to_owned()), is_name(name)),
                None => (Segment::Exact(text.to_owned()), !text.is_empty() && !text.contains("...")),
            };
            let repeated_name = matches!(segment, Segment::Named(_)) && segments.contains(&segment);
            if !fine || repeated_name {
                return Err(error());
            }
            segments.push(segment);
        }
        Ok(Self { raw: raw.to_owned(), segments, wildcard })
    }

    /// As the manifest has it.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// Without the trailing wildcard (`spin-component-route`).
    pub fn without_wildcard(&self) -> &str {
        self.raw.strip_suffix("/...").unwrap_or(&self.raw)
    }

    /// Whether `:name` stands in it.
    pub fn names(&self, name: &str) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Named(own) if own == name))
    }

    /// Matches a whole path. Segments are compared as they are: `%2F` never becomes a slash.
    pub fn matches<'p>(&self, path: &'p str) -> Option<RouteMatch<'p>> {
        let mut rest = path;
        let mut named = Vec::new();
        for segment in &self.segments {
            let tail = rest.strip_prefix('/')?;
            let end = tail.find('/').unwrap_or(tail.len());
            let (text, after) = tail.split_at(end);
            match segment {
                Segment::Exact(own) if own == text => {}
                Segment::Named(name) if !text.is_empty() => named.push((name.clone(), text)),
                _ => return None,
            }
            rest = after;
        }
        let end_of_root = self.segments.is_empty() && rest == "/";
        match self.wildcard {
            true => Some(RouteMatch { named, path_info: rest }),
            false if rest.is_empty() || end_of_root => Some(RouteMatch { named, path_info: "" }),
            false => None,
        }
    }

    /// `Less` when this route is the more specific: exact before named, longer before shorter, exact end
    /// before wildcard.
    pub fn by_precedence(&self, other: &Self) -> Ordering {
        let rank = |segment: &Segment| u8::from(matches!(segment, Segment::Named(_)));
        let pairs = self.segments.iter().zip(&other.segments);
        pairs
            .map(|(own, theirs)| rank(own).cmp(&rank(theirs)))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| other.segments.len().cmp(&self.segments.len()))
            .then(self.wildcard.cmp(&other.wildcard))
    }

    /// Whether both match exactly the same paths.
    pub fn is_same(&self, other: &Self) -> bool {
        let alike = |(own, theirs): (&Segment, &Segment)| match (own, theirs) {
            (Segment::Exact(a), Segment::Exact(b)) => a == b,
            (Segment::Named(_), Segment::Named(_)) => true,
            _ => false,
        };
        self.wildcard == other.wildcard
            && self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(alike)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(raw: &str) -> Route {
        Route::parse(raw).unwrap()
    }

    fn info<'p>(raw: &str, path: &'p str) -> Option<&'p str> {
        route(raw).matches(path).map(|found| found.path_info)
    }

    #[test]
    fn matches_as_spin_does() {
        assert_eq!(info("/a", "/a"), Some(""));
        assert_eq!(info("/a", "/a/b"), None);
        assert_eq!(info("/a/...", "/a"), Some(""));
        assert_eq!(info("/a/...", "/a/b/c"), Some("/b/c"));
        assert_eq!(info("/a/...", "/ab"), None);
        assert_eq!(info("/...", "/x"), Some("/x"));
        assert_eq!(info("/", "/"), Some(""));
        let found = route("/c/:clinic/auth/...");
        let found = found.matches("/c/demo/auth/session").unwrap();
        assert_eq!(found.named, vec![("clinic".to_owned(), "demo")]);
        assert_eq!(found.path_info, "/session");
        assert_eq!(info("/c/:clinic/auth/...", "/c//auth"), None);
        assert_eq!(info("/c/:clinic/auth/...", "/c/a%2Fb/auth"), Some(""));
    }

    #[test]
    fn the_most_specific_route_comes_first() {
        let mut routes = ["/...", "/a/...", "/:x", "/a", "/a/:y", "/a/b", "/a/b/..."].map(route);
        routes.sort_by(Route::by_precedence);
        let order: Vec<_> = routes.iter().map(Route::raw).collect();
        assert_eq!(order, ["/a/b", "/a/b/...", "/a/:y", "/a", "/a/...", "/:x", "/..."]);
    }

    #[test]
    fn refuses_what_is_no_route() {
        for bad in ["", "a", "/a//b", "/...a", "/a...", "/:", "/:x/:x", "/a/.../b"] {
            assert!(Route::parse(bad).is_err(), "{bad}");
        }
        assert!(Route::parse("/a/a").is_ok());
    }

    #[test]
    fn the_same_paths_are_the_same_route() {
        assert!(route("/c/:a/x").is_same(&route("/c/:b/x")));
        assert!(!route("/c/:a/x").is_same(&route("/c/:a/...")));
    }
}
