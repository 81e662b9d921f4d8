//! Lowering: one native function per loop of the plan.
//!
//! A function takes a [`Frame`], a range of steps and rows and the names of its arrays, `fn(frame, t0, t1, b0, b1,
//! names)`: loops that differ only in their names share one. A parallel loop does all points of the range; a recurrence
//! is given all steps and visits them in its own order. Strides depend on the number of rows, which is known only at
//! run time; code size depends on neither steps nor rows.
//!
//! [`Frame`]: crate::frame::Frame

#[cfg(test)]
mod folding;
mod points;
mod region;
mod time_innermost;
pub(crate) use region::{map, vectors_per_iteration};
mod rows;
pub(crate) use rows::CALLED;
mod share;
pub(crate) use share::{Names, share};
mod unrolled;
mod wide;
pub(crate) use wide::{Access, Recurrence, RowStride};

use cranelift::codegen::ir::UserFuncName;
use cranelift::codegen::isa::TargetIsa;
use cranelift::prelude::*;
use retrograd_graph::plan::{
    BufferId, Innermost, Loop, LoopKind, Plan, Product, Stmt, View, WideActivation,
};
use retrograd_kernels::maths::Lane;
use retrograd_kernels::{ADD, BACKWARD, IN_ORDER};
use retrograd_tape::Domain;
use rustc_hash::FxHashMap as HashMap;

use crate::exec::points::lag;
use crate::frame::offset;
use crate::vmath::{Cranelift, has_fma};
use crate::wide::Set;

/// Maximal number of addresses, of arrays or of views in a row, that a loop keeps in registers or spill slots. A loop
/// with more loads them where they are needed.
const AT_HAND: usize = 256;

/// The settings that all loops of a plan are lowered with.
pub(crate) struct Backend<'a> {
    pub(crate) isa: &'a dyn TargetIsa,
    pub(crate) lane: Lane,
    /// What the second back end emits bodies of loops for, if it may.
    pub(crate) wide: Option<Set>,
}

/// Functions of the second back end, as bytes. Those of Cranelift call them by their numbers.
pub(crate) type Emitted = Vec<Vec<u8>>;

/// The signature of a loop's function.
pub(crate) fn signature(isa: &dyn TargetIsa) -> Signature {
    let mut s = Signature::new(isa.default_call_conv());
    s.params.extend([AbiParam::new(types::I64); 6]);
    s
}

/// Lowers one loop. With `names`, those of the loop itself, the function serves all loops of its form, and reads their
/// names from its last argument.
pub(crate) fn lower<'p>(
    backend: &Backend<'_>,
    plan: &'p Plan,
    l: &Loop,
    names: Option<&'p Names>,
    context: &mut FunctionBuilderContext,
    emitted: &mut Emitted,
) -> codegen::ir::Function {
    let mut f =
        codegen::ir::Function::with_name_signature(UserFuncName::default(), signature(backend.isa));
    let mut b = Cranelift(FunctionBuilder::new(&mut f, context));
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let p: Vec<Value> = b.block_params(entry).to_vec();
    let mut code = Code {
        plan,
        lane: backend.lane,
        wide: backend.wide,
        emitted,
        fma: has_fma(backend.isa),
        frame: p[0],
        bases: p[0],
        ends: p[0],
        before: p[0],
        rows: p[0],
        range: [p[1], p[2], p[3], p[4]],
        names: names.map(|n| (p[5], n)),
        buffers: HashMap::default(),
        b,
    };
    code.bases = code.field(offset::BASES);
    code.ends = code.field(offset::ENDS);
    code.before = code.field(offset::BEFORE);
    code.rows = code.field(offset::ROWS);
    code.whole(l);
    code.b.ins().return_(&[]);
    code.b.seal_all_blocks();
    code.b.0.finalize(backend.isa.frontend_config());
    f
}

/// How much of a vector is processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// All of it.
    Full,
    /// The first elements: other elements are loaded as zeros, and not stored.
    Part(usize),
}

/// The function under construction.
pub(crate) struct Code<'p, 'f, 'e> {
    plan: &'p Plan,
    lane: Lane,
    /// What the second back end emits for, if it may be used, and its functions.
    wide: Option<Set>,
    emitted: &'e mut Emitted,
    fma: bool,
    frame: Value,
    bases: Value,
    ends: Value,
    /// The table of points before each step.
    before: Value,
    /// B
    rows: Value,
    /// t0, t1, b0, b1
    range: [Value; 4],
    /// The address of the names, if the function serves several loops, and the names of the loop being lowered.
    names: Option<(Value, &'p Names)>,
    /// Base addresses loaded so far, by array.
    buffers: HashMap<BufferId, Value>,
    b: Cranelift<'f>,
}

