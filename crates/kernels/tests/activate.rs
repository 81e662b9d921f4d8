//! Activations against `std` in f64, and their blocks, on every instruction set that the machine has.
//!
//! Errors are in units of the last place of the reference rounded to the element type. The quick tests sample; the
//! ignored ones take every `f32`:
//!
//!     cargo test --release -p retrograd-kernels --test activate -- --ignored --nocapture --test-threads=2

#[expect(dead_code, reason = "shared with the tests of products")]
mod common;

use common::{Element, Guarded, Numbers, size};
use proptest::prelude::*;
use retrograd_kernels::{Activation, Isa, Kernels, activate, kernels_for};

trait Ulp: Element {
    const MAX: Self;
    /// The next smaller one than the largest, the largest with an `ulp`.
    const BELOW_MAX: Self;
    /// The distance to the next larger number, for 0 ≤ self < MAX.
    fn ulp(self) -> f64;
    fn bits(self) -> u64;
}

impl Ulp for f32 {
    const MAX: f32 = f32::MAX;
    const BELOW_MAX: f32 = f32::MAX.next_down();
    fn ulp(self) -> f64 {
        f64::from(self.next_up()) - f64::from(self)
    }
    fn bits(self) -> u64 {
        self.to_bits().into()
    }
}

impl Ulp for f64 {
    const MAX: f64 = f64::MAX;
    const BELOW_MAX: f64 = f64::MAX.next_down();
    fn ulp(self) -> f64 {
        self.next_up() - self
    }
    fn bits(self) -> u64 {
        self.to_bits()
    }
}

/// Between an infinity and the largest number there is no error: which of them is right is a matter of half an ulp.
fn error<T: Ulp>(got: T, want: f64) -> f64 {
    let rounded = T::of(want);
    if got.bits() == rounded.bits() && !want.is_finite() || got.wide().is_nan() && want.is_nan() {
        return 0.0;
    }
    if got.wide() == 0.0 && want == 0.0 {
        let same = got.wide().is_sign_negative() == want.is_sign_negative();
        return if same { 0.0 } else { f64::INFINITY };
    }
    let max = T::MAX.wide();
    let size = rounded.wide().abs().min(T::BELOW_MAX.wide());
    let error = (got.wide().clamp(-max, max) - want.clamp(-max, max)).abs() / T::of(size).ulp();
    if error.is_nan() { f64::INFINITY } else { error }
}

/// The function in f64, by `std`.
fn reference(f: Activation, x: f64) -> f64 {
    match f {
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid if x < 0.0 => x.exp() / (1.0 + x.exp()),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Exp => x.exp(),
        Activation::Softplus if x.is_nan() => x,
        Activation::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
    }
}

/// The worst error of each instruction set over `x`.
fn worst<T: Ulp>(f: Activation, x: &[T], worst: &mut [(f64, T); Isa::ALL.len()]) {
    let want: Vec<f64> = x.iter().map(|x| reference(f, x.wide())).collect();
    let mut got = vec![T::default(); x.len()];
    for (isa, worst) in Isa::ALL.into_iter().zip(worst) {
        let Some(kernels) = kernels_for::<T>(isa) else {
            continue;
        };
        activate(kernels, f, x, &mut got);
        for ((&x, &got), &want) in x.iter().zip(&got).zip(&want) {
            // Almost all are right to the bit; that is quickly seen.
            if got.bits() != T::of(want).bits() || T::EPS == f64::EPSILON {
                let error = error(got, want);
                if error > worst.0 {
                    *worst = (error, x);
                }
            }
        }
    }
}

fn check<T: Ulp>(f: Activation, bound: f64, worst: [(f64, T); Isa::ALL.len()]) {
    for (isa, (ulp, x)) in Isa::ALL.into_iter().zip(worst) {
        println!(
            "{f:?} {} {isa}: {ulp:.3} ulp at {x:?}",
            std::any::type_name::<T>()
        );
        assert!(ulp <= bound, "{f:?} {isa}: {ulp} ulp at {x:?}");
    }
}

