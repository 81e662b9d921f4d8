//! Progress bars, on standard error if that is a terminal.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use retrograd_study::Done;

/// A bar over all training steps.
pub(super) struct TrainingProgress {
    bar: ProgressBar,
    epochs: usize,
}

/// A bar over all jobs of a study; if standard error is not a terminal, a line now and then.
pub(super) struct StudyProgress {
    bar: ProgressBar,
    /// When it began, and when it last wrote a line.
    begun: Instant,
    told: Option<Instant>,
}

/// From one line to the next.
const LINES: Duration = Duration::from_secs(60);

impl StudyProgress {
    /// A bar that has not begun.
    pub(super) fn new() -> StudyProgress {
        let bar = ProgressBar::with_draw_target(None, target());
        let style = ProgressStyle::with_template("{bar:24} {msg}");
        bar.set_style(style.expect("the template is right"));
        bar.enable_steady_tick(Duration::from_secs(1));
        StudyProgress {
            bar,
            begun: Instant::now(),
            told: None,
        }
    }

    /// Updates the bar.
    pub(super) fn set(&mut self, done: Done) {
        let (cost, left) = done.cost;
        let message = message(done, self.begun.elapsed());
        if self.bar.is_hidden() {
            if self.told.is_none_or(|t| t.elapsed() >= LINES) || done.jobs == done.of {
                eprintln!("{message}");
                self.told = Some(Instant::now());
            }
            return;
        }
        self.bar.set_length(((cost + left) / 1e6) as u64);
        self.bar.set_position((cost / 1e6) as u64);
        self.bar.set_message(message);
    }
}

/// The progress of a study and, once a job has ended, an estimate of the time left.
fn message(done: Done, elapsed: Duration) -> String {
    let (cost, left) = done.cost;
    let runs = format!("{} of {} runs", done.jobs, done.of);
    if cost <= 0.0 || left <= 0.0 {
        return runs;
    }
    let minutes = elapsed.as_secs_f64() * left / cost / 60.0;
    match minutes {
        ..1.5 => format!("{runs}, about a minute left"),
        ..90.0 => format!("{runs}, about {minutes:.0} minutes left"),
        _ => format!("{runs}, about {:.0} hours left", minutes / 60.0),
    }
}

impl Drop for StudyProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Standard error if that is a terminal.
fn target() -> ProgressDrawTarget {
    match io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr_with_hz(10),
        false => ProgressDrawTarget::hidden(),
    }
}

impl TrainingProgress {
    /// A bar of `steps` steps in `epochs` epochs, hidden unless standard error is a terminal.
    pub(super) fn new(steps: usize, epochs: usize) -> TrainingProgress {
        let bar = ProgressBar::with_draw_target(Some(steps as u64), target());
        let style = ProgressStyle::with_template("{bar:24} {msg}, {eta} left");
        bar.set_style(style.expect("the template is right"));
        bar.set_message(format!("epoch 1/{epochs}"));
        TrainingProgress { bar, epochs }
    }

    /// Records a step with its loss, after `examples` examples in `time`.
    pub(super) fn step(&self, step: u64, epoch: usize, loss: f64, examples: usize, time: Duration) {
        self.bar.set_position(step);
        if !self.bar.is_hidden() {
            let rate = examples as f64 / time.as_secs_f64();
            let epochs = self.epochs;
            self.bar.set_message(format!(
                "epoch {epoch}/{epochs}, loss {loss:.4}, {rate:.0} examples/s"
            ));
        }
    }
}

impl Drop for TrainingProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_from_the_first_job_on() {
        let said = |cost, minutes: u64| {
            let done = Done {
                jobs: 3,
                of: 9,
                cost,
            };
            message(done, Duration::from_secs(60 * minutes))
        };
        assert_eq!(said((0.0, 9.0), 5), "3 of 9 runs");
        assert_eq!(said((1.0, 9.0), 1), "3 of 9 runs, about 9 minutes left");
        assert_eq!(said((1.0, 9.0), 20), "3 of 9 runs, about 3 hours left");
        assert_eq!(said((9.0, 1.0), 1), "3 of 9 runs, about a minute left");
        assert_eq!(said((9.0, 0.0), 1), "3 of 9 runs");
    }
}
