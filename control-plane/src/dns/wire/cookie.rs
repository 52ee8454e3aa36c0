//! Cookies (RFC 7873, in the form of RFC 9018): whoever shows one that we gave out asks from its own address.

use std::hash::Hasher as _;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use super::query::{CLIENT_COOKIE, Cookie};
use super::reply::FullCookie;

const VERSION: u8 = 1;
/// RFC 9018 §4.3: an hour old at most, five minutes ahead at most.
const OLDEST_S: u32 = 3_600;
const AHEAD_S: u32 = 300;

/// What this process makes its cookies with; a new one each start, which costs clients one round.
pub(crate) struct CookieKey([u8; 16]);

impl CookieKey {
    /// A random one.
    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        let mut key = [0; 16];
        getrandom::fill(&mut key)?;
        Ok(Self(key))
    }

    /// The whole cookie to answer with.
    pub(crate) fn answer(&self, cookie: &Cookie, client: IpAddr, now_s: u64) -> FullCookie {
        let mut full = [0; CLIENT_COOKIE + 16];
        full[..CLIENT_COOKIE].copy_from_slice(&cookie.client);
        full[CLIENT_COOKIE..].copy_from_slice(&self.make(&cookie.client, client, seconds(now_s)));
        full
    }

    /// Whether a client shows a cookie that it got from us not long ago.
    pub(crate) fn is_known(&self, cookie: &Cookie, client: IpAddr, now_s: u64) -> bool {
        let Some(server) = cookie.server else { return false };
        let made = u32::from_be_bytes([server[4], server[5], server[6], server[7]]);
        // Serial number arithmetic: seconds begin anew in 2106.
        let age = seconds(now_s).wrapping_sub(made);
        let in_time = age <= OLDEST_S || age.wrapping_neg() <= AHEAD_S;
        in_time && constant_time_eq(&self.make(&cookie.client, client, made), &server)
    }

    fn make(&self, client_cookie: &[u8; CLIENT_COOKIE], client: IpAddr, made: u32) -> [u8; 16] {
        let mut server = [0; 16];
        server[0] = VERSION;
        server[4..8].copy_from_slice(&made.to_be_bytes());
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(client_cookie);
        hasher.write(&server[..8]);
        match client {
            IpAddr::V4(client) => hasher.write(&client.octets()),
            IpAddr::V6(client) => hasher.write(&client.octets()),
        }
        server[8..].copy_from_slice(&hasher.finish().to_le_bytes());
        server
    }
}

#[allow(clippy::cast_possible_truncation)]
fn seconds(now_s: u64) -> u32 {
    now_s as u32
}

fn constant_time_eq(a: &[u8; 16], b: &[u8; 16]) -> bool {
    a.iter().zip(b).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9018, appendix A.1: learning a new server cookie.
    #[test]
    fn cookies_are_those_of_the_rfc() {
        let key = CookieKey([
            0xe5, 0xe9, 0x73, 0xe5, 0xa6, 0xb2, 0xa4, 0x3f, 0x48, 0xe7, 0xdc, 0x84, 0x9e, 0x37, 0xbf, 0xcf,
        ]);
        let cookie = Cookie { client: [0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57], server: None };
        let full = key.answer(&cookie, "198.51.100.100".parse().unwrap(), 1_559_731_985);
        let expected = [
            0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57, 0x01, 0x00, 0x00, 0x00, 0x5c, 0xf7, 0x9f, 0x11,
            0x1f, 0x81, 0x30, 0xc3, 0xee, 0xe2, 0x94, 0x80,
        ];
        assert_eq!(full, expected);
    }

    #[test]
    fn only_ones_own_cookie_counts_and_only_for_a_while() {
        let key = CookieKey::generate().unwrap();
        let here = "192.0.2.1".parse().unwrap();
        let asked = Cookie { client: [7; 8], server: None };
        let full = key.answer(&asked, here, 10_000);
        let shown = Cookie { client: [7; 8], server: full[8..].try_into().ok() };
        assert!(key.is_known(&shown, here, 10_000) && key.is_known(&shown, here, 13_600));
        assert!(!key.is_known(&shown, here, 13_601));
        assert!(key.is_known(&shown, here, 9_700) && !key.is_known(&shown, here, 9_699));
        assert!(!key.is_known(&shown, "192.0.2.2".parse().unwrap(), 10_000));
        assert!(!key.is_known(&Cookie { client: [8; 8], ..shown }, here, 10_000));
        assert!(!key.is_known(&asked, here, 10_000));
        assert!(!CookieKey::generate().unwrap().is_known(&shown, here, 10_000));
    }
}
