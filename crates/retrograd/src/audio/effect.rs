//! [`Effect`]: a recurrence with a readout, the dry signal beside it, and a loss.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use retrograd_tape::{Shape, Var};
use serde::{Deserialize, Serialize};

use super::{AudioError, Pair};
use crate::builder::Builder;
use crate::cell::Cell;
use crate::error::Error;

/// What an effect is trained by.
///
/// ```
/// use retrograd::audio::Loss;
///
/// assert_eq!("mse".parse(), Ok(Loss::Squared));
/// assert_eq!(Loss::default().to_string(), "esr");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// The error-to-signal ratio behind a filter 1 − a z⁻¹, see [`Builder::error_to_signal_loss`]; a is 0.85 by default (Wright et al.
    /// 2020), which counts what is audible. 0 is no filter.
    ErrorToSignal(f64),
    /// The mean squared error.
    Squared,
}

impl Default for Loss {
    fn default() -> Loss {
        Loss::ErrorToSignal(0.85)
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loss::ErrorToSignal(_) => "esr",
            Loss::Squared => "mse",
        })
    }
}

impl FromStr for Loss {
    type Err = String;

    fn from_str(name: &str) -> Result<Loss, String> {
        match name {
            "esr" => Ok(Loss::default()),
            "mse" => Ok(Loss::Squared),
            _ => Err(format!(
                "an effect is trained by esr or mse, not by `{name}`"
            )),
        }
    }
}

/// What a model of an effect knows beside its cell. It is saved with the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The sample rate in Hz.
    pub rate: u32,
    /// Channels of the dry signal, the numbers of the cell's input.
    pub dry: usize,
    /// Channels of the wet signal, the numbers of the cell's output.
    pub wet: usize,
    /// The name of the cell's input.
    pub input: String,
    /// The name of the cell's target.
    pub target: String,
    /// The name of the cell's output.
    pub output: String,
}

/// A cell that does to a signal what a device does: any recurrence with input "x" `[dry channels]`, and a readout V h' + d of its hidden
/// state with the parameters `effect.h` and `effect.bias`, to which the dry signal is added (in mono, to each channel). The output "y"
/// `[wet channels]` is the wet signal, the target "wet" what it should have been.
///
/// ```
/// use retrograd::audio::{Clip, Effect, Loss, Pair};
///
/// let clip = |gain: f32| Clip::new(8000, 1, (0..100).map(|t| gain * (t as f32).sin()).collect());
/// let pair = Pair::new(clip(1.0)?, clip(0.5)?)?;
/// let cell = Effect::of(&pair, 0..80, Loss::Squared).cell("leaky", |c, x| {
///     let h = c.state("h", 4);
///     c.next(h, 0.9 * h + c.dense("new", 4, [x]).tanh())
/// })?;
/// assert!(cell.parameter_specs().any(|p| p.name == "effect.h"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Effect {
    setup: Setup,
    loss: Loss,
    /// The mean square of the wet signal behind the filter.
    power: f64,
}

/// The floor of the ratio's denominator, in parts of the signal's power: −30 dB.
const FLOOR: f64 = 1e-3;

impl Effect {
    /// An effect with a pair's rate and channels, to be trained on a range of its frames.
    pub fn of(pair: &Pair, training: Range<usize>, loss: Loss) -> Effect {
        let emphasis = match loss {
            Loss::ErrorToSignal(a) => a,
            Loss::Squared => 0.0,
        };
        let n = pair.wet().channels();
        let (mut before, mut sum) = (vec![0.0; n], 0.0);
        let count = training.len().max(1) as f64;
        for frame in training {
            for (before, s) in before.iter_mut().zip(pair.wet().frame(frame)) {
                let s = f64::from(*s);
                sum += (s - emphasis * *before).powi(2);
                *before = s;
            }
        }
        Effect {
            setup: Setup {
                rate: pair.rate(),
                dry: pair.dry().channels(),
                wet: n,
                input: "x".to_owned(),
                target: "wet".to_owned(),
                output: "y".to_owned(),
            },
            loss,
            power: sum / count,
        }
    }

    /// What a model of it has to know.
    pub fn setup(&self) -> Setup {
        self.setup.clone()
    }

    /// The cell of a recurrence: a function of the input that returns the new hidden state, a vector.
    ///
    /// # Errors
    /// Those of the recurrence.
    #[track_caller]
    pub fn cell(
        &self,
        name: &str,
        recurrence: impl for<'t> FnOnce(&'t Builder, Var<'t>) -> Var<'t>,
    ) -> Result<Cell, Error> {
        Cell::define(name, |c| {
            let x = c.input(&self.setup.input, self.setup.dry);
            let h = recurrence(c, x);
            self.read_out(c, x, h);
        })
    }

    /// The readout of a hidden state beside the dry signal, with output, target and loss: for a cell that has other inputs besides.
    #[track_caller]
    pub fn read_out<'t>(&self, c: &'t Builder, dry: Var<'t>, h: Var<'t>) {
        let read = c.dense("effect", self.setup.wet, [h]);
        let y = match self.setup.dry == self.setup.wet {
            true => read + dry,
            // To each channel.
            false => read + dry.reshape(Shape::Scalar),
        };
        c.output(&self.setup.output, y);
        let wet = c.target(&self.setup.target, self.setup.wet);
        match self.loss {
            Loss::Squared => c.loss(y.mse(wet)),
            Loss::ErrorToSignal(emphasis) => {
                let floor = (FLOOR * self.power).max(f64::from(f32::MIN_POSITIVE));
                c.error_to_signal_loss("esr", y, wet, emphasis, floor);
            }
        }
    }
}

impl Setup {
    /// Refuses a cell that has not these inputs and outputs, or whose output depends on later samples.
    pub(super) fn check(&self, cell: &Cell) -> Result<(), AudioError> {
        crate::forecast::reads_no_later_row(cell, &self.output)?;
        let tape = cell.tape();
        let mut inputs = tape.inputs().iter();
        let input = inputs.find(|i| *i.name == *self.input);
        let mut outputs = tape.outputs().iter();
        let output = outputs.find(|o| *o.name == *self.output);
        let found = [
            input.map_or(0, |i| i.ty.shape.len()),
            output.map_or(0, |o| tape.node(o.value).ty.shape.len()),
        ];
        match found == [self.dry, self.wet] {
            true => Ok(()),
            false => Err(AudioError::Request(format!(
                "the cell `{}` reads {} and returns {} numbers of a moment; the recordings have {} and {} channels",
                cell.name(),
                found[0],
                found[1],
                self.dry,
                self.wet
            ))),
        }
    }
}
