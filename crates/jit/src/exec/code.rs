//! From a target to code generator and kernels, and executable memory: compiles functions and keeps them mapped for as long
//! as they may be called, beside the kernels that they call.

use cranelift::codegen::Context;
use cranelift::codegen::ir::Function;
use cranelift::codegen::isa::{self, OwnedTargetIsa};
use cranelift::codegen::settings;
use cranelift::prelude::*;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module, ModuleError};
use retrograd_graph::{Level, Target};
use retrograd_kernels::{Isa, Kernels, Real, kernels_for};

use super::Frame;
use crate::error::CompileError;
use crate::lower::Names;

/// A loop's function: frame, first step, end of steps, first row, end of rows, names.
type LoopFn<T> = unsafe extern "C" fn(*const Frame<T>, usize, usize, usize, usize, *const usize);

/// A loop's code: its function, which it may share with others, and the names of its arrays for that one.
#[derive(Clone, Copy)]
pub(crate) struct LoopCode<T: Real> {
    function: LoopFn<T>,
    names: *const usize,
}

// SAFETY: the names are only read, and stay where they are for as long as the code.
unsafe impl<T: Real> Send for LoopCode<T> {}
// SAFETY: as above.
unsafe impl<T: Real> Sync for LoopCode<T> {}

impl<T: Real> LoopCode<T> {
    /// Runs the loop for these steps and rows.
    ///
    /// # Safety
    /// The frame's arrays must have the lengths that the plan says, with the range in what they keep; nobody else may touch
    /// what the loop writes there. The [`Code`] must not have been dropped.
    #[inline(always)]
    pub(crate) unsafe fn run(
        self,
        frame: *const Frame<T>,
        (t0, t1): (usize, usize),
        (b0, b1): (usize, usize),
    ) {
        // SAFETY: passed on to the caller; the names are those of the loop.
        unsafe { (self.function)(frame, t0, t1, b0, b1, self.names) }
    }
}

/// The instruction set of a target's kernels.
pub(crate) fn isa(target: Target) -> Isa {
    match target.level() {
        Level::Portable | Level::Baseline => Isa::Portable,
        Level::Avx2 => Isa::Avx2,
        Level::Avx512 => Isa::Avx512,
    }
}

/// What Cranelift is told that a target has: no more than the target says, whatever the machine at hand has besides.
fn features(target: Target) -> &'static [&'static str] {
    const AVX2: [&str; 7] = [
        "has_sse3",
        "has_ssse3",
        "has_sse41",
        "has_sse42",
        "has_avx",
        "has_avx2",
        "has_fma",
    ];
    const AVX512: [&str; 10] = [
        "has_sse3",
        "has_ssse3",
        "has_sse41",
        "has_sse42",
        "has_avx",
        "has_avx2",
        "has_fma",
        "has_avx512f",
        "has_avx512dq",
        "has_avx512vl",
    ];
    match target.level() {
        Level::Portable | Level::Baseline => &[],
        Level::Avx2 => &AVX2,
        Level::Avx512 => &AVX512,
    }
}

/// The code generator of a target; `verify`: Cranelift checks what it is given.
///
/// # Errors
/// If this machine does not run the target's code, or nothing can be generated for its architecture.
pub(crate) fn generator(target: Target, verify: bool) -> Result<OwnedTargetIsa, CompileError> {
    if !target.runs_here() {
        return Err(CompileError::Target {
            target,
            host: Target::host(),
        });
    }
    let mut flags = settings::builder();
    let set = |flags: &mut settings::Builder, name: &str, value: &str| {
        flags
            .set(name, value)
            .map_err(|e| CompileError::host(&format!("{name}={value}"), e))
    };
    set(&mut flags, "opt_level", "speed")?;
    set(&mut flags, "is_pic", "false")?;
    set(&mut flags, "enable_probestack", "false")?;
    // A user's compile time does not pay for the verifier.
    set(&mut flags, "enable_verifier", &verify.to_string())?;
    // Of the machine at hand only its architecture and conventions of calling.
    let native = cranelift_native::builder_with_options(false)
        .map_err(|e| CompileError::host("its architecture", e))?;
    let mut isa = isa::lookup(native.triple().clone())
        .map_err(|e| CompileError::host("its architecture", e))?;
    for feature in features(target) {
        (isa.enable(feature)).map_err(|e| CompileError::host(feature, e))?;
    }
    isa.finish(settings::Flags::new(flags))
        .map_err(|e| CompileError::host("its settings", e))
}

/// Functions in executable memory, the memory, and the kernels that they call.
pub(crate) struct Code<T: Real> {
    module: Option<JITModule>,
    /// By loop: its function, and where its names begin.
    loops: Vec<(*const u8, usize)>,
    names: Vec<usize>,
    /// Those of the target that the functions are for.
    pub(crate) kernels: &'static Kernels<T>,
    /// Bytes of machine code.
    pub(crate) bytes: usize,
}

// SAFETY: the memory is executable and read only once it is finalized, and the module is only touched again when it is
// freed, by whoever owns it.
unsafe impl<T: Real> Send for Code<T> {}
// SAFETY: as above.
unsafe impl<T: Real> Sync for Code<T> {}

impl<T: Real> Code<T> {
    /// Compiles functions for a target, whose generator `isa` is. `program` names them in errors; `calls` says for each loop
    /// which is its own, and what it is to be told.
    pub(crate) fn new(
        program: &str,
        target: Target,
        isa: OwnedTargetIsa,
        functions: Vec<Function>,
        calls: Vec<(usize, Names)>,
    ) -> Result<Self, CompileError> {
        let kernels = kernels_for(self::isa(target)).ok_or(CompileError::Target {
            target,
            host: Target::host(),
        })?;
        let failed = |e: ModuleError| CompileError::Codegen {
            program: program.into(),
            why: format!("{e:?}"),
            source: e.into(),
        };
        let builder = JITBuilder::with_isa(isa, cranelift_module::default_libcall_names());
        let mut module = JITModule::new(builder);
        let mut context = Context::new();
        let mut ids = Vec::new();
        let mut bytes = 0;
        for function in functions {
            let id = module
                .declare_anonymous_function(&function.signature)
                .map_err(failed)?;
            context.func = function;
            module.define_function(id, &mut context).map_err(failed)?;
            bytes += context
                .compiled_code()
                .map_or(0, |c| c.code_info().total_size as usize);
            module.clear_context(&mut context);
            ids.push((id, Linkage::Local));
        }
        module.finalize_definitions().map_err(failed)?;
        let mut names: Vec<usize> = Vec::new();
        let mut loops = Vec::with_capacity(calls.len());
        for (k, own) in calls {
            loops.push((module.get_finalized_function(ids[k].0), names.len()));
            names.extend(own.table());
        }
        Ok(Code {
            module: Some(module),
            loops,
            names,
            kernels,
            bytes,
        })
    }

    /// The code of the `i`-th loop.
    pub(crate) fn of_loop(&self, i: usize) -> LoopCode<T> {
        let (function, names) = self.loops[i];
        // SAFETY: `lower` made it with this signature for the host's C calling convention, and it stays mapped for as long
        // as `self`, which whoever calls it borrows.
        let function = unsafe { std::mem::transmute::<*const u8, LoopFn<T>>(function) };
        LoopCode {
            function,
            names: self.names[names..].as_ptr(),
        }
    }
}

impl<T: Real> Drop for Code<T> {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: functions are only called through `&self`, so none runs any more.
            unsafe { module.free_memory() };
        }
    }
}
