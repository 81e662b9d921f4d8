//! Progress bars: on standard error, and only for a person.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use retrograd::intuition::Done;

/// A bar over all training steps.
pub(super) struct Progress {
    bar: ProgressBar,
    epochs: usize,
}

/// A bar over all jobs of a study, hidden unless standard error is a terminal.
pub(super) struct StudyProgress {
    bar: ProgressBar,
}

impl StudyProgress {
    /// A bar that has not begun.
    pub(super) fn new() -> StudyProgress {
        let bar = ProgressBar::with_draw_target(None, target());
        let style = ProgressStyle::with_template("{bar:24} {msg}, at most {eta} left");
        bar.set_style(style.expect("the template is right"));
        bar.enable_steady_tick(Duration::from_secs(1));
        StudyProgress { bar }
    }

    /// Shows how far it is.
    pub(super) fn set(&mut self, done: Done) {
        let (cost, left) = done.cost;
        self.bar.set_length(((cost + left) / 1e6) as u64);
        self.bar.set_position((cost / 1e6) as u64);
        self.bar
            .set_message(format!("{} of {} runs", done.jobs, done.of));
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

impl Progress {
    /// A bar of `steps` steps in `epochs` epochs, hidden unless standard error is a terminal.
    pub(super) fn new(steps: usize, epochs: usize) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(steps as u64), target());
        let style = ProgressStyle::with_template("{bar:24} {msg}, {eta} left");
        bar.set_style(style.expect("the template is right"));
        bar.set_message(format!("epoch 1/{epochs}"));
        Progress { bar, epochs }
    }

    /// One step was made, of the loss `loss`; `examples` were seen in `time` since the start.
    pub(super) fn step(&self, epoch: usize, loss: f64, examples: usize, time: Duration) {
        self.bar.inc(1);
        if !self.bar.is_hidden() {
            let rate = examples as f64 / time.as_secs_f64();
            let epochs = self.epochs;
            self.bar.set_message(format!(
                "epoch {epoch}/{epochs}, loss {loss:.4}, {rate:.0} examples/s"
            ));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
