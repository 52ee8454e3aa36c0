//! What one clinic's sender knows, without a clock or the network: which claim it asks for, what it still has to send, what it
//! has to tell.
//!
//! The functions hand a message out once, in a commit that is acknowledged before the answer comes. So there are two things
//! to take care of here: nothing is sent when the claim may be over, and what became of a message is told until somebody has
//! heard it.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Messages of one claim: more would be in doubt when this host dies.
pub(crate) const BATCH: u32 = 16;

/// What the functions are asked.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Question {
    pub(crate) claim: String,
    pub(crate) most: u32,
    pub(crate) claim_seconds: u64,
    pub(crate) channels: Vec<&'static str>,
    pub(crate) outcomes: Vec<Told>,
}

/// What became of a message.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Told {
    pub(crate) claim: String,
    pub(crate) id: String,
    pub(crate) outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// As the functions know it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// A server has taken it.
    Sent,
    /// Nobody has taken it, and it may be tried again.
    Retry,
    /// The message was refused for good.
    Failed,
    /// The address was refused for good.
    Bounced,
    /// Whether a server has taken it cannot be known.
    Unknown,
    /// It was not tried.
    Untouched,
}

/// What they answer. A field that a newer release adds is left aside.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) messages: Vec<Message>,
}

/// A message to be sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) channel: String,
    pub(crate) to: String,
    pub(crate) from_name: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) opt_out: Option<String>,
}

/// One clinic's.
#[derive(Debug)]
pub(crate) struct Desk {
    /// How long a claim holds.
    holds: Duration,
    claim: Option<Claim>,
    messages: VecDeque<Message>,
    told: Vec<Told>,
}

#[derive(Debug)]
struct Claim {
    id: String,
    /// Before the first question with this id went out: it cannot have been granted earlier.
    asked: Duration,
    is_granted: bool,
}

impl Desk {
    /// An empty one, whose claims hold for so long.
    pub(crate) fn new(holds: Duration) -> Self {
        Self { holds, claim: None, messages: VecDeque::new(), told: Vec::new() }
    }

    /// No message is begun so long after a claim was asked for: the rest is for the one that was begun last.
    fn begins_within(&self) -> Duration {
        self.holds * 2 / 3
    }

    /// Whether there is something to tell, or to ask again.
    pub(crate) fn is_pending(&self) -> bool {
        self.claim.is_some() || !self.told.is_empty()
    }

    /// Asks for messages, and tells what became of earlier ones. `now` is of a clock that never goes back.
    pub(crate) fn question(
        &mut self,
        now: Duration,
        channels: &[&'static str],
        draw: impl FnOnce() -> String,
    ) -> Question {
        self.let_go();
        // An answer that was lost is asked for again; what it would hand out is of no use after a while.
        let is_old = |claim: &Claim| now.saturating_sub(claim.asked) > self.holds / 3;
        let claim = match self.claim.take().filter(|claim| !is_old(claim)) {
            Some(claim) => claim,
            None => Claim { id: draw(), asked: now, is_granted: false },
        };
        let id = claim.id.clone();
        self.claim = Some(claim);
        Question { channels: channels.to_vec(), ..self.asks(id, BATCH) }
    }

    fn asks(&self, claim: String, most: u32) -> Question {
        let (claim_seconds, outcomes) = (self.holds.as_secs(), self.told.clone());
        Question { claim, most, claim_seconds, channels: Vec::new(), outcomes }
    }

    /// Only what there is to tell: this host stops, or has nothing to send by.
    pub(crate) fn last_words(&mut self, draw: impl FnOnce() -> String) -> Option<Question> {
        self.let_go();
        (!self.told.is_empty()).then(|| self.asks(draw(), 0))
    }

    /// The answer to the last question.
    pub(crate) fn answered(&mut self, answer: Answer) {
        self.told.clear();
        self.messages = answer.messages.into();
        if self.messages.is_empty() {
            self.claim = None;
        }
        if let Some(claim) = &mut self.claim {
            claim.is_granted = true;
        }
    }

    /// The next message, while its claim holds for sure.
    pub(crate) fn next(&mut self, now: Duration) -> Option<Message> {
        let claim = self.claim.as_ref().filter(|claim| claim.is_granted)?;
        if now >= claim.asked + self.begins_within() {
            self.let_go();
            return None;
        }
        let next = self.messages.pop_front();
        if next.is_none() {
            self.claim = None;
        }
        next
    }

    /// What became of a message that [`next`](Self::next) gave.
    pub(crate) fn became(&mut self, id: String, outcome: Outcome, reason: Option<String>) {
        let claim = self.claim.as_ref().map(|claim| claim.id.clone()).unwrap_or_default();
        self.told.push(Told { claim, id, outcome, reason });
    }

    /// What was handed out and not begun goes back.
    fn let_go(&mut self) {
        let Some(claim) = self.claim.take_if(|claim| claim.is_granted) else { return };
        let back = self.messages.drain(..).map(|message| Told {
            claim: claim.id.clone(),
            id: message.id,
            outcome: Outcome::Untouched,
            reason: None,
        });
        self.told.extend(back);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str) -> Message {
        Message {
            id: id.to_owned(),
            channel: "email".to_owned(),
            to: "a@example.org".to_owned(),
            from_name: String::new(),
            subject: String::new(),
            text: String::new(),
            opt_out: None,
        }
    }

    fn granted(desk: &mut Desk, at: u64, ids: &[&str]) {
        let id = format!("claim-{at}");
        desk.question(Duration::from_secs(at), &["email"], || id);
        let messages = ids.iter().map(|id| message(id)).collect();
        desk.answered(Answer { messages });
    }

    #[test]
    fn a_lost_answer_is_asked_for_again_and_counts_from_the_first_question() {
        let mut desk = Desk::new(Duration::from_secs(60));
        let first = desk.question(Duration::from_secs(1), &["email"], || "a".to_owned());
        let again = desk.question(Duration::from_secs(10), &["email"], || "b".to_owned());
        assert_eq!((first.claim.as_str(), again.claim.as_str()), ("a", "a"));
        desk.answered(Answer { messages: vec![message("m"), message("n")] });
        assert_eq!(desk.next(Duration::from_secs(40)).unwrap().id, "m");
        desk.became("m".to_owned(), Outcome::Sent, None);
        assert!(desk.next(Duration::from_secs(41)).is_none(), "the claim may be over");
        let next = desk.question(Duration::from_secs(42), &["email"], || "c".to_owned());
        let told: Vec<_> = next.outcomes.iter().map(|told| (told.id.as_str(), told.outcome)).collect();
        assert_eq!(told, [("m", Outcome::Sent), ("n", Outcome::Untouched)]);
        assert!(next.outcomes.iter().all(|told| told.claim == "a") && next.claim == "c");
    }

    #[test]
    fn what_became_of_messages_is_told_until_it_was_heard() {
        let mut desk = Desk::new(Duration::from_secs(60));
        granted(&mut desk, 1, &["m"]);
        desk.next(Duration::from_secs(2));
        desk.became("m".to_owned(), Outcome::Unknown, Some("smtp-closed".to_owned()));
        assert!(desk.next(Duration::from_secs(2)).is_none() && desk.is_pending());
        for at in [3, 60] {
            let question = desk.question(Duration::from_secs(at), &["email"], || at.to_string());
            assert_eq!((question.outcomes.len(), question.claim), (1, at.to_string()));
        }
        desk.answered(Answer { messages: Vec::new() });
        assert!(!desk.is_pending() && desk.last_words(String::new).is_none());
    }
}
