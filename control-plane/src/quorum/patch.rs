//! The difference between two records, as JSON: a log entry holds what changed, whatever fields a record will have.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Turns one value into another.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Patch {
    /// By this.
    Set(Value),
    /// An object: members that changed, and names of those that went.
    Object {
        /// In the order of their names.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changed: Vec<(String, Patch)>,
        /// Names.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        gone: Vec<String>,
    },
    /// An array: what stands from `at` for `gone` elements makes room for `come`.
    Array {
        /// Index.
        at: usize,
        /// How many.
        gone: usize,
        /// In their place.
        come: Vec<Value>,
    },
}

/// The patch is for another value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the change is for another record")]
pub(crate) struct DoesNotFit;

impl Patch {
    /// What makes `to` of `from`. `None`: they are the same.
    pub(crate) fn between(from: &Value, to: &Value) -> Option<Self> {
        match (from, to) {
            _ if from == to => None,
            (Value::Object(from), Value::Object(to)) => Some(Self::between_objects(from, to)),
            (Value::Array(from), Value::Array(to)) => Some(Self::between_arrays(from, to)),
            (_, to) => Some(Self::Set(to.clone())),
        }
    }

    /// Changes `value`.
    pub(crate) fn apply(self, value: &mut Value) -> Result<(), DoesNotFit> {
        match (self, value) {
            (Self::Set(to), value) => *value = to,
            (Self::Object { changed, gone }, Value::Object(map)) => {
                for name in gone {
                    map.remove(&name).ok_or(DoesNotFit)?;
                }
                for (name, patch) in changed {
                    patch.apply(map.entry(name).or_insert(Value::Null))?;
                }
            }
            (Self::Array { at, gone, come }, Value::Array(elements)) => {
                let end = at.checked_add(gone).filter(|end| *end <= elements.len()).ok_or(DoesNotFit)?;
                elements.splice(at..end, come);
            }
            _ => return Err(DoesNotFit),
        }
        Ok(())
    }

    fn between_objects(from: &Map<String, Value>, to: &Map<String, Value>) -> Self {
        let changed = to.iter().filter_map(|(name, value)| {
            let patch = match from.get(name) {
                Some(before) => Self::between(before, value)?,
                None => Self::Set(value.clone()),
            };
            Some((name.clone(), patch))
        });
        let gone = from.keys().filter(|name| !to.contains_key(*name)).cloned();
        Self::Object { changed: changed.collect(), gone: gone.collect() }
    }

    /// What both begin with and end with stays: lists change here and there, or grow at one end.
    fn between_arrays(from: &[Value], to: &[Value]) -> Self {
        let head = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        let (left, right) = (&from[head..], &to[head..]);
        let tail = left.iter().rev().zip(right.iter().rev()).take_while(|(a, b)| a == b).count();
        Self::Array { at: head, gone: left.len() - tail, come: right[..right.len() - tail].to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_makes_one_value_of_the_other() {
        let values = [
            json!(null),
            json!({}),
            json!({"a": 1, "list": [1, 2, 3], "in": {"x": null}}),
            json!({"a": 1, "list": [1, 9, 3], "in": {"x": null, "y": [1]}}),
            json!({"b": 1, "list": [3], "in": {}}),
            json!({"a": [[1], [2]], "list": []}),
            json!([1, 1, 1]),
            json!([1, 1]),
        ];
        for from in &values {
            for to in &values {
                let patch = Patch::between(from, to);
                assert_eq!(patch.is_none(), from == to);
                let Some(patch) = patch else { continue };
                let text = serde_json::to_string(&patch).unwrap();
                let mut value = from.clone();
                serde_json::from_str::<Patch>(&text).unwrap().apply(&mut value).unwrap();
                assert_eq!(value, *to, "{text}");
            }
        }
    }

    #[test]
    fn one_change_in_a_long_list_is_a_short_patch() {
        let list: Vec<Value> = (0..500).map(|id| json!({"id": id, "state": "up"})).collect();
        let mut other = list.clone();
        other[250] = json!({"id": 250, "state": "down"});
        let patch = Patch::between(&json!({"nodes": list}), &json!({"nodes": other})).unwrap();
        assert!(serde_json::to_string(&patch).unwrap().len() < 150);
    }

    #[test]
    fn a_patch_for_another_value_is_refused() {
        let (from, to) = (json!({"a": 1, "list": [1, 2]}), json!({"list": [1]}));
        let patch = Patch::between(&from, &to).unwrap();
        for mut other in [json!(1), json!({"list": [1, 2]}), json!({"a": 1, "list": [1]})] {
            assert_eq!(patch.clone().apply(&mut other), Err(DoesNotFit));
        }
    }
}
