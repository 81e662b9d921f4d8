//! [`Examples`]: batches of sequences, drawn without copying them.

use rand::seq::SliceRandom;

use super::{ClassifyError, Setup};
use crate::batch::Batch;
use crate::data::{Panel, at_least_one};
use crate::error::Error;
use crate::random::stream;
use crate::trainer::Trainer;

/// Labelled sequences of a panel, for training or validation. Each batch is as long as its longest sequence; rows have their own
/// lengths, and what lies beyond a row's end is neither read nor computed.
///
/// ```
/// use retrograd::classify::{Examples, Setup};
/// use retrograd::data::{Panel, Series};
///
/// let series = |rows: &[f64]| Series::new(vec!["level".to_owned()], rows.to_vec());
/// let all = vec![("a".to_owned(), series(&[0.0, 2.0])?), ("b".to_owned(), series(&[1.0])?), ("c".to_owned(), series(&[1.0])?)];
/// let clips = Panel::new("clip", all)?.with_constant("word", ["yes", "no", "no"].map(str::to_owned).to_vec())?;
/// let setup = Setup::fit(&clips, "word", &[0, 1, 2])?;
/// let examples = Examples::new(&setup, &clips, &[0, 1, 2])?;
/// let batch = examples.batch(&[0, 1])?;
/// assert_eq!((batch.extent.steps, batch.lengths()), (2, Some(&[2, 1][..])));
/// assert_eq!(batch.array("label"), Some(&[1.0, 0.0][..]));
/// assert_eq!(examples.epoch(2, 7, 0).len(), 2); // batches of 2, seed 7, epoch 0
/// # Ok::<(), retrograd::classify::ClassifyError>(())
/// ```
#[derive(Debug)]
pub struct Examples<'a> {
    setup: &'a Setup,
    panel: &'a Panel,
    places: Vec<usize>,
    sequences: Vec<usize>,
    truth: Vec<usize>,
}

