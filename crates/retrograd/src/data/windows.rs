//! [`Windows`]: training examples for predicting the next row, cut from one long series.
//!
//! A window of T steps that starts at row s has `input[t]` = row s+t and `target[t]` = row s+t+1, so it spans T+1 rows. An epoch
//! takes starts that are `stride` rows apart, from a random offset drawn for each epoch: the windows of one epoch overlap little (T
//! ÷ stride times), yet over many epochs every start is used. All batches have exactly B windows; the last batch is filled up with
//! further random windows instead of dropping the remainder. On the 1,169 training rows of the Seattle data, T = 64, B = 32 and a
//! stride of 8 give 139 windows, 5 batches per epoch.

use std::collections::HashSet;
use std::marker::PhantomData;
use std::ops::Range;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use retrograd_tape::Real;

use super::{DataError, Series};

/// Windows of `steps` + 1 rows inside one range of a (standardised) series.
///
/// ```
/// # #[cfg(feature = "csv")]
/// # fn main() -> Result<(), retrograd::data::DataError> {
/// use retrograd::data::{Series, Windows};
/// use retrograd::random::{ChaCha8Rng, SeedableRng};
///
/// let series = Series::sunspots();
/// let windows = Windows::new(&series, 0..247, 20)?;
/// assert_eq!(windows.len(), 227, "different windows");
/// let mut rng = ChaCha8Rng::seed_from_u64(1);
/// for batch in windows.batches::<f32>(16, 8, &mut rng)? {
///     assert_eq!(batch.input.len(), 20 * 16);
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "csv"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Windows<'a> {
    series: &'a Series,
    range: Range<usize>,
    steps: usize,
    limit: u64,
}

/// B windows of T steps, time-major: value c of window b at step t is at `(t * B + b) * n + c`.
///
/// ```
/// use retrograd::data::{WindowBatch, Series, Windows};
///
/// let series = Series::new(vec!["rain".to_owned()], vec![0.0, 1.0, 2.0, 3.0])?;
/// let batch: WindowBatch<f32> = Windows::new(&series, 0..4, 2)?.batch(&[0, 1])?;
/// assert_eq!(batch.input, [0.0, 1.0, 1.0, 2.0], "step 0 of both windows, then step 1");
/// assert_eq!(batch.target, [1.0, 2.0, 2.0, 3.0]);
/// # Ok::<(), retrograd::data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct WindowBatch<F> {
    /// T, the steps of a window.
    pub steps: usize,
    /// B, the windows.
    pub batch: usize,
    /// n, the columns.
    pub columns: usize,
    /// The input rows, `[T, B, n]`.
    pub input: Vec<F>,
    /// The rows to predict, each one row after its input, `[T, B, n]`.
    pub target: Vec<F>,
    /// The row of the series at which each window starts, `[B]`.
    pub starts: Vec<usize>,
}

/// The batches of one epoch; see [`Windows::batches`].
///
/// ```
/// use retrograd::data::{Epoch, Series, Windows};
/// use retrograd::random::stream;
///
/// let series = Series::new(vec!["rain".to_owned()], (0..40).map(f64::from).collect())?;
/// let windows = Windows::new(&series, 0..40, 8)?; // 32 of them
/// let mut epoch: Epoch<f32> = windows.batches(4, 2, &mut stream(1, "windows", "training"))?;
/// assert_eq!(epoch.len(), 32 / 2 / 4);
/// assert!(epoch.all(|batch| batch.input.len() == 8 * 4));
/// # Ok::<(), retrograd::data::DataError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Epoch<'a, F> {
    windows: Windows<'a>,
    batch: usize,
    starts: Vec<usize>,
    at: usize,
    of: PhantomData<F>,
}

impl<'a> Windows<'a> {
    /// The default limit on the bytes of a batch: 1 GiB.
    pub const LIMIT: u64 = 1 << 30;

    /// The windows of `steps` steps whose inputs and targets lie in `range`.
    ///
    /// # Errors
    /// [`DataError::BadSetting`] if `steps` is 0, [`DataError::BadRange`], and [`DataError::TooShort`] if the range has fewer than
    /// `steps` + 1 rows.
    pub fn new(series: &'a Series, range: Range<usize>, steps: usize) -> Result<Self, DataError> {
        at_least_one("the number of steps of a window", steps)?;
        series.check_range("part to cut windows from", &range)?;
        if range.len() <= steps {
            return Err(DataError::TooShort {
                part: "part to cut windows from",
                rows: range.len(),
                what: format!("a window of {steps} steps and the row after it"),
                needed: steps.saturating_add(1),
            });
        }
        Ok(Self {
            series,
            range,
            steps,
            limit: Self::LIMIT,
        })
    }

