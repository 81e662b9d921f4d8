//! The cells of the zoo are what independent implementations say: `data/fixtures/zoo.json`, which `zoo.py` wrote by PyTorch, and
//! `papers.json`, which `papers.py` wrote by JAX, both in float64.

#![cfg(feature = "text")]

mod fixture;

use fixture::{Case, Run, Tolerance, fixtures};
use retrograd::{Batch, Engine, Extent, text, zoo};

/// In f64 sums of other orders remain; elements below a thousandth of an array's greatest count as that.
const DOUBLE: Tolerance = (1e-10, 1e-3);

/// In f32, relative to the greatest of each array.
const SINGLE: Tolerance = (1e-5, 1.0);

/// All cases of the zoo's cells.
fn cases() -> Vec<(Case, Extent)> {
    let all = ["zoo.json", "papers.json"].map(fixtures).into_iter();
    all.flat_map(|f| {
        let extent = Extent::steps(f.steps).rows(f.rows);
        f.cases.into_iter().map(move |case| (case, extent))
    })
    .filter(|(case, _)| zoo::find(&case.file).is_some())
    .collect()
}

#[test]
fn every_cell_is_what_an_independent_implementation_says() {
    let cases = cases();
    for name in zoo::names() {
        let compared = cases.iter().any(|(case, _)| case.file == name);
        assert!(compared, "{name} is compared with nothing");
    }
    let mut wrong = Vec::new();
    for (case, extent) in cases {
        let mut run = Run::new(case, extent);
        let mut inputs: Vec<&str> = run.cell.tape().inputs().iter().map(|i| &*i.name).collect();
        inputs.sort_unstable();
        let known: Vec<&str> = run.case.gradients.keys().map(String::as_str).collect();
        assert_eq!(inputs, known, "{}", run.case.file);
        for (how, engine) in [("on the tape", Engine::Tape), ("compiled", Engine::Jit)] {
            let mut session = run.session(engine);
            run.check(how, &mut session, DOUBLE);
        }
        let double = std::mem::take(&mut run.worst);
        in_single_precision(&mut run);
        let (file, dims) = (&run.case.file, &run.case.dims);
        println!(
            "{file:20} {dims:?}: off by {double:.1e} and {:.1e}",
            run.worst
        );
        wrong.append(&mut run.wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Compiled code in f32.
fn in_single_precision(run: &mut Run) {
    let single = |values: &[f64]| -> Vec<f32> { values.iter().map(|&x| x as f32).collect() };
    let double = |values: &[f32]| -> Vec<f64> { values.iter().map(|&x| f64::from(x)).collect() };
    let mut batch = Batch::new(run.batch.extent);
    for input in run.cell.tape().inputs() {
        if let Some(values) = run.batch.array(&input.name) {
            batch = batch.with(&input.name, single(values));
        }
    }
    let names = run.case.gradients.keys().map(String::as_str);
    let program = run.cell.program().gradients(names).build();
    let mut session = program.unwrap_or_else(|e| panic!("{e}")).session();
    let results = session.run(&single(&run.parameters), &batch);
    let results = results.unwrap_or_else(|e| panic!("{}: {e}", run.case.file));
    let loss = results.loss().expect("it has a loss");
    let output = |name: &str| double(results.output(name).expect("it is an output"));
    let gradient = |name: &str| double(results.gradient(name).expect("it was asked for"));
    run.compare("in f32", loss, (&output, &gradient), SINGLE);
}

#[test]
fn heads_are_whole_and_files_are_in_their_usual_form() {
    for entry in zoo::ENTRIES {
        let name = entry.name;
        assert_eq!(entry.parsed().expect("it is right").name(), name);
        assert_eq!(
            text::format(entry.text).as_deref(),
            Some(entry.text),
            "{name}"
        );
        assert!(!entry.equations().is_empty(), "{name} has no equations");
        for (what, words) in [
            ("description", entry.description),
            ("purpose", entry.purpose),
            ("reference", entry.reference),
        ] {
            assert!(words.len() > 8 && words.trim() == words, "{name}: {what}");
        }
        let widest = entry.text.lines().map(|l| l.chars().count()).max();
        assert!(widest <= Some(140), "{name} has {widest:?} columns");
    }
}
