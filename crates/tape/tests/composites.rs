//! Composite functions: values and gradients by PyTorch (`data/fixtures/composites.json`), differences, and both precisions.

use std::collections::BTreeSet;

use retrograd_tape::{Composite, Directions, Extent, Interpreter, Real, Recorder, Shape, Tape};
use retrograd_tape::{Var, gradcheck};
use serde_json::Value as Json;

fn numbers(v: &Json) -> Vec<f64> {
    let list = v.as_array().expect("a list");
    list.iter().map(|x| x.as_f64().expect("a number")).collect()
}

struct Case {
    composite: &'static Composite,
    tape: Tape,
    inputs: Vec<Vec<f64>>,
    cotangent: Vec<f64>,
    value: Vec<f64>,
    gradients: Vec<Vec<f64>>,
}

fn program(c: &Composite, shapes: &[Shape], attribute: f64) -> Tape {
    let r = Recorder::new();
    let xs: Vec<Var<'_>> = (shapes.iter().enumerate())
        .map(|(i, shape)| r.param(&format!("x{i}"), *shape))
        .collect();
    r.output("y", Var::composite(c, &xs, attribute));
    r.finish(c.name).expect("it fits")
}

fn cases() -> Vec<Case> {
    let text = include_str!("../../../data/fixtures/composites.json");
    let file: Json = serde_json::from_str(text).expect("JSON");
    let cases = file["cases"].as_array().expect("cases");
    let read = |case: &Json| {
        let name = case["op"].as_str().expect("a name");
        let composite = Composite::by_name(name).unwrap_or_else(|| panic!("no `{name}`"));
        let operands = case["operands"].as_array().expect("operands");
        let inputs: Vec<Vec<f64>> = operands.iter().map(|x| numbers(&x["data"])).collect();
        let shapes: Vec<Shape> = inputs.iter().map(|x| Shape::Vector(x.len())).collect();
        Case {
            composite,
            tape: program(
                composite,
                &shapes,
                case["attribute"].as_f64().unwrap_or(0.0),
            ),
            cotangent: numbers(&case["cotangent"]),
            value: numbers(&case["value"]),
            gradients: (case["gradients"].as_array().expect("a list").iter())
                .zip(&inputs)
                .map(|(g, x)| match g {
                    Json::Null => vec![0.0; x.len()],
                    g => numbers(g),
                })
                .collect(),
            inputs,
        }
    };
    cases.iter().map(read).collect()
}

/// Value and gradients.
fn run<T: Real>(case: &Case) -> (Vec<f64>, Vec<Vec<f64>>) {
    let narrow = |x: &Vec<f64>| x.iter().map(|&x| T::from_f64(x)).collect::<Vec<T>>();
    let wide = |x: &[T]| x.iter().map(|x| x.to_f64()).collect::<Vec<f64>>();
    let inputs: Vec<Vec<T>> = case.inputs.iter().map(narrow).collect();
    let slices: Vec<&[T]> = inputs.iter().map(Vec::as_slice).collect();
    let mut run = Interpreter::<T>::new(&case.tape);
    run.forward(Extent { steps: 1, rows: 1 }, &slices)
        .expect("it runs");
    let value = wide(run.output(0));
    run.backward(&[Some(&narrow(&case.cotangent))])
        .expect("it runs");
    let gradients = (inputs.iter().enumerate()).map(|(i, x)| match run.gradient(i) {
        Some(g) => wide(g),
        None => vec![0.0; x.len()],
    });
    (value, gradients.collect())
}

/// With n roundings on the way (fewer than 40, counting each function's ulps), of numbers no greater than the operand or
/// the result, the difference is below n/2 of the last place of the greater of them and 1. (The numbers of `mod` beyond 100
/// are whole.)
#[track_caller]
fn assert_close(what: &str, epsilon: f64, found: &[f64], expected: &[f64], operand: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let size = operand.get(i).map_or(1.0, |x| x.abs().min(100.0));
        let near = (f - e).abs() <= 20.0 * epsilon * size.max(e.abs()).max(1.0);
        assert!(near, "{what}, element {i}: {f} should be {e}");
    }
}

#[test]
fn values_and_gradients_equal_pytorch_in_both_precisions() {
    let cases = cases();
    for case in &cases {
        let name = case.composite.name;
        let first = &case.inputs[0];
        for (precision, epsilon, (value, gradients)) in [
            ("f64", f64::EPSILON, run::<f64>(case)),
            ("f32", f64::from(f32::EPSILON), run::<f32>(case)),
        ] {
            let what = format!("{name} in {precision}");
            assert_close(&what, epsilon, &value, &case.value, first);
            for (found, expected) in gradients.iter().zip(&case.gradients) {
                assert_close(
                    &format!("gradient of {what}"),
                    epsilon,
                    found,
                    expected,
                    first,
                );
            }
        }
    }
    let covered: BTreeSet<&str> = cases.iter().map(|c| c.composite.name).collect();
    let all: BTreeSet<&str> = Composite::ALL.iter().map(|c| c.name).collect();
    assert_eq!(covered, all);
}

#[test]
fn gradients_are_those_of_differences() {
    for &c in Composite::ALL.iter() {
        let attribute = c.attribute.map_or(0.0, |(_, default)| default);
        let n = Shape::Vector(8);
        let tape = program(c, &vec![n; c.arity], attribute);
        let x: Vec<f64> = (0..8).map(|i| f64::from(i) * 1.13 - 4.05).collect();
        let y: Vec<f64> = (0..8).map(|i| f64::from(i) * 0.4 - 1.7).collect();
        let w: Vec<f64> = (0..8).map(|i| 1.3 - f64::from(i) * 0.27).collect();
        let inputs = [&x[..], &y[..], &w[..]];
        let report = gradcheck(&tape, 1, 1, &inputs[..c.arity], Directions::Coordinates, 1);
        let report = report.unwrap_or_else(|e| panic!("{}: {e}", c.name));
        assert!(report.checked >= 7 * c.arity, "{}: {report:?}", c.name);
    }
}

