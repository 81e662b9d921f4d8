//! Compares engines on one program: the tape is right; the plan interpreter and compiled code have to agree, with all
//! optional passes, without any, and without each. See [`engines`].
//!
//! **f64**: every number within 1e-10 · (1 + the greatest magnitude in the tape's array). Both engines round each op to a
//! few ulp (2.2e-16); sums run over at most T·B·n ≈ 2·10⁴ terms in another order, and what a rounding grows to on its way
//! through the steps is bounded by the generator, which keeps values and slopes of the order of 1. That leaves three decimal
//! digits; a wrong term is wrong in the first.
//!
//! **f32**: see [`single`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use retrograd_graph::{Options, Target, Unroll};
use retrograd_jit::{CompiledCell, Purpose, RunError};
use retrograd_tape::generate::jittered;
use retrograd_tape::{Domain, Input, InputRole, Lengths, Node, Op, Output, OutputRole, Real, Tape};

#[path = "runs.rs"]
mod runs;
#[path = "samples.rs"]
mod samples;
pub(crate) use runs::*;
pub(crate) use samples::*;

/// What went wrong: the greatest difference, or a panic.
pub(crate) type Verdict = Result<(), String>;

/// Greatest magnitude, NaN if there is one.
fn greatest(xs: impl Iterator<Item = f64>) -> f64 {
    xs.fold(0.0, |a, x| {
        if x.is_nan() || a.is_nan() {
            f64::NAN
        } else {
            x.abs().max(a)
        }
    })
}

/// Of numbers that are not infinite: what a row without steps has as its greatest is less than any number.
fn size<T: Real>(a: &[T]) -> f64 {
    let numbers = a.iter().map(|x| Real::to_f64(*x));
    greatest(numbers.filter(|x| !x.is_infinite()))
}

fn distance<T: Real>(a: &[T], b: &[f64]) -> f64 {
    greatest(a.iter().zip(b).map(|(a, b)| apart(*a, *b)))
}

/// The difference; equal infinities are not apart.
fn apart<T: Real>(a: T, b: f64) -> f64 {
    match Real::to_f64(a) {
        a if a == b => 0.0,
        a => a - b,
    }
}

/// Every array of `found` agrees with the one of the same name in `right`; the gradient of an input that has none is zeros.
pub(crate) fn agree<T: Real>(
    right: &Arrays<f64>,
    found: &Arrays<T>,
    allowed: impl Fn(f64) -> f64,
) -> Verdict {
    for (name, a) in found {
        let Some((_, b)) = right.iter().find(|(n, _)| n == name) else {
            return Err(format!("what is `{name}`?"));
        };
        let zeros = vec![0.0; if b.is_empty() { a.len() } else { 0 }];
        let b = if b.is_empty() { &zeros } else { b };
        if a.len() != b.len() {
            return Err(format!("`{name}` has {} numbers, not {}", a.len(), b.len()));
        }
        let (off, most) = (distance(a, b), allowed(size(b)));
        if off.is_nan() || off > most {
            let at = (0..a.len()).find(|&i| {
                let d = apart(a[i], b[i]).abs();
                d.is_nan() || d > most
            });
            let at = at.unwrap_or(0);
            return Err(format!(
                "`{name}` number {at} is {} and should be {} (off by up to {off:e}, allowed {most:e})",
                a[at], b[at]
            ));
        }
    }
    Ok(())
}

/// The f64 rule.
pub(crate) fn close(right: &Arrays<f64>, found: &Arrays<f64>) -> Verdict {
    agree(right, found, |size| 1e-10 * (1.0 + size))
}

/// Runs a check; a panic is a failure like any other.
pub(crate) fn caught(what: &str, check: impl FnOnce() -> Verdict) -> Verdict {
    let result = catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|e| {
        let text = (e.downcast_ref::<String>().cloned())
            .or_else(|| e.downcast_ref::<&str>().map(|s| s.to_string()));
        let text = text.unwrap_or_else(|| "panic".into());
        Err(format!("panic: {}", text.lines().next().unwrap_or("")))
    });
    result.map_err(|e| format!("{what}: {e}"))
}

/// A comparison of engines on one program, for rows of these lengths, with inputs of this seed, compiled for this target.
pub(crate) type Check = fn(&Tape, &Lengths, u64, Target) -> Verdict;

