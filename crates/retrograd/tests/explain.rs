//! `retrograd explain`: what it counts is what runs, its drawings are whole, and mistakes say what there is.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Command, Output};

use retrograd::explain::{Drawing, Explanation, Where};
use retrograd::{Cell, CellText, zoo};
use retrograd_jit::predict::Machine;
use retrograd_jit::{CompiledCell, Purpose};
use retrograd_tape::{Role, Yield};

/// All cells that the program knows by name.
fn cells() -> Vec<(&'static str, Cell)> {
    let zoo = zoo::ENTRIES
        .iter()
        .map(|e| (e.name, zoo::forecaster(e, 3, 8)));
    let written = zoo::WRITTEN.iter().map(|w| {
        let text = CellText::parse(w.name, w.text).expect("it is a cell");
        (w.name, text.cell(&[]))
    });
    let all = zoo.chain(written);
    all.map(|(name, cell)| (name, cell.expect("it is a cell")))
        .collect()
}

/// Calls of products in a run: hoisted, and at single steps.
fn counted(cell: &Cell, purpose: &Purpose, t: usize, b: usize) -> (usize, usize) {
    let compiled = CompiledCell::<f32>::compile(cell.tape(), purpose).expect("it compiles");
    let inputs = compiled.inputs().iter().map(|i| {
        let points = match i.role {
            Role::Initial => 0,
            Role::Param => 1,
            Role::Static => b,
            _ => t * b,
        };
        vec![0.1; points * i.ty.shape.len()]
    });
    let inputs: Vec<Vec<f32>> = inputs.collect();
    let outputs = compiled.outputs().iter().enumerate();
    let lens = outputs.map(|(k, o)| match o.role {
        Yield::Final => 0,
        _ => compiled.output_len(k, t, b),
    });
    let mut outputs: Vec<Vec<f32>> = lens.map(|n| vec![0.0; n]).collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let mut outputs: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    let calls = compiled
        .executor()
        .count_calls(t, b, &inputs, &mut outputs)
        .expect("it runs");
    (calls.hoisted_products, calls.step_products)
}

#[test]
fn products_that_are_told_are_those_that_are_called() {
    for (name, cell) in cells() {
        for purpose in [Purpose::Forward, Purpose::Train] {
            for (t, b) in [(7, 1), (25, 3), (5, 40)] {
                let told = Explanation::new(&cell, &purpose, t, b).expect("it compiles");
                let called = counted(&cell, &purpose, t, b);
                assert_eq!(
                    told.product_calls(),
                    called,
                    "{name}, T={t} B={b}, {purpose:?}"
                );
                // In every step of a loop each of its products once for each slice of up to 32 rows.
                let products = told.products().into_iter();
                let inside = products.filter(|p| p.place != Where::Hoisted).count();
                assert_eq!(called.1, inside * t * b.div_ceil(32), "{name}, T={t} B={b}");
            }
        }
    }
}

#[test]
fn an_lstm_has_its_gates_fused_and_its_input_hoisted() {
    let cell = zoo::forecaster(zoo::find("lstm").expect("it is there"), 3, 8).expect("a cell");
    let told = Explanation::new(&cell, &Purpose::Forward, 10, 2).expect("it compiles");
    let (before, after) = told.fused();
    assert_eq!((before.products, after.products), (9, 3));
    let products = told.products();
    let fours = products.iter().filter(|p| p.weights.len() == 4);
    let sizes: Vec<_> = fours.map(|p| (p.size, p.place == Where::Hoisted)).collect();
    assert_eq!(sizes, [((32, 3), true), ((32, 8), false)]);
}

