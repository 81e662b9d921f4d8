//! Forward mode and second derivatives, compiled: Jacobian- and Hessian-vector products of every op, every cell file and
//! random programs, against finite differences in f64 (see `retrograd_check::second`).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use retrograd_check::{Random, Sample, second};
use retrograd_graph::{Options, Target};
use retrograd_jit::{CompileError, CompiledCell, Purpose};
use retrograd_tape::generate::{Case, Choices, every_tag, generate};
use retrograd_tape::{
    Domain, Extent, InputRole, Lengths, Map, Op, Permutation, Recorder, Reduction, Shape, Tape, Var,
};
use retrograd_text::{Found, parse_cell_with, record};

fn equal(t: usize, b: usize) -> Lengths {
    Lengths::new(vec![t; b]).expect("they are equal")
}

/// How many differences were compared (of L, of g), or what went wrong.
type Verdict = Result<[usize; 2], String>;

fn second_order(tape: &Tape, lengths: &Lengths, seed: u64, options: &Options) -> Verdict {
    let sample = Sample::over(tape, lengths.clone(), seed, options.target);
    Ok(second::second_order(&sample, options)?.differences)
}

#[track_caller]
fn holds(tape: &Tape, t: usize, b: usize, seed: u64) {
    for target in Target::all_runnable() {
        let options = Options::default().with(|o| o.target = target);
        let found = second_order(tape, &equal(t, b), seed, &options);
        let compared = found.unwrap_or_else(|e| panic!("{target}: {e}\n{tape}"));
        assert!(compared.iter().all(|n| *n > 0), "too near a kink:\n{tape}");
    }
}

/// A program around an op: its operands move with a state, a parameter, a row's input and a step's, and what it gives
/// moves the state's next value and the loss. `f` makes a vector of 3 of two.
fn around(f: impl for<'t> Fn(&'t Recorder, Var<'t>, Var<'t>) -> Var<'t>) -> Tape {
    let r = Recorder::new();
    let n = Shape::Vector(3);
    let x = r.input("x", InputRole::Sequence, n);
    let s = r.input("s", InputRole::Static, n);
    let a = r.param("a", n);
    let u = r.param("u", Shape::Matrix(3, 3));
    let h = r.state("h", n, 1, None);
    // Between 0.35 and 1.65, where every op is defined; not linear, so that second derivatives pass the op.
    let p = 1.0 + 0.65 * (u.matvec(h) + x * a).tanh();
    let q = 1.0 + 0.65 * (x + s * h).sin();
    let y = f(&r, p, q);
    let h = r.next(h, (0.7 * y).tanh());
    r.output("y", y);
    r.loss((y * h * s).sum());
    r.finish("around").expect("the op fits")
}

#[test]
fn every_element_wise_op_has_tangents_and_second_derivatives() {
    for m in Map::ALL {
        // As it stands, and with operands of either sign where it is defined there.
        let signed = (m.row().defined)(&[-1.0; 3][..m.row().arity]);
        for shift in [0.0, 0.93].into_iter().filter(|s| *s == 0.0 || signed) {
            let tape = around(|r, p, q| {
                let (p, q) = (p - shift, q - shift);
                if m == Map::ClipGradient {
                    // A limit is no derivative; without one, tangents and gradients pass.
                    return p.clip_gradient(f64::INFINITY) * q;
                }
                r.apply(Op::Map(m), &[p, q, p * q][..m.row().arity])
            });
            for seed in 1..4 {
                holds(&tape, 4, 3, seed);
            }
        }
    }
}

