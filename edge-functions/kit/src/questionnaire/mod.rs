//! What patients are asked before a visit: FHIR R4 `Questionnaire`, as far as our pages show it. What they do not show is
//! refused where it is stored, so that nobody is asked half of a form.

mod answer;
mod filled;
mod store;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

pub use answer::{Answer, Coding};
pub use filled::{Filled, FilledItem, FilledStatus, Mistake, MistakeKind, Outcome, ResourceType, refusal};
pub use store::{Stored, create, for_visit, is_missing};

use crate::form;
use crate::ids::QuestionnaireId;
use crate::problem::InputError;

/// Of one questionnaire.
const MAX_ITEMS: usize = 200;
/// Groups in groups.
const MAX_DEPTH: usize = 4;
/// Of one question.
const MAX_OPTIONS: usize = 100;
const MAX_CONDITIONS: usize = 20;
const MAX_TEXT: usize = 2_000;
const MAX_BYTES: usize = 256 << 10;

/// A questionnaire that our pages can show.
#[derive(Clone)]
pub struct Questionnaire {
    /// As it was given, whole.
    raw: Json,
    url: Option<String>,
    version: Option<String>,
    pub(crate) item: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource_type: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    version: Option<String>,
    status: String,
    item: Vec<Item>,
    #[serde(default)]
    modifier_extension: Option<serde::de::IgnoredAny>,
}

/// A question, a text, or several of them together.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Item {
    /// Its name in answers.
    pub link_id: String,
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) text: Option<String>,
    #[serde(default)]
    pub(crate) enable_when: Vec<Condition>,
    #[serde(default)]
    enable_behavior: Option<Behavior>,
    #[serde(default)]
    pub(crate) required: bool,
    #[serde(default)]
    pub(crate) repeats: bool,
    #[serde(default)]
    pub(crate) max_length: Option<u32>,
    #[serde(default)]
    pub(crate) answer_option: Vec<Choice>,
    #[serde(default)]
    pub(crate) item: Vec<Self>,
    // Said, and of no consequence for what is shown.
    #[serde(default, rename = "id")]
    _id: serde::de::IgnoredAny,
    #[serde(default, rename = "definition")]
    _definition: serde::de::IgnoredAny,
    #[serde(default, rename = "code")]
    _code: serde::de::IgnoredAny,
    #[serde(default, rename = "prefix")]
    _prefix: serde::de::IgnoredAny,
    /// Translations.
    #[serde(default, rename = "_text")]
    _text: serde::de::IgnoredAny,
    #[serde(default, rename = "extension")]
    _extension: serde::de::IgnoredAny,
}

/// What an item is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Group,
    Display,
    String,
    Text,
    Boolean,
    Integer,
    Decimal,
    Date,
    Choice,
    OpenChoice,
}

impl Kind {
    const fn is_question(self) -> bool {
        !matches!(self, Self::Group | Self::Display)
    }

    const fn is_choice(self) -> bool {
        matches!(self, Self::Choice | Self::OpenChoice)
    }
}

#[derive(Clone, Copy, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Behavior {
    All,
    Any,
}

/// What another answer must be for an item to be asked.
#[derive(Clone, Deserialize)]
#[serde(try_from = "Map<String, Json>")]
pub(crate) struct Condition {
    question: String,
    operator: Operator,
    answer: Answer,
}

#[derive(Clone, Copy, Eq, PartialEq, Deserialize)]
enum Operator {
    #[serde(rename = "exists")]
    Exists,
    #[serde(rename = "=")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
    #[serde(rename = ">")]
    Greater,
    #[serde(rename = "<")]
    Less,
    #[serde(rename = ">=")]
    GreaterOrEqual,
    #[serde(rename = "<=")]
    LessOrEqual,
}

/// An answer that is offered.
#[derive(Clone, Deserialize)]
#[serde(try_from = "Map<String, Json>")]
pub(crate) struct Choice(pub(crate) Answer);

/// What was answered so far, of what was asked: by link id.
pub(crate) type Answers<'a> = BTreeMap<&'a str, &'a [Answer]>;

impl TryFrom<Map<String, Json>> for Condition {
    type Error = &'static str;

