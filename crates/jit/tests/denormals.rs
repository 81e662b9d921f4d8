//! Denormal numbers: a decaying state is flushed in single precision, and only there.

use retrograd_tape::Extent;
use std::time::Instant;

use retrograd_jit::{CompiledCell, Element, Options, Purpose, Stepper};
use retrograd_tape::{InputRole, Real, Recorder, Shape, Tape, Var};

/// h' = decay · h + x, and the loss in its sum.
fn leaky(n: usize) -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(n));
    let h = r.state("h", Shape::Vector(n), 1, None);
    let decay = r.param("decay", Shape::Vector(n));
    let h = r.next(h, decay * h + x);
    r.output("y", h);
    r.loss(h.sum());
    r.weight(r.input("w", InputRole::Weight, Shape::Scalar));
    r.finish("leaky").expect("it is a program")
}

/// h' = tanh(U h + x): a product carries its cotangent.
fn rnn(n: usize) -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(n));
    let h = r.state("h", Shape::Vector(n), 1, None);
    let u = r.param("decay", Shape::Matrix(n, n));
    let h = r.next(h, (u.matvec(h) + x).tanh());
    r.output("y", h);
    r.loss(h.sum());
    r.weight(r.input("w", InputRole::Weight, Shape::Scalar));
    r.finish("rnn").expect("it is a program")
}

/// Inputs that begin with 1 and go on with zeros; only the last step has a weight.
fn fading<T: Real>(tape: &Tape, t: usize, b: usize, decay: f64) -> Vec<Vec<T>> {
    let of = |i: &retrograd_tape::Input| {
        let n = i.ty.shape.len();
        let number = |k: usize| match (i.role, i.ty.shape) {
            (InputRole::Param, Shape::Matrix(m, _)) if !k.is_multiple_of(m + 1) => 0.0,
            (InputRole::Param, _) => decay,
            (InputRole::Weight, _) => f64::from(u8::from(k >= (t - 1) * b)),
            _ => f64::from(u8::from(k < b * n)),
        };
        let points = if i.role == InputRole::Param { 1 } else { t * b };
        match i.role {
            InputRole::Initial => Vec::new(),
            _ => (0..points * n).map(|k| T::from_f64(number(k))).collect(),
        }
    };
    tape.inputs().iter().map(of).collect()
}

fn run<T: Element + Real>(
    cell: &mut CompiledCell<T>,
    given: &[Vec<T>],
    t: usize,
    b: usize,
) -> Vec<Vec<T>> {
    let slices: Vec<&[T]> = given.iter().map(Vec::as_slice).collect();
    let mut out: Vec<Vec<T>> = (0..cell.outputs().len())
        .map(|k| vec![<T as Real>::ZERO; cell.output_len(k, Extent { steps: t, rows: b })])
        .collect();
    let mut slots: Vec<&mut [T]> = out.iter_mut().map(Vec::as_mut_slice).collect();
    cell.run(Extent { steps: t, rows: b }, &slices, &mut slots)
        .expect("it runs");
    out
}

fn kept() -> Options {
    Options::default().with(|o| o.flush = false)
}

fn denormal(x: &f32) -> bool {
    *x != 0.0 && x.abs() < f32::MIN_POSITIVE
}

#[test]
fn no_state_is_denormal_in_single_precision_unless_asked_for() {
    let (t, b) = (400, 2);
    {
        let tape = leaky(5);
        let given = fading::<f32>(&tape, t, b, 0.7);
        let mut flushed =
            CompiledCell::<f32>::compile(&tape, &Purpose::Train).expect("it compiles");
        let out = run(&mut flushed, &given, t, b);
        assert!(!out.iter().flatten().any(denormal), "{tape}");
        let y = tape.output("y").expect("it has one");
        assert!(out[y][100 * b * 5] > 0.0 && out[y][(t - 1) * b * 5] == 0.0);
        let options = kept();
        let compiled = CompiledCell::<f32>::compile_with(&tape, &Purpose::Train, &options);
        let all = run(&mut compiled.expect("it compiles"), &given, t, b);
        assert!(all[y].iter().any(denormal), "{tape}");
        // But for what is 0 they are the same bits.
        for (a, b) in out[y].iter().zip(&all[y]) {
            assert!(
                a.to_bits() == b.to_bits() || (*a == 0.0 && denormal(b)),
                "{a:e} {b:e}"
            );
        }
    }
}

#[test]
fn a_state_of_double_precision_is_kept() {
    let (t, b) = (400, 2);
    let tape = leaky(5);
    let given = fading::<f64>(&tape, t, b, 0.7);
    let mut cell = CompiledCell::<f64>::compile(&tape, &Purpose::Train).expect("it compiles");
    let y = tape.output("y").expect("it has one");
    let last = run(&mut cell, &given, t, b)[y][(t - 1) * b * 5];
    assert!(
        (last / 0.7_f64.powi(t as i32 - 1) - 1.0).abs() < 1e-10,
        "{last:e}"
    );
}

