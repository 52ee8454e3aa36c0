//! What is written to people outside, in their language. Times are the clinic's; nothing of a person's health, no name
//! but the clinic's.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clinic::Clinic;
use crate::context::Context;
use crate::database::{DatabaseError, Row};
use crate::ids::PatientId;
use crate::params;
use crate::problem::Problem;

const DAYS: [&str; 7] = ["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"];
const MONTHS: [&str; 12] = [
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
];

/// A language that messages are written in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Spanish.
    Es,
}

impl Language {
    /// BCP 47.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Es => "es",
        }
    }

    /// The language of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::En, Self::Es].into_iter().find(|language| language.as_str() == name)
    }

    /// Of a column that may be `NULL`, or hold what a newer release knows.
    pub fn of(row: &Row, column: usize) -> Result<Option<Self>, DatabaseError> {
        Ok(row.text_or_null(column)?.and_then(|name| Self::parse(&name)))
    }
}

/// A subject and a body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Text {
    /// In a short message it is left out.
    pub subject: String,
    /// Its link comes after it.
    pub body: String,
}

/// What a message says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Words {
    /// A visit is booked.
    Booked(Timestamp),
    /// It has another time.
    Moved(Timestamp),
    /// It could be earlier.
    Offered(Timestamp),
    /// It does not take place.
    Cancelled(Timestamp),
    /// It is tomorrow, in a few hours, or in a few minutes.
    Reminder(Timestamp),
    /// It is time to see somebody again.
    Recall,
    /// The clinic has written something that is read here.
    NewMessage,
}

/// `words` in `language`.
pub fn text(language: Language, clinic: &Clinic, words: Words) -> Text {
    let name = &clinic.name;
    let at = |start| local(language, clinic, start);
    let (subject, body) = match (language, words) {
        (Language::En, Words::Booked(start)) => (
            format!("Your video visit at {name}"),
            format!("Your video visit is on {}. {}", at(start), OPEN_EN),
        ),
        (Language::En, Words::Moved(start)) => (
            format!("Another time for your video visit at {name}"),
            format!("Your video visit is now on {}. {}", at(start), OPEN_EN),
        ),
        (Language::En, Words::Offered(start)) => (
            format!("An earlier time at {name}"),
            format!("Your video visit could be on {}. Open the link to take that time.", at(start)),
        ),
        (Language::En, Words::Cancelled(start)) => (
            format!("Your video visit at {name} is cancelled"),
            format!("Your video visit on {} is cancelled. Open the link to book another time.", at(start)),
        ),
        (Language::En, Words::Reminder(start)) => (
            format!("Reminder of your video visit at {name}"),
            format!("Your video visit at {name} is on {}. {}", at(start), OPEN_EN),
        ),
        (Language::En, Words::Recall) => (
            format!("Time for your next visit at {name}"),
            format!("{name} would like to see you again. Open the link to choose a time."),
        ),
        (Language::En, Words::NewMessage) => (
            format!("A message from {name}"),
            format!("{name} has written to you. Open the link to read it."),
        ),
        (Language::Es, Words::Booked(start)) => (
            format!("Su videoconsulta en {name}"),
            format!("Su videoconsulta es el {}. {}", at(start), OPEN_ES),
        ),
        (Language::Es, Words::Moved(start)) => (
            format!("Nueva hora de su videoconsulta en {name}"),
            format!("Su videoconsulta es ahora el {}. {}", at(start), OPEN_ES),
        ),
        (Language::Es, Words::Offered(start)) => (
            format!("Una hora antes en {name}"),
            format!("Su videoconsulta podría ser el {}. Abra el enlace para elegir esa hora.", at(start)),
        ),
        (Language::Es, Words::Cancelled(start)) => (
            format!("Su videoconsulta en {name} se ha cancelado"),
            format!(
                "Su videoconsulta del {} se ha cancelado. Abra el enlace para reservar otra hora.",
                at(start)
            ),
        ),
        (Language::Es, Words::Reminder(start)) => (
            format!("Recordatorio de su videoconsulta en {name}"),
            format!("Su videoconsulta en {name} es el {}. {}", at(start), OPEN_ES),
        ),
        (Language::Es, Words::Recall) => (
            format!("Es hora de su próxima visita en {name}"),
            format!("En {name} querríamos verle de nuevo. Abra el enlace para elegir una hora."),
        ),
        (Language::Es, Words::NewMessage) => {
            (format!("Un mensaje de {name}"), format!("{name} le ha escrito. Abra el enlace para leerlo."))
        }
    };
    Text { subject, body }
}

const OPEN_EN: &str = "Open the link a few minutes before, on a phone or computer with a camera.";
const OPEN_ES: &str = "Abra el enlace unos minutos antes, en un teléfono u ordenador con cámara.";

fn local(language: Language, clinic: &Clinic, at: Timestamp) -> String {
    let local = clinic.zone.to_datetime(at);
    let zone = &clinic.time_zone;
    let place = |number: i8| usize::try_from(number).unwrap_or_default();
    match language {
        Language::En => format!("{} ({zone})", local.strftime("%A, %-d %B %Y, %H:%M")),
        Language::Es => {
            let day = DAYS.get(place(local.date().weekday().to_monday_zero_offset())).unwrap_or(&"");
            let month = MONTHS.get(place(local.month() - 1)).unwrap_or(&"");
            let time = local.strftime("%H:%M");
            format!("{day}, {} de {month} de {}, {time} ({zone})", local.day(), local.year())
        }
    }
}

impl Context<'_> {
    /// In which language a patient is written to: theirs, or their clinic's.
    pub async fn language_of(&self, patient: PatientId) -> Result<Language, Problem> {
        let sql = "SELECT c.language, s.language FROM (SELECT 1)
                   LEFT JOIN patient_contact c ON c.clinic = ?1 AND c.patient = ?2
                   LEFT JOIN message_settings s ON s.clinic = ?1";
        let rows = self.database().query(sql, params![&self.clinic, patient]).await?;
        let Some(row) = rows.first() else { return Ok(Language::default()) };
        Ok(Language::of(row, 0)?.or(Language::of(row, 1)?).unwrap_or_default())
    }

    /// In which language the clinic writes to people of whom it knows no language.
    pub async fn clinic_language(&self) -> Result<Language, Problem> {
        let sql = "SELECT language FROM message_settings WHERE clinic = ?";
        let rows = self.database().query(sql, params![&self.clinic]).await?;
        let language = rows.first().map(|row| Language::of(row, 0)).transpose()?.flatten();
        Ok(language.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn times_are_the_clinics_and_spanish_is_spanish() {
        let clinic = Clinic {
            name: "Clínica".to_owned(),
            time_zone: "Europe/Madrid".to_owned(),
            zone: TimeZone::get("Europe/Madrid").unwrap(),
            change_until: SignedDuration::ZERO,
            is_open: true,
        };
        let start = "2026-03-04T08:30:00Z".parse().unwrap();
        let told = text(Language::Es, &clinic, Words::Reminder(start));
        assert!(told.body.contains("es el miércoles, 4 de marzo de 2026, 09:30 (Europe/Madrid)"), "{told:?}");
        let told = text(Language::En, &clinic, Words::Reminder(start));
        assert!(told.body.contains("is on Wednesday, 4 March 2026, 09:30 (Europe/Madrid)"), "{told:?}");
    }
}
