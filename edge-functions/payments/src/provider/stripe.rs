//! Stripe, by plain HTTPS. What stands there of a visit is the clinic's name in URLs and the hold's random id.

use http::Method;
use kit::context::Context;
use kit::ids::{ClinicId, HoldId};
use kit::money::Money;
use kit::outbound::{Incoming, Outgoing};
use kit::problem::Problem;
use serde::de::DeserializeOwned;

use super::form::{self, Failed, Intent, Named, Refunds, is_name};
use super::{Answer, Begun, CardFields, Names, Provider, ProviderError, Wish};
use crate::state::{Seen, SeenRefund, State};

/// What our questions mean does not change with Stripe's newest release.
const VERSION: &str = "2024-06-20";
/// Refunds of one payment that are looked at.
const MOST_REFUNDS: usize = 100;

/// Stripe, with the keys of this network.
pub struct Stripe<'a> {
    context: &'a Context<'a>,
    clinic: ClinicId,
    base: String,
    secret_key: String,
    fields: CardFields,
}

impl<'a> Stripe<'a> {
    /// `None`: no key is given.
    pub async fn of(context: &'a Context<'_>) -> Result<Option<Self>, Problem> {
        let secret_key = context.variable("stripe_secret_key").await?;
        if secret_key.is_empty() {
            return Ok(None);
        }
        let base = context.variable("stripe_api").await?.trim_end_matches('/').to_owned();
        let fields = CardFields {
            provider: "stripe",
            script: context.variable("stripe_script").await?,
            publishable_key: context.variable("stripe_publishable_key").await?,
        };
        Ok(Some(Self { context, clinic: context.clinic.clone(), base, secret_key, fields }))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        key: Option<&str>,
    ) -> Result<T, ProviderError> {
        let mut headers = vec![
            ("accept", "application/json".to_owned()),
            ("authorization", format!("Bearer {}", self.secret_key)),
            ("stripe-version", VERSION.to_owned()),
        ];
        if method != Method::GET {
            headers.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
        }
        if let Some(key) = key {
            headers.push(("idempotency-key", format!("locum/{}/{key}", self.clinic)));
        }
        let url = format!("{}/v1/{path}", self.base);
        let request = Outgoing { method, url, headers, body: form::body(fields) };
        read(self.context.send(request).await.map_err(|_| ProviderError::Unanswered)?)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ProviderError> {
        self.ask(Method::GET, path, &[], None).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        key: &str,
    ) -> Result<T, ProviderError> {
        self.ask(Method::POST, path, fields, Some(key)).await
    }

    /// The card is kept for nobody by name.
    async fn begin_setup(&self, hold: &str, about: [(&str, &str); 2]) -> Result<Begun, ProviderError> {
        let customer: Named = self.post("customers", &about, &format!("customer/{hold}")).await?;
        let [clinic, of_hold] = about;
        let fields = [
            ("customer", customer.id.as_str()),
            ("usage", "off_session"),
            ("payment_method_types[]", "card"),
            clinic,
            of_hold,
        ];
        let intent: Intent = self.post("setup_intents", &fields, &format!("setup/{hold}")).await?;
        let client_secret = intent.client_secret.ok_or(ProviderError::Malformed("client_secret"))?;
        let (setup, customer) = (Some(intent.id), Some(customer.id));
        Ok(Begun { names: Names { setup, customer, ..Names::default() }, client_secret })
    }

    async fn begin_payment(
        &self,
        hold: &str,
        about: [(&str, &str); 2],
        amount: &Money,
    ) -> Result<Begun, ProviderError> {
        let (minor, currency) = (amount.minor().to_string(), currency(amount));
        let [clinic, of_hold] = about;
        let fields = [
            ("amount", minor.as_str()),
            ("currency", currency.as_str()),
            ("capture_method", "manual"),
            ("payment_method_types[]", "card"),
            clinic,
            of_hold,
        ];
        let intent: Intent = self.post("payment_intents", &fields, &format!("payment/{hold}")).await?;
        let client_secret = intent.client_secret.ok_or(ProviderError::Malformed("client_secret"))?;
        Ok(Begun { names: Names { intent: Some(intent.id), ..Names::default() }, client_secret })
    }

    async fn refunds(&self, intent: &str) -> Result<Vec<SeenRefund>, ProviderError> {
        let path = format!("refunds?payment_intent={intent}&limit={MOST_REFUNDS}");
        let listed: Refunds = self.get(&path).await?;
        if listed.has_more {
            return Err(ProviderError::Malformed("an end of the refunds"));
        }
        let counts = |status: Option<&str>| !matches!(status, Some("failed" | "canceled"));
        let refunds = listed.data.into_iter().filter(|refund| counts(refund.status.as_deref()));
        Ok(refunds
            .map(|mut refund| SeenRefund {
                id: refund.id,
                minor: refund.amount,
                key: refund.metadata.remove("refund"),
            })
            .collect())
    }

    async fn intent(&self, names: &Names) -> Result<Intent, ProviderError> {
        let (kind, id) = match (&names.intent, &names.setup) {
            (Some(id), _) => ("payment_intents", id),
            (None, Some(id)) => ("setup_intents", id),
            (None, None) => return Err(ProviderError::Malformed("a name")),
        };
        self.get(&format!("{kind}/{}", named(id)?)).await
    }
}

impl Provider for Stripe<'_> {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn fields(&self) -> Option<CardFields> {
        Some(self.fields.clone())
    }

    fn begin<'a>(&'a self, wish: &'a Wish) -> Answer<'a, Begun> {
        Box::pin(async move {
            let hold = wish.hold.to_string();
            let about = [("metadata[clinic]", self.clinic.as_str()), ("metadata[hold]", hold.as_str())];
            if wish.later {
                self.begin_setup(&hold, about).await
            } else {
                self.begin_payment(&hold, about, &wish.amount).await
            }
        })
    }

    fn client_secret<'a>(&'a self, names: &'a Names) -> Answer<'a, String> {
        Box::pin(async move {
            self.intent(names).await?.client_secret.ok_or(ProviderError::Malformed("client_secret"))
        })
    }

    fn look<'a>(&'a self, names: &'a Names) -> Answer<'a, Seen> {
        Box::pin(async move {
            let intent = self.intent(names).await?;
            let state = state(&intent.status, names);
            let captured = state == State::Captured;
            let refunds = if captured { self.refunds(named(&intent.id)?).await? } else { Vec::new() };
            let captured_minor = if captured { intent.amount_received.unwrap_or(0) } else { 0 };
            if captured && captured_minor <= 0 {
                return Err(ProviderError::Malformed("amount_received"));
            }
            if state == State::Authorised && intent.amount_capturable.unwrap_or(0) <= 0 {
                return Err(ProviderError::Malformed("amount_capturable"));
            }
            let failure = intent.last_payment_error.as_ref().or(intent.last_setup_error.as_ref());
            Ok(Seen {
                state,
                captured_minor,
                refunds,
                method: intent.payment_method.filter(|method| is_name(method)),
                refusal: failure.map(super::form::Failure::word),
                action_required: intent.status == "requires_action",
            })
        })
    }

    fn charge<'a>(
        &'a self,
        key: &'a str,
        names: &'a Names,
        hold: HoldId,
        amount: &'a Money,
    ) -> Answer<'a, String> {
        Box::pin(async move {
            let (minor, currency, hold) = (amount.minor().to_string(), currency(amount), hold.to_string());
            let customer = names.customer.as_deref().ok_or(ProviderError::Malformed("customer"))?;
            let method = names.method.as_deref().ok_or(ProviderError::Malformed("payment_method"))?;
            let fields = [
                ("amount", minor.as_str()),
                ("currency", currency.as_str()),
                ("capture_method", "manual"),
                ("payment_method_types[]", "card"),
                ("customer", customer),
                ("payment_method", method),
                ("off_session", "true"),
                ("confirm", "true"),
                ("metadata[clinic]", self.clinic.as_str()),
                ("metadata[hold]", hold.as_str()),
            ];
            let intent: Intent = self.post("payment_intents", &fields, key).await?;
            Ok(intent.id)
        })
    }

    fn capture<'a>(&'a self, key: &'a str, names: &'a Names, minor: i64) -> Answer<'a, ()> {
        Box::pin(async move {
            let path = format!("payment_intents/{}/capture", intent_of(names)?);
            let amount = minor.to_string();
            let _: Intent = self.post(&path, &[("amount_to_capture", amount.as_str())], key).await?;
            Ok(())
        })
    }

    fn cancel<'a>(&'a self, key: &'a str, names: &'a Names) -> Answer<'a, ()> {
        Box::pin(async move {
            let path = match (&names.intent, &names.method, &names.setup) {
                (Some(intent), _, _) => format!("payment_intents/{}/cancel", named(intent)?),
                (None, Some(method), _) => format!("payment_methods/{}/detach", named(method)?),
                (None, None, Some(setup)) => format!("setup_intents/{}/cancel", named(setup)?),
                (None, None, None) => return Ok(()),
            };
            let _: Named = self.post(&path, &[], key).await?;
            Ok(())
        })
    }

    fn refund<'a>(&'a self, key: &'a str, names: &'a Names, minor: i64) -> Answer<'a, ()> {
        Box::pin(async move {
            let intent = intent_of(names)?;
            // Stripe forgets keys after a day; its list of refunds does not.
            if self.refunds(intent).await?.iter().any(|refund| refund.key.as_deref() == Some(key)) {
                return Ok(());
            }
            let amount = minor.to_string();
            let fields = [("payment_intent", intent), ("amount", amount.as_str()), ("metadata[refund]", key)];
            let _: Named = self.post("refunds", &fields, key).await?;
            Ok(())
        })
    }
}

