//! Drives a running Locum network from outside: starts it with `locum up`, speaks its HTTP API as browsers do.
//!
//! The binaries are taken from `LOCUM_BIN_DIR`, or from beside the test's own executable.

mod alone;
mod bucket;
mod clinic;
mod firewall;
mod insight;
mod journal;
mod line;
mod mail;
mod manifest;
mod network;
mod planted;
mod release;
mod sms;
mod stripe;

pub use alone::{alone, run};
pub use bucket::Bucket;
pub use clinic::{Answer, Browser, Hold, PATIENT, Patient, Visit, confirmation, hold, urlencoded};
pub use firewall::Firewall;
pub use journal::Writers;
pub use line::Line;
pub use mail::{Mail, MailServer};
pub use manifest::Manifest;
pub use network::{Account, Network, binaries, pause, sibling_of, signal, until};
pub use planted::Planted;
pub use release::{Release, guest};
pub use sms::{ShortMessage, SmsProvider};
pub use stripe::Stripe;
