//! The cells of the zoo against PyTorch: outputs, final states, loss and all gradients, from `data/fixtures/cells.json`,
//! which `data/fixtures/generate.py` wrote in float64.

use retrograd_tape::Extent;
use std::collections::BTreeMap;

use retrograd::{Adam, Batch, Cell, Engine, Trainer, zoo};
use retrograd_jit::{CompiledCell, Purpose};
use retrograd_tape::{InputRole, Interpreter, OutputRole, Tape};
use serde::Deserialize;

/// PyTorch's numbers and ours are the same sums in other orders. Each is a chain of T = 5 steps of sums of at most 15
/// products of numbers below 1, forward and backward: some 2·5·15 roundings of 2⁻⁵³, 1.7 · 10⁻¹⁴; six times that.
const TOLERANCE: f64 = 1e-13;

#[derive(Deserialize)]
struct Fixtures {
    cells: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    system: String,
    #[serde(rename = "T")]
    t: usize,
    #[serde(rename = "B")]
    b: usize,
    #[serde(rename = "I")]
    inputs: usize,
    #[serde(rename = "H")]
    hidden: usize,
    params: BTreeMap<String, Array>,
    x: Array,
    target: Array,
    initial: BTreeMap<String, Array>,
    #[serde(rename = "final")]
    last: BTreeMap<String, Array>,
    y: Array,
    loss: f64,
    grads: Gradients,
}

#[derive(Deserialize)]
struct Gradients {
    params: BTreeMap<String, Array>,
    x: Array,
    target: Array,
    initial: BTreeMap<String, Array>,
}

#[derive(Deserialize)]
struct Array {
    shape: Vec<usize>,
    data: Vec<f64>,
}

fn cases() -> Vec<Case> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../data/fixtures/cells.json"
    );
    let text = std::fs::read_to_string(path).expect("the file is there");
    let fixtures: Fixtures = serde_json::from_str(&text).expect("it is as generate.py writes it");
    fixtures.cells
}

impl Case {
    fn cell(&self) -> Cell {
        let entry = zoo::find(&self.name).expect("it is in the zoo");
        assert_eq!(entry.number, Some(&*self.system));
        zoo::forecaster(entry, self.inputs, self.hidden).expect("it is right")
    }

    fn batch(&self) -> Batch<f64> {
        let mut batch = Batch::new(Extent::steps(self.t).rows(self.b))
            .with("x", self.x.data.clone())
            .with("next", self.target.data.clone());
        for (name, begin) in &self.initial {
            batch = batch.with(name, begin.data.clone());
        }
        batch
    }

    /// In the order of the tape's inputs.
    fn inputs(&self, tape: &Tape) -> Vec<&[f64]> {
        let inputs = tape.inputs().iter().map(|i| match (i.role, &*i.name) {
            (InputRole::Param, name) => &self.params[name].data[..],
            (InputRole::Initial, name) => &self.initial[name].data,
            (_, "x") => &self.x.data,
            (_, name) => {
                assert_eq!(name, "next");
                &self.target.data
            }
        });
        inputs.collect()
    }

    /// The gradients of everything that is no parameter.
    fn other_gradients(&self) -> impl Iterator<Item = (&str, &Array)> {
        let initial = self.grads.initial.iter().map(|(n, a)| (n.as_str(), a));
        [("x", &self.grads.x), ("next", &self.grads.target)]
            .into_iter()
            .chain(initial)
    }

    fn compare(&self, what: &str, found: Option<&[f64]>, expected: &[f64]) {
        let found = found.unwrap_or_else(|| panic!("{}: no {what}", self.name));
        assert_eq!(found.len(), expected.len(), "{}: {what}", self.name);
        for (i, (f, e)) in found.iter().zip(expected).enumerate() {
            let at = format!("{}: {what}[{i}] is {f}, in PyTorch {e}", self.name);
            assert!((f - e).abs() <= TOLERANCE * e.abs().max(1.0), "{at}");
        }
    }
}

#[test]
fn every_cell_of_the_zoo_is_compared() {
    let names: Vec<String> = cases().into_iter().map(|c| c.name).collect();
    assert_eq!(names, zoo::question().map(|e| e.name).collect::<Vec<_>>());
}

