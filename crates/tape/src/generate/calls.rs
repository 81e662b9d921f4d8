//! Calls of the recorder that record several ops: gradients inside a step, Einstein sums, what a row has of its steps, and
//! other composites.

use super::grow::{Grow, MOST};
use super::program::Made;
use crate::compose::Composite;
use crate::map::Map;
use crate::op::{Op, Reduction};
use crate::record::Var;
use crate::ty::{Domain, Shape, Type};

/// A call. Its value has the call's name, by which histograms know it.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// Of the first operand, a scalar, with respect to the second.
    Gradient,
    Einsum(String),
    Cumsum(usize),
    ArgMax(usize),
    OneHot(usize),
    GatherAxis(usize),
    Roll(i64, usize),
    /// A power by products; the exponent is not 0 or 1.
    Power(i32),
    MeanOverSteps,
    /// It makes a state of this name.
    MaxOverSteps(String),
    Last,
    First,
    Composite(&'static Composite),
}

impl Call {
    /// What histograms call each: its name, and for composites, which are like ops, what they are over.
    pub(super) fn tags() -> impl Iterator<Item = String> {
        let own = [
            Call::Gradient,
            Call::Einsum(String::new()),
            Call::Cumsum(0),
            Call::ArgMax(0),
            Call::OneHot(1),
            Call::GatherAxis(0),
            Call::Roll(1, 0),
            Call::Power(2),
            Call::MeanOverSteps,
            Call::MaxOverSteps(String::new()),
            Call::Last,
            Call::First,
        ];
        let own = own.into_iter().map(|call| call.name().to_string());
        own.chain(Composite::ALL.map(|c| format!("{} over any domain", c.name)))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Call::Gradient => "gradient inside a step",
            Call::Einsum(_) => "einsum",
            Call::Cumsum(_) => "cumsum",
            Call::ArgMax(_) => "argmax along an axis",
            Call::OneHot(_) => "one_hot",
            Call::GatherAxis(_) => "gather along an axis",
            Call::Roll(..) => "roll",
            Call::Power(_) => "power by products",
            Call::MeanOverSteps => "mean of the steps",
            Call::MaxOverSteps(_) => "maximum of the steps",
            Call::Last => "last step",
            Call::First => "first step",
            Call::Composite(c) => c.name,
        }
    }

    pub(super) fn record<'t>(&self, xs: &[Var<'t>]) -> Var<'t> {
        let x = xs[0];
        match self {
            Call::Gradient => {
                let [slope] = x.gradient([xs[1]]);
                slope
            }
            Call::Einsum(letters) => x.einsum(letters, xs[1]),
            Call::Cumsum(axis) => x.cumsum(*axis),
            Call::ArgMax(axis) => x.argmax_axis(*axis),
            Call::OneHot(n) => x.one_hot(*n),
            Call::GatherAxis(axis) => x.gather_axis(xs[1], *axis),
            Call::Roll(shift, axis) => x.roll(*shift, *axis),
            Call::Power(n) => x.powi(*n),
            Call::MeanOverSteps => x.mean_to(Domain::Row),
            Call::MaxOverSteps(name) => x.max_over_steps(name),
            Call::Last => x.last(),
            Call::First => x.first(),
            Call::Composite(c) => Var::composite(c, xs, c.attribute.map_or(0.0, |(_, a)| a)),
        }
    }

    /// Rust that makes the call.
    pub(super) fn text(&self, xs: &[usize]) -> String {
        let x = xs[0];
        let other = || format!("v{}", xs[1]);
        match self {
            Call::Gradient => format!("v{x}.gradient([{}])[0]", other()),
            Call::Einsum(letters) => format!("v{x}.einsum({letters:?}, {})", other()),
            Call::Cumsum(axis) => format!("v{x}.cumsum({axis})"),
            Call::ArgMax(axis) => format!("v{x}.argmax_axis({axis})"),
            Call::OneHot(n) => format!("v{x}.one_hot({n})"),
            Call::GatherAxis(axis) => format!("v{x}.gather_axis({}, {axis})", other()),
            Call::Roll(shift, axis) => format!("v{x}.roll({shift}, {axis})"),
            Call::Power(n) => format!("v{x}.powi({n})"),
            Call::MeanOverSteps => format!("v{x}.mean_to(Domain::Row)"),
            Call::MaxOverSteps(name) => format!("v{x}.max_over_steps({name:?})"),
            Call::Last => format!("v{x}.last()"),
            Call::First => format!("v{x}.first()"),
            Call::Composite(c) => {
                let xs: Vec<String> = xs.iter().map(|x| format!("v{x}")).collect();
                let (xs, attribute) = (xs.join(", "), c.attribute.map_or(0.0, |(_, a)| a));
                let (all, name) = ("Composite", c.name);
                format!("Var::composite({all}::by_name({name:?}).unwrap(), &[{xs}], {attribute:?})")
            }
        }
    }

    /// The type of its value; `None` if the operands do not fit.
    pub(super) fn infer(&self, xs: &[Type]) -> Option<Type> {
        let x = *xs.first()?;
        let domain = xs.iter().try_fold(x.domain, |d, x| d.join(x.domain))?;
        let of_row = || (x.domain == Domain::Step).then_some((x.shape, Domain::Row));
        let along = |axis: usize| x.shape.without_axis(axis);
        let (shape, domain) = match self {
            Call::Gradient => (xs.get(1)?.shape, domain),
            Call::Einsum(letters) => (einsum_shape(letters, x.shape, xs.get(1)?.shape)?, domain),
            Call::Cumsum(axis) | Call::Roll(_, axis) => {
                x.shape.axis(*axis)?;
                (x.shape, domain)
            }
            Call::ArgMax(axis) | Call::GatherAxis(axis) => (along(*axis)?, domain),
            Call::OneHot(n) => (Shape::Vector(*n), domain),
            Call::Power(_) => (x.shape, domain),
            Call::MeanOverSteps | Call::MaxOverSteps(_) | Call::Last | Call::First => of_row()?,
            Call::Composite(c) if c.reduces => (Shape::Scalar, domain),
            Call::Composite(_) => (x.shape, domain),
        };
        Some(Type::new(shape, domain))
    }
}

