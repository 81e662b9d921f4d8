//! Long memory: a system trains on a task at a lag until it solves it or reaches its last step, and can then be inspected.

use retrograd::Observe;
use serde::{Deserialize, Serialize};

use crate::flow::{self, Curves};
use crate::observed::observe;
use crate::saturation::{self, SaturationCurve};
use crate::systems::System;
use crate::tasks::{MemoryTask, SequenceExtent};
use retrograd::Adam;
use retrograd::Cell;
use retrograd::Engine;
use retrograd::Error;
use retrograd::Trainer;
use retrograd::random::stream;

/// The settings of training, which are the same for all systems.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Training {
    /// The greatest number of training steps.
    pub limit: u64,
    /// New sequences per training step.
    pub rows: usize,
    /// Adam's learning rate.
    // Stored results have it in their keys.
    #[serde(rename = "rate")]
    pub learning_rate: f64,
    /// The norm that gradients are clipped to.
    pub clip: f64,
    /// Training steps from one test to the next.
    pub every: u64,
    /// Sequences of the test, the same each time and not trained on.
    pub tested: usize,
}

/// One training run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MemoryJob {
    /// The system to train.
    pub system: System,
    /// The task.
    pub task: MemoryTask,
    /// The lag of the task; see [`MemoryTask`].
    pub lag: usize,
    /// The number of parameters to choose its size for.
    pub parameters: usize,
    /// The seed of parameters and sequences.
    pub seed: u64,
    /// The settings of training.
    pub training: Training,
    /// The measurements of the trained cell, if any.
    pub look: Option<Look>,
}

/// Measurements of a trained cell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Look {
    /// The number of sequences to average the error flow over. They are as long as the training sequences.
    pub sequences: usize,
    /// Saturation.
    pub stream: SequenceExtent,
}

/// The result of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// The training step after which the test was passed.
    pub solved: Option<u64>,
    /// The training step whose loss or gradient was not finite, at which training ended.
    pub diverged: Option<u64>,
    /// The last test's score, see [`MemoryTask::criterion`].
    pub score: f64,
    /// Hidden units.
    pub hidden: usize,
    /// Parameters.
    pub parameters: usize,
    /// The measurements of the trained cell.
    pub seen: Option<Seen>,
}

/// The measurements of a trained cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Error flow.
    pub flow: Curves,
    /// Saturation.
    pub stream: SaturationCurve,
    /// The gates over one sequence, of a cell that has all three.
    pub gates: Option<Gates>,
}

/// Gates of all units at each step of one sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gates {
    /// The input, `[T, inputs]`.
    pub x: Vec<f64>,
    /// The gates by name, each `[T, H]`, to three decimals.
    pub gates: Vec<(String, Vec<f64>)>,
}

/// The gates of the question's memory, and of no other cell all three.
const GATES: [&str; 3] = ["keep", "write", "read"];

impl MemoryJob {
    /// Trains and tests.
    ///
    /// # Errors
    /// [`Error::Compile`], [`Error::NoSuchValue`].
    pub fn run(&self, engine: Engine) -> Result<Learned, Error> {
        let (task, training, ends) = (self.task, self.training, self.task.ends());
        let hidden = self.system.hidden(ends, self.parameters)?;
        let cell = self.system.cell(ends, hidden)?;
        let mut test = stream(self.seed, "intuition", "test");
        let test = task.batch::<f32>(self.lag, training.tested, &mut test);
        let mut rng = stream(self.seed, "intuition", "training");
        let mut trainer = Trainer::builder(cell.clone(), Adam::new(training.learning_rate))
            .engine(engine)
            .seed(self.seed)
            .clip(training.clip)
            .build()?;
        let mut learned = Learned {
            solved: None,
            diverged: None,
            score: f64::NAN,
            hidden,
            parameters: cell.parameter_count(),
            seen: None,
        };
        for step in 1..=training.limit {
            let batch = task.batch::<f32>(self.lag, training.rows, &mut rng);
            match trainer.step(&batch) {
                Ok(_) => {}
                Err(Error::NonFinite { .. }) => learned.diverged = Some(step),
                Err(e) => return Err(e),
            }
            let stop = step == training.limit || learned.diverged.is_some();
            if step % training.every != 0 && !stop {
                continue;
            }
            let tested = trainer.evaluate(&test)?;
            let y = tested.output("y").expect("the system has this output");
            learned.score = task.score(&test, y);
            if task.solved(learned.score) {
                learned.solved = Some(step);
            }
            if stop || learned.solved.is_some() {
                break;
            }
        }
        if !learned.score.is_finite() {
            learned.score = f64::MAX; // JSON has no infinity
        }
        if let Some(look) = self.look {
            let values = trainer.named_parameters().flat_map(|p| p.values);
            let parameters: Vec<f64> = values.map(|&v| f64::from(v)).collect();
            learned.seen = Some(self.look(look, &cell, &parameters, engine)?);
        }
        Ok(learned)
    }

