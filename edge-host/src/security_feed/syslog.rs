//! A signal as syslog: RFC 5424, framed by RFC 6587 §3.4.1, which RFC 5425 asks for over TLS too.

use super::signal::Signal;

/// "authpriv".
const FACILITY: u8 = 10;
/// The number that RFC 5612 keeps for examples: ours is not registered.
const ELEMENT: &str = "locum@32473";

/// The message with its length before it.
pub(super) fn framed(signal: &Signal) -> Vec<u8> {
    let message = message(signal);
    format!("{} {message}", message.len()).into_bytes()
}

fn message(signal: &Signal) -> String {
    let priority = FACILITY * 8 + signal.severity;
    let count = signal.count.map(|count| count.to_string());
    let parameters = [
        ("clinic", Some(signal.clinic.as_str())),
        ("agent", signal.agent.as_deref()),
        ("entity", signal.entity.as_deref()),
        ("request", Some(signal.request.as_str())),
        ("region", Some(signal.region.as_str())),
        ("country", signal.country.as_deref()),
        ("countryBefore", signal.country_before.as_deref()),
        ("network", signal.network.as_deref()),
        ("count", count.as_deref()),
    ];
    let written = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let written: String = written.map(|(name, value)| format!(" {name}=\"{}\"", escaped(value))).collect();
    let (at, node, kind) = (&signal.at, host_name(&signal.node), signal.kind.as_str());
    format!("<{priority}>1 {at} {node} locum-edge - {kind} [{ELEMENT}{written}]")
}

/// RFC 5424 §6.3.3.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]")
}

/// §6.2.4: printable, or nothing.
fn host_name(node: &str) -> &str {
    let fits = (1..=255).contains(&node.len()) && node.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { node } else { "-" }
}

#[cfg(test)]
mod tests {
    use super::super::signal::Kind;
    use super::*;

    #[test]
    fn a_signal_is_a_message_of_rfc_5424_with_its_length() {
        let signal = Signal {
            at: "2026-03-02T07:00:00.123Z".to_owned(),
            kind: Kind::Stuffing,
            severity: Kind::Stuffing.severity(),
            clinic: "demo".to_owned(),
            agent: None,
            entity: Some("a\"]\\".to_owned()),
            request: "r-1".to_owned(),
            region: "eu".to_owned(),
            node: "edge-1".to_owned(),
            country: Some("DE".to_owned()),
            country_before: None,
            network: Some("192.0.2.0/24".to_owned()),
            count: Some(12),
        };
        let message = "<81>1 2026-03-02T07:00:00.123Z edge-1 locum-edge - stuffing [locum@32473 clinic=\"demo\" \
                       entity=\"a\\\"\\]\\\\\" request=\"r-1\" region=\"eu\" country=\"DE\" \
                       network=\"192.0.2.0/24\" count=\"12\"]";
        let framed = String::from_utf8(framed(&signal)).unwrap();
        assert_eq!(framed, format!("{} {message}", message.len()));
    }
}
