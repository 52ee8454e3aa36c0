//! Values over ranges of addresses, the whole of a family: which value holds for an address, and in how wide a
//! prefix around it nothing else does.

use std::fmt::Debug;

/// An address as a number.
pub(crate) trait Address: Copy + Debug + Ord {
    /// The lowest address.
    const FIRST: Self;
    /// The address above; `None` above the highest.
    fn next(self) -> Option<Self>;
    /// The address below; `None` below the lowest.
    fn previous(self) -> Option<Self>;
    /// The highest address in the prefix of `length` around this one.
    fn last_in_prefix(self, length: u8) -> Self;
    /// Leading bits that both have in common.
    fn common_bits(self, other: Self) -> u8;
}

macro_rules! address {
    ($type:ty) => {
        impl Address for $type {
            const FIRST: Self = 0;
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
            fn last_in_prefix(self, length: u8) -> Self {
                self | <$type>::MAX.checked_shr(u32::from(length)).unwrap_or(0)
            }
            fn common_bits(self, other: Self) -> u8 {
                (self ^ other).leading_zeros() as u8
            }
        }
    };
}

address!(u32);
address!(u128);

/// A prefix with its value. Bits of `first` below `length` are zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Entry<A> {
    pub(crate) first: A,
    pub(crate) length: u8,
    pub(crate) value: u16,
}

/// Consecutive ranges; neighbours have different values.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Table<A> {
    /// Where each range begins; the first is the lowest address.
    starts: Vec<A>,
    values: Vec<u16>,
}

impl<A: Address> Table<A> {
    /// One value everywhere.
    pub(crate) fn uniform(value: u16) -> Self {
        Self { starts: vec![A::FIRST], values: vec![value] }
    }

    /// The longest prefix around an address gives its value, the last one given of two that are the same;
    /// `outside` holds where there is none.
    pub(crate) fn from_prefixes(mut entries: Vec<Entry<A>>, outside: u16) -> Self {
        // Stable: of two that are the same the last one stays last, and wins below.
        entries.sort_by_key(|entry| (entry.first, entry.length));
        let mut table = Self { starts: Vec::new(), values: Vec::new() };
        table.push(A::FIRST, outside);
        let mut around: Vec<(A, u16)> = Vec::new();
        for Entry { first, length, value } in entries {
            table.close(&mut around, outside, |last| last < first);
            table.push(first, value);
            around.push((first.last_in_prefix(length), value));
        }
        table.close(&mut around, outside, |_| true);
        table
    }

    /// Ranges that end come back to what is around them.
    fn close(&mut self, around: &mut Vec<(A, u16)>, outside: u16, ends: impl Fn(A) -> bool) {
        while let Some((last, _)) = around.pop_if(|(last, _)| ends(*last)) {
            if let Some(next) = last.next() {
                self.push(next, around.last().map_or(outside, |(_, value)| *value));
            }
        }
    }

