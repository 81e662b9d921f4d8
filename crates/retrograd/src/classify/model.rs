//! [`Model`]: a cell, its parameters and its setup: what a file holds and what tells labels.

use std::path::Path;

use retrograd_graph::Graph;
use retrograd_tape::{Domain, InputRole, OutputRole};
use serde::Serialize;

use super::examples::{by_length, log_softmax};
use super::setup::{SETUP, check, table_of, texts};
use super::{ClassifyError, Report, Setup};
use crate::cell::Cell;
use crate::data::Panel;
use crate::error::Error;
use crate::saved::Checkpoint;

/// A trained cell that tells labels of sequences; the [module](super) has an example.
#[derive(Clone, Debug)]
pub struct Model {
    cell: Cell,
    parameters: Vec<f32>,
    setup: Setup,
}

/// What a model says of a sequence.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Prediction {
    /// The name of the sequence.
    pub id: String,
    /// The number of the most probable label in [`Setup::labels`]; of several, the first.
    pub label: usize,
    /// The probability of each label.
    pub probabilities: Vec<f64>,
}

impl Model {
    /// The model of a run of training. Its parameters are those of the best epoch, if the run kept that; else their average, if it has
    /// one; else the last.
    ///
    /// # Errors
    /// [`ClassifyError::Request`] if the cell has not the setup's ports, or if its output depends on the label.
    pub fn new(saved: &Checkpoint, setup: &Setup) -> Result<Model, ClassifyError> {
        let cell = saved.cell()?;
        let parameters = saved.chosen_parameters();
        cell.check_count("parameters", &parameters)?;
        let model = Model {
            cell,
            parameters,
            setup: setup.clone(),
        };
        model.check_ports()?;
        Ok(model)
    }

    /// Reads a file that a training on labelled sequences wrote.
    ///
    /// # Errors
    /// Those of [`Checkpoint::read`], [`ClassifyError::NoLabels`] for one without a table of labels, and those of [`new`](Self::new).
    pub fn open(path: impl AsRef<Path>) -> Result<Model, ClassifyError> {
        let path = path.as_ref();
        let saved: Checkpoint = Checkpoint::read(path)?;
        let broken = |cause: Box<dyn std::error::Error + Send + Sync>| {
            ClassifyError::Cell(Error::NotParameters {
                path: path.to_owned(),
                cause,
            })
        };
        let Some(setup) = saved.note(SETUP) else {
            return Err(ClassifyError::NoLabels {
                path: path.to_owned(),
            });
        };
        let setup: Setup = serde_json::from_str(setup).map_err(|e| broken(e.into()))?;
        match setup.is_sane() {
            true => Model::new(&saved, &setup),
            false => Err(broken(
                "its table of labels does not fit its weights".into(),
            )),
        }
    }

    /// Whether a file's notes say that it tells labels.
    #[must_use]
    pub fn is_in(saved: &Checkpoint) -> bool {
        saved.note(SETUP).is_some()
    }

    /// A checkpoint with all that [`open`](Self::open) reads of it beside the cell and its parameters.
    #[must_use]
    pub fn keep_in(&self, saved: Checkpoint) -> Checkpoint {
        let (key, text) = self.setup.note();
        saved.with_note(key, &text)
    }

