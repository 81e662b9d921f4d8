//! Tests of encodings. What the code computes is compared with Cranelift's elsewhere (`checks::width`, `tests/targets.rs`);
//! these say what a machine that has AVX-512 does not show: whether code for AVX2 runs without it.

use std::collections::BTreeSet;

use iced_x86::{Code as X86, Instruction, Register};

use super::block::{Block, Extent, Index, M, One, Op, Place, Two, V};
use super::emit::emit;
use super::encode::{Assembly, POINTERS};
use super::instructions::halved;
use super::pointers::Pointers;
use super::set::Set;
use retrograd_kernels::maths::{Called, Compare, Emitter, Lane, Math, Rounding, Vectors};

fn place(pointer: usize, distance: i32) -> Place {
    Place {
        pointer,
        index: Index::None,
        distance,
    }
}

/// What a block is emitted as, before the function's beginning and end are.
fn emitted(set: Set, kept: usize, block: &Block) -> Assembly {
    let mut code = Assembly::new(set, 4);
    emit(&mut code, block, kept, &mut Pointers::none()).expect("it is possible");
    code
}

/// Every operation of [`Vectors`], and those of remainders, folds and loops, on more values than there are registers.
fn everything(set: Set, lane: Lane) -> Block {
    let mut b = Block::new(set);
    let part = set.lanes(lane) - 1;
    let xs: Vec<V> = (0..20)
        .map(|k| b.push(lane, Op::Load(place(k % 3, 64 * k as i32), Extent::Whole)))
        .collect();
    let (x, y, z) = (xs[0], xs[1], xs[2]);
    let mut all = vec![b.push(lane, Op::Splat(place(1, 4)))];
    for n in 1..=part {
        all.push(b.push(lane, Op::Load(place(0, 8), Extent::Part(n))));
    }
    all.extend([b.add(lane, x, y), b.sub(lane, x, y), b.mul(lane, x, y)]);
    all.extend([b.div(lane, x, y), b.min(lane, x, y), b.max(lane, x, y)]);
    all.extend([b.and(lane, x, y), b.or(lane, x, y), b.xor(lane, x, y)]);
    all.extend([b.iadd(lane, x, y), b.isub(lane, x, y)]);
    let (third, zero) = (b.bits(lane, 3), b.bits(lane, 0));
    // Operands that are read again, and a constant; then ones that are read once, computed or in memory: every form.
    let mut products = vec![[x, y, z], [x, third, z]];
    for k in 0..3 {
        let computed = b.add(lane, x, y);
        let loaded = b.push(lane, Op::Load(place(2, 4 * k), Extent::Whole));
        products.push(match k {
            0 => [computed, y, z],
            1 => [computed, loaded, z],
            _ => [x, y, computed],
        });
    }
    for [x, y, z] in products {
        all.push(b.fma(lane, x, y, z));
        all.extend([b.fms(lane, x, y, z), b.fnma(lane, x, y, z)]);
    }
    for how in [Rounding::Floor, Rounding::Ceil, Rounding::Nearest] {
        all.push(b.round(lane, how, x));
    }
    all.extend([b.sqrt(lane, x), b.shl(lane, x, 3), b.shr(lane, x, 5)]);
    for n in 1..=part {
        b.first = Some((lane, n));
        all.extend([b.sqrt(lane, y), b.div(lane, y, z), b.fma(lane, x, y, z)]);
        all.extend([b.round(lane, Rounding::Floor, x), b.shl(lane, x, 3)]);
        let m = b.compare(lane, Compare::Less, x, y);
        all.extend([b.blend(lane, m, x, z), b.max(lane, y, z)]);
    }
    b.first = None;
    let swaps = [
        One::SwapHalves,
        One::SwapLines,
        One::SwapInLine,
        One::SwapPairs,
        One::First,
    ];
    all.extend(swaps.map(|swap| b.push(lane, Op::One(swap, x))));
    let comparisons = [
        Compare::Equal,
        Compare::Less,
        Compare::LessOrEqual,
        Compare::NotEqual,
        Compare::NotLess,
        Compare::Unordered,
    ];
    for how in comparisons {
        let (m, n) = (b.compare(lane, how, x, y), b.iequal(lane, y, third));
        let masks: [M; 3] = [
            b.both(lane, m, n),
            b.either(lane, m, n),
            b.without(lane, m, n),
        ];
        all.extend([
            b.blend(lane, masks[0], x, third),
            b.blend(lane, masks[1], third, y),
        ]);
        all.extend([b.masked(lane, masks[2], z), b.unmasked(lane, masks[2], z)]);
    }
    for n in 1..=part {
        all.push(b.push(lane, Op::InPart(n, z, x)));
    }
    for function in [Called::Sin, Called::Cos] {
        let large = b.compare(lane, Compare::Less, y, x);
        all.push(b.call_if_any(lane, large, function, x, z));
    }
    let halves = b.widen(x);
    all.extend(halves);
    all.push(b.narrow(halves));
    // No function needs more masks than there are.
    let mut math = Math::new(&mut b, lane, true);
    all.extend([math.sin(x), math.cos(y), math.pow(x, y)]);
    let kept = b.push(lane, Op::Kept(0));
    let mut sum = b.add(lane, kept, zero);
    for &v in all.iter().chain(&xs) {
        sum = b.add(lane, sum, v);
    }
    for n in 1..=part {
        b.push(
            lane,
            Op::Store(place(3, 16 * n as i32), Extent::Part(n), sum),
        );
    }
    b.push(lane, Op::Store(place(3, 0), Extent::First, sum));
    b.push(lane, Op::Store(place(3, 64), Extent::Whole, sum));
    b.push(lane, Op::Keep(0, sum));
    b
}