/// Flags for memory of our own, mapped and aligned to an element.
pub(crate) fn trusted() -> MemFlagsData {
    MemFlagsData::trusted()
}

impl Code<'_, '_, '_> {
    fn field(&mut self, offset: i32) -> Value {
        let flags = MemFlagsData::trusted().with_readonly().with_can_move();
        self.b.ins().load(types::I64, flags, self.frame, offset)
    }

    fn imm(&mut self, n: i64) -> Value {
        self.b.ins().iconst(types::I64, n)
    }

    fn whole(&mut self, l: &Loop) {
        // Load the addresses of all arrays once, unless there are too many to keep.
        let mut used: Vec<BufferId> = l.body.iter().flat_map(views).map(|v| v.buffer).collect();
        used.sort_unstable();
        used.dedup();
        if used.len() <= AT_HAND {
            let flags = MemFlagsData::trusted().with_readonly().with_can_move();
            for i in used {
                let base = self.load_base(self.bases, i, flags);
                self.buffers.insert(i, base);
            }
        }
        if let Innermost::Time(carried) = &l.inner {
            return self.time_innermost(l, carried);
        }
        let reverse = matches!(l.kind, LoopKind::Recurrence { reverse: true });
        let parallel = l.kind == LoopKind::Parallel;
        if parallel && (self.activations_alone(l) || self.emitted_points(l)) {
            return;
        }
        let last_row = self.range[3];
        let rows_end = l.domain == Domain::Step && !self.plan.memory.streams;
        self.over_steps(l.unroll, reverse, &mut |code, t| {
            if rows_end {
                // Only rows that have this step.
                let live = code.live(t);
                code.range[3] = code.b.ins().smin(last_row, live);
            }
            let mut rest = l.body.as_slice();
            while let Some(first) = rest.first() {
                match first {
                    Stmt::Product(p) => code.call_product(l, p, t),
                    Stmt::Activate { map, x, y, len } => {
                        code.call_activation(l.domain, *map, (*x, *y), *len, t);
                    }
                    _ => {
                        // Neighbouring statements that work row by row share one loop over rows.
                        let whole =
                            |s: &&Stmt| matches!(s, Stmt::Product(_) | Stmt::Activate { .. });
                        let mut room = AT_HAND;
                        let fits = |s: &&Stmt| {
                            let n = views(s).len();
                            let fits = n <= room || room == AT_HAND;
                            room = room.saturating_sub(n);
                            fits
                        };
                        let together = rest.iter().take_while(|s| !whole(s)).take_while(fits);
                        let n = together.count();
                        code.over_rows(l, &rest[..n], t);
                        rest = &rest[n..];
                        continue;
                    }
                }
                rest = &rest[1..];
            }
        });
    }

    /// The address of an array.
    fn base(&mut self, buffer: BufferId) -> Value {
        match self.buffers.get(&buffer) {
            Some(&base) => base,
            None => self.load_base(self.bases, buffer, MemFlagsData::trusted()),
        }
    }

    /// An array's address in a table of them.
    fn load_base(&mut self, table: Value, buffer: BufferId, flags: MemFlagsData) -> Value {
        match self.names {
            None => {
                let at = 8 * buffer.as_u32() as i32;
                self.b.ins().load(types::I64, flags, table, at)
            }
            Some((own, names)) => {
                let at = 8 * names.buffer(buffer);
                let far = self.b.ins().load(types::I64, flags, own, at);
                let at = self.b.ins().iadd(table, far);
                self.b.ins().load(types::I64, flags, at, 0)
            }
        }
    }

    /// A loop of `i` from `lo` to `hi`, or in reverse.
    fn count(
        &mut self,
        lo: Value,
        hi: Value,
        reverse: bool,
        body: &mut dyn FnMut(&mut Self, Value),
    ) {
        let (head, inside, exit) = (
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
        );
        let start = if reverse { hi } else { lo };
        let i = self.b.append_block_param(head, types::I64);
        self.b.ins().jump(head, &[start.into()]);
        self.b.switch_to_block(head);
        let (left, right) = if reverse { (lo, i) } else { (i, hi) };
        let more = self.b.ins().icmp(IntCC::SignedLessThan, left, right);
        self.b.ins().brif(more, inside, &[], exit, &[]);
        self.b.switch_to_block(inside);
        if reverse {
            let this = self.b.ins().iadd_imm_s(i, -1);
            body(self, this);
            self.b.ins().jump(head, &[this.into()]);
        } else {
            body(self, i);
            let next = self.b.ins().iadd_imm_s(i, 1);
            self.b.ins().jump(head, &[next.into()]);
        }
        self.b.switch_to_block(exit);
    }

    /// Bytes of a point's value in a view's array.
    fn point(&self, v: View) -> i64 {
        self.plan.buffers[v.buffer].len as i64 * i64::from(self.lane.bytes())
    }

    /// Address of a view's first number at step (or slot) `t` in row 0, and the bytes from row to row.
    fn step_address(&mut self, domain: Domain, v: View, t: Value) -> (Value, i64) {
        let buffer = &self.plan.buffers[v.buffer];
        let bytes = i64::from(self.lane.bytes());
        let point = self.point(v);
        let offset = v.offset as i64 * bytes;
        let rows = match buffer.domain {
            Domain::Once => {
                let base = self.base(v.buffer);
                return (self.b.ins().iadd_imm_s(base, offset), 0);
            }
            Domain::Row => {
                let base = self.base(v.buffer);
                return (self.b.ins().iadd_imm_s(base, offset), point);
            }
            Domain::BoundarySlots(_) => self.b.ins().imul(t, self.rows),
            Domain::Step => {
                debug_assert!(domain == Domain::Step || matches!(domain, Domain::BoundarySlots(_)));
                match self.plan.ring(v.buffer) {
                    Some(steps) => self.in_ring(v, steps, t),
                    None if v.from_end => {
                        let slot = self.b.ins().iadd_imm_s(t, v.shift);
                        self.b.ins().imul(slot, self.rows)
                    }
                    None => self.before(t, -lag(buffer, v)),
                }
            }
        };
        let base = match v.from_end && self.plan.ring(v.buffer).is_none() {
            true => self.load_base(self.ends, v.buffer, MemFlagsData::trusted()),
            false => self.base(v.buffer),
        };
        let distance = self.b.ins().imul_imm_s(rows, point);
        let at = self.b.ins().iadd(base, distance);
        (self.b.ins().iadd_imm_s(at, offset), point)
    }

    /// Number of rows that have step `t`.
    fn live(&mut self, t: Value) -> Value {
        let (from, to) = (self.before(t, 0), self.before(t, 1));
        self.b.ins().isub(to, from)
    }

    /// The table's entry of a step, `ahead` steps from `t`.
    fn before(&mut self, t: Value, ahead: i64) -> Value {
        let flags = MemFlagsData::trusted().with_readonly().with_can_move();
        let far = self.b.ins().imul_imm_s(t, 8);
        let at = self.b.ins().iadd(self.before, far);
        let ahead = i32::try_from(8 * ahead).expect("delays are limited");
        self.b.ins().load(types::I64, flags, at, ahead)
    }

    /// The rows before step `t` of a view in an array that keeps a ring of steps.
    fn in_ring(&mut self, v: View, steps: usize, t: Value) -> Value {
        if steps == 1 {
            return self.imm(0);
        }
        let front = self.plan.buffers[v.buffer].front;
        let mut t = self.b.ins().iadd_imm_s(t, v.shift + front as i64);
        if v.from_end {
            let all = self.field(offset::STEPS);
            t = self.b.ins().iadd(t, all);
        }
        let mask = self.imm(steps as i64 - 1);
        let t = self.b.ins().band(t, mask);
        self.b.ins().imul(t, self.rows)
    }

    /// Address of a view's first number at step `t` in the first row of the range, and its stride between rows in
    /// numbers.
    fn first_row(&mut self, domain: Domain, v: View, t: Value) -> (Value, Value) {
        let (at, stride) = self.step_address(domain, v, t);
        let far = self.b.ins().imul_imm_s(self.range[2], stride);
        let at = self.b.ins().iadd(at, far);
        // A value that is the same for all rows has stride 0.
        let numbers = match stride {
            0 => 0,
            _ => self.plan.buffers[v.buffer].len as i64,
        };
        (at, self.imm(numbers))
    }

    /// A parallel loop over whole steps of activations only: one call does them all. Returns false for any other loop.
    fn activations_alone(&mut self, l: &Loop) -> bool {
        let each = |s: &Stmt| match s {
            Stmt::Activate { x, y, .. } => [x, y]
                .iter()
                .all(|v| self.plan.buffers[v.buffer].domain == Domain::Step),
            _ => false,
        };
        if l.domain != Domain::Step || !l.body.iter().all(each) {
            return false;
        }
        let all: Vec<View> = l.body.iter().flat_map(views).collect();
        self.over_points(&all, &mut |code, t, rows| {
            for s in &l.body {
                if let Stmt::Activate { map, x, y, len } = s {
                    code.activate(l.domain, *map, (*x, *y), *len, t, rows);
                }
            }
        });
        true
    }

    /// y = map(x) for the rows of the range at step `t`.
    fn call_activation(
        &mut self,
        domain: Domain,
        map: WideActivation,
        (x, y): (View, View),
        len: usize,
        t: Value,
    ) {
        let [.., b0, b1] = self.range;
        let rows = self.b.ins().isub(b1, b0);
        self.activate(domain, map, (x, y), len, t, rows);
    }

    /// y = map(x) for this many rows from the first of the range at step `t` on.
    fn activate(
        &mut self,
        domain: Domain,
        map: WideActivation,
        (x, y): (View, View),
        len: usize,
        t: Value,
        rows: Value,
    ) {
        let ((x, ldx), (y, ldy)) = (self.first_row(domain, x, t), self.first_row(domain, y, t));
        let callee = self.field(offset::ACTIVATIONS + offset::ADDRESS * map as i32);
        let len = self.imm(len as i64);
        self.call(callee, &[rows, len, x, ldx, y, ldy]);
    }

    /// Calls a kernel.
    fn call(&mut self, callee: Value, args: &[Value]) {
        let mut s = Signature::new(self.b.func.signature.call_conv);
        let types = args
            .iter()
            .map(|&a| AbiParam::new(self.b.func.dfg.value_type(a)));
        s.params.extend(types);
        let signature = self.b.import_signature(s);
        self.b.ins().call_indirect(signature, callee, args);
    }

    /// y (+)= x · W for the rows of the range at step `t`.
    fn call_product(&mut self, l: &Loop, p: &Product, t: Value) {
        let domain = l.domain;
        let [.., b0, b1] = self.range;
        let ((x, ldx), (y, ldy)) = (
            self.first_row(domain, p.x, t),
            self.first_row(domain, p.y, t),
        );
        let m = self.b.ins().isub(b1, b0);
        let weights = self.field(offset::WEIGHTS);
        let w = match self.names {
            None => {
                let far = i64::from(p.weight.as_u32()) * offset::WEIGHT_BYTES;
                self.b.ins().iadd_imm_s(weights, far)
            }
            Some((table, names)) => {
                let flags = MemFlagsData::trusted().with_readonly().with_can_move();
                let at = 8 * names.weight(p.weight);
                let far = self.b.ins().load(types::I64, flags, table, at);
                self.b.ins().iadd(weights, far)
            }
        };
        // Odd steps read the weights backward: the end that the previous step read last is still in cache.
        let one = self.imm(1);
        let odd = self.b.ins().band(t, one);
        let odd = self.b.ins().imul_imm_s(odd, i64::from(BACKWARD));
        let mut add = if p.add { ADD } else { 0 };
        if l.kind != (LoopKind::Recurrence { reverse: true }) {
            // A chunk of a sequence may begin at any of its steps, and is bit-identical to the whole.
            add |= IN_ORDER;
        }
        let how = self.b.ins().iadd_imm_s(odd, i64::from(add));
        let how = self.b.ins().ireduce(types::I32, how);
        match p.bias {
            Some(bias) => {
                let bias = self.step_address(domain, bias, t).0;
                let callee = self.field(offset::PRODUCT_FROM);
                self.call(callee, &[w, m, x, ldx, bias, y, ldy, how]);
            }
            None => {
                let callee = self.field(offset::PRODUCT);
                self.call(callee, &[w, m, x, ldx, y, ldy, how]);
            }
        }
    }
}

/// All views that a statement uses.
pub(crate) fn views(s: &Stmt) -> Vec<View> {
    let mut all = s.loads();
    all.extend(s.stores());
    all
}
