//! Readers of a recurrence that could join it: a loss of each step that only the values of that step make, so that no
//! step's values need be kept. The same loss with and without *fuse*, and joined where that is no slower.

use std::time::Instant;

use retrograd_graph::Options;
use retrograd_graph::plan::{Instr, LoopKind, Plan, Stmt};
use retrograd_jit::{CompiledCell, Executor, Purpose};
use retrograd_tape::{Extent, InputRole, Map, Recorder, Shape, Tape, Var};

type Loss = for<'t> fn(Var<'t>) -> Var<'t>;

/// What becomes of the last layer's output, and whether it should join at 32 units.
const LOSSES: [(&str, Loss, bool); 5] = [
    ("squares", |x| x.square().sum(), true),
    ("maximum", |x| x.amax(), true),
    ("variance", |x| (x - x.mean()).square().mean(), true),
    ("sum of exponentials", |x| x.exp().sum(), false),
    ("log-sum-exp", |x| x.logsumexp(), false),
];

/// A stack of LSTM layers of `n` units.
fn stack(layers: usize, n: usize, loss: Loss) -> Tape {
    let r = Recorder::new();
    let mut x = r.input("x", InputRole::Sequence, Shape::Vector(n));
    for k in 0..layers {
        let h = r.state(&format!("{k}.h"), Shape::Vector(n), 1, None);
        let c = r.state(&format!("{k}.c"), Shape::Vector(n), 1, None);
        let gate = |name: &str| {
            let matrix = |of: &str| r.param(&format!("{k}.{name}.{of}"), Shape::Matrix(n, n));
            let b = r.param(&format!("{k}.{name}.bias"), Shape::Vector(n));
            matrix("x").matvec(x) + matrix("h").matvec(h) + b
        };
        let (input, forget) = (gate("input").sigmoid(), gate("forget").sigmoid());
        let (cell, output) = (gate("cell").tanh(), gate("output").sigmoid());
        let c = r.next(c, forget * c + input * cell);
        x = r.next(h, output * c.tanh());
    }
    r.loss(loss(x));
    r.finish("stack").expect("a cell")
}

struct Run {
    cell: CompiledCell<f32>,
    executor: Executor<f32>,
    inputs: Vec<Vec<f32>>,
    outputs: Vec<Vec<f32>>,
    extent: Extent,
}

impl Run {
    fn new(tape: &Tape, extent: Extent, fuse: bool) -> Run {
        let options = Options::default().with(|o| o.fuse = fuse);
        let cell = CompiledCell::<f32>::compile_with(tape, &Purpose::Forward, &options);
        let cell = cell.expect("it compiles");
        let inputs = (cell.inputs().iter())
            .map(|i| {
                let phase: u32 = i.name.bytes().map(u32::from).sum();
                (0..i.ty.numbers(extent.steps, extent.rows))
                    .map(|k| ((k as f64 * 0.37 + f64::from(phase)).sin() * 0.2) as f32)
                    .collect()
            })
            .collect();
        let outputs = (0..cell.outputs().len())
            .map(|k| vec![f32::NAN; cell.output_len(k, extent)])
            .collect();
        Run {
            executor: cell.executor(),
            cell,
            inputs,
            outputs,
            extent,
        }
    }

    fn run(&mut self) {
        let inputs: Vec<&[f32]> = self.inputs.iter().map(Vec::as_slice).collect();
        let mut outputs: Vec<&mut [f32]> = self.outputs.iter_mut().map(Vec::as_mut_slice).collect();
        let done = self.executor.run(self.extent, &inputs, &mut outputs);
        done.expect("it runs");
    }

    fn loss(&self) -> f32 {
        self.outputs[self.cell.output("loss").expect("it has a loss")][0]
    }
}

/// Folds and exponentials in the recurrences.
fn inside(plan: &Plan) -> (usize, usize) {
    let steps = plan
        .loops()
        .into_iter()
        .filter(|l| matches!(l.kind, LoopKind::Recurrence { .. }));
    let regions = steps.flat_map(|l| &l.body).filter_map(|s| match s {
        Stmt::Region(r) => Some(r),
        _ => None,
    });
    regions.fold((0, 0), |(folds, exponentials), r| {
        let exponential = |i: &&Instr| matches!(i, Instr::Map(Map::Exp, _));
        let more = r.instrs.iter().filter(exponential).count();
        (folds + r.folds.len(), exponentials + more)
    })
}

#[test]
fn a_loss_joins_its_recurrence_unless_it_has_polynomials() {
    let extent = Extent::steps(9).rows(5);
    for (name, loss, joins) in LOSSES {
        for layers in [1, 2] {
            let tape = stack(layers, 32, loss);
            let [mut joined, mut apart] = [true, false].map(|fuse| Run::new(&tape, extent, fuse));
            let (folds, exponentials) = inside(joined.cell.plan());
            assert_eq!(folds > 0, joins, "{name}, {layers} layers");
            assert_eq!(exponentials, 0, "{name}, {layers} layers");
            assert_eq!(inside(apart.cell.plan()), (0, 0), "{name}");
            joined.run();
            apart.run();
            let (a, b) = (joined.loss(), apart.loss());
            // The same sums in the same order, but for how multiplications and additions are contracted: 32 terms, each
            // rounded twice at most, then a mean of 45.
            let allowed = 80.0 * f32::EPSILON * b.abs();
            assert!((a - b).abs() <= allowed, "{name}, {layers} layers: {a} {b}");
        }
    }
}

/// `cargo test --release -p retrograd-jit --test join -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn what_joins_is_no_slower() {
    for (name, loss, _) in LOSSES {
        for (layers, n, t, b) in [(1, 32, 100, 32), (2, 8, 100, 32), (2, 32, 100, 32)] {
            let tape = stack(layers, n, loss);
            let extent = Extent::steps(t).rows(b);
            let mut runs = [true, false].map(|fuse| Run::new(&tape, extent, fuse));
            let mut best = [f64::INFINITY; 2];
            for _ in 0..200 {
                for (best, run) in best.iter_mut().zip(&mut runs) {
                    let start = Instant::now();
                    run.run();
                    *best = best.min(start.elapsed().as_secs_f64() * 1e3);
                }
            }
            println!(
                "{name:>20}, {layers} layers of {n}, {extent}: {:.3} ms with fuse, {:.3} without, ratio {:.3}",
                best[0],
                best[1],
                best[0] / best[1]
            );
        }
    }
}
