//! Rows of a ragged run, each alone.

use retrograd_tape::{Domain, Extent, Interpreter, Lengths, Node, Tape, Type, Value};

/// The numbers of a run, by what they are.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) outputs: Vec<Vec<f64>>,
    /// Empty where no gradient can flow.
    pub(crate) gradients: Vec<Vec<f64>>,
    pub(crate) adjoints: Vec<Vec<f64>>,
}

/// One kind of them.
type Numbers = fn(&Found) -> &Vec<Vec<f64>>;

pub(crate) fn slices(arrays: &[Vec<f64>]) -> Vec<&[f64]> {
    arrays.iter().map(Vec::as_slice).collect()
}

fn found(run: &Interpreter<f64>, tape: &Tape, observed: &[Value]) -> Found {
    let own = |x: Option<&[f64]>| x.map(<[f64]>::to_vec).unwrap_or_default();
    Found {
        outputs: (0..tape.outputs().len())
            .map(|i| run.output(i).to_vec())
            .collect(),
        gradients: (0..tape.inputs().len())
            .map(|i| own(run.gradient(i)))
            .collect(),
        adjoints: (observed.iter())
            .map(|&v| own(run.adjoint(v).expect("it is observed")))
            .collect(),
    }
}

/// All numbers of a ragged run.
pub(crate) fn ragged(
    tape: &Tape,
    lengths: &Lengths,
    (inputs, cotangents): (&[Vec<f64>], &[Vec<f64>]),
    observed: &[Value],
) -> Found {
    let mut run = Interpreter::observing(tape, |_| true, observed).expect("they are on the tape");
    run.forward_ragged(lengths, &slices(inputs))
        .unwrap_or_else(|e| panic!("{lengths:?}: {e}\n{tape}"));
    let cotangents: Vec<Option<&[f64]>> = cotangents.iter().map(|c| Some(&c[..])).collect();
    run.backward(&cotangents).expect("they fit");
    found(&run, tape, observed)
}

/// All numbers of a run of row `r` alone, which is not empty. Outputs that no row has a part in, such as a parameter, have a
/// cotangent in row 0 alone, so that gradients add up.
pub(crate) fn alone(
    tape: &Tape,
    lengths: &Lengths,
    (inputs, cotangents): (&[Vec<f64>], &[Vec<f64>]),
    observed: &[Value],
    r: usize,
) -> Found {
    let input = |(i, x): (usize, &Vec<f64>)| of_row(x, tape.inputs()[i].ty, lengths, r);
    let inputs: Vec<Vec<f64>> = inputs.iter().enumerate().map(input).collect();
    let cotangent = |(i, c): (usize, &Vec<f64>)| match output_type(tape, i) {
        ty if ty.domain == Domain::Once && r > 0 && !depends_on_rows(tape, i) => vec![0.0; c.len()],
        ty => of_row(c, ty, lengths, r),
    };
    let cotangents: Vec<Vec<f64>> = cotangents.iter().enumerate().map(cotangent).collect();
    let mut run = Interpreter::observing(tape, |_| true, observed).expect("they are on the tape");
    run.forward(Extent::steps(lengths.of_rows()[r]), &slices(&inputs))
        .unwrap_or_else(|e| panic!("row {r} of {lengths:?}: {e}\n{tape}"));
    let cotangents: Vec<Option<&[f64]>> = cotangents.iter().map(|c| Some(&c[..])).collect();
    run.backward(&cotangents).expect("they fit");
    found(&run, tape, observed)
}

pub(crate) fn output_type(tape: &Tape, i: usize) -> Type {
    tape.nodes()[tape.outputs()[i].value.index()].ty
}

/// What an array of a ragged run has for row `r`; all of a value that rows share.
pub(crate) fn of_row(array: &[f64], ty: Type, lengths: &Lengths, r: usize) -> Vec<f64> {
    let n = ty.shape.len();
    let point = |p: usize| array[p * n..(p + 1) * n].to_vec();
    let rows = lengths.rows();
    match ty.domain {
        // Nothing was given, or no gradient flows.
        _ if array.is_empty() => Vec::new(),
        Domain::Once => array.to_vec(),
        Domain::Row => point(r),
        Domain::BoundarySlots(k) => (0..k).flat_map(|j| point(j * rows + r)).collect(),
        Domain::Step => (0..lengths.of_rows()[r])
            .flat_map(|t| point(lengths.offset(t) + r))
            .collect(),
    }
}

/// How the values of a program that rows share depend on rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shared {
    Not,
    /// A sum over rows: those of rows alone add up.
    Sum,
}

