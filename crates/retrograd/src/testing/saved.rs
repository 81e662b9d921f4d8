//! The property of what is saved: loaded again, it gives the same bits.

use std::path::PathBuf;

use retrograd_check::Outcome;
use retrograd_tape::generate::inputs;
use retrograd_tape::{Extent, InputRole, Tape};

use super::frame::CellProperty;
use crate::batch::Batch;
use crate::cell::Cell;
use crate::error::Error;
use crate::optim::Sgd;
use crate::trainer::Trainer;

pub(super) const SAVED: CellProperty = CellProperty {
    name: "saved",
    about: "parameters that are saved and loaded are the same, and so are all outputs",
    cases: 3,
    lengths: &[3, 3],
    run: round_trip,
};

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

fn round_trip(cell: &Cell, seed: u64) -> Result<Outcome, Error> {
    let trainer = |seed| {
        let builder = Trainer::builder(cell.clone(), Sgd::new(0.1)).seed(seed);
        builder.loss_outside().build()
    };
    let file = Temporary::new(seed);
    let (mut first, mut second) = (trainer(seed)?, trainer(seed.wrapping_add(1))?);
    first.save(&file.0)?;
    second.load(&file.0)?;
    let bits = |xs: &[f32]| xs.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for (a, b) in first.named_parameters().zip(second.named_parameters()) {
        if a.name != b.name || bits(a.values) != bits(b.values) {
            let message = format!("`{}` is not what was saved", a.name);
            return Ok(Outcome::Fails(message));
        }
    }
    let batch = batch(cell.tape(), seed);
    let outputs = |t: &mut Trainer| -> Result<Vec<Vec<u32>>, Error> {
        let found = t.predict(&batch)?;
        let names = cell.tape().outputs().iter().map(|o| &*o.name);
        Ok(names.filter_map(|n| found.output(n).map(bits)).collect())
    };
    if outputs(&mut first)? != outputs(&mut second)? {
        return Ok(Outcome::Fails("a loaded cell has other outputs".into()));
    }
    Ok(Outcome::Holds(0.0))
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