#[test]
fn parameters_have_pytorchs_names_and_shapes() {
    for case in cases() {
        let cell = case.cell();
        let shapes = cell.parameter_specs().map(|p| {
            let axes = (0..2).filter_map(|axis| p.shape.axis(axis)).collect();
            (p.name.to_owned(), axes)
        });
        let found: BTreeMap<String, Vec<usize>> = shapes.collect();
        let expected = case
            .params
            .iter()
            .map(|(name, a)| (name.clone(), a.shape.clone()));
        assert_eq!(found, expected.collect(), "{}", case.name);
    }
}

#[test]
fn the_tape_gives_pytorchs_values_and_parameter_gradients() {
    values_and_parameter_gradients(Engine::Tape);
}

#[test]
fn compiled_code_gives_pytorchs_values_and_parameter_gradients() {
    values_and_parameter_gradients(Engine::Jit);
}

fn values_and_parameter_gradients(engine: Engine) {
    for case in cases() {
        let settings = Trainer::builder(case.cell(), Adam::new(0.1))
            .engine(engine)
            .double();
        let mut trainer = settings.build().expect("it is right");
        for (name, array) in &case.params {
            trainer.set_parameter(name, &array.data).expect("it fits");
        }
        let run = trainer.differentiate(&case.batch()).expect("it runs");
        case.compare("y", run.output("y"), &case.y.data);
        case.compare("loss", Some(&[run.loss()]), &[case.loss]);
        for (name, array) in &case.last {
            case.compare(&format!("final {name}"), run.output(name), &array.data);
        }
        for (name, array) in &case.grads.params {
            case.compare(&format!("d {name}"), run.gradient(name), &array.data);
        }
    }
}

#[test]
fn the_tape_gives_pytorchs_gradients_of_inputs_targets_and_initial_states() {
    for case in cases() {
        let cell = case.cell();
        let tape = cell.tape();
        let inputs = case.inputs(tape);
        let mut interpreter = Interpreter::<f64>::new(tape);
        interpreter
            .forward(
                Extent {
                    steps: case.t,
                    rows: case.b,
                },
                &inputs,
            )
            .expect("it runs");
        let outputs = tape.outputs().iter();
        let cotangents: Vec<Option<&[f64]>> = outputs
            .map(|o| (o.role == OutputRole::Loss).then_some(&[1.0][..]))
            .collect();
        interpreter.backward(&cotangents).expect("it runs");
        for (name, array) in case.other_gradients() {
            let found = tape.input(name).and_then(|i| interpreter.gradient(i));
            case.compare(&format!("d {name}"), found, &array.data);
        }
    }
}

#[test]
fn compiled_code_gives_pytorchs_gradients_of_everything() {
    for case in cases() {
        let cell = case.cell();
        let everything = Purpose::everything(cell.tape());
        let code = CompiledCell::<f64>::compile(cell.tape(), &everything).expect("it compiles");
        let mut inputs = case.inputs(cell.tape());
        // No cotangents but the loss's: zeros.
        inputs.resize(code.inputs().len(), &[]);
        let lengths = (0..code.outputs().len()).map(|k| {
            code.output_len(
                k,
                Extent {
                    steps: case.t,
                    rows: case.b,
                },
            )
        });
        let mut outputs: Vec<Vec<f64>> = lengths.map(|n| vec![f64::NAN; n]).collect();
        let mut slices: Vec<&mut [f64]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        code.run(
            Extent {
                steps: case.t,
                rows: case.b,
            },
            &inputs,
            &mut slices,
        )
        .expect("it runs");
        let found = |name: &str| code.output(name).map(|k| &outputs[k][..]);
        case.compare("y", found("y"), &case.y.data);
        case.compare("loss", found("loss"), &[case.loss]);
        for (name, array) in &case.last {
            case.compare(&format!("final {name}"), found(name), &array.data);
        }
        let params = case.grads.params.iter().map(|(n, a)| (n.as_str(), a));
        for (name, array) in case.other_gradients().chain(params) {
            let gradient = found(&format!("grad({name})"));
            case.compare(&format!("d {name}"), gradient, &array.data);
        }
    }
}
