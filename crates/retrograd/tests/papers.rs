//! Cells from papers, as files of a few lines: each is what an independent implementation in JAX says, from
//! `data/fixtures/papers.json`, which `data/fixtures/papers.py` wrote in float64.

mod fixture;

use std::time::{Duration, Instant};

use fixture::{Expected, Fixtures, Run, Tolerance, path, text};
use retrograd::{Engine, Error, Extent, RunError, zoo};
use retrograd_tape::InputRole;

/// JAX's numbers and ours are the same sums in other orders, and often other equations for the same numbers.
const TOLERANCE: Tolerance = (1e-10, 1e-3);

/// The most lines that each cell may take, without comments.
const LINES: [(&str, usize); 14] = [
    ("additive_attention", 12),
    ("bidirectional", 15),
    ("classifier", 10),
    ("deltanet", 12),
    ("gated_deltanet", 12),
    ("instance_norm", 12),
    ("ltc", 12),
    ("mamba2", 20),
    ("mlstm_heads", 20),
    ("ntm", 25),
    ("rglru", 12),
    ("rwkv7", 25),
    ("slstm", 20),
    ("titans", 25),
];

/// What compiling a cell with all gradients may take, in times of the zoo's LSTM: 40 ms where that takes 3.3
/// (docs/PERFORMANCE.md). The least of several times of either, which take turns, says the same on a busy machine.
const LONGEST: f64 = 40.0 / 3.3;

/// How often each is compiled, and how often at most before it is too slow.
const ROUNDS: usize = 5;
const MOST_ROUNDS: usize = 40;

fn fixtures() -> Fixtures {
    fixture::fixtures("papers.json")
}

#[test]
fn the_files_are_as_short_as_the_papers() {
    let mut files: Vec<String> = std::fs::read_dir(path("x").parent().expect("a folder"))
        .expect("the folder is there")
        .map(|f| f.expect("it can be read").file_name())
        .map(|name| name.to_string_lossy().replace(".cell", ""))
        .collect();
    files.sort();
    let outside = LINES.map(|(file, _)| file);
    let outside = outside.into_iter().filter(|f| zoo::find(f).is_none());
    assert_eq!(files, outside.collect::<Vec<_>>());
    let compared: Vec<String> = fixtures().cases.into_iter().map(|c| c.file).collect();
    for (file, most) in LINES {
        let text = text(file);
        let code = text
            .lines()
            .filter(|l| !l.starts_with('#') && !l.is_empty());
        let longest = code.clone().map(|l| l.chars().count()).max();
        let lines = code.count();
        assert!(lines <= most, "{file} has {lines} lines");
        assert!(longest <= Some(100), "{file} has {longest:?} columns");
        assert!(compared.iter().any(|c| c == file), "{file} is not compared");
    }
}

