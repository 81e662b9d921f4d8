//! The cost of a plan for T steps of B rows: arithmetic, element-wise work, kernel calls and bytes, item by item. It is
//! a pure function of the plan and its target; how long that takes depends on the machine, which `jit::predict`
//! measures.

mod work;

use retrograd_tape::{Domain, Map};

use crate::plan::{
    BufferId, Fold, Instr, Item, Layout, Loop, Plan, Product, Region, SliceWork, Slices, Stmt,
    WeightId, walk,
};

pub use work::{CostTask, Work};

/// An item that runs as a whole: the items of sweeps are separate leaves, those of time tiles are not.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'p> {
    /// The item.
    pub item: &'p Item,
    /// Whether it runs one block of steps at a time.
    pub in_sweep: bool,
    /// Set if replaying runs repeat it for all blocks but the last of its sweep: whether that sweep goes backward.
    pub replayed: Option<bool>,
}

impl Plan {
    /// All leaves, in order.
    pub fn leaves(&self) -> Vec<Leaf<'_>> {
        let mut out = Vec::new();
        let mut sweep = 0;
        for item in &self.items {
            let Item::Sweep { reverse, items } = item else {
                out.push(Leaf {
                    item,
                    in_sweep: false,
                    replayed: None,
                });
                continue;
            };
            out.extend(items.iter().enumerate().map(|(k, item)| {
                Leaf {
                    item,
                    in_sweep: true,
                    replayed: (self.memory.replays.iter())
                        .any(|r| r.sweep == sweep && r.items.contains(&k))
                        .then_some(*reverse),
                }
            }));
            sweep += 1;
        }
        out
    }
}

/// The shape of a run to be costed.
#[derive(Clone, Copy, Debug)]
pub struct RunShape {
    /// Steps.
    pub t: usize,
    /// Rows.
    pub b: usize,
    /// How it runs over time. Products are cut as the target says ([`Slices::of`]); a number counts as four bytes.
    pub layout: Layout,
}

/// The cost of an item for one step of one row, of which a lane loop counts as so many numbers at `least`: see
/// [`Work::effort`].
pub fn effort(plan: &Plan, item: &Item, least: usize) -> usize {
    let mut count = Count {
        plan,
        t: 1,
        b: 1,
        slices: Slices {
            slice: 1,
            far_slice: 1,
            cached: 0,
            resident: usize::MAX,
            block: 1,
            far_block: 1,
            inside_bytes: 0,
        },
        // The cost of a product does not depend on packing here.
        packing: false,
        out: Vec::new(),
    };
    count.item(item, None);
    let cost = plan.target.cycles().effort;
    let efforts = count
        .out
        .iter()
        .map(|t| t.times * t.work.effort(cost, least));
    efforts.sum()
}

/// All tasks of a leaf of a plan, with time tiles expanded, in order.
pub fn tasks(plan: &Plan, leaf: Leaf<'_>, run: RunShape) -> Vec<CostTask> {
    let count = |t: usize| {
        let mut count = Count {
            plan,
            t,
            b: run.b,
            slices: Slices::of(plan.target),
            packing: true,
            out: Vec::new(),
        };
        count.item(leaf.item, None);
        count.out
    };
    if !leaf.in_sweep {
        return count(run.t);
    }
    let block = run.layout.block.min(run.t);
    let (mut whole, rest) = (run.t / block, run.t % block);
    let mut short = usize::from(rest > 0);
    // The block that the sweep ended with is not repeated; it is the short one if the sweep went forward.
    match leaf.replayed.filter(|_| run.layout.replay) {
        None => {}
        Some(false) => whole += whole + short - 1,
        Some(true) => (whole, short) = (whole + whole - 1, 2 * short),
    }
    let mut out = count(block);
    out.iter_mut().for_each(|task| task.times *= whole);
    if short > 0 {
        let mut last = count(rest);
        last.iter_mut().for_each(|task| task.times *= short);
        out.extend(last);
    }
    out
}

/// The extent of a time tile's iteration, at most.
#[derive(Clone, Copy)]
struct TileExtent {
    rows: usize,
    steps: usize,
}

struct Count<'p> {
    plan: &'p Plan,
    t: usize,
    b: usize,
    slices: Slices,
    /// Whether the task list says which weights are packed.
    packing: bool,
    out: Vec<CostTask>,
}

