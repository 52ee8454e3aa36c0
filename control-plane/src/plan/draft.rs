//! A plan that is being made: what would be there once its steps were taken.

use std::borrow::Cow;
use std::time::Duration;

use super::step::{Action, Step};
use super::{Author, Operations, Sight};

pub(super) struct Draft<'a> {
    operations: Cow<'a, Operations>,
    sight: &'a Sight<'a>,
    steps: Vec<Step>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(operations: &'a Operations, sight: &'a Sight<'a>) -> Self {
        Self { operations: Cow::Borrowed(operations), sight, steps: Vec::new() }
    }

    /// After the steps so far.
    pub(super) fn now(&self) -> &Operations {
        &self.operations
    }

    /// One step more. One that could not be applied is not planned, and none after it.
    pub(super) fn add(&mut self, action: Action, after: Duration) {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        let Some(step) = self.operations.step(action, after_ms) else { return };
        let role_of = |node: &_| self.sight.place(node).map(|place| place.role);
        if let Ok(next) = self.operations.apply(&step, Author::Operator, 0, role_of) {
            self.operations = Cow::Owned(next);
            self.steps.push(step);
        }
    }

    pub(super) fn steps(self) -> Vec<Step> {
        self.steps
    }
}
