//! Cells and cell files as subjects of a check.

#[cfg(feature = "text")]
use retrograd_check::Random;
use retrograd_check::{Program, Subject};

use crate::cell::Cell;
#[cfg(feature = "text")]
use crate::cellfile::CellText;

/// A cell with the parameters that it begins with.
fn program(cell: Cell) -> Program {
    let tape = cell.tape().clone();
    let parameters = move |seed: u64| {
        let all: Vec<f64> = cell.initial_parameters(seed).unwrap_or_default();
        let ranges = cell.parameter_ranges();
        ranges
            .map(|r| all.get(r).map(<[f64]>::to_vec).unwrap_or_default())
            .collect()
    };
    Program {
        tape,
        parameters: Some(Box::new(parameters)),
    }
}

impl Subject for Cell {
    fn name(&self) -> String {
        Cell::name(self).to_owned()
    }

    fn program(&self) -> Result<Program, String> {
        Ok(program(self.clone()))
    }
}

/// A cell file with some of its dimensions set; the others are drawn anew for each case.
///
/// ```
/// use retrograd::{CellText, testing::{self, CheckOptions, Sizes}};
///
/// let text = CellText::parse("sum", "cell sum(x[I]; h[H]) where I=2, H=8\nh' = tanh(dense(x, h))\noutput h'")?;
/// let sizes = Sizes::of(&text).with("H", 5);
/// testing::check_with(&sizes, &CheckOptions::default().cases(2))?.assert();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "text")]
#[derive(Clone, Debug)]
pub struct Sizes<'t> {
    text: &'t CellText,
    set: Vec<(String, usize)>,
}

#[cfg(feature = "text")]
impl<'t> Sizes<'t> {
    /// None is set.
    pub fn of(text: &'t CellText) -> Sizes<'t> {
        Sizes {
            text,
            set: Vec::new(),
        }
    }

    /// Sets a dimension.
    #[must_use]
    pub fn with(mut self, dimension: &str, size: usize) -> Self {
        self.set.push((dimension.to_owned(), size));
        self
    }

    /// The cell with these dimensions besides.
    pub(super) fn cell(&self, drawn: &[(&str, usize)]) -> Result<Cell, crate::Error> {
        let mut all: Vec<(&str, usize)> = drawn.to_vec();
        all.extend(self.set.iter().map(|(name, n)| (name.as_str(), *n)));
        self.text.cell(&all)
    }
}

#[cfg(feature = "text")]
impl Subject for Sizes<'_> {
    fn name(&self) -> String {
        self.text.name().to_owned()
    }

    fn program(&self) -> Result<Program, String> {
        Ok(program(self.cell(&[]).map_err(|e| e.to_string())?))
    }

    fn drawn(&self, random: &mut Random) -> Result<Program, String> {
        const SIZES: [usize; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 16];
        let free = |d: &&str| self.set.iter().all(|(name, _)| name != d);
        // A dimension without a number follows from others.
        let numbered = |d: &&str| self.text.default_of(d).is_some();
        let free: Vec<&str> = self
            .text
            .dimensions()
            .filter(free)
            .filter(numbered)
            .collect();
        // Sizes may have to divide each other or exceed each other: a few draws, then its own.
        for _ in 0..4 {
            let drawn: Vec<(&str, usize)> = (free.iter())
                .map(|&d| (d, SIZES[random.below(SIZES.len())]))
                .collect();
            if let Ok(cell) = self.cell(&drawn) {
                return Ok(program(cell));
            }
        }
        self.program()
    }
}

#[cfg(feature = "text")]
impl Subject for CellText {
    fn name(&self) -> String {
        CellText::name(self).to_owned()
    }

    fn program(&self) -> Result<Program, String> {
        Sizes::of(self).program()
    }

    fn drawn(&self, random: &mut Random) -> Result<Program, String> {
        Sizes::of(self).drawn(random)
    }
}