fn read<T: DeserializeOwned>(answer: Incoming) -> Result<T, ProviderError> {
    match answer.status {
        200..=299 => serde_json::from_slice(&answer.body).map_err(|_| ProviderError::Malformed("JSON")),
        // Not told apart from no answer: what was asked may have been done.
        409 | 429 | 500.. => Err(ProviderError::Unanswered),
        _ => {
            let failed: Result<Failed, _> = serde_json::from_slice(&answer.body);
            let failure = failed.map_err(|_| ProviderError::Malformed("JSON"))?.error;
            let code = failure.word();
            let intent = failure.payment_intent.map(|intent| intent.id).filter(|id| is_name(id));
            Err(ProviderError::Refused { code, intent })
        }
    }
}

fn state(status: &str, names: &Names) -> State {
    match status {
        "requires_capture" => State::Authorised,
        "succeeded" if names.intent.is_some() => State::Captured,
        "succeeded" => State::Saved,
        "canceled" => State::Cancelled,
        // Of a card that was kept nobody is there to give another one.
        "requires_payment_method" if names.intent.is_some() && names.setup.is_some() => State::Declined,
        _ => State::Open,
    }
}

fn named(id: &str) -> Result<&str, ProviderError> {
    if is_name(id) { Ok(id) } else { Err(ProviderError::Malformed("a name")) }
}

fn intent_of(names: &Names) -> Result<&str, ProviderError> {
    named(names.intent.as_deref().ok_or(ProviderError::Malformed("a payment"))?)
}

fn currency(amount: &Money) -> String {
    amount.currency().as_str().to_ascii_lowercase()
}
