//! Compares engines on one program: the tape is right; the plan interpreter and compiled code have to agree, with all
//! optional passes, without any, and without each. See [`engines`].
//!
//! **f64**: every number within 1e-10 · (1 + the greatest magnitude in the tape's array). Both engines round each op to a
//! few ulp (2.2e-16); sums run over at most T·B·n ≈ 2·10⁴ terms in another order, and what a rounding grows to on its way
//! through the steps is bounded by the generator, which keeps values and slopes of the order of 1. That leaves three decimal
//! digits; a wrong term is wrong in the first.
//!
//! **f32**: see [`single`].

use retrograd_tape::Extent;
use std::panic::{AssertUnwindSafe, catch_unwind};

use retrograd_graph::passes::{self, Refused};
use retrograd_graph::plan::{Blocking, Plan, plan};
use retrograd_graph::{Graph, Options, Target, Unroll};
use retrograd_jit::{
    CompileError, CompiledCell, Element, Executor, Purpose, RunError, Stepper, StepperError,
};
use retrograd_tape::generate::{cotangents, inputs, jittered};
use retrograd_tape::{Domain, Input, InputRole, Interpreter, Op, Output, OutputRole, Real, Tape};

/// Numbers on either side of each output that must stay as they are.
const GUARD: usize = 64;

/// An array and its name.
type Named<T> = (String, Vec<T>);

/// Arrays by name, in order.
pub(crate) type Arrays<T> = Vec<Named<T>>;

/// What went wrong: the greatest difference, or a panic.
pub(crate) type Verdict = Result<(), String>;

/// All outputs and gradients of the tape.
pub(crate) fn by_tape<T: Real>(
    tape: &Tape,
    t: usize,
    b: usize,
    seed: u64,
) -> Result<Arrays<T>, String> {
    by_tape_on(tape, &inputs(tape, t, b, seed), t, b, seed)
}

/// As [`by_tape`], on these inputs.
fn by_tape_on<T: Real>(
    tape: &Tape,
    inputs: &[Vec<f64>],
    t: usize,
    b: usize,
    seed: u64,
) -> Result<Arrays<T>, String> {
    let inputs = cast::<T>(inputs);
    let slices: Vec<&[T]> = inputs.iter().map(Vec::as_slice).collect();
    let mut run = Interpreter::<T>::new(tape);
    run.forward(Extent { steps: t, rows: b }, &slices)
        .map_err(|e| e.to_string())?;
    let cots = cast::<T>(&cotangents(tape, t, b, seed));
    let cots: Vec<Option<&[T]>> = cots.iter().map(|c| Some(&c[..])).collect();
    run.backward(&cots).map_err(|e| e.to_string())?;
    let mut out: Arrays<T> = (tape.outputs().iter().enumerate())
        .map(|(i, o)| (o.name.to_string(), run.output(i).to_vec()))
        .collect();
    for (i, input) in tape.inputs().iter().enumerate() {
        let gradient = run.gradient(i).map(<[T]>::to_vec).unwrap_or_default();
        out.push((format!("grad({})", input.name), gradient));
    }
    Ok(out)
}

/// All outputs of a compiled cell, gradients among them.
pub(crate) fn by_cell<T: Element + Real>(
    executor: &mut Executor<T>,
    tape: &Tape,
    t: usize,
    b: usize,
    seed: u64,
) -> Result<Arrays<T>, String> {
    let cell = executor.cell().clone();
    let given = arguments::<T>(tape, cell.inputs(), t, b, seed)?;
    // Not zeros: what a run does not write must not pass for right. Nor may it write beside its arrays, which begin
    // anywhere: nothing is aligned to more than a number.
    let nan = <T as Real>::from_f64(f64::NAN);
    let guard = <T as Real>::from_f64(12345.0);
    let front = GUARD + (seed % 5) as usize;
    let apart = |len: usize| {
        let mut array = vec![guard; front];
        array.resize(front + len, nan);
        array.resize(array.len() + GUARD, guard);
        array
    };
    let given: Vec<(Vec<T>, usize)> = (given.iter().map(|x| {
        let mut array = apart(x.len());
        array[front..][..x.len()].copy_from_slice(x);
        (array, x.len())
    }))
    .collect();
    let slices: Vec<&[T]> = (given.iter().map(|(x, n)| &x[front..][..*n])).collect();
    let mut out: Vec<Vec<T>> = (0..cell.outputs().len())
        .map(|k| apart(cell.output_len(k, Extent { steps: t, rows: b })))
        .collect();
    let inner = |a: &Vec<T>| front..a.len() - GUARD;
    let mut outs: Vec<&mut [T]> = (out.iter_mut())
        .map(|a| {
            let range = inner(a);
            &mut a[range]
        })
        .collect();
    executor
        .run(Extent { steps: t, rows: b }, &slices, &mut outs)
        .map_err(|e| e.to_string())?;
    for (array, output) in out.iter().zip(cell.outputs()) {
        let range = inner(array);
        if array[..range.start]
            .iter()
            .chain(&array[range.end..])
            .any(|x| *x != guard)
        {
            return Err(format!("numbers beside `{}` were overwritten", output.name));
        }
    }
    let out = out.iter().map(|a| a[inner(a)].to_vec());
    let names = cell.outputs().iter().map(|o| o.name.to_string());
    Ok(names.zip(out).collect())
}

