//! How parameters start. Every parameter draws from its own stream of the seed, chosen by its name, so that adding,
//! removing or reordering parameters leaves the others as they were.

use nalgebra::DMatrix;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use retrograd_tape::Shape;

/// What a parameter is before training. The fan-in of a matrix `[m, n]` is n, that of a vector `[n]` n, of a scalar 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// 0.
    Zeros,
    /// One number for all elements.
    Constant(f64),
    /// Uniform in ±k, k ≥ 0.
    Uniform(f64),
    /// Uniform in ±1/√fan-in, as PyTorch's `nn.Linear` (LeCun et al. 1998, "Efficient BackProp", up to a factor of √3).
    FanIn,
    /// Normal with mean 0 and this standard deviation, at least 0.
    Normal(f64),
    /// Ones on the diagonal of a matrix, zeros elsewhere.
    Identity,
    /// A matrix with orthonormal rows or columns, whichever are fewer, uniform among all such (Saxe et al. 2014; the
    /// sign correction is that of Mezzadri 2007, section 5).
    Orthogonal,
}

impl Init {
    /// What the initialisation lacks for a parameter of this shape, if anything.
    pub(crate) fn unmet_need(self, shape: Shape) -> Option<&'static str> {
        let matrix = matches!(shape, Shape::Matrix(..));
        match self {
            Init::Identity | Init::Orthogonal if !matrix => Some("it needs a matrix"),
            Init::Constant(x) if !x.is_finite() => Some("it needs a finite number"),
            Init::Uniform(k) | Init::Normal(k) if !(k.is_finite() && k >= 0.0) => {
                Some("it needs a finite number of at least 0")
            }
            Init::Zeros
            | Init::Constant(_)
            | Init::Uniform(_)
            | Init::FanIn
            | Init::Normal(_)
            | Init::Identity
            | Init::Orthogonal => None,
        }
    }

    /// The values of the parameter `name`, row-major, for a seed. The same on every call.
    pub fn values(self, name: &str, shape: Shape, seed: u64) -> Vec<f64> {
        let mut rng = stream(seed, "parameter", name);
        let (rows, columns) = shape.as_matrix();
        if shape.is_empty() {
            return Vec::new();
        }
        let mut uniform = |k: f64| -> Vec<f64> {
            (0..shape.len())
                .map(|_| k * (2.0 * rng.random::<f64>() - 1.0))
                .collect()
        };
        match self {
            Init::Zeros => vec![0.0; shape.len()],
            Init::Constant(x) => vec![x; shape.len()],
            Init::Uniform(k) => uniform(k),
            Init::FanIn => uniform(1.0 / (columns as f64).sqrt()),
            Init::Normal(deviation) => (0..shape.len())
                .map(|_| deviation * normal(&mut rng))
                .collect(),
            Init::Identity => (0..shape.len())
                .map(|k| f64::from(u8::from(k / columns == k % columns)))
                .collect(),
            Init::Orthogonal => orthogonal(rows, columns, &mut rng),
        }
    }
}

/// The random numbers of one `kind` of thing with this `name`: a ChaCha stream of the seed's own.
pub(crate) fn stream(seed: u64, kind: &str, name: &str) -> ChaCha8Rng {
    // FNV-1a, 64 bits: a fixed function, where the standard library's hasher may change with its version.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in kind.bytes().chain([0]).chain(name.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(hash);
    rng
}

/// A standard normal number (Box & Muller 1958); the second of each pair is not used.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// Row-major `[rows, columns]`: Q of the QR decomposition of a tall Gaussian matrix, its columns' signs set by R's
/// diagonal, and its transpose if the matrix asked for is wide.
fn orthogonal(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let (tall, thin) = (rows.max(columns), rows.min(columns));
    let qr = DMatrix::from_fn(tall, thin, |_, _| normal(rng)).qr();
    let (mut q, r) = (qr.q(), qr.r());
    for (k, mut column) in q.column_iter_mut().enumerate() {
        if r[(k, k)] < 0.0 {
            column.neg_mut();
        }
    }
    // nalgebra is column-major: a matrix's storage is its transpose, row-major.
    if rows >= columns {
        q.transpose().as_slice().to_vec()
    } else {
        q.as_slice().to_vec()
    }
}
