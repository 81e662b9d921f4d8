//! The committed table of costs in cycles, the basis of the cost models of the planner and of predictions.
//!
//! A cycle here is the time in which the machine does [`Cycles::flops`] FLOPs of f32 at its peak; with 32 of them it is
//! a clock cycle on a machine with one 512-bit multiply-add or two of 256 bits. The constants of [`WIDE`] are fitted to
//! the times of all items of 18 cells in 136 shapes on Zen 4 with AVX-512, and were seen to hold on Zen 3 with AVX2 for
//! 16 cells in 3 (`grid --items`; docs/PERFORMANCE.md, "Predicted times").
//!
//! Invariant: nothing here is measured on the host: a decision based on cost may change bits, and a target's plans are
//! the same everywhere.

use retrograd_tape::Map;

/// Vector width of the code that Cranelift emits, in bytes, on every target. Wide loops have the target's.
pub const EMITTED_BYTES: usize = 16;

/// The cost of work on a target, in cycles unless stated otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cycles {
    /// Peak FLOPs of f32 per cycle: a multiply-add counts as two.
    pub flops: f64,
    /// An emitted lane loop over a step's rows.
    pub lane_loop: f64,
    /// A row of one number: dominated by latency, not throughput.
    pub single: f64,
    /// Per vector of a lane loop: its share of the loop's iteration.
    pub iteration: f64,
    /// A load, store or simple op on an emitted vector: four per cycle.
    pub instr: f64,
    /// A quotient or square root of an emitted vector.
    pub quotient: f64,
    /// Folding one vector.
    pub fold: f64,
    /// Reducing a row's fold to one number.
    pub folded: f64,
    /// Multiplying an emitted vector of a row's own matrix.
    pub multiplied: f64,
    /// Writing one.
    pub written: f64,
    /// Storing a number for all steps of a block, in L2, and loading it again.
    pub stored: f64,
    /// A call of an activation kernel.
    pub activate: f64,
    /// A call of a product kernel that reads unpacked weights.
    pub streamed: f64,
    /// 64 bytes of such weights from L2.
    pub weights: f64,
    /// Additional cost of weights from farther away.
    pub far_weights: f64,
    /// Weight rows that such a kernel does at once (of dot products with AVX2 six), per number.
    pub at_once: f64,
    /// Minimal cost of that many rows, however short.
    pub narrow: f64,
    /// Packing a widest vector of a weight.
    pub pack: f64,
    /// Packing 64 bytes of a right-hand side of a weight gradient.
    pub pack_terms: f64,
    /// Reading and writing a row of a product's tile in L2.
    pub far_row: f64,
    /// Writing a row of a tile of a weight gradient.
    pub tile_row: f64,
    /// A sum over steps and rows.
    pub sum: f64,
    /// 64 bytes of such a sum.
    pub summed: f64,
    /// Additional cost of those beyond the first 64 numbers of a point.
    pub summed_wide: f64,
    /// Costs in units of numbers stored and loaded, for the planner's choices.
    pub effort: Effort,
}

/// Costs in units of numbers stored and loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// FLOPs of a product with a weight that cost as much as one number.
    pub flops: usize,
    /// An activation, or another op computed by a polynomial.
    pub polynomial: usize,
    /// A fold's share of a lane: a chain of additions, and a partial vector is added up separately.
    pub fold: usize,
    /// A number that crosses between sweeps of a long sequence: it is written to memory and read back, where recomputing it
    /// happens in cache. A matrix memory needs 7 to 15 to recompute one, a minimal gated unit 28, a layer-norm LSTM 31.
    pub crossing: usize,
}

/// 256-bit and 512-bit kernels with fused multiply-add, emitted vectors of 128 bits.
pub const WIDE: Cycles = Cycles {
    flops: 32.0,
    lane_loop: 5.0,
    single: 8.4,
    iteration: 1.2,
    instr: 0.25,
    quotient: 4.0,
    fold: 1.5,
    folded: 1.7,
    multiplied: 2.1,
    written: 2.3,
    stored: 0.5,
    activate: 8.0,
    streamed: 73.0,
    weights: 2.15,
    far_weights: 1.0,
    at_once: 8.0,
    narrow: 35.0,
    pack: 13.0,
    pack_terms: 4.5,
    far_row: 3.7,
    tile_row: 8.9,
    sum: 1280.0,
    summed: 3.8,
    summed_wide: 8.7,
    effort: Effort {
        flops: 8,
        polynomial: 10,
        fold: 4,
        crossing: 16,
    },
};

