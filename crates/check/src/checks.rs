//! Compares engines on one program: the tape is right; the plan interpreter and compiled code have to agree, with all
//! optional passes, without any, and without each. See [`engines`].
//!
//! **f64**: every number within [`Sample::exact`] · (1 + the greatest magnitude in the tape's array).
//!
//! **f32**: see [`single`].

use retrograd_graph::{Level, Options, Target, Unroll};
use retrograd_jit::{CompiledCell, Element, Executor, Purpose, RunError, RunMemory};
use retrograd_tape::{Domain, Input, InputRole, Lengths, Node, Op, Output, OutputRole, Real};

use crate::bf16::compiled as compiled_of_bf16;
pub use crate::bf16::{bf16, bf16_exactly};

use crate::agree::{Verdict, agree, allowed_in_f32, caught, same, sensitivity};
use crate::runs::{
    Arrays, arguments, by_cell, by_halves, by_plan, by_tape, compiled, forward_over, of, planned,
    poison, verified,
};
use crate::sample::{Sample, slices};
use crate::stepping::{by_stepper, started_elsewhere};

/// A comparison of engines on one program.
pub type Check = fn(&Sample<'_>) -> Verdict;

/// All comparisons, and the least distance to a kink that each needs: no rounding may decide between two results. Those of
/// f64 are below 1e-9, and f32's below 1e-3, where no step enlarges them beyond what the generator allows.
pub const ALL: [(Check, f64); 9] = [
    (double, 1e-9),
    (forward, 1e-9),
    (threads, 0.0),
    (engines, 1e-3),
    (budget, 1e-9),
    (stepper, 1e-3),
    (halves, 1e-9),
    (width, 0.0),
    (bf16, 1e-3),
];

fn close(sample: &Sample<'_>, right: &Arrays<f64>, found: &Arrays<f64>) -> Verdict {
    agree(right, found, |size| sample.exact * (1.0 + size))
}

fn right(sample: &Sample<'_>) -> Result<Arrays<f64>, String> {
    by_tape::<f64>(sample).map_err(|e| e.to_string())
}

fn cell<T: Element + Real>(sample: &Sample<'_>) -> Result<Executor<T>, String> {
    compiled::<T>(sample.tape, sample.target).map_err(|e| e.to_string())
}

/// All engines against the tape, from the program to machine code, so that the first that disagrees says where to look:
///
/// 1. the plan interpreter without optional passes: else recording, the adjoint or the bare plan is wrong;
/// 2. with all of them: else one of them is, and the message says which it is right without;
/// 3. without each in turn: else what is left needs it;
/// 4. machine code in f64, without one of them and unrolled (by another factor for each case), and with all: else the
///    lowering is wrong;
/// 5. machine code in f32, see [`single`].
///
/// # Errors
/// What went wrong.
pub fn engines(sample: &Sample<'_>) -> Verdict {
    let mut worst = interpreted(sample)?;
    let right = right(sample)?;
    for (name, options) in Options::each_off() {
        let found = caught("plan interpreter", || with_plan(sample, &right, &options));
        worst = worst.max(found.map_err(|e| format!("without {name}: {e}"))?);
    }
    let drawn = (sample.seed / 40) as usize % Options::SWITCHES.len();
    let (name, mut without) = Options::each_off().nth(drawn).expect("one a switch");
    let factor = 1 + (sample.seed / 7) as usize % 5;
    without.target = sample.target;
    without.unroll = Unroll::by(factor).map_err(|e| e.to_string())?;
    for (name, options) in [(name, without), ("nothing", of(sample.target))] {
        let found = caught("machine code", || with_code(sample, &right, &options));
        worst = worst.max(
            found.map_err(|e| format!("without {name}, unrolled by {:?}: {e}", options.unroll))?,
        );
    }
    Ok(worst.max(single(sample)?))
}

fn with_plan(sample: &Sample<'_>, right: &Arrays<f64>, options: &Options) -> Verdict {
    with_plan_for(sample, right, &Purpose::everything(sample.tape), options)
}

fn with_plan_for(
    sample: &Sample<'_>,
    right: &Arrays<f64>,
    purpose: &Purpose,
    options: &Options,
) -> Verdict {
    let planned = planned(sample.tape, purpose, options)?;
    close(sample, right, &by_plan(&planned, sample)?)
}

/// The plan interpreter agrees, with all optional passes and without one of them, another for each seed.
fn interpreted_for(sample: &Sample<'_>, right: &Arrays<f64>, purpose: &Purpose) -> Verdict {
    let drawn = (sample.seed / 13) as usize % Options::SWITCHES.len();
    let (name, without) = Options::each_off().nth(drawn).expect("one a switch");
    let mut worst: f64 = 0.0;
    for (name, options) in [("nothing", Options::default()), (name, without)] {
        let off = with_plan_for(sample, right, purpose, &options);
        worst = worst.max(off.map_err(|e| format!("plan interpreter without {name}: {e}"))?);
    }
    Ok(worst)
}

fn with_code(sample: &Sample<'_>, right: &Arrays<f64>, options: &Options) -> Verdict {
    let purpose = Purpose::everything(sample.tape);
    let cell = CompiledCell::<f64>::compile_with(sample.tape, &purpose, options);
    let mut executor = cell.map_err(|e| e.to_string())?.executor();
    close(sample, right, &by_cell(&mut executor, sample)?)
}

/// The plan interpreter against the tape, without optional passes and with all of them.
///
/// # Errors
/// What went wrong.
pub fn interpreted(sample: &Sample<'_>) -> Verdict {
    let right = right(sample)?;
    let run = |options: &Options| caught("plan interpreter", || with_plan(sample, &right, options));
    let bare = run(&Options::none()).map_err(|e| format!("without optional passes: {e}"))?;
    let all = run(&Options::default()).map_err(|e| {
        let innocent = Options::each_off().filter(|(_, o)| run(o).is_ok());
        let innocent: Vec<&str> = innocent.map(|(name, _)| name).collect();
        format!("with all passes: {e} (right without any one of {innocent:?})")
    })?;
    Ok(bare.max(all))
}

/// The plan interpreter and machine code without one of the passes, another for each seed, unrolled.
///
/// # Errors
/// What went wrong.
pub fn without_a_pass(sample: &Sample<'_>) -> Verdict {
    let right = right(sample)?;
    let drawn = (sample.seed / 40) as usize % Options::SWITCHES.len();
    let (name, mut without) = Options::each_off().nth(drawn).expect("one a switch");
    let found = caught("plan interpreter", || with_plan(sample, &right, &without));
    let plan = found.map_err(|e| format!("without {name}: {e}"))?;
    without.target = sample.target;
    without.unroll = Unroll::by(1 + (sample.seed / 7) as usize % 5).map_err(|e| e.to_string())?;
    let found = caught("machine code", || with_code(sample, &right, &without));
    let code =
        found.map_err(|e| format!("without {name}, unrolled by {:?}: {e}", without.unroll))?;
    Ok(plan.max(code))
}

/// The memory of a run in which empty arrays are left out.
fn memory<T: Element + Real>(
    cell: &Executor<T>,
    sample: &Sample<'_>,
    given: &[Vec<T>],
) -> Result<RunMemory, RunError> {
    let empty: Vec<usize> = (0..given.len()).filter(|&k| given[k].is_empty()).collect();
    match sample.is_ragged() {
        true => cell.memory_ragged(&sample.lengths, (&empty, &[])),
        false => cell.memory(sample.extent(), (&empty, &[])),
    }
}

/// Compiled code with less memory than it would take: within the budget, with the same results, or an error that names the
/// least, which is enough.
///
/// # Errors
/// What went wrong.
pub fn budget(sample: &Sample<'_>) -> Verdict {
    caught("budget", || {
        let right = right(sample)?;
        let mut cell = cell::<f64>(sample)?;
        let given = arguments::<f64>(sample, cell.cell().inputs())?;
        let most = memory(&cell, sample, &given)
            .map_err(|e| e.to_string())?
            .bytes;
        cell.set_budget(Some(0));
        let Err(RunError::Budget { least, .. }) = memory(&cell, sample, &given) else {
            return Err("no bytes are enough".into());
        };
        let mut worst: f64 = 0.0;
        let between = least + (most - least) * (sample.seed % 97) as usize / 97;
        for bytes in [least, between, most] {
            cell.set_budget(Some(bytes));
            let what = memory(&cell, sample, &given).map_err(|e| format!("{bytes} bytes: {e}"))?;
            let off = close(sample, &right, &by_cell(&mut cell, sample)?);
            worst = worst.max(off.map_err(|e| format!("{bytes} bytes, {what:?}: {e}"))?);
            let taken = cell.workspace_bytes();
            if what.bytes > bytes || taken != what.bytes {
                return Err(format!("{bytes} bytes, {what:?}, and {taken} are taken"));
            }
        }
        cell.set_budget(Some(least - 1));
        match memory(&cell, sample, &given) {
            Err(RunError::Budget { least: again, .. }) if again == least => Ok(worst),
            other => Err(format!("one byte less than {least}: {other:?}")),
        }
    })
}

/// The lengths that [`double`] runs a cell at besides: equal ones if these are not, else one step fewer from row to row.
pub fn other_lengths(lengths: &Lengths) -> Lengths {
    let (t, b) = (lengths.steps(), lengths.rows());
    let (s, c) = (1 + (t + 2) % 7, 1 + (b + 1) % 5);
    let equal = lengths.points() == t * b;
    let row = |r| if equal { s.saturating_sub(r) } else { s };
    of_rows((0..c).map(row).collect())
}

/// Rows of equal lengths.
pub fn equal_lengths(t: usize, b: usize) -> Lengths {
    of_rows(vec![t; b])
}

fn of_rows(lengths: Vec<usize>) -> Lengths {
    Lengths::new(lengths).expect("the longest comes first")
}

/// The lengths that some comparison runs a sample of these at besides.
pub fn others(lengths: &Lengths) -> [Lengths; 3] {
    let (t, b) = (lengths.steps(), lengths.rows());
    // A stepper has rows of equal lengths, and one alone.
    let equal = [equal_lengths(t, b), equal_lengths(t, 1)];
    let [full, one] = equal;
    [other_lengths(lengths), full, one]
}

/// Compiled code in f64 against the tape: outputs, loss, final states and all gradients. Then again in the same cell at
/// other sizes and back (the workspace is reused), to the bit, once NaN has been everywhere in it.
///
/// # Errors
/// What went wrong.
pub fn double(sample: &Sample<'_>) -> Verdict {
    caught("f64", || {
        let mut cell = cell::<f64>(sample)?;
        let first = by_cell(&mut cell, sample)?;
        let here = close(sample, &right(sample)?, &first)?;
        let other = sample.with_lengths(other_lengths(&sample.lengths));
        let found = by_cell(&mut cell, &other)?;
        let there = close(&other, &right(&other)?, &found);
        let there = there.map_err(|e| format!("then {:?}: {e}", other.lengths.of_rows()))?;
        let larger = sample.at(sample.t() + 1, sample.b() + 1);
        for before in [larger, other] {
            poison(&mut cell, &before)?;
            let again = by_cell(&mut cell, sample)?;
            let rows = before.lengths.of_rows();
            same(&first, &again).map_err(|e| format!("run again, after {rows:?}: {e}"))?;
        }
        Ok(here.max(there))
    })
}

/// Compiled code in f32 against the tape in f64: its error is at most four times that of the tape in f32, plus what the
/// ops' tolerances do to the results; see [`jittered`](retrograd_tape::generate::jittered).
///
/// # Errors
/// What went wrong.
pub fn single(sample: &Sample<'_>) -> Verdict {
    caught("f32", || {
        let right = right(sample)?;
        let most = allowed_in_f32(&right, sample)?;
        let found = by_cell(&mut cell::<f32>(sample)?, sample)?;
        agree(&right, &found, |size| most * size.max(1.0))
    })
}

/// Sample by sample, in f64 and f32, the same outputs and states as the tape for the whole sequence; for one row too. Only a
/// program that reads from its end, or what is known after all steps, is refused.
///
/// # Errors
/// What went wrong.
pub fn stepper(sample: &Sample<'_>) -> Verdict {
    let tape = sample.tape;
    caught("stepper", || {
        let mut worst: f64 = 0.0;
        for b in [sample.b(), 1] {
            let sample = &sample.at(sample.t(), b);
            let right = right(sample)?;
            let Some(found) = by_stepper::<f64>(sample, None)? else {
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
                    Ok(worst)
                } else {
                    Err("it is refused".into())
                };
            };
            worst = worst.max(close(sample, &right, &found)?);
            let most = allowed_in_f32(&right, sample)?;
            let found = by_stepper::<f32>(sample, None)?.ok_or("refused in f32 alone")?;
            let off = agree(&right, &found, |size| most * size.max(1.0));
            worst = worst.max(off.map_err(|e| format!("f32: {e}"))?);
            set_states(sample).map_err(|e| format!("with states that were set: {e}"))?;
        }
        Ok(worst)
    })
}

