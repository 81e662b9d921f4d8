//! The blocks of steps that sweeps go over, one at a time.
//!
//! A block has about as many points as `Layout::block` steps of all rows: where most rows have ended, it has more steps, so
//! that a block is worth its overhead, and there are no more of them than the points need.

use retrograd_graph::plan::Layout;

use super::points::Points;

/// The blocks of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks<'a> {
    points: Points<'a>,
    steps: usize,
}

impl<'a> Blocks<'a> {
    pub(crate) fn new(points: Points<'a>, layout: Layout) -> Blocks<'a> {
        Blocks {
            points,
            steps: layout.block.max(1),
        }
    }

    /// Their number.
    pub(crate) fn count(self) -> usize {
        let Points { steps, rows, .. } = self.points;
        match self.points.ragged() {
            false => steps.div_ceil(self.steps),
            // The last one begins at or before the last step.
            true => self.points.before(steps - 1) / self.size(rows) + 1,
        }
    }

    /// The steps of block `i`.
    pub(crate) fn span(self, i: usize) -> (usize, usize) {
        (self.border(i), self.border(i + 1))
    }

    /// The greatest number of points that a block has.
    pub(crate) fn most_points(self) -> usize {
        let Points { steps, rows, .. } = self.points;
        if !self.points.ragged() {
            return self.steps.min(steps).saturating_mul(rows);
        }
        let points = |i| {
            let (t0, t1) = self.span(i);
            self.points.before(t1) - self.points.before(t0)
        };
        (0..self.count()).map(points).max().unwrap_or(0)
    }

    /// Rows that may have states at the border before block `i`, where states reach back this many steps.
    pub(crate) fn rows_at(self, i: usize, reach: usize) -> usize {
        let (t0, _) = self.span(i);
        match t0.checked_sub(reach) {
            Some(t) => self.points.live(t),
            // Boundary steps before the first one are all rows'.
            None => self.points.rows,
        }
    }

    /// The first step of block `i`: the first one that has as many points before it as `i` blocks should have.
    fn border(self, i: usize) -> usize {
        let Points { steps, rows, .. } = self.points;
        match self.points.ragged() {
            false => steps.min(i.saturating_mul(self.steps)),
            true => self.points.after(i.saturating_mul(self.size(rows))),
        }
    }

    fn size(self, rows: usize) -> usize {
        self.steps.saturating_mul(rows)
    }
}

#[cfg(test)]
mod tests {
    use retrograd_tape::Lengths;

    use super::*;

    #[test]
    fn blocks_cover_all_steps_and_have_as_many_points_as_they_should() {
        for lengths in [
            vec![9, 9, 9],
            vec![9, 4, 1, 0],
            vec![3, 3, 3, 0],
            vec![4, 4, 4, 4, 0],
            [vec![100], vec![3; 40]].concat(),
            [vec![50; 3], vec![1; 7], vec![0; 5]].concat(),
        ] {
            let lengths = Lengths::new(lengths).expect("the longest comes first");
            for block in [1, 2, 5, 100] {
                let layout = Layout {
                    block,
                    replay: false,
                };
                let blocks = Blocks::new(Points::from(&lengths), layout);
                let mut at = 0;
                for i in 0..blocks.count() {
                    let (t0, t1) = blocks.span(i);
                    assert!(t0 == at && t1 > t0, "{lengths:?}, {block}: {t0}..{t1}");
                    let points = lengths.offset(t1) - lengths.offset(t0);
                    assert!(points <= blocks.most_points());
                    assert!(points < (block + 1) * lengths.rows());
                    at = t1;
                }
                assert_eq!(at, lengths.steps());
                let fewest = lengths.points().div_ceil(block * lengths.rows());
                assert!(blocks.count() <= fewest.max(lengths.steps().div_ceil(block)));
            }
        }
    }
}
