//! The properties that every correct program has, each a function of a [`Sample`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use retrograd_jit::{CompileError, CompiledCell, Purpose};
use retrograd_tape::generate::without_limits;
use retrograd_tape::{Directions, TapeError, gradcheck_ragged};

use crate::checks;
use crate::numerics::Numerics;
use crate::outcome::{Outcome, Skip};
use crate::rows::rows;
use crate::runs::of;
use crate::sample::{Sample, slices};
use crate::second::{modes, second_order};

/// What has to be comparable for a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// Nothing: bits are compared.
    Nothing,
    Double,
    Single,
    Differences,
    /// Engines are compared in f64, and derivatives with differences.
    DoubleAndDifferences,
}

/// A property, by its name.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// Its name in reports.
    pub name: &'static str,
    /// What holds, in a line.
    pub about: &'static str,
    needs: Needs,
    run: fn(&Sample<'_>) -> Outcome,
}

/// Every number of the inputs is moved up to so many; beyond, some random directions are enough.
const COORDINATES: usize = 48;

/// All properties, in the order in which they are tried: the first that fails says most about where to look.
///
/// ```
/// use retrograd_check::{PROPERTIES, Sample, Target};
/// use retrograd_tape::{InputRole, Recorder, Shape};
///
/// let r = Recorder::new();
/// let x = r.input("x", InputRole::Sequence, Shape::Vector(3));
/// let h = r.state("h", Shape::Vector(3), 1, None);
/// r.next(h, (0.5 * h + x).tanh());
/// let tape = r.finish("leaky")?;
/// let mut sample = Sample::drawn(&tape, 4, 2, 1, Target::host());
/// for property in PROPERTIES {
///     assert!(!property.outcome(&mut sample).is_fault(), "{}", property.name);
/// }
/// # Ok::<(), retrograd_tape::TapeError>(())
/// ```
pub static PROPERTIES: &[Property] = &[
    Property {
        name: "differences",
        about: "gradients of the tape are those of central differences in f64",
        needs: Needs::Differences,
        run: differences,
    },
    Property {
        name: "plan",
        about: "the plan interpreter, without optional passes and with all, gives the tape's numbers",
        needs: Needs::Double,
        run: |s| checks::interpreted(s).into(),
    },
    Property {
        name: "f64",
        about: "compiled code in f64 gives the tape's outputs and gradients, at other sizes and again too",
        needs: Needs::Double,
        run: double,
    },
    Property {
        name: "f32",
        about: "compiled code in f32 does, within what roundings of f32 make of the results",
        needs: Needs::Single,
        run: |s| checks::single(s).into(),
    },
    Property {
        name: "bf16",
        about: "with bfloat16 operands of products, all engines do, within what these roundings make of them",
        needs: Needs::Single,
        run: |s| checks::bf16(s).into(),
    },
    Property {
        name: "forward",
        about: "code without gradients gives the same outputs",
        needs: Needs::Double,
        run: |s| checks::forward(s).into(),
    },
    Property {
        name: "rows",
        about: "rows of different lengths are each what they are alone",
        needs: Needs::Double,
        run: rows,
    },
    Property {
        name: "passes",
        about: "so does the plan, interpreted and compiled, without one optional pass and unrolled",
        needs: Needs::Double,
        run: |s| checks::without_a_pass(s).into(),
    },
    Property {
        name: "modes",
        about: "forward and reverse mode agree: c·(J v) = (Jᵀc)·v",
        needs: Needs::Double,
        run: |s| modes(s, &of(s.target)).into(),
    },
    Property {
        name: "second",
        about: "products with the Hessian are differences of gradients, and symmetric",
        needs: Needs::DoubleAndDifferences,
        run: second,
    },
    Property {
        name: "stepper",
        about: "sample by sample gives what the whole sequence gives, in f64 and f32",
        needs: Needs::Single,
        run: stepper,
    },
    Property {
        name: "threads",
        about: "work cut into 2, 3 and 7 pieces gives the same bits as one thread",
        needs: Needs::Nothing,
        run: |s| checks::threads(s).into(),
    },
    Property {
        name: "width",
        about: "loops as wide as the machine's vectors, loops of 128 bits, AVX2 and AVX-512 give the same bits",
        needs: Needs::Nothing,
        run: |s| checks::width(s).into(),
    },
    Property {
        name: "budget",
        about: "gradients within the least memory, and between, are the same",
        needs: Needs::Double,
        run: |s| checks::budget(s).into(),
    },
    Property {
        name: "halves",
        about: "a run cut between forward and backward half is bit-identical to one run",
        needs: Needs::Double,
        run: halves,
    },
];

