//! Whose names are whose: functions among sizes and indices, used cells, shared layers; and how far they may reach into each
//! other.

mod common;

use common::{inputs, mistake, read, read_with};

/// The value of the only output for these inputs, at one step of one row.
fn value(text: &str, inputs: &[(&str, &[f64])]) -> Vec<f64> {
    let tape = read(text);
    let given: Vec<&[f64]> = (tape.inputs().iter())
        .map(|i| {
            inputs
                .iter()
                .find(|(n, _)| *n == &*i.name)
                .map_or(&[][..], |(_, x)| *x)
        })
        .collect();
    let mut run = retrograd_tape::Interpreter::<f64>::new(&tape);
    let extent = retrograd_tape::Extent { steps: 1, rows: 1 };
    run.forward(extent, &given)
        .unwrap_or_else(|e| panic!("{e}"));
    run.output(0).to_vec()
}

#[test]
fn names_of_a_function_are_its_own_whatever_sizes_and_indices_the_caller_has() {
    let x: &[(&str, &[f64])] = &[("x", &[1.0, 2.0, 3.0])];
    let twice = "def twice(k) = 2 * k\ncell c(x[3])\n";
    let text = format!("{twice}for k in 0..2 carrying y = x {{\n y = twice(y)\n}}\noutput y");
    assert_eq!(value(&text, x), [4.0, 8.0, 12.0]);
    let text = "def scale(H) = 2 * H\ncell c(x[3]) where H=5\noutput y = x + scale(x) + H";
    assert_eq!(value(text, x), [8.0, 11.0, 14.0]);
    let text = "def f(x) {\n k = 2 * x\n return k\n}\ncell c(x[3])\nfor k in 0..2 carrying y = x { y = f(y) }\noutput y";
    assert_eq!(value(text, x), [4.0, 8.0, 12.0]);
    let text = "def f(x) {\n for k in 0..2 carrying y = x { y = y + k }\n return y\n}\ncell c(x[3])\nfor k in 0..2 carrying y = x { y = f(y) }\noutput y";
    assert_eq!(value(text, x), [3.0, 4.0, 5.0]);
    mistake(
        "def inner(x) = x + N\ndef outer[N](x) = inner(x)\ncell c(x[3])\noutput y = outer[2](x)",
        &[],
        &["no value `N`"],
    );
    // A cell, and a function, may be called like a built-in one, and use it.
    assert_eq!(
        value("cell square(x[3])\noutput y = square(x)", x),
        [1.0, 4.0, 9.0]
    );
    let text = "def tanh(x) = 0 * tanh(x) + x\ncell c(x[3])\noutput y = tanh(x)";
    assert_eq!(value(text, x), [1.0, 2.0, 3.0]);
}

#[test]
fn a_used_cell_keeps_what_its_first_output_needs_and_no_loss() {
    let inner = "cell inner(x[3]; h[3])\noutput y = x + 1\nh' = y\nfor k in 0..2 {\n z = k * x\n loss sum(z)\n}\noutput other = x";
    let tape = read_with(
        "use inner from \"in.cell\"\ncell a(x[3])\nlayer l = inner(x)\noutput z = l",
        &[("in.cell", inner)],
    )
    .unwrap_or_else(|e| panic!("{e}"));
    assert!(
        tape.outputs()
            .iter()
            .all(|o| &*o.name != "loss" && &*o.name != "other")
    );
    let looped =
        "cell inner(x[3])\nfor k in 0..2 carrying y = x {\n loss sum(y)\n y = 2 * y\n}\noutput y";
    let tape = read_with(
        "use inner from \"in.cell\"\ncell a(x[3])\nlayer l = inner(x)\noutput z = l",
        &[("in.cell", looped)],
    )
    .unwrap_or_else(|e| panic!("{e}"));
    assert!(tape.outputs().iter().all(|o| &*o.name != "loss"));
}

#[test]
fn layers_to_apply_by_name_are_checked_and_end_with_their_block() {
    let in_cell = |lines: &str, parts: &[&str]| {
        mistake(
            &format!("use lstm\ncell a(x[3]; h[3])\nh' = x\n{lines}"),
            &[],
            parts,
        );
    };
    in_cell(
        "layer f = dense[2]\nlayer f = dense[3]\noutput x",
        &["two layers `f`"],
    );
    in_cell(
        "for k in 0..2 { layer f = dense[3]\n y = f(x) }\noutput z = f(x)",
        &["no function `f`"],
    );
    in_cell(
        "layer f = lstm(H=4)\noutput y = f(x, H=8)",
        &["`H` is given twice"],
    );
    in_cell(
        "def f(x) {\n output y = x\n return x\n}\noutput y = f(x)",
        &["no inputs, outputs"],
    );
    in_cell(
        "for k in 0..2 carrying h = h { h = 2 * h }\noutput h",
        &["`h` cannot be carried"],
    );
    in_cell(
        "for k in 3..0 { y = x }\noutput x",
        &["ends before it begins"],
    );
    // Without an equation, where only values would be called after it.
    read("cell a(x[3])\nlayer f = dense[3]\nloss mean(square(f(x) - x))\noutput y = f(x)");
    // Operands that would have each other's names.
    let found = inputs(&read(
        "cell a(x[3]; h[3], h_2[3])\nh' = tanh(dense(h_2, h, h))\nh_2' = x\noutput x",
    ));
    assert!(
        found.contains("h.h_2") && found.contains("h.h_2_2") || found.contains("h.h_2"),
        "{found:?}"
    );
}

#[test]
fn maxima_of_functions_and_of_one_equation_have_names_of_their_own() {
    let text =
        "def peak(x) = amax(x, to=row)\ncell c(x[3])\nm = peak(x) + amax(2 * x, to=row)\noutput m";
    let x: &[(&str, &[f64])] = &[("x", &[1.0, 2.0, 3.0])];
    assert_eq!(value(text, x), [3.0, 6.0, 9.0]);
}

#[test]
fn functions_in_functions_are_refused_before_the_stack_ends() {
    let mut text = String::from("cell a(x[3])\ndef f0(x) = x\n");
    for k in 1..60 {
        let (open, close) = ("tanh(".repeat(100), ")".repeat(100));
        text += &format!("def f{k}(x) = {open}f{}(x){close}\n", k - 1);
    }
    mistake(
        &format!("{text}output y = f59(x)"),
        &[],
        &["levels, functions included"],
    );
    let filter = "cell a(x[3])\nfor k in 0..100000 { a = conv[256](x) }\noutput x";
    mistake(filter, &[], &["lines and expressions"]);
}
