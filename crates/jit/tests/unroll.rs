//! Unrolled loops over time: the same bits for every factor, whether it divides the number of steps or exceeds it, from
//! first to last and from last to first, with time outermost and innermost, for rows of equal and of different lengths.

use retrograd_graph::plan::{Innermost, LoopKind};
use retrograd_graph::{Options, Unroll};
use retrograd_jit::{CompiledCell, Element, Purpose};
use retrograd_tape::{InputRole, Lengths, Real, Tape};
use retrograd_text::read_tape;

const LSTM: &str = "cell lstm(x[5]; h[12], c[12])
i = sigmoid(dense(x, h))
f = sigmoid(dense(x, h))
g = tanh(dense(x, h))
o = sigmoid(dense(x, h))
c' = f * c + i * g
h' = o * tanh(c')
output y = h'
loss mean(square(h'))
";

/// Time is inside, 20 lanes: a whole tile and what remains.
const MINGRU: &str = "cell mingru(x[5]; h[20])
z = sigmoid(dense(x))
new = dense(x)
h' = (1 - z) * h + z * new
output y = h'
loss mean(square(h'))
";

/// The layer goes from last to first, its adjoint from first to last; one state is two steps away.
const REVERSE: &str = "cell reverse(x[5]; h[12] delay -1, far[12] delay -2)
h' = tanh(dense(x, h, far))
far' = 0.5 * far + h'
output y = far'
loss mean(square(far'))
";

const FACTORS: [usize; 6] = [1, 2, 3, 4, 8, 32];
const STEPS: [usize; 4] = [1, 7, 8, 33];

fn compiled<T: Element>(tape: &Tape, factor: usize) -> CompiledCell<T> {
    let options =
        Options::default().with(|o| o.unroll = Unroll::by(factor).expect("there is code for it"));
    CompiledCell::compile_with(tape, &Purpose::Train, &options).expect("it compiles")
}

/// All outputs of a run, gradients and final states among them; every number of an input differs from its neighbours.
fn run<T: Element + Real>(cell: &CompiledCell<T>, lengths: &Lengths) -> Vec<Vec<T>> {
    let b = lengths.rows();
    let number = |i: usize, k: usize| <T as Real>::from_f64(((7 * i + k) as f64 * 0.37).sin());
    let input = |(i, x): (usize, &retrograd_tape::Input)| {
        let points = match x.role {
            InputRole::Param => 1,
            // As many slots as the delay is long; the farthest is 2.
            InputRole::Initial if &*x.name == "far" => 2 * b,
            InputRole::Initial => b,
            _ => lengths.points(),
        };
        let numbers = 0..points * x.ty.shape.len();
        numbers.map(|k| number(i, k)).collect::<Vec<T>>()
    };
    let inputs: Vec<Vec<T>> = cell.inputs().iter().enumerate().map(input).collect();
    let nan = <T as Real>::from_f64(f64::NAN);
    let lens = (0..cell.outputs().len()).map(|k| cell.output_len_ragged(k, lengths));
    let mut outputs: Vec<Vec<T>> = lens.map(|n| vec![nan; n]).collect();
    let slices: Vec<&[T]> = inputs.iter().map(Vec::as_slice).collect();
    let mut out: Vec<&mut [T]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    let mut executor = cell.executor();
    (executor.run_ragged(lengths, &slices, &mut out)).expect("the arrays fit");
    outputs
}

fn bits<T: Real>(arrays: &[Vec<T>]) -> Vec<u64> {
    let numbers = arrays.iter().flatten();
    numbers.map(|x| Real::to_f64(*x).to_bits()).collect()
}

fn same_bits<T: Element + Real>(name: &str, text: &str) {
    let tape = read_tape(name, text, &[]).expect("a cell");
    let once = compiled::<T>(&tape, 1);
    for factor in FACTORS {
        let unrolled = compiled::<T>(&tape, factor);
        let loops = unrolled.plan().loops().into_iter();
        let recurrences: Vec<usize> = loops
            .filter(|l| matches!(l.kind, LoopKind::Recurrence { .. }))
            .map(|l| l.unroll)
            .collect();
        assert_eq!(recurrences, [factor; 2], "{name}");
        for t in STEPS {
            for rows in [vec![t], vec![t; 3], vec![t, t.div_ceil(2), 1, 0]] {
                let lengths = Lengths::new(rows).expect("the longest comes first");
                let right = run(&once, &lengths);
                let numbers = right.iter().flatten();
                assert!(numbers.into_iter().all(|x| Real::to_f64(*x).is_finite()));
                let found = run(&unrolled, &lengths);
                let what = format!("{name}, {factor} steps per iteration, {lengths:?}");
                assert_eq!(bits(&found), bits(&right), "{what}");
            }
        }
    }
}

#[test]
fn a_loop_with_products_gives_the_same_bits_for_every_factor() {
    same_bits::<f32>("lstm", LSTM);
    same_bits::<f64>("lstm", LSTM);
}

#[test]
fn a_loop_with_time_inside_does_too() {
    let tape = read_tape("mingru", MINGRU, &[]).expect("a cell");
    let plan = compiled::<f32>(&tape, 4);
    let loops = plan.plan().loops().into_iter();
    let inside = loops.filter(|l| matches!(l.inner, Innermost::Time(_)));
    assert_eq!(inside.count(), 2, "{}", plan.plan());
    same_bits::<f32>("mingru", MINGRU);
    same_bits::<f64>("mingru", MINGRU);
}

#[test]
fn so_does_a_layer_that_reads_from_the_end() {
    same_bits::<f32>("reverse", REVERSE);
    same_bits::<f64>("reverse", REVERSE);
}
