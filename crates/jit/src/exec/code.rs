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

/// A loop's function: frame, first step, end of steps, first row, end of rows.
pub(crate) type LoopFn<T> = unsafe extern "C" fn(*const Frame<T>, usize, usize, usize, usize);

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
    functions: Vec<*const u8>,
    /// Bytes of machine code.
    pub(crate) bytes: usize,
}

// SAFETY: the memory is executable and read only once it is finalized, and the module is only touched again when it is
// freed, by whoever owns it.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

impl Code {
    /// Compiles functions. `program` names them in errors.
    pub(crate) fn new(
        program: &str,
        isa: OwnedTargetIsa,
        functions: Vec<Function>,
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
        let functions = ids
            .iter()
            .map(|(id, _)| module.get_finalized_function(*id))
            .collect();
        Ok(Code {
            module: Some(module),
            functions,
            bytes,
        })
    }

    /// The `i`-th function.
    pub(crate) fn function<T: Real>(&self, i: usize) -> LoopFn<T> {
        // SAFETY: `lower` made it with this signature for the host's C calling convention, and it stays mapped for as long
        // as `self`, which whoever calls it borrows.
        unsafe { std::mem::transmute::<*const u8, LoopFn<T>>(self.functions[i]) }
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
