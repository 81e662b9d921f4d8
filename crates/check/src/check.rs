//! [`check`]: all properties over many cases.

use std::time::{Duration, Instant};

use retrograd_graph::Target;

use crate::findings::{Tally, findings};
use crate::numerics::Numerics;
use crate::outcome::{Outcome, Skip};
use crate::property::{PROPERTIES, Property, compiles};
use crate::random::Random;
use crate::report::{Failure, PropertyReport, Report};
use crate::sample::Sample;
use crate::shrink::{Reduced, reduced};
use crate::subject::{Program, Subject};

/// How much is checked.
///
/// ```
/// use std::time::Duration;
/// use retrograd_check::CheckOptions;
///
/// let thorough = CheckOptions::default().cases(1000).time(Duration::from_secs(600)).seed(7);
/// assert_eq!(thorough.cases, 1000);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckOptions {
    /// Every random number follows from it: the same seed checks the same cases.
    pub seed: u64,
    /// Cases: each is a program of some sizes, rows of some lengths, and values, on which every property is tried.
    pub cases: usize,
    /// No case begins after this time, and nothing is reduced for longer than it.
    pub time: Duration,
    /// The machine that is compiled for: one of those that this one runs, another for each case, if it is none.
    pub target: Option<Target>,
    /// The properties; empty for all.
    pub properties: Vec<&'static Property>,
    /// Whether to look for what is no fault but bites.
    pub findings: bool,
    /// Whether to end with the first case that has a failure.
    pub until_failure: bool,
}

impl Default for CheckOptions {
    /// Thirty cases within twenty seconds, of all properties.
    fn default() -> CheckOptions {
        CheckOptions {
            seed: 1,
            cases: 30,
            time: Duration::from_secs(20),
            target: None,
            properties: Vec::new(),
            findings: true,
            until_failure: false,
        }
    }
}

impl CheckOptions {
    /// The seed of all random numbers.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        CheckOptions { seed, ..self }
    }

    /// The number of cases.
    #[must_use]
    pub fn cases(self, cases: usize) -> Self {
        CheckOptions { cases, ..self }
    }

    /// The time after which no case begins.
    #[must_use]
    pub fn time(self, time: Duration) -> Self {
        CheckOptions { time, ..self }
    }

    /// Only the properties of these names; unknown ones are ignored.
    #[must_use]
    pub fn only<'n>(self, names: impl IntoIterator<Item = &'n str>) -> Self {
        let properties = names.into_iter().filter_map(Property::find).collect();
        CheckOptions { properties, ..self }
    }

    /// Ends with the first case that has a failure, and tries no other property on it.
    #[must_use]
    pub fn until_failure(self) -> Self {
        CheckOptions {
            until_failure: true,
            ..self
        }
    }

    /// Whether to look for what is no fault but bites.
    #[must_use]
    pub fn findings(self, findings: bool) -> Self {
        CheckOptions { findings, ..self }
    }
}

/// Why nothing could be checked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// No cases.
    #[error("there is nothing to check in 0 cases")]
    NoCases,
    /// There is no program, or it cannot be compiled.
    #[error("`{name}` cannot be checked: {why}")]
    Program {
        /// What was to be checked.
        name: String,
        /// Why it cannot.
        why: String,
    },
}

