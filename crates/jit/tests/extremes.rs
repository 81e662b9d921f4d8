//! Rewriting keeps values and gradients at the ends of the range: every identity of *simplify*, *split* and *stack_products*, and some
//! that look like one, over zeros of both signs, infinities, NaN, denormal, tiny and huge numbers, in single and double
//! precision. The tape computes what is written; the plan (with and without passes) and machine code have to agree with it.
//!
//! A product or sum here has one term, since the order of a sum's terms is unspecified (docs/IR.md, "What rewriting may
//! change"), or terms of one size. So each number is that of the tape up to the rounding of a few ops: 4 ulp, or 4 of
//! the least denormal. The sign of zero counts where a value is computed element by element; a gradient starts as a
//! sum.
#![expect(
    clippy::eq_op,
    reason = "x - x and x / x are among the identities that must hold at infinities"
)]

use retrograd_graph::passes;
use retrograd_graph::plan::{Blocking, plan};
use retrograd_graph::{Graph, Options};
use retrograd_jit::{CompiledCell, Element, Purpose};
use retrograd_tape::Extent;
use retrograd_tape::{
    InputRole, Interpreter, Map, Op, OutputRole, Real, Recorder, Shape, Tape, Var,
};

/// Sets of inputs that each program is run on.
const DRAWS: usize = 400;

/// A program of x, z, w `[5]`, a number s, a matrix M and a weight A `[1, 1]`, a vector u `[1]`, all but the weight of each step.
struct Given<'t> {
    r: &'t Recorder,
    x: Var<'t>,
    z: Var<'t>,
    w: Var<'t>,
    s: Var<'t>,
    m: Var<'t>,
    u: Var<'t>,
    a: Var<'t>,
}

