//! The shapes that are measured: `128x32x100` is 128 hidden units (and inputs), 32 rows, 100 steps.

use std::fmt;
use std::str::FromStr;

/// Hidden units, rows and steps. Cells here have as many inputs as hidden units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HxBxT {
    /// Hidden units H, and inputs I.
    pub hidden: usize,
    /// Rows (examples) B.
    pub rows: usize,
    /// Steps T.
    pub steps: usize,
}

impl FromStr for HxBxT {
    type Err = String;

    fn from_str(s: &str) -> Result<HxBxT, String> {
        let numbers: Option<Vec<usize>> = (s.split('x'))
            .map(|n| n.parse().ok().filter(|&n| n > 0))
            .collect();
        match numbers.as_deref() {
            Some(&[hidden, rows, steps]) => Ok(HxBxT {
                hidden,
                rows,
                steps,
            }),
            _ => Err(format!(
                "`{s}` is not a shape; a shape is HxBxT, as 128x32x100 for 128 units, 32 rows, 100 steps"
            )),
        }
    }
}

impl fmt::Display for HxBxT {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.hidden, self.rows, self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_prints_as_it_is_written_and_nothing_else_is_one() {
        let shape: HxBxT = "128x32x100".parse().unwrap();
        assert_eq!((shape.hidden, shape.rows, shape.steps), (128, 32, 100));
        assert_eq!(shape.to_string(), "128x32x100");
        for wrong in ["", "1x2", "1x2x3x4", "0x1x1", "axbxc", "1x-2x3"] {
            assert!(wrong.parse::<HxBxT>().is_err(), "{wrong}");
        }
    }
}