/// Labels of a drawing's nodes, one line each, from its text for Graphviz, which must hang together.
fn labels(name: &str, dot: &str) -> (Vec<String>, usize) {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for c in dot.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth -= 1,
            _ => {}
        }
        assert!(depth >= 0, "{name}");
    }
    assert_eq!((depth, quoted), (0, false), "{name}: {dot}");
    let (mut nodes, mut labels, mut edges) = (HashSet::new(), Vec::new(), Vec::new());
    for line in dot.lines().map(str::trim) {
        let Some((head, rest)) = line.split_once(" [label=\"") else {
            continue;
        };
        match head.split_once(" -> ") {
            Some(ends) => edges.push(ends),
            None => {
                assert!(nodes.insert(head.to_owned()), "{name}: {head} twice");
                let label = rest.split_once("\", ").expect("attributes follow").0;
                labels.extend(label.split("\\n").map(|l| l.replace("\\\"", "\"")));
            }
        }
    }
    for (from, to) in &edges {
        assert!(
            nodes.contains(*from) && nodes.contains(*to),
            "{name}: {from} -> {to}"
        );
    }
    (labels, edges.len())
}

#[test]
fn drawings_are_whole_for_every_cell_and_pass() {
    for (name, cell) in cells() {
        let purpose = if name == "lstm4" {
            Purpose::Forward
        } else {
            Purpose::Train
        };
        let told = Explanation::new(&cell, &purpose, 10, 2).expect("it compiles");
        let passes = if name == "lstm" {
            0
        } else {
            told.trace().len() - 2
        };
        for (pass, graph) in &told.trace()[passes..] {
            let name = format!("{name} after {pass}");
            let drawing = Drawing::of(graph).titled(format!("<{name}> & \"more\""));
            let (labels, edges) = labels(&name, &drawing.dot());
            let svg = drawing.svg();
            let parsed = roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{name}: {e}"));
            let texts: HashSet<&str> = parsed.descendants().filter_map(|n| n.text()).collect();
            for label in &labels {
                assert!(texts.contains(label.as_str()), "{name}: no {label:?}");
            }
            let ends = parsed
                .descendants()
                .filter(|n| n.attribute("marker-end").is_some());
            // One in the legend.
            assert_eq!(ends.count(), edges + 1, "{name}");
            assert_eq!(svg, drawing.svg(), "{name}: the same every time");
        }
    }
}

fn explain(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_retrograd"));
    command
        .arg("explain")
        .args(arguments)
        .output()
        .expect("it starts")
}

