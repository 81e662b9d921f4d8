//! [`Checkpoint`]: all of a training run, to go on from or to use without the source that defined the cell.

mod file;
mod restore;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::carry::{Carry, CarryRows};
use crate::cell::Cell;
use crate::error::Error;
use crate::numbers::Float;
use crate::optim::{Schedule, Seen};
use crate::precision::Precision;
use crate::trainer::Trainer;

/// A copy of all that training changes, with the cell: parameters under their names, what the optimiser remembers, schedule, step, the
/// counter of random numbers, the average of the parameters, and carried states and notes that the caller adds. A run that goes on from
/// it is bitwise the run that never stopped. Its file is one of [safetensors](https://github.com/huggingface/safetensors): each
/// parameter is a tensor of its own name, which any reader of that format finds.
///
/// ```
/// use retrograd::{Adam, Batch, Checkpoint, Extent, Trainer, zoo};
///
/// let path = std::env::temp_dir().join("retrograd-checkpoint-example.safetensors");
/// let cell = zoo::forecaster_with_dropout(zoo::find("gru").unwrap(), 1, 8, 0.5)?;
/// let batch = Batch::new(Extent::steps(2)).with("x", vec![0.1, 0.2]).with("next", vec![0.2, 0.3]);
/// let mut trainer = Trainer::builder(cell.clone(), Adam::new(1e-2)).seed(3).build()?;
/// trainer.step(&batch)?;
/// trainer.checkpoint().with_note("scaler", "0.5 2").write(&path)?;
/// trainer.step(&batch)?;
///
/// // Another process, later.
/// let mut resumed = Trainer::builder(cell, Adam::new(1e-2)).build()?;
/// resumed.restore(&Checkpoint::read(&path)?)?;
/// resumed.step(&batch)?;
/// assert_eq!(resumed.parameters(), trainer.parameters());
///
/// // One that has not the source of the cell.
/// let saved = Checkpoint::<f32>::read(&path)?;
/// let mut session = saved.cell()?.program().build()?.session();
/// let forecast = session.run(&saved.parameters(), &Batch::new(Extent::steps(2)).with("x", vec![0.1, 0.2]))?;
/// assert!(forecast.output("y").is_some() && saved.note("scaler") == Some("0.5 2"));
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint<T: Float = f32> {
    head: Head,
    parameters: Vec<Array<T>>,
    optimizer: Vec<Array<T>>,
    average: Vec<Array<T>>,
    carried: Vec<Array<T>>,
    extra: Vec<Array<T>>,
}

/// Numbers with a name.
#[derive(Clone, Debug, PartialEq)]
struct Array<T> {
    name: String,
    shape: Vec<usize>,
    values: Vec<T>,
}

/// What a file says beside its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    version: u32,
    cell: String,
    /// The cell's text, if it has one.
    text: Option<String>,
    /// The canonical text of its graph.
    graph: String,
    /// The probability that a mask keeps an element, for each mask in order.
    keep: Vec<f64>,
    /// The names of parameters, in the cell's order.
    parameters: Vec<String>,
    training: Training,
    carries: Vec<SavedCarry>,
    notes: BTreeMap<String, String>,
    /// The names of the caller's arrays.
    extra: Vec<String>,
}

/// What a run needs to go on, apart from vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Training {
    /// f32 or f64.
    numbers: String,
    #[serde(default, skip_serializing_if = "Precision::is_full")]
    precision: Precision,
    steps: u64,
    draws: u64,
    seed: u64,
    optimizer: String,
    /// The optimiser's settings for display, at the learning rate of the next step.
    settings: String,
    /// Clipping, groups, constraints and the decay of the average, for display.
    limits: String,
    learning_rate: f64,
    schedule: Schedule,
    seen: Seen,
    memory: Vec<String>,
    scalars: Vec<(String, f64)>,
    averaged: bool,
}

/// Carried states, but for their numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedCarry {
    name: String,
    states: Vec<CarryRows>,
}

impl<T: Float> Checkpoint<T> {
    /// Also carried states, under a name of the caller's.
    #[must_use]
    pub fn with_carry(mut self, name: &str, carry: &Carry<T>) -> Checkpoint<T> {
        self.head.carries.retain(|c| c.name != name);
        self.carried
            .retain(|a| !a.name.starts_with(&format!("{name}:")));
        let mut states = Vec::new();
        for (state, shape, values) in carry.saved() {
            self.carried.push(Array {
                name: format!("{name}:{}", state.name),
                shape,
                values: values.to_vec(),
            });
            states.push(state);
        }
        let name = name.to_owned();
        self.head.carries.push(SavedCarry { name, states });
        self
    }

