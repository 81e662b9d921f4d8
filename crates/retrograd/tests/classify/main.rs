//! Labels of sequences: tables and manifests, splits by group, reports against scikit-learn, models in files.
#![cfg(all(feature = "text", feature = "csv"))]

mod reading;
mod refused;
mod splits;

use retrograd::classify::{
    Classifier, ClassifyError, Examples, Model, Pool, Ports, Prediction, Report, Setup,
};
use retrograd::data::{Panel, Series};
use retrograd::fit::Fit;
use retrograd::{Adam, Batch, Cell, Domain, Engine, InputRole, Join, Stack, Trainer, zoo};
use serde_json::Value as Json;

pub(crate) fn series(names: &[&str], rows: Vec<f64>) -> Series {
    let names = names.iter().map(|n| (*n).to_owned()).collect();
    Series::new(names, rows).unwrap()
}

/// Sequences of one column with their labels.
pub(crate) fn panel(all: &[(&str, &[f64])]) -> Panel {
    let sequences = all.iter().enumerate();
    let sequences =
        sequences.map(|(k, (_, rows))| (format!("s{k}"), series(&["x"], rows.to_vec())));
    let labels = all.iter().map(|(label, _)| (*label).to_owned()).collect();
    let panel = Panel::new("clip", sequences.collect()).unwrap();
    panel.with_constant("word", labels).unwrap()
}

/// Rising and falling ramps of 3 to 14 rows and two columns.
pub(crate) fn ramps(count: usize) -> Panel {
    let ramp = |k: usize| {
        let rows = 3 + k * 7 % 12;
        let slope = if k.is_multiple_of(3) { 1.0 } else { -1.0 };
        let value = |t: usize| slope * t as f64 + (k as f64 * 1.7).sin();
        let rows = (0..rows).flat_map(|t| [value(t), (t * k) as f64 % 5.0]);
        (format!("r{k}"), series(&["level", "noise"], rows.collect()))
    };
    let label = |k: usize| if k.is_multiple_of(3) { "up" } else { "down" }.to_owned();
    let panel = Panel::new("ramp", (0..count).map(ramp).collect()).unwrap();
    panel
        .with_constant("way", (0..count).map(label).collect())
        .unwrap()
}

pub(crate) fn every(panel: &Panel) -> Vec<usize> {
    (0..panel.series().len()).collect()
}

/// A model that has been trained a little.
pub(crate) fn model(panel: &Panel, pool: Pool, cell: &str) -> (Model, Trainer) {
    let setup = Setup::fit(panel, "way", &every(panel)).unwrap();
    let entry = zoo::find(cell).unwrap();
    let classifier = Classifier::of(&setup).pool(pool);
    let cell = classifier
        .cell(cell, |c, x| entry.layer(c, "", x, 7))
        .unwrap();
    let mut trainer = Trainer::builder(cell, Adam::new(1e-2))
        .seed(2)
        .build()
        .unwrap();
    let examples = Examples::new(&setup, panel, &every(panel)).unwrap();
    let fit = Fit::new(3).run(&mut trainer, |epoch| examples.epoch(8, 2, epoch));
    fit.unwrap();
    (Model::new(&trainer.checkpoint(), &setup).unwrap(), trainer)
}

#[test]
fn reports_are_scikit_learns() {
    let file = include_str!("../../../../data/fixtures/classify.json");
    let cases: Json = serde_json::from_str(file).unwrap();
    let list = |v: &Json| -> Vec<f64> {
        v.as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap())
            .collect()
    };
    let whole = |v: &Json| -> Vec<usize> { list(v).iter().map(|x| *x as usize).collect() };
    for case in cases.as_array().unwrap() {
        let name = &case["name"];
        let classes = case["classes"].as_u64().unwrap();
        let labels: Vec<String> = (0..classes).map(|k| k.to_string()).collect();
        let report = Report::of(&labels, &whole(&case["truth"]), &whole(&case["told"])).unwrap();
        for (row, expected) in report
            .confusion
            .iter()
            .zip(case["confusion"].as_array().unwrap())
        {
            let row: Vec<usize> = row.iter().map(|n| *n as usize).collect();
            assert_eq!(row, whole(expected), "{name}");
        }
        // Quotients of whole numbers, and means of up to forty of them: a few roundings.
        let near = |found: f64, expected: f64| {
            assert!(
                (found - expected).abs() < 1e-14,
                "{name}: {found}, not {expected}"
            );
        };
        near(report.accuracy, case["accuracy"].as_f64().unwrap());
        near(report.macro_f1, case["macro_f1"].as_f64().unwrap());
        for (k, score) in report.classes.iter().enumerate() {
            near(score.precision, list(&case["precision"])[k]);
            near(score.recall, list(&case["recall"])[k]);
            near(score.f1, list(&case["f1"])[k]);
            assert_eq!(score.support as f64, list(&case["support"])[k], "{name}");
        }
        let wrong: u64 = report.mistakes().iter().map(|m| m.2).sum();
        near(1.0 - wrong as f64 / report.count() as f64, report.accuracy);
    }
}