/// Tries every property on random sizes, lengths and values of `subject`; a failure is reduced and traced.
///
/// ```
/// use retrograd_check::{CheckOptions, check};
/// use retrograd_tape::{InputRole, Recorder, Shape};
///
/// let r = Recorder::new();
/// let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
/// let w = r.param("w", Shape::Matrix(2, 2));
/// let h = r.state("h", Shape::Vector(2), 1, None);
/// r.output("y", r.next(h, (w.matvec(h) + x).tanh()));
/// let report = check(&r.finish("rnn")?, &CheckOptions::default().cases(3))?;
/// assert!(report.passed(), "{report}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// No cases, or a program that cannot be recorded or compiled.
pub fn check(subject: &dyn Subject, options: &CheckOptions) -> Result<Report, CheckError> {
    if options.cases == 0 {
        return Err(CheckError::NoCases);
    }
    let mut run = Run {
        subject,
        options,
        start: Instant::now(),
        properties: match options.properties.is_empty() {
            true => PROPERTIES.iter().collect(),
            false => options.properties.clone(),
        },
        reports: Vec::new(),
        tally: Tally::default(),
        least: Vec::new(),
    };
    run.reports = (run.properties.iter())
        .map(|p| PropertyReport::new(p.name, p.about))
        .collect();
    let mut random = Random::new(options.seed);
    let mut done = 0;
    // A first case always runs.
    while done < options.cases && (done == 0 || run.start.elapsed() < options.time) && !run.over() {
        let seed = random.bits() >> 40;
        run.case(seed, done == 0)?;
        done += 1;
    }
    let findings = match options.findings {
        true => findings(subject, options.seed, &run.tally),
        false => Vec::new(),
    };
    Ok(Report {
        name: subject.name(),
        seed: options.seed,
        cases: done,
        seconds: run.start.elapsed().as_secs_f64(),
        out_of_time: done < options.cases && !run.over(),
        properties: run.reports,
        findings,
    })
}

struct Run<'a> {
    subject: &'a dyn Subject,
    options: &'a CheckOptions,
    start: Instant,
    properties: Vec<&'static Property>,
    reports: Vec<PropertyReport>,
    tally: Tally,
    /// What failures were reduced to: another property may fail on the same.
    least: Vec<Reduced>,
}

impl Run<'_> {
    /// True if one failure is enough, and there is one.
    fn over(&self) -> bool {
        self.options.until_failure && self.reports.iter().any(|r| r.failure.is_some())
    }

    fn refused(&self, why: String) -> CheckError {
        CheckError::Program {
            name: self.subject.name(),
            why,
        }
    }

    /// All properties that have not failed yet, on the case of a seed.
    fn case(&mut self, seed: u64, first: bool) -> Result<(), CheckError> {
        let program = match first {
            true => self.subject.program(),
            false => self.subject.drawn(&mut Random::new(seed)),
        };
        let program = program.map_err(|why| self.refused(why))?;
        let target = self
            .options
            .target
            .unwrap_or_else(|| crate::runs::drawn(seed));
        let mut sample = program.sample(seed, target);
        if first {
            compiles(&sample).map_err(|e| self.refused(e.to_string()))?;
        }
        let Ok(numerics) = Numerics::of(&mut sample) else {
            self.reports.iter_mut().for_each(|r| {
                *r.skipped.entry(Skip::DoesNotApply).or_default() += 1;
            });
            return Ok(());
        };
        self.tally.add(&numerics);
        for k in 0..self.properties.len() {
            let late = self.start.elapsed() > self.options.time && !first;
            if self.reports[k].failure.is_some() || late || self.over() {
                continue;
            }
            match self.properties[k].on(&sample, &numerics) {
                Outcome::Holds(share) => {
                    self.reports[k].cases += 1;
                    self.reports[k].worst = self.reports[k].worst.max(share);
                }
                Outcome::Skipped(skip) => *self.reports[k].skipped.entry(skip).or_default() += 1,
                Outcome::Fails(message) => {
                    self.reports[k].cases += 1;
                    self.reports[k].failure = Some(self.failure(k, &program, &sample, message));
                }
            }
        }
        Ok(())
    }

    fn failure(
        &mut self,
        k: usize,
        program: &Program,
        sample: &Sample<'_>,
        message: String,
    ) -> Failure {
        // Each gets a part of the time, and the first one most.
        let time = self.options.time / (2 * (1 + self.least.len() as u32));
        let end = Instant::now() + time;
        let property = self.properties[k];
        let found = reduced(property, program, sample, &self.least, end);
        let (least, place) = match found {
            Some(found) => {
                let shown = (Some(found.least.clone()), found.place.clone());
                self.least.push(found);
                shown
            }
            None => (None, None),
        };
        Failure {
            seed: sample.seed,
            lengths: sample.lengths.of_rows().to_vec(),
            message,
            least,
            place,
        }
    }
}
