//! [`Classifier`]: the readout and the loss that make a cell tell labels.

use std::fmt;
use std::str::FromStr;

use retrograd_tape::{Domain, InputRole, Var};

use super::Setup;
use crate::builder::Builder;
use crate::cell::Cell;
use crate::error::Error;

/// What is read of the steps of a sequence.
///
/// ```
/// use retrograd::classify::Pool;
///
/// assert_eq!("max".parse(), Ok(Pool::Max));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pool {
    /// The mean of the hidden state over all steps: what the label depends on may be anywhere, and each step learns at once.
    #[default]
    Mean,
    /// The hidden state at the last step.
    Last,
    /// The greatest value of each element over all steps.
    Max,
}

impl Pool {
    /// All of them.
    pub const ALL: [Pool; 3] = [Pool::Mean, Pool::Last, Pool::Max];

    /// Its name: mean, last, max.
    pub fn name(self) -> &'static str {
        match self {
            Pool::Mean => "mean",
            Pool::Last => "last",
            Pool::Max => "max",
        }
    }

    #[track_caller]
    fn of(self, h: Var<'_>) -> Var<'_> {
        match (self, h.domain()) {
            (_, Some(Domain::Row)) => h,
            (Pool::Mean, _) => h.mean_to(Domain::Row),
            (Pool::Last, _) => h.last(),
            (Pool::Max, _) => h.max_over_steps("pool"),
        }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Pool {
    type Err = String;

    fn from_str(name: &str) -> Result<Pool, String> {
        let found = Pool::ALL.into_iter().find(|p| p.name() == name);
        found.ok_or_else(|| format!("steps are pooled by mean, last or max, not by `{name}`"))
    }
}

/// A cell that tells which of several labels a sequence has: any recurrence with input "x", and a readout V p + d of its pooled hidden
/// state p, with the parameters `classify.h` and `classify.bias`. The output "logits" `[labels]`, one of each row, has the probabilities
/// as its softmax; the target "label" is the number of the label, a scalar of each row. The loss is the cross entropy.
///
/// ```
/// use retrograd::classify::{Classifier, Pool};
///
/// let cell = Classifier::new(2, 5).pool(Pool::Last).dropout(0.25).cell("leaky", |c, x| {
///     let h = c.state("h", 8);
///     c.next(h, 0.9 * h + c.dense("new", 8, [x]).tanh())
/// })?;
/// assert_eq!(cell.keep_probabilities(), [0.75]);
/// assert_eq!(cell.parameter_count(), 8 * (2 + 1) + 5 * (8 + 1));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Classifier {
    inputs: usize,
    labels: usize,
    pool: Pool,
    dropout: f64,
    smoothing: f64,
    weighted: bool,
}

impl Classifier {
    /// Reads so many numbers of a step, and tells one of so many labels: the mean over steps, without dropout, smoothing and weights.
    pub fn new(inputs: usize, labels: usize) -> Classifier {
        Classifier {
            inputs,
            labels,
            pool: Pool::default(),
            dropout: 0.0,
            smoothing: 0.0,
            weighted: false,
        }
    }

    /// As a setup needs it.
    pub fn of(setup: &Setup) -> Classifier {
        Classifier::new(setup.inputs(), setup.labels().len()).weighted(setup.weights().is_some())
    }

    /// What is read of the steps. A recurrence that returns one value of each row, such as [`Stacked::summary`](crate::Stacked::summary),
    /// is read as it is.
    #[must_use]
    pub fn pool(self, pool: Pool) -> Classifier {
        Classifier { pool, ..self }
    }

    /// Dropout (Srivastava et al. 2014) of what is pooled: in training, the readout reads each element as 0 with this probability.
    #[must_use]
    pub fn dropout(self, dropout: f64) -> Classifier {
        Classifier { dropout, ..self }
    }

    /// Label smoothing (Szegedy et al. 2016): the target is 1 − smoothing for the label, and the rest evenly for all.
    #[must_use]
    pub fn smoothing(self, smoothing: f64) -> Classifier {
        Classifier { smoothing, ..self }
    }

    /// Takes another array, the weight "weight" of each row, by which its loss counts; [`Examples`](super::Examples) gives the weight
    /// of the row's label.
    #[must_use]
    pub fn weighted(self, weighted: bool) -> Classifier {
        Classifier { weighted, ..self }
    }

    /// The cell of a recurrence: a function of the input that returns the new hidden state, a vector, or one value of each row.
    ///
    /// # Errors
    /// Those of the recurrence, [`Error::Cell`] if there are no inputs or no labels, or for a smoothing that is none, and
    /// [`Error::KeepProbability`] unless the dropout is at least 0 and less than 1.
    #[track_caller]
    pub fn cell(
        self,
        name: &str,
        recurrence: impl for<'t> FnOnce(&'t Builder, Var<'t>) -> Var<'t>,
    ) -> Result<Cell, Error> {
        Cell::define(name, |c| {
            let h = recurrence(c, c.input("x", self.inputs));
            self.read_out(c, h);
        })
    }

    /// The readout of a hidden state, with output, target and loss: for a cell whose inputs are others than one "x".
    #[track_caller]
    pub fn read_out<'t>(self, c: &'t Builder, h: Var<'t>) {
        let pooled = self.pool.of(h);
        let pooled = match self.dropout {
            0.0 => pooled,
            rate => c.dropout_over("dropout", pooled, rate, Domain::Row),
        };
        let logits = c.dense("classify", self.labels, [pooled.named("h")]);
        c.output("logits", logits);
        let label = c.input_over("label", InputRole::Target, (), Domain::Row);
        let loss = logits.cross_entropy(label.one_hot(self.labels), self.smoothing);
        match self.weighted {
            true => {
                let weight = c.input_over("weight", InputRole::Weight, (), Domain::Row);
                c.weighted_loss(loss, weight);
            }
            false => c.loss(loss),
        }
    }
}