/// A stepper that is told to go on elsewhere gives what the tape gives that begins there. False if nothing was compared: no
/// run begins there, or its numbers are not steady (the generator drew the others so that they are).
///
/// # Errors
/// What went wrong.
pub fn set_states(sample: &Sample<'_>) -> Result<bool, String> {
    let Some(start) = started_elsewhere(sample) else {
        return Ok(false);
    };
    let right = right(&start)?;
    // Not so if there are numbers that are none.
    let moved = sensitivity(&start, &right, 1e-9)?;
    if moved.is_nan() || moved > 1e-5 {
        return Ok(false);
    }
    let found = by_stepper::<f64>(sample, Some(&start))?;
    close(sample, &right, &found.ok_or("refused")?)?;
    Ok(true)
}

/// One thread and more give the same bits, however many pieces work is cut into, in f64 and with bfloat16 operands.
///
/// # Errors
/// What went wrong.
pub fn threads(sample: &Sample<'_>) -> Verdict {
    caught("threads", || {
        in_pieces(cell::<f64>(sample)?, sample)?;
        let rounding = compiled_of_bf16::<f32>(sample)?;
        in_pieces(rounding, sample).map_err(|e| format!("bf16: {e}"))?;
        Ok(0.0)
    })
}

fn in_pieces<T: Element + Real + std::fmt::LowerExp>(
    mut cell: Executor<T>,
    sample: &Sample<'_>,
) -> Result<(), String> {
    let one = by_cell(&mut cell, sample)?;
    for pieces in [2, 3, 7] {
        cell.cut_into(pieces);
        let cut = by_cell(&mut cell, sample)?;
        same(&one, &cut).map_err(|e| format!("{pieces} pieces: {e}"))?;
    }
    Ok(())
}

