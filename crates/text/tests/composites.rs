//! Composite functions of the tape: cell files call each by its name.

use retrograd_tape::{Composite, InputRole, Recorder, Shape, Tape, Var};
use retrograd_text::read_tape;

fn recorded(c: &Composite, attribute: f64) -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(4));
    let z = r.input("z", InputRole::Sequence, Shape::Vector(4));
    let mut all = vec![x, z];
    if c.arity == 3 {
        all.push(r.input("w", InputRole::Sequence, Shape::Vector(4)));
    }
    r.output(
        "y",
        Var::composite(c, &all[..c.arity], attribute).named("y"),
    );
    r.finish("c").expect("it fits")
}

fn read(expression: &str) -> Tape {
    let third = if expression.ends_with(", w)") || expression.contains(", w, ") {
        ", w[4]"
    } else {
        ""
    };
    let text = format!("cell c(x[4], z[4]{third})\noutput y = {expression}\n");
    read_tape("c.cell", &text, &[]).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn each_is_recorded_as_the_builder_records_it() {
    for &c in &Composite::ALL {
        let operands = ["x", "x, z", "x, z, w"][c.arity - 1];
        let plain = read(&format!("{}({operands})", c.name));
        let default = c.attribute.map_or(0.0, |(_, value)| value);
        assert_eq!(plain.to_string(), recorded(c, default).to_string());
        if let Some((attribute, _)) = c.attribute {
            let given = read(&format!("{}({operands}, {attribute}=0.375)", c.name));
            assert_eq!(given.to_string(), recorded(c, 0.375).to_string());
        }
    }
    // The result of those that reduce is a scalar; scalars are repeated.
    read("x * logsumexp(mod(x, 0.5)) + argmax(z)");
}

#[test]
fn what_does_not_fit_is_said_as_for_an_op() {
    for (expression, says) in [
        ("elu(x, slope=1)", "`elu` has no attribute `slope`"),
        ("silu(x, z)", "`silu` takes 1 operands, and here are 2"),
        ("mod(x, concat(x, z))", "`mod` needs values of one shape"),
        ("gelu_tan(x)", "did you mean `gelu_tanh`?"),
    ] {
        let text = format!("cell c(x[4], z[4])\noutput y = {expression}\n");
        let error = read_tape("c.cell", &text, &[]).expect_err("it does not fit");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn a_surrogate_calls_what_gives_the_derivative_or_does_not() {
    let recorded = {
        let r = Recorder::new();
        let x = r.input("x", InputRole::Sequence, Shape::Vector(4));
        let z = r.input("z", InputRole::Sequence, Shape::Vector(4));
        r.output("y", x.with_gradient(z).named("y"));
        r.finish("c").expect("it fits")
    };
    for expression in ["with_gradient(x, of: z)", "with_gradient(x, z)"] {
        assert_eq!(read(expression).to_string(), recorded.to_string());
    }
    // Scalars are repeated, on either side.
    read("with_gradient(x, of: 0) + with_gradient(1, of: x)");
    for expression in [
        "with_gradient(x, by: z)",
        "with_gradient(of: z, x)",
        "with_gradient(of: x, of: z)",
    ] {
        let text = format!("cell c(x[4], z[4])\noutput y = {expression}\n");
        let error = read_tape("c.cell", &text, &[]).expect_err("it does not fit");
        let says = "`with_gradient` calls its second operand `of`";
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn an_index_and_the_vector_that_is_one_there() {
    let recorded = {
        let r = Recorder::new();
        let x = r.input("x", InputRole::Sequence, Shape::Vector(4));
        let z = r.input("z", InputRole::Sequence, Shape::Vector(4));
        r.output("y", (z * x.argmax().one_hot(4)).named("y"));
        r.finish("c").expect("it fits")
    };
    let found = read("z * one_hot(argmax(x), 4)");
    assert_eq!(found.to_string(), recorded.to_string());
    assert_eq!(read("swish(x)").to_string(), read("silu(x)").to_string());
    for (expression, says) in [
        ("one_hot(x, 4)", "an index is one number"),
        ("one_hot(4)", "`one_hot` takes 2 operands"),
        ("one_hot(1, 2.5)", "whole"),
        ("one_hot(1, 0)", "0"),
    ] {
        let text = format!("cell c(x[4], z[4])\noutput y = {expression}\n");
        let error = read_tape("c.cell", &text, &[]).expect_err("it does not fit");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn what_is_at_an_index_along_any_axis() {
    /// Of a matrix `[3, 4]`, an array `[2, 3, 4]` and an index.
    type Recorded = for<'t> fn([Var<'t>; 3]) -> Var<'t>;
    let cases: [(&str, Recorded); 8] = [
        ("gather(M, i)", |[m, _, i]| m.gather(i)),
        ("gather(M, i, axis=1)", |[m, _, i]| m.gather_axis(i, 1)),
        ("gather(M[0], i)", |[m, _, i]| {
            m.slice(0, 1).reshape(Shape::Vector(4)).gather(i)
        }),
        ("gather(C, i)", |[_, c, i]| c.gather(i)),
        ("gather(C, i, axis=-1)", |[_, c, i]| c.gather_axis(i, 2)),
        ("argmax(M)", |[m, ..]| m.argmax_axis(1)),
        ("argmax(M, axis=0)", |[m, ..]| m.argmax_axis(0)),
        ("argmax(C, axis=-2)", |[_, c, _]| c.argmax_axis(1)),
    ];
    for (expression, record) in cases {
        let r = Recorder::new();
        let m = r.input("M", InputRole::Sequence, Shape::Matrix(3, 4));
        let c = r.input("C", InputRole::Sequence, Shape::Tensor(2, 3, 4));
        let i = r.input("i", InputRole::Sequence, Shape::Scalar);
        r.output("y", record([m, c, i]).named("y"));
        let recorded = r.finish("c").expect("it fits");
        let text = format!("cell c(M[3, 4], C[2, 3, 4], i)\noutput y = {expression}\n");
        let found = read_tape("c.cell", &text, &[]).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(found.to_string(), recorded.to_string(), "{expression}");
    }
    for (expression, says) in [
        ("gather(x, x)", "an index is one number"),
        ("gather(x, 1, axis=1)", "no axis 1"),
        ("gather(2, 1)", "a part of a vector or more"),
        ("argmax(x, axis=1)", "no axis 1"),
    ] {
        let text = format!("cell c(x[4], z[4])\noutput y = {expression}\n");
        let error = read_tape("c.cell", &text, &[]).expect_err("it does not fit");
        assert!(error.to_string().contains(says), "{error}");
    }
}
