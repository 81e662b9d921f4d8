//! The shapes that are measured: `32x100`, or with the number of units `128x32x100`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use retrograd::{CellText, Extent};
use retrograd_measure::shape::HxBxT;

/// The most units, rows and steps.
const MOST: usize = 1_000_000;

/// Rows and steps, and perhaps the number of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    units: Option<usize>,
    rows: usize,
    steps: usize,
}

impl Shape {
    pub(super) fn extent(self) -> Extent {
        Extent::steps(self.steps).rows(self.rows)
    }

    /// The sizes of the cell: those that are set, and the units for all others that the file gives as numbers.
    pub(super) fn sizes<'t>(
        self,
        text: &'t CellText,
        set: &[(&'t str, usize)],
    ) -> Result<Vec<(&'t str, usize)>> {
        let mut sizes = set.to_vec();
        let Some(units) = self.units else {
            return Ok(sizes);
        };
        let free =
            |d: &&str| text.default_of(d).is_some() && !set.iter().any(|(name, _)| name == d);
        let free: Vec<&str> = text.dimensions().filter(free).collect();
        if free.is_empty() {
            bail!(
                "{self}: the cell `{}` has no size left to be {units}; expected a shape BxT, as {}x{}",
                text.name(),
                self.rows,
                self.steps
            );
        }
        sizes.extend(free.into_iter().map(|d| (d, units)));
        Ok(sizes)
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(s: &str) -> Result<Shape, String> {
        let wrong = || {
            format!(
                "`{s}` is no shape; a shape is BxT or HxBxT, as 32x100 or 128x32x100 for 128 units, 32 rows, 100 steps, each from 1 to {MOST}"
            )
        };
        // The shapes of `grid`, or without units.
        let (units, whole) = match s.matches('x').count() {
            1 => (false, format!("1x{s}")),
            _ => (true, s.to_owned()),
        };
        let HxBxT {
            hidden,
            rows,
            steps,
        } = whole.parse().map_err(|_| wrong())?;
        if [hidden, rows, steps].iter().any(|&n| n > MOST) {
            return Err(wrong());
        }
        let units = units.then_some(hidden);
        Ok(Shape { units, rows, steps })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(units) = self.units {
            write!(f, "{units}x")?;
        }
        write!(f, "{}x{}", self.rows, self.steps)
    }
}