/// Loops as wide as a target's vectors give the same bits as loops of 128 bits, and all targets that fuse multiply and add
/// the same, up to the sample's, in f64 and f32: all add up in one order. (Nothing is compared for targets below.)
///
/// # Errors
/// What went wrong.
pub fn width(sample: &Sample<'_>) -> Verdict {
    caught("width", || {
        let up_to = |t: &Target| (Level::Avx2..=sample.target.level()).contains(&t.level());
        let targets: Vec<Target> = Target::all_runnable().into_iter().filter(up_to).collect();
        all_widths::<f64>(sample, &targets)?;
        all_widths::<f32>(sample, &targets)
    })
}

fn all_widths<T: Element + Real + std::fmt::LowerExp>(
    sample: &Sample<'_>,
    targets: &[Target],
) -> Verdict {
    let run = |target: Target, wide: bool| {
        // Kernels would compute some activations instead of loops of 128 bits, with the same numbers but other arrays.
        let options = Options::default().with(|o| {
            o.target = target;
            o.wide_loops = wide;
            o.outline_activations = false;
        });
        let purpose = Purpose::everything(sample.tape);
        let cell = CompiledCell::<T>::compile_with(sample.tape, &purpose, &options);
        by_cell(&mut cell.map_err(|e| e.to_string())?.executor(), sample)
    };
    let mut first = None;
    for &target in targets {
        for wide in [false, true] {
            let named = |e: String| format!("on {target}, wide loops {wide}: {e}");
            let found = run(target, wide).map_err(named)?;
            same(first.get_or_insert_with(|| found.clone()), &found).map_err(named)?;
        }
    }
    Ok(0.0)
}

