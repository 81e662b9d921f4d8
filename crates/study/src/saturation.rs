//! Saturation: the states of a cell under a long stream of input.

use retrograd::Observe;
use serde::{Deserialize, Serialize};

use crate::observed::observe;
use crate::systems::System;
use crate::tasks::{MemoryTask, SequenceExtent};
use retrograd::Batch;
use retrograd::Cell;
use retrograd::Engine;
use retrograd::Error;
use retrograd::random::stream;

/// Beyond this value, the slope of a tanh is below a tenth.
pub const SATURATED: f64 = 0.95;
/// An unbounded state counts as exploded beyond this: ten times the greatest input.
pub const EXPLODED: f64 = 10.0;

/// One measurement before training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SaturationJob {
    /// The system to measure.
    pub system: System,
    /// The number of parameters to choose its size for.
    pub parameters: usize,
    /// The seed of parameters and streams.
    pub seed: u64,
    /// The length and the number of streams.
    pub extent: SequenceExtent,
}

/// A state at some steps of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SaturationCurve {
    /// The state: the memory of a cell that has one, else the hidden state.
    pub state: String,
    /// The steps, from 1.
    pub steps: Vec<usize>,
    /// The share of units that are saturated or exploded, see [`SaturationBound`].
    pub share: Vec<f64>,
    /// The share of units that are 0, as only rectified ones are.
    pub dead: Vec<f64>,
    /// The root mean square of the units.
    pub size: Vec<f64>,
}

/// When a unit counts as saturated or exploded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SaturationBound {
    /// It is the value of a tanh: beyond ±[`SATURATED`], where the slope is below a tenth.
    Tanh,
    /// It is a mixture of such values, as a GRU's hidden state: also beyond ±[`SATURATED`], though without a statement about
    /// slopes.
    Mixture,
    /// It is read through a tanh: beyond ±artanh [`SATURATED`], where that tanh's value is beyond ±[`SATURATED`].
    ReadByTanh,
    /// It is read through a sigmoid σ(c) = ½ (1 + tanh(c ÷ 2)): beyond twice that, where the slope is as small a part of
    /// its greatest.
    ReadBySigmoid,
    /// Neither the state nor its component-wise reader is squashed: it counts as exploded beyond ±[`EXPLODED`].
    None,
}

impl SaturationBound {
    /// The bound of the state that carries a system's memory.
    pub(crate) fn of(system: &System) -> SaturationBound {
        match system.cell {
            "keepwrite" => SaturationBound::ReadBySigmoid,
            "lstm" => SaturationBound::ReadByTanh,
            "gru" | "gru_after" => SaturationBound::Mixture,
            "irnn" | "one_hidden" | "one_hidden_deep" => SaturationBound::None,
            _ => SaturationBound::Tanh,
        }
    }

    pub(crate) fn limit(self) -> f64 {
        match self {
            SaturationBound::Tanh | SaturationBound::Mixture => SATURATED,
            SaturationBound::ReadByTanh => SATURATED.atanh(),
            SaturationBound::ReadBySigmoid => 2.0 * SATURATED.atanh(),
            SaturationBound::None => EXPLODED,
        }
    }
}

impl SaturationJob {
    /// Runs the measurement.
    ///
    /// # Errors
    /// [`Error::Compile`], [`Error::NoSuchValue`].
    pub fn run(&self, engine: Engine) -> Result<SaturationCurve, Error> {
        let ends = MemoryTask::Adding.ends();
        let hidden = self.system.hidden(ends, self.parameters)?;
        let cell = self.system.cell(ends, hidden)?;
        let parameters: Vec<f64> = cell.initial_parameters(self.seed)?;
        let mut rng = stream(self.seed, "intuition", "stream");
        let batch = MemoryTask::Adding.endless(self.extent.steps, self.extent.rows, &mut rng);
        measure(&cell, &parameters, &self.system, &batch, engine)
    }
}

/// Runs a cell on streams that never request an answer.
///
/// # Errors
/// [`Error::Compile`], [`Error::NoSuchValue`].
pub(crate) fn measure(
    cell: &Cell,
    parameters: &[f64],
    system: &System,
    batch: &Batch<f64>,
    engine: Engine,
) -> Result<SaturationCurve, Error> {
    let t = batch.extent.steps;
    let states = cell.new_states();
    let state = states
        .iter()
        .find(|s| *s == "c'")
        .unwrap_or(&states[0])
        .clone();
    let values = observe(cell, parameters, batch, engine, &[Observe::value(&state)])?;
    let at_step = values[0].len() / t;
    let limit = SaturationBound::of(system).limit();
    let steps = spaced(t);
    let mut out = SaturationCurve {
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
    use crate::systems::Recurrent;

    fn stream_of(system: System) -> SaturationCurve {
        let saturation = SaturationJob {
            system,
            parameters: 600,
            seed: 2,
            extent: SequenceExtent {
                steps: 1000,
                rows: 2,
            },
        };
        saturation.run(Engine::Jit).unwrap()
    }

    #[test]
    fn bounds_are_where_the_reader_is_saturated() {
        let of = |cell| SaturationBound::of(&System::named(cell)).limit();
        assert!((of("lstm").tanh() - SATURATED).abs() < 1e-12);
        let sigmoid = 1.0 / (1.0 + (-of("keepwrite")).exp());
        assert!((2.0 * sigmoid - 1.0 - SATURATED).abs() < 1e-12);
        assert_eq!([of("one_hidden"), of("irnn")], [EXPLODED; 2]);
        assert_eq!([of("rnn"), of("gru")], [SATURATED; 2]);
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
