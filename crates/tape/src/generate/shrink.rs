//! Simpler programs than a given one.

use std::collections::HashMap;

use super::calls::Call;
use super::program::{FinalCall, GeneratedProgram, Made};
use crate::op::Op;
use crate::tape::InputRole;
use crate::ty::{Domain, Shape, Type};

/// Programs and lengths of rows one step simpler than these. Not all can be recorded.
pub(super) fn candidates(
    p: &GeneratedProgram,
    lengths: &[usize],
) -> impl Iterator<Item = (GeneratedProgram, Vec<usize>)> {
    let mut found: Vec<(GeneratedProgram, Vec<usize>)> = Vec::new();
    let mut add = |q: GeneratedProgram, rows: &[usize]| found.push((live(&q), rows.to_vec()));
    for k in 0..p.ends.len() {
        if !matches!(p.ends[k], FinalCall::Next { .. }) {
            let mut q = p.clone();
            q.ends.remove(k);
            add(q, lengths);
        }
    }
    // An output instead of a weighted loss; an operand of the output or loss in its place.
    for (k, end) in p.ends.iter().enumerate() {
        if let FinalCall::Weighted { loss, .. } = *end {
            let mut q = p.clone();
            let (name, value) = ("l".into(), loss);
            q.ends[k] = FinalCall::Output { name, value };
            add(q, lengths);
        }
        if let FinalCall::Output { value, .. } | FinalCall::Loss(value) = *end {
            for &x in p.made[value].operands() {
                let mut q = p.clone();
                let name = match end {
                    FinalCall::Output { name, .. } => name.clone(),
                    _ => "l".into(),
                };
                q.ends[k] = FinalCall::Output { name, value: x };
                add(q, lengths);
            }
        }
    }
    let types = types(p);
    for i in (0..p.made.len()).rev() {
        // Another value in its place: one of its operands, or any.
        let mut others: Vec<usize> = p.made[i].operands().to_vec();
        others.extend((0..i).filter(|&j| p.made[j].operands().is_empty()));
        others.retain(|&j| types[j].shape == types[i].shape);
        others.dedup();
        for j in others.into_iter().take(4) {
            if !matches!(p.made[i], Made::Input { .. }) || p.made[j].operands().is_empty() {
                add(replaced(p, i, j), lengths);
            }
        }
        if !matches!(p.made[i], Made::Input { .. }) {
            let mut q = p.clone();
            let role = match types[i].domain {
                Domain::Once => InputRole::Param,
                Domain::Row => InputRole::Static,
                _ => InputRole::Sequence,
            };
            let (name, shape) = (format!("z{i}"), types[i].shape);
            q.made[i] = Made::Input {
                name,
                role,
                shape,
                range: None,
            };
            q.ends
                .retain(|e| !matches!(e, FinalCall::Next { state, .. } if *state == i));
            add(q, lengths);
        }
        if let Made::State { d, init, .. } = &p.made[i] {
            for (e, start) in [(d.signum(), *init), (*d, None)] {
                if (e, start) != (*d, *init) {
                    let mut q = p.clone();
                    if let Made::State { d, init, .. } = &mut q.made[i] {
                        (*d, *init) = (e, start);
                    }
                    add(q, lengths);
                }
            }
        }
    }
    for rows in shorter(lengths) {
        add(p.clone(), &rows);
    }
    let mut sizes: Vec<usize> = (types.iter())
        .flat_map(|ty| ty.shape.axes())
        .filter(|n| *n > 1)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    for n in sizes {
        for m in [1, 2, 3, n - 1].into_iter().filter(|m| *m < n) {
            add(resized(p, n, m), lengths);
        }
    }
    found.retain(|(q, l)| l != lengths || q.to_string() != p.to_string());
    found.into_iter()
}

/// Lengths of rows one step simpler than these: fewer rows, fewer steps, equal lengths, or one row shorter.
fn shorter(lengths: &[usize]) -> Vec<Vec<usize>> {
    let (t, b) = (lengths[0], lengths.len());
    let equal = lengths[b - 1] == t;
    let mut found = Vec::new();
    if !equal {
        found.push(vec![t; b]);
    }
    for (t, b) in [
        (1, 1),
        (1, b),
        (t, 1),
        (t / 2, b),
        (t, b / 2),
        (t - 1, b),
        (t, b - 1),
    ] {
        if t > 0 && b > 0 {
            found.push(lengths[..b].iter().map(|&n| n.min(t)).collect());
        }
    }
    if !equal {
        for row in 1..b {
            let mut without = lengths.to_vec();
            without.remove(row);
            found.push(without);
            // The rows behind it are no longer than it.
            for len in [0, lengths[row].saturating_sub(1)] {
                let mut cut = lengths.to_vec();
                cut[row..].iter_mut().for_each(|n| *n = len.min(*n));
                found.push(cut);
            }
        }
    }
    found
}

