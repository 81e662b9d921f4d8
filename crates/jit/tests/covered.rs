//! No engine reads data masked by a weight of 0, forward or backward: no number of the run depends on the targets
//! there.

use retrograd_graph::passes;
use retrograd_graph::plan::{Blocking, plan};
use retrograd_graph::{Graph, Options};
use retrograd_jit::{CompiledCell, Element, Purpose};
use retrograd_tape::Extent;
use retrograd_tape::{InputRole, Interpreter, Map, Op, Real, Recorder, Shape, Tape, Var};

const T: usize = 5;
const B: usize = 3;
const N: usize = 3;

/// A recurrence with a read-out y, a target t of y's shape, a row number k below N, and what becomes of them: a loss.
type Loss = for<'t> fn(&'t Recorder, Var<'t>, Var<'t>, Var<'t>) -> Var<'t>;

const LAST_CHANGE: &str = "the target's last change";

const LOSSES: &[(&str, Loss)] = &[
    ("squared error", |_, y, t, _| (y - t).square().mean()),
    ("absolute error", |_, y, t, _| (t - y).abs().sum()),
    ("product", |_, y, t, _| y.dot(t)),
    ("relative entropy", |_, y, t, _| {
        let p = y.softmax();
        (t * (t / p).ln()).sum()
    }),
    ("learned scale", |r, y, t, _| {
        let s = r.param("scale", Shape::Vector(N));
        ((y - t) * s.exp()).square().sum()
    }),
    ("projected target", |r, y, t, _| {
        let p = r.param("projection", Shape::Matrix(N, N));
        (y - p.matvec(t.exp())).square().mean()
    }),
    ("power of the target", |_, y, t, _| {
        y.sigmoid().apply_pow(t).sum()
    }),
    ("class", |_, y, _, k| {
        let log = y.softmax().ln();
        let row = log.reshape(Shape::Matrix(N, 1)).gather(k);
        -row.sum()
    }),
    ("embedded class", |r, y, _, k| {
        let table = r.param("table", Shape::Matrix(N, N));
        (y - table.gather(k)).square().mean()
    }),
    (LAST_CHANGE, |r, y, t, _| {
        let zero = r.constant(0.0, Shape::Vector(N));
        let before = r.apply(Op::Delay(1), &[t, zero]);
        (y - (t - before)).square().mean()
    }),
    ("an error that is also an output", |r, y, t, _| {
        let e = y - t;
        r.output("error", e);
        e.square().mean()
    }),
];

/// Short for `pow`, whose name a test reads better without.
trait Power<'t> {
    fn apply_pow(self, other: Var<'t>) -> Var<'t>;
}
impl<'t> Power<'t> for Var<'t> {
    fn apply_pow(self, other: Var<'t>) -> Var<'t> {
        self.tape()
            .expect("a value has a tape")
            .apply(Op::Map(Map::Pow), &[self, other])
    }
}

fn program(loss: Loss) -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(N));
    let h = r.state("h", Shape::Vector(N), 1, None);
    let u = r.param("u", Shape::Matrix(N, N));
    let next = r.next(h, (u.matvec(h) + x).tanh());
    let y = r.param("v", Shape::Matrix(N, N)).matvec(next);
    r.output("y", y);
    let t = r.input("t", InputRole::Target, Shape::Vector(N));
    let k = r.input("k", InputRole::Target, Shape::Scalar);
    r.loss(loss(&r, y, t, k));
    r.weight(r.input("w", InputRole::Weight, Shape::Scalar));
    r.weight(r.input("w2", InputRole::Weight, Shape::Scalar));
    r.finish("covered").expect("it is a program")
}

/// Points that either weight covers: some in the middle, or, `trailing`, a row's last ones (where no later point of the row reads
/// a covered target as its last one).
fn is_covered(point: usize, trailing: bool) -> [bool; 2] {
    let (step, row) = (point / B, point % B);
    match trailing {
        true => [row == 1 && step + 1 >= T, row == 2 && step + 2 >= T],
        false => [point % 4 == 1, point % 5 == 3],
    }
}

/// Inputs, with `bad` as the targets that are covered.
fn inputs<E: Real>(tape: &Tape, bad: f64, trailing: bool) -> Vec<Vec<E>> {
    let number = |k: usize, i: usize| 0.4 * ((7 * k + 3 * i) as f64).sin();
    let of = |(k, i): (usize, &retrograd_tape::Input)| {
        let n = i.ty.shape.len();
        let points = if i.role == InputRole::Param { 1 } else { T * B };
        let value = |j: usize| {
            let point = j / n;
            let [first, second] = is_covered(point, trailing);
            match (&*i.name, first || second) {
                ("t" | "k", true) => bad,
                ("t", false) => 1.0 + number(k, j).abs(),
                ("k", false) => (j % N) as f64,
                ("w", _) => f64::from(!first) * (1.0 + point as f64),
                ("w2", _) => f64::from(!second) * 0.5,
                _ => number(k, j),
            }
        };
        match i.role {
            InputRole::Initial => Vec::new(),
            _ => (0..points * n).map(|j| E::from_f64(value(j))).collect(),
        }
    };
    tape.inputs().iter().enumerate().map(of).collect()
}

