//! Calls of the second back end's functions.

use cranelift::codegen::ir::{
    ExtFuncData, ExternalName, StackSlotData, StackSlotKind, UserExternalName,
};
use cranelift::codegen::isa::CallConv;
use cranelift::prelude::*;
use retrograd_graph::plan::{Carried, Instr, Region, Stmt, View};
use retrograd_tape::Domain;

use super::{Code, trusted, views};
use crate::wide::{self, Access, Recurrence};

/// Pointers are advanced as many at a time.
const TOGETHER: usize = 8;

impl Code<'_, '_, '_> {
    /// Whether the second back end does a statement.
    pub(super) fn possible(&self, s: &Stmt) -> bool {
        self.wide && wide::possible(self.lane, s)
    }

    /// Calls a function of the second back end that does the statements for each row of the range at step `t`. Returns
    /// false, and emits nothing that matters, if there is none.
    pub(super) fn emitted_rows(&mut self, domain: Domain, stmts: &[Stmt], t: Value) -> bool {
        let mut all: Vec<View> = stmts.iter().flat_map(views).collect();
        all.sort_unstable();
        all.dedup();
        let (table, steps) = self.addresses(domain, &all, t);
        let strides: Vec<i64> = steps.iter().map(|s| s.2).collect();
        let Some(function) = wide::function(self.lane, stmts, &table, &strides) else {
            return false;
        };
        let [.., b0, b1] = self.range;
        let pointers: Vec<Value> = (steps.iter())
            .map(|&(_, at, stride)| self.in_row((at, stride), b0))
            .collect();
        let rows = self.b.ins().isub(b1, b0);
        let table = self.table(&pointers);
        let frame = self.frame;
        self.call_emitted(function, &[table, rows, frame]);
        true
    }

    /// Calls a function of the second back end that runs a recurrence with time innermost for the rows of the range:
    /// `streams` are its arrays over steps, `fixed` the others, each with its address at the first step and the bytes
    /// from row to row. Returns false, and emits nothing that matters, if there is none.
    #[expect(
        clippy::too_many_arguments,
        reason = "what the caller has found out about the loop"
    )]
    pub(super) fn emitted_recurrence(
        &mut self,
        r: &Region,
        carried: &[Carried],
        wanted: &[(usize, Option<usize>)],
        steps: Value,
        reverse: bool,
        (streams, fixed): (&[(View, bool, (Value, i64))], &[(View, (Value, i64))]),
        first: Value,
    ) -> bool {
        let plain = |v: View| View { offset: 0, ..v };
        let stream = |v: View, lanes: bool| {
            let known = streams.iter().position(|s| (s.0, s.1) == (plain(v), lanes));
            known.map(|pointer| Access::Stream {
                pointer,
                offset: v.offset,
            })
        };
        let outside = |v: View| {
            let known = fixed.iter().position(|f| f.0 == plain(v));
            known.map(|k| Access::Fixed {
                pointer: streams.len() + k,
                offset: v.offset,
            })
        };
        let over_steps = |v: View| self.plan.buffers[v.buffer].domain == Domain::Step;
        let access = |v: View, lanes: bool| match over_steps(v) {
            true => stream(v, lanes),
            false => outside(v),
        };
        let is_carried = |i: usize| carried.iter().any(|c| c.load == i);
        let loads = (r.instrs.iter().enumerate()).map(|(i, instr)| match instr {
            Instr::Load(v) if is_carried(i) => outside(*v),
            Instr::Load(v) => access(*v, true),
            Instr::Splat(v) => access(*v, false),
            _ => None,
        });
        let loads: Vec<Option<Access>> = loads.collect();
        let stores: Option<Vec<Access>> = r.stores.iter().map(|s| access(s.1, true)).collect();
        let starts = wanted.iter().map(|&(from, load)| match load {
            None => Some((from, None)),
            Some(i) => Some((from, Some((i, loads[i]?)))),
        });
        let (Some(stores), Some(starts)) = (stores, starts.collect()) else {
            return false;
        };
        let pointers = streams.len() + fixed.len();
        let mut strides: Vec<i64> = (streams.iter().map(|s| s.2.1))
            .chain(fixed.iter().map(|f| f.1.1))
            .collect();
        // Behind the pointers: the number of steps, and each stream's bytes from step to step.
        strides.resize(pointers + 1 + streams.len(), 0);
        let what = Recurrence {
            region: r,
            loads,
            stores,
            carried: starts,
            streams: (streams.iter().enumerate())
                .map(|(k, s)| (s.1, pointers + 1 + k))
                .collect(),
            steps: pointers,
            strides,
        };
        let Some(function) = wide::recurrence(self.lane, &what) else {
            return false;
        };
        let [.., b0, b1] = self.range;
        let addresses = streams.iter().map(|s| s.2).chain(fixed.iter().map(|f| f.1));
        let mut words: Vec<Value> = addresses.map(|a| self.in_row(a, b0)).collect();
        words.push(steps);
        for s in streams {
            words.push(self.step_bytes(s.0, reverse, first));
        }
        let rows = self.b.ins().isub(b1, b0);
        let table = self.table(&words);
        let frame = self.frame;
        self.call_emitted(function, &[table, rows, frame]);
        true
    }

    /// An address in row `b`, of that in row 0 and the bytes from row to row.
    fn in_row(&mut self, (at, stride): (Value, i64), b: Value) -> Value {
        match stride {
            0 => at,
            _ => {
                let far = self.b.ins().imul_imm_s(b, stride);
                self.b.ins().iadd(at, far)
            }
        }
    }

    /// A table of words on the stack.
    pub(super) fn table(&mut self, words: &[Value]) -> Value {
        let bytes = 8 * words.len().next_multiple_of(TOGETHER);
        let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes as u32, 3);
        let slot = self.b.create_sized_stack_slot(slot);
        let table = self.b.ins().stack_addr(types::I64, slot, 0);
        for (k, &word) in words.iter().enumerate() {
            self.b.ins().store(trusted(), word, table, 8 * k as i32);
        }
        table
    }

    /// Calls a function of the second back end, which has the System V convention everywhere.
    pub(super) fn call_emitted(&mut self, function: Vec<u8>, args: &[Value]) {
        let mut signature = Signature::new(CallConv::SystemV);
        signature
            .params
            .extend(args.iter().map(|_| AbiParam::new(types::I64)));
        let signature = self.b.import_signature(signature);
        // `exec::code` declares these functions first, so that their numbers are these.
        let index = self.emitted.len() as u32;
        self.emitted.push(function);
        let name = UserExternalName {
            namespace: 0,
            index,
        };
        let name = self.b.func.declare_imported_user_function(name);
        let callee = self.b.import_function(ExtFuncData {
            name: ExternalName::user(name),
            signature,
            colocated: false,
            patchable: false,
        });
        self.b.ins().call(callee, args);
    }
}
