//! Where a number that is not finite first appeared: each case names node, step, row, operands and line.

use retrograd_tape::{
    Domain, InputRole, Lengths, NonFinite, Recorder, Shape, Tape, TapeError, Var,
};

/// Rows of these lengths.
fn rows(lengths: &[usize]) -> Lengths {
    Lengths::new(lengths.to_vec()).expect("the longest comes first")
}

fn sequence<'t>(r: &'t Recorder, name: &str) -> Var<'t> {
    r.input(name, InputRole::Sequence, Shape::Scalar)
}

fn tape(record: impl FnOnce(&Recorder)) -> Tape {
    let r = Recorder::new();
    record(&r);
    r.finish("program").expect("it is a program")
}

fn found(tape: &Tape, lengths: &[usize], inputs: &[&[f32]]) -> NonFinite {
    let found = tape.first_non_finite(&rows(lengths), inputs, false, |_| true);
    found.expect("it runs").expect("something is not finite")
}

/// Op, step, row, element.
type Place = (&'static str, Option<usize>, Option<usize>, usize);

fn place(found: &NonFinite) -> Place {
    (found.op, found.step, found.row, found.element)
}

fn operands(found: &NonFinite) -> Vec<String> {
    found.operands.iter().map(ToString::to_string).collect()
}

#[test]
fn logarithm_of_a_negative_number() {
    let mut line = 0;
    let tape = tape(|r| {
        let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
        line = line!() + 1;
        let logarithm = x.ln();
        r.loss(logarithm.tanh().sum().named("l"));
    });
    // Rows of three steps and of one; row 0 has a negative number in step 1, and row 1 another one before that, in step 0.
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, -6.0, -7.0, 8.0];
    let one = found(&tape, &[3, 1], &[&x]);
    assert_eq!(place(&one), ("ln", Some(1), Some(0), 1));
    assert_eq!(operands(&one), ["`x` = -6"]);
    assert_eq!(
        one.line.map(|l| (l.file(), l.line())),
        Some((file!(), line))
    );
    assert_eq!(one.toward.as_deref(), Some("l"));
    assert!(one.found.is_nan() && one.derived_in.is_none());
    assert_eq!(
        one.to_string(),
        "%1 (ln) becomes NaN at step 1, row 0, element 1 of [2]: ln of `x` = -6; it is a part of `l`"
    );
    let x = [1.0, 2.0, 3.0, -0.5, 5.0, -6.0, -7.0, 8.0];
    let one = found(&tape, &[3, 1], &[&x]);
    assert_eq!(place(&one), ("ln", Some(0), Some(1), 1));
}

#[test]
fn division_by_zero() {
    let tape = tape(|r| {
        let (x, y) = (sequence(r, "x"), sequence(r, "y"));
        r.loss((x / y).named("ratio"));
    });
    let one = found(
        &tape,
        &[2, 2],
        &[&[1.0, 2.0, 3.0, 4.0], &[1.0, 1.0, 0.0, 1.0]],
    );
    assert_eq!(place(&one), ("div", Some(1), Some(0), 0));
    assert_eq!(operands(&one), ["`x` = 3", "`y` = 0"]);
    assert_eq!(
        (&*one.name, one.found, one.toward),
        ("`ratio`", f64::INFINITY, None)
    );
}

/// h doubles: e^h overflows in single precision at the step where h > 88.7, and in double precision later.
#[test]
fn an_exponential_that_overflows_at_some_step() {
    let tape = tape(|r| {
        let h = r.state("h", Shape::Scalar, 1, None);
        let h = r.next(h, 2.0 * h + sequence(r, "x"));
        r.loss(h.exp().named("e"));
    });
    let x = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let one = found(&tape, &[8], &[&[], &x]);
    assert_eq!(place(&one), ("exp", Some(7), Some(0), 0));
    assert_eq!(one.operands[0].least, 128.0);
    assert_eq!(one.found, f64::INFINITY);
    let wide =
        tape.first_non_finite::<f64>(&rows(&[8]), &[&[], &x.map(f64::from)], false, |_| true);
    assert_eq!(wide, Ok(None), "e^128 is a number of double precision");
}