impl Count<'_> {
    fn add(&mut self, times: usize, work: Work) {
        if times > 0 {
            self.out.push(CostTask { times, work });
        }
    }

    fn item(&mut self, item: &Item, tile: Option<TileExtent>) {
        let (t, b) = (self.t, self.b);
        let all = |domain: Domain| {
            let (steps, rows) = (domain.steps(t), domain.rows(b));
            steps * rows
        };
        match item {
            Item::Pack(w) => {
                if most_rows(&self.plan.items, *w, t, b) > 1 {
                    let numbers = self.plan.weights[*w].rows * self.plan.weights[*w].cols;
                    self.add(1, Work::Pack { numbers });
                }
            }
            Item::Loop(l) => {
                let alone = || {
                    let one = std::slice::from_ref(item);
                    let work = SliceWork::of(self.plan, one);
                    self.slices.rows(work, size_of::<f32>(), b, 1)
                };
                let slice = tile.map_or_else(alone, |n| n.rows);
                self.body(l, slice);
            }
            Item::Product { domain, product } => match tile {
                Some(tile) => self.tiled(product, tile),
                None => self.product(1, all(*domain), product, false),
            },
            Item::TimeTile { items, .. } => {
                let bytes = size_of::<f32>();
                let work = SliceWork::of(self.plan, items);
                let tile = TileExtent {
                    rows: self.slices.rows(work, bytes, b, 1),
                    steps: self.slices.steps(self.plan, items, work, b, bytes),
                };
                for item in items {
                    self.item(item, Some(tile));
                }
            }
            Item::Sweep { .. } => unreachable!("leaves are no sweeps"),
            Item::Outer {
                domain, len, rhs, ..
            } => {
                let cols = rhs.iter().map(|r| r.len).sum();
                let (terms, len) = (all(*domain), *len);
                self.add(1, Work::Outer { terms, len, cols });
            }
            Item::SumTo { domain, len, x, .. } => {
                // A value that is the same at every point is multiplied by their number.
                let points = match self.plan.buffers[x.buffer].domain {
                    Domain::Once => 1,
                    _ => all(*domain),
                };
                let len = *len;
                self.add(1, Work::Sum { points, len });
            }
            Item::OuterTo { domain, a, b, .. } => {
                let (rows, numbers) = (all(*domain), a.1 * b.1);
                let flops = 2;
                self.add(
                    1,
                    Work::Matrix {
                        rows,
                        numbers,
                        flops,
                    },
                );
            }
            Item::Scatter { domain, cols, .. } => {
                let (points, len) = (all(*domain), *cols);
                self.add(1, Work::Sum { points, len });
            }
        }
    }

    /// A loop's statements. Work done row by row is counted once for all rows of a step.
    fn body(&mut self, l: &Loop, slice: usize) {
        let (steps, rows) = (l.domain.steps(self.t), l.domain.rows(self.b));
        let slice = slice.min(rows);
        let whole = rows / slice;
        let rest = rows % slice;
        for stmt in &l.body {
            match stmt {
                Stmt::Product(p) => {
                    self.product(steps * whole, slice, p, true);
                    self.product(steps * usize::from(rest > 0), rest, p, true);
                }
                Stmt::Activate { map, len, .. } => {
                    for (times, rows) in [(whole, slice), (usize::from(rest > 0), rest)] {
                        let (map, len) = (map.map(), *len);
                        self.add(steps * times, Work::Activate { map, rows, len });
                    }
                }
                other => self.add(steps, statement(other, rows)),
            }
        }
    }

    /// A product of a time tile: if all rows are in one slice, in as many equal blocks of steps as it takes, the last
    /// one shorter; otherwise step by step for each slice.
    fn tiled(&mut self, p: &Product, tile: TileExtent) {
        let (t, b) = (self.t, self.b);
        let slice = tile.rows;
        if b == slice {
            let blocks = t.div_ceil(tile.steps);
            self.product(blocks, (t * b).div_ceil(blocks), p, false);
        } else {
            let rest = b % slice;
            self.product(t * (b / slice), slice, p, false);
            self.product(t * usize::from(rest > 0), rest, p, false);
        }
    }

    fn product(&mut self, times: usize, rows: usize, p: &Product, inside: bool) {
        let w = &self.plan.weights[p.weight];
        let (inner, outer) = (w.inner(), w.outer());
        let packed =
            self.packing && (w.bf16 || most_rows(&self.plan.items, p.weight, self.t, self.b) > 1);
        self.add(
            times,
            Work::Product {
                weight: p.weight,
                rows,
                inner,
                outer,
                packed,
                transposed: w.transposed,
                inside,
            },
        );
    }
}

