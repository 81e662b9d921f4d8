//! [`Store`]: the outcomes of jobs in a file, one line each, written as soon as a job ends.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::{Job, Outcome, StudyError};
use retrograd::Engine;
use retrograd::files::read_text;

/// Bytes of a file of results that are read: the full study's has some MiB.
const MOST: u64 = 1 << 30;

/// The results in a directory, by [`Job::key`]. Results of other studies are kept.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    engine: Engine,
    known: HashMap<String, StoredOutcome>,
    file: Mutex<File>,
    /// The run that finished the study, if this store comes from one.
    pub(crate) finished: Option<Finished>,
}

/// A run of a study's missing jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished {
    /// The number of its jobs.
    pub(crate) jobs: usize,
    /// Its duration in seconds.
    pub(crate) seconds: f64,
    /// Jobs at the same time.
    pub(crate) threads: usize,
    /// Cores that the machine gave it.
    pub(crate) cores: usize,
}

/// An outcome and its time.
#[derive(Clone, Debug)]
struct StoredOutcome {
    outcome: Outcome,
    seconds: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredLine {
    key: String,
    seconds: f64,
    outcome: Outcome,
}

impl Store {
    /// Opens the results of an engine in a directory, and creates both if necessary: `results.jsonl`, or `results-tape.jsonl` for
    /// the tape, whose numbers differ in the last digits, a difference that training amplifies. An incomplete last line, left by a
    /// run that was interrupted while writing, is removed.
    ///
    /// # Errors
    /// [`StudyError::File`], also if `results.jsonl` is no file or has more than 1 GiB; [`StudyError::Results`] for any other line
    /// that is no result.
    pub fn open(directory: &Path, engine: Engine) -> Result<Store, StudyError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |cause| StudyError::File { path, cause }
        };
        fs::create_dir_all(directory).map_err(at(directory))?;
        let path = directory.join(match engine {
            Engine::Jit => "results.jsonl",
            Engine::Tape => "results-tape.jsonl",
        });
        // Read before it is opened to be written: what is no file must not even be created or held open.
        let text = match read_text(&path, MOST) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(at(&path)(e)),
        };
        let mut options = OpenOptions::new();
        let file = options
            .append(true)
            .create(true)
            .open(&path)
            .map_err(at(&path))?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(at(&path))?;
        }
        let mut known = HashMap::new();
        for (k, line) in text[..whole].lines().enumerate() {
            let line: StoredLine =
                serde_json::from_str(line).map_err(|cause| StudyError::Results {
                    path: path.clone(),
                    line: k + 1,
                    cause,
                })?;
            let entry = StoredOutcome {
                outcome: line.outcome,
                seconds: line.seconds,
            };
            known.insert(line.key, entry);
        }
        Ok(Store {
            path,
            engine,
            known,
            file: Mutex::new(file),
            finished: None,
        })
    }

    /// The engine of the results.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The outcome of a job, if present.
    pub fn get(&self, job: &Job) -> Option<&Outcome> {
        self.known.get(&job.key()).map(|e| &e.outcome)
    }

    /// The time of a job in seconds of one core, if its outcome is present.
    pub fn seconds(&self, job: &Job) -> Option<f64> {
        self.known.get(&job.key()).map(|e| e.seconds)
    }

    /// Writes an outcome to the file. It is known from the next [`Store::open`] on, or by [`Store::learn`].
    ///
    /// # Errors
    /// [`StudyError::File`].
    pub(crate) fn write(
        &self,
        job: &Job,
        outcome: &Outcome,
        seconds: f64,
    ) -> Result<(), StudyError> {
        let line = StoredLine {
            key: job.key(),
            seconds,
            outcome: outcome.clone(),
        };
        let mut line = serde_json::to_string(&line).expect("outcomes are always JSON");
        line.push('\n');
        // One call: a line is there whole, or as the last one without its end.
        let mut file = self.file.lock().expect("nobody panics while writing");
        file.write_all(line.as_bytes())
            .map_err(|cause| StudyError::File {
                path: self.path.clone(),
                cause,
            })
    }

    /// Makes an outcome known.
    pub(crate) fn learn(&mut self, job: &Job, outcome: Outcome, seconds: f64) {
        self.known
            .insert(job.key(), StoredOutcome { outcome, seconds });
    }
}
