//! When a whole region counts as down.

use super::Condition;

/// Whether a region with these nodes is of no use to anybody: it has nodes, and none of them is there.
pub(crate) fn is_down(nodes: impl IntoIterator<Item = Condition>) -> bool {
    let mut nodes = nodes.into_iter().peekable();
    nodes.peek().is_some() && nodes.all(|condition| condition != Condition::Up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_down_with_its_last_node() {
        assert!(!is_down([]), "nothing was ever there");
        assert!(!is_down([Condition::Lost, Condition::Up]));
        assert!(is_down([Condition::Lost, Condition::Left]));
    }
}
