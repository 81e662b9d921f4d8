//! Items: loops, and products and sums over whole domains, in the order in which they run.

use cranelift_entity::entity_impl;
use retrograd_tape::Domain;

/// The number of a loop, and of its function, among a plan's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LoopId(u32);
entity_impl!(LoopId, "loop");

use super::{BlockAt, BufferId, Product, Stmt, View, WeightId};

/// The order in which a loop visits its points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopKind {
    /// In any order.
    Parallel,
    /// Step after step, from the last to the first if `reverse`.
    Recurrence {
        /// Backward in time.
        reverse: bool,
    },
}

/// A load in a recurrence whose value the previous step computed, so that it need not be read from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The instruction that loads.
    pub load: usize,
    /// The instruction whose value in the previous step it is.
    pub from: usize,
}

/// The innermost dimension of a recurrence over steps, rows and lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Innermost {
    /// Lanes: each statement is done for all rows of a step before the next one.
    Lanes,
    /// Time: for each row, a few lanes at a time run through all steps of a run, with the states in registers. The body
    /// is one region without folds that reads the arrays it stores at the same lanes only. Arrays without steps are
    /// stored after the run's last step.
    Time(Vec<Carried>),
}

/// A loop over a domain.
#[derive(Clone, Debug)]
pub struct Loop {
    /// Its position among the plan's loops, which is the number of its function.
    pub number: LoopId,
    /// The points.
    pub domain: Domain,
    /// Their order.
    pub kind: LoopKind,
    /// What is innermost.
    pub inner: Innermost,
    /// Steps per iteration of the loop over time, the remainder being done one by one; 1 for loops that are no
    /// recurrences.
    pub unroll: usize,
    /// Arrays, in order, whose values serve no other loop and no other point, as the body stores them before it loads them:
    /// what does all of the body for one row before the next may use one place for all rows.
    pub scratch: Vec<BufferId>,
    /// The work at each point, in order.
    pub body: Vec<Stmt>,
}

/// A right-hand side of a weight gradient.
#[derive(Clone, Debug)]
pub struct Rhs {
    /// The vectors.
    pub x: View,
    /// Their length.
    pub len: usize,
    /// The destinations of the blocks of Σ δ xᵀ.
    pub to: Vec<BlockAt>,
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub enum Item {
    /// Packs a weight into the layout that products read; needed before products of more than one row. Execution may leave it to
    /// the product, if only one reads it.
    Pack(WeightId),
    /// A loop.
    Loop(Loop),
    /// A product over all points of a domain at once.
    Product {
        /// The points.
        domain: Domain,
        /// The product.
        product: Product,
    },
    /// Products over steps, loops over their results, and the recurrence that reads these, which run over time together
    /// in blocks of steps, from the last to the first if `reverse`.
    TimeTile {
        /// Backward in time.
        reverse: bool,
        /// Products and parallel loops over steps, then one recurrence.
        items: Vec<Item>,
    },
    /// Work over steps that runs over time together, one long block of steps at a time ([`Layout`](super::Layout) says
    /// how long), from the last to the first if `reverse`.
    Sweep {
        /// Backward in time.
        reverse: bool,
        /// The work for each block, in order.
        items: Vec<Item>,
    },
    /// Weight gradients: Σ δ xᵀ over all points of a domain, for every right-hand side that shares δ, and Σ δ.
    Outer {
        /// The domain that is summed over.
        domain: Domain,
        /// The left vectors.
        delta: View,
        /// Their length.
        len: usize,
        /// The vectors are rounded to bfloat16, but not for Σ δ.
        bf16: bool,
        /// The right-hand sides.
        rhs: Vec<Rhs>,
        /// The destinations of the blocks of Σ δ; empty if it is not needed.
        bias: Vec<BlockAt>,
    },
    /// Σ x over the dimensions of `domain` that `to` lacks.
    SumTo {
        /// The domain that is summed over.
        domain: Domain,
        /// The domain of the result.
        to: Domain,
        /// The values.
        x: View,
        /// Numbers per point.
        len: usize,
        /// The destinations of the blocks, one row each.
        parts: Vec<BlockAt>,
    },
    /// Σ a bᵀ over the dimensions of `domain` that `to`, which is not `once`, lacks.
    OuterTo {
        /// The domain that is summed over.
        domain: Domain,
        /// The domain of the result.
        to: Domain,
        /// Left vectors and their length.
        a: (View, usize),
        /// Right vectors and their length.
        b: (View, usize),
        /// The result.
        y: View,
    },
    /// Rows added up by index: `y[index] += v`.
    Scatter {
        /// The domain that is summed over.
        domain: Domain,
        /// The domain of the result.
        to: Domain,
        /// Rows of the result.
        rows: usize,
        /// Numbers per row.
        cols: usize,
        /// The index of the row.
        index: View,
        /// The row that is added.
        v: View,
        /// The result.
        y: View,
    },
}

impl Item {
    /// The items of a time tile or a sweep; empty for other items.
    pub fn inner(&self) -> &[Item] {
        match self {
            Item::TimeTile { items, .. } | Item::Sweep { items, .. } => items,
            _ => &[],
        }
    }

    /// The same items, mutable.
    pub(crate) fn inner_mut(&mut self) -> &mut [Item] {
        match self {
            Item::TimeTile { items, .. } | Item::Sweep { items, .. } => items,
            _ => &mut [],
        }
    }
}

/// The items in order, each followed by the items inside it.
pub fn walk(items: &[Item]) -> impl Iterator<Item = &Item> {
    // Runs walk over plans too, so nothing is allocated: a sweep contains time tiles, and these no further tiles.
    let mut levels = [items.iter(), [].iter(), [].iter(), [].iter()];
    let mut depth = 0;
    std::iter::from_fn(move || {
        loop {
            match levels[depth].next() {
                Some(item) => {
                    if !item.inner().is_empty() {
                        depth += 1;
                        levels[depth] = item.inner().iter();
                    }
                    return Some(item);
                }
                None if depth == 0 => return None,
                None => depth -= 1,
            }
        }
    })
}

/// Calls `f` with every loop among the items and inside them, in order.
pub(crate) fn each_loop(items: &mut [Item], f: &mut dyn FnMut(&mut Loop)) {
    for item in items {
        match item {
            Item::Loop(l) => f(l),
            other => each_loop(other.inner_mut(), f),
        }
    }
}
