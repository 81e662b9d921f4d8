//! [`StudyReport`]: the findings of a study, as Markdown and as one HTML page, with pictures.
//!
//! Invariant: every paragraph is composed from outcomes, and for every statement there is a sentence for the opposite.

mod document;
mod flow;
mod found;
mod gates;
mod memory;
mod next;
mod numbers;
mod saturation;

use std::fs;
use std::path::{Path, PathBuf};

pub use document::{Picture, Section, StudyReport, Table};

use found::Found;

use crate::{Scale, Store, Study, StudyError};
use retrograd::Engine;

impl Study {
    /// Composes the report from the outcomes of all jobs.
    ///
    /// # Errors
    /// [`StudyError::Missing`] if a job has no outcome.
    pub fn report(&self, store: &Store) -> Result<StudyReport, StudyError> {
        let jobs = self.jobs();
        let missing = jobs.iter().filter(|j| store.get(j).is_none()).count();
        if missing > 0 {
            return Err(StudyError::Missing {
                missing,
                of: jobs.len(),
            });
        }
        let found = Found { study: self, store };
        let seconds: f64 = jobs.iter().filter_map(|j| store.seconds(j)).sum();
        Ok(StudyReport {
            title: "Why gates, and why not one network?".to_owned(),
            intro: vec![
                "An LSTM keeps a memory c beside its hidden state h: a keep gate decides how much of c \
                 stays, a write gate how much is added, and a read gate what h sees of it. Why these \
                 gates, and why not one network that makes the new memory (question 1) or the new hidden \
                 state (question 2) of everything there is? The pages below measure it, for every system \
                 that the question names: S1 the plain recurrent network, S2 the question's LSTM, S3 one \
                 network for the memory, S4 one network for the hidden state, S5 the identity recurrence, \
                 S6 the GRU in its two conventions, S7 the standard LSTM."
                    .to_owned(),
                format!(
                    "{} runs of `retrograd intuition{}{}`, first seed {}: {} of one core in all. Every \
                     system has as near to {} parameters as its number of hidden units allows; gates that \
                     keep a state start with a bias of 1 unless another is named (the last section apart). Bands and ranges are \
                     over seeds.",
                    jobs.len(),
                    match self.scale {
                        Scale::Quick => " --quick",
                        Scale::Usual => "",
                        Scale::Full => " --full",
                    },
                    match store.engine() {
                        Engine::Jit => "",
                        Engine::Tape => " --engine tape",
                    },
                    self.seed,
                    numbers::duration(seconds),
                    self.parameters,
                ) + &finished(store),
            ],
            sections: vec![
                flow::section(&found),
                memory::section(&found),
                saturation::section(&found),
                gates::section(&found),
                next::section(&found)?,
            ],
        })
    }
}

/// What is known of the run that finished the study.
fn finished(store: &Store) -> String {
    let Some(run) = store.finished else {
        return String::new();
    };
    format!(
        " The call that finished it made {} of the runs in {}, {} at a time on {} {}.",
        run.jobs,
        numbers::duration(run.seconds),
        run.threads,
        run.cores,
        if run.cores == 1 { "core" } else { "cores" },
    )
}

impl StudyReport {
    /// Writes `report.md`, `report.html` and the pictures, each as SVG and as PNG, into a directory, and says where the two
    /// pages are.
    ///
    /// # Errors
    /// [`StudyError::File`], [`StudyError::Plot`].
    pub fn write(&self, directory: &Path) -> Result<[PathBuf; 2], StudyError> {
        let write = |name: &str, text: &str| -> Result<PathBuf, StudyError> {
            let path = directory.join(name);
            let written = retrograd::files::replace(&path, "txt", |beside| fs::write(beside, text));
            match written {
                Ok(()) => Ok(path),
                Err(cause) => Err(StudyError::File { path, cause }),
            }
        };
        for drawing in self.sections.iter().flat_map(|s| &s.drawings) {
            write(&format!("{}.svg", drawing.name), &drawing.figure.svg()?)?;
            let png = directory.join(format!("{}.png", drawing.name));
            drawing.figure.write_png(png)?;
        }
        let markdown = write("report.md", &self.markdown())?;
        let html = write("report.html", &self.html()?)?;
        Ok([markdown, html])
    }
}