    fn try_from(mut map: Map<String, Json>) -> Result<Self, Self::Error> {
        let question = map.remove("question");
        let question = question.as_ref().and_then(Json::as_str).ok_or("must name a question")?.to_owned();
        let operator = map.remove("operator").ok_or("must have an operator")?;
        let operator = Operator::deserialize(operator).map_err(|_| "must have an operator of FHIR R4")?;
        Ok(Self { question, operator, answer: Answer::read(&map, "answer")? })
    }
}

impl TryFrom<Map<String, Json>> for Choice {
    type Error = &'static str;

    fn try_from(mut map: Map<String, Json>) -> Result<Self, Self::Error> {
        map.remove("id");
        let answer = Answer::read(&map, "value")?;
        let offered = matches!(answer, Answer::Coding(_) | Answer::String(_));
        offered.then_some(Self(answer)).ok_or("must be a valueCoding or a valueString")
    }
}

impl Condition {
    fn holds(&self, answers: &Answers<'_>) -> bool {
        let given = answers.get(self.question.as_str()).copied().unwrap_or_default();
        let any = |test: fn(std::cmp::Ordering) -> bool| {
            given.iter().any(|answer| answer.compare(&self.answer).is_some_and(test))
        };
        match self.operator {
            Operator::Exists => self.answer == Answer::Boolean(!given.is_empty()),
            Operator::Equal => given.contains(&self.answer),
            // "True if no answer has a value that is equal": also where there is none.
            Operator::NotEqual => !given.contains(&self.answer),
            Operator::Greater => any(std::cmp::Ordering::is_gt),
            Operator::Less => any(std::cmp::Ordering::is_lt),
            Operator::GreaterOrEqual => any(std::cmp::Ordering::is_ge),
            Operator::LessOrEqual => any(std::cmp::Ordering::is_le),
        }
    }
}

impl Item {
    /// Whether it is asked after these answers, apart from the groups that it is in.
    pub(crate) fn is_enabled(&self, answers: &Answers<'_>) -> bool {
        let mut conditions = self.enable_when.iter().map(|condition| condition.holds(answers));
        match self.enable_behavior {
            _ if self.enable_when.is_empty() => true,
            Some(Behavior::Any) => conditions.any(|holds| holds),
            _ => conditions.all(|holds| holds),
        }
    }
}

impl Questionnaire {
    /// A resource that our pages can show.
    ///
    /// # Errors
    /// What of it they cannot, and where in it.
    pub fn parse(raw: Json) -> Result<Self, InputError> {
        let refused = |pointer: &str, detail: &str| InputError {
            pointer: pointer.to_owned(),
            detail: detail.to_owned(),
        };
        if raw.to_string().len() > MAX_BYTES {
            return Err(refused("", "must be 256 KiB at most"));
        }
        let resource: Resource = form::parse(raw.clone())?;
        if resource.resource_type != "Questionnaire" {
            return Err(refused("/resourceType", "must be Questionnaire"));
        }
        if resource.status != "active" {
            return Err(refused("/status", "must be active"));
        }
        if resource.modifier_extension.is_some() {
            return Err(refused("/modifierExtension", "is not supported"));
        }
        let plain = |text: &str| {
            let allowed = |c: char| c.is_ascii_graphic() && !"|<>\"\\^`{}".contains(c);
            (1..=200).contains(&text.len()) && text.chars().all(allowed)
        };
        for (place, name) in [("/url", &resource.url), ("/version", &resource.version)] {
            if !name.as_deref().is_none_or(plain) {
                return Err(refused(place, "must be 1 to 200 characters of a URL"));
            }
        }
        let mut seen = Seen::default();
        seen.take(&resource.item, "", 1)?;
        if !seen.kinds.values().any(|kind| kind.is_question()) {
            return Err(refused("/item", "must ask something"));
        }
        Ok(Self { raw, url: resource.url, version: resource.version, item: resource.item })
    }

    /// As it was given.
    pub const fn raw(&self) -> &Json {
        &self.raw
    }

    /// Its name, as answers name it: its own, or else that of the row that it stands in.
    fn canonical(&self, id: QuestionnaireId) -> String {
        match (&self.url, &self.version) {
            (Some(url), Some(version)) => format!("{url}|{version}"),
            (Some(url), None) => url.clone(),
            (None, _) => format!("urn:uuid:{id}"),
        }
    }
}

