//! How many instructions the functions take, and how long.

use super::functions;
use super::kernel::{Emit, Kernel, Target, build_loop, target_isa};
use cranelift::prelude::*;
use retrograd_jit::vmath::has_fma;
use retrograd_kernels::maths::Lane;

/// Instructions of the loop's body: without the loop's own load, store, counting and branch.
fn loop_body(lane: Lane, emit: Emit) -> (Vec<String>, usize) {
    let isa = target_isa(Target::Native);
    let mut context = codegen::Context::new();
    context.func.signature.call_conv = isa.default_call_conv();
    build_loop(lane, &*isa, &mut context.func, emit);
    context.set_disasm(true);
    let code = context.compile(&*isa, &mut Default::default()).unwrap();
    let text = code.vcode.clone().unwrap();
    let blocks: Vec<Vec<String>> = text
        .split("block")
        .map(|b| b.lines().skip(1).map(|l| l.trim().to_string()).collect())
        .collect();
    // The loop is the block with the store through the third pointer; constants are loaded before it or in it.
    let body = blocks.into_iter().max_by_key(Vec::len).unwrap();
    let arithmetic = body
        .iter()
        .filter(|l| l.starts_with('v') && !l.starts_with("vmov"))
        .count();
    (body, arithmetic)
}

#[test]
#[cfg(target_arch = "x86_64")]
fn gates_take_few_instructions() {
    let isa = target_isa(Target::Native);
    if !has_fma(&*isa) {
        return;
    }
    let ops: [(&str, Emit, usize); 8] = [
        ("tanh", |m, x, _| m.tanh(x), 16),
        ("sigmoid", |m, x, _| m.sigmoid(x), 14),
        ("exp", |m, x, _| m.exp(x), 16),
        ("ln", |m, x, _| m.ln(x), 34),
        ("softplus", |m, x, _| m.softplus(x), 27),
        ("min", |m, x, y| m.min(x, y), 3),
        ("relu", |m, x, _| m.relu(x), 1),
        ("fma", |m, x, y| m.fma(x, y, x), 1),
    ];
    for (name, emit, most) in ops {
        for lane in [Lane::F32, Lane::F64] {
            let (body, arithmetic) = loop_body(lane, emit);
            println!(
                "{name} {lane:?}: {arithmetic} vector instructions of {} in the loop",
                body.len()
            );
            if std::env::var_os("VMATH_ASM").is_some() {
                println!("    {}", body.join("\n    "));
            }
            if lane == Lane::F32 {
                assert!(arithmetic <= most, "{name}: {body:#?}");
            }
        }
    }
}

#[test]
#[ignore = "a measurement; run it in release, alone"]
fn throughput() {
    let x: Vec<f32> = (0..4096).map(|i| (i as f32 - 2048.0) * 0.004).collect();
    let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let best = |run: &mut dyn FnMut()| {
        let once = |run: &mut dyn FnMut()| {
            let start = std::time::Instant::now();
            (0..200).for_each(|_| run());
            start.elapsed().as_secs_f64() * 1e9 / (200.0 * 4096.0)
        };
        (0..20).map(|_| once(run)).fold(f64::INFINITY, f64::min)
    };
    for f in functions() {
        let kernel = Kernel::new(Lane::F32, Target::Native, f.emit);
        let single = best(&mut || drop(std::hint::black_box(kernel.f32(&x, &x))));
        let kernel = Kernel::new(Lane::F64, Target::Native, f.emit);
        let double = best(&mut || drop(std::hint::black_box(kernel.f64(&wide, &wide))));
        println!(
            "{:9} ns an element: f32 {single:.2}, f64 {double:.2}",
            f.name
        );
    }
}
