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

/// Philox4x32-10 (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3"): four random words for each counter, a function
/// of key and counter alone. Masks are drawn from it, so that a mask's element is the same however many rows, steps or threads there
/// are, and in a run that was resumed. Element k of the mask `name` at row b and time t in draw s, the first being 1, is
/// word k mod 4 of the counter [k div 4, t, b, s mod 2³²] under the key `stream(seed, "mask", name).next_u64() ^ (s >> 32)`, its low
/// half first; it is kept if the word is less than keep · 2³². Where a mask does not vary over time or rows, 2³² − 1 stands for them.
///
/// ```
/// use retrograd::random::{Rng, philox, stream};
/// use retrograd::{Batch, Cell, Domain, Extent, Sgd, Trainer};
///
/// let cell = Cell::define("dropped", |c| {
///     let drop = c.mask_over("drop", 6, 0.5, Domain::Row);
///     c.output("drop", drop);
///     c.loss((c.param("w", 6) * drop).square().sum());
/// })?;
/// let mut trainer = Trainer::builder(cell, Sgd::new(0.5)).seed(7).build()?;
/// let before = trainer.parameter("w").unwrap().to_vec();
/// trainer.step(&Batch::new(Extent::steps(1)))?;
///
/// let key = stream(7, "mask", "drop").next_u64();
/// let words = [0, 1].map(|k| philox(key, [k, u32::MAX, 0, 1])).concat();
/// for ((after, before), word) in trainer.parameter("w").unwrap().iter().zip(before).zip(words) {
///     assert_eq!(*after != before, word < 1 << 31, "an element that is kept has a gradient");
/// }
/// # Ok::<(), retrograd::Error>(())
/// ```
pub fn philox(key: u64, counter: [u32; 4]) -> [u32; 4] {
    let mut c = counter;
    let (mut k0, mut k1) = (key as u32, (key >> 32) as u32);
    for _ in 0..10 {
        let a = u64::from(c[0]) * 0xD251_1F53;
        let b = u64::from(c[2]) * 0xCD9E_8D57;
        c = [
            (b >> 32) as u32 ^ c[1] ^ k0,
            b as u32,
            (a >> 32) as u32 ^ c[3] ^ k1,
            a as u32,
        ];
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    c
}

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

#[cfg(test)]
mod tests {
    use super::philox;

    #[test]
    fn philox_has_the_words_of_its_reference() {
        // Known answers of the authors' library Random123, tests/kat_vectors: philox4x32, 10 rounds.
        let all = 0xffff_ffff;
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        for (key, counter, expected) in [
            (
                0,
                [0; 4],
                [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
            ),
            (
                u64::MAX,
                [all; 4],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
            ),
            (
                0x299f_31d0_a409_3822,
                pi,
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(philox(key, counter), expected);
        }
    }
}
