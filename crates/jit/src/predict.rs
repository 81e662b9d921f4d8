//! Predicts how long a plan's items will take on one thread: their work ([`retrograd_graph::plan::cost`]), its cost in
//! cycles of kernels and emitted code, and the machine's rates, which are measured in a fraction of a second.
//!
//! The model is linear: time = Σ count · constant. The constants are the committed cycles of the plan's target
//! ([`retrograd_graph::plan::cycles`]). Rates of arithmetic, cache and memory, and how close packed products and weight
//! gradients come to the peak, are the machine's own ([`Machine::measure`]); only predictions use them, never
//! compilation.

use std::time::{Duration, Instant};

use retrograd_graph::plan::cost::{CostTask, Leaf, RunShape, Work, footprint, tasks};
use retrograd_graph::plan::cycles::EMITTED_BYTES;
use retrograd_graph::plan::{Item, Layout, Plan};
use retrograd_graph::{Bf16, Options, Target};
use retrograd_kernels::{outer_terms, peak};
use retrograd_tape::{Extent, InputRole, Map, Recorder, Shape};

use crate::cell::CompiledCell;
use crate::element::Element;
use crate::exec::code::isa;
use crate::lower::vectors_per_iteration;
use crate::purpose::Purpose;

/// The performance of a machine, on one thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Fused multiply-adds in f32, GFLOP/s; a multiply-add counts as two.
    pub peak_gflops: f64,
    /// Reading data that does not fit L2, GB/s (10⁹ bytes).
    pub cache_gbs: f64,
    /// Reading data that fits no cache, GB/s.
    pub memory_gbs: f64,
    /// Time of packed products relative to that of their multiply-adds at the peak, without the terms that the model
    /// adds for small ones.
    pub product: f64,
    /// The same for weight gradients.
    pub outer: f64,
}

/// The share of L2, and of the last-level cache, up to which the data of an item stays there.
const NEAR: f64 = 0.75;
/// Cost of reading and writing arrays, relative to reading alone.
const TRANSFER: f64 = 1.4;
/// The share of L1 up to which a product's operands and results stay there; beyond it, a row of its tile is read and
/// written from L2.
const NEAREST: f64 = 0.75;
/// Terms per block of a product: its tiles are written once per block.
const INNER: usize = 512;
/// Numbers of a point that a sum over steps and rows adds at once.
const WIDE: usize = 64;

impl Machine {
    /// Measures the host for its best target, in about a third of a second.
    pub fn measure() -> Machine {
        Machine::measure_for(Target::host())
    }

    /// The same for another target that the host runs: rates of that target's kernels.
    pub fn measure_for(target: Target) -> Machine {
        Machine::measure_with(&Options::default().with(|o| o.target = target))
    }

    /// Measures this machine with the kernels that programs of these options call.
    pub fn measure_with(options: &Options) -> Machine {
        let target = options.target;
        let during = Duration::from_millis(60);
        let machine = Machine {
            peak_gflops: peak::peak_gflops_of(isa(target), 1, during),
            cache_gbs: peak::read_gbs(1, 8 << 20, during),
            memory_gbs: peak::read_gbs(1, 128 << 20, during),
            product: 1.0,
            outer: 1.0,
        };
        machine.with_kernels(options, during)
    }

