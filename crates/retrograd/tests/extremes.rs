//! The cells at the ends of single precision: with saturated gates, and with inputs far beyond what they were made for, values
//! and gradients stay finite on both engines.

use retrograd::{Adam, Batch, Cell, Engine, Extent, Trainer, zoo};
use retrograd_tape::InputRole;

const T: usize = 8;
const B: usize = 2;
const I: usize = 3;

/// A cell of the zoo with a small layer.
fn cell(name: &str) -> Cell {
    let entry = zoo::find(name).expect("it is in the zoo");
    let units = if entry.units() == "D" { 4 } else { 8 };
    zoo::forecaster(entry, I, units).unwrap_or_else(|e| panic!("{e}"))
}

/// True if values of a cell are proportional to its inputs, or to squares or products of them (as the variance of a layer
/// norm, the write to a matrix memory): then they are as large.
fn grows(name: &str) -> bool {
    const GROW: [&str; 16] = [
        "irnn",
        "indrnn",
        "mingru",
        "minlstm",
        "sru",
        "mlstm",
        "mlstm_heads",
        "lnlstm",
        "lngru",
        "lru",
        "s5",
        "gla",
        "mamba2",
        "rwkv7",
        "rglru",
        "ttt_linear",
    ];
    GROW.contains(&name)
}

fn trainer(cell: &Cell, engine: Engine) -> Trainer<f32> {
    let built = Trainer::builder(cell.clone(), Adam::new(1e-3)).engine(engine);
    built.seed(3).build().expect("it can be trained")
}

/// What of loss, output and gradients is no finite number.
fn not_finite(trainer: &mut Trainer<f32>, inputs: Vec<f32>) -> Option<String> {
    let mut batch = Batch::new(Extent::steps(T).rows(B))
        .with("x", inputs)
        .with("next", vec![0.25; T * B * I]);
    let given = trainer.cell().tape().inputs().iter();
    for input in given.filter(|i| i.role == InputRole::Static) {
        batch = batch.with(&input.name, vec![0.5; input.ty.numbers(T, B)]);
    }
    let names: Vec<String> = trainer
        .named_parameters()
        .map(|p| p.name.to_owned())
        .collect();
    let run = trainer.differentiate(&batch).expect("it runs");
    if !run.loss().is_finite() {
        return Some(format!("the loss is {}", run.loss()));
    }
    let y = run.output("y").expect("it has one");
    if !y.iter().all(|y| y.is_finite()) {
        return Some(format!("y is {y:?}"));
    }
    names.iter().find_map(|name| {
        let g = run.gradient(name).expect("it has one");
        let finite = g.iter().all(|g| g.is_finite());
        (!finite).then(|| format!("the gradient of {name} is {g:?}"))
    })
}

/// Inputs of one size: of one sign, of changing signs, and one only after zeros.
fn inputs(size: f32) -> [Vec<f32>; 3] {
    let n = T * B * I;
    let signs = |k: usize| {
        if (k * 7 / 3).is_multiple_of(2) {
            size
        } else {
            -size
        }
    };
    [
        vec![size; n],
        (0..n).map(signs).collect(),
        (0..n).map(|k| if k < n / 2 { 0.0 } else { size }).collect(),
    ]
}