#[test]
fn every_op_along_axes_has_tangents_and_second_derivatives() {
    let (n, square, cube) = (
        Shape::Vector(3),
        Shape::Matrix(3, 3),
        Shape::Tensor(3, 3, 3),
    );
    let each = |f: &dyn for<'t> Fn(&'t Recorder, Var<'t>, Var<'t>) -> Var<'t>| {
        let tape = around(f);
        for (t, b) in [(1, 1), (4, 3)] {
            holds(&tape, t, b, 5);
        }
    };
    for kind in [Reduction::Sum, Reduction::Mean, Reduction::Max] {
        for axis in [0, 1] {
            each(&|r, p, q| q * r.apply(Op::ReduceAxis { kind, axis }, &[p.outer(q)]));
        }
        for axis in [0, 1, 2] {
            each(&|r, p, q| {
                let heads = p.outer(q).outer(q.outer(q));
                r.apply(Op::ReduceAxis { kind, axis }, &[heads]).matvec(p)
            });
        }
    }
    for from in [[3, 1, 1], [1, 3, 1], [1, 1, 3]] {
        each(&|r, p, q| {
            let from = Shape::from_axes(&from).expect("three axes");
            let wide = r.apply(Op::Broadcast(cube), &[p.reshape(from)]);
            let product = wide * p.outer(q).outer(q.outer(p));
            r.apply(Op::MatVec { transposed: false }, &[product, q.outer(p)])
                .matvec_t(q)
        });
    }
    for from in [[1, 3, 3], [3, 1, 3], [3, 3, 1]] {
        each(&|r, p, q| {
            let from = Shape::from_axes(&from).expect("three axes");
            let wide = r.apply(Op::Broadcast(cube), &[p.outer(q).reshape(from)]);
            let y = r.apply(Op::MatVec { transposed: true }, &[wide, q.outer(p)]);
            y.matvec(q)
        });
    }
    for axes in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        each(&|r, p, q| {
            let order = Permutation::new(&axes).expect("each axis once");
            let turned = r.apply(Op::Transpose(order), &[p.outer(q).outer(q.outer(q * p))]);
            turned.matvec(p.outer(p)).matvec(q)
        });
    }
    for axis in [1, 2] {
        each(&|r, p, q| {
            let cubes = [p.outer(q).outer(p.outer(q)), q.outer(p).outer(p.outer(p))];
            let both = r.apply(Op::Concat { axis }, &cubes);
            let (start, len) = (2, 3);
            let part = r.apply(Op::Slice { axis, start, len }, &[both]);
            part.matvec(q.outer(p)).matvec(q)
        });
    }
    // A weight of its own for each head.
    each(&|r, p, q| {
        let w = r.param("w", cube);
        let turned = Op::Transpose(Permutation::exchange(0, 1).expect("two axes"));
        let v = r.param("v", square);
        w.matvec(p.outer(q)).matvec(p)
            + r.apply(turned, &[v]).matvec(q)
            + w.matvec_t(q.outer(p)).matvec(q)
    });
    for to in [Domain::Step, Domain::Row, Domain::Once] {
        each(&|r, p, q| {
            let sum = r.apply(Op::Outer { to }, &[p.outer(q), q.outer(p)]);
            r.output("sum", sum * sum);
            q.reshape(n)
        });
    }
}

#[test]
fn every_structural_op_has_tangents_and_second_derivatives() {
    let n = Shape::Vector(3);
    let each = |f: &dyn for<'t> Fn(&'t Recorder, Var<'t>, Var<'t>) -> Var<'t>| {
        let tape = around(f);
        for (t, b) in [(1, 1), (4, 3)] {
            holds(&tape, t, b, 5);
        }
    };
    for reduction in [Reduction::Sum, Reduction::Mean, Reduction::Max] {
        each(&|r, p, q| q * r.apply(Op::Reduce(reduction), &[p]).broadcast(n));
    }
    each(&|_, p, q| p.dot(q).broadcast(n));
    each(&|_, p, q| p.outer(q).reshape(Shape::Vector(9)).slice(3, 3));
    each(&|_, p, q| p.outer(q).matvec(q));
    each(&|_, p, q| p.outer(q).matvec_t(p));
    each(&|_, p, q| Var::concat(&[p.slice(1, 2), q]).slice(0, 3) * q);
    for axis in [0, 1] {
        each(&|r, p, q| {
            let both = r.apply(Op::Concat { axis }, &[p.outer(p), q.outer(p)]);
            let (start, len) = (2, 3);
            let part = r.apply(Op::Slice { axis, start, len }, &[both]);
            part.matvec(q)
        });
    }
    // Tables of each step, of parameters and of each row; what is given back to one.
    each(&|r, p, q| {
        let i = r.input("i", InputRole::Sequence, Shape::Scalar);
        let w = r.param("w", Shape::Matrix(4, 3));
        let s = r.input("m", InputRole::Static, Shape::Matrix(4, 3));
        q * w.gather(i) + s.gather(i) + p.outer(q).gather(i)
    });
    // What is summed over steps is used after them all.
    for to in [Domain::Step, Domain::Row, Domain::Once] {
        each(&|r, p, q| {
            let i = r.input("i", InputRole::Sequence, Shape::Scalar);
            let table = r.apply(Op::Scatter { rows: 4, to }, &[i, p * q]);
            r.output("table", table * table);
            p
        });
        each(&|r, p, q| {
            let sum = r.apply(Op::Outer { to }, &[p.sin(), q]);
            r.output("sum", sum * sum);
            q
        });
        each(&|r, p, q| {
            let sum = r.apply(Op::SumTo(to), &[p * q]);
            r.output("sum", sum * sum);
            p
        });
    }
    each(&|r, p, q| {
        let s = r.input("z", InputRole::Static, n);
        p * r.apply(Op::Spread(Domain::Step), &[s * s]) + q
    });
    for d in [1, 2, -1, -3] {
        each(&|r, p, q| {
            let init = r.input("z", InputRole::Static, n);
            let x = r.input("w", InputRole::Sequence, n);
            let x = x.exp();
            let past = r.apply(Op::Delay(d), &[x, init]);
            let edge = r.apply(Op::Boundary(d), &[x * x, init]);
            r.output("slots", edge.sin());
            p * past + q
        });
    }
}

