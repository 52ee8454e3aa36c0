//! Figures of a process, as its `/metrics` shows them (Prometheus text format).

use std::collections::BTreeSet;

/// Every sample of one answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(Vec<Sample>);

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Metrics {
    /// Reads an answer. A line that is no sample is none.
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// The figure with these labels; more may be there.
    pub(crate) fn of(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(key, value)| sample.label(key).is_some_and(|has| has == *value))
        };
        self.0.iter().find(has).map(|sample| sample.value)
    }

    /// The different values of a label.
    pub(crate) fn labels(&self, name: &str, label: &str) -> BTreeSet<&str> {
        self.0.iter().filter(|sample| sample.name == name).filter_map(|sample| sample.label(label)).collect()
    }
}

impl Sample {
    fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// `name{key="value",…} number`, or without labels. Our labels hold ids, so no value has an escape in it.
fn sample(line: &str) -> Option<Sample> {
    let (head, value) = line.trim().rsplit_once(' ')?;
    let (name, labels) = match head.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (head, ""),
    };
    let pair = |pair: &str| {
        let (key, value) = pair.split_once("=\"")?;
        Some((key.trim_start_matches(',').to_owned(), value.to_owned()))
    };
    let labels = labels.split_terminator('"').collect::<Vec<_>>();
    let labels = labels.chunks(2).filter_map(|parts| pair(&parts.join("\"")));
    Some(Sample { name: name.to_owned(), labels: labels.collect(), value: value.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_name_and_labels() {
        let text = "# HELP a_total What.\n# TYPE a_total counter\na_total{group=\"main\",outcome=\"ok, done\"} 7\n\
                    a_total{group=\"eu\",outcome=\"late\"} 2\nb 1.5e3\nc{x=\"y\"} NaN\nno sample\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.of("a_total", &[("group", "main")]), Some(7.0));
        assert_eq!(metrics.of("a_total", &[("outcome", "ok, done")]), Some(7.0));
        assert_eq!(metrics.of("a_total", &[("group", "main"), ("outcome", "late")]), None);
        assert_eq!(metrics.labels("a_total", "group").into_iter().collect::<Vec<_>>(), ["eu", "main"]);
        assert_eq!(metrics.of("b", &[]), Some(1500.0));
    }
}
