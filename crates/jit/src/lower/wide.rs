//! Calls of the second back end's functions.

use cranelift::codegen::ir::{
    ExtFuncData, ExternalName, StackSlotData, StackSlotKind, UserExternalName,
};
use cranelift::codegen::isa::CallConv;
use cranelift::prelude::*;
use retrograd_graph::plan::{BufferId, Carried, Instr, Loop, Region, Stmt, View};
use retrograd_tape::Domain;

use super::{Code, trusted, views};
use crate::wide;

/// Pointers are advanced as many at a time.
const TOGETHER: usize = 8;

/// An address in row 0, and the bytes from row to row.
type RowAddress = (Value, i64);

/// A function of the second back end for rows of statements: its number, and the views whose addresses it takes.
struct RowsFunction {
    number: usize,
    table: Vec<View>,
}

/// What a pointer's rows are apart.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowStride {
    /// Bytes from row to row.
    pub(crate) bytes: i64,
    /// Nothing is loaded from the array after its row is done: the next rows use the places of the first ones again, which
    /// are in the first cache.
    pub(crate) again: bool,
}

/// What an instruction of the region, or a store of it, accesses: an entry of the table, with an offset in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    /// An array over steps, whose pointer advances.
    Stream { pointer: usize, offset: usize },
    /// An array without steps.
    Fixed { pointer: usize, offset: usize },
}

/// A recurrence, with what its table has.
pub(crate) struct Recurrence<'a> {
    pub(crate) region: &'a Region,
    /// By instruction: what it loads.
    pub(crate) loads: Vec<Option<Access>>,
    /// By store of the region.
    pub(crate) stores: Vec<Access>,
    /// Instructions whose values the next step may read; the load that reads it there, and what that load reads before
    /// the first step.
    pub(crate) carried: Vec<(usize, Option<(usize, Access)>)>,
    /// By stream, the first pointers of the table: whether each lane has its own number, and the table's word that has
    /// the bytes from step to step.
    pub(crate) streams: Vec<(bool, usize)>,
    /// The table's word that has the number of steps.
    pub(crate) steps: usize,
    /// By word of the table: the bytes from row to row.
    pub(crate) strides: Vec<i64>,
}

impl Code<'_, '_, '_> {
    /// Whether the second back end does a statement.
    pub(super) fn possible(&self, s: &Stmt) -> bool {
        self.wide
            .is_some_and(|set| wide::possible(set, self.lane, s))
    }

    /// Calls a function of the second back end that does the statements for each row of the range at step `t`. Returns
    /// false, and emits nothing, if there is none.
    pub(super) fn emitted_rows(&mut self, l: &Loop, stmts: &[Stmt], t: Value) -> bool {
        let Some(call) = self.rows_function(l, stmts) else {
            return false;
        };
        let [.., b0, b1] = self.range;
        let rows = self.b.ins().isub(b1, b0);
        self.call_rows(l.domain, &call, t, rows);
        true
    }

    /// Calls such a function for all points of a parallel loop over steps at once. Returns false, and emits nothing, if
    /// there is none, or if not all arrays have the same points.
    pub(super) fn emitted_points(&mut self, l: &Loop) -> bool {
        let all: Vec<View> = l.body.iter().flat_map(views).collect();
        let by_points = |v: &View| match self.plan.buffers[v.buffer].domain {
            Domain::Once => true,
            Domain::Step => !v.from_end && self.plan.ring(v.buffer).is_none(),
            Domain::Row | Domain::BoundarySlots(_) => false,
        };
        let fits = l.domain == Domain::Step
            && !self.plan.memory.streams
            && l.body.iter().all(|s| self.possible(s))
            && all.iter().all(by_points);
        if !fits {
            return false;
        }
        let Some(call) = self.rows_function(l, &l.body) else {
            return false;
        };
        let over_steps = |v: &View| self.plan.buffers[v.buffer].domain == Domain::Step;
        let all: Vec<View> = all.into_iter().filter(over_steps).collect();
        self.over_points(&all, &mut |code, t, rows| {
            code.call_rows(l.domain, &call, t, rows);
        });
        true
    }

    /// Emits a function for rows of statements of a loop.
    fn rows_function(&mut self, l: &Loop, stmts: &[Stmt]) -> Option<RowsFunction> {
        let all: Vec<View> = stmts.iter().flat_map(views).collect();
        let mut table = all.clone();
        table.iter_mut().for_each(|v| v.offset = 0);
        table.sort_unstable();
        table.dedup();
        let places = table.iter().copied().zip(0..).collect();
        let of_loop: Vec<View> = l.body.iter().flat_map(views).collect();
        // The function may store what other statements of the loop load.
        let alone = |u: BufferId| {
            let own = |all: &[View]| all.iter().filter(|v| v.buffer == u).count();
            l.scratch.binary_search(&u).is_ok() && own(&all) == own(&of_loop)
        };
        let strides: Vec<RowStride> = (table.iter())
            .map(|v| match self.plan.buffers[v.buffer].domain {
                Domain::Once => RowStride::default(),
                Domain::Row | Domain::BoundarySlots(_) | Domain::Step => RowStride {
                    bytes: self.point(*v),
                    again: alone(v.buffer),
                },
            })
            .collect();
        let function = wide::function(self.wide?, self.lane, stmts, &places, &strides)?;
        self.emitted.push(function);
        Some(RowsFunction {
            number: self.emitted.len() - 1,
            table,
        })
    }

    /// Calls it for so many rows from the first of the range at step `t` on.
    fn call_rows(&mut self, domain: Domain, call: &RowsFunction, t: Value, rows: Value) {
        let b0 = self.range[2];
        let pointers: Vec<Value> = (call.table.iter())
            .map(|&v| {
                let at = self.step_address(domain, v, t);
                self.in_row(at, b0)
            })
            .collect();
        let table = self.table(&pointers);
        let frame = self.frame;
        self.call_emitted(call.number, &[table, rows, frame]);
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
        streams: &[(View, bool, RowAddress)],
        fixed: &[(View, RowAddress)],
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
        let function = (self.wide).and_then(|set| wide::recurrence(set, self.lane, &what));
        let Some(function) = function else {
            return false;
        };
        self.emitted.push(function);
        let function = self.emitted.len() - 1;
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
    pub(super) fn call_emitted(&mut self, number: usize, args: &[Value]) {
        let mut signature = Signature::new(CallConv::SystemV);
        signature
            .params
            .extend(args.iter().map(|_| AbiParam::new(types::I64)));
        let signature = self.b.import_signature(signature);
        // `exec::code` declares these functions first, so that their numbers are these.
        let name = UserExternalName {
            namespace: 0,
            index: number as u32,
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
