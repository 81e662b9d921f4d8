//! Random programs, for tests that compare engines: every op that can be recorded, states of every kind, recurrences
//! that follow, feed or ignore each other, losses with and without weights.
//!
//! [`generate`] draws a [`Case`] from [`Choices`], which are bytes, so any source of bytes can drive it (a property
//! test, a fuzzer, a counter). Fewer and smaller bytes give smaller programs; equal bytes give equal programs. A case
//! prints as Rust that records it again, and [`Case::smaller`] lists simpler cases, for reducing a failure.
//!
//! Invariants: every case records without an error and runs without NaN; its values stay of the order of 1, so that
//! differences between engines are meaningful. [`Case::clearance`] is its distance from kinks and jumps, where one
//! rounding decides between two results.
//!
//! ```
//! use retrograd_tape::{Interpreter, generate::{Choices, generate}};
//!
//! let case = generate(&mut Choices::new(b"any bytes at all"));
//! let mut run = Interpreter::<f64>::new(&case.tape);
//! run.forward_ragged(&case.lengths, &case.slices())?;
//! println!("{case}");
//! # Ok::<(), retrograd_tape::TapeError>(())
//! ```

mod axes;
mod blocks;
mod calls;
mod data;
mod grow;
mod ops;
mod program;
mod recorded;
mod shrink;
mod tags;
mod weights;

use std::collections::BTreeSet;
use std::fmt;

use crate::lengths::Lengths;
use crate::tape::Tape;
use program::GeneratedProgram;

use data::clearance;
pub use data::{
    KinkDistances, cotangents_ragged, inputs, inputs_ragged, jittered, lengths, without_limits,
};
pub use recorded::{named, with_given_starts};
pub use tags::{every_tag, tags_of};

