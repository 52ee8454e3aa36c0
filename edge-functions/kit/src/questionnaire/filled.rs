//! What somebody answered: FHIR R4 `QuestionnaireResponse`, held against what was asked.

use std::collections::BTreeSet;
use std::fmt;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::{Answer, Answers, Item, Kind, Questionnaire};
use crate::problem::Problem;

/// Where a questionnaire does not say.
const MAX_STRING: usize = 1_000;
const MAX_TEXT: usize = 10_000;
/// To one question.
const MAX_ANSWERS: usize = 20;

/// What a page sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Filled {
    /// Always `QuestionnaireResponse`.
    pub resource_type: ResourceType,
    /// Which questionnaire, as `url|version`.
    pub questionnaire: String,
    /// Whether the patient is done.
    pub status: FilledStatus,
    /// The answers, nested as the questions are.
    #[serde(default)]
    pub item: Vec<FilledItem>,
}

/// What [`Filled`] is.
#[derive(Clone, Copy, Debug, Deserialize)]
pub enum ResourceType {
    /// The only one.
    QuestionnaireResponse,
}

/// Whether the patient is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilledStatus {
    /// Not yet.
    InProgress,
    /// Done.
    Completed,
}

/// Answers to one question, or to those of a group.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FilledItem {
    link_id: String,
    /// Said, and not looked at: what was asked is known.
    #[serde(default, rename = "text")]
    _text: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    answer: Vec<Map<String, Json>>,
    #[serde(default)]
    item: Vec<Self>,
}

impl fmt::Debug for FilledItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[answers]")
    }
}

/// Something that cannot stay as it is.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Mistake {
    /// Where in the resource.
    pub pointer: String,
    /// Which item; `None` where there is no such item.
    pub link_id: Option<String>,
    /// What it is.
    pub kind: MistakeKind,
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MistakeKind {
    /// There is no such item in this place, or it is there twice.
    Unknown,
    /// It is not asked after these answers.
    Disabled,
    /// It must be answered.
    Required,
    /// It is of another type, or empty.
    Type,
    /// It is longer than allowed.
    TooLong,
    /// It is not among what is offered.
    NotOffered,
    /// One answer is allowed, or twenty where there may be several.
    TooMany,
}

impl MistakeKind {
    const fn detail(self) -> &'static str {
        match self {
            Self::Unknown => "is no item of the questionnaire in this place, or is there twice",
            Self::Disabled => "is not asked after the other answers",
            Self::Required => "must be answered",
            Self::Type => "is not an answer of the type that is asked for",
            Self::TooLong => "is longer than allowed",
            Self::NotOffered => "is not among the answers offered",
            Self::TooMany => "has more answers than allowed",
        }
    }
}

/// What came of looking at answers.
#[derive(Debug)]
pub struct Outcome {
    /// What was answered, in the order of the questions and with their texts, as it is to be kept.
    pub item: Vec<Json>,
    /// Which items are asked after these answers.
    pub enabled: BTreeSet<String>,
    /// What is wrong; only without any may `item` be kept.
    pub mistakes: Vec<Mistake>,
}

/// What `mistakes` are to whoever sent them: with the link id of each, and never what was answered.
pub fn refusal(mistakes: &[Mistake]) -> Problem {
    let error = |mistake: &Mistake| {
        let mut error = json!({"pointer": mistake.pointer, "detail": mistake.kind.detail()});
        if let Some(link_id) = &mistake.link_id {
            error["linkId"] = json!(link_id);
        }
        error
    };
    let errors: Vec<Json> = mistakes.iter().map(error).collect();
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-input", "The input is not valid")
        .member("errors", json!(errors))
}

impl Questionnaire {
    /// Looks at answers; `complete`: also whether something is missing.
    pub fn look_at(&self, filled: &[FilledItem], complete: bool) -> Outcome {
        let outcome = Outcome { item: Vec::new(), enabled: BTreeSet::new(), mistakes: Vec::new() };
        let mut look = Look { complete, outcome };
        let parsed = parse(filled);
        let mut answers = Answers::new();
        let item = look.level(&self.item, &parsed, "", true, &mut answers);
        look.outcome.item = item;
        look.outcome
    }
}

/// A [`FilledItem`] with its values read; `None` is none that FHIR allows.
struct Parsed<'f> {
    link_id: &'f str,
    values: Vec<Answer>,
    unreadable: bool,
    item: Vec<Self>,
}

