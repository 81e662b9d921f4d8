//! `retrograd explain`: what it tells, draws and refuses.

use std::path::PathBuf;
use std::process::{Command, Output};

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
         products   3 with weights as written and differentiated, 3 after stacking\n           \
         2 hoisted (2 calls per run), 1 left in loops (10 calls per run)\n\
         loops      1 over time from first to last, 0 from last to first, 5 over all steps or rows at once\n\
         work       448 FLOPs of products, 36.2 element-wise ops, 881 bytes read and written, per step\n"
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
    let one = told(&["--cell", "rnn", "--pass", "stack_products"]);
    assert!(
        one.contains("before pass") && one.contains(", stack_products:\ngraph rnn"),
        "{one}"
    );
    assert!(!one.contains("legalize"), "{one}");
}

#[test]
fn products_of_bfloat16_operands_are_told() {
    let arguments = |more: &[&'static str]| [&["--cell", "gru", "--pass", "plan"], more].concat();
    assert!(!told(&arguments(&[])).contains("of bfloat16"));
    let rounded = told(&arguments(&["--precision", "bf16"]));
    assert!(
        rounded.contains("· h.") && rounded.contains(", of bfloat16"),
        "{rounded}"
    );
    let graph = told(&["--cell", "gru", "--precision", "bf16", "--pass", "round"]);
    assert!(graph.contains("= round_bf16"), "{graph}");
}

#[test]
fn an_unrolled_loop_is_told() {
    let arguments = |more: &[&'static str]| [&["--cell", "gru", "--pass", "plan"], more].concat();
    let told_with = |more: &[&'static str]| told(&arguments(more));
    assert!(!told_with(&[]).contains("steps per iteration"));
    let four = told_with(&["--unroll", "4"]);
    assert!(
        four.contains("for t from first to last, 4 steps per iteration"),
        "{four}"
    );
    assert!(
        four.contains("for t from last to first, 4 steps per iteration"),
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
    assert!(svg.starts_with("<svg") && svg.contains("forward step after `stack_products`"));
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
            &["--cell", "lstm", "--pass", "stack_product"],
            "there is no pass `stack_product` (did you mean `stack_products`?)",
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
