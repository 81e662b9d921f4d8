//! Synthetic tasks of long memory: their inputs, their answers, and when they count as solved.
//!
//! - **Adding** (Hochreiter & Schmidhuber, Neural Computation 9 (1997), section 5.4, in the form of Le et al., arXiv:1504.00941,
//!   section 4.1): each step has a number uniform in 0..1 and a mark; two steps are marked, one in either half. The answer at the
//!   last step is the sum of the two marked numbers. The constant answer 1 has a mean squared error of 1/6.
//! - **Copy** (in the tradition of Hochreiter & Schmidhuber; form of Arjovsky et al., arXiv:1511.06464, section 5.1): [`ITEMS`]
//!   symbols of an alphabet of [`ALPHABET`], then blanks, then a sign, after which the answer is the symbols in their order, with
//!   blanks as input. Guessing gets 1 in [`ALPHABET`] right.
//! - **Temporal order** (Hochreiter & Schmidhuber 1997, section 5.6, experiment 6a): symbols X or Y at two places, one in the
//!   second tenth of the sequence, one in the sixth, other symbols elsewhere. The answer at the last step is the class: XX, XY, YX
//!   or YY. Guessing gets a quarter right.
//!
//! The *lag* is the length of the sequence in adding and order, and the number of steps between the last symbol and the
//! first answer in copy.

use rand::{Rng, RngExt};
use retrograd::Extent;
use serde::{Deserialize, Serialize};

use crate::systems::Ends;
use retrograd::Batch;
use retrograd::Float;

/// Symbols of the copy task.
pub const ALPHABET: usize = 4;
/// Symbols to be copied.
pub const ITEMS: usize = 3;
/// Symbols of the temporal order: X, Y and four others.
const SYMBOLS: usize = 6;
/// The average number of steps between marks in an endless stream of the adding problem.
pub const MARKED_EVERY: usize = 50;
/// The shortest lag of all tasks.
pub const SHORTEST: usize = 10;

/// The length and the number of sequences.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SequenceExtent {
    /// Steps.
    pub steps: usize,
    /// Sequences.
    pub rows: usize,
}

/// A task; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryTask {
    /// The adding problem.
    Adding,
    /// The copy task.
    Copy,
    /// Temporal order.
    Order,
}

impl MemoryTask {
    /// All of them.
    pub const ALL: [MemoryTask; 3] = [MemoryTask::Adding, MemoryTask::Copy, MemoryTask::Order];

