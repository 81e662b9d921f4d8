//! Functions, cells as layers, shared layers and repetitions: what they expand to, and how mistakes in them are shown.

mod common;

use std::collections::BTreeSet;

use common::{inputs, mistake, read, read_with};
use retrograd_tape::{Op, Shape, Tape};
use retrograd_text::read_tape;

/// The ops of a tape, without what its values and inputs are called.
fn ops(tape: &Tape) -> Vec<String> {
    let text = tape.to_string();
    let lines = text.lines().skip(1).filter(|l| !l.trim().is_empty());
    let bare = |l: &str| l.split("  #").next().unwrap_or_default().to_owned();
    lines.map(bare).filter(|l| !l.contains("output ")).collect()
}

fn shape(tape: &Tape, name: &str) -> Shape {
    let k = tape.input(name).unwrap_or_else(|| panic!("no {name}"));
    tape.inputs()[k].ty.shape
}

#[test]
fn a_function_is_expanded_where_it_is_used() {
    let short = read(
        "cell a(x[3]; h[5], g[5])
        def gate(x, h) = sigmoid(dense(x, h))
        keep = gate(x, h)
        h' = keep * h + (1 - keep) * g
        g' = gate(x, g)
        output h'",
    );
    let long = read(
        "cell a(x[3]; h[5], g[5])
        keep = sigmoid(dense(x, h))
        h' = keep * h + (1 - keep) * g
        g' = sigmoid(dense(x, h: g))
        output h'",
    );
    assert_eq!(ops(&short), ops(&long));
    assert_eq!(inputs(&short), inputs(&long));
    assert!(inputs(&short).contains("keep.h") && inputs(&short).contains("g.bias"));
}

#[test]
fn a_function_of_several_lines_names_its_parameters_by_the_place_of_use() {
    let tape = read(
        "def mixed[N](a, b) {
            param scale[N] init 1
            inner = tanh(dense[N](a))
            s = dense_no_bias[N](inner, b)
            return scale * s + dense(a, name=skip)
        }
        cell a(x[3]; h[5])
        z = mixed[5](x, h)
        h' = mixed[5](b: h, a: z)
        output h'",
    );
    let found = inputs(&tape);
    for name in [
        "z.scale",
        "z.inner.a",
        "z.inner.bias",
        "z.s.inner",
        "z.s.b",
        "z.skip.a",
    ] {
        assert!(found.contains(name), "{name} in {found:?}");
    }
    assert_eq!(shape(&tape, "h.inner.a"), Shape::Matrix(5, 5));
    assert_eq!(shape(&tape, "z.inner.a"), Shape::Matrix(5, 3));
}

