//! Checks, in the listing of code for x86-64 without AVX, that no instruction has a memory operand that must be
//! aligned.

use cranelift::codegen::Context;
use cranelift::codegen::control::ControlPlane;
use cranelift::codegen::ir::{Function, UserFuncName};
use cranelift::prelude::*;
use retrograd_graph::plan::plan;
use retrograd_graph::{Graph, Options, Target, passes};
use retrograd_tape::generate::{Choices, generate};
use retrograd_tape::{InputRole, Map, Op, Recorder, Shape, Tape};

use super::{Backend, lower};
use crate::Purpose;
use crate::element::Element;
use crate::exec::code::generator;

/// The listing of all loops of a program with all its gradients.
fn listing<T: Element>(tape: &Tape, target: Target) -> String {
    let options = Options::default().with(|o| o.target = target);
    let recorded = Graph::from_tape(tape);
    let what = Purpose::everything(tape).derivations(&recorded);
    let graph = passes::run(&recorded, &what.expect("its own names"), &options);
    let plan = plan(&graph.expect("recurrences go one way"), &options);
    let isa = generator(target, true).expect("every machine runs its base");
    let backend = Backend {
        isa: &*isa,
        lane: T::LANE,
        wide: None,
    };
    let mut frontend = FunctionBuilderContext::new();
    let mut text = String::new();
    for l in plan.loops() {
        let mut context = Context::for_function(lower(
            &backend,
            &plan,
            l,
            None,
            &mut frontend,
            &mut Vec::new(),
        ));
        context.set_disasm(true);
        let code = context
            .compile(&*isa, &mut ControlPlane::default())
            .expect("it compiles");
        text.push_str(code.vcode.as_deref().expect("a listing was asked for"));
    }
    text
}

/// Lines whose instruction works on whole vectors, has a possibly unaligned memory operand, and is no move.
fn faulting(listing: &str) -> Vec<&str> {
    let folds = |line: &&str| {
        let line = line.trim();
        let (mnemonic, operands) = line.split_once(' ').unwrap_or((line, ""));
        // Moves of whole vectors allow any address; moves of one number require its alignment only.
        let moves = mnemonic.starts_with("mov");
        // Scalars are smaller than 16 bytes and never fault.
        let scalar = ["ss", "sd", "b", "w", "l", "q"]
            .iter()
            .any(|s| mnemonic.ends_with(s))
            && !mnemonic.starts_with('p')
            && !["unpck", "shuf"].iter().any(|s| mnemonic.starts_with(s));
        // Cranelift aligns constants and stack slots itself.
        let memory =
            operands.contains("(%") && !operands.contains("(%rsp") && !operands.contains("(%rbp");
        memory && operands.contains("%xmm") && !moves && !scalar
    };
    listing.lines().filter(folds).collect()
}

fn alone(map: Map) -> Tape {
    let r = Recorder::new();
    let operands: Vec<_> = (0..map.row().arity)
        .map(|k| r.input(&format!("x{k}"), InputRole::Sequence, Shape::Vector(21)))
        .collect();
    r.output("y", r.apply(Op::Map(map), &operands));
    r.finish(map.row().name).expect("it is a program")
}

#[test]
#[cfg(target_arch = "x86_64")]
fn no_instruction_without_avx_has_an_operand_in_memory_that_may_be_off_a_boundary() {
    let random = (0..50u64).map(|seed| {
        let bytes: Vec<u8> = (0..300)
            .map(|i| ((seed * 301 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
            .collect();
        generate(&mut Choices::new(&bytes)).tape
    });
    let mut compares = 0;
    for tape in Map::ALL.into_iter().map(alone).chain(random) {
        for text in [
            listing::<f32>(&tape, Target::baseline()),
            listing::<f64>(&tape, Target::baseline()),
        ] {
            let found = faulting(&text);
            assert!(found.is_empty(), "{found:?}\n{tape}\n{text}");
            compares += text.matches("cmp").count();
        }
    }
    // The list contains the instructions that faulted.
    assert!(compares > 100, "{compares}");
}

/// A check of the test itself: folding that is allowed is detected.
#[test]
#[cfg(target_arch = "x86_64")]
fn folded_operands_are_seen_where_they_are_allowed() {
    let fault = "  cmpps   $1, 16(%rax), %xmm0, %xmm0\n  movups 16(%rax), %xmm1\n  addss 4(%rax), %xmm0, %xmm0";
    assert_eq!(faulting(fault), ["  cmpps   $1, 16(%rax), %xmm0, %xmm0"]);
    if Target::avx2().runs_here() {
        let text = listing::<f32>(&alone(Map::Relu), Target::avx2());
        assert!(!faulting(&text).is_empty(), "{text}");
    }
}

/// docs/UPSTREAM.md's ten lines. When this fails, the fault is fixed upstream: remove the cast in `Math::load`.
#[test]
#[cfg(target_arch = "x86_64")]
fn cranelift_still_folds_what_a_compare_before_avx_faults_on() {
    let isa = generator(Target::baseline(), true).expect("every machine runs its base");
    let listing = |compares: bool| {
        let mut signature = Signature::new(isa.default_call_conv());
        let vector = AbiParam::new(types::F32X4);
        signature.params.extend([AbiParam::new(types::I64), vector]);
        signature.returns.push(AbiParam::new(if compares {
            types::I32X4
        } else {
            types::F32X4
        }));
        let mut function = Function::with_name_signature(UserFuncName::default(), signature);
        let mut frontend = FunctionBuilderContext::new();
        let mut b = FunctionBuilder::new(&mut function, &mut frontend);
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        let (at, x) = (b.block_params(entry)[0], b.block_params(entry)[1]);
        let flags = MemFlagsData::new().with_notrap();
        let y = b.ins().load(types::F32X4, flags, at, 0);
        let z = match compares {
            true => b.ins().fcmp(FloatCC::LessThan, x, y),
            false => b.ins().fadd(x, y),
        };
        b.ins().return_(&[z]);
        b.seal_all_blocks();
        b.finalize(isa.frontend_config());
        let mut context = Context::for_function(function);
        context.set_disasm(true);
        let code = context.compile(&*isa, &mut ControlPlane::default());
        code.expect("it compiles").vcode.clone().expect("a listing")
    };
    let (sum, compare) = (listing(false), listing(true));
    assert!(faulting(&sum).is_empty(), "{sum}");
    assert_eq!(faulting(&compare).len(), 1, "{compare}");
}
