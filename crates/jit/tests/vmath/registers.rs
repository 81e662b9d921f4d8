//! Kernels compute the bits of emitted code, on every instruction set that the machine has: both have the functions of
//! `retrograd_kernels::maths`, on vectors of their own. Where multiply and add are fused, that is the machine's code;
//! on the base of the architecture, the base's.

use super::functions;
use super::kernel::{Emit, Kernel, Target, target_isa};
use super::measure::{samples_f32, samples_f64};
use retrograd_jit::vmath::has_fma;
use retrograd_kernels::maths::{Compare, Function, Math, Vectors};
use retrograd_kernels::{Activation, Isa, Kernels, activate, apply, kernels_for};

type Apply<T> = fn(&'static Kernels<T>, &[T], &mut [T]);

/// A function in both forms.
struct Both {
    name: &'static str,
    emit: Emit,
    single: Apply<f32>,
    double: Apply<f64>,
}

/// Functions of `$x` by `$m`.
macro_rules! both {
    ($m:ident, $x:ident; $($name:literal $body:expr;)*) => {
        [$({
            struct Of;
            impl Function for Of {
                #[inline(always)]
                fn of<E: Vectors>($m: &mut Math<'_, E>, $x: E::V) -> E::V {
                    $body
                }
            }
            Both {
                name: $name,
                emit: |m, x, _| Of::of(m, x),
                single: apply::<f32, Of>,
                double: apply::<f64, Of>,
            }
        }),*]
    };
}

/// Numbers on which an op of two numbers may depend in ways of its own.
const OTHERS: [f64; 8] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    1e-40,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// The results of an op of x and each of [`OTHERS`], in either order, mixed.
#[inline(always)]
fn with_others<E: Vectors>(
    m: &mut Math<'_, E>,
    x: E::V,
    op: impl Fn(&mut Math<'_, E>, E::V, E::V) -> E::V,
) -> E::V {
    let lane = m.lane;
    let mut all = m.constant(1.0);
    for other in OTHERS {
        let y = m.constant(other);
        for (a, b) in [(x, y), (y, x)] {
            let result = op(m, a, b);
            let (left, right) = (
                m.e.shl(lane, all, 5),
                m.e.shr(lane, all, 8 * lane.bytes() - 5),
            );
            let turned = m.e.or(lane, left, right);
            all = m.e.xor(lane, turned, result);
        }
    }
    all
}

/// 1 where the comparison holds, in ways that use masks differently.
#[inline(always)]
fn comparisons<E: Vectors>(m: &mut Math<'_, E>, x: E::V, y: E::V, how: Compare) -> E::V {
    let lane = m.lane;
    let (one, two) = (m.constant(1.0), m.constant(2.0));
    let mask = m.e.compare(lane, how, x, y);
    let same = m.e.iequal(lane, x, y);
    let (both, either) = (m.e.both(lane, mask, same), m.e.either(lane, mask, same));
    let without = m.e.without(lane, mask, same);
    let a = m.e.blend(lane, mask, one, two);
    let b = m.e.masked(lane, both, x);
    let c = m.e.unmasked(lane, either, y);
    let d = m.e.masked(lane, without, two);
    let ab = m.e.iadd(lane, a, b);
    let cd = m.e.isub(lane, c, d);
    m.e.xor(lane, ab, cd)
}

/// A payload passes as it is in these, so that all bits count.
fn choices() -> Vec<Both> {
    both! {m, x;
        "neg" m.neg(x);
        "abs" m.abs(x);
        "flush" m.flush(x);
        "sign" m.sign(x);
        "relu" m.relu(x);
        "round_bf16" m.round_bf16(x);
        "min" with_others(m, x, |m, x, y| m.min(x, y));
        "max" with_others(m, x, |m, x, y| m.max(x, y));
        "lt" with_others(m, x, |m, x, y| m.lt(x, y));
        "le" with_others(m, x, |m, x, y| m.le(x, y));
        "eq" with_others(m, x, |m, x, y| m.eq(x, y));
        "select" with_others(m, x, |m, x, y| { let zero = m.constant(0.0); m.select(x, y, zero) });
        "equal" with_others(m, x, |m, x, y| comparisons(m, x, y, Compare::Equal));
        "less" with_others(m, x, |m, x, y| comparisons(m, x, y, Compare::Less));
        "less or equal" with_others(m, x, |m, x, y| comparisons(m, x, y, Compare::LessOrEqual));
        "not equal" with_others(m, x, |m, x, y| comparisons(m, x, y, Compare::NotEqual));
        "not less" with_others(m, x, |m, x, y| comparisons(m, x, y, Compare::NotLess));
        "unordered" with_others(m, x, |m, x, y| comparisons(m, x, y, Compare::Unordered));
    }
    .into()
}

/// NaN is as good as NaN in these, since an instruction may take either operand's.
fn arithmetic() -> Vec<Both> {
    both! {m, x;
        "add" { let y = m.constant(1.25e-3); m.add(x, y) };
        "sub" { let y = m.constant(1.25e-3); m.sub(y, x) };
        "mul" { let y = m.constant(1.1); m.mul(x, y) };
        "div" { let y = m.constant(1.1); m.div(x, y) };
        "recip" m.recip(x);
        "sqrt" m.sqrt(x);
        "fma" { let y = m.constant(1.1); m.fma(x, x, y) };
        "fms" { let y = m.constant(1.1); m.fms(x, y, x) };
        "fnma" { let y = m.constant(1.1); m.fnma(x, y, x) };
        "floor" m.floor(x);
        "ceil" m.ceil(x);
        "round" m.round(x);
        "softsign" m.softsign(x);
        "exp" m.exp(x);
        "expm1" m.expm1(x);
        "ln" m.ln(x);
        "log1p" m.log1p(x);
        "tanh" m.tanh(x);
        "sigmoid" m.sigmoid(x);
        "softplus" m.softplus(x);
        "erf" m.erf(x);
    }
    .into()
}

fn activations() -> Vec<Both> {
    macro_rules! kernels {
        ($($variant:ident $method:ident),*) => {
            [$(Both {
                name: stringify!($variant),
                emit: |m, x, _| m.$method(x),
                single: |kernels, x, y| activate(kernels, Activation::$variant, x, y),
                double: |kernels, x, y| activate(kernels, Activation::$variant, x, y),
            }),*]
        };
    }
    let all = kernels!(Tanh tanh, Sigmoid sigmoid, Exp exp, Softplus softplus);
    assert_eq!(all.len(), Activation::ALL.len());
    all.into()
}

/// The emitted code of an instruction set's kernels, but for the width of its vectors.
fn target(isa: Isa) -> Target {
    match isa {
        Isa::Avx512 | Isa::Avx2 => {
            assert!(has_fma(&*target_isa(Target::Native)), "{isa}");
            Target::Native
        }
        Isa::Portable => Target::Base,
    }
}

/// Every knee of every function.
fn knees() -> Vec<f64> {
    functions().flat_map(|f| f.knees).copied().collect()
}

fn check(functions: &[Both], exact: bool) {
    let knees = knees();
    let single = samples_f32(&knees, 16_411);
    let double = samples_f64(&knees, 100_000, 1);
    let (mut y, mut z) = (vec![0.0; single.len()], vec![0.0; double.len()]);
    let mut sets = 0;
    for isa in Isa::ALL {
        let (Some(k32), Some(k64)) = (kernels_for::<f32>(isa), kernels_for::<f64>(isa)) else {
            continue;
        };
        sets += 1;
        for f in functions {
            let want = Kernel::new(super::Lane::F32, target(isa), f.emit).f32(&single, &single);
            (f.single)(k32, &single, &mut y);
            for ((x, got), want) in single.iter().zip(&y).zip(want) {
                let same = got.to_bits() == want.to_bits();
                assert!(
                    same || !exact && got.is_nan() && want.is_nan(),
                    "{} of {x:e} ({:#x}), f32, {isa}: {got:e}, emitted {want:e}",
                    f.name,
                    x.to_bits()
                );
            }
            let want = Kernel::new(super::Lane::F64, target(isa), f.emit).f64(&double, &double);
            (f.double)(k64, &double, &mut z);
            for ((x, got), want) in double.iter().zip(&z).zip(want) {
                let same = got.to_bits() == want.to_bits();
                assert!(
                    same || !exact && got.is_nan() && want.is_nan(),
                    "{} of {x:e} ({:#x}), f64, {isa}: {got:e}, emitted {want:e}",
                    f.name,
                    x.to_bits()
                );
            }
        }
    }
    assert!(sets > 0 && single.len() > 200_000 && double.len() >= 100_000);
}

#[test]
fn activations_have_the_bits_of_emitted_code() {
    check(&activations(), false);
}

#[test]
fn functions_on_registers_have_the_bits_of_emitted_code() {
    check(&arithmetic(), false);
}

#[test]
fn bits_and_choices_on_registers_are_those_of_emitted_code() {
    check(&choices(), true);
}
