//! [`Options`]: which optional passes and plan stages run.

use retrograd_tape::Observe;

use crate::target::Target;

/// One switch for every pass and plan stage that a program can do without, and the machine that all of it is for. All are
/// on by default; a result is the same without any of them, up to rounding. Tests switch them off in turn, so that a wrong result is pinned to one.
///
/// Not optional: the adjoint, *legalize*, scheduling and storing.
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
    /// Constants, identities, common subexpressions, and work moved to the lowest domain it varies over. (Dead nodes go
    /// with every pass; *stack_products* tidies up after itself.)
    pub simplify: bool,
    /// Products with concatenations split, products of one operand stacked, summed products joined.
    pub stack_products: bool,
    /// What costs less to make again than to keep is made again on its reader's side.
    pub rematerialize: bool,
    /// A state that can decay, and its cotangent, is 0 where it is below the least normal number of single precision: arithmetic on
    /// denormal numbers is several times slower. Programs compiled in double precision are left as they are, whatever this says.
    pub flush: bool,
    /// Maximal distribution of the time loop: hoisted products, parallel work outside recurrences, a loop for each
    /// recurrence. Without it all work of a direction in time that can share a loop does, step after step.
    pub distribute: bool,
    /// Point-wise work that reads a recurrence, or that only one reads, joins it where fewer numbers cross between loops then;
    /// so do recurrences.
    pub fuse: bool,
    /// Products are added to what is in their place, and begin with a bias.
    pub accumulate_in_place: bool,
    /// Places are used again, and what one step alone reads has one step's array. Without it every stored value has an
    /// array of its own over its whole domain.
    pub reuse: bool,
    /// Element-wise recurrences go through time innermost the loop over lanes, their states in registers.
    pub interchange: bool,
    /// Activations of stored values by wide kernels.
    pub outline_activations: bool,
    /// Recurrences and the products that only they read go through time together.
    pub time_tile: bool,
    /// Long blocks of steps through all that can go through time together: what lives within a block's work needs an array
    /// for one block only, and memory budgets can be kept. Without it everything over steps is done for all steps at once.
    pub sweeps: bool,
    /// No switch but a choice: the machine that the program is planned and compiled for, this one's best unless told.
    pub target: Target,
    /// No switch but a check: each pass's graph and each stage's plan are held against the rules of their verifiers, and
    /// machine code against Cranelift's. A broken rule is a mistake of ours and a panic that names the pass. Verifiers cost
    /// as much as all else, so a build without debug assertions does without unless asked; tests ask.
    pub verify: bool,
    /// No switch but a choice: steps that an iteration of a recurrence's loop does.
    pub unroll: Unroll,
    /// No switch but a wish: values and adjoints of the step to hand out, as outputs called `value(keep)`, `adjoint(c)`. The
    /// empty list costs nothing.
    pub observe: Vec<Observe>,
}

impl Default for Options {
    fn default() -> Options {
        Options::all(true)
    }
}

/// How many steps per iteration of a recurrence's loop over time does: its body stands in the code as often.
///
/// ```
/// use retrograd_graph::{Options, Unroll};
/// let four = Options::default().with(|o| o.unroll = Unroll::by(4).unwrap());
/// assert_eq!(four.unroll.factor(), Some(4));
/// assert!(Unroll::by(0).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Unroll(Option<u8>);

/// A factor that there is no code for.
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
    /// As the plan wants it, which today is one step an iteration for every loop: where time is innermost, no factor was measured to
    /// be faster (docs/PERFORMANCE.md, "What was tried"); for loops with products, the bench `unroll` tells.
    pub const AUTO: Unroll = Unroll(None);
    /// One step an iteration.
    pub const NONE: Unroll = Unroll(Some(1));
    /// The greatest factor: code grows with it, and with it the time of compiling.
    pub const MOST: usize = 32;

    /// By this factor.
    ///
    /// # Errors
    /// If it is 0 or more than [`Unroll::MOST`].
    pub fn by(factor: usize) -> Result<Unroll, UnrollError> {
        match u8::try_from(factor) {
            Ok(n) if (1..=Unroll::MOST).contains(&factor) => Ok(Unroll(Some(n))),
            _ => Err(UnrollError { factor }),
        }
    }

    /// The factor, if there is a wish.
    pub fn factor(self) -> Option<usize> {
        self.0.map(usize::from)
    }
}

/// A switch of some options.
type Switch = fn(&mut Options) -> &mut bool;

impl Options {
    /// Every switch and its name.
    pub const SWITCHES: [(&str, Switch); 12] = [
        ("simplify", |o| &mut o.simplify),
        ("stack_products", |o| &mut o.stack_products),
        ("rematerialize", |o| &mut o.rematerialize),
        ("flush", |o| &mut o.flush),
        ("distribute", |o| &mut o.distribute),
        ("fuse", |o| &mut o.fuse),
        ("accumulate_in_place", |o| &mut o.accumulate_in_place),
        ("reuse", |o| &mut o.reuse),
        ("interchange", |o| &mut o.interchange),
        ("outline_activations", |o| &mut o.outline_activations),
        ("time_tile", |o| &mut o.time_tile),
        ("sweeps", |o| &mut o.sweeps),
    ];

    /// The same with a change. There may be more options tomorrow, so they are not written as a literal elsewhere.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Options)) -> Options {
        change(&mut self);
        self
    }

    /// The default, and everything verified: what tests compile with.
    pub fn verified() -> Options {
        Options {
            verify: true,
            ..Options::all(true)
        }
    }

    /// Nothing that isn't needed; verified, for it is asked for where a result is in doubt.
    pub fn none() -> Options {
        Options {
            verify: true,
            ..Options::all(false)
        }
    }

    /// Everything but one, for each in turn, with the name of the one; verified.
    pub fn each_off() -> impl Iterator<Item = (&'static str, Options)> {
        Options::SWITCHES.into_iter().map(|(name, switch)| {
            let mut options = Options::verified();
            *switch(&mut options) = false;
            (name, options)
        })
    }

    /// The same for samples that come one after another: one loop has all the work of a step, and nothing crosses from it
    /// to another that it would pay to make again.
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
            stack_products: on,
            rematerialize: on,
            flush: on,
            distribute: on,
            fuse: on,
            accumulate_in_place: on,
            reuse: on,
            interchange: on,
            outline_activations: on,
            time_tile: on,
            observe: Vec::new(),
            sweeps: on,
            target: Target::host(),
            verify: cfg!(debug_assertions),
            unroll: if on { Unroll::AUTO } else { Unroll::NONE },
        }
    }
}
