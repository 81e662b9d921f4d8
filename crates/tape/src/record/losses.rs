//! Losses: each is averaged over what it varies over, and they are added up.

use std::panic::Location;

use super::{Appender, Recorder, Recording, Var};
use crate::algebra::{Algebra, Value};
use crate::error::TapeError;
use crate::map::Map;
use crate::op::Op;
use crate::tape::{Output, OutputRole, describe};
use crate::ty::{Domain, Shape};

/// How the losses of all examples and steps are combined into one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LossReduction {
    /// Σ weight·loss ÷ Σ weight; NaN if all weights are 0.
    #[default]
    Mean,
    /// Σ weight·loss.
    Sum,
}

/// The losses recorded so far.
#[derive(Default)]
pub(super) struct Losses {
    /// The sum of those of each step, and their common weight.
    step: Option<Value>,
    weight: Option<Value>,
    /// The sum of those of each row, and of those of the program.
    row: Option<Value>,
    once: Option<Value>,
    /// Those with weights of their own, and their weights.
    weighted: Vec<(Value, Value)>,
    /// The weight of the loss that is being recorded.
    weighing: Option<Value>,
    /// Sums over all points that are already recorded.
    totals: Vec<Value>,
    reduction: LossReduction,
}

impl Losses {
    /// All values, which move with the nodes.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        let sums = [
            &mut self.step,
            &mut self.weight,
            &mut self.row,
            &mut self.once,
            &mut self.weighing,
        ];
        let weighted = self.weighted.iter_mut().flat_map(|(a, b)| [a, b]);
        sums.into_iter()
            .flatten()
            .chain(weighted)
            .chain(&mut self.totals)
    }
}

impl Recorder {
    /// Adds a loss, a scalar. One of each step is averaged over all steps, as [`weight`](Recorder::weight) weighs them; one of
    /// each row over all rows; one of the program, such as a penalty on parameters, is added as it is.
    #[track_caller]
    pub fn loss(&self, v: Var<'_>) {
        let at = Location::caller();
        let Some((v, domain)) = self.loss_scalar("loss", v, at) else {
            return;
        };
        let mut inner = self.inner.borrow_mut();
        let before = match domain {
            Domain::Row => inner.losses.row,
            Domain::Once => inner.losses.once,
            Domain::Step | Domain::BoundarySlots(_) => inner.losses.step,
        };
        let sum = match before {
            None => Some(v),
            Some(before) => inner.apply(Op::Map(Map::Add), &[before, v], at),
        };
        let place = match domain {
            Domain::Row => &mut inner.losses.row,
            Domain::Once => &mut inner.losses.once,
            Domain::Step | Domain::BoundarySlots(_) => &mut inner.losses.step,
        };
        *place = sum;
    }

    /// Adds a loss with a weight of its own, a scalar: Σ weight·loss ÷ Σ weight over what the two vary over, whatever the other
    /// losses are.
    #[track_caller]
    pub fn weighted_loss(&self, v: Var<'_>, weight: Var<'_>) {
        let at = Location::caller();
        let loss = self.loss_scalar("loss", v, at);
        let weight = self.loss_scalar("weight", weight, at);
        let (Some((loss, a)), Some((weight, b))) = (loss, weight) else {
            return;
        };
        let mut inner = self.inner.borrow_mut();
        let domain = a.max(b);
        let mut a = Appender {
            inner: &mut inner,
            at,
        };
        let [loss, weight] = [loss, weight].map(|v| a.spread(v, domain));
        inner.losses.weighted.push((loss, weight));
    }

    /// Weighs the losses of each step that have no weight of their own; a mask is a weight of 0. Targets under a weight of 0
    /// are not read: they may be NaN, infinite, or no row of a table, without any effect. If all weights of a run are 0, their
    /// mean is 0 ÷ 0, NaN.
    #[track_caller]
    pub fn weight(&self, v: Var<'_>) {
        let at = Location::caller();
        if let Some((v, _)) = self.loss_scalar("weight", v, at) {
            let mut inner = self.inner.borrow_mut();
            let mut a = Appender {
                inner: &mut inner,
                at,
            };
            let v = a.spread(v, Domain::Step);
            inner.losses.weight = match inner.losses.weight {
                None => Some(v),
                Some(before) => inner.apply(Op::Map(Map::Mul), &[before, v], at),
            };
        }
    }

    /// A scalar of the program, of each row or of each step, and its domain.
    fn loss_scalar(
        &self,
        which: &'static str,
        v: Var<'_>,
        at: &'static Location<'static>,
    ) -> Option<(Value, Domain)> {
        let v = self.own(which, v, at)?;
        let mut inner = self.inner.borrow_mut();
        inner.room(at)?;
        let ty = inner.nodes[v.index()].ty;
        if ty.shape == Shape::Scalar && ty.domain.within(Domain::Step) {
            return Some((v, ty.domain));
        }
        let what = describe(&inner.nodes, v);
        inner.fail(TapeError::NotScalar {
            which,
            what,
            found: ty.shape.to_string(),
            at: *at,
        });
        None
    }

    /// Chooses between the weighted mean (the default) and the weighted sum of the losses.
    pub fn reduce_loss(&self, reduction: LossReduction) {
        self.inner.borrow_mut().losses.reduction = reduction;
    }
}

impl Recording {
    /// Records the loss over all examples and steps, if there is any.
    pub(super) fn total_loss(&mut self, at: &'static Location<'static>) {
        if let Some(loss) = self.losses.step.take() {
            self.total(loss, self.losses.weight, Domain::Step, at);
        }
        if let Some(loss) = self.losses.row.take() {
            self.total(loss, None, Domain::Row, at);
        }
        // Recording one again may move the others.
        while let Some((loss, weight)) = self.losses.weighted.pop() {
            let domain = self.nodes[loss.index()].ty.domain;
            self.total(loss, Some(weight), domain, at);
        }
        let mut totals = std::mem::take(&mut self.losses.totals);
        totals.extend(self.losses.once.take());
        let mut a = Appender { inner: self, at };
        let add = |sum, v| a.map2(Map::Add, sum, v);
        if let Some(value) = totals.into_iter().reduce(add) {
            self.outputs.push(Output {
                name: "loss".into(),
                role: OutputRole::Loss,
                value,
            });
        }
    }

    /// Records the sum or the mean of a loss over a domain.
    fn total(
        &mut self,
        loss: Value,
        weight: Option<Value>,
        domain: Domain,
        at: &'static Location<'static>,
    ) {
        let (weighted, weight) = match (weight, domain) {
            (None, _) => (loss, None),
            (Some(weight), Domain::Step) => {
                // Recording the loss again may move its weight.
                self.losses.weighing = Some(weight);
                let covered = self.covered(weight, loss, at);
                (covered, self.losses.weighing.take())
            }
            (Some(weight), _) => {
                let mut a = Appender { inner: self, at };
                let product = a.mul(weight, loss);
                let zero = a.constant(0.0, Shape::Scalar);
                (
                    a.op_map(Map::Select, &[weight, product, zero]),
                    Some(weight),
                )
            }
        };
        let reduction = self.losses.reduction;
        let mut a = Appender { inner: self, at };
        let weight = weight.unwrap_or_else(|| {
            let one = a.constant(1.0, Shape::Scalar);
            a.spread(one, domain)
        });
        let mut total = a.sum_to(weighted, Domain::Once);
        if reduction == LossReduction::Mean {
            let weights = a.sum_to(weight, Domain::Once);
            total = a.map2(Map::Div, total, weights);
        }
        self.losses.totals.push(total);
    }
}
