//! [`Clip`]: the samples of a WAV file.

use std::io::{self, Cursor};
use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use serde::{Deserialize, Serialize};

use super::AudioError;
use crate::files;

/// Samples of a recording, with what its file says of them.
///
/// ```
/// use retrograd::audio::{Clip, Format};
///
/// let path = std::env::temp_dir().join("retrograd-clip-example.wav");
/// let clip = Clip::new(44_100, 2, vec![0.5, -0.5, 0.25, 1.5])?.with_format(Format::Int(16));
/// assert_eq!((clip.frames(), clip.seconds()), (2, 2.0 / 44_100.0));
/// let clipped = clip.write(&path)?;
/// assert_eq!(clipped, 1, "1.5 is beyond full scale");
/// let read = Clip::read(&path)?;
/// assert_eq!(read.samples(), [0.5, -0.5, 0.25, 32767.0 / 32768.0]);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), retrograd::audio::AudioError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Clip {
    rate: u32,
    channels: usize,
    samples: Vec<f32>,
    format: Format,
}

/// How a file holds its samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// 32-bit floating point: any number, full scale being 1.
    #[default]
    Float,
    /// Whole numbers of 8, 16, 24 or 32 bits: full scale is from −1 to just below 1.
    Int(u16),
}

impl Clip {
    /// The greatest size of a file in bytes: 1 GiB, three hours of 16 bits at 44.1 kHz in mono.
    pub const LIMIT: u64 = 1 << 30;

    /// Samples in memory, `[frames, channels]`, full scale being 1.
    ///
    /// # Errors
    /// [`AudioError::Request`] for a rate or a number of channels of 0, no samples, or a part of a frame; [`AudioError::NotFinite`].
    pub fn new(rate: u32, channels: usize, samples: Vec<f32>) -> Result<Clip, AudioError> {
        Clip::of(rate, channels, samples, "the clip")
    }

    fn of(rate: u32, channels: usize, samples: Vec<f32>, file: &str) -> Result<Clip, AudioError> {
        if rate == 0
            || channels == 0
            || samples.is_empty()
            || !samples.len().is_multiple_of(channels)
        {
            return Err(AudioError::Request(format!(
                "{file}: {} samples at {rate} Hz in {channels} channels make no recording",
                samples.len()
            )));
        }
        if let Some(at) = samples.iter().position(|s| !s.is_finite()) {
            return Err(AudioError::NotFinite {
                file: file.to_owned(),
                second: (at / channels) as f64 / f64::from(rate),
                channel: at % channels + 1,
                value: samples[at],
            });
        }
        Ok(Clip {
            rate,
            channels,
            samples,
            format: Format::Float,
        })
    }

    /// Reads a WAV file: whole numbers of 8 to 32 bits, or floating point of 32 bits.
    ///
    /// # Errors
    /// [`AudioError::Unreadable`] for what is no such file, is cut off, or has more than [`Clip::LIMIT`];
    /// [`AudioError::NotFinite`], and [`AudioError::Request`] for one without samples.
    pub fn read(path: impl AsRef<Path>) -> Result<Clip, AudioError> {
        let path = path.as_ref();
        let unreadable = |cause: Box<dyn std::error::Error + Send + Sync>| AudioError::Unreadable {
            path: path.to_owned(),
            cause,
        };
        let bytes = files::read_or_receive(path, Clip::LIMIT).map_err(|e| unreadable(e.into()))?;
        let reader = WavReader::new(Cursor::new(bytes)).map_err(|e| unreadable(told(e)))?;
        let WavSpec {
            channels,
            sample_rate,
            bits_per_sample: bits,
            sample_format,
        } = reader.spec();
        let samples: Result<Vec<f32>, hound::Error> = match sample_format {
            SampleFormat::Float => reader.into_samples::<f32>().collect(),
            SampleFormat::Int => {
                let scale = 1.0 / 2_f64.powi(i32::from(bits) - 1);
                let samples = reader.into_samples::<i32>();
                samples
                    .map(|s| Ok((f64::from(s?) * scale) as f32))
                    .collect()
            }
        };
        let samples = samples.map_err(|e| unreadable(told(e)))?;
        let name = path.display().to_string();
        let clip = Clip::of(sample_rate, channels.into(), samples, &name)?;
        Ok(clip.with_format(match sample_format {
            SampleFormat::Float => Format::Float,
            SampleFormat::Int => Format::Int(bits),
        }))
    }

