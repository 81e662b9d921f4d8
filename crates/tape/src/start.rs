//! How a parameter starts: by a rule for all its elements, or as an expression of random numbers and its place.

use std::sync::Arc;

use crate::map::Map;

/// The initial value of a parameter. It says what the values are; who runs a cell draws them, from random numbers of his own for each
/// parameter.
///
/// The fan-in of a matrix `[m, n]` is n and its fan-out m; those of a vector `[n]` are n and 1, of a scalar 1 and 1. Each matrix of a
/// value of rank 3 starts as one that stands alone.
///
/// ```
/// use retrograd_tape::{Draw, Init, Map, StartExpression as S};
///
/// // ln of a number uniform between 1 and 16, as the decay of a state space model starts.
/// let log = Init::expression(S::Apply(Map::Ln, vec![S::Random(Draw::Uniform(1.0, 16.0))]));
/// assert_eq!(log, Init::chrono(17.0), "which is that of a forget gate for 17 steps");
/// assert_eq!(Init::Constant(1.0).negative(), Init::Constant(-1.0));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Init {
    /// 0.
    Zeros,
    /// One number for all elements.
    Constant(f64),
    /// Uniform in ±k, k ≥ 0.
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation, at least 0.
    Normal(f64),
    /// Uniform in ±1/√fan-in, as PyTorch's `nn.Linear` (LeCun et al. 1998, "Efficient BackProp", up to a factor of √3). What parameters
    /// have unless they say something else.
    #[default]
    FanIn,
    /// Uniform in ±√(6 ÷ (fan-in + fan-out)) (Glorot & Bengio 2010, equation 16).
    GlorotUniform,
    /// Normal with variance 2 ÷ (fan-in + fan-out) (Glorot & Bengio 2010, equation 12).
    GlorotNormal,
    /// Uniform in ±√(6 ÷ fan-in): for relu (He et al. 2015, equation 10).
    HeUniform,
    /// Normal with variance 2 ÷ fan-in: for relu (He et al. 2015, equation 10).
    HeNormal,
    /// Ones on the diagonal of a matrix, zeros elsewhere.
    Identity,
    /// This number, finite, times a matrix with orthonormal rows or columns, whichever are fewer, uniform among all such (Saxe et al.
    /// 2014; the sign correction is that of Mezzadri 2007, section 5).
    Orthogonal(f64),
    /// An expression for each element, of random numbers and the element's indices: [`Init::expression`].
    Expression(Arc<StartExpression>),
    /// The second, by the random numbers of the parameter of this name: [`Init::like`].
    Like(String, Arc<Init>),
}

impl Init {
    /// An expression for each element.
    pub fn expression(each: StartExpression) -> Init {
        Init::Expression(Arc::new(each))
    }

    /// The chrono initialisation of a forget gate's bias, ln u with u uniform between 1 and `longest` − 1, for dependencies over up to
    /// `longest` steps, more than 2 (Tallec & Ollivier 2018, equation 16). The bias of the input gate begins as its negative: see
    /// [`Init::like`].
    pub fn chrono(longest: f64) -> Init {
        Init::expression(StartExpression::chrono(longest))
    }

    /// The uniform gate initialisation of a bias of `n` elements, −ln(1/u − 1) with u uniform between 1/n and 1 − 1/n: the gate itself
    /// begins uniform (Gu et al. 2020, "Improving the Gating Mechanism of Recurrent Neural Networks", section 3.2).
    pub fn uniform_gate(n: usize) -> Init {
        Init::expression(StartExpression::uniform_gate(n as f64))
    }

    /// The negative of a start, element by element: of a number or an expression. Starts that are symmetric stay as they are.
    #[must_use]
    pub fn negative(self) -> Init {
        match self {
            Init::Constant(x) => Init::Constant(-x),
            Init::Orthogonal(gain) => Init::Orthogonal(-gain),
            Init::Expression(each) => {
                Init::expression(StartExpression::Apply(Map::Neg, vec![(*each).clone()]))
            }
            Init::Like(name, init) => Init::Like(name, Arc::new((*init).clone().negative())),
            other => other,
        }
    }

    /// The same with the random numbers of another parameter, given by its full name: with `Init::chrono(99.0)` for `forget.bias`,
    /// `Init::chrono(99.0).negative().like("forget.bias")` is its negative.
    #[must_use]
    pub fn like(self, parameter: &str) -> Init {
        Init::Like(parameter.to_owned(), Arc::new(self))
    }
}

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
    /// The expression of [`Init::chrono`].
    pub fn chrono(longest: f64) -> StartExpression {
        let u = StartExpression::Random(Draw::Uniform(1.0, longest - 1.0));
        StartExpression::Apply(Map::Ln, vec![u])
    }

    /// The expression of [`Init::uniform_gate`]. One of fewer than two elements is 0.
    pub fn uniform_gate(n: f64) -> StartExpression {
        let least = 1.0 / n.max(2.0);
        let u = StartExpression::Random(Draw::Uniform(least, 1.0 - least));
        let odds = vec![
            StartExpression::Apply(Map::Recip, vec![u]),
            StartExpression::Number(1.0),
        ];
        let log = StartExpression::Apply(Map::Ln, vec![StartExpression::Apply(Map::Sub, odds)]);
        StartExpression::Apply(Map::Neg, vec![log])
    }

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