fn parse(filled: &[FilledItem]) -> Vec<Parsed<'_>> {
    let one = |filled: &'_ FilledItem| -> Vec<Option<Answer>> {
        // More than are allowed, and nobody looks at the rest.
        filled.answer.iter().take(MAX_ANSWERS + 1).map(|map| Answer::read(map, "value").ok()).collect()
    };
    filled
        .iter()
        .map(|filled| {
            let read = one(filled);
            let unreadable = read.iter().any(Option::is_none);
            let values = read.into_iter().flatten().collect();
            Parsed { link_id: &filled.link_id, values, unreadable, item: parse(&filled.item) }
        })
        .collect()
}

struct Look {
    complete: bool,
    outcome: Outcome,
}

impl Look {
    fn level<'p>(
        &mut self,
        items: &'p [Item],
        filled: &'p [Parsed<'p>],
        place: &str,
        asked: bool,
        answers: &mut Answers<'p>,
    ) -> Vec<Json> {
        let mut seen = BTreeSet::new();
        for (index, one) in filled.iter().enumerate() {
            let known = items.iter().any(|item| item.link_id == one.link_id);
            if !known || !seen.insert(one.link_id) {
                let pointer = format!("{place}/item/{index}");
                self.outcome.mistakes.push(Mistake { pointer, link_id: None, kind: MistakeKind::Unknown });
            }
        }
        let mut kept = Vec::new();
        for item in items {
            let place_of = |index: usize| format!("{place}/item/{index}");
            let found = filled.iter().enumerate().find(|(_, one)| one.link_id == item.link_id);
            let asked = asked && item.is_enabled(answers);
            if asked {
                self.outcome.enabled.insert(item.link_id.clone());
            }
            let place = found.map_or_else(|| format!("{place}/item"), |(index, _)| place_of(index));
            if let Some(json) = self.item(item, found.map(|(_, one)| one), &place, asked, answers) {
                kept.push(json);
            }
        }
        kept
    }

    fn item<'p>(
        &mut self,
        item: &'p Item,
        found: Option<&'p Parsed<'p>>,
        place: &str,
        asked: bool,
        answers: &mut Answers<'p>,
    ) -> Option<Json> {
        let mut json = json!({"linkId": item.link_id});
        if let Some(text) = &item.text {
            json["text"] = json!(text);
        }
        if item.kind == Kind::Group {
            if found.is_some_and(|found| !found.values.is_empty() || found.unreadable) {
                self.note(place, item, MistakeKind::Type);
            }
            let inner = found.map(|found| found.item.as_slice()).unwrap_or_default();
            let kept = self.level(&item.item, inner, place, asked, answers);
            if kept.is_empty() {
                return None;
            }
            json["item"] = Json::Array(kept);
            return Some(json);
        }
        let Some(found) = found else {
            self.missing(item, place, asked);
            return None;
        };
        if let Some(kind) = mistake(item, found, asked) {
            self.note(place, item, kind);
            return None;
        }
        if found.values.is_empty() {
            self.missing(item, place, asked);
            return None;
        }
        answers.insert(&item.link_id, &found.values);
        json["answer"] = found.values.iter().map(Answer::write).collect();
        Some(json)
    }

    fn missing(&mut self, item: &Item, place: &str, asked: bool) {
        if self.complete && asked && item.required {
            self.note(place, item, MistakeKind::Required);
        }
    }

    fn note(&mut self, place: &str, item: &Item, kind: MistakeKind) {
        let (pointer, link_id) = (place.to_owned(), Some(item.link_id.clone()));
        self.outcome.mistakes.push(Mistake { pointer, link_id, kind });
    }
}

/// What is wrong with the answers to a question.
fn mistake(item: &Item, found: &Parsed<'_>, asked: bool) -> Option<MistakeKind> {
    let most = if item.repeats { MAX_ANSWERS } else { 1 };
    let longest = match (item.max_length, item.kind) {
        (Some(length), _) => usize::try_from(length).unwrap_or(MAX_TEXT).min(MAX_TEXT),
        (None, Kind::Text) => MAX_TEXT,
        _ => MAX_STRING,
    };
    let too_long = |answer: &Answer| matches!(answer, Answer::String(text) if text.chars().count() > longest);
    let offered = |answer: &Answer| {
        let open = item.kind == Kind::OpenChoice && matches!(answer, Answer::String(_));
        open || item.answer_option.iter().any(|option| option.0 == *answer)
    };
    if !found.item.is_empty() || found.unreadable || !found.values.iter().all(|answer| answer.fits(item.kind))
    {
        return Some(MistakeKind::Type);
    }
    if !asked && !found.values.is_empty() {
        return Some(MistakeKind::Disabled);
    }
    if found.values.len() > most {
        return Some(MistakeKind::TooMany);
    }
    if found.values.iter().any(too_long) {
        return Some(MistakeKind::TooLong);
    }
    let is_choice = !item.answer_option.is_empty();
    (is_choice && !found.values.iter().all(offered)).then_some(MistakeKind::NotOffered)
}
