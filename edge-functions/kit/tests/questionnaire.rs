//! What is asked after which answers, and which answers are taken. The cases are the pages' too: `web/src/intake/rules.test.ts`
//! reads the same file.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::collections::BTreeSet;

use kit::questionnaire::{FilledItem, Outcome, Questionnaire};
use serde::Deserialize;
use serde_json::{Value as Json, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    item: Vec<Json>,
    answers: Json,
    enabled: BTreeSet<String>,
    mistakes: Vec<(Option<String>, String)>,
    draft_mistakes: Vec<(Option<String>, String)>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("questionnaire_cases.json")).unwrap()
}

fn questionnaire(item: &[Json]) -> Json {
    json!({"resourceType": "Questionnaire", "url": "urn:x", "version": "1", "status": "active", "item": item})
}

fn parsed(item: &[Json]) -> Questionnaire {
    Questionnaire::parse(questionnaire(item)).unwrap_or_else(|error| panic!("{error:?}"))
}

fn mistakes(outcome: &Outcome) -> Vec<(Option<String>, String)> {
    let one = |mistake: &kit::questionnaire::Mistake| {
        let kind = serde_json::to_value(mistake.kind).unwrap().as_str().unwrap().to_owned();
        (mistake.link_id.clone(), kind)
    };
    outcome.mistakes.iter().map(one).collect()
}

#[test]
fn each_case_is_told_as_it_stands_there() {
    let cases = cases();
    assert!(cases.len() > 100, "only {}", cases.len());
    for case in cases {
        let (questionnaire, name) = (parsed(&case.item), &case.name);
        let filled: Vec<FilledItem> = serde_json::from_value(case.answers.clone()).unwrap();
        let whole = questionnaire.look_at(&filled, true);
        assert_eq!(mistakes(&whole), case.mistakes, "{name}");
        assert_eq!(whole.enabled, case.enabled, "{name}");
        let draft = questionnaire.look_at(&filled, false);
        assert_eq!(mistakes(&draft), case.draft_mistakes, "{name}, as a draft");
        for mistake in &whole.mistakes {
            assert!(mistake.pointer.starts_with("/item"), "{name}: {}", mistake.pointer);
        }
        // What is kept is taken again, and is the same then.
        if case.draft_mistakes.is_empty() {
            let again: Vec<FilledItem> = serde_json::from_value(json!(draft.item)).unwrap();
            assert_eq!(questionnaire.look_at(&again, false).item, draft.item, "{name}");
        }
    }
}

#[test]
fn what_cannot_be_shown_is_refused_with_its_place() {
    let text = |more: Json| {
        let mut item = json!({"linkId": "a", "type": "string", "text": "A"});
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        vec![json!({"linkId": "first", "type": "boolean", "text": "First?"}), item]
    };
    let when = |question: &str, operator: &str| json!({"enableWhen": [{"question": question, "operator": operator, "answerBoolean": true}]});
    for (items, pointer) in [
        (vec![], "/item"),
        (text(json!({"type": "attachment"})), "/item/1/type"),
        (text(json!({"type": "group"})), "/item/1/item"),
        (text(json!({"item": [{"linkId": "b", "type": "string", "text": "B"}]})), "/item/1/item"),
        (text(json!({"linkId": "first"})), "/item/1/linkId"),
        (text(json!({"linkId": ""})), "/item/1/linkId"),
        (text(json!({"text": " "})), "/item/1/text"),
        (text(json!({"answerValueSet": "urn:y"})), "/item/1/answerValueSet"),
        (text(json!({"initial": [{"valueString": "x"}]})), "/item/1/initial"),
        (text(json!({"modifierExtension": []})), "/item/1/modifierExtension"),
        (text(json!({"maxLength": 0})), "/item/1/maxLength"),
        (text(json!({"type": "integer", "maxLength": 3})), "/item/1/maxLength"),
        (text(json!({"type": "boolean", "repeats": true})), "/item/1/repeats"),
        (text(json!({"type": "display", "required": true})), "/item/1"),
        (text(json!({"type": "choice"})), "/item/1/answerOption"),
        (text(json!({"answerOption": [{"valueString": "x"}]})), "/item/1/answerOption"),
        (text(json!({"type": "choice", "answerOption": [{"valueInteger": 1}]})), "/item/1/answerOption/0"),
        (text(when("nobody", "=")), "/item/1/enableWhen/0/question"),
        (text(when("a", "=")), "/item/1/enableWhen/0/question"),
        (text(when("first", ">")), "/item/1/enableWhen/0"),
        (text(when("first", "~")), "/item/1/enableWhen/0"),
        (
            text(json!({"enableWhen": [{"question": "first", "operator": "=", "answerInteger": 1}]})),
            "/item/1/enableWhen/0",
        ),
        (
            text(json!({"enableWhen": [
                {"question": "first", "operator": "=", "answerBoolean": true},
                {"question": "first", "operator": "exists", "answerBoolean": true},
            ]})),
            "/item/1/enableBehavior",
        ),
    ] {
        let refused = Questionnaire::parse(questionnaire(&items)).err();
        let refused = refused.unwrap_or_else(|| panic!("{pointer} was taken: {items:?}"));
        assert_eq!(refused.pointer, pointer, "{}: {items:?}", refused.detail);
    }
    for (field, wrong) in [
        ("url", json!("a b")),
        ("version", json!("1|2")),
        ("status", json!("draft")),
        ("modifierExtension", json!([])),
    ] {
        let mut resource = questionnaire(&text(json!({})));
        resource[field] = wrong;
        assert_eq!(Questionnaire::parse(resource).err().unwrap().pointer, format!("/{field}"));
    }
}

