//! How long a plan's items will take on one thread: what they ask for ([`retrograd_graph::plan::cost`]) in cycles of
//! kernels and emitted code, and what the machine gives, measured in a moment.
//!
//! The model is linear: time = Σ count · constant. Rates of arithmetic, cache and memory, and how near packed products and
//! weight gradients come to the peak, are the machine's own ([`Machine::measure`]); the constants below are cycles, fitted
//! to the times of all items of 18 cells in 136 shapes on Zen 4 with AVX-512, and on Zen 3 with AVX2 seen to hold for
//! 16 cells in 3 (`grid --items`; docs/PERFORMANCE.md, "Predicted times"). A cycle here is the time in which the machine makes 32 FLOPs of
//! f32 at its peak, which is a cycle where there is one 512-bit multiply-add or two of 256 bits.

use std::time::{Duration, Instant};

use retrograd_graph::plan::cost::{Extent, Leaf, Task, Work, footprint, tasks};
use retrograd_graph::plan::{Item, Layout, Plan};
use retrograd_kernels::{kernels, l2_bytes, peak};
use retrograd_tape::{Map, Recorder, Role, Shape};

use crate::cell::CompiledCell;
use crate::element::Element;
use crate::exec::SLICES;
use crate::lower::vectors_a_turn;
use crate::purpose::Purpose;

/// What a machine can do, on one thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Fused multiply-adds in f32, GFLOP/s, a multiply-add counting two.
    pub peak_gflops: f64,
    /// Reading what does not fit L2, GB/s (10⁹ bytes).
    pub cache_gbs: f64,
    /// Reading what fits no cache, GB/s.
    pub memory_gbs: f64,
    /// Time of packed products against that of their multiply-adds at the peak, what the model adds for small ones not
    /// counted.
    pub product: f64,
    /// The same of weight gradients.
    pub outer: f64,
}

/// FLOPs of f32 in a cycle at the peak.
const FLOPS_A_CYCLE: f64 = 32.0;
/// The share of L2 that what an item goes through may take and stay there, and bytes that stay in the last cache.
const NEAR: f64 = 0.75;
const CACHED: f64 = 24.0 * 1024.0 * 1024.0;
/// Going through arrays that are read and written, against reading alone.
const TRANSFER: f64 = 1.4;

/// Bytes of emitted vectors.
const EMITTED: usize = 16;
/// An emitted sweep over a step's rows.
const SWEEP: f64 = 5.0;
/// A row of one number: latencies, not throughput.
const SINGLE: f64 = 8.4;
/// A vector of a sweep: its turn of the loop.
const TURN: f64 = 1.2;
/// A load, store or simple op on an emitted vector: four a cycle.
const INSTR: f64 = 0.25;
/// A quotient or a root of an emitted vector.
const QUOTIENT: f64 = 4.0;
/// A vector's part in a fold, and a row's fold into one number.
const FOLD: f64 = 1.5;
const FOLDED: f64 = 1.7;
/// An emitted vector of a row's own matrix: multiplied, or written.
const MULTIPLIED: f64 = 2.1;
const WRITTEN: f64 = 2.3;

/// A call of an activation's kernel.
const ACTIVATE: f64 = 8.0;
/// A call of a product's kernel that reads weights as they lie, and 64 bytes of them from L2 or, the second, farther away.
const STREAMED: f64 = 73.0;
const WEIGHTS: f64 = 2.15;
const FAR_WEIGHTS: f64 = 1.0;
/// Weight rows that such a kernel does at once, and what as many cost at least, however short.
const AT_ONCE: f64 = 8.0;
const NARROW: f64 = 35.0;
/// A widest vector of a weight packed, and 64 bytes of a right-hand side of a weight gradient.
const PACK: f64 = 13.0;
const PACK_TERMS: f64 = 4.5;
/// Bytes of operands and results that stay in L1; beyond, a row of a product's tile is read and written from L2.
const NEAREST: f64 = 24.0 * 1024.0;
const FAR_ROW: f64 = 3.7;
/// Writing a row of a tile of a weight gradient.
const TILE_ROW: f64 = 8.9;
/// Terms of a block of a product, and of a weight gradient: their tiles are written once a block.
const INNER: usize = 512;
const TERMS: usize = 256;
/// A sum over steps and rows, 64 bytes of it, and what those add that lie beyond the first 64 numbers of a point.
const SUM: f64 = 1280.0;
const SUMMED: f64 = 3.8;
const SUMMED_WIDE: f64 = 8.7;
const WIDE: usize = 64;

/// Cycles of an op on an emitted vector.
fn emitted(map: Map) -> f64 {
    match map {
        Map::Tanh => 16.5,
        Map::Sigmoid => 12.3,
        Map::Softplus => 23.0,
        Map::Exp => 8.8,
        // Not among the cells that were measured: like the exponential, or twice it; a power is both of its parts.
        Map::Ln => 8.0,
        Map::Sin | Map::Cos => 15.0,
        Map::Pow => 17.0,
        // The unit for quotients and roots is not pipelined. By the tables for 128 bits of f32: one result in 3 to 5 cycles.
        Map::Div | Map::Recip | Map::Sqrt => QUOTIENT,
        Map::Softsign => QUOTIENT + 2.0 * INSTR,
        // No instruction.
        Map::Copy | Map::StopGradient => 0.0,
        // A few that no dependency holds up.
        Map::Sign | Map::Max | Map::Min | Map::Flush => 3.0 * INSTR,
        Map::Neg
        | Map::Abs
        | Map::Relu
        | Map::Add
        | Map::Sub
        | Map::Mul
        | Map::Lt
        | Map::Le
        | Map::Eq
        | Map::Select => INSTR,
    }
}