/// ±: zeros, ones, ends of the normal and subnormal numbers, ∞, NaN, and where a function saturates or changes its form.
fn edges() -> Vec<f64> {
    let knees = [
        0.0,
        1.0,
        0.173_286_8,
        0.346_573_6,
        0.519_86,
        9.01,
        9.1,
        16.6,
        19.06,
        19.1,
        60.0,
        87.336_55,
        88.722_84,
        89.0,
        103.972,
        104.0,
        600.0,
        708.396_4,
        709.782_7,
        710.0,
        745.133_2,
        746.0,
        f64::INFINITY,
        f64::NAN,
    ];
    knees.into_iter().flat_map(|x| [x, -x]).collect()
}

#[test]
fn an_activation_of_f32_keeps_its_bound_on_every_4099th_number_and_about_the_knees() {
    let mut x: Vec<f32> = (0..=u32::MAX).step_by(4099).map(f32::from_bits).collect();
    for bits in edges().into_iter().map(|x| (x as f32).to_bits()) {
        x.extend((0..2000).map(|i| f32::from_bits(bits.wrapping_add(i).wrapping_sub(1000))));
    }
    x.extend((0..60_000).map(|i| (i as f32 - 30_000.0) * 0.004_1));
    for f in Activation::ALL {
        let mut most = [(0.0, 0.0); _];
        worst(f, &x, &mut most);
        check(f, Activation::ULP, most);
    }
}

#[test]
fn an_activation_of_f64_keeps_its_bound_on_many_numbers_and_about_the_knees() {
    let mut x = Vec::new();
    for bits in edges().into_iter().map(f64::to_bits) {
        x.extend((0..200).map(|i| f64::from_bits(bits.wrapping_add(i).wrapping_sub(100))));
    }
    let mut state = 1u64;
    x.extend((0..400_000u64).map(|i| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let bits = state ^ state >> 33;
        let unit = (bits >> 11) as f64 * f64::EPSILON / 2.0 - 0.5;
        match i % 4 {
            // Every exponent; exponents about 0; and where the functions are neither 0 nor saturated.
            0 => f64::from_bits(bits),
            1 => f64::from_bits(bits & !(0x7ff << 52) | (1011 + i / 4 % 24) << 52),
            2 => unit * 1500.0,
            _ => unit * 50.0,
        }
    }));
    for f in Activation::ALL {
        let mut most = [(0.0, 0.0); _];
        worst(f, &x, &mut most);
        // The reference is off by up to an ulp itself.
        check(f, Activation::ULP + 1.0, most);
    }
}

fn every_f32(f: Activation) {
    let mut most = [(0.0, 0.0); _];
    for top in 0..=u16::MAX {
        let x: Vec<f32> = (0..=u16::MAX)
            .map(|low| f32::from_bits(u32::from(top) << 16 | u32::from(low)))
            .collect();
        worst(f, &x, &mut most);
    }
    check(f, Activation::ULP, most);
}

#[test]
#[ignore = "every f32: a minute or two in a release build"]
fn tanh_keeps_its_bound_on_every_f32() {
    every_f32(Activation::Tanh);
}

#[test]
#[ignore = "every f32: a minute or two in a release build"]
fn sigmoid_keeps_its_bound_on_every_f32() {
    every_f32(Activation::Sigmoid);
}

#[test]
#[ignore = "every f32: a minute or two in a release build"]
fn exp_keeps_its_bound_on_every_f32() {
    every_f32(Activation::Exp);
}

#[test]
#[ignore = "every f32: a minute or two in a release build"]
fn softplus_keeps_its_bound_on_every_f32() {
    every_f32(Activation::Softplus);
}

