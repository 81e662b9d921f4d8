//! [`Segments`]: what a training on a pair of recordings runs on.

use std::ops::Range;

use retrograd_tape::Extent;

use super::pair::Tally;
use super::{AudioError, Clip, Errors, Pair, Setup};
use crate::batch::Batch;
use crate::error::Error;
use crate::fit::Chunk;
use crate::random::{RngExt, stream};
use crate::trainer::Trainer;

/// How a part of a pair is cut for training; all are numbers of samples but `rows`.
///
/// ```
/// use retrograd::audio::Cut;
///
/// let cut = Cut::of(44_100, 10 * 44_100);
/// assert_eq!(cut, Cut { segment: 20_480, burn_in: 1000, chunk: 2048, rows: 21 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The length of a segment, within which states are carried from chunk to chunk.
    pub segment: usize,
    /// Samples before each segment that run forward only.
    pub burn_in: usize,
    /// Samples through which gradients pass, those of one step of training.
    pub chunk: usize,
    /// Segments side by side.
    pub rows: usize,
}

impl Cut {
    /// That of Wright et al. for a part of so many frames at this rate: segments of half a second, 1000 samples of burn-in, chunks of 2048,
    /// 32 rows; less of each in a short recording.
    pub fn of(rate: u32, frames: usize) -> Cut {
        let burn_in = 1000.min(frames / 16);
        // At least eight segments, if that is possible.
        let longest = (rate as usize / 2).min(frames.saturating_sub(burn_in) / 8);
        let chunk = 2048.min(longest).max(1);
        let segment = (longest / chunk * chunk).max(1);
        let rows = 32.min(frames.saturating_sub(burn_in) / segment).max(1);
        Cut {
            segment,
            burn_in,
            chunk,
            rows,
        }
    }
}

/// A part of a pair cut into segments, which are learned side by side, chunk after chunk, with the states carried from each chunk to the
/// next (truncated back-propagation through time). Each segment begins after a burn-in, samples that bring the states up to date. An
/// epoch has every segment once, but for those that fill no row, in an order and from an offset of its own.
///
/// ```
/// use retrograd::audio::{Clip, Cut, Effect, Loss, Pair, Segments};
///
/// let clip = || Clip::new(8000, 1, (0..1000).map(|t| (t as f32).sin()).collect());
/// let pair = Pair::new(clip()?, clip()?)?;
/// let setup = Effect::of(&pair, 0..900, Loss::Squared).setup();
/// let cut = Cut { segment: 200, burn_in: 50, chunk: 100, rows: 2 };
/// let segments = Segments::new(&pair, 0..900, cut, &setup)?;
/// assert_eq!(segments.steps_per_epoch(), 4, "2 times 2 segments of 2 chunks");
/// assert_eq!(segments.epoch(1, 0).count(), 4);
/// # Ok::<(), retrograd::audio::AudioError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Segments<'p> {
    pair: &'p Pair,
    part: Range<usize>,
    cut: Cut,
    setup: Setup,
}

