//! Observed values and adjoints of the step: an adjoint is the derivative of the loss with respect to the value at one
//! step, compiled and interpreted, and an unobserved value costs nothing.

use retrograd_jit::{CompileError, CompiledCell, Observe, Options, Purpose};
use retrograd_tape::Extent;
use retrograd_tape::{InputRole, Interpreter, Recorder, Shape, Tape};

const N: usize = 3;
const T: usize = 7;
const B: usize = 2;

/// A gated memory, whose gate, read state and written states are each moved by an input of their own.
fn gated() -> Tape {
    let t = Recorder::new();
    let n = Shape::Vector(N);
    let x = t.input("x", InputRole::Sequence, n);
    let [of_keep, of_read, of_made, of_h] =
        ["keep", "c", "made", "h"].map(|v| t.input(&format!("move {v}"), InputRole::Sequence, n));
    let h = t.state("h", n, 1, None);
    let c = t.state("c", n, 1, None);
    let read = (c + of_read).named("read");
    let w = |name: &str| t.param(name, Shape::Matrix(N, N));
    let keep = ((w("kx").matvec(x) + w("kh").matvec(h)).sigmoid() + of_keep).named("keep");
    let new = (w("nx").matvec(x) + w("nh").matvec(h)).tanh();
    let made = (keep * read + (1.0 - keep) * new + of_made).named("made");
    let c = t.next(c, made);
    let h = t.next(h, (w("hc").matvec(c).tanh() * keep + of_h).named("h made"));
    t.output("y", h);
    let target = t.input("target", InputRole::Target, n);
    let weight = t.input("weight", InputRole::Weight, Shape::Scalar);
    t.weight(weight);
    t.loss((h - target).square().sum());
    t.finish("gated").expect("it is a program")
}

/// The name of a value and of the input that is added to it.
const MOVED: [(&str, &str); 4] = [
    ("keep", "move keep"),
    ("read", "move c"),
    ("made", "move made"),
    ("h made", "move h"),
];

fn inputs(tape: &Tape) -> Vec<Vec<f64>> {
    let of = |(k, i): (usize, &retrograd_tape::Input)| {
        let len = i.ty.shape.len()
            * match i.role {
                InputRole::Param => 1,
                InputRole::Initial => B,
                _ => T * B,
            };
        (0..len)
            .map(|j| match i.role {
                // The loss is taken at the last step alone.
                InputRole::Weight => f64::from(u8::from(j >= (T - 1) * B)),
                _ if i.name.starts_with("move") => 0.0,
                _ => 0.8 * (1.7 * k as f64 + 2.3 * j as f64).sin(),
            })
            .collect()
    };
    tape.inputs().iter().enumerate().map(of).collect()
}

fn slices(arrays: &[Vec<f64>]) -> Vec<&[f64]> {
    arrays.iter().map(Vec::as_slice).collect()
}

fn run(cell: &CompiledCell<f64>, given: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut out: Vec<Vec<f64>> = (0..cell.outputs().len())
        .map(|k| vec![0.0; cell.output_len(k, Extent { steps: T, rows: B })])
        .collect();
    let mut places: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
    cell.run(Extent { steps: T, rows: B }, &slices(given), &mut places)
        .expect("it fits");
    out
}

fn observing(observe: &[Observe]) -> Options {
    Options::default().with(|o| o.observe = observe.to_vec())
}

/// The slope of the loss in each number of an input, by central differences of the interpreted tape.
fn slopes(tape: &Tape, given: &[Vec<f64>], input: &str) -> Vec<f64> {
    let mut interpreter = Interpreter::<f64>::new(tape);
    let (at, loss) = (tape.input(input), tape.output("loss"));
    let (at, loss) = (at.expect("an input"), loss.expect("a loss"));
    let h = 1e-5;
    let mut moved = |j: usize, by: f64| {
        let mut given = given.to_vec();
        given[at][j] += by;
        interpreter
            .forward(Extent { steps: T, rows: B }, &slices(&given))
            .expect("it fits");
        interpreter.output(loss)[0]
    };
    (0..given[at].len())
        .map(|j| (moved(j, h) - moved(j, -h)) / (2.0 * h))
        .collect()
}

/// Truncation h² = 1e-10 times third derivatives near 1, and cancellation 1e-16 / 1e-5.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9
}

