//! The canonical text form: reading inverts printing, and mistakes are located.

use retrograd_graph::passes::Derivation;
use retrograd_graph::text::parse_graph;
use retrograd_graph::{Graph, Options, passes};
use retrograd_tape::generate::{Choices, generate};
use retrograd_tape::{Algebra, Domain, InputRole, Map, Op, OutputRole, Shape, Type};

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
            let trace = passes::trace(&g, &what[..n], &Options::verified());
            for (_, g) in trace.expect("recording has checked the directions") {
                reads_back(&g);
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(
        text in "(graph|param|delay|const|slice|concat|scatter|step|edge|input|output|axis|NaN|x|%[0-9]|[0-9.]{1,3}|\\[2\\]|[-+=.\\[\\],:%#\"\\\\ \n'é])*"
    ) {
        for text in [text.clone(), format!("graph a\n{text}"), format!("graph a\n%0: step [2] = {text}")] {
            if let Err(e) = parse_graph("t", &text) {
                proptest::prop_assert!(e.to_string().contains("expected"), "{}", e);
            }
        }
    }
}

#[test]
fn awkward_names_and_numbers_read_back() {
    let ty = Type::new(Shape::Scalar, Domain::Step);
    let mut g = Graph::new("a name\nof two lines");
    let x = g.input("# \"x\" \\ \u{2028}", InputRole::Sequence, ty);
    let empty = g.input("", InputRole::Cotangent, ty);
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
    g.output("a = b", OutputRole::Gradient, sum);
    reads_back(&g);
}

#[test]
fn equality_looks_at_everything_but_lines_and_numbers() {
    let g = |op: Map, role: InputRole, name: &str| {
        let mut g = Graph::new("g");
        g.constant(1.0, Shape::Scalar); // which nothing needs
        let x = g.input("x", role, Type::new(Shape::Vector(2), Domain::Step));
        let v = g.op(Op::Map(op), &[x]);
        g.label(v, Some(name.into()), None);
        g.output("y", OutputRole::Output, v);
        g
    };
    let one = g(Map::Tanh, InputRole::Sequence, "v");
    assert!(one == parse_graph("one", &one.to_string()).expect("it reads"));
    assert!(one != g(Map::Sigmoid, InputRole::Sequence, "v"));
    assert!(one != g(Map::Tanh, InputRole::Target, "v"));
    assert!(one != g(Map::Tanh, InputRole::Sequence, "w"));
}

#[test]
fn mistakes_in_a_graph_are_shown() {
    let good = "graph g\n  %0: step [2] = input x\n  %1: step [2] = tanh %0\n  output y = %1\n";
    assert!(parse_graph("g", good).is_ok());
    let wrong = |from: &str, to: &str, line: usize, part: &str| {
        let e = parse_graph("g", &good.replace(from, to)).expect_err("it is wrong");
        let shown = e.to_string();
        assert_eq!(e.line, line, "{shown}");
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

#[test]
fn what_no_printed_graph_has_is_refused_with_its_place() {
    let wrong = |line: &str, column: usize, shown: &str| {
        let e = parse_graph("g", &format!("# a comment\ngraph g\n\n  {line}")).expect_err(line);
        assert_eq!((e.line, e.column), (4, column), "{e}");
        assert_eq!(e.to_string(), format!("g:4:{column}: {shown}"));
    };
    wrong(
        "%0: once [] = const 1e400",
        23,
        "`1e400` is too large for f64; expected a smaller number, or `inf`",
    );
    wrong(
        "%0: once [4294967296] = const 1",
        13,
        "unexpected `4294967296`; expected a length",
    );
    wrong(
        "%0: step [2] = input é extra",
        26,
        "unexpected `extra`; expected the end of the line",
    );
    wrong(
        "%0: step [2] = input \"é",
        24,
        "a string that is not closed; expected a closing `\"` on this line, and only escapes such as \\n",
    );
    wrong(
        "%0: step [2] = delay 1 %7, %8",
        26,
        "there is no %7 before this line; expected a value of an earlier line \
         (only a delay's first operand may come later)",
    );
}

#[test]
fn mistakes_in_long_lines_and_long_names_are_short() {
    let long = "é".repeat(1 << 19);
    let input = format!("%0: step [2] = input {long}\n");
    for line in [
        format!("%0: step [2] = {long}"),
        format!("%0: {long}"),
        long.clone(),
        format!("%0: step [2] = input x {long}"),
        format!("{input}{}", input.replace("%0", "%1")),
        format!("%0: once [] = const {}", "9".repeat(1 << 20)),
        format!("%0: step [{}", "9".repeat(1 << 20)),
    ] {
        let e = parse_graph("g", &format!("graph g\n{line}")).expect_err("it is wrong");
        let shown = e.to_string();
        assert!(shown.contains("expected") && shown.len() < 300, "{shown}");
    }
}
