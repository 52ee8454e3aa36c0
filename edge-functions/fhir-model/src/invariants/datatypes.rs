//! Of data types.

use serde_json::Value;

use super::{Members, exists, has, has_choice, is_after, list, text};

const UCUM: &str = "http://unitsofmeasure.org";

pub(super) fn check(name: &str, of: &Members, refuse: &mut dyn FnMut(bool, &str, &str)) {
    match name {
        "Extension" => {
            let both = exists(of, "extension") != has_choice(of, "value");
            refuse(both, "ext-1", "has extensions or a value, and not both");
        }
        "Quantity" | "Age" | "Count" | "Distance" | "Duration" | "MoneyQuantity" | "SimpleQuantity" => {
            refuse(!has(of, "code") || has(of, "system"), "qty-3", "a code needs its system");
            quantity(name, of, refuse);
        }
        "Period" => {
            let turned = is_after(text(of, "start"), text(of, "end"));
            refuse(!turned, "per-1", "must not end before it starts");
        }
        "Range" => {
            let value = |name: &str| of.get(name)?.get("value")?.as_f64();
            let turned = value("low").zip(value("high")).is_some_and(|(low, high)| low > high);
            refuse(!turned, "rng-2", "low must not be above high");
        }
        "Ratio" => {
            let (over, under) = (has(of, "numerator"), has(of, "denominator"));
            let rat_1 = over == under && (over || has(of, "extension"));
            refuse(rat_1, "rat-1", "has numerator and denominator, or neither and an extension");
        }
        "ContactPoint" => {
            refuse(!has(of, "value") || exists(of, "system"), "cpt-2", "a value needs its system")
        }
        "Attachment" => {
            refuse(!has(of, "data") || exists(of, "contentType"), "att-1", "data need their contentType");
        }
        "Expression" => {
            refuse(
                has(of, "expression") || has(of, "reference"),
                "exp-1",
                "has an expression or a reference",
            );
        }
        "Money" => {
            let letters = |code: &str| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
            let known = text(of, "currency").is_none_or(letters);
            refuse(known, "currency", "must be of ISO 4217");
        }
        "Timing.repeat" => repeat(of, refuse),
        "DataRequirement.codeFilter" | "DataRequirement.dateFilter" => {
            let one = has(of, "path") != has(of, "searchParam");
            refuse(one, "drq-1", "has a path or a search parameter");
        }
        "TriggerDefinition" => {
            refuse(!has(of, "data") || !has_choice(of, "timing"), "trd-1", "has data or a timing");
            refuse(!has(of, "condition") || has(of, "data"), "trd-2", "a condition needs data");
        }
        _ => {}
    }
}

fn quantity(name: &str, of: &Members, refuse: &mut dyn FnMut(bool, &str, &str)) {
    let in_ucum = text(of, "system").is_none_or(|system| system == UCUM);
    let value = of.get("value").and_then(Value::as_f64);
    match name {
        "Age" => {
            let age =
                (has(of, "code") || value.is_none()) && in_ucum && value.is_none_or(|value| value > 0.0);
            refuse(age, "age-1", "needs a code of UCUM and a value above 0");
        }
        "Distance" => {
            refuse((has(of, "code") || value.is_none()) && in_ucum, "dis-1", "needs a code of UCUM")
        }
        "Duration" => {
            let coded = !has(of, "code") || text(of, "system") == Some(UCUM) && value.is_some();
            refuse(coded, "drt-1", "a code must be of UCUM and have a value");
        }
        "Count" => {
            let one = text(of, "code").is_none_or(|code| code == "1");
            let whole = value.is_none_or(|value| value.fract() == 0.0);
            let count = (has(of, "code") || value.is_none()) && in_ucum && one && whole;
            refuse(count, "cnt-3", "must be a whole number of the unit 1");
        }
        _ => {}
    }
}

fn repeat(of: &Members, refuse: &mut dyn FnMut(bool, &str, &str)) {
    let negative = |name: &str| of.get(name).and_then(Value::as_f64).is_some_and(|value| value < 0.0);
    for (key, name, needs) in [
        ("tim-1", "duration", "durationUnit"),
        ("tim-2", "period", "periodUnit"),
        ("tim-6", "periodMax", "period"),
        ("tim-7", "durationMax", "duration"),
        ("tim-8", "countMax", "count"),
    ] {
        refuse(!has(of, name) || has(of, needs), key, &format!("{name} needs {needs}"));
    }
    refuse(!negative("duration"), "tim-4", "the duration must not be negative");
    refuse(!negative("period"), "tim-5", "the period must not be negative");
    let meal = |when: &Value| matches!(when.as_str(), Some("C" | "CM" | "CD" | "CV"));
    let when = list(of, "when");
    let offset = !has(of, "offset") || !when.is_empty() && !when.iter().any(meal);
    refuse(offset, "tim-9", "an offset needs a when, and none of C, CM, CD, CV");
    refuse(when.is_empty() || !has(of, "timeOfDay"), "tim-10", "has timeOfDay or when");
}
