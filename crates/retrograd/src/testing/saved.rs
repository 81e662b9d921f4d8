//! The property of what is saved: loaded again, it gives the same bits.

use std::path::PathBuf;

use retrograd_check::{CheckError, Failure, PropertyReport};
use retrograd_tape::generate::inputs;
use retrograd_tape::{Extent, InputRole, Tape};

use crate::batch::Batch;
use crate::cell::Cell;
#[cfg(feature = "text")]
use crate::cellfile::CellText;
use crate::error::Error;
use crate::optim::Sgd;
#[cfg(feature = "text")]
use crate::testing::Sizes;
use crate::trainer::Trainer;

/// What can be saved: a cell, but not a bare tape.
pub trait Restored {
    /// The cell of its own sizes; none for what has no parameters to be saved.
    ///
    /// # Errors
    /// Why there is no cell.
    fn restored(&self) -> Option<Result<Cell, Error>>;
}

impl Restored for Cell {
    fn restored(&self) -> Option<Result<Cell, Error>> {
        Some(Ok(self.clone()))
    }
}

impl Restored for Tape {
    fn restored(&self) -> Option<Result<Cell, Error>> {
        None
    }
}

#[cfg(feature = "text")]
impl Restored for CellText {
    fn restored(&self) -> Option<Result<Cell, Error>> {
        Some(self.cell(&[]))
    }
}

#[cfg(feature = "text")]
impl Restored for Sizes<'_> {
    fn restored(&self) -> Option<Result<Cell, Error>> {
        Some(self.cell(&[]))
    }
}

/// Draws of parameters that are saved and loaded.
const CASES: u64 = 3;

/// The report on the property; none if there is nothing to save.
pub(super) fn saved(
    subject: &dyn Restored,
    seed: u64,
) -> Result<Option<PropertyReport>, CheckError> {
    let Some(cell) = subject.restored() else {
        return Ok(None);
    };
    let cell = cell.map_err(|e| CheckError::Program {
        name: "cell".into(),
        why: e.to_string(),
    })?;
    let mut report = PropertyReport::new(
        "saved",
        "parameters that are saved and loaded are the same, and so are all outputs",
    );
    for seed in seed..seed + CASES {
        report.cases += 1;
        let found = round_trip(&cell, seed).unwrap_or_else(|e| Err(e.to_string()));
        if let Err(message) = found {
            report.failure = Some(Failure::new(seed, vec![3, 3], message));
            break;
        }
    }
    Ok(Some(report))
}

/// A file that nothing else has, removed when it is no longer needed.
struct Temporary(PathBuf);

impl Temporary {
    fn new(seed: u64) -> Temporary {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("retrograd-check-{}-{number}-{seed}", std::process::id());
        Temporary(std::env::temp_dir().join(name).with_extension("json"))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn round_trip(cell: &Cell, seed: u64) -> Result<Result<(), String>, Error> {
    let trainer = |seed| {
        let builder = Trainer::builder(cell.clone(), Sgd::new(0.1)).seed(seed);
        builder.loss_outside().build()
    };
    let file = Temporary::new(seed);
    let (mut first, mut second) = (trainer(seed)?, trainer(seed + 1)?);
    first.save(&file.0)?;
    second.load(&file.0)?;
    let bits = |xs: &[f32]| xs.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for (a, b) in first.named_parameters().zip(second.named_parameters()) {
        if a.name != b.name || bits(a.values) != bits(b.values) {
            return Ok(Err(format!("`{}` is not what was saved", a.name)));
        }
    }
    let batch = batch(cell.tape(), seed);
    let outputs = |t: &mut Trainer| -> Result<Vec<Vec<u32>>, Error> {
        let found = t.predict(&batch)?;
        let names = cell.tape().outputs().iter().map(|o| &*o.name);
        Ok(names.filter_map(|n| found.output(n).map(bits)).collect())
    };
    if outputs(&mut first)? != outputs(&mut second)? {
        return Ok(Err("a loaded cell has other outputs".into()));
    }
    Ok(Ok(()))
}

/// Numbers for all of a cell's inputs but parameters and masks.
fn batch(tape: &Tape, seed: u64) -> Batch<f32> {
    let extent = Extent::steps(3).rows(2);
    let numbers = inputs(tape, extent.steps, extent.rows, seed);
    let mut batch = Batch::new(extent);
    for (input, numbers) in tape.inputs().iter().zip(numbers) {
        if matches!(input.role, InputRole::Param | InputRole::Mask) || numbers.is_empty() {
            continue;
        }
        batch = batch.with(&input.name, numbers.iter().map(|x| *x as f32).collect());
    }
    batch
}