impl<'p> Segments<'p> {
    /// The segments of a part of a pair.
    ///
    /// # Errors
    /// [`AudioError::Request`] for a part that is no range of the pair's frames, a segment that is no whole number of chunks, a number of
    /// 0 (but for the burn-in), or more rows than there are segments.
    pub fn new(
        pair: &'p Pair,
        part: Range<usize>,
        cut: Cut,
        setup: &Setup,
    ) -> Result<Segments<'p>, AudioError> {
        let refuse = |why: String| Err(AudioError::Request(why));
        if part.end > pair.frames() || part.is_empty() {
            let all = pair.frames();
            return refuse(format!("frames {part:?} are no part of {all}"));
        }
        if cut.chunk == 0
            || cut.rows == 0
            || cut.segment == 0
            || !cut.segment.is_multiple_of(cut.chunk)
        {
            return refuse(format!(
                "segments of {} samples are no whole number of chunks of {}, {} of them side by side",
                cut.segment, cut.chunk, cut.rows
            ));
        }
        let segments = part.len().saturating_sub(cut.burn_in) / cut.segment;
        if segments < cut.rows {
            return refuse(format!(
                "{} samples to train on hold {segments} segments of {} behind a burn-in of {}; {} are needed: make segments shorter, \
                 or fewer at a time",
                part.len(),
                cut.segment,
                cut.burn_in,
                cut.rows
            ));
        }
        Ok(Segments {
            pair,
            part,
            cut,
            setup: setup.clone(),
        })
    }

    /// The segments of an epoch, in whole batches.
    fn count(&self) -> usize {
        let all = (self.part.len() - self.cut.burn_in) / self.cut.segment;
        all / self.cut.rows * self.cut.rows
    }

    /// How it is cut.
    #[must_use]
    pub fn cut(&self) -> Cut {
        self.cut
    }

    /// The steps of training of an epoch.
    #[must_use]
    pub fn steps_per_epoch(&self) -> usize {
        self.count() / self.cut.rows * (self.cut.segment / self.cut.chunk)
    }

    /// The chunks of an epoch, the first being 0: the same for the same seed whenever they are asked for.
    pub fn epoch(&self, seed: u64, epoch: u64) -> Epoch<'_, 'p> {
        let Cut {
            segment, burn_in, ..
        } = self.cut;
        let mut rng = stream(seed, "segments", &epoch.to_string());
        let all = (self.part.len() - burn_in) / segment;
        let spare = self.part.len() - burn_in - all * segment;
        let first = self.part.start + burn_in + rng.random_range(0..=spare);
        let mut starts: Vec<usize> = (0..all).map(|k| first + k * segment).collect();
        for k in (1..all).rev() {
            starts.swap(k, rng.random_range(0..=k));
        }
        starts.truncate(self.count());
        Epoch {
            segments: self,
            starts,
            at: 0,
        }
    }

    /// The errors of what a trainer's cell says of a part of the pair, such as the one that is held out. It is run in up to 32 stretches
    /// side by side, each behind a burn-in.
    ///
    /// # Errors
    /// Those of [`Trainer::carry`] and [`Trainer::predict_carrying`]; [`Error::Setting`] for a part that the pair has not.
    pub fn errors(&self, trainer: &mut Trainer, part: Range<usize>) -> Result<Errors, Error> {
        /// Samples of a stretch, at least, and stretches, at most.
        const LEAST: usize = 4096;
        const ROWS: usize = 32;
        if part.end > self.pair.frames() || part.is_empty() {
            return Err(Error::Setting {
                what: "the frames to measure errors of",
                found: format!("{part:?}"),
                expected: format!("some of 0..{}", self.pair.frames()),
            });
        }
        let rows = (part.len() / LEAST).clamp(1, ROWS);
        let each = part.len() / rows;
        let starts: Vec<usize> = (0..rows).map(|row| part.start + row * each).collect();
        let warm = self.cut.burn_in.min(part.start);
        let mut carry = trainer.carry(rows)?;
        if warm > 0 {
            let before: Vec<usize> = starts.iter().map(|s| s - warm).collect();
            trainer.predict_carrying(&self.dry(&before, warm), &mut carry)?;
        }
        let n = self.setup.wet;
        let mut tallies: Vec<Tally> = starts.iter().map(|_| Tally::new(n)).collect();
        for done in (0..each).step_by(self.cut.chunk) {
            let steps = self.cut.chunk.min(each - done);
            let now: Vec<usize> = starts.iter().map(|s| s + done).collect();
            let run = trainer.predict_carrying(&self.dry(&now, steps), &mut carry)?;
            let y = run.output(&self.setup.output).unwrap_or_default();
            for (k, y) in y.chunks_exact(n).enumerate() {
                let (t, row) = (k / rows, k % rows);
                tallies[row].add(y, self.pair.wet().frame(now[row] + t));
            }
        }
        Ok(Tally::sum(&tallies).errors())
    }

    /// The dry signal from these frames on.
    fn dry(&self, starts: &[usize], steps: usize) -> Batch {
        let batch = Batch::new(Extent::steps(steps).rows(starts.len()));
        batch.with(&self.setup.input, gather(self.pair.dry(), starts, steps))
    }

    /// Both signals from these frames on.
    fn both(&self, starts: &[usize], steps: usize) -> Batch {
        let wet = gather(self.pair.wet(), starts, steps);
        self.dry(starts, steps).with(&self.setup.target, wet)
    }
}

/// Samples from these frames on, `[steps, starts, channels]`.
fn gather(clip: &Clip, starts: &[usize], steps: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(steps * starts.len() * clip.channels());
    for t in 0..steps {
        for start in starts {
            out.extend_from_slice(clip.frame(start + t));
        }
    }
    out
}

/// The chunks of an epoch; see [`Segments::epoch`].
#[derive(Clone, Debug)]
pub struct Epoch<'s, 'p> {
    segments: &'s Segments<'p>,
    starts: Vec<usize>,
    at: usize,
}

impl Iterator for Epoch<'_, '_> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let cut = self.segments.cut;
        let chunks = cut.segment / cut.chunk;
        let (group, chunk) = (self.at / chunks, self.at % chunks);
        let starts = self.starts.get(group * cut.rows..(group + 1) * cut.rows)?;
        self.at += 1;
        if chunk == 0 {
            let before: Vec<usize> = starts.iter().map(|s| s - cut.burn_in).collect();
            let batch = self.segments.both(&before, cut.burn_in + cut.chunk);
            return Some(Chunk::first(batch, cut.burn_in));
        }
        let now: Vec<usize> = starts.iter().map(|s| s + chunk * cut.chunk).collect();
        Some(Chunk::following(self.segments.both(&now, cut.chunk)))
    }
}