/// The program's inputs, but with initial states of another seed's, and numbers for all of them. None if a state begins with
/// anything but an input of its name: then no run begins where a stepper can be told to go on.
fn started_elsewhere(tape: &Tape, t: usize, b: usize, seed: u64) -> Option<Vec<Vec<f64>>> {
    let mut given = inputs(tape, t, b, seed);
    let mut initial =
        (tape.inputs().iter().enumerate()).filter(|(_, i)| i.role == InputRole::Initial);
    let states = tape
        .outputs()
        .iter()
        .filter(|o| o.role == OutputRole::Final);
    let named = |o: &Output| tape.input(&o.name).map(|k| tape.inputs()[k].role);
    if !states.clone().all(|o| named(o) == Some(InputRole::Initial)) || states.count() == 0 {
        return None;
    }
    initial.try_for_each(|(k, input)| {
        let Domain::BoundarySlots(slots) = input.ty.domain else {
            return None;
        };
        let number = |i: usize| f64::from((0.9 * (seed as f64 + (5 * k + i) as f64).sin()) as f32);
        given[k] = (0..slots * b * input.ty.shape.len()).map(number).collect();
        Some(())
    })?;
    Some(given)
}

/// The outputs over steps of a stepper that is given a sequence, then its states; none if the program needs later samples.
/// In the middle of the sequence parameters and all states are set to what they are, which must change nothing.
///
/// `start` are inputs whose initial states the stepper is set to after some samples, before the sequence begins: the numbers
/// are then those of a run that begins there, wherever its rings stand.
pub(crate) fn by_stepper<T: Element + Real>(
    tape: &Tape,
    t: usize,
    b: usize,
    seed: u64,
    target: Target,
    start: Option<&[Vec<f64>]>,
) -> Result<Option<Arrays<T>>, String> {
    let given = cast::<T>(&inputs(tape, t, b, seed));
    let over_steps = |k: usize| tape.inputs()[k].ty.domain == Domain::Step;
    let fixed = (0..given.len()).map(|k| if over_steps(k) { &[][..] } else { &given[k] });
    let fixed: Vec<&[T]> = fixed.collect();
    let mut stepper = match Stepper::with_options(tape, &of(target), b, &fixed) {
        Ok(stepper) => stepper,
        Err(StepperError::Compile(
            CompileError::Refused(Refused::Future(_)) | CompileError::Idle { .. },
        )) => {
            return Ok(None);
        }
        Err(e) => return Err(e.to_string()),
    };
    let position = |i: &Input| tape.inputs().iter().position(|j| j.name == i.name);
    let read: Vec<usize> = stepper.inputs().iter().filter_map(position).collect();
    let sample = |stepper: &mut Stepper<T>, step: usize| {
        let part = |&k: &usize| {
            let n = b * tape.inputs()[k].ty.shape.len();
            &given[k][step * n..][..n]
        };
        let samples: Vec<&[T]> = read.iter().map(part).collect();
        // Numbers beside the outputs must stay as they are, and what is not written must not pass for right.
        let lens: Vec<usize> = (stepper.outputs().iter())
            .map(|o| {
                b * tape.nodes()[tape.outputs()[tape.output(&o.name).expect("an output")]
                    .value
                    .index()]
                .ty
                .shape
                .len()
            })
            .collect();
        let guard = <T as Real>::from_f64(12345.0);
        let mut out: Vec<Vec<T>> = (lens.iter())
            .map(|&n| {
                let mut array = vec![guard; GUARD];
                array.resize(GUARD + n, <T as Real>::from_f64(f64::NAN));
                array.resize(array.len() + GUARD, guard);
                array
            })
            .collect();
        let mut slices: Vec<&mut [T]> = (out.iter_mut().zip(&lens))
            .map(|(a, &n)| &mut a[GUARD..GUARD + n])
            .collect();
        let ran = stepper.step(&samples, &mut slices);
        ran.map_err(|e| e.to_string())?;
        for (a, &n) in out.iter().zip(&lens) {
            if a[..GUARD]
                .iter()
                .chain(&a[GUARD + n..])
                .any(|x| *x != guard)
            {
                return Err("numbers beside an output were overwritten".to_string());
            }
        }
        let inner = out
            .iter()
            .zip(&lens)
            .map(|(a, &n)| a[GUARD..GUARD + n].to_vec());
        Ok(inner.collect::<Vec<Vec<T>>>())
    };
    let names = stepper.outputs().iter().map(|o| o.name.to_string());
    let mut out: Arrays<T> = names.map(|name| (name, Vec::new())).collect();
    let states: Vec<String> = stepper.states().map(str::to_string).collect();
    let mut first = Vec::new();
    if let Some(start) = start {
        for step in 0..1 + t / 2 {
            sample(&mut stepper, step)?;
        }
        for name in &states {
            let k = tape.input(name).ok_or("a state begins with no input")?;
            let values = cast::<T>(&start[k..=k]).remove(0);
            (stepper.set_state(name, &values)).map_err(|e| e.to_string())?;
        }
    }
    for step in 0..t {
        let got = sample(&mut stepper, step)?;
        for ((_, all), one) in out.iter_mut().zip(&got) {
            all.extend(one);
        }
        if step == 0 {
            first = got;
        }
        if step == t / 2 {
            for name in &states {
                let now = stepper.state(name).expect("its own name").to_vec();
                stepper.set_state(name, &now).map_err(|e| e.to_string())?;
            }
            let parameters = (0..fixed.len()).map(|k| match tape.inputs()[k].ty.domain {
                Domain::Once | Domain::Row => fixed[k],
                _ => &[][..],
            });
            let parameters: Vec<&[T]> = parameters.collect();
            (stepper.set_inputs(&parameters)).map_err(|e| e.to_string())?;
        }
    }
    for name in states {
        let last = stepper.state(&name).expect("its own name").to_vec();
        out.push((name, last));
    }
    if start.is_some() {
        return Ok(Some(out));
    }
    stepper.reset();
    let again = sample(&mut stepper, 0)?;
    let bits = |x: &[Vec<T>]| -> Vec<u64> {
        (x.iter().flatten())
            .map(|x| Real::to_f64(*x).to_bits())
            .collect()
    };
    if bits(&first) != bits(&again) {
        return Err("after a reset the first sample gives other numbers".into());
    }
    Ok(Some(out))
}

