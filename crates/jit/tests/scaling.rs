//! Programs of many equal parts: one function serves all of them, and they compile quickly.

use std::time::{Duration, Instant};

use retrograd_jit::{CompiledCell, Purpose};
use retrograd_tape::{Domain, Extent, Input, InputRole, Interpreter, OutputRole, Tape, families};

fn compiled(tape: &Tape) -> CompiledCell<f32> {
    CompiledCell::compile(tape, &Purpose::Train).expect("it compiles")
}

/// A number between -1 and 1 for each place of an array, another one for each seed.
fn numbers(n: usize, seed: usize) -> Vec<f32> {
    (0..n)
        .map(|i| ((seed * 7919 + i * 104_729) % 2003) as f32 / 1001.5 - 1.0)
        .collect()
}

/// The gradients of `states(n)` in its parameters, the k-th of which has the seed `first + k`.
fn gradients(n: usize, first: usize) -> Vec<Vec<f32>> {
    const WIDTH: usize = 8;
    let extent = Extent { steps: 11, rows: 3 };
    let cell = compiled(&families::states(n));
    let mut k = first;
    let inputs: Vec<Vec<f32>> = (cell.inputs().iter())
        .map(|i| match i.role {
            InputRole::Sequence => numbers(WIDTH * 33, 1),
            InputRole::Param => {
                k += 1;
                numbers(WIDTH, 2 + k)
            }
            _ => Vec::new(),
        })
        .collect();
    let mut outputs: Vec<Vec<f32>> = (cell.outputs().iter())
        .map(|o| match o.role {
            OutputRole::Gradient => vec![0.0; WIDTH],
            _ => Vec::new(),
        })
        .collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let mut out: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    cell.executor()
        .run(extent, &inputs, &mut out)
        .expect("it runs");
    outputs.retain(|o| !o.is_empty());
    outputs
}

#[test]
fn loops_that_share_a_function_have_their_own_arrays() {
    let together = gradients(5, 0);
    assert_eq!(together.len(), 5);
    for (k, own) in together.iter().enumerate() {
        // The same loop, in a program where no other shares its function.
        assert_eq!(gradients(1, k), std::slice::from_ref(own));
        assert!(own.iter().any(|&x| x != 0.0));
    }
}

#[test]
fn code_grows_with_what_differs() {
    let bytes = |n: usize| compiled(&families::layers(n)).code_bytes();
    let (one, sixteen, thirty_two) = (bytes(1), bytes(16), bytes(32));
    // What a layer adds are its share of loops over all parameters, not loops of its own.
    assert!(
        thirty_two - sixteen < 16 * one / 4,
        "{one} bytes for 1 layer, {sixteen} for 16, {thirty_two} for 32"
    );
}

#[test]
fn hundreds_of_states_compile_in_seconds() {
    // 0.15 s on an idle core with light optimisation and no verifiers; ten times that, and as much again for those.
    let start = Instant::now();
    compiled(&families::states(300));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// A loop of thousands of ops is several functions that go through each step in turn, forward and backward in time: its
/// outputs and gradients are the tape's.
#[test]
fn a_loop_in_parts_is_the_loop() {
    let tape = families::equations(3000);
    let extent = Extent { steps: 5, rows: 3 };
    let given: Vec<Vec<f64>> = (tape.inputs().iter().enumerate())
        .map(|(k, i)| {
            let points = match i.ty.domain {
                Domain::Once => 1,
                Domain::Step => 15,
                Domain::Row | Domain::BoundarySlots(_) => 3,
            };
            numbers(8 * points, k).iter().map(|&x| x.into()).collect()
        })
        .collect();
    let given: Vec<&[f64]> = given.iter().map(Vec::as_slice).collect();
    let mut right = Interpreter::<f64>::new(&tape);
    right.forward(extent, &given).expect("it runs");
    let cotangents = tape.outputs().iter();
    let cotangents: Vec<Option<&[f64]>> = cotangents
        .map(|o| (o.role == OutputRole::Loss).then_some(&[1.0][..]))
        .collect();
    right.backward(&cotangents).expect("it runs");

    let cell = CompiledCell::<f64>::compile(&tape, &Purpose::Train).expect("it compiles");
    let of = |name: &str| {
        given[tape
            .inputs()
            .iter()
            .position(|i| *i.name == *name)
            .expect("an input")]
    };
    let inputs: Vec<&[f64]> = cell.inputs().iter().map(|i| of(&i.name)).collect();
    let mut outputs: Vec<Vec<f64>> = (0..cell.outputs().len())
        .map(|k| vec![f64::NAN; cell.output_len(k, extent)])
        .collect();
    let mut out: Vec<&mut [f64]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    cell.executor()
        .run(extent, &inputs, &mut out)
        .expect("it runs");
    for (o, found) in cell.outputs().iter().zip(&outputs) {
        let right: &[f64] = match o.role {
            OutputRole::Gradient => {
                let of = |i: &Input| *o.name == *format!("grad({})", i.name);
                let k = tape
                    .inputs()
                    .iter()
                    .position(of)
                    .expect("an input's gradient");
                right.gradient(k).expect("it has one")
            }
            _ => {
                let k = tape.outputs().iter().position(|t| t.name == o.name);
                right.output(k.expect("an output"))
            }
        };
        for (a, b) in found.iter().zip(right) {
            assert!(
                (a - b).abs() <= 1e-10 * (1.0 + b.abs()),
                "{}: {a} for {b}",
                o.name
            );
        }
    }
}
