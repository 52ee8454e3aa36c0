//! Bodies as Stripe takes them, and what is read of its answers.

use serde::Deserialize;

/// Fields of a form, such as `metadata[hold]`.
pub(super) fn body(fields: &[(&str, &str)]) -> Vec<u8> {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes()
}

/// A name of one of its objects, before it stands in an address.
pub(super) fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A payment intent, or a setup intent.
#[derive(Debug, Deserialize)]
pub(super) struct Intent {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) client_secret: Option<String>,
    pub(super) amount_received: Option<i64>,
    pub(super) amount_capturable: Option<i64>,
    pub(super) payment_method: Option<String>,
    pub(super) last_payment_error: Option<Failure>,
    pub(super) last_setup_error: Option<Failure>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) code: Option<String>,
    pub(super) decline_code: Option<String>,
    pub(super) payment_intent: Option<Named>,
}

impl Failure {
    /// A word of Stripe's list of codes; anything else is no word to keep.
    pub(super) fn word(&self) -> String {
        let word = self.decline_code.as_ref().or(self.code.as_ref()).filter(|code| is_name(code));
        word.cloned().unwrap_or_else(|| "declined".to_owned())
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) id: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Failed {
    pub(super) error: Failure,
}

#[derive(Debug, Deserialize)]
pub(super) struct Refunds {
    pub(super) data: Vec<Refund>,
    #[serde(default)]
    pub(super) has_more: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) status: Option<String>,
    #[serde(default)]
    pub(super) metadata: std::collections::BTreeMap<String, String>,
}