/// The program's inputs, and the cotangents that a differentiated one has besides.
fn arguments<T: Real>(
    tape: &Tape,
    wanted: &[Input],
    t: usize,
    b: usize,
    seed: u64,
) -> Result<Vec<Vec<T>>, String> {
    let mut given = cast::<T>(&inputs(tape, t, b, seed));
    let cots = cast::<T>(&cotangents(tape, t, b, seed));
    for input in &wanted[given.len()..] {
        let k = (tape.outputs().iter())
            .position(|o| format!("cot({})", o.name) == *input.name)
            .ok_or_else(|| format!("what is `{}`?", input.name))?;
        given.push(cots[k].clone());
    }
    Ok(given)
}

/// A program with all gradients, planned but not compiled.
pub(crate) struct Planned {
    graph: Graph,
    plan: Plan,
}

/// Plans for all gradients.
pub(crate) fn planned(tape: &Tape, options: &Options) -> Result<Planned, String> {
    let recorded = Graph::from_tape(tape);
    let what = Purpose::everything(tape).derivations(&recorded);
    let what = what.map_err(|e| e.to_string())?;
    let trace = passes::run(&recorded, &what, options).map_err(|e| e.to_string())?;
    let (_, graph) = trace.into_iter().last().expect("it starts with one");
    let plan = plan(&graph, options);
    Ok(Planned { graph, plan })
}

