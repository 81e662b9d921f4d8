//! Runs the jobs of a study that have no outcome yet, one job per thread.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Instant;

use crate::store::Finished;
use crate::{Job, Outcome, Store, Study, StudyError};
use retrograd::Engine;

/// Receives the progress of a study.
pub trait Progress {
    /// Called before the first job and after each.
    fn done(&mut self, work: Done);
}

/// The progress of a study.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Done {
    /// Jobs that have an outcome.
    pub jobs: usize,
    /// All jobs.
    pub of: usize,
    /// The work that this call has done and still has to do, in units of [`Job::cost`].
    pub cost: (f64, f64),
}

impl<F: FnMut(Done)> Progress for F {
    fn done(&mut self, work: Done) {
        self(work);
    }
}

impl Study {
    /// Runs every job without an outcome in the directory, the longest first, on `threads` threads, and stores each outcome
    /// immediately. Outcomes depend on neither the number of threads nor the order.
    ///
    /// # Errors
    /// The first error of a job or of the file; finished outcomes are kept.
    pub fn run(
        &self,
        directory: &Path,
        threads: usize,
        engine: Engine,
        progress: &mut dyn Progress,
    ) -> Result<Store, StudyError> {
        let mut store = Store::open(directory, engine)?;
        let begun = Instant::now();
        let jobs = self.jobs();
        let mut missing: Vec<Job> = jobs
            .iter()
            .filter(|j| store.get(j).is_none())
            .copied()
            .collect();
        missing.sort_by(|a, b| b.cost().total_cmp(&a.cost()));
        let all: f64 = missing.iter().map(Job::cost).sum();
        let mut done = Done {
            jobs: jobs.len() - missing.len(),
            of: jobs.len(),
            cost: (0.0, all),
        };
        progress.done(done);

        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
        let (report, reports) = mpsc::channel();
        let mut outcomes: Vec<(Job, Outcome, f64)> = Vec::with_capacity(missing.len());
        thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                let (report, next, failed) = (report.clone(), &next, &failed);
                let (store, missing) = (&store, &missing);
                scope.spawn(move || {
                    let stopped = || failed.lock().is_ok_and(|f| f.is_some());
                    while let Some(job) = missing.get(next.fetch_add(1, Ordering::Relaxed))
                        && !stopped()
                    {
                        let start = Instant::now();
                        let outcome = job.run(engine).and_then(|outcome| {
                            let seconds = start.elapsed().as_secs_f64();
                            store.write(job, &outcome, seconds)?;
                            Ok((outcome, seconds))
                        });
                        match outcome {
                            // There is a receiver as long as there is a sender.
                            Ok((outcome, seconds)) => drop(report.send((*job, outcome, seconds))),
                            Err(e) => {
                                let mut failed = failed.lock().expect("nobody panics holding it");
                                failed.get_or_insert(e);
                                return;
                            }
                        }
                    }
                });
            }
            drop(report);
            for (job, outcome, seconds) in reports {
                done.jobs += 1;
                done.cost.0 += job.cost();
                done.cost.1 -= job.cost();
                progress.done(done);
                outcomes.push((job, outcome, seconds));
            }
        });
        if let Some(e) = failed.into_inner().expect("all threads have ended") {
            return Err(e);
        }
        if !outcomes.is_empty() {
            store.finished = Some(Finished {
                jobs: outcomes.len(),
                seconds: begun.elapsed().as_secs_f64(),
                threads: threads.max(1),
                cores: thread::available_parallelism().map_or(1, usize::from),
            });
        }
        for (job, outcome, seconds) in outcomes {
            store.learn(&job, outcome, seconds);
        }
        Ok(store)
    }
}
