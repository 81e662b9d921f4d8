//! Straight-line vector code: a list of operations in static single assignment form, recorded by
//! [`Math`](retrograd_kernels::maths::Math) through [`Vectors`], and turned into machine code by [`super::emit`].

use rustc_hash::FxHashMap as HashMap;

use super::set::Set;
use retrograd_kernels::maths::{Called, Compare, Emitter, Lane, Rounding, Vectors};

/// A vector: the number of the operation that makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct V(pub(super) u32);

/// A choice for each element: the number of the operation that makes it. On AVX2 that is a vector, of ones or zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct M(pub(super) u32);

/// What is added to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Index {
    None,
    /// The bytes that the loop around has advanced.
    Lanes,
    /// The bytes of one number for each iteration of the loop around.
    Numbers,
}

/// A place in memory: a pointer of the function's table, and a distance from it in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) pointer: usize,
    pub(super) index: Index,
    pub(super) distance: i32,
}

/// An operation of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Two {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    And,
    Or,
    Xor,
    /// The second where the first has zeros.
    Unlike,
    AddIntegers,
    SubIntegers,
    /// The lower half of the first, below that of the second.
    LowerHalves,
}

impl Two {
    /// Whether the operands may be exchanged; minima and maxima return the second of two zeros.
    pub(super) fn commutes(self) -> bool {
        match self {
            Two::Add | Two::Mul | Two::And | Two::Or | Two::Xor | Two::AddIntegers => true,
            Two::Sub
            | Two::Div
            | Two::Min
            | Two::Max
            | Two::Unlike
            | Two::SubIntegers
            | Two::LowerHalves => false,
        }
    }
}

/// x·y ± z, rounded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fused {
    /// x·y + z
    Add,
    /// x·y − z
    Sub,
    /// z − x·y
    NegatedAdd,
}

/// An operation of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum One {
    Sqrt,
    Round(Rounding),
    ShiftLeft(u32),
    ShiftRight(u32),
    /// Halves of the vector exchanged.
    SwapHalves,
    /// Neighbouring lines of 128 bits exchanged.
    SwapLines,
    /// Halves of each line of 128 bits exchanged.
    SwapInLine,
    /// Neighbouring `f32` exchanged.
    SwapPairs,
    /// The first element in all.
    First,
    /// The lower half's `f32`, as `f64`.
    Widen,
    /// `f64` as `f32`, in the lower half.
    Narrow,
}

/// A mask, or a vector of ones or zeros in its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Choice {
    Mask(M),
    Vector(V),
}

/// An operation on masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum OfMasks {
    Both,
    Either,
    /// The first and not the second.
    Without,
}

/// How much of a vector is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Extent {
    Whole,
    /// The first elements, a remainder: other elements are loaded as zeros, and not stored.
    Part(usize),
    /// The first element.
    First,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Op {
    Bits(u64),
    Load(Place, Extent),
    /// One number in all elements.
    Splat(Place),
    One(One, V),
    Two(Two, V, V),
    Fused(Fused, V, V, V),
    Compare(Compare, V, V),
    EqualIntegers(V, V),
    OfMasks(OfMasks, M, M),
    /// x where the mask holds, else y; on AVX-512.
    Blend(M, V, V),
    /// x where the mask holds, else 0; on AVX-512.
    Masked(M, V),
    /// x where the mask holds, a vector, else y; on AVX2.
    Choose(V, V, V),
    /// x in so many elements, the first, else y.
    InPart(usize, V, V),
    /// The function of those elements of x that are chosen, if there are any; else y.
    CallIfAny(Called, Choice, V, V),
    /// A register that is kept through a loop.
    Kept(usize),
    /// Changes one.
    Keep(usize, V),
    Store(Place, Extent, V),
}

impl Op {
    /// The vectors that the operation reads, in the order of its operands.
    pub(super) fn reads(&self) -> ([V; 3], usize) {
        let none = V(0);
        match *self {
            Op::Bits(_) | Op::Load(..) | Op::Splat(_) | Op::OfMasks(..) | Op::Kept(_) => {
                ([none; 3], 0)
            }
            Op::One(_, x) | Op::Masked(_, x) | Op::Keep(_, x) | Op::Store(.., x) => {
                ([x, none, none], 1)
            }
            Op::Two(_, x, y)
            | Op::Compare(_, x, y)
            | Op::EqualIntegers(x, y)
            | Op::Blend(_, x, y)
            | Op::InPart(_, x, y)
            | Op::CallIfAny(_, Choice::Mask(_), x, y) => ([x, y, none], 2),
            Op::Fused(_, x, y, z) => ([x, y, z], 3),
            Op::Choose(mask, x, y) | Op::CallIfAny(_, Choice::Vector(mask), x, y) => {
                ([x, y, mask], 3)
            }
        }
    }