/// All comparisons, and the least distance to a kink that each needs: no rounding may decide between two results. Those of
/// f64 are below 1e-9, and f32's below 1e-3, where no step enlarges them beyond what the generator allows.
pub(crate) const ALL: [(Check, f64); 7] = [
    (double, 1e-9),
    (forward, 1e-9),
    (threads, 0.0),
    (engines, 1e-3),
    (budget, 1e-9),
    (stepper, 1e-3),
    (halves, 1e-9),
];

/// All engines against the tape, from the program to machine code, so that the first that disagrees says where to look:
///
/// 1. the plan interpreter without optional passes: else recording, the adjoint or the bare plan is wrong;
/// 2. with all of them: else one of them is, and the message says which it is right without;
/// 3. without each in turn: else what is left needs it;
/// 4. machine code in f64, without one of them and unrolled (by another factor for each case), and with all: else the
///    lowering is wrong;
/// 5. machine code in f32, see [`single`].
pub(crate) fn engines(tape: &Tape, lengths: &Lengths, seed: u64, target: Target) -> Verdict {
    let right = by_tape::<f64>(tape, lengths, seed)?;
    let everything = Purpose::everything(tape);
    let interpreted = |options: &Options| {
        caught("plan interpreter", || {
            close(
                &right,
                &by_plan(&planned(tape, &everything, options)?, tape, lengths, seed)?,
            )
        })
    };
    interpreted(&Options::none()).map_err(|e| format!("without optional passes: {e}"))?;
    interpreted(&Options::default()).map_err(|e| {
        let innocent = Options::each_off().filter(|(_, o)| interpreted(o).is_ok());
        let innocent: Vec<&str> = innocent.map(|(name, _)| name).collect();
        format!("with all passes: {e} (right without any one of {innocent:?})")
    })?;
    for (name, options) in Options::each_off() {
        interpreted(&options).map_err(|e| format!("without {name}: {e}"))?;
    }
    let drawn = (seed / 40) as usize % Options::SWITCHES.len();
    let (name, mut without) = Options::each_off().nth(drawn).expect("one a switch");
    let factor = 1 + (seed / 7) as usize % 5;
    without.target = target;
    without.unroll = Unroll::by(factor).map_err(|e| e.to_string())?;
    for (name, options) in [(name, without), ("nothing", of(target))] {
        caught("machine code", || {
            let cell =
                CompiledCell::<f64>::compile_with(tape, &Purpose::everything(tape), &options)
                    .map_err(|e| e.to_string())?;
            close(&right, &by_cell(&mut cell.executor(), tape, lengths, seed)?)
        })
        .map_err(|e| format!("without {name}, unrolled by {:?}: {e}", options.unroll))?;
    }
    single(tape, lengths, seed, target)
}

/// Compiled code with less memory than it would take: within the budget, with the same results, or an error that names the
/// least, which is enough.
pub(crate) fn budget(tape: &Tape, lengths: &Lengths, seed: u64, target: Target) -> Verdict {
    caught("budget", || {
        let right = by_tape(tape, lengths, seed)?;
        let mut cell = compiled::<f64>(tape, target)?;
        let given = arguments::<f64>(tape, cell.cell().inputs(), lengths, seed)?;
        let empty: Vec<usize> = (0..given.len()).filter(|&k| given[k].is_empty()).collect();
        let most = memory(&cell, lengths, &empty)
            .map_err(|e| e.to_string())?
            .bytes;
        cell.set_budget(Some(0));
        let Err(RunError::Budget { least, .. }) = memory(&cell, lengths, &empty) else {
            return Err("no bytes are enough".into());
        };
        for bytes in [
            least,
            least + (most - least) * (seed % 97) as usize / 97,
            most,
        ] {
            cell.set_budget(Some(bytes));
            let what = memory(&cell, lengths, &empty).map_err(|e| format!("{bytes} bytes: {e}"))?;
            close(&right, &by_cell(&mut cell, tape, lengths, seed)?)
                .map_err(|e| format!("{bytes} bytes, {what:?}: {e}"))?;
            let taken = cell.workspace_bytes();
            if what.bytes > bytes || taken != what.bytes {
                return Err(format!("{bytes} bytes, {what:?}, and {taken} are taken"));
            }
        }
        cell.set_budget(Some(least - 1));
        match memory(&cell, lengths, &empty) {
            Err(RunError::Budget { least: again, .. }) if again == least => Ok(()),
            other => Err(format!("one byte less than {least}: {other:?}")),
        }
    })
}