/// No instruction of AVX-512: none with its prefix, its masks, or its registers.
#[test]
fn code_for_avx2_is_of_avx2() {
    for lane in [Lane::F32, Lane::F64] {
        let block = everything(Set::Avx2, lane);
        let mut code = emitted(Set::Avx2, 1, &block);
        assert!(code.spilled > 0, "more values than registers");
        code.next_row(&[4, 8, 12, 16, 20]);
        code.stubs();
        let names: BTreeSet<String> = code.put.iter().map(|i| format!("{:?}", i.code())).collect();
        assert!(names.len() > 40, "{names:?}");
        let forms = ["132", "213", "231"].map(|f| format!("VEX_Vfmadd{f}"));
        for form in forms {
            assert!(
                names.iter().any(|n| n.starts_with(&form)),
                "{form}: {names:?}"
            );
        }
        for name in &names {
            let scalar = [
                "Mov_", "Lea_", "Add_", "Xor_", "And_", "Sub_", "Push_", "Pop_", "Je_", "Call_",
                "Retnq",
            ]
            .iter()
            .any(|s| name.starts_with(s));
            let vector = name.starts_with("VEX_") && !name.contains("_kr") && !name.contains("zmm");
            assert!(scalar || vector, "{name}");
        }
        // The whole function, with its beginning and end.
        let bytes = code.finish();
        assert_eq!(bytes.len() % 32, 0, "constants are whole vectors");
    }
}

/// An instruction on halves is the same instruction on vectors of half the width, by its name and its registers.
#[test]
fn halves_have_the_same_instructions() {
    const CODES: [&str; 18] = [
        "add", "sub", "mul", "div", "min", "max", "and", "or", "fm", "fnm", "cmp", "round",
        "rndscale", "blend", "psll", "psrl", "sqrt", "movup",
    ];
    let name = |i: &Instruction| format!("{:?}", i.code());
    let is_of = |r: Register, width: &str| match width {
        "zmm" => r.is_zmm(),
        "ymm" => r.is_ymm(),
        _ => r.is_xmm(),
    };
    let steps = [("zmm", "ymm", "512", "256"), ("ymm", "xmm", "256", "128")];
    for (set, skipped) in [(Set::Avx512, 0), (Set::Avx2, 1)] {
        let whole = steps[skipped].0;
        for lane in [Lane::F32, Lane::F64] {
            let code = emitted(set, 1, &everything(set, lane));
            let all = code.put.iter().filter(|i| {
                let vectors = (0..i.op_count()).any(|k| is_of(i.op_register(k), whole));
                vectors && CODES.iter().any(|c| name(i).contains(c))
            });
            let mut found = 0;
            for &i in all {
                found += 1;
                let (mut instruction, mut wanted) = (i, name(&i));
                for (wide, narrow, bits, half) in &steps[skipped..] {
                    instruction = halved(Ok(instruction), 1).expect("there is one");
                    wanted = wanted.replace(wide, narrow).replace(bits, half);
                    wanted = wanted.replace("_er", "").replace("_sae", "");
                    assert_eq!(name(&instruction), wanted);
                    for k in 0..i.op_count() {
                        let (r, old) = (instruction.op_register(k), i.op_register(k));
                        assert_eq!(is_of(r, narrow), is_of(old, whole), "{r:?} of {wanted}");
                    }
                }
            }
            assert!(found > 50, "{found} of {set:?}");
        }
    }
}