/// For one loss and one seed in three, the loss's cotangent is 1 and not given.
fn gradients(sample: &Sample<'_>) -> Purpose {
    let tape = sample.tape;
    let names = |keep: &dyn Fn(&Output) -> bool| -> Vec<String> {
        let outputs = tape.outputs().iter().filter(|o| keep(o));
        outputs.map(|o| o.name.to_string()).collect()
    };
    let all = names(&|_| true);
    let (given, loss) = match sample.seed % 3 {
        0 if sample.has_loss() && all.len() > 1 => (names(&|o| o.role != OutputRole::Loss), true),
        _ => (all, false),
    };
    let wrt = tape.inputs().iter().map(|i| i.name.to_string()).collect();
    Purpose::Gradients { given, loss, wrt }
}

/// A run in two halves, with other runs in between, gives what the tape gives, and bit by bit what one run gives: for
/// one cotangent or all, in f64 and f32, cut into pieces, and within the least memory.
///
/// # Errors
/// What went wrong.
pub fn halves(sample: &Sample<'_>) -> Verdict {
    let tape = sample.tape;
    caught("two halves", || {
        let purpose = gradients(sample);
        let cell = CompiledCell::<f64>::compile_with(tape, &purpose, &verified(sample.target));
        let mut executor = cell.map_err(|e| e.to_string())?.executor();
        let one = by_cell(&mut executor, sample)?;
        let right = right(sample)?;
        let plan = interpreted_for(sample, &right, &purpose)?;
        let worst = plan.max(close(sample, &right, &one)?);
        for pieces in [1, 2, 3, 4] {
            executor.cut_into(pieces);
            let two = by_halves(&mut executor, sample)?;
            same(&one, &two).map_err(|e| format!("{pieces} pieces: {e}"))?;
        }
        executor.set_budget(Some(0));
        let given = arguments::<f64>(sample, executor.cell().inputs())?;
        let own = &slices(&given)[..tape.inputs().len()];
        let Err(RunError::Budget { least, .. }) = forward_over(&mut executor, sample, own) else {
            return Err("no bytes are enough".into());
        };
        // Another run in between needs what it needs.
        executor.set_budget(Some(least));
        let kept = forward_over(&mut executor, sample, own).map_err(|e| e.to_string())?;
        if kept.bytes() != least {
            return Err(format!(
                "{} bytes are taken, and {least} the least",
                kept.bytes()
            ));
        }
        drop(kept);
        let two = by_halves(&mut executor, sample)?;
        close(sample, &one, &two).map_err(|e| format!("{least} bytes: {e}"))?;
        let single = CompiledCell::<f32>::compile_with(tape, &purpose, &of(sample.target));
        let mut executor = single.map_err(|e| e.to_string())?.executor();
        let one = by_cell(&mut executor, sample)?;
        let two = by_halves(&mut executor, sample)?;
        same(&one, &two).map_err(|e| format!("f32: {e}"))?;
        Ok(worst)
    })
}

/// What is compiled without gradients gives the same outputs.
///
/// # Errors
/// What went wrong.
pub fn forward(sample: &Sample<'_>) -> Verdict {
    caught("forward", || {
        let right = right(sample)?;
        let plan = interpreted_for(sample, &right, &Purpose::Forward)?;
        let options = of(sample.target);
        let cell = CompiledCell::<f64>::compile_with(sample.tape, &Purpose::Forward, &options);
        let mut executor = cell.map_err(|e| e.to_string())?.executor();
        Ok(plan.max(close(sample, &right, &by_cell(&mut executor, sample)?)?))
    })
}
