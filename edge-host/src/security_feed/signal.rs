//! One thing that a security team is told.

use serde::Serialize;

/// What it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    SignInFailed,
    SignInLocked,
    EmergencyAccess,
    AccessRefused,
    MassExport,
    Stuffing,
    ImpossibleTravel,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::SignInFailed => "sign-in-failed",
            Self::SignInLocked => "sign-in-locked",
            Self::EmergencyAccess => "emergency-access",
            Self::AccessRefused => "access-refused",
            Self::MassExport => "mass-export",
            Self::Stuffing => "stuffing",
            Self::ImpossibleTravel => "impossible-travel",
        }
    }

    /// RFC 5424 §6.2.1.
    pub(super) const fn severity(self) -> u8 {
        match self {
            // Alert.
            Self::Stuffing | Self::ImpossibleTravel | Self::MassExport => 1,
            // Warning.
            Self::SignInLocked | Self::EmergencyAccess => 4,
            // Notice.
            Self::SignInFailed | Self::AccessRefused => 5,
        }
    }
}

/// Ids only; of where it came from the country, and the network where it is the network that attacks.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Signal {
    pub(super) at: String,
    pub(super) kind: Kind,
    pub(super) severity: u8,
    pub(super) clinic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) entity: Option<String>,
    pub(super) request: String,
    pub(super) region: String,
    pub(super) node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) country: Option<String>,
    /// Where the person was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) country_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u64>,
}

impl Signal {
    /// One line, without its end.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
