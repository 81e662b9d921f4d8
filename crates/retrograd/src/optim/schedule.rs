//! Schedules of learning rates: factors of the optimiser's learning rate, step by step.

use serde::{Deserialize, Serialize};

use super::{not_negative, positive, setting};
use crate::error::Error;

/// A schedule of learning rates, for [`TrainerBuilder::schedule`](crate::TrainerBuilder::schedule): the factor of the optimiser's
/// learning rate at each step. Steps count from 0 here; the first step of training is step 0.
///
/// ```
/// use retrograd::optim::Schedule;
/// use retrograd::{Adam, Trainer, zoo};
///
/// let schedule = Schedule::cosine(1000).warm_up(10);
/// assert_eq!([0, 4, 9, 10, 510].map(|step| schedule.factor(step)), [0.1, 0.5, 1.0, 1.0, 0.5]);
///
/// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 4)?;
/// let trainer = Trainer::builder(cell, Adam::new(1e-2)).schedule(schedule).build()?;
/// assert_eq!(trainer.learning_rate(), 1e-3);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Schedule {
    /// 1.
    #[default]
    Constant,
    /// `factor` to the number of times that `every` steps have passed.
    Step {
        /// Steps between two changes.
        every: u64,
        /// What each change multiplies by.
        factor: f64,
    },
    /// `factor` to the number of steps.
    Exponential {
        /// What each step multiplies by.
        factor: f64,
    },
    /// From 1 down to `least` as half a cosine, again and again (Loshchilov & Hutter 2017, equation 5).
    Cosine {
        /// The steps of the first descent.
        period: u64,
        /// How many times as long each descent is as the one before, at least 1.
        growth: f64,
        /// What it falls to.
        least: f64,
    },
    /// From `first` up to 1 and down to `last`, each as half a cosine (Smith & Topin 2018).
    OneCycle {
        /// All steps; after them it stays `last`.
        steps: u64,
        /// The share of the steps in which it rises.
        rise: f64,
        /// What it begins with.
        first: f64,
        /// What it ends with.
        last: f64,
    },
    /// From 1/`steps` up to 1 in equal steps, then another schedule from its beginning.
    WarmUp {
        /// How many steps it takes.
        steps: u64,
        /// The schedule after it.
        then: Box<Schedule>,
    },
    /// Lower each time that a metric has stopped falling; see [`Trainer::report_metric`](crate::Trainer::report_metric).
    Plateau(Plateau),
}

/// When and how far a learning rate falls on a plateau; see [`Schedule::Plateau`].
///
/// ```
/// use retrograd::optim::{Plateau, Schedule};
///
/// let plateau = Plateau { patience: 5, ..Plateau::new(0.1) };
/// let schedule = Schedule::Plateau(plateau).warm_up(100);
/// assert_eq!(schedule.factor(1_000_000), 1.0, "no metric has been reported");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// What each fall multiplies by.
    pub factor: f64,
    /// How many metrics in a row may not be better than the best without a fall.
    pub patience: u64,
    /// The share of the best metric's magnitude by which another one must be less to be better.
    pub threshold: f64,
    /// How many metrics after a fall are not counted.
    pub cooldown: u64,
    /// The least factor of all falls together.
    pub least: f64,
}

impl Plateau {
    /// A plateau of more than 10 metrics, none of which is a ten-thousandth better than the best.
    pub fn new(factor: f64) -> Plateau {
        Plateau {
            factor,
            patience: 10,
            threshold: 1e-4,
            cooldown: 0,
            least: 0.0,
        }
    }
}

impl Schedule {
    /// A factor every so many steps.
    pub fn step(every: u64, factor: f64) -> Schedule {
        Schedule::Step { every, factor }
    }

    /// A factor every step.
    pub fn exponential(factor: f64) -> Schedule {
        Schedule::Exponential { factor }
    }

    /// From 1 to 0 in `period` steps, again and again.
    pub fn cosine(period: u64) -> Schedule {
        Schedule::Cosine {
            period,
            growth: 1.0,
            least: 0.0,
        }
    }

    /// One cycle over all of `steps`: up from 1/25 in three tenths of them, then down to 4·10⁻⁶.
    pub fn one_cycle(steps: u64) -> Schedule {
        Schedule::OneCycle {
            steps,
            rise: 0.3,
            first: 0.04,
            last: 4e-6,
        }
    }

    /// The same after so many steps of warm-up.
    #[must_use]
    pub fn warm_up(self, steps: u64) -> Schedule {
        Schedule::WarmUp {
            steps,
            then: Box::new(self),
        }
    }

    /// The factor at a step, the first being 0, if no metric was reported.
    pub fn factor(&self, step: u64) -> f64 {
        self.at(step, 1.0)
    }

    fn at(&self, step: u64, of_plateau: f64) -> f64 {
        let t = step as f64;
        match self {
            Schedule::Constant => 1.0,
            Schedule::Step { every, factor } => factor.powf((step / (*every).max(1)) as f64),
            Schedule::Exponential { factor } => factor.powf(t),
            Schedule::Cosine {
                period,
                growth,
                least,
            } => {
                let period = (*period).max(1) as f64;
                let (start, length) = descent(t, period, *growth);
                least + (1.0 - least) * half_cosine(((t - start) / length).clamp(0.0, 1.0))
            }
            Schedule::OneCycle {
                steps,
                rise,
                first,
                last,
            } => {
                let (top, end) = (rise * *steps as f64 - 1.0, *steps as f64 - 1.0);
                match t {
                    t if t <= top => 1.0 + (first - 1.0) * half_cosine(t / top.max(1.0)),
                    t if t < end => {
                        last + (1.0 - last) * half_cosine((t - top.max(0.0)) / (end - top.max(0.0)))
                    }
                    _ => *last,
                }
            }
            Schedule::WarmUp { steps, then } => match step < *steps {
                true => (t + 1.0) / *steps as f64,
                false => then.at(step - steps, of_plateau),
            },
            Schedule::Plateau(_) => of_plateau,
        }
    }

