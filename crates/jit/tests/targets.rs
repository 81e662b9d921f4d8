//! The guarantees of a target: code that runs on any machine with its features, wherever arrays start; an error where
//! the machine has fewer; and nothing that depends on more.
//!
//! Loads are 16 bytes at addresses that are aligned to a number only. AVX instructions accept such operands in memory,
//! those before it fault: so every op is run on arrays at every misalignment, for every target that this machine runs.

#[path = "targets/widths.rs"]
mod widths;

use retrograd_graph::plan::plan;
use retrograd_graph::{Graph, Level, passes};
use retrograd_jit::{CompileError, CompiledCell, Element, Options, Purpose, Target};
use retrograd_kernels::{Isa, kernels_for};
use retrograd_tape::Extent;
use retrograd_tape::{InputRole, Map, Op, Recorder, Reduction, Shape, Tape, Var};

fn options(target: Target) -> Options {
    Options::default().with(|o| o.target = target)
}

/// Numbers between 0.3 and 1.7, where every op is defined, no two the same; as f32 has them.
fn numbers(n: usize, seed: usize) -> Vec<f64> {
    let number = |i: usize| 1.0 + 0.7 * ((17 * seed + 3 * i) as f64).sin();
    (0..n).map(|i| f64::from(number(i) as f32)).collect()
}

/// A run with every array `off` numbers behind a boundary of 16 bytes. The first output.
fn run<T: Element + retrograd_tape::Real>(
    cell: &mut CompiledCell<T>,
    (t, b): (usize, usize),
    inputs: &[Vec<f64>],
    off: usize,
) -> Vec<f64> {
    // What `off` counts from: the first number of an allocation that lies on a boundary.
    let placed = |values: &mut dyn Iterator<Item = f64>, n: usize| {
        let mut array = vec![<T as retrograd_tape::Real>::from_f64(0.0); n + 8];
        let first = array.as_ptr().align_offset(16) + off;
        for (x, value) in array[first..].iter_mut().zip(values.take(n)) {
            *x = <T as retrograd_tape::Real>::from_f64(value);
        }
        (array, first, n)
    };
    let inputs: Vec<_> = (inputs.iter())
        .map(|x| placed(&mut x.iter().copied(), x.len()))
        .collect();
    let given: Vec<&[T]> = inputs.iter().map(|(a, i, n)| &a[*i..i + n]).collect();
    let mut outputs: Vec<_> = (0..cell.outputs().len())
        .map(|k| {
            placed(
                &mut std::iter::repeat(f64::NAN),
                cell.output_len(k, Extent { steps: t, rows: b }),
            )
        })
        .collect();
    let mut out: Vec<&mut [T]> = (outputs.iter_mut())
        .map(|(a, i, n)| &mut a[*i..*i + *n])
        .collect();
    cell.run(Extent { steps: t, rows: b }, &given, &mut out)
        .expect("the arrays fit");
    let found = out[0].iter().map(|x| x.to_f64()).collect();
    for (a, i, n) in &outputs {
        let around = a[..*i].iter().chain(&a[i + n..]);
        let clean = around.into_iter().all(|x| x.to_f64() == 0.0);
        assert!(clean, "numbers beside an output were written");
    }
    found
}

/// y = op(x0, …) of vectors of `n`.
fn alone(map: Map, n: usize) -> Tape {
    let r = Recorder::new();
    let operands: Vec<Var<'_>> = (0..map.row().arity)
        .map(|k| r.input(&format!("x{k}"), InputRole::Sequence, Shape::Vector(n)))
        .collect();
    r.output("y", r.apply(Op::Map(map), &operands));
    r.finish(map.row().name).expect("it is a program")
}

