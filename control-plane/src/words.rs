//! What the timeline says, for people.

use locum_cluster::{Subject, Wish};

use crate::health::{Change, Evidence, Opinion, Word};
use crate::plan::{Action, Author, Because};

/// Kind of an action, for a metric.
pub(crate) fn kind(action: &Action) -> &'static str {
    match action {
        Action::Node { change: Change::Lost, .. } => "node-lost",
        Action::Node { change: Change::Left, .. } => "node-left",
        Action::Node { change: Change::Back, .. } => "node-back",
        Action::Node { change: Change::Forgiven, .. } => "node-forgiven",
        Action::Region { down: true, .. } => "region-down",
        Action::Region { down: false, .. } => "region-up",
        Action::Tell { drain: true, .. } => "tell-drain",
        Action::Tell { drain: false, .. } => "tell-take-in",
        Action::MovePrimary { .. } => "move-primary",
        Action::Wish(_) => "wish",
        Action::Led { .. } => "led",
    }
}

/// What an action does.
pub(crate) fn action(action: &Action) -> String {
    match action {
        Action::Node { node, change, .. } => match change {
            Change::Lost => format!("{node} is taken out of the list: it is lost"),
            Change::Left => format!("{node} is taken out of the list: it went"),
            Change::Back => format!("{node} is back"),
            Change::Forgiven => format!("{node} has been there for long: earlier losses are forgotten"),
        },
        Action::Region { region, down: true } => format!("region {region} is down"),
        Action::Region { region, down: false } => format!("region {region} is there again"),
        Action::Tell { node, drain: true } => format!("{node} is told to take nobody new"),
        Action::Tell { node, drain: false } => format!("{node} is told that it may take people"),
        Action::MovePrimary { group, epoch, to, because } => {
            let because = match because {
                Because::Drained => "its place is drained",
                Because::Lost => "nobody outside reaches its host",
                Because::Pinned => "it belongs there",
            };
            format!("group {group}: epoch {epoch} ends and {to} leads next, because {because}")
        }
        Action::Wish(wish) => self::wish(wish),
        Action::Led { group, epoch, by } => format!("group {group}: {by} leads epoch {epoch}"),
    }
}

/// Who did it.
pub(crate) fn author(author: &Author) -> String {
    match author {
        Author::Member(member) => member.to_string(),
        Author::Operator => "operator".to_owned(),
    }
}

/// On what grounds; empty if the action says it all.
pub(crate) fn why(action: &Action) -> String {
    let Action::Node { change: Change::Lost | Change::Left | Change::Back, evidence, .. } = action else {
        return String::new();
    };
    let Evidence { opinions, blind, silent_ms } = evidence;
    let mut said: Vec<String> = opinions.iter().map(opinion).collect();
    said.extend(blind.iter().map(|vantage| format!("{vantage} sees nobody and does not count")));
    said.push(format!("it said nothing for {silent_ms} ms"));
    said.join("; ")
}

fn opinion(opinion: &Opinion) -> String {
    let Opinion { vantage, kind, misses, failing_ms, .. } = opinion;
    match opinion.word {
        Word::Steady | Word::Sees => {
            let latency = opinion.latency_ms.map_or(String::new(), |ms| format!(" in {ms} ms"));
            format!("{vantage} reaches it{latency}")
        }
        Word::Unsure | Word::Misses => {
            let reason = opinion.reason.map_or("", |reason| reason.as_str());
            format!("{vantage}: {misses} misses of {} in {failing_ms} ms, {reason}", kind.as_str())
        }
    }
}

fn wish(wish: &Wish) -> String {
    let named = |subject: &Subject| match subject {
        Subject::Node(node) => node.to_string(),
        Subject::Region(region) => format!("region {region}"),
    };
    match wish {
        Wish::Drain(subject) => format!("{} is to be drained", named(subject)),
        Wish::Undrain(subject) => format!("{} is to be in service again", named(subject)),
        Wish::Pin { group, region } => format!("group {group} is to be led in {region}"),
        Wish::Unpin { group } => format!("group {group} may be led anywhere"),
    }
}