    /// Adds the rates that kernels reach: measured on the products of one matrix and its gradient, which stay in L2.
    fn with_kernels(self, options: &Options, during: Duration) -> Machine {
        let (t, b, len, rows) = (16, 32, 64, 128);
        let tape = Recorder::new();
        let x = tape.input("x", InputRole::Sequence, Shape::Vector(len));
        let w = tape.param("w", Shape::Matrix(rows, len));
        tape.output("y", w.matvec(x));
        let purpose = Purpose::Gradients {
            given: vec!["y".into()],
            loss: false,
            wrt: vec!["w".into()],
        };
        let tape = tape.finish("kernels").expect("it is a program");
        // If nothing can be compiled for a machine, there is nothing to predict.
        let Ok(cell) = CompiledCell::<f32>::compile_with(&tape, &purpose, options) else {
            return self;
        };
        let lens = [t * b * len, rows * len, t * b * rows];
        let inputs = lens.map(|n| vec![0.5f32; n]);
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let mut outputs = [t * b * rows, rows * len].map(|n| vec![0.0f32; n]);
        let mut executor = cell.executor();
        let mut least: Vec<Duration> = Vec::new();
        let start = Instant::now();
        while start.elapsed() < during || least.is_empty() {
            let mut outputs = outputs.each_mut().map(Vec::as_mut_slice);
            let times = executor.time_items(Extent { steps: t, rows: b }, &inputs, &mut outputs);
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
            let expected = self.seconds::<f32>(
                cell.plan(),
                leaf,
                run_shape(Extent { steps: t, rows: b }, layout),
            );
            // A value far outside this range was disturbed by other load. Cycles are those of single precision.
            let least = match options.bf16 {
                Bf16::Kernels => 0.05,
                Bf16::Off | Bf16::Ops => 0.9,
            };
            let against = (time.as_secs_f64() / expected).clamp(least, 2.0);
            match leaf.item {
                Item::Product { .. } => out.product = against,
                Item::Outer { .. } => out.outer = against,
                _ => {}
            }
        }
        out
    }

    /// Predicted seconds of a leaf of a plan for numbers of type `T`.
    #[inline(never)]
    pub fn seconds<T: Element>(&self, plan: &Plan, leaf: Leaf<'_>, run: RunShape) -> f64 {
        let all = tasks(plan, leaf, run);
        let cycles: f64 = (all.iter())
            .map(|x: &CostTask| x.times as f64 * self.cycles::<T>(plan, &x.work))
            .sum();
        let bytes = (footprint(plan, leaf.item, run) * size_of::<T>()) as f64;
        let stays = near(plan.target);
        let cached = NEAR * plan.target.caches().l3 as f64;
        // Data of a lane loop's step that does not stay in cache comes from farther away each time.
        let lane_loops =
            (all.iter()).filter(|x| matches!(x.work, Work::LaneLoop { .. } | Work::Matrix { .. }));
        let beyond = |x: &CostTask| ((x.work.numbers() * size_of::<T>()) as f64 - stays).max(0.0);
        let again: f64 = lane_loops.map(|x| x.times as f64 * beyond(x)).sum();
        let near = (bytes.min(cached) - stays).max(0.0) / self.cache_gbs;
        let far = (bytes - cached).max(0.0) / self.memory_gbs;
        let transfer = match all.is_empty() {
            true => 0.0,
            false => TRANSFER * (near + far).max(again / self.cache_gbs) / 1e9,
        };
        cycles * plan.target.cycles().flops / self.peak_gflops / 1e9 + transfer
    }

    /// Predicted seconds of a whole run.
    #[inline(never)]
    pub fn run_seconds<T: Element>(&self, plan: &Plan, run: RunShape) -> f64 {
        let leaves = plan.leaves().into_iter();
        leaves.map(|leaf| self.seconds::<T>(plan, leaf, run)).sum()
    }
}

/// Bytes up to which the data of an item, or of a lane loop over a step's rows, stays in L2.
fn near(target: Target) -> f64 {
    NEAR * target.caches().l2 as f64
}

/// A run on one thread.
pub fn run_shape(extent: Extent, layout: Layout) -> RunShape {
    RunShape {
        t: extent.steps,
        b: extent.rows,
        layout,
    }
}

/// Panels of a packed product, with what share of one a few columns beyond whole registers take: four of them have sixteen
/// bytes of a 64-byte line each.
fn panels<T: Element>(target: Target, inner: usize, outer: usize) -> f64 {
    let vector = target.vector_bytes() / size_of::<T>();
    let whole = retrograd_kernels::whole::<T>(inner, outer);
    let registers = whole.div_ceil(vector) as f64;
    let of_four = (64 * size_of::<T>()) as f64 / (16 * target.vector_bytes()) as f64;
    (registers + (outer - whole).div_ceil(4) as f64 * of_four) / 2.0
}

