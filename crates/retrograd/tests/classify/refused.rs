//! What cannot be learned or told.

use retrograd::classify::{Classifier, ClassifyError, Examples, Model, Pool, Report, Setup};
use retrograd::data::{Panel, Series};
use retrograd::{Adam, Cell, Domain, InputRole, Trainer};

use super::{every, model, panel, ramps, series};

#[test]
fn labels_that_are_unknown_count_as_wrong_and_none_are_left_out() {
    let (trained, _) = model(&ramps(30), Pool::Mean, "gru");
    let rows = |k: usize| series(&["level", "noise"], vec![k as f64, 0.0, 1.0, 2.0]);
    let all: Vec<(String, Series)> = (0..4).map(|k| (format!("n{k}"), rows(k))).collect();
    let plain = || Panel::new("ramp", all.clone()).unwrap();
    let texts = |t: [&str; 4]| t.map(str::to_owned).to_vec();
    let new = |t| plain().with_constant("way", texts(t)).unwrap();
    let report = trained
        .report(&new(["up", "", "round", "down"]), &[0, 1, 2, 3])
        .unwrap();
    assert_eq!(report.labels, ["down", "up", "round"]);
    assert_eq!(
        (
            report.count(),
            report.classes[2].support,
            report.classes[2].recall
        ),
        (3, 1, 0.0)
    );
    let none = trained
        .report(&new(["", "", "", ""]), &[0, 1, 2, 3])
        .unwrap_err();
    assert_eq!(none.to_string(), "no sequence has a label to compare with");
    let mut unlabelled = plain();
    assert_eq!(trained.predict(&unlabelled, &[2]).unwrap()[0].id, "n2");
    let none = trained.report(&unlabelled, &[0]).unwrap_err().to_string();
    assert!(none.starts_with("there is no column \"way\""), "{none}");
    // Columns that are missing, and numbers far beyond what was trained on.
    unlabelled = Panel::new(
        "ramp",
        vec![("a".to_owned(), series(&["level"], vec![1.0]))],
    )
    .unwrap();
    let error = trained.predict(&unlabelled, &[0]).unwrap_err().to_string();
    assert!(error.starts_with("there is no column \"noise\""), "{error}");
    let far = series(&["level", "noise"], vec![1e300, 0.0]);
    unlabelled = Panel::new("ramp", vec![("far".to_owned(), far)]).unwrap();
    let error = trained.predict(&unlabelled, &[0]).unwrap_err().to_string();
    assert!(
        error.starts_with("the sequence \"far\": row 0, column \"level\": 1e300 lies"),
        "{error}"
    );
    let error = trained.predict(&unlabelled, &[1]).unwrap_err().to_string();
    assert_eq!(error, "the number of a sequence is 1; expected less than 1");
}

#[test]
fn what_cannot_be_learned_is_refused() {
    let fit = |panel: &Panel, training: &[usize]| {
        let setup = Setup::fit(panel, "word", training);
        setup.map(drop).unwrap_err().to_string()
    };
    let x: &[f64] = &[1.0, 2.0];
    let two = panel(&[("a", x), ("b", x), ("", x), ("a", x)]);
    assert_eq!(fit(&two, &[]), "there is no sequence to train on");
    assert_eq!(
        fit(&two, &[0, 1, 2]),
        "the sequence \"s2\" has no label: column \"word\" is empty; give it one, or leave it out"
    );
    assert_eq!(
        fit(&two, &[9]),
        "the number of a sequence is 9; expected less than 4"
    );
    assert_eq!(
        fit(&panel(&[("a", x), ("a", x)]), &[0]),
        "all sequences have the label \"a\"; there is nothing to tell apart"
    );
    assert_eq!(
        fit(&panel(&[("", x)]), &[0]),
        "column \"word\" is empty: no sequence has a label"
    );
    assert_eq!(
        fit(&panel(&[("a", x), ("b", x), ("c", x)]), &[0]),
        "each of the 3 sequences has a label of its own in column \"word\"; a label is learned from several"
    );
    assert!(matches!(
        Setup::fit(&two, "wort", &[0]),
        Err(ClassifyError::Data(_))
    ));
    let setup = Setup::fit(&two, "word", &[0, 1]).unwrap();
    let other = panel(&[("c", x), ("a", x)]);
    let error = setup.truth(&other, &[1, 0]).unwrap_err().to_string();
    assert_eq!(
        error,
        "the sequence \"s0\" has the label \"c\", which was not trained on"
    );
    let examples = Examples::new(&setup, &two, &[0, 1]).unwrap();
    assert!(examples.batch(&[]).is_err() && examples.batch(&[2]).is_err());
    assert!(examples.check_batch(0).is_err() && examples.check_batch(1 << 40).is_ok());
    assert!(Examples::new(&setup, &two, &[]).is_err());
}

