//! Where engines part: the first stage, and the first value in it, that is not the tape's.
//!
//! The stages are those of a compilation, in order: the tape's own rules, the graph after each pass (evaluated value by
//! value, [`retrograd_graph::interpret`]), the plan without and with its optional stages, machine code in f64, in f32. A
//! stage is right if all outputs and gradients are those of the tape. In the first that is not, all values and adjoints
//! are observed, in the program's order, and the first that differs is named.

use retrograd_graph::passes::{self, Trace};
use retrograd_graph::{Graph, Options, interpret};
use retrograd_jit::{CompiledCell, Element, Purpose};
use retrograd_tape::generate::named;
use retrograd_tape::{
    Directions, Domain, InputRole, Interpreter, Lengths, Observe, Op, Real, Recorder, Shape, Tape,
    TapeError, Value, gradcheck_ragged,
};

use crate::agree::{agree, allowed_in_f32};
use crate::checks::other_lengths;
use crate::random::Random;
use crate::report::Place;
use crate::runs::{Arrays, by_cell, by_plan_observed, by_tape, of};
use crate::sample::{Sample, slices};

/// A program observed at all of its values: the outputs of a run by name, the observed values among them.
type Engine<'e> = dyn Fn(&Sample<'_>, &[Observe]) -> Result<Arrays<f64>, String> + 'e;

/// Where the property fails on the reduced sample; lines are those of the program that first failed.
pub(crate) fn place(property: &str, least: &Sample<'_>, failing: &Sample<'_>) -> Option<Place> {
    if property == "differences" {
        return Some(rule(least, failing));
    }
    if let Some(place) = stage(least, failing) {
        return Some(place);
    }
    // That property also runs other rows.
    let others = || least.with_lengths(other_lengths(&least.lengths));
    if property == "f64"
        && let Some(place) = stage(&others(), failing)
    {
        return Some(place);
    }
    by_tape::<f64>(least).ok()?;
    Some(of_property(property, least, failing))
}

/// The first stage at which plain runs of the sample are wrong.
fn stage(least: &Sample<'_>, failing: &Sample<'_>) -> Option<Place> {
    let least = &revealing(least);
    let right = by_tape::<f64>(least).ok()?;
    let wrong = |found: Result<Arrays<f64>, String>| match found {
        Ok(found) => agree(&right, &found, |size| least.exact * (1.0 + size)).is_err(),
        Err(_) => true,
    };
    // Graphs are evaluated over rows of one length.
    let full = &revealing(&least.at(least.t(), least.b()));
    let right_on_full = by_tape::<f64>(full).ok()?;
    for (k, pass) in passes_of(least).into_iter().enumerate() {
        let engine = move |s: &Sample<'_>, o: &[Observe]| by_graph(s, o, k);
        let off = caught(|| engine(full, &[]))
            .and_then(|found| agree(&right_on_full, &found, |size| full.exact * (1.0 + size)));
        if off.is_err() {
            return Some(named_place("pass", Some(pass), &engine, full, failing));
        }
    }
    for (name, options) in [
        ("without optional passes", Options::none()),
        ("with all passes", Options::default()),
    ] {
        let engine = move |s: &Sample<'_>, o: &[Observe]| by_plan_observed(s, &options, o);
        if wrong(caught(|| engine(least, &[]))) {
            return Some(named_place("plan", Some(name), &engine, least, failing));
        }
    }
    let engine = |s: &Sample<'_>, o: &[Observe]| by_code::<f64>(s, o);
    if wrong(caught(|| engine(least, &[]))) {
        let stage = match least.is_ragged() && !wrong_on_full_rows(least) {
            true => "rows",
            false => "code",
        };
        return Some(named_place(stage, None, &engine, least, failing));
    }
    let engine = |s: &Sample<'_>, o: &[Observe]| by_code::<f32>(s, o);
    if let Ok(most) = allowed_in_f32(&right, least) {
        let found = caught(|| engine(least, &[]));
        let off = found.map(|f| agree(&right, &f, |size| most * size.max(1.0)).is_err());
        if off != Ok(false) {
            return Some(named_place("f32", None, &engine, least, failing));
        }
    }
    None
}

