//! Numbers to run a program on, and their distance from kinks.

use std::ops::Range;

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};
use smallvec::smallvec;

use crate::algebra::Value;
use crate::central_differences::kinks;
use crate::gradcheck::SplitMix64;
use crate::interpreter::{Interpreter, index_operands};
use crate::lengths::Lengths;
use crate::map::Map;
use crate::op::{Op, Reduction};
use crate::real::Real;
use crate::tape::{Input, InputRole, Node, OutputRole, Tape};
use crate::ty::{Domain, Shape, Type};

/// Numbers for every input, by its role: -1 ‥ 1 for most, or those of its [range](Input::range); weight matrices smaller the
/// larger they are; whole numbers that the table has for indices, and for numbers that reach a table by copying (parts of
/// a vector, earlier steps); 0 and 1 for masks; 0 and about 1 for weights of the loss, never all 0; none for half of the
/// initial states. All are exact in f32, unless a range holds no such number. They depend only on the seed and on the
/// inputs' roles, types, ranges and tables.
pub fn inputs(tape: &Tape, t: usize, b: usize, seed: u64) -> Vec<Vec<f64>> {
    inputs_of(tape, |ty| ty.numbers(t, b), seed)
}

/// As [`inputs`], for rows of these lengths: values over steps are packed.
pub fn inputs_ragged(tape: &Tape, lengths: &Lengths, seed: u64) -> Vec<Vec<f64>> {
    inputs_of(tape, |ty| lengths.numbers(ty), seed)
}

fn inputs_of(tape: &Tape, numbers: impl Fn(Type) -> usize, seed: u64) -> Vec<Vec<f64>> {
    let tables = tables(tape);
    let draw = |(i, input): (usize, &Input)| {
        let n = input.ty.shape.len();
        let mut random = SplitMix64(
            seed.wrapping_mul(0x2545_f491_4f6c_dd1d)
                .wrapping_add(i as u64),
        );
        random.next();
        if input.role == InputRole::Initial && random.next() < 0.0 {
            return Vec::new();
        }
        let scale = match (input.role, input.ty.shape) {
            (InputRole::Param, Shape::Matrix(m, n)) => 1.5 / (m.max(n) as f64).sqrt(),
            _ => 1.0,
        };
        let number = |k: usize| {
            let x = random.next();
            let share = 0.5 * (x + 1.0);
            let rows = tables.get(&(i, k % n)).copied();
            let x = match (rows, &input.range, input.role) {
                (Some(rows), range, _) => {
                    let whole = whole(rows, range.as_ref());
                    whole.start + (share * (whole.end - whole.start)).floor()
                }
                (None, Some(range), _) => return within(range, share),
                (None, None, InputRole::Mask) => f64::from(x > 0.0),
                (None, None, InputRole::Weight) if k > 0 && x < -0.5 => 0.0,
                (None, None, InputRole::Weight) => 1.0 + 0.5 * x,
                _ => scale * x,
            };
            f64::from(x as f32)
        };
        (0..numbers(input.ty)).map(number).collect()
    };
    tape.inputs().iter().enumerate().map(draw).collect()
}

/// The least number of rows of the tables that an element of an input is an index of, by the input and the element: used as
/// it is, or copied by ops that change neither.
fn tables(tape: &Tape) -> HashMap<(usize, usize), usize> {
    let mut found = HashMap::default();
    for (value, rows) in index_operands(tape) {
        let (mut seen, mut work) = (HashSet::default(), vec![(value, 0)]);
        while let Some((v, element)) = work.pop() {
            if !seen.insert((v, element)) {
                continue;
            }
            let node = tape.node(v);
            let shape = |k: usize| tape.node(node.operands[k]).ty.shape;
            match node.op {
                Op::Input { id, .. } => {
                    let least = found.entry((id, element)).or_insert(rows);
                    *least = rows.min(*least);
                }
                Op::Spread(_) | Op::Reshape(_) => work.push((node.operands[0], element)),
                Op::Delay(_) | Op::Boundary(_) => {
                    work.extend(node.operands.iter().map(|&x| (x, element)));
                }
                // Masked indices are row 0.
                Op::Map(Map::Select) => {
                    work.extend(node.operands[1..].iter().map(|&x| (x, element)));
                }
                Op::Slice { axis, start, len } => {
                    let axes = shape(0).axes();
                    let inner: usize = axes[axis + 1..].iter().product();
                    let (outer, rest) = (element / (len * inner), element % (len * inner));
                    let at = (outer * axes[axis] + start) * inner + rest;
                    work.push((node.operands[0], at));
                }
                _ => {}
            }
        }
    }
    found
}