fn special_values<T: Ulp>(kernels: &'static Kernels<T>) {
    let tiny = f64::from_bits(1).max(if T::EPS > 1e-10 { 1e-45 } else { 0.0 });
    let inf = f64::INFINITY;
    let exact = [
        (
            Activation::Tanh,
            vec![
                (0.0, 0.0),
                (-0.0, -0.0),
                (inf, 1.0),
                (-inf, -1.0),
                (tiny, tiny),
                (-tiny, -tiny),
            ],
        ),
        (
            Activation::Sigmoid,
            vec![(0.0, 0.5), (-0.0, 0.5), (inf, 1.0), (-inf, 0.0)],
        ),
        (
            Activation::Exp,
            vec![(0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, 0.0)],
        ),
        (Activation::Softplus, vec![(inf, inf), (-inf, 0.0)]),
    ];
    for (f, values) in exact {
        for (x, want) in values {
            let mut y = [T::default()];
            activate(kernels, f, &[T::of(x)], &mut y);
            assert_eq!(
                y[0].bits(),
                T::of(want).bits(),
                "{f:?}({x}) {}",
                kernels.isa
            );
        }
        let mut y = [T::default(); 3];
        let x = [T::of(1.0), T::of(f64::NAN), T::of(-f64::NAN)];
        activate(kernels, f, &x, &mut y);
        assert_eq!(y.map(|y| y.wide().is_nan()), [false, true, true], "{f:?}");
    }
}

#[test]
fn zeros_infinities_and_nan_pass_as_in_std() {
    for isa in Isa::ALL {
        if let Some(kernels) = kernels_for::<f32>(isa) {
            special_values(kernels);
        }
        if let Some(kernels) = kernels_for::<f64>(isa) {
            special_values(kernels);
        }
    }
}

#[derive(Clone, Debug)]
struct Case {
    rows: usize,
    n: usize,
    gaps: (usize, usize),
    in_place: bool,
    at_end: bool,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    (
        (0..5usize, size(), (0..3usize, 0..3usize)),
        any::<(bool, bool, u64)>(),
    )
        .prop_map(|((rows, n, gaps), (in_place, at_end, seed))| Case {
            rows,
            n,
            gaps,
            in_place,
            at_end,
            seed,
        })
}

fn check_block<T: Ulp>(kernels: &'static Kernels<T>, case: &Case) -> Result<(), TestCaseError> {
    let &Case {
        rows,
        n,
        gaps,
        in_place,
        at_end,
        seed,
    } = case;
    let (ldx, ldy) = (n + gaps.0, if in_place { n + gaps.0 } else { n + gaps.1 });
    let mut numbers = Numbers(seed);
    let (x, old): (Vec<T>, Vec<T>) = (
        numbers.vec((rows * ldx).saturating_sub(gaps.0)),
        numbers.vec((rows * ldy).saturating_sub(ldy - n)),
    );
    let old = if in_place { x.clone() } else { old };
    for f in Activation::ALL {
        let from = Guarded::new(&x, at_end);
        let mut got = Guarded::new(&old, at_end);
        let y = got.ptr_mut();
        let from = if in_place { y } else { from.ptr() };
        // SAFETY: both have `rows` rows of n elements with these strides.
        unsafe { kernels.activation(f)(rows, n, from, ldx, y, ldy) };
        prop_assert!(got.untouched_around());
        for (at, &got) in got.get().iter().enumerate() {
            let (r, j) = (at / ldy, at % ldy);
            let mut want = [old[at]];
            if j < n {
                // An element alone has the same bits.
                activate(kernels, f, &[x[r * ldx + j]], &mut want);
            }
            prop_assert_eq!(
                got.bits(),
                want[0].bits(),
                "{:?} {} ({}, {})",
                f,
                kernels.isa,
                r,
                j
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_block_is_its_elements_and_nothing_around_it_is_touched(case in case()) {
        for isa in Isa::ALL {
            if let Some(kernels) = kernels_for::<f32>(isa) {
                check_block(kernels, &case)?;
            }
            if let Some(kernels) = kernels_for::<f64>(isa) {
                check_block(kernels, &case)?;
            }
        }
    }
}