impl Property {
    /// The property of this name.
    pub fn find(name: &str) -> Option<&'static Property> {
        PROPERTIES.iter().find(|p| p.name == name)
    }

    /// Tries it on a sample, whose [tolerance](Sample::exact) is set to what its numbers need.
    pub fn outcome(&self, sample: &mut Sample<'_>) -> Outcome {
        match Numerics::of(sample) {
            Ok(numerics) => self.on(sample, &numerics),
            Err(_) => Outcome::Skipped(Skip::DoesNotApply),
        }
    }

    /// The same, with what is known of the sample's numbers.
    pub fn on(&self, sample: &Sample<'_>, numerics: &Numerics) -> Outcome {
        let skip = match self.needs {
            Needs::Nothing => None,
            Needs::Double => numerics.double(sample),
            Needs::Single => numerics.single(sample),
            Needs::Differences => numerics.differences(),
            Needs::DoubleAndDifferences => {
                numerics.double(sample).or_else(|| numerics.differences())
            }
        };
        if let Some(skip) = skip {
            return Outcome::Skipped(skip);
        }
        let run = || (self.run)(sample);
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Outcome::Fails("it panics".into()))
    }
}

impl Outcome {
    /// True if the property does not hold.
    pub fn is_fault(&self) -> bool {
        matches!(self, Outcome::Fails(_))
    }
}

fn differences(sample: &Sample<'_>) -> Outcome {
    let tape = without_limits(sample.tape);
    let count: usize = sample.inputs.iter().map(Vec::len).sum();
    let directions = match count {
        0..=COORDINATES => Directions::Coordinates,
        _ => Directions::Random(4),
    };
    let inputs = slices(&sample.inputs);
    match gradcheck_ragged(&tape, &sample.lengths, &inputs, directions, sample.seed) {
        Ok(report) if report.checked > 0 => Outcome::Holds(report.worst),
        Ok(_) => Outcome::Skipped(Skip::DoesNotApply),
        Err(TapeError::NearKink { .. }) => Outcome::Skipped(Skip::Kink),
        Err(e) => Outcome::Fails(e.to_string()),
    }
}

fn second(sample: &Sample<'_>) -> Outcome {
    let tape = without_limits(sample.tape);
    match second_order(&sample.of(&tape), &of(sample.target)) {
        Ok(found) if found.differences == [0, 0] => Outcome::Skipped(Skip::Curved),
        Ok(found) => Outcome::Holds(found.worst[0].max(found.worst[1]).max(found.modes)),
        Err(why) => Outcome::Fails(why),
    }
}

/// `check` needs this sample and another; the tolerance is that of the one that needs more.
fn also(
    sample: &Sample<'_>,
    other: Sample<'_>,
    skip: fn(&Numerics, &Sample<'_>) -> Option<Skip>,
    check: checks::Check,
) -> Outcome {
    let mut other = other;
    match Numerics::of(&mut other).map(|n| skip(&n, &other)) {
        Ok(None) => {
            let mut sample = sample.clone();
            sample.exact = sample.exact.max(other.exact);
            check(&sample).into()
        }
        Ok(Some(skip)) => Outcome::Skipped(skip),
        Err(_) => Outcome::Skipped(Skip::DoesNotApply),
    }
}

fn halves(sample: &Sample<'_>) -> Outcome {
    // Without an output, there is nothing that a second half could wait for.
    match sample.tape.outputs().is_empty() {
        true => Outcome::Skipped(Skip::DoesNotApply),
        false => checks::halves(sample).into(),
    }
}

fn double(sample: &Sample<'_>) -> Outcome {
    let other = sample.with_lengths(checks::other_lengths(&sample.lengths));
    also(sample, other, Numerics::double, checks::double)
}

fn stepper(sample: &Sample<'_>) -> Outcome {
    let full = sample.at(sample.t(), sample.b());
    let one = sample.at(sample.t(), 1);
    match also(sample, full, Numerics::single, |_| Ok(0.0)) {
        Outcome::Holds(_) => also(sample, one, Numerics::single, checks::stepper),
        skipped => skipped,
    }
}

/// Compiles a program for all of its gradients: whether it can be checked at all.
///
/// # Errors
/// Why not.
pub(crate) fn compiles(sample: &Sample<'_>) -> Result<(), CompileError> {
    let purpose = Purpose::everything(sample.tape);
    CompiledCell::<f64>::compile_with(sample.tape, &purpose, &of(sample.target)).map(|_| ())
}
