//! [`Pair`]: what went into a device, and what came out of it.

use std::ops::Range;
use std::path::Path;

use super::{AudioError, Clip};

/// A dry recording and a wet one of the same moments: what went into a device, and what came out of it. They have one sample rate; the
/// wet one has as many channels as the dry one, or any number if that is mono.
///
/// ```
/// use retrograd::audio::{Clip, Pair};
///
/// let dry = Clip::new(48_000, 1, vec![0.1, 0.2, -0.1, 0.3])?;
/// let wet = Clip::new(48_000, 1, vec![0.2, 0.4, -0.2, 0.6, 0.1])?; // it rings on
/// let pair = Pair::new(dry, wet)?;
/// assert_eq!(pair.frames(), 4);
/// assert_eq!(pair.notes().len(), 1, "the wet one was cut");
/// # Ok::<(), retrograd::audio::AudioError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Pair {
    dry: Clip,
    wet: Clip,
    notes: Vec<String>,
}

/// How far a recording is from what it should be; all ratios are 0 for the same and 1 for silence.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Errors {
    /// The error-to-signal ratio, Σ (t − y)² ÷ Σ t².
    pub esr: f64,
    /// The same after the filter 1 − 0.85 z⁻¹, which counts what is audible.
    pub emphasised: f64,
    /// The mean squared error.
    pub mse: f64,
}

/// Below this mean square, −120 dB, a recording is silence.
const SILENCE: f64 = 1e-12;
/// The coefficient of [`Errors::emphasised`].
const EMPHASIS: f64 = 0.85;

impl Pair {
    /// Two recordings of the same moments, which begin at the same one. The longer one is cut to the length of the other.
    ///
    /// # Errors
    /// [`AudioError::Request`] if their rates differ, their channels do not go together, one is less than half as long as the other, or
    /// one is silent.
    pub fn new(dry: Clip, wet: Clip) -> Result<Pair, AudioError> {
        let refuse = |why: String| Err(AudioError::Request(why));
        if dry.rate() != wet.rate() {
            return refuse(format!(
                "the dry recording is at {} Hz and the wet one at {} Hz; convert one of them, so that both have the same rate",
                dry.rate(),
                wet.rate()
            ));
        }
        if dry.channels() != 1 && dry.channels() != wet.channels() {
            return refuse(format!(
                "the dry recording has {} channels and the wet one {}; they need equally many, or a dry one in mono",
                dry.channels(),
                wet.channels()
            ));
        }
        let frames = dry.frames().min(wet.frames());
        if frames < dry.frames().max(wet.frames()).div_ceil(2) {
            return refuse(format!(
                "the dry recording has {} s and the wet one {} s; are they of the same take?",
                seconds(&dry),
                seconds(&wet)
            ));
        }
        let mut pair = Pair {
            notes: notes(&dry, &wet),
            dry,
            wet,
        };
        pair.dry.cut(frames);
        pair.wet.cut(frames);
        for (name, clip) in [("dry", &pair.dry), ("wet", &pair.wet)] {
            if mean_square(clip, 0..frames) < SILENCE {
                return refuse(format!(
                    "the {name} recording is silent: there is nothing to learn"
                ));
            }
        }
        Ok(pair)
    }

    /// Reads both.
    ///
    /// # Errors
    /// Those of [`Clip::read`] and [`Pair::new`].
    pub fn read(dry: impl AsRef<Path>, wet: impl AsRef<Path>) -> Result<Pair, AudioError> {
        Pair::new(Clip::read(dry)?, Clip::read(wet)?)
    }

    /// What went in.
    pub fn dry(&self) -> &Clip {
        &self.dry
    }

    /// What came out.
    pub fn wet(&self) -> &Clip {
        &self.wet
    }

