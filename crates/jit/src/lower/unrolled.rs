//! Unrolled loops over time: an iteration does several steps, and addresses advance by the bytes of one step.

use cranelift::prelude::*;
use retrograd_graph::plan::View;
use retrograd_tape::Domain;

use super::Code;

/// One iteration of an unrolled loop, emitted step by step.
pub(crate) struct Unrolled {
    /// Backward in time.
    reverse: bool,
    /// The current step of the iteration.
    step: usize,
    /// The address of each view, without its offset, and the step of the iteration that it is for.
    at: Vec<(View, usize, Value)>,
}

impl Code<'_, '_> {
    /// A loop over the steps of the range in their order, `unroll` of them per iteration, the remainder one by one.
    pub(super) fn over_steps(
        &mut self,
        unroll: usize,
        reverse: bool,
        body: &mut dyn FnMut(&mut Self, Value),
    ) {
        let [t0, t1, ..] = self.range;
        if unroll == 1 {
            return self.count(t0, t1, reverse, body);
        }
        let steps = self.b.ins().isub(t1, t0);
        let rest = self.b.ins().urem_imm_s(steps, unroll as i64);
        let whole = self.b.ins().isub(steps, rest);
        let zero = self.imm(0);
        let iterations = self.b.ins().udiv_imm_s(whole, unroll as i64);
        self.count(zero, iterations, false, &mut |code, i| {
            let done = code.b.ins().imul_imm_s(i, unroll as i64);
            let first = if reverse {
                let from = code.b.ins().iadd_imm_s(t1, -1);
                code.b.ins().isub(from, done)
            } else {
                code.b.ins().iadd(t0, done)
            };
            code.iteration = Some(Unrolled {
                reverse,
                step: 0,
                at: Vec::new(),
            });
            for step in 0..unroll {
                if let Some(iteration) = &mut code.iteration {
                    iteration.step = step;
                }
                let ahead = if reverse { -(step as i64) } else { step as i64 };
                let t = code.b.ins().iadd_imm_s(first, ahead);
                body(code, t);
            }
            code.iteration = None;
        });
        let (lo, hi) = if reverse {
            (t0, self.b.ins().isub(t1, whole))
        } else {
            (self.b.ins().iadd(t0, whole), t1)
        };
        self.count(lo, hi, reverse, body);
    }

    /// Address of a view of an array over steps at the iteration's current step, `t`: advanced by a step's bytes from
    /// its last address.
    pub(super) fn unrolled_address(&mut self, domain: Domain, v: View, t: Value) -> Value {
        let plain = View { offset: 0, ..v };
        let iteration = self
            .iteration
            .as_ref()
            .expect("an iteration is being emitted");
        let (reverse, step) = (iteration.reverse, iteration.step);
        let known = iteration.at.iter().position(|a| a.0 == plain);
        let at = match known.map(|k| (k, iteration.at[k])) {
            Some((k, (_, was, at))) => {
                let bytes = self.step_bytes(v, reverse);
                let at = (was..step).fold(at, |at, _| self.b.ins().iadd(at, bytes));
                self.iteration.as_mut().expect("as above").at[k] = (plain, step, at);
                at
            }
            None => {
                let at = self.address_at(domain, plain, t).0;
                self.iteration
                    .as_mut()
                    .expect("as above")
                    .at
                    .push((plain, step, at));
                at
            }
        };
        let offset = v.offset as i64 * i64::from(self.lane.bytes());
        self.b.ins().iadd_imm_s(at, offset)
    }

    /// Bytes from one step to the next, in the loop's order, in a view's array.
    pub(super) fn step_bytes(&mut self, v: View, reverse: bool) -> Value {
        let point = self.point(v);
        self.b
            .ins()
            .imul_imm_s(self.rows, if reverse { -point } else { point })
    }
}