/// 128-bit kernels. Emitted code is as wide as elsewhere, so its cycles are those of [`WIDE`]; the peak is two
/// multiplications and two additions of four numbers per cycle (by the tables of Zen 2 and later; not measured).
pub const NARROW: Cycles = Cycles {
    flops: 16.0,
    effort: Effort {
        // Emitted loops are not wide there.
        crossing: 9,
        ..WIDE.effort
    },
    ..WIDE
};

impl Cycles {
    /// Cycles of an op on an emitted vector.
    pub fn emitted(&self, map: Map) -> f64 {
        match map {
            Map::Tanh => 16.5,
            Map::Sigmoid => 12.3,
            Map::Softplus => 23.0,
            Map::Exp => 8.8,
            // Not among the measured cells: in proportion to the exponential, by the `throughput` of jit/tests/vmath.rs.
            Map::Expm1 => 10.5,
            Map::Log1p => 22.0,
            Map::Erf => 26.0,
            // Like the exponential, or twice it.
            Map::Ln => 8.0,
            Map::Sin | Map::Cos => 15.0,
            // Of `f32`, by logarithm and exponential of `f64`, one half of the vector after the other: measured.
            Map::Pow => 240.0,
            // The unit for quotients and roots is not pipelined. By the tables for 128 bits of f32: one result every 3
            // to 5 cycles.
            Map::Div | Map::Recip | Map::Sqrt => self.quotient,
            Map::Softsign => self.quotient + 2.0 * self.instr,
            // Compiles to no instruction.
            Map::Copy | Map::StopGradient | Map::WithGradient | Map::ClipGradient => 0.0,
            // A few instructions that wait for no dependency.
            Map::Sign | Map::Max | Map::Min | Map::Flush => 3.0 * self.instr,
            // A comparison, two blends, and shifts and sums of integers.
            Map::RoundBf16 => 9.0 * self.instr,
            // One instruction of two parts. (On the base of x86-64 about six.)
            Map::Floor | Map::Ceil | Map::Round => 2.0 * self.instr,
            Map::Neg
            | Map::Abs
            | Map::Relu
            | Map::Add
            | Map::Sub
            | Map::Mul
            | Map::Lt
            | Map::Le
            | Map::Eq
            | Map::Select => self.instr,
        }
    }

    /// Cycles of a load, store or simple op on a vector of a wide loop, of so many bytes: two units of 256 bits do what
    /// emitted vectors take four of 128 for.
    pub fn wide_instr(&self, bytes: usize) -> f64 {
        self.instr * bytes as f64 / 32.0
    }

    /// Cycles of an op on such a vector: quotients are not pipelined, so that they cost as many as emitted vectors of as
    /// many bytes; activations cost what they do in a kernel, which does the same.
    pub fn wide(&self, map: Map, bytes: usize) -> f64 {
        let times = bytes as f64 / 32.0;
        match map {
            Map::Tanh | Map::Sigmoid | Map::Exp | Map::Softplus => self.kernel(map),
            Map::Div | Map::Recip | Map::Sqrt | Map::Softsign => 2.0 * times * self.emitted(map),
            // Measured: several rows' chains of operations run side by side.
            Map::Pow => times * 100.0,
            other => times * self.emitted(other),
        }
    }

    /// Cycles of an activation kernel per widest vector. (Plans call kernels for [`plan::WideActivation`](crate::plan::WideActivation)
    /// alone; for all other ops this is the cost of emitted code.)
    pub fn kernel(&self, map: Map) -> f64 {
        match map {
            // Measured.
            Map::Tanh => 8.0,
            Map::Sigmoid => 12.9,
            // Estimated from their instruction counts.
            Map::Exp => 7.0,
            Map::Softplus => 16.0,
            Map::Neg
            | Map::Recip
            | Map::Expm1
            | Map::Ln
            | Map::Log1p
            | Map::Sqrt
            | Map::Abs
            | Map::Sign
            | Map::Floor
            | Map::Ceil
            | Map::Round
            | Map::RoundBf16
            | Map::Sin
            | Map::Cos
            | Map::Erf
            | Map::Relu
            | Map::Softsign
            | Map::Copy
            | Map::Flush
            | Map::StopGradient
            | Map::WithGradient
            | Map::ClipGradient
            | Map::Add
            | Map::Sub
            | Map::Mul
            | Map::Div
            | Map::Pow
            | Map::Max
            | Map::Min
            | Map::Lt
            | Map::Le
            | Map::Eq
            | Map::Select => self.emitted(map),
        }
    }
}
