//! What values and derivatives are where they are not finite, as docs/IR.md says ("Where something is not finite"). All of it
//! is what PyTorch gives.

use retrograd_tape::Extent;
use retrograd_tape::{Interpreter, Real, Recorder, Shape, Var};

/// y = f(x) for a vector, and the gradient of Σ cotangent · y.
fn run<T: Real>(
    f: for<'t> fn(Var<'t>) -> Var<'t>,
    x: &[f64],
    cotangent: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let r = Recorder::new();
    r.output("y", f(r.param("x", Shape::Vector(x.len()))));
    let tape = r.finish("slots").unwrap();
    let numbers = |x: &[f64]| -> Vec<T> { x.iter().map(|&x| T::from_f64(x)).collect() };
    let mut run = Interpreter::<T>::new(&tape);
    run.forward(Extent { steps: 1, rows: 1 }, &[&numbers(x)])
        .unwrap();
    run.backward(&[Some(&numbers(cotangent))]).unwrap();
    let back = |x: &[T]| x.iter().map(|x| x.to_f64()).collect();
    (back(run.output(0)), back(run.gradient(0).unwrap()))
}

#[track_caller]
fn pinned(
    f: for<'t> fn(Var<'t>) -> Var<'t>,
    x: &[f64],
    cotangent: &[f64],
    value: &[f64],
    gradient: &[f64],
) {
    for (found, gradients) in [run::<f32>(f, x, cotangent), run::<f64>(f, x, cotangent)] {
        let same = |a: &[f64], b: &[f64]| {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a == b || (a.is_nan() && b.is_nan()))
        };
        assert!(same(&found, value), "value {found:?}, not {value:?}");
        assert!(
            same(&gradients, gradient),
            "gradient {gradients:?}, not {gradient:?}"
        );
    }
}

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

#[test]
fn the_derivative_of_a_root_is_infinite_at_0_and_nan_below_and_under_a_cotangent_of_0() {
    pinned(
        |x| x.sqrt(),
        &[0.0, 4.0],
        &[1.0, 1.0],
        &[0.0, 2.0],
        &[INF, 0.25],
    );
    pinned(
        |x| x.sqrt(),
        &[0.0, 4.0],
        &[-1.0, 1.0],
        &[0.0, 2.0],
        &[-INF, 0.25],
    );
    pinned(
        |x| x.sqrt(),
        &[0.0, -1.0],
        &[0.0, 1.0],
        &[0.0, NAN],
        &[NAN, NAN],
    );
}

#[test]
fn the_branch_that_select_does_not_take_gets_a_cotangent_of_0_which_times_infinity_is_nan() {
    // The branch not taken has a finite derivative: 0.
    pinned(
        |x| (0.0 * x).lt(x).select(x * 3.0, x.square()),
        &[2.0, -2.0],
        &[1.0, 1.0],
        &[6.0, 4.0],
        &[3.0, -4.0],
    );
    // √x where x > 0, else 0: the derivative of the root at 0 is infinite, below it is NaN.
    fn bare<'t>(x: Var<'t>) -> Var<'t> {
        (0.0 * x).lt(x).select(x.sqrt(), 0.0 * x)
    }
    pinned(
        bare,
        &[4.0, 0.0, -1.0],
        &[1.0; 3],
        &[2.0, 0.0, 0.0],
        &[0.25, NAN, NAN],
    );
    // So select before the root, too.
    fn guarded<'t>(x: Var<'t>) -> Var<'t> {
        let positive = (0.0 * x).lt(x);
        let inside = positive.select(x, 0.0 * x + 1.0);
        positive.select(inside.sqrt(), 0.0 * x)
    }
    pinned(
        guarded,
        &[4.0, 0.0, -1.0],
        &[1.0; 3],
        &[2.0, 0.0, 0.0],
        &[0.25, 0.0, 0.0],
    );
}