#[test]
fn all_cells_are_finite_at_extreme_inputs() {
    let mut wrong = Vec::new();
    for name in zoo::names() {
        let cell = cell(name);
        let far: &[f32] = match grows(cell.name()) {
            true => &[],
            false => &[1e12, -1e30, 1e30],
        };
        for engine in Engine::ALL {
            let mut trainer = trainer(&cell, engine);
            let sizes = [0.0, 1e-30, 1.0, -30.0, 1e3, -1e3, 1e6, -1e6];
            for &size in sizes.iter().chain(far) {
                for (k, x) in inputs(size).into_iter().enumerate() {
                    if let Some(what) = not_finite(&mut trainer, x) {
                        wrong.push(format!("{name} by {engine}, {size:e}, pattern {k}: {what}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every bias that gates anything, far on either side: gates shut and open to the last bit, exponents of ±100 and beyond.
#[test]
fn all_cells_are_finite_with_saturated_gates() {
    let mut wrong = Vec::new();
    for name in zoo::names() {
        let cell = cell(name);
        for engine in Engine::ALL {
            let mut trainer = trainer(&cell, engine);
            let names: Vec<(String, usize)> = (trainer.named_parameters())
                .filter(|p| p.name.ends_with("bias") && !p.name.starts_with("forecast"))
                .map(|p| (p.name.to_owned(), p.values.len()))
                .collect();
            for by in [-1e4, -100.0, -50.0, 50.0, 100.0, 1e4_f32] {
                for alternating in [false, true] {
                    for (k, (name, n)) in names.iter().enumerate() {
                        let flip = alternating && k % 2 == 1;
                        let by = if flip { -by } else { by };
                        trainer
                            .set_parameter(name, &vec![by; *n])
                            .expect("it is one");
                    }
                    for x in inputs(1.5) {
                        if let Some(what) = not_finite(&mut trainer, x) {
                            let cell = cell.name();
                            wrong.push(format!(
                                "{cell} by {engine}, biases {by:e}, alternating: {alternating}: {what}"
                            ));
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The stabiliser changes no number: the cell is the paper's equations 19-27 without it, where those can be computed.
#[test]
fn mlstm_is_the_unstabilised_cell_of_the_paper() {
    const D: usize = 4;
    let cell = cell("mlstm");
    let built = Trainer::builder(cell, Adam::new(1e-3)).double();
    let mut trainer = built
        .engine(Engine::Tape)
        .seed(5)
        .build()
        .expect("it trains");
    for (name, at) in [("input.bias", 2.0), ("forget.bias", -1.0)] {
        trainer.set_parameter(name, &[at]).expect("it has one");
    }
    let x: Vec<f64> = (0..T * I).map(|k| 1.5 * (k as f64 * 0.9).sin()).collect();
    let p = |name: &str| trainer.parameter(name).expect("it has one").to_vec();
    let layer = |name: &str, x: &[f64], n: usize| -> Vec<f64> {
        let (w, b) = (p(&format!("{name}.x")), p(&format!("{name}.bias")));
        let row = |i: usize| (0..I).map(|j| w[i * I + j] * x[j]).sum::<f64>() + b[i];
        (0..n).map(row).collect()
    };
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (mut c, mut n, mut greatest) = (vec![0.0; D * D], vec![0.0; D], 0.0_f64);
    let mut hs = Vec::new();
    for x in x.chunks(I) {
        let (q, k, v) = (layer("q", x, D), layer("k", x, D), layer("v", x, D));
        let k: Vec<f64> = k.iter().map(|k| k / (D as f64).sqrt()).collect();
        let o = layer("output", x, D);
        let log_i = layer("input", x, 1)[0];
        greatest = greatest.max(log_i);
        let i = log_i.exp();
        let f = sigmoid(layer("forget", x, 1)[0]);
        for a in 0..D {
            for b in 0..D {
                c[a * D + b] = f * c[a * D + b] + i * v[a] * k[b];
            }
            n[a] = f * n[a] + i * k[a];
        }
        let scale = (0..D).map(|a| n[a] * q[a]).sum::<f64>().abs().max(1.0);
        let read = |a: usize| (0..D).map(|b| c[a * D + b] * q[b]).sum::<f64>();
        hs.push(
            (0..D)
                .map(|a| sigmoid(o[a]) * read(a) / scale)
                .collect::<Vec<f64>>(),
        );
    }
    let (w, b) = (p("forecast.h"), p("forecast.bias"));
    let next = vec![0.0; T * I];
    let batch = Batch::new(Extent::steps(T)).with("x", x).with("next", next);
    let run = trainer.differentiate(&batch).expect("it runs");
    let y = run.output("y").expect("it has one");
    for (t, h) in hs.iter().enumerate() {
        for i in 0..I {
            let right = (0..D).map(|a| w[i * D + a] * h[a]).sum::<f64>() + b[i];
            // 1e-6 beside a normaliser of at least exp(-m), where m is the greatest log i or 0; and rounding.
            let size: f64 = (0..D).map(|a| (w[i * D + a] * h[a]).abs()).sum();
            let most = 1.01e-6 * greatest.exp() * size + 1e-12;
            let found = y[t * I + i];
            assert!(
                (found - right).abs() <= most,
                "step {t}: {found}, not {right}"
            );
        }
    }
}
