//! Sample by sample: the results of a whole run for every cell file and every kind of state, which programs are
//! rejected, what can be set and read, and no allocation. (Random programs: `differential.rs`.)

#[path = "stepper/refused.rs"]
mod refused;
#[path = "stepper/whole.rs"]
mod whole;

use retrograd_graph::plan::{Innermost, Item, Lifetime, LoopKind, Stmt};
use retrograd_jit::{CompiledCell, Purpose, RunError, Stepper, StepperError};
use retrograd_tape::{Domain, InputRole, Tape};
use retrograd_text::read_tape;

fn tape(text: &str) -> Tape {
    read_tape("stepper", text, &[]).unwrap_or_else(|e| panic!("{e}"))
}

const LSTM: &str = "cell lstm(x[I]; h[H], c[H]) where I=4, H=32
i = sigmoid(dense(x, h))
f = sigmoid(dense(x, h))
g = tanh(dense(x, h))
o = sigmoid(dense(x, h))
c' = f * c + i * g
h' = o * tanh(c')
output y = dense[3](h')
target next[3]
loss mean(square(y - next))
";

/// What steppers have to get right, each compared with the tape in f64 and f32.
const CELLS: [(&str, &str); 8] = [
    (
        "dilated",
        "cell dilated(x[5]; h[24], s[24] delay 3, u[24] delay 8)
h' = tanh(dense(x, h))
s' = tanh(dense(h', s))
u' = tanh(dense(s', u))
output y = u' + s
",
    ),
    (
        "two layers",
        "cell two(x[5]; a[20], b[17])
a' = tanh(dense(x, a))
b' = tanh(dense(a', b))
output y = softmax(dense[4](b'))
",
    ),
    (
        "earlier readout",
        "cell early(x[5]; h[20])
h' = tanh(dense(x, h))
output y = dense[2](h)
output z = h'
",
    ),
    (
        "learned beginning",
        "cell learned(x[3]; h[20] init learned, s[20] delay 2 init learned)
h' = tanh(dense(x, h, s))
s' = h'
output y = dense[2](h')
",
    ),
    (
        "weights made of parameters",
        "cell normed(x[6]; h[18])
param v[18,6]
param a[18]
w = v / sqrt(sum(v * v))
h' = exp(-exp(a)) * h + w @ x
output y = tanh(h')
",
    ),
    (
        "a state that nothing reads, and one that is an output",
        "cell loose(x[3]; h[16], seen[3] delay 2)
h' = relu(dense(x, h))
seen' = x
output y = h'
",
    ),
    (
        "no state",
        "cell plain(x[7])
output y = tanh(dense[20](x))
",
    ),
    (
        "mutual",
        "cell mutual(x[3]; a[16], b[16] delay 2)
a' = tanh(dense(x, b))
b' = sigmoid(dense(a, b))
output y = a' * b'
",
    ),
];

/// Numbers for all inputs that do not come with a sample.
fn fixed(tape: &Tape, b: usize) -> Vec<Vec<f32>> {
    let number = |i: usize, k: usize| (i as f32 * 0.37 + k as f32).sin() * 0.3;
    (tape.inputs().iter().enumerate())
        .map(|(k, input)| {
            let points = match input.ty.domain {
                Domain::Once => 1,
                Domain::Row => b,
                Domain::BoundarySlots(_) | Domain::Step => 0,
            };
            (0..points * input.ty.shape.len())
                .map(|i| number(i, k))
                .collect()
        })
        .collect()
}

fn slices(arrays: &[Vec<f32>]) -> Vec<&[f32]> {
    arrays.iter().map(Vec::as_slice).collect()
}

#[test]
fn a_step_is_one_loop_and_what_depends_on_no_sample_is_outside_of_it() {
    for (what, text) in CELLS {
        let tape = tape(text);
        let stepper = Stepper::new(&tape, 1, &slices(&fixed(&tape, 1))).expect("it is made");
        let plan = stepper.plan();
        let steps = plan
            .loops()
            .into_iter()
            .filter(|l| l.domain == Domain::Step);
        let steps: Vec<_> = steps.collect();
        let [step] = steps[..] else {
            panic!("{what} has {} loops over steps\n{plan}", steps.len())
        };
        assert_eq!(step.kind, LoopKind::Recurrence { reverse: false });
        let outside = plan.items.iter().all(|i| match i {
            Item::Pack(_) | Item::Loop(_) => true,
            Item::Product { domain, .. } => *domain != Domain::Step,
            _ => false,
        });
        assert!(outside, "{what}\n{plan}");
    }
    let (_, text) = CELLS
        .iter()
        .find(|c| c.0.starts_with("weights"))
        .expect("it is there");
    let tape = tape(text);
    let stepper = Stepper::new(&tape, 1, &slices(&fixed(&tape, 1))).expect("it is made");
    let step = stepper
        .plan()
        .loops()
        .into_iter()
        .find(|l| l.domain == Domain::Step);
    let step = step.expect("it has one");
    let exp = |s: &Stmt| format!("{s:?}").contains("Exp");
    assert!(!step.body.iter().any(exp), "{:?}", step.body);
}

#[test]
fn delays_have_rings_of_a_power_of_two_that_do_not_grow() {
    let (_, text) = CELLS[0];
    let tape = tape(text);
    let mut stepper = Stepper::new(&tape, 1, &slices(&fixed(&tape, 1))).expect("it is made");
    let plan = stepper.plan();
    let rings = plan
        .memory
        .keep
        .values()
        .filter(|k| matches!(k, Lifetime::Ring(_)));
    let mut rings: Vec<Lifetime> = rings.copied().collect();
    rings.sort_by_key(|k| format!("{k:?}"));
    // Eight steps back and the step at hand, and three.
    assert_eq!(rings, [Lifetime::Ring(16), Lifetime::Ring(4)], "{plan}");
    let bytes = stepper.bytes();
    for _ in 0..1000 {
        stepper.step(&[&[0.5; 5]], &mut []).expect("it fits");
    }
    assert_eq!(stepper.bytes(), bytes);
    assert!(stepper.output(0).iter().all(|x| x.is_finite()));
}

#[test]
fn a_cell_that_is_compiled_for_training_has_the_same_stepper() {
    let tape = tape(LSTM);
    let given = fixed(&tape, 2);
    let cell = CompiledCell::<f32>::compile(&tape, &Purpose::Train).expect("it compiles");
    let mut a = cell.stepper(2, &slices(&given)).expect("it is made");
    let mut b = Stepper::new(&tape, 2, &slices(&given)).expect("it is made");
    // The target is for the loss alone.
    let names: Vec<&str> = a.inputs().iter().map(|i| &*i.name).collect();
    assert_eq!(names, ["x"]);
    assert_eq!(a.states().collect::<Vec<_>>(), ["h", "c"]);
    for k in 0..5 {
        let x = [0.1 * k as f32; 8];
        a.step(&[&x], &mut []).expect("it fits");
        b.step(&[&x], &mut []).expect("it fits");
        assert_eq!(a.output(0), b.output(0));
    }
}

#[test]
fn other_parameters_act_at_once_and_states_stay() {
    let text = "cell leaky(x[1]; h[1])
param a[1]
h' = exp(a) * h + x
output y = h'
";
    let tape = tape(text);
    let param = tape
        .inputs()
        .iter()
        .position(|i| i.role == InputRole::Param)
        .expect("a");
    let given = |a: f32| {
        let mut all = vec![Vec::new(); tape.inputs().len()];
        all[param] = vec![a];
        all
    };
    let half = 0.5f32.ln();
    let mut leaky = Stepper::new(&tape, 1, &slices(&given(half))).expect("it is made");
    let mut y = [0.0];
    let near = |y: f32, right: f32| (y - right).abs() < 1e-5;
    leaky.step(&[&[1.0]], &mut [&mut y]).expect("it fits");
    leaky.step(&[&[1.0]], &mut [&mut y]).expect("it fits");
    assert!(near(y[0], 1.5), "{y:?}");
    leaky
        .set_inputs(&slices(&given(2.0f32.ln())))
        .expect("it fits");
    leaky.step(&[&[1.0]], &mut [&mut y]).expect("it fits");
    assert!(near(y[0], 4.0), "{y:?}");
    leaky.reset();
    leaky.step(&[&[1.0]], &mut [&mut y]).expect("it fits");
    assert!(near(y[0], 1.0), "{y:?}");
}

#[test]
fn arrays_that_do_not_fit_are_refused_and_nothing_has_run() {
    let tape = tape(LSTM);
    let given = fixed(&tape, 1);
    let mut stepper = Stepper::new(&tape, 1, &slices(&given)).expect("it is made");
    stepper.step(&[&[0.3; 4]], &mut []).expect("it fits");
    let before = stepper.output(0).to_vec();
    let state = stepper.state("c").expect("it has one").to_vec();
    let mut y = [0.0; 3];
    let count = stepper.step(&[], &mut []);
    assert!(
        matches!(count, Err(RunError::Count { what: "inputs", .. })),
        "{count:?}"
    );
    let outs = stepper.step(&[&[0.3; 4]], &mut [&mut y, &mut [0.0]]);
    assert!(
        matches!(
            outs,
            Err(RunError::Count {
                what: "outputs",
                ..
            })
        ),
        "{outs:?}"
    );
    let short = stepper.step(&[&[0.3; 3]], &mut []);
    assert!(
        matches!(short, Err(RunError::Length { found: 3, .. })),
        "{short:?}"
    );
    let long = stepper.step(&[&[0.3; 4]], &mut [&mut [0.0; 4]]);
    assert!(
        matches!(long, Err(RunError::Length { what: "output", .. })),
        "{long:?}"
    );
    let none = stepper.set_state("m", &[0.0; 32]);
    assert!(
        matches!(&none, Err(RunError::NoState { known, .. }) if known == &["h", "c"]),
        "{none:?}"
    );
    let length = stepper.set_state("c", &[0.0; 31]);
    assert!(
        matches!(length, Err(RunError::Length { what: "state", .. })),
        "{length:?}"
    );
    assert_eq!(stepper.output(0), before);
    assert_eq!(stepper.state("c"), Some(&state[..]));
    let mut empty = given.clone();
    let param = tape
        .inputs()
        .iter()
        .position(|i| i.role == InputRole::Param)
        .expect("it has some");
    empty[param].clear();
    let made = Stepper::new(&tape, 1, &slices(&empty));
    assert!(
        matches!(made, Err(StepperError::Run(RunError::Length { .. }))),
        "{made:?}"
    );
    let rows = Stepper::new(&tape, 0, &slices(&given));
    assert!(
        matches!(rows, Err(StepperError::Run(RunError::Empty { .. }))),
        "{rows:?}"
    );
}

/// A cell with an auxiliary loss: a target, a static input and states that only it reads, one of them from the end.
const AUXILIARY: &str = "cell auxiliary(x[3]; h[6], a[4], b[4] delay -1, seen[3] delay 2)
static style[5]
target next[2]
h' = tanh(dense(x, h))
a' = tanh(dense(h', a, style))
b' = tanh(dense(x, b, next))
seen' = x
y = dense[2](h')
z = dense[2](a', b')
output y = y
loss mean(square(y - next)) + mean(square(z - next))
";

#[test]
fn what_reaches_no_output_is_not_asked_for() {
    let tape = tape(AUXILIARY);
    let mut given = fixed(&tape, 1);
    let style = tape.input("style").expect("it has one");
    given[style].clear();
    let mut stepper = Stepper::new(&tape, 1, &slices(&given)).expect("it is made");
    let names: Vec<&str> = stepper.inputs().iter().map(|i| &*i.name).collect();
    assert_eq!(names, ["x"]);
    // What nobody but the caller reads stays.
    assert_eq!(stepper.states().collect::<Vec<_>>(), ["h", "seen"]);
    assert!(stepper.state("a").is_none());
    stepper.step(&[&[0.5; 3]], &mut []).expect("it fits");
    assert_eq!(
        stepper.state("seen"),
        Some(&[0.0, 0.0, 0.0, 0.5, 0.5, 0.5][..])
    );
    // Where an output reads them, they are.
    let asked = AUXILIARY.replace("output y = y", "output y = y + z");
    let asked = self::tape(&asked.replace(" delay -1", ""));
    let mut given = fixed(&asked, 1);
    let missing = asked.input("style").expect("it has one");
    let stepper = Stepper::new(&asked, 1, &slices(&given)).expect("it is made");
    let names: Vec<&str> = stepper.inputs().iter().map(|i| &*i.name).collect();
    assert_eq!(names, ["x", "next"]);
    assert_eq!(
        stepper.states().collect::<Vec<_>>(),
        ["h", "a", "b", "seen"]
    );
    given[missing].clear();
    let refused = Stepper::new(&asked, 1, &slices(&given)).expect_err("it reads its style");
    assert!(
        matches!(&refused, StepperError::Run(RunError::Length { name, found: 0, .. }) if name == "style"),
        "{refused:?}"
    );
}

#[test]
fn states_are_kept_without_an_output_unless_they_need_a_target() {
    let tape = tape(
        "cell filter(x[2]; h[2], error[2])
target next[2]
h' = 0.5 * h + x
error' = 0.9 * error + square(h' - next)
loss mean(error')
",
    );
    let stepper = Stepper::<f32>::new(&tape, 1, &slices(&fixed(&tape, 1))).expect("it is made");
    assert_eq!(stepper.states().collect::<Vec<_>>(), ["h"]);
    assert_eq!(stepper.inputs().len(), 1);
}

/// The numbers of a sample for each row.
fn samples(step: usize, n: usize, rows: usize) -> Vec<f32> {
    let number = |i: usize| ((i + 7 * step) as f32 * 0.9 + 0.2).sin();
    (0..n * rows).map(number).collect()
}

#[test]
fn a_renewed_row_begins_and_the_others_go_on_for_every_kind_of_state() {
    for (what, text) in CELLS {
        let tape = tape(text);
        let (tapes, b) = (
            [tape.clone(), tape.carrying().expect("it can be carried").0],
            3,
        );
        for tape in tapes {
            let given = fixed(&tape, b);
            let make = || Stepper::new(&tape, b, &slices(&given)).expect("it is made");
            let (mut renewed, mut whole) = (make(), make());
            let n = renewed.inputs()[0].ty.shape.len();
            for step in 0..5 {
                let x = samples(step, n, b);
                renewed.step(&[&x], &mut []).expect("it fits");
                whole.step(&[&x], &mut []).expect("it fits");
            }
            let mut fresh = make();
            let states: Vec<String> = renewed.states().map(str::to_string).collect();
            renewed.reset_row(1).expect("there is one");
            // A fork goes on by itself.
            let mut fork = renewed.fork();
            fork.reset();
            for step in 5..12 {
                let x = samples(step, n, b);
                for stepper in [&mut renewed, &mut whole, &mut fresh, &mut fork] {
                    stepper.step(&[&x], &mut []).expect("it fits");
                }
                for k in 0..renewed.outputs().len() {
                    let m = renewed.output(k).len() / b;
                    for row in 0..b {
                        let other = if row == 1 { &fresh } else { &whole };
                        let part = row * m..(row + 1) * m;
                        assert_eq!(
                            renewed.output(k)[part.clone()],
                            other.output(k)[part],
                            "{what}, step {step}, row {row}"
                        );
                    }
                    assert_eq!(fork.output(k), fresh.output(k), "{what}, step {step}");
                }
            }
            for state in states {
                let all = renewed.state(&state).expect("it has it").to_vec();
                let (new, old) = (fresh.state(&state), whole.state(&state));
                let (new, old) = (new.expect("it has it"), old.expect("it has it"));
                let slots = (tape.outputs().iter().zip(0..))
                    .find(|(o, _)| *o.name == *state)
                    .map(|(o, _)| tape.node(o.value).ty)
                    .expect("it is an output");
                let n = slots.shape.len();
                for (i, x) in all.iter().enumerate() {
                    let right = if i / n % b == 1 { new } else { old };
                    assert_eq!(*x, right[i], "{what}, {state}, number {i}");
                }
            }
            let none = renewed.reset_row(b);
            assert_eq!(none, Err(RunError::NoRow { row: 3, rows: 3 }));
        }
    }
}

#[test]
fn a_fork_of_a_scalar_goes_on_by_itself() {
    let r = retrograd_tape::Recorder::new();
    let x = r.input("x", InputRole::Sequence, retrograd_tape::Shape::Scalar);
    let h = r.state("h", retrograd_tape::Shape::Scalar, 1, None);
    r.output("y", r.next(h, h + x));
    let tape = r.finish("sum").expect("it is right");
    let mut sum = Stepper::<f32>::new(&tape, 1, &[&[], &[]]).expect("it is made");
    // Its loop has time inside, and reads the table of points before each step.
    let inside = |l: &&retrograd_graph::plan::Loop| matches!(l.inner, Innermost::Time(_));
    assert!(sum.plan().loops().iter().any(inside), "{}", sum.plan());
    sum.step(&[&[1.0]], &mut []).expect("it fits");
    let mut fork = sum.fork();
    fork.step(&[&[10.0]], &mut []).expect("it fits");
    assert_eq!(fork.output(0), [11.0]);
    sum.step(&[&[1.0]], &mut []).expect("it fits");
    assert_eq!(sum.output(0), [2.0]);
    // The table has one step, and samples never end.
    for _ in 0..4_000_000 {
        fork.step(&[&[0.0]], &mut []).expect("it fits");
    }
    assert_eq!(fork.output(0), [11.0]);
}