    /// Its name for display.
    pub fn name(self) -> &'static str {
        match self {
            MemoryTask::Adding => "adding problem",
            MemoryTask::Copy => "copy task",
            MemoryTask::Order => "temporal order",
        }
    }

    pub(crate) fn ends(self) -> Ends {
        let (inputs, outputs, classes) = match self {
            MemoryTask::Adding => (2, 1, false),
            MemoryTask::Copy => (ALPHABET + 2, ALPHABET, true),
            MemoryTask::Order => (SYMBOLS, 4, true),
        };
        Ends {
            inputs,
            outputs,
            classes,
        }
    }

    /// Steps of a sequence.
    pub fn steps(self, lag: usize) -> usize {
        match self {
            MemoryTask::Adding | MemoryTask::Order => lag,
            MemoryTask::Copy => lag + 2 * ITEMS - 1,
        }
    }

    /// The criterion of a solution, on sequences that were not trained on.
    pub fn criterion(self) -> &'static str {
        match self {
            MemoryTask::Adding => "mean squared error below 0.01 (always to answer 1 gets 0.167)",
            MemoryTask::Copy => "at least 95 % of the symbols right (guessing gets 25 %)",
            MemoryTask::Order => "at least 95 % of the sequences right (guessing gets 25 %)",
        }
    }

    /// Whether a score, see `MemoryTask::score`, is a solution.
    pub fn solved(self, score: f64) -> bool {
        match self {
            MemoryTask::Adding => score < 0.01,
            MemoryTask::Copy | MemoryTask::Order => score >= 0.95,
        }
    }

    /// `b` sequences: "x", "target" and "weight", which is 1 where an answer is requested and 0 elsewhere.
    ///
    /// # Panics
    /// If the lag is less than [`SHORTEST`].
    pub(crate) fn batch<T: Float>(self, lag: usize, b: usize, rng: &mut impl Rng) -> Batch<T> {
        assert!(lag >= SHORTEST, "the lag is at least {SHORTEST}");
        let (t, ends) = (self.steps(lag), self.ends());
        let mut sequences = Arrays {
            b,
            ends,
            x: vec![T::ZERO; t * b * ends.inputs],
            target: vec![T::ZERO; t * b * ends.outputs],
            weight: vec![T::ZERO; t * b],
        };
        for row in 0..b {
            match self {
                MemoryTask::Adding => sequences.adding(row, t, rng),
                MemoryTask::Copy => sequences.copy(row, lag, rng),
                MemoryTask::Order => sequences.order(row, t, rng),
            }
        }
        Batch::new(Extent::steps(t).rows(b))
            .with("x", sequences.x)
            .with("target", sequences.target)
            .with("weight", sequences.weight)
    }

    /// The same, but only the last step's answer is requested.
    pub(crate) fn last_asked(self, lag: usize, b: usize, rng: &mut impl Rng) -> Batch<f64> {
        let batch = self.batch::<f64>(lag, b, rng);
        let mut weight = vec![0.0; batch.extent.steps * b];
        let last = weight.len() - b;
        weight[last..].fill(1.0);
        batch.with("weight", weight)
    }

    /// `b` streams of `t` steps of the task's input, without requested answers: of the adding problem, one step in [`MARKED_EVERY`]
    /// is marked; of the others, every symbol is as likely at every step.
    pub(crate) fn endless(self, t: usize, b: usize, rng: &mut impl Rng) -> Batch<f64> {
        let ends = self.ends();
        let mut x = vec![0.0; t * b * ends.inputs];
        for read in x.chunks_exact_mut(ends.inputs) {
            match self {
                MemoryTask::Adding => {
                    read[0] = rng.random::<f64>();
                    read[1] = f64::from(u8::from(rng.random_range(0..MARKED_EVERY) == 0));
                }
                MemoryTask::Copy | MemoryTask::Order => {
                    read[rng.random_range(0..ends.inputs)] = 1.0
                }
            }
        }
        Batch::new(Extent::steps(t).rows(b))
            .with("x", x)
            .with("target", vec![0.0; t * b * ends.outputs])
            .with("weight", vec![0.0; t * b])
    }

    /// How good the answers "y" to a batch are: the mean squared error of the adding problem, else the share of right ones.
    pub(crate) fn score<T: Float>(self, batch: &Batch<T>, y: &[T]) -> f64 {
        let outputs = self.ends().outputs;
        let array = |name| batch.array(name).expect("a task's batch has it");
        let asked = array("weight").iter().map(|w| w.to_f64() > 0.0);
        let answers = y
            .chunks_exact(outputs)
            .zip(array("target").chunks_exact(outputs));
        let asked = answers.zip(asked).filter(|(_, asked)| *asked);
        let (mut sum, mut count) = (0.0, 0.0);
        for ((y, target), _) in asked {
            count += 1.0;
            sum += match self {
                MemoryTask::Adding => (y[0].to_f64() - target[0].to_f64()).powi(2),
                MemoryTask::Copy | MemoryTask::Order => {
                    f64::from(u8::from(greatest(y) == greatest(target)))
                }
            };
        }
        sum / count
    }
}

/// The position of the greatest number.
fn greatest<T: Float>(values: &[T]) -> usize {
    let numbers = values.iter().map(|v| v.to_f64()).enumerate();
    numbers
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(0, |(k, _)| k)
}

struct Arrays<T> {
    b: usize,
    ends: Ends,
    x: Vec<T>,
    target: Vec<T>,
    weight: Vec<T>,
}

impl<T: Float> Arrays<T> {
    fn read(&mut self, step: usize, row: usize, element: usize, value: f64) {
        self.x[(step * self.b + row) * self.ends.inputs + element] = T::from_f64(value);
    }

    fn ask(&mut self, step: usize, row: usize, element: usize, value: f64) {
        self.target[(step * self.b + row) * self.ends.outputs + element] = T::from_f64(value);
        self.weight[step * self.b + row] = T::ONE;
    }

    fn adding(&mut self, row: usize, t: usize, rng: &mut impl Rng) {
        let marked = [rng.random_range(0..t / 2), rng.random_range(t / 2..t)];
        let mut sum = 0.0;
        for step in 0..t {
            let value = rng.random::<f64>();
            self.read(step, row, 0, value);
            if marked.contains(&step) {
                self.read(step, row, 1, 1.0);
                sum += value;
            }
        }
        self.ask(t - 1, row, 0, sum);
    }

    fn copy(&mut self, row: usize, lag: usize, rng: &mut impl Rng) {
        let (blank, sign) = (ALPHABET, ALPHABET + 1);
        let first_answer = ITEMS - 1 + lag;
        for item in 0..ITEMS {
            let symbol = rng.random_range(0..ALPHABET);
            self.read(item, row, symbol, 1.0);
            self.ask(first_answer + item, row, symbol, 1.0);
        }
        for step in ITEMS..first_answer + ITEMS {
            let read = if step == first_answer { sign } else { blank };
            self.read(step, row, read, 1.0);
        }
    }

