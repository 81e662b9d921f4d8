//! `--trace-nan`: why a step of training failed.

use anyhow::{Result, anyhow};
use retrograd::{Batch, Error, Report, Trainer};

/// A step of training. If loss or gradient is not finite, the error says where that began, if `traced`.
///
/// # Errors
/// Those of the step.
pub(super) fn step(trainer: &mut Trainer, batch: &Batch, traced: bool) -> Result<Report> {
    let failed = match trainer.step(batch) {
        Ok(report) => return Ok(report),
        Err(failed @ Error::NonFinite { .. }) => failed,
        Err(other) => return Err(other.into()),
    };
    if !traced {
        return Err(anyhow!(
            "{failed}; with --trace-nan, the message says where it began"
        ));
    }
    let Some(origin) = trainer.explain_non_finite(batch)? else {
        return Err(anyhow!(
            "{failed}. The interpreted tape has finite numbers at that step: compiled code, whose sums have another order, is \
             just beyond the greatest number"
        ));
    };
    // What a line of the cell file shows already.
    Err(match origin.in_text() {
        Some(shown) => shown.into(),
        None => anyhow!("{failed}. {origin}"),
    })
}