/// The shape that the letters of the result give.
fn einsum_shape(letters: &str, a: Shape, b: Shape) -> Option<Shape> {
    let (factors, result) = letters.split_once("->")?;
    let known = factors.chars().filter(|c| *c != ',');
    let sizes: Vec<(char, usize)> = known.zip(a.axes().into_iter().chain(b.axes())).collect();
    let size = |c: char| sizes.iter().find(|(k, _)| *k == c).map(|(_, n)| *n);
    let axes: Option<Vec<usize>> = result.chars().map(size).collect();
    Shape::from_axes(&axes?)
}

impl Grow<'_, '_> {
    fn call(&mut self, call: Call, xs: &[usize]) -> usize {
        let types: Vec<Type> = xs.iter().map(|&x| self.types[x]).collect();
        let ty = call
            .infer(&types)
            .unwrap_or_else(|| panic!("{call:?} of {types:?}"));
        let b = |k: usize| self.bounds[xs[k]];
        let len = |axis: usize| self.shape(xs[0]).axis(axis).unwrap_or(1) as f64;
        let bound = match &call {
            // Those who call it know it.
            Call::Gradient => 1.0,
            Call::Einsum(letters) => self.summed(letters, xs) * b(0) * b(1),
            Call::Cumsum(axis) => len(*axis) * b(0),
            Call::ArgMax(axis) => len(*axis),
            Call::OneHot(_) => 1.0,
            Call::Power(n) if *n < 0 => 4f64.powi(-n),
            Call::Power(n) => b(0).powi(*n),
            Call::Composite(c) if c.name == Composite::MOD.name => b(1),
            // Squares of differences, and sums of shares of differences.
            Call::Composite(c) if c.arity > 1 => {
                let all: f64 = (0..xs.len()).map(b).sum();
                all * (all + self.shape(xs[0]).len() as f64)
            }
            Call::Composite(c) if c.reduces => b(0) + self.shape(xs[0]).len() as f64,
            Call::Composite(_) => 1.1 * b(0) + 1.0,
            Call::GatherAxis(_)
            | Call::Roll(..)
            | Call::MeanOverSteps
            | Call::MaxOverSteps(_)
            | Call::Last
            | Call::First => b(0),
        };
        let xs = xs.to_vec();
        self.push(Made::Call { call, xs }, ty, bound)
    }

    /// How many products an element of an Einstein sum adds up.
    fn summed(&self, letters: &str, xs: &[usize]) -> f64 {
        let (factors, result) = letters.split_once("->").unwrap_or((letters, ""));
        let axes = xs.iter().flat_map(|&x| self.shape(x).axes());
        let mut counted = String::from(result);
        let mut terms = 1.0;
        for (c, n) in factors.chars().filter(|c| *c != ',').zip(axes) {
            if !counted.contains(c) {
                counted.push(c);
                terms *= n as f64;
            }
        }
        terms
    }