/// The loss and the gradients of all parameters, by name.
type Numbers = Vec<(String, Vec<f64>)>;

fn doubles<E: Real>(a: &[E]) -> Vec<f64> {
    a.iter().map(|x| x.to_f64()).collect()
}

fn by_tape<E: Real>(tape: &Tape, given: &[Vec<E>]) -> Numbers {
    let slices: Vec<&[E]> = given.iter().map(Vec::as_slice).collect();
    let mut run = Interpreter::<E>::with_gradients(tape, |i| i.role == InputRole::Param);
    run.forward(Extent { steps: T, rows: B }, &slices)
        .expect("it runs");
    let loss = tape.output("loss").expect("it has a loss");
    let one = [E::ONE];
    let cotangents: Vec<Option<&[E]>> = (0..tape.outputs().len())
        .map(|k| (k == loss).then_some(&one[..]))
        .collect();
    run.backward(&cotangents).expect("it runs");
    let mut out = vec![("loss".to_string(), doubles(run.output(loss)))];
    for (i, input) in tape.inputs().iter().enumerate() {
        if let Some(g) = run.gradient(i) {
            out.push((format!("grad({})", input.name), doubles(g)));
        }
    }
    out
}

fn by_plan<E: Real>(tape: &Tape, given: &[Vec<E>], options: &Options) -> Numbers {
    let recorded = Graph::from_tape(tape);
    let derivations = Purpose::Train
        .derivations(&recorded)
        .expect("it has a loss");
    let graph = passes::run(&recorded, &derivations, options).expect("it has an order");
    let slices: Vec<&[E]> = given.iter().map(Vec::as_slice).collect();
    let cut = Blocking {
        steps: 2,
        lanes: 2,
        last_first: false,
        block: 2,
        replay: false,
    };
    let found = plan(&graph, options).interpret(T, B, &slices, cut);
    let names = graph.outputs().iter().map(|o| o.name.to_string());
    let found = found.expect("it runs");
    names.zip(found.iter().map(|a| doubles(a))).collect()
}

fn by_code<E: Element + Real>(tape: &Tape, given: &[Vec<E>]) -> Numbers {
    let slices: Vec<&[E]> = given.iter().map(Vec::as_slice).collect();
    let cell = CompiledCell::<E>::compile(tape, &Purpose::Train).expect("it compiles");
    let mut found: Vec<Vec<E>> = (0..cell.outputs().len())
        .map(|k| vec![<E as Real>::ZERO; cell.output_len(k, Extent { steps: T, rows: B })])
        .collect();
    let mut slots: Vec<&mut [E]> = found.iter_mut().map(Vec::as_mut_slice).collect();
    cell.run(Extent { steps: T, rows: B }, &slices, &mut slots)
        .expect("it runs");
    let names = cell.outputs().iter().map(|o| o.name.to_string());
    names.zip(found.iter().map(|a| doubles(a))).collect()
}

fn compare(what: &str, right: &Numbers, found: &Numbers, off: f64) {
    for (name, b) in right {
        let (_, a) = (found.iter().find(|(n, _)| n == name)).expect("all engines have it");
        for (a, b) in a.iter().zip(b) {
            assert!(
                b.is_finite(),
                "{what}: `{name}` is {b} without anything bad"
            );
            let most = off * b.abs().max(1.0);
            assert!((a - b).abs() <= most, "{what}: `{name}` is {a}, not {b}");
        }
    }
}

/// Bad targets: no number, none that the loss is finite for, and no row of a table.
const BAD: [f64; 5] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e30, 0.5];

fn all<E: Element + Real>(off: f64) {
    for (name, loss) in LOSSES {
        let tape = program(*loss);
        let trailing = *name == LAST_CHANGE;
        let right = by_tape(&tape, &inputs::<f64>(&tape, 1.0, trailing));
        assert!(
            right
                .iter()
                .skip(1)
                .any(|(_, g)| g.iter().any(|x| *x != 0.0))
        );
        for bad in BAD {
            let given = inputs::<E>(&tape, bad, trailing);
            let what = |by: &str| format!("{name} over {bad} by {by}");
            compare(&what("the tape"), &right, &by_tape(&tape, &given), off);
            for (passes, options) in [("no", Options::none()), ("all", Options::default())] {
                let found = by_plan(&tape, &given, &options);
                compare(
                    &what(&format!("the plan, {passes} passes")),
                    &right,
                    &found,
                    off,
                );
            }
            compare(&what("machine code"), &right, &by_code(&tape, &given), off);
        }
    }
}

