//! What patients agree to before a visit: a clinic's texts, by key, jurisdiction and language, and whether a visit's patient
//! has agreed to all that are in force.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::context::Context;
use crate::database::{DatabaseError, Row};
use crate::form::{Jurisdiction, Key, Language, Name, NoteText};
use crate::ids::{AppointmentId, ConsentTextId};
use crate::params;
use crate::problem::Problem;

/// A text as a clinic gives it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentText {
    /// What it is about. Patients agree to one text of each key.
    pub key: Key,
    /// Where the patient is.
    pub jurisdiction: Jurisdiction,
    /// What it is written in.
    pub language: Language,
    /// Its heading.
    pub title: Name,
    /// What is agreed to.
    pub text: NoteText,
}

/// A text that is in force.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TextView {
    /// Its id.
    pub id: ConsentTextId,
    /// What it is about.
    pub key: String,
    /// Where.
    pub jurisdiction: String,
    /// What it is written in.
    pub language: String,
    /// How many texts stood in its place before, and one.
    pub version: i64,
    /// SHA-256 of the text in UTF-8, in hexadecimal.
    pub sha256: String,
    /// Its heading.
    pub title: String,
    /// What is agreed to.
    pub text: String,
}

impl TextView {
    /// The text by its hash (RFC 6920).
    pub fn uri(&self) -> String {
        format!("ni:///sha-256;{}", URL_SAFE_NO_PAD.encode(hash(&self.text)))
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Puts a text into force; the one in its place was taken out before, and whoever agreed to that is asked again.
pub async fn create(
    context: &Context<'_>,
    (key, jurisdiction, language): (&str, &str, &str),
    (title, body): (&str, &str),
) -> Result<(), Problem> {
    let sql = "INSERT INTO consent_text
                 (clinic, id, key, jurisdiction, language, title, body, body_sha256, created_at, version)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1 + count(*) FROM consent_text
               WHERE clinic = ?1 AND key = ?3 AND jurisdiction = ?4 AND language = ?5";
    let id = ConsentTextId::new(context.now)?;
    let values =
        params![&context.clinic, id, key, jurisdiction, language, title, body, hash(body), context.now];
    context.database().execute(sql, values).await?;
    Ok(())
}

/// The texts in force for somebody in `place` (ISO 3166), in all their languages: of each key those of the place, or of its
/// country, or else of the first of the clinic's. The wanted language stands first. None: the clinic asks for no consent.
pub async fn offered(
    context: &Context<'_>,
    place: Option<&str>,
    language: Option<&str>,
) -> Result<Vec<TextView>, Problem> {
    let sql = "SELECT id, key, jurisdiction, language, version, body_sha256, title, body FROM consent_text
               WHERE clinic = ?1 AND removed_at IS NULL
               ORDER BY key, language <> ?2, language <> 'en', language, jurisdiction";
    let rows = context.database().query(sql, params![&context.clinic, language.unwrap_or("en")]).await?;
    let all = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let mut best: BTreeMap<String, (u8, String)> = BTreeMap::new();
    for text in &all {
        let rank = (distance(&text.jurisdiction, place), text.jurisdiction.clone());
        let known = best.entry(text.key.clone()).or_insert_with(|| rank.clone());
        *known = rank.min(known.clone());
    }
    let is_best = |text: &TextView| best.get(&text.key).is_some_and(|(_, place)| *place == text.jurisdiction);
    Ok(all.into_iter().filter(is_best).collect())
}

/// How far a text is from being meant for a place: itself, its country, or none of them.
fn distance(jurisdiction: &str, place: Option<&str>) -> u8 {
    let Some(place) = place else { return 2 };
    match place.split_once('-') {
        _ if place == jurisdiction => 0,
        Some((country, _)) if country == jurisdiction => 1,
        _ => 2,
    }
}

fn read(row: &Row) -> Result<TextView, DatabaseError> {
    let hash = row.bytes::<32>(5)?;
    Ok(TextView {
        id: row.parsed(0, ConsentTextId::parse)?,
        key: row.text(1)?,
        jurisdiction: row.text(2)?,
        language: row.text(3)?,
        version: row.integer(4)?,
        sha256: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        title: row.text(6)?,
        text: row.text(7)?,
    })
}

/// Whether a visit's call has to wait: of some key, the patient has agreed to no text that is in force, or took it back, and no
/// clinician has said since that it cannot wait.
pub async fn is_missing(context: &Context<'_>, visit: AppointmentId) -> Result<bool, Problem> {
    let sql = "SELECT EXISTS (
                 SELECT 1 FROM consent_text t WHERE t.clinic = ?1 AND t.removed_at IS NULL AND NOT EXISTS (
                   SELECT 1 FROM consent c JOIN consent_text g ON g.clinic = c.clinic AND g.id = c.text
                   WHERE c.clinic = ?1 AND c.appointment = ?2 AND c.withdrawn_at IS NULL
                     AND g.removed_at IS NULL AND g.key = t.key))
               AND NOT EXISTS (
                 SELECT 1 FROM consent_override o WHERE o.clinic = ?1 AND o.appointment = ?2
                   AND NOT EXISTS (SELECT 1 FROM consent w WHERE w.clinic = ?1 AND w.appointment = ?2
                                     AND w.withdrawn_at >= o.created_at))";
    let rows = context.database().query(sql, params![&context.clinic, visit]).await?;
    Ok(rows.first().map(|row| row.integer(0)).transpose()? == Some(1))
}

/// What whoever joins is told meanwhile.
pub fn required() -> Problem {
    Problem::new(StatusCode::CONFLICT, "consent-required", "The patient has not consented to this visit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_meant_for_its_place_and_the_parts_of_its_country() {
        assert_eq!(distance("US-OR", Some("US-OR")), 0);
        assert_eq!(distance("US", Some("US-OR")), 1);
        assert_eq!(distance("US-OR", Some("US")), 2);
        assert_eq!(distance("DE", Some("US-OR")), 2);
        assert_eq!(distance("DE", None), 2);
    }
}
