//! The memory of a run is known beforehand: the allocator sees the planned bytes and no others, a budget is met, and
//! long sequences train and run in little memory.

use retrograd_tape::Extent;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use retrograd_graph::Options;
use retrograd_graph::plan::{Lifetime, Storage};
use retrograd_jit::{CompiledCell, Element, Executor, Purpose, Stepper};
use retrograd_tape::{Domain, InputRole, Lengths, Real, Tape};
use retrograd_text::read_tape;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every method forwards to the system allocator; the counters are plain numbers of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        LIVE.set(LIVE.get().wrapping_add(layout.size()));
        PEAK.set(PEAK.get().max(LIVE.get()));
        // SAFETY: the caller's promise about `layout` is the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().wrapping_sub(layout.size()));
        // SAFETY: `ptr` came from `alloc`, that is from the system allocator, with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LSTM: &str = "cell lstm(x[I]; h[H], c[H]) where I=4, H=64
i = sigmoid(dense(x, h))
f = sigmoid(dense(x, h))
g = tanh(dense(x, h))
o = sigmoid(dense(x, h))
c' = f * c + i * g
h' = o * tanh(c')
y = dense[4](h')
target next[4]
loss mean(square(y - next))
";

/// Two layers of other kinds, one of them with a delay of 2, a softmax readout and a weighted loss.
const MIXED: &str = "cell mixed(x[5]; h[24], s[24] delay 2)
z = sigmoid(dense(x, h))
h' = z * h + (1 - z) * tanh(dense(x, h))
s' = tanh(dense(h', s))
output y = softmax(dense[7](s'))
target next[7]
loss -dot(next, ln(y))
";

const INDRNN: &str = "cell indrnn(x[3]; h[40])
param u[40]
h' = relu(dense(x) + u * h)
output y = dense[2](h')
target next[2]
loss mean(square(y - next))
";

/// A memory of D × D numbers a row, a normaliser and a stabiliser.
const MLSTM: &str = concat!(
    include_str!("../../retrograd/cells/mlstm.cell"),
    "target next[D]\nloss mean(square(h - next))\n"
);

fn tape(text: &str) -> Tape {
    read_tape("memory", text, &[]).expect("a cell")
}

fn equal(t: usize, b: usize) -> Lengths {
    Lengths::new(vec![t; b]).expect("they are equal")
}

/// Arrays for a run, its initial states left out.
struct Arrays<T> {
    inputs: Vec<Vec<T>>,
    outputs: Vec<Vec<T>>,
    left_out: Vec<usize>,
}

impl<T: Element + Real> Arrays<T> {
    fn new(cell: &CompiledCell<T>, t: usize, b: usize) -> Arrays<T> {
        Arrays::of_rows(cell, &equal(t, b))
    }

    fn of_rows(cell: &CompiledCell<T>, lengths: &Lengths) -> Arrays<T> {
        let number = |i: usize, k: usize| {
            let x = (i as f64 * 0.37 + k as f64).sin() * 0.3;
            <T as Real>::from_f64(x)
        };
        let inputs = cell.inputs().iter().enumerate().map(|(k, i)| match i.role {
            InputRole::Initial => Vec::new(),
            _ => (0..lengths.numbers(i.ty)).map(|i| number(i, k)).collect(),
        });
        let inputs: Vec<Vec<T>> = inputs.collect();
        let left_out = (0..inputs.len()).filter(|&k| inputs[k].is_empty());
        Arrays {
            left_out: left_out.collect(),
            outputs: (0..cell.outputs().len())
                .map(|k| vec![<T as Real>::from_f64(f64::NAN); cell.output_len_ragged(k, lengths)])
                .collect(),
            inputs,
        }
    }

    /// Runs; the most bytes that were there at once beyond those before, and the allocations.
    fn run(&mut self, executor: &mut Executor<T>, t: usize, b: usize) -> (usize, usize) {
        self.run_rows(executor, &equal(t, b))
    }

    fn run_rows(&mut self, executor: &mut Executor<T>, lengths: &Lengths) -> (usize, usize) {
        let inputs: Vec<&[T]> = self.inputs.iter().map(Vec::as_slice).collect();
        let mut outputs: Vec<&mut [T]> = self.outputs.iter_mut().map(Vec::as_mut_slice).collect();
        let (live, count) = (LIVE.get(), COUNT.get());
        PEAK.set(live);
        executor
            .run_ragged(lengths, &inputs, &mut outputs)
            .expect("it fits");
        (PEAK.get() - live, COUNT.get() - count)
    }
}

fn compiled<T: Element>(tape: &Tape, purpose: &Purpose) -> CompiledCell<T> {
    CompiledCell::compile(tape, purpose).expect("it compiles")
}

/// Planned bytes are allocated by the first run, and nothing by the second.
fn as_planned<T: Element + Real>(
    text: &str,
    purpose: &Purpose,
    lengths: &Lengths,
    budget: Option<usize>,
) {
    let cell = compiled::<T>(&tape(text), purpose);
    let mut arrays = Arrays::of_rows(&cell, lengths);
    let mut executor = cell.executor();
    executor.set_budget(budget);
    let left_out = arrays.left_out.clone();
    let plan = executor
        .memory_ragged(lengths, (&left_out, &[]))
        .expect("enough");
    let (bytes, _) = arrays.run_rows(&mut executor, lengths);
    assert_eq!(bytes, plan.bytes, "{lengths:?} {budget:?}: {plan:?}");
    assert_eq!(executor.workspace_bytes(), plan.bytes);
    let again = arrays.run_rows(&mut executor, lengths);
    assert_eq!(again, (0, 0), "{lengths:?}: again");
}

#[test]
fn the_allocator_sees_the_planned_bytes_and_nothing_in_later_runs() {
    for text in [LSTM, MIXED, INDRNN, MLSTM] {
        for purpose in [Purpose::Forward, Purpose::Train] {
            for rows in [
                vec![1],
                vec![7],
                vec![100; 3],
                vec![13; 40],
                vec![100, 99, 2, 1, 0],
                (0..40).rev().collect(),
            ] {
                let lengths = Lengths::new(rows).expect("the longest comes first");
                as_planned::<f32>(text, &purpose, &lengths, None);
                as_planned::<f64>(text, &purpose, &lengths, None);
            }
        }
        let train = Purpose::Train;
        as_planned::<f32>(text, &train, &equal(4000, 1), Some(600_000));
        let two = Lengths::new(vec![3000, 40]).expect("the longest comes first");
        as_planned::<f32>(text, &train, &two, Some(600_000));
    }
}

#[test]
fn six_numbers_a_unit_and_step_cross_to_the_backward_step_of_an_lstm() {
    let cell = compiled::<f32>(&tape(LSTM), &Purpose::Train);
    let plan = cell.plan();
    // All that is not for one block's work alone, whether it could be replayed or not.
    let crosses = |u: &retrograd_graph::plan::BufferId| {
        let array = &plan.buffers[*u];
        let own = array.storage == Storage::Workspace && array.domain == Domain::Step;
        own && !matches!(plan.memory.keep[*u], Lifetime::Block(_))
    };
    let numbers = plan.buffers.keys().filter(crosses);
    let numbers: usize = numbers.map(|u| plan.buffers[u].len).sum();
    // Four gates, c and h, of 64 units.
    assert_eq!(numbers, 6 * 64);
}

/// Blocks are as long as keeps a sweep's arrays in cache, in multiples of the 256 terms that a weight gradient adds at a time,
/// but for what takes megabytes a point; and so long that a weight gradient does not outweigh them.
#[test]
fn blocks_keep_arrays_in_cache_and_outweigh_the_sums_of_weight_gradients() {
    let points = |text, name, n, (t, b)| {
        let sizes = [("I", n), (name, n)];
        let tape = read_tape("memory", text, &sizes).expect("a cell");
        let cell = compiled::<f32>(&tape, &Purpose::Train);
        let memory = cell.memory(Extent::steps(t).rows(b), (&[], &[]));
        let memory = memory.expect("enough");
        assert!(!memory.replays, "{n}: {memory:?}");
        memory.block * b
    };
    let lstm = |h, extent| points(LSTM, "H", h, extent);
    let near = lstm(16, (2000, 1));
    assert!(near > 256 && near < 2000 && near % 256 == 0, "{near}");
    assert_eq!(lstm(64, (100, 4)), 256);
    assert_eq!(lstm(128, (20, 32)), 256);
    let sums = lstm(256, (30, 32));
    assert!(sums > 256 && sums < 30 * 32 && sums % 256 == 0, "{sums}");
    // All there is, and a step at least.
    assert_eq!(lstm(128, (3, 32)), 3 * 32);
    assert_eq!(lstm(128, (3, 1000)), 1000);
    let memory = points(MLSTM, "D", 128, (20, 32));
    assert!(memory < 256, "{memory}");
}

#[test]
fn inference_needs_no_more_for_a_long_sequence_than_for_a_block_and_a_table_of_steps() {
    for text in [LSTM, MIXED, INDRNN] {
        let cell = compiled::<f32>(&tape(text), &Purpose::Forward);
        let memory = |t| {
            cell.memory(Extent::steps(t), (&[], &[]))
                .expect("no budget")
        };
        let long = memory(1_000_000);
        let more = TABLE * (1_000_000 - long.block);
        assert_eq!(long.bytes, memory(long.block).bytes + more);
    }
}

/// Bytes per step of the table of points before each step.
const TABLE: usize = 8;

#[test]
fn a_matrix_memory_keeps_one_matrix_forward_and_few_for_training() {
    const D: usize = 32;
    let tape = read_tape("mlstm", MLSTM, &[("D", D)]).expect("a cell");
    let forward = compiled::<f32>(&tape, &Purpose::Forward);
    let plan = forward.plan();
    let over_steps = |x: &&retrograd_graph::plan::Buffer| x.domain == Domain::Step;
    let longest = plan
        .buffers
        .values()
        .filter(over_steps)
        .map(|x| x.len)
        .max();
    // Six vectors of D at most, and the gates: no step's matrix is kept beyond it.
    assert!(longest.is_some_and(|n| n < D * D), "{plan}");
    let memory = |t| {
        forward
            .memory(Extent { steps: t, rows: 8 }, (&[], &[]))
            .expect("no budget")
    };
    let long = memory(1_000_000);
    let more = TABLE * (1_000_000 - long.block);
    assert_eq!(long.bytes, memory(long.block).bytes + more);

    let train = compiled::<f32>(&tape, &Purpose::Train);
    let (t, b) = (1000, 8);
    let memory = train
        .memory(Extent { steps: t, rows: b }, (&[], &[]))
        .expect("no budget");
    assert!(memory.replays, "{memory:?}");
    let matrices = t * b * D * D * size_of::<f32>();
    println!("{memory:?}, all matrices {matrices} bytes");
    assert!(memory.bytes * 8 < matrices, "{memory:?}, not {matrices}");

    // Few steps stay in cache, and are kept.
    let memory = train
        .memory(Extent { steps: 64, rows: b }, (&[], &[]))
        .expect("no budget");
    assert!(!memory.replays, "{memory:?}");

    // Gradients are those of a plan that keeps every matrix.
    let whole = Options::default().with(|o| o.sweeps = false);
    let kept = CompiledCell::compile_with(&tape, &Purpose::Train, &whole).expect("it compiles");
    let t = 400;
    let memory = train
        .memory(Extent { steps: t, rows: b }, (&[], &[]))
        .expect("no budget");
    assert!(memory.replays && memory.block < t, "{memory:?}");
    let (mut x, mut y) = (Arrays::new(&train, t, b), Arrays::new(&kept, t, b));
    let (few, _) = x.run(&mut train.executor(), t, b);
    let (all, _) = y.run(&mut kept.executor(), t, b);
    assert!(few < all && t * b * D * D * size_of::<f32>() < all);
    for (k, (x, y)) in x.outputs.iter().zip(&y.outputs).enumerate() {
        let size = x.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let apart = x.iter().zip(y).map(|(x, y): (&f32, &f32)| (x - y).abs());
        let most = apart.fold(0.0, f32::max);
        // Sums over T·B points, cut at other places: each term is rounded once more at most.
        let rounding = (t * b) as f32 * f32::EPSILON;
        assert!(most <= rounding * size, "output {k}: {most} of {size}");
    }
}

#[test]
fn many_short_rows_beside_a_long_one_take_the_memory_of_their_points() {
    for text in [INDRNN, MLSTM, LSTM] {
        let tape = tape(text);
        let train = compiled::<f32>(&tape, &Purpose::Train);
        let lengths = Lengths::new([vec![1000], vec![5; 2500]].concat());
        let lengths = lengths.expect("the longest comes first");
        let mut ragged = Arrays::of_rows(&train, &lengths);
        let memory = train
            .executor()
            .memory_ragged(&lengths, (&ragged.left_out, &[]));
        let memory = memory.expect("no limit");
        // As many points, in rows of the same length.
        let rows = lengths.rows();
        let steps = lengths.points().div_ceil(rows);
        let extent = Extent { steps, rows };
        let full = train
            .memory(extent, (&ragged.left_out, &[]))
            .expect("no limit");
        assert!(memory.bytes < 2 * full.bytes, "{memory:?}, {full:?}");

        let options = Options::default().with(|o| o.sweeps = false);
        let kept = CompiledCell::compile_with(&tape, &Purpose::Train, &options);
        let kept = kept.expect("it compiles");
        let mut whole = Arrays::of_rows(&kept, &lengths);
        ragged.run_rows(&mut train.executor(), &lengths);
        whole.run_rows(&mut kept.executor(), &lengths);
        for (k, (x, y)) in ragged.outputs.iter().zip(&whole.outputs).enumerate() {
            let size = x.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let apart = x.iter().zip(y).map(|(x, y): (&f32, &f32)| (x - y).abs());
            let most = apart.fold(0.0, f32::max);
            // Sums over the points, cut at other places: each term is rounded once more at most.
            let rounding = lengths.points() as f32 * f32::EPSILON;
            assert!(most <= rounding * size, "output {k}: {most} of {size}");
        }
    }
}

#[test]
fn a_sample_allocates_nothing() {
    for text in [LSTM, MIXED, INDRNN] {
        for b in [1, 3, 40] {
            let tape = tape(text);
            let fixed = tape.inputs().iter().map(|i| match i.role {
                InputRole::Param => vec![0.1f32; i.ty.shape.len()],
                _ => Vec::new(),
            });
            let fixed: Vec<Vec<f32>> = fixed.collect();
            let fixed: Vec<&[f32]> = fixed.iter().map(Vec::as_slice).collect();
            let mut stepper = Stepper::new(&tape, b, &fixed).expect("it is made");
            let x = vec![0.5; b * stepper.inputs()[0].ty.shape.len()];
            let before = (LIVE.get(), COUNT.get());
            for _ in 0..100 {
                stepper.step(&[&x], &mut []).expect("it fits");
            }
            stepper.reset();
            let sum: f32 = stepper.state("h").expect("it has one").iter().sum();
            assert_eq!(sum, 0.0);
            assert_eq!((LIVE.get(), COUNT.get()), before, "B={b}");
        }
    }
}

#[test]
fn a_hundred_thousand_steps_train_in_eight_mebibytes() {
    const T: usize = 100_000;
    const BYTES: usize = 8 << 20;
    let tape = tape(LSTM);
    let cell = compiled::<f32>(&tape, &Purpose::Train);
    let (mut free, mut tight) = (cell.executor(), cell.executor());
    tight.set_budget(Some(BYTES));
    let (mut a, mut b) = (Arrays::new(&cell, T, 1), Arrays::new(&cell, T, 1));
    let mut least = [Duration::MAX; 2];
    for round in 0..4 {
        let start = Instant::now();
        a.run(&mut free, T, 1);
        let half = Instant::now();
        let (bytes, _) = b.run(&mut tight, T, 1);
        if round == 0 {
            assert!(bytes <= BYTES, "{bytes}");
        } else {
            least = [least[0].min(half - start), least[1].min(half.elapsed())];
        }
    }
    // The sums over time are cut at other places: each of T terms is rounded once more at most.
    for (k, (x, y)) in a.outputs.iter().zip(&b.outputs).enumerate() {
        let size = x.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let off = x
            .iter()
            .zip(y)
            .fold(0.0f32, |m, (x, y)| m.max((x - y).abs()));
        assert!(off <= 1e-4 * size, "output {k}: off by {off} of {size}");
    }
    let ratio = least[1].as_secs_f64() / least[0].as_secs_f64();
    println!(
        "{:?} without a budget, {:?} in 8 MiB: {ratio:.2}",
        least[0], least[1]
    );
    assert!(ratio <= 1.6, "{ratio:.2} times the time");
}
