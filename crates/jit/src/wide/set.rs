//! The instruction sets that code is emitted for, and what they differ in: width and number of vectors, and how masks,
//! constants and remainders reach an instruction. Which instruction does an operation is in `instructions.rs`.

use iced_x86::Register;
use retrograd_graph::{Level, Target};

use retrograd_kernels::maths::Lane;

/// Bytes of partial sums of a fold, on every target; also a cache line, and what tables are aligned to.
pub(super) const LINE: usize = 64;

/// Bytes of the narrowest vector.
const LEAST: usize = 16;

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Set {
    /// 16 vectors of 256 bits. A mask is a vector, an operand in memory a whole one; the mask of a remainder is loaded
    /// from a table behind the code.
    Avx2,
    /// 32 vectors of 512 bits. Masks have registers of their own, and an operand in memory may be one number, repeated.
    Avx512,
}

impl Set {
    /// The widest of a target, if there is one here.
    pub(crate) fn of(target: Target) -> Option<Set> {
        match target.level() {
            Level::Portable | Level::Baseline => None,
            Level::Avx2 => Some(Set::Avx2),
            Level::Avx512 => Some(Set::Avx512),
        }
    }

    /// Bytes of a vector.
    pub(super) fn vector(self) -> usize {
        match self {
            Set::Avx2 => 32,
            Set::Avx512 => 64,
        }
    }

    /// Vectors of a fold's partial sums.
    pub(super) fn parts(self) -> usize {
        LINE / self.vector()
    }

    /// Elements of a vector.
    pub(super) fn lanes(self, lane: Lane) -> usize {
        self.vector() / lane.bytes() as usize
    }

    /// How often a vector can be halved that has so many elements: narrower instructions are faster, quotients and roots on
    /// every machine, all on those that do 512 bits in two passes.
    pub(super) fn halvings(self, lane: Lane, elements: usize) -> u32 {
        let least = (elements * lane.bytes() as usize).next_power_of_two();
        (self.vector() / least.clamp(LEAST, self.vector())).ilog2()
    }

    /// Vector registers.
    pub(super) fn registers(self) -> usize {
        match self {
            Set::Avx2 => 16,
            Set::Avx512 => 32,
        }
    }

    /// A vector register.
    pub(super) fn register(self, r: usize) -> Register {
        let first = match self {
            Set::Avx2 => Register::YMM0,
            Set::Avx512 => Register::ZMM0,
        };
        first + r as u32
    }

    /// Registers that a loop over vectors keeps, at most.
    pub(super) fn kept_over_lanes(self) -> usize {
        match self {
            Set::Avx2 => 10,
            Set::Avx512 => 14,
        }
    }

    /// Registers that are kept from step to step, at most.
    pub(super) fn kept_over_time(self) -> usize {
        match self {
            Set::Avx2 => 10,
            Set::Avx512 => 24,
        }
    }

    /// Whether an operand in memory may be one number, which all elements have.
    pub(super) fn repeats(self) -> bool {
        self == Set::Avx512
    }

    /// Whether there is an instruction that accesses just so many elements, a part of a vector.
    pub(super) fn without_mask(self, lane: Lane, elements: usize) -> bool {
        let bytes = elements * lane.bytes() as usize;
        bytes.is_power_of_two() && bytes < self.vector()
    }

    /// Whether so many elements, a part of a vector, are accessed with a mask in a vector.
    pub(super) fn masks_are_vectors(self, lane: Lane, elements: usize) -> bool {
        self == Set::Avx2 && !self.without_mask(lane, elements)
    }
}