#[test]
fn a_logsumexp_along_an_axis_is_that_of_each_row() {
    let x: Vec<f64> = (0..6).map(|i| f64::from(i * i) * 0.4 - 2.0).collect();
    let along = |matrix: bool| {
        let r = Recorder::new();
        let m = r.param("m", Shape::Matrix(2, 3));
        let row = |i| m.slice(i, 1).reshape(Shape::Vector(3)).logsumexp();
        let rows = || Var::concat(&[row(0), row(1)].map(|y| y.reshape(Shape::Vector(1))));
        r.output("y", if matrix { m.logsumexp_axis(1) } else { rows() });
        let tape = r.finish("rows").expect("it fits");
        let report = gradcheck(&tape, 1, 1, &[&x], Directions::Coordinates, 1).expect("it holds");
        assert_eq!(report.checked, 6);
        let mut run = Interpreter::<f64>::new(&tape);
        run.forward(Extent { steps: 1, rows: 1 }, &[&x])
            .expect("it runs");
        run.output(0).to_vec()
    };
    assert_eq!(along(true), along(false));
}

#[test]
fn those_of_each_element_take_any_shape_and_repeat_scalars() {
    let m = Shape::Matrix(2, 3);
    for &c in Composite::ALL.iter().filter(|c| !c.reduces) {
        let attribute = c.attribute.map_or(0.0, |(_, default)| default);
        let tape = program(c, &vec![m; c.arity], attribute);
        assert_eq!(tape.node(tape.outputs()[0].value).ty.shape, m, "{}", c.name);
    }
    let tape = program(&Composite::MOD, &[m, Shape::Scalar], 0.0);
    assert_eq!(tape.node(tape.outputs()[0].value).ty.shape, m);
}

/// The value of a program of a vector, a parameter.
fn value(f: impl for<'t> Fn(Var<'t>) -> Var<'t>, x: &[f64]) -> Result<Vec<f64>, String> {
    let r = Recorder::new();
    let shape = match x.len() {
        1 => Shape::Scalar,
        n => Shape::Vector(n),
    };
    r.output("y", f(r.param("x", shape)));
    let tape = r.finish("value").expect("it fits");
    let mut run = Interpreter::<f64>::new(&tape);
    let ran = run.forward(Extent { steps: 1, rows: 1 }, &[x]);
    ran.map_err(|e| e.to_string())?;
    run.backward(&[None]).expect("it runs");
    assert!(run.gradient(0).is_none(), "it has no derivative");
    Ok(run.output(0).to_vec())
}

#[test]
fn the_greatest_is_the_first_of_equals_or_the_first_that_is_no_number() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    for (x, index) in [
        (&[1.0, 3.0, 2.0, 3.0, 3.0][..], 1.0),
        (&[0.0, -0.0], 0.0),
        (&[-0.0, 0.0], 0.0),
        (&[-inf, -inf, -inf], 0.0),
        (&[1.0, inf, inf], 1.0),
        (&[1.0, nan, inf, nan, 5.0], 1.0),
        (&[-inf, 2.0, nan], 2.0),
        (&[7.0], 0.0),
    ] {
        assert_eq!(value(|x| x.argmax(), x).unwrap(), [index], "{x:?}");
    }
}

#[test]
fn one_is_hot_at_the_index_as_gather_rounds_it() {
    // Twice, because an input that is an index must hold whole numbers.
    let hot = |i: f64| value(|i| (i * 2.0).one_hot(4), &[0.5 * i]);
    assert_eq!(hot(0.0).unwrap(), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(hot(2.5).unwrap(), [0.0, 0.0, 1.0, 0.0]);
    assert_eq!(hot(-0.5).unwrap(), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(hot(3.25).unwrap(), [0.0, 0.0, 0.0, 1.0]);
    for beyond in [3.75, -1.0, f64::NAN] {
        assert!(hot(beyond).is_err(), "{beyond}");
    }
}

#[test]
fn attributes_of_losses_have_bounds() {
    for (c, wrong, says) in [
        (
            &Composite::HUBER,
            0.0,
            "delta is 0: it should be more than 0",
        ),
        (
            &Composite::PINBALL,
            1.0,
            "q is 1: it should be more than 0 and less than 1",
        ),
        (
            &Composite::STUDENT_T_NLL,
            f64::NAN,
            "df is NaN: it should be more than 0",
        ),
        (
            &Composite::CROSS_ENTROPY,
            -0.1,
            "smoothing is -0.1: it should be at least 0",
        ),
    ] {
        let r = Recorder::new();
        let x = r.param("x", Shape::Vector(3));
        r.output("y", Var::composite(c, &vec![x; c.arity], wrong));
        let e = r
            .finish("wrong")
            .expect_err("it is out of bounds")
            .to_string();
        let plain = e.replace("; ", ": ").replace(", ", ": ");
        assert!(says.split(": ").all(|part| plain.contains(part)), "{e}");
    }
    let r = Recorder::new();
    let (m, x) = (
        r.param("m", Shape::Matrix(2, 3)),
        r.param("x", Shape::Vector(3)),
    );
    r.output("y", x.mse(m));
    let e = r.finish("wrong").expect_err("it is a matrix").to_string();
    assert!(e.contains("mse") && e.contains("vector"), "{e}");
}
