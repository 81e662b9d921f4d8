//! A recurrence with a readout and a loss: what forecasts the next row of a series.

use std::fmt;
use std::str::FromStr;

use retrograd_tape::{Domain, InputRole, Var};

use super::Entry;
use crate::builder::Builder;
use crate::cell::Cell;
use crate::error::Error;

/// What a forecast is measured by, and with it what is read out of the hidden state.
///
/// ```
/// use retrograd::zoo::ForecastLoss;
///
/// assert_eq!("gaussian".parse(), Ok(ForecastLoss::Gaussian));
/// assert_eq!((ForecastLoss::Gaussian.width(3), ForecastLoss::Squared.width(3)), (6, 3));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForecastLoss {
    /// The mean of (y − next)².
    #[default]
    Squared,
    /// The mean of |y − next|.
    Absolute,
    /// Huber's loss with δ = 1: half the square up to 1, and from there the line that continues it.
    Huber,
    /// The negative logarithm of a normal density, ½ (s + (y − next)² e⁻ˢ + ln 2π), the mean over columns. The
    /// readout has the logarithm s of each column's variance, too, which is the output `log_variance` (Nix & Weigend 1994).
    Gaussian,
    /// The negative logarithm of Student's density with [`DF`](ForecastLoss::DF) degrees of freedom, for data with outliers. The readout
    /// has the logarithm of each column's scale, too, which is the output `log_scale`.
    StudentT,
    /// The mean of the pinball losses at the [`LEVELS`](ForecastLoss::LEVELS), each of which the readout forecasts: the output
    /// `quantiles`, level by level. The forecast is the median (Koenker & Bassett 1978).
    Quantile,
}

impl ForecastLoss {
    /// All of them.
    pub const ALL: [ForecastLoss; 6] = [
        ForecastLoss::Squared,
        ForecastLoss::Absolute,
        ForecastLoss::Huber,
        ForecastLoss::Gaussian,
        ForecastLoss::StudentT,
        ForecastLoss::Quantile,
    ];

    /// The levels of [`ForecastLoss::Quantile`], which hold intervals of 50, 80, 90 and 95 %.
    pub const LEVELS: [f64; 9] = [0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975];

    /// The degrees of freedom of [`ForecastLoss::StudentT`].
    pub const DF: f64 = 5.0;

    /// Its name: mse, mae, huber, gaussian, student, quantile.
    pub fn name(self) -> &'static str {
        match self {
            ForecastLoss::Squared => "mse",
            ForecastLoss::Absolute => "mae",
            ForecastLoss::Huber => "huber",
            ForecastLoss::Gaussian => "gaussian",
            ForecastLoss::StudentT => "student",
            ForecastLoss::Quantile => "quantile",
        }
    }

    /// The numbers that are read out to forecast so many columns.
    pub fn width(self, columns: usize) -> usize {
        match self {
            ForecastLoss::Squared | ForecastLoss::Absolute | ForecastLoss::Huber => columns,
            ForecastLoss::Gaussian | ForecastLoss::StudentT => columns.saturating_mul(2),
            ForecastLoss::Quantile => columns.saturating_mul(Self::LEVELS.len()),
        }
    }

    /// Declares the outputs of a readout, and returns the forecast and the loss of each of its numbers as a function of what it should
    /// have been.
    #[track_caller]
    fn outputs<'t>(
        self,
        c: &'t Builder,
        read: Var<'t>,
        columns: usize,
    ) -> (Var<'t>, impl Fn(Var<'t>) -> Var<'t>) {
        let at = move |level: usize| read.slice(level * columns, columns);
        let y = match self {
            ForecastLoss::Gaussian | ForecastLoss::StudentT => at(0),
            ForecastLoss::Quantile => at(Self::LEVELS.len() / 2),
            ForecastLoss::Squared | ForecastLoss::Absolute | ForecastLoss::Huber => read,
        };
        c.output("y", y);
        match self {
            ForecastLoss::Gaussian => c.output("log_variance", at(1)),
            ForecastLoss::StudentT => c.output("log_scale", at(1)),
            ForecastLoss::Quantile => c.output("quantiles", read),
            ForecastLoss::Squared | ForecastLoss::Absolute | ForecastLoss::Huber => {}
        }
        let loss = move |next: Var<'t>| match self {
            ForecastLoss::Squared => (y - next).square(),
            ForecastLoss::Absolute => (y - next).abs(),
            ForecastLoss::Huber => y.huber(next, 1.0),
            ForecastLoss::Gaussian => y.gaussian_nll(next, at(1)),
            ForecastLoss::StudentT => y.student_t_nll(next, at(1), Self::DF),
            ForecastLoss::Quantile => {
                let levels = Self::LEVELS.iter().enumerate();
                let losses = levels.map(|(k, q)| at(k).pinball(next, *q));
                let sum = losses.reduce(|a, b| a + b).expect("there are levels");
                sum * (1.0 / Self::LEVELS.len() as f64)
            }
        };
        (y, loss)
    }
}

impl fmt::Display for ForecastLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ForecastLoss {
    type Err = String;

    fn from_str(name: &str) -> Result<ForecastLoss, String> {
        let found = ForecastLoss::ALL.into_iter().find(|l| l.name() == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = ForecastLoss::ALL.iter().map(|l| l.name()).collect();
            format!(
                "there is no loss `{name}`; the losses are {}",
                names.join(", ")
            )
        })
    }
}

