//! [`Explanation`] shows how a cell is compiled and what a run will cost, before anything runs; [`Drawing`] draws step graphs.
#![forbid(unsafe_code)]

mod drawing;

use retrograd_graph::passes::{self, Trace};
use retrograd_graph::plan::cost::{self, CostTask, RunShape, Work};
use retrograd_graph::plan::{
    BufferId, Item, Lifetime, Loop, LoopKind, Plan, Product, Stmt, Storage, walk,
};
use retrograd_graph::{Graph, Options};
use retrograd_jit::predict::{Machine, run_shape};
use retrograd_jit::{CompileError, CompiledCell, Purpose, RunMemory};
use retrograd_tape::{Domain, Extent, InputRole, Op, OutputRole};

use retrograd::{Cell, Error};

pub use drawing::Drawing;

/// A compiled cell in full view: the graph after each pass, the plan and, for T steps of B rows, the work of its loops, their
/// memory and their predicted time on a machine.
///
/// ```
/// use retrograd_explain::{Explanation, Where};
/// use retrograd::{Extent, zoo};
/// use retrograd_jit::Purpose;
///
/// let cell = zoo::forecaster(zoo::find("lstm").expect("it is there"), 4, 16)?;
/// let explained = Explanation::new(&cell, &Purpose::Train, Extent::steps(100).rows(32))?;
/// // All four gates: W x for all steps, U h step by step.
/// let fours: Vec<_> = explained.products().into_iter().filter(|p| p.weights.len() == 4).collect();
/// assert!(fours.iter().any(|p| p.place == Where::Hoisted) && fours.iter().any(|p| matches!(p.place, Where::Loop(_))));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Debug)]
pub struct Explanation {
    trace: Trace,
    compiled: CompiledCell<f32>,
    memory: RunMemory,
    extent: Extent,
}

/// A product with weights, as the plan executes it.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightProduct {
    /// Its number in the plan's list of weights.
    pub weight: usize,
    /// Names of the matrices that are stacked in it, in order; one for a product by itself.
    pub weights: Vec<String>,
    /// Rows and columns of the whole.
    pub size: (usize, usize),
    /// Whether the transpose is used, as in the adjoint of a product.
    pub transposed: bool,
    /// Where it is computed.
    pub place: Where,
}

impl WeightProduct {
    /// The matrices' names on one line, those of one ending sharing it: `(input | forget).x`.
    pub fn names(&self) -> String {
        drawing::grouped(&self.weights)
    }
}

/// Where a product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// For many steps, or for all rows, at once.
    Hoisted,
    /// At every step of the loop of this number.
    Loop(usize),
}

/// One part of a plan that runs as a whole, and its cost.
#[derive(Clone, Debug)]
pub struct PlanPart {
    /// A description.
    pub title: String,
    /// Its work, with equal work in one task.
    pub tasks: Vec<CostTask>,
    /// Predicted seconds per run.
    pub seconds: f64,
}

impl PlanPart {
    /// FLOPs of products per run.
    pub fn flops(&self) -> usize {
        self.tasks.iter().map(|t| t.times * t.work.flops()).sum()
    }
    /// Element-wise ops per run.
    pub fn ops(&self) -> usize {
        self.tasks.iter().map(|t| t.times * t.work.ops()).sum()
    }
    /// Bytes read and written per run, including those in cache.
    pub fn bytes(&self) -> usize {
        let numbers = self.tasks.iter().map(|t| t.times * t.work.numbers());
        numbers.sum::<usize>() * size_of::<f32>()
    }
}

/// Numbers of products, before or after they are stacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProductCounts {
    /// Products of weights with vectors.
    pub products: usize,
    /// Σ δ xᵀ over steps and rows.
    pub gradients: usize,
}

impl Explanation {
    /// Compiles the cell, and considers a run in f32 with initial states of zero and without final states.
    ///
    /// # Errors
    /// Those of compiling, and [`Error::EmptyBatch`].
    pub fn new(cell: &Cell, purpose: &Purpose, extent: Extent) -> Result<Explanation, Error> {
        Explanation::with(cell, purpose, &Options::default(), extent)
    }

