//! [`Numerics`]: what floating-point numbers allow to be compared on a sample.

use retrograd_tape::Real;
use retrograd_tape::generate::KinkDistances;

use crate::agree::{relative, sensitivity, ulps};
use crate::outcome::Skip;
use crate::runs::{Arrays, by_tape};
use crate::sample::Sample;

/// What is known of the numbers of a sample before engines are compared on it.
#[derive(Clone, Copy, Debug)]
pub struct Numerics {
    kinks: KinkDistances,
    /// All numbers are finite: in f64, in f32.
    finite: [bool; 2],
    /// How much a relative error of each op, in units of its ulp, grows to on its way to the results.
    growth: f64,
    /// 4 ulp for each node and step: what differences allow for roundings.
    differenced: f64,
}

/// The greatest relative error of f64 at which two engines still say something about each other: half of the digits.
pub(crate) const MOST: f64 = 1e-6;

/// The same of f32.
const MOST_IN_F32: f64 = 0.02;

fn finite<T: Real>(arrays: &Arrays<T>) -> bool {
    let mut all = arrays.iter().flat_map(|(_, x)| x);
    all.all(|x| Real::to_f64(*x).is_finite())
}

impl Numerics {
    /// Runs the tape on the sample, and sets [`Sample::exact`] to what the program's own sensitivity to roundings needs:
    /// [`Sample::EXACT`], or 16 times what the ops' tolerances make of the results if that is more. (Sums of other
    /// orders and the backward part's ops are not in what is measured; see `agree.rs`.)
    ///
    /// # Errors
    /// A program that does not run on these numbers, such as a computed index outside its table.
    pub fn of(sample: &mut Sample<'_>) -> Result<Numerics, String> {
        let right = by_tape::<f64>(sample).map_err(|e| e.to_string())?;
        let single = by_tape::<f32>(sample).map_err(|e| e.to_string())?;
        let kinks = KinkDistances::of(sample.tape, &sample.lengths, &sample.inputs);
        let finite = [finite(&right), finite(&single)];
        let unit = 1e-9;
        let growth = match finite[0] {
            true => sensitivity(sample, &right, unit)? / unit,
            false => f64::INFINITY,
        };
        // An overflow in f32 alone shows in no number of f64.
        let apart = relative(&right, &single);
        let rounding = growth * f64::EPSILON + ulps(sample, f64::EPSILON);
        sample.exact = Sample::EXACT.max(16.0 * rounding);
        Ok(Numerics {
            kinks: kinks.ok_or("it does not run")?,
            finite: [finite[0], finite[1] && apart.is_finite()],
            growth,
            differenced: 4.0 * (sample.tape.nodes().len() * sample.t()) as f64,
        })
    }

    /// Why results of f64 cannot be compared, if so.
    pub fn comparable(&self, sample: &Sample<'_>) -> Option<Skip> {
        self.double(sample)
    }

    /// Why results of f64 cannot be compared, if so.
    pub(crate) fn double(&self, sample: &Sample<'_>) -> Option<Skip> {
        let clear = self.kinks.nearest > 4.0 * self.kinks.jittered;
        match () {
            () if !self.finite[0] => Some(Skip::NotFinite),
            () if sample.exact.is_nan() || sample.exact > MOST => Some(Skip::Sensitive),
            () if !clear => Some(Skip::Kink),
            () => None,
        }
    }

    /// Why results of f32 cannot be compared, if so.
    pub(crate) fn single(&self, sample: &Sample<'_>) -> Option<Skip> {
        let moved = self.kinks.single.max(self.kinks.jittered);
        let rounding = self.growth * f64::from(f32::EPSILON);
        match () {
            () if !self.finite[1] => Some(Skip::NotFinite),
            () if rounding.is_nan() || rounding > MOST_IN_F32 => Some(Skip::Sensitive),
            () if self.kinks.nearest <= 8.0 * moved => Some(Skip::Kink),
            () => self.double(sample),
        }
    }

    /// Why differences tell nothing, if so. They look at kinks themselves.
    pub(crate) fn differences(&self) -> Option<Skip> {
        match () {
            () if !self.finite[0] => Some(Skip::NotFinite),
            () if self.growth.is_nan() || self.growth > self.differenced => Some(Skip::Sensitive),
            () => None,
        }
    }

    /// True if some number of the run lies so near a kink or jump that f32 may be on its other side.
    pub(crate) fn meets_kink(&self) -> bool {
        self.kinks.nearest <= 8.0 * self.kinks.single.max(self.kinks.jittered)
    }

    /// All numbers are finite in f64, in f32.
    pub(crate) fn finite(&self) -> [bool; 2] {
        self.finite
    }
}
