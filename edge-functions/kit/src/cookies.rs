//! The cookies: a member of staff's session, their sign-in while it lasts, a patient's visit, and a patient's account.

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue, InvalidHeaderValue};

use crate::ids::ClinicId;

/// Holds the session of a member of staff.
pub const STAFF: &str = "locum_session";
/// Holds a sign-in that a password began, and something else has to complete.
pub const SIGN_IN: &str = "locum_sign_in";
/// Ties an answer from elsewhere to the browser that asked.
pub const EXTERNAL: &str = "locum_external";
/// Holds the session of a patient's visit.
pub const VISIT: &str = "locum_visit";
/// Holds the session of a patient's account, or of somebody who acts for a patient.
pub const PERSON: &str = "locum_person";

/// The value of the cookie `name`, if the request has it.
pub fn read<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(given, value)| (given == name).then_some(value))
}

/// `Set-Cookie` for a cookie that goes to every region of the network, for this clinic only, and to no
/// script.
pub fn set(
    name: &str,
    value: &str,
    zone: &str,
    clinic: &ClinicId,
) -> Result<HeaderValue, InvalidHeaderValue> {
    line(name, value, zone, clinic, "")
}

/// `Set-Cookie` that takes the cookie away.
pub fn clear(name: &str, zone: &str, clinic: &ClinicId) -> Result<HeaderValue, InvalidHeaderValue> {
    line(name, "", zone, clinic, "; Max-Age=0")
}

fn line(
    name: &str,
    value: &str,
    zone: &str,
    clinic: &ClinicId,
    age: &str,
) -> Result<HeaderValue, InvalidHeaderValue> {
    let scope = format!("Domain={zone}; Path=/c/{clinic}/; HttpOnly; SameSite=Lax; Secure");
    let mut header = HeaderValue::try_from(format!("{name}={value}; {scope}{age}"))?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_cookie_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; locum_visit=x=y;b=2"));
        headers.append(COOKIE, HeaderValue::from_static("locum_session=z"));
        assert_eq!(read(&headers, VISIT), Some("x=y"));
        assert_eq!(read(&headers, STAFF), Some("z"));
        assert_eq!(read(&headers, "locum"), None);
    }

    #[test]
    fn a_cookie_has_every_protection() {
        let clinic = ClinicId::parse("demo").unwrap();
        let header = set(VISIT, "v", "locum.localhost", &clinic).unwrap();
        let wanted = "locum_visit=v; Domain=locum.localhost; Path=/c/demo/; HttpOnly; SameSite=Lax; Secure";
        assert_eq!(header, wanted);
        assert!(header.is_sensitive());
        assert!(set(VISIT, "v\r\nx: y", "locum.localhost", &clinic).is_err());
    }
}
