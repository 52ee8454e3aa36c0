//! Whoever takes cards for the clinic. We never see a card: the provider's own fields in the page do.

mod at_clinic;
mod form;
mod stripe;

use kit::Pending;
use kit::context::Context;
use kit::ids::HoldId;
use kit::money::Money;
use kit::problem::Problem;
use serde::Serialize;

pub use at_clinic::AtClinic;
pub use stripe::Stripe;

use crate::state::Seen;

/// A payment by the names that the provider gave it.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Of what is authorised and captured.
    pub intent: Option<String>,
    /// Of what saves a card.
    pub setup: Option<String>,
    /// Of whom the card is kept for: no person's name stands there.
    pub customer: Option<String>,
    /// Of the card.
    pub method: Option<String>,
}

/// A payment that is to begin.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What is paid for.
    pub hold: HoldId,
    /// How much.
    pub amount: Money,
    /// Keep the card, and authorise later.
    pub later: bool,
}

/// One that has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// What it is called there.
    pub names: Names,
    /// What the page goes on with, at the provider.
    pub client_secret: String,
}

/// What the page needs for the provider's fields.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CardFields {
    /// Whose they are.
    pub provider: &'static str,
    /// Where their script is.
    pub script: String,
    /// The key that may be public.
    pub publishable_key: String,
}

/// Why there is no answer to go on with.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// No provider takes cards here.
    #[error("no provider of payments")]
    NotOffered,
    /// Not now, and what was asked may have been done: the same key asks again.
    #[error("no answer from the provider of payments")]
    Unanswered,
    /// It said no; the code is its own.
    #[error("the provider of payments refused: {code}")]
    Refused {
        /// Why.
        code: String,
        /// The payment it began all the same.
        intent: Option<String>,
    },
    /// Something that we do not understand.
    #[error("an answer of the provider of payments without {0}")]
    Malformed(&'static str),
}

impl From<ProviderError> for Problem {
    fn from(error: ProviderError) -> Self {
        use http::StatusCode;
        match error {
            ProviderError::NotOffered => {
                Self::new(StatusCode::CONFLICT, "card-not-offered", "Cards are not taken here")
            }
            ProviderError::Unanswered => {
                let title = "The payment service cannot be reached now";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "payment-unavailable", title)
            }
            ProviderError::Refused { .. } => {
                Self::new(StatusCode::CONFLICT, "payment-refused", "The payment service refused this")
            }
            malformed @ ProviderError::Malformed(_) => Self::internal(malformed),
        }
    }
}

/// The answer to a question.
pub type Answer<'a, T> = Pending<'a, Result<T, ProviderError>>;

/// Whoever takes cards. Everything that moves money has a key of ours: asked twice, it happens once.
pub trait Provider {
    /// Its name in the database.
    fn name(&self) -> &'static str;

    /// What its fields need; `None`: it has none.
    fn fields(&self) -> Option<CardFields>;

    /// Begins a payment.
    fn begin<'a>(&'a self, wish: &'a Wish) -> Answer<'a, Begun>;

    /// What the page goes on with, once more.
    fn client_secret<'a>(&'a self, names: &'a Names) -> Answer<'a, String>;

    /// How far it is.
    fn look<'a>(&'a self, names: &'a Names) -> Answer<'a, Seen>;

    /// Authorises the card that is kept. The name of what is captured later.
    fn charge<'a>(
        &'a self,
        key: &'a str,
        names: &'a Names,
        hold: HoldId,
        amount: &'a Money,
    ) -> Answer<'a, String>;

    /// Takes so much of what is authorised.
    fn capture<'a>(&'a self, key: &'a str, names: &'a Names, minor: i64) -> Answer<'a, ()>;

    /// Lets go of what is authorised, or kept.
    fn cancel<'a>(&'a self, key: &'a str, names: &'a Names) -> Answer<'a, ()>;

    /// Gives so much back.
    fn refund<'a>(&'a self, key: &'a str, names: &'a Names, minor: i64) -> Answer<'a, ()>;
}

/// Whoever takes cards for this clinic.
pub async fn of<'a>(context: &'a Context<'_>) -> Result<Box<dyn Provider + 'a>, Problem> {
    Ok(match Stripe::of(context).await? {
        Some(stripe) => Box::new(stripe),
        None => Box::new(AtClinic),
    })
}
