//! Sets of ranges of a point's numbers.

use smallvec::SmallVec;

/// Ranges of a point's numbers, in order, none touching the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans(SmallVec<[(usize, usize); 2]>);

impl Spans {
    /// Adds a range.
    pub(crate) fn add(&mut self, from: usize, len: usize) {
        let (mut a, mut b) = (from, from + len);
        let first = self.0.partition_point(|s| s.1 < a);
        let last = self.0.partition_point(|s| s.0 <= b);
        if first < last {
            a = a.min(self.0[first].0);
            b = b.max(self.0[last - 1].1);
            self.0.drain(first + 1..last);
            self.0[first] = (a, b);
        } else {
            self.0.insert(first, (a, b));
        }
    }

    /// True if all of the range is covered.
    pub(crate) fn hold(&self, from: usize, len: usize) -> bool {
        let k = self.0.partition_point(|s| s.1 < from + len);
        self.0.get(k).is_some_and(|s| s.0 <= from)
    }

    /// True if some of the range is covered.
    pub(crate) fn meet(&self, from: usize, len: usize) -> bool {
        let k = self.0.partition_point(|s| s.1 <= from);
        self.0.get(k).is_some_and(|s| s.0 < from + len)
    }

    /// Forgets all ranges.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
