//! [`Precision`]: the operands of products.

use std::fmt;
use std::str::FromStr;

use retrograd_graph::Bf16;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The precision of what products with weights, and weight gradients, multiply. Parameters, states, activations, losses and all
/// sums keep the trainer's own: only operands are rounded, on their way into a product.
///
/// ```
/// use retrograd::{Adam, Batch, Extent, Precision, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("lstm").unwrap(), 2, 16)?;
/// let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).precision(Precision::Bf16).build()?;
/// let batch = Batch::new(Extent::steps(2)).with("x", vec![0.1, 0.2, 0.3, 0.4]).with("next", vec![0.3, 0.4, 0.5, 0.6]);
/// let (first, second) = (trainer.step(&batch)?.loss, trainer.step(&batch)?.loss);
/// assert!(second < first);
/// assert_eq!("bf16".parse::<Precision>()?, trainer.precision());
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Precision {
    /// That of the trainer's numbers.
    #[default]
    #[serde(rename = "f32")]
    Full,
    /// bfloat16: 8 bits of precision in the range of f32, to nearest, ties to even. The step that is trained is the one with
    /// rounded products; its gradient is that of the step without rounding, made of rounded products.
    #[serde(rename = "bf16")]
    Bf16,
}

impl Precision {
    /// Both.
    pub const ALL: [Precision; 2] = [Precision::Full, Precision::Bf16];

    /// Its name on the command line: `f32`, `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Full => "f32",
            Precision::Bf16 => "bf16",
        }
    }

    /// Whether nothing is rounded.
    pub fn is_full(&self) -> bool {
        *self == Precision::Full
    }
}

/// The compiler's option.
impl From<Precision> for Bf16 {
    fn from(precision: Precision) -> Bf16 {
        match precision {
            Precision::Full => Bf16::Off,
            Precision::Bf16 => Bf16::Kernels,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(s: &str) -> Result<Precision, Error> {
        let found = Precision::ALL.into_iter().find(|p| p.name() == s);
        found.ok_or_else(|| Error::Setting {
            what: "the precision of products",
            found: format!("`{s}`"),
            expected: "`f32` or `bf16`".to_owned(),
        })
    }
}