    /// The cell.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// How sequences are read, and the table of labels.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The labels of these sequences of a panel. What is told of each does not depend on the others, but for the last
    /// digits of f32.
    ///
    /// # Errors
    /// [`ClassifyError::Data`] for a number that is no sequence, or a panel without the model's columns; [`ClassifyError::Sequence`]
    /// for a number far beyond what was trained on; [`ClassifyError::Request`] if a probability is not finite.
    pub fn predict(
        &self,
        panel: &Panel,
        sequences: &[usize],
    ) -> Result<Vec<Prediction>, ClassifyError> {
        check(panel, sequences)?;
        let places = self.setup.places(panel)?;
        self.setup.check_scale(panel, &places, sequences)?;
        let mut session = self.cell.program().build()?.session();
        let mut found: Vec<Option<Prediction>> = vec![None; sequences.len()];
        for numbers in by_length(panel, sequences) {
            let own: Vec<usize> = numbers.iter().map(|&k| sequences[k]).collect();
            let batch = self.setup.gather(panel, &places, &own)?;
            let run = session.run(&self.parameters, &batch)?;
            let logits = run.output(&self.setup.ports.output).unwrap_or_default();
            for (logits, k) in logits.chunks(self.setup.labels.len()).zip(numbers) {
                let place = || panel.place(sequences[k]);
                found[k] = Some(told(panel.ids()[sequences[k]].clone(), logits, place)?);
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// How often it is right on these sequences, those without a label left out. A label that it does not know counts as wrong, and is
    /// behind the others in the report.
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict); [`ClassifyError::Data`] if the panel has no labels, [`ClassifyError::Request`] if none of
    /// the sequences has one.
    pub fn report(&self, panel: &Panel, sequences: &[usize]) -> Result<Report, ClassifyError> {
        self.score(panel, sequences, &self.predict(panel, sequences)?)
    }

    /// [`report`](Self::report) of what was told of these sequences before.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub fn score(
        &self,
        panel: &Panel,
        sequences: &[usize],
        told: &[Prediction],
    ) -> Result<Report, ClassifyError> {
        let texts = texts(panel, &self.setup.label)?;
        check(panel, sequences)?;
        let mut labels = self.setup.labels.clone();
        let unknown = sequences.iter().map(|&k| &texts[k]);
        labels.extend(table_of(unknown.filter(|l| !self.setup.labels.contains(l))));
        let (mut truth, mut predicted) = (Vec::new(), Vec::new());
        for (&k, told) in sequences.iter().zip(told) {
            if let Some(number) = labels.iter().position(|l| *l == texts[k]) {
                truth.push(number);
                predicted.push(told.label);
            }
        }
        Report::of(&labels, &truth, &predicted)
    }

    /// Checks that the cell reads and tells what the setup says, and does not read the label.
    fn check_ports(&self) -> Result<(), ClassifyError> {
        let (tape, ports) = (self.cell.tape(), &self.setup.ports);
        let name = self.cell.name();
        let request = |what: String| Err(ClassifyError::Request(what));
        let g = Graph::from_tape(tape);
        let read = |role| matches!(role, InputRole::Sequence | InputRole::Static);
        let mut inputs = g.inputs().iter().filter(|i| read(i.role));
        if let Some(other) = inputs.clone().find(|i| *i.name != *ports.input) {
            return request(format!(
                "the cell `{name}` also reads `{}`, which no sequence gives it",
                other.name
            ));
        }
        let input = inputs.find(|i| *i.name == *ports.input);
        let mut outputs = g.outputs().iter();
        let output = outputs.find(|o| o.role == OutputRole::Output && *o.name == *ports.output);
        let (Some(input), Some(output)) = (input, output) else {
            return request(format!(
                "to tell labels, the cell `{name}` needs the input `{}` and the output `{}`",
                ports.input, ports.output
            ));
        };
        let (reads, ty) = (g.node(input.value).ty.shape.len(), g.node(output.value).ty);
        if ty.domain != Domain::Row {
            return request(format!(
                "`{}` of the cell `{name}` is not one of each sequence: pool it, as in `mean(y, to=row)`",
                ports.output
            ));
        }
        let (columns, labels) = (self.setup.inputs(), self.setup.labels.len());
        if (reads, ty.shape.len()) != (columns, labels) {
            return request(format!(
                "the cell `{name}` reads {reads} numbers of a step and tells {} labels; the sequences have {columns} to read and {labels} \
                 labels",
                ty.shape.len()
            ));
        }
        let supervised = |role| matches!(role, InputRole::Target | InputRole::Weight);
        let mut inputs = g.inputs().iter();
        match inputs.find(|i| supervised(i.role) && g.depends_on(output.value, i.value)) {
            Some(target) => request(format!(
                "`{}` cannot tell labels: it depends on the target `{}`",
                ports.output, target.name
            )),
            None => Ok(()),
        }
    }
}

/// What logits say.
fn told(
    id: String,
    logits: &[f32],
    place: impl Fn() -> String,
) -> Result<Prediction, ClassifyError> {
    let probabilities: Vec<f64> = log_softmax(logits).iter().map(|l| l.exp()).collect();
    if probabilities.iter().any(|p| !p.is_finite()) {
        return Err(ClassifyError::Request(format!(
            "the probabilities of the sequence {} are not finite: the training diverged, or its numbers are far beyond those of the training",
            place()
        )));
    }
    let best = |best: usize, k: usize| match probabilities[k] > probabilities[best] {
        true => k,
        false => best,
    };
    Ok(Prediction {
        id,
        label: (0..probabilities.len()).fold(0, best),
        probabilities,
    })
}