#[test]
fn the_slope_of_a_square_root_at_zero() {
    let mut line = 0;
    let tape = tape(|r| {
        let (x, w) = (sequence(r, "x"), r.param("w", Shape::Scalar));
        line = line!() + 1;
        let root = (w * x).sqrt();
        r.loss((3.0 * root).named("l"));
    });
    let one = found(&tape, &[3, 2], &[&[1.0, 2.0, 4.0, 0.0, 9.0], &[1.0]]);
    assert_eq!(place(&one), ("sqrt", Some(1), Some(1), 0));
    assert_eq!(one.derived_in, Some(0));
    assert_eq!(
        one.line.map(|l| (l.file(), l.line())),
        Some((file!(), line))
    );
    assert_eq!(operands(&one), ["%2 (mul) = 0", "%3 (sqrt) = 0"]);
    assert_eq!(
        one.cotangent.as_ref().map(|c| c.least),
        Some(f64::from(3.0_f32 / 5.0))
    );
    assert_eq!(
        one.to_string(),
        "the gradient through %3 (sqrt) becomes inf at step 1, row 1: sqrt of %2 (mul) = 0, %3 (sqrt) = 0, its gradient = 0.6; \
         it is a part of `l`"
    );
    // Nobody wants it.
    let none = tape.first_non_finite(&rows(&[1]), &[&[0.0_f32], &[1.0]], false, |_| false);
    assert_eq!(none, Ok(None));
}

#[test]
fn inputs_that_are_not_finite() {
    let tape = tape(|r| {
        let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
        let w = r.param("w", Shape::Matrix(2, 2));
        let h = r.state("h", Shape::Vector(2), 1, None);
        let h = r.next(h, (w.matvec(x) + h).tanh());
        r.loss(h.sum());
    });
    let (w, nan) = ([1.0, 2.0, 3.0, 4.0], f32::NAN);
    let x = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, nan, 5.0, 5.0];
    let one = found(&tape, &[3, 2], &[&x, &w, &[]]);
    assert_eq!(
        one.to_string(),
        "the input `x` is NaN at step 1, row 1, element 1 of [2]"
    );
    // Row 1's NaN is the first, although row 0's reaches the loss, too.
    let w = [1.0, f32::INFINITY, 3.0, 4.0];
    let one = found(&tape, &[3, 2], &[&[1.0; 10], &w, &[]]);
    assert_eq!(
        one.to_string(),
        "the parameter `w` is inf at element 1 of [2,2]"
    );
    let one = found(
        &tape,
        &[3, 2],
        &[&[1.0; 10], &[1.0; 4], &[0.0, 0.0, nan, 0.0]],
    );
    assert_eq!(
        one.to_string(),
        "the initial state `h` is NaN at slot 0, row 1, element 0 of [2]"
    );
}

/// What a selection leaves out, or what an exponential takes back to 0, is no reason for anything.
#[test]
fn only_what_reaches_the_loss_counts() {
    let tape = tape(|r| {
        let (x, y, z) = (sequence(r, "x"), sequence(r, "y"), sequence(r, "z"));
        let zero = r.constant(0.0, Shape::Scalar);
        let safe = zero.lt(x).select(x.ln(), zero);
        let gone = (-z.square().recip()).exp();
        r.loss((safe + gone).tanh() + (y - 1.0).recip());
    });
    let (x, z) = ([1.0, -1.0, 0.0, 2.0], [0.0, 1.0, 1.0, 1.0]);
    let one = found(&tape, &[4], &[&x, &[0.0, 0.0, 0.0, 1.0], &z]);
    assert_eq!(place(&one), ("recip", Some(3), Some(0), 0));
    // Forward all is right; backward, the logarithm of what was left out has no slope: 0 / 0.
    let of = |name: &str| {
        let inputs: [&[f32]; 3] = [&x, &[0.0; 4], &z];
        let found = tape.first_non_finite(&rows(&[4]), &inputs, false, |i| &*i.name == name);
        found.expect("it runs")
    };
    let one = of("x").expect("its gradient is NaN");
    assert_eq!((one.op, one.derived_in, one.step), ("ln", Some(0), Some(2)));
    // 0 · ∞, of which the infinite number was there before.
    let one = of("z").expect("its gradient is NaN");
    assert_eq!((one.op, one.derived_in, one.step), ("recip", None, Some(0)));
    assert_eq!(of("y"), None);
}