    /// Whether each element of the result depends on those elements of the operands alone.
    fn is_element_wise(&self) -> bool {
        match *self {
            Op::Two(two, ..) => two != Two::LowerHalves,
            Op::One(one, _) => match one {
                One::Sqrt | One::Round(_) | One::ShiftLeft(_) | One::ShiftRight(_) => true,
                One::SwapHalves
                | One::SwapLines
                | One::SwapInLine
                | One::SwapPairs
                | One::First
                | One::Widen
                | One::Narrow => false,
            },
            Op::Fused(..)
            | Op::Compare(..)
            | Op::EqualIntegers(..)
            | Op::Blend(..)
            | Op::Choose(..) => true,
            _ => false,
        }
    }

    /// The masks that it reads.
    pub(super) fn masks(&self) -> ([M; 2], usize) {
        match *self {
            Op::OfMasks(_, x, y) => ([x, y], 2),
            Op::Blend(m, ..) | Op::Masked(m, _) | Op::CallIfAny(_, Choice::Mask(m), ..) => {
                ([m; 2], 1)
            }
            _ => ([M(0); 2], 0),
        }
    }
}

/// Straight-line code under construction.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) set: Set,
    /// Each with the width of its elements, and how often its vectors may be halved: only the first part matters.
    pub(super) ops: Vec<(Op, Lane, u32)>,
    /// Of vectors with this width of elements that follow, only so many elements matter.
    pub(super) first: Option<(Lane, usize)>,
    /// Constants so far.
    constants: HashMap<(Lane, u64), V>,
}

impl Block {
    pub(super) fn new(set: Set) -> Block {
        Block {
            set,
            ops: Vec::new(),
            first: None,
            constants: HashMap::default(),
        }
    }

    /// The code so far, which leaves none.
    pub(super) fn take(&mut self) -> Block {
        std::mem::replace(self, Block::new(self.set))
    }

    pub(super) fn push(&mut self, lane: Lane, op: Op) -> V {
        let first = self.first.filter(|f| f.0 == lane && op.is_element_wise());
        let halvings = first.map_or(0, |(_, n)| self.set.halvings(lane, n));
        self.ops.push((op, lane, halvings));
        V(self.ops.len() as u32 - 1)
    }

    fn mask(&mut self, lane: Lane, op: Op) -> M {
        M(self.push(lane, op).0)
    }

    fn of_masks(&mut self, lane: Lane, how: OfMasks, x: M, y: M) -> M {
        let (a, b) = (V(x.0), V(y.0));
        let op = match (self.set, how) {
            (Set::Avx512, _) => Op::OfMasks(how, x, y),
            (Set::Avx2, OfMasks::Both) => Op::Two(Two::And, a, b),
            (Set::Avx2, OfMasks::Either) => Op::Two(Two::Or, a, b),
            (Set::Avx2, OfMasks::Without) => Op::Two(Two::Unlike, b, a),
        };
        self.mask(lane, op)
    }
}

impl Vectors for Block {
    type V = V;
    type M = M;

    fn bits(&mut self, lane: Lane, bits: u64) -> V {
        if let Some(&known) = self.constants.get(&(lane, bits)) {
            return known;
        }
        let new = self.push(lane, Op::Bits(bits));
        self.constants.insert((lane, bits), new);
        new
    }
    fn add(&mut self, lane: Lane, x: V, y: V) -> V {
        self.push(lane, Op::Two(Two::Add, x, y))
    }
    fn sub(&mut self, lane: Lane, x: V, y: V) -> V {
        self.push(lane, Op::Two(Two::Sub, x, y))
    }
    fn mul(&mut self, lane: Lane, x: V, y: V) -> V {
        self.push(lane, Op::Two(Two::Mul, x, y))
    }
    fn div(&mut self, lane: Lane, x: V, y: V) -> V {
        self.push(lane, Op::Two(Two::Div, x, y))
    }
    fn fma(&mut self, lane: Lane, x: V, y: V, z: V) -> V {
        self.push(lane, Op::Fused(Fused::Add, x, y, z))
    }
    fn fms(&mut self, lane: Lane, x: V, y: V, z: V) -> V {
        self.push(lane, Op::Fused(Fused::Sub, x, y, z))
    }
    fn fnma(&mut self, lane: Lane, x: V, y: V, z: V) -> V {
        self.push(lane, Op::Fused(Fused::NegatedAdd, x, y, z))
    }
    fn sqrt(&mut self, lane: Lane, x: V) -> V {
        self.push(lane, Op::One(One::Sqrt, x))
    }
    fn min(&mut self, lane: Lane, x: V, y: V) -> V {
        self.push(lane, Op::Two(Two::Min, x, y))
    }
    fn max(&mut self, lane: Lane, x: V, y: V) -> V {
        self.push(lane, Op::Two(Two::Max, x, y))
    }
    fn round(&mut self, lane: Lane, how: Rounding, x: V) -> V {
        self.push(lane, Op::One(One::Round(how), x))
    }