/// Cycles of an activation's kernel a widest vector. (Plans call kernels for [`retrograd_graph::plan::WIDE`] alone; for all
/// others it is what the emitted code would take.)
fn kernel(map: Map) -> f64 {
    match map {
        // Measured.
        Map::Tanh => 8.0,
        Map::Sigmoid => 12.9,
        // By the number of their instructions.
        Map::Exp => 7.0,
        Map::Softplus => 16.0,
        Map::Neg
        | Map::Recip
        | Map::Ln
        | Map::Sqrt
        | Map::Abs
        | Map::Sign
        | Map::Sin
        | Map::Cos
        | Map::Relu
        | Map::Softsign
        | Map::Copy
        | Map::Flush
        | Map::StopGradient
        | Map::Add
        | Map::Sub
        | Map::Mul
        | Map::Div
        | Map::Pow
        | Map::Max
        | Map::Min
        | Map::Lt
        | Map::Le
        | Map::Eq
        | Map::Select => emitted(map),
    }
}

impl Machine {
    /// Measures for about a third of a second.
    pub fn measure() -> Machine {
        let during = Duration::from_millis(60);
        let machine = Machine {
            peak_gflops: peak::peak_gflops(1, during),
            cache_gbs: peak::read_gbs(1, 8 << 20, during),
            memory_gbs: peak::read_gbs(1, 128 << 20, during),
            product: 1.0,
            outer: 1.0,
        };
        machine.with_kernels(during)
    }

    /// The machine with what its kernels reach: measured on the products of one matrix and its gradient, which stay in L2.
    fn with_kernels(self, during: Duration) -> Machine {
        let (t, b, len, rows) = (16, 32, 64, 128);
        let tape = Recorder::new();
        let x = tape.input("x", Role::Sequence, Shape::Vector(len));
        let w = tape.param("w", Shape::Matrix(rows, len));
        tape.output("y", w.matvec(x));
        let purpose = Purpose::Gradients {
            given: vec!["y".into()],
            loss: false,
            wrt: vec!["w".into()],
        };
        let tape = tape.finish("kernels").expect("it is a program");
        // A machine that nothing can be compiled for has nothing to be predicted.
        let Ok(mut cell) = CompiledCell::<f32>::compile(&tape, &purpose) else {
            return self;
        };
        let lens = [t * b * len, rows * len, t * b * rows];
        let inputs = lens.map(|n| vec![0.5f32; n]);
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let mut outputs = [t * b * rows, rows * len].map(|n| vec![0.0f32; n]);
        let mut least: Vec<Duration> = Vec::new();
        let start = Instant::now();
        while start.elapsed() < during || least.is_empty() {
            let mut outputs = outputs.each_mut().map(Vec::as_mut_slice);
            let times = cell.time_items(t, b, &inputs, &mut outputs);
            let times = times.expect("the arrays fit");
            least = match least.is_empty() {
                true => times,
                false => least
                    .into_iter()
                    .zip(times)
                    .map(|(a, b)| a.min(b))
                    .collect(),
            };
        }
        let layout = Layout {
            block: t,
            replay: false,
        };
        let mut out = self;
        for (leaf, time) in cell.plan().leaves().into_iter().zip(least) {
            let expected = self.seconds::<f32>(cell.plan(), leaf, extent(t, b, layout));
            // What is far beyond these was measured while something else ran.
            let against = (time.as_secs_f64() / expected).clamp(0.9, 2.0);
            match leaf.item {
                Item::Product { .. } => out.product = against,
                Item::Outer { .. } => out.outer = against,
                _ => {}
            }
        }
        out
    }

    /// Seconds that a leaf of a plan for numbers of type `T` takes.
    pub fn seconds<T: Element>(&self, plan: &Plan, leaf: Leaf<'_>, run: Extent) -> f64 {
        let all = tasks(plan, leaf, run);
        let cycles: f64 = (all.iter())
            .map(|x: &Task| x.times as f64 * self.cycles::<T>(&x.work))
            .sum();
        let bytes = (footprint(plan, leaf.item, run) * size_of::<T>()) as f64;
        let stays = near();
        // What a sweep goes through for one step and that does not stay comes from farther away each time.
        let sweeps =
            (all.iter()).filter(|x| matches!(x.work, Work::Sweep { .. } | Work::Matrix { .. }));
        let beyond = |x: &Task| ((x.work.numbers() * size_of::<T>()) as f64 - stays).max(0.0);
        let again: f64 = sweeps.map(|x| x.times as f64 * beyond(x)).sum();
        let near = (bytes.min(CACHED) - stays).max(0.0) / self.cache_gbs;
        let far = (bytes - CACHED).max(0.0) / self.memory_gbs;
        let transfer = match all.is_empty() {
            true => 0.0,
            false => TRANSFER * (near + far).max(again / self.cache_gbs) / 1e9,
        };
        cycles * FLOPS_A_CYCLE / self.peak_gflops / 1e9 + transfer
    }

