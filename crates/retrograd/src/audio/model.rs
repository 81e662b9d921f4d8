//! [`Model`]: an effect that was learned, in one file.

use std::path::Path;

use super::{AudioError, Clip, Setup};
use crate::cell::Cell;
use crate::error::Error;
use crate::saved::Checkpoint;
use crate::stepper::Stepper;

/// An effect that was learned: a cell with its parameters, its sample rate and its channels.
///
/// ```
/// use retrograd::audio::{Clip, Effect, Loss, Model, Pair};
/// use retrograd::{Adam, Trainer};
///
/// let clip = || Clip::new(8000, 1, (0..100).map(|t| (t as f32).sin()).collect());
/// let pair = Pair::new(clip()?, clip()?)?;
/// let effect = Effect::of(&pair, 0..80, Loss::Squared);
/// let cell = effect.cell("leaky", |c, x| {
///     let h = c.state("h", 4);
///     c.next(h, 0.9 * h + c.dense("new", 4, [x]).tanh())
/// })?;
/// let trainer = Trainer::builder(cell, Adam::new(1e-2)).build()?;
/// let path = std::env::temp_dir().join("retrograd-effect-example.safetensors");
/// Model::new(&trainer.checkpoint(), &effect.setup())?.keep_in(trainer.checkpoint()).write(&path)?;
///
/// // In a plug-in: no allocation and no lock from here on.
/// let model = Model::open(&path)?;
/// let mut stepper = model.stepper()?;
/// let first = stepper.step(&[&[0.0]])?[0];
/// assert_eq!(model.process(&clip()?)?.samples()[0], first, "the same sample by sample");
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    cell: Cell,
    parameters: Vec<f32>,
    setup: Setup,
}

/// The note of a file.
const SETUP: &str = "audio";
/// The parameters of the best epoch, as a loop of training keeps them.
const BEST: &str = "best";

impl Setup {
    /// The note in which a checkpoint has it, for [`Fit::note`](crate::fit::Fit::note): key and text.
    #[must_use]
    pub fn note(&self) -> (&'static str, String) {
        let text = serde_json::to_string(self);
        (SETUP, text.expect("names and numbers are always JSON"))
    }
}

impl Model {
    /// The model of a run of training. Its parameters are those of the best epoch, if the run measured that; else their average, if it has
    /// one; else the last.
    ///
    /// # Errors
    /// [`AudioError::Request`] for a cell that has not the setup's input and output, [`AudioError::Looks`] for one whose output depends on
    /// later samples.
    pub fn new(saved: &Checkpoint, setup: &Setup) -> Result<Model, AudioError> {
        let cell = saved.cell()?;
        setup.check(&cell)?;
        let best = saved.array(BEST).map(<[f32]>::to_vec);
        let parameters = best.or_else(|| saved.averaged_parameters());
        let parameters = parameters.unwrap_or_else(|| saved.parameters());
        cell.check_count("parameters", &parameters)?;
        Ok(Model {
            cell,
            parameters,
            setup: setup.clone(),
        })
    }

    /// Reads a file that a training on a pair of recordings wrote.
    ///
    /// # Errors
    /// Those of [`Checkpoint::read`] and of [`new`](Self::new); [`AudioError::Request`] for a file that is of no effect.
    pub fn open(path: impl AsRef<Path>) -> Result<Model, AudioError> {
        let path = path.as_ref();
        Model::of(&Checkpoint::read(path)?, path)
    }

    /// As [`open`](Self::open), of a checkpoint that was read.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn of(saved: &Checkpoint, path: &Path) -> Result<Model, AudioError> {
        let Some(note) = saved.note(SETUP) else {
            return Err(AudioError::Request(format!(
                "{}: it is no model of an effect, which a training on a pair of recordings writes",
                path.display()
            )));
        };
        let setup = serde_json::from_str(note).map_err(|e| Error::NotParameters {
            path: path.to_owned(),
            cause: e.into(),
        })?;
        Model::new(saved, &setup)
    }

    /// A checkpoint with all that [`open`](Self::open) reads of it beside the cell and its parameters.
    #[must_use]
    pub fn keep_in(&self, saved: Checkpoint) -> Checkpoint {
        let (key, text) = self.setup.note();
        saved.with_note(key, &text)
    }

    /// The cell.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// Its sample rate and channels.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The cell compiled for samples one at a time: an array of the dry channels in, one of the wet channels out, as output 0 or under the
    /// name that the setup has.
    ///
    /// # Errors
    /// As [`StepperBuilder::build`](crate::StepperBuilder::build); [`AudioError::Request`] for a cell that reads more than the signal.
    pub fn stepper(&self) -> Result<Stepper, AudioError> {
        let stepper = self.cell.stepper(&self.parameters).build()?;
        if let Some(more) = stepper.inputs().find(|name| *name != self.setup.input) {
            return Err(AudioError::Request(format!(
                "the cell `{}` also reads `{more}`, which no recording gives it",
                self.cell.name()
            )));
        }
        Ok(stepper)
    }

    /// What becomes of a recording, sample by sample from states as declared, in its own format. A mono recording is given to each of the
    /// model's dry channels.
    ///
    /// # Errors
    /// [`AudioError::Rate`] for a recording of another rate, [`AudioError::Request`] for other channels, [`AudioError::NotFinite`] for a
    /// model that diverges.
    pub fn process(&self, dry: &Clip) -> Result<Clip, AudioError> {
        let setup = &self.setup;
        if dry.rate() != setup.rate {
            return Err(AudioError::Rate {
                expected: setup.rate,
                found: dry.rate(),
            });
        }
        if dry.channels() != setup.dry && dry.channels() != 1 {
            return Err(AudioError::Request(format!(
                "the model takes {} channel{}, and the recording has {}; mix or split it first",
                setup.dry,
                if setup.dry == 1 { "" } else { "s" },
                dry.channels()
            )));
        }
        let mut stepper = self.stepper()?;
        let output = stepper.outputs().position(|name| name == setup.output);
        let (mut out, mut x) = (Vec::new(), vec![0.0; setup.dry]);
        out.reserve_exact(dry.frames() * setup.wet);
        for frame in 0..dry.frames() {
            match dry.channels() == setup.dry {
                true => x.copy_from_slice(dry.frame(frame)),
                false => x.fill(dry.frame(frame)[0]),
            }
            let first = stepper.step(&[&x])?;
            match output {
                Some(0) => out.extend_from_slice(first),
                _ => out.extend_from_slice(stepper.output(&setup.output).unwrap_or_default()),
            }
        }
        Ok(Clip::new(setup.rate, setup.wet, out)?.with_format(dry.format()))
    }
}