impl Machine {
    /// Cycles of one task.
    fn cycles<T: Element>(&self, plan: &Plan, work: &Work) -> f64 {
        let target = plan.target;
        let c = target.cycles();
        let vector = target.vector_bytes() / size_of::<T>();
        let tile_rows = isa(target).tile_rows();
        let nearest = NEAREST * target.caches().l1 as f64;
        let flops_a_cycle = c.flops * 4.0 / size_of::<T>() as f64;
        let vectors = |n: usize| n.div_ceil(vector) as f64;
        let lines = |n: usize| (n * size_of::<T>()) as f64 / 64.0;
        // Vectors of emitted code.
        let (small, instr) = match plan.wide_loops {
            true => (vector, c.wide_instr(target.vector_bytes())),
            false => (EMITTED_BYTES / size_of::<T>(), c.instr),
        };
        match *work {
            Work::Product {
                rows,
                inner,
                outer,
                packed: true,
                ..
            } => {
                // Tiles of a few rows are bound by reading panels: one line per cycle from L1, half a line from L2.
                let panels = panels::<T>(target, inner, outer);
                let tiles = rows.div_ceil(tile_rows) as f64;
                let numbers = (2 * vector) as f64;
                let multiplied = 2.0 * numbers * (rows as f64 / tiles) / flops_a_cycle;
                let bytes = |n: usize| (n * size_of::<T>()) as f64;
                let rate = if bytes(inner * outer) <= nearest {
                    64.0
                } else {
                    32.0
                };
                let read = numbers * size_of::<T>() as f64 / rate;
                let far = match bytes(rows * (inner + outer)) > nearest {
                    true => c.far_row * panels * (rows * inner.div_ceil(INNER)) as f64,
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
                // Bound by the bytes from L2, whatever the vector width.
                let (of, long) = match transposed {
                    true => (inner, outer),
                    false => (outer, inner),
                };
                let far = (inner * outer * size_of::<T>()) as f64 > near(target);
                let line = c.weights + if far { c.far_weights } else { 0.0 };
                let group = (c.at_once * lines(long) * line).max(c.narrow);
                c.streamed + rows as f64 * of as f64 / c.at_once * group
            }
            Work::Outer { terms, len, cols } => {
                // A few columns beyond whole registers share them.
                let rest = cols % vector;
                let part = match 2 * rest <= vector {
                    true => rest as f64 / vector as f64,
                    false => 1.0,
                };
                let panels = ((cols / vector) as f64 + part) / 2.0;
                let flops = 2.0 * (terms * len * 2 * vector) as f64 * panels;
                let blocks = (terms.div_ceil(outer_terms(false)) * len) as f64 * panels;
                self.outer
                    * (flops / flops_a_cycle
                        + c.pack_terms * lines(terms * cols)
                        + c.tile_row * blocks)
            }
            Work::Pack { numbers } => c.pack * vectors(numbers),
            Work::Activate { map, rows, len } => {
                c.activate + rows as f64 * vectors(len) * c.kernel(map)
            }
            Work::LaneLoop {
                rows,
                lanes,
                loads,
                stores,
                ref ops,
                folds,
            } => {
                let iterations = lanes.div_ceil(small) as f64;
                let side = vectors_per_iteration(ops.iter().copied(), loads + stores + folds);
                let side = side.min((lanes / small).max(1)) as f64;
                let folds_of = (c.fold / side).max(instr) * folds as f64;
                let instrs = instr * (loads + stores) as f64 + folds_of;
                let op = |&m: &Map| match plan.wide_loops {
                    true => c.wide(m, target.vector_bytes()),
                    false => c.emitted(m),
                };
                let body: f64 = c.iteration / side + instrs + ops.iter().map(op).sum::<f64>();
                let single = if lanes == 1 { c.single } else { 0.0 };
                c.lane_loop + rows as f64 * (iterations * body + c.folded * folds as f64 + single)
            }
            Work::Matrix {
                rows,
                numbers,
                flops,
            } => {
                let vector = if flops == 2 { c.multiplied } else { c.written };
                rows as f64 * vector * numbers as f64 / small as f64
            }
            Work::Sum { points, len } => {
                let wide = points * len.saturating_sub(WIDE);
                c.sum + c.summed * lines(points * len) + c.summed_wide * lines(wide)
            }
        }
    }
}
