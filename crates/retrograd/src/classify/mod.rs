//! Labels of sequences: which word a recording says, who signs, whether a machine is about to fail.
//!
//! A [`Panel`](crate::data::Panel) holds sequences of different lengths, each with a text that is its label ([`Csv::constant`] reads
//! them from one long table, [`Csv::open_manifest`] from a file each). A [`GroupSplit`] keeps some for validation, all of a group, such
//! as a speaker, on one side. A [`Setup`] has the table of labels and how columns are scaled; a [`Classifier`] adds a readout to a
//! cell; [`Examples`] draws batches of sequences for a [`Trainer`](crate::Trainer). A [`Model`] is a cell with its parameters and setup,
//! in one file: it tells the labels of other sequences, and a [`Report`] counts how often it is right.
//!
//! [`Csv::constant`]: crate::data::Csv::constant
//! [`Csv::open_manifest`]: crate::data::Csv::open_manifest
//!
//! ```
//! # #[cfg(feature = "text")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use retrograd::classify::{Classifier, Examples, GroupSplit, Model, Setup};
//! use retrograd::data::{Panel, Series};
//! use retrograd::fit::Fit;
//! use retrograd::{Adam, Trainer, zoo};
//!
//! // Waves that rise in pitch and waves that fall, 12 to 21 rows long.
//! let clip = |k: usize| {
//!     let rows = 12 + k % 10;
//!     let pitch = |t: usize| if k % 2 == 0 { t } else { rows - t } as f64 / rows as f64;
//!     let wave = (0..rows).map(|t| (k as f64 + 2.0 * pitch(t) * t as f64).sin()).collect();
//!     Ok((format!("clip {k}"), Series::new(vec!["level".to_owned()], wave)?))
//! };
//! let clips: Result<Vec<_>, retrograd::data::DataError> = (0..80).map(clip).collect();
//! let labels = (0..80).map(|k| ["rises", "falls"][k % 2].to_owned()).collect();
//! let clips = Panel::new("clip", clips?)?.with_constant("kind", labels)?;
//!
//! let parts = GroupSplit::new(0.25).seed(1).split(&clips, "kind")?;
//! let setup = Setup::fit(&clips, "kind", &parts.training)?;
//! let gru = zoo::find("gru").unwrap();
//! let cell = Classifier::of(&setup).cell("gru", |c, x| gru.layer(c, "", x, 16))?;
//! let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).seed(1).build()?;
//! let (training, held_out) = (
//!     Examples::new(&setup, &clips, &parts.training)?,
//!     Examples::new(&setup, &clips, &parts.validation)?,
//! );
//! Fit::new(60)
//!     .validate(|trainer| held_out.error(trainer))
//!     .stop_early(15)
//!     .run(&mut trainer, |epoch| training.epoch(8, 1, epoch))?;
//!
//! let model = Model::new(&trainer.checkpoint(), &setup)?;
//! let report = model.report(&clips, &parts.validation)?;
//! assert!(report.accuracy > 0.9 && report.macro_f1 > 0.9, "{report:?}");
//! let told = &model.predict(&clips, &[0])?[0];
//! assert_eq!(setup.labels()[told.label], "rises");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "text"))]
//! # fn main() {}
//! ```

mod examples;
mod head;
mod model;
mod report;
mod setup;
mod split;

pub use examples::{Epoch, Examples};
pub use head::{Classifier, Pool};
pub use model::{Model, Prediction};
pub use report::{ClassScore, Report};
pub use setup::{Ports, Setup};
pub use split::{GroupSplit, Parts};

use crate::data::DataError;
use crate::error::Error;

/// Why labels are not learned or not told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassifyError {
    /// The table, or a request for it.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The cell, or a run of it.
    #[error(transparent)]
    Cell(#[from] Error),
    /// What was asked for does not go together.
    #[error("{0}")]
    Request(String),
    /// A mistake in one of the sequences.
    #[error("the sequence {place}: {cause}")]
    Sequence {
        /// Its name, and where it stands.
        place: String,
        /// The mistake.
        #[source]
        cause: Box<DataError>,
    },
    /// A file of parameters without what it takes to tell labels.
    #[error("{}: it has a cell and its parameters, and no table of labels; it was not saved by a training on labelled sequences", path.display())]
    NoLabels {
        /// The file.
        path: std::path::PathBuf,
    },
}