/// The sample with numbers for initial states that are left out: zeros hide where a value was lost.
fn revealing<'a>(least: &Sample<'a>) -> Sample<'a> {
    let mut least = least.clone();
    let mut random = Random::new(least.seed);
    for k in least.initial().collect::<Vec<_>>() {
        if least.inputs[k].is_empty() {
            let count = least.lengths.numbers(least.tape.inputs()[k].ty);
            let number = |_| f64::from(random.next() as f32);
            least.inputs[k] = (0..count).map(number).collect();
        }
    }
    least
}

/// A failure that shows in no plain run: the property says where.
fn of_property(property: &str, least: &Sample<'_>, failing: &Sample<'_>) -> Place {
    let (stage, what) = match property {
        "modes" | "second" => ("tangent", "the tangent of"),
        "budget" => ("replay", "a replay within a memory budget of"),
        "threads" => ("threads", "work that several threads share on"),
        "halves" => ("halves", "the backward half of a run in two of"),
        "stepper" => ("stepper", "a stepper of"),
        "rows" => ("rows", "rows of different lengths of"),
        "passes" => ("plan", "a plan without one of its passes of"),
        _ => ("code", "compiled code of"),
    };
    // A tangent is one of an op; the others are about what happens over time.
    let node = last_op(least.tape, stage != "tangent");
    Place {
        message: format!(
            "plain runs of every engine are right; {what} {} is not",
            node.0
        ),
        stage: stage.into(),
        pass: None,
        line: line(failing.tape, &node.1),
        node: Some(node.0),
    }
}

/// The last op of a program that says something: of a reduced one, it is what the failure is about.
fn last_op(tape: &Tape, over_time: bool) -> (String, Op) {
    let nodes = tape.nodes().iter().enumerate();
    let special = |op: &Op| matches!(op, Op::Delay(_) | Op::SumTo(_) | Op::Outer { .. });
    let plain = |op: &Op| !matches!(op, Op::Input { .. } | Op::Boundary(_) | Op::Spread(_));
    let first = nodes
        .clone()
        .rfind(|(_, n)| plain(&n.op) && special(&n.op) == over_time);
    let found = first.or_else(|| { nodes }.rfind(|(_, n)| plain(&n.op)));
    match found {
        Some((i, n)) => (format!("`{}` (v{i})", n.op), n.op),
        None => ("the program".into(), Op::Zeros(Shape::Scalar)),
    }
}

/// The line of a program that recorded the first such op.
fn line(tape: &Tape, op: &Op) -> Option<String> {
    let node = tape.nodes().iter().find(|n| n.op.name() == op.name())?;
    let name = node.name.as_ref().map(|n| format!("`{n}`, "));
    let at = node.at?;
    Some(format!(
        "{}{}:{}",
        name.unwrap_or_default(),
        at.file(),
        at.line()
    ))
}

/// A panic is an error like any other.
fn caught(run: impl FnOnce() -> Result<Arrays<f64>, String>) -> Result<Arrays<f64>, String> {
    let run = std::panic::AssertUnwindSafe(run);
    std::panic::catch_unwind(run).unwrap_or_else(|_| Err("it panics".into()))
}

/// The op whose derivative rule is not that of its values: each op of the program alone, on the operands of the run.
fn rule(least: &Sample<'_>, failing: &Sample<'_>) -> Place {
    let tape = least.tape;
    let mut run = Interpreter::<f64>::new(tape);
    let ran = run.forward_ragged(&least.lengths, &slices(&least.inputs));
    let wrong = (0..tape.nodes().len()).find(|&i| {
        ran.is_ok()
            && matches!(
                op_alone(tape, i, &run, &least.lengths),
                Err(TapeError::Gradient { .. })
            )
    });
    let (node, op) = match wrong {
        Some(i) => (
            format!("`{}` (v{i})", tape.nodes()[i].op),
            tape.nodes()[i].op,
        ),
        None => last_op(tape, true),
    };
    let message = match wrong {
        Some(_) => format!("the derivative rule of {node} is not that of its value"),
        None => {
            format!("each op's rule is right alone; the tape's own walk back through {node} is not")
        }
    };
    Place {
        stage: "rule".into(),
        pass: None,
        line: line(failing.tape, &op),
        node: Some(node),
        message,
    }
}