/// All outputs of a plan as it stands, gradients among them.
pub(crate) fn by_plan<T: Real>(
    planned: &Planned,
    tape: &Tape,
    t: usize,
    b: usize,
    seed: u64,
) -> Result<Arrays<T>, String> {
    let Planned { graph, plan } = planned;
    let given = arguments::<T>(tape, graph.inputs(), t, b, seed)?;
    let slices: Vec<&[T]> = given.iter().map(Vec::as_slice).collect();
    // Sizes and orders that must not matter, another choice for each case.
    let cut = Blocking {
        steps: 1 + (seed % 4) as usize,
        lanes: 1 + (seed / 4 % 5) as usize,
        last_first: seed / 20 % 2 == 1,
        block: 1 + (seed / 40 % 5) as usize,
        replay: seed / 200 % 2 == 1,
    };
    let out = (plan.interpret(t, b, &slices, cut)).map_err(|e| e.to_string())?;
    let names = graph.outputs().iter().map(|o| o.name.to_string());
    Ok(names.zip(out).collect())
}

/// Everything on, for a target.
pub(crate) fn of(target: Target) -> Options {
    Options::default().with(|o| o.target = target)
}

/// One of the targets that this machine runs, another for each seed.
pub(crate) fn drawn(seed: u64) -> Target {
    let all = Target::all_runnable();
    all[(seed / 11) as usize % all.len()]
}

/// Compiles for all gradients.
pub(crate) fn compiled<T: Element>(tape: &Tape, target: Target) -> Result<Executor<T>, String> {
    let purpose = Purpose::everything(tape);
    let cell = CompiledCell::compile_with(tape, &purpose, &of(target));
    Ok(cell.map_err(|e| e.to_string())?.executor())
}

fn cast<T: Real>(arrays: &[Vec<f64>]) -> Vec<Vec<T>> {
    (arrays.iter())
        .map(|a| a.iter().map(|&x| T::from_f64(x)).collect())
        .collect()
}

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

fn size<T: Real>(a: &[T]) -> f64 {
    greatest(a.iter().map(|x| Real::to_f64(*x)))
}