#[test]
fn the_cells_are_what_the_papers_say() {
    let fixtures = fixtures();
    let extent = Extent::steps(fixtures.steps).rows(fixtures.rows);
    let mut wrong = Vec::new();
    for case in fixtures.cases {
        let mut run = Run::new(case, extent);
        let inputs = run.cell.tape().inputs().iter();
        let inputs = inputs.filter(|i| i.role != InputRole::Mask);
        let mut inputs: Vec<String> = inputs.map(|i| i.name.to_string()).collect();
        inputs.sort();
        let known: Vec<String> = run.case.gradients.keys().cloned().collect();
        assert_eq!(inputs, known, "{}", run.case.file);

        let mut tape = run.session(Engine::Tape);
        run.check("on the tape", &mut tape, TOLERANCE);
        let on_tape = std::mem::take(&mut run.worst);
        let mut compiled = run.session(Engine::Jit);
        run.check("compiled", &mut compiled, TOLERANCE);
        compiled.set_threads(2).expect("two are enough");
        run.check("by two threads", &mut compiled, TOLERANCE);
        compiled.set_memory_budget(Some(0));
        let least = match compiled.run(&run.parameters, &run.batch) {
            Err(Error::Run(RunError::Budget { least, .. })) => least,
            other => panic!("no memory is not enough: {:?}", other.is_ok()),
        };
        compiled.set_memory_budget(Some(least));
        run.check("with a budget", &mut compiled, TOLERANCE);
        println!(
            "{:20} {:?}: {} ops, off by {on_tape:.1e} and {:.1e}",
            run.case.file,
            run.case.dims,
            run.cell.tape().nodes().len(),
            run.worst
        );
        wrong.append(&mut run.wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_compiles_in_a_few_times_of_what_an_lstm_does() {
    let fixtures = fixtures();
    let extent = Extent::steps(fixtures.steps).rows(fixtures.rows);
    let lstm = zoo::forecaster(zoo::find("lstm").expect("it is there"), 64, 64).expect("a cell");
    let time = |compile: &dyn Fn()| {
        let start = Instant::now();
        compile();
        start.elapsed()
    };
    let mut slow = Vec::new();
    for case in fixtures.cases {
        let run = Run::new(case, extent);
        let stock = || {
            let program = lstm.program().parameter_gradients().build();
            program.expect("it compiles");
        };
        let own = || drop(run.session(Engine::Jit));
        let mut least = [Duration::MAX; 2];
        let ratio = |[stock, own]: [Duration; 2]| own.as_secs_f64() / stock.as_secs_f64();
        for round in 0..MOST_ROUNDS {
            least = [least[0].min(time(&stock)), least[1].min(time(&own))];
            if round + 1 >= ROUNDS && ratio(least) <= LONGEST {
                break;
            }
        }
        let (file, ratio) = (&run.case.file, ratio(least));
        println!(
            "{file:20} {:?}: {:.1?}, an LSTM {:.1?}, {ratio:.1} times",
            run.case.dims, least[1], least[0]
        );
        if ratio > LONGEST {
            slow.push(format!("{file} takes {ratio:.1} times of an LSTM"));
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}

/// Cells whose steps need what comes later, and one that has no output of a step.
const LATER: [&str; 2] = ["bidirectional", "instance_norm"];
const OF_ROWS: &str = "classifier";

#[test]
fn the_others_run_sample_by_sample() {
    let fixtures = fixtures();
    let Extent { steps, rows, .. } = Extent::steps(fixtures.steps).rows(fixtures.rows);
    for case in fixtures.cases {
        let run = Run::new(case, Extent::steps(steps).rows(rows));
        let file = run.case.file.as_str();
        let mut stepper = run.cell.stepper(&run.parameters).rows(rows);
        for input in run.cell.tape().inputs() {
            if matches!(input.role, InputRole::Static | InputRole::Initial) {
                let given = run.batch.array(&input.name).expect("it is given");
                stepper = stepper.with(&input.name, given.to_vec());
            }
        }
        let mut stepper = match (stepper.build(), LATER.contains(&file)) {
            (Ok(stepper), false) => stepper,
            (Err(_), true) => continue,
            (Ok(_), true) => panic!("{file} looks ahead"),
            (Err(e), false) => panic!("{file}: {e}"),
        };
        let mut session = run.session(Engine::Tape);
        let whole = session.run(&run.parameters, &run.batch).expect("it runs");
        let names: Vec<String> = stepper.inputs().map(str::to_owned).collect();
        let arrays = names
            .iter()
            .map(|n| run.batch.array(n).expect("it is given"));
        let arrays: Vec<&[f64]> = arrays.collect();
        for t in 0..steps {
            let part = |a: &[f64]| a.len() / steps * t..a.len() / steps * (t + 1);
            let sample: Vec<&[f64]> = arrays.iter().map(|a| &a[part(a)]).collect();
            stepper.step(&sample).expect("it fits");
            for name in run.case.outputs.keys() {
                let all = whole.output(name).expect("it is an output");
                let Some(found) = stepper.output(name) else {
                    assert_eq!(file, OF_ROWS);
                    continue;
                };
                assert_ne!(file, OF_ROWS);
                let expected = Expected::Elements(all[part(all)].to_vec());
                let (off, message) = expected.compare(name, found, TOLERANCE.1);
                assert!(off <= TOLERANCE.0, "{file} at step {t}: {message}");
            }
        }
    }
}
