//! Values of a row, inputs over rows, losses of their own, starts, and gradients inside a step: what is recorded.

use retrograd_tape::{Domain, Extent, InputRole, Interpreter, Shape, Tape};
use retrograd_text::read_tape;

fn read(text: &str) -> Tape {
    read_tape("test.cell", text, &[]).unwrap_or_else(|e| panic!("{e}"))
}

fn mistake(text: &str, parts: &[&str]) {
    let shown = match read_tape("test.cell", text, &[]) {
        Err(e) => e.to_string(),
        Ok(tape) => panic!("there is no mistake in\n{text}\n{tape}"),
    };
    for part in parts {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
}

/// All outputs on these inputs, by name.
fn outputs(
    tape: &Tape,
    (t, b): (usize, usize),
    inputs: &[(&str, &[f64])],
) -> Vec<(String, Vec<f64>)> {
    let given: Vec<&[f64]> = (tape.inputs().iter())
        .map(|i| {
            inputs
                .iter()
                .find(|(n, _)| *n == &*i.name)
                .map_or(&[][..], |(_, x)| *x)
        })
        .collect();
    let mut run = Interpreter::<f64>::new(tape);
    run.forward(Extent { steps: t, rows: b }, &given)
        .unwrap_or_else(|e| panic!("{e}"));
    let named = tape.outputs().iter().enumerate();
    named
        .map(|(k, o)| (o.name.to_string(), run.output(k).to_vec()))
        .collect()
}

fn output(tape: &Tape, size: (usize, usize), inputs: &[(&str, &[f64])], name: &str) -> Vec<f64> {
    let all = outputs(tape, size, inputs);
    let found = all.into_iter().find(|(n, _)| n == name);
    found.unwrap_or_else(|| panic!("no output {name}")).1
}

#[test]
fn what_a_row_has_of_its_steps_is_used_by_later_loops() {
    let tape = read(
        "cell row(x; h)
        centred = x - mean(x, to=row)
        h' = 0.5 * h + centred
        greatest = amax(h', to=row)
        output y = h' - last(h')
        output total = sum(x, to=row)
        output most = greatest
        output all = sum(x, to=once)",
    );
    // Two rows of three steps, time before rows.
    let x = [1.0, 10.0, 2.0, 20.0, 6.0, 60.0];
    let found = |name: &str| output(&tape, (3, 2), &[("x", &x)], name);
    // Row 0: centred -2, -1, 3; h' -2, -2, 2.
    assert_eq!(found("y"), [-4.0, -40.0, -4.0, -40.0, 0.0, 0.0]);
    assert_eq!(found("total"), [9.0, 90.0]);
    assert_eq!(found("most"), [2.0, 20.0]);
    assert_eq!(found("all"), [99.0]);
}

#[test]
fn an_encoders_summary_starts_a_decoder_on_the_same_steps() {
    let tape = read(
        "cell codes(x; h)
        h' = 0.5 * h + x
        state g init last(h')
        g' = 0.5 * g
        output g'",
    );
    assert_eq!(
        output(&tape, (2, 1), &[("x", &[4.0, 2.0])], "g'"),
        [2.0, 1.0]
    );
    mistake(
        "cell wrong(x; h)\nm = mean(h, to=row)\nh' = 0.5 * h + x - m\noutput h'",
        &["known only after the last step", "`h`", "cell wrong"],
    );
}

#[test]
fn inputs_say_what_they_vary_over() {
    let tape = read(
        "cell over(x[2])
        static scale over once
        target label[2] over row
        mask drop[2] keep 0.5 over row
        weight_input w over row
        loss sum(square(drop * last(x) * scale - label)) weight w
        loss 0.25 * square(scale)",
    );
    let of = |name: &str| {
        let input = &tape.inputs()[tape.input(name).expect("it is there")];
        (input.role, input.ty.domain)
    };
    assert_eq!(of("scale"), (InputRole::Static, Domain::Once));
    assert_eq!(of("label"), (InputRole::Target, Domain::Row));
    assert_eq!(of("drop"), (InputRole::Mask, Domain::Row));
    assert_eq!(of("w"), (InputRole::Weight, Domain::Row));
    let x = [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0];
    let inputs: &[(&str, &[f64])] = &[
        ("x", &x),
        ("scale", &[2.0]),
        ("label", &[1.0, 1.0, 1.0, 1.0]),
        ("drop", &[1.0, 1.0, 1.0, 0.0]),
        ("w", &[1.0, 3.0]),
    ];
    // Rows: (2-1)² + (4-1)² = 10 and (6-1)² + (0-1)² = 26.
    let loss = output(&tape, (2, 2), inputs, "loss");
    assert_eq!(loss, [(10.0 + 3.0 * 26.0) / 4.0 + 1.0]);
    mistake(
        "cell a(x[2])\nstatic s over step\noutput x",
        &["cannot vary over step", "row or once"],
    );
    mistake(
        "cell a(x[2])\nparam p over row\noutput x",
        &["the end of the line"],
    );
}

#[test]
fn losses_of_steps_rows_and_the_program_are_each_normalised_by_their_own() {
    let tape = read(
        "cell losses(x)
        param p
        weight_input w
        loss x
        loss 100 * sum(x, to=row)
        loss 10000 * p
        loss 2 * x weight x
        weight w",
    );
    let inputs: &[(&str, &[f64])] = &[
        ("x", &[1.0, 2.0, 3.0, 4.0]),
        ("p", &[5.0]),
        ("w", &[1.0, 0.0, 0.0, 1.0]),
    ];
    let steps = (1.0 + 4.0) / 2.0;
    let rows = 100.0 * ((1.0 + 3.0) + (2.0 + 4.0)) / 2.0;
    let own = 2.0 * (1.0 + 4.0 + 9.0 + 16.0) / 10.0;
    let found = output(&tape, (2, 2), inputs, "loss")[0];
    assert!(
        (found - (steps + rows + 50_000.0 + own)).abs() < 1e-9,
        "{found}"
    );
}

#[test]
fn a_target_under_a_weight_of_0_is_not_read_whichever_loss_it_is_in() {
    let tape = read(
        "cell covered(x)
        target a
        target b
        weight_input v
        weight_input w
        loss square(x - a) weight v
        loss square(x - b) + 0 * a weight w",
    );
    let inputs: &[(&str, &[f64])] = &[
        ("x", &[1.0, 2.0]),
        ("a", &[f64::NAN, 3.0]),
        ("b", &[5.0, f64::NAN]),
        ("v", &[0.0, 1.0]),
        ("w", &[0.0, 0.0]),
    ];
    let found = output(&tape, (2, 1), inputs, "loss")[0];
    assert!(found.is_nan(), "all weights of the second are 0");
    let mut inputs = inputs.to_vec();
    inputs[2].1 = &[5.0, 4.0];
    inputs[4].1 = &[0.0, 2.0];
    assert_eq!(output(&tape, (2, 1), &inputs, "loss"), [1.0 + 4.0]);
}

#[test]
fn a_cell_learns_while_it_runs() {
    let tape = read(
        "cell titan(x[3]; W[2, 3] init 0.5)
        e = sum((W @ x)^2)
        W' = W - 0.1 * gradient(e, of: W)
        output W'",
    );
    // ∂e/∂W = 2 (W x) xᵀ, with W x = 0.5 · 6 = 3 in both rows.
    let found = output(&tape, (1, 1), &[("x", &[1.0, 2.0, 3.0])], "W'");
    let expected: Vec<f64> = [1.0, 2.0, 3.0, 1.0, 2.0, 3.0].map(|x| 0.5 - 0.6 * x).into();
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() < 1e-15, "{found:?}");
    }
    let in_cell = |line: &str, parts: &[&str]| {
        mistake(
            &format!("cell a(x[3]; W[2, 3])\nparam P[3]\nW' = W\n{line}"),
            parts,
        );
    };
    in_cell(
        "output y = gradient(x, of: W)",
        &["that of a scalar", "[3]"],
    );
    in_cell(
        "output y = gradient(sum(W), of: W + 0)",
        &["a value that has a name"],
    );
    in_cell(
        "output y = gradient(dot(P, x), of: P)",
        &["should vary over what"],
    );
}

