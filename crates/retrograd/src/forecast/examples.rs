//! [`Examples`]: the windows of several series, drawn without copying them.

use std::ops::Range;

use retrograd_tape::{Domain, Extent};

use super::setup::Scale;
use super::view::View;
use super::{ForecastError, Head, Scaling, Setup};
use crate::batch::Batch;
use crate::cell::Cell;
use crate::data::{DataError, Panel, Windows, at_least_one, starts};
use crate::random::{ChaCha8Rng, SeedableRng};
use crate::trainer::Trainer;

/// The training windows of a panel: `steps` rows each, and the rows after them that are to be forecast. An epoch takes starts that are
/// `stride` rows apart, as [`Windows`](crate::data::Windows) does, over all series one after another.
///
/// ```
/// use retrograd::data::{Panel, Series};
/// use retrograd::forecast::{Columns, Examples, Setup};
///
/// let count: Vec<f64> = (0..40).map(f64::from).collect();
/// let panel = Panel::from(Series::new(vec!["count".to_owned()], count)?);
/// let columns = Columns::of(panel.names(), None, &[], &[])?;
/// let setup = Setup::fit(columns, &panel, &[0..30])?.steps(8).horizon(3);
/// let examples = Examples::new(&setup, &panel, &[0..30], false)?;
/// assert_eq!(examples.len(), 30 - 8 - 3 + 1);
/// let epoch = examples.batches(4, 2, 7, 0)?; // batches of 4, 2 rows apart, seed 7, epoch 0
/// assert_eq!(epoch.len(), 20 / 2 / 4 + 1);
/// # Ok::<(), retrograd::forecast::ForecastError>(())
/// ```
pub struct Examples<'a> {
    setup: &'a Setup,
    ids: &'a [String],
    views: Vec<View<'a>>,
    /// Of each series, unless every window has its own.
    scales: Vec<Option<Scale>>,
    /// Of each series that has any: its place, the first start, and how many there are.
    parts: Vec<(usize, usize, usize)>,
    /// Whether a window is forecast from once, at its end.
    once: bool,
}

