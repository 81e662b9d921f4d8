//! Products of bfloat16 operands in compiled code, for every target that the machine runs.

use retrograd_check::{Sample, checks, runs};
use retrograd_graph::{Bf16, Options};
use retrograd_jit::{CompiledCell, Executor, Purpose, Stepper, Target};
use retrograd_tape::{Extent, Lengths, Tape};

const LSTM: &str = "cell lstm(x[I]; h[H], c[H])
i = sigmoid(dense(x, h))
f = sigmoid(dense(x, h))
g = tanh(dense(x, h))
o = sigmoid(dense(x, h))
c' = f * c + i * g
h' = o * tanh(c')
output h'
";

const GRU: &str = "cell gru(x[I]; h[H])
z = sigmoid(dense(x, h))
r = sigmoid(dense(x, h))
m = r * dense(h)
n = tanh(dense(x) + m)
h' = (1 - z) * n + z * h
output h'
";

fn tape(text: &str, (inputs, hidden): (usize, usize)) -> Tape {
    let text = text.replace("[I]", &format!("[{inputs}]"));
    let text = text.replace("[H]", &format!("[{hidden}]"));
    retrograd_text::read_tape("cell", &text, &[]).expect("it is a cell")
}

/// All levels, and what AVX-512 has for bfloat16.
fn targets() -> Vec<Target> {
    let wide = Target::avx512();
    let mut all = Target::all_runnable();
    for more in [wide, wide.with_bf16(), wide.with_amx()] {
        if more.runs_here() && !all.contains(&more) {
            all.push(more);
        }
    }
    all
}

fn options(target: Target) -> Options {
    Options::default().with(|o| {
        o.target = target;
        o.bf16 = Bf16::Kernels;
    })
}

fn compiled(tape: &Tape, target: Target) -> Executor<f32> {
    let purpose = Purpose::everything(tape);
    let cell = CompiledCell::compile_with(tape, &purpose, &options(target));
    cell.expect("it is a program").executor()
}

#[test]
fn odd_sizes_few_rows_and_ragged_rows_agree_with_the_tape() {
    let sizes = [(1, 1), (3, 5), (8, 16), (17, 33), (33, 65)];
    for (text, target) in [LSTM, GRU]
        .into_iter()
        .flat_map(|c| targets().into_iter().map(move |t| (c, t)))
    {
        for (k, size) in sizes.into_iter().enumerate() {
            let tape = tape(text, size);
            for (t, b) in [(1, 1), (7, 1), (6, 2), (9, 5), (3, 35)] {
                let sample = Sample::drawn(&tape, t, b, 3 + k as u64, target);
                let found = checks::bf16_exactly(&sample);
                found.unwrap_or_else(|e| panic!("{target} {size:?} T={t} B={b}: {e}\n{text}"));
            }
            let lengths = Lengths::new(vec![9, 9, 4, 3, 1, 0]).expect("the longest first");
            let found = checks::bf16_exactly(&Sample::over(&tape, lengths, 5, target));
            found.unwrap_or_else(|e| panic!("{target} {size:?} ragged: {e}\n{text}"));
        }
    }
}

/// A sum of products with a weight and with a constant, of one operand, and of one gradient in the backward step: stacked,
/// they would all be rounded.
#[test]
fn products_with_constants_are_not_rounded_beside_those_with_weights() {
    let text = "cell mixed(x[3]; h[3])
param W[3, 3]
C = broadcast(0.3, [3, 3])
h' = tanh(matvec(W, x) + matvec(C, x) + matvec(W, h) + 0.3 * matvec(C, h))
output h'
";
    let tape = retrograd_text::read_tape("cell", text, &[]).expect("it is a cell");
    for target in targets() {
        let found = checks::bf16_exactly(&Sample::drawn(&tape, 4, 3, 1, target));
        found.unwrap_or_else(|e| panic!("{target}: {e}"));
    }
}

/// The distance of all gradients from those of another run, relative to their size.
fn distance(a: &runs::Arrays<f32>, b: &runs::Arrays<f64>) -> f64 {
    let gradients = a
        .iter()
        .zip(b)
        .filter(|((name, _), _)| name.starts_with("grad"));
    let (mut off, mut size) = (0.0, 0.0);
    for ((_, a), (_, b)) in gradients {
        for (&a, &b) in a.iter().zip(b) {
            off += (f64::from(a) - b).powi(2);
            size += b * b;
        }
    }
    (off / size).sqrt()
}

