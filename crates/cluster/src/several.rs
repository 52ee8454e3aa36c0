//! One address or several, as JSON: one stands for itself, so that programs of the release before, which know only
//! one, go on reading what most nodes say.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    One(SocketAddr),
    Several(Vec<SocketAddr>),
    None,
}

pub(crate) fn serialize<S: Serializer>(addresses: &[SocketAddr], to: S) -> Result<S::Ok, S::Error> {
    match addresses {
        [one] => one.serialize(to),
        several => several.serialize(to),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SocketAddr>, D::Error> {
    Ok(match Said::deserialize(from)? {
        Said::One(one) => vec![one],
        Said::Several(several) => several,
        Said::None => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Node {
        #[serde(default, with = "super", skip_serializing_if = "Vec::is_empty")]
        mesh: Vec<SocketAddr>,
    }

    #[test]
    fn one_is_written_as_before_and_everything_is_read() {
        let node = |ports: &[u16]| Node {
            mesh: ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect(),
        };
        for (text, ports) in [
            (r#"{"mesh":"127.0.0.1:1"}"#, &[1][..]),
            (r#"{"mesh":["127.0.0.1:1","127.0.0.1:2"]}"#, &[1, 2]),
            ("{}", &[]),
        ] {
            assert_eq!(serde_json::from_str::<Node>(text).unwrap(), node(ports));
            assert_eq!(serde_json::to_string(&node(ports)).unwrap(), text);
        }
        assert_eq!(serde_json::from_str::<Node>(r#"{"mesh":null}"#).unwrap(), node(&[]));
        assert!(serde_json::from_str::<Node>(r#"{"mesh":"nowhere"}"#).is_err());
    }
}