#[test]
fn a_cell_is_a_layer_without_its_target_and_loss() {
    let tape = read(
        "use lstm
        cell two(x[3])
        layer l1 = lstm(x, H=6)
        layer l2 = lstm(l1, H=5)
        output y = dense[2](l2)
        loss sum(square(l2)) + sum(square(l1.forget.h)) + sum(abs(l2.c'))",
    );
    let found = inputs(&tape);
    for name in [
        "l1.h",
        "l1.c",
        "l1.forget.x",
        "l1.forget.bias",
        "l2.input.h",
        "y.l2",
    ] {
        assert!(found.contains(name), "{name} in {found:?}");
    }
    assert!(
        found
            .iter()
            .all(|n| !n.contains("next") && !n.contains("readout"))
    );
    assert_eq!(shape(&tape, "l2.cell.x"), Shape::Matrix(5, 6));
    assert_eq!(shape(&tape, "l1.h"), Shape::Vector(6));

    let by_hand = "cell two(x[3]; h1[6], c1[6], h2[5], c2[5])
        i1 = sigmoid(dense(x, h1))
        f1 = sigmoid(dense(x, h1))
        g1 = tanh(dense(x, h1))
        o1 = sigmoid(dense(x, h1))
        c1' = f1 * c1 + i1 * g1
        h1' = o1 * tanh(c1')
        i2 = sigmoid(dense(h1', h2))
        f2 = sigmoid(dense(h1', h2))
        g2 = tanh(dense(h1', h2))
        o2 = sigmoid(dense(h1', h2))
        c2' = f2 * c2 + i2 * g2
        h2' = o2 * tanh(c2')
        output y = dense[2](h2')
        loss sum(square(h2')) + sum(square(f1.h1)) + sum(abs(c2'))";
    let by_hand = read_tape("by hand", by_hand, &[]).unwrap_or_else(|e| panic!("{e}"));
    let count = |tape: &Tape| {
        let mut ops: Vec<&str> = tape.nodes().iter().map(|n| n.op.name()).collect();
        ops.sort_unstable();
        ops.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(count(&tape), count(&by_hand));
}

#[test]
fn cells_come_from_other_files_and_use_their_own() {
    let inner = "use lstm\ndef twice(x) = x + x\ncell pair(x[I]) where I=2\nlayer a = lstm(x, H=3)\noutput z = twice(a)";
    let tape = read_with(
        "use pair from \"inner.cell\"\ncell outer(x[4])\nlayer p = pair(x)\noutput p",
        &[("inner.cell", inner)],
    )
    .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(shape(&tape, "p.a.forget.x"), Shape::Matrix(3, 4));
    assert_eq!(shape(&tape, "p.a.c"), Shape::Vector(3));
}

#[test]
fn a_layer_that_is_applied_by_name_shares_its_parameters() {
    let tape = read(
        "use lstm
        cell shared(a[3], b[3])
        layer f = dense[4]
        layer l = lstm(H=4)
        u = tanh(f(a))
        v = tanh(f(b))
        p = l(u)
        q = l(v)
        output y = p + q",
    );
    let found = inputs(&tape);
    let expected = [
        "a",
        "b",
        "f.a",
        "f.bias",
        "l.cell.bias",
        "l.cell.h",
        "l.cell.x",
        "l.forget.bias",
        "l.forget.h",
        "l.forget.x",
        "l.input.bias",
        "l.input.h",
        "l.input.x",
        "l.output.bias",
        "l.output.h",
        "l.output.x",
        "p.c",
        "p.h",
        "q.c",
        "q.h",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());

    let tied = read(
        "cell tied(word, other; h[4])
        layer table = embedding[10, 4]
        h' = tanh(dense(h, a: table(word), b: table(other)))
        output y = table.table @ h'",
    );
    assert_eq!(shape(&tied, "table"), Shape::Matrix(10, 4));
}

#[test]
fn rounds_carry_values_and_have_parameters_and_states_of_their_own() {
    let tape = read(
        "use lstm
        cell deep(x[4]) where L=3, H=4
        param scale[H]
        for k in 0..L carrying y = x {
            state s[H]
            layer l = lstm(y, H=H)
            s' = 0.5 * s + l
            y = scale * s' + y / (1 + k) + y
        }
        output y
        loss sum(square(l.0.forget.x)) + sum(l.2) + sum(s.1')",
    );
    let found = inputs(&tape);
    for name in ["l.0.forget.x", "l.2.h", "s.0", "s.2", "scale"] {
        assert!(found.contains(name), "{name} in {found:?}");
    }
    assert_eq!(found.iter().filter(|n| n.ends_with(".forget.x")).count(), 3);

    let heads = read(
        "cell heads(x[6])
        for i in 0..2 carrying all = x[0..1] {
            for j in 0..3 carrying inner = x {
                inner = tanh(dense[6](inner))
            }
            all = concat(all, inner)
        }
        output all",
    );
    assert_eq!(shape(&heads, "inner.1.2.inner"), Shape::Matrix(6, 6));
    let size = heads.outputs()[0].value;
    assert_eq!(heads.nodes()[size.index()].ty.shape, Shape::Vector(13));
    let none = read("cell none(x[2])\nfor k in 0..0 carrying y = x { y = tanh(y) }\noutput y");
    assert_eq!(none.nodes().len(), 1);
}

#[test]
fn what_a_call_gives_in_brackets_may_be_any_number() {
    let tape = read(
        "def leak[n, d, keep](x) {
            state h[n] delay d
            h' = keep * h + x
            return h' }
        cell both(x[3])
        output y = concat(leak[3, 1, 0.5](x, name=past), leak[3, -1, 0.25](x, name=future))",
    );
    assert!(inputs(&tape).contains("past.h") && inputs(&tape).contains("future.h"));
    let delays = |op: &Op| match op {
        Op::Delay(d) => Some(*d),
        _ => None,
    };
    let delays: BTreeSet<i32> = tape.nodes().iter().filter_map(|n| delays(&n.op)).collect();
    assert_eq!(delays, BTreeSet::from([-1, 1]));
    let text = "def f[n](x) {\nstate h[n]\nh' = x\nreturn h }\ncell a(x[3])\noutput y = f[-1](x)";
    mistake(text, &[], &["-1 is no size", "used here"]);
}

#[test]
fn heads_have_matrices_of_their_own_for_a_vector_that_they_share() {
    let text = "cell heads(x[6], s; h[3, 4])
        layer f = dense[3, 4]
        z = f(x, s, h)
        h' = tanh(dense(x, h) * z + f(x, s, h))
        output y = dense_no_bias[3, 2](x)";
    let tape = read(text);
    assert_eq!(shape(&tape, "f.x"), Shape::Tensor(3, 4, 6));
    assert_eq!(shape(&tape, "f.s"), Shape::Tensor(3, 4, 1));
    assert_eq!(shape(&tape, "f.bias"), Shape::Matrix(3, 4));
    assert_eq!(shape(&tape, "h.x"), Shape::Tensor(3, 4, 6));
    assert_eq!(shape(&tape, "h.h"), Shape::Tensor(3, 4, 4));
    assert_eq!(shape(&tape, "y.x"), Shape::Tensor(3, 2, 6));
    let message = "a dense of 3 heads takes a vector of each, and this is [2,4]";
    let wrong = "cell heads(x[6], a[2, 4]; h[3, 4])\nh' = dense(x, h, a)\noutput h'";
    mistake(wrong, &[], &[message, "a vector for all heads"]);
}

#[test]
fn functions_along_an_axis_take_the_last_one_and_heads_have_products_from_both_sides() {
    let body = |f: &str| ops(&read(&format!("cell a(M[3, 4])\noutput y = {f}")));
    for f in ["softmax", "layer_norm", "rms_norm", "cumsum"] {
        assert_eq!(body(&format!("{f}(M)")), body(&format!("{f}(M, axis=1)")));
    }
    let both = "cell a(C[3, 2, 4], u[3, 2], v[3, 4])\n";
    let of = |f: &str| ops(&read(&format!("{both}output y = {f}")));
    assert_eq!(of("C @ v"), of("matvec(C, v)"));
    assert_eq!(of("u @ C"), of("matvec_t(C, u)"));
}

#[test]
fn parts_and_powers_are_written_as_on_paper() {
    let tape = read(
        "cell parts(x[5], M[3, 4])
        a = x[0] + x[1..3][1] + M[2, 3]
        b = x[..2]
        output y = a * (M[1] + M[.., 0][1..][0])
        output z = concat(b, M[0..2, 1], x[3..])
        loss -x[0]^2 + a^-1 + x[2]^3 + sum(x^2.5) + 1. * .5 + x[3]^0.5 + x[4]^-0.5",
    );
    let of = |name: &str| {
        let output = tape.outputs().iter().find(|o| *o.name == *name);
        tape.nodes()[output.expect("it is there").value.index()]
            .ty
            .shape
    };
    assert_eq!((of("y"), of("z")), (Shape::Vector(4), Shape::Vector(6)));
    // x³ is x · x², x^0.5 a root, and only x^2.5 is a power.
    let count = |name: &str| tape.nodes().iter().filter(|n| n.op.name() == name).count();
    let counts = (count("pow"), count("sqrt"), count("recip"));
    assert_eq!(counts, (1, 2, 2), "a^-1 and x[4]^-0.5 are reciprocals");
}

#[test]
fn mistakes_inside_show_the_line_and_the_place_of_use() {
    let def = "def gate(x, h) = sigmoid(dense(x) + h)\n";
    let text = format!("{def}cell a(x[3]; h[5])\nk = gate(x, x[0..2])\nh' = k * h\noutput h'");
    mistake(&text, &[], &["test.cell:", "h' = k * h", "[2]", "[5]"]);
    let text = format!("{def}cell a(x[3]; h[5])\nh' = gate(x, y)\noutput h'");
    mistake(&text, &[], &["test.cell:3:14", "no value `y`"]);
    let text = "def f(x) = y + x\ncell a(x[3])\ny = x\noutput z = f(x)";
    mistake(
        text,
        &[],
        &[
            "test.cell:1:12",
            "no value `y`",
            "output z = f(x)",
            "used here",
        ],
    );
    let inner = "cell inner(x[2])\noutput y = tahn(x)";
    mistake(
        "use inner from \"in.cell\"\ncell a(x[2])\nlayer l = inner(x)\noutput l",
        &[("in.cell", inner)],
        &[
            "in.cell:2:12",
            "did you mean `tanh`?",
            "test.cell:3",
            "used here",
        ],
    );
    mistake(
        "use inner from \"in.cell\"\ncell a(x[2])\noutput x",
        &[("in.cell", "cell inner(x[2]\n")],
        &["in.cell:", "test.cell:1", "used here"],
    );
}

#[test]
fn what_cannot_be_expanded_is_refused() {
    let in_cell = |lines: &str, parts: &[&str]| {
        mistake(&format!("cell a(x[3]; h[3])\nh' = x\n{lines}"), &[], parts);
    };
    in_cell(
        "def f(x) = g(x)\ndef g(x) = f(x)\noutput y = f(x)",
        &["`f` uses itself"],
    );
    in_cell("use lsmt\noutput x", &["no cell `lsmt`", "^^^^"]);
    in_cell(
        "use lstm from \"other.cell\"\nuse lstm\noutput x",
        &["defined twice"],
    );
    in_cell(
        "use gru from \"lstm.cell\"\noutput x",
        &["there is no cell `gru`"],
    );
    in_cell(
        "def f(x) = x\ndef f(y) = y\noutput x",
        &["`f` is defined twice", "the first"],
    );
    in_cell(
        "def f(a, b) = a + b\noutput y = f(x)",
        &["needs the operand `b`"],
    );
    in_cell(
        "def f(a) = a\noutput y = f(x, x)",
        &["takes 1 operands", "expected a"],
    );
    in_cell("def f(a) = a\noutput y = f(b: x)", &["no operand `b`"]);
    in_cell("def f(a) = a\noutput y = f(x, H=3)", &["no dimension `H`"]);
    in_cell(
        "def f[N](a) = a\noutput y = f(x)",
        &["needs its sizes", "used here"],
    );
    in_cell(
        "def f(a) = sum(dense[2](a))\nloss f(x)",
        &["a name", "used here"],
    );
    in_cell(
        "use lstm\nlayer l = lstm(x, I=5)\noutput l",
        &["is [5], and this is [3]"],
    );
    in_cell(
        "use lstm\nlayer l = lstm(x, K=5)\noutput l",
        &["no dimension `K`", "I or H"],
    );
    in_cell("layer f = tanh\noutput y = f(x)", &["`tanh` is no layer"]);
    in_cell(
        "layer f = dense[2]\ny = f(x)\noutput z = f(x[0..2])",
        &["operands of 3", "of 2"],
    );
    in_cell(
        "for k in 0..3 carrying y = x { z = y }\noutput y",
        &["does not hand on `y`"],
    );
    in_cell(
        "for k in 0..3 { y = x\n y = x }\noutput x",
        &["given twice"],
    );
    in_cell(
        "for k in 0..3 { state s[2] }\noutput x",
        &["`s` has no next value"],
    );
    in_cell("for k in 0..3 { y = x }\noutput y", &["no value `y`"]);
    in_cell(
        "y = dense[2](x) * dense[2](h)\noutput y",
        &["two layers", "name=gate"],
    );
    in_cell("output y = x[3]", &["ends at 4"]);
    in_cell("output y = x[0, 1]", &["`x` is [3]", "1 axes"]);
    in_cell("output y = x[2..1]", &["2..1 is empty"]);
    mistake("def f(x) = x", &[], &["the text has no cell"]);
    mistake("x = 3", &[], &["expected `cell`"]);
}

#[test]
fn a_program_that_grows_past_its_limit_is_refused() {
    let mut doubling = String::from("cell a(x[3])\ndef f0(x) = tanh(x) + x\n");
    for k in 1..40 {
        doubling += &format!("def f{k}(x) = f{}(x) + f{}(tanh(x))\n", k - 1, k - 1);
    }
    mistake(
        &format!("{doubling}output y = f39(x)"),
        &[],
        &["lines and expressions"],
    );
    let rounds = "cell a(x[3])\nfor i in 0..4000000000 { for j in 0..4000000000 { } }\noutput x";
    mistake(rounds, &[], &["lines and expressions"]);
    let deep = format!("cell a(x[3])\n{}", "for i in 0..2 {\n".repeat(100_000));
    mistake(&deep, &[], &["blocks within each other"]);
}
