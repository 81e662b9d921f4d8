//! Random numbers: one seed, and a separate stream for each consumer, so that consumers do not affect each other.
//!
//! ```
//! use retrograd::random::{RngExt, stream};
//!
//! let mut shuffle = stream(1, "windows", "training");
//! let first: f64 = shuffle.random();
//! assert_eq!(first, stream(1, "windows", "training").random::<f64>());
//! ```

pub use rand::{Rng, RngExt, SeedableRng};
pub use rand_chacha::ChaCha8Rng;

/// The random numbers for a `kind` of consumer with this `name`: a ChaCha stream of the seed, the same on every machine.
///
/// ```
/// use retrograd::random::{Rng, stream};
///
/// let first = |seed, name| stream(seed, "mask", name).next_u64();
/// assert_eq!(first(1, "dropout"), first(1, "dropout"));
/// assert_ne!(first(1, "dropout"), first(1, "other"));
/// assert_ne!(first(1, "dropout"), first(2, "dropout"));
/// ```
pub fn stream(seed: u64, kind: &str, name: &str) -> ChaCha8Rng {
    // FNV-1a, 64 bits: a fixed function, where the standard library's hasher may change with its version.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in kind.bytes().chain([0]).chain(name.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(hash);
    rng
}