    fn look(
        &self,
        look: Look,
        cell: &Cell,
        parameters: &[f64],
        engine: Engine,
    ) -> Result<Seen, Error> {
        let mut rng = stream(self.seed, "intuition", "error flow");
        let sequences = self.task.last_asked(self.lag, look.sequences, &mut rng);
        let mut rng = stream(self.seed, "intuition", "stream");
        let long = self
            .task
            .endless(look.stream.steps, look.stream.rows, &mut rng);
        Ok(Seen {
            flow: flow::measure(cell, parameters, &sequences, engine)?,
            stream: saturation::measure(cell, parameters, &self.system, &long, engine)?,
            gates: self.gates(cell, parameters, engine)?,
        })
    }

    fn gates(
        &self,
        cell: &Cell,
        parameters: &[f64],
        engine: Engine,
    ) -> Result<Option<Gates>, Error> {
        if GATES.iter().any(|g| cell.tape().find(g).is_none()) {
            return Ok(None);
        }
        let mut rng = stream(self.seed, "intuition", "gates");
        let batch = self.task.batch::<f64>(self.lag, 1, &mut rng);
        let values = GATES.map(Observe::value);
        let gates = observe(cell, parameters, &batch, engine, &values)?;
        let rounded = |g: Vec<f64>| g.iter().map(|v| (v * 1e3).round() / 1e3).collect();
        let x = batch.array("x").expect("a task's batch has it").to_vec();
        let names = GATES.map(str::to_owned).into_iter();
        Ok(Some(Gates {
            x,
            gates: names.zip(gates.into_iter().map(rounded)).collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tasks;
    use super::*;

    fn run(limit: u64, learning_rate: f64) -> Learned {
        run_on(MemoryTask::Order, limit, learning_rate)
    }

    fn run_on(task: MemoryTask, limit: u64, learning_rate: f64) -> Learned {
        let memory = MemoryJob {
            system: System::named("keepwrite"),
            task,
            lag: tasks::SHORTEST,
            parameters: 600,
            seed: 4,
            training: Training {
                limit,
                rows: 16,
                learning_rate,
                clip: 1.0,
                every: 10,
                tested: 64,
            },
            look: Some(Look {
                sequences: 2,
                stream: SequenceExtent { steps: 40, rows: 2 },
            }),
        };
        memory.run(Engine::Jit).unwrap()
    }

    #[test]
    fn a_run_ends_when_the_test_is_passed_and_is_the_same_each_time() {
        let learned = run(2000, 0.01);
        let solved = learned.solved.expect("a short lag is easy");
        assert!(solved < 2000 && solved.is_multiple_of(10) && learned.score >= 0.95);
        assert_eq!(run(2000, 0.01), learned);
        let gates = learned.seen.unwrap().gates.unwrap();
        assert_eq!(gates.gates.len(), 3);
        assert!(
            gates
                .gates
                .iter()
                .all(|(_, g)| g.len() == 10 * learned.hidden)
        );
        assert!(
            gates
                .gates
                .iter()
                .all(|(_, g)| g.iter().all(|v| (0.0..=1.0).contains(v)))
        );
    }

    #[test]
    fn a_cell_of_every_task_is_looked_into_at_the_length_that_it_was_trained_on() {
        for task in MemoryTask::ALL {
            let seen = run_on(task, 1, 1e-3).seen.unwrap();
            assert_eq!(seen.flow["c'"].len(), task.steps(tasks::SHORTEST));
            assert!(seen.flow["h'"][0] > 0.0, "{task:?}");
            assert_eq!(seen.stream.steps.last(), Some(&40));
        }
    }

    #[test]
    fn a_failure_uses_up_its_steps() {
        let learned = run(15, 1e-6);
        assert_eq!((learned.solved, learned.diverged), (None, None));
        assert!(learned.score < 0.95);
    }
}