/// Compares one op's gradient with differences.
fn op_alone(
    tape: &Tape,
    i: usize,
    run: &Interpreter<f64>,
    lengths: &Lengths,
) -> Result<(), TapeError> {
    let node = &tape.nodes()[i];
    let slots = |v: &Value| matches!(tape.node(*v).ty.domain, Domain::BoundarySlots(_));
    let apart = matches!(node.op, Op::Input { .. } | Op::Delay(_) | Op::Boundary(_));
    if apart || node.operands.iter().any(slots) {
        return Ok(());
    }
    let r = Recorder::new();
    let mut inputs = Vec::new();
    let operands: Vec<_> = (node.operands.iter().enumerate())
        .map(|(k, &x)| {
            let ty = tape.node(x).ty;
            inputs.push(run.value(x));
            let role = match ty.domain {
                Domain::Once => InputRole::Param,
                Domain::Row => InputRole::Static,
                Domain::Step | Domain::BoundarySlots(_) => InputRole::Sequence,
            };
            r.input(&format!("x{k}"), role, ty.shape)
        })
        .collect();
    r.output("y", r.apply(node.op, &operands));
    let alone = r.finish("op")?;
    let inputs: Vec<Vec<f64>> = inputs.into_iter().collect::<Result<_, _>>()?;
    let directions = Directions::Random(4);
    gradcheck_ragged(&alone, lengths, &slices(&inputs), directions, 1).map(|_| ())
}

/// The first value, or else the last adjoint, that an engine computes differently from the tape.
fn parting(engine: &Engine<'_>, sample: &Sample<'_>, single: bool) -> Option<(usize, bool)> {
    let tape = named(sample.tape);
    let sample = sample.of(&tape);
    let inner =
        |(i, n): (usize, &retrograd_tape::Node)| (!matches!(n.op, Op::Input { .. })).then_some(i);
    let all: Vec<usize> = tape.nodes().iter().enumerate().filter_map(inner).collect();
    let values: Vec<Value> = all
        .iter()
        .filter_map(|i| tape.find(&format!("v{i}")))
        .collect();
    let mut run = Interpreter::<f64>::observing(&tape, |_| true, &values).ok()?;
    run.forward_ragged(&sample.lengths, &slices(&sample.inputs))
        .ok()?;
    let cotangents: Vec<Option<&[f64]>> = sample.cotangents.iter().map(|c| Some(&c[..])).collect();
    run.backward(&cotangents).ok()?;
    let off = |observe: Observe, right: &[f64]| {
        let found = caught(|| engine(&sample, std::slice::from_ref(&observe))).ok()?;
        let name = observe.to_string();
        let own: Arrays<f64> = found.into_iter().filter(|(n, _)| *n == name).collect();
        let right = vec![(name, right.to_vec())];
        // More than roundings, and less than a wrong term.
        let most = if single {
            1e-4
        } else {
            1e-4_f64.min(100.0 * sample.exact)
        };
        let allowed = |size: f64| most * (1.0 + size);
        (!own.is_empty()).then(|| agree(&right, &own, allowed).is_err())
    };
    for (&i, &v) in all.iter().zip(&values) {
        let right = run.value(v).ok()?;
        if off(Observe::value(&format!("v{i}")), &right) == Some(true) {
            return Some((i, false));
        }
    }
    for (&i, &v) in all.iter().zip(&values).rev() {
        let Some(right) = run.adjoint(v).ok()? else {
            continue;
        };
        if off(Observe::adjoint(&format!("v{i}")), right) == Some(true) {
            return Some((i, true));
        }
    }
    None
}