    /// One of them, over the present domain.
    pub(super) fn composite(&mut self) -> usize {
        match self.c.below(34) {
            0..=2 => {
                let here = |g: &Self, v: usize| {
                    g.domain(v) == g.level() && g.shape(v).len() <= MOST && g.shape(v).rank() > 0
                };
                let of = self.find(here);
                let of = of.unwrap_or_else(|| {
                    let n = self.size();
                    self.fresh(Shape::Vector(n))
                });
                self.slope(of)
            }
            4..=6 => self.einsum(),
            7 => {
                let (x, axis) = self.with_an_axis();
                let n = self.shape(x).axis(axis).unwrap_or(1);
                let x = self.tame(x, 16.0 / n as f64);
                self.call(Call::Cumsum(axis), &[x])
            }
            3 | 8 => {
                let (x, axis) = self.with_an_axis();
                self.call(Call::ArgMax(axis), &[x])
            }
            9 => {
                let n = self.size();
                let index = self.index(n);
                self.call(Call::OneHot(n), &[index])
            }
            10 => {
                let (x, axis) = self.with_an_axis();
                let index = self.index(self.shape(x).axis(axis).unwrap_or(1));
                self.call(Call::GatherAxis(axis), &[x, index])
            }
            11 => {
                let (x, axis) = self.with_an_axis();
                let n = self.shape(x).axis(axis).unwrap_or(1);
                if n == 1 {
                    return x;
                }
                let shift = 1 + self.c.below(n - 1) as i64;
                let shift = if self.c.chance(50) { -shift } else { shift };
                self.call(Call::Roll(shift, axis), &[x])
            }
            12 => {
                let n = self.c.pick(&[2, 3, 4, 7, -1, -2]);
                let x = self.any();
                let x = if n < 0 {
                    self.positive(x)
                } else {
                    self.tame(x, 1.5)
                };
                self.call(Call::Power(n), &[x])
            }
            13..=15 => self.of_the_steps(None),
            _ => {
                let c = self.c.pick(&Composite::ALL);
                self.composed(c)
            }
        }
    }

    fn composed(&mut self, c: &'static Composite) -> usize {
        let x = match c.reduces {
            true => self.vector(),
            false => self.any(),
        };
        let mut xs = vec![self.tame(x, 4.0)];
        // Where a divisor, a share, or the logarithm of a scale.
        while xs.len() < c.arity {
            let y = self.like(self.shape(x));
            xs.push(self.positive(y));
        }
        self.call(Call::Composite(c), &xs)
    }

    /// A value with axes, and one of them.
    fn with_an_axis(&mut self) -> (usize, usize) {
        let x = match self.c.below(3) {
            0 => self.vector(),
            1 => self.matrix(),
            _ => self.tensor(),
        };
        (x, self.c.below(self.shape(x).rank()))
    }

    /// What a row has of its steps, of this shape or any.
    pub(super) fn of_the_steps(&mut self, shape: Option<Shape>) -> usize {
        let x = self.over(Domain::Step, |g| {
            let x = match shape {
                Some(shape) => g.like(shape),
                None => g.any(),
            };
            g.in_all_points(x)
        });
        let call = match self.c.below(4) {
            0 => Call::MeanOverSteps,
            1 => Call::Last,
            2 => Call::First,
            _ => Call::MaxOverSteps(format!("most{}", self.len())),
        };
        self.call(call, &[x])
    }

    /// An Einstein sum of up to three axes each, by letters in any order.
    fn einsum(&mut self) -> usize {
        let a = match self.c.below(3) {
            0 => self.vector(),
            1 => self.matrix(),
            _ => self.tensor(),
        };
        self.einsum_with(a)
    }