impl TryFrom<Json> for Questionnaire {
    type Error = String;

    fn try_from(raw: Json) -> Result<Self, Self::Error> {
        Self::parse(raw).map_err(|error| format!("at {}: {}", error.pointer, error.detail))
    }
}

impl<'de> Deserialize<'de> for Questionnaire {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Json::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Questionnaire {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(serializer)
    }
}

/// What stood before.
#[derive(Default)]
struct Seen {
    kinds: BTreeMap<String, Kind>,
}

impl Seen {
    fn take(&mut self, items: &[Item], place: &str, depth: usize) -> Result<(), InputError> {
        for (index, item) in items.iter().enumerate() {
            let place = format!("{place}/item/{index}");
            let refuse = |field: &str, detail: &str| {
                Err(InputError { pointer: format!("{place}{field}"), detail: detail.to_owned() })
            };
            let plain = |c: char| !c.is_control() && !c.is_whitespace();
            if !(1..=100).contains(&item.link_id.len()) || !item.link_id.chars().all(plain) {
                return refuse("/linkId", "must be 1 to 100 characters without blanks");
            }
            let text = item.text.as_deref().unwrap_or_default();
            if text.chars().count() > MAX_TEXT || (text.trim().is_empty() && item.kind != Kind::Group) {
                return refuse("/text", "must be 1 to 2000 characters");
            }
            if let Err((field, detail)) = item.check(self) {
                return refuse(&field, detail);
            }
            if self.kinds.insert(item.link_id.clone(), item.kind).is_some() {
                return refuse("/linkId", "is used twice");
            }
            if self.kinds.len() > MAX_ITEMS {
                return refuse("", "is one item too many: 200 is the most");
            }
            if depth == MAX_DEPTH && !item.item.is_empty() {
                return refuse("/item", "is nested too deeply");
            }
            self.take(&item.item, &place, depth + 1)?;
        }
        Ok(())
    }
}

impl Item {
    fn check(&self, before: &Seen) -> Result<(), (String, &'static str)> {
        let refuse = |field: &str, detail| Err((field.to_owned(), detail));
        if (self.kind == Kind::Group) == self.item.is_empty() {
            return refuse("/item", "groups have items, and nothing else has");
        }
        if !self.kind.is_question() && (self.required || self.repeats) {
            return refuse("", "is no question: it can be neither required nor repeated");
        }
        if self.repeats && self.kind == Kind::Boolean {
            return refuse("/repeats", "yes and no are no answer together");
        }
        if self
            .max_length
            .is_some_and(|length| length == 0 || !matches!(self.kind, Kind::String | Kind::Text))
        {
            return refuse("/maxLength", "must be 1 or more, of a string or a text");
        }
        if self.kind.is_choice() == self.answer_option.is_empty() || self.answer_option.len() > MAX_OPTIONS {
            return refuse("/answerOption", "choices have 1 to 100 of them, and nothing else has");
        }
        if self.enable_when.len() > MAX_CONDITIONS {
            return refuse("/enableWhen", "must be 20 at most");
        }
        if self.enable_when.len() > 1 && self.enable_behavior.is_none() {
            return refuse("/enableBehavior", "must say whether all conditions are to hold or any");
        }
        for (index, condition) in self.enable_when.iter().enumerate() {
            let field = |name: &str| format!("/enableWhen/{index}{name}");
            // What stands before decides: so nothing depends on itself, and a form is read from top to bottom.
            let Some(kind) = before.kinds.get(&condition.question).filter(|kind| kind.is_question()) else {
                return Err((field("/question"), "must be a question that stands before"));
            };
            if !condition.fits(*kind) {
                return Err((field(""), "does not fit the question's type"));
            }
        }
        Ok(())
    }
}

impl Condition {
    fn fits(&self, kind: Kind) -> bool {
        match self.operator {
            Operator::Exists => matches!(self.answer, Answer::Boolean(_)),
            Operator::Equal | Operator::NotEqual => self.answer.fits(kind),
            _ => matches!(kind, Kind::Integer | Kind::Decimal | Kind::Date) && self.answer.fits(kind),
        }
    }
}
