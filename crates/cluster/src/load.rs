//! How busy a node is.

use serde::{Deserialize, Serialize};

/// From this use on a node counts as full, and a media node refuses new calls: the rest is kept for the people of
/// a node that dies, and for those who are still missing in a call.
pub const FULL_PERMILLE: u16 = 700;

/// What a node says of its load.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// People or requests being served.
    pub sessions: u32,
    /// How many it may serve; 0 = none at all.
    pub capacity: u32,
    /// Processor use, 1000 = all cores busy.
    pub cpu_permille: u16,
}

impl Load {
    /// The busier of sessions and processor, 0 to 1000.
    pub fn used_permille(self) -> u16 {
        let sessions = match u64::from(self.sessions) * 1000 {
            _ if self.capacity == 0 => 1000,
            thousandfold => thousandfold / u64::from(self.capacity),
        };
        u16::try_from(sessions).unwrap_or(u16::MAX).max(self.cpu_permille).min(1000)
    }

    /// Whether others should be tried first, and new calls go elsewhere.
    pub fn is_full(self) -> bool {
        self.used_permille() >= FULL_PERMILLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busier_of_both_counts() {
        let load = |sessions, capacity, cpu_permille| Load { sessions, capacity, cpu_permille };
        assert_eq!(load(10, 100, 50).used_permille(), 100);
        assert_eq!(load(10, 100, 500).used_permille(), 500);
        assert_eq!(load(0, 0, 0).used_permille(), 1000, "no capacity is no room");
        assert_eq!(load(u32::MAX, 1, 0).used_permille(), 1000);
        assert!(load(70, 100, 0).is_full());
        assert!(!load(69, 100, 0).is_full());
    }
}
