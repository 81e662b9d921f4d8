//! Error flow (S8 of the question): the gradient of the loss at the last step with respect to a state k steps earlier.

use std::collections::BTreeMap;

use retrograd::Observe;
use serde::Serialize;

use crate::observed::observe;
use crate::systems::System;
use crate::tasks::{MemoryTask, SequenceExtent};
use retrograd::Batch;
use retrograd::Cell;
use retrograd::Engine;
use retrograd::Error;
use retrograd::random::stream;

/// One measurement before training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FlowJob {
    /// The system to measure.
    pub system: System,
    /// The number of parameters to choose its size for.
    pub parameters: usize,
    /// The seed of parameters and sequences.
    pub seed: u64,
    /// The greatest k, and the number of sequences of the adding problem to average over, each one step longer than k.
    pub extent: SequenceExtent,
}

/// For each state, ‖∂L_T/∂s_{T−k}‖ at k = 0, 1, …: the root mean square over sequences of the norm over units. L is the loss of the
/// answer at step T, and s the state after step T − k, which everything later depends on. A curve ends early where a number is not
/// finite.
pub type Curves = BTreeMap<String, Vec<f64>>;

impl FlowJob {
    /// Runs the measurement.
    ///
    /// # Errors
    /// [`Error::Compile`], [`Error::NoSuchValue`].
    pub fn run(&self, engine: Engine) -> Result<Curves, Error> {
        let ends = MemoryTask::Adding.ends();
        let hidden = self.system.hidden(ends, self.parameters)?;
        let cell = self.system.cell(ends, hidden)?;
        let parameters: Vec<f64> = cell.initial_parameters(self.seed)?;
        let mut rng = stream(self.seed, "intuition", "error flow");
        let batch =
            MemoryTask::Adding.last_asked(self.extent.steps + 1, self.extent.rows, &mut rng);
        measure(&cell, &parameters, &batch, engine)
    }
}

/// Error flow of a cell with these parameters over sequences that request an answer only at their last step.
///
/// # Errors
/// [`Error::Compile`], [`Error::NoSuchValue`].
pub(crate) fn measure(
    cell: &Cell,
    parameters: &[f64],
    batch: &Batch<f64>,
    engine: Engine,
) -> Result<Curves, Error> {
    let (t, b) = (batch.extent.steps, batch.extent.rows);
    let states = cell.new_states();
    let adjoints: Vec<Observe> = states.iter().map(|s| Observe::adjoint(s)).collect();
    let adjoints = observe(cell, parameters, batch, engine, &adjoints)?;
    let curve = |adjoint: &Vec<f64>| -> Vec<f64> {
        let steps = adjoint.chunks_exact(adjoint.len() / t);
        // The batch's loss is the mean over its b sequences, so that a sequence's own adjoint is b times as great.
        let norm = |step: &[f64]| {
            let squares: f64 = step.iter().map(|a| a * a).sum();
            (squares / b as f64).sqrt() * b as f64
        };
        steps
            .rev()
            .map(norm)
            .take_while(|n| n.is_finite())
            .collect()
    };
    Ok(states.into_iter().zip(adjoints.iter().map(curve)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_measure_the_same_flow() {
        for system in System::all() {
            let flow = FlowJob {
                system,
                parameters: 300,
                seed: 3,
                extent: SequenceExtent { steps: 12, rows: 2 },
            };
            let jit = flow.run(Engine::Jit).unwrap();
            let tape = flow.run(Engine::Tape).unwrap();
            assert!(jit.contains_key("h'"), "{}", system.cell);
            assert_eq!(
                jit.keys().collect::<Vec<_>>(),
                tape.keys().collect::<Vec<_>>()
            );
            for (state, curve) in &jit {
                assert_eq!(curve.len(), 13);
                for (k, (a, b)) in curve.iter().zip(&tape[state]).enumerate() {
                    // A product of 12 Jacobians of a dozen units, each to some ulp.
                    assert!(
                        (a - b).abs() <= 1e-12 * b,
                        "{} {state} {k}: {a} {b}",
                        system.cell
                    );
                }
            }
        }
    }

    /// A rectified identity passes the error of a living unit on as it is and that of a dead one not at all, and inputs as
    /// small as the IRNN's let few units die: the flow never grows, and most of it is left. Measured: 0.89 of it.
    #[test]
    fn the_identity_recurrence_never_enlarges_the_error_and_loses_little() {
        for seed in 1..=3 {
            let flow = FlowJob {
                system: System::named("irnn"),
                parameters: 300,
                seed,
                extent: SequenceExtent { steps: 30, rows: 4 },
            };
            let curve = &flow.run(Engine::Jit).unwrap()["h'"];
            assert!(curve[0] > 0.0);
            let never_grows = curve.windows(2).all(|w| w[1] <= w[0] * (1.0 + 1e-12));
            assert!(never_grows, "{curve:?}");
            assert!(
                curve[30] > 0.5 * curve[0],
                "{seed} {} {}",
                curve[30],
                curve[0]
            );
        }
    }
}
