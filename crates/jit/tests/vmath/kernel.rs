//! Compiles one op into a loop over arrays, and runs it.

use cranelift::codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift::prelude::*;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Module, default_libcall_names};
use retrograd_jit::vmath::{Cranelift, Memory, has_fma};
use retrograd_kernels::maths::{Lane, Math};

/// What a test compiles: emission of one op on one or two operands.
pub(super) type Emit = fn(&mut Math<'_, Cranelift<'_>>, Value, Value) -> Value;

/// The machine that the code is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// This machine with all that it has.
    Native,
    /// Its architecture's base.
    Base,
}

pub(super) fn target_isa(target: Target) -> OwnedTargetIsa {
    let mut flags = settings::builder();
    flags.set("opt_level", "speed").unwrap();
    flags.set("is_pic", "false").unwrap();
    let builder = match target {
        Target::Native => cranelift_native::builder().unwrap(),
        Target::Base => isa::lookup(cranelift_native::builder().unwrap().triple().clone()).unwrap(),
    };
    builder.finish(settings::Flags::new(flags)).unwrap()
}

/// `fn(x, y, out, bytes)`, a loop over vectors of `lane`.
pub(super) fn build_loop(
    lane: Lane,
    isa: &dyn TargetIsa,
    func: &mut codegen::ir::Function,
    emit: Emit,
) {
    let (fma, target) = (has_fma(isa), isa.frontend_config());
    let mut context = FunctionBuilderContext::new();
    let mut b = Cranelift(FunctionBuilder::new(func, &mut context));
    for _ in 0..4 {
        b.func.signature.params.push(AbiParam::new(types::I64));
    }
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let params: Vec<Value> = b.block_params(entry).to_vec();
    let header = b.create_block();
    let exit = b.create_block();
    let offset = b.append_block_param(header, types::I64);
    let zero = b.ins().iconst(types::I64, 0);
    b.ins().jump(header, &[zero.into()]);
    b.switch_to_block(header);
    let at = |b: &mut FunctionBuilder<'_>, base: Value| b.ins().iadd(base, offset);
    let x = at(&mut b, params[0]);
    let x = Math::new(&mut b, lane, fma).load(x, 0);
    let y = at(&mut b, params[1]);
    let y = Math::new(&mut b, lane, fma).load(y, 0);
    let result = emit(&mut Math::new(&mut b, lane, fma), x, y);
    let out = at(&mut b, params[2]);
    Math::new(&mut b, lane, fma).store(result, out, 0);
    let next = b.ins().iadd_imm_u(offset, 16);
    let more = b.ins().icmp(IntCC::UnsignedLessThan, next, params[3]);
    b.ins().brif(more, header, &[next.into()], exit, &[]);
    b.switch_to_block(exit);
    b.ins().return_(&[]);
    b.seal_all_blocks();
    b.0.finalize(target);
}

/// A compiled loop.
pub(super) struct Kernel {
    module: Option<JITModule>,
    entry: extern "C" fn(*const u8, *const u8, *mut u8, u64),
    lane: Lane,
}

impl Kernel {
    pub(super) fn new(lane: Lane, target: Target, emit: Emit) -> Self {
        let isa = target_isa(target);
        let mut module = JITModule::new(JITBuilder::with_isa(isa, default_libcall_names()));
        let mut context = module.make_context();
        build_loop(lane, module.isa(), &mut context.func, emit);
        let id = module
            .declare_anonymous_function(&context.func.signature)
            .unwrap();
        module.define_function(id, &mut context).unwrap();
        module.finalize_definitions().unwrap();
        let entry = module.get_finalized_function(id);
        // SAFETY: `build_loop` emitted a function of this signature in the host's convention; the module outlives it.
        let entry = unsafe {
            std::mem::transmute::<*const u8, extern "C" fn(*const u8, *const u8, *mut u8, u64)>(
                entry,
            )
        };
        Kernel {
            module: Some(module),
            entry,
            lane,
        }
    }

    pub(super) fn f32(&self, x: &[f32], y: &[f32]) -> Vec<f32> {
        assert_eq!((self.lane, x.len() % 4, x.len()), (Lane::F32, 0, y.len()));
        let mut out = vec![0.0; x.len()];
        if !x.is_empty() {
            (self.entry)(
                x.as_ptr().cast(),
                y.as_ptr().cast(),
                out.as_mut_ptr().cast(),
                4 * x.len() as u64,
            );
        }
        out
    }

    pub(super) fn f64(&self, x: &[f64], y: &[f64]) -> Vec<f64> {
        assert_eq!((self.lane, x.len() % 2, x.len()), (Lane::F64, 0, y.len()));
        let mut out = vec![0.0; x.len()];
        if !x.is_empty() {
            (self.entry)(
                x.as_ptr().cast(),
                y.as_ptr().cast(),
                out.as_mut_ptr().cast(),
                8 * x.len() as u64,
            );
        }
        out
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: `entry` is private to this value and not called any more.
            unsafe { module.free_memory() };
        }
    }
}
