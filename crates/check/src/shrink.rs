//! The smallest program, rows and numbers for which a property does not hold.

use std::fmt::Write;
use std::time::Instant;

use retrograd_graph::Target;
use retrograd_tape::generate::{Case, inputs_ragged};
use retrograd_tape::{Lengths, Op, OutputRole, Tape};

use crate::celltext::cell_text;
use crate::outcome::Outcome;
use crate::place::place;
use crate::property::Property;
use crate::report::{Least, Place};
use crate::sample::Sample;
use crate::subject::Program;

/// A failure, reduced.
pub(crate) struct Reduced {
    case: Case,
    pub(crate) least: Least,
    pub(crate) place: Option<Place>,
}

/// Seeds that are tried for the numbers of a program that is recorded again, besides the failure's own.
const SEEDS: u64 = 8;

/// Numbers of all inputs up to which a program is printed with them.
const PRINTED: usize = 40;

fn sample(case: &Case, target: Target) -> Sample<'_> {
    Sample::over(&case.tape, case.lengths.clone(), case.seed, target)
}

/// What goes wrong, if it does.
fn failure(property: &Property, sample: &mut Sample<'_>) -> Option<String> {
    match property.outcome(sample) {
        Outcome::Fails(why) => Some(why),
        Outcome::Holds(_) | Outcome::Skipped(_) => None,
    }
}

/// Reduces a failure of a property on a sample until `end`, beginning with what others were reduced to. None if the
/// failure does not show in the program as it is recorded again, whatever its numbers.
pub(crate) fn reduced(
    property: &Property,
    program: &Program,
    failing: &Sample<'_>,
    known: &[Reduced],
    end: Instant,
) -> Option<Reduced> {
    let target = failing.target;
    let fails = |case: &Case| failure(property, &mut sample(case, target)).is_some();
    let others = known.iter().map(|r| r.case.clone());
    let start = { others }.find(&fails).or_else(|| {
        let seeds = std::iter::once(failing.seed).chain(1..=SEEDS);
        let own = seeds.filter_map(|seed| Case::of(&program.tape, failing.lengths.clone(), seed));
        { own }.find(&fails)
    });
    let Some(start) = start else {
        return sizes_alone(property, failing, end);
    };
    let start = fewer_points(&start, |c| Instant::now() < end && fails(c));
    let case = start.shrink(usize::MAX, |c| Instant::now() < end && fails(c));
    let mut least = sample(&case, target);
    let message = failure(property, &mut least)?;
    simplify_numbers(property, &mut least, end);
    let least = Least {
        ops: ops(&case.tape),
        nodes: case.tape.nodes().len(),
        lengths: case.lengths.of_rows().to_vec(),
        seed: case.seed,
        message,
        rust: rust(property, &case, &least),
        text: cell_text(&case.tape),
    };
    let place = place(property.name, &sample(&case, target), failing);
    Some(Reduced { case, least, place })
}

/// The case over the first of some few rows that it fails on: everything else is then tried faster.
fn fewer_points(case: &Case, fails: impl Fn(&Case) -> bool) -> Case {
    let few: [&[usize]; 9] = [
        &[1],
        &[2],
        &[3],
        &[2, 1],
        &[2, 2],
        &[3, 1],
        &[4, 2],
        &[5, 5],
        &[5, 3, 1],
    ];
    let points = case.lengths.points();
    let few = few.into_iter().filter(|l| l.iter().sum::<usize>() < points);
    let cases = few.filter_map(|l| case.at(&Lengths::new(l.to_vec()).ok()?));
    { cases }.find(&fails).unwrap_or_else(|| case.clone())
}

/// Fewer steps and rows of the program as it is: for failures that depend on more than what calls record.
fn sizes_alone(property: &Property, failing: &Sample<'_>, end: Instant) -> Option<Reduced> {
    let mut best = failing.clone();
    'shorter: while Instant::now() < end {
        let (t, b) = (best.t(), best.b());
        for (s, c) in [
            (1, 1),
            (1, b),
            (t, 1),
            (t / 2, b),
            (t, b / 2),
            (t - 1, b),
            (t, b - 1),
        ] {
            if s == 0 || c == 0 || (s, c) == (t, b) {
                continue;
            }
            let rows = best.lengths.of_rows()[..c].iter().map(|&n| n.min(s));
            let Ok(lengths) = Lengths::new(rows.collect()) else {
                continue;
            };
            let mut other = best.with_lengths(lengths);
            if failure(property, &mut other).is_some() {
                best = other;
                continue 'shorter;
            }
        }
        break;
    }
    let message = failure(property, &mut best)?;
    let case = Case::of(best.tape, best.lengths.clone(), best.seed)?;
    let least = Least {
        ops: ops(best.tape),
        nodes: best.tape.nodes().len(),
        lengths: best.lengths.of_rows().to_vec(),
        seed: best.seed,
        message,
        rust: rust(property, &case, &best),
        text: None,
    };
    let place = place(property.name, &best, failing);
    Some(Reduced { case, least, place })
}

/// Nodes that compute something: no inputs, and no final values of states, which every state has.
pub(crate) fn ops(tape: &Tape) -> usize {
    let finals: Vec<_> = (tape.outputs().iter())
        .filter(|o| o.role == OutputRole::Final)
        .map(|o| o.value.index())
        .collect();
    let nodes = tape.nodes().iter().enumerate();
    nodes
        .filter(|(i, n)| !matches!(n.op, Op::Input { .. }) && !finals.contains(i))
        .count()
}

/// Zeros, ones or a few digits in place of numbers, as far as the failure stays.
fn simplify_numbers(property: &Property, least: &mut Sample<'_>, end: Instant) {
    for k in 0..least.inputs.len() {
        for simpler in [|_| 0.0, |_| 1.0, |x: f64| (4.0 * x).round() / 4.0] {
            let was = least.inputs[k].clone();
            if Instant::now() >= end || was.is_empty() {
                return;
            }
            least.inputs[k] = was.iter().map(|&x| simpler(x)).collect();
            if failure(property, least).is_some() {
                break;
            }
            least.inputs[k] = was;
        }
    }
}

/// A test that fails as this does.
fn rust(property: &Property, case: &Case, least: &Sample<'_>) -> String {
    let printed = case.to_string();
    let body = printed.lines().filter(|l| !l.contains("r.finish("));
    let body = body.map(|l| format!("    {}\n", l.replace("Role::", "InputRole::")));
    let mut out = String::from("#[test]\nfn reduced() {\n");
    out.extend(body);
    let lengths = case.lengths.of_rows();
    let given: usize = least.inputs.iter().map(Vec::len).sum();
    let drawn = inputs_ragged(&case.tape, &case.lengths, case.seed);
    let values = match least.inputs != drawn && given <= PRINTED {
        true => format!("    sample.inputs = vec!{};\n", vecs(&least.inputs)),
        false => String::new(),
    };
    let mutable = "let mut sample";
    let _ = write!(
        out,
        "    let tape = r.finish(\"reduced\").unwrap();
    let lengths = Lengths::new(vec!{lengths:?}).unwrap();
    {mutable} = Sample::over(&tape, lengths, {}, Target::host());
{values}    let outcome = Property::find({:?}).unwrap().outcome(&mut sample);
    assert!(!outcome.is_fault(), \"{{outcome:?}}\");
}}",
        case.seed, property.name
    );
    out
}

fn vecs(arrays: &[Vec<f64>]) -> String {
    let each: Vec<String> = arrays.iter().map(|a| format!("vec!{a:?}")).collect();
    format!("[{}]", each.join(", "))
}
