//! Chooses code generator and kernels for a target, compiles functions, and keeps their executable memory mapped for as
//! long as they may be called, beside the kernels that they call.

use std::ops::Range;

use cranelift::codegen::Context;
use cranelift::codegen::entity::PrimaryMap;
use cranelift::codegen::ir::Function;
use cranelift::codegen::isa::{self, CallConv, OwnedTargetIsa};
use cranelift::codegen::settings;
use cranelift::prelude::*;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module, ModuleError};
use retrograd_graph::plan::{Item, Loop, LoopId, LoopKind, Plan, walk};
use retrograd_graph::{Level, Target};
use retrograd_kernels::{Bf16Unit, Isa, Kernels, SimdElement, kernels_for};

use super::counting::compiled;
use crate::element::Element;
use crate::error::CompileError;
use crate::frame::Frame;
use crate::lower::{Backend, Emitted, Names, share};
use crate::wide::Set;

/// A loop's function: frame, first step, end of steps, first row, end of rows, names.
type LoopFn<T> = unsafe extern "C" fn(*const Frame<T>, usize, usize, usize, usize, *const usize);

/// A function, which several loops may share, and the names of one loop's arrays.
#[derive(Clone, Copy)]
struct NamedFunction<T: SimdElement> {
    function: LoopFn<T>,
    names: *const usize,
}

/// A loop's code.
#[derive(Clone, Copy)]
pub(crate) struct LoopCode<T: SimdElement> {
    /// The functions that are called at each step, in order.
    parts: *const [NamedFunction<T>],
    reverse: bool,
}

// SAFETY: parts and names are only read, and do not move while the code lives.
unsafe impl<T: SimdElement> Send for LoopCode<T> {}
// SAFETY: as above.
unsafe impl<T: SimdElement> Sync for LoopCode<T> {}

impl<T: SimdElement> LoopCode<T> {
    /// Runs the loop for these steps and rows.
    ///
    /// # Safety
    /// The frame's arrays must have the lengths that the plan says, and must hold the range; nobody else may touch what
    /// the loop writes there. The [`Code`] must not have been dropped.
    #[inline(always)]
    pub(crate) unsafe fn run(
        self,
        frame: *const Frame<T>,
        (t0, t1): (usize, usize),
        (b0, b1): (usize, usize),
    ) {
        // SAFETY: the code that they belong to has not been dropped.
        let parts = unsafe { &*self.parts };
        // A loop of one part iterates over its steps itself.
        if let [all] = parts {
            // SAFETY: passed on to the caller; the names are those of the loop.
            return unsafe { (all.function)(frame, t0, t1, b0, b1, all.names) };
        }
        for i in 0..t1 - t0 {
            let t = if self.reverse { t1 - 1 - i } else { t0 + i };
            for part in parts {
                // SAFETY: as above; the parts before it have written what a part reads of this step.
                unsafe { (part.function)(frame, t, t + 1, b0, b1, part.names) };
            }
        }
    }
}

/// What constants behind emitted code are aligned to.
const EMITTED_ALIGN: u64 = 64;

/// The instruction set of a target's kernels.
pub(crate) fn isa(target: Target) -> Isa {
    match target.level() {
        Level::Portable | Level::Baseline => Isa::Portable,
        Level::Avx2 => Isa::Avx2,
        Level::Avx512 => Isa::Avx512,
    }
}

/// What multiplies bfloat16 numbers on a target.
pub(crate) fn unit(target: Target) -> Bf16Unit {
    match (target.amx(), target.bf16()) {
        (true, _) => Bf16Unit::Tiles,
        (false, true) => Bf16Unit::Dot,
        (false, false) => Bf16Unit::Emulated,
    }
}

/// Whether the machine has what a plan's products need; the system may withhold tiles that it has.
fn multiplies(plan: &Plan, isa: Isa) -> bool {
    let weights = plan.weights.values().any(|w| w.bf16);
    let sums = || walk(&plan.items).any(|item| matches!(item, Item::Outer { bf16: true, .. }));
    !(weights || sums()) || unit(plan.target).available(isa)
}

/// The features of a target for Cranelift: no more than the target says, whatever the host has.
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

