//! Effects learned from pairs of recordings: what went into a device, and what came out of it.
//!
//! A [`Pair`] is a dry and a wet [`Clip`] of one length. An [`Effect`] makes a cell of any recurrence, with a readout that adds the dry
//! signal and a loss such as the error-to-signal ratio with pre-emphasis. [`Segments`] cuts the pair into what
//! [`Fit`](crate::fit::Fit) trains on, by truncated back-propagation through time with a burn-in (Wright et al. 2019, "Real-Time
//! Black-Box Modelling with Recurrent Neural Networks"). A [`Model`] is a cell with its parameters and its sample rate in one file, and
//! processes other recordings, sample by sample.
//!
//! ```
//! # #[cfg(feature = "text")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use retrograd::audio::{Clip, Cut, Effect, Loss, Model, Pair, Segments};
//! use retrograd::fit::Fit;
//! use retrograd::{Adam, Trainer, zoo};
//!
//! // Half a second of a rising tone, and the same behind a soft clipper.
//! let dry: Vec<f32> = (0..4000).map(|t| (1e-5 * (t * t) as f32).sin()).collect();
//! let wet = dry.iter().map(|x| (3.0 * x).tanh()).collect();
//! let pair = Pair::new(Clip::new(8000, 1, dry)?, Clip::new(8000, 1, wet)?)?;
//! let (training, held_out) = pair.split(0.2)?;
//!
//! let effect = Effect::of(&pair, training.clone(), Loss::default());
//! let cell = effect.cell("clipper", |c, x| zoo::find("gru").unwrap().layer(c, "", x, 8))?;
//! let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).seed(1).build()?;
//! let cut = Cut { segment: 512, burn_in: 64, chunk: 128, rows: 4 };
//! let segments = Segments::new(&pair, training, cut, &effect.setup())?;
//! Fit::new(40).run(&mut trainer, |epoch| segments.epoch(1, epoch))?;
//!
//! let model = Model::new(&trainer.checkpoint(), &effect.setup())?;
//! let heard = model.process(pair.dry())?;
//! assert!(pair.compare(&heard, held_out)?.esr < 0.05);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "text"))]
//! # fn main() {}
//! ```

mod clip;
mod effect;
mod model;
mod pair;
mod segments;

use std::path::PathBuf;

pub use clip::{Clip, Format};
pub use effect::{Effect, Loss, Setup};
pub use model::Model;
pub use pair::{Errors, Pair};
pub use segments::{Cut, Epoch, Segments};

use crate::error::Error;

/// What is wrong with recordings, or with a request for them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// A file that cannot be read as WAV.
    #[error("{}: cannot be read: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file that cannot be written.
    #[error("{}: cannot be written: {cause}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The operating system's message.
        #[source]
        cause: std::io::Error,
    },
    /// A sample that is not finite.
    #[error(
        "{file}: the sample at {second:.4} s of channel {channel} is {value}; samples are finite numbers"
    )]
    NotFinite {
        /// The file.
        file: String,
        /// Where.
        second: f64,
        /// The channel, the first being 1.
        channel: usize,
        /// The sample.
        value: f32,
    },
    /// A recording of another sample rate than the model's.
    #[error(
        "the model was trained at {expected} Hz, and the recording is at {found} Hz; convert it to {expected} Hz first"
    )]
    Rate {
        /// The model's, in Hz.
        expected: u32,
        /// The recording's, in Hz.
        found: u32,
    },
    /// What was asked for does not go together.
    #[error("{0}")]
    Request(String),
    /// The cell, or a run of it.
    #[error(transparent)]
    Cell(#[from] Error),
    /// A cell whose output depends on samples that are still to come.
    #[error(transparent)]
    Looks(Box<crate::forecast::ForecastError>),
}

impl From<crate::forecast::ForecastError> for AudioError {
    fn from(error: crate::forecast::ForecastError) -> AudioError {
        AudioError::Looks(Box::new(error))
    }
}
