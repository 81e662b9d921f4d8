//! A program as a list of calls of [`Recorder`]: the generator builds it, the shrinker edits it, and Rust is printed from it.

use std::fmt;
use std::ops::Range;

use super::calls::Call;
use super::ops::UNLIMITED;
use super::tags::{LOSS_OF_ROWS, LOSS_OF_THE_PROGRAM, WEIGHTED_LOSS};
use crate::error::TapeError;
use crate::map::Map;
use crate::op::{Number, Op, Reduction};
use crate::record::{LossReduction, Recorder, Var};
use crate::tape::{InputRole, Tape};
use crate::ty::{Domain, Shape};

/// A call that creates a value. Values are identified by their index in the list.
#[derive(Clone, Debug)]
pub(super) enum Made {
    Input {
        name: String,
        role: InputRole,
        shape: Shape,
        /// Its declared range.
        range: Option<Range<f64>>,
    },
    State {
        name: String,
        shape: Shape,
        d: i32,
        init: Option<usize>,
    },
    Op {
        op: Op,
        xs: Vec<usize>,
    },
    /// Several ops.
    Call {
        call: Call,
        xs: Vec<usize>,
    },
}

/// Calls that follow once all values exist.
#[derive(Clone, Debug)]
pub(super) enum FinalCall {
    Next {
        state: usize,
        value: usize,
    },
    Output {
        name: String,
        value: usize,
    },
    Loss(usize),
    /// A loss with a weight of its own.
    Weighted {
        loss: usize,
        weight: usize,
    },
    Weight(usize),
    /// The loss is a sum, not a mean.
    Sum,
}

/// The calls in order.
#[derive(Clone, Debug, Default)]
pub(super) struct GeneratedProgram {
    pub(super) made: Vec<Made>,
    pub(super) ends: Vec<FinalCall>,
}

impl Made {
    /// The values that it reads.
    pub(super) fn operands(&self) -> &[usize] {
        match self {
            Made::Input { .. } => &[],
            Made::State { init, .. } => init.as_slice(),
            Made::Op { xs, .. } | Made::Call { xs, .. } => xs,
        }
    }
}

impl FinalCall {
    /// The values that it refers to.
    pub(super) fn operands(&self) -> impl Iterator<Item = usize> {
        match *self {
            FinalCall::Next { state, value } => [Some(state), Some(value)],
            FinalCall::Weighted { loss, weight } => [Some(loss), Some(weight)],
            FinalCall::Output { value, .. } | FinalCall::Loss(value) | FinalCall::Weight(value) => {
                [Some(value), None]
            }
            FinalCall::Sum => [None, None],
        }
        .into_iter()
        .flatten()
    }
}

impl GeneratedProgram {
    /// With `with_gradient` in place of each `clip_gradient` that may limit.
    pub(super) fn without_limits(&self) -> GeneratedProgram {
        let mut program = self.clone();
        for made in &mut program.made {
            if let Made::Op { op, xs } = made
                && *op == Op::Map(Map::ClipGradient)
                && !matches!(&self.made[xs[1]], Made::Op { op: Op::Constant { value, .. }, .. } if value.0 >= UNLIMITED)
            {
                (*op, xs[1]) = (Op::Map(Map::WithGradient), xs[0]);
            }
        }
        program
    }

    /// Makes the calls.
    pub(super) fn record(&self) -> Result<Tape, TapeError> {
        let r = Recorder::new();
        let mut vars: Vec<Var<'_>> = Vec::with_capacity(self.made.len());
        for made in &self.made {
            let v = match made {
                Made::Input {
                    name,
                    role,
                    shape,
                    range,
                } => {
                    let v = r.input(name, *role, *shape);
                    match range {
                        Some(range) => v.bounded(range.clone()),
                        None => v,
                    }
                }
                Made::State {
                    name,
                    shape,
                    d,
                    init,
                } => r.state(name, *shape, *d, init.map(|i| vars[i])),
                Made::Op { op, xs } => {
                    let xs: Vec<Var<'_>> = xs.iter().map(|&x| vars[x]).collect();
                    r.apply(*op, &xs)
                }
                Made::Call { call, xs } => {
                    let xs: Vec<Var<'_>> = xs.iter().map(|&x| vars[x]).collect();
                    call.record(&xs).named(call.name())
                }
            };
            vars.push(v);
        }
        for end in &self.ends {
            match end {
                FinalCall::Next { state, value } => {
                    r.next(vars[*state], vars[*value]);
                }
                FinalCall::Output { name, value } => r.output(name, vars[*value]),
                FinalCall::Loss(v) => r.loss(match vars[*v].domain() {
                    Some(Domain::Row) => vars[*v].named(LOSS_OF_ROWS),
                    Some(Domain::Once) => vars[*v].named(LOSS_OF_THE_PROGRAM),
                    _ => vars[*v],
                }),
                FinalCall::Weighted { loss, weight } => {
                    r.weighted_loss(vars[*loss].named(WEIGHTED_LOSS), vars[*weight]);
                }
                FinalCall::Weight(v) => r.weight(vars[*v]),
                FinalCall::Sum => r.reduce_loss(LossReduction::Sum),
            }
        }
        r.finish("case")
    }
}