    /// From `start` on there is `value`. Starts do not go down.
    fn push(&mut self, start: A, value: u16) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        if self.values.last() != Some(&value) {
            self.starts.push(start);
            self.values.push(value);
        }
    }

    /// The value at `address`, and the length of the widest prefix around it in which there is no other.
    pub(crate) fn at(&self, address: A) -> (u16, u8) {
        // The first range begins at the lowest address, so there is one.
        let range = self.starts.partition_point(|start| *start <= address).saturating_sub(1);
        let bound = |outside: Option<A>| outside.map_or(0, |outside| address.common_bits(outside) + 1);
        let below = self.starts[range].previous();
        let above = self.starts.get(range + 1).copied();
        (self.values[range], bound(below).max(bound(above)))
    }

    /// Every value replaced.
    pub(crate) fn map(&self, mut to: impl FnMut(u16) -> u16) -> Self {
        let mut table = Self { starts: Vec::new(), values: Vec::new() };
        for (start, value) in self.starts.iter().zip(&self.values) {
            table.push(*start, to(*value));
        }
        table
    }

    /// Both tables, one value made of two.
    pub(crate) fn zip(&self, other: &Self, mut both: impl FnMut(u16, u16) -> u16) -> Self {
        let mut table = Self { starts: Vec::new(), values: Vec::new() };
        let (mut i, mut j) = (0, 0);
        loop {
            let start = self.starts[i].max(other.starts[j]);
            table.push(start, both(self.values[i], other.values[j]));
            match (self.starts.get(i + 1), other.starts.get(j + 1)) {
                (None, None) => return table,
                (Some(_), None) => i += 1,
                (None, Some(_)) => j += 1,
                (Some(a), Some(b)) => {
                    let (a, b) = (*a, *b);
                    i += usize::from(a <= b);
                    j += usize::from(b <= a);
                }
            }
        }
    }

    /// How many ranges there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small enough to look at every address and every prefix.
    impl Address for u8 {
        const FIRST: Self = 0;
        fn next(self) -> Option<Self> {
            self.checked_add(1)
        }
        fn previous(self) -> Option<Self> {
            self.checked_sub(1)
        }
        fn last_in_prefix(self, length: u8) -> Self {
            self | u8::MAX.checked_shr(length.into()).unwrap_or(0)
        }
        fn common_bits(self, other: Self) -> u8 {
            (self ^ other).leading_zeros() as u8
        }
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }
    }

    fn entries(random: &mut Random) -> Vec<Entry<u8>> {
        let count = random.below(20);
        (0..count)
            .map(|_| {
                let length = random.below(9) as u8;
                let any = random.below(256) as u8;
                let first = any & !u8::MAX.checked_shr(length.into()).unwrap_or(0);
                Entry { first, length, value: random.below(4) as u16 }
            })
            .collect()
    }

    fn longest(entries: &[Entry<u8>], address: u8, outside: u16) -> u16 {
        let around =
            |entry: &&Entry<u8>| (entry.first..=entry.first.last_in_prefix(entry.length)).contains(&address);
        // `max_by_key` gives the last of equals.
        entries.iter().filter(around).max_by_key(|entry| entry.length).map_or(outside, |entry| entry.value)
    }

    /// The shortest prefix around `address` in which `value` is everywhere the same.
    fn widest(value: impl Fn(u8) -> u16, address: u8) -> u8 {
        let same = |length: &u8| {
            let last = address.last_in_prefix(*length);
            let first = last & !u8::MAX.checked_shr(u32::from(*length)).unwrap_or(0);
            (first..=last).all(|other| value(other) == value(address))
        };
        (0..=8).find(same).unwrap()
    }

    #[test]
    fn longest_prefix_and_widest_scope_by_looking_at_every_address() {
        let mut random = Random(7);
        for _ in 0..500 {
            let entries = entries(&mut random);
            let table = Table::from_prefixes(entries.clone(), 9);
            for address in 0..=255 {
                let (value, scope) = table.at(address);
                assert_eq!(value, longest(&entries, address, 9), "{address} {entries:?}");
                assert_eq!(
                    scope,
                    widest(|other| longest(&entries, other, 9), address),
                    "{address} {entries:?}"
                );
            }
        }
    }

    #[test]
    fn both_tables_and_a_changed_one_say_what_their_parts_say() {
        let mut random = Random(8);
        for _ in 0..200 {
            let a = Table::from_prefixes(entries(&mut random), 9);
            let b = Table::from_prefixes(entries(&mut random), 9);
            let both = a.zip(&b, |a, b| a * 10 + b);
            let halved = a.map(|value| value / 2);
            for address in 0..=255 {
                let (value, scope) = both.at(address);
                let expected = |other: u8| a.at(other).0 * 10 + b.at(other).0;
                assert_eq!(value, expected(address));
                assert_eq!(scope, widest(expected, address));
                let (value, scope) = halved.at(address);
                assert_eq!(value, a.at(address).0 / 2);
                assert_eq!(scope, widest(|other| a.at(other).0 / 2, address));
            }
        }
    }

    #[test]
    fn real_families() {
        let ten = Entry { first: 10 << 24, length: 8, value: 1 };
        let table = Table::from_prefixes(vec![ten], 0);
        assert_eq!(table.at(0x0a01_0203), (1, 8));
        assert_eq!(table.at(0x0b00_0000), (0, 8));
        assert_eq!(table.at(u32::MAX), (0, 1));
        assert_eq!(Table::<u128>::uniform(3).at(u128::MAX), (3, 0));
        let host = Entry { first: u128::MAX, length: 128, value: 1 };
        assert_eq!(Table::from_prefixes(vec![host], 0).at(u128::MAX), (1, 128));
        assert_eq!(table.len(), 3);
    }
}
