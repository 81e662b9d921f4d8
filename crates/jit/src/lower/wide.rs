//! Calls of the second back end's functions.

use cranelift::codegen::ir::{
    ExtFuncData, ExternalName, StackSlotData, StackSlotKind, UserExternalName,
};
use cranelift::codegen::isa::CallConv;
use cranelift::prelude::*;
use retrograd_graph::plan::{Stmt, View};
use retrograd_tape::Domain;

use super::{Code, trusted, views};
use crate::wide;

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
            .map(|&(_, at, stride)| match stride {
                0 => at,
                _ => {
                    let far = self.b.ins().imul_imm_s(b0, stride);
                    self.b.ins().iadd(at, far)
                }
            })
            .collect();
        let rows = self.b.ins().isub(b1, b0);
        let table = self.table(&pointers);
        let frame = self.frame;
        self.call_emitted(function, &[table, rows, frame]);
        true
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