impl<'t> Given<'t> {
    /// A written number, as often as x has elements.
    fn c(&self, value: f64) -> Var<'t> {
        self.r.constant(value, Shape::Vector(5))
    }
    fn map(&self, m: Map, xs: &[Var<'t>]) -> Var<'t> {
        self.r.apply(Op::Map(m), xs)
    }
    fn wide(&self, v: Var<'t>) -> Var<'t> {
        v.broadcast(Shape::Matrix(1, 1))
    }
}

/// Name, whether the sign of zero is the tape's, and the value.
type Case = (&'static str, bool, for<'t> fn(&Given<'t>) -> Var<'t>);

const CASES: &[Case] = &[
    ("0 * x", true, |g| g.c(0.0) * g.x),
    ("x * 0", true, |g| g.x * g.c(0.0)),
    ("x * -0", true, |g| g.x * g.c(-0.0)),
    ("0 / x", true, |g| g.c(0.0) / g.x),
    ("x / 0", true, |g| g.x / g.c(0.0)),
    ("x + 0", true, |g| g.x + g.c(0.0)),
    ("0 + x", true, |g| g.c(0.0) + g.x),
    ("x + -0", true, |g| g.x + g.c(-0.0)),
    ("-0 + x", true, |g| g.c(-0.0) + g.x),
    ("x - 0", true, |g| g.x - g.c(0.0)),
    ("x - -0", true, |g| g.x - g.c(-0.0)),
    ("0 - x", true, |g| g.c(0.0) - g.x),
    ("-0 - x", true, |g| g.c(-0.0) - g.x),
    ("x - x", true, |g| g.x - g.x),
    ("x / x", true, |g| g.x / g.x),
    ("x * 1", true, |g| g.x * g.c(1.0)),
    ("x * -1", true, |g| g.c(-1.0) * g.x),
    ("x / 1", true, |g| g.x / g.c(1.0)),
    ("x / -1", true, |g| g.x / g.c(-1.0)),
    ("- - x", true, |g| -(-g.x)),
    ("x + -z", true, |g| g.x + -g.z),
    ("-x + z", true, |g| -g.x + g.z),
    ("x - -z", true, |g| g.x - -g.z),
    ("-x - z", true, |g| -g.x - g.z),
    ("-x * z", true, |g| -g.x * g.z),
    ("x * -z + w", true, |g| g.x * -g.z + g.w),
    ("(x * z) * w", true, |g| (g.x * g.z) * g.w),
    ("x * (z * w)", true, |g| g.x * (g.z * g.w)),
    ("(x / z) * w", true, |g| (g.x / g.z) * g.w),
    ("x / (z * w)", true, |g| g.x / (g.z * g.w)),
    ("(x + z) + w", true, |g| (g.x + g.z) + g.w),
    ("x + (z + w)", true, |g| g.x + (g.z + g.w)),
    ("select(1, x, z)", true, |g| g.c(1.0).select(g.x, g.z)),
    ("select(-0, x, z)", true, |g| g.c(-0.0).select(g.x, g.z)),
    ("select(x, z, z)", true, |g| g.x.select(g.z, g.z)),
    ("select(x, z, w)", true, |g| g.x.select(g.z, g.w)),
    ("select(x, z, 0 * w)", true, |g| {
        g.x.select(g.z, g.c(0.0) * g.w)
    }),
    ("stop_gradient(x) * z", true, |g| {
        g.map(Map::StopGradient, &[g.x]) * g.z
    }),
    ("with_gradient(x, of: w) * z", true, |g| {
        g.x.with_gradient(g.w) * g.z
    }),
    ("with_gradient(x, of: x * w) * z", true, |g| {
        g.x.with_gradient(g.x * g.w) * g.z
    }),
    ("with_gradient(0, of: w) * z", true, |g| {
        g.c(-0.0).with_gradient(g.w) * g.z
    }),
    ("clip_gradient(x, 0.8) * z", true, |g| {
        g.x.clip_gradient(0.8) * g.z
    }),
    ("clip_gradient(x, 0) * z", true, |g| {
        g.x.clip_gradient(0.0) * g.z
    }),
    ("clip_gradient(x, w) * z", true, |g| {
        g.map(Map::ClipGradient, &[g.x, g.w]) * g.z
    }),
    ("argmax(x)", false, |g| g.x.argmax()),
    ("relu(x) * z", false, |g| g.x.relu() * g.z),
    ("max(x, z)", false, |g| g.map(Map::Max, &[g.x, g.z])),
    ("abs(x) * z", true, |g| g.x.abs() * g.z),
    ("floor(x) * z", true, |g| g.x.floor() * g.z),
    ("ceil(x) * z", true, |g| g.x.ceil() * g.z),
    ("round(x) * z", true, |g| g.x.round() * g.z),
    ("expm1(x) * z", true, |g| g.x.expm1() * g.z),
    ("log1p(x) * z", true, |g| g.x.log1p() * g.z),
    ("erf(x) * z", true, |g| g.x.erf() * g.z),
    ("constants within range", true, |g| {
        g.x * (g.c(1e30) * g.c(1e-30))
    }),
    ("constants beyond single precision", true, |g| {
        g.x * (g.c(1e30) * g.c(1e30) * g.c(1e-30))
    }),
    ("constants below single precision", true, |g| {
        g.x * (g.c(1e-30) / g.c(1e30) * g.c(1e30))
    }),
    ("constants that single precision has not", true, |g| {
        g.x * (g.c(1e300) * g.c(1e-300))
    }),
    ("sum of equal numbers", false, |g| {
        g.s.broadcast(Shape::Vector(5)).sum()
    }),
    ("mean of equal numbers", false, |g| {
        g.s.broadcast(Shape::Vector(5)).mean()
    }),
    ("greatest of equal numbers", false, |g| {
        g.s.broadcast(Shape::Vector(5)).amax()
    }),
    ("slice of a concatenation", true, |g| {
        Var::concat(&[g.x, g.z]).slice(3, 5) * g.w
    }),
    ("slices added up", true, |g| {
        let both = Var::concat(&[g.x, g.z]);
        both.slice(0, 5) * g.w + both.slice(5, 5)
    }),
    ("overlapping slices", true, |g| {
        let both = Var::concat(&[g.x, g.z]);
        both.slice(1, 5) * g.w + both.slice(4, 5)
    }),
    ("concatenation with written zeros", true, |g| {
        Var::concat(&[g.x, g.c(0.0)]) + Var::concat(&[g.c(0.0), g.z])
    }),
    ("M u", false, |g| g.m.matvec(g.u)),
    ("A u", false, |g| g.a.matvec(g.u)),
    ("(s M) u", false, |g| (g.wide(g.s) * g.m).matvec(g.u)),
    ("(-M) u", false, |g| (-g.m).matvec(g.u)),
    ("u (-A)", false, |g| (-g.a).matvec_t(g.u)),
    ("(M s) u", false, |g| (g.m * g.wide(g.s)).matvec(g.u)),
    ("(M / s) u", false, |g| (g.m / g.wide(g.s)).matvec(g.u)),
    ("(A / s) u", false, |g| (g.a / g.wide(g.s)).matvec(g.u)),
    ("u (M / s)", false, |g| (g.m / g.wide(g.s)).matvec_t(g.u)),
    ("s (M u)", false, |g| {
        g.s.broadcast(Shape::Vector(1)) * g.m.matvec(g.u)
    }),
    ("sum(outer(u, v) * M)", false, |g| {
        (g.u.outer(g.x.slice(0, 1)) * g.m).sum()
    }),
    ("s * outer(u, v)", false, |g| {
        g.wide(g.s) * g.u.outer(g.x.slice(0, 1))
    }),
    ("(0 M) u", false, |g| {
        (g.wide(g.r.constant(0.0, Shape::Scalar)) * g.m).matvec(g.u)
    }),
    ("M 0", false, |g| {
        g.m.matvec(g.r.constant(0.0, Shape::Vector(1)))
    }),
    ("dot(x, 0)", false, |g| {
        g.x.slice(0, 1).dot(g.r.constant(0.0, Shape::Vector(1)))
    }),
    ("a row of zeros", false, |g| {
        let table = g.r.constant(0.0, Shape::Matrix(2, 3));
        table.gather(g.r.constant(1.0, Shape::Scalar)) * g.s.broadcast(Shape::Vector(3))
    }),
];

fn program(case: &Case) -> Tape {
    let r = Recorder::new();
    let step = |name: &str, shape: Shape| r.input(name, InputRole::Sequence, shape);
    let given = Given {
        r: &r,
        x: step("x", Shape::Vector(5)),
        z: step("z", Shape::Vector(5)),
        w: step("w", Shape::Vector(5)),
        s: step("s", Shape::Scalar),
        m: step("M", Shape::Matrix(1, 1)),
        u: step("u", Shape::Vector(1)),
        a: r.param("A", Shape::Matrix(1, 1)),
    };
    let y = (case.2)(&given);
    r.output("y", y);
    r.finish("extreme")
        .unwrap_or_else(|e| panic!("{}: {e}", case.0))
}

/// The numbers that inputs and cotangents are drawn from, the ends of one precision among those of the other.
const POINTS: [f64; 20] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.75,
    -2.5,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    1e30,
    -1e30,
    1e-30,
    3e38,
    -1.5e38,
    1.3e-38,
    -1e-42,
    1e200,
    1e300,
    -1e-300,
    1e-310,
];

/// Numbers for each array, drawn anew by each seed; half of the draws are of finite numbers only, whose faults NaN may hide.
fn draw<T: Real>(lens: &[usize], seed: usize) -> Vec<Vec<T>> {
    let mut state = seed as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut next = |finite: bool| loop {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let p = T::from_f64(POINTS[(state >> 33) as usize % POINTS.len()]);
        if !finite || p.to_f64().is_finite() {
            return p;
        }
    };
    let finite = seed.is_multiple_of(2);
    lens.iter()
        .map(|&n| (0..n).map(|_| next(finite)).collect())
        .collect()
}

/// The output and the gradients of all inputs, by name.
type Arrays<T> = Vec<(String, Vec<T>)>;

fn by_tape<T: Real>(run: &mut Interpreter<T>, tape: &Tape, given: &[Vec<T>]) -> Arrays<T> {
    let n = tape.inputs().len();
    let slices: Vec<&[T]> = given[..n].iter().map(Vec::as_slice).collect();
    run.forward(Extent { steps: 1, rows: 1 }, &slices)
        .expect("it runs");
    run.backward(&[Some(&given[n])]).expect("it runs");
    let mut out = vec![("y".to_string(), run.output(0).to_vec())];
    for (i, input) in tape.inputs().iter().enumerate() {
        let zeros = || vec![T::ZERO; input.ty.shape.len()];
        let gradient = run.gradient(i).map_or_else(zeros, <[T]>::to_vec);
        out.push((format!("grad({})", input.name), gradient));
    }
    out
}

/// Fails where numbers differ by more than a few roundings.
fn compare<T: Real>(signed: bool, right: &Arrays<T>, found: &Arrays<T>, what: &dyn Fn() -> String) {
    // 4 ulp; T's least denormal is a quarter of what is allowed below its normal range.
    let (ulp, least) = match size_of::<T>() {
        4 => (f64::from(f32::EPSILON), f64::from(f32::from_bits(1))),
        _ => (f64::EPSILON, f64::from_bits(1)),
    };
    for (name, a) in found {
        let (_, b) = (right.iter().find(|(n, _)| n == name)).expect("the tape has it");
        for (a, b) in a.iter().zip(b) {
            let (a, b) = (a.to_f64(), b.to_f64());
            let zeros = a == 0.0 && b == 0.0;
            let sign =
                !(signed && name == "y" && zeros) || a.is_sign_positive() == b.is_sign_positive();
            let near = a == b || (a - b).abs() <= 4.0 * (ulp * b.abs()).max(least);
            let same = (a.is_nan() && b.is_nan()) || (near && sign);
            assert!(same, "{}: `{name}` is {a:e}, not {b:e}", what());
        }
    }
}

fn all_engines<T: Element + Real>(case: &Case) {
    let (name, signed, _) = *case;
    let tape = program(case);
    let mut run = Interpreter::<T>::new(&tape);
    let lens: Vec<usize> = (tape.inputs().iter().map(|i| i.ty))
        .chain(tape.outputs().iter().map(|o| tape.node(o.value).ty))
        .map(|ty| ty.shape.len())
        .collect();
    let purpose = Purpose::everything(&tape);
    let recorded = Graph::from_tape(&tape);
    let derivations = purpose.derivations(&recorded).expect("its own names");
    for (passes, options) in [("no", Options::none()), ("all", Options::default())] {
        let graph = passes::run(&recorded, &derivations, &options).expect("it has an order");
        let planned = plan(&graph, &options);
        let cell = CompiledCell::<T>::compile_with(&tape, &purpose, &options).expect("it compiles");
        let outputs: Vec<String> = (cell.outputs().iter())
            .filter(|o| o.role == OutputRole::Output || o.role == OutputRole::Gradient)
            .map(|o| o.name.to_string())
            .collect();
        for seed in 0..DRAWS {
            let given = draw::<T>(&lens, seed);
            let right = by_tape(&mut run, &tape, &given);
            let slices: Vec<&[T]> = given.iter().map(Vec::as_slice).collect();
            let what = |engine: &str| format!("{name} by {engine}, {passes} passes, at {given:?}");
            let cut = Blocking {
                steps: 1,
                lanes: 4,
                last_first: false,
                block: 1,
                replay: false,
            };
            let found = planned.interpret(1, 1, &slices, cut).expect("it runs");
            let named = |arrays: Vec<Vec<T>>| outputs.iter().cloned().zip(arrays).collect();
            compare(signed, &right, &named(found), &|| what("the plan"));
            let mut found: Vec<Vec<T>> = (0..outputs.len())
                .map(|k| vec![<T as Real>::ZERO; cell.output_len(k, Extent { steps: 1, rows: 1 })])
                .collect();
            let mut slots: Vec<&mut [T]> = found.iter_mut().map(Vec::as_mut_slice).collect();
            cell.run(Extent { steps: 1, rows: 1 }, &slices, &mut slots)
                .expect("it runs");
            compare(signed, &right, &named(found), &|| what("machine code"));
        }
    }
}

#[test]
fn values_and_gradients_are_the_tapes_at_the_ends_of_single_precision() {
    let failed: Vec<&str> = CASES
        .iter()
        .filter(|c| std::panic::catch_unwind(|| all_engines::<f32>(c)).is_err())
        .map(|c| c.0)
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn values_and_gradients_are_the_tapes_at_the_ends_of_double_precision() {
    let failed: Vec<&str> = CASES
        .iter()
        .filter(|c| std::panic::catch_unwind(|| all_engines::<f64>(c)).is_err())
        .map(|c| c.0)
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// Deviations from a mean are left out of a sum even if they are not finite: a rewriting of values that hides a NaN.
#[test]
fn deviations_that_are_not_finite_are_left_out_of_a_sum() {
    let r = Recorder::new();
    let vector = |name: &str| r.input(name, InputRole::Sequence, Shape::Vector(5));
    let (x, z) = (vector("x"), vector("z"));
    let deviations = x - x.mean().broadcast(Shape::Vector(5));
    r.output("y", (z + deviations * 2.0).sum());
    let tape = r.finish("deviations").expect("it is a program");
    let z = [1.0f32, 2.0, 3.0, 4.0, 5.0];
    let sum = |options: &Options, x: f32| {
        let cell = CompiledCell::<f32>::compile_with(&tape, &Purpose::Forward, options);
        let mut y = [0.0];
        cell.expect("it compiles")
            .run(
                Extent { steps: 1, rows: 1 },
                &[&[x, 0.0, 0.0, 0.0, 0.0], &z],
                &mut [&mut y],
            )
            .expect("it runs");
        y[0]
    };
    let without = Options::verified().with(|o| o.centred = false);
    assert_eq!(
        (sum(&Options::verified(), 5.0), sum(&without, 5.0)),
        (15.0, 15.0)
    );
    assert_eq!(sum(&Options::verified(), f32::INFINITY), 15.0);
    assert!(sum(&without, f32::INFINITY).is_nan());
}
