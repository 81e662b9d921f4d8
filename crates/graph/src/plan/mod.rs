//! The plan: which loop runs what over which arrays. The last stage before code, and the first that deals with memory.
//!
//! A plan is a list of [`Item`]s that run one after another: loops over a domain, recurrences over time, and products
//! and sums over a whole domain. Values that cross between them, and values that a delay reads, have arrays; a delayed
//! read is an offset into the array.

mod access;
mod array;
mod assignment;
mod build;
pub mod cost;
pub mod cycles;
mod fuse;
mod interchange;
mod interpret;
mod item;
mod memory;
mod outline_activations;
mod print;
mod region;
mod rename;
mod reuse;
mod schedule;
mod scratch;
mod slices;
mod spans;
mod stages;
mod stmt;
mod sweep;
mod time_tile;
mod touch;
mod unroll;
mod verify;

use crate::target::Target;

pub use array::{BlockAt, Buffer, BufferId, BufferMap, Storage, View, Weight, WeightId, WeightMap};
pub use interpret::{Blocking, InterpretError};
pub use item::{Carried, Innermost, Item, Loop, LoopId, LoopKind, Rhs, walk};
pub use memory::{Checkpointing, Layout, Lifetime, Memory};
pub use rename::Renamed;
pub use slices::{SliceWork, Slices};
pub use stages::{plan, stream};
pub use stmt::{Fold, Instr, Product, ROW, Region, Stmt, WideActivation};
pub use verify::verify;

/// A plan for one program, for any number of steps and rows.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program's name.
    pub name: String,
    /// The target machine: code generation, execution and cost all use it.
    pub target: Target,
    /// Whether bodies of loops are emitted with the target's widest vectors.
    pub wide_loops: bool,
    /// All arrays.
    pub buffers: BufferMap,
    /// All weights of products.
    pub weights: WeightMap,
    /// The work, in order.
    pub items: Vec<Item>,
    /// The number of items that outputs, loss and final states need, which come first: a run can stop there and wait
    /// for the cotangents that the rest reads. All items, if the program has no cotangents as inputs.
    pub border: usize,
    /// How long its arrays keep their steps.
    pub memory: Memory,
}

impl Plan {
    /// Every view that an item reads or writes, and whether it writes it; those of its parts in order.
    pub fn accesses(&self, item: &Item) -> Vec<(View, bool)> {
        let all = item.accesses(&self.weights).into_iter();
        all.map(|a| (a.view, a.write)).collect()
    }

    /// All loops, in plan order.
    pub fn loops(&self) -> Vec<&Loop> {
        let loops = walk(&self.items).filter_map(|item| match item {
            Item::Loop(l) => Some(l),
            _ => None,
        });
        loops.collect()
    }

    /// The arrays that items before the [border](Plan::border) read or write, in order.
    pub fn used_early(&self) -> Vec<BufferId> {
        let early = self.items[..self.border].iter();
        let touched = early.flat_map(|item| item.touched(&self.weights));
        let mut arrays: Vec<BufferId> = touched.map(|a| a.view.buffer).collect();
        arrays.sort_unstable();
        arrays.dedup();
        arrays
    }
}