    /// Seconds that a whole run takes.
    pub fn run_seconds<T: Element>(&self, plan: &Plan, run: Extent) -> f64 {
        let leaves = plan.leaves().into_iter();
        leaves.map(|leaf| self.seconds::<T>(plan, leaf, run)).sum()
    }
}

/// Bytes that stay in L2 of what an item, or a sweep over a step's rows, goes through.
fn near() -> f64 {
    NEAR * l2_bytes() as f64
}

/// A run on one thread, for `t` steps of `b` rows.
pub fn extent(t: usize, b: usize, layout: Layout) -> Extent {
    Extent {
        t,
        b,
        layout,
        slices: SLICES,
    }
}

impl Machine {
    /// Cycles of one piece of work.
    fn cycles<T: Element>(&self, work: &Work) -> f64 {
        let vector = peak::lanes() * 4 / size_of::<T>();
        let tile_rows = kernels::<T>().tile_rows;
        let flops_a_cycle = FLOPS_A_CYCLE * 4.0 / size_of::<T>() as f64;
        let vectors = |n: usize| n.div_ceil(vector) as f64;
        let lines = |n: usize| (n * size_of::<T>()) as f64 / 64.0;
        let small = EMITTED / size_of::<T>();
        match *work {
            Work::Product {
                rows,
                inner,
                outer,
                packed: true,
                ..
            } => {
                // Tiles of a few rows are bound by the panels that they read: a line a cycle from L1, half one from L2.
                let panels = outer.div_ceil(2 * vector) as f64;
                let tiles = rows.div_ceil(tile_rows) as f64;
                let numbers = (2 * vector) as f64;
                let multiplied = 2.0 * numbers * (rows as f64 / tiles) / flops_a_cycle;
                let bytes = |n: usize| (n * size_of::<T>()) as f64;
                let rate = if bytes(inner * outer) <= NEAREST {
                    64.0
                } else {
                    32.0
                };
                let read = numbers * size_of::<T>() as f64 / rate;
                let far = match bytes(rows * (inner + outer)) > NEAREST {
                    true => FAR_ROW * panels * (rows * inner.div_ceil(INNER)) as f64,
                    false => 0.0,
                };
                self.product * (panels * tiles * inner as f64 * multiplied.max(read) + far)
            }
            Work::Product {
                rows,
                inner,
                outer,
                packed: false,
                transposed,
                ..
            } => {
                // By the bytes that come from L2, whatever the vectors.
                let (of, long) = match transposed {
                    true => (inner, outer),
                    false => (outer, inner),
                };
                let far = (inner * outer * size_of::<T>()) as f64 > near();
                let line = WEIGHTS + if far { FAR_WEIGHTS } else { 0.0 };
                let group = (AT_ONCE * lines(long) * line).max(NARROW);
                STREAMED + rows as f64 * of as f64 / AT_ONCE * group
            }
            Work::Outer { terms, len, cols } => {
                let panels = cols.div_ceil(2 * vector);
                let flops = 2.0 * (terms * len * panels * 2 * vector) as f64;
                let blocks = (terms.div_ceil(TERMS) * panels * len) as f64;
                self.outer
                    * (flops / flops_a_cycle + PACK_TERMS * lines(terms * cols) + TILE_ROW * blocks)
            }
            Work::Pack { numbers } => PACK * vectors(numbers),
            Work::Activate { map, rows, len } => {
                ACTIVATE + rows as f64 * vectors(len) * kernel(map)
            }
            Work::Sweep {
                rows,
                lanes,
                loads,
                stores,
                ref ops,
                folds,
            } => {
                // Remainders go one number at a time.
                let turns = (lanes / small + lanes % small) as f64;
                let side = vectors_a_turn(ops.iter().copied(), loads + stores + folds);
                let side = side.min((lanes / small).max(1)) as f64;
                let folds_of = (FOLD / side).max(INSTR) * folds as f64;
                let instrs = INSTR * (loads + stores) as f64 + folds_of;
                let body: f64 = TURN / side + instrs + ops.iter().map(|&m| emitted(m)).sum::<f64>();
                let single = if lanes == 1 { SINGLE } else { 0.0 };
                SWEEP + rows as f64 * (turns * body + FOLDED * folds as f64 + single)
            }
            Work::Matrix {
                rows,
                numbers,
                flops,
            } => {
                let vector = if flops == 2 { MULTIPLIED } else { WRITTEN };
                rows as f64 * vector * numbers as f64 / small as f64
            }
            Work::Sum { points, len } => {
                let wide = points * len.saturating_sub(WIDE);
                SUM + SUMMED * lines(points * len) + SUMMED_WIDE * lines(wide)
            }
        }
    }
}