fn distance<T: Real>(a: &[T], b: &[f64]) -> f64 {
    greatest(a.iter().zip(b).map(|(a, b)| Real::to_f64(*a) - b))
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
                let d = (Real::to_f64(a[i]) - b[i]).abs();
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

/// A comparison of engines on one program, for this many steps and rows, with inputs of this seed, compiled for this target.
pub(crate) type Check = fn(&Tape, usize, usize, u64, Target) -> Verdict;

/// All comparisons, and the least distance to a kink that each needs: no rounding may decide between two results. Those of
/// f64 are below 1e-9, and f32's below 1e-3, where no step enlarges them beyond what the generator allows.
pub(crate) const ALL: [(Check, f64); 6] = [
    (double, 1e-9),
    (forward, 1e-9),
    (threads, 0.0),
    (engines, 1e-3),
    (budget, 1e-9),
    (stepper, 1e-3),
];

/// All engines against the tape, from the program to machine code, so that the first that disagrees says where to look:
///
/// 1. the plan interpreter without optional passes: else recording, the adjoint or the bare plan is wrong;
/// 2. with all of them: else one of them is, and the message says which it is right without;
/// 3. without each in turn: else what is left needs it;
/// 4. machine code in f64, without one of them and unrolled (by another factor for each case), and with all: else the
///    lowering is wrong;
/// 5. machine code in f32, see [`single`].
pub(crate) fn engines(tape: &Tape, t: usize, b: usize, seed: u64, target: Target) -> Verdict {
    let right = by_tape::<f64>(tape, t, b, seed)?;
    let interpreted = |options: &Options| {
        caught("plan interpreter", || {
            close(
                &right,
                &by_plan(&planned(tape, options)?, tape, t, b, seed)?,
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
            close(&right, &by_cell(&mut cell.executor(), tape, t, b, seed)?)
        })
        .map_err(|e| format!("without {name}, unrolled by {:?}: {e}", options.unroll))?;
    }
    single(tape, t, b, seed, target)
}

/// Compiled code with less memory than it would take: within the budget, with the same results, or an error that names the
/// least, which is enough.
pub(crate) fn budget(tape: &Tape, t: usize, b: usize, seed: u64, target: Target) -> Verdict {
    caught("budget", || {
        let right = by_tape(tape, t, b, seed)?;
        let mut cell = compiled::<f64>(tape, target)?;
        let given = arguments::<f64>(tape, cell.cell().inputs(), t, b, seed)?;
        let empty: Vec<usize> = (0..given.len()).filter(|&k| given[k].is_empty()).collect();
        let left_out: (&[usize], &[usize]) = (&empty, &[]);
        let most = cell
            .memory(Extent { steps: t, rows: b }, left_out)
            .map_err(|e| e.to_string())?
            .bytes;
        cell.set_budget(Some(0));
        let Err(RunError::Budget { least, .. }) =
            cell.memory(Extent { steps: t, rows: b }, left_out)
        else {
            return Err("no bytes are enough".into());
        };
        for bytes in [
            least,
            least + (most - least) * (seed % 97) as usize / 97,
            most,
        ] {
            cell.set_budget(Some(bytes));
            let what = cell
                .memory(Extent { steps: t, rows: b }, left_out)
                .map_err(|e| format!("{bytes} bytes: {e}"))?;
            close(&right, &by_cell(&mut cell, tape, t, b, seed)?)
                .map_err(|e| format!("{bytes} bytes, {what:?}: {e}"))?;
            let taken = cell.workspace_bytes();
            if what.bytes > bytes || taken != what.bytes {
                return Err(format!("{bytes} bytes, {what:?}, and {taken} are taken"));
            }
        }
        cell.set_budget(Some(least - 1));
        match cell.memory(Extent { steps: t, rows: b }, left_out) {
            Err(RunError::Budget { least: again, .. }) if again == least => Ok(()),
            other => Err(format!("one byte less than {least}: {other:?}")),
        }
    })
}

/// The sizes that [`double`] runs a cell at besides.
pub(crate) fn other_sizes(t: usize, b: usize) -> (usize, usize) {
    (1 + (t + 2) % 7, 1 + (b + 1) % 5)
}

/// Compiled code in f64 against the tape: outputs, loss, final states and all gradients. Then again in the same cell at
/// other sizes and back (the workspace is reused), and with two threads, to the bit.
pub(crate) fn double(tape: &Tape, t: usize, b: usize, seed: u64, target: Target) -> Verdict {
    caught("f64", || {
        let mut cell = compiled::<f64>(tape, target)?;
        let first = by_cell(&mut cell, tape, t, b, seed)?;
        close(&by_tape(tape, t, b, seed)?, &first)?;
        let (s, c) = other_sizes(t, b);
        let other = by_cell(&mut cell, tape, s, c, seed)?;
        close(&by_tape(tape, s, c, seed)?, &other).map_err(|e| format!("then T={s} B={c}: {e}"))?;
        let again = by_cell(&mut cell, tape, t, b, seed)?;
        same(&first, &again).map_err(|e| format!("run again: {e}"))?;
        Ok(())
    })
}

/// Compiled code in f32 against the tape in f64: its error is at most four times that of the tape in f32, plus what the
/// ops' tolerances do to the results. That is measured (the tape in f64 with each op off by up to the ulp of its row, see
/// [`jittered`]), and for the ops of the backward part, which are not jittered, bounded from below: each op of the program
/// is off by the ulp of its row (½ for others) at each of T steps. Errors are relative to the greatest number in an array, or
/// to 1, the order of the values that a small one is the difference of; they are taken over all arrays, for an array of few
/// numbers is right by chance.
pub(crate) fn single(tape: &Tape, t: usize, b: usize, seed: u64, target: Target) -> Verdict {
    caught("f32", || {
        let right = by_tape::<f64>(tape, t, b, seed)?;
        let most = allowed_in_f32(&right, tape, t, b, seed)?;
        let found = by_cell(&mut compiled::<f32>(tape, target)?, tape, t, b, seed)?;
        agree(&right, &found, |size| most * size.max(1.0))
    })
}

/// How far numbers of f32 may be off, see [`single`].
fn allowed_in_f32(
    right: &Arrays<f64>,
    tape: &Tape,
    t: usize,
    b: usize,
    seed: u64,
) -> Result<f64, String> {
    const EPS: f64 = f32::EPSILON as f64;
    let other = by_tape::<f32>(tape, t, b, seed)?;
    let mut tolerance: f64 = 0.0;
    for k in 0..4 {
        let off = by_tape::<f64>(&jittered(tape, EPS, k), t, b, seed)?;
        tolerance = tolerance.max(relative(right, &off));
    }
    let ulp = |op: &Op| match op {
        Op::Map(m) => m.row().ulp,
        _ => 0.5,
    };
    let ops: f64 = tape.nodes().iter().map(|n| ulp(&n.op)).sum();
    Ok(4.0 * relative(right, &other) + tolerance + ops * t as f64 * EPS)
}

/// Sample by sample, in f64 and f32, the same outputs and states as the tape for the whole sequence; for one row too. Only a
/// program that reads from its end is refused.
pub(crate) fn stepper(tape: &Tape, t: usize, b: usize, seed: u64, target: Target) -> Verdict {
    caught("stepper", || {
        for b in [b, 1] {
            let right = by_tape::<f64>(tape, t, b, seed)?;
            let Some(found) = by_stepper::<f64>(tape, t, b, seed, target, None)? else {
                let from_end = tape.nodes().iter().any(|n| matches!(n.op, Op::Delay(..0)));
                let of_step = |o: &Output| match o.role {
                    OutputRole::Output => tape.node(o.value).ty.domain == Domain::Step,
                    role => role == OutputRole::Final,
                };
                let may = from_end || !tape.outputs().iter().any(of_step);
                return if may {
                    Ok(())
                } else {
                    Err("it is refused".into())
                };
            };
            close(&right, &found)?;
            let most = allowed_in_f32(&right, tape, t, b, seed)?;
            let found =
                by_stepper::<f32>(tape, t, b, seed, target, None)?.ok_or("refused in f32 alone")?;
            agree(&right, &found, |size| most * size.max(1.0)).map_err(|e| format!("f32: {e}"))?;
            set_states(tape, t, b, seed, target)
                .map_err(|e| format!("with states that were set: {e}"))?;
        }
        Ok(())
    })
}

/// A stepper that is told to go on elsewhere gives what the tape gives that begins there. False if nothing was compared: no
/// run begins there, or its numbers are not steady (the generator drew the others so that they are).
pub(crate) fn set_states(
    tape: &Tape,
    t: usize,
    b: usize,
    seed: u64,
    target: Target,
) -> Result<bool, String> {
    let Some(start) = started_elsewhere(tape, t, b, seed) else {
        return Ok(false);
    };
    let right = by_tape_on::<f64>(tape, &start, t, b, seed)?;
    for k in 0..4 {
        let off = by_tape_on::<f64>(&jittered(tape, 1e-9, k), &start, t, b, seed)?;
        // Not so if there are numbers that are none.
        let moved = relative(&right, &off);
        if moved.is_nan() || moved > 1e-5 {
            return Ok(false);
        }
    }
    let found = by_stepper::<f64>(tape, t, b, seed, target, Some(&start))?;
    close(&right, &found.ok_or("refused")?)?;
    Ok(true)
}

/// The greatest difference in any array, as a share of the array's greatest number or of 1.
fn relative<T: Real>(right: &Arrays<f64>, other: &Arrays<T>) -> f64 {
    let pairs = right.iter().zip(other);
    greatest(pairs.map(|((_, a), (_, b))| distance(b, a) / size(a).max(1.0)))
}

/// One thread and more give the same bits, however many pieces work is cut into.
pub(crate) fn threads(tape: &Tape, t: usize, b: usize, seed: u64, target: Target) -> Verdict {
    caught("threads", || {
        let mut cell = compiled::<f64>(tape, target)?;
        let one = by_cell(&mut cell, tape, t, b, seed)?;
        for pieces in [2, 3, 7] {
            cell.cut_into(pieces);
            let cut = by_cell(&mut cell, tape, t, b, seed)?;
            same(&one, &cut).map_err(|e| format!("{pieces} pieces: {e}"))?;
        }
        Ok(())
    })
}

/// What is compiled without gradients gives the same outputs.
pub(crate) fn forward(tape: &Tape, t: usize, b: usize, seed: u64, target: Target) -> Verdict {
    caught("forward", || {
        let cell = CompiledCell::<f64>::compile_with(tape, &Purpose::Forward, &of(target))
            .map_err(|e| e.to_string())?;
        close(
            &by_tape(tape, t, b, seed)?,
            &by_cell(&mut cell.executor(), tape, t, b, seed)?,
        )
    })
}

fn same(a: &Arrays<f64>, b: &Arrays<f64>) -> Verdict {
    for ((name, a), (_, b)) in a.iter().zip(b) {
        if let Some(i) = (0..a.len()).find(|&i| a[i].to_bits() != b[i].to_bits()) {
            return Err(format!(
                "`{name}` number {i} is {:e} and was {:e}",
                b[i], a[i]
            ));
        }
    }
    Ok(())
}