/// The code generator of a target; with `verify`, Cranelift verifies its input.
///
/// # Errors
/// If the host does not run the target's code, or its architecture has no code generator.
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
    // Only on request: verifying adds to compile time.
    set(&mut flags, "enable_verifier", &verify.to_string())?;
    // Of the host, only its architecture and calling convention are used.
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
pub(crate) struct Code<T: SimdElement> {
    module: Option<JITModule>,
    /// By loop: the range of its parts, and whether it runs backward in time.
    loops: PrimaryMap<LoopId, (Range<usize>, bool)>,
    parts: Vec<NamedFunction<T>>,
    /// The tables of names that parts read. Accessed through the parts' pointers only.
    _names: Vec<usize>,
    /// The kernels of the target that the functions were compiled for.
    pub(crate) kernels: &'static Kernels<T>,
    /// Bytes of machine code.
    pub(crate) bytes: usize,
}

// SAFETY: the memory is executable and read-only once it is finalized, and the module is touched again only when its
// owner frees it.
unsafe impl<T: SimdElement> Send for Code<T> {}
// SAFETY: as above.
unsafe impl<T: SimdElement> Sync for Code<T> {}

impl<T: SimdElement> Code<T> {
    /// Compiles a plan's functions for its target, whose generator is `isa`. `calls` has, for each loop, the functions
    /// of its parts and the names for each.
    pub(crate) fn new(
        plan: &Plan,
        isa: OwnedTargetIsa,
        emitted: &Emitted,
        functions: Vec<Function>,
        calls: &[Vec<(usize, Names)>],
    ) -> Result<Self, CompileError> {
        let target = plan.target;
        let kernels = Some(self::isa(target))
            .filter(|&isa| multiplies(plan, isa))
            .and_then(kernels_for)
            .ok_or(CompileError::Target {
                target,
                host: Target::host(),
            })?;
        let failed = |e: ModuleError| CompileError::Codegen {
            program: plan.name.clone(),
            why: format!("{e:?}"),
            source: e.into(),
        };
        let builder = JITBuilder::with_isa(isa, cranelift_module::default_libcall_names());
        let mut module = JITModule::new(builder);
        let mut context = Context::new();
        let mut ids = Vec::new();
        let mut bytes = 0;
        // First of all, because functions call them by these numbers.
        for function in emitted {
            let signature = Signature::new(CallConv::SystemV);
            let id = module
                .declare_anonymous_function(&signature)
                .map_err(failed)?;
            let define = module.define_function_bytes(id, EMITTED_ALIGN, function, &[]);
            define.map_err(failed)?;
            bytes += function.len();
        }
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
        let tables = calls.iter().flatten().map(|(_, own)| own.table());
        let names: Vec<usize> = tables.flatten().collect();
        let mut rest = names.as_slice();
        let part = |(k, own): &(usize, Names)| {
            let (mine, others) = rest.split_at(own.table().count());
            rest = others;
            let function = module.get_finalized_function(ids[*k].0);
            // SAFETY: `lower` compiled it with this signature for the host's C calling convention.
            let function = unsafe { std::mem::transmute::<*const u8, LoopFn<T>>(function) };
            NamedFunction {
                function,
                names: mine.as_ptr(),
            }
        };
        let parts: Vec<NamedFunction<T>> = calls.iter().flatten().map(part).collect();
        let mut end = 0;
        let place = |(own, l): (&Vec<_>, &Loop)| {
            let start = end;
            end += own.len();
            (start..end, l.kind == LoopKind::Recurrence { reverse: true })
        };
        let loops = calls.iter().zip(plan.loops()).map(place).collect();
        Ok(Code {
            module: Some(module),
            loops,
            parts,
            _names: names,
            kernels,
            bytes,
        })
    }

    /// The code of a loop, which does not move while `self` lives.
    pub(crate) fn of_loop(&self, i: LoopId) -> LoopCode<T> {
        let (parts, reverse) = &self.loops[i];
        LoopCode {
            parts: &self.parts[parts.clone()],
            reverse: *reverse,
        }
    }
}

impl<T: SimdElement> Drop for Code<T> {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: functions are called only through `&self`, so none is running.
            unsafe { module.free_memory() };
        }
    }
}

/// Generates native code of a plan for its target; with `verify`, Cranelift's verifier checks it.
pub(crate) fn generate<T: Element>(plan: &Plan, verify: bool) -> Result<Code<T>, CompileError> {
    let isa = generator(plan.target, verify)?;
    let backend = Backend {
        isa: &*isa,
        lane: T::LANE,
        wide: Set::of(plan.target).filter(|_| plan.wide_loops),
    };
    let mut context = FunctionBuilderContext::new();
    let mut emitted = Emitted::new();
    let (functions, calls) = share(&backend, plan, &mut context, &mut emitted);
    compiled(functions.len());
    Code::new(plan, isa.clone(), &emitted, functions, &calls)
}