    /// Sets carried states of as many rows to those that were saved under a name.
    ///
    /// ```
    /// use retrograd::{Batch, Checkpoint, Extent, Sgd, Trainer, zoo};
    ///
    /// let cell = zoo::forecaster(zoo::find("gru").unwrap(), 1, 8)?;
    /// let mut trainer = Trainer::builder(cell, Sgd::new(0.1)).build()?;
    /// let mut carry = trainer.carry(1)?;
    /// let chunk = Batch::new(Extent::steps(2)).with("x", vec![0.1, 0.2]).with("next", vec![0.2, 0.3]);
    /// trainer.step_carrying(&chunk, &mut carry)?;
    /// let saved = trainer.checkpoint().with_carry("series", &carry);
    ///
    /// let mut again = trainer.carry(1)?;
    /// saved.restore_carry("series", &mut again)?;
    /// assert_eq!(again.state("h"), carry.state("h"));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OtherTraining`] if there are none, or of other states or rows. Then nothing has changed.
    #[inline(never)]
    pub fn restore_carry(&self, name: &str, carry: &mut Carry<T>) -> Result<(), Error> {
        let other = |difference: String| Error::OtherTraining { difference };
        let mut all = self.head.carries.iter();
        let saved = all
            .find(|c| c.name == name)
            .ok_or_else(|| other(format!("there are no carried states called `{name}`")))?;
        let mut states = Vec::new();
        for state in &saved.states {
            let name = format!("{name}:{}", state.name);
            let array = self.carried.iter().find(|a| a.name == name);
            let array = array.ok_or_else(|| other(format!("there is no tensor `carry:{name}`")))?;
            states.push((state, &array.values[..]));
        }
        carry.set_saved(&states).map_err(other)
    }

    /// Also a note, a text under a key of the caller's: how data were scaled, what a loop of training has seen.
    #[must_use]
    pub fn with_note(mut self, key: &str, text: &str) -> Checkpoint<T> {
        self.head.notes.insert(key.to_owned(), text.to_owned());
        self
    }

    /// The note under a key.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.head.notes.get(key).map(String::as_str)
    }

    /// Also numbers under a name of the caller's.
    #[must_use]
    pub fn with_array(mut self, name: &str, values: &[T]) -> Checkpoint<T> {
        self.head.extra.retain(|known| known != name);
        self.extra.retain(|a| a.name != name);
        self.head.extra.push(name.to_owned());
        self.extra.push(Array {
            name: name.to_owned(),
            shape: vec![values.len()],
            values: values.to_vec(),
        });
        self
    }

    /// The numbers under a name.
    pub fn array(&self, name: &str) -> Option<&[T]> {
        let found = self.extra.iter().find(|a| a.name == name);
        found.map(|a| &a.values[..])
    }

    /// The number of training steps.
    pub fn steps(&self) -> u64 {
        self.head.training.steps
    }

    /// The precision of the products that it was trained with. Parameters are saved in full.
    pub fn precision(&self) -> Precision {
        self.head.training.precision
    }

    /// The cell: from its text if it was read from one (and the feature `text` is on), else from its graph. A cell of the graph computes
    /// the same as the one that was saved; how its parameters start is not known any more.
    ///
    /// # Errors
    /// [`Error::OtherTraining`], [`Error::Text`] or [`Error::Cell`] for a file that was changed by hand.
    pub fn cell(&self) -> Result<Cell, Error> {
        let cell = self.recorded()?;
        let specs = cell.parameter_specs();
        let same = specs
            .map(|p| (p.name.to_owned(), p.shape.axes().to_vec()))
            .eq(self
                .parameters
                .iter()
                .map(|a| (a.name.clone(), a.shape.clone())));
        match same {
            true => Ok(cell),
            false => Err(Error::OtherTraining {
                difference: "the cell has other parameters than the file".to_owned(),
            }),
        }
    }

    fn recorded(&self) -> Result<Cell, Error> {
        #[cfg(feature = "text")]
        if let Some(text) = &self.head.text {
            return Cell::from_text(text, &[]);
        }
        Cell::from_graph_text(&self.head.graph, &self.head.keep)
    }

    /// All parameters in one vector, as [`Trainer::parameters`].
    pub fn parameters(&self) -> Vec<T> {
        let all = self.parameters.iter().flat_map(|a| a.values.iter());
        all.copied().collect()
    }

    /// The average of the parameters in one vector, as [`Trainer::averaged_parameters`].
    pub fn averaged_parameters(&self) -> Option<Vec<T>> {
        let all = self.average.iter().flat_map(|a| a.values.iter());
        let averaged = self.head.training.averaged;
        averaged.then(|| all.copied().collect())
    }

    /// The parameters to use: those of the best epoch, if a loop of training kept them, else their average, else the last.
    pub(crate) fn chosen_parameters(&self) -> Vec<T> {
        /// As a loop of training keeps them.
        const BEST: &str = "best";
        let best = self.array(BEST).map(<[T]>::to_vec);
        let chosen = best.or_else(|| self.averaged_parameters());
        chosen.unwrap_or_else(|| self.parameters())
    }

    /// Writes the file: whole beside `path`, which it then replaces. After a crash, of the machine too, there is the old file or the new
    /// one.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let error = |cause| Error::File {
            path: path.to_owned(),
            cause,
        };
        let bytes = self.to_bytes().map_err(error)?;
        let written = crate::files::replace(path, "safetensors", |p| std::fs::write(p, &bytes));
        written.map_err(error)
    }

    /// Reads a file. Numbers of the other precision are converted; training goes on in the one that it was in only.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::NotParameters`] for anything but such a file.
    pub fn read(path: impl AsRef<Path>) -> Result<Checkpoint<T>, Error> {
        let path = path.as_ref();
        let bytes = crate::files::read(path, u64::MAX).map_err(|cause| Error::File {
            path: path.to_owned(),
            cause,
        })?;
        Checkpoint::from_bytes(&bytes).map_err(|cause| Error::NotParameters {
            path: path.to_owned(),
            cause,
        })
    }
}