fn told(arguments: &[&str]) -> String {
    let output = explain(arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn the_text_begins_with_what_was_done() {
    let text = told(&[
        "--cell",
        "rnn",
        "--set",
        "I=3",
        "--hidden",
        "8",
        "--steps",
        "10",
        "--batch",
        "2",
        "--forward",
    ]);
    // All but what is measured.
    let (head, rest) = text.split_once("memory     ").expect("it tells the memory");
    assert_eq!(
        head,
        "rnn, forward step, I=3 H=8\n\n\
         run        10 steps of 2 rows, f32; 123 parameters\n\
         products   3 with weights as written and differentiated, 3 after fusing\n           \
         2 hoisted (2 calls a run), 1 left in loops (10 calls a run)\n\
         loops      1 over time from first to last, 0 from last to first, 5 over all steps or rows at once\n\
         work       448 FLOPs of products, 36.2 element-wise ops, 881 bytes read and written, a step\n"
    );
    // By hand. FLOPs of a step: a multiply-add for each weight and row, 2 · 2 (8·3 + 8·8 + 3·8) = 448.
    // Ops of the run: tanh, 8·2·10 = 160; difference, square and sum of 3·2·10, 180; sum over 20 points and of the one
    // weight, 20 + 1; one division: 362.
    // Numbers of the run: 1 stored, the weight; h to begin with and to end with, 2 · 2·8·2 = 64; packing, read and written,
    // 2 (24 + 64 + 24) = 224; Σ weight, 2; W x, 20 (3 + 8) + 24 = 244; U h, 10 (2 (8 + 8) + 64) = 960; tanh, 2·8·2·10 = 320;
    // the forecast, 20 (8 + 3) + 24 = 244; its difference from the target, 3·2·2·10 = 120; Σ loss, 20 + 1; mean, 3. That
    // is 2203 of 4 bytes, 881.2 bytes a step.
    let (_, rest) = rest
        .split_once("products with weights\n")
        .expect("it lists the products");
    let (products, rest) = rest.split_once("\n\n").expect("more comes");
    assert_eq!(
        products,
        "  W0 [8×3]  hoisted      h.x\n  \
           W1 [8×8]  in loop 2    h.h\n  \
           W2 [3×8]  hoisted      forecast.h"
    );
    for part in [
        "what runs, in this order",
        "2 rows of 8 lanes: 1 loads, tanh, 1 stores",
        "memory: ",
        "after pass 0, record:\ngraph rnn",
        "plan rnn",
    ] {
        assert!(rest.contains(part), "{part}: {rest}");
    }
    let one = told(&["--cell", "rnn", "--pass", "fuse"]);
    assert!(
        one.contains("before pass") && one.contains(", fuse:\ngraph rnn"),
        "{one}"
    );
    assert!(!one.contains("legalize"), "{one}");
}

#[test]
fn bytes_of_a_part_and_numbers_that_are_kept_are_those_of_the_equations() {
    let cell = zoo::forecaster(zoo::find("lstm").expect("it is there"), 4, 32).expect("a cell");
    let told = Explanation::new(&cell, &Purpose::Train, 50, 2).expect("it compiles");
    // From the forward to the backward step go four gates, h and c, of 32 units.
    assert_eq!(told.stash(), 6 * 32);
    let machine = Machine {
        peak_gflops: 100.0,
        cache_gbs: 80.0,
        memory_gbs: 10.0,
        product: 1.0,
        outer: 1.0,
    };
    let parts = told.parts(&machine);
    // The gates' weights with x and with h, and their transpose with δ: each number is read and written once.
    let packing: Vec<(usize, usize)> = (parts.iter())
        .filter(|p| p.title.starts_with("pack W") && p.title.contains("[128×"))
        .map(|p| (p.flops(), p.bytes()))
        .collect();
    let of = |columns: usize| (0, 2 * 128 * columns * size_of::<f32>());
    assert_eq!(packing, [of(4), of(32), of(32)]);
    // Without a backward step nothing is kept for all steps.
    let forward = Explanation::new(&cell, &Purpose::Forward, 50, 2).expect("it compiles");
    assert_eq!(forward.stash(), 0);
}

#[test]
fn an_unrolled_loop_is_told() {
    let arguments = |more: &[&'static str]| [&["--cell", "gru", "--pass", "plan"], more].concat();
    let told_with = |more: &[&'static str]| told(&arguments(more));
    assert!(!told_with(&[]).contains("steps a turn"));
    let four = told_with(&["--unroll", "4"]);
    assert!(
        four.contains("for t from first to last, 4 steps a turn"),
        "{four}"
    );
    assert!(
        four.contains("for t from last to first, 4 steps a turn"),
        "{four}"
    );
}

#[test]
fn drawings_are_written_where_they_are_asked_for() {
    let at = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let [svg, dot] = ["explain.svg", "explain.dot"].map(|file| at.join(file));
    let [svg, dot] = [&svg, &dot].map(|path| path.to_str().expect("it is text"));
    told(&["--cell", "lstm", "--summary", "--svg", svg, "--dot", dot]);
    let svg = std::fs::read_to_string(svg).expect("it is there");
    assert!(svg.starts_with("<svg") && svg.contains("forward step after `fuse`"));
    assert!(
        std::fs::read_to_string(dot)
            .expect("it is there")
            .starts_with("digraph")
    );
}

#[test]
fn mistakes_say_what_there_is() {
    let cases: [(&[&str], &str); 6] = [
        (&["--cell", "lsmt"], "did you mean `lstm`?"),
        (&["--cell", "no/such.cell"], "no/such.cell"),
        (
            &["--cell", "lstm", "--pass", "fues"],
            "there is no pass `fues` (did you mean `fuse`?)",
        ),
        (
            &["--cell", "lstm", "--set", "D=3"],
            "its dimensions are I and H",
        ),
        (&["--cell", "lstm", "--steps", "0"], "a whole number from 1"),
        (
            &["--cell", "lstm", "--unroll", "33"],
            "a loop can be unrolled by 1 to 32 steps, not by 33",
        ),
    ];
    for (arguments, expected) in cases {
        let output = explain(arguments);
        let message = String::from_utf8(output.stderr).expect("it is text");
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{arguments:?}"
        );
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
}