    /// Samples a second, in Hz.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.dry.rate()
    }

    /// The number of moments.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.dry.frames()
    }

    /// What a listener should know: that one was cut, that one seems to be clipped.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The frames to train on, and the last share of them, which is held out.
    ///
    /// # Errors
    /// [`AudioError::Request`] unless the share is between 0 and 1, leaves frames on both sides, and no side of the wet recording is
    /// silent.
    pub fn split(&self, held_out: f64) -> Result<(Range<usize>, Range<usize>), AudioError> {
        let all = self.frames();
        let count = (held_out * all as f64).round();
        if !(count >= 1.0 && count < all as f64) {
            return Err(AudioError::Request(format!(
                "{held_out} of {all} samples cannot be held out"
            )));
        }
        let at = all - count as usize;
        for (name, part) in [("first", 0..at), ("last", at..all)] {
            if mean_square(&self.wet, part.clone()) < SILENCE {
                return Err(AudioError::Request(format!(
                    "the wet recording is silent in its {name} {} samples, which are {}; hold out another share",
                    part.len(),
                    if name == "first" {
                        "trained on"
                    } else {
                        "held out"
                    }
                )));
            }
        }
        Ok((0..at, at..all))
    }

    /// The errors of a recording, as of a model that was given the dry one, in a range of frames. The filter begins at the start of it.
    ///
    /// # Errors
    /// [`AudioError::Request`] for other channels than the wet recording's, or a range that one of them has not.
    pub fn compare(&self, heard: &Clip, frames: Range<usize>) -> Result<Errors, AudioError> {
        let n = self.wet.channels();
        let there = frames.end <= self.frames().min(heard.frames()) && !frames.is_empty();
        if heard.channels() != n || !there {
            return Err(AudioError::Request(format!(
                "frames {frames:?} of {} in {} channels cannot be compared with {} in {n}",
                heard.frames(),
                heard.channels(),
                self.frames(),
            )));
        }
        let mut tally = Tally::new(n);
        for frame in frames {
            tally.add(heard.frame(frame), self.wet.frame(frame));
        }
        Ok(tally.errors())
    }
}

/// Sums of squares.
pub(super) struct Tally {
    error: f64,
    signal: f64,
    emphasised: [f64; 2],
    count: f64,
    /// Error and target of each channel a moment ago.
    before: Vec<[f64; 2]>,
}

impl Tally {
    pub(super) fn new(channels: usize) -> Tally {
        Tally {
            error: 0.0,
            signal: 0.0,
            emphasised: [0.0; 2],
            count: 0.0,
            before: vec![[0.0; 2]; channels],
        }
    }

    /// The next moment: what was heard, and what should have been.
    pub(super) fn add(&mut self, heard: &[f32], wet: &[f32]) {
        for ((y, t), before) in heard.iter().zip(wet).zip(&mut self.before) {
            let now = [f64::from(*t) - f64::from(*y), f64::from(*t)];
            self.error += now[0] * now[0];
            self.signal += now[1] * now[1];
            for k in 0..2 {
                self.emphasised[k] += (now[k] - EMPHASIS * before[k]).powi(2);
            }
            self.count += 1.0;
            *before = now;
        }
    }

    /// Of all together.
    pub(super) fn sum(tallies: &[Tally]) -> Tally {
        let mut all = Tally::new(0);
        for t in tallies {
            all.error += t.error;
            all.signal += t.signal;
            (0..2).for_each(|k| all.emphasised[k] += t.emphasised[k]);
            all.count += t.count;
        }
        all
    }

    pub(super) fn errors(&self) -> Errors {
        Errors {
            esr: self.error / self.signal,
            emphasised: self.emphasised[0] / self.emphasised[1],
            mse: self.error / self.count,
        }
    }
}

/// The mean of the squares of all channels.
pub(super) fn mean_square(clip: &Clip, frames: Range<usize>) -> f64 {
    let n = clip.channels();
    let samples = &clip.samples()[frames.start * n..frames.end * n];
    let squares = samples.iter().map(|s| f64::from(*s).powi(2));
    squares.sum::<f64>() / samples.len().max(1) as f64
}

fn seconds(clip: &Clip) -> String {
    format!("{:.2}", clip.seconds())
}

fn notes(dry: &Clip, wet: &Clip) -> Vec<String> {
    let mut notes = Vec::new();
    let (longer, shorter) = match dry.frames().cmp(&wet.frames()) {
        std::cmp::Ordering::Less => (("wet", wet), dry),
        std::cmp::Ordering::Equal => (("", dry), wet),
        std::cmp::Ordering::Greater => (("dry", dry), wet),
    };
    let more = longer.1.frames() - shorter.frames();
    if more > 0 {
        notes.push(format!(
            "the {} recording is {more} samples longer; its end is left out",
            longer.0
        ));
    }
    for (name, clip) in [("dry", dry), ("wet", wet)] {
        match clip.clipped_stretches() {
            0 => {}
            n => notes.push(format!(
                "the {name} recording stays at full scale {n} time{}: it may be clipped, and a model learns that, too",
                if n == 1 { "" } else { "s" }
            )),
        }
    }
    notes
}
