//! The text forms: what is read is what was printed, and mistakes are shown.

use retrograd_graph::passes::Derivation;
use retrograd_graph::text::{parse_cell, parse_graph, read_tape};
use retrograd_graph::{Graph, Options, passes};
use retrograd_tape::generate::{Choices, generate};
use retrograd_tape::{Algebra, Domain, Map, Op, Role, Shape, Type, Yield};

/// `parse(print(g)) == g`, and it prints the same.
fn reads_back(g: &Graph) {
    let printed = g.to_string();
    let read = parse_graph("printed", &printed).unwrap_or_else(|e| panic!("{e}"));
    assert!(read == *g, "read back differently:\n{printed}\nas\n{read}");
    assert_eq!(read.to_string(), printed);
}

proptest::proptest! {
    #[test]
    fn generated_graphs_read_back_after_every_pass(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)
    ) {
        let case = generate(&mut Choices::new(&bytes));
        let g = Graph::from_tape(&case.tape);
        let what = passes::adjoint::Differentiate::loss(&g);
        let hessian = passes::tangent::Tangents::of_gradients(&g, &what, what.wrt.clone());
        let what = [Derivation::Adjoint(what), Derivation::Tangent(hessian)];
        for n in 0..=2 {
            let trace = passes::run(&g, &what[..n], &Options::verified());
            for (_, g) in trace.expect("recording has checked the directions") {
                reads_back(&g);
            }
        }
    }

    #[test]
    fn no_text_makes_the_parsers_panic(
        text in "(cell|graph|where|param|state|init|delay|loss|dense|slice|step|input|h'?|x|[0-9.]{1,3}|[-+*/@<=>()\\[\\],;:%#\"\\\\ \n'é])*"
    ) {
        for text in [text.clone(), format!("cell a(x[2]; h[2])\n{text}"), format!("graph a\n{text}")] {
            if let Err(e) = read_tape("t", &text, &[]) {
                let _ = e.to_string();
            }
            if let Err(e) = parse_graph("t", &text) {
                let _ = e.to_string();
            }
        }
    }
}

#[test]
fn awkward_names_and_numbers_read_back() {
    let ty = Type::new(Shape::Scalar, Domain::Step);
    let mut g = Graph::new("a name\nof two lines");
    let x = g.input("# \"x\" \\ \u{2028}", Role::Sequence, ty);
    let empty = g.input("", Role::Cotangent, ty);
    let mut sum = g.op(Op::Map(Map::Add), &[x, empty]);
    g.label(sum, Some("h'".into()), None);
    let weird = f64::from_bits(0xfff8_0000_0000_0007);
    for value in [
        -0.0,
        f64::NAN,
        -f64::NAN,
        weird,
        f64::INFINITY,
        -1e-300,
        1e300,
        0.1,
    ] {
        let c = g.constant(value, Shape::Scalar);
        sum = g.op(Op::Map(Map::Mul), &[sum, c]);
    }
    g.label(sum, Some("input".into()), None);
    g.output("a = b", Yield::Gradient, sum);
    reads_back(&g);
}

#[test]
fn equality_looks_at_everything_but_lines_and_numbers() {
    let g = |op: Map, role: Role, name: &str| {
        let mut g = Graph::new("g");
        g.constant(1.0, Shape::Scalar); // which nothing needs
        let x = g.input("x", role, Type::new(Shape::Vector(2), Domain::Step));
        let v = g.op(Op::Map(op), &[x]);
        g.label(v, Some(name.into()), None);
        g.output("y", Yield::Output, v);
        g
    };
    let one = g(Map::Tanh, Role::Sequence, "v");
    assert!(one == parse_graph("one", &one.to_string()).expect("it reads"));
    assert!(one != g(Map::Sigmoid, Role::Sequence, "v"));
    assert!(one != g(Map::Tanh, Role::Target, "v"));
    assert!(one != g(Map::Tanh, Role::Sequence, "w"));
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
    line("h' = x[2]", 10, &["`(`"]);
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
        let tape = read_tape("p", &text, &[]).unwrap_or_else(|e| panic!("{e}"));
        Graph::from_tape(&tape)
    };
    let same = |a: &str, b: &str| assert!(tape(a) == tape(b), "{a} is not {b}");
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
fn mistakes_in_a_graph_are_shown() {
    let good = "graph g\n  %0: step [2] = input x\n  %1: step [2] = tanh %0\n  output y = %1\n";
    assert!(parse_graph("g", good).is_ok());
    let wrong = |from: &str, to: &str, line: usize, part: &str| {
        let e = parse_graph("g", &good.replace(from, to)).expect_err("it is wrong");
        let shown = e.to_string();
        assert_eq!(e.position().0, line, "{shown}");
        assert!(
            shown.contains(part) && shown.contains("expected"),
            "{shown}"
        );
    };
    wrong("graph g", "g", 1, "`graph`");
    wrong("tanh %0", "tanh %7", 3, "no %7");
    wrong("tanh %0", "tahn %0", 3, "did you mean `tanh`?");
    wrong("tanh %0", "add %0", 3, "2 operands");
    wrong("1: step [2]", "1: step [3]", 3, "step [2]");
    wrong("1: step [2]", "1: stop [2]", 3, "no domain `stop`");
    wrong("%1: step", "%0: step", 3, "two values %0");
    wrong("output y = %1", "output y", 4, "`=`");
    wrong("output y", "yield y", 4, "`yield`");
}
