//! Products whose columns are divided among threads have the bits of those that are not: of one row and a few, packed and
//! not, with columns beyond whole registers, forward and backward, from blocks of several parameters.

use retrograd_graph::Target;
use retrograd_jit::{CompiledCell, Element, Options, Purpose};
use retrograd_tape::{Extent, InputRole, Real, Recorder, Shape, Tape, Var};

/// Two layers of `n` units, the first with a parameter for each gate, the second with one for all; a read-out.
fn stack(n: usize) -> Tape {
    let r = Recorder::new();
    let v = Shape::Vector(n);
    let x = r.input("x", InputRole::Sequence, v);
    let (h1, h2) = (r.state("h1", v, 1, None), r.state("h2", v, 1, None));
    let of_gate = |name: &str| {
        let (w, u) = (format!("{name}.w"), format!("{name}.u"));
        let (w, u) = (
            r.param(&w, Shape::Matrix(n, n)),
            r.param(&u, Shape::Matrix(n, n)),
        );
        w.matvec(x) + u.matvec(h1) + r.param(&format!("{name}.b"), v)
    };
    let (z, new) = (of_gate("z").sigmoid(), of_gate("n").tanh());
    let first = r.next(h1, z * h1 + (1.0 - z) * new);
    let all = r.param("all", Shape::Matrix(2 * n, 2 * n));
    let both = all.matvec(Var::concat(&[first, h2]));
    let second = r.next(h2, both.slice(0, n).sigmoid() * both.slice(n, n).tanh());
    let read = r.param("read", Shape::Matrix(3, n)).matvec(second);
    r.output("y", read);
    r.loss(read.square().sum());
    r.finish("stack").expect("it is a program")
}

/// Bits of all outputs.
fn bits<T: Element + Real>(cell: &CompiledCell<T>, extent: Extent, pieces: usize) -> Vec<Vec<u64>> {
    let inputs: Vec<Vec<T>> = (cell.inputs().iter().enumerate())
        .map(|(k, i)| match i.role {
            InputRole::Initial => Vec::new(),
            _ => (0..i.ty.numbers(extent.steps, extent.rows))
                .map(|j| <T as Real>::from_f64(((j * 7 + k) as f64 * 0.37).sin() * 0.2))
                .collect(),
        })
        .collect();
    let inputs: Vec<&[T]> = inputs.iter().map(Vec::as_slice).collect();
    let mut outputs: Vec<Vec<T>> = (0..cell.outputs().len())
        .map(|k| vec![<T as Real>::from_f64(f64::NAN); cell.output_len(k, extent)])
        .collect();
    let mut executor = cell.executor();
    executor.cut_into(pieces);
    // The second run meets threads that are awake.
    for _ in 0..2 {
        let mut places: Vec<&mut [T]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        executor.run(extent, &inputs, &mut places).expect("it runs");
    }
    let bits = |x: Vec<T>| x.into_iter().map(|x| x.to_f64().to_bits()).collect();
    outputs.into_iter().map(bits).collect()
}

fn same<T: Element + Real>() {
    for target in Target::all_runnable() {
        for n in [33, 40, 64, 72] {
            let tape = stack(n);
            let options = Options::default().with(|o| o.target = target);
            let purpose = Purpose::everything(&tape);
            let cell = CompiledCell::<T>::compile_with(&tape, &purpose, &options);
            let cell = cell.expect("it compiles");
            for (t, b) in [(5, 1), (40, 1), (5, 2), (4, 3), (3, 7)] {
                let extent = Extent::steps(t).rows(b);
                let alone = bits(&cell, extent, 1);
                assert!(alone.iter().flatten().any(|x| f64::from_bits(*x) != 0.0));
                for pieces in [2, 3, 5] {
                    assert!(
                        bits(&cell, extent, pieces) == alone,
                        "{target}, {n} units, {extent}, {pieces} pieces"
                    );
                }
            }
        }
    }
}

#[test]
fn divided_products_of_f32_have_the_same_bits() {
    same::<f32>();
}

#[test]
fn divided_products_of_f64_have_the_same_bits() {
    same::<f64>();
}
