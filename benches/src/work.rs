//! The arrays of a step: inputs, weights and the cotangents gy of the outputs, the same for both engines.

use retrograd::Cell;
use retrograd_tape::{Extent, InputRole, OutputRole, Real, Tape};

/// The arrays of a training step.
#[derive(Clone, Debug)]
pub struct StepArrays<T> {
    /// Steps and rows.
    pub extent: Extent,
    /// In the order of the tape's inputs; initial states are left out (empty): they are zeros.
    pub inputs: Vec<Vec<T>>,
    /// In the order of the tape's outputs; `None` where there is no output of the user's.
    pub cotangents: Vec<Option<Vec<T>>>,
}

impl StepArrays<f32> {
    /// Weights as the cell initialises them, everything else standard normal. The same on every call.
    pub fn new(cell: &Cell, t: usize, b: usize) -> StepArrays<f32> {
        let mut random = Lcg(1);
        let parameters: Vec<f32> = cell.initial_parameters(1).expect("there is memory");
        let mut parameters = parameters.into_iter();
        let tape = cell.tape();
        let inputs = tape.inputs().iter().map(|i| match i.role {
            InputRole::Param => parameters.by_ref().take(i.ty.shape.len()).collect(),
            InputRole::Initial => Vec::new(),
            _ => random.normal(i.ty.numbers(t, b)),
        });
        let inputs = inputs.collect();
        let outputs = tape.outputs().iter().map(|o| {
            let len = tape.node(o.value).ty.numbers(t, b);
            (o.role == OutputRole::Output).then(|| random.normal(len))
        });
        let cotangents = outputs.collect();
        StepArrays {
            extent: Extent { steps: t, rows: b },
            inputs,
            cotangents,
        }
    }

    /// The same numbers in f64.
    pub fn widen(&self) -> StepArrays<f64> {
        let wide = |v: &Vec<f32>| v.iter().map(|&x| f64::from(x)).collect();
        StepArrays {
            extent: self.extent,
            inputs: self.inputs.iter().map(wide).collect(),
            cotangents: (self.cotangents.iter())
                .map(|c| c.as_ref().map(wide))
                .collect(),
        }
    }
}

impl StepArrays<f64> {
    /// All inputs moved at random by up to half an ulp of f32, another way for each seed.
    pub fn moved(&self, seed: u32) -> StepArrays<f64> {
        self.moved_by(f64::from(f32::EPSILON) / 2.0, seed)
    }

    /// All inputs moved at random by up to this much of themselves, another way for each seed.
    pub fn moved_by(&self, most: f64, seed: u32) -> StepArrays<f64> {
        let mut random = Lcg(seed);
        let mut work = self.clone();
        for x in work.inputs.iter_mut().flatten() {
            *x *= 1.0 + most * (2.0 * random.uniform() - 1.0);
        }
        work
    }
}

/// Names of the outputs that the loss Σ y·gy is made of.
pub fn observed(tape: &Tape) -> impl Iterator<Item = String> {
    let outputs = tape.outputs().iter();
    outputs
        .filter(|o| o.role == OutputRole::Output)
        .map(|o| o.name.to_string())
}

/// A linear congruential generator (Numerical Recipes, chapter 7.1), good enough for a load.
struct Lcg(u32);

impl Lcg {
    fn normal<T: Real>(&mut self, n: usize) -> Vec<T> {
        (0..n).map(|_| T::from_f64(self.one())).collect()
    }

    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(self.0 >> 8) + 0.5) / f64::from(1 << 24)
    }

    /// Standard normal (Box & Muller 1958).
    fn one(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