#[test]
fn composite_functions_keep_to_their_limits() {
    pinned(
        |x| x.elu(1.0),
        &[-INF, -0.0, INF],
        &[1.0; 3],
        &[-1.0, 0.0, INF],
        &[0.0, 1.0, 1.0],
    );
    pinned(
        |x| x.hard_tanh(),
        &[-INF, -1.0, 0.5, 1.0, INF, NAN],
        &[1.0; 6],
        &[-1.0, -1.0, 0.5, 1.0, 1.0, NAN],
        &[0.0, 0.0, 1.0, 0.0, 0.0, 1.0],
    );
    pinned(
        |x| x.hard_sigmoid(),
        &[-INF, -3.0, 0.0, 3.0, INF],
        &[6.0; 5],
        &[0.0, 0.0, 0.5, 1.0, 1.0],
        &[0.0, 0.0, 1.0, 0.0, 0.0],
    );
    pinned(
        |x| x.logsumexp(),
        &[-INF, 0.75],
        &[1.0],
        &[0.75],
        &[0.0, 1.0],
    );
    pinned(|x| x.logsumexp(), &[-INF], &[1.0], &[-INF], &[NAN]);
    pinned(|x| x.logsumexp(), &[INF, 0.0], &[1.0], &[INF], &[NAN, 0.0]);
}

#[test]
fn a_softmax_is_nan_where_all_is_minus_infinity_and_leaves_out_what_is_where_something_is_not() {
    pinned(
        |x| x.softmax(),
        &[-INF, -INF],
        &[1.0, 0.0],
        &[NAN, NAN],
        &[NAN, NAN],
    );
    pinned(
        |x| x.softmax(),
        &[-INF, 1.0, 1.0],
        &[1.0, 1.0, 0.0],
        &[0.0, 0.5, 0.5],
        &[0.0, 0.25, -0.25],
    );
    pinned(
        |x| x.softmax(),
        &[INF, 0.0],
        &[1.0, 0.0],
        &[NAN, NAN],
        &[NAN, NAN],
    );
}

#[test]
fn the_logarithm_of_0_is_minus_infinity_with_an_infinite_derivative_and_nan_below() {
    pinned(
        |x| x.ln(),
        &[0.0, -0.0, 1.0],
        &[1.0, 1.0, 1.0],
        &[-INF, -INF, 0.0],
        &[INF, -INF, 1.0],
    );
    pinned(|x| x.ln(), &[0.0], &[0.0], &[-INF], &[NAN]);
    // The entropy of a probability of 0 is a trap; selecting the operand avoids it.
    pinned(|x| x * x.ln(), &[0.0], &[1.0], &[NAN], &[NAN]);
    fn guarded(x: Var<'_>) -> Var<'_> {
        let positive = (0.0 * x).lt(x);
        x * positive.select(x, 0.0 * x + 1.0).ln()
    }
    pinned(guarded, &[0.0, 1.0], &[1.0; 2], &[0.0, 0.0], &[0.0, 1.0]);
}

#[test]
fn losses_are_finite_far_out_and_keep_their_slopes() {
    // Far from the target, in both precisions.
    pinned(
        |x| x.log_cosh(0.0 * x),
        &[2f64.powi(100)],
        &[1.0],
        &[2f64.powi(100)],
        &[1.0],
    );
    pinned(
        |x| x.huber(0.0 * x, 2.0),
        &[-8.0, 0.0, 8.0],
        &[1.0; 3],
        &[14.0, 0.0, 14.0],
        &[-2.0, 0.0, 2.0],
    );
    // A logit that is right by far costs nothing, one that is wrong costs itself.
    fn right(x: Var<'_>) -> Var<'_> {
        x.binary_cross_entropy((0.0 * x).lt(x))
    }
    fn wrong(x: Var<'_>) -> Var<'_> {
        x.binary_cross_entropy(x.lt(0.0 * x))
    }
    pinned(
        right,
        &[1000.0, -1000.0],
        &[1.0; 2],
        &[0.0, 0.0],
        &[0.0, 0.0],
    );
    pinned(
        wrong,
        &[1000.0, -1000.0],
        &[1.0; 2],
        &[1000.0, 1000.0],
        &[1.0, -1.0],
    );
    fn first(x: Var<'_>) -> Var<'_> {
        let hot = (0.0 * x.argmax()).one_hot(3);
        x.cross_entropy(hot, 0.0)
    }
    pinned(
        first,
        &[-1000.0, 1000.0, 0.0],
        &[1.0],
        &[2000.0],
        &[-1.0, 1.0, 0.0],
    );
    pinned(first, &[5.0, -INF, -INF], &[1.0], &[0.0], &[0.0, 0.0, 0.0]);
    // Of the target's class itself, −∞ is infinitely wrong; of all classes, it is a softmax of nothing.
    pinned(first, &[-INF, 1.0, -INF], &[1.0], &[INF], &[-1.0, 1.0, 0.0]);
    pinned(first, &[-INF, -INF, -INF], &[1.0], &[NAN], &[NAN, NAN, NAN]);
}
