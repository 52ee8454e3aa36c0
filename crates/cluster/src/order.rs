//! What the control plane tells a node to do.

use serde::{Deserialize, Serialize};

/// Whether a node takes people. It keeps the newest order that it obeyed, and refuses older ones: whoever speaks
/// for the control plane with an old word does not undo a newer one.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NodeOrder {
    /// Grows with each order of the network; 0: none was ever given.
    pub generation: u64,
    /// Take nobody new, and send away whom you have.
    pub drain: bool,
}

impl NodeOrder {
    /// Whether this order replaces the one `held`.
    pub fn replaces(self, held: Self) -> bool {
        self.generation > held.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_word_or_the_same_one_again_replaces_nothing() {
        let order = |generation, drain| NodeOrder { generation, drain };
        assert!(order(1, true).replaces(NodeOrder::default()));
        assert!(order(8, false).replaces(order(7, true)));
        assert!(!order(7, false).replaces(order(7, true)), "one generation says one thing");
        assert!(!order(6, false).replaces(order(7, true)));
    }
}
