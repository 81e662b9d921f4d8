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

#[test]
fn a_functions_result_applies_the_layers_of_its_lines() {
    let twice = "def twice(x) {\nlayer g = dense[3]\nreturn tanh(g(tanh(g(x))))\n}\n";
    let found = read(&format!("{twice}cell a(x[3])\nd = twice(x)\noutput y = d"));
    assert_eq!(inputs(&found).len(), 3, "one matrix and one bias");
    // Nobody else does.
    let text = format!("{twice}cell a(x[3])\nd = twice(x)\noutput y = g(d)");
    mistake(&text, &[], &["no function `g`"]);
}

#[test]
fn what_is_used_is_called_as_the_line_says() {
    let leak = "cell leak(x[I]; h[I]) where I=1\nh' = 0.9 * h + x\noutput h'";
    for line in [
        "use leak as slow from \"leak.cell\"",
        "use leak from \"leak.cell\" as slow",
    ] {
        // Its own name is free.
        let text =
            format!("{line}\ndef leak(x) = 0.5 * x\ncell a(x[3])\nl = slow(leak(x))\noutput y = l");
        let tape = read_with(&text, &[("leak.cell", leak)]).unwrap_or_else(|e| panic!("{e}"));
        assert!(tape.input("l.h").is_some());
    }
    for (line, parts) in [
        ("use leak as", &["what it is called here"][..]),
        ("use leak as slow as fast", &["the end of the line"]),
        (
            "use leak as slow from \"leak\"\nuse leak as slow from \"leak\"",
            &["`slow` is defined twice"],
        ),
        ("use leak as slow from \"leak\"", &["no function `leak`"]),
    ] {
        let text = format!("{line}\ncell a(x[3])\nl = leak(x)\noutput y = l");
        let error = read_with(&text, &[("leak", leak)])
            .expect_err(line)
            .to_string();
        for part in parts {
            assert!(error.contains(part), "{part} is missing in\n{error}");
        }
    }
}

#[test]
fn a_comma_for_a_semicolon_and_the_reverse_are_explained() {
    for (text, says) in [
        (
            "cell c(x, h)\nh' = x + h\noutput h'",
            "a semicolon parts inputs from states, as in (x; h)",
        ),
        ("cell c(x, h delay 2)\noutput x", "stand after a semicolon"),
        (
            "cell c(x; h)\nh' = max(x; h)\noutput h'",
            "parted by commas",
        ),
        ("cell c(x[I; J])\noutput x", "parted by commas"),
        (
            "cell c(x[I]) where I=3; J=4\noutput x",
            "sizes are parted by commas",
        ),
        (
            "cell c(x)\ny = x;\noutput y",
            "lines end without a semicolon",
        ),
        (
            "cell c(x; h; g)\noutput x",
            "one `;` parts the inputs from the states",
        ),
    ] {
        mistake(text, &[], &[says]);
    }
}

#[test]
fn what_runs_backwards_and_what_rolls_is_checked() {
    let def = "def inner(x) {\nstate h[3]\nh' = x + h\nreturn h'\n}\n";
    let call = |args: &str| format!("{def}cell a(x[3])\ny = inner({args})\noutput y");
    assert!(read(&call("x, reverse=1")).to_string().contains("delay -1"));
    assert!(read(&call("x, reverse=0")).to_string().contains("delay 1"));
    mistake(
        &call("x, reverse=2"),
        &[],
        &["test.cell:7", "is not reversed 2 times", "expected 0 or 1"],
    );
    mistake(
        &call("x, reverse=1, reverse=1"),
        &[],
        &["`reverse` is given twice", "expected it once"],
    );
    mistake(
        "cell a(x[3])\ny = dense[2](x, reverse=1)\noutput y",
        &[],
        &["reverse"],
    );
    // A size of that name is one.
    let sized =
        "def wide[reverse](x) = dense[reverse](x)\ncell a(x[3])\ny = wide(x, reverse=2)\noutput y";
    assert!(read(sized).to_string().contains("[2,3]"));
    // A layer that is declared as one that runs backwards does so wherever it is applied.
    let shared =
        format!("{def}cell a(x[3])\nlayer l = inner(reverse=1)\ny = l(x)\noutput z = y + l(y)");
    assert_eq!(read(&shared).to_string().matches("delay -1").count(), 2);
    let rolled = |args: &str| format!("cell a(x[3], s)\noutput y = roll({args})");
    mistake(
        &rolled("s, 1"),
        &[],
        &["`roll` needs an axis", "expected a vector or more"],
    );
    mistake(
        &rolled("x, 0.5"),
        &[],
        &["moved by 0.5 places", "expected a whole number"],
    );
    mistake(&rolled("x, 1, axis=1"), &[], &["axis"]);
    mistake(&rolled("x, 1e300"), &[], &["expected a whole number"]);
}
