//! Unrolled loops over time: an iteration does several steps.

use cranelift::prelude::*;

use super::Code;

impl Code<'_, '_, '_> {
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
            for step in 0..unroll {
                let ahead = if reverse { -(step as i64) } else { step as i64 };
                let t = code.b.ins().iadd_imm_s(first, ahead);
                body(code, t);
            }
        });
        let (lo, hi) = if reverse {
            (t0, self.b.ins().isub(t1, whole))
        } else {
            (self.b.ins().iadd(t0, whole), t1)
        };
        self.count(lo, hi, reverse, body);
    }
}
