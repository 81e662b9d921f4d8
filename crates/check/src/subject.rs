//! [`Subject`]: what can be checked.

use retrograd_tape::generate::lengths;
use retrograd_tape::{InputRole, Lengths, Tape};

use crate::random::Random;
use crate::sample::Sample;

/// Draws the parameters of a program in their order, for a seed.
pub type DrawParameters = dyn Fn(u64) -> Vec<Vec<f64>>;

/// A program, and the parameters that it begins with.
pub struct Program {
    /// The program.
    pub tape: Tape,
    /// The parameters in the order of the tape's inputs, before training, for a seed; none if nothing is known of them.
    pub parameters: Option<Box<DrawParameters>>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("tape", &self.tape)
            .finish_non_exhaustive()
    }
}

/// What can be checked: a tape, a cell, or a cell file, whose sizes may vary from case to case.
pub trait Subject {
    /// Its name.
    fn name(&self) -> String;

    /// The program of its own sizes.
    ///
    /// # Errors
    /// Why there is none.
    fn program(&self) -> Result<Program, String>;

    /// The program, of sizes that `random` draws if there is a choice.
    ///
    /// # Errors
    /// Why there is none.
    fn drawn(&self, _random: &mut Random) -> Result<Program, String> {
        self.program()
    }
}

impl Subject for Tape {
    fn name(&self) -> String {
        Tape::name(self).to_owned()
    }

    fn program(&self) -> Result<Program, String> {
        Ok(Program {
            tape: self.clone(),
            parameters: None,
        })
    }
}

/// Numbers that a run of a case may touch: interpreters do some ten million a second, a dozen times a case.
const WORK: usize = 400_000;

/// Numbers that one step of one row computes, counting a matrix product's terms.
fn work_of_a_step(tape: &Tape) -> usize {
    let all = tape.nodes().iter().map(|n| {
        let operands = n.operands.iter().map(|x| tape.node(*x).ty.shape.len());
        n.ty.shape.len().max(operands.max().unwrap_or(0))
    });
    all.sum::<usize>().max(1)
}

impl Program {
    /// A sample of a seed: steps, rows, lengths and values are drawn; a large program has fewer of them.
    pub fn sample(&self, seed: u64, target: retrograd_graph::Target) -> Sample<'_> {
        let mut random = Random::new(seed ^ 0x00c8_e5a3);
        let most = (WORK / work_of_a_step(&self.tape)).max(2);
        let mut pick = |from: &[usize]| from[random.below(from.len())];
        let b = pick(&[1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 13, 33]).min(most.div_ceil(2));
        let t = pick(&[1, 2, 3, 4, 5, 6, 7, 8, 13]).min((most / b).max(1));
        let lengths = Lengths::new(lengths(t, b, seed)).expect("its longest row has steps");
        let mut sample = Sample::over(&self.tape, lengths, seed, target);
        // Half of the cases begin with the cell's own parameters, and half with others near them.
        if let Some(parameters) = &self.parameters {
            let moved = [0.0, 0.3][random.below(2)];
            let params = self.tape.inputs().iter().enumerate();
            let params = params.filter(|(_, i)| i.role == InputRole::Param);
            for ((k, _), values) in params.zip(parameters(seed)) {
                let near = |x: &f64| f64::from((x + moved * random.next()) as f32);
                sample.inputs[k] = values.iter().map(near).collect();
            }
        }
        sample
    }
}
