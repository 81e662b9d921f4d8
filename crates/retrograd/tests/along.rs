//! Expressions of the language that consist of several ops: values and gradients by PyTorch (`data/fixtures/along.json`), on
//! both engines.

use retrograd::{Batch, Cell, Engine, Extent, Session};
use serde::Deserialize;

/// Relative to a number, or to the greatest of its array where terms may cancel: sums of a hundred terms, each right to a few
/// ulp of f64, in two orders.
const TOLERANCE: f64 = 1e-12;

#[derive(Deserialize)]
struct Fixtures {
    #[serde(rename = "T")]
    steps: usize,
    #[serde(rename = "B")]
    rows: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    /// The expression.
    op: String,
    names: Vec<String>,
    operands: Vec<Operand>,
    domain: String,
    shape: Vec<usize>,
    value: Vec<f64>,
    cotangent: Vec<f64>,
    /// None where there is none.
    gradients: Vec<Option<Vec<f64>>>,
}

#[derive(Deserialize)]
struct Operand {
    domain: String,
    shape: Vec<usize>,
    data: Vec<f64>,
}

impl Case {
    /// The loss is Σ cotangent · value.
    fn cell(&self) -> Cell {
        let mut text = String::from("cell c()\n");
        for (name, operand) in self.names.iter().zip(&self.operands) {
            let kind = match operand.domain.as_str() {
                // Parameters of a layer are declared by it.
                "once" if name.contains('.') => continue,
                "once" => "param",
                "row" => "static",
                _ => "input",
            };
            text += &format!("{kind} {name}{:?}\n", operand.shape);
        }
        let sum = match self.shape[..] {
            [] => "cot * y",
            _ => "sum(cot * y)",
        };
        text += &format!(
            "y = {}\noutput y\ntarget cot{:?} over {}\nloss {sum}\nsum_loss",
            self.op, self.shape, self.domain
        );
        Cell::from_text(&text, &[]).unwrap_or_else(|e| panic!("{e}"))
    }

    fn session(&self, cell: &Cell, engine: Engine) -> Session<f64> {
        let wanted = self.names.iter().zip(&self.gradients);
        let wanted = wanted.filter_map(|(name, g)| g.as_ref().map(|_| name.as_str()));
        let program = cell.program().double().engine(engine).gradients(wanted);
        let program = program.build();
        program
            .unwrap_or_else(|e| panic!("{}: {e}", self.op))
            .session()
    }
}

fn check(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let greatest = expected.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        let off = (found - expected).abs();
        assert!(
            off <= TOLERANCE * greatest,
            "{what}: {found}, in PyTorch {expected}"
        );
    }
}

#[test]
fn values_and_gradients_equal_pytorch() {
    let text = include_str!("../../../data/fixtures/along.json");
    let Fixtures { steps, rows, cases } = serde_json::from_str(text).expect("as it was written");
    for case in &cases {
        let cell = case.cell();
        let of = |name: &str| {
            let k = case.names.iter().position(|n| n == name);
            &case.operands[k.unwrap_or_else(|| panic!("{}: no `{name}`", case.op))].data
        };
        let specs = cell.parameter_specs();
        let parameters: Vec<f64> = specs.flat_map(|p| of(p.name).clone()).collect();
        let mut batch = Batch::new(Extent::steps(steps).rows(rows));
        for (name, operand) in case.names.iter().zip(&case.operands) {
            if operand.domain != "once" {
                batch = batch.with(name, operand.data.clone());
            }
        }
        batch = batch.with("cot", case.cotangent.clone());
        for engine in Engine::ALL {
            let what = format!("{} on {engine:?}", case.op);
            let mut session = case.session(&cell, engine);
            let results = session.run(&parameters, &batch);
            let results = results.unwrap_or_else(|e| panic!("{what}: {e}"));
            check(
                &what,
                results.output("y").expect("it is an output"),
                &case.value,
            );
            for (name, expected) in case.names.iter().zip(&case.gradients) {
                if let Some(expected) = expected {
                    let found = results.gradient(name).expect("it was asked for");
                    check(&format!("{what}, gradient of {name}"), found, expected);
                }
            }
        }
    }
    let named = |part: &str| cases.iter().any(|c| c.op.contains(part));
    let parts = [
        "einsum", "gather", "one_hot", "argmax", "cumsum", "roll", "conv", "dense", "last",
    ];
    assert!(parts.into_iter().all(named) && cases.len() > 60);
}