/// The whole numbers that a table has rows for, of a range those within it if there are any.
fn whole(rows: usize, range: Option<&Range<f64>>) -> Range<f64> {
    let all = 0.0..rows as f64;
    match range {
        Some(range) => {
            let (start, end) = (range.start.ceil().max(0.0), range.end.ceil().min(all.end));
            if start < end { start..end } else { all }
        }
        None => all,
    }
}

/// A number of a range, at this share of it, 0 ≤ share < 1: one that is exact in f32 if the range has one there.
fn within(range: &Range<f64>, share: f64) -> f64 {
    let x = (range.start * (1.0 - share) + range.end * share).max(range.start);
    let near = x as f32;
    let near = [near, near.next_down(), near.next_up()].map(f64::from);
    let inside = near.into_iter().find(|x| range.contains(x));
    inside.unwrap_or(if range.contains(&x) { x } else { range.start })
}

/// A cotangent for each output, in the output's layout, packed over steps: 1 for the loss, -1 ‥ 1 for all others, exact in
/// f32.
pub fn cotangents_ragged(tape: &Tape, lengths: &Lengths, seed: u64) -> Vec<Vec<f64>> {
    let draw = |(i, output): (usize, &crate::tape::Output)| {
        if output.role == OutputRole::Loss {
            return vec![1.0];
        }
        let mut random = SplitMix64(
            seed.wrapping_mul(0x9e6c_63d0_876a_68ad)
                .wrapping_add(i as u64),
        );
        random.next();
        let ty = tape.node(output.value).ty;
        (0..lengths.numbers(ty))
            .map(|_| f64::from(random.next() as f32))
            .collect()
    };
    tape.outputs().iter().enumerate().map(draw).collect()
}

/// The lengths of `b` rows, the longest of `t` steps. Of two in five seeds, some are shorter: down to no step at all, many
/// of a few steps, or all of one of two lengths.
pub fn lengths(t: usize, b: usize, seed: u64) -> Vec<usize> {
    let mut random = SplitMix64(seed.wrapping_mul(0xd6e8_feb8_6659_fd93));
    let mut below = move |n: usize| ((0.5 * (random.next() + 1.0) * n as f64) as usize).min(n - 1);
    let kind = below(10);
    if seed == 0 || kind >= 4 {
        return vec![t; b];
    }
    let other = below(t + 1);
    let mut one = |_| match kind {
        0 => [t, other][below(2)],
        1 => below(t.min(3) + 1),
        _ => below(t + 1),
    };
    let mut lengths: Vec<usize> = (1..b).map(&mut one).chain([t]).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    lengths
}

/// None if it does not run.
fn distances<T: Real>(tape: &Tape, lengths: &Lengths, inputs: &[Vec<f64>]) -> Option<Vec<f64>> {
    let inputs: Vec<Vec<T>> = (inputs.iter())
        .map(|x| x.iter().map(|&x| T::from_f64(x)).collect())
        .collect();
    let slices: Vec<&[T]> = inputs.iter().map(Vec::as_slice).collect();
    let mut run = Interpreter::<T>::new(tape);
    run.forward_ragged(lengths, &slices).ok()?;
    let mut found = kinks(&run, tape);
    // A non-finite value counts as lying on a jump, but for a row without steps, which ends as it begins: a greatest value so
    // far is then less than any number.
    let empty = lengths.of_rows().last() == Some(&0);
    let finite = tape.outputs().iter().enumerate().all(|(i, o)| {
        let least = empty && o.role == OutputRole::Final;
        let numbers = run.output(i).iter().map(|x| x.to_f64());
        { numbers }.all(|x| x.is_finite() || least && x == f64::NEG_INFINITY)
    });
    found.push(if finite {
        f64::INFINITY
    } else {
        f64::MIN_POSITIVE
    });
    Some(found)
}

/// The distance to the nearest kink or jump in a run on packed inputs over rows of these lengths; see
/// [`Case::clearance`](super::Case::clearance).
pub(super) fn clearance(tape: &Tape, lengths: &Lengths, inputs: &[Vec<f64>]) -> Option<f64> {
    KinkDistances::of(tape, lengths, inputs).map(|k| k.nearest)
}