    /// The same windows with another limit on the bytes of a batch.
    pub fn limit(self, bytes: u64) -> Self {
        Self {
            limit: bytes,
            ..self
        }
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

    /// The number of batches per epoch, whatever its offset.
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

    /// One epoch: batches of exactly `batch` different windows in a random order. Every start `offset + k · stride` is used at
    /// least once, with the offset drawn from 0..stride; the missing windows of the last batch are drawn from all starts. A stride
    /// of 1 uses every window of the range.
    ///
    /// # Errors
    /// [`DataError::BadSetting`] if `batch` or `stride` is 0 or there are fewer than `batch` different windows;
    /// [`DataError::NoMemory`] if a batch needs more than [`Windows::limit`], or more than the system has.
    pub fn batches<F: Real>(
        &self,
        batch: usize,
        stride: usize,
        rng: &mut impl Rng,
    ) -> Result<Epoch<'a, F>, DataError> {
        let starts = self.epoch_starts(batch, stride, rng)?;
        // The memory of the first batch is asked for here, where there can be an error; the others are of its size.
        drop(self.arrays::<F>(batch)?);
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
        Ok(starts(self.range.start..last, wanted, batch, stride, rng))
    }

    /// The batch of windows that start at these rows of the series.
    ///
    /// # Errors
    /// [`DataError::BadRange`] if a window would reach beyond the range; [`DataError::NoMemory`] as for [`Windows::batches`].
    pub fn batch<F: Real>(&self, starts: &[usize]) -> Result<WindowBatch<F>, DataError> {
        let last = self.range.start + self.len();
        match starts
            .iter()
            .find(|&start| !(self.range.start..last).contains(start))
        {
            Some(&start) => Err(DataError::BadRange {
                part: "window",
                start,
                end: start.saturating_add(self.steps).saturating_add(1),
                rows: self.range.end,
            }),
            None => Ok(self.gather(starts, self.arrays(starts.len())?)),
        }
    }

    /// Room for the inputs and targets of `batch` windows.
    fn arrays<F>(&self, batch: usize) -> Result<[Vec<F>; 2], DataError> {
        let columns = self.series.columns();
        let count = [batch, columns].into_iter();
        let count = count.fold(self.steps as u64, |product, n| {
            product.saturating_mul(n as u64)
        });
        let bytes = count.saturating_mul(2 * size_of::<F>() as u64);
        let no_memory = |limit| DataError::NoMemory {
            what: format!(
                "batches of {batch} windows of {} steps of {columns} numbers",
                self.steps
            ),
            bytes,
            limit,
        };
        if bytes > self.limit {
            return Err(no_memory(Some(self.limit)));
        }
        let array = || {
            let mut values = Vec::new();
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            match values.try_reserve_exact(count) {
                Ok(()) => Ok(values),
                Err(_) => Err(no_memory(None)),
            }
        };
        Ok([array()?, array()?])
    }

    fn gather<F: Real>(
        &self,
        starts: &[usize],
        [mut input, mut target]: [Vec<F>; 2],
    ) -> WindowBatch<F> {
        let columns = self.series.columns();
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
        WindowBatch {
            steps: self.steps,
            batch: starts.len(),
            columns,
            input,
            target,
            starts: starts.to_vec(),
        }
    }
}

impl<F: Real> Iterator for Epoch<'_, F> {
    type Item = WindowBatch<F>;

    fn next(&mut self) -> Option<WindowBatch<F>> {
        let starts = self.starts.get(self.at..self.at + self.batch)?;
        self.at += self.batch;
        let count = self.windows.steps * self.batch * self.windows.series.columns();
        // That this fits into memory, `batches` has checked.
        let arrays = [(); 2].map(|()| Vec::with_capacity(count));
        Some(self.windows.gather(starts, arrays))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.starts.len() - self.at) / self.batch;
        (left, Some(left))
    }
}

impl<F: Real> ExactSizeIterator for Epoch<'_, F> {}

/// So many starts out of a range, in batches of different ones: those that are `stride` apart from a random offset, in a random order,
/// and further random ones.
pub(crate) fn starts(
    range: Range<usize>,
    wanted: usize,
    batch: usize,
    stride: usize,
    rng: &mut impl Rng,
) -> Vec<usize> {
    let offset = rng.random_range(0..stride.min(range.len()));
    let mut starts: Vec<usize> = (range.start + offset..range.end)
        .step_by(stride)
        .take(wanted)
        .collect();
    starts.shuffle(rng);
    let open_batch = starts.len() / batch * batch;
    let mut taken: HashSet<usize> = starts[open_batch..].iter().copied().collect();
    while starts.len() < wanted {
        let fresh = rng.random_range(range.clone());
        if taken.insert(fresh) {
            starts.push(fresh);
        }
    }
    starts
}

pub(crate) fn at_least_one(what: &'static str, found: usize) -> Result<(), DataError> {
    match found {
        0 => Err(DataError::BadSetting {
            what,
            found,
            expected: "at least 1".to_owned(),
        }),
        _ => Ok(()),
    }
}