/// True if each row of a run is what it is alone, and what rows share is nothing but sums over them. A bound on the gradient
/// of a value that rows share is one on their sum.
pub(crate) fn rows_are_independent(tape: &Tape) -> bool {
    let mut shared = vec![Shared::Not; tape.nodes().len()];
    for (i, node) in tape.nodes().iter().enumerate() {
        let of = |v: &Value| shared.get(v.index()).copied().unwrap_or(Shared::Not);
        let sums = node.operands.iter().filter(|v| of(v) == Shared::Sum);
        let all = sums.clone().count() == node.operands.len();
        if node.ty.domain == Domain::Once && node.op.name() == "clip_gradient" {
            return false;
        }
        let linear = matches!(node.op.name(), "add" | "spread" | "reshape");
        shared[i] = match (sums.count(), reduces(tape, node)) {
            (0, true) => Shared::Sum,
            (0, false) => Shared::Not,
            (_, false) if all && linear && node.ty.domain == Domain::Once => Shared::Sum,
            _ => return false,
        };
    }
    true
}

/// True if a node sums over rows.
fn reduces(tape: &Tape, node: &Node) -> bool {
    let types: Vec<Type> = (node.operands.iter())
        .map(|v| tape.nodes()[v.index()].ty)
        .collect();
    node.ty.domain == Domain::Once && node.op.work_domain(&types) != Domain::Once
}

/// Every number of `a` is that of `b`, to 1e-10 of the greatest, or of 1: both round each op, sums of at most some thousand
/// terms run in another order, and what a rounding grows to is bounded by the programs, whose values and slopes are about 1.
pub(crate) fn close(what: &str, a: &[f64], b: &[f64]) -> Result<(), String> {
    if a.len() != b.len() {
        return Err(format!("{what}: {} numbers, not {}", a.len(), b.len()));
    }
    let most = b.iter().fold(1.0, |most: f64, x| most.max(x.abs())) * 1e-10;
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        let off = (a - b).abs();
        if off.is_nan() || off > most {
            return Err(format!("{what} number {i} is {a} and should be {b}"));
        }
    }
    Ok(())
}

/// The ragged run of a program gives what its rows give alone: their values, the gradients and adjoints of each, and, of
/// what they share, sums over them. What an empty row adds to a sum is not known here: then sums are not compared.
pub(crate) fn compare(
    tape: &Tape,
    lengths: &Lengths,
    (inputs, cotangents): (&[Vec<f64>], &[Vec<f64>]),
    observed: &[Value],
) -> Result<(), String> {
    let whole = ragged(tape, lengths, (inputs, cotangents), observed);
    let rows: Vec<usize> = (0..lengths.rows())
        .filter(|&r| lengths.of_rows()[r] > 0)
        .collect();
    let each: Vec<Found> = (rows.iter())
        .map(|&r| alone(tape, lengths, (inputs, cotangents), observed, r))
        .collect();
    let types_of_observed = observed.iter().map(|v| tape.nodes()[v.index()].ty);
    let outputs = (0..tape.outputs().len()).map(|i| output_type(tape, i));
    let kinds: [(&str, Vec<Type>, Numbers); 3] = [
        ("output", outputs.collect(), |f| &f.outputs),
        (
            "gradient",
            tape.inputs().iter().map(|i| i.ty).collect(),
            |f| &f.gradients,
        ),
        ("adjoint", types_of_observed.collect(), |f| &f.adjoints),
    ];
    for (kind, types, of) in kinds {
        for (i, ty) in types.into_iter().enumerate() {
            let all = &of(&whole)[i];
            if ty.domain != Domain::Once {
                for (f, &r) in each.iter().zip(&rows) {
                    let what = format!("{kind} {i} of row {r}");
                    close(&what, &of_row(all, ty, lengths, r), &of(f)[i])?;
                }
            } else if kind == "output" && !depends_on_rows(tape, i) {
                close(&format!("{kind} {i}"), all, &of(&each[0])[i])?;
            } else if rows.len() == lengths.rows() {
                let mut sum = vec![0.0; all.len()];
                for f in &each {
                    sum.iter_mut().zip(&of(f)[i]).for_each(|(s, x)| *s += x);
                }
                close(&format!("{kind} {i}, summed"), all, &sum)?;
            }
        }
    }
    Ok(())
}

/// True if an output that rows share is computed from values of rows.
pub(crate) fn depends_on_rows(tape: &Tape, output: usize) -> bool {
    let mut todo = vec![tape.outputs()[output].value];
    while let Some(v) = todo.pop() {
        let node = &tape.nodes()[v.index()];
        if node.ty.domain != Domain::Once || reduces(tape, node) {
            return true;
        }
        todo.extend(&node.operands);
    }
    false
}