#[test]
fn an_adjoint_is_the_slope_of_the_loss_in_the_value_at_that_step() {
    let tape = gated();
    let given = inputs(&tape);
    let names = MOVED.map(|(name, _)| name);
    let adjoints = names.map(Observe::adjoint);
    // No gradient of a parameter is asked for: what is observed is enough to differentiate for.
    let purpose = Purpose::Gradients {
        given: Vec::new(),
        loss: true,
        wrt: Vec::new(),
    };
    let cell = CompiledCell::<f64>::compile_with(&tape, &purpose, &observing(&adjoints))
        .expect("it compiles");
    let compiled = run(&cell, &given);

    let values = names.map(|n| tape.find(n).expect("a value"));
    let mut interpreter = Interpreter::<f64>::observing(&tape, |_| false, &values).expect("values");
    interpreter
        .forward(Extent { steps: T, rows: B }, &slices(&given))
        .expect("it fits");
    let is_loss = |name: &str| (name == "loss").then_some(&[1.0][..]);
    let seeds: Vec<_> = tape.outputs().iter().map(|o| is_loss(&o.name)).collect();
    interpreter.backward(&seeds).expect("it has run");

    for ((name, input), v) in MOVED.into_iter().zip(values) {
        let slopes = slopes(&tape, &given, input);
        let at = cell.output(&format!("adjoint({name})")).expect("an output");
        let interpreted = interpreter.adjoint(v).expect("it is observed");
        let interpreted = interpreted.expect("the loss depends on it");
        assert_eq!(slopes.len(), T * B * N);
        assert!(slopes[..B * N].iter().any(|s| s.abs() > 1e-6), "{name}");
        for (j, slope) in slopes.into_iter().enumerate() {
            let (a, b) = (compiled[at][j], interpreted[j]);
            assert!(close(a, slope), "{name}[{j}]: {a}, slope {slope}");
            assert!(close(b, slope), "{name}[{j}]: {b}, slope {slope}");
        }
    }
}

#[test]
fn values_are_handed_out_as_they_are_and_change_no_other_number() {
    let tape = gated();
    let given = inputs(&tape);
    let observe = [Observe::value("keep"), Observe::value("c")];
    let plain = CompiledCell::<f64>::compile(&tape, &Purpose::Train).expect("it compiles");
    let cell = CompiledCell::<f64>::compile_with(&tape, &Purpose::Train, &observing(&observe))
        .expect("it compiles");
    let (before, after) = (run(&plain, &given), run(&cell, &given));
    for (k, o) in plain.outputs().iter().enumerate() {
        let now = cell.output(&o.name).expect("it is there too");
        for (a, b) in before[k].iter().zip(&after[now]) {
            assert!(
                (a - b).abs() <= 1e-14 * (1.0 + a.abs()),
                "{}: {a} {b}",
                o.name
            );
        }
    }
    let mut interpreter = Interpreter::<f64>::new(&tape);
    interpreter
        .forward(Extent { steps: T, rows: B }, &slices(&given))
        .expect("it fits");
    for o in &observe {
        let at = cell.output(&o.to_string()).expect("an output");
        let expected = interpreter.value(tape.find(o.name()).expect("a value"));
        let expected = expected.expect("it has run");
        assert_eq!(after[at].len(), T * B * N);
        for (a, b) in after[at].iter().zip(&expected) {
            assert!((a - b).abs() <= 1e-14, "{o}: {a} {b}");
        }
    }
}

#[test]
fn what_is_not_observed_costs_nothing() {
    let tape = gated();
    for purpose in [Purpose::Forward, Purpose::Train] {
        let plan = |observe: &[Observe]| {
            let cell = CompiledCell::<f32>::compile_with(&tape, &purpose, &observing(observe));
            cell.expect("it compiles").plan().to_string()
        };
        let plain = CompiledCell::<f32>::compile(&tape, &purpose).expect("it compiles");
        assert_eq!(plan(&[]), plain.plan().to_string());
        assert_ne!(plan(&[Observe::value("keep")]), plain.plan().to_string());
    }
}

#[test]
fn a_name_that_no_value_has_and_an_adjoint_of_nothing_are_refused() {
    let tape = gated();
    let error = |purpose: &Purpose, o: Observe| {
        let cell = CompiledCell::<f32>::compile_with(&tape, purpose, &observing(&[o]));
        match cell.expect_err("it cannot be observed") {
            CompileError::Observe(why) => why,
            other => panic!("{other}"),
        }
    };
    let unknown = error(&Purpose::Train, Observe::value("keeep"));
    assert!(
        unknown.contains("no value `keeep`") && unknown.contains("`keep`"),
        "{unknown}"
    );
    let nothing = error(&Purpose::Forward, Observe::adjoint("keep"));
    assert!(nothing.contains("adjoint(keep)"), "{nothing}");
}
