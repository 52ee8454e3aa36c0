//! What a drill promises, and whether it was kept.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::measure::Measure;
use super::report::{CAUGHT_UP, Round};

/// What each figure may be at most. Overridden one by one with `--target`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Targets(BTreeMap<String, f64>);

/// `detect=4` on the command line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    name: String,
    limit: f64,
}

/// The names, what each is by default, and what it is of.
const DEFAULTS: [(&str, f64); 10] = [
    ("detect", 4.0),
    ("control", 5.0),
    ("recordsMedian", 8.0),
    ("recordsWorst", 12.0),
    ("edge", 4.0),
    ("heldCall", 4.0),
    ("names", 1.0),
    ("promise", 1_800.0),
    ("lost", 0.0),
    ("falseFailovers", 0.0),
];

/// One line of a report: a figure over all rounds, and what it may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Line {
    /// Key of the figure; that of its target where it has one.
    pub name: String,
    /// In words.
    pub title: String,
    /// `s`, or nothing for a count.
    pub unit: String,
    /// Median over the rounds; `null`: it did not come in at least one half of them.
    pub median: Option<f64>,
    /// Worst of the rounds; `null`: it did not come in one of them.
    pub worst: Option<f64>,
    /// What it may be at most; `null`: it is only told.
    pub limit: Option<f64>,
    /// Whether it kept to that, and came in every round.
    pub passed: bool,
}

impl Default for Targets {
    fn default() -> Self {
        Self(DEFAULTS.iter().map(|&(name, limit)| (name.to_owned(), limit)).collect())
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || DEFAULTS.map(|(name, _)| name).join(", ");
        let (name, limit) = text.split_once('=').ok_or("a target is given as NAME=NUMBER")?;
        if !DEFAULTS.iter().any(|(known, _)| *known == name) {
            return Err(format!("there is no target `{name}`; there are {}", names()));
        }
        let limit: f64 = limit.parse().map_err(|_| format!("`{limit}` is no number"))?;
        if !(0.0..=1e9).contains(&limit) {
            return Err("a target is 0 or more".to_owned());
        }
        Ok(Self { name: name.to_owned(), limit })
    }
}

impl Targets {
    /// The defaults with these in place of theirs.
    pub(super) fn with(given: &[Target]) -> Self {
        let mut targets = Self::default();
        for Target { name, limit } in given {
            targets.0.insert(name.clone(), *limit);
        }
        targets
    }

    /// What `name` may be.
    pub(super) fn of(&self, name: &str) -> f64 {
        // Every name in the code is among the defaults; what is not is never kept.
        self.0.get(name).copied().unwrap_or(-1.0)
    }

    /// The report's lines.
    pub(super) fn judge(&self, rounds: &[Round]) -> Vec<Line> {
        let mut lines = Vec::new();
        if rounds.is_empty() {
            return lines;
        }
        for measure in Measure::ALL {
            let values: Vec<Option<f64>> =
                rounds.iter().filter_map(|round| round.seconds.get(measure.key()).copied()).collect();
            if values.is_empty() {
                continue;
            }
            let (key, title) = (measure.key(), measure.title());
            match measure {
                Measure::Records => {
                    lines.push(self.line("recordsMedian", &format!("{title}, median"), &values, median));
                    lines.push(self.line("recordsWorst", &format!("{title}, worst"), &values, worst));
                }
                Measure::Decide | Measure::NewCall => lines.push(told(key, title, "s", &values)),
                _ => lines.push(self.line(key, title, &values, worst)),
            }
        }
        let promised: Vec<Option<f64>> = rounds.iter().filter_map(Round::all_back).collect();
        if !promised.is_empty() {
            lines.push(self.line("promise", "everything there again for people", &promised, worst));
        }
        let healed: Vec<Option<f64>> =
            rounds.iter().filter_map(|round| round.seconds.get(CAUGHT_UP).copied()).collect();
        if !healed.is_empty() {
            lines.push(told(CAUGHT_UP, "what failed has caught up, after it was healed", "s", &healed));
        }
        let count = |value: u32| Some(f64::from(value));
        let sum = |of: fn(&Round) -> u32| rounds.iter().map(|round| count(of(round))).collect::<Vec<_>>();
        lines.push(self.count(
            "lost",
            "acknowledged changes lost, doubled or seen and gone",
            &sum(Round::wrong),
        ));
        if rounds.iter().any(|round| round.false_failovers.is_some()) {
            let failovers = sum(|round| round.false_failovers.unwrap_or(0));
            lines.push(self.count("falseFailovers", "failovers and verdicts without a fault", &failovers));
        }
        lines
    }