    /// As [`Explanation::new`], compiled with these options.
    ///
    /// # Errors
    /// Those of [`Explanation::new`].
    pub fn with(
        cell: &Cell,
        purpose: &Purpose,
        options: &Options,
        extent: Extent,
    ) -> Result<Explanation, Error> {
        let Extent { steps: t, rows: b } = extent;
        if t == 0 || b == 0 {
            return Err(Error::EmptyBatch { t, b });
        }
        let recorded = Graph::from_tape(cell.tape());
        let derivations = purpose.derivations(&recorded)?;
        let trace = passes::trace(&recorded, &derivations, options).map_err(CompileError::from)?;
        let compiled = CompiledCell::compile_with(cell.tape(), purpose, options)?;
        let inputs = compiled.inputs().iter().enumerate();
        let zeros: Vec<usize> = inputs
            .filter(|(_, i)| i.role == InputRole::Initial)
            .map(|(k, _)| k)
            .collect();
        let outputs = compiled.outputs().iter().enumerate();
        let last: Vec<usize> = outputs
            .filter(|(_, o)| o.role == OutputRole::Final)
            .map(|(k, _)| k)
            .collect();
        let memory = compiled.memory(extent, (&zeros, &last))?;
        Ok(Explanation {
            trace,
            compiled,
            memory,
            extent,
        })
    }

    /// Steps and rows.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The compiled program.
    pub fn compiled(&self) -> &CompiledCell<f32> {
        &self.compiled
    }

    /// The memory of a run beyond the caller's arrays.
    pub fn memory(&self) -> RunMemory {
        self.memory
    }

    /// The graph after each pass; `record` is the program as written.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Products of weights and weight gradients in the program, before and after the pass that stacks them.
    pub fn stacked(&self) -> (ProductCounts, ProductCounts) {
        let last = |name: &str| self.trace.iter().rposition(|(n, _)| *n == name);
        let stacked = last("stack_products").unwrap_or(self.trace.len() - 1);
        let before = stacked.saturating_sub(1);
        (
            counts(&self.trace[before].1),
            counts(&self.trace[stacked].1),
        )
    }

    /// All products with weights, in the plan's order.
    pub fn products(&self) -> Vec<WeightProduct> {
        let plan = self.compiled.plan();
        let mut out = Vec::new();
        for item in walk(&plan.items) {
            match item {
                Item::Product { product, .. } => {
                    out.push(product_of(plan, product, Where::Hoisted));
                }
                Item::Loop(l) => {
                    let of = |s: &Stmt| match s {
                        Stmt::Product(p) => {
                            Some(product_of(plan, p, Where::Loop(l.number.as_u32() as usize)))
                        }
                        _ => None,
                    };
                    out.extend(l.body.iter().filter_map(of));
                }
                _ => {}
            }
        }
        out
    }

    /// The number of calls of the product kernel per run: for many steps at once, and for one step.
    pub fn product_calls(&self) -> (usize, usize) {
        let plan = self.compiled.plan();
        let (mut hoisted, mut stepwise) = (0, 0);
        let leaves = plan.leaves().into_iter();
        for task in leaves.flat_map(|leaf| cost::tasks(plan, leaf, self.run_shape())) {
            match task.work {
                Work::Product { inside: true, .. } => stepwise += task.times,
                Work::Product { .. } => hoisted += task.times,
                _ => {}
            }
        }
        (hoisted, stepwise)
    }

    /// The run whose cost is predicted.
    pub fn run_shape(&self) -> RunShape {
        run_shape(self.extent, self.memory.layout())
    }

