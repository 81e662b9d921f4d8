//! Metrics as a table.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::metrics::{EpochMetrics, Log, StepMetrics};
use crate::error::Error;
use crate::files;

/// A CSV file with a line for each step and each epoch: step, epoch, loss, gradient norm, learning rate, validation. Lines of epochs
/// lack gradient norm and learning rate, lines of steps the validation. A run that goes on appends to it, after lines of steps that the
/// checkpoint does not know have been removed.
///
/// ```
/// use retrograd::fit::{CsvLog, Fit};
/// use retrograd::{Batch, Extent, Sgd, Trainer, zoo};
///
/// let path = std::env::temp_dir().join("retrograd-csv-log-example.csv");
/// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 4)?;
/// let mut trainer = Trainer::builder(cell, Sgd::new(0.1)).build()?;
/// let batch = Batch::new(Extent::steps(1)).with("x", vec![0.1]).with("next", vec![0.2]);
/// Fit::new(2).log(CsvLog::new(&path)).run(&mut trainer, |_| [batch.clone()])?;
/// let text = std::fs::read_to_string(&path).unwrap();
/// assert!(text.starts_with("step,epoch,loss,gradient_norm,learning_rate,validation\n1,0,"));
/// assert_eq!(text.lines().count(), 1 + 2 + 2);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Debug)]
pub struct CsvLog {
    path: PathBuf,
    file: Option<File>,
}

const HEAD: &str = "step,epoch,loss,gradient_norm,learning_rate,validation\n";

impl CsvLog {
    /// A log in a file, which is written when training begins.
    pub fn new(path: impl AsRef<Path>) -> CsvLog {
        CsvLog {
            path: path.as_ref().to_owned(),
            file: None,
        }
    }

    fn failed(&self, cause: io::Error) -> Error {
        Error::File {
            path: self.path.clone(),
            cause,
        }
    }

    fn line(&mut self, line: &str) -> Result<(), Error> {
        let written = match &mut self.file {
            Some(file) => file.write_all(line.as_bytes()),
            None => Ok(()),
        };
        written.map_err(|e| self.failed(e))
    }
}

/// The file again, without lines of steps and epochs that the run has not done, and without a last line that was cut off.
fn kept(text: &str, steps: u64, epochs: u64) -> String {
    let whole = text.split_inclusive('\n').filter(|l| l.ends_with('\n'));
    let known = |line: &&str| {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |k: usize| fields.get(k).and_then(|s| s.parse::<u64>().ok());
        // Lines of epochs lack the norm of the gradient.
        let of_epoch = fields.get(3).is_some_and(|norm| norm.is_empty());
        number(0).is_some_and(|step| step <= steps)
            && (!of_epoch || number(1).is_some_and(|epoch| epoch < epochs))
    };
    let lines: String = whole.skip(1).filter(known).collect();
    format!("{HEAD}{lines}")
}

impl Log for CsvLog {
    fn begin(&mut self, steps: u64, epochs: u64) -> Result<(), Error> {
        let before = match (steps, self.path.exists()) {
            (0, _) | (_, false) => String::new(),
            _ => files::read_text(&self.path, u64::MAX).map_err(|e| self.failed(e))?,
        };
        let text = kept(&before, steps, epochs);
        let written: io::Result<()> =
            files::replace(&self.path, "csv", |beside| std::fs::write(beside, text));
        written.map_err(|e| self.failed(e))?;
        let opened = File::options().append(true).open(&self.path);
        self.file = Some(opened.map_err(|e| self.failed(e))?);
        Ok(())
    }

    fn step(&mut self, m: &StepMetrics) -> Result<(), Error> {
        self.line(&format!(
            "{},{},{},{},{},\n",
            m.step, m.epoch, m.loss, m.gradient_norm, m.learning_rate
        ))
    }

    fn epoch(&mut self, m: &EpochMetrics) -> Result<(), Error> {
        let validation = m.validation.map_or(String::new(), |v| v.to_string());
        self.line(&format!(
            "{},{},{},,,{validation}\n",
            m.step, m.epoch, m.loss
        ))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_of_a_run_that_was_stopped_are_removed() {
        let text = format!(
            "{}1,0,0.5,1,0.1,\n2,0,0.4,1,0.1,\n2,0,0.45,,,0.3\n3,1,0.3,1,0.1,\n4,1,0.",
            super::HEAD
        );
        let kept = super::kept(&text, 2, 1);
        assert_eq!(kept.lines().count(), 4, "{kept}");
        assert!(kept.ends_with("2,0,0.45,,,0.3\n"));
        let redone = super::kept(&text, 2, 0);
        assert_eq!(
            redone.lines().count(),
            3,
            "the epoch has not ended: {redone}"
        );
        assert_eq!(super::kept("", 5, 1), super::HEAD);
        assert_eq!(
            super::kept(&text, 9, 9).lines().count(),
            5,
            "the last line is not whole"
        );
    }
}
