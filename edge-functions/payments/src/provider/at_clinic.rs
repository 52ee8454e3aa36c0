//! Nobody takes cards: one pays at the clinic, and the front desk says so.

use kit::ids::HoldId;
use kit::money::Money;

use super::{Answer, Begun, CardFields, Names, Provider, ProviderError, Wish};
use crate::state::Seen;

/// Where no key of a provider is given.
#[derive(Clone, Copy, Debug)]
pub struct AtClinic;

fn not_offered<T>() -> Answer<'static, T> {
    Box::pin(async { Err(ProviderError::NotOffered) })
}

impl Provider for AtClinic {
    fn name(&self) -> &'static str {
        "at-clinic"
    }

    fn fields(&self) -> Option<CardFields> {
        None
    }

    fn begin<'a>(&'a self, _: &'a Wish) -> Answer<'a, Begun> {
        not_offered()
    }

    fn client_secret<'a>(&'a self, _: &'a Names) -> Answer<'a, String> {
        not_offered()
    }

    fn look<'a>(&'a self, _: &'a Names) -> Answer<'a, Seen> {
        not_offered()
    }

    fn charge<'a>(&'a self, _: &'a str, _: &'a Names, _: HoldId, _: &'a Money) -> Answer<'a, String> {
        not_offered()
    }

    fn capture<'a>(&'a self, _: &'a str, _: &'a Names, _: i64) -> Answer<'a, ()> {
        not_offered()
    }

    fn cancel<'a>(&'a self, _: &'a str, _: &'a Names) -> Answer<'a, ()> {
        not_offered()
    }

    fn refund<'a>(&'a self, _: &'a str, _: &'a Names, _: i64) -> Answer<'a, ()> {
        not_offered()
    }
}