impl<T: Float> Trainer<T> {
    /// A copy of all that training changes; see [`Checkpoint`].
    #[inline(never)]
    pub fn checkpoint(&self) -> Checkpoint<T> {
        let state = self.training_state();
        let cell = self.declared_cell();
        let split = |values: &[T]| -> Vec<Array<T>> {
            let mut rest = values;
            let array = |p: crate::cell::ParameterSpec<'_>| {
                let (these, after) = rest.split_at(p.shape.len());
                rest = after;
                Array {
                    name: p.name.to_owned(),
                    shape: p.shape.axes().to_vec(),
                    values: these.to_vec(),
                }
            };
            cell.parameter_specs().map(array).collect()
        };
        let memory = &state.memory;
        let scalars = memory.scalars.iter();
        let training = Training {
            numbers: numbers::<T>().to_owned(),
            precision: self.precision(),
            steps: memory.steps,
            draws: state.draws,
            seed: state.seed,
            optimizer: self.optimizer_name().to_owned(),
            settings: self.optimizer_settings(),
            limits: self.limits().to_owned(),
            learning_rate: state.learning_rate,
            schedule: state.schedule.clone(),
            seen: state.seen.clone(),
            memory: memory
                .vectors
                .iter()
                .map(|(n, _)| (*n).to_owned())
                .collect(),
            scalars: scalars.map(|(n, x)| ((*n).to_owned(), *x)).collect(),
            averaged: state.average.is_some(),
        };
        let vectors = memory.vectors.iter().map(|(name, values)| Array {
            name: (*name).to_owned(),
            shape: vec![values.len()],
            values: values.clone(),
        });
        Checkpoint {
            parameters: split(&state.parameters),
            optimizer: vectors.collect(),
            average: state.average.as_deref().map(split).unwrap_or_default(),
            carried: Vec::new(),
            extra: Vec::new(),
            head: Head {
                version: VERSION,
                cell: cell.name().to_owned(),
                text: cell.text().map(str::to_owned),
                graph: cell.graph_text(),
                keep: cell.keep_probabilities().to_vec(),
                parameters: cell.parameter_specs().map(|p| p.name.to_owned()).collect(),
                training,
                carries: Vec::new(),
                notes: BTreeMap::new(),
                extra: Vec::new(),
            },
        }
    }
}

/// What a reader has to know; a file of another version is refused.
const VERSION: u32 = 1;

/// The name of a type of numbers.
fn numbers<T: Float>() -> &'static str {
    match size_of::<T>() {
        4 => "f32",
        _ => "f64",
    }
}