/// The lengths that [`double`] runs a cell at besides: equal ones if these are not, else one step fewer from row to row.
pub(crate) fn other_lengths(lengths: &Lengths) -> Lengths {
    let (t, b) = (lengths.steps(), lengths.rows());
    let (s, c) = (1 + (t + 2) % 7, 1 + (b + 1) % 5);
    let equal = lengths.points() == t * b;
    let row = |r| if equal { s.saturating_sub(r) } else { s };
    of_rows((0..c).map(row).collect())
}

/// Rows of equal lengths.
pub(crate) fn equal(t: usize, b: usize) -> Lengths {
    of_rows(vec![t; b])
}

fn of_rows(lengths: Vec<usize>) -> Lengths {
    Lengths::new(lengths).expect("the longest comes first")
}

/// The lengths that some comparison runs a case of these at besides.
pub(crate) fn others(lengths: &Lengths) -> [Lengths; 3] {
    let (t, b) = (lengths.steps(), lengths.rows());
    // A stepper has rows of equal lengths, and one alone.
    [other_lengths(lengths), equal(t, b), equal(t, 1)]
}

/// Compiled code in f64 against the tape: outputs, loss, final states and all gradients. Then again in the same cell at
/// other sizes and back (the workspace is reused), once NaN has been everywhere in it.
pub(crate) fn double(tape: &Tape, lengths: &Lengths, seed: u64, target: Target) -> Verdict {
    caught("f64", || {
        let mut cell = compiled::<f64>(tape, target)?;
        let first = by_cell(&mut cell, tape, lengths, seed)?;
        close(&by_tape(tape, lengths, seed)?, &first)?;
        let others = other_lengths(lengths);
        let other = by_cell(&mut cell, tape, &others, seed)?;
        close(&by_tape(tape, &others, seed)?, &other)
            .map_err(|e| format!("then {:?}: {e}", others.of_rows()))?;
        for large in [equal(lengths.steps() + 1, lengths.rows() + 1), others] {
            poison(&mut cell, tape, &large, seed)?;
            let again = by_cell(&mut cell, tape, lengths, seed)?;
            same(&first, &again)
                .map_err(|e| format!("run again, after {:?}: {e}", large.of_rows()))?;
        }
        Ok(())
    })
}

/// Compiled code in f32 against the tape in f64: its error is at most four times that of the tape in f32, plus what the
/// ops' tolerances do to the results. That is measured (the tape in f64 with each op off by up to the ulp of its row, see
/// [`jittered`]), and for the ops of the backward part, which are not jittered, bounded from below: each op of the program
/// is off by the ulp of its row (½ for others) at each of T steps. Errors are relative to the greatest number in an array, or
/// to 1, the order of the values that a small one is the difference of; they are taken over all arrays, for an array of few
/// numbers is right by chance.
pub(crate) fn single(tape: &Tape, lengths: &Lengths, seed: u64, target: Target) -> Verdict {
    caught("f32", || {
        let right = by_tape::<f64>(tape, lengths, seed)?;
        let most = allowed_in_f32(&right, tape, lengths, seed)?;
        let found = by_cell(&mut compiled::<f32>(tape, target)?, tape, lengths, seed)?;
        agree(&right, &found, |size| most * size.max(1.0))
    })
}

/// How far numbers of f32 may be off, see [`single`].
fn allowed_in_f32(
    right: &Arrays<f64>,
    tape: &Tape,
    lengths: &Lengths,
    seed: u64,
) -> Result<f64, String> {
    const EPS: f64 = f32::EPSILON as f64;
    let other = by_tape::<f32>(tape, lengths, seed)?;
    let mut tolerance: f64 = 0.0;
    for k in 0..4 {
        let off = by_tape::<f64>(&jittered(tape, EPS, k), lengths, seed)?;
        tolerance = tolerance.max(relative(right, &off));
    }
    let ulp = |op: &Op| match op {
        Op::Map(m) => m.row().ulp,
        _ => 0.5,
    };
    let ops: f64 = tape.nodes().iter().map(|n| ulp(&n.op)).sum();
    Ok(4.0 * relative(right, &other) + tolerance + ops * lengths.steps() as f64 * EPS)
}

