//! [`Options`]: which optional passes and plan stages run.

use retrograd_tape::Observe;

use crate::target::{Level, Target};

/// A switch for every optional pass and plan stage, and the target machine. All switches are on by default; a result is
/// the same without any of them, up to rounding, and up to terms that are not finite and that `centred` leaves out. Tests
/// switch them off one by one, so that a wrong result is traced to one of them.
///
/// Not optional: the adjoint, *legalize*, scheduling and the assignment of arrays.
///
/// ```
/// use retrograd_graph::Options;
/// let slow = Options::default().with(|o| o.time_tile = false);
/// assert!(slow.stack_products && !slow.time_tile);
/// assert_eq!(Options::SWITCHES.len(), Options::each_off().count());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Options {
    /// Constants, identities, common subexpressions, and work moved to the lowest domain it varies over. (Every pass
    /// drops dead nodes; *stack_products* cleans up after itself.)
    pub simplify: bool,
    /// Sums leave out deviations from a mean, which add up to 0.
    pub centred: bool,
    /// Products with concatenations split, products of one operand stacked, summed products joined.
    pub stack_products: bool,
    /// Values that are cheaper to recompute than to store are recomputed by their reader.
    pub rematerialize: bool,
    /// A decaying state, and its cotangent, is set to 0 below the least normal number of single precision: arithmetic
    /// on denormal numbers is several times slower. Programs compiled in double precision are unaffected.
    pub flush: bool,
    /// Maximal distribution of the time loop: hoisted products, parallel work outside recurrences, one loop per
    /// recurrence. Without it, all work of one direction in time that can share a loop does, step after step.
    pub distribute: bool,
    /// Point-wise work that reads a recurrence, or that only one recurrence reads, joins it where this reduces the
    /// numbers that cross between loops; recurrences are fused by the same criterion.
    pub fuse: bool,
    /// Values, and whole lane loops of a step, are computed by the lane loop that reads them, if nothing more has to be kept
    /// for that.
    pub sink: bool,
    /// Products accumulate onto the values already in their array, and start from a bias.
    pub accumulate_in_place: bool,
    /// Arrays are reused, and a value that only one step reads has an array of one step. Without it, every stored value
    /// has an array of its own over its whole domain.
    pub reuse: bool,
    /// Element-wise recurrences run with time innermost, inside the loop over lanes, with their states in registers.
    pub interchange: bool,
    /// Wide kernels compute activations of stored values.
    pub outline_activations: bool,
    /// Bodies of loops are emitted with the target's widest vectors where that is possible. Without it, all have 128
    /// bits; results are the same, bit for bit.
    pub wide_loops: bool,
    /// Recurrences and the products that only they read run over time together, block by block.
    pub time_tile: bool,
    /// Everything that can run over time together does so in long blocks of steps: a value used only within a block
    /// needs an array for one block, and memory budgets can be met. Without it, work over steps is done for all steps
    /// at once.
    pub sweeps: bool,
    /// An array that only carries a row's values from one statement of a loop to the next has one place for all rows.
    pub scratch: bool,
    /// Not a switch: whether products with weights, and weight gradients, take bfloat16 operands.
    pub bf16: Bf16,
    /// Not a switch: the machine that the program is planned and compiled for, by default the host's best.
    pub target: Target,
    /// Not a switch: each pass's graph and each stage's plan are checked by their verifiers, and machine code by
    /// Cranelift's. A broken rule is a bug in this crate and panics with the name of the pass. Verifiers cost as much
    /// as all else, so builds without debug assertions skip them by default; tests turn them on.
    pub verify: bool,
    /// Not a switch: the number of steps per iteration of a recurrence's loop.
    pub unroll: Unroll,
    /// Not a switch: values and adjoints of the step to return as outputs named `value(keep)`, `adjoint(c)`. The empty
    /// list costs nothing.
    pub observe: Vec<Observe>,
}

impl Default for Options {
    fn default() -> Options {
        Options::all(true)
    }
}

/// Whether products with weights, and weight gradients, take operands that are rounded to bfloat16
/// ([`Map::RoundBf16`](retrograd_tape::Map::RoundBf16)), and who rounds them. Sums, states and all element-wise work keep the
/// program's precision, and derivatives are those of the program without rounding, by rounded products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Bf16 {
    /// Operands are as they are.
    #[default]
    Off,
    /// The products' kernels round: weights when they are packed, other operands when they are read. In single precision
    /// alone; a program in double precision has ops for it.
    Kernels,
    /// Ops of their own round, and the kernels for full precision multiply: slow, and as accurate.
    Ops,
}

