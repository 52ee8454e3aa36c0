//! Apps that the clinic knows.

use jsonwebtoken::jwk::JwkSet;
use kit::context::Context;
use kit::database::Row;
use kit::ids::ClientId;
use kit::params;
use kit::problem::Problem;
use kit::scopes::Scopes;
use serde::{Deserialize, Serialize};

/// How an app proves who it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Not at all: its code is in people's own hands.
    Public,
    /// By a secret.
    Secret,
    /// By a key: `private_key_jwt`.
    Key,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Secret => "secret",
            Self::Key => "key",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Public, Self::Secret, Self::Key].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Where an app's keys are.
pub(crate) enum Keys {
    /// Here.
    Known(JwkSet),
    /// At the app.
    At(String),
}

/// An app that was not shut out.
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) secret_hash: Option<[u8; 32]>,
    pub(crate) keys: Option<Keys>,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) launch_uri: Option<String>,
    pub(crate) scopes: Scopes,
}

impl Client {
    /// The app with that id.
    pub(crate) async fn find(context: &Context<'_>, id: ClientId) -> Result<Option<Self>, Problem> {
        let sql = "SELECT id, name, kind, secret_hash, jwks, jwks_uri, redirect_uris, launch_uri, scopes
                   FROM app_client WHERE clinic = ? AND id = ? AND ended_at IS NULL";
        let rows = context.database().query(sql, params![&context.clinic, id]).await?;
        rows.first().map(Self::read).transpose()
    }

    fn read(row: &Row) -> Result<Self, Problem> {
        let kind = row.parsed(2, Kind::parse)?;
        let secret_hash = if kind == Kind::Secret { Some(row.bytes::<32>(3)?) } else { None };
        let keys = match (row.text_or_null(4)?, row.text_or_null(5)?) {
            (Some(keys), _) => Some(Keys::Known(serde_json::from_str(&keys).map_err(Problem::internal)?)),
            (None, Some(place)) => Some(Keys::At(place)),
            (None, None) => None,
        };
        Ok(Self {
            id: row.parsed(0, ClientId::parse)?,
            name: row.text(1)?,
            kind,
            secret_hash,
            keys,
            redirect_uris: row.text(6)?.lines().map(str::to_owned).collect(),
            launch_uri: row.text_or_null(7)?,
            scopes: Scopes::parse(&row.text(8)?),
        })
    }
}