/// A source of decisions: bytes, followed by zeros when they run out. A zero is always the plainest choice.
#[derive(Clone, Debug)]
pub struct Choices<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Choices<'a> {
    /// Decisions from the given bytes.
    pub fn new(bytes: &'a [u8]) -> Choices<'a> {
        Choices { bytes, at: 0 }
    }

    /// True if all bytes are used: every further decision is the plainest.
    pub fn exhausted(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    /// A number below `n`, which is at most 256.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }

    /// True in `percent` of 100 cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        usize::from(self.byte()) * 100 / 256 >= 100 - percent
    }

    /// One of several alternatives.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// A program with its sizes and the seed of its inputs.
#[derive(Clone, Debug)]
pub struct Case {
    /// The program.
    pub tape: Tape,
    /// Steps.
    pub t: usize,
    /// Rows: examples side by side.
    pub b: usize,
    /// The lengths of the rows, the longest of `t` steps; most cases have equal ones.
    pub lengths: Lengths,
    /// The seed that the inputs were drawn from.
    pub seed: u64,
    /// The numbers of each input of the tape for rows of the case's lengths, in the layout of its domain, packed over steps;
    /// all are exact in f32. Empty for initial states that are left out.
    pub inputs: Vec<Vec<f64>>,
    program: GeneratedProgram,
}

/// Draws a case.
///
/// # Panics
/// If the drawn program cannot be recorded, which is a bug of this module.
pub fn generate(choices: &mut Choices<'_>) -> Case {
    let t = choices.pick(&[1, 2, 3, 4, 5, 6, 7, 8, 13]);
    let b = choices.pick(&[1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 13, 33]);
    let seed = (0..3).fold(0, |s, _| s << 8 | u64::from(choices.byte()));
    let program = blocks::program(choices);
    Case::new(program, lengths(t, b, seed), seed)
        .unwrap_or_else(|e| panic!("a case that cannot be recorded: {e}"))
}

impl Case {
    fn new(
        program: GeneratedProgram,
        lengths: Vec<usize>,
        seed: u64,
    ) -> Result<Case, crate::TapeError> {
        let tape = program.record()?;
        let lengths = Lengths::new(lengths)?;
        let (t, b) = (lengths.steps(), lengths.rows());
        let inputs = inputs_ragged(&tape, &lengths, seed);
        Ok(Case {
            tape,
            t,
            b,
            lengths,
            seed,
            inputs,
            program,
        })
    }

    /// A program of the caller's as a case, over rows of these lengths, with inputs of this seed, to be
    /// [reduced](Self::shrink) and printed. Its loss becomes an output like any other. None for the few programs that
    /// no calls of [`Recorder`](crate::Recorder) record again.
    ///
    /// ```
    /// use retrograd_tape::{Lengths, Recorder, Shape, generate::Case};
    ///
    /// let r = Recorder::new();
    /// let h = r.state("h", Shape::Vector(2), 1, None);
    /// let next = r.next(h, (0.5 * h + 1.0).tanh());
    /// r.output("y", next.exp());
    /// let tape = r.finish("grows")?;
    /// let case = Case::of(&tape, Lengths::new(vec![5, 3])?, 1).expect("it can be recorded");
    /// let least = case.shrink(100, |c| c.tape.nodes().iter().any(|n| n.op.name() == "tanh"));
    /// assert!(least.tape.nodes().len() < tape.nodes().len());
    /// # Ok::<(), retrograd_tape::TapeError>(())
    /// ```
    pub fn of(tape: &Tape, lengths: Lengths, seed: u64) -> Option<Case> {
        let program = GeneratedProgram::of(tape)?;
        Case::new(program, lengths.of_rows().to_vec(), seed).ok()
    }

    /// The case without limits of gradients, which are no derivatives: `clip_gradient` has one that none exceeds, or is
    /// `with_gradient` of equal values instead.
    ///
    /// # Panics
    /// If the case cannot be recorded, which is a bug of this module.
    pub fn without_limits(&self) -> Case {
        let program = self.program.without_limits();
        let case = Case::new(program, self.lengths.of_rows().to_vec(), self.seed);
        case.unwrap_or_else(|e| panic!("a case that cannot be recorded: {e}"))
    }

    /// The case with losses that are sums, not means: those of rows add up.
    ///
    /// # Panics
    /// If the case cannot be recorded, which is a bug of this module.
    pub fn summed(&self) -> Case {
        let mut program = self.program.clone();
        program.ends.push(program::FinalCall::Sum);
        let case = Case::new(program, self.lengths.of_rows().to_vec(), self.seed);
        case.unwrap_or_else(|e| panic!("a case that cannot be recorded: {e}"))
    }

    /// The inputs in the form that runs take.
    pub fn slices(&self) -> Vec<&[f64]> {
        self.inputs.iter().map(Vec::as_slice).collect()
    }

    /// The program's features, as keys of a histogram: see [`tags_of`].
    pub fn tags(&self) -> BTreeSet<String> {
        tags_of(&self.tape, |_| true)
    }

    /// The distance to the nearest kink or jump in a run of this case. An operand that lies exactly on one in f32, in
    /// f64 and in a [`jittered`] run (a zero initial state, the two sides of x = x) does not count: no rounding moves
    /// it. None if the case does not run: a reduced case may lack the ops that kept an index within its table.
    pub fn clearance(&self) -> Option<f64> {
        clearance(&self.tape, &self.lengths, &self.inputs)
    }

    /// True if some row is shorter than another.
    pub fn is_ragged(&self) -> bool {
        self.lengths.points() < self.t * self.b
    }

    /// The least [`clearance`](Self::clearance) for rows of its own lengths and of these, where it can be run.
    pub fn clearance_at(&self, others: &[Lengths]) -> Option<f64> {
        let others = others.iter().filter_map(|l| self.at(l));
        others
            .map(|c| c.clearance())
            .try_fold(self.clearance()?, |least, d| Some(least.min(d?)))
    }

    /// The same program and seed for rows of other lengths, if it can be run with them.
    pub fn at(&self, lengths: &Lengths) -> Option<Case> {
        Case::new(self.program.clone(), lengths.of_rows().to_vec(), self.seed).ok()
    }

    /// Simpler cases, the greatest reductions first. Each can be recorded.
    pub fn smaller(&self) -> impl Iterator<Item = Case> + '_ {
        shrink::candidates(&self.program, self.lengths.of_rows())
            .filter_map(|(p, lengths)| Case::new(p, lengths, self.seed).ok())
    }

    /// The simplest case, on the way down from this one, for which `fails` still holds; at most `tries` cases are tested.
    pub fn shrink(&self, mut tries: usize, mut fails: impl FnMut(&Case) -> bool) -> Case {
        let mut best = self.clone();
        loop {
            let mut left = tries;
            let found = best.smaller().take(tries).find(|c| {
                left -= 1;
                fails(c)
            });
            tries = left;
            match found {
                Some(simpler) => best = simpler,
                None => return best,
            }
        }
    }
}

