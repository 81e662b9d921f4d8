//! The arrays of a step: inputs, weights and the cotangents gy of the outputs, the same for both engines.

use retrograd::Cell;
use retrograd_jit::machine_bytes;
use retrograd_tape::{Extent, InputRole, OutputRole, Real, Tape, Type};

/// What a step differentiates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Σ y·gy of the outputs, for fixed gy.
    Outputs,
    /// The cell's own loss.
    Loss,
}

impl Goal {
    /// A cell's own loss, if it has one.
    pub fn of(cell: &Cell) -> Goal {
        let outputs = cell.tape().outputs();
        match outputs.iter().any(|o| o.role == OutputRole::Loss) {
            true => Goal::Loss,
            false => Goal::Outputs,
        }
    }
}

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
    /// Numbers for a cell of the caller's: parameters as it initialises them, row numbers of tables and inputs with a range
    /// uniform in it, masks that keep as the cell says, weights of 1, everything else standard normal. The same on every
    /// call.
    ///
    /// # Errors
    /// The bytes that there are not.
    pub fn of_cell(cell: &Cell, extent: Extent, goal: Goal) -> Result<StepArrays<f32>, usize> {
        let tape = cell.tape();
        let numbers = |ty: Type| ty.numbers(extent.steps, extent.rows);
        let inputs = tape.inputs().iter().map(|i| numbers(i.ty));
        let outputs = tape.outputs().iter().map(|o| match (goal, o.role) {
            (Goal::Outputs, OutputRole::Output) => numbers(tape.node(o.value).ty),
            _ => 1,
        });
        let all = inputs.chain(outputs).fold(0, usize::saturating_add);
        let bytes = all.saturating_mul(size_of::<f32>());
        // One request for all of them: the address space may be less than the machine.
        let there = Vec::<f32>::new().try_reserve_exact(all);
        if bytes > machine_bytes() || there.is_err() {
            return Err(bytes);
        }
        let parameters: Vec<f32> = cell.initial_parameters(1).map_err(|_| bytes)?;
        let mut parameters = parameters.into_iter();
        let (mut random, mut keeps) = (Lcg(1), cell.keep_probabilities().iter());
        let tables = tape.index_inputs();
        let mut drawn = Vec::new();
        for (k, input) in tape.inputs().iter().enumerate() {
            let n = numbers(input.ty);
            let rows = tables
                .iter()
                .filter(|(i, _)| *i == k)
                .map(|(_, rows)| *rows)
                .min();
            drawn.push(match (input.role, rows, &input.range) {
                (InputRole::Param, ..) => parameters.by_ref().take(n).collect(),
                (InputRole::Initial, ..) => Vec::new(),
                (InputRole::Weight, ..) => vec![1.0; n],
                (InputRole::Mask, ..) => {
                    let keep = keeps.next().copied().unwrap_or(1.0);
                    random.many(n, |x| if x < keep { (1.0 / keep) as f32 } else { 0.0 })
                }
                (_, Some(rows), _) => random.many(n, |x| (x * rows as f64).floor() as f32),
                (_, None, Some(range)) => {
                    let width = range.end - range.start;
                    random.many(n, |x| (range.start + x * width) as f32)
                }
                (_, None, None) => random.normal(n),
            });
        }
        let cotangents = tape.outputs().iter().map(|o| match (goal, o.role) {
            (Goal::Outputs, OutputRole::Output) => {
                Some(random.normal(numbers(tape.node(o.value).ty)))
            }
            (Goal::Loss, OutputRole::Loss) => Some(vec![1.0]),
            _ => None,
        });
        Ok(StepArrays {
            extent,
            cotangents: cotangents.collect(),
            inputs: drawn,
        })
    }

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

    fn many(&mut self, n: usize, f: impl Fn(f64) -> f32) -> Vec<f32> {
        (0..n).map(|_| f(self.uniform())).collect()
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
