//! A model at work: what it forecasts from an origin, row after row.

use retrograd_tape::Extent;

use super::setup::Scale;
use super::view::View;
use super::{ForecastError, Head, Scaling, Setup};
use crate::batch::Batch;
use crate::cell::Cell;
use crate::data::DataError;
use crate::random::Rng;
use crate::session::Session;
use crate::stepper::Stepper;

/// A compiled model.
pub(super) struct Machine<'m> {
    setup: &'m Setup,
    parameters: &'m [f32],
    kind: Kind,
}

enum Kind {
    /// A forecast at each row.
    Steps(Box<Stepper>),
    /// A forecast at the end of a window.
    Once(Box<Session>),
}

/// What the cell says of the rows after an origin, in standardised units.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) y: Vec<f64>,
    pub(super) spread: Vec<f64>,
}

/// A point in time up to which a series is known.
pub(super) struct Origin<'o, 'a> {
    setup: &'o Setup,
    /// The states there; None for a model that forecasts once.
    stepper: Option<&'o Stepper>,
    pub(super) view: &'o mut View<'a>,
    pub(super) scale: Scale,
    pub(super) row: usize,
    pub(super) said: Said,
}

impl<'m> Machine<'m> {
    /// Compiles a model.
    pub(super) fn new(
        cell: &Cell,
        parameters: &'m [f32],
        setup: &'m Setup,
        once: bool,
    ) -> Result<Machine<'m>, ForecastError> {
        let kind = match once {
            true => Kind::Once(Box::new(cell.program().build()?.session())),
            false => {
                let stepper = cell.stepper(parameters).build()?;
                if let Some(more) = stepper.inputs().find(|name| *name != setup.ports.input) {
                    return Err(ForecastError::Request(format!(
                        "the cell `{}` also reads `{more}`, which no row of a table gives it",
                        cell.name()
                    )));
                }
                Kind::Steps(Box::new(stepper))
            }
        };
        Ok(Machine {
            setup,
            parameters,
            kind,
        })
    }

    /// Refuses what the model cannot forecast.
    pub(super) fn check(&self, horizon: usize) -> Result<(), ForecastError> {
        let (setup, ahead) = (self.setup, self.setup.horizon);
        let refuse = |why: String| {
            let rows = if ahead == 1 { "row" } else { "rows" };
            Err(ForecastError::Request(format!(
                "the model forecasts {ahead} {rows} at once, and {horizon} are asked for: {why}; train with a horizon of {horizon}"
            )))
        };
        match (&self.kind, setup.columns.observed.first()) {
            _ if horizon <= ahead => Ok(()),
            (Kind::Once(_), _) => refuse("it forecasts from a window of known rows".to_owned()),
            (Kind::Steps(_), Some(name)) => refuse(format!(
                "further ones would read column \"{name}\", which it does not forecast"
            )),
            (Kind::Steps(_), None) => Ok(()),
        }
    }

    /// The first row that can be forecast.
    pub(super) fn first(&self) -> usize {
        let first = match (&self.kind, self.setup.scaling) {
            (Kind::Once(_), _) | (_, Scaling::Window) => self.setup.steps,
            (Kind::Steps(_), Scaling::Column | Scaling::Series) => 1,
        };
        first.max(self.setup.difference.rows())
    }

    /// Goes through a series, and stops at each of these rows, which rise, to forecast it and those after it.
    pub(super) fn walk(
        &mut self,
        id: &str,
        view: &mut View<'_>,
        origins: &[usize],
        mut each: impl FnMut(&mut Origin<'_, '_>) -> Result<(), ForecastError>,
    ) -> Result<(), ForecastError> {
        let (setup, first) = (self.setup, self.first());
        let Some(&start) = origins.first() else {
            return Ok(());
        };
        if start < first {
            return Err(ForecastError::from(DataError::TooShort {
                part: "series",
                rows: start,
                what: "a forecast".to_owned(),
                needed: first,
            }));
        }
        let mut scale = setup.scale(id, view, start)?;
        let mut read = 0;
        if let Kind::Steps(stepper) = &mut self.kind {
            stepper.reset();
        }
        for &row in origins {
            view.forecast.clear();
            if setup.scaling == Scaling::Window {
                scale = setup.scale(id, view, row)?;
            }
            let said = match &mut self.kind {
                Kind::Once(session) => window(setup, self.parameters, session, view, &scale, row)?,
                Kind::Steps(stepper) => {
                    if setup.scaling == Scaling::Window {
                        stepper.reset();
                        read = row - setup.steps;
                    }
                    while read < row {
                        step(setup, stepper, view, &scale, (read, usize::MAX))?;
                        read += 1;
                    }
                    of_stepper(setup, stepper)
                }
            };
            let stepper = match &self.kind {
                Kind::Steps(stepper) => Some(&**stepper),
                Kind::Once(_) => None,
            };
            each(&mut Origin {
                setup,
                stepper,
                view: &mut *view,
                scale: scale.clone(),
                row,
                said,
            })?;
        }
        Ok(())
    }
}

