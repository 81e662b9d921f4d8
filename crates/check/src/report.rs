//! [`Report`]: what a check found.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::findings::Finding;
use crate::outcome::Skip;

/// What a check found. It serialises; its `Display` is a table, followed by every failure and finding.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The name of what was checked.
    pub name: String,
    /// The seed of the first case.
    pub seed: u64,
    /// Cases that ran; each has a seed of its own.
    pub cases: usize,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// True if the time ended before the cases did.
    pub out_of_time: bool,
    /// What became of each property.
    pub properties: Vec<PropertyReport>,
    /// What is no fault of any engine, but bites.
    pub findings: Vec<Finding>,
}

/// What became of a property.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PropertyReport {
    /// Its name.
    pub name: String,
    /// What holds, in a line.
    pub about: String,
    /// Cases that it was compared on.
    pub cases: usize,
    /// Cases that it could not be compared on, by the reason.
    pub skipped: BTreeMap<Skip, usize>,
    /// The greatest error in units of its tolerance: 1 is the greatest that is accepted. Equality of bits has no error.
    pub worst: f64,
    /// The first failure.
    pub failure: Option<Failure>,
}

/// A case for which a property does not hold.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the case.
    pub seed: u64,
    /// The lengths of its rows.
    pub lengths: Vec<usize>,
    /// What went wrong.
    pub message: String,
    /// The smallest program on which it still does; none if the failure vanishes in every other program.
    pub least: Option<Least>,
    /// Where the engines part.
    pub place: Option<Place>,
}

/// A program, reduced as far as the failure allows.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Least {
    /// Ops that compute something: all nodes but inputs and final states.
    pub ops: usize,
    /// All nodes.
    pub nodes: usize,
    /// The lengths of its rows.
    pub lengths: Vec<usize>,
    /// The seed of its numbers.
    pub seed: u64,
    /// What goes wrong in it.
    pub message: String,
    /// Rust that records it and tries the property, as a test.
    pub rust: String,
    /// The same program as a cell file, if the language has words for its ops.
    pub text: Option<String>,
}

/// The first place at which engines that should agree do not.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Place {
    /// The stage: `rule`, `pass`, `plan`, `code`, `f32`, `stepper`, `threads`, `halves`, `replay`, `rows` or `tangent`.
    pub stage: String,
    /// The pass or the plan's stage, if it is one of those.
    pub pass: Option<String>,
    /// The op, value or gradient that is wrong first.
    pub node: Option<String>,
    /// The line of the user's program that recorded it.
    pub line: Option<String>,
    /// The whole in a sentence.
    pub message: String,
}

impl Report {
    /// True if no property fails. Findings are no failures.
    pub fn passed(&self) -> bool {
        self.properties.iter().all(|p| p.failure.is_none())
    }

    /// The failures, with the names of their properties.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &Failure)> {
        let all = self.properties.iter();
        all.filter_map(|p| Some((p.name.as_str(), p.failure.as_ref()?)))
    }

    /// Does nothing if all properties hold.
    ///
    /// # Panics
    /// With the whole report, if one does not.
    #[track_caller]
    pub fn assert(&self) {
        assert!(self.passed(), "{self}");
    }
}

impl Failure {
    /// One that is not reduced.
    pub fn new(seed: u64, lengths: Vec<usize>, message: String) -> Failure {
        Failure {
            seed,
            lengths,
            message,
            least: None,
            place: None,
        }
    }
}

impl PropertyReport {
    /// That of a property which has not been tried yet.
    pub fn new(name: &str, about: &str) -> PropertyReport {
        PropertyReport {
            name: name.to_owned(),
            about: about.to_owned(),
            cases: 0,
            skipped: BTreeMap::new(),
            worst: 0.0,
            failure: None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = match self.passed() {
            true => "no property fails",
            false => "NOT RIGHT",
        };
        writeln!(
            f,
            "{}: {result}; {} cases from seed {} in {:.1} s{}",
            self.name,
            self.cases,
            self.seed,
            self.seconds,
            if self.out_of_time {
                ", and then time was up"
            } else {
                ""
            }
        )?;
        writeln!(f, "\n  property     cases  worst error ÷ tolerance")?;
        for p in &self.properties {
            let worst = match (&p.failure, p.cases) {
                (Some(_), _) => "FAILS".to_owned(),
                (None, 0) => "-".to_owned(),
                (None, _) if p.worst == 0.0 => "0".to_owned(),
                (None, _) => format!("{:.2e}", p.worst),
            };
            write!(
                f,
                "  {:<12} {:>5}  {worst:<10} {}",
                p.name, p.cases, p.about
            )?;
            let skipped = p.skipped.iter().filter(|(s, _)| **s != Skip::DoesNotApply);
            let skipped: Vec<String> = skipped.map(|(s, n)| format!("{n} {}", s.about())).collect();
            match skipped.is_empty() {
                true => writeln!(f)?,
                false => writeln!(f, " (not compared: {})", skipped.join(", "))?,
            }
        }
        for (name, failure) in self.failures() {
            write!(f, "\n`{name}` fails: {failure}")?;
        }
        for finding in &self.findings {
            writeln!(f, "\nNote: {finding}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.message)?;
        writeln!(
            f,
            "  case of seed {}, rows of lengths {:?}",
            self.seed, self.lengths
        )?;
        if let Some(place) = &self.place {
            writeln!(f, "  where: {}", place.message)?;
        }
        if let Some(least) = &self.least {
            writeln!(
                f,
                "  the smallest program that shows it has {} ops; rows of lengths {:?}: {}\n\n{}",
                least.ops, least.lengths, least.message, least.rust
            )?;
            if let Some(text) = &least.text {
                writeln!(f, "the same as a cell file:\n\n{text}")?;
            }
        }
        Ok(())
    }
}