    /// Writes a WAV file in the clip's [`Format`], whole beside `path`, which it then replaces. Returns how many samples were beyond full
    /// scale and are written at it; in floating point none are.
    ///
    /// # Errors
    /// [`AudioError::Unwritable`]; also for more than 4 GiB, which WAV cannot say.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<usize, AudioError> {
        let path = path.as_ref();
        let unwritable = |cause: io::Error| AudioError::Unwritable {
            path: path.to_owned(),
            cause,
        };
        let (bits, sample_format) = match self.format {
            Format::Float => (32, SampleFormat::Float),
            Format::Int(bits) => (bits, SampleFormat::Int),
        };
        let spec = WavSpec {
            channels: u16::try_from(self.channels).map_err(|e| unwritable(io::Error::other(e)))?,
            sample_rate: self.rate,
            bits_per_sample: bits,
            sample_format,
        };
        let bytes = self.samples.len() as u64 * u64::from(bits.div_ceil(8));
        if bytes > u64::from(u32::MAX) - 256 {
            let size = files::size(bytes);
            let message = format!("{size} of samples are more than a WAV file holds");
            return Err(unwritable(io::Error::other(message)));
        }
        let (mut out, mut clipped) = (Cursor::new(Vec::new()), 0);
        let mut write = || -> Result<(), hound::Error> {
            let mut writer = WavWriter::new(&mut out, spec)?;
            match self.format {
                Format::Float => self
                    .samples
                    .iter()
                    .try_for_each(|s| writer.write_sample(*s))?,
                Format::Int(bits) => {
                    let full = 2_f64.powi(i32::from(bits) - 1);
                    for s in &self.samples {
                        let scaled = (f64::from(*s) * full).round();
                        let whole = scaled.clamp(-full, full - 1.0);
                        clipped += usize::from(whole != scaled);
                        writer.write_sample(whole as i32)?;
                    }
                }
            }
            writer.finalize()
        };
        write().map_err(|e| unwritable(io::Error::other(told(e))))?;
        let bytes = out.into_inner();
        let written = files::replace(path, "wav", |beside| std::fs::write(beside, &bytes));
        written.map_err(unwritable)?;
        Ok(clipped)
    }

    /// The same samples, to be written in another format.
    pub fn with_format(self, format: Format) -> Clip {
        Clip { format, ..self }
    }

    /// How its file holds its samples.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Samples a second of one channel, in Hz.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The number of channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// All samples, `[frames, channels]`.
    #[must_use]
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// The samples of all channels at one moment.
    ///
    /// # Panics
    /// If `frame` is not below [`frames`](Self::frames).
    #[must_use]
    pub fn frame(&self, frame: usize) -> &[f32] {
        &self.samples[frame * self.channels..][..self.channels]
    }

    /// The number of moments.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.samples.len() / self.channels
    }

    /// The duration.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.frames() as f64 / f64::from(self.rate)
    }

    /// The greatest absolute sample.
    #[must_use]
    pub fn peak(&self) -> f32 {
        self.samples.iter().fold(0.0, |most, s| most.max(s.abs()))
    }

    /// The number of stretches of at least three samples in a row of one channel at full scale, which are a sign of clipping.
    #[must_use]
    pub fn clipped_stretches(&self) -> usize {
        const IN_A_ROW: usize = 3;
        let full = match self.format {
            Format::Float => 1.0,
            Format::Int(bits) => (1.0 - 2_f64.powi(1 - i32::from(bits))) as f32,
        };
        let mut stretches = 0;
        for channel in 0..self.channels {
            let (mut run, mut sign) = (0, 0.0);
            for s in self.samples[channel..].iter().step_by(self.channels) {
                let before = if s.signum() == sign { run } else { 0 };
                run = if s.abs() >= full { before + 1 } else { 0 };
                sign = s.signum();
                stretches += usize::from(run == IN_A_ROW);
            }
        }
        stretches
    }

    /// The first frames alone.
    pub(super) fn cut(&mut self, frames: usize) {
        self.samples.truncate(frames * self.channels);
    }
}

/// A message of the reader's that says what can be done. The bytes are in memory: what cannot be read is not there.
fn told(e: hound::Error) -> Box<dyn std::error::Error + Send + Sync> {
    const SAVE: &str = "save it as WAV of 16 or 24 bits, or of 32-bit floating point";
    match e {
        hound::Error::IoError(_) => "the file ends before all of its samples".into(),
        hound::Error::FormatError(what) => {
            format!("it is no WAV file that can be read ({what}); {SAVE}").into()
        }
        other => format!("its samples are in a form that is not read ({other}); {SAVE}").into(),
    }
}