/// Sample by sample, in f64 and f32, the same outputs and states as the tape for the whole sequence, whose rows have the
/// length of the longest; for one row too. Only a
/// program that reads from its end, or what is known after all steps, is refused.
pub(crate) fn stepper(tape: &Tape, lengths: &Lengths, seed: u64, target: Target) -> Verdict {
    caught("stepper", || {
        for rows in [lengths.rows(), 1] {
            let lengths = &equal(lengths.steps(), rows);
            let right = by_tape::<f64>(tape, lengths, seed)?;
            let Some(found) = by_stepper::<f64>(tape, lengths, seed, target, None)? else {
                let from_end = tape.nodes().iter().any(|n| matches!(n.op, Op::Delay(..0)));
                let target = |i: &Input| matches!(i.role, InputRole::Target | InputRole::Weight);
                let targets = tape.inputs().iter().any(target);
                let of_step = |o: &Output| match o.role {
                    OutputRole::Output => tape.node(o.value).ty.domain == Domain::Step,
                    // States that need a target are the loss's.
                    role => role == OutputRole::Final && !targets,
                };
                // Steps of a second round need what is known after those of the first.
                let phases = tape.schedule().phase;
                let nodes = phases.iter().zip(tape.nodes());
                let late = |(p, n): (&usize, &Node)| *p > 2 && n.ty.domain == Domain::Step;
                let may = from_end || { nodes }.any(late) || !tape.outputs().iter().any(of_step);
                return if may {
                    Ok(())
                } else {
                    Err("it is refused".into())
                };
            };
            close(&right, &found)?;
            let most = allowed_in_f32(&right, tape, lengths, seed)?;
            let found = by_stepper::<f32>(tape, lengths, seed, target, None)?
                .ok_or("refused in f32 alone")?;
            agree(&right, &found, |size| most * size.max(1.0)).map_err(|e| format!("f32: {e}"))?;
            set_states(tape, lengths, seed, target)
                .map_err(|e| format!("with states that were set: {e}"))?;
        }
        Ok(())
    })
}

/// A stepper that is told to go on elsewhere gives what the tape gives that begins there. False if nothing was compared: no
/// run begins there, or its numbers are not steady (the generator drew the others so that they are).
pub(crate) fn set_states(
    tape: &Tape,
    lengths: &Lengths,
    seed: u64,
    target: Target,
) -> Result<bool, String> {
    let Some(start) = started_elsewhere(tape, lengths, seed) else {
        return Ok(false);
    };
    let right = by_tape_on::<f64>(tape, &start, lengths, seed)?;
    for k in 0..4 {
        let off = by_tape_on::<f64>(&jittered(tape, 1e-9, k), &start, lengths, seed)?;
        // Not so if there are numbers that are none.
        let moved = relative(&right, &off);
        if moved.is_nan() || moved > 1e-5 {
            return Ok(false);
        }
    }
    let found = by_stepper::<f64>(tape, lengths, seed, target, Some(&start))?;
    close(&right, &found.ok_or("refused")?)?;
    Ok(true)
}

/// The greatest difference in any array, as a share of the array's greatest number or of 1.
fn relative<T: Real>(right: &Arrays<f64>, other: &Arrays<T>) -> f64 {
    let pairs = right.iter().zip(other);
    greatest(pairs.map(|((_, a), (_, b))| distance(b, a) / size(a).max(1.0)))
}

/// One thread and more give the same bits, however many pieces work is cut into.
pub(crate) fn threads(tape: &Tape, lengths: &Lengths, seed: u64, target: Target) -> Verdict {
    caught("threads", || {
        let mut cell = compiled::<f64>(tape, target)?;
        let one = by_cell(&mut cell, tape, lengths, seed)?;
        for pieces in [2, 3, 7] {
            cell.cut_into(pieces);
            let cut = by_cell(&mut cell, tape, lengths, seed)?;
            same(&one, &cut).map_err(|e| format!("{pieces} pieces: {e}"))?;
        }
        Ok(())
    })
}

