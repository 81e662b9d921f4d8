//! Cells from papers, as files of a few lines: each is what an independent implementation in JAX says, from
//! `data/fixtures/papers.json`, which `data/fixtures/papers.py` wrote in float64.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use retrograd::{Batch, Cell, CellText, Engine, Error, Extent, RunError, Session, zoo};
use retrograd_tape::InputRole;
use serde::Deserialize;

/// JAX's numbers and ours are the same sums in other orders, and often other equations for the same numbers.
const TOLERANCE: f64 = 1e-10;

/// The most lines that each cell may take, comments included.
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
    ("slstm_heads", 20),
    ("titans", 25),
];

/// What compiling a cell with all gradients may take, in times of the zoo's LSTM: 40 ms where that takes 3.3
/// (docs/PERFORMANCE.md). The least of several times of either, which take turns, says the same on a busy machine.
const LONGEST: f64 = 40.0 / 3.3;

/// How often each is compiled, and how often at most before it is too slow.
const ROUNDS: usize = 5;
const MOST_ROUNDS: usize = 40;

#[derive(Deserialize)]
struct Fixtures {
    steps: usize,
    rows: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    file: String,
    dims: BTreeMap<String, usize>,
    /// Where the numbers of an array are, unless around 0 by 0.4.
    ranges: BTreeMap<String, [f64; 2]>,
    loss: f64,
    /// Of steps, `[T, 2, shape]` for the first and the last row; else `[B, shape]`.
    outputs: BTreeMap<String, Vec<f64>>,
    gradients: BTreeMap<String, Vec<f64>>,
}

fn fixtures() -> Fixtures {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../data/fixtures/papers.json"
    );
    let text = std::fs::read_to_string(path).expect("the file is there");
    serde_json::from_str(&text).expect("it is as papers.py writes it")
}

fn path(file: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/papers");
    PathBuf::from(folder).join(format!("{file}.cell"))
}

