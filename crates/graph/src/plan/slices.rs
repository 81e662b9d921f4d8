//! How runs cut the rows of recurrences and their hoisted products so that the working set stays in cache.
//!
//! Rows are independent, so the cut does not change results.

use crate::plan::{Innermost, Item, Plan, Stmt, WeightId};
use crate::target::Target;

/// Maximal number of rows of a recurrence that one thread does at a time, so that a slice's working set stays in cache.
const SLICE: usize = 32;

/// The same where the weights of a step do not stay in cache: a pass over them then serves twice as many rows. Still
/// more rows gain nothing (docs/PERFORMANCE.md).
const FAR_SLICE: usize = 64;

/// Rows of a hoisted product computed at a time: enough for the kernel's full speed, few enough to stay in L2 until the
/// steps read them (measured in the hand-written LSTM, Zen 4).
const BLOCK_ROWS: usize = 48;

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
    /// Maximal number of rows of a hoisted product in a time tile computed at a time.
    pub block: usize,
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
            block: BLOCK_ROWS,
            // A recurrence with time innermost may use this many bytes of a product's results in L2.
            inside_bytes: caches.l2 / 8,
        }
    }

    /// How many of `rows` rows the items of a time tile, or a recurrence alone, do at a time, for numbers of `bytes`
    /// bytes: slices are of equal size, except the last, and their number is the same for each thread. Runs call this,
    /// so it allocates nothing.
    pub fn rows(
        &self,
        plan: &Plan,
        items: &[Item],
        bytes: usize,
        rows: usize,
        threads: usize,
    ) -> usize {
        let slices = rows.div_ceil(self.most(plan, items, bytes));
        rows.div_ceil(slices.next_multiple_of(threads.max(1)))
            .max(1)
    }

    /// The maximal number of rows that they do at a time.
    fn most(&self, plan: &Plan, items: &[Item], bytes: usize) -> usize {
        let products = || items.iter().flat_map(weights);
        // Each weight counts once, at its first read.
        let read = products().enumerate();
        let read = read.filter(|&(i, w)| !products().take(i).any(|x| x == w));
        let of = read.map(|(_, w)| plan.weights[w].rows * plan.weights[w].cols);
        let numbers: usize = of.sum();
        match numbers * bytes > self.cached {
            true => self.far_slice,
            false => self.slice,
        }
    }

    /// Maximal number of steps of `rows` rows that the items of a time tile do at a time.
    pub fn steps(&self, plan: &Plan, items: &[Item], rows: usize, bytes: usize) -> usize {
        let inside = |i: &Item| matches!(i, Item::Loop(l) if l.inner != Innermost::Lanes);
        let made: usize = items
            .iter()
            .map(|i| match i {
                Item::Product { product, .. } => plan.weights[product.weight].outer() * bytes,
                _ => 0,
            })
            .sum();
        let block = match items.last().is_some_and(inside) {
            true => self.block.max(self.inside_bytes / made.max(1)),
            false => self.block,
        };
        (block / self.rows(plan, items, bytes, rows, 1)).max(1)
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
