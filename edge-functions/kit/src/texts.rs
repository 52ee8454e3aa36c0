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
    /// Something is to be done before a visit.
    Missing(Timestamp),
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
        (Language::En, Words::Missing(start)) => (
            format!("Before your video visit at {name}"),
            format!("Something is still to be done before your video visit on {}. {}", at(start), DO_EN),
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
        (Language::Es, Words::Missing(start)) => (
            format!("Antes de su videoconsulta en {name}"),
            format!("Queda algo por hacer antes de su videoconsulta del {}. {}", at(start), DO_ES),
        ),
        (Language::Es, Words::NewMessage) => {
            (format!("Un mensaje de {name}"), format!("{name} le ha escrito. Abra el enlace para leerlo."))
        }
    };
    Text { subject, body }
}

/// What somebody is sent because they, or somebody for them, have just asked: never a short message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer<'a> {
    /// A code for an account.
    AccountCode(&'a str),
    /// A code for the page behind an invitation.
    LinkCode(&'a str),
    /// They may act for somebody. For whom is not said: whoever reads a message that went astray learns of no patient.
    Proxy,
    /// A card that was kept is refused.
    CardRefused,
}

/// `answer` in `language`.
pub fn answer(language: Language, clinic: &Clinic, answer: Answer<'_>) -> Text {
    let name = &clinic.name;
    let (subject, body) = match (language, answer) {
        (Language::En, Answer::AccountCode(code)) => (
            format!("Your code for {name}"),
            format!("Your code is {code}. It works for ten minutes. If you did not ask for it, you need not do anything."),
        ),
        (Language::En, Answer::LinkCode(code)) => (
            format!("Your code for the video visit at {name}"),
            format!(
                "Your code is {code}. It works for ten minutes, on the page that asked for it. If you did not open \
                 your invitation just now, somebody else has it: tell the clinic."
            ),
        ),
        (Language::En, Answer::Proxy) => (
            format!("You may act for somebody at {name}"),
            "Somebody lets you act for them. Open the link to see what you may do, and until when. Keep the \
             message: the link works until then."
                .to_owned(),
        ),
        (Language::En, Answer::CardRefused) => (
            format!("Your card was not accepted: {name}"),
            "Your bank did not accept the payment for your visit. The visit takes place; please pay at the clinic."
                .to_owned(),
        ),
        (Language::Es, Answer::AccountCode(code)) => (
            format!("Su código para {name}"),
            format!("Su código es {code}. Sirve durante diez minutos. Si no lo ha pedido, no tiene que hacer nada."),
        ),
        (Language::Es, Answer::LinkCode(code)) => (
            format!("Su código para la videoconsulta en {name}"),
            format!(
                "Su código es {code}. Sirve durante diez minutos, en la página que lo ha pedido. Si no acaba de abrir \
                 su invitación, otra persona la tiene: avise a la clínica."
            ),
        ),
        (Language::Es, Answer::Proxy) => (
            format!("Puede actuar por alguien en {name}"),
            "Alguien le permite actuar en su nombre. Abra el enlace para ver qué puede hacer y hasta cuándo. \
             Guarde el mensaje: el enlace sirve hasta entonces."
                .to_owned(),
        ),
        (Language::Es, Answer::CardRefused) => (
            format!("No se ha aceptado su tarjeta: {name}"),
            "Su banco no ha aceptado el pago de su visita. La visita tiene lugar; por favor, pague en la clínica."
                .to_owned(),
        ),
    };
    Text { subject, body }
}

const OPEN_EN: &str = "Open the link a few minutes before, on a phone or computer with a camera.";
const OPEN_ES: &str = "Abra el enlace unos minutos antes, en un teléfono u ordenador con cámara.";

const DO_EN: &str = "Open the link to see what it is; it takes a few minutes.";
const DO_ES: &str = "Abra el enlace para ver qué es; son unos minutos.";

/// A name in a short message.
const SHORT_NAME: usize = 40;

/// The same in few characters, for a short message, with the word that ends them. The link comes behind it.
pub fn short(language: Language, clinic: &Clinic, words: Words) -> String {
    let name: String = clinic.name.chars().take(SHORT_NAME).collect();
    let at = |start: Timestamp| {
        let local = clinic.zone.to_datetime(start);
        match language {
            Language::En => local.strftime("%a %-d %b %H:%M").to_string(),
            Language::Es => {
                let day = usize::try_from(local.date().weekday().to_monday_zero_offset()).unwrap_or_default();
                let day: String = DAYS.get(day).unwrap_or(&"").chars().take(3).collect();
                format!("{day} {}", local.strftime("%-d/%-m %H:%M"))
            }
        }
    };
    let text = match (language, words) {
        (Language::En, Words::Booked(start) | Words::Moved(start) | Words::Reminder(start)) => {
            format!("{name}: video visit {}.", at(start))
        }
        (Language::En, Words::Offered(start)) => format!("{name}: an earlier time, {}.", at(start)),
        (Language::En, Words::Cancelled(start)) => format!("{name}: visit {} is cancelled.", at(start)),
        (Language::En, Words::Missing(start)) => {
            format!("{name}: something is to be done before your visit {}.", at(start))
        }
        (Language::En, Words::Recall) => format!("{name}: time for your next visit."),
        (Language::En, Words::NewMessage) => format!("{name} has written to you."),
        (Language::Es, Words::Booked(start) | Words::Moved(start) | Words::Reminder(start)) => {
            format!("{name}: videoconsulta {}.", at(start))
        }
        (Language::Es, Words::Offered(start)) => format!("{name}: una hora antes, {}.", at(start)),
        (Language::Es, Words::Cancelled(start)) => format!("{name}: consulta del {} cancelada.", at(start)),
        (Language::Es, Words::Missing(start)) => {
            format!("{name}: queda algo por hacer antes de su consulta {}.", at(start))
        }
        (Language::Es, Words::Recall) => format!("{name}: es hora de su próxima visita."),
        (Language::Es, Words::NewMessage) => format!("{name} le ha escrito."),
    };
    let stop = match language {
        Language::En => "Answer STOP for no more.",
        Language::Es => "Responda STOP para no recibir más.",
    };
    crate::short::fold(&format!("{text} {stop}"))
}

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
    fn a_short_message_is_two_at_most_with_its_link_and_four_in_letters_that_take_more_room() {
        let link =
            format!("https://app.telehealth.example.org/c/{}/visit#{}", "clinic-at-the-lake", "A".repeat(22));
        let start = "2026-09-23T21:30:00Z".parse().unwrap();
        let all = [
            Words::Booked(start),
            Words::Moved(start),
            Words::Offered(start),
            Words::Cancelled(start),
            Words::Reminder(start),
            Words::Missing(start),
            Words::Recall,
            Words::NewMessage,
        ];
        let faces = "😀".repeat(60);
        for (name, most) in
            [("Clínica del Río Ñuñoa “Dr. José Ángel”", 2), ("عيادة البحيرة", 4), (faces.as_str(), 4)]
        {
            let clinic = Clinic {
                name: name.to_owned(),
                time_zone: "Europe/Madrid".to_owned(),
                zone: TimeZone::get("Europe/Madrid").unwrap(),
                change_until: SignedDuration::ZERO,
                is_open: true,
            };
            for language in [Language::En, Language::Es] {
                for words in all {
                    let text = format!("{} {link}", short(language, &clinic, words));
                    assert!(
                        crate::short::segments(&text) <= most,
                        "{}: {text}",
                        crate::short::segments(&text)
                    );
                }
            }
        }
    }

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