/// How near a run comes to kinks and jumps, where one rounding decides between two results, and how far roundings move it.
///
/// ```
/// use retrograd_tape::{Lengths, Recorder, Shape, generate::KinkDistances};
///
/// let r = Recorder::new();
/// let x = r.param("x", Shape::Vector(2));
/// r.output("y", (0.1 * x).relu());
/// let tape = r.finish("relu")?;
/// let found = KinkDistances::of(&tape, &Lengths::new(vec![1])?, &[vec![0.5, -3.0]]).expect("it runs");
/// assert!((found.nearest - 0.05).abs() < 1e-8 && found.single < 1e-6);
/// # Ok::<(), retrograd_tape::TapeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KinkDistances {
    /// The least distance in f64, f32 and with errors of 1e-10 ([`jittered`]). An operand that lies exactly on a kink in
    /// all three (a zero initial state, the two sides of x = x) does not count: no rounding moves it.
    pub nearest: f64,
    /// The greatest change of a distance from f64 to f32.
    pub single: f64,
    /// The greatest change of a distance by errors of 1e-10, a billion times the rounding error of f64 and less than any
    /// clearance that tests require.
    pub jittered: f64,
}

impl KinkDistances {
    /// Those of a run on packed `inputs` over rows of these lengths; none if it does not run.
    pub fn of(tape: &Tape, lengths: &Lengths, inputs: &[Vec<f64>]) -> Option<KinkDistances> {
        let double = distances::<f64>(tape, lengths, inputs)?;
        let single = distances::<f32>(tape, lengths, inputs)?;
        let moved = distances::<f64>(&jittered(tape, 1e-10, 1), lengths, inputs)?;
        let mut found = KinkDistances {
            nearest: f64::INFINITY,
            single: 0.0,
            jittered: 0.0,
        };
        let all = double.iter().zip(&single).zip(&moved);
        for ((&d, &s), &m) in all.filter(|((d, s), m)| [**d, **s, **m] != [0.0; 3]) {
            found.nearest = found.nearest.min(d.min(s).min(m));
            if d < f64::INFINITY {
                found.single = found.single.max((d - s).abs());
                found.jittered = found.jittered.max((d - m).abs());
            }
        }
        Some(found)
    }
}

/// The program without the limits of `clip_gradient`, which are no derivatives: of them, differences have nothing.
pub fn without_limits(tape: &Tape) -> Tape {
    let mut new = tape.clone();
    for node in &mut new.nodes {
        if node.op == Op::Map(Map::ClipGradient) {
            node.op = Op::Map(Map::WithGradient);
            node.operands[1] = node.operands[0];
        }
    }
    new
}

/// The same program with rounding errors: the result of each op that rounds is multiplied by 1 + δ, |δ| up to `unit`
/// times the ulp of its row (½ for sums and products). There is one δ per op, so zeros stay zeros and equal values stay
/// equal. The change this causes in an f64 run is the effect of the ops' tolerances on the results.
pub fn jittered(tape: &Tape, unit: f64, seed: u64) -> Tape {
    let mut random = SplitMix64(seed);
    let mut nodes: Vec<Node> = Vec::with_capacity(3 * tape.nodes.len());
    let mut place: Vec<Value> = Vec::with_capacity(tape.nodes.len());
    let mut delays = Vec::new();
    for node in &tape.nodes {
        let mut new = node.clone();
        for x in &mut new.operands {
            // A delay's first operand is known at the end.
            *x = place.get(x.index()).copied().unwrap_or(*x);
        }
        if matches!(node.op, Op::Delay(_)) {
            delays.push((nodes.len(), node.operands[0]));
        }
        let ulp = match node.op {
            Op::Map(m) => m.row().ulp,
            Op::Reduce(Reduction::Sum | Reduction::Mean)
            | Op::Dot
            | Op::MatVec { .. }
            | Op::Outer { .. }
            | Op::SumTo(_) => 0.5,
            _ => 0.0,
        };
        let mut push = |n: Node| {
            nodes.push(n);
            Value(nodes.len() as u32 - 1)
        };
        let Type { shape, .. } = new.ty;
        let mut made = Node {
            op: Op::constant(1.0 + unit * ulp * random.next(), shape),
            operands: smallvec![],
            ty: Type::new(shape, Domain::Once),
            name: None,
            at: None,
            place: None,
        };
        let ty = new.ty;
        let mut v = push(new);
        if ulp > 0.0 {
            let factor = push(made.clone());
            (made.op, made.operands, made.ty) = (Op::Map(Map::Mul), smallvec![v, factor], ty);
            v = push(made);
        }
        place.push(v);
    }
    for (delay, x) in delays {
        nodes[delay].operands[0] = place[x.index()];
    }
    let mut new = tape.clone();
    new.nodes = nodes;
    for input in &mut new.inputs {
        input.value = place[input.value.index()];
    }
    for output in &mut new.outputs {
        output.value = place[output.value.index()];
    }
    new
}
