//! Cell files: those of the zoo have the parameters of their papers, and the language says what the builder says.

use retrograd::{Cell, Error, Init, Shape, StateSpec, zoo};
use retrograd_graph::{Graph, passes::simplify::simplify};
use retrograd_tape::Extent;
use retrograd_tape::Interpreter;

/// The forecaster of a cell of the zoo.
fn zoo_cell(name: &str, inputs: usize, units: usize) -> Cell {
    let entry = zoo::find(name).expect("it is in the zoo");
    zoo::forecaster(entry, inputs, units).unwrap_or_else(|e| panic!("{e}"))
}

/// Name, shape and beginning of all parameters, by name.
fn parameters(cell: &Cell) -> Vec<(String, Shape, Init)> {
    let mut all: Vec<_> = (cell.parameter_specs())
        .map(|p| (p.name.to_owned(), p.shape, p.init))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// The simplified graph as text, without the names of inner values.
fn graph(cell: &Cell) -> String {
    let g = simplify(&Graph::from_tape(cell.tape()), true);
    let bare = |line: &str| line.split("  # ").next().unwrap_or("").to_owned();
    let lines: Vec<String> = g.to_string().lines().map(bare).collect();
    lines.join("\n")
}

/// Loss, outputs and the gradients of the parameters by name, on inputs that depend on their names alone.
fn numbers(cell: &Cell) -> Vec<(String, Vec<f64>)> {
    let (t, b) = (3, 2);
    let tape = cell.tape();
    let inputs: Vec<Vec<f64>> = (tape.inputs().iter())
        .map(|input| {
            let seed = input.name.bytes().map(f64::from).sum::<f64>();
            (0..input.ty.numbers(t, b))
                .map(|k| (seed + 0.7 * k as f64).sin() * 0.4)
                .collect()
        })
        .collect();
    let slices: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
    let mut run = Interpreter::<f64>::new(tape);
    run.forward(Extent { steps: t, rows: b }, &slices)
        .expect("the inputs fit");
    let mut out: Vec<(String, Vec<f64>)> = (tape.outputs().iter().enumerate())
        .map(|(i, o)| (o.name.to_string(), run.output(i).to_vec()))
        .collect();
    let cotangents: Vec<Option<&[f64]>> = (tape.outputs().iter())
        .map(|o| (&*o.name == "loss").then_some(&[1.0][..]))
        .collect();
    run.backward(&cotangents).expect("there was a run");
    for (i, input) in tape.inputs().iter().enumerate() {
        let gradient = run.gradient(i).map(<[f64]>::to_vec).unwrap_or_default();
        out.push((format!("grad({})", input.name), gradient));
    }
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out
}

#[test]
fn the_other_cells_have_the_parameters_of_their_papers() {
    let count = |name: &str, units: usize| {
        let cell = zoo_cell(name, 3, units);
        let forecast: usize = (cell.parameter_specs())
            .filter(|p| p.name.starts_with("forecast"))
            .map(|p| p.shape.len())
            .sum();
        cell.parameter_count() - forecast
    };
    let (i, h) = (3, 8);
    assert_eq!(count("peephole", h), 4 * h * (i + h + 1) + 3 * h);
    assert_eq!(count("lnlstm", h), 4 * h * (i + h) + 12 * h + 2 * h);
    assert_eq!(count("lstmp", h), 4 * h * (i + h / 4 + 1) + h / 4 * h);
    assert_eq!(count("mingru", h), 2 * h * (i + 1));
    assert_eq!(count("indrnn", h), h * (i + 1) + h);
    assert_eq!(count("sru", h), 4 * h * i + 2 * h + 2 * h);
    assert_eq!(
        count("lstm4", h),
        4 * h * (i + h + 1) + 3 * 4 * h * (2 * h + 1)
    );
    assert_eq!(count("mlstm", 4), 4 * 4 * (i + 1) + 2 * (i + 1));
}

#[test]
fn every_cell_of_the_zoo_runs_alone_and_as_a_forecaster() {
    for entry in zoo::ENTRIES {
        let alone = Cell::from_text(entry.text, &[]).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(alone.name(), entry.name);
        let cell = zoo_cell(entry.name, 3, 8);
        for cell in [&alone, &cell] {
            let finite = numbers(cell)
                .iter()
                .all(|(_, x)| x.iter().all(|x| x.is_finite()));
            assert!(finite, "{cell}");
        }
    }
}

#[test]
fn the_language_says_what_the_builder_says() {
    let text = "
        cell everything(x[3], word; h[4] delay 2, back[4] delay -1, M[4, 3], l[4] init learned, s0[4] init tanh(s))
        static s[4]
        mask drop[4] keep 0.9
        param W[4, 3] init orthogonal       # shared by two products
        param a init 0.5
        e = embedding[10, 3](word)
        shared = W @ x + W @ e
        h' = select(shared < drop, h, a * s0)
        back' = tanh(dense_no_bias(back))
        M' = M + outer(h', x) * a
        l' = softmax(layer_norm(l, eps=1e-3))
        s0' = stop_gradient(concat(slice(s0, 2..4), slice(s0, 0..2)))
        output y = M' @ x + h' @ M' @ x
        output both = max(s0', l') / 2
        init back.back = normal(0.1)
        weight_input w
        target t[4]
        loss dot(y - t, y - t)
        loss -mean(both)
        weight w
        sum_loss";
    let read = Cell::from_text(text, &[]);
    // M' is [4,3], and h' @ M' is a vector of 3, which is no matrix to multiply with.
    let message = read.expect_err("three factors do not fit").to_string();
    assert!(message.contains("no matrix and a vector"), "{message}");

    let read = Cell::from_text(&text.replace("h' @ M' @ x", "W @ (h' @ M')"), &[]);
    let read = read.unwrap_or_else(|e| panic!("{e}"));
    let built = Cell::define("everything", |c| {
        let x = c.input("x", 3);
        let word = c.input("word", ());
        let h = c.state_with("h", 4, StateSpec::delay(2));
        let back = c.state_with("back", 4, StateSpec::delay(-1));
        let m = c.state("M", (4, 3));
        let l = c.state_with("l", 4, StateSpec::delay(1).init_learned());
        let s = c.static_input("s", 4);
        let s0 = c.state_with("s0", 4, StateSpec::delay(1).init(s.tanh()));
        let drop = c.mask("drop", 4, 0.9);
        let w = c.param_init("W", (4, 3), Init::Orthogonal(1.0));
        let a = c.param_init("a", (), Init::Constant(0.5));
        let e = c.embedding("e", 10, 3, word);
        let shared = w.matvec(x) + w.matvec(e);
        let h = c.next(h, shared.lt(drop).select(h, a * s0));
        c.next(back, c.dense_no_bias("back", 4, [back]).tanh());
        let m = c.next(m, m + h.outer(x) * a);
        let l = c.next(l, l.layer_norm(1e-3).softmax());
        let turned = retrograd::Var::concat(&[s0.slice(2, 2), s0.slice(0, 2)]);
        let s0 = c.next(s0, turned.stop_gradient());
        let y = m.matvec(x) + w.matvec(m.matvec_t(h));
        c.output("y", y);
        let both = s0.max(l) / 2.0;
        c.output("both", both);
        c.init("back.back", Init::Normal(0.1));
        let weight = c.weight_input("w");
        let t = c.target("t", 4);
        c.loss((y - t).dot(y - t));
        c.loss(-both.mean());
        c.weight(weight);
        c.sum_loss();
    })
    .expect("the cell is right");
    assert_eq!(graph(&read), graph(&built));
    assert_eq!(parameters(&read), parameters(&built));
    assert_eq!(read.keep_probabilities(), built.keep_probabilities());
}

