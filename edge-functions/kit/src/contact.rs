//! By which way a patient is written to, and in which language.

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::database::DatabaseError;
use crate::form::Phone;
use crate::ids::PatientId;
use crate::outbox::{self, Channel};
use crate::params;
use crate::phi::Phi;
use crate::problem::Problem;
use crate::texts::Language;

/// What a patient, or front desk for them, says of it.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// E.164; nothing: none is known.
    pub phone: Option<Phi<Phone>>,
    /// Nothing: the clinic's.
    pub language: Option<Language>,
    /// Of what the clinic sends by itself.
    #[serde(default)]
    pub channel: Channel,
}

/// The same, for whoever may see it.
#[derive(Serialize)]
pub struct ContactView {
    phone: Option<String>,
    language: Option<Language>,
    channel: Channel,
}

/// Where somebody is written to.
#[derive(Clone)]
pub struct Reach {
    /// By which way.
    pub channel: Channel,
    /// An address or a number.
    pub address: String,
    /// In which language.
    pub language: Language,
}

/// What is known of how to write to somebody.
pub struct Known {
    /// Theirs.
    pub email: String,
    /// A number that they left.
    pub phone: Option<String>,
    /// Which they want.
    pub channel: Channel,
    /// Which they read.
    pub language: Option<Language>,
}

/// What is known of an address.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Standing {
    /// Its owner wants no more of what they can do without.
    pub opted_out: bool,
    /// It was refused for good.
    pub failing: bool,
}

impl Known {
    /// Where to write, given what is known of both addresses; `None`: nowhere. Who wants no more by the way that they chose is
    /// not written to by the other one; whom it does not reach is.
    pub fn reach(
        &self,
        sends_short: bool,
        fallback: Language,
        standing: impl Fn(&str) -> Standing,
    ) -> Option<Reach> {
        let language = self.language.unwrap_or(fallback);
        let phone = self.phone.as_deref().filter(|_| sends_short && self.channel == Channel::Sms);
        for (channel, address) in phone
            .map(|phone| (Channel::Sms, phone))
            .into_iter()
            .chain([(Channel::Email, self.email.as_str())])
        {
            let standing = standing(address);
            if standing.opted_out {
                return None;
            }
            if !standing.failing {
                return Some(Reach { channel, address: address.to_owned(), language });
            }
        }
        None
    }
}

impl Contact {
    /// Nothing is wrong in itself, but a number is needed to be written to there.
    pub fn check(&self, pointer: &str) -> Result<(), Problem> {
        if self.channel == Channel::Sms && self.phone.is_none() {
            return Err(Problem::invalid(pointer, "is needed for short messages"));
        }
        Ok(())
    }

    /// For whoever may see it, and for what is kept of a booking until it is one.
    pub fn view(&self) -> ContactView {
        let phone = self.phone.as_ref().map(|phone| phone.open().as_str().to_owned());
        ContactView { phone, language: self.language, channel: self.channel }
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.phone.is_none() && self.language.is_none() && self.channel == Channel::Email
    }

    /// Keeps it for a patient.
    pub async fn keep(&self, context: &Context<'_>, patient: PatientId) -> Result<(), Problem> {
        let sql = "INSERT INTO patient_contact (clinic, patient, language, phone, channel) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (clinic, patient) DO UPDATE SET language = ?3, phone = ?4, channel = ?5";
        let values = params![
            &context.clinic,
            patient,
            self.language.map(Language::as_str),
            self.phone.as_ref().map(|phone| phone.open().as_str()),
            self.channel.as_str()
        ];
        context.database().execute(sql, values).await?;
        Ok(())
    }

    /// What is known of a patient; nothing: what is so without a word.
    pub async fn of(context: &Context<'_>, patient: PatientId) -> Result<Self, Problem> {
        let sql = "SELECT phone, language, channel FROM patient_contact WHERE clinic = ? AND patient = ?";
        let rows = context.database().query(sql, params![&context.clinic, patient]).await?;
        let Some(row) = rows.first() else { return Ok(Self::default()) };
        let phone = row.text_or_null(0)?.and_then(|text| Phone::try_from(text).ok()).map(Phi::new);
        Ok(Self { phone, language: Language::of(row, 1)?, channel: Channel::of(row, 2)? })
    }
}

impl Context<'_> {
    /// Whether somebody here sends short messages at all.
    pub async fn sends_short(&self) -> Result<bool, Problem> {
        Ok(!self.variable("sms_token").await?.is_empty())
    }

    /// Where a patient is written to; `None`: nowhere.
    pub async fn reach(&self, patient: PatientId) -> Result<Option<Reach>, Problem> {
        let sql = "SELECT p.email, c.phone, coalesce(c.channel, 'email'), c.language FROM patient p
                   LEFT JOIN patient_contact c ON c.clinic = p.clinic AND c.patient = p.id
                   WHERE p.clinic = ? AND p.id = ?";
        let rows = self.database().query(sql, params![&self.clinic, patient]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let known = Known {
            email: row.text(0)?,
            phone: row.text_or_null(1)?,
            channel: Channel::of(row, 2)?,
            language: Language::of(row, 3)?,
        };
        let mail = outbox::standing(self, &known.email).await?;
        let phone = match &known.phone {
            Some(phone) => outbox::standing(self, phone).await?,
            None => Standing::default(),
        };
        let of = |address: &str| if known.phone.as_deref() == Some(address) { phone } else { mail };
        Ok(known.reach(self.sends_short().await?, self.clinic_language().await?, of))
    }
}

impl Channel {
    /// Of a column.
    pub fn of(row: &crate::database::Row, column: usize) -> Result<Self, DatabaseError> {
        row.parsed(column, |text| {
            [Self::Email, Self::Sms].into_iter().find(|channel| channel.as_str() == text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_written_to_as_they_wish_or_where_it_arrives() {
        let known = |channel| Known {
            email: "a@b.example".to_owned(),
            phone: Some("+4915112345678".to_owned()),
            channel,
            language: None,
        };
        let reach = |channel, short, out: &str, failing: &str| {
            let standing =
                |address: &str| Standing { opted_out: address == out, failing: address == failing };
            known(channel).reach(short, Language::En, standing).map(|reach| reach.channel)
        };
        assert_eq!(reach(Channel::Email, true, "", ""), Some(Channel::Email));
        assert_eq!(reach(Channel::Sms, true, "", ""), Some(Channel::Sms));
        assert_eq!(
            reach(Channel::Sms, false, "", ""),
            Some(Channel::Email),
            "nobody here sends short messages"
        );
        assert_eq!(reach(Channel::Sms, true, "+4915112345678", ""), None, "they said no");
        assert_eq!(reach(Channel::Sms, true, "", "+4915112345678"), Some(Channel::Email));
        assert_eq!(reach(Channel::Email, true, "", "a@b.example"), None);
    }
}
