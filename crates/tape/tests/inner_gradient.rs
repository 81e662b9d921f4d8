//! Gradients inside a step: they are those of differences of the scalar, and have gradients of their own.

use retrograd_tape::{
    Directions, Extent, InputRole, Interpreter, Recorder, Shape, TapeError, Var, gradcheck,
};

/// One of the scalars whose gradients are compared, of a matrix `[2, 3]` and a vector `[3]`.
fn energy<'t>(w: Var<'t>, x: Var<'t>) -> Var<'t> {
    let hidden = w.matvec(x).tanh();
    let back = w.matvec_t(hidden * hidden.sigmoid());
    (back - x).square().sum() + w.reshape(Shape::Vector(6)).softmax().ln().mean() * hidden.amax()
}

#[test]
fn a_gradient_is_that_of_differences() {
    let r = Recorder::new();
    let w = r.input("w", InputRole::Sequence, Shape::Matrix(2, 3));
    let x = r.input("x", InputRole::Sequence, Shape::Vector(3));
    let e = energy(w, x);
    let [dw, dx] = e.gradient([w, x]);
    r.output("e", e);
    r.output("dw", dw);
    r.output("dx", dx);
    let tape = r.finish("energy").expect("it is right");
    let (t, b) = (3, 2);
    let given = |n: usize, k: f64| (0..t * b * n).map(|i| (k + 0.9 * i as f64).sin()).collect();
    let (w, x): (Vec<f64>, Vec<f64>) = (given(6, 0.2), given(3, 1.7));
    let mut run = Interpreter::<f64>::new(&tape);
    let mut at = |w: &[f64], x: &[f64]| -> [Vec<f64>; 3] {
        run.forward(Extent { steps: t, rows: b }, &[w, x])
            .expect("it runs");
        [0, 1, 2].map(|k| run.output(k).to_vec())
    };
    let [_, dw, dx] = at(&w, &x);
    const H: f64 = 1e-6;
    for (k, found) in dw.iter().enumerate() {
        let moved = |h: f64| {
            let mut w = w.clone();
            w[k] += h;
            w
        };
        let [up, down] = [at(&moved(H), &x), at(&moved(-H), &x)];
        let point = k / 6;
        let slope = (up[0][point] - down[0][point]) / (2.0 * H);
        assert!(
            (found - slope).abs() < 1e-8,
            "dw[{k}]: {found}, not {slope}"
        );
    }
    for (k, found) in dx.iter().enumerate() {
        let moved = |h: f64| {
            let mut x = x.clone();
            x[k] += h;
            x
        };
        let [up, down] = [at(&w, &moved(H)), at(&w, &moved(-H))];
        let point = k / 3;
        let slope = (up[0][point] - down[0][point]) / (2.0 * H);
        assert!(
            (found - slope).abs() < 1e-8,
            "dx[{k}]: {found}, not {slope}"
        );
    }
}

#[test]
fn a_cell_that_learns_while_it_runs_has_gradients() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(3));
    let start = r.param("start", Shape::Matrix(2, 3));
    let rate = r.param("rate", Shape::Scalar).sigmoid();
    let w = r.state("w", Shape::Matrix(2, 3), 1, Some(start));
    let [slope] = energy(w, x).gradient([w]);
    let next = r.next(w, w - rate * slope);
    r.loss(energy(next, x.sin()));
    let tape = r.finish("learns").expect("it is right");
    let (t, b) = (5, 2);
    let numbers = |n: usize, k: f64| -> Vec<f64> {
        (0..n).map(|i| 0.6 * (k + 0.9 * i as f64).sin()).collect()
    };
    let inputs: Vec<Vec<f64>> = (tape.inputs().iter().zip(1..))
        .map(|(i, k)| numbers(i.ty.numbers(t, b), f64::from(k)))
        .collect();
    let inputs: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
    let report = gradcheck(&tape, t, b, &inputs, Directions::Coordinates, 1);
    let report = report.unwrap_or_else(|e| panic!("{e}"));
    assert!(report.checked > 5 * report.rejected, "{report:?}");
}

#[test]
fn what_is_not_on_the_way_has_a_gradient_of_zero_and_other_steps_count_as_constant() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Scalar);
    let unused = r.input("unused", InputRole::Sequence, Shape::Scalar);
    let h = r.state("h", Shape::Scalar, 1, None);
    let next = r.next(h, h * x);
    let e = next.square() + x.last() * x;
    let [dx, none, dh] = e.gradient([x, unused, h]);
    r.output("dx", dx);
    r.output("none", none);
    r.output("dh", dh);
    let tape = r.finish("partial").expect("it is right");
    let mut run = Interpreter::<f64>::new(&tape);
    let given: &[&[f64]] = &[&[2.0, 3.0], &[9.0, 9.0], &[5.0]];
    let order: Vec<&str> = tape.inputs().iter().map(|i| &*i.name).collect();
    assert_eq!(order, ["x", "unused", "h"]);
    run.forward(Extent { steps: 2, rows: 1 }, given)
        .expect("it runs");
    // h: 5, 10; e = (h x)² + 3 x.
    assert_eq!(
        run.output(0),
        [2.0 * 10.0 * 5.0 + 3.0, 2.0 * 30.0 * 10.0 + 3.0]
    );
    assert_eq!(run.output(1), [0.0, 0.0]);
    assert_eq!(run.output(2), [2.0 * 10.0 * 2.0, 2.0 * 30.0 * 3.0]);
}

#[test]
fn mistakes_are_named() {
    let refused = |record: fn(&Recorder)| {
        let r = Recorder::new();
        record(&r);
        r.finish("mistake").expect_err("it is refused")
    };
    let e = refused(|r| {
        let x = r.input("x", InputRole::Sequence, Shape::Vector(3));
        let [_] = x.square().gradient([x]);
    });
    assert!(matches!(e, TapeError::NotScalar { .. }), "{e}");
    let e = refused(|r| {
        let x = r.input("x", InputRole::Sequence, Shape::Vector(3));
        let w = r.param("w", Shape::Vector(3));
        let [_] = x.dot(w).gradient([w]);
    });
    assert!(
        e.to_string()
            .contains("a state that begins with a parameter"),
        "{e}"
    );
}
