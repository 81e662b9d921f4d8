//! How runs cut the rows of recurrences and their hoisted products so that the working set stays in cache.
//!
//! Rows are independent, so the cut does not change results.

use retrograd_tape::Domain;

use crate::plan::{BufferId, Innermost, Item, Plan, Stmt, WeightId};
use crate::target::Target;

/// Maximal number of rows of a recurrence that one thread does at a time, so that a slice's working set stays in cache.
const SLICE: usize = 32;

/// The same where the weights of a step do not stay in cache: a pass over them then serves twice as many rows. Still
/// more rows gain nothing (docs/PERFORMANCE.md).
const FAR_SLICE: usize = 64;

/// Rows of a hoisted product computed at a time: enough for the kernel's full speed, few enough to stay in L2 until the
/// steps read them (measured in the hand-written LSTM, Zen 4).
const BLOCK_ROWS: usize = 48;

/// The same where the product's weights do not stay in L2 from one block to the next, so that results, which are written
/// and read once, cost less on their way than another pass over the weights (docs/PERFORMANCE.md).
const FAR_BLOCK_ROWS: usize = 256;

/// How many rows are done at a time, for execution and the cost model alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slices {
    /// Maximal number of rows of a recurrence done at a time.
    pub slice: usize,
    /// The same where the weights that each slice reads in a step are too large to stay in cache, so that more rows
    /// should share a pass over them.
    pub far_slice: usize,
    /// Maximal bytes of weights that count as cached.
    pub cached: usize,
    /// Maximal bytes of arrays that the rows done at a time touch in a step, where fewer rows do not cost more than they
    /// save: what a step leaves in L2, the next one finds there. Also the most bytes of a hoisted product's weights that
    /// stay there from one block of its rows to the next.
    pub resident: usize,
    /// Maximal number of rows of a hoisted product in a time tile computed at a time.
    pub block: usize,
    /// The same where the weights of such products take more than `resident` bytes.
    pub far_block: usize,
    /// If the time tile's recurrence has time innermost, this many bytes of results are computed at a time, if that is
    /// more rows.
    pub inside_bytes: usize,
}

impl Slices {
    /// The sizes for a target.
    pub fn of(target: Target) -> Slices {
        let caches = target.caches();
        Slices {
            slice: SLICE,
            far_slice: FAR_SLICE,
            // Step-by-step slices may use this many bytes of weights in the last-level cache. Measured with 32 MiB of
            // it: at 16 MiB and more, slices of 64 rows are faster, at 13 neither, at 8 those of 32.
            cached: caches.l3 / 8 * 3,
            resident: caches.l2 / 2,
            block: BLOCK_ROWS,
            far_block: FAR_BLOCK_ROWS,
            // A recurrence with time innermost may use this many bytes of a product's results in L2.
            inside_bytes: caches.l2 / 8,
        }
    }

    /// How many of `rows` rows the items of a time tile, or a recurrence alone, do at a time, for numbers of `bytes`
    /// bytes: slices are of equal size, except the last, and their number is the same for each thread. Runs call this,
    /// so it allocates nothing.
    pub fn rows(&self, work: SliceWork, bytes: usize, rows: usize, threads: usize) -> usize {
        let slices = rows.div_ceil(self.most(work, bytes, rows));
        rows.div_ceil(slices.next_multiple_of(threads.max(1)))
            .max(1)
    }

    /// The maximal number of rows that they do at a time.
    fn most(&self, work: SliceWork, bytes: usize, rows: usize) -> usize {
        let (weights, row) = (work.weights * bytes, work.row * bytes);
        let most = match weights > self.cached {
            true => self.far_slice,
            false => self.slice,
        };
        let most = most.min(rows).max(1);
        let resident = (self.resident / row.max(1)).clamp(1, most);
        // Each slice reads the weights again, and its products have fewer rows.
        let read = weights.saturating_mul(most.div_ceil(resident));
        match read.saturating_mul(4) <= row.saturating_mul(most) {
            true => resident,
            false => most,
        }
    }

    /// Maximal number of steps of `rows` rows that the items of a time tile do at a time.
    pub fn steps(
        &self,
        plan: &Plan,
        items: &[Item],
        work: SliceWork,
        rows: usize,
        bytes: usize,
    ) -> usize {
        let inside = |i: &Item| matches!(i, Item::Loop(l) if l.inner != Innermost::Lanes);
        let hoisted = || {
            items.iter().filter_map(|i| match i {
                Item::Product { product, .. } => Some(&plan.weights[product.weight]),
                _ => None,
            })
        };
        let weights: usize = hoisted()
            .map(|w| w.rows * w.cols * if w.bf16 { 2 } else { bytes })
            .sum();
        let results: usize = hoisted().map(|w| w.outer() * bytes).sum();
        let block = match weights > self.resident {
            true => self.far_block,
            false => self.block,
        };
        let block = match items.last().is_some_and(inside) {
            true => block.max(self.inside_bytes / results.max(1)),
            false => block,
        };
        (block / self.rows(work, bytes, rows, 1)).max(1)
    }
}

/// What the rows of a recurrence, or of a time tile, read and write in a step, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SliceWork {
    /// The weights of their products: all rows that are done at a time share them.
    pub weights: usize,
    /// The arrays of one row that their loops touch.
    pub row: usize,
}

impl SliceWork {
    /// That of a recurrence alone, or of the items of a time tile.
    pub fn of(plan: &Plan, items: &[Item]) -> SliceWork {
        let read = SliceWork::weights_of(items);
        let weights = read.iter().map(|&w| &plan.weights[w]);
        let loops = items.iter().filter_map(|item| match item {
            Item::Loop(l) => Some(l),
            _ => None,
        });
        let views = loops.flat_map(|l| &l.body).flat_map(|s| {
            let stores = s.stores();
            s.loads().into_iter().chain(stores)
        });
        // At each step that a loop looks at.
        let mut touched: Vec<(BufferId, i64, bool)> = views
            .filter(|v| plan.buffers[v.buffer].domain != Domain::Once)
            .map(|v| (v.buffer, v.shift, v.from_end))
            .collect();
        touched.sort_unstable();
        touched.dedup();
        SliceWork {
            weights: weights.map(|w| w.rows * w.cols).sum(),
            row: touched.iter().map(|x| plan.buffers[x.0].len).sum(),
        }
    }

    /// The weights that a recurrence alone, or the items of a time tile, multiply with.
    pub fn weights_of(items: &[Item]) -> Vec<WeightId> {
        let mut read: Vec<WeightId> = items.iter().flat_map(weights).collect();
        read.sort_unstable();
        read.dedup();
        read
    }
}

/// The weights that an item multiplies with, without those of time tiles and sweeps.
fn weights(item: &Item) -> impl Iterator<Item = WeightId> + '_ {
    let (alone, body) = match item {
        Item::Product { product, .. } => (Some(product.weight), [].as_slice()),
        Item::Loop(l) => (None, l.body.as_slice()),
        _ => (None, [].as_slice()),
    };
    let inside = body.iter().filter_map(|s| match s {
        Stmt::Product(p) => Some(p.weight),
        _ => None,
    });
    alone.into_iter().chain(inside)
}
