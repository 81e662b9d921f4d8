//! The time of a training step, with compiled code and with the interpreter on the same batch.

use std::time::{Duration, Instant};

use retrograd::{Adam, Batch, Cell, Engine, Error, Trainer};

use super::args::TrainingArgs;

/// The fewest runs, however long they take …
const FEWEST_RUNS: usize = 3;
/// … and the time to fill with runs.
const TIME: Duration = Duration::from_millis(700);

/// The times of both engines.
pub(super) struct Timing {
    /// The programs for training and for forecasting.
    pub(super) compile: Duration,
    /// A training step, compiled.
    pub(super) jit: Duration,
    /// A training step, interpreted.
    pub(super) tape: Duration,
}

/// Times training steps (forward, backward, Adam) on one batch: the fastest of several, since slower runs are due to other work on
/// the machine.
pub(super) fn measure(cell: &Cell, batch: &Batch, options: &TrainingArgs) -> Result<Timing, Error> {
    let trainer = |engine| {
        let settings = Trainer::builder(cell.clone(), Adam::new(1e-6)).engine(engine);
        settings
            .threads(options.threads)
            .unroll(options.unroll.unwrap_or_default())
            .precision(options.precision)
            .build()
    };
    let mut jit = trainer(Engine::Jit)?;
    jit.predict(batch)?;
    let compile = jit.compile_time().unwrap_or_default();
    Ok(Timing {
        compile,
        jit: fastest_step(&mut jit, batch)?,
        tape: fastest_step(&mut trainer(Engine::Tape)?, batch)?,
    })
}

fn fastest_step(trainer: &mut Trainer, batch: &Batch) -> Result<Duration, Error> {
    trainer.step(batch)?;
    let (start, mut fastest, mut runs) = (Instant::now(), Duration::MAX, 0);
    while runs < FEWEST_RUNS || start.elapsed() < TIME {
        let before = Instant::now();
        trainer.step(batch)?;
        fastest = fastest.min(before.elapsed());
        runs += 1;
    }
    Ok(fastest)
}
