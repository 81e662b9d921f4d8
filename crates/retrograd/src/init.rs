//! Initial values of parameters. Every parameter draws from a random stream of its own, chosen by seed and name, so that adding,
//! removing or reordering parameters leaves the others unchanged.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use retrograd_tape::{Draw, Init, Shape, StartExpression};

use crate::random::stream;

/// What an initialisation requires of a parameter and this shape does not meet, if anything.
pub(crate) fn unmet_need(init: &Init, shape: Shape) -> Option<&'static str> {
    let matrix = matches!(shape, Shape::Matrix(..) | Shape::Tensor(..));
    match init {
        Init::Identity | Init::Orthogonal(_) if !matrix => Some("it needs a matrix"),
        Init::Constant(x) | Init::Orthogonal(x) if !x.is_finite() => {
            Some("it needs a finite number")
        }
        Init::Expression(each) if each.axes() > shape.rank() => {
            Some("it needs an axis for each index")
        }
        // Whether it is finite does not depend on the name, but for rare draws.
        Init::Expression(each) => {
            let mut rng = stream(0, "parameter", "");
            let mut tried = 0..shape.len().min(MOST_TRIED);
            let all = tried.all(|k| element(each, shape, k, &mut rng).is_finite());
            (!all).then_some("it needs finite numbers in all its elements")
        }
        Init::Uniform(k) | Init::Normal(k) if !(k.is_finite() && *k >= 0.0) => {
            Some("it needs a finite number of at least 0")
        }
        Init::Like(_, init) => unmet_need(init, shape),
        _ => None,
    }
}

/// The values with which the parameter `name` starts, row-major, for a seed. The same on every call.
///
/// ```
/// use retrograd::{Init, Shape, initial_values};
///
/// let u = initial_values(&Init::Orthogonal(1.0), "h.h", Shape::Matrix(2, 2), 1);
/// assert!((u[0] * u[2] + u[1] * u[3]).abs() < 1e-15, "its rows are orthogonal");
/// let again = initial_values(&Init::Orthogonal(1.0), "h.h", Shape::Matrix(2, 2), 1);
/// assert_eq!(u, again, "the same for the same seed and name");
///
/// let forget = initial_values(&Init::chrono(99.0), "forget.bias", Shape::Vector(4), 1);
/// let input = Init::chrono(99.0).negative().like("forget.bias");
/// let input = initial_values(&input, "input.bias", Shape::Vector(4), 1);
/// assert!(forget.iter().zip(&input).all(|(f, i)| *f == -i && (0.0..98.0_f64.ln()).contains(f)));
/// ```
///
/// # Panics
/// If there is no memory for so many; [`Cell::initial_parameters`](crate::Cell::initial_parameters) returns an error instead.
pub fn initial_values(init: &Init, name: &str, shape: Shape, seed: u64) -> Vec<f64> {
    let mut values = Vec::with_capacity(shape.len());
    draw(init, name, shape, seed, |x| values.push(x));
    values
}

/// Passes [`initial_values`] to `give` one by one.
pub(crate) fn draw(init: &Init, name: &str, shape: Shape, seed: u64, mut give: impl FnMut(f64)) {
    let (mut init, mut name) = (init, name);
    while let Init::Like(other, same) = init {
        (init, name) = (same, other);
    }
    let mut rng = stream(seed, "parameter", name);
    let (rows, columns) = match shape {
        // Each of its matrices is as one that stands alone.
        Shape::Tensor(_, m, n) => (m, n),
        Shape::Scalar | Shape::Vector(_) | Shape::Matrix(..) => shape.as_matrix(),
    };
    let (fan_in, fan_out) = (columns as f64, rows as f64);
    let all = 0..shape.len();
    let mut uniform = |k: f64| {
        let uniform = |_| k * (2.0 * rng.random::<f64>() - 1.0);
        all.clone().map(uniform).for_each(&mut give);
    };
    match init {
        Init::Zeros => all.for_each(|_| give(0.0)),
        Init::Constant(x) => all.for_each(|_| give(*x)),
        Init::Uniform(k) => uniform(*k),
        Init::FanIn => uniform(1.0 / fan_in.sqrt()),
        Init::GlorotUniform => uniform((6.0 / (fan_in + fan_out)).sqrt()),
        Init::HeUniform => uniform((6.0 / fan_in).sqrt()),
        Init::Normal(deviation) => all.for_each(|_| give(deviation * normal(&mut rng))),
        Init::GlorotNormal => {
            let deviation = (2.0 / (fan_in + fan_out)).sqrt();
            all.for_each(|_| give(deviation * normal(&mut rng)));
        }
        Init::HeNormal => {
            let deviation = (2.0 / fan_in).sqrt();
            all.for_each(|_| give(deviation * normal(&mut rng)));
        }
        Init::Identity => {
            let diagonal = |k: usize| k / columns % rows == k % columns;
            all.for_each(|k| give(f64::from(u8::from(diagonal(k)))));
        }
        Init::Orthogonal(_) if shape.is_empty() => {}
        Init::Orthogonal(gain) => (0..shape.len() / (rows * columns))
            .flat_map(|_| orthogonal(rows, columns, &mut rng))
            .for_each(|x| give(gain * x)),
        Init::Expression(each) => {
            all.for_each(|k| give(element(each, shape, k, &mut rng)));
        }
        other => unreachable!("{other:?} is one of those above"),
    }
}

/// The most elements of an expression that are tried when the parameter is declared.
const MOST_TRIED: usize = 1 << 16;

/// Element `k` of a parameter that starts as an expression.
fn element(each: &StartExpression, shape: Shape, k: usize, rng: &mut ChaCha8Rng) -> f64 {
    let axes = shape.axes();
    let mut at: Vec<usize> = vec![0; axes.len()];
    let mut rest = k;
    for (index, len) in at.iter_mut().zip(&axes).rev() {
        *index = rest % len;
        rest /= len;
    }
    each.value(&at, &mut |draw| match draw {
        Draw::Uniform(a, b) => a + (b - a) * rng.random::<f64>(),
        Draw::Normal(deviation) => deviation * normal(rng),
    })
}

/// A standard normal number (Box & Muller 1958); the second of each pair is not used.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// Row-major `[rows, columns]`: an orthonormal basis of the span of Gaussian vectors, uniform among all such, as its columns if the
/// matrix is tall and as its rows if it is wide. Gram and Schmidt's process is done twice for each vector, which makes it
/// orthogonal to the last digit (Giraud et al. 2005, "The loss of orthogonality in the Gram-Schmidt orthogonalization
/// process"). Lengths come out positive, so the result is Q of a QR decomposition whose R has a positive diagonal.
fn orthogonal(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let (long, count) = (rows.max(columns), rows.min(columns));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    while basis.len() < count {
        let mut v: Vec<f64> = (0..long).map(|_| normal(rng)).collect();
        for _ in 0..2 {
            for u in &basis {
                let along = dot(u, &v);
                v.iter_mut().zip(u).for_each(|(x, y)| *x -= along * y);
            }
        }
        let length = dot(&v, &v).sqrt();
        // A vector in the span of the others has probability 0 and gives no direction: it is drawn again.
        if length > 1e-8 {
            v.iter_mut().for_each(|x| *x /= length);
            basis.push(v);
        }
    }
    match rows >= columns {
        true => (0..long)
            .flat_map(|r| basis.iter().map(move |v| v[r]))
            .collect(),
        false => basis.concat(),
    }
}

fn dot(u: &[f64], v: &[f64]) -> f64 {
    u.iter().zip(v).map(|(x, y)| x * y).sum()
}