/// How many steps one iteration of a recurrence's loop over time does: the code contains that many copies of its body.
///
/// ```
/// use retrograd_graph::{Options, Unroll};
/// let four = Options::default().with(|o| o.unroll = Unroll::by(4).unwrap());
/// assert_eq!(four.unroll.factor(), Some(4));
/// assert!(Unroll::by(0).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Unroll(Option<u8>);

/// An unroll factor that is out of range.
///
/// ```
/// use retrograd_graph::Unroll;
///
/// let error = Unroll::by(33).unwrap_err();
/// assert_eq!(error.to_string(), "a loop can be unrolled by 1 to 32 steps, not by 33");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a loop can be unrolled by 1 to {} steps, not by {factor}",
    Unroll::MOST
)]
pub struct UnrollError {
    factor: usize,
}

impl Unroll {
    /// The plan's choice, which is currently one step per iteration for every loop: with time innermost, no factor was
    /// measured to be faster (docs/PERFORMANCE.md, "What we expected and what came"); for loops with products, the bench `unroll`
    /// tells.
    pub const AUTO: Unroll = Unroll(None);
    /// One step per iteration.
    pub const NONE: Unroll = Unroll(Some(1));
    /// The greatest factor: code size and compile time grow with it.
    pub const MOST: usize = 32;

    /// Unrolls by this factor.
    ///
    /// # Errors
    /// If it is 0 or more than [`Unroll::MOST`].
    pub fn by(factor: usize) -> Result<Unroll, UnrollError> {
        match u8::try_from(factor) {
            Ok(n) if (1..=Unroll::MOST).contains(&factor) => Ok(Unroll(Some(n))),
            _ => Err(UnrollError { factor }),
        }
    }

    /// The factor, if one was requested.
    pub fn factor(self) -> Option<usize> {
        self.0.map(usize::from)
    }
}

/// Selects one switch of the options.
type Switch = fn(&mut Options) -> &mut bool;

impl Options {
    /// Every switch with its name.
    pub const SWITCHES: [(&str, Switch); 16] = [
        ("simplify", |o| &mut o.simplify),
        ("centred", |o| &mut o.centred),
        ("stack_products", |o| &mut o.stack_products),
        ("rematerialize", |o| &mut o.rematerialize),
        ("flush", |o| &mut o.flush),
        ("distribute", |o| &mut o.distribute),
        ("fuse", |o| &mut o.fuse),
        ("sink", |o| &mut o.sink),
        ("accumulate_in_place", |o| &mut o.accumulate_in_place),
        ("reuse", |o| &mut o.reuse),
        ("interchange", |o| &mut o.interchange),
        ("outline_activations", |o| &mut o.outline_activations),
        ("wide_loops", |o| &mut o.wide_loops),
        ("time_tile", |o| &mut o.time_tile),
        ("sweeps", |o| &mut o.sweeps),
        ("scratch", |o| &mut o.scratch),
    ];

    /// These options with a change. Options may be added, so other crates do not write them as a literal.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Options)) -> Options {
        change(&mut self);
        self
    }

    /// The default with verification on: what tests compile with.
    pub fn verified() -> Options {
        Options {
            verify: true,
            ..Options::all(true)
        }
    }

    /// Every switch off; verified, because these options are used when a result is in doubt.
    pub fn none() -> Options {
        Options {
            verify: true,
            ..Options::all(false)
        }
    }

    /// All switches on except one, for each in turn, with the name of that one; verified.
    pub fn each_off() -> impl Iterator<Item = (&'static str, Options)> {
        Options::SWITCHES.into_iter().map(|(name, switch)| {
            let mut options = Options::verified();
            *switch(&mut options) = false;
            (name, options)
        })
    }

    /// Whether bodies of loops are emitted with the target's widest vectors: from AVX2 on, if that is not switched off.
    pub(crate) fn are_loops_wide(&self) -> bool {
        let has_wide_loops = match self.target.level() {
            Level::Portable | Level::Baseline => false,
            Level::Avx2 | Level::Avx512 => true,
        };
        self.wide_loops && has_wide_loops
    }

    /// These options for samples that come one after another: one loop has all the work of a step, so no value crosses
    /// to another loop that would be worth recomputing.
    pub fn streaming(self) -> Options {
        Options {
            distribute: false,
            rematerialize: false,
            ..self
        }
    }

    fn all(on: bool) -> Options {
        Options {
            simplify: on,
            centred: on,
            stack_products: on,
            rematerialize: on,
            flush: on,
            distribute: on,
            fuse: on,
            sink: on,
            accumulate_in_place: on,
            reuse: on,
            interchange: on,
            outline_activations: on,
            wide_loops: on,
            time_tile: on,
            observe: Vec::new(),
            bf16: Bf16::Off,
            sweeps: on,
            scratch: on,
            target: Target::host(),
            verify: cfg!(debug_assertions),
            unroll: if on { Unroll::AUTO } else { Unroll::NONE },
        }
    }
}