    fn and(&mut self, lane: Lane, x: V, y: V) -> V {
        self.push(lane, Op::Two(Two::And, x, y))
    }
    fn or(&mut self, lane: Lane, x: V, y: V) -> V {
        self.push(lane, Op::Two(Two::Or, x, y))
    }
    fn xor(&mut self, lane: Lane, x: V, y: V) -> V {
        self.push(lane, Op::Two(Two::Xor, x, y))
    }
    fn iadd(&mut self, lane: Lane, x: V, y: V) -> V {
        self.push(lane, Op::Two(Two::AddIntegers, x, y))
    }
    fn isub(&mut self, lane: Lane, x: V, y: V) -> V {
        self.push(lane, Op::Two(Two::SubIntegers, x, y))
    }
    fn shl(&mut self, lane: Lane, x: V, by: u32) -> V {
        self.push(lane, Op::One(One::ShiftLeft(by), x))
    }
    fn shr(&mut self, lane: Lane, x: V, by: u32) -> V {
        self.push(lane, Op::One(One::ShiftRight(by), x))
    }

    fn compare(&mut self, lane: Lane, how: Compare, x: V, y: V) -> M {
        self.mask(lane, Op::Compare(how, x, y))
    }
    fn iequal(&mut self, lane: Lane, x: V, y: V) -> M {
        self.mask(lane, Op::EqualIntegers(x, y))
    }
    fn both(&mut self, lane: Lane, x: M, y: M) -> M {
        self.of_masks(lane, OfMasks::Both, x, y)
    }
    fn either(&mut self, lane: Lane, x: M, y: M) -> M {
        self.of_masks(lane, OfMasks::Either, x, y)
    }
    fn without(&mut self, lane: Lane, x: M, y: M) -> M {
        self.of_masks(lane, OfMasks::Without, x, y)
    }
    fn blend(&mut self, lane: Lane, mask: M, x: V, y: V) -> V {
        let op = match self.set {
            Set::Avx512 => Op::Blend(mask, x, y),
            Set::Avx2 => Op::Choose(V(mask.0), x, y),
        };
        self.push(lane, op)
    }
    fn masked(&mut self, lane: Lane, mask: M, x: V) -> V {
        let op = match self.set {
            Set::Avx512 => Op::Masked(mask, x),
            Set::Avx2 => Op::Two(Two::And, V(mask.0), x),
        };
        self.push(lane, op)
    }
    fn unmasked(&mut self, lane: Lane, mask: M, x: V) -> V {
        let op = match self.set {
            Set::Avx512 => Op::Blend(mask, self.bits(lane, 0), x),
            Set::Avx2 => Op::Two(Two::Unlike, V(mask.0), x),
        };
        self.push(lane, op)
    }
}

impl Emitter for Block {
    fn widen(&mut self, x: V) -> [V; 2] {
        let upper = self.push(Lane::F32, Op::One(One::SwapHalves, x));
        [x, upper].map(|half| self.push(Lane::F64, Op::One(One::Widen, half)))
    }
    fn narrow(&mut self, halves: [V; 2]) -> V {
        let [low, high] = halves.map(|half| self.push(Lane::F32, Op::One(One::Narrow, half)));
        self.push(Lane::F32, Op::Two(Two::LowerHalves, low, high))
    }
    fn call_if_any(&mut self, lane: Lane, mask: M, function: Called, x: V, fast: V) -> V {
        let chosen = match self.set {
            Set::Avx512 => Choice::Mask(mask),
            Set::Avx2 => Choice::Vector(V(mask.0)),
        };
        self.push(lane, Op::CallIfAny(function, chosen, x, fast))
    }
}