impl fmt::Display for Case {
    /// Rust that records the program, with its sizes and seed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program)?;
        if self.is_ragged() {
            let lengths = self.lengths.of_rows();
            return writeln!(
                f,
                "ragged(&r.finish(\"case\").unwrap(), &{lengths:?}, {});",
                self.seed
            );
        }
        writeln!(
            f,
            "check(&r.finish(\"case\").unwrap(), {}, {}, {});",
            self.t, self.b, self.seed
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::interpreter::Interpreter;
    use crate::tape::OutputRole;

    /// Bytes without a pattern.
    pub(super) fn bytes(seed: u64, n: usize) -> Vec<u8> {
        let mut random = crate::gradcheck::SplitMix64(seed);
        (0..n)
            .map(|_| (128.0 + 128.0 * random.next()) as u8)
            .collect()
    }

    #[test]
    fn no_bytes_give_the_plainest_program() {
        let case = generate(&mut Choices::new(&[]));
        assert_eq!((case.t, case.b), (1, 1));
        assert!(case.tape.nodes().len() < 20, "{case}");
    }

    #[test]
    fn equal_bytes_give_equal_cases() {
        let bytes = bytes(5, 300);
        let draw = || generate(&mut Choices::new(&bytes));
        assert_eq!(draw().to_string(), draw().to_string());
        assert_eq!(draw().inputs, draw().inputs);
    }

    #[test]
    fn values_and_gradients_stay_finite_and_of_moderate_size() {
        for seed in 0..300 {
            let case = generate(&mut Choices::new(&bytes(seed, 400)));
            let mut run = Interpreter::<f64>::new(&case.tape);
            run.forward_ragged(&case.lengths, &case.slices()).unwrap();
            let mut outputs: Vec<Vec<f64>> = (0..case.tape.outputs().len())
                .map(|i| run.output(i).to_vec())
                .collect();
            // The greatest value so far of a row without steps.
            let empty = case.lengths.of_rows().ends_with(&[0]);
            for (output, numbers) in case.tape.outputs().iter().zip(&mut outputs) {
                if empty && output.role == OutputRole::Final {
                    let least = numbers.iter_mut().filter(|x| **x == f64::NEG_INFINITY);
                    least.for_each(|x| *x = 0.0);
                }
            }
            let cots: Vec<Option<&[f64]>> = outputs.iter().map(|o| Some(&o[..])).collect();
            run.backward(&cots).unwrap();
            let gradients = (0..case.inputs.len()).filter_map(|i| run.gradient(i));
            for x in outputs.iter().flatten() {
                assert!(x.abs() < 1e4, "seed {seed}: {x}\n{case}");
            }
            for x in gradients.flatten() {
                assert!(x.abs() < 1e9, "seed {seed}: gradient {x}\n{case}");
            }
        }
    }

    /// True if one of the case's tags begins so.
    fn holds(case: &Case, tag: &str) -> bool {
        case.tags().iter().any(|t| t.starts_with(tag))
    }

    #[test]
    fn ops_over_every_domain_and_all_kinds_of_program_are_drawn_in_like_shares() {
        const CASES: usize = 4000;
        let mut histogram: BTreeMap<String, usize> =
            every_tag().into_iter().map(|t| (t, 0)).collect();
        for seed in 0..CASES {
            let case = generate(&mut Choices::new(&bytes(seed as u64, 40 + seed % 560)));
            for tag in case.tags() {
                *histogram
                    .get_mut(&tag)
                    .unwrap_or_else(|| panic!("`{tag}` is not listed")) += 1;
            }
        }
        // There are 180 ops over one domain or another, and kinds of program.
        let least = |tag: &str| CASES / if tag.contains(" over ") { 80 } else { 20 };
        let rare = histogram.iter().filter(|(tag, n)| **n < least(tag));
        let rare: Vec<_> = rare.collect();
        assert!(rare.is_empty(), "too rare: {rare:?} in {histogram:#?}");
    }

    #[test]
    fn jitter_changes_results_by_about_as_much_as_it_changes_ops() {
        let (mut moved, mut of, mut enlarged) = (0, 0, 0);
        for seed in 0..200 {
            let case = generate(&mut Choices::new(&bytes(seed, 300)));
            if case.clearance().is_none_or(|d| d < 1e-6) {
                continue;
            }
            let outputs = |tape: &Tape| {
                let mut run = Interpreter::<f64>::new(tape);
                run.forward_ragged(&case.lengths, &case.slices()).unwrap();
                let all = (0..tape.outputs().len()).flat_map(|i| run.output(i).to_vec());
                all.collect::<Vec<f64>>()
            };
            let (a, b) = (outputs(&case.tape), outputs(&jittered(&case.tape, 1e-9, 1)));
            let off = (a.iter().zip(&b)).map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() });
            let off = off.fold(0.0, f64::max);
            assert!(off < 1e-3, "seed {seed}: {off}\n{case}");
            enlarged += usize::from(off >= 1e-5);
            if holds(&case, "tanh over ") {
                of += 1;
                moved += usize::from(a != b);
            }
        }
        // A long chain of ops enlarges changes more, now and then.
        assert!(enlarged <= 10, "{enlarged} of 200 move by more than 1e-5");
        // Not all: nothing moves in a program whose state begins with 0 and is only ever multiplied.
        assert!(moved * 5 >= of * 4 && of > 5, "{moved} of {of}");
    }

    #[test]
    fn smaller_cases_are_smaller_and_can_be_recorded() {
        // Which bytes make which program changes with the table of ops.
        let case = (1..)
            .map(|seed| generate(&mut Choices::new(&bytes(seed, 400))))
            .find(|c| holds(c, "matvec over "))
            .expect("one of them has a product");
        assert!(case.smaller().count() > 10);
        let one = case.shrink(2000, |c| holds(c, "matvec over "));
        assert!(one.tape.nodes().len() <= 10, "{one}");
    }
}
