//! The words of a search, read strictly: what is not known is refused, for without it more would be found than was asked for.

use http::Uri;
use kit::problem::Problem;
use serde_json::Value as Json;

use super::page::Cursor;
use crate::outcome::bad_search;

/// What is asked for.
#[derive(Default)]
pub(crate) struct Query {
    pub(crate) clauses: Vec<Clause>,
    pub(crate) count: usize,
    pub(crate) sort: Option<Sort>,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) include: Vec<Include>,
    pub(crate) reverse: Vec<Include>,
    pub(crate) summary: Summary,
    pub(crate) total: Total,
    elements: Vec<String>,
    /// As it was given, but for the cursor.
    given: Vec<(String, String)>,
}

/// `name:modifier=value,value`: any of the values.
pub(crate) struct Clause {
    pub(crate) name: String,
    pub(crate) modifier: Option<String>,
    pub(crate) values: Vec<String>,
}

/// By which parameter, and which way.
pub(crate) struct Sort {
    pub(crate) name: String,
    pub(crate) is_descending: bool,
}

/// `Observation:subject:Patient`.
pub(crate) struct Include {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) target: Option<String>,
}

/// How much of each resource.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Summary {
    #[default]
    All,
    /// How many there are.
    Count,
    /// The text, and what must be there.
    Text,
    /// All but the text.
    Data,
}

/// Whether it is said how many there are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Total {
    #[default]
    None,
    Accurate,
}

const MAX_COUNT: usize = 100;
const DEFAULT_COUNT: usize = 20;
const MAX_PARAMETERS: usize = 30;
const MAX_VALUES: usize = 50;
const MAX_TEXT: usize = 8_000;
const MAX_INCLUDES: usize = 5;

impl Query {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        Self::parse(uri.query().unwrap_or_default())
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        if text.len() > MAX_TEXT {
            return Err(bad_search("is longer than 8,000 bytes"));
        }
        let mut query = Self { count: DEFAULT_COUNT, ..Self::default() };
        for (name, value) in form_urlencoded::parse(text.as_bytes()).into_owned() {
            query.take(name, value)?;
        }
        if query.given.len() > MAX_PARAMETERS || query.include.len() + query.reverse.len() > MAX_INCLUDES {
            return Err(bad_search("has too many parameters"));
        }
        Ok(query)
    }

    fn take(&mut self, name: String, value: String) -> Result<(), Problem> {
        match name.as_str() {
            "_cursor" => {
                self.cursor =
                    Some(Cursor::parse(&value).ok_or_else(|| bad_search("_cursor is not one of ours"))?);
                return Ok(());
            }
            "_format" | "_pretty" => {}
            "_count" => {
                let count = value.parse::<usize>().map_err(|_| bad_search("_count must be a number"))?;
                self.count = count.min(MAX_COUNT);
            }
            "_sort" => self.sort = Some(sort(&value)?),
            "_include" | "_include:iterate" => self.include.push(include(&value)?),
            "_revinclude" => self.reverse.push(include(&value)?),
            "_summary" => {
                self.summary = match value.as_str() {
                    "count" => Summary::Count,
                    "text" => Summary::Text,
                    "data" => Summary::Data,
                    // A server may answer with more than a summary.
                    "true" | "false" => Summary::All,
                    _ => return Err(bad_search("_summary must be true, false, text, data or count")),
                }
            }
            "_total" => {
                self.total = match value.as_str() {
                    "none" => Total::None,
                    "accurate" | "estimate" => Total::Accurate,
                    _ => return Err(bad_search("_total must be none, estimate or accurate")),
                }
            }
            "_elements" => self.elements = value.split(',').map(str::to_owned).collect(),
            _ => {
                let (plain, modifier) = match name.split_once(':') {
                    Some((plain, modifier)) => (plain.to_owned(), Some(modifier.to_owned())),
                    None => (name.clone(), None),
                };
                let values = split(&value);
                if values.len() > MAX_VALUES {
                    return Err(bad_search("a parameter has too many values"));
                }
                self.clauses.push(Clause { name: plain, modifier, values });
            }
        }
        self.given.push((name, value));
        Ok(())
    }

    /// Whether nothing is looked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }

    /// The one patient that it is about.
    pub(crate) fn only_patient(&self) -> Option<&str> {
        let names_one = |clause: &&Clause| {
            ["patient", "subject"].contains(&clause.name.as_str())
                && clause.modifier.as_deref().is_none_or(|modifier| modifier == "Patient")
                && clause.values.len() == 1
        };
        let value = self.clauses.iter().find(names_one)?.values.first()?;
        Some(value.strip_prefix("Patient/").unwrap_or(value)).filter(|id| fhir_model::is_id(id))
    }

    /// As it was given, with another cursor.
    pub(crate) fn text(&self, cursor: Option<&str>) -> String {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(&self.given);
        if let Some(cursor) = cursor {
            text.append_pair("_cursor", cursor);
        }
        text.finish()
    }

    /// As much of a resource as was asked for. What is not whole says so.
    pub(crate) fn shape(&self, kind: &str, mut resource: Json) -> Json {
        let Some(members) = resource.as_object_mut() else { return resource };
        let before = members.len();
        let is_kept = |name: &str| {
            let plain = name.strip_prefix('_').unwrap_or(name);
            let always = ["resourceType", "id", "meta"].contains(&plain)
                || fhir_model::required(kind).any(|required| plain.starts_with(required));
            match self.summary {
                Summary::Text => always || plain == "text",
                Summary::Data => plain != "text",
                _ => self.elements.is_empty() || always || self.elements.iter().any(|own| own == plain),
            }
        };
        members.retain(|name, _| is_kept(name));
        if members.len() < before {
            let system = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
            let tag = serde_json::json!({"system": system, "code": "SUBSETTED"});
            match resource["meta"]["tag"].as_array_mut() {
                Some(tags) => tags.push(tag),
                None => resource["meta"]["tag"] = Json::Array(vec![tag]),
            }
        }
        resource
    }
}

/// Values between commas; `\,` is none (<http://hl7.org/fhir/R4/search.html#escaping>).
fn split(text: &str) -> Vec<String> {
    let (mut values, mut value, mut letters) = (Vec::new(), String::new(), text.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => value.extend(letters.next()),
            ',' => values.push(std::mem::take(&mut value)),
            letter => value.push(letter),
        }
    }
    values.push(value);
    values
}

fn sort(text: &str) -> Result<Sort, Problem> {
    if text.contains(',') {
        return Err(bad_search("_sort takes one parameter"));
    }
    let (name, is_descending) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text, false),
    };
    Ok(Sort { name: name.to_owned(), is_descending })
}

fn include(text: &str) -> Result<Include, Problem> {
    let mut parts = text.split(':');
    let (kind, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if kind.is_empty() || name.is_empty() {
        return Err(bad_search("what to include is Type:parameter"));
    }
    let (kind, name, target) = (kind.to_owned(), name.to_owned(), parts.next().map(str::to_owned));
    Ok(Include { kind, name, target })
}