/// A run in two halves, with other runs in between, gives what the tape gives, and bit by bit what one run gives: for
/// one cotangent or all, in f64 and f32, cut into pieces, and within the least memory.
pub(crate) fn halves(tape: &Tape, lengths: &Lengths, seed: u64, target: Target) -> Verdict {
    caught("two halves", || {
        let names = |keep: &dyn Fn(&Output) -> bool| -> Vec<String> {
            let outputs = tape.outputs().iter().filter(|o| keep(o));
            outputs.map(|o| o.name.to_string()).collect()
        };
        let is_loss = |o: &Output| o.role == OutputRole::Loss;
        let all = names(&|_| true);
        let has_loss = tape.outputs().iter().any(is_loss);
        // The loss's cotangent is given, or it is 1.
        let (given, loss) = match seed % 3 {
            0 if has_loss && all.len() > 1 => (names(&|o| !is_loss(o)), true),
            _ => (all, false),
        };
        let wrt = tape.inputs().iter().map(|i| i.name.to_string()).collect();
        let purpose = Purpose::Gradients { given, loss, wrt };
        let compile = || CompiledCell::<f64>::compile_with(tape, &purpose, &verified(target));
        let mut executor = compile().map_err(|e| e.to_string())?.executor();
        let one = by_cell(&mut executor, tape, lengths, seed)?;
        let right = by_tape(tape, lengths, seed)?;
        interpreted(&right, tape, &purpose, lengths, seed)?;
        close(&right, &one)?;
        for pieces in [1, 2, 3, 4] {
            executor.cut_into(pieces);
            let two = by_halves(&mut executor, tape, lengths, seed)?;
            same(&one, &two).map_err(|e| format!("{pieces} pieces: {e}"))?;
        }
        executor.set_budget(Some(0));
        let given = arguments::<f64>(tape, executor.cell().inputs(), lengths, seed)?;
        let slices: Vec<&[f64]> = given.iter().map(Vec::as_slice).collect();
        let own = &slices[..tape.inputs().len()];
        let Err(RunError::Budget { least, .. }) = forward_half(&mut executor, lengths, own) else {
            return Err("no bytes are enough".into());
        };
        executor.set_budget(Some(least));
        let kept = forward_half(&mut executor, lengths, own).map_err(|e| e.to_string())?;
        if kept.bytes() != least {
            return Err(format!(
                "{} bytes are taken, and {least} the least",
                kept.bytes()
            ));
        }
        drop(kept);
        close(&one, &by_halves(&mut executor, tape, lengths, seed)?)
            .map_err(|e| format!("{least} bytes: {e}"))?;
        let single = CompiledCell::<f32>::compile_with(tape, &purpose, &of(target));
        let mut executor = single.map_err(|e| e.to_string())?.executor();
        let one = by_cell(&mut executor, tape, lengths, seed)?;
        same(&one, &by_halves(&mut executor, tape, lengths, seed)?).map_err(|e| format!("f32: {e}"))
    })
}

/// What is compiled without gradients gives the same outputs.
pub(crate) fn forward(tape: &Tape, lengths: &Lengths, seed: u64, target: Target) -> Verdict {
    caught("forward", || {
        let (right, purpose) = (by_tape(tape, lengths, seed)?, Purpose::Forward);
        interpreted(&right, tape, &purpose, lengths, seed)?;
        let cell = CompiledCell::<f64>::compile_with(tape, &purpose, &of(target))
            .map_err(|e| e.to_string())?;
        close(&right, &by_cell(&mut cell.executor(), tape, lengths, seed)?)
    })
}

/// The plan interpreter agrees, with and without one of the optional passes, another for each seed.
fn interpreted(
    right: &Arrays<f64>,
    tape: &Tape,
    purpose: &Purpose,
    lengths: &Lengths,
    seed: u64,
) -> Verdict {
    let drawn = (seed / 13) as usize % Options::SWITCHES.len();
    let (name, without) = Options::each_off().nth(drawn).expect("one a switch");
    for (name, options) in [("nothing", Options::default()), (name, without)] {
        let planned = planned(tape, purpose, &options)?;
        close(right, &by_plan(&planned, tape, lengths, seed)?)
            .map_err(|e| format!("plan interpreter without {name}: {e}"))?;
    }
    Ok(())
}

fn same<T: Real + std::fmt::LowerExp>(a: &Arrays<T>, b: &Arrays<T>) -> Verdict {
    let bits = |x: T| Real::to_f64(x).to_bits();
    for ((name, a), (_, b)) in a.iter().zip(b) {
        if a.len() != b.len() {
            return Err(format!(
                "`{name}` has {} numbers and had {}",
                b.len(),
                a.len()
            ));
        }
        if let Some(i) = (0..a.len()).find(|&i| bits(a[i]) != bits(b[i])) {
            return Err(format!(
                "`{name}` number {i} is {:e} and was {:e}",
                b[i], a[i]
            ));
        }
    }
    Ok(())
}
