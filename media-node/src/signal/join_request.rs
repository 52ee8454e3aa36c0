//! What a client says of itself when it joins: the `join_request` of the query, or in v0 the query itself.

use std::io::Read as _;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::GzDecoder;
use livekit_protocol as proto;
use prost::Message as _;
use proto::wrapped_join_request::Compression;
use serde::Deserialize;

/// Longest request after decompression: one offer and a handful of tracks.
const MAX_BYTES: u64 = 512 << 10;

/// SDKs differ in padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Parameters of a v0 join that mean anything here. SDKs differ in how they write yes.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct V0 {
    auto_subscribe: Option<String>,
    adaptive_stream: Option<String>,
    reconnect: Option<String>,
    sid: Option<String>,
    client_protocol: Option<String>,
    browser: Option<String>,
}

impl V0 {
    /// Whose browser is known by the request's `User-Agent`, for the SDK does not say.
    pub(super) fn sent_by(mut self, user_agent: &str) -> Self {
        self.browser = self.browser.or_else(|| user_agent.contains("Firefox/").then(|| "Firefox".to_owned()));
        self
    }
}

impl From<V0> for proto::JoinRequest {
    fn from(query: V0) -> Self {
        let is_yes = |value: Option<String>| value.map(|value| value == "1" || value == "true");
        let client_protocol = query.client_protocol.and_then(|number| number.parse().ok()).unwrap_or(0);
        Self {
            client_info: Some(proto::ClientInfo {
                client_protocol,
                browser: query.browser.unwrap_or_default(),
                ..proto::ClientInfo::default()
            }),
            connection_settings: Some(proto::ConnectionSettings {
                auto_subscribe: is_yes(query.auto_subscribe).unwrap_or(true),
                adaptive_stream: is_yes(query.adaptive_stream).unwrap_or(false),
                ..proto::ConnectionSettings::default()
            }),
            reconnect: is_yes(query.reconnect).unwrap_or(false),
            participant_sid: query.sid.unwrap_or_default(),
            ..Self::default()
        }
    }
}

/// A join request cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum JoinRequestError {
    #[error("join_request is required")]
    Missing,
    #[error("join_request is not base64url")]
    Base64,
    #[error("join_request is not gzip, or too large")]
    Compression,
    #[error("join_request is not a JoinRequest")]
    Protobuf,
}

/// Reads a join request.
pub(super) fn parse(text: Option<&str>) -> Result<proto::JoinRequest, JoinRequestError> {
    let text = text.ok_or(JoinRequestError::Missing)?;
    // The standard alphabet too; its plus sign arrives as a space when the client did not escape it.
    let url_safe = text.replace(['+', ' '], "-").replace('/', "_");
    let wrapped = BASE64.decode(url_safe).map_err(|_| JoinRequestError::Base64)?;
    let wrapped =
        proto::WrappedJoinRequest::decode(wrapped.as_slice()).map_err(|_| JoinRequestError::Protobuf)?;
    let bytes = match Compression::try_from(wrapped.compression) {
        Ok(Compression::None) => wrapped.join_request,
        Ok(Compression::Gzip) => decompress(&wrapped.join_request)?,
        Err(_) => return Err(JoinRequestError::Compression),
    };
    proto::JoinRequest::decode(bytes.as_slice()).map_err(|_| JoinRequestError::Protobuf)
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, JoinRequestError> {
    let mut out = Vec::new();
    let read = GzDecoder::new(bytes).take(MAX_BYTES + 1).read_to_end(&mut out);
    match read {
        Ok(len) if len as u64 <= MAX_BYTES => Ok(out),
        _ => Err(JoinRequestError::Compression),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use flate2::Compression as Level;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn wrapped(join_request: Vec<u8>, compression: i32) -> Vec<u8> {
        proto::WrappedJoinRequest { compression, join_request }.encode_to_vec()
    }

    #[test]
    fn every_encoding_of_the_sdks_is_read() {
        let request = proto::JoinRequest { participant_sid: "PA_ÿþ~?>".repeat(9), ..Default::default() };
        let bytes = request.encode_to_vec();
        for wrapped in [wrapped(bytes.clone(), 0), wrapped(gzip(&bytes), 1)] {
            let standard = STANDARD.encode(&wrapped);
            for text in [URL_SAFE_NO_PAD.encode(&wrapped), standard.clone(), standard.replace('+', " ")] {
                assert_eq!(parse(Some(&text)).unwrap(), request);
            }
        }
    }

    #[test]
    fn a_v0_query_is_read_however_an_sdk_writes_it() {
        let read = |query: &str| {
            let uri = format!("http://node/rtc?{query}").parse().unwrap();
            proto::JoinRequest::from(axum::extract::Query::<V0>::try_from_uri(&uri).unwrap().0)
        };
        let settings = |query: &str| read(query).connection_settings.unwrap();
        assert!(settings("").auto_subscribe && settings("auto_subscribe=true&sdk=js").auto_subscribe);
        assert!(!settings("auto_subscribe=0").auto_subscribe && !read("auto_subscribe=0").reconnect);
        let back = read("auto_subscribe=1&reconnect=1&sid=PA_1&client_protocol=2");
        assert_eq!((back.reconnect, back.participant_sid.as_str()), (true, "PA_1"));
        assert_eq!(back.client_info.unwrap().client_protocol, 2);
        let firefox =
            V0::default().sent_by("Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0");
        assert_eq!(proto::JoinRequest::from(firefox).client_info.unwrap().browser, "Firefox");
        assert_eq!(V0::default().sent_by("Mozilla/5.0 Chrome/156.0.0.0 Safari/537.36").browser, None);
        assert_eq!(read("client_protocol=x&version=1").client_info.unwrap().client_protocol, 0);
    }

    #[test]
    fn a_decompression_bomb_is_cut_off() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 512 << 10, "it would fit a query");
        let text = URL_SAFE_NO_PAD.encode(wrapped(bomb, 1));
        assert_eq!(parse(Some(&text)), Err(JoinRequestError::Compression));
    }

    #[test]
    fn garbage_is_named() {
        assert_eq!(
            parse(Some("")),
            Ok(proto::JoinRequest::default()),
            "a message without fields has no bytes"
        );
        assert_eq!(parse(None), Err(JoinRequestError::Missing));
        assert_eq!(parse(Some("§")), Err(JoinRequestError::Base64));
        assert_eq!(parse(Some("____")), Err(JoinRequestError::Protobuf));
        assert_eq!(
            parse(Some(&URL_SAFE_NO_PAD.encode(wrapped(vec![1, 2], 1)))),
            Err(JoinRequestError::Compression)
        );
        assert_eq!(
            parse(Some(&URL_SAFE_NO_PAD.encode(wrapped(vec![], 9)))),
            Err(JoinRequestError::Compression)
        );
        assert_eq!(
            parse(Some(&URL_SAFE_NO_PAD.encode(wrapped(vec![0xFF], 0)))),
            Err(JoinRequestError::Protobuf)
        );
    }
}
