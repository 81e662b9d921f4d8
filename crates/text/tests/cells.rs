//! The cell language: what is said is what is recorded, and mistakes are shown.

use retrograd_tape::Shape;
use retrograd_text::{parse_cell, read_tape};

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(
        text in "(cell|where|param|state|init|delay|loss|dense|slice|step|input|def |use |layer |for |in |carrying|return|name=|h'?|x|[0-9.]{1,3}|[-+*/@^<=>(){}\\[\\],;:%#\"\\\\ \n'é])*"
    ) {
        for text in [text.clone(), format!("cell a(x[2]; h[2])\n{text}")] {
            if let Err(e) = read_tape("t", &text, &[]) {
                proptest::prop_assert!(e.to_string().contains('^'), "{}", e);
            }
        }
    }
}

/// The message of a mistake in a cell file, with the line it must be on.
fn mistake(text: &str, at: (usize, usize), parts: &[&str]) {
    let e = match read_tape("test.cell", text, &[]) {
        Err(e) => e,
        Ok(tape) => panic!("there is no mistake in\n{text}\n{tape}"),
    };
    let shown = e.to_string();
    assert_eq!(e.position(), at, "{shown}");
    let place = format!("test.cell:{}:{}", at.0, at.1);
    for part in [place.as_str(), "^", "expected"].iter().chain(parts) {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
}

#[test]
fn mistakes_show_line_place_and_what_was_expected() {
    let head = "cell wrong(x[4]; h[8])\n";
    let line = |line: &str, column: usize, parts: &[&str]| {
        mistake(&format!("{head}{line}\n"), (2, column), parts);
    };
    mistake("", (1, 1), &["`cell`"]);
    mistake("cell a(x[4] h[4])", (1, 13), &["`;` before the states"]);
    line("h' = tanh(dense(x, h)", 22, &["`)`", "opened here"]);
    line("h' = tanh(dense(x h))", 19, &["`h`"]);
    line("h' = ", 5, &["a value", "the end of the line"]);
    line(
        "h' = sigmoi(x)",
        6,
        &["no function `sigmoi`", "did you mean `sigmoid`?"],
    );
    line("h' = tanh(x) + k", 16, &["no value `k`"]);
    line("h' = hh + 1\nhh = h", 6, &["`hh` is given further down"]);
    mistake(
        &format!("{head}update = h + 1\nh' = updat"),
        (3, 6),
        &["no value `updat`", "did you mean `update`?"],
    );
    line("h = 0.5 * h", 1, &["given twice", "`h'`"]);
    line("g' = 0.5 * h", 1, &["no state `g`"]);
    line("h'' = 0.5 * h", 1, &["one next value, `h'`"]);
    line(
        "outpu y = h",
        7,
        &["`=` after `outpu`", "did you mean `output`?"],
    );
    line(
        "a = slice(h, 4..9)\nh' = h",
        14,
        &["ends at 9", "8 elements"],
    );
    line("h' = tanh(h, h)", 6, &["1 operands", "2"]);
    line("mask m[8] keep 1.5", 16, &["1.5", "at most 1"]);
    line("mask m[8]", 10, &["`keep`"]);
    line("h' = dense(x) * dense(h)", 17, &["two layers", "the first"]);
    line("loss sum(dense[4](x))", 10, &["a name"]);
    line("h' = layer_norm(h, epsilon=1)", 20, &["eps"]);
    line("h' = x[4]", 6, &["ends at 5", "4 elements"]);
    line("state g[4] delay 0.5", 18, &["whole number of steps"]);
}

#[test]
fn shapes_that_do_not_fit_show_both_places() {
    let head = "cell wrong(x[4]; h[8])\n";
    mistake(
        &format!("{head}h' = x * h"),
        (2, 10),
        &["[4]", "[8]", "`*`"],
    );
    mistake(
        &format!("{head}h' = tanh(x)"),
        (2, 6),
        &["`h` is [8]", "[4]", "declared here"],
    );
    mistake(
        &format!("{head}param W[8, 5]\nh' = W @ x"),
        (3, 10),
        &["[8,5]", "expected [5]"],
    );
    mistake(
        &format!("{head}h' = h\nloss x"),
        (3, 6),
        &["scalar", "mean"],
    );
}

#[test]
fn widths_of_dense_layers_follow_from_their_use() {
    let text = "cell widths(x[4]; h[8])
        a = dense(x)
        b = tanh(dense(a, h))
        c = concat(a, b)
        d = slice(c, 0..5)
        h' = 0.5 * h + sum(d)
        output y = c * dense(x)
        target t[12]
        loss mean(y - t) + dot(b, b) + dot(dense2, a)";
    let text = text.replace("output y", "dense2 = dense[9](x)\noutput y");
    let tape = read_tape("widths", &text, &[]).unwrap_or_else(|e| panic!("{e}"));
    let shape = |name: &str| {
        tape.inputs()[tape.input(name).expect("it is there")]
            .ty
            .shape
    };
    // 12 elements in all, of which `a` has as many as `dense2`.
    assert_eq!(shape("a.bias"), Shape::Vector(9));
    assert_eq!(shape("b.a"), Shape::Matrix(3, 9));
    assert_eq!(shape("y.x"), Shape::Matrix(12, 4));
    mistake(
        "cell open(x[4];)\na = dense(x)\noutput y = sum(a)",
        (2, 5),
        &["dense[64]"],
    );
}

#[test]
fn dimensions_have_values_and_can_be_given_others() {
    let text = "cell d(x[I]; h[2*H])\nwhere I=4, H=I/2\nh' = dense(x)";
    let tape = read_tape("d", text, &[("I", 6)]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(tape.inputs()[1].ty.shape, Shape::Vector(6));
    assert_eq!(parse_cell("d", text).unwrap().dimensions().count(), 2);
    let e = read_tape("d", text, &[("K", 6)]).expect_err("there is no K");
    assert!(e.to_string().contains("I, H"), "{e}");
    mistake("cell d(x[J];)", (1, 10), &["no dimension `J`"]);
}

#[test]
fn operators_bind_as_in_the_paper() {
    let tape = |value: &str| {
        let text = format!("cell p(a[2], b[2];)\nparam W[2,2]\nparam V[2,2]\noutput y = {value}");
        let tape = read_tape("p", &text, &[]);
        tape.unwrap_or_else(|e| panic!("{e}")).to_string()
    };
    let same = |a: &str, b: &str| assert!(tape(a) == tape(b), "{a} is not {b}");
    assert_ne!(tape("a + b"), tape("a - b"));
    same("a + b * a", "a + (b * a)");
    same("a - b - a", "(a - b) - a");
    same("a / b * a", "(a / b) * a");
    same("a * W @ b", "a * (W @ b)");
    same("W @ V @ b", "W @ (V @ b)");
    same("-W @ b + a", "(-(W @ b)) + a");
    same("-a * b", "(-a) * b");
    same("a - -b", "a - (-b)");
    same("a + b < a * b", "(a + b) < (a * b)");
    same("a >= b", "b <= a");
    same("a > b", "lt(b, a)");
    same("a @ W", "matvec_t(W, a)");
    same("2 * a", "mul(2, a)");
    same("a +\n   b", "a + b");
}

#[test]
fn deep_nesting_is_refused_and_long_files_are_not() {
    let deep = |n: usize| format!("cell d(x;)\noutput y = {}x{}", "(".repeat(n), ")".repeat(n));
    assert!(read_tape("d", &deep(100), &[]).is_ok());
    for text in [
        deep(100_000),
        format!("cell d(x;)\noutput y = {}x", "-".repeat(100_000)),
        format!("cell d(x;)\noutput y = x{}", " + x".repeat(100_000)),
        format!("cell d(x;)\noutput y = x{}", " @ x".repeat(100_000)),
        format!("cell d(x;)\noutput y = {}", "f(".repeat(100_000)),
        format!("cell d(x;)\noutput y = {}", "[".repeat(100_000)),
        format!("cell d(x{}", "[".repeat(100_000)),
    ] {
        let e = read_tape("d", &text, &[]).expect_err("it is too deep");
        assert!(e.message().contains("levels"), "{}", e.message());
    }
    let many: String = (0..3000)
        .map(|i| format!("a{} = a{i} + 1\n", i + 1))
        .collect();
    assert!(read_tape("d", &format!("cell d(a0;)\n{many}output y = a3000"), &[]).is_ok());
}

#[test]
fn a_number_that_f64_does_not_hold_is_refused() {
    mistake(
        "cell n(x;)\noutput y = x + 1e400",
        (2, 16),
        &["`1e400` is too large for f64"],
    );
    let digits = "9".repeat(400);
    mistake(
        &format!("cell n(x[I];) where I={digits}\noutput y = x"),
        (1, 23),
        &["is too large for f64"],
    );
    assert!(read_tape("n", "cell n(x;)\noutput y = x + 1.7e308", &[]).is_ok());
    assert!(read_tape("n", "cell n(x;)\noutput y = x + 1e-400", &[]).is_ok());
}

/// What a message about a text may have, whatever the text's length.
const SHORT: usize = 3000;

#[test]
fn a_mistake_in_a_very_long_line_is_shown_shortly() {
    for filler in ["x + ", "é + ", "漢字 + ", "\t", "\u{200b}", "\u{1f600}"] {
        let filler = filler.repeat((1 << 20) / filler.len());
        for line in [
            format!("output y = {filler}$"),
            format!("output y = tanh({filler}$"),
            format!("output y = $ {filler}"),
            format!("output y = {filler}$ {filler}"),
        ] {
            let text = format!("cell long(x;)\n{line}");
            let start = std::time::Instant::now();
            let e = read_tape("long.cell", &text, &[]).expect_err("`$` is no value");
            let shown = e.to_string();
            assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
            let (line, column) = e.position();
            for part in [&format!("long.cell:{line}:{column}"), "^", "expected"] {
                assert!(shown.contains(part), "{part} is missing in:\n{shown}");
            }
            assert!(shown.len() < SHORT, "{} bytes", shown.len());
        }
    }
}

#[test]
fn labels_far_apart_are_shown_with_a_line_each() {
    let many: String = (0..2000).map(|i| format!("a{i} = x\n")).collect();
    let text = format!("cell far(x;)\n{many}a0 = x\noutput y = x");
    let shown = read_tape("far.cell", &text, &[])
        .expect_err("a0 is given twice")
        .to_string();
    for part in [
        "far.cell:2002:1",
        "2002 | a0 = x",
        "far.cell:2:1",
        "   2 | a0 = x",
    ] {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
    assert!(shown.len() < SHORT, "{shown}");
}

#[test]
fn a_name_as_long_as_the_text_makes_no_long_message() {
    let name = "é".repeat(1 << 19);
    for text in [
        format!("cell {name}"),
        format!("cell n(x;)\noutput y = {name}"),
        format!("cell n(x;)\n{name}s = x\noutput y = {name}"),
        format!("cell n(x;)\noutput y = {name}(x)"),
        format!("cell n(x;)\n{name} = x\n{name} = x"),
        format!("cell n(x;)\noutput y = {}x", "-1e999".repeat(1 << 17)),
    ] {
        let e = read_tape("n", &text, &[]).expect_err("it is wrong");
        assert!(e.to_string().len() < SHORT, "{} bytes", e.to_string().len());
    }
}

#[test]
fn a_text_that_is_too_long_is_refused() {
    let text = |n: usize| {
        let cell = "cell n(x;)\noutput y = x\n";
        format!("{cell}#{}", "é".repeat((n - cell.len() - 1) / 2))
    };
    let limit = 16 << 20;
    assert!(read_tape("n", &text(limit), &[]).is_ok());
    let e = read_tape("n.cell", &text(limit + 2), &[]).expect_err("it is too long");
    assert!(e.message().contains("too many"), "{e}");
    assert!(e.to_string().contains("cell n(x;)"), "{e}");
    assert!(
        e.to_string().contains("expected at most 16777216 bytes"),
        "{e}"
    );
}

#[test]
fn an_op_along_an_axis_is_not_proposed_by_the_name_that_it_has_in_graphs() {
    let told = |call: &str| {
        let text = format!("cell m(x[4]; h[8])\nh' = h + {call}");
        let e = read_tape("m.cell", &text, &[]);
        e.expect_err("there is none of this name").to_string()
    };
    let e = told("sum_axis(x)");
    assert!(
        e.contains("= help: `sum(x, axis=0)` goes along an axis"),
        "{e}"
    );
    let e = told("sum_axi(x)");
    assert!(!e.contains("sum_axis"), "{e}");
}

#[test]
fn a_mistake_is_shown_in_the_form_of_rustc() {
    let e = read_tape("m.cell", "cell m(x[4]; h[8])\nh' = tahn(x +\n  h)", &[]);
    assert_eq!(
        e.expect_err("there is no tahn").to_string(),
        "\
error: there is no function `tahn`
 --> m.cell:2:6
  |
2 | h' = tahn(x +
  |      ^^^^ expected a function
  |
  = help: did you mean `tanh`?
"
    );
    let e = read_tape("m.cell", "cell m(x[4]; h[8])\nh' = tanh(x +\n  h)", &[]);
    assert_eq!(
        e.expect_err("4 and 8 are not alike").to_string(),
        "\
error: `+` needs values of one shape, not [4] and [8]
 --> m.cell:3:3
  |
2 | h' = tanh(x +
  |           - this is [4]
3 |   h)
  |   ^ this is [8]; expected [4]
"
    );
}
