//! What the timeline says, for people.

use locum_cluster::operate::Ordered;
use locum_cluster::{Subject, Wish};

use crate::health::{Change, Evidence, Opinion, Word};
use crate::plan::{Action, Author, Because, Entry};

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
        Action::Promote { .. } => "promote",
        Action::RemoveMember { .. } => "remove-member",
        Action::Drill { .. } => "drill",
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
        Action::Promote { group, epoch, to, accept_loss } => {
            let loss = if *accept_loss { ", whatever is lost" } else { "" };
            format!("group {group}: epoch {epoch} is to end and {to} to lead next{loss}")
        }
        Action::RemoveMember { node } => format!("{node} leaves the control plane"),
        Action::Drill { fault } => format!("a drill begins: {fault}"),
        Action::Led { group, epoch, by } => format!("group {group}: {by} leads epoch {epoch}"),
    }
}

/// Who did it.
pub(crate) fn author(author: &Author) -> String {
    match author {
        Author::Member(member) => member.to_string(),
        Author::Operator => "operator".to_owned(),
        Author::Person(name) => name.to_string(),
    }
}

/// What a person ordered, for the audit; `None`: this was nobody's order.
pub(crate) fn ordered(entry: &Entry) -> Option<Ordered> {
    if matches!(entry.by, Author::Member(_)) {
        return None;
    }
    let (what, (kind, subject), to) = match &entry.what {
        Action::Wish(Wish::Drain(subject)) => ("drain", place(subject), None),
        Action::Wish(Wish::Undrain(subject)) => ("undrain", place(subject), None),
        Action::Wish(Wish::Pin { group, region }) => {
            ("pin", ("Group", group.to_string()), Some(region.to_string()))
        }
        Action::Wish(Wish::Unpin { group }) => ("unpin", ("Group", group.to_string()), None),
        Action::Promote { group, to, accept_loss, .. } => {
            let what = if *accept_loss { "promote-accept-loss" } else { "promote" };
            (what, ("Group", group.to_string()), Some(to.to_string()))
        }
        Action::RemoveMember { node } => ("remove-member", ("Node", node.to_string()), None),
        Action::Drill { fault } => ("drill", ("Network", fault.clone()), None),
        _ => return None,
    };
    let (generation, at_ms, by) = (entry.generation, entry.at_ms, author(&entry.by));
    Some(Ordered { generation, at_ms, by, what: what.to_owned(), kind: kind.to_owned(), subject, to })
}

fn place(subject: &Subject) -> (&'static str, String) {
    match subject {
        Subject::Node(node) => ("Node", node.to_string()),
        Subject::Region(region) => ("Region", region.to_string()),
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