    fn line(
        &self,
        name: &str,
        title: &str,
        values: &[Option<f64>],
        judged: fn(&[Option<f64>]) -> Option<f64>,
    ) -> Line {
        let limit = self.of(name);
        let came = values.iter().all(Option::is_some);
        Line {
            limit: Some(limit),
            passed: came && judged(values).is_some_and(|value| value <= limit),
            ..told(name, title, "s", values)
        }
    }

    fn count(&self, name: &str, title: &str, values: &[Option<f64>]) -> Line {
        Line { unit: String::new(), ..self.line(name, title, values, worst) }
    }
}

/// A figure without a target; it must come all the same.
fn told(name: &str, title: &str, unit: &str, values: &[Option<f64>]) -> Line {
    Line {
        name: name.to_owned(),
        title: title.to_owned(),
        unit: unit.to_owned(),
        median: median(values),
        worst: worst(values),
        limit: None,
        passed: values.iter().all(Option::is_some),
    }
}

/// What did not come is worse than anything.
fn worst(values: &[Option<f64>]) -> Option<f64> {
    values.iter().copied().reduce(|a, b| Some(a?.max(b?))).flatten()
}

/// The middle one, or the mean of the two in the middle.
fn median(values: &[Option<f64>]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().map(|value| value.unwrap_or(f64::INFINITY)).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let lower = if sorted.len() % 2 == 1 { upper } else { sorted[middle - 1] };
    Some(f64::midpoint(lower, upper)).filter(|median| median.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(seconds: &[(&str, Option<f64>)]) -> Round {
        let seconds = seconds.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        Round { seconds, ..Round::default() }
    }

    fn line<'a>(lines: &'a [Line], name: &str) -> &'a Line {
        lines.iter().find(|line| line.name == name).unwrap()
    }

    #[test]
    fn medians_and_the_worst_are_judged_each_by_its_own_target() {
        let rounds =
            [3.0, 13.0, 5.0].map(|records| round(&[("records", Some(records)), ("detect", Some(3.5))]));
        let lines = Targets::default().judge(&rounds);
        let (median, worst) = (line(&lines, "recordsMedian"), line(&lines, "recordsWorst"));
        assert_eq!((median.median, median.limit, median.passed), (Some(5.0), Some(8.0), true));
        assert_eq!((worst.worst, worst.limit, worst.passed), (Some(13.0), Some(12.0), false));
        assert!(
            line(&lines, "detect").passed && line(&lines, "promise").passed && line(&lines, "lost").passed
        );
        assert!(
            !lines.iter().any(|line| line.name == "names" || line.name == "falseFailovers"),
            "not measured"
        );
    }

    #[test]
    fn what_did_not_come_is_never_kept() {
        let rounds = [round(&[("edge", Some(0.1))]), round(&[("edge", None)]), round(&[("edge", Some(0.2))])];
        let lines = Targets::default().judge(&rounds);
        let edge = line(&lines, "edge");
        assert_eq!((edge.median, edge.worst, edge.passed), (Some(0.2), None, false));
        let promise = line(&lines, "promise");
        assert_eq!((promise.worst, promise.passed), (None, false), "not within half an hour");
    }

    #[test]
    fn of_nothing_there_is_nothing_to_say() {
        assert!(Targets::default().judge(&[]).is_empty());
    }

    #[test]
    fn one_lost_change_breaks_the_promise() {
        let mut bad = round(&[("records", Some(1.0))]);
        bad.writes.lost = 1;
        let lines = Targets::default().judge(&[round(&[("records", Some(1.0))]), bad]);
        let lost = line(&lines, "lost");
        assert_eq!((lost.worst, lost.unit.as_str(), lost.passed), (Some(1.0), "", false));
    }

    #[test]
    fn targets_are_set_by_name() {
        let given: Target = "recordsWorst=0".parse().unwrap();
        assert_eq!(Targets::with(&[given]).of("recordsWorst"), 0.0);
        for bad in ["recordsWorst", "nothing=1", "detect=x", "detect=-1", "detect=NaN", "detect=inf"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
        let zero = Targets::with(&["recordsWorst=0".parse().unwrap()]);
        assert!(!line(&zero.judge(&[round(&[("records", Some(0.2))])]), "recordsWorst").passed);
    }

    #[test]
    fn the_middle_of_an_even_number_is_between_two() {
        assert_eq!(median(&[Some(1.0), Some(4.0), Some(2.0), Some(9.0)]), Some(3.0));
        assert_eq!(median(&[Some(1.0), None]), None);
        assert_eq!((median(&[]), worst(&[])), (None, None));
    }
}