impl<'a> Examples<'a> {
    /// These sequences of a panel.
    ///
    /// # Errors
    /// Those of [`Setup::truth`]; [`ClassifyError::Data`] if there is none, or for a panel without the setup's columns;
    /// [`ClassifyError::Sequence`] for a number far beyond what was trained on.
    pub fn new(
        setup: &'a Setup,
        panel: &'a Panel,
        sequences: &[usize],
    ) -> Result<Examples<'a>, ClassifyError> {
        at_least_one("the number of sequences", sequences.len())?;
        let truth = setup.truth(panel, sequences)?;
        let places = setup.places(panel)?;
        setup.check_scale(panel, &places, sequences)?;
        Ok(Examples {
            setup,
            panel,
            places,
            sequences: sequences.to_vec(),
            truth,
        })
    }

    /// How many there are. At least 1.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "there is at least one sequence"
    )]
    pub fn len(&self) -> usize {
        self.sequences.len()
    }

    /// The numbers of their labels.
    #[must_use]
    pub fn truth(&self) -> &[usize] {
        &self.truth
    }

    /// The batches of an epoch: of `batch` sequences each, at least 1, or if that does not come out even, of one fewer.
    #[must_use]
    pub fn batches_per_epoch(&self, batch: usize) -> usize {
        self.len().div_ceil(batch.max(1))
    }

    /// The batches of an epoch, the first being 0, in an order of its own: the same for the same seed whenever they are asked for.
    #[must_use]
    pub fn epoch(&self, batch: usize, seed: u64, epoch: u64) -> Epoch<'_, 'a> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.shuffle(&mut stream(seed, "sequences", &epoch.to_string()));
        Epoch {
            examples: self,
            batches: self.batches_per_epoch(batch),
            order,
            at: 0,
        }
    }

    /// The batch of the sequences of these numbers, from 0 to [`len`](Self::len).
    ///
    /// # Errors
    /// [`ClassifyError::Data`] for a number that is none, none at all, or a batch of more than a gibibyte.
    pub fn batch(&self, numbers: &[usize]) -> Result<Batch, ClassifyError> {
        at_least_one("the number of sequences of a batch", numbers.len())?;
        if let Some(&found) = numbers.iter().find(|k| **k >= self.len()) {
            return Err(ClassifyError::Data(crate::data::DataError::BadSetting {
                what: "the number of a sequence",
                found,
                expected: format!("less than {}", self.len()),
            }));
        }
        let sequences: Vec<usize> = numbers.iter().map(|&k| self.sequences[k]).collect();
        let batch = self.setup.gather(self.panel, &self.places, &sequences)?;
        let labels = numbers.iter().map(|&k| self.truth[k] as f32).collect();
        let batch = batch.with(&self.setup.ports.target, labels);
        Ok(match self.setup.weights() {
            Some(weights) => {
                let weights = numbers.iter().map(|&k| weights[self.truth[k]] as f32);
                batch.with(&self.setup.ports.weight, weights.collect())
            }
            None => batch,
        })
    }

    /// Refuses batches of so many sequences if one of the longest of them would not fit into a gibibyte.
    ///
    /// # Errors
    /// [`ClassifyError::Data`].
    pub fn check_batch(&self, batch: usize) -> Result<(), ClassifyError> {
        at_least_one("the batch size", batch)?;
        let length = |&k: &usize| self.panel.series()[k].len();
        let longest = self.sequences.iter().map(length).max().unwrap_or(0);
        self.setup.check_memory(longest, batch.min(self.len()))
    }

    /// The mean cross entropy of what a trainer tells of all of them, in nats, by the labels' weights if they have any: a validation for
    /// [`Fit`](crate::fit::Fit).
    ///
    /// # Errors
    /// Those of [`Trainer::predict`], and [`Error::Setting`] for a batch that is too large.
    pub fn error(&self, trainer: &mut Trainer) -> Result<f64, Error> {
        let (mut sum, mut weights) = (0.0, 0.0);
        let classes = self.setup.labels().len();
        for numbers in by_length(self.panel, &self.sequences) {
            let batch = self.batch(&numbers).map_err(|e| match e {
                ClassifyError::Cell(e) => e,
                other => Error::Setting {
                    what: "a batch to validate on",
                    found: other.to_string(),
                    expected: "fewer or shorter sequences".to_owned(),
                },
            })?;
            let run = trainer.predict(&batch)?;
            let logits = run.output(&self.setup.ports.output).unwrap_or_default();
            for (logits, k) in logits.chunks(classes).zip(numbers) {
                let truth = self.truth[k];
                let weight = self.setup.weights().map_or(1.0, |w| w[truth]);
                sum -= weight * log_softmax(logits)[truth];
                weights += weight;
            }
        }
        Ok(sum / weights)
    }
}

/// The places of sequences in batches of 64, those of like length together.
pub(super) fn by_length(panel: &Panel, sequences: &[usize]) -> Vec<Vec<usize>> {
    const BATCH: usize = 64;
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by_key(|&k| panel.series()[sequences[k]].len());
    order.chunks(BATCH).map(<[usize]>::to_vec).collect()
}

/// The logarithms of the probabilities.
pub(super) fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let logits = logits.iter().map(|&z| f64::from(z));
    let most = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.clone().map(|z| (z - most).exp()).sum();
    logits.map(|z| z - most - sum.ln()).collect()
}

/// The batches of an epoch; see [`Examples::epoch`].
#[derive(Debug)]
pub struct Epoch<'e, 'a> {
    examples: &'e Examples<'a>,
    order: Vec<usize>,
    batches: usize,
    at: usize,
}

impl Iterator for Epoch<'_, '_> {
    type Item = Batch;

    /// # Panics
    /// For a batch of more than a gibibyte; [`Examples::check_batch`] refuses it before.
    fn next(&mut self) -> Option<Batch> {
        if self.at == self.batches {
            return None;
        }
        // As even as they come.
        let end = |k: usize| (k as u128 * self.order.len() as u128 / self.batches as u128) as usize;
        let numbers = &self.order[end(self.at)..end(self.at + 1)];
        self.at += 1;
        let batch = self.examples.batch(numbers);
        Some(batch.expect("a batch that fits into memory"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batches - self.at;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Epoch<'_, '_> {}
