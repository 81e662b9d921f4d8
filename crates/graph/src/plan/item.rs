//! Items: loops, and products and sums over whole domains, in the order in which they run.

use cranelift_entity::entity_impl;
use retrograd_tape::Domain;
use smallvec::{SmallVec, smallvec};

/// The number of a loop among a plan's, and of its function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LoopId(u32);
entity_impl!(LoopId, "loop");

use super::{BlockAt, Product, Stmt, View, WeightId};

/// How a loop goes over its points.
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

/// A load in a recurrence whose numbers the step before computed: it need not read them from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The instruction that loads.
    pub load: usize,
    /// The instruction whose value, one step before, it is.
    pub from: usize,
}

/// What is innermost where a recurrence goes over steps, rows and lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Innermost {
    /// Lanes: every statement is done in all rows of a step, then the next one.
    Lanes,
    /// Time: for each row, a few lanes at a time go through all steps of a run, the states in registers. The body is one
    /// region without folds whose stored arrays are read at the same lanes only. What it stores to arrays without steps it
    /// stores after a run's last step.
    Time(Vec<Carried>),
}

/// A loop over a domain.
#[derive(Clone, Debug)]
pub struct Loop {
    /// Its place among the plan's loops, which is the number of its function.
    pub number: LoopId,
    /// The points.
    pub domain: Domain,
    /// Their order.
    pub kind: LoopKind,
    /// What is innermost.
    pub inner: Innermost,
    /// Steps that an iteration of the loop over time does, what remains being done one by one; 1 for loops that are no
    /// recurrences.
    pub unroll: usize,
    /// What is done at each, in order.
    pub body: Vec<Stmt>,
}

/// A right-hand side of a weight gradient.
#[derive(Clone, Debug)]
pub struct Rhs {
    /// The vectors.
    pub x: View,
    /// Their length.
    pub len: usize,
    /// Where the parts of Σ δ xᵀ go.
    pub to: Vec<BlockAt>,
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub enum Item {
    /// A weight is brought into the order that products read it in; needed before products of more than one row.
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
    /// Products over steps, loops over what they make, and the recurrence that reads it, which go through time together in
    /// blocks of steps, from the last to the first if `reverse`.
    TimeTile {
        /// Backward in time.
        reverse: bool,
        /// Products and parallel loops over steps, then one recurrence.
        items: Vec<Item>,
    },
    /// Work over steps that goes through time together, a long block of steps at a time ([`Layout`](super::Layout) says how long), from
    /// the last to the first if `reverse`.
    Sweep {
        /// Backward in time.
        reverse: bool,
        /// What is done for each block, in order.
        items: Vec<Item>,
    },
    /// Weight gradients: Σ δ xᵀ over all points of a domain, for every right-hand side that shares δ, and Σ δ.
    Outer {
        /// What is summed over.
        domain: Domain,
        /// The left vectors.
        delta: View,
        /// Their length.
        len: usize,
        /// The right-hand sides.
        rhs: Vec<Rhs>,
        /// Where the parts of Σ δ go; none if it is not wanted.
        bias: Vec<BlockAt>,
    },
    /// Σ x over what `to` lacks of `domain`.
    SumTo {
        /// What is summed over.
        domain: Domain,
        /// What remains.
        to: Domain,
        /// The values.
        x: View,
        /// Numbers a point.
        len: usize,
        /// Where the parts go; one row each.
        parts: Vec<BlockAt>,
    },
    /// Σ a bᵀ over what `to`, which is not `once`, lacks of `domain`.
    OuterTo {
        /// What is summed over.
        domain: Domain,
        /// What remains.
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
        /// What is summed over.
        domain: Domain,
        /// What remains.
        to: Domain,
        /// Rows of the result.
        rows: usize,
        /// Numbers a row.
        cols: usize,
        /// Which row.
        index: View,
        /// What is added to it.
        v: View,
        /// The result.
        y: View,
    },
}

impl Item {
    /// The items of a time tile or a sweep; none of another.
    pub fn inner(&self) -> &[Item] {
        match self {
            Item::TimeTile { items, .. } | Item::Sweep { items, .. } => items,
            _ => &[],
        }
    }

    /// The same, to change.
    pub(crate) fn inner_mut(&mut self) -> &mut [Item] {
        match self {
            Item::TimeTile { items, .. } | Item::Sweep { items, .. } => items,
            _ => &mut [],
        }
    }
}

/// The items, each followed by those inside it.
pub fn walk(items: &[Item]) -> impl Iterator<Item = &Item> {
    // Inline: a sweep has time tiles, which have no more such; and runs, which walk over plans too, allocate nothing.
    let mut levels: SmallVec<[std::slice::Iter<'_, Item>; 4]> = smallvec![items.iter()];
    std::iter::from_fn(move || {
        loop {
            match levels.last_mut()?.next() {
                Some(item) => {
                    levels.push(item.inner().iter());
                    return Some(item);
                }
                None => levels.pop(),
            };
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
