//! Metrics as event files of TensorBoard: records of TensorFlow, each an `Event` of its protocol buffers (`tensorflow/core/util/event.proto`
//! and `tensorflow/core/framework/summary.proto`).

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::metrics::{EpochMetrics, Log, StepMetrics};
use crate::error::Error;

/// An event file in a directory, for `tensorboard --logdir`: the scalars `train/loss`, `train/gradient_norm`, `train/learning_rate` by
/// step, and `epoch/loss`, `validation` after each epoch. A run that goes on begins another file, with an event that makes TensorBoard
/// forget later steps of the one before.
///
/// ```
/// use retrograd::fit::{EventLog, Fit};
/// use retrograd::{Batch, Extent, Sgd, Trainer, zoo};
///
/// let directory = std::env::temp_dir().join("retrograd-event-log-example");
/// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 4)?;
/// let mut trainer = Trainer::builder(cell, Sgd::new(0.1)).build()?;
/// let batch = Batch::new(Extent::steps(1)).with("x", vec![0.1]).with("next", vec![0.2]);
/// Fit::new(2).log(EventLog::new(&directory)).run(&mut trainer, |_| [batch.clone()])?;
/// assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
/// # std::fs::remove_dir_all(directory).unwrap();
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Debug)]
pub struct EventLog {
    directory: PathBuf,
    file: Option<(PathBuf, File)>,
}

impl EventLog {
    /// A log in a directory, which is made when training begins, as is the file.
    pub fn new(directory: impl AsRef<Path>) -> EventLog {
        EventLog {
            directory: directory.as_ref().to_owned(),
            file: None,
        }
    }

    fn event(&mut self, step: u64, what: &[u8]) -> Result<(), Error> {
        let Some((path, file)) = &mut self.file else {
            return Ok(());
        };
        let seconds = now().as_secs_f64();
        file.write_all(&record(&event(seconds, step, what)))
            .map_err(|cause| Error::File {
                path: path.clone(),
                cause,
            })
    }
}

fn now() -> std::time::Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

impl Log for EventLog {
    fn begin(&mut self, steps: u64, _: u64) -> Result<(), Error> {
        let (seconds, process) = (now(), std::process::id());
        // TensorBoard reads files of this name, in the order of their names.
        let name = format!(
            "events.out.tfevents.{:010}.{:09}.{process}.retrograd",
            seconds.as_secs(),
            seconds.subsec_nanos()
        );
        let path = self.directory.join(name);
        let made = std::fs::create_dir_all(&self.directory).and_then(|()| File::create_new(&path));
        let file = made.map_err(|cause: io::Error| Error::File {
            path: path.clone(),
            cause,
        })?;
        self.file = Some((path, file));
        self.event(0, &bytes(3, b"brain.Event:2"))?;
        if steps > 0 {
            // SessionLog { status: START }: what is at this step and later belongs to a run that was stopped.
            self.event(steps + 1, &bytes(7, &[0x08, 1]))?;
        }
        Ok(())
    }

    fn step(&mut self, m: &StepMetrics) -> Result<(), Error> {
        let scalars = [
            ("train/loss", m.loss),
            ("train/gradient_norm", m.gradient_norm),
            ("train/learning_rate", m.learning_rate),
        ];
        self.event(m.step, &summary(&scalars))
    }

    fn epoch(&mut self, m: &EpochMetrics) -> Result<(), Error> {
        let mut scalars = vec![("epoch/loss", m.loss)];
        scalars.extend(m.validation.map(|v| ("validation", v)));
        self.event(m.step, &summary(&scalars))
    }
}

/// `Event { wall_time: 1, step: 2, … }`
fn event(seconds: f64, step: u64, what: &[u8]) -> Vec<u8> {
    let mut all = vec![0x09];
    all.extend(seconds.to_le_bytes());
    all.push(0x10);
    varint(step, &mut all);
    all.extend(what);
    all
}

/// The field 5 of an event, `Summary { value: 1 [Value { tag: 1, simple_value: 2 }] }`.
fn summary(scalars: &[(&str, f64)]) -> Vec<u8> {
    let mut values = Vec::new();
    for (tag, x) in scalars {
        let mut value = bytes(1, tag.as_bytes());
        value.push(0x15);
        value.extend((*x as f32).to_le_bytes());
        values.extend(bytes(1, &value));
    }
    bytes(5, &values)
}

/// A field of bytes, text or a message.
fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let mut all = vec![field << 3 | 2];
    varint(content.len() as u64, &mut all);
    all.extend(content);
    all
}

fn varint(mut x: u64, to: &mut Vec<u8>) {
    while x >= 0x80 {
        to.push(x as u8 | 0x80);
        x >>= 7;
    }
    to.push(x as u8);
}

/// A record of TensorFlow: length, its checksum, the data, their checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut all = length.to_vec();
    all.extend(masked(crc32c(&length)).to_le_bytes());
    all.extend(data);
    all.extend(masked(crc32c(data)).to_le_bytes());
    all
}

fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4), bit by bit: events are short.
fn crc32c(data: &[u8]) -> u32 {
    let bit = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    let byte = |crc: u32, b: &u8| (0..8).fold(crc ^ u32::from(*b), |crc, _| bit(crc));
    !data.iter().fold(!0, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa, "RFC 3720, appendix B.4");
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn an_event_is_a_message_of_its_protocol_buffer() {
        // Event(wall_time=1.5, step=300, summary=Summary(value=[Summary.Value(tag="a", simple_value=0.5)]))
        let event = event(1.5, 300, &summary(&[("a", 0.5)]));
        assert_eq!(event.len(), 24);
        assert_eq!(event[..9], [9, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f]);
        assert_eq!(event[9..12], [0x10, 0xac, 0x02]);
        assert_eq!(
            event[12..],
            [0x2a, 10, 0x0a, 8, 0x0a, 1, b'a', 0x15, 0, 0, 0, 0x3f]
        );
    }
}
