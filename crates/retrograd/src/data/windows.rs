//! [`Windows`]: training samples for predicting the next row, cut from one long series.
//!
//! A window of T steps that starts at row s reads `input[t]` = row s+t and is to predict `target[t]` = row s+t+1, so it
//! spans T+1 rows. An epoch takes starts a `stride` apart from an offset that is drawn anew each time: the windows of one
//! epoch overlap little (T ÷ stride times), yet over the epochs every start is used. All batches have exactly B windows, so one compiled
//! shape serves; the last batch is topped up with further random windows instead of dropping the remainder. On the
//! 1,169 training rows of the Seattle data, T = 64, B = 32 and a stride of 8 give 139 windows, 5 batches an epoch.

use std::marker::PhantomData;
use std::ops::Range;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::{DataError, Series};

/// The number types that batches come in.
pub trait Element: Copy + Default {
    /// The nearest value of this type.
    fn from_f64(value: f64) -> Self;
}

impl Element for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }
}

impl Element for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
}

/// Windows of `steps` + 1 rows inside one range of a (standardised) series.
#[derive(Debug, Clone)]
pub struct Windows<'a> {
    series: &'a Series,
    range: Range<usize>,
    steps: usize,
}

/// B windows of T steps, time-major: value c of window b at step t is at `(t * B + b) * n + c`.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<F> {
    /// T, the steps of a window.
    pub steps: usize,
    /// B, the windows.
    pub batch: usize,
    /// n, the columns.
    pub columns: usize,
    /// The rows that the model reads, `[T, B, n]`.
    pub input: Vec<F>,
    /// The rows that it is to predict: each one row after its input, `[T, B, n]`.
    pub target: Vec<F>,
    /// The row of the series at which each window starts, `[B]`.
    pub starts: Vec<usize>,
}

/// The batches of one epoch; see [`Windows::batches`].
#[derive(Debug, Clone)]
pub struct Epoch<'a, F> {
    windows: Windows<'a>,
    batch: usize,
    starts: Vec<usize>,
    at: usize,
    of: PhantomData<F>,
}

impl<'a> Windows<'a> {
    /// All windows of `steps` steps whose inputs and targets lie in `range`.
    ///
    /// # Errors
    /// [`DataError::BadSetting`] if `steps` is 0, [`DataError::BadRange`], and [`DataError::TooShort`] if the range has
    /// not `steps` + 1 rows.
    pub fn new(series: &'a Series, range: Range<usize>, steps: usize) -> Result<Self, DataError> {
        at_least_one("the number of steps of a window", steps)?;
        series.check_range("part to cut windows from", &range)?;
        if range.len() <= steps {
            return Err(DataError::TooShort {
                part: "part to cut windows from",
                rows: range.len(),
                what: format!("a window of {steps} steps and the row after it"),
                needed: steps + 1,
            });
        }
        Ok(Self {
            series,
            range,
            steps,
        })
    }

    /// The number of different windows: rows of the range − T. At least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is at least one window")]
    pub fn len(&self) -> usize {
        self.range.len() - self.steps
    }

    /// T, the steps of a window.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Batches an epoch: the same for every epoch, whatever its offset.
    ///
    /// # Errors
    /// As [`Windows::batches`].
    pub fn batches_per_epoch(&self, batch: usize, stride: usize) -> Result<usize, DataError> {
        at_least_one("the stride between windows", stride)?;
        at_least_one("the batch size", batch)?;
        if batch > self.len() {
            return Err(DataError::BadSetting {
                what: "the batch size",
                found: batch,
                expected: format!(
                    "at most the number of different windows, which is {}",
                    self.len()
                ),
            });
        }
        Ok(self.len().div_ceil(stride).div_ceil(batch))
    }

    /// One epoch: batches of exactly `batch` different windows in a random order. Every start `offset + k · stride`
    /// is seen at least once, the offset being drawn from 0..stride; what the last batch lacks is drawn from all
    /// starts. A stride of 1 sees every window of the range.
    ///
    /// # Errors
    /// [`DataError::BadSetting`] if `batch` or `stride` is 0 or there are fewer than `batch` different windows.
    pub fn batches<F: Element>(
        &self,
        batch: usize,
        stride: usize,
        rng: &mut impl Rng,
    ) -> Result<Epoch<'a, F>, DataError> {
        let starts = self.epoch_starts(batch, stride, rng)?;
        Ok(Epoch {
            windows: self.clone(),
            batch,
            starts,
            at: 0,
            of: PhantomData,
        })
    }

    /// The starts of one epoch, `[batches, B]`; see [`Windows::batches`].
    fn epoch_starts(
        &self,
        batch: usize,
        stride: usize,
        rng: &mut impl Rng,
    ) -> Result<Vec<usize>, DataError> {
        let wanted = self.batches_per_epoch(batch, stride)? * batch;
        let last = self.range.start + self.len();
        let offset = rng.random_range(0..stride.min(self.len()));
        let mut starts: Vec<usize> = (self.range.start + offset..last)
            .step_by(stride)
            .take(wanted)
            .collect();
        starts.shuffle(rng);
        while starts.len() < wanted {
            let fresh = rng.random_range(self.range.start..last);
            let open_batch = starts.len() / batch * batch;
            if !starts[open_batch..].contains(&fresh) {
                starts.push(fresh);
            }
        }
        Ok(starts)
    }

    /// The batch of the windows that start at the given rows of the series.
    ///
    /// # Errors
    /// [`DataError::BadRange`] if a window would reach beyond the range.
    pub fn batch<F: Element>(&self, starts: &[usize]) -> Result<Batch<F>, DataError> {
        let last = self.range.start + self.len();
        match starts
            .iter()
            .find(|&start| !(self.range.start..last).contains(start))
        {
            Some(&start) => Err(DataError::BadRange {
                part: "window",
                start,
                end: start + self.steps + 1,
                rows: self.range.end,
            }),
            None => Ok(self.gather(starts)),
        }
    }

    fn gather<F: Element>(&self, starts: &[usize]) -> Batch<F> {
        let columns = self.series.columns();
        let mut input = Vec::with_capacity(self.steps * starts.len() * columns);
        let mut target = Vec::with_capacity(input.capacity());
        for t in 0..self.steps {
            for &start in starts {
                input.extend(self.series.row(start + t).iter().map(|&x| F::from_f64(x)));
                target.extend(
                    self.series
                        .row(start + t + 1)
                        .iter()
                        .map(|&x| F::from_f64(x)),
                );
            }
        }
        Batch {
            steps: self.steps,
            batch: starts.len(),
            columns,
            input,
            target,
            starts: starts.to_vec(),
        }
    }
}

impl<F: Element> Iterator for Epoch<'_, F> {
    type Item = Batch<F>;

    fn next(&mut self) -> Option<Batch<F>> {
        let starts = self.starts.get(self.at..self.at + self.batch)?;
        self.at += self.batch;
        Some(self.windows.gather(starts))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.starts.len() - self.at) / self.batch;
        (left, Some(left))
    }
}

impl<F: Element> ExactSizeIterator for Epoch<'_, F> {}

fn at_least_one(what: &'static str, found: usize) -> Result<(), DataError> {
    match found {
        0 => Err(DataError::BadSetting {
            what,
            found,
            expected: "at least 1".to_owned(),
        }),
        _ => Ok(()),
    }
}