    fn order(&mut self, row: usize, t: usize, rng: &mut impl Rng) {
        let places = [
            rng.random_range(t / 10..t / 5),
            rng.random_range(t / 2..t * 3 / 5),
        ];
        let symbols = [rng.random_range(0..2), rng.random_range(0..2)];
        for step in 0..t {
            let place = places.iter().position(|&p| p == step);
            let symbol = place.map_or_else(|| rng.random_range(2..SYMBOLS), |k| symbols[k]);
            self.read(step, row, symbol, 1.0);
        }
        self.ask(t - 1, row, 2 * symbols[0] + symbols[1], 1.0);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const B: usize = 40;

    fn batch(task: MemoryTask, lag: usize) -> Batch<f64> {
        task.batch(lag, B, &mut ChaCha8Rng::seed_from_u64(7))
    }

    /// What one row reads at one step.
    fn read(task: MemoryTask, batch: &Batch<f64>, step: usize, row: usize) -> &[f64] {
        let n = task.ends().inputs;
        &batch.array("x").unwrap()[(step * B + row) * n..][..n]
    }

    fn asked(task: MemoryTask, batch: &Batch<f64>, step: usize, row: usize) -> Option<&[f64]> {
        let n = task.ends().outputs;
        let weight = batch.array("weight").unwrap()[step * B + row];
        assert!(weight == 0.0 || weight == 1.0);
        let target = &batch.array("target").unwrap()[(step * B + row) * n..][..n];
        (weight == 1.0).then_some(target)
    }

    #[test]
    fn adding_marks_a_number_in_either_half_and_asks_for_their_sum() {
        for lag in [10, 11, 50] {
            let batch = batch(MemoryTask::Adding, lag);
            assert_eq!(batch.extent.steps, lag);
            for row in 0..B {
                let marked: Vec<usize> = (0..lag)
                    .filter(|&s| read(MemoryTask::Adding, &batch, s, row)[1] == 1.0)
                    .collect();
                assert_eq!(marked.len(), 2);
                assert!(marked[0] < lag / 2 && marked[1] >= lag / 2);
                let sum: f64 = marked
                    .iter()
                    .map(|&s| read(MemoryTask::Adding, &batch, s, row)[0])
                    .sum();
                for step in 0..lag {
                    let asked = asked(MemoryTask::Adding, &batch, step, row);
                    assert_eq!(asked.map(|a| a[0]), (step == lag - 1).then_some(sum));
                }
            }
        }
    }

    #[test]
    fn copy_asks_for_the_symbols_in_their_order_a_lag_after_the_last() {
        for lag in [10, 33] {
            let batch = batch(MemoryTask::Copy, lag);
            assert_eq!(batch.extent.steps, lag + 2 * ITEMS - 1);
            for row in 0..B {
                let symbol = |step| greatest(read(MemoryTask::Copy, &batch, step, row));
                for step in 0..batch.extent.steps {
                    let total: f64 = read(MemoryTask::Copy, &batch, step, row).iter().sum();
                    assert_eq!(total, 1.0);
                    let item = step.checked_sub(ITEMS - 1 + lag);
                    let asked = asked(MemoryTask::Copy, &batch, step, row).map(greatest);
                    assert_eq!(asked, item.map(symbol));
                    let expected = match step {
                        s if s < ITEMS => symbol(s),
                        s if s == ITEMS - 1 + lag => ALPHABET + 1,
                        _ => ALPHABET,
                    };
                    assert_eq!(symbol(step), expected);
                }
                assert!((0..ITEMS).all(|s| symbol(s) < ALPHABET));
            }
        }
    }

    #[test]
    fn order_asks_which_of_x_and_y_came_first() {
        let mut classes = [0; 4];
        for lag in [10, 57] {
            let batch = batch(MemoryTask::Order, lag);
            for row in 0..B {
                let symbol = |step| greatest(read(MemoryTask::Order, &batch, step, row));
                let places: Vec<usize> = (0..lag).filter(|&s| symbol(s) < 2).collect();
                assert_eq!(places.len(), 2);
                assert!((lag / 10..lag / 5).contains(&places[0]));
                assert!((lag / 2..lag * 3 / 5).contains(&places[1]));
                let class = 2 * symbol(places[0]) + symbol(places[1]);
                classes[class] += 1;
                for step in 0..lag {
                    let asked = asked(MemoryTask::Order, &batch, step, row).map(greatest);
                    assert_eq!(asked, (step == lag - 1).then_some(class));
                }
            }
        }
        assert!(classes.iter().all(|&n| n > B / 4), "{classes:?}");
    }

    #[test]
    fn the_right_answer_is_a_solution_and_a_guess_is_none() {
        for task in MemoryTask::ALL {
            let batch = batch(task, 20);
            let target = batch.array("target").unwrap().to_vec();
            let right = task.score(&batch, &target);
            assert!(task.solved(right), "{task:?}: {right}");
            let guess = vec![1.0; target.len()];
            let guess = task.score(&batch, &guess);
            assert!(!task.solved(guess), "{task:?}: {guess}");
        }
    }
}