    fn plateau(&self) -> Option<&Plateau> {
        match self {
            Schedule::WarmUp { then, .. } => then.plateau(),
            Schedule::Plateau(plateau) => Some(plateau),
            _ => None,
        }
    }

    /// Refuses settings that make no sense.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let least_one = |what, x: u64| setting(what, x as f64, "at least 1", |x| x >= 1.0);
        match self {
            Schedule::Constant => Ok(()),
            Schedule::Step { every, factor } => {
                least_one(
                    "the number of steps between two changes of the learning rate",
                    *every,
                )?;
                not_negative("the factor of the learning rate", *factor)
            }
            Schedule::Exponential { factor } => setting(
                "the factor of the learning rate",
                *factor,
                "from 0 to 1",
                |x| (0.0..=1.0).contains(&x),
            ),
            Schedule::Cosine {
                period,
                growth,
                least,
            } => {
                least_one("the period of the learning rate", *period)?;
                let expected = "a finite number of at least 1";
                let fits = |x: f64| x.is_finite() && x >= 1.0;
                setting(
                    "the growth of the learning rate's period",
                    *growth,
                    expected,
                    fits,
                )?;
                not_negative("the least factor of the learning rate", *least)
            }
            Schedule::OneCycle {
                steps,
                rise,
                first,
                last,
            } => {
                least_one("the number of steps of the cycle", *steps)?;
                setting(
                    "the share of the cycle that rises",
                    *rise,
                    "from 0 to 1",
                    |x| (0.0..=1.0).contains(&x),
                )?;
                not_negative("the first factor of the learning rate", *first)?;
                not_negative("the last factor of the learning rate", *last)
            }
            Schedule::WarmUp { then, .. } => then.check(),
            Schedule::Plateau(plateau) => {
                positive("the factor of the learning rate", plateau.factor)?;
                not_negative("the threshold of a better metric", plateau.threshold)?;
                not_negative("the least factor of the learning rate", plateau.least)
            }
        }
    }
}

/// The start and the length of the descent that contains step `t`, if the first has a length of `period` and each is `growth` times
/// as long as the one before.
fn descent(t: f64, period: f64, growth: f64) -> (f64, f64) {
    if growth == 1.0 {
        return ((t / period).floor() * period, period);
    }
    // The first n descents together take period (growthⁿ − 1) ÷ (growth − 1).
    let starts = |n: f64| period * (growth.powf(n) - 1.0) / (growth - 1.0);
    let mut n = ((t / period * (growth - 1.0) + 1.0).ln() / growth.ln())
        .floor()
        .max(0.0);
    // The logarithm may round to the wrong side of a whole number.
    if starts(n + 1.0) <= t {
        n += 1.0;
    } else if starts(n) > t {
        n -= 1.0;
    }
    (starts(n), period * growth.powf(n))
}

/// A schedule and the learning rate that it multiplies.
#[derive(Clone, Debug)]
pub(crate) struct Scheduled {
    pub(crate) schedule: Schedule,
    /// The optimiser's learning rate at a factor of 1.
    pub(crate) base: f64,
    pub(crate) seen: Seen,
}

/// What a plateau has seen of the metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    best: Option<f64>,
    not_better: u64,
    cooling: u64,
    factor: f64,
}

impl Scheduled {
    pub(crate) fn new(schedule: Schedule, base: f64) -> Scheduled {
        let seen = Seen {
            best: None,
            not_better: 0,
            cooling: 0,
            factor: 1.0,
        };
        Scheduled {
            schedule,
            base,
            seen,
        }
    }

    /// The learning rate at a step, the first being 0.
    pub(crate) fn rate(&self, step: u64) -> f64 {
        self.base * self.schedule.at(step, self.seen.factor)
    }

    /// Tells the schedule a metric; the less, the better.
    pub(crate) fn report(&mut self, metric: f64) {
        let Some(plateau) = self.schedule.plateau() else {
            return;
        };
        let seen = &mut self.seen;
        let better = (seen.best).is_none_or(|best| metric < best - plateau.threshold * best.abs());
        if better && metric.is_finite() {
            seen.best = Some(metric);
            seen.not_better = 0;
        } else {
            seen.not_better += 1;
        }
        if seen.cooling > 0 {
            seen.cooling -= 1;
            seen.not_better = 0;
        }
        if seen.not_better > plateau.patience {
            seen.factor = (seen.factor * plateau.factor).max(plateau.least);
            seen.cooling = plateau.cooldown;
            seen.not_better = 0;
        }
    }
}

/// The factor of a learning rate that falls to 0 as half a cosine (Loshchilov & Hutter 2017, equation 5), after the share `done` of
/// all steps. Pass the product to [`Trainer::set_learning_rate`](crate::Trainer::set_learning_rate).
///
/// ```
/// use retrograd::optim::half_cosine;
///
/// let rates = [0.0, 0.25, 0.5, 0.75, 1.0].map(|done| 3e-3 * half_cosine(done));
/// assert_eq!((rates[0], rates[4]), (3e-3, 0.0));
/// assert!(rates.is_sorted_by(|before, after| before > after));
/// ```
pub fn half_cosine(done: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}
