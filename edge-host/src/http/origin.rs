//! Who sent the browser here. Cookies are `SameSite=Lax` and our hosts share a site, so the exact origin
//! decides.

use http::header::ORIGIN;
use http::{HeaderMap, Method};

use crate::network::Network;

/// Where a request came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sender {
    /// No browser page: a program, or a person's own navigation.
    Direct,
    /// This very host.
    Same,
    /// Our pages, from this host or another: may read answers, with credentials.
    Pages,
    /// Somebody else's page, where these may ask: without cookies, so it is nobody we know.
    App,
    /// Anybody else, `null` included.
    Foreign,
}

impl Sender {
    pub(super) fn of(headers: &HeaderMap, network: &Network) -> Self {
        let mut values = headers.get_all(ORIGIN).iter();
        match (values.next().map(|value| value.as_bytes()), values.next()) {
            // A browser that says that another site sent it says so truly: no page can set this header.
            (None, _) if from_another_site(headers) => Self::Foreign,
            (None, _) => Self::Direct,
            (Some(origin), None) if origin == network.origins.pages.as_bytes() => Self::Pages,
            (Some(origin), None) if origin == network.origins.api.as_bytes() => Self::Same,
            (Some(origin), None) if network.serves_pages_at(origin) => Self::Pages,
            _ => Self::Foreign,
        }
    }

    /// Whether a request of this method goes on.
    pub(super) fn may(self, method: &Method) -> bool {
        self != Self::Foreign || method.is_safe()
    }
}

/// Fetch Metadata: a page of another site, or of another host of ours, made the browser ask.
fn from_another_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
    matches!(site, Some(b"cross-site" | b"same-site"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Origins;
    use http::HeaderValue;
    use locum_identity::SigningKey;

    #[test]
    fn only_exact_origins_are_ours() {
        let origins = Origins {
            pages: "http://app.locum.localhost:8080".to_owned(),
            api: "http://eu.locum.localhost:8080".to_owned(),
            scheme: "http",
            zone: "locum.localhost".to_owned(),
        };
        let network = Network::new(origins, "eu".parse().unwrap(), SigningKey::generate().unwrap());
        let sender = |value: &'static str| {
            Sender::of(&HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(value))]), &network)
        };
        assert_eq!(Sender::of(&HeaderMap::new(), &network), Sender::Direct);
        for (site, wanted) in [
            ("cross-site", Sender::Foreign),
            ("same-site", Sender::Foreign),
            ("same-origin", Sender::Direct),
            ("none", Sender::Direct),
        ] {
            let site =
                HeaderMap::from_iter([("sec-fetch-site".parse().unwrap(), HeaderValue::from_static(site))]);
            assert_eq!(Sender::of(&site, &network), wanted, "{site:?}");
        }
        assert_eq!(sender("http://app.locum.localhost:8080"), Sender::Pages);
        assert_eq!(sender("http://eu.locum.localhost:8080"), Sender::Same);
        for foreign in [
            "null",
            "",
            "http://app.locum.localhost",
            "https://app.locum.localhost:8080",
            "http://evil.locum.localhost:8080",
        ] {
            assert_eq!(sender(foreign), Sender::Foreign, "{foreign}");
            assert!(!Sender::Foreign.may(&Method::POST));
            assert!(Sender::Foreign.may(&Method::GET));
        }
    }
}
