//! [`Study`]: the jobs of each scale.

use crate::Job;
use crate::flow::FlowJob;
use crate::memory::{Look, MemoryJob, Training};
use crate::next::{NextJob, Observed};
use crate::saturation::SaturationJob;
use crate::systems::{Recurrent, System};
use crate::tasks::{MemoryTask, SequenceExtent};

/// The size of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Minutes: few seeds and short lags.
    Quick,
    /// About an hour on two cores.
    Usual,
    /// Days: more seeds, lags up to 1000, more training steps.
    Full,
}

/// The settings of a study; [`Study::jobs`] lists its runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Study {
    /// Its scale.
    pub scale: Scale,
    /// The first seed; the others follow it.
    pub seed: u64,
    /// The number of parameters to choose every system's size for.
    pub parameters: usize,
    /// Error flow.
    pub flow: SequenceExtent,
    /// Seeds of the error flow and of the saturation before training.
    pub flow_seeds: u64,
    /// Lags of the long memory.
    pub lags: Vec<usize>,
    /// Seeds of the long memory.
    pub memory_seeds: u64,
    /// How the long memory is trained.
    pub training: Training,
    /// The lag of the adding problem at which trained cells are measured.
    pub looked_at: usize,
    /// Saturation.
    pub stream: SequenceExtent,
    /// Seeds of the next observation.
    pub next_seeds: u64,
    /// Training steps of the next observation.
    pub next_steps: usize,
}

/// Biases of the keep gate whose error flow is measured.
pub(crate) const BIASES: [f64; 4] = [0.0, 1.0, 3.0, 5.0];

impl Study {
    /// The study of a scale, its random numbers drawn from `seed` and those that follow it.
    pub fn new(scale: Scale, seed: u64) -> Study {
        let usual = Study {
            scale,
            seed,
            parameters: 4000,
            flow: SequenceExtent {
                steps: 200,
                rows: 16,
            },
            flow_seeds: 10,
            lags: vec![10, 50, 100, 200],
            memory_seeds: 3,
            training: Training {
                limit: 4000,
                rows: 32,
                learning_rate: 3e-3,
                clip: 1.0,
                every: 50,
                tested: 256,
            },
            looked_at: 100,
            stream: SequenceExtent {
                steps: 5000,
                rows: 8,
            },
            next_seeds: 5,
            next_steps: 500,
        };
        match scale {
            Scale::Usual => usual,
            Scale::Quick => Study {
                flow_seeds: 3,
                lags: vec![10, 40],
                memory_seeds: 2,
                training: Training {
                    limit: 1500,
                    ..usual.training
                },
                looked_at: 40,
                stream: SequenceExtent {
                    steps: 2000,
                    rows: 4,
                },
                flow: SequenceExtent {
                    steps: 100,
                    rows: 8,
                },
                next_seeds: 2,
                ..usual
            },
            Scale::Full => Study {
                lags: vec![10, 50, 100, 200, 500, 1000],
                memory_seeds: 5,
                training: Training {
                    limit: 20_000,
                    ..usual.training
                },
                flow_seeds: 20,
                next_seeds: 10,
                ..usual
            },
        }
    }

    /// Every run, in the report's order.
    pub fn jobs(&self) -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::new();
        for system in flow_systems() {
            let seeds = self.seeds(self.flow_seeds);
            jobs.extend(seeds.map(|seed| self.flow(system, seed)));
        }
        for system in stream_systems() {
            let seeds = self.seeds(self.flow_seeds);
            jobs.extend(seeds.map(|seed| self.saturation(system, seed)));
        }
        for task in MemoryTask::ALL {
            for system in memory_systems() {
                for &lag in &self.lags {
                    let seeds = self.seeds(self.memory_seeds);
                    jobs.extend(seeds.map(|seed| self.memory(system, task, lag, seed)));
                }
            }
        }
        for data in Observed::ALL {
            for system in System::all() {
                let seeds = self.seeds(self.next_seeds);
                jobs.extend(seeds.map(|seed| self.next(data, system.cell, seed)));
            }
        }
        jobs
    }

    /// `count` seeds, beginning with the study's own.
    pub(crate) fn seeds(&self, count: u64) -> impl Iterator<Item = u64> + use<> {
        let first = self.seed;
        (0..count).map(move |k| first.wrapping_add(k))
    }

    pub(crate) fn flow(&self, system: System, seed: u64) -> Job {
        Job::Flow(FlowJob {
            system,
            parameters: self.parameters,
            seed,
            extent: self.flow,
        })
    }

    pub(crate) fn saturation(&self, system: System, seed: u64) -> Job {
        Job::Saturation(SaturationJob {
            system,
            parameters: self.parameters,
            seed,
            extent: self.stream,
        })
    }

    pub(crate) fn memory(&self, system: System, task: MemoryTask, lag: usize, seed: u64) -> Job {
        let look = Look {
            sequences: self.flow.rows,
            stream: self.stream,
        };
        let looked_at = task == MemoryTask::Adding && lag == self.looked_at;
        Job::Memory(MemoryJob {
            system,
            task,
            lag,
            parameters: self.parameters,
            seed,
            training: self.training,
            look: looked_at.then_some(look),
        })
    }

    pub(crate) fn next(&self, data: Observed, cell: &'static str, seed: u64) -> Job {
        Job::Next(NextJob {
            data,
            cell,
            parameters: self.parameters,
            seed,
            steps: self.next_steps,
            window: 64,
            batch: 32,
            learning_rate: 3e-3,
            dropout: 0.4,
            clip: 1.0,
        })
    }
}

/// The systems whose error flow is measured before training: every cell with uniform and orthogonal recurrent weights, and each of
/// these with every bias of its keep gate, if it has one. The IRNN's recurrent weights are the identity.
pub(crate) fn flow_systems() -> Vec<System> {
    let mut systems = Vec::new();
    for system in System::all() {
        for recurrent in [Recurrent::Zoo, Recurrent::Orthogonal] {
            if system.cell == "irnn" && recurrent == Recurrent::Orthogonal {
                continue;
            }
            let system = system.with(recurrent);
            match system.keep_bias {
                None => systems.push(system),
                Some(_) => systems.extend(BIASES.map(|b| system.keeping(b))),
            }
        }
    }
    systems
}

/// The systems that read a long stream: the identity recurrence, rectified and with tanh, beside the others.
pub(crate) fn stream_systems() -> Vec<System> {
    let irnn = System::named("irnn");
    let mut systems = vec![
        irnn,
        System {
            wide_input: true,
            ..irnn
        },
        System::named("rnn").with(Recurrent::Identity),
    ];
    systems.extend(System::all().filter(|s| s.cell != "irnn"));
    systems
}

/// The systems that train on the tasks: every cell, and the plain recurrent network with orthogonal weights too.
pub(crate) fn memory_systems() -> Vec<System> {
    let mut systems: Vec<System> = System::all().collect();
    systems.insert(1, System::named("rnn").with(Recurrent::Orthogonal));
    systems
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_job_of_every_scale_has_a_key_of_its_own() {
        for scale in [Scale::Quick, Scale::Usual, Scale::Full] {
            let jobs = Study::new(scale, 1).jobs();
            let keys: HashSet<String> = jobs.iter().map(Job::key).collect();
            assert_eq!(keys.len(), jobs.len());
            let other = Study::new(scale, 1001).jobs();
            assert!(other.iter().all(|j| !keys.contains(&j.key())));
        }
    }
}