    fn einsum_with(&mut self, a: usize) -> usize {
        let axes: Vec<usize> = self.shape(a).axes().into_iter().collect();
        let mut sizes: Vec<(char, usize)> = "ijk".chars().zip(axes).collect();
        let first: String = sizes.iter().map(|(c, _)| *c).collect();
        let n = 1 + self.c.below(4);
        sizes.push(('n', n));
        // Letters of the other factor, and of the result: some of all, in a drawn order.
        let some = |g: &mut Self, from: &[(char, usize)], most: usize| {
            let mut left = from.to_vec();
            let mut taken: Vec<(char, usize)> = Vec::new();
            while !left.is_empty() && taken.len() < 3 && g.c.chance(75) {
                let next = left.remove(g.c.below(left.len()));
                let product: usize = taken.iter().map(|(_, n)| n).product();
                if product * next.1 <= most {
                    taken.push(next);
                }
            }
            taken
        };
        let other = some(self, &sizes, MOST);
        let both: Vec<(char, usize)> = sizes
            .iter()
            .filter(|(c, _)| first.contains(*c) || other.iter().any(|(o, _)| o == c))
            .copied()
            .collect();
        let result = some(self, &both, MOST);
        let word = |letters: &[(char, usize)]| letters.iter().map(|(c, _)| *c).collect::<String>();
        let shape: Vec<usize> = other.iter().map(|(_, n)| *n).collect();
        let b = self.like(Shape::from_axes(&shape).unwrap_or(Shape::Scalar));
        let (a, b) = (self.tame(a, 2.0), self.tame(b, 2.0));
        let (swap, other, result) = (self.c.chance(40), word(&other), word(&result));
        let (letters, xs) = match swap {
            true => (format!("{other},{first}->{result}"), [b, a]),
            false => (format!("{first},{other}->{result}"), [a, b]),
        };
        self.call(Call::Einsum(letters), &xs)
    }

    /// The gradient of a scalar of these points with respect to a value of theirs.
    pub(super) fn slope(&mut self, of: usize) -> usize {
        let mut y = self.tame(of, 2.0);
        let rounds = 1 + self.c.below(3);
        for _ in 0..rounds {
            y = self.energetic(y);
            y = self.tame(y, 2.0);
        }
        let shape = self.shape(y);
        let error = match self.c.chance(50) {
            true => {
                let aim = self.like(shape);
                let aim = self.tame(aim, 1.0);
                self.map(Map::Sub, &[y, aim])
            }
            false => y,
        };
        let square = self.map(Map::Mul, &[error, error]);
        let e = match shape {
            Shape::Scalar => square,
            _ => self.op(Op::Reduce(Reduction::Mean), &[square]),
        };
        let slope = self.call(Call::Gradient, &[e, of]);
        // A square of at most 3, by rounds whose slopes are about 2 at most.
        self.bound_by(slope, 6.0 * f64::from(1u32 << rounds))
    }

    /// A part of an energy: its slope is moderate.
    fn energetic(&mut self, y: usize) -> usize {
        let shape = self.shape(y);
        match (self.c.below(10), shape) {
            (0 | 1, Shape::Vector(_)) => {
                let n = self.size();
                self.dense(y, n)
            }
            (0 | 1, Shape::Matrix(..) | Shape::Tensor(..)) => self.product_with(y),
            (2, _) if shape.rank() > 0 => self.einsum_with(y),
            (3, _) if shape.rank() > 0 => self.softmax(y),
            (4, _) => {
                let other = self.like(shape);
                let other = self.tame(other, 1.0);
                let m = self.c.pick(&[Map::Mul, Map::Max, Map::WithGradient]);
                self.map(m, &[y, other])
            }
            (5, _) => {
                let all = [Map::Relu, Map::Abs, Map::Softplus, Map::Cos, Map::Exp];
                let m = self.c.pick(&all);
                let y = if m == Map::Exp { self.tame(y, 1.0) } else { y };
                self.map(m, &[y])
            }
            (6, _) => {
                let c = self
                    .c
                    .pick(&[&Composite::SILU, &Composite::GELU, &Composite::MISH]);
                self.call(Call::Composite(c), &[y])
            }
            (7, _) if shape.rank() > 0 => {
                let (axis, n) = (self.c.below(shape.rank()), shape.len());
                match self.c.below(3) {
                    0 if shape.rank() > 1 => {
                        let kind = self.c.pick(&[Reduction::Mean, Reduction::Max]);
                        self.op(Op::ReduceAxis { kind, axis }, &[y])
                    }
                    1 => self.slice(y, axis),
                    _ => self.op(Op::Reshape(Shape::Matrix(1, n)), &[y]),
                }
            }
            _ => {
                let all = [Map::Tanh, Map::Sigmoid, Map::Sin, Map::Erf, Map::Softsign];
                let m = self.c.pick(&all);
                self.map(m, &[y])
            }
        }
    }
}