/// Rounding an operand to bfloat16 is an error of 2⁻⁹ of it at most, and 2⁻⁹ ÷ √3 on average. A gradient is a sum of
/// products whose two factors are off by that, and passes one product a step back: with gates that pass about half, a few
/// steps count. So the error is a few times 2⁻⁹; it is not zero, and no tenth.
#[test]
fn gradients_are_those_of_single_precision_but_for_the_roundings() {
    let unit = f64::powi(2.0, -9);
    for target in targets() {
        for text in [LSTM, GRU] {
            let tape = tape(text, (24, 40));
            let sample = Sample::drawn(&tape, 12, 6, 9, target);
            let exact = runs::by_tape::<f64>(&sample).expect("it runs");
            let found = runs::by_cell(&mut compiled(&tape, target), &sample).expect("it runs");
            let off = distance(&found, &exact);
            assert!((0.1 * unit..6.0 * unit).contains(&off), "{target}: {off:e}");
        }
    }
}

/// VDPBF16PS, and its emulation by AVX-512, AVX2 and scalars, have the same bits: in products, which the host's other
/// instructions have no part in.
#[test]
fn the_instruction_and_its_emulation_have_the_same_bits() {
    let wide = Target::avx512();
    let all = [Target::baseline(), Target::avx2(), wide, wide.with_bf16()];
    let all: Vec<Target> = all.into_iter().filter(|t| t.runs_here()).collect();
    for (size, b) in [((16, 32), 4), ((17, 33), 3), ((5, 9), 1), ((600, 70), 13)] {
        let tape = tape("cell product(x[I])\noutput y = dense[H](x)\n", size);
        let run = |&target: &Target| {
            let purpose = Purpose::Forward;
            let cell = CompiledCell::<f32>::compile_with(&tape, &purpose, &options(target));
            let mut cell = cell.expect("it is a program").executor();
            let sample = Sample::drawn(&tape, 3, b, 4, target);
            let found = runs::by_cell(&mut cell, &sample).expect("it runs");
            let bits = |x: &f32| x.to_bits();
            let bits = found.iter().flat_map(|(_, values)| values.iter().map(bits));
            bits.collect::<Vec<u32>>()
        };
        let runs: Vec<_> = all.iter().map(run).collect();
        for (found, target) in runs.iter().zip(&all).skip(1) {
            assert!(runs[0] == *found, "{target} {size:?}");
        }
    }
}

#[test]
fn a_sample_at_a_time_is_what_a_whole_run_is() {
    for target in targets() {
        let tape = tape(GRU, (9, 21));
        let (t, b) = (6, 2);
        let sample = Sample::drawn(&tape, t, b, 8, target);
        let cell = CompiledCell::<f32>::compile_with(&tape, &Purpose::Forward, &options(target));
        let cell = cell.expect("it is a program");
        let narrow = |x: &Vec<f64>| x.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let inputs: Vec<Vec<f32>> = sample.inputs.iter().map(narrow).collect();
        let slices: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let mut outputs: Vec<Vec<f32>> = (0..cell.outputs().len())
            .map(|k| vec![0.0; cell.output_len(k, Extent::steps(t).rows(b))])
            .collect();
        let mut outs: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        cell.run(Extent::steps(t).rows(b), &slices, &mut outs)
            .expect("it runs");
        let over_steps = |k: usize| &*tape.inputs()[k].name == "x";
        let fixed: Vec<&[f32]> = (0..inputs.len())
            .map(|k| {
                if over_steps(k) {
                    &[][..]
                } else {
                    &inputs[k][..]
                }
            })
            .collect();
        let mut stepper: Stepper<f32> = cell.stepper(b, &fixed).expect("it needs no later sample");
        let x = (0..inputs.len())
            .find(|&k| over_steps(k))
            .expect("it has an input");
        let (n, m) = (inputs[x].len() / t, outputs[0].len() / t);
        for step in 0..t {
            stepper
                .step(&[&inputs[x][step * n..][..n]], &mut [])
                .expect("it fits");
            for (a, b) in stepper.output(0).iter().zip(&outputs[0][step * m..]) {
                // Joined products sum in another order, and a state on the other side of a tie is 2⁻⁸ off.
                assert!((a - b).abs() <= 0.01, "{target} step {step}: {a} {b}");
            }
        }
    }
}