#[test]
fn every_cell_file_has_tangents_and_second_derivatives() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../retrograd/cells");
    let mut cells = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        let mut source = std::fs::read_to_string(&path).expect("it can be read");
        // The files have the recurrence alone: `output h'`, or `output y = …`.
        let mut outputs = source.lines().filter_map(|l| l.strip_prefix("output "));
        let output = outputs
            .next_back()
            .and_then(|o| o.split_whitespace().next());
        let output = output.expect("it has one").to_owned();
        source += &format!("target wanted\nloss mean(square({output} - wanted))\n");
        let name = path.to_string_lossy();
        let small = [("I", 3), ("H", 4), ("D", 4), ("P", 2)];
        let known: Vec<(&str, usize)> = (small.into_iter())
            .filter(|(d, _)| source.contains(&format!("{d}=")))
            .collect();
        let file = parse_cell_with(&name, &source, &mut |wanted| {
            let used = format!("{folder}/{}.cell", wanted.name);
            let text = std::fs::read_to_string(&used).map_err(|e| e.to_string())?;
            Ok(Found { name: used, text })
        });
        let recorder = Recorder::new();
        let recorded = file.and_then(|file| record(&file, &known, &recorder));
        recorded.unwrap_or_else(|e| panic!("{name}: {e}"));
        let tape = recorder.finish("cell").expect("it is a program");
        // A stiff cell, such as `ltc`, bends too much for differences over many steps.
        let mut compared = [0; 2];
        for (t, b, seed) in [(1, 1, 1), (5, 3, 2), (9, 2, 3)] {
            let found = second_order(&tape, &equal(t, b), seed, &Options::default());
            let found = found.unwrap_or_else(|e| panic!("{name} T={t} B={b}: {e}"));
            compared = [compared[0] + found[0], compared[1] + found[1]];
        }
        assert!(compared.iter().all(|n| *n > 0), "{name}: {compared:?}");
        cells += 1;
    }
    assert!(cells >= 15, "{cells}");
}

fn bytes(seed: u64, n: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..n)
        .map(|_| (128.0 + 128.0 * random.next()) as u8)
        .collect()
}

/// The counts, or what is wrong; a panic is a failure like any other.
fn of(case: &Case, options: &Options) -> Verdict {
    // Each case is for one of the targets that the machine runs.
    let all = Target::all_runnable();
    let options = options
        .clone()
        .with(|o| o.target = all[(case.seed / 11) as usize % all.len()]);
    // Of limits, differences have nothing.
    let tape = case.without_limits().tape;
    let run = || second_order(&tape, &case.lengths, case.seed, &options);
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("a panic".into()))
}

/// Random programs; a failure is cut down and printed as Rust, to be kept in `regressions.rs`.
fn random_programs(seeds: &[u64], options: &Options) {
    let mut histogram: BTreeMap<String, usize> = every_tag().into_iter().map(|t| (t, 0)).collect();
    let (mut compared, cases) = ([0, 0], seeds.len());
    for &seed in seeds {
        let case = generate(&mut Choices::new(&bytes(seed, 40 + seed as usize % 460)));
        // As for the comparisons in `differential.rs`: no rounding may decide between two results.
        let suits = |c: &Case| c.clearance().is_some_and(|d| d >= 1e-9);
        if !suits(&case) {
            continue;
        }
        match of(&case, options) {
            Ok(found) => {
                compared
                    .iter_mut()
                    .zip(found)
                    .for_each(|(n, f)| *n += f.min(1));
                if found[1] > 0 {
                    for tag in case.tags() {
                        *histogram.get_mut(&tag).expect("every tag is listed") += 1;
                    }
                }
            }
            Err(reason) => {
                let case = case.shrink(3000, |c| suits(c) && of(c, options).is_err());
                let now = of(&case, options).err().unwrap_or_default();
                panic!("seed {seed}: {reason}\ncut down:\n{case}{now}\n");
            }
        }
    }
    println!("{compared:?} of {cases}, {histogram:?}");
    assert!(
        compared.iter().all(|n| *n > cases / 2),
        "{compared:?} of {cases}"
    );
    let none: Vec<_> = histogram.iter().filter(|(_, n)| **n == 0).collect();
    assert!(cases < 200 || none.is_empty(), "never compared: {none:?}");
}

