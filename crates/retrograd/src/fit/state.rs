//! Where a loop of training stands, in its checkpoints.

use serde::{Deserialize, Serialize};

use super::metrics::{EpochMetrics, Stopped};
use crate::carry::Carry;
use crate::error::Error;
use crate::numbers::Float;
use crate::saved::Checkpoint;
use crate::trainer::Trainer;

/// Where it stands.
pub(super) struct State<T: Float> {
    pub(super) epoch: u64,
    /// The batches of the epoch that are done, and the sum of their losses.
    pub(super) batches: u64,
    pub(super) loss: f64,
    pub(super) best: Option<Best<T>>,
    /// The epochs since the best.
    pub(super) waited: u64,
    pub(super) history: Vec<EpochMetrics>,
    /// Why it has ended for good.
    pub(super) stopped: Option<Stopped>,
    /// The states that the last chunk left, if the batches are chunks.
    pub(super) carry: Option<Carry<T>>,
}

/// The best epoch so far.
pub(super) struct Best<T> {
    pub(super) metric: f64,
    pub(super) parameters: Vec<T>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    epoch: u64,
    batches: u64,
    loss: f64,
    best: Option<f64>,
    waited: u64,
    history: Vec<EpochMetrics>,
    stopped: Option<Stopped>,
    /// The rows whose states are carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    carried: Option<usize>,
}

/// The names of note and array in a checkpoint.
const FIT: &str = "fit";
const BEST: &str = "best";

impl<T: Float> State<T> {
    pub(super) fn new() -> State<T> {
        State {
            carry: None,
            epoch: 0,
            batches: 0,
            loss: 0.0,
            best: None,
            waited: 0,
            history: Vec::new(),
            stopped: None,
        }
    }

    pub(super) fn checkpoint(&self, trainer: &Trainer<T>) -> Checkpoint<T> {
        let note = Note {
            epoch: self.epoch,
            batches: self.batches,
            loss: self.loss,
            best: self.best.as_ref().map(|best| best.metric),
            waited: self.waited,
            history: self.history.clone(),
            stopped: self.stopped,
            carried: self.carry.as_ref().map(Carry::rows),
        };
        let text = serde_json::to_string(&note).expect("names and numbers are always JSON");
        let mut saved = trainer.checkpoint().with_note(FIT, &text);
        if let Some(carry) = &self.carry {
            saved = saved.with_carry(FIT, carry);
        }
        match &self.best {
            Some(best) => saved.with_array(BEST, &best.parameters),
            None => saved,
        }
    }

    pub(super) fn of(saved: &Checkpoint<T>) -> Result<State<T>, Error> {
        let note = Note::of(saved)?;
        let best = match note.best {
            None => None,
            Some(metric) => Some(Best {
                metric,
                parameters: saved
                    .array(BEST)
                    .ok_or_else(|| other("it lacks the best parameters".to_owned()))?
                    .to_vec(),
            }),
        };
        Ok(State {
            carry: None,
            epoch: note.epoch,
            batches: note.batches,
            loss: note.loss,
            best,
            waited: note.waited,
            history: note.history,
            stopped: note.stopped,
        })
    }
    /// Takes the states that the last chunk left from the checkpoint.
    pub(super) fn restore_carry(
        &mut self,
        saved: &Checkpoint<T>,
        trainer: &mut Trainer<T>,
    ) -> Result<(), Error> {
        if let Some(rows) = Note::of(saved)?.carried {
            let mut carry = trainer.carry(rows)?;
            saved.restore_carry(FIT, &mut carry)?;
            self.carry = Some(carry);
        }
        Ok(())
    }
}

fn other(difference: String) -> Error {
    Error::OtherTraining { difference }
}

impl Note {
    fn of<T: Float>(saved: &Checkpoint<T>) -> Result<Note, Error> {
        let text = saved.note(FIT);
        let text = text.ok_or_else(|| other("it was not written by such a loop".to_owned()))?;
        serde_json::from_str(text).map_err(|e| other(e.to_string()))
    }
}
