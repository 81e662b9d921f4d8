//! Composite functions, compiled: values and gradients of both precisions against the interpreter in double precision, near
//! their bends and far out.

use retrograd_graph::{Options, Target};
use retrograd_jit::{CompiledCell, Element, Purpose};
use retrograd_tape::{
    Composite, Domain, Extent, InputRole, Interpreter, OutputRole, Real, Recorder, Shape,
};
use retrograd_tape::{Tape, Var};

const X: [f64; 13] = [
    -100.0, -20.25, -5.5, -3.0, -1.0, -0.375, -1e-6, 0.0, 0.3125, 1.0, 2.75, 3.0, 100.0,
];

fn program(c: &Composite) -> Tape {
    let r = Recorder::new();
    let n = Shape::Vector(X.len());
    let x = r.input("x", InputRole::Sequence, n);
    let z = r.input("z", InputRole::Sequence, n);
    let attribute = c.attribute.map_or(0.0, |(_, default)| default);
    let w = r.input("w", InputRole::Sequence, n);
    r.output("y", Var::composite(c, &[x, z, w][..c.arity], attribute));
    r.finish(c.name).expect("it fits")
}

fn check<T: Element + Real>(c: &Composite, options: &Options, epsilon: f64) {
    let tape = program(c);
    let z: Vec<f64> = (0..X.len()).map(|i| i as f64 * 0.75 - 4.25).collect();
    let w: Vec<f64> = (0..X.len()).map(|i| 1.5 - i as f64 * 0.25).collect();
    let cotangent = vec![1.0; if c.reduces { 1 } else { X.len() }];
    let extent = Extent { steps: 1, rows: 1 };
    let mut run = Interpreter::<f64>::new(&tape);
    run.forward(extent, &[&X, &z, &w]).expect("it runs");
    run.backward(&[Some(&cotangent)]).expect("it runs");
    let mut right = vec![run.output(0).to_vec()];
    for i in 0..3 {
        let zeros = || vec![0.0; X.len()];
        right.push(run.gradient(i).map_or_else(zeros, <[f64]>::to_vec));
    }
    let purpose = Purpose::everything(&tape);
    let cell = CompiledCell::<T>::compile_with(&tape, &purpose, options).expect("it compiles");
    let inputs = [&X[..], &z, &w, &cotangent];
    let inputs = inputs.map(|x| x.iter().map(|&x| T::from_f64(x)).collect::<Vec<T>>());
    let mut found: Vec<Vec<T>> = (0..cell.outputs().len())
        .map(|k| vec![<T as Real>::ZERO; cell.output_len(k, extent)])
        .collect();
    let mut slots: Vec<&mut [T]> = found.iter_mut().map(Vec::as_mut_slice).collect();
    cell.run(extent, &inputs.each_ref().map(Vec::as_slice), &mut slots)
        .expect("it runs");
    for (output, found) in cell.outputs().iter().zip(&found) {
        let right = match (output.role, &*output.name) {
            (OutputRole::Output, _) => &right[0],
            (OutputRole::Gradient, name) if name.contains('x') => &right[1],
            (OutputRole::Gradient, name) if name.contains('z') => &right[2],
            (OutputRole::Gradient, _) => &right[3],
            _ => continue,
        };
        for (i, (f, r)) in found.iter().zip(right).enumerate() {
            // As in the tape's test: fewer than 40 roundings of numbers no greater than these.
            let size = X[i].abs().max(r.abs()).max(1.0);
            let near = (f.to_f64() - r).abs() <= 20.0 * epsilon * size;
            assert!(near, "{} {} {i}: {f} should be {r}", c.name, output.name);
        }
    }
}

#[test]
fn compiled_composite_functions_are_the_interpreters() {
    for target in Target::all_runnable() {
        let options = Options::default().with(|o| o.target = target);
        for c in Composite::ALL {
            check::<f32>(c, &options, f64::from(f32::EPSILON));
            check::<f64>(c, &options, f64::EPSILON);
        }
    }
}

/// Over steps, rows and once: of an index that is computed, and multiplied so that what it selects has a gradient.
#[test]
fn compiled_vectors_that_are_one_at_an_index_are_the_interpreters() {
    let extent = Extent { steps: 5, rows: 3 };
    for role in [InputRole::Sequence, InputRole::Static, InputRole::Param] {
        let r = Recorder::new();
        let n = Shape::Vector(7);
        let x = r.input("x", role, n);
        let z = r.input("z", InputRole::Sequence, n);
        r.output("y", x.argmax().one_hot(7) * z);
        let tape = r.finish("hot").expect("it fits");
        let numbers = |i: usize, k: usize| ((k * 37 + i * 11) % 23) as f64 * 0.25 - 2.0;
        let cotangent: Vec<f64> = (0..7 * 15).map(|k| numbers(3, k)).collect();
        let given: Vec<Vec<f64>> = (tape.inputs().iter())
            .map(|i| match i.ty.domain {
                Domain::Once => 7,
                Domain::Row => 7 * 3,
                _ => 7 * 15,
            })
            .map(|n| (0..n).map(|k| numbers(n, k)).collect())
            .collect();
        let given: Vec<&[f64]> = given.iter().map(Vec::as_slice).collect();
        let mut run = Interpreter::<f64>::new(&tape);
        run.forward(extent, &given).expect("it runs");
        run.backward(&[Some(&cotangent)]).expect("it runs");
        for options in [Options::default(), Options::none()] {
            let purpose = Purpose::everything(&tape);
            let cell =
                CompiledCell::<f64>::compile_with(&tape, &purpose, &options).expect("it compiles");
            let mut found: Vec<Vec<f64>> = (0..cell.outputs().len())
                .map(|k| vec![f64::NAN; cell.output_len(k, extent)])
                .collect();
            let mut slots: Vec<&mut [f64]> = found.iter_mut().map(Vec::as_mut_slice).collect();
            cell.run(extent, &[given[0], given[1], &cotangent], &mut slots)
                .expect("it runs");
            let of = |name: &str| &found[cell.output(name).expect("it has it")][..];
            assert_eq!(of("y"), run.output(0));
            assert_eq!(Some(of("grad(z)")), run.gradient(1));
            assert!(of("grad(x)").iter().all(|g| *g == 0.0));
        }
    }
}
