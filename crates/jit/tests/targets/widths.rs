//! Every op gives the same bits whatever the width of its loop.

use retrograd_graph::Level;
use retrograd_jit::{CompiledCell, Element, Purpose, Target};
use retrograd_tape::{Extent, Map, Tape};

use super::{alone, numbers, options};

/// What an op gives for these rows of `n` numbers, and its gradients, as bits; all NaN are one.
fn bits_of<T: Element + retrograd_tape::Real>(
    tape: &Tape,
    x: &[Vec<f64>],
    rows: usize,
    target: Target,
    wide: bool,
) -> Vec<Vec<u64>> {
    let options = options(target).with(|o| {
        o.wide_loops = wide;
        o.outline_activations = false;
    });
    let purpose = Purpose::everything(tape);
    let cell = CompiledCell::<T>::compile_with(tape, &purpose, &options).expect("it compiles");
    let given: Vec<Vec<T>> = (cell.inputs().iter().enumerate())
        .map(|(k, _)| {
            let numbers = x[k % x.len()].iter();
            numbers
                .map(|&x| retrograd_tape::Real::from_f64(x))
                .collect()
        })
        .collect();
    let given: Vec<&[T]> = given.iter().map(Vec::as_slice).collect();
    let extent = Extent { steps: 1, rows };
    let mut out: Vec<Vec<T>> = (0..cell.outputs().len())
        .map(|k| vec![retrograd_tape::Real::from_f64(7.0); cell.output_len(k, extent)])
        .collect();
    let mut slices: Vec<&mut [T]> = out.iter_mut().map(Vec::as_mut_slice).collect();
    cell.run(extent, &given, &mut slices)
        .expect("the arrays fit");
    let bits = |x: &T| match x.to_f64() {
        x if x.is_nan() => u64::MAX,
        x => x.to_bits(),
    };
    out.iter().map(|x| x.iter().map(bits).collect()).collect()
}

/// Every op, of numbers of all kinds, at every length of a remainder: with and without fused multiply-add, loops are as
/// wide as the target's vectors or have 128 bits, and the bits are the same.
fn widths_agree<T: Element + retrograd_tape::Real>(least: f64) {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -1.5,
        2.5,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        least,
        -least,
        88.0,
        -88.0,
        1e30,
        -1e30,
        3.7,
        -0.3,
        1e-9,
        17.25,
    ];
    let with_fma: Vec<Target> = Target::all_runnable()
        .into_iter()
        .filter(|t| t.level() >= Level::Avx2)
        .collect();
    for map in Map::ALL {
        for n in (1..=17).chain([37, 64, 101]) {
            let tape = alone(map, n);
            let rows = 5;
            let x: Vec<Vec<f64>> = (0..map.row().arity + 1)
                .map(|k| {
                    let ordinary = numbers(n * rows, k);
                    let number = |(i, x): (usize, f64)| match (7 * i + 3 * k) % 5 {
                        0 | 1 => special[(i * (2 * k + 1) + k) % special.len()],
                        2 => -x,
                        _ => x,
                    };
                    ordinary.into_iter().enumerate().map(number).collect()
                })
                .collect();
            let mut first = None;
            for &target in &with_fma {
                for wide in [false, true] {
                    let found = bits_of::<T>(&tape, &x, rows, target, wide);
                    let right = first.get_or_insert_with(|| found.clone());
                    assert!(
                        *right == found,
                        "{} of {n} numbers, {target}, wide: {wide}",
                        map.row().name
                    );
                }
            }
        }
    }
}

#[test]
fn every_op_has_the_same_bits_in_loops_of_every_width() {
    widths_agree::<f32>(f64::from(f32::from_bits(1)));
    widths_agree::<f64>(f64::from_bits(1));
}
