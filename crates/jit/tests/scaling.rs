//! Programs of many equal parts: one function serves all of them, and compiling them is quick.

use std::time::{Duration, Instant};

use retrograd_jit::{CompiledCell, Purpose};
use retrograd_tape::{Extent, Role, Tape, Yield, families};

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
            Role::Sequence => numbers(WIDTH * 33, 1),
            Role::Param => {
                k += 1;
                numbers(WIDTH, 2 + k)
            }
            _ => Vec::new(),
        })
        .collect();
    let mut outputs: Vec<Vec<f32>> = (cell.outputs().iter())
        .map(|o| match o.role {
            Yield::Gradient => vec![0.0; WIDTH],
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
        assert_eq!(gradients(1, k), [own.clone()]);
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
