//! Losses of whole batches against PyTorch (`data/fixtures/losses.py`), and where they have nothing to average.
#![cfg(feature = "text")]

use retrograd::{Batch, Cell, Engine, Extent, Init};
use serde_json::Value as Json;

fn file() -> Json {
    serde_json::from_str(include_str!("../../../data/fixtures/losses.json")).expect("JSON")
}

fn numbers(v: &Json) -> Vec<f64> {
    let list = v.as_array().expect("a list");
    list.iter().map(|x| x.as_f64().expect("a number")).collect()
}

/// The loss of a cell without parameters that change, and its gradient with respect to input `x`.
fn run(cell: &Cell, batch: &Batch<f64>, engine: Engine) -> (f64, Vec<f64>) {
    let program = cell
        .program()
        .gradients(["x"])
        .engine(engine)
        .double()
        .build()
        .expect("right");
    let parameters: Vec<f64> = cell.initial_parameters(0).expect("few");
    let mut session = program.session();
    let results = session.run(&parameters, batch).expect("right");
    (
        results.loss().expect("one"),
        results.gradient("x").expect("one").to_vec(),
    )
}

/// Some 30 roundings of numbers up to 10, and a sum of 60 of them.
#[track_caller]
fn assert_case(what: &str, found: &(f64, Vec<f64>), expected: &Json) {
    let near = |a: f64, b: f64| (a - b).abs() < 1e-14 * 30.0;
    let loss = expected["loss"].as_f64().expect("a number");
    assert!(near(found.0, loss), "{what}: {}, not {loss}", found.0);
    for (f, e) in found.1.iter().zip(numbers(&expected["gradient"])) {
        assert!(near(*f, e), "{what}: {f}, not {e}");
    }
}

#[test]
fn cross_entropies_with_class_weights_smoothing_and_ignored_labels_are_pytorchs() {
    let file = file();
    let batch = Batch::new(Extent::steps(5).rows(3))
        .with("x", numbers(&file["logits"]))
        .with("label", numbers(&file["labels"]));
    let weights = numbers(&file["weights"]);
    for case in file["cross entropy"].as_array().expect("cases") {
        let smoothing = case["smoothing"].as_f64().expect("a number");
        let weighted = case["weighted"] == true;
        let cell = Cell::define("classes", |c| {
            let (x, label) = (
                c.input("x", 4),
                c.input_over(
                    "label",
                    retrograd::InputRole::Target,
                    (),
                    retrograd::Domain::Step,
                ),
            );
            let counts = (0.0 * label).le(label);
            let hot = label.one_hot(4);
            match weighted {
                false => c.weighted_loss(x.cross_entropy(hot, smoothing), counts),
                true => {
                    let parts: Vec<_> = weights.iter().map(|w| c.constant(*w, 1)).collect();
                    let w = retrograd::Var::concat(&parts);
                    let loss = x.class_cross_entropy(hot, w, smoothing);
                    // The label is read where it counts alone.
                    let kept = counts.select(label, 0.0 * label).one_hot(4);
                    c.weighted_loss(loss, counts * kept.dot(w));
                }
            }
        });
        let cell = cell.expect("right");
        let text = match weighted {
            false => format!(
                "cell classes(x[4])\ntarget label\nloss cross_entropy(x, one_hot(label, 4), smoothing={smoothing}) weight label >= 0\n"
            ),
            true => format!(
                "cell classes(x[4])\ntarget label\nk = select(label >= 0, label, 0)\n\
                 w2 = concat(reshape(1, [1]), reshape(0.5, [1]), reshape(2, [1]), reshape(0.25, [1]))\n\
                 loss class_cross_entropy(x, one_hot(label, 4), w2, smoothing={smoothing}) weight (label >= 0) * dot(one_hot(k, 4), w2)\n"
            ),
        };
        let from_text = Cell::from_text(&text, &[]).unwrap_or_else(|e| panic!("{e}"));
        for (cell, form) in [(&cell, "builder"), (&from_text, "text")] {
            for engine in [Engine::Jit, Engine::Tape] {
                let what =
                    format!("{form}, weighted {weighted}, smoothing {smoothing}, {engine:?}");
                assert_case(&what, &run(cell, &batch, engine), case);
            }
        }
    }
}

#[test]
fn the_error_to_signal_ratio_is_that_of_filtered_signals() {
    let file = file();
    let batch = Batch::new(Extent::steps(5).rows(3))
        .with("x", numbers(&file["forecast"]))
        .with("t", numbers(&file["signal"]));
    for case in file["error to signal"].as_array().expect("cases") {
        let a = case["emphasis"].as_f64().expect("a number");
        let cell = Cell::define("ratio", |c| {
            let (x, t) = (c.input("x", 2), c.target("t", 2));
            c.loss(c.error_to_signal("esr", x, t, a));
        });
        let text = format!(
            "def esr(y, t) {{\nstate e[2]\nstate s[2]\ne' = t - y\ns' = t\n\
             return sum(sum((e' - {a} * e)^2), to=row) / (sum(sum((s' - {a} * s)^2), to=row) + 1e-8)\n}}\n\
             cell ratio(x[2])\ntarget t[2]\nr = esr(x, t)\nloss r\n"
        );
        let from_text = Cell::from_text(&text, &[]).unwrap_or_else(|e| panic!("{e}"));
        for cell in [cell.expect("right"), from_text] {
            for engine in [Engine::Jit, Engine::Tape] {
                assert_case(
                    &format!("{a} {engine:?}"),
                    &run(&cell, &batch, engine),
                    case,
                );
            }
        }
    }
}

#[test]
fn a_masked_softmax_and_a_masked_class_train_as_if_they_were_not_there() {
    // Class 1 is masked by −∞; a step whose classes are all masked has weight 0.
    let cell = Cell::define("masked", |c| {
        let (x, label) = (c.input("x", 3), c.target("label", 3));
        let w = c.param_init("w", 3, Init::Constant(1.0));
        let allowed = c.static_input("allowed", 3);
        let hidden = (0.0 * allowed)
            .lt(allowed)
            .select(w * x, c.constant(f64::NEG_INFINITY, 3));
        c.loss(hidden.cross_entropy(label, 0.0));
    });
    let cell = cell.expect("right");
    let batch = Batch::new(Extent::steps(1))
        .with("x", vec![1.0, 5.0, 2.0])
        .with("allowed", vec![1.0, 0.0, 1.0])
        .with("label", vec![1.0, 0.0, 0.0]);
    for engine in [Engine::Jit, Engine::Tape] {
        let (loss, gradient) = run(&cell, &batch, engine);
        let p = 1.0 / (1.0 + 1f64.exp());
        assert!((loss + p.ln()).abs() < 1e-15, "{loss}");
        let expected = [p - 1.0, 0.0, 1.0 - p];
        let near = gradient
            .iter()
            .zip(expected)
            .all(|(g, e)| (g - e).abs() < 1e-15);
        assert!(near, "{gradient:?}");
    }
}