/// Where products read a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightUse {
    /// One product over all points of a domain.
    Points(Domain),
    /// One product a step, if the domain has steps, in a loop.
    Loop(Domain),
}

impl WeightUse {
    /// The number of rows that a product does at once, ignoring slices, in blocks of `t` steps. A single step counts as two,
    /// because the order of a sum depends on packing, and no value may depend on the number of steps: a sequence in chunks has
    /// the bits of one run.
    pub fn rows(self, t: usize, b: usize) -> usize {
        match self {
            WeightUse::Points(Domain::Step) => t.max(2) * b,
            WeightUse::Points(other) => other.steps(t) * other.rows(b),
            WeightUse::Loop(domain) => domain.rows(b),
        }
    }
}

/// The uses of weight `w`.
pub fn weight_uses(items: &[Item], w: WeightId) -> impl Iterator<Item = WeightUse> + '_ {
    walk(items).filter_map(move |item| match item {
        Item::Product { domain, product } if product.weight == w => {
            Some(WeightUse::Points(*domain))
        }
        Item::Loop(l) => {
            let uses = |s: &Stmt| matches!(s, Stmt::Product(p) if p.weight == w);
            let used = l.body.iter().any(uses);
            used.then_some(WeightUse::Loop(l.domain))
        }
        _ => None,
    })
}

/// The maximal number of rows that a product with weight `w` does at once: the weight is packed if it is more than one.
pub fn most_rows(items: &[Item], w: WeightId, t: usize, b: usize) -> usize {
    let rows = weight_uses(items, w).map(|u| u.rows(t, b));
    rows.max().unwrap_or(0)
}

/// A statement that emitted code runs row by row.
fn statement(s: &Stmt, rows: usize) -> Work {
    match s {
        Stmt::Region(r) => lane_loop(r, rows),
        Stmt::MatVec {
            rows: m, cols: n, ..
        } => Work::Matrix {
            rows,
            numbers: m * n,
            flops: 2,
        },
        Stmt::OuterRow {
            rows: m, cols: n, ..
        } => Work::Matrix {
            rows,
            numbers: m * n,
            flops: 1,
        },
        Stmt::Gather { cols, .. } => Work::Matrix {
            rows,
            numbers: *cols,
            flops: 0,
        },
        Stmt::Scatter {
            rows: m, cols: n, ..
        }
        | Stmt::Transpose {
            rows: m, cols: n, ..
        }
        | Stmt::CopyBlock {
            rows: m, cols: n, ..
        } => Work::Matrix {
            rows,
            numbers: m * n,
            flops: 0,
        },
        Stmt::Product(_) | Stmt::Activate { .. } => unreachable!("these are calls for all rows"),
    }
}

fn lane_loop(r: &Region, rows: usize) -> Work {
    let mut ops: Vec<Map> = Vec::new();
    let mut loads = 0;
    for i in &r.instrs {
        match i {
            Instr::Load(_) | Instr::SplatRows(..) | Instr::LoadRow(..) => loads += 1,
            Instr::Map(m, _) => ops.push(*m),
            Instr::Splat(_) | Instr::Const(_) => {}
        }
    }
    let dots = r.folds.iter().filter(|f| f.0 == Fold::Dot);
    ops.extend(dots.map(|_| Map::Mul));
    Work::LaneLoop {
        rows,
        lanes: r.lanes,
        loads,
        stores: r.stores.len(),
        ops,
        folds: r.folds.len(),
    }
}

/// Numbers in all arrays that an item accesses: the data that has to be fetched from wherever it lies.
pub fn footprint(plan: &Plan, item: &Item, run: RunShape) -> usize {
    let accesses = item.accesses(&plan.weights);
    let mut buffers: Vec<BufferId> = accesses.iter().map(|a| a.view.buffer).collect();
    buffers.sort_unstable();
    buffers.dedup();
    let size = |&u: &BufferId| plan.size(u, run.t, run.b, run.layout);
    buffers.iter().map(size).sum()
}