/// A cell that forecasts the next row of a series: any recurrence with input "x" `[columns]`, and a readout of its hidden state,
/// V h' + d with the parameters `forecast.h` and `forecast.bias`, of the width that the loss asks for. The output "y" `[columns]` is
/// the forecast, the target "next" `[columns]` what it should have been.
///
/// ```
/// use retrograd::zoo::{ForecastLoss, Forecaster};
///
/// let cell = Forecaster::new(2).loss(ForecastLoss::Huber).dropout(0.25).cell("leaky", |c, x| {
///     let h = c.state("h", 8);
///     c.next(h, 0.9 * h + c.dense("new", 8, [x]).tanh())
/// })?;
/// assert_eq!(cell.keep_probabilities(), [0.75]);
/// assert!(cell.parameter_specs().any(|p| p.name == "forecast.h"));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Forecaster {
    columns: usize,
    targets: usize,
    dropout: f64,
    loss: ForecastLoss,
    masked: bool,
}

impl Forecaster {
    /// Of so many columns, with the mean squared error and without dropout.
    pub fn new(columns: usize) -> Forecaster {
        Forecaster {
            columns,
            targets: columns,
            dropout: 0.0,
            loss: ForecastLoss::default(),
            masked: false,
        }
    }

    /// Forecasts so many numbers, which need not be as many as it reads: fewer columns, or several rows ahead.
    #[must_use]
    pub fn targets(self, targets: usize) -> Forecaster {
        Forecaster { targets, ..self }
    }

    /// Takes another target, `present`, of 1 for each number that there is and 0 for each that is missing: the loss is the mean over
    /// those that there are.
    #[must_use]
    pub fn masked(self, masked: bool) -> Forecaster {
        Forecaster { masked, ..self }
    }

    /// Dropout (Srivastava et al. 2014) between h' and the forecast, but not in the recurrence (Zaremba et al., arXiv:1409.2329): in
    /// training, the forecast reads each element of h' as 0 with this probability. 0 means no dropout.
    #[must_use]
    pub fn dropout(self, dropout: f64) -> Forecaster {
        Forecaster { dropout, ..self }
    }

    /// The loss.
    #[must_use]
    pub fn loss(self, loss: ForecastLoss) -> Forecaster {
        Forecaster { loss, ..self }
    }

    /// The cell of a recurrence: a function of the input that returns the new hidden state, a vector.
    ///
    /// # Errors
    /// Those of the recurrence, [`Error::Cell`] if there are no columns, and [`Error::KeepProbability`] unless the dropout is at
    /// least 0 and less than 1.
    #[track_caller]
    pub fn cell(
        self,
        name: &str,
        recurrence: impl for<'t> FnOnce(&'t Builder, Var<'t>) -> Var<'t>,
    ) -> Result<Cell, Error> {
        Cell::define(name, |c| {
            let h = recurrence(c, c.input("x", self.columns));
            self.read_out(c, h);
        })
    }

    /// The readout of a hidden state, with outputs, targets and loss: for a cell whose inputs are others than one "x".
    #[track_caller]
    pub fn read_out<'t>(self, c: &'t Builder, h: Var<'t>) {
        let read = match self.dropout {
            0.0 => h,
            rate => c.dropout("dropout", h, rate).named("h"),
        };
        let read = c.dense("forecast", self.loss.width(self.targets), [read]);
        let (y, loss) = self.loss.outputs(c, read, self.targets);
        // What is read out of a whole window is forecast once.
        let domain = match y.domain() {
            Some(Domain::Row) => Domain::Row,
            _ => Domain::Step,
        };
        let target = |name: &str| c.input_over(name, InputRole::Target, self.targets, domain);
        let next = target("next");
        if self.masked {
            let present = target("present");
            // A step without any has a weight of 0, and its loss is not read.
            c.weighted_loss((present * loss(next)).sum() / present.sum(), present.mean());
            return;
        }
        c.loss(match self.loss {
            ForecastLoss::Squared => y.mse(next),
            ForecastLoss::Absolute => y.mae(next),
            _ => loss(next).mean(),
        });
    }
}

/// A [`Forecaster`] of a cell of the zoo, with the mean squared error.
///
/// ```
/// use retrograd::zoo;
///
/// let cell = zoo::forecaster(zoo::find("lstm").unwrap(), 3, 8)?;
/// assert_eq!(cell.parameter_count(), 4 * 8 * (3 + 8 + 1) + 3 * (8 + 1));
/// # Ok::<(), retrograd::Error>(())
/// ```
///
/// # Errors
/// [`Error::Cell`] if `inputs` or `hidden` is 0, [`Error::Text`] if it is no size that a file can have, above 2³² − 1.
#[track_caller]
pub fn forecaster(entry: &Entry, inputs: usize, hidden: usize) -> Result<Cell, Error> {
    forecaster_with_dropout(entry, inputs, hidden, 0.0)
}

/// [`forecaster`] with [dropout](Forecaster::dropout).
///
/// ```
/// use retrograd::zoo;
///
/// let cell = zoo::forecaster_with_dropout(zoo::find("gru").unwrap(), 2, 8, 0.25)?;
/// assert_eq!(cell.keep_probabilities(), [0.75]);
/// # Ok::<(), retrograd::Error>(())
/// ```
///
/// # Errors
/// As [`forecaster`], and [`Error::KeepProbability`] unless `dropout` is at least 0 and less than 1.
#[track_caller]
pub fn forecaster_with_dropout(
    entry: &Entry,
    inputs: usize,
    hidden: usize,
    dropout: f64,
) -> Result<Cell, Error> {
    let forecaster = Forecaster::new(inputs).dropout(dropout);
    forecaster.cell(entry.name, |c, x| entry.layer(c, "", x, hidden))
}