#[test]
fn a_stepper_flushes_as_a_run_does() {
    let (t, b) = (400, 2);
    let tape = leaky(5);
    let given = fading::<f32>(&tape, t, b, 0.7);
    let mut cell = CompiledCell::<f32>::compile(&tape, &Purpose::Forward).expect("it compiles");
    let y = tape.output("y").expect("it has one");
    let right = run(&mut cell, &given, t, b)[y].clone();
    let fixed = tape.inputs().iter().zip(&given);
    let fixed: Vec<&[f32]> = fixed
        .map(|(i, x)| {
            if i.role == InputRole::Param {
                &x[..]
            } else {
                &[]
            }
        })
        .collect();
    let mut stepper = Stepper::<f32>::new(&tape, b, &fixed).expect("it compiles");
    let x = &given[tape.input("x").expect("it has one")];
    for (x, right) in x.chunks(b * 5).zip(right.chunks(b * 5)) {
        let mut out = vec![0.0; b * 5];
        stepper.step(&[x], &mut [&mut out]).expect("it runs");
        assert_eq!(out, right);
    }
}

fn dense<'t>(t: &'t Recorder, name: &str, n: usize, xs: &[(&str, Var<'t>)]) -> Var<'t> {
    let products = xs.iter().map(|(k, x)| {
        let len = x.shape().map_or(0, Shape::len);
        t.param(&format!("{name}.{k}"), Shape::Matrix(n, len))
            .matvec(*x)
    });
    let sum = products.reduce(|a, b| a + b).expect("there is an operand");
    sum + t.param(&format!("{name}.bias"), Shape::Vector(n))
}

fn lstm(n: usize) -> Tape {
    let t = Recorder::new();
    let x = t.input("x", InputRole::Sequence, Shape::Vector(n));
    let h = t.state("h", Shape::Vector(n), 1, None);
    let c = t.state("c", Shape::Vector(n), 1, None);
    let xs = [("x", x), ("h", h)];
    let i = dense(&t, "input", n, &xs).sigmoid();
    let f = dense(&t, "forget", n, &xs).sigmoid();
    let g = dense(&t, "cell", n, &xs).tanh();
    let o = dense(&t, "output", n, &xs).sigmoid();
    let c = t.next(c, f * c + i * g);
    let h = t.next(h, o * c.tanh());
    t.output("y", h);
    t.loss(h.square().mean());
    t.finish("lstm").expect("it is a program")
}

fn mingru(n: usize) -> Tape {
    let t = Recorder::new();
    let x = t.input("x", InputRole::Sequence, Shape::Vector(n));
    let h = t.state("h", Shape::Vector(n), 1, None);
    let z = dense(&t, "z", n, &[("x", x)]).sigmoid();
    let new = dense(&t, "new", n, &[("x", x)]);
    let one = t.constant(1.0, Shape::Vector(n));
    let h = t.next(h, (one - z) * h + z * new);
    t.output("y", h);
    t.loss(h.square().mean());
    t.finish("mingru").expect("it is a program")
}

/// What flushing costs, and what it saves: `cargo test --release -p retrograd-jit --test denormals -- --ignored --nocapture`
#[test]
#[ignore = "measures for a minute"]
fn times_with_and_without_flushing() {
    let usual = |tape: &Tape, t: usize, b: usize| -> Vec<Vec<f32>> {
        let of = |(k, i): (usize, &retrograd_tape::Input)| {
            let points = if i.role == InputRole::Param { 1 } else { t * b };
            let number = |j: usize| (0.3 * ((7 * k + 3 * j) as f64).sin()) as f32;
            match i.role {
                InputRole::Initial => Vec::new(),
                _ => (0..points * i.ty.shape.len()).map(number).collect(),
            }
        };
        tape.inputs().iter().enumerate().map(of).collect()
    };
    let faded = |tape: &Tape, t, b, decay| fading::<f32>(tape, t, b, decay);
    type Timed = (&'static str, Tape, usize, usize, Vec<Vec<f32>>);
    let mut cases: Vec<Timed> = Vec::new();
    for (name, tape, t, b, decay) in [
        ("leaky 64, fading at 0.9", leaky(64), 10_000, 1, Some(0.9)),
        ("leaky 64, not fading", leaky(64), 10_000, 1, Some(1.0)),
        ("rnn 64, fading at 0.9", rnn(64), 1_000, 4, Some(0.9)),
        ("rnn 64, not fading", rnn(64), 1_000, 4, Some(1.0)),
        ("lstm 32", lstm(32), 100, 1, None),
        ("lstm 32", lstm(32), 25, 32, None),
        ("lstm 64", lstm(64), 50, 8, None),
        ("mingru 64", mingru(64), 200, 4, None),
        ("mingru 128", mingru(128), 50, 8, None),
        ("mingru 32", mingru(32), 1000, 1, None),
    ] {
        let given = match decay {
            Some(d) => faded(&tape, t, b, d),
            None => usual(&tape, t, b),
        };
        cases.push((name, tape, t, b, given));
    }
    for (name, tape, t, b, given) in &cases {
        let with = CompiledCell::<f32>::compile(tape, &Purpose::Train).expect("it compiles");
        let without = CompiledCell::<f32>::compile_with(tape, &Purpose::Train, &kept());
        let mut cells = [with, without.expect("it compiles")];
        // The least of many short runs in turn: other work on the machine only adds.
        let mut least = [f64::INFINITY; 2];
        let begin = Instant::now();
        while begin.elapsed().as_secs_f64() < 5.0 {
            for (cell, least) in cells.iter_mut().zip(&mut least) {
                let start = Instant::now();
                run(cell, given, *t, *b);
                *least = least.min(start.elapsed().as_secs_f64());
            }
        }
        let [with, without] = least.map(|s| s * 1e3);
        println!(
            "{name}, {t} x {b}: {with:.3} ms, unflushed {without:.3} ms: {:.3}",
            with / without
        );
    }
}
