//! How each element of a parameter starts, as an expression of random numbers and its place.

use crate::map::Map;

/// An expression that is evaluated once for each element of a parameter. Each random number in it is drawn anew for each
/// element.
///
/// ```
/// use retrograd_tape::{Map, StartExpression as S};
///
/// // -1, -1/2, -1/3: as the diagonal of a state space model may start.
/// let start = S::Apply(Map::Recip, vec![S::Apply(Map::Sub, vec![S::Number(-1.0), S::Index(0)])]);
/// let mut unused = |_: retrograd_tape::Draw| 0.0;
/// let values: Vec<f64> = (0..3).map(|k| start.value(&[k], &mut unused)).collect();
/// assert_eq!(values, [-1.0, -1.0 / 2.0, -1.0 / 3.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum StartExpression {
    /// A number.
    Number(f64),
    /// A random number.
    Random(Draw),
    /// The element's index along an axis, from 0.
    Index(usize),
    /// An element-wise op.
    Apply(Map, Vec<StartExpression>),
}

/// A distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Draw {
    /// Uniform between the two numbers.
    Uniform(f64, f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
}

impl StartExpression {
    /// The value of the element at these indices; those that are missing are 0.
    pub fn value(&self, at: &[usize], draw: &mut impl FnMut(Draw) -> f64) -> f64 {
        match self {
            StartExpression::Number(x) => *x,
            StartExpression::Random(which) => draw(*which),
            StartExpression::Index(axis) => at.get(*axis).map_or(0.0, |&k| k as f64),
            StartExpression::Apply(map, xs) => {
                let xs: Vec<f64> = xs.iter().map(|x| x.value(at, draw)).collect();
                (map.row().eval)(&xs)
            }
        }
    }

    /// The number of axes that the parameter must have for its indices.
    pub fn axes(&self) -> usize {
        match self {
            StartExpression::Number(_) | StartExpression::Random(_) => 0,
            StartExpression::Index(axis) => axis + 1,
            StartExpression::Apply(_, xs) => {
                xs.iter().map(StartExpression::axes).max().unwrap_or(0)
            }
        }
    }
}
