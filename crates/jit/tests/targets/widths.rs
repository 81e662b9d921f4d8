//! Every op gives the same bits whatever the width of its loop.

use retrograd_graph::Level;
use retrograd_jit::{CompiledCell, Element, Purpose, Target};
use retrograd_tape::{Extent, InputRole, Map, Recorder, Shape, Tape, Var};

use super::{alone, numbers, options};

/// What an op gives for these rows of `n` numbers, and its gradients, as bits; all NaN are one.
fn bits_of<T: Element + retrograd_tape::Real>(
    tape: &Tape,
    x: &[Vec<f64>],
    rows: usize,
    target: Target,
    wide: bool,
) -> Vec<Vec<u64>> {
    bits_in_steps::<T>(tape, x, (1, rows), target, wide)
}

/// The same of so many steps and rows.
fn bits_in_steps<T: Element + retrograd_tape::Real>(
    tape: &Tape,
    x: &[Vec<f64>],
    extent: (usize, usize),
    target: Target,
    wide: bool,
) -> Vec<Vec<u64>> {
    run_bits(&mut compiled::<T>(tape, target, wide), x, extent)
}

fn compiled<T: Element>(tape: &Tape, target: Target, wide: bool) -> CompiledCell<T> {
    let options = options(target).with(|o| {
        o.wide_loops = wide;
        o.outline_activations = false;
    });
    CompiledCell::compile_with(tape, &Purpose::everything(tape), &options).expect("it compiles")
}

fn run_bits<T: Element + retrograd_tape::Real>(
    cell: &mut CompiledCell<T>,
    x: &[Vec<f64>],
    (steps, rows): (usize, usize),
) -> Vec<Vec<u64>> {
    let given: Vec<Vec<T>> = (cell.inputs().iter().enumerate())
        .map(|(k, i)| {
            let len = match i.role {
                InputRole::Initial => 0,
                _ => i.ty.numbers(steps, rows),
            };
            let numbers = x[k % x.len()][..len].iter();
            numbers
                .map(|&x| retrograd_tape::Real::from_f64(x))
                .collect()
        })
        .collect();
    let given: Vec<&[T]> = given.iter().map(Vec::as_slice).collect();
    let extent = Extent { steps, rows };
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

/// An element has the same bits whatever lies beside it in its vector: such as numbers for which sine calls a function.
fn neighbours_do_not_matter<T: Element + retrograd_tape::Real>() {
    let n = 64;
    for map in Map::ALL {
        let tape = alone(map, n);
        let operands = map.row().arity + 1;
        let ordinary: Vec<Vec<f64>> = (0..operands).map(|k| numbers(n, k)).collect();
        for target in Target::all_runnable() {
            for wide in [false, true] {
                let mut cell = compiled::<T>(&tape, target, wide);
                let right = run_bits(&mut cell, &ordinary, (1, 1));
                for special in [1e30, f64::NAN, 0.0] {
                    // The only ordinary ones of 16, the first and last of a vector among them.
                    for lane in [0, 6, 15] {
                        let beside = |x: &Vec<f64>| -> Vec<f64> {
                            let number = |(i, &x): (usize, &f64)| match i % 16 == lane {
                                true => x,
                                false => special,
                            };
                            x.iter().enumerate().map(number).collect()
                        };
                        let x: Vec<Vec<f64>> = ordinary.iter().map(beside).collect();
                        let found = run_bits(&mut cell, &x, (1, 1));
                        for (right, found) in right.iter().zip(&found) {
                            for i in (lane..n).step_by(16) {
                                assert_eq!(
                                    right[i],
                                    found[i],
                                    "{} beside {special}, {target}, wide: {wide}, number {i}",
                                    map.row().name
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn no_op_depends_on_the_numbers_beside_its_operand() {
    neighbours_do_not_matter::<f32>();
    neighbours_do_not_matter::<f64>();
}

/// Where emitted code calls a function, all registers have meanings: values and masks of a long body, pointers, states and
/// the counter of a recurrence with time innermost.
fn calls_keep_registers<T: Element + retrograd_tape::Real>() {
    for n in [5, 16, 37, 200] {
        let v = Shape::Vector(n);
        let many = {
            let r = Recorder::new();
            let x = r.input("x", InputRole::Sequence, v);
            let alive: Vec<Var<'_>> = (0..40).map(|k| x * (1.0 + 0.25 * k as f64)).collect();
            let called = (x * 1e9).sin() * (x * 1e7).cos() + (x * x).pow(x);
            let sum = alive.iter().fold(called, |sum, &a| sum * 0.5 + a * called);
            r.output("y", sum * sum.square().mean());
            r.finish("many").expect("it is a program")
        };
        let over_time = {
            let r = Recorder::new();
            let x = r.input("x", InputRole::Sequence, v);
            let (s, q) = (r.state("s", v, 1, None), r.state("q", v, 1, None));
            let s = r.next(s, (s * 3.0 + x * 1e6).sin() + s * 0.5);
            let q = r.next(q, (q + s).cos() * x + q * 0.25);
            r.output("y", q * s);
            r.finish("over_time").expect("it is a program")
        };
        for tape in [many, over_time] {
            let rows = 7;
            let x: Vec<Vec<f64>> = (0..2).map(|k| numbers(n * rows * 5, k)).collect();
            let mut first = None;
            for target in Target::all_runnable() {
                if target.level() < Level::Avx2 {
                    continue;
                }
                for wide in [false, true] {
                    let found = bits_in_steps::<T>(&tape, &x, (5, rows), target, wide);
                    let right = first.get_or_insert_with(|| found.clone());
                    assert!(
                        *right == found,
                        "{} of {n} numbers, {target}, wide: {wide}",
                        tape.name()
                    );
                }
            }
        }
    }
}

#[test]
fn calls_in_the_middle_of_a_loop_keep_its_registers() {
    calls_keep_registers::<f32>();
    calls_keep_registers::<f64>();
}
