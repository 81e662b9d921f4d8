//! Gradients inside a step: recorded by the rules that differentiate everything else, so that what a cell learns while it
//! runs is a value like any other.

use std::panic::Location;

use rustc_hash::FxHashMap as HashMap;
use smallvec::SmallVec;

use super::{Appender, Recorder, Recording, Var};
use crate::algebra::{Algebra, Value};
use crate::error::TapeError;
use crate::map::Map;
use crate::op::Op;
use crate::rules;
use crate::tape::describe;
use crate::ty::Shape;

impl<'t> Var<'t> {
    /// The gradients of this scalar, at each step, with respect to values of the same step: test-time training, energies,
    /// fast weights. What the values were computed from counts as constant, and so does what comes from other steps.
    ///
    /// A value that varies over less than the scalar, such as a parameter, has no gradient of each step: begin a state with
    /// it.
    ///
    /// ```
    /// use retrograd_tape::{InputRole, Recorder, Shape};
    ///
    /// let r = Recorder::new();
    /// let x = r.input("x", InputRole::Sequence, Shape::Vector(3));
    /// let w = r.state("W", Shape::Matrix(2, 3), 1, Some(r.param("W0", Shape::Matrix(2, 3))));
    /// let error = (w.matvec_t(w.matvec(x)) - x).square().sum(); // how well W codes x
    /// let [slope] = error.gradient([w]);
    /// r.output("y", r.next(w, w - 0.1 * slope).matvec(x));
    /// assert!(r.finish("learns while it runs").is_ok());
    /// ```
    #[track_caller]
    pub fn gradient<const N: usize>(self, of: [Var<'t>; N]) -> [Var<'t>; N] {
        let at = Location::caller();
        let Some(tape) = self.tape() else {
            return [self; N];
        };
        let found = tape.gradients(self, &of, at);
        std::array::from_fn(|k| match &found {
            Some(values) => tape.var(values.get(k).copied()),
            None => tape.var(None),
        })
    }
}

impl Recorder {
    fn gradients(
        &self,
        e: Var<'_>,
        of: &[Var<'_>],
        at: &'static Location<'static>,
    ) -> Option<Vec<Value>> {
        let e = self.own("gradient", e, at)?;
        let of = self.own_all("gradient", of, at)?;
        let mut inner = self.inner.borrow_mut();
        inner.gradients(e, &of, at)
    }
}

impl Recording {
    fn gradients(
        &mut self,
        e: Value,
        of: &[Value],
        at: &'static Location<'static>,
    ) -> Option<Vec<Value>> {
        let ty = self.nodes[e.index()].ty;
        if ty.shape != Shape::Scalar {
            let what = describe(&self.nodes, e);
            self.fail(TapeError::NotScalar {
                which: "gradient",
                what,
                found: ty.shape.to_string(),
                at: *at,
            });
            return None;
        }
        if let Some(&w) = of
            .iter()
            .find(|w| self.nodes[w.index()].ty.domain != ty.domain)
        {
            let (found, e) = (self.nodes[w.index()].ty, describe(&self.nodes, e));
            let w = describe(&self.nodes, w);
            self.fail(TapeError::TypeMismatch {
                op: "gradient".into(),
                operands: format!("{e} is {}, {w} is {}", ty.describe(), found.describe()),
                expected: format!(
                    "{w} should vary over what {e} varies over; a state that begins with a parameter does"
                ),
                at: *at,
            });
            return None;
        }
        // Nodes between, of the same points: what comes from other steps, or sums them up, is constant.
        let n = self.nodes.len();
        let first = of.iter().map(|w| w.index()).min().unwrap_or(n);
        let mut depends = vec![false; n];
        for i in first..n {
            let node = &self.nodes[i];
            let here = |x: &Value| x.index() < i && depends[x.index()];
            let inside = !moves(&node.op) && node.ty.domain == ty.domain;
            depends[i] =
                of.iter().any(|w| w.index() == i) || inside && node.operands.iter().any(here);
        }
        let mut cotangents: HashMap<usize, Value> = HashMap::default();
        let mut a = Appender { inner: self, at };
        let one = a.constant(1.0, Shape::Scalar);
        let one = a.spread(one, ty.domain);
        cotangents.insert(e.index(), one);
        for i in (first..=e.index()).rev() {
            let (true, Some(&t)) = (depends[i], cotangents.get(&i)) else {
                continue;
            };
            if moves(&self.nodes[i].op) {
                continue;
            }
            let node = self.nodes[i].clone();
            let xs: SmallVec<[Value; 3]> = node.operands.iter().copied().collect();
            for (k, x) in xs.iter().enumerate() {
                if !depends[x.index()] {
                    continue;
                }
                self.room(at)?;
                let mut a = Appender { inner: self, at };
                let y = Value(i as u32);
                let Some(c) = rules::vjp(&mut a, &node.op, &xs, y, k, t) else {
                    continue;
                };
                let sum = match cotangents.get(&x.index()) {
                    None => c,
                    Some(&before) => a.map2(Map::Add, before, c),
                };
                cotangents.insert(x.index(), sum);
            }
        }
        let mut a = Appender { inner: self, at };
        let found = of.iter().map(|w| match cotangents.get(&w.index()) {
            Some(&c) => c,
            None => {
                let ty = a.ty(*w);
                let zero = a.constant(0.0, ty.shape);
                a.spread(zero, ty.domain)
            }
        });
        Some(found.collect())
    }
}

/// True for the ops whose results come from other steps.
fn moves(op: &Op) -> bool {
    matches!(op, Op::Delay(_) | Op::Boundary(_))
}