fn ops_hold<T: Element + retrograd_tape::Real>(epsilon: f64) {
    let offsets = 16 / size_of::<T>();
    for target in Target::all_runnable() {
        for map in Map::ALL {
            // A vector; one and a remainder; iterations of several vectors.
            for n in [4, 7, 37] {
                let tape = alone(map, n);
                let compile = |purpose: &Purpose| {
                    CompiledCell::<T>::compile_with(&tape, purpose, &options(target))
                        .expect("it compiles")
                };
                let (t, b) = (2, 3);
                let x: Vec<Vec<f64>> = (0..map.row().arity)
                    .map(|k| numbers(n * t * b, k))
                    .collect();
                let mut forward = compile(&Purpose::Forward);
                let mut all = compile(&Purpose::everything(&tape));
                let cotangent = numbers(n * t * b, 9);
                let with_cotangents: Vec<Vec<f64>> = (x.iter().cloned())
                    .chain((x.len()..all.inputs().len()).map(|_| cotangent.clone()))
                    .collect();
                for off in 0..offsets {
                    let what = format!("{}, {target}, {n} numbers, {off} behind", map.row().name);
                    let found = run(&mut forward, (t, b), &x, off);
                    let again = run(&mut all, (t, b), &with_cotangents, off);
                    let both = found.iter().chain(&again).enumerate();
                    for (i, found) in both.map(|(i, y)| (i % found.len(), y)) {
                        let point: Vec<f64> = x.iter().map(|x| x[i]).collect();
                        let right = (map.row().eval)(&point);
                        // The op's own error, and that of the reference or of its rounding.
                        let allowed = (map.row().ulp + 1.0) * epsilon * right.abs();
                        assert!(
                            (found - right).abs() <= allowed,
                            "{what}: {found} and not {right} at {point:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn every_op_in_f32_takes_arrays_that_begin_anywhere() {
    ops_hold::<f32>(f64::from(f32::EPSILON));
}

#[test]
fn every_op_in_f64_takes_arrays_that_begin_anywhere() {
    ops_hold::<f64>(f64::EPSILON);
}

/// Rows of 5 numbers: all but the first of four begin off a boundary. Without AVX the compare of `relu` read its operand
/// from there.
#[test]
fn rectified_rows_of_five_numbers_run_without_avx() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(5));
    let (w, bias) = (
        r.param("w", Shape::Matrix(5, 5)),
        r.param("b", Shape::Vector(5)),
    );
    let y = r.apply(Op::Map(Map::Relu), &[w.matvec(x) + bias]);
    r.output("y", y);
    r.loss(y.sum());
    let tape = r.finish("rectified").expect("it is a program");
    let (t, b) = (3, 4);
    let inputs = [numbers(5 * t * b, 1), numbers(25, 2), numbers(5, 3)];
    for target in Target::all_runnable() {
        let mut cell = CompiledCell::<f32>::compile_with(&tape, &Purpose::Train, &options(target))
            .expect("it compiles");
        for off in 0..4 {
            let found = run(&mut cell, (t, b), &inputs, off);
            for (i, y) in found.iter().enumerate() {
                let (row, k) = (i / 5, i % 5);
                let terms = (0..5).map(|j| inputs[1][5 * k + j] * inputs[0][5 * row + j]);
                let right = terms.sum::<f64>() + inputs[2][k];
                // Five products of at most 1.7² and a bias, each rounded, each sum rounded.
                assert!(
                    (y - right).abs() <= 12.0 * 17.0 * f64::from(f32::EPSILON),
                    "{target}: {y} {right}"
                );
            }
        }
    }
}

/// Folds, and operands that are the same for a whole row, beside ones that are not.
#[test]
fn folds_and_repeated_operands_take_arrays_that_begin_anywhere() {
    let r = Recorder::new();
    let n = Shape::Vector(19);
    let x = r.input("x", InputRole::Sequence, n);
    let y = r.input("y", InputRole::Sequence, n);
    let s = r.input("s", InputRole::Sequence, Shape::Scalar);
    let m = r.input("m", InputRole::Sequence, Shape::Matrix(3, 19));
    let wide = r.apply(Op::Broadcast(n), &[s]);
    let chosen = r.apply(
        Op::Map(Map::Select),
        &[r.apply(Op::Map(Map::Lt), &[x, wide]), x, y],
    );
    let most = r.apply(Op::Reduce(Reduction::Max), &[x]);
    let sum = r.apply(Op::Reduce(Reduction::Sum), &[chosen]);
    let dot = r.apply(Op::Reduce(Reduction::Sum), &[x * y]);
    let product = m.matvec(x).sum();
    r.output("z", most + sum + dot + product);
    let tape = r.finish("folds").expect("it is a program");
    let (t, b) = (3, 3);
    let len = |i: &retrograd_tape::Input| i.ty.shape.len() * t * b;
    let inputs: Vec<Vec<f64>> = (tape.inputs().iter().enumerate())
        .map(|(k, i)| numbers(len(i), k))
        .collect();
    for target in Target::all_runnable() {
        let mut cell =
            CompiledCell::<f64>::compile_with(&tape, &Purpose::Forward, &options(target))
                .expect("it compiles");
        for off in 0..2 {
            let found = run(&mut cell, (t, b), &inputs, off);
            for (p, z) in found.iter().enumerate() {
                let [x, y] = [0, 1].map(|k| &inputs[k][19 * p..][..19]);
                let (s, m) = (inputs[2][p], &inputs[3][57 * p..][..57]);
                let most = x.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = x
                    .iter()
                    .zip(y)
                    .map(|(x, y)| if *x < s { x } else { y })
                    .sum();
                let dot: f64 = x.iter().zip(y).map(|(x, y)| x * y).sum();
                let product: f64 = m
                    .chunks(19)
                    .flat_map(|m| m.iter().zip(x))
                    .map(|(m, x)| m * x)
                    .sum();
                let right = most + sum + dot + product;
                // At most 100 terms, all positive, each rounded once or twice and added once.
                assert!(
                    (z - right).abs() <= 100.0 * f64::EPSILON * right,
                    "{target}: {z} {right}"
                );
            }
        }
    }
}

#[test]
fn a_target_that_the_machine_does_not_run_is_an_error_that_names_both() {
    let tape = alone(Map::Add, 4);
    let all = [
        "portable",
        "baseline",
        "avx2",
        "avx512",
        "avx512+bf16",
        "avx512+amx",
    ];
    for target in all.map(|name| name.parse::<Target>().expect("a target's name")) {
        match CompiledCell::<f32>::compile_with(&tape, &Purpose::Forward, &options(target)) {
            Ok(cell) => {
                assert!(target.runs_here());
                assert_eq!(cell.target(), target);
            }
            Err(CompileError::Target {
                target: named,
                host,
            }) => {
                assert!(!target.runs_here());
                assert_eq!((named, host), (target, Target::host()));
            }
            Err(e) => panic!("{target}: {e}"),
        }
    }
    let missing = match cfg!(target_arch = "x86_64") {
        true => Target::portable(),
        false => Target::avx2(),
    };
    let found = CompiledCell::<f32>::compile_with(&tape, &Purpose::Forward, &options(missing));
    assert_eq!(
        found.expect_err("no machine runs both").to_string(),
        format!(
            "this machine does not run code for the target `{missing}`; its best is `{}`",
            Target::host()
        )
    );
    assert_eq!(
        "sse9"
            .parse::<Target>()
            .expect_err("there is none")
            .to_string(),
        "there is no target `sse9`; there are `portable`, `baseline`, `avx2`, `avx512`, `avx512+bf16`, `avx512+amx`"
    );
}

/// The planner's description and the kernels look for instruction sets each by itself: kernels must be safe whoever calls
/// them, and the planner knows no kernels.
#[test]
fn targets_and_kernels_agree_about_the_machine() {
    let levels = [(Target::avx512(), Isa::Avx512), (Target::avx2(), Isa::Avx2)];
    for (target, isa) in levels {
        assert_eq!(target.runs_here(), isa.available(), "{target}");
        if let Some(kernels) = kernels_for::<f32>(isa) {
            // A panel is two vectors wide.
            assert_eq!(4 * kernels.panel, 2 * target.vector_bytes(), "{target}");
        }
    }
    let base = match cfg!(target_arch = "x86_64") {
        true => Level::Baseline,
        false => Level::Portable,
    };
    let all = Target::all_runnable();
    assert_eq!(all[0].level(), base);
    assert_eq!(all[0].runs_here(), Isa::Portable.available());
    assert_eq!(all.last(), Some(&Target::host()));
}

/// Nothing is measured while compiling: a plan is a function of program, options and target.
#[test]
fn plans_and_code_are_the_same_each_time() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(24));
    let h = r.state("h", Shape::Vector(24), 1, None);
    let (w, u) = (
        r.param("w", Shape::Matrix(24, 24)),
        r.param("u", Shape::Matrix(24, 24)),
    );
    let next = r.next(h, (w.matvec(x) + u.matvec(h)).tanh());
    r.loss(next.square().sum());
    let tape = r.finish("recurrent").expect("it is a program");
    let recorded = Graph::from_tape(&tape);
    let what = Purpose::Train
        .derivations(&recorded)
        .expect("it has a loss");
    // Those that this machine does not run, too: planning asks nobody.
    for target in [
        Target::portable(),
        Target::baseline(),
        Target::avx2(),
        Target::avx512(),
    ] {
        let options = options(target);
        let made = || {
            let graph = passes::run(&recorded, &what, &options).expect("it can be derived");
            let plan = plan(&graph, &options);
            assert_eq!(plan.target, target);
            plan.to_string()
        };
        assert_eq!(made(), made(), "{target}");
        if !target.runs_here() {
            continue;
        }
        let inputs = [
            numbers(24 * 30, 1),
            Vec::new(),
            numbers(576, 2),
            numbers(576, 3),
        ];
        let outcome = || {
            let mut cell = CompiledCell::<f32>::compile_with(&tape, &Purpose::Train, &options)
                .expect("it compiles");
            let given: Vec<Vec<f64>> = (cell.inputs().iter())
                .map(|i| match i.role {
                    InputRole::Sequence => inputs[0].clone(),
                    InputRole::Param => inputs[2].clone(),
                    _ => Vec::new(),
                })
                .collect();
            let first = run(&mut cell, (10, 3), &given, 1);
            (first, cell.code_bytes())
        };
        assert_eq!(outcome(), outcome(), "{target}");
    }
}

/// Element-wise code, activations, products, packed and not, and weight gradients have one order of sums and one rule of
/// contraction for both.
#[test]
fn results_have_the_same_bits_with_avx2_and_avx512() {
    let (old, new) = (Target::avx2(), Target::avx512());
    if !new.runs_here() {
        return;
    }
    // Gates, a state that is a product, a fold, activations, sums over steps and rows.
    let program = |n: usize| {
        let r = Recorder::new();
        let v = Shape::Vector(n);
        let (x, h) = (
            r.input("x", InputRole::Sequence, v),
            r.state("h", v, 1, None),
        );
        let (w, u, bias) = (
            r.param("w", Shape::Matrix(n, n)),
            r.param("u", Shape::Matrix(n, n)),
            r.param("b", v),
        );
        let gate = (w.matvec(x) + u.matvec(h) + bias).sigmoid();
        let h = r.next(h, gate * (u.matvec(h)).tanh() + (1.0 - gate) * x);
        r.output("y", h * h.square().sum().sqrt());
        r.loss((h - x).square().mean());
        r.finish("gated").expect("it is a program")
    };
    for (n, b, t) in [
        (5, 2, 3),
        (16, 4, 5),
        (33, 3, 4),
        (40, 7, 5),
        (64, 32, 9),
        (67, 33, 20),
        (129, 2, 3),
        // Several blocks of steps, and of a weight gradient's terms.
        (40, 32, 90),
        (150, 40, 30),
        // Weights are read as they are.
        (5, 1, 3),
        (16, 1, 7),
        (33, 1, 40),
        (67, 1, 9),
        (260, 1, 3),
    ] {
        let tape = program(n);
        let outputs = |target| {
            let cell = CompiledCell::<f32>::compile_with(
                &tape,
                &Purpose::everything(&tape),
                &options(target),
            )
            .expect("it compiles");
            let len = |i: &retrograd_tape::Input| match i.role {
                InputRole::Param => i.ty.shape.len(),
                InputRole::Initial => 0,
                _ => i.ty.numbers(t, b),
            };
            let scale = 1.0 / n as f32;
            let given: Vec<Vec<f32>> = (cell.inputs().iter().enumerate())
                .map(|(k, i)| {
                    let all = numbers(len(i), k).into_iter();
                    all.map(|x| (x - 1.0) as f32 * scale.sqrt()).collect()
                })
                .collect();
            let given: Vec<&[f32]> = given.iter().map(Vec::as_slice).collect();
            let mut out: Vec<Vec<f32>> = (0..cell.outputs().len())
                .map(|k| vec![f32::NAN; cell.output_len(k, Extent { steps: t, rows: b })])
                .collect();
            let mut slices: Vec<&mut [f32]> = out.iter_mut().map(Vec::as_mut_slice).collect();
            cell.run(Extent { steps: t, rows: b }, &given, &mut slices)
                .expect("the arrays fit");
            let names = cell.outputs().iter().map(|o| o.name.to_string());
            let bits = |x: Vec<f32>| x.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
            names.zip(out.into_iter().map(bits)).collect::<Vec<_>>()
        };
        for (a, b_) in outputs(old).iter().zip(&outputs(new)) {
            assert!(a == b_, "`{}` differs, {n} numbers, T={t} B={b}", a.0);
        }
    }
}
