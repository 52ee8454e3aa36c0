//! How much of a record group a browser has seen, in a cookie a group: whatever it asks next, here or in another
//! region, it is never shown less.

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

use crate::store::GroupId;

/// What their names begin with; the group's follows.
pub(crate) const SEEN_COOKIES: &str = "locum_seen_";
/// Nobody comes back to a position after so long that the copies are not far ahead of it.
const MAX_AGE_S: u32 = 24 * 3_600;

/// The token that a request carries for `group`.
pub(super) fn read<'a>(headers: &'a HeaderMap, group: &GroupId) -> Option<&'a str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name.strip_prefix(SEEN_COOKIES)? == group.as_str()).then_some(value)
    })
}

/// Has the browser carry `token` to every region from now on.
pub(super) fn write(headers: &mut HeaderMap, zone: &str, group: &GroupId, token: &str) {
    append(headers, zone, group, token, MAX_AGE_S);
}

/// Has the browser forget its token: what it stood for is lost, and it has been told.
pub(super) fn forget(headers: &mut HeaderMap, zone: &str, group: &GroupId) {
    append(headers, zone, group, "", 0);
}

fn append(headers: &mut HeaderMap, zone: &str, group: &GroupId, token: &str, max_age_s: u32) {
    let cookie = format!(
        "{SEEN_COOKIES}{group}={token}; Domain={zone}; Path=/c/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax; Secure"
    );
    // Names and tokens are plain ASCII.
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        headers.append(SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_its_own() {
        let (main, other): (GroupId, GroupId) = ("main".parse().unwrap(), "eu".parse().unwrap());
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=b; locum_seen_main=1.2.x"));
        headers.append(COOKIE, HeaderValue::from_static("locum_seen_eu=3.4.y; locum_seen_mainland=5.6.z"));
        assert_eq!(read(&headers, &main), Some("1.2.x"));
        assert_eq!(read(&headers, &other), Some("3.4.y"));
        assert_eq!(read(&headers, &"none".parse().unwrap()), None);

        let mut answer = HeaderMap::new();
        write(&mut answer, "locum.localhost", &main, "7.8.m");
        let cookie = answer[SET_COOKIE].to_str().unwrap();
        for part in ["locum_seen_main=7.8.m;", "Domain=locum.localhost", "HttpOnly", "Secure", "SameSite=Lax"]
        {
            assert!(cookie.contains(part), "{part} in {cookie}");
        }
    }
}