fn named_place(
    stage: &str,
    pass: Option<&str>,
    engine: &Engine<'_>,
    least: &Sample<'_>,
    failing: &Sample<'_>,
) -> Place {
    let (node, op, adjoint) = match parting(engine, least, stage == "f32") {
        Some((i, adjoint)) => {
            let op = least.tape.nodes()[i].op;
            (format!("`{op}` (v{i})"), op, adjoint)
        }
        // What is observed is stored and may be right: nothing but the outputs shows it.
        None => {
            let (node, op) = last_op(least.tape, true);
            (node, op, true)
        }
    };
    let which = if adjoint { "the adjoint of" } else { "" };
    let after = match (stage, pass) {
        ("pass", Some(pass)) => format!("after the pass `{pass}`"),
        ("plan", Some(pass)) => format!("in the plan {pass}"),
        ("f32", _) => "in compiled code of f32 alone".into(),
        ("rows", _) => "in compiled code over rows of different lengths alone".into(),
        _ => "in compiled code; its plan is right".into(),
    };
    Place {
        stage: stage.into(),
        pass: pass.map(str::to_owned),
        message: format!("{which} {node} is wrong {after}").trim().to_owned(),
        line: line(failing.tape, &op),
        node: Some(node),
    }
}

fn wrong_on_full_rows(least: &Sample<'_>) -> bool {
    let full = least.at(least.t(), least.b());
    let Ok(right) = by_tape::<f64>(&full) else {
        return false;
    };
    match by_code::<f64>(&full, &[]) {
        Ok(found) => agree(&right, &found, |size| least.exact * (1.0 + size)).is_err(),
        Err(_) => true,
    }
}

/// The passes that a program with all gradients goes through, observing these values.
fn trace(tape: &Tape, observe: &[Observe]) -> Result<Trace, String> {
    let recorded = Graph::observing(tape, observe).map_err(str::to_owned)?;
    let what = Purpose::everything(tape).derivations(&recorded);
    let what = what.map_err(|e| e.to_string())?;
    passes::trace(&recorded, &what, &Options::default()).map_err(|e| e.to_string())
}

fn passes_of(sample: &Sample<'_>) -> Vec<&'static str> {
    let trace = trace(sample.tape, &[]).unwrap_or_default();
    trace.into_iter().map(|(pass, _)| pass).collect()
}

/// The graph after the pass of this number, value by value.
fn by_graph(sample: &Sample<'_>, observe: &[Observe], pass: usize) -> Result<Arrays<f64>, String> {
    let trace = trace(sample.tape, observe)?;
    let (_, g) = trace.get(pass).ok_or("there is no such pass")?;
    let given = crate::runs::arguments::<f64>(sample, g.inputs())?;
    let number = |name: &str, k: usize| {
        let i = g.inputs().iter().position(|i| &*i.name == name);
        let array = i.map(|i| &given[i][..]).unwrap_or_default();
        array.get(k).copied().unwrap_or(0.0)
    };
    let found = interpret::run(g, sample.t(), sample.b(), &number);
    // An adjoint is the value itself until it is derived.
    let derived = trace[..=pass].iter().any(|(p, _)| *p == "adjoint");
    let mut out: Arrays<f64> = found.into_iter().collect();
    out.retain(|(name, _)| derived || !name.starts_with("adjoint("));
    Ok(out)
}

/// Compiled code.
fn by_code<T: Element + Real>(
    sample: &Sample<'_>,
    observe: &[Observe],
) -> Result<Arrays<f64>, String> {
    let options = of(sample.target).with(|o| o.observe = observe.to_vec());
    let purpose = Purpose::everything(sample.tape);
    let cell = CompiledCell::<T>::compile_with(sample.tape, &purpose, &options);
    let mut executor = cell.map_err(|e| e.to_string())?.executor();
    let found = by_cell(&mut executor, sample)?;
    let wide =
        |(name, array): (String, Vec<T>)| (name, array.into_iter().map(Real::to_f64).collect());
    Ok(found.into_iter().map(wide).collect())
}