impl<'a> Examples<'a> {
    /// The windows inside a range of rows for each series. A model that forecasts `once` has one forecast for each window, another one
    /// at each of its rows. Series that are too short have none, see [`left_out`](Self::left_out).
    ///
    /// # Errors
    /// [`ForecastError::Data`] if no series has a window, or for one without the setup's columns.
    pub fn new(
        setup: &'a Setup,
        panel: &'a Panel,
        ranges: &[Range<usize>],
        once: bool,
    ) -> Result<Examples<'a>, ForecastError> {
        let needed = setup.steps + setup.horizon;
        let (mut views, mut parts, mut longest) = (Vec::new(), Vec::new(), 0);
        let mut scales = Vec::new();
        for (k, (series, range)) in panel.series().iter().zip(ranges).enumerate() {
            if !range.is_empty() {
                series.check_range("part to cut windows from", range)?;
            }
            let view = setup.view(series, None)?;
            scales.push(match setup.scaling == Scaling::Window || range.is_empty() {
                true => None,
                false => Some(setup.scale(&panel.ids()[k], &view, range.end)?),
            });
            views.push(view);
            longest = longest.max(range.len());
            if let Some(more) = range.len().checked_sub(needed) {
                parts.push((k, range.start, more + 1));
            }
        }
        if parts.is_empty() {
            let rows = match setup.horizon {
                1 => "the row after it".to_owned(),
                n => format!("the {n} rows after it"),
            };
            return Err(ForecastError::from(DataError::TooShort {
                part: "part to cut windows from",
                rows: longest,
                what: format!("a window of {} steps and {rows}", setup.steps),
                needed,
            }));
        }
        Ok(Examples {
            setup,
            ids: panel.ids(),
            views,
            scales,
            parts,
            once,
        })
    }

    /// The number of different windows. At least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is at least one window")]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|p| p.2).sum()
    }

    /// The names of the series that are too short to have a window.
    pub fn left_out(&self) -> impl Iterator<Item = &str> {
        let has = |k: &usize| self.parts.iter().any(|p| p.0 == *k);
        let without = (0..self.ids.len()).filter(move |k| !has(k));
        without.map(|k| self.ids[k].as_str())
    }

    /// The batches of an epoch.
    ///
    /// # Errors
    /// [`DataError::BadSetting`] if `batch` or `stride` is 0, or there are fewer windows than `batch`.
    pub fn batches_per_epoch(&self, batch: usize, stride: usize) -> Result<usize, ForecastError> {
        at_least_one("the stride between windows", stride)?;
        at_least_one("the batch size", batch)?;
        if batch > self.len() {
            let all = self.len();
            return Err(ForecastError::from(DataError::BadSetting {
                what: "the batch size",
                found: batch,
                expected: format!("at most the number of different windows, which is {all}"),
            }));
        }
        Ok(self.len().div_ceil(stride).div_ceil(batch))
    }

    /// The batches of an epoch, the first being 0: the same for the same seed whenever they are asked for.
    ///
    /// # Errors
    /// As [`batches_per_epoch`](Self::batches_per_epoch).
    pub fn batches(
        &self,
        batch: usize,
        stride: usize,
        seed: u64,
        epoch: u64,
    ) -> Result<Epoch<'_, 'a>, ForecastError> {
        let mut order = self.order(batch, stride, seed)?;
        order.skip(epoch);
        Ok(order.next_epoch())
    }

    /// All epochs, one after another: asking for the next is cheaper than for one by its number.
    ///
    /// # Errors
    /// As [`batches_per_epoch`](Self::batches_per_epoch).
    pub fn order(
        &self,
        batch: usize,
        stride: usize,
        seed: u64,
    ) -> Result<Order<'_, 'a>, ForecastError> {
        let wanted = self.batches_per_epoch(batch, stride)? * batch;
        let each = self.setup.inputs() + self.setup.outputs();
        let sizes = [self.setup.steps, batch, each, size_of::<f32>()];
        let bytes = (sizes.into_iter()).fold(1_u64, |product, n| product.saturating_mul(n as u64));
        if bytes > Windows::LIMIT {
            return Err(ForecastError::from(DataError::NoMemory {
                what: format!(
                    "batches of {batch} windows of {} steps of {} numbers",
                    self.setup.steps,
                    self.setup.inputs()
                ),
                bytes,
                limit: Some(Windows::LIMIT),
            }));
        }
        Ok(Order {
            wanted,
            rng: ChaCha8Rng::seed_from_u64(seed),
            seed,
            epoch: 0,
            examples: self,
            batch,
            stride,
        })
    }

    /// The batch of the windows of these numbers, from 0 to [`len`](Self::len), series by series.
    ///
    /// # Errors
    /// [`DataError::BadSetting`] for a number that is no window.
    pub fn batch(&self, windows: &[usize]) -> Result<Batch, ForecastError> {
        match windows.iter().find(|w| **w >= self.len()) {
            Some(&found) => Err(ForecastError::from(DataError::BadSetting {
                what: "the number of a window",
                found,
                expected: format!("less than {}", self.len()),
            })),
            None => self.gather(windows),
        }
    }

    /// The series and the first row of a window.
    fn place(&self, mut window: usize) -> (usize, usize) {
        for &(series, start, count) in &self.parts {
            match window.checked_sub(count) {
                None => return (series, start + window),
                Some(rest) => window = rest,
            }
        }
        unreachable!("it is one of the windows")
    }

    /// The mean error, in standardised units, of what a trainer forecasts at the end of at most so many windows, spread evenly: a
    /// validation for [`Fit`](crate::fit::Fit) where the windows end in rows that are not trained on. It is the squared error; of a cell
    /// that forecasts a distribution the negative logarithm of its density (of Student's without a constant), or the pinball loss of
    /// its quantiles.
    ///
    /// # Errors
    /// Those of [`Trainer::predict`], as [`ForecastError::Cell`].
    pub fn error(&self, trainer: &mut Trainer, most: usize) -> Result<f64, ForecastError> {
        /// Windows of a batch.
        const BATCH: usize = 64;
        let count = self.len().min(most.max(1));
        let windows: Vec<usize> = (0..count).map(|k| k * self.len() / count).collect();
        let (mut errors, mut weights) = (0.0, 0.0);
        for windows in windows.chunks(BATCH) {
            let Gathered {
                batch,
                target,
                present,
            } = self.gathered(windows)?;
            let last = windows.len() * self.setup.outputs();
            let run = trainer.predict(&batch)?;
            let head = &self.setup.head;
            let ends = |name: &str, n: usize| {
                let all = run.output(name).unwrap_or_default();
                &all[all.len().saturating_sub(n)..]
            };
            let y = ends(&self.setup.ports.output, last);
            let levels = match head {
                Head::Quantiles(levels) => levels.len(),
                Head::Point | Head::Gaussian | Head::Student(_) => 1,
            };
            let spread = head.output().map_or(&[][..], |o| ends(o, levels * last));
            for k in 0..last {
                let of_last = |all: &[f32]| f64::from(all[all.len() - last + k]);
                let w = match present.is_empty() {
                    true => 1.0,
                    false => of_last(&present),
                };
                if w > 0.0 {
                    let each = self.setup.outputs();
                    errors += w * head.score((y, spread), (k, each), of_last(&target));
                    weights += w;
                }
            }
        }
        Ok(errors / weights)
    }

    fn gather(&self, windows: &[usize]) -> Result<Batch, ForecastError> {
        let Gathered {
            batch,
            target,
            present,
        } = self.gathered(windows)?;
        let batch = batch.with(&self.setup.ports.target, target);
        Ok(match self.setup.needs_present() {
            true => batch.with("present", present),
            false => batch,
        })
    }

    fn gathered(&self, windows: &[usize]) -> Result<Gathered, ForecastError> {
        let (setup, steps) = (self.setup, self.setup.steps);
        let places: Vec<(usize, usize)> = windows.iter().map(|w| self.place(*w)).collect();
        let mut scales = Vec::with_capacity(places.len());
        for &(k, start) in &places {
            scales.push(match &self.scales[k] {
                Some(scale) => scale.clone(),
                None => setup.scale(&self.ids[k], &self.views[k], start + steps)?,
            });
        }
        let rows = places.len();
        let mut input = Vec::with_capacity(steps * rows * setup.inputs());
        let each = if self.once { 1 } else { steps };
        let mut target = Vec::with_capacity(each * rows * setup.outputs());
        let mut present = Vec::new();
        for t in 0..steps {
            for (&(k, start), scale) in places.iter().zip(&scales) {
                let (view, row) = (&self.views[k], start + t);
                setup.read(view, scale, (row, usize::MAX), &mut input);
                if self.once && t + 1 < steps {
                    continue;
                }
                let counts = setup.scaling != Scaling::Window || t + 1 == steps;
                for ahead in 1..=setup.horizon {
                    for column in 0..setup.columns.targets.len() {
                        let at = (row + 1, ahead - 1);
                        target.push(scale.forwards(view, column, at) as f32);
                        if setup.needs_present() {
                            let there = counts && !view.is_missing(row + ahead, column);
                            present.push(f32::from(there));
                        }
                    }
                }
            }
        }
        let batch = Batch::new(Extent::steps(steps).rows(rows));
        Ok(Gathered {
            batch: batch.with(&setup.ports.input, input),
            target,
            present,
        })
    }
}

