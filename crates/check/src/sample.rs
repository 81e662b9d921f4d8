//! [`Sample`]: one program, the rows that it runs over, and all numbers of a run.

use std::ops::Range;

use retrograd_graph::Target;
use retrograd_tape::generate::{cotangents_ragged, inputs_ragged};
use retrograd_tape::{Domain, Extent, InputRole, Lengths, OutputRole, Real, Tape, Type};

use crate::random::Random;

/// A program with everything that a run of it needs, on any engine.
///
/// Arrays are packed, as [`Interpreter::forward_ragged`](retrograd_tape::Interpreter::forward_ragged) takes them; for rows
/// of equal lengths that is the usual layout.
#[derive(Clone, Debug)]
pub struct Sample<'a> {
    /// The program.
    pub tape: &'a Tape,
    /// The lengths of the rows.
    pub lengths: Lengths,
    /// The numbers of each input of the tape; an empty array of an initial state stands for zeros.
    pub inputs: Vec<Vec<f64>>,
    /// A cotangent for each output of the tape.
    pub cotangents: Vec<Vec<f64>>,
    /// Decides what must not matter: alignments, blocks, budgets, passes that are left out.
    pub seed: u64,
    /// The machine that is compiled for.
    pub target: Target,
    /// The error that a number of f64 may have, relative to 1 + the greatest number of its array.
    pub exact: f64,
}

impl<'a> Sample<'a> {
    /// The error in f64 that comparisons of generated programs allow. Both engines round each op to a few ulp (2.2e-16);
    /// sums run over at most T·B·n ≈ 2·10⁴ terms in another order, and what a rounding grows to on its way through the
    /// steps is bounded by the generator, which keeps values and slopes of the order of 1. That leaves three decimal
    /// digits; a wrong term is wrong in the first.
    pub const EXACT: f64 = 1e-10;

    /// `t` steps of `b` rows, with numbers of this seed; see [`inputs`](retrograd_tape::generate::inputs).
    ///
    /// # Panics
    /// If there are no points.
    pub fn drawn(tape: &'a Tape, t: usize, b: usize, seed: u64, target: Target) -> Sample<'a> {
        let lengths = Lengths::new(vec![t; b]).expect("steps and rows");
        Sample::over(tape, lengths, seed, target)
    }

    /// Rows of these lengths, with numbers of this seed.
    pub fn over(tape: &'a Tape, lengths: Lengths, seed: u64, target: Target) -> Sample<'a> {
        Sample {
            inputs: inputs_ragged(tape, &lengths, seed),
            cotangents: cotangents_ragged(tape, &lengths, seed),
            tape,
            lengths,
            seed,
            target,
            exact: Sample::EXACT,
        }
    }

    /// The same program over other rows: parameters and other numbers that no row has a part in stay.
    pub fn with_lengths(&self, lengths: Lengths) -> Sample<'a> {
        let mut other = Sample::over(self.tape, lengths, self.seed, self.target);
        for (k, input) in self.tape.inputs().iter().enumerate() {
            if input.ty.domain == Domain::Once {
                other.inputs[k].clone_from(&self.inputs[k]);
            }
        }
        other.exact = self.exact;
        other
    }

    /// The same over `t` steps of `b` rows.
    pub(crate) fn at(&self, t: usize, b: usize) -> Sample<'a> {
        self.with_lengths(Lengths::new(vec![t; b]).expect("steps and rows"))
    }

    /// The same program and rows, with numbers of another seed, except for parameters.
    pub(crate) fn redrawn(&self, seed: u64) -> Sample<'a> {
        let other = Sample {
            seed,
            ..self.clone()
        };
        other.with_lengths(self.lengths.clone())
    }

    /// The same with other numbers nearby, each moved by up to `unit` of its size, but for those that are whole (masks, row
    /// numbers, zeros) or would leave their range.
    pub(crate) fn beside(&self, unit: f64, seed: u64) -> Sample<'a> {
        let mut random = Random::new(seed);
        let mut moved = |x: f64, range: Option<&Range<f64>>| {
            let near = x * (1.0 + unit * random.next());
            let stays = x.fract() == 0.0 || range.is_some_and(|r| !r.contains(&near));
            if stays { x } else { near }
        };
        let mut other = self.clone();
        for (numbers, input) in other.inputs.iter_mut().zip(self.tape.inputs()) {
            let range = input.range.as_ref();
            numbers.iter_mut().for_each(|x| *x = moved(*x, range));
        }
        for x in other.cotangents.iter_mut().flatten() {
            *x = moved(*x, None);
        }
        other
    }

    /// The same numbers for another program with the same inputs and outputs.
    pub(crate) fn of<'b>(&self, tape: &'b Tape) -> Sample<'b> {
        Sample {
            tape,
            lengths: self.lengths.clone(),
            inputs: self.inputs.clone(),
            cotangents: self.cotangents.clone(),
            seed: self.seed,
            target: self.target,
            exact: self.exact,
        }
    }

    /// Steps of the longest row.
    pub fn t(&self) -> usize {
        self.lengths.steps()
    }

    /// Rows.
    pub fn b(&self) -> usize {
        self.lengths.rows()
    }

    /// Steps and rows.
    pub fn extent(&self) -> Extent {
        Extent::steps(self.t()).rows(self.b())
    }

    /// True if some row is shorter than another.
    pub fn is_ragged(&self) -> bool {
        self.lengths.points() < self.t() * self.b()
    }

    /// The type of an output.
    pub fn output_type(&self, k: usize) -> Type {
        self.tape.node(self.tape.outputs()[k].value).ty
    }

    /// True if the program has a loss.
    pub(crate) fn has_loss(&self) -> bool {
        let outputs = self.tape.outputs();
        outputs.iter().any(|o| o.role == OutputRole::Loss)
    }

    /// The numbers of inputs that states begin with, by position.
    pub(crate) fn initial(&self) -> impl Iterator<Item = usize> + '_ {
        let inputs = self.tape.inputs().iter().enumerate();
        inputs
            .filter(|(_, i)| i.role == InputRole::Initial)
            .map(|(k, _)| k)
    }
}

/// Arrays in another precision.
pub(crate) fn cast<T: Real>(arrays: &[Vec<f64>]) -> Vec<Vec<T>> {
    (arrays.iter())
        .map(|a| a.iter().map(|&x| T::from_f64(x)).collect())
        .collect()
}

/// Arrays in the form that runs take.
pub(crate) fn slices<T>(arrays: &[Vec<T>]) -> Vec<&[T]> {
    arrays.iter().map(Vec::as_slice).collect()
}