#[test]
fn sequences_among_others_are_what_they_are_alone() {
    let panel = ramps(70);
    for (pool, cell) in [
        (Pool::Mean, "gru"),
        (Pool::Last, "lstm"),
        (Pool::Max, "mingru"),
    ] {
        let (model, _) = model(&panel, pool, cell);
        let together = model.predict(&panel, &every(&panel)).unwrap();
        assert_eq!(together.len(), 70);
        // Products of one row are summed in another order than those of several: some ten roundings of f32, at each of 14 steps.
        let near = |a: &Prediction, b: &Prediction| {
            assert_eq!((&a.id, a.label), (&b.id, b.label), "{cell}");
            for (p, q) in a.probabilities.iter().zip(&b.probabilities) {
                assert!(
                    (p - q).abs() < 14.0 * 10.0 * 6e-8,
                    "{cell} {}: {p} {q}",
                    a.id
                );
            }
        };
        for k in every(&panel) {
            near(&model.predict(&panel, &[k]).unwrap()[0], &together[k]);
            assert!((together[k].probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        // In any order, and also twice.
        let some = model.predict(&panel, &[5, 3, 5]).unwrap();
        some.iter()
            .zip([5, 3, 5])
            .for_each(|(told, k)| near(told, &together[k]));
    }
}

#[test]
fn pooling_is_what_it_says() {
    // h' = x: what is pooled is the input itself, and the readout passes it on.
    let told = |pool: Pool, rows: &[f64]| {
        let panel = panel(&[("a", rows), ("b", &[0.0]), ("b", &[-1.0, 1.0])]);
        let setup = Setup::fit(&panel, "word", &[1, 2]).unwrap();
        assert_eq!(setup.counts(), [0, 2]);
        let cell = Classifier::of(&setup).pool(pool).cell("same", |c, x| {
            let h = c.state("h", 1);
            c.next(h, x)
        });
        let mut trainer = Trainer::builder(cell.unwrap(), Adam::new(1e-2))
            .build()
            .unwrap();
        trainer.set_parameter("classify.h", &[1.0, 0.0]).unwrap();
        trainer.set_parameter("classify.bias", &[0.0, 0.0]).unwrap();
        let model = Model::new(&trainer.checkpoint(), &setup).unwrap();
        let p = &model.predict(&panel, &[0]).unwrap()[0].probabilities;
        // In units of the deviation of 0, -1 and 1.
        (p[0] / p[1]).ln() * (2.0_f64 / 3.0).sqrt()
    };
    for (pool, expected) in [(Pool::Mean, 2.0), (Pool::Last, 1.0), (Pool::Max, 4.0)] {
        let found = told(pool, &[1.0, 4.0, 1.0]);
        assert!((found - expected).abs() < 1e-5, "{pool}: {found}");
    }
}

#[test]
fn a_saved_model_needs_no_source_and_says_bitwise_the_same() {
    let panel = ramps(40);
    let (model, trainer) = model(&panel, Pool::Mean, "gru");
    let path = std::env::temp_dir().join(format!("classify-{}.safetensors", std::process::id()));
    model.keep_in(trainer.checkpoint()).write(&path).unwrap();
    let opened = Model::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(opened.setup(), model.setup());
    assert_eq!(opened.setup().labels(), ["down", "up"]);
    let said = |m: &Model| m.predict(&panel, &every(&panel)).unwrap();
    assert_eq!(said(&opened), said(&model));
    assert_eq!(said(&opened)[0].probabilities.len(), 2);

    // One that has no labels, and one whose table was changed by hand.
    trainer.checkpoint().write(&path).unwrap();
    let error = Model::open(&path).unwrap_err();
    assert!(matches!(error, ClassifyError::NoLabels { .. }), "{error}");
    let (key, text) = model.setup().note();
    for (from, to) in [
        ("\"counts\":[26,14]", "\"counts\":[26]"),
        ("\"down\",", ""),
        ("\"counts\"", "\"count\""),
    ] {
        assert!(text.contains(from), "{text}");
        let broken = trainer.checkpoint().with_note(key, &text.replace(from, to));
        broken.write(&path).unwrap();
        Model::open(&path).unwrap_err();
    }
    std::fs::remove_file(&path).unwrap();
    assert!(
        !Model::is_in(&trainer.checkpoint()) && Model::is_in(&model.keep_in(trainer.checkpoint()))
    );
}

#[test]
fn a_resumed_training_is_bitwise_the_one_that_never_stopped() {
    let panel = ramps(50);
    let setup = Setup::fit(&panel, "way", &every(&panel))
        .unwrap()
        .balanced();
    let gru = zoo::find("gru").unwrap();
    let cell = Classifier::of(&setup).dropout(0.3).smoothing(0.1);
    let cell = cell.cell("gru", |c, x| gru.layer(c, "", x, 5)).unwrap();
    let examples = Examples::new(&setup, &panel, &every(&panel)).unwrap();
    let trainer = || {
        Trainer::builder(cell.clone(), Adam::new(1e-2))
            .seed(4)
            .build()
            .unwrap()
    };
    let mut whole = trainer();
    Fit::new(4)
        .run(&mut whole, |e| examples.epoch(16, 4, e))
        .unwrap();
    let path = std::env::temp_dir().join(format!("resumed-{}.safetensors", std::process::id()));
    let mut first = trainer();
    let fit = Fit::new(4)
        .checkpoint(&path, 1000)
        .on_step(|_, m| match m.step {
            6 => std::ops::ControlFlow::Break(()),
            _ => std::ops::ControlFlow::Continue(()),
        });
    fit.run(&mut first, |e| examples.epoch(16, 4, e)).unwrap();
    let mut second = trainer();
    let fit = Fit::new(4).checkpoint(&path, 1000);
    fit.run(&mut second, |e| examples.epoch(16, 4, e)).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(second.parameters(), whole.parameters());
    assert!(first.parameters() != whole.parameters());
}

#[test]
fn an_epoch_has_each_sequence_once_in_batches_as_even_as_they_come() {
    let panel = ramps(50);
    let setup = Setup::fit(&panel, "way", &every(&panel)).unwrap();
    let examples = Examples::new(&setup, &panel, &every(&panel)).unwrap();
    let rows = |b: &Batch| b.extent.rows;
    let epoch: Vec<Batch> = examples.epoch(16, 1, 0).collect();
    assert_eq!(epoch.iter().map(rows).collect::<Vec<_>>(), [12, 13, 12, 13]);
    let labels = |b: &Batch| {
        b.array("label")
            .unwrap()
            .iter()
            .map(|l| *l as usize)
            .sum::<usize>()
    };
    assert_eq!(epoch.iter().map(labels).sum::<usize>(), setup.counts()[1]);
    let steps = |b: &Batch| {
        b.lengths()
            .map_or(b.extent.steps * b.extent.rows, |l| l.iter().sum())
    };
    assert_eq!(epoch.iter().map(steps).sum::<usize>(), panel.rows());
    assert_eq!(examples.epoch(16, 1, 0).next(), epoch.first().cloned());
    assert_ne!(examples.epoch(16, 1, 1).next(), epoch.first().cloned());
    assert_ne!(examples.epoch(16, 2, 0).next(), epoch.first().cloned());
    assert_eq!(examples.epoch(1000, 1, 0).len(), 1);
}

#[test]
fn weights_count_rare_labels_as_much_and_the_error_is_the_trainers_loss() {
    let panel = ramps(30); // ten up, twenty down
    let plain = Setup::fit(&panel, "way", &every(&panel)).unwrap();
    let balanced = plain.clone().balanced();
    assert_eq!(plain.counts(), [20, 10]);
    assert_eq!(balanced.weights(), Some(&[0.75, 1.5][..]));
    for setup in [plain, balanced] {
        let gru = zoo::find("gru").unwrap();
        let cell = Classifier::of(&setup)
            .cell("gru", |c, x| gru.layer(c, "", x, 5))
            .unwrap();
        let mut trainer = Trainer::builder(cell, Adam::new(1e-2))
            .seed(3)
            .build()
            .unwrap();
        let examples = Examples::new(&setup, &panel, &every(&panel)).unwrap();
        let error = examples.error(&mut trainer).unwrap();
        let batch = examples.batch(&every(&panel)).unwrap();
        let loss = trainer.evaluate(&batch).unwrap().loss();
        // The trainer sums thirty numbers of about 1 in f32, with some roundings each.
        assert!((error - loss).abs() < 30.0 * 6e-8 * 4.0, "{error} {loss}");
    }
}

#[test]
fn missing_values_are_marked_for_the_cell() {
    let one = |missing| {
        series(&["x"], vec![0.0, 0.0])
            .with_missing(missing)
            .unwrap()
    };
    let all = vec![
        ("a".to_owned(), one(vec![false, true])),
        ("b".to_owned(), one(vec![false, false])),
        ("c".to_owned(), one(vec![false, false])),
    ];
    let panel = Panel::new("clip", all).unwrap();
    let panel = panel
        .with_constant("word", ["u", "v", "v"].map(str::to_owned).to_vec())
        .unwrap();
    let setup = Setup::fit(&panel, "word", &[0, 1, 2]).unwrap();
    assert_eq!((setup.inputs(), setup.columns().len()), (2, 1));
    let examples = Examples::new(&setup, &panel, &[0, 1]).unwrap();
    let batch = examples.batch(&[0, 1]).unwrap();
    assert_eq!(
        batch.array("x").unwrap(),
        [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    );
}

#[test]
fn both_directions_and_a_cell_of_ones_own_tell_labels() {
    let panel = ramps(60);
    let setup = Setup::fit(&panel, "way", &every(&panel)).unwrap();
    let gru = zoo::find("gru").unwrap();
    let both = Stack::new(2).bidirectional(Join::Sum);
    let stacked = Classifier::of(&setup).cell("both", |c, x| {
        c.stack("s", x, both, |c, x| gru.layer(c, "", x, 6))
            .summary()
    });
    let own = Cell::define("own", |c| {
        let h = gru.layer(c, "", c.input("in", 2), 6);
        let z = c.dense("out", 2, [h.mean_to(Domain::Row)]);
        c.output("z", z);
        let label = c.input_over("truth", InputRole::Target, (), Domain::Row);
        c.loss(z.cross_entropy(label.one_hot(2), 0.0));
    });
    let ports = Ports {
        input: "in".to_owned(),
        target: "truth".to_owned(),
        output: "z".to_owned(),
        ..Ports::default()
    };
    for (cell, setup) in [(stacked, setup.clone()), (own, setup.ports(ports))] {
        let mut trainer = Trainer::builder(cell.unwrap(), Adam::new(2e-2))
            .seed(1)
            .build()
            .unwrap();
        let examples = Examples::new(&setup, &panel, &every(&panel)).unwrap();
        Fit::new(30)
            .run(&mut trainer, |e| examples.epoch(16, 1, e))
            .unwrap();
        let report = Model::new(&trainer.checkpoint(), &setup)
            .unwrap()
            .report(&panel, &every(&panel));
        assert!(report.unwrap().accuracy > 0.9);
    }
}

#[test]
fn engines_agree_on_labels() {
    let panel = ramps(20);
    let setup = Setup::fit(&panel, "way", &every(&panel)).unwrap();
    let gru = zoo::find("gru").unwrap();
    let cell = Classifier::of(&setup)
        .cell("gru", |c, x| gru.layer(c, "", x, 5))
        .unwrap();
    let examples = Examples::new(&setup, &panel, &every(&panel)).unwrap();
    let error = |engine| {
        let trainer = Trainer::builder(cell.clone(), Adam::new(1e-2))
            .seed(1)
            .engine(engine);
        examples.error(&mut trainer.build().unwrap()).unwrap()
    };
    // Some twenty steps of roundings of f32.
    assert!((error(Engine::Jit) - error(Engine::Tape)).abs() < 1e-5);
}
