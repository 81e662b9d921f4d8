//! Saturation: what becomes of a state under a long stream of input.

use retrograd_jit::Observe;
use serde::{Deserialize, Serialize};

use super::probe::{observe, states};
use super::systems::System;
use super::tasks::Task;
use crate::batch::Batch;
use crate::cell::Cell;
use crate::engine::Engine;
use crate::error::Error;
use crate::init::stream;

use rand::{Rng, RngExt};

/// A tanh whose value is beyond this has a slope below a tenth.
pub const SATURATED: f64 = 0.95;
/// A state without bounds counts as exploded beyond this: ten times the greatest input.
pub const EXPLODED: f64 = 10.0;
/// Steps from one mark of the stream to the next, on the average.
pub const MARKED_EVERY: usize = 50;

/// How long a stream is, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Extent {
    /// Steps.
    pub steps: usize,
    /// Streams.
    pub rows: usize,
}

/// One measurement before training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Saturation {
    /// What is measured.
    pub system: System,
    /// The number of parameters that its size is chosen for.
    pub parameters: usize,
    /// What parameters and streams are drawn from.
    pub seed: u64,
    /// How long.
    pub extent: Extent,
}

/// What a state was like at some steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// The state: the memory of a cell that has one, else the hidden state.
    pub state: String,
    /// The steps, from 1.
    pub steps: Vec<usize>,
    /// The share of units that are saturated or exploded, see [`Bound`].
    pub share: Vec<f64>,
    /// The share of units that are 0, as only rectified ones are.
    pub dead: Vec<f64>,
    /// The root mean square of the units.
    pub size: Vec<f64>,
}

/// When a unit counts as saturated or exploded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// It is the value of a tanh: beyond ±[`SATURATED`].
    Tanh,
    /// A gated sum, to be read through a squashing function: beyond ±artanh [`SATURATED`], where tanh's slope is below a tenth.
    Gated,
    /// It has no bound: beyond ±[`EXPLODED`].
    None,
}

impl Bound {
    /// That of the state which carries a system's memory.
    fn of(system: &System) -> Bound {
        match system.cell {
            "irnn" => Bound::None,
            "keepwrite" | "one_hidden" | "one_hidden_deep" | "lstm" => Bound::Gated,
            _ => Bound::Tanh,
        }
    }

    fn limit(self) -> f64 {
        match self {
            Bound::Tanh => SATURATED,
            Bound::Gated => SATURATED.atanh(),
            Bound::None => EXPLODED,
        }
    }
}

impl Saturation {
    /// Measures it.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn run(&self, engine: Engine) -> Result<Stream, Error> {
        let ends = Task::Adding.ends();
        let hidden = self.system.hidden(ends, self.parameters)?;
        let cell = self.system.cell(ends, hidden)?;
        let params = cell.initial_parameters(self.seed);
        measure(&cell, &params, &self.system, self.extent, self.seed, engine)
    }
}

/// Runs a cell for the adding problem on a stream of numbers and marks that never ends in a question.
///
/// # Errors
/// [`Error::Engine`].
pub(super) fn measure(
    cell: &Cell,
    params: &[f64],
    system: &System,
    extent: Extent,
    seed: u64,
    engine: Engine,
) -> Result<Stream, Error> {
    let (t, b) = (extent.steps, extent.rows);
    let batch = numbers_and_marks(t, b, &mut stream(seed, "intuition", "stream"));
    let states = states(cell);
    let state = states
        .iter()
        .find(|s| *s == "c'")
        .unwrap_or(&states[0])
        .clone();
    let values = observe(cell, params, &batch, engine, &[Observe::value(&state)])?;
    let at_step = values[0].len() / t;
    let limit = Bound::of(system).limit();
    let steps = spaced(t);
    let mut out = Stream {
        state,
        share: Vec::with_capacity(steps.len()),
        dead: Vec::with_capacity(steps.len()),
        size: Vec::with_capacity(steps.len()),
        steps,
    };
    for &step in &out.steps {
        let values = &values[0][(step - 1) * at_step..][..at_step];
        let share = |of: &dyn Fn(f64) -> bool| {
            values.iter().filter(|v| of(**v)).count() as f64 / at_step as f64
        };
        // What is not a number has exploded too.
        out.share.push(share(&|v| v.is_nan() || v.abs() > limit));
        out.dead.push(share(&|v| v == 0.0));
        let squares: f64 = values.iter().map(|v| v * v).sum();
        let size = (squares / at_step as f64).sqrt();
        out.size
            .push(if size.is_finite() { size } else { f64::MAX });
    }
    Ok(out)
}

/// "x" as in the adding problem, but marked one step in [`MARKED_EVERY`]; nothing is asked.
fn numbers_and_marks(t: usize, b: usize, rng: &mut impl Rng) -> Batch<f64> {
    let mut x = Vec::with_capacity(2 * t * b);
    for _ in 0..t * b {
        x.push(rng.random::<f64>());
        x.push(f64::from(u8::from(rng.random_range(0..MARKED_EVERY) == 0)));
    }
    let zeros = vec![0.0; t * b];
    Batch::new(t, b)
        .with("x", x)
        .with("target", zeros.clone())
        .with("weight", zeros)
}

/// Steps from 1 to t, about 16 for a factor of ten.
fn spaced(t: usize) -> Vec<usize> {
    let mut steps: Vec<usize> = (0..)
        .map(|k| 10_f64.powf(f64::from(k) / 16.0).round() as usize)
        .take_while(|&s| s < t)
        .collect();
    steps.push(t);
    steps.dedup();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intuition::systems::Recurrent;

    fn stream_of(system: System) -> Stream {
        let saturation = Saturation {
            system,
            parameters: 600,
            seed: 2,
            extent: Extent {
                steps: 1000,
                rows: 2,
            },
        };
        saturation.run(Engine::Jit).unwrap()
    }

    #[test]
    fn the_identity_recurrence_grows_without_end_and_the_gated_memory_does_not() {
        let irnn = System::named("irnn");
        let wide = stream_of(System {
            wide_input: true,
            ..irnn
        });
        assert_eq!(wide.state, "h'");
        assert_eq!(wide.steps.last(), Some(&1000));
        assert!(wide.share.last() > Some(&0.3), "{wide:?}");
        let lstm = stream_of(System::named("lstm"));
        assert_eq!(lstm.state, "c'");
        assert!(lstm.share.iter().all(|&s| s < 0.05), "{lstm:?}");
        let tanh = stream_of(System::named("rnn").with(Recurrent::Identity));
        assert!(tanh.size.last() > stream_of(System::named("rnn")).size.last());
    }
}
