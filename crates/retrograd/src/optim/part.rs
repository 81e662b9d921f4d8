//! Parameter groups: what differs between parameters, by patterns of their names.

use std::ops::Range;

use super::{Step, StepError};

/// Settings of the parameters whose names match a pattern, for [`TrainerBuilder::group`](crate::TrainerBuilder::group). In a pattern
/// `*` stands for any characters, none included.
///
/// ```
/// use retrograd::optim::Group;
/// use retrograd::{Adam, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("gru").unwrap(), 2, 8)?;
/// let trainer = Trainer::builder(cell, Adam::new(1e-2).weight_decay(0.01))
///     .group(Group::new("*.bias").weight_decay(0.0))
///     .group(Group::new("forecast.*").learning_rate(0.1)) // a tenth of the optimiser's
///     .build()?;
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Group {
    /// The pattern.
    pub pattern: String,
    /// A factor of the optimiser's learning rate.
    pub learning_rate: Option<f64>,
    /// The weight decay λ instead of the optimiser's.
    pub weight_decay: Option<f64>,
    /// Whether the parameters stay as they are.
    pub frozen: Option<bool>,
}

impl Group {
    /// The parameters whose names match a pattern, with the optimiser's settings.
    pub fn new(pattern: &str) -> Group {
        Group {
            pattern: pattern.to_owned(),
            learning_rate: None,
            weight_decay: None,
            frozen: None,
        }
    }

    /// The same with a factor of the optimiser's learning rate, at least 0.
    #[must_use]
    pub fn learning_rate(self, factor: f64) -> Group {
        Group {
            learning_rate: Some(factor),
            ..self
        }
    }

    /// The same with weight decay λ.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Group {
        Group {
            weight_decay: Some(weight_decay),
            ..self
        }
    }

    /// The same, frozen or, after a group that freezes more, not.
    #[must_use]
    pub fn frozen(self, frozen: bool) -> Group {
        Group {
            frozen: Some(frozen),
            ..self
        }
    }
}

/// Whether a pattern, in which `*` stands for any characters, matches a name. It takes time in proportion to the product of the
/// lengths at most.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // The last star, and the place in the name at which what follows it is tried next.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern.get(p) == Some(&name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, n) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// Neighbouring trained parameters of the same settings, in [`Step::parts`].
///
/// ```
/// use retrograd::optim::Part;
///
/// let part = Part::all(7);
/// assert_eq!((part.range, part.learning_rate, part.weight_decay), (0..7, 1.0, None));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Part {
    /// Where they lie in the flat vectors.
    pub range: Range<usize>,
    /// A factor of the optimiser's learning rate.
    pub learning_rate: f64,
    /// The weight decay, if not the optimiser's.
    pub weight_decay: Option<f64>,
}

impl Part {
    /// All of `n` parameters, with the optimiser's settings.
    pub fn all(n: usize) -> Part {
        Part::new(0..n, 1.0, None)
    }

    pub(crate) fn new(range: Range<usize>, learning_rate: f64, weight_decay: Option<f64>) -> Part {
        Part {
            range,
            learning_rate,
            weight_decay,
        }
    }
}

/// A part of the parameters and what a step knows of it; see [`Step::by_part`].
#[derive(Debug)]
#[non_exhaustive]
pub struct PartStep<'a, T> {
    /// A factor of the optimiser's learning rate.
    pub learning_rate: f64,
    /// The weight decay, if not the optimiser's.
    pub weight_decay: Option<f64>,
    /// The parameters to move.
    pub parameters: &'a mut [T],
    /// The gradient with respect to them, before scaling.
    pub gradient: &'a [T],
}

impl<T> Step<'_, T> {
    /// Calls `each` for each part of the parameters that are trained, with the same part of each of the `N` vectors of memory.
    /// [The module's example](super) uses it.
    ///
    /// # Errors
    /// [`StepError::Memory`], [`StepError::Inconsistent`].
    pub fn by_part<const N: usize>(
        self,
        mut each: impl FnMut(PartStep<'_, T>, [&mut [T]; N]),
    ) -> Result<(), StepError> {
        let found = self.memory.len();
        let memory: &mut [Vec<T>; N] = self
            .memory
            .try_into()
            .map_err(|_| StepError::Memory { needed: N, found })?;
        let n = self.parameters.len();
        if memory.iter().any(|m| m.len() != n) {
            return Err(StepError::Inconsistent);
        }
        for part in self.parts {
            let range = part.range.clone();
            let this = PartStep {
                learning_rate: part.learning_rate,
                weight_decay: part.weight_decay,
                parameters: &mut self.parameters[range.clone()],
                gradient: &self.gradient[range.clone()],
            };
            each(this, memory.each_mut().map(|m| &mut m[range.clone()]));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*.bias", "forget.bias", true),
            ("*.bias", "forget.bias.x", false),
            ("below.*.h", "below.0.forget.h", true),
            ("forget.x", "forget.x", true),
            ("forget", "forget.x", false),
            ("f*t*x", "forget.x", true),
            ("", "x", false),
            ("**a*", "bab", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        let (many, name) = ("a*".repeat(1000) + "b", "a".repeat(10_000));
        assert!(!matches(&many, &name), "and it ends");
    }
}
