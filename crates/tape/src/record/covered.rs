//! Targets under a weight of 0 are not read: the loss of a covered point is 0 and has no effect, whatever its targets are.
//!
//! 0 · NaN is NaN, so multiplying by the weight is not enough, neither forward nor backward. Where the loss meets
//! predictions, their cotangents are selected: the part of the loss computed from targets is recorded again, over
//!
//! - `select(weight, t, 0)` for each target t (a row number under weight 0 becomes row 0, which exists),
//! - `select(weight, p, stop_gradient(p))` for each prediction p that meets what comes from targets: its value is p, and its
//!   cotangent is 0 where the weight is; *simplify* makes it p again when nothing is left to be differentiated.
//!
//! A matrix product whose matrix is the same for all steps does not work element by element: values from targets are
//! set to 0 before it, and its result counts as a prediction.

use std::panic::Location;

use super::{Appender, Recording};
use crate::algebra::{Algebra, Value};
use crate::map::Map;
use crate::op::Op;
use crate::tape::{InputRole, Operands};
use crate::ty::{Domain, Shape};

/// How a node depends on the targets of its step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// It does not.
    Prediction,
    /// It depends on them through a product with a matrix.
    Product,
    /// It is one, or was one at an earlier or later step.
    Target,
    /// It is computed from them.
    Targets,
}

impl Of {
    /// It may be NaN where the targets are.
    fn raw(self) -> bool {
        matches!(self, Of::Target | Of::Targets)
    }
}

impl Recording {
    /// Weight · loss, 0 where the weight is 0.
    pub(super) fn covered(
        &mut self,
        weight: Value,
        loss: Value,
        at: &'static Location<'static>,
    ) -> Value {
        let before = self.nodes.len();
        let of = self.of_targets();
        let needed = self.own_step(loss, &of);
        let mut again: Vec<Option<Value>> = vec![None; before];
        for i in 0..before {
            if needed[i] && of[i] != Of::Prediction {
                again[i] = Some(self.once_more(Value(i as u32), weight, &of, &again, at));
            }
        }
        let loss = again[loss.index()].unwrap_or(loss);
        let mut a = Appender { inner: self, at };
        let weighted = a.mul(weight, loss);
        let zero = a.constant(0.0, Shape::Scalar);
        let covered = a.op_map(Map::Select, &[weight, weighted, zero]);
        self.drop_replaced(&again, covered)
    }

    /// For each node, its dependence on targets.
    fn of_targets(&self) -> Vec<Of> {
        let mut of: Vec<Of> = Vec::with_capacity(self.nodes.len());
        for (i, node) in self.nodes.iter().enumerate() {
            let known = |k: usize| {
                let v = node.operands[k].index();
                if v < i { of[v] } else { Of::Prediction }
            };
            let all = || (0..node.operands.len()).map(known);
            let found = match node.op {
                Op::Input { id, .. } if self.inputs[id].role == InputRole::Target => Of::Target,
                Op::Delay(_) if known(0).raw() => Of::Target,
                Op::Input { .. } | Op::Delay(_) | Op::Boundary(_) => Of::Prediction,
                _ if node.ty.domain != Domain::Step => Of::Prediction,
                Op::MatVec { .. } | Op::Gather if self.shared_matrix(i) && known(1).raw() => {
                    Of::Product
                }
                _ if all().any(Of::raw) => Of::Targets,
                _ if all().any(|o| o == Of::Product) => Of::Product,
                _ => Of::Prediction,
            };
            of.push(found);
        }
        of
    }

    /// True if the first operand of a product is the same for all steps.
    fn shared_matrix(&self, i: usize) -> bool {
        self.nodes[self.nodes[i].operands[0].index()].ty.domain != Domain::Step
    }

    /// The nodes that the loss needs of its own step, up to targets and predictions.
    fn own_step(&self, loss: Value, of: &[Of]) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        let mut work = vec![loss];
        while let Some(v) = work.pop() {
            if !std::mem::replace(&mut needed[v.index()], true)
                && matches!(of[v.index()], Of::Product | Of::Targets)
            {
                work.extend(&self.nodes[v.index()].operands);
            }
        }
        needed
    }

    /// Records a node that depends on targets again, over the replacements of its operands.
    fn once_more(
        &mut self,
        v: Value,
        weight: Value,
        of: &[Of],
        again: &[Option<Value>],
        at: &'static Location<'static>,
    ) -> Value {
        let node = self.nodes[v.index()].clone();
        if of[v.index()] == Of::Target {
            return self.selected(weight, v, false, at);
        }
        let raw = of[v.index()].raw();
        let operands: Operands = (node.operands.iter())
            .map(|&x| {
                let now = again[x.index()].unwrap_or(x);
                let constant = matches!(self.nodes[x.index()].op, Op::Constant { .. });
                match (raw, of[x.index()].raw()) {
                    (true, true) | (false, false) => now,
                    (true, false) if constant => now,
                    (true, false) => self.selected(weight, now, true, at),
                    (false, true) => self.selected(weight, now, false, at),
                }
            })
            .collect();
        let at = node.at.unwrap_or(at);
        self.push(node.op, operands, node.ty, node.name, at)
    }

    /// x where the weight is not 0; elsewhere x without a derivative (`keep`) or 0.
    fn selected(
        &mut self,
        weight: Value,
        x: Value,
        keep: bool,
        at: &'static Location<'static>,
    ) -> Value {
        let mut a = Appender { inner: self, at };
        let shape = a.ty(x).shape;
        let on = a.broadcast(weight, shape);
        let other = match keep {
            true => a.map1(Map::StopGradient, x),
            false => a.constant(0.0, shape),
        };
        a.op_map(Map::Select, &[on, x, other])
    }

    /// Removes the re-recorded nodes that nothing else needs. Returns the new place of `v`.
    fn drop_replaced(&mut self, again: &[Option<Value>], v: Value) -> Value {
        let n = self.nodes.len();
        let mut users = vec![0usize; n];
        for node in &self.nodes {
            node.operands.iter().for_each(|x| users[x.index()] += 1);
        }
        self.outputs
            .iter()
            .for_each(|o| users[o.value.index()] += 1);
        users[v.index()] += 1;
        // Other losses may read targets as they are.
        self.losses.values_mut().for_each(|x| users[x.index()] += 1);
        let mut kept = vec![true; n];
        for i in (0..again.len()).rev() {
            let input = matches!(self.nodes[i].op, Op::Input { .. });
            if again[i].is_none() || input {
                continue;
            }
            if users[i] > 0 {
                continue;
            }
            kept[i] = false;
            let operands = self.nodes[i].operands.clone();
            operands.iter().for_each(|x| users[x.index()] -= 1);
        }
        let mut next = 0;
        let place: Vec<Value> = (kept.iter())
            .map(|&k| {
                let now = Value(next);
                next += u32::from(k);
                now
            })
            .collect();
        let mut keep = kept.iter();
        self.nodes.retain(|_| *keep.next().expect("one a node"));
        let moved = |x: &mut Value| *x = place[x.index()];
        (self.nodes.iter_mut()).for_each(|n| n.operands.iter_mut().for_each(moved));
        self.inputs.iter_mut().for_each(|i| moved(&mut i.value));
        self.outputs.iter_mut().for_each(|o| moved(&mut o.value));
        self.states.moved(|v| place[v.index()]);
        self.losses.values_mut().for_each(moved);
        place[v.index()]
    }
}