#[test]
fn no_number_in_single_precision_depends_on_covered_targets() {
    all::<f32>(2e-5);
}

#[test]
fn no_number_in_double_precision_depends_on_covered_targets() {
    all::<f64>(1e-12);
}

/// A row number that is none and is not covered is refused as ever.
#[test]
fn a_wrong_row_number_with_a_weight_is_refused() {
    let tape = program(LOSSES[7].1);
    let mut given = inputs::<f64>(&tape, f64::NAN, false);
    let k = tape.input("k").expect("it has one");
    let point = (0..T * B)
        .find(|&p| is_covered(p, false) == [false; 2])
        .expect("one is read");
    given[k][point] = N as f64;
    let slices: Vec<&[f64]> = given.iter().map(Vec::as_slice).collect();
    let by_tape = Interpreter::<f64>::new(&tape).forward(Extent { steps: T, rows: B }, &slices);
    assert!(by_tape.expect_err("refused").to_string().contains("`k`"));
    let cell = CompiledCell::<f64>::compile(&tape, &Purpose::Train).expect("it compiles");
    let mut found: Vec<Vec<f64>> = (0..cell.outputs().len())
        .map(|k| vec![0.0; cell.output_len(k, Extent { steps: T, rows: B })])
        .collect();
    let mut slots: Vec<&mut [f64]> = found.iter_mut().map(Vec::as_mut_slice).collect();
    let by_code = cell.run(Extent { steps: T, rows: B }, &slices, &mut slots);
    assert!(by_code.expect_err("refused").to_string().contains("`k`"));
}

/// Derivatives of what is not covered are those of the unweighted loss: nothing else is selected.
#[test]
fn a_loss_weighted_by_ones_is_the_unweighted_one() {
    for (name, loss) in LOSSES {
        let tape = program(*loss);
        let mut given = inputs::<f64>(&tape, 1.0, false);
        for w in ["w", "w2"] {
            given[tape.input(w).expect("it has one")].fill(1.0);
        }
        let r = Recorder::new();
        let x = r.input("x", InputRole::Sequence, Shape::Vector(N));
        let h = r.state("h", Shape::Vector(N), 1, None);
        let u = r.param("u", Shape::Matrix(N, N));
        let next = r.next(h, (u.matvec(h) + x).tanh());
        let y = r.param("v", Shape::Matrix(N, N)).matvec(next);
        r.output("y", y);
        let t = r.input("t", InputRole::Target, Shape::Vector(N));
        let k = r.input("k", InputRole::Target, Shape::Scalar);
        r.loss(loss(&r, y, t, k));
        let plain = r.finish("plain").expect("it is a program");
        let named =
            |i: &retrograd_tape::Input| given[tape.input(&i.name).expect("both have it")].clone();
        let plain_given: Vec<Vec<f64>> = plain.inputs().iter().map(named).collect();
        let right = by_tape(&plain, &plain_given);
        compare(name, &right, &by_tape(&tape, &given), 1e-12);
        compare(name, &right, &by_code(&tape, &given), 1e-12);
    }
}

/// Sixty squarings of a weight reach its input by 2⁶⁰ ways, and a hundred thousand products are as deep: each is looked at once.
#[test]
fn weights_that_double_or_are_a_long_chain_are_looked_at_once() {
    let weighted = |weigh: for<'t> fn(Var<'t>) -> Var<'t>| {
        let r = Recorder::new();
        let k = r.input("k", InputRole::Target, Shape::Scalar);
        let table = r.param("table", Shape::Vector(N));
        let column = table.reshape(Shape::Matrix(N, 1));
        r.loss(column.gather(k).sum());
        r.weight(weigh(r.input("w", InputRole::Weight, Shape::Scalar)));
        r.finish("weighted").expect("it is right")
    };
    let doubled = weighted(|w| (0..60).fold(w, |w, _| w * w));
    let chain = weighted(|w| (0..100_000).fold(w, |product, _| product * w));
    for tape in [&doubled, &chain] {
        let mut run = Interpreter::<f64>::new(tape);
        // A row that is none, under weight 0.
        let inputs: [&[f64]; 3] = [&[0.0, 9.0], &[1.0, 2.0, 3.0], &[1.0, 0.0]];
        run.forward(Extent::steps(2), &inputs)
            .expect("it is not read");
    }
    CompiledCell::<f64>::compile(&doubled, &Purpose::Train).expect("it compiles");
}