#[test]
fn axes_are_named_and_stretched() {
    let tape = read(
        "cell axes(q[2, 3], C[2, 4, 3], f[2])
        output read = einsum(\"hij,hj->hi\", C, q)
        output same = matvec(C, q)
        output scaled = reshape(f, [2, 1, 1]) * C
        output kept = C - mean(C, axis=-1, keep=1)
        output turned = transpose(C, [2, 0, 1])
        output normed = rms_norm(q, axis=1) + softmax(q, axis=0)
        output part = C[1, .., 0] + cumsum(C[0], axis=0)[3, 0]
        output heads = dense[2, 5](q, other: outer(f, q[0])[.., 0..2])",
    );
    let shape = |name: &str| {
        let output = tape
            .outputs()
            .iter()
            .find(|o| &*o.name == name)
            .expect("it is there");
        tape.node(output.value).ty.shape
    };
    assert_eq!(shape("read"), Shape::Matrix(2, 4));
    assert_eq!(shape("scaled"), Shape::Tensor(2, 4, 3));
    assert_eq!(shape("kept"), Shape::Tensor(2, 4, 3));
    assert_eq!(shape("turned"), Shape::Tensor(3, 2, 4));
    assert_eq!(shape("part"), Shape::Vector(4));
    assert_eq!(shape("heads"), Shape::Matrix(2, 5));
    let input = |name: &str| {
        tape.inputs()[tape.input(name).expect("it is there")]
            .ty
            .shape
    };
    assert_eq!(input("heads.q"), Shape::Tensor(2, 5, 3));
    assert_eq!(input("heads.other"), Shape::Tensor(2, 5, 2));
    assert_eq!(input("heads.bias"), Shape::Matrix(2, 5));
    let wrong = |line: &str, parts: &[&str]| {
        mistake(&format!("cell a(q[2, 3], C[2, 4, 3], f[2])\n{line}"), parts);
    };
    wrong(
        "output y = f * q",
        &["[2]", "[2,3]", "missing ones are not"],
    );
    wrong(
        "output y = einsum(\"hij,hk->hi\", C, f)",
        &["names 2 axes", "[2]"],
    );
    wrong(
        "output y = einsum(\"hij,ij->h\", C, q)",
        &["`i` has 4 elements and 2"],
    );
    wrong(
        "output y = einsum(\"hij,hj->hk\", C, q)",
        &["no factor has the axis `k`"],
    );
    wrong("output y = einsum(C, q, q)", &["letters of its axes"]);
    wrong(
        "output y = sum(q, axis=2)",
        &["[2,3] has no axis 2", "-2 to -1"],
    );
    wrong("output y = transpose(q, [0, 0])", &["no order of 2 axes"]);
    wrong("output y = group_norm(f, groups=3)", &["no 3 groups"]);
    wrong("output y = conv[0](f)", &["the length of its filter"]);
    wrong("param p[1, 2, 3, 4]\noutput f", &["at most three axes"]);
}

#[test]
fn complex_numbers_are_pairs() {
    let tape = read(
        "cell c(a[2, 3], b[2, 3], angle[3])
        output product = complex_mul(a, complex_conj(b))
        output size = complex_abs(a)
        output turned = polar(size, angle)",
    );
    let inputs: &[(&str, &[f64])] = &[
        ("a", &[3.0, 0.0, 1.0, 4.0, 2.0, -1.0]),
        ("b", &[1.0, 1.0, 0.5, 2.0, -1.0, 0.0]),
        ("angle", &[0.0, std::f64::consts::PI, 0.5]),
    ];
    let found = |name: &str| output(&tape, (1, 1), inputs, name);
    // (3 + 4i)(1 - 2i) = 11 - 2i, 2i (1 + i) = -2 + 2i, (1 - i) 0.5 = 0.5 - 0.5i.
    assert_eq!(found("product"), [11.0, -2.0, 0.5, -2.0, 2.0, -0.5]);
    assert_eq!(found("size"), [5.0, 2.0, 2.0_f64.sqrt()]);
    let turned = found("turned");
    let expected = [
        5.0,
        -2.0,
        2.0_f64.sqrt() * 0.5_f64.cos(),
        0.0,
        0.0,
        2.0_f64.sqrt() * 0.5_f64.sin(),
    ];
    assert!(
        turned
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < 1e-14),
        "{turned:?}"
    );
    mistake(
        "cell a(x[3])\noutput y = complex_abs(x)",
        &["cannot take [3]", "a first axis of 2"],
    );
    mistake(
        "cell a(x[2, 2])\noutput y = complex_mul(x)",
        &["takes 2 operands"],
    );
}

#[test]
fn a_convolution_reads_the_last_steps() {
    let tape = read("cell c(x[1])\noutput y = conv[3](x)");
    let inputs: &[(&str, &[f64])] = &[
        ("x", &[1.0, 2.0, 3.0, 4.0]),
        ("y.kernel", &[100.0, 10.0, 1.0]),
        ("y.bias", &[0.5]),
        ("y.1", &[7.0]),
        ("y.2", &[9.0, 8.0]),
    ];
    // The two steps before the first are 9, 8 for the delay of two, and 7 for that of one.
    let found = output(&tape, (4, 1), inputs, "y");
    assert_eq!(
        found,
        [100.0 + 70.0 + 9.5, 200.0 + 10.0 + 8.5, 321.5, 432.5]
    );
}