impl Origin<'_, '_> {
    /// The forecast itself, `[horizon, targets]` in the columns' units.
    pub(super) fn point(&mut self, horizon: usize) -> Result<Vec<f64>, ForecastError> {
        self.roll(horizon, |said, k| said.y[k])
    }

    /// A path that is drawn from the distribution that the model forecasts.
    pub(super) fn path(
        &mut self,
        horizon: usize,
        rng: &mut impl Rng,
    ) -> Result<Vec<f64>, ForecastError> {
        let head: &Head = &self.setup.head;
        self.roll(horizon, |said, k| head.draw(&said.y, &said.spread, k, rng))
    }

    /// A quantile that the model itself forecasts for a row, the first being 0, and a target.
    pub(super) fn quantile(&self, row: usize, target: usize, p: f64) -> Option<f64> {
        let k = row * self.setup.columns.targets.len() + target;
        if row >= self.setup.horizon {
            return None;
        }
        let z = (self.setup.head).own_quantile(&self.said.y, &self.said.spread, k, p);
        z.map(|z| self.number((self.row, row), target, z))
    }

    /// A standardised forecast of a target in its units, of row `at + ahead` from the rows before `at`.
    fn number(&self, at: (usize, usize), target: usize, z: f64) -> f64 {
        (self.scale).backwards(self.view, target, at, (self.row, z))
    }

    fn roll(
        &mut self,
        horizon: usize,
        mut draw: impl FnMut(&Said, usize) -> f64,
    ) -> Result<Vec<f64>, ForecastError> {
        let (setup, n) = (self.setup, self.setup.columns.targets.len());
        let at_once = horizon.min(setup.horizon);
        let mut out = Vec::with_capacity(horizon * n);
        for k in 0..at_once * n {
            let z = draw(&self.said, k);
            out.push(self.number((self.row, k / n), k % n, z));
        }
        if horizon > at_once {
            let Some(stepper) = self.stepper else {
                unreachable!("the horizon was checked");
            };
            let mut stepper = stepper.fork();
            self.view.forecast = out.clone();
            for ahead in 0..horizon - at_once {
                let at = (self.row + ahead, self.row);
                step(setup, &mut stepper, self.view, &self.scale, at)?;
                let said = of_stepper(setup, &stepper);
                for column in 0..n {
                    let z = draw(&said, (setup.horizon - 1) * n + column);
                    let from = (self.row + ahead + 1, setup.horizon - 1);
                    let value = self.number(from, column, z);
                    out.push(value);
                    self.view.forecast.push(value);
                }
            }
            self.view.forecast.clear();
        }
        if out.iter().any(|v| !v.is_finite()) {
            return Err(ForecastError::Request(
                "the forecast is not finite: the model diverges when it reads its own forecasts, or its training did".to_owned(),
            ));
        }
        Ok(out)
    }
}

/// Feeds a row.
fn step(
    setup: &Setup,
    stepper: &mut Stepper,
    view: &View<'_>,
    scale: &Scale,
    at: (usize, usize),
) -> Result<(), ForecastError> {
    let mut x = Vec::with_capacity(setup.inputs());
    setup.read(view, scale, at, &mut x);
    stepper.step(&[&x])?;
    Ok(())
}

fn of_stepper(setup: &Setup, stepper: &Stepper) -> Said {
    Said::of(setup, |name| stepper.output(name))
}

/// Runs the window before a row.
fn window(
    setup: &Setup,
    parameters: &[f32],
    session: &mut Session,
    view: &View<'_>,
    scale: &Scale,
    row: usize,
) -> Result<Said, ForecastError> {
    let mut x = Vec::with_capacity(setup.steps * setup.inputs());
    for t in row - setup.steps..row {
        setup.read(view, scale, (t, row), &mut x);
    }
    let batch = Batch::new(Extent::steps(setup.steps)).with(&setup.ports.input, x);
    let results = session.run(parameters, &batch)?;
    Ok(Said::of(setup, |name| results.output(name)))
}

impl Said {
    fn of<'v>(setup: &Setup, output: impl Fn(&str) -> Option<&'v [f32]>) -> Said {
        let wide = |name: &str| -> Vec<f64> {
            let values = output(name).unwrap_or_default();
            values.iter().map(|v| f64::from(*v)).collect()
        };
        let mut said = Said {
            y: wide(&setup.ports.output),
            spread: setup.head.output().map(wide).unwrap_or_default(),
        };
        // Quantiles that cross count in their order, and the forecast is the median among them.
        if let Head::Quantiles(_) = setup.head {
            let quantile = |k| setup.head.own_quantile(&said.y, &said.spread, k, 0.5);
            let medians: Option<Vec<f64>> = (0..said.y.len()).map(quantile).collect();
            said.y = medians.unwrap_or(said.y);
        }
        said
    }
}