#[test]
fn sums_and_products_that_overflow() {
    let tape = tape(|r| {
        let x = r.input("x", InputRole::Sequence, Shape::Vector(3));
        let w = r.param("w", Shape::Matrix(2, 3));
        r.loss((1e-30 * w.matvec(x)).sum().named("l"));
    });
    let w = [1e30, 1.0, 1.0, 1e30, 1e30, 1e30];
    let x = [1.0, 1.0, 1.0, 1e9, -2e9, 1.0];
    let one = found(&tape, &[2], &[&x, &w]);
    assert_eq!(place(&one), ("matvec", Some(1), Some(0), 0));
    assert_eq!(
        operands(&one),
        [
            "3 numbers of `w` from 1 to 1.000000e30",
            "3 numbers of `x` from -2.000000e9 to 1.000000e9"
        ]
    );
    // The gradient of the parameter is a sum over steps: no term of it is too great alone.
    let tape = self::tape(|r| {
        let (x, w) = (sequence(r, "x"), r.param("w", Shape::Scalar));
        r.output("y", (w * x).named("y"));
        r.loss((w * x).named("product").sum_to(Domain::Once) * 1.0);
    });
    let one = found(&tape, &[3], &[&[2e38; 3], &[1e-3]]);
    assert_eq!(
        (one.op, one.derived_in, one.step, one.row),
        ("mul", Some(0), None, None)
    );
}

#[test]
fn an_index_that_is_nan() {
    let tape = tape(|r| {
        let (x, table) = (sequence(r, "x"), r.param("table", Shape::Matrix(4, 2)));
        r.loss(table.gather(x.ln()).sum());
    });
    let one = found(&tape, &[2], &[&[1.0, -1.0], &[1.0; 8]]);
    assert_eq!(place(&one), ("ln", Some(1), Some(0), 0));
    // One that is merely wrong is what it always was.
    let wrong = tape.first_non_finite(&rows(&[2]), &[&[1.0_f32, 1e9], &[1.0; 8]], false, |_| true);
    assert!(matches!(wrong, Err(TapeError::Index { .. })), "{wrong:?}");
}

/// What is given is not finite: every value that is not has the input for its origin, whatever ops lie between.
#[test]
fn every_op_passes_the_origin_of_an_element_on() {
    let tape = tape(|r| {
        let x = r.input("x", InputRole::Sequence, Shape::Matrix(2, 3));
        let m = r.param("m", Shape::Matrix(2, 3));
        let row = |k| x.slice(k, 1).reshape(Shape::Vector(3));
        let product = m.transpose(&[1, 0]).matvec(row(1).slice(0, 2));
        let joined = Var::concat(&[row(0), product]);
        r.output("joined", joined);
        r.output("rows", x.transpose(&[1, 0]).sum_axis(1));
        r.output("outer", joined.outer(joined));
        r.loss(joined.mean());
    });
    let mut x = [1.0_f32; 12];
    x[6 + 1] = f32::NAN;
    let found = |output: &str| {
        let of =
            tape.first_non_finite_of(&rows(&[2]), &[&x, &[1.0; 6]], false, |o| &*o.name == output);
        of.expect("it runs").expect("something is not finite")
    };
    for output in ["joined", "rows", "outer", "loss"] {
        let one = found(output);
        assert_eq!(place(&one), ("input", Some(1), Some(0), 1), "{output}");
    }
    let elsewhere = tape.first_non_finite_of(&rows(&[1]), &[&x[..6], &[1.0; 6]], false, |_| true);
    assert_eq!(elsewhere, Ok(None));
}

/// Beyond half a unit of the greatest bfloat16 number, an operand is rounded to infinity.
#[test]
fn what_only_rounding_makes_infinite_is_found_with_rounding_alone() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(1));
    let y = r.param("W", Shape::Matrix(1, 1)).matvec(x);
    r.loss(y.sum() * 0.0);
    let tape = r.finish("rounded").unwrap();
    let found = |bf16| {
        let found = tape.first_non_finite(&rows(&[1]), &[&[f32::MAX], &[1.0]], bf16, |_| false);
        found.unwrap().map(|f| f.op)
    };
    assert_eq!(found(false), None);
    assert!(found(true).is_some());
}