fn text(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// Numbers that depend on a name and their index alone.
fn numbers(name: &str, count: usize, [at, by]: [f64; 2]) -> Vec<f64> {
    let bytes = name.bytes().enumerate();
    let seed: f64 = bytes.map(|(i, b)| (i + 1) as f64 * f64::from(b)).sum();
    (0..count)
        .map(|k| k as f64)
        .map(|k| at + by * (seed + 0.7 * k + 0.05 * (k * k)).sin())
        .collect()
}

/// A cell of a paper, with numbers for all it takes.
struct Run {
    case: Case,
    cell: Cell,
    parameters: Vec<f64>,
    batch: Batch<f64>,
    worst: f64,
    /// What is not as JAX says.
    wrong: Vec<String>,
}

impl Run {
    fn new(case: Case, extent: Extent) -> Run {
        let mut text = text(&case.file);
        for name in case.outputs.keys() {
            text += &format!("\nloss mean({name}^2)");
        }
        let dims: Vec<(&str, usize)> = case.dims.iter().map(|(n, &d)| (n.as_str(), d)).collect();
        let cell = CellText::parse(&case.file, &text).and_then(|t| t.cell(&dims));
        let cell = cell.unwrap_or_else(|e| panic!("{e}"));
        let range = |name: &str| case.ranges.get(name).copied().unwrap_or([0.0, 0.4]);
        let parameters = cell.parameter_specs();
        let parameters = parameters.flat_map(|p| numbers(p.name, p.shape.len(), range(p.name)));
        let parameters = parameters.collect();
        let mut batch = Batch::new(extent);
        let keeps: Vec<f64> = cell.keep_probabilities().to_vec();
        let mut keeps = keeps.into_iter();
        for input in cell.tape().inputs() {
            let (name, n) = (&*input.name, input.ty.numbers(extent.steps, extent.rows));
            let values = match input.role {
                InputRole::Param => continue,
                InputRole::Mask => {
                    let keep = keeps.next().expect("each mask has one");
                    let kept = |x: &f64| if *x < 0.5 { 1.0 / keep } else { 0.0 };
                    numbers(name, n, [0.0, 1.0]).iter().map(kept).collect()
                }
                _ => numbers(name, n, range(name)),
            };
            batch = batch.with(name, values);
        }
        Run {
            case,
            cell,
            parameters,
            batch,
            worst: 0.0,
            wrong: Vec::new(),
        }
    }

    fn session(&self, engine: Engine) -> Session<f64> {
        let names = self.case.gradients.keys().map(String::as_str);
        let program = self.cell.program().gradients(names).double();
        let program = program.engine(engine).build();
        program.unwrap_or_else(|e| panic!("{e}")).session()
    }

    /// Runs it and compares all numbers.
    fn check(&mut self, how: &str, session: &mut Session<f64>) {
        let how = format!("{} {:?} {how}", self.case.file, self.case.dims);
        let results = session.run(&self.parameters, &self.batch);
        let results = results.unwrap_or_else(|e| panic!("{how}: {e}"));
        let loss = results.loss().expect("it has a loss");
        let mut compared = vec![compare("loss", &[loss], &[self.case.loss])];
        for (name, expected) in &self.case.outputs {
            let all = results.output(name).expect("it is an output");
            compared.push(compare(name, &self.kept(all, expected.len()), expected));
        }
        for (name, expected) in &self.case.gradients {
            let found = results.gradient(name).expect("it was asked for");
            compared.push(compare(&format!("grad({name})"), found, expected));
        }
        for (off, message) in compared {
            self.worst = self.worst.max(off);
            if off > TOLERANCE || off.is_nan() {
                self.wrong.push(format!("{how}: {message}"));
            }
        }
    }

    /// Of an output's numbers, those that the file has.
    fn kept(&self, all: &[f64], count: usize) -> Vec<f64> {
        if count == all.len() {
            return all.to_vec();
        }
        let Extent { steps, rows, .. } = self.batch.extent;
        let n = all.len() / (steps * rows);
        let ends = |r: &[f64]| [&r[..n], &r[r.len() - n..]].concat();
        all.chunks(rows * n).flat_map(ends).collect()
    }
}

/// The greatest deviation, relative to a number or a thousandth of the greatest in its array, and where it is.
fn compare(what: &str, found: &[f64], expected: &[f64]) -> (f64, String) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let greatest = expected.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    assert!(greatest > 0.0, "{what} says nothing");
    let off = |(f, e): (&f64, &f64)| (f - e).abs() / e.abs().max(1e-3 * greatest);
    let all = found.iter().zip(expected).map(off).enumerate();
    let (i, worst) = all.fold((0, 0.0), |m, x| match x.1 <= m.1 {
        true => m,
        false => x,
    });
    let message = format!("{what}[{i}] is {}, in JAX {}", found[i], expected[i]);
    (worst, message)
}

#[test]
fn the_files_are_as_short_as_the_papers() {
    let mut files: Vec<String> = std::fs::read_dir(path("x").parent().expect("a folder"))
        .expect("the folder is there")
        .map(|f| f.expect("it can be read").file_name())
        .map(|name| name.to_string_lossy().replace(".cell", ""))
        .collect();
    files.sort();
    assert_eq!(files, LINES.map(|(file, _)| file.to_owned()));
    let compared: Vec<String> = fixtures().cases.into_iter().map(|c| c.file).collect();
    for (file, most) in LINES {
        let text = text(file);
        let (lines, longest) = (
            text.lines().count(),
            text.lines().map(|l| l.chars().count()).max(),
        );
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
        run.check("on the tape", &mut tape);
        let on_tape = std::mem::take(&mut run.worst);
        let mut compiled = run.session(Engine::Jit);
        run.check("compiled", &mut compiled);
        compiled.set_threads(2).expect("two are enough");
        run.check("by two threads", &mut compiled);
        compiled.set_memory_budget(Some(0));
        let least = match compiled.run(&run.parameters, &run.batch) {
            Err(Error::Run(RunError::Budget { least, .. })) => least,
            other => panic!("no memory is not enough: {:?}", other.is_ok()),
        };
        compiled.set_memory_budget(Some(least));
        run.check("with a budget", &mut compiled);
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
                let (off, message) = compare(name, found, &all[part(all)]);
                assert!(off <= TOLERANCE, "{file} at step {t}: {message}");
            }
        }
    }
}