fn types(p: &GeneratedProgram) -> Vec<Type> {
    let mut types: Vec<Type> = Vec::with_capacity(p.made.len());
    for made in &p.made {
        types.push(match made {
            Made::Input { role, shape, .. } => {
                let domain = match role {
                    InputRole::Param => Domain::Once,
                    InputRole::Static => Domain::Row,
                    _ => Domain::Step,
                };
                Type::new(*shape, domain)
            }
            Made::State { shape, .. } => Type::new(*shape, Domain::Step),
            Made::Op { op, xs } => {
                let xs: Vec<Type> = xs.iter().map(|&x| types[x]).collect();
                op.infer(&xs)
                    .unwrap_or(Type::new(Shape::Scalar, Domain::Step))
            }
            Made::Call { call, xs } => {
                let xs: Vec<Type> = xs.iter().map(|&x| types[x]).collect();
                call.infer(&xs)
                    .unwrap_or(Type::new(Shape::Scalar, Domain::Step))
            }
        });
    }
    types
}

/// `j` wherever `i` was used. A state that was replaced becomes nothing.
fn replaced(p: &GeneratedProgram, i: usize, j: usize) -> GeneratedProgram {
    let mut q = p.clone();
    q.ends
        .retain(|e| !matches!(e, FinalCall::Next { state, .. } if *state == i));
    rename(&mut q, |v| {
        if *v == i {
            *v = j;
        }
    });
    q
}

fn rename(p: &mut GeneratedProgram, mut change: impl FnMut(&mut usize)) {
    for made in &mut p.made {
        match made {
            Made::Input { .. } => {}
            Made::State { init, .. } => init.iter_mut().for_each(&mut change),
            Made::Op { xs, .. } | Made::Call { xs, .. } => xs.iter_mut().for_each(&mut change),
        }
    }
    for end in &mut p.ends {
        match end {
            FinalCall::Next { state, value } => {
                change(state);
                change(value);
            }
            FinalCall::Weighted { loss, weight } => {
                change(loss);
                change(weight);
            }
            FinalCall::Output { value, .. } | FinalCall::Loss(value) | FinalCall::Weight(value) => {
                change(value)
            }
            FinalCall::Sum => {}
        }
    }
}

/// Resizes axes of length `n` to `m`.
fn resized(p: &GeneratedProgram, n: usize, m: usize) -> GeneratedProgram {
    let mut q = p.clone();
    let axis = |k: usize| if k == n { m } else { k };
    let resize = |s: &mut Shape| {
        *s = match *s {
            Shape::Scalar => Shape::Scalar,
            Shape::Vector(k) => Shape::Vector(axis(k)),
            Shape::Matrix(k, l) => Shape::Matrix(axis(k), axis(l)),
            Shape::Tensor(h, k, l) => Shape::Tensor(axis(h), axis(k), axis(l)),
        }
    };
    for made in &mut q.made {
        match made {
            Made::Input { shape, .. } | Made::State { shape, .. } => resize(shape),
            Made::Op { op, .. } => match op {
                Op::Constant { shape, .. }
                | Op::Zeros(shape)
                | Op::Broadcast(shape)
                | Op::Reshape(shape) => resize(shape),
                Op::Slice { len, .. } => *len = axis(*len),
                Op::Scatter { rows, .. } => *rows = axis(*rows),
                _ => {}
            },
            Made::Call {
                call: Call::OneHot(n),
                ..
            } => *n = axis(*n),
            Made::Call { .. } => {}
        }
    }
    q
}

/// The program without unused values.
fn live(p: &GeneratedProgram) -> GeneratedProgram {
    let next: HashMap<usize, usize> = (p.ends.iter())
        .filter_map(|e| match e {
            FinalCall::Next { state, value } => Some((*state, *value)),
            _ => None,
        })
        .collect();
    let mut needed = vec![false; p.made.len()];
    let roots = p
        .ends
        .iter()
        .filter(|e| !matches!(e, FinalCall::Next { .. }));
    let mut work: Vec<usize> = roots.flat_map(FinalCall::operands).collect();
    // A program of states alone keeps them.
    if work.is_empty() {
        work = next.keys().copied().collect();
    }
    while let Some(v) = work.pop() {
        if !std::mem::replace(&mut needed[v], true) {
            work.extend(p.made[v].operands());
            work.extend(next.get(&v));
        }
    }
    let mut place = vec![0; p.made.len()];
    let mut q = GeneratedProgram::default();
    for (i, made) in p.made.iter().enumerate() {
        if needed[i] {
            place[i] = q.made.len();
            q.made.push(made.clone());
        }
    }
    let kept = |e: &&FinalCall| e.operands().all(|v| needed[v]);
    q.ends = p.ends.iter().filter(kept).cloned().collect();
    rename(&mut q, |v| *v = place[*v]);
    q
}
