//! Rows of different lengths against PyTorch's packed sequences: a two-layer bidirectional LSTM, its final states and all
//! gradients, from `data/fixtures/packed.json`, which `data/fixtures/packed.py` wrote in float64.

use std::collections::BTreeMap;

use retrograd::{Batch, Cell, Cotangents, Engine, Extent};
use serde::Deserialize;

/// PyTorch's numbers and ours are the same sums in other orders: chains of 2 · 7 steps of sums of some ten products of numbers of
/// the order of 1, forward and backward. That is 300 roundings of 2⁻⁵³, 3 · 10⁻¹⁴; ten times that.
const TOLERANCE: f64 = 3e-13;

const CELL: &str = "
def lstm[H, d](x) {
    state h[H] delay d
    state c[H] delay d
    c' = sigmoid(dense(x, h, name=f)) * c + sigmoid(dense(x, h, name=i)) * tanh(dense(x, h, name=g))
    h' = sigmoid(dense(x, h, name=o)) * tanh(c')
    return h' }
cell stack(x[I]) where I=4, H=2
for l in 0..2 carrying y = x {
    y = concat(lstm[H, 1](y, name=past), lstm[H, -1](y, name=future))
}
output y
";

#[derive(Deserialize)]
struct Fixture {
    #[serde(rename = "T")]
    t: usize,
    #[serde(rename = "B")]
    b: usize,
    #[serde(rename = "I")]
    inputs: usize,
    #[serde(rename = "H")]
    hidden: usize,
    lengths: Vec<usize>,
    parameters: BTreeMap<String, Vec<f64>>,
    x: Vec<f64>,
    h0: Vec<f64>,
    c0: Vec<f64>,
    y: Vec<f64>,
    h: Vec<f64>,
    c: Vec<f64>,
    cot_y: Vec<f64>,
    cot_h: Vec<f64>,
    cot_c: Vec<f64>,
    gradients: BTreeMap<String, Vec<f64>>,
    gradient_x: Vec<f64>,
    gradient_h0: Vec<f64>,
    gradient_c0: Vec<f64>,
}

impl Fixture {
    /// PyTorch's array of a parameter of ours, and the part of it that this is.
    fn part(&self, name: &str) -> (String, std::ops::Range<usize>) {
        let [direction, layer, gate, operand] = name.split('.').collect::<Vec<_>>()[..] else {
            panic!("{name}")
        };
        let kind = match operand {
            "bias" => "bias_ih",
            "h" => "weight_hh",
            _ => "weight_ih",
        };
        let reverse = if direction == "future" {
            "_reverse"
        } else {
            ""
        };
        let gate = ["i", "f", "g", "o"].iter().position(|g| *g == gate);
        let n = match operand {
            "bias" => self.hidden,
            "h" => self.hidden * self.hidden,
            _ => self.hidden * self.inputs,
        };
        let start = gate.expect("a gate") * n;
        (format!("{kind}_l{layer}{reverse}"), start..start + n)
    }

    /// The array of a state of ours, `[B, H]`, of PyTorch's of all layers and directions.
    fn state<'a>(&self, name: &str, (h, c): (&'a [f64], &'a [f64])) -> &'a [f64] {
        let [direction, layer, state] = name.split('.').collect::<Vec<_>>()[..] else {
            panic!("{name}")
        };
        let k = 2 * layer.parse::<usize>().expect("a layer") + usize::from(direction == "future");
        let n = self.b * self.hidden;
        let all = if state == "h" { h } else { c };
        &all[k * n..][..n]
    }
}

fn close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let near = (f - e).abs() <= TOLERANCE * e.abs().max(1.0);
        assert!(near, "{what}[{i}] is {f}, in PyTorch {e}");
    }
}

#[test]
fn rows_of_different_lengths_are_pytorchs_packed_sequences() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../data/fixtures/packed.json"
    );
    let text = std::fs::read_to_string(path).expect("the file is there");
    let fixture: Fixture = serde_json::from_str(&text).expect("it is as packed.py writes it");
    let cell = Cell::from_text(CELL, &[]).expect("it is right");
    let states: Vec<String> = (cell.tape().outputs().iter())
        .filter(|o| o.role == retrograd_tape::OutputRole::Final)
        .map(|o| o.name.to_string())
        .collect();
    assert_eq!(states.len(), 8);
    let mut parameters = Vec::new();
    for p in cell.parameter_specs() {
        let (name, range) = fixture.part(p.name);
        parameters.extend_from_slice(&fixture.parameters[&name][range]);
    }
    // What lies beyond a row's end is not read.
    let live = |point: usize| point / fixture.b < fixture.lengths[point % fixture.b];
    let hidden = |values: &[f64], n: usize| -> Vec<f64> {
        let values = values.iter().enumerate();
        let values = values.map(|(i, &v)| if live(i / n) { v } else { f64::NAN });
        values.collect()
    };
    let extent = Extent::steps(fixture.t).rows(fixture.b);
    let mut batch = Batch::new(extent)
        .with_lengths(&fixture.lengths)
        .with("x", hidden(&fixture.x, fixture.inputs));
    let outputs = 2 * fixture.hidden;
    let mut cotangents = Cotangents::new().with("y", hidden(&fixture.cot_y, outputs));
    for name in &states {
        let begin = fixture.state(name, (&fixture.h0, &fixture.c0));
        batch = batch.with(name, begin.to_vec());
        let cotangent = fixture.state(name, (&fixture.cot_h, &fixture.cot_c));
        cotangents = cotangents.with(name, cotangent.to_vec());
    }
    for engine in Engine::ALL {
        let program = cell.program().double().engine(engine).all_cotangents();
        let wanted = states.iter().map(String::as_str).chain(["x"]);
        let program = program
            .parameter_gradients()
            .gradients(wanted)
            .build()
            .expect("it compiles");
        let mut session = program.session();
        let forward = session.forward(&parameters, &batch).expect("it runs");
        close("y", forward.output("y").expect("an output"), &fixture.y);
        for name in &states {
            let last = forward.output(name).expect("a final state");
            close(name, last, fixture.state(name, (&fixture.h, &fixture.c)));
        }
        let gradients = forward.backward(&cotangents).expect("it runs");
        let of = |name: &str| gradients.of(name).expect("it was requested");
        close("gradient of x", of("x"), &fixture.gradient_x);
        for name in &states {
            let expected = fixture.state(name, (&fixture.gradient_h0, &fixture.gradient_c0));
            close(&format!("gradient of {name}"), of(name), expected);
        }
        for p in cell.parameter_specs() {
            let (name, range) = fixture.part(p.name);
            close(p.name, of(p.name), &fixture.gradients[&name][range]);
        }
    }
}
