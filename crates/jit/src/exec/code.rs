//! Executable memory: compiles functions and keeps them mapped for as long as they may be called.

use cranelift::codegen::Context;
use cranelift::codegen::ir::Function;
use cranelift::codegen::isa::OwnedTargetIsa;
use cranelift::codegen::settings;
use cranelift::prelude::*;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module};
use retrograd_kernels::Real;

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

/// The machine that the code runs on, with everything it has; `verify`: Cranelift checks what it is given.
pub(crate) fn host(verify: bool) -> Result<OwnedTargetIsa, CompileError> {
    let mut flags = settings::builder();
    let set = |flags: &mut settings::Builder, name: &str, value: &str| {
        flags
            .set(name, value)
            .map_err(|e| CompileError::Host(format!("{name}={value}: {e}")))
    };
    set(&mut flags, "opt_level", "speed")?;
    set(&mut flags, "is_pic", "false")?;
    set(&mut flags, "enable_probestack", "false")?;
    // Our own tests run with the verifier; a user's compile time does not pay for it.
    set(&mut flags, "enable_verifier", &verify.to_string())?;
    let isa = cranelift_native::builder().map_err(|e| CompileError::Host(e.to_string()))?;
    isa.finish(settings::Flags::new(flags))
        .map_err(|e| CompileError::Host(e.to_string()))
}

/// Functions in executable memory, and the memory.
pub(crate) struct Code {
    module: Option<JITModule>,
    /// By loop: its function, and where its names begin.
    loops: Vec<(*const u8, usize)>,
    names: Vec<usize>,
    /// Bytes of machine code.
    pub(crate) bytes: usize,
}

// SAFETY: the memory is executable and read only once it is finalized, and the module is only touched again when it is
// freed, by whoever owns it.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

impl Code {
    /// Compiles functions. `program` names them in errors; `calls` says for each loop which is its own, and what it is to be
    /// told.
    pub(crate) fn new(
        program: &str,
        isa: OwnedTargetIsa,
        functions: Vec<Function>,
        calls: Vec<(usize, Names)>,
    ) -> Result<Code, CompileError> {
        let failed = |why: String| CompileError::Codegen {
            program: program.into(),
            why,
        };
        let builder = JITBuilder::with_isa(isa, cranelift_module::default_libcall_names());
        let mut module = JITModule::new(builder);
        let mut context = Context::new();
        let mut ids = Vec::new();
        let mut bytes = 0;
        for function in functions {
            let id = module
                .declare_anonymous_function(&function.signature)
                .map_err(|e| failed(e.to_string()))?;
            context.func = function;
            module
                .define_function(id, &mut context)
                .map_err(|e| failed(format!("{e:?}")))?;
            bytes += context
                .compiled_code()
                .map_or(0, |c| c.code_info().total_size as usize);
            module.clear_context(&mut context);
            ids.push((id, Linkage::Local));
        }
        module
            .finalize_definitions()
            .map_err(|e| failed(e.to_string()))?;
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
            bytes,
        })
    }

    /// The code of the `i`-th loop.
    pub(crate) fn of_loop<T: Real>(&self, i: usize) -> LoopCode<T> {
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

impl Drop for Code {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: functions are only called through `&self`, so none runs any more.
            unsafe { module.free_memory() };
        }
    }
}