#[test]
fn a_batch_that_would_not_fit_into_memory_is_refused() {
    let long = series(&["x"], vec![0.0; 1 << 20]);
    let all = (0..300).map(|k| {
        (
            k.to_string(),
            if k == 0 {
                long.clone()
            } else {
                series(&["x"], vec![k as f64])
            },
        )
    });
    let panel = Panel::new("clip", all.collect()).unwrap();
    let labels = (0..300).map(|k| (k % 2).to_string()).collect();
    let panel = panel.with_constant("word", labels).unwrap();
    let setup = Setup::fit(&panel, "word", &every(&panel)).unwrap();
    let examples = Examples::new(&setup, &panel, &every(&panel)).unwrap();
    assert!(examples.check_batch(256).is_ok());
    let error = examples.check_batch(300).unwrap_err().to_string();
    let expected = "a batch of 300 sequences of up to 1048576 rows of 1 numbers need 1.2 GiB; at most 1 GiB may be used";
    assert_eq!(error, expected);
    assert_eq!(
        examples.batch(&every(&panel)).unwrap_err().to_string(),
        expected
    );
}

#[test]
fn a_cell_that_tells_no_labels_is_refused() {
    let panel = ramps(12);
    let setup = Setup::fit(&panel, "way", &every(&panel)).unwrap();
    let refused = |cell: Cell| {
        let trainer = Trainer::builder(cell, Adam::new(1e-2)).build().unwrap();
        Model::new(&trainer.checkpoint(), &setup)
            .unwrap_err()
            .to_string()
    };
    let define = |record: fn(&retrograd::Builder)| Cell::define("wrong", record).unwrap();
    let steps = define(|c| {
        let y = c.dense("y", 2, [c.input("x", 2)]);
        c.output("logits", y);
        c.loss(y.square().sum());
    });
    assert_eq!(
        refused(steps),
        "`logits` of the cell `wrong` is not one of each sequence: pool it, as in `mean(y, to=row)`"
    );
    let wide = define(|c| {
        let y = c.dense("y", 3, [c.input("x", 2).last()]);
        c.output("logits", y);
        c.loss(y.square().sum());
    });
    assert_eq!(
        refused(wide),
        "the cell `wrong` reads 2 numbers of a step and tells 3 labels; the sequences have 2 to read and 2 labels"
    );
    let knows = define(|c| {
        let label = c.input_over("label", InputRole::Target, 2, Domain::Row);
        let y = c.dense("y", 2, [c.input("x", 2).last()]) + label;
        c.output("logits", y);
        c.loss(y.square().sum());
    });
    assert_eq!(
        refused(knows),
        "`logits` cannot tell labels: it depends on the target `label`"
    );
    let more = define(|c| {
        let y = c.dense("y", 2, [c.input("x", 2).last(), c.input("z", 1).last()]);
        c.output("logits", y);
        c.loss(y.square().sum());
    });
    assert_eq!(
        refused(more),
        "the cell `wrong` also reads `z`, which no sequence gives it"
    );
    let nothing = define(|c| c.loss(c.param("w", 1).square().sum()));
    assert_eq!(
        refused(nothing),
        "to tell labels, the cell `wrong` needs the input `x` and the output `logits`"
    );
    let error = Classifier::new(2, 2)
        .dropout(1.0)
        .cell("wrong", |_, x| x)
        .unwrap_err();
    assert!(error.to_string().contains("`dropout`"), "{error}");
}

#[test]
fn a_model_that_diverged_says_so() {
    let panel = panel(&[("a", &[4.0, 9.0]), ("b", &[0.0]), ("b", &[-1.0, 1.0])]);
    let setup = Setup::fit(&panel, "word", &[1, 2]).unwrap();
    let cell = Classifier::of(&setup).cell("same", |_, x| x).unwrap();
    let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).build().unwrap();
    trainer
        .set_parameters(&[f32::MAX, f32::MAX, 0.0, 0.0])
        .unwrap();
    let model = Model::new(&trainer.checkpoint(), &setup).unwrap();
    assert!(model.predict(&panel, &[2]).is_ok());
    let error = model.predict(&panel, &[0]).unwrap_err().to_string();
    assert!(
        error.starts_with("the probabilities of the sequence \"s0\" are not finite"),
        "{error}"
    );
}

#[test]
fn a_report_needs_labels_and_one_told_for_each() {
    let labels = ["a", "b"].map(str::to_owned);
    let refused =
        |truth: &[usize], told: &[usize]| Report::of(&labels, truth, told).unwrap_err().to_string();
    assert_eq!(refused(&[], &[]), "no sequence has a label to compare with");
    assert_eq!(
        refused(&[0, 1], &[0]),
        "2 labels are compared with 1; expected one for each"
    );
    assert_eq!(
        refused(&[0], &[2]),
        "there is no label number 2; there are 2"
    );
}
