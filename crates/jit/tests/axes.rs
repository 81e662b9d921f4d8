//! Ops along axes that random programs are too small for: long first axes, rows that are whole vectors and rows that are
//! not, on all engines, with second derivatives, with and without each pass.

use retrograd_check::Sample;
use retrograd_check::checks;
use retrograd_check::second::second_order;
use retrograd_graph::Options;
use retrograd_jit::Target;
use retrograd_tape::{InputRole, Lengths, Recorder, Shape, Tape, Var};

/// Everything: gradients on all engines, a stepper, tangents and products with Hessians.
#[track_caller]
fn everything(tape: &Tape) {
    let seed = 1234;
    // The engines do not differ in these ops from target to target.
    let target = Target::all_runnable().into_iter().last();
    let target = target.expect("the machine runs one");
    for lengths in [&[4; 3][..], &[4, 2, 2, 0]] {
        let lengths = Lengths::new(lengths.to_vec()).expect("the longest comes first");
        let sample = Sample::over(tape, lengths, seed, target);
        for (check, _) in checks::ALL {
            let found = check(&sample);
            found.unwrap_or_else(|e| panic!("{target}: {e}\n{tape}"));
        }
        for options in [Options::default(), Options::none()] {
            second_order(&sample, &options)
                .unwrap_or_else(|e| panic!("second derivatives: {e}\n{tape}"));
        }
    }
}

/// A recurrence through `f`, which is given a state and a parameter of this shape.
#[track_caller]
fn recurrent(shape: Shape, f: impl for<'t> Fn(&'t Recorder, Var<'t>, Var<'t>) -> Var<'t>) {
    let r = Recorder::new();
    let w = r.param("w", shape);
    let x = r.input("x", InputRole::Sequence, Shape::Vector(shape.len()));
    let s = r.state("s", shape, 1, None);
    let y = f(&r, s + x.reshape(shape), w);
    r.next(s, (y * w).tanh() * 0.5);
    r.output("y", y);
    r.loss(y.square().mean());
    everything(&r.finish("axes").expect("it is a program"));
}

/// Rows of whole vectors, others, and few and many of them.
const SHAPES: [Shape; 5] = [
    Shape::Matrix(17, 4),
    Shape::Matrix(18, 3),
    Shape::Tensor(2, 17, 4),
    Shape::Tensor(17, 1, 4),
    Shape::Tensor(65, 2, 2),
];

fn each_axis(f: impl for<'t> Fn(Var<'t>, Var<'t>, usize) -> Var<'t>) {
    for shape in SHAPES {
        for axis in 0..shape.rank() {
            recurrent(shape, |_, x, w| f(x, w, axis));
        }
    }
}

#[test]
fn stretched_values_meet_whole_ones() {
    each_axis(|x, w, axis| {
        let sums = w.sum_axis(axis).insert_axis(axis) * 0.1;
        let means = x.mean_axis(axis).insert_axis(axis);
        (x * sums + means).sin()
    });
}

#[test]
fn normalised_values_are_differentiated() {
    each_axis(|x, w, axis| x.softmax_axis(axis) + (x * w).rms_norm_axis(axis, 0.5));
    each_axis(|x, w, axis| (x + w).layer_norm_axis(axis, 0.5));
}

#[test]
fn sums_up_to_each_and_maxima_are_differentiated() {
    each_axis(|x, w, axis| (x * 0.1).cumsum(axis) + w * x.max_axis(axis).insert_axis(axis));
}

#[test]
fn axes_change_places() {
    for (shape, order) in [
        (Shape::Matrix(17, 4), &[1, 0][..]),
        (Shape::Tensor(2, 5, 4), &[0, 2, 1]),
        (Shape::Tensor(66, 2, 3), &[0, 2, 1]),
        (Shape::Tensor(66, 2, 3), &[1, 0, 2]),
        (Shape::Tensor(2, 5, 4), &[1, 0, 2]),
        (Shape::Tensor(2, 5, 4), &[1, 2, 0]),
        (Shape::Tensor(2, 5, 4), &[2, 0, 1]),
        (Shape::Tensor(2, 5, 4), &[2, 1, 0]),
    ] {
        recurrent(shape, |_, x, w| {
            let turned = (x * w).transpose(order).sin();
            turned.reshape(shape) + x
        });
    }
}

#[test]
fn products_of_two_factors() {
    let shape = Shape::Tensor(2, 3, 4);
    for spec in ["hij,hkj->hik", "hij,hik->hjk", "hij,hkj->hki"] {
        recurrent(shape, |_, x, w| {
            let y = w.einsum(spec, x) * 0.3;
            x * y.mean() + y.sum_axis(2).mean_axis(1).reshape(Shape::Tensor(2, 1, 1))
        });
    }
    // Many small heads.
    recurrent(Shape::Tensor(66, 2, 3), |_, x, w| {
        let v = x.mean_axis(1);
        let y = w.einsum("hij,hj->hi", v);
        let z = w
            .einsum("hij,hi->hj", y)
            .einsum("hj,hi->hij", v.slice_axis(1, 0, 2));
        x + z * 0.1
    });
    recurrent(Shape::Matrix(4, 4), |_, x, w| {
        x.einsum("ij,jk->ik", w) + w.einsum("ij,jk->ki", x)
    });
}

/// As found by the generator and shrunk: the rows of what is repeated lane by lane were taken for repeated scalars.
#[test]
fn stretched_values_are_reduced() {
    for (from, to, axis) in [
        (Shape::Tensor(1, 8, 1), Shape::Tensor(1, 8, 8), 2),
        (Shape::Tensor(1, 8, 1), Shape::Tensor(1, 8, 8), 1),
        (Shape::Tensor(2, 1, 1), Shape::Tensor(2, 4, 1), 0),
        (Shape::Matrix(1, 4), Shape::Matrix(17, 4), 0),
        (Shape::Matrix(17, 1), Shape::Matrix(17, 4), 1),
    ] {
        let r = Recorder::new();
        let x = r.input("x", InputRole::Static, from);
        r.output("mean", x.expand(to).mean_axis(axis));
        r.output("greatest", (x * 2.0).expand(to).max_axis(axis));
        everything(&r.finish("axes").expect("it is a program"));
    }
}

/// A stretched value that is itself cut, delayed, multiplied, or handed out.
#[test]
fn stretched_values_go_wherever_others_go() {
    let shape = Shape::Matrix(17, 8);
    recurrent(shape, |r, x, w| {
        let wide = w.mean_axis(0).insert_axis(0).expand(shape);
        let tall = x.mean_axis(1).insert_axis(1).expand(shape);
        let late = r.state("late", shape, 1, None);
        r.next(late, tall);
        let soon = r.state("soon", Shape::Vector(136), 2, None);
        r.next(soon, wide.reshape(Shape::Vector(136)) * x.mean());
        r.output("wide", wide);
        r.output("tall", tall);
        let cut = tall.slice(3, 5).sum() + wide.slice_axis(1, 1, 6).sum();
        let vector = tall.matvec(wide.slice(2, 1).reshape(Shape::Vector(8)));
        let both = Var::concat_axis(1, &[tall, wide]).slice_axis(1, 5, 8);
        both + late + soon.reshape(shape) + cut * 0.01 + vector.insert_axis(1) * 0.1
    });
}