/// The arrays of a batch.
struct Gathered {
    batch: Batch,
    target: Vec<f32>,
    present: Vec<f32>,
}

impl std::fmt::Debug for Examples<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Examples")
            .field("windows", &self.len())
            .field("series", &self.views.len())
            .finish_non_exhaustive()
    }
}

/// The epochs of [`Examples`], one after another; see [`Examples::order`].
#[derive(Debug)]
pub struct Order<'e, 'a> {
    examples: &'e Examples<'a>,
    batch: usize,
    stride: usize,
    wanted: usize,
    seed: u64,
    rng: ChaCha8Rng,
    epoch: u64,
}

impl<'e, 'a> Order<'e, 'a> {
    /// The next epoch.
    pub fn next_epoch(&mut self) -> Epoch<'e, 'a> {
        let windows = self.starts();
        Epoch {
            examples: self.examples,
            batch: self.batch,
            windows,
            at: 0,
        }
    }

    /// An epoch by its number, whether it is the next or not.
    pub fn epoch(&mut self, epoch: u64) -> Epoch<'e, 'a> {
        if epoch < self.epoch {
            self.rng = ChaCha8Rng::seed_from_u64(self.seed);
            self.epoch = 0;
        }
        self.skip(epoch - self.epoch);
        self.next_epoch()
    }

    fn skip(&mut self, epochs: u64) {
        (0..epochs).for_each(|_| drop(self.starts()));
    }

    fn starts(&mut self) -> Vec<usize> {
        self.epoch += 1;
        let all = 0..self.examples.len();
        starts(all, self.wanted, self.batch, self.stride, &mut self.rng)
    }
}

/// The batches of an epoch; see [`Examples::batches`].
#[derive(Debug)]
pub struct Epoch<'e, 'a> {
    examples: &'e Examples<'a>,
    batch: usize,
    windows: Vec<usize>,
    at: usize,
}

impl Iterator for Epoch<'_, '_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let windows = self.windows.get(self.at..self.at + self.batch)?;
        self.at += self.batch;
        let batch = self.examples.gather(windows);
        Some(batch.expect("the scale of a window is of rows that there are"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.windows.len() - self.at) / self.batch;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Epoch<'_, '_> {}

/// Whether a cell's forecast is one of each window, not one of each row.
pub(super) fn forecasts_once(cell: &Cell, output: &str) -> bool {
    let outputs = cell.tape().outputs().iter();
    let found = { outputs }.find(|o| *o.name == *output);
    found.is_some_and(|o| cell.tape().node(o.value).ty.domain == Domain::Row)
}