    /// All parts in the order in which they run, with their predicted times on a machine.
    pub fn parts(&self, machine: &Machine) -> Vec<PlanPart> {
        let plan = self.compiled.plan();
        let part = |leaf: cost::Leaf<'_>| {
            let mut tasks: Vec<CostTask> = Vec::new();
            for task in cost::tasks(plan, leaf, self.run_shape()) {
                match tasks.iter_mut().find(|t| t.work == task.work) {
                    Some(same) => same.times += task.times,
                    None => tasks.push(task),
                }
            }
            PlanPart {
                title: title(plan, leaf.item),
                tasks,
                seconds: machine.seconds::<f32>(plan, leaf, self.run_shape()),
            }
        };
        plan.leaves().into_iter().map(part).collect()
    }

    /// Numbers per row and step that are kept for the whole run, from the forward to the backward step.
    pub fn stash(&self) -> usize {
        let plan = self.compiled.plan();
        let whole = |(u, buffer): (BufferId, &retrograd_graph::plan::Buffer)| {
            let kept = match plan.memory.keep[u] {
                Lifetime::Whole => true,
                Lifetime::Block(_) | Lifetime::Ring(_) => false,
                Lifetime::Replayed(_) => !self.memory.replays,
            };
            let own = buffer.storage == Storage::Workspace && buffer.domain == Domain::Step;
            if kept && own { buffer.len } else { 0 }
        };
        plan.buffers.iter().map(whole).sum()
    }
}

fn counts(g: &Graph) -> ProductCounts {
    let mut out = ProductCounts::default();
    for v in g.order() {
        let xs = g.operands(v);
        let domain = |k: usize| g.node(xs[k]).ty.domain;
        match *g.op_of(v) {
            Op::MatVec { .. } if domain(0) == Domain::Once && domain(1) != Domain::Once => {
                out.products += 1
            }
            Op::Outer { to: Domain::Once } if domain(0) != Domain::Once => out.gradients += 1,
            _ => {}
        }
    }
    out
}

fn loops_of(item: &Item) -> Vec<&Loop> {
    let loops = walk(std::slice::from_ref(item)).filter_map(|item| match item {
        Item::Loop(l) => Some(l),
        _ => None,
    });
    loops.collect()
}

fn product_of(plan: &Plan, p: &Product, place: Where) -> WeightProduct {
    let w = &plan.weights[p.weight];
    let name = |u: BufferId| plan.buffers[u].name.clone();
    WeightProduct {
        weight: p.weight.as_u32() as usize,
        weights: w.blocks.iter().map(|x| name(x.view.buffer)).collect(),
        size: (w.rows, w.cols),
        transposed: w.transposed,
        place,
    }
}

/// A description of an item.
fn title(plan: &Plan, item: &Item) -> String {
    let name = |v: &retrograd_graph::plan::View| plan.buffers[v.buffer].name.clone();
    match item {
        Item::Pack(w) => {
            let weight = &plan.weights[*w];
            let t = if weight.transposed { "ᵀ" } else { "" };
            format!("pack W{w}{t} [{}×{}]", weight.rows, weight.cols)
        }
        Item::Loop(l) => loop_title(l),
        Item::Product { domain, product } => format!("W{} for all of {domain}", product.weight),
        Item::TimeTile { items, .. } => {
            let loops: Vec<String> = loops_of(item).into_iter().map(loop_title).collect();
            format!(
                "{} with {} hoisted products, a few steps at a time",
                loops.join(", "),
                items.len() - loops.len()
            )
        }
        Item::Sweep { .. } => "sweep".to_owned(),
        Item::Outer { delta, rhs, .. } => {
            let right: Vec<String> = rhs.iter().map(|r| name(&r.x)).collect();
            format!(
                "weight gradients Σ {} · ({})ᵀ",
                name(delta),
                right.join(" | ")
            )
        }
        Item::SumTo { x, to, .. } => format!("Σ {} to {to}", name(x)),
        Item::OuterTo { a, b, to, .. } => format!("Σ {} · {}ᵀ to {to}", name(&a.0), name(&b.0)),
        Item::Scatter { v, to, .. } => format!("Σ {} by index to {to}", name(v)),
    }
}

fn loop_title(l: &Loop) -> String {
    match l.kind {
        LoopKind::Parallel => format!("loop {} over all of {}", l.number, l.domain),
        LoopKind::Recurrence { reverse: false } => format!("loop {}: t = 1 … T", l.number),
        LoopKind::Recurrence { reverse: true } => format!("loop {}: t = T … 1", l.number),
    }
}