fn shape(s: Shape) -> String {
    match s {
        Shape::Scalar => "Shape::Scalar".into(),
        Shape::Vector(n) => format!("Shape::Vector({n})"),
        Shape::Matrix(m, n) => format!("Shape::Matrix({m}, {n})"),
        Shape::Tensor(h, m, n) => format!("Shape::Tensor({h}, {m}, {n})"),
    }
}

/// An op as Rust that makes it.
fn op(op: &Op) -> String {
    let domain = |d: Domain| format!("Domain::{d:?}");
    match *op {
        Op::Constant {
            value: Number(c),
            shape: s,
        } => format!("Op::constant({c:?}, {})", shape(s)),
        Op::Zeros(s) => format!("Op::Zeros({})", shape(s)),
        Op::Map(m) => format!("Op::Map(Map::{m:?})"),
        Op::Reduce(Reduction::Sum) => "Op::Reduce(Reduction::Sum)".into(),
        Op::Reduce(Reduction::Mean) => "Op::Reduce(Reduction::Mean)".into(),
        Op::Reduce(Reduction::Max) => "Op::Reduce(Reduction::Max)".into(),
        Op::ReduceAxis { kind, axis } => {
            format!("Op::ReduceAxis {{ kind: Reduction::{kind:?}, axis: {axis} }}")
        }
        Op::Transpose(order) => {
            let axes = [0, 1, 2].map(|k| order.axis(k));
            format!("Op::Transpose(Permutation::new(&{axes:?}).unwrap())")
        }
        Op::Broadcast(s) => format!("Op::Broadcast({})", shape(s)),
        Op::Reshape(s) => format!("Op::Reshape({})", shape(s)),
        Op::Outer { to } => format!("Op::Outer {{ to: {} }}", domain(to)),
        Op::Scatter { rows, to } => {
            format!("Op::Scatter {{ rows: {rows}, to: {} }}", domain(to))
        }
        Op::Spread(to) => format!("Op::Spread({})", domain(to)),
        Op::SumTo(to) => format!("Op::SumTo({})", domain(to)),
        Op::Input { .. }
        | Op::Dot
        | Op::Concat { .. }
        | Op::Slice { .. }
        | Op::MatVec { .. }
        | Op::Gather
        | Op::Delay(_)
        | Op::Boundary(_) => format!("Op::{op:?}"),
    }
}

impl fmt::Display for GeneratedProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "let r = Recorder::new();")?;
        for (i, made) in self.made.iter().enumerate() {
            write!(f, "let v{i} = ")?;
            match made {
                Made::Input {
                    name,
                    role,
                    shape: s,
                    range,
                } => {
                    write!(f, "r.input({name:?}, Role::{role:?}, {})", shape(*s))?;
                    match range {
                        Some(range) => writeln!(f, ".bounded({range:?});")?,
                        None => writeln!(f, ";")?,
                    }
                }
                Made::State {
                    name,
                    shape: s,
                    d,
                    init,
                } => {
                    let init = init.map_or("None".into(), |i| format!("Some(v{i})"));
                    writeln!(f, "r.state({name:?}, {}, {d}, {init});", shape(*s))?;
                }
                Made::Op { op: o, xs } => {
                    let xs: Vec<String> = xs.iter().map(|x| format!("v{x}")).collect();
                    writeln!(f, "r.apply({}, &[{}]);", op(o), xs.join(", "))?;
                }
                Made::Call { call, xs } => writeln!(f, "{};", call.text(xs))?,
            }
        }
        for end in &self.ends {
            match end {
                FinalCall::Next { state, value } => writeln!(f, "r.next(v{state}, v{value});")?,
                FinalCall::Output { name, value } => writeln!(f, "r.output({name:?}, v{value});")?,
                FinalCall::Loss(v) => writeln!(f, "r.loss(v{v});")?,
                FinalCall::Weighted { loss, weight } => {
                    writeln!(f, "r.weighted_loss(v{loss}, v{weight});")?;
                }
                FinalCall::Weight(v) => writeln!(f, "r.weight(v{v});")?,
                FinalCall::Sum => writeln!(f, "r.reduce_loss(LossReduction::Sum);")?,
            }
        }
        Ok(())
    }
}