/// The message of a mistake, which must be one of the text.
fn mistake(text: &str) -> String {
    match Cell::from_text(text, &[]) {
        Err(Error::Text(e)) => e.to_string(),
        Err(e) => panic!("not a mistake of the text: {e}"),
        Ok(cell) => panic!("there is no mistake: {cell}"),
    }
}

#[test]
fn mistakes_of_the_builder_come_out_with_their_line() {
    let head = "cell wrong(x[3]; h[5])\nh' = 0.5 * h\n";
    let wrong = |line: &str, parts: &[&str]| {
        let message = mistake(&format!("{head}{line}\n"));
        for part in [":3:", "^"].iter().chain(parts) {
            assert!(message.contains(part), "{part} is missing in:\n{message}");
        }
        assert!(!message.contains(".rs:"), "{message}");
    };
    wrong("param W[3] init identity", &["needs a matrix"]);
    wrong("init gate.h = 1", &["no parameter `gate.h`"]);
    wrong("param x.init init normal(-1)", &["at least 0"]);
    wrong("static nothing[0]", &["at least one element"]);
    wrong("output h", &["there already is an output `h`"]);
    wrong("a = delay(x, x)", &["delay"]);
    wrong("state past[2] delay 1", &["no next value"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let e = Cell::from_file("no/such.cell", &[]).expect_err("there is none");
    assert!(e.to_string().contains("no/such.cell"), "{e}");
}