#[test]
fn random_programs_have_tangents_and_second_derivatives() {
    let seeds: Vec<u64> = (0..400).collect();
    random_programs(&seeds, &Options::default());
}

#[test]
fn no_optional_pass_or_plan_stage_changes_second_derivatives() {
    for (k, (name, options)) in (Options::each_off())
        .chain([("all", Options::none())])
        .enumerate()
    {
        println!("without {name}");
        // Of all lengths, which go with the seed: few long programs are far from all kinks.
        let first = 1000 * (k as u64 + 1);
        let seeds: Vec<u64> = (0..36).map(|i| first + 13 * i).collect();
        random_programs(&seeds, &options);
    }
}

#[test]
#[ignore = "ten times the work of the normal run"]
fn many_more_random_programs_have_tangents_and_second_derivatives() {
    let seeds: Vec<u64> = (10_000..14_000).collect();
    random_programs(&seeds, &Options::default());
}

#[test]
fn the_purposes_say_what_they_take_and_give() {
    let r = Recorder::new();
    let w = r.param("w", Shape::Vector(2));
    let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
    let y = r.apply(Op::Map(Map::Mul), &[w, w]) * x;
    r.output("y", y);
    r.loss(y.sum());
    let tape = r.finish("square").expect("it is a program");
    let names = |purpose: &Purpose| {
        let cell = CompiledCell::<f64>::compile(&tape, purpose).expect("it compiles");
        let inputs = cell.inputs().iter().map(|i| i.name.to_string());
        let outputs = cell.outputs().iter().map(|o| o.name.to_string());
        [
            inputs.collect::<Vec<_>>().join(" "),
            outputs.collect::<Vec<_>>().join(" "),
        ]
    };
    let list = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
    let jv = Purpose::JacobianVector {
        along: list(&["x", "w"]),
        of: list(&["loss", "y"]),
    };
    assert_eq!(names(&jv), ["w x tan(x) tan(w)", "y loss tan(loss) tan(y)"]);
    let hv = Purpose::hessian_vector(&tape);
    assert_eq!(names(&hv), ["w x tan(w)", "y loss grad(w) tan(grad(w))"]);

    // The loss of one step and row is Σ w²x: its Hessian is 2·diag x. What has no tangent given does not move.
    let cell = CompiledCell::<f64>::compile(&tape, &hv).expect("it compiles");
    let (mut g, mut hv) = ([0.0; 2], [0.0; 2]);
    let given: [&[f64]; 3] = [&[3.0, 5.0], &[0.5, -2.0], &[1.0, 10.0]];
    cell.run(
        Extent { steps: 1, rows: 1 },
        &given,
        &mut [&mut [], &mut [], &mut g, &mut hv],
    )
    .expect("the arrays fit");
    assert_eq!((g, hv), ([3.0, -20.0], [1.0, -40.0]));
    let given: [&[f64]; 3] = [&[3.0, 5.0], &[0.5, -2.0], &[]];
    cell.run(
        Extent { steps: 1, rows: 1 },
        &given,
        &mut [&mut [], &mut [], &mut g, &mut hv],
    )
    .expect("the arrays fit");
    assert_eq!((g, hv), ([3.0, -20.0], [0.0, 0.0]));

    let mistake =
        |purpose: Purpose, message: &str| match CompiledCell::<f64>::compile(&tape, &purpose) {
            Err(CompileError::Differentiate(found)) => assert_eq!(found, message),
            other => panic!("{other:?}"),
        };
    let (along, of) = (list(&["v"]), list(&[]));
    mistake(
        Purpose::JacobianVector { along, of },
        "there is no input `v`",
    );
    let (along, of) = (list(&["x"]), list(&["y", "y"]));
    mistake(
        Purpose::JacobianVector { along, of },
        "output `y` is named twice",
    );
}