/// The same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }

    fn answer(&mut self, kind: &str) -> Json {
        match (kind, self.below(8)) {
            (_, 0) => json!({"valueString": "x"}),
            ("boolean", n) => json!({"valueBoolean": n % 2 == 0}),
            ("integer", n) => json!({"valueInteger": n}),
            (_, n) => json!({"valueString": format!("{n}")}),
        }
    }

    /// Questions of which each may depend on any before it.
    fn questions(&mut self) -> Vec<(String, Json)> {
        let mut questions: Vec<(String, Json)> = Vec::new();
        for index in 0..=self.below(8) {
            let kind = *["boolean", "integer", "string"].get(self.below(3)).unwrap();
            let mut item = json!({"linkId": format!("q{index}"), "type": kind, "text": "?", "required": self.below(2) == 0});
            let mut conditions = Vec::new();
            for _ in 0..self.below(3).min(questions.len()) {
                let (of, other) = &questions[self.below(questions.len())];
                let operator = *["exists", "=", "!="].get(self.below(3)).unwrap();
                let answer = match (operator, of.as_str()) {
                    ("exists", _) | (_, "boolean") => json!({"answerBoolean": self.below(2) == 0}),
                    (_, "integer") => json!({"answerInteger": self.below(8)}),
                    _ => json!({"answerString": format!("{}", self.below(8))}),
                };
                let mut condition = json!({"question": other["linkId"], "operator": operator});
                condition.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
                conditions.push(condition);
            }
            if !conditions.is_empty() {
                item["enableWhen"] = json!(conditions);
                item["enableBehavior"] = json!(["all", "any"][self.below(2)]);
            }
            questions.push((kind.to_owned(), item));
        }
        questions
    }
}

/// Read straight from the specification, without any order: whether an item is asked, given who is asked.
fn naive(item: &Json, answers: &Json) -> bool {
    let Some(conditions) = item["enableWhen"].as_array() else { return true };
    let mut holds = conditions.iter().map(|condition| {
        let given = &answers[condition["question"].as_str().unwrap()];
        let wanted = ["answerBoolean", "answerInteger", "answerString"].map(|name| &condition[name]);
        let wanted = wanted.into_iter().find(|value| !value.is_null()).unwrap();
        match condition["operator"].as_str().unwrap() {
            "exists" => given.is_null() != wanted.as_bool().unwrap(),
            "=" => given == wanted,
            _ => given != wanted,
        }
    });
    if item["enableBehavior"] == "any" { holds.any(|holds| holds) } else { holds.all(|holds| holds) }
}

#[test]
fn ten_thousand_forms_are_told_as_a_naive_reader_tells_them() {
    let mut random = Random(20_261_129);
    let (mut asked, mut refused) = (0, 0);
    for round in 0..10_000 {
        let questions = random.questions();
        let items: Vec<Json> = questions.iter().map(|(_, item)| item.clone()).collect();
        let given: Vec<Json> = questions
            .iter()
            .filter_map(|(kind, item)| {
                let answered = random.below(3) > 0;
                answered.then(|| json!({"linkId": item["linkId"], "answer": [random.answer(kind)]}))
            })
            .collect();
        let (mut known, mut enabled, mut wrong) = (json!({}), BTreeSet::new(), Vec::new());
        for (kind, item) in &questions {
            let id = item["linkId"].as_str().unwrap();
            let answer = given.iter().find(|given| given["linkId"] == id).map(|given| &given["answer"][0]);
            let value = answer.and_then(|answer| {
                let name = format!("value{}{}", kind[..1].to_uppercase(), &kind[1..]);
                Some(answer.get(name)?.clone())
            });
            let is_asked = naive(item, &known);
            if is_asked {
                enabled.insert(id.to_owned());
            }
            match (answer, value) {
                (Some(_), None) => wrong.push((id, "type")),
                (Some(_), Some(_)) if !is_asked => wrong.push((id, "disabled")),
                (Some(_), Some(value)) => known[id] = value,
                (None, _) if is_asked && item["required"] == true => wrong.push((id, "required")),
                (None, _) => {}
            }
        }
        let filled: Vec<FilledItem> = serde_json::from_value(json!(given)).unwrap();
        let outcome = parsed(&items).look_at(&filled, true);
        assert_eq!(outcome.enabled, enabled, "round {round}: {items:?} {given:?}");
        let wrong: Vec<_> =
            wrong.iter().map(|(id, kind)| (Some((*id).to_owned()), (*kind).to_owned())).collect();
        assert_eq!(mistakes(&outcome), wrong, "round {round}: {items:?} {given:?}");
        asked += enabled.len();
        refused += wrong.len();
    }
    assert!(asked > 10_000 && refused > 5_000, "{asked} asked, {refused} refused: hardly anything was tried");
}