/// Where only some elements matter, ops that bring others among them have whole vectors.
#[test]
fn what_moves_elements_is_never_narrow() {
    let lane = Lane::F32;
    let mut b = Block::new(Set::Avx512);
    let x = b.push(lane, Op::Load(place(0, 0), Extent::Whole));
    b.first = Some((lane, 3));
    let moves = [
        Op::One(One::SwapHalves, x),
        Op::One(One::SwapLines, x),
        Op::One(One::SwapInLine, x),
        Op::One(One::SwapPairs, x),
        Op::One(One::First, x),
        Op::One(One::Widen, x),
        Op::One(One::Narrow, x),
        Op::Two(Two::LowerHalves, x, x),
        Op::InPart(3, x, x),
    ];
    for op in moves {
        b.push(lane, op);
    }
    assert!(b.ops.iter().all(|op| op.2 == 0), "{:?}", b.ops);
    b.mul(lane, x, x);
    assert_eq!(b.ops.last().map(|op| op.2), Some(2));
    // Those of the other width are of whole vectors.
    b.mul(Lane::F64, x, x);
    assert_eq!(b.ops.last().map(|op| op.2), Some(0));
}

/// A check of the test itself: the same operations on AVX-512 are seen as such.
#[test]
fn code_for_avx512_is_of_avx512() {
    for lane in [Lane::F32, Lane::F64] {
        let code = emitted(Set::Avx512, 1, &everything(Set::Avx512, lane));
        let names: BTreeSet<String> = code.put.iter().map(|i| format!("{:?}", i.code())).collect();
        let of_avx512 = names.iter().filter(|n| n.starts_with("EVEX_"));
        assert!(of_avx512.count() > 30, "{names:?}");
        assert!(names.contains("VEX_Kmovw_kr_r32"), "{names:?}");
    }
}

/// A stub around a called function restores every register that has a meaning from where it saved it: a function in Rust
/// changes few of them, so that results do not tell.
#[test]
fn a_call_keeps_every_register() {
    for (set, masks) in [(Set::Avx512, 7), (Set::Avx2, 0)] {
        let mut code = emitted(set, 1, &everything(set, Lane::F32));
        let before = code.put.len();
        code.stubs();
        // One for sine, one for cosine.
        let ends = |i: &Instruction| i.code() == X86::Retnq;
        let stubs: Vec<_> = code.put[before..].split_inclusive(ends).collect();
        assert_eq!(stubs.len(), 2);
        for stub in stubs {
            // The registers of these instructions, each with its place on the stack, in order.
            let moved = |part: &str, k: u32| -> BTreeSet<(u64, Register)> {
                let these = stub
                    .iter()
                    .filter(|i| format!("{:?}", i.code()).contains(part));
                these
                    .map(|i| (i.memory_displacement64(), i.op_register(k)))
                    .collect()
            };
            let (stored, loaded) = match set {
                Set::Avx512 => ("Vmovups_zmmm512", "Vmovups_zmm_"),
                Set::Avx2 => ("Vmovups_ymmm256_", "Vmovups_ymm_"),
            };
            let vectors = moved(stored, 1);
            assert_eq!(vectors.len(), set.registers());
            assert_eq!(vectors, moved(loaded, 0));
            assert_eq!(moved("Kmovw_m16_kr", 1).len(), masks);
            assert_eq!(moved("Kmovw_m16_kr", 1), moved("Kmovw_kr_km16", 0));
            let general = |code: X86| -> Vec<Register> {
                let these = stub.iter().filter(|i| i.code() == code);
                these.map(|i| i.op_register(0)).collect()
            };
            let (pushed, mut popped) = (general(X86::Push_r64), general(X86::Pop_r64));
            popped.reverse();
            assert_eq!(pushed, popped);
            // The frame pointer, the counter, and pointers.
            assert_eq!(pushed.len(), 2 + POINTERS.len());
        }
    }
}

