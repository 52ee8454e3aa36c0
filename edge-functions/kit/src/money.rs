//! Amounts of money.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// The largest amount, in minor units: far beyond any visit, far below where sums overflow.
const MAX_MINOR: i64 = 100_000_000;

/// An ISO 4217 currency code.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Currency(String);

impl Currency {
    /// `None` unless `code` is three capital letters.
    pub fn parse(code: &str) -> Option<Self> {
        let fits = code.len() == 3 && code.bytes().all(|c| c.is_ascii_uppercase());
        fits.then(|| Self(code.to_owned()))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Digits of the minor unit (ISO 4217, list one, where it is not 2).
    fn digits(&self) -> u32 {
        match self.0.as_str() {
            "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
            | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
            _ => 2,
        }
    }
}

/// An amount in a currency, in whole minor units: never a float.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(try_from = "Decimal")]
pub struct Money {
    minor: i64,
    currency: Currency,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decimal {
    amount: String,
    currency: String,
}

impl Money {
    /// `None` when the amount is negative or out of bounds.
    pub fn from_minor(minor: i64, currency: Currency) -> Option<Self> {
        (0..=MAX_MINOR).contains(&minor).then_some(Self { minor, currency })
    }

    /// In minor units.
    pub const fn minor(&self) -> i64 {
        self.minor
    }

    /// Its currency.
    pub const fn currency(&self) -> &Currency {
        &self.currency
    }

    /// The amount as a decimal with all digits of the currency: `60.00`.
    pub fn amount(&self) -> String {
        let digits = self.currency.digits();
        let unit = 10_i64.pow(digits);
        if digits == 0 {
            return self.minor.to_string();
        }
        let width = digits as usize;
        format!("{}.{:0width$}", self.minor / unit, self.minor % unit)
    }
}

impl TryFrom<Decimal> for Money {
    type Error = &'static str;

    fn try_from(given: Decimal) -> Result<Self, Self::Error> {
        let currency =
            Currency::parse(&given.currency).ok_or("the currency must be an ISO 4217 code such as EUR")?;
        let digits = currency.digits() as usize;
        let text = "the amount must be a decimal with all digits of the currency, such as 60.00";
        let (whole, fraction) = given.amount.split_once('.').unwrap_or((&given.amount, ""));
        let all_digits = |part: &str| part.bytes().all(|c| c.is_ascii_digit());
        let dotted = given.amount.contains('.') == (digits > 0);
        let fits = (1..=9).contains(&whole.len()) && fraction.len() == digits && dotted;
        if !fits || !all_digits(whole) || !all_digits(fraction) {
            return Err(text);
        }
        let minor = format!("{whole}{fraction}").parse().map_err(|_| text)?;
        Self::from_minor(minor, currency).ok_or("the amount is too large")
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Decimal { amount: self.amount(), currency: self.currency.0.clone() }.serialize(serializer)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.currency.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(amount: &str, currency: &str) -> Result<Money, String> {
        serde_json::from_value(serde_json::json!({"amount": amount, "currency": currency}))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn amounts_read_back_as_they_were_written() {
        for (amount, currency, minor) in
            [("60.00", "EUR", 6000), ("0.05", "USD", 5), ("500", "JPY", 500), ("1.250", "KWD", 1250)]
        {
            let money = read(amount, currency).unwrap();
            assert_eq!(money.minor(), minor);
            assert_eq!(money.amount(), amount);
        }
    }

    #[test]
    fn what_is_not_an_exact_amount_is_refused() {
        for (amount, currency) in [
            ("60", "EUR"),
            ("60.0", "EUR"),
            ("60.000", "EUR"),
            ("-1.00", "EUR"),
            ("1,00", "EUR"),
            (".50", "EUR"),
            ("1e3.00", "EUR"),
            ("60.00", "eur"),
            ("60.00", "EURO"),
            ("500.", "JPY"),
            ("9999999.99", "EUR"),
            ("", "EUR"),
        ] {
            assert!(read(amount, currency).is_err(), "{amount} {currency}");
        }
    }
}