/// The bytes that GNU `as` gives for
///
/// ```text
/// push %rbp
/// {load} mov %rsp, %rbp
/// push %rbx
/// {load} mov %rdi, %rbx
/// and $-64, %rsp
/// sub $0x40, %rsp    # with {disp32}: 32 bits
/// {disp8} mov 0(%rbx), %rcx
/// vmovups 0x20(%rcx), %ymm0
/// vmulps 0x40(%rcx), %ymm0, %ymm0
/// vcmpps $0x11, 0f(%rip), %ymm0, %ymm1
/// vblendvps %ymm1, 0f(%rip), %ymm0, %ymm0
/// mov 8(%rbx), %rdx
/// vmovups 1f(%rip), %ymm1
/// vmaskmovps %ymm0, %ymm1, (%rdx)
/// lea -8(%rbp), %rsp
/// pop %rbx
/// pop %rbp
/// vzeroupper
/// ret
/// ```
///
/// The only register saved is the one that is used; the line on the stack is for a table of four pointers.
#[test]
fn instructions_for_avx2_have_the_bytes_of_an_assembler() {
    let lane = Lane::F32;
    let mut b = Block::new(Set::Avx2);
    let x = b.push(lane, Op::Load(place(0, 0x20), Extent::Whole));
    let y = b.push(lane, Op::Load(place(0, 0x40), Extent::Whole));
    let product = b.mul(lane, x, y);
    let one = b.bits(lane, u64::from(1f32.to_bits()));
    let less = b.compare(lane, Compare::Less, product, one);
    let raised = b.blend(lane, less, one, product);
    b.push(lane, Op::Store(place(1, 0), Extent::Part(3), raised));
    let code = emitted(Set::Avx2, 0, &b);
    let bytes = code.finish();
    // Distances to constants are those of this function, which lie on multiples of 64 bytes.
    let constants = bytes.len() - 128;
    let begin = 19;
    let far = |at: usize, to: usize| (to as i32 - (begin + at) as i32).to_le_bytes();
    let mut right: Vec<u8> = Vec::new();
    right.extend([0x55, 0x48, 0x8b, 0xec, 0x53, 0x48, 0x8b, 0xdf]);
    right.extend([0x48, 0x83, 0xe4, 0xc0, 0x48, 0x81, 0xec, 0x40, 0, 0, 0]);
    right.extend([0x48, 0x8b, 0x4b, 0x00]);
    right.extend([0xc5, 0xfc, 0x10, 0x41, 0x20]);
    right.extend([0xc5, 0xfc, 0x59, 0x41, 0x40]);
    right.extend([0xc5, 0xfc, 0xc2, 0x0d]);
    right.extend(far(14 + 9, constants));
    right.extend([0x11]);
    right.extend([0xc4, 0xe3, 0x7d, 0x4a, 0x05]);
    right.extend(far(23 + 10, constants));
    right.extend([0x10]);
    right.extend([0x48, 0x8b, 0x53, 0x08]);
    right.extend([0xc5, 0xfc, 0x10, 0x0d]);
    // Three ones: the table of masks lies behind the vector of 1, on the next line.
    right.extend(far(37 + 8, constants + 64 + 32 - 12));
    right.extend([0xc4, 0xe2, 0x75, 0x2e, 0x02]);
    right.extend([0x48, 0x8d, 0x65, 0xf8, 0x5b, 0x5d, 0xc5, 0xf8, 0x77, 0xc3]);
    let code = &bytes[..right.len()];
    assert_eq!(code, right, "{code:02x?}");
    let ones = [1f32; 8].map(f32::to_le_bytes).concat();
    assert_eq!(&bytes[constants..][..32], ones);
    assert_eq!(&bytes[constants + 64..][..32], [0xff; 32]);
    assert_eq!(&bytes[constants + 96..], [0; 32]);
}
