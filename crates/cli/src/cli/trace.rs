//! `--trace-nan`: why a step of training failed.

use anyhow::{Error, anyhow};
use retrograd::{Batch, Trainer};

/// The error of a training that ended with `failed` at a step on `batch`, which is there if the failure is to be traced: if loss
/// or gradient was not finite, it says where that began.
pub(super) fn explained(
    failed: retrograd::Error,
    trainer: &mut Trainer,
    batch: Option<&Batch>,
) -> Error {
    if !matches!(failed, retrograd::Error::NonFinite { .. }) {
        return failed.into();
    }
    let Some(batch) = batch else {
        return anyhow!("{failed}; with --trace-nan, the message says where it began");
    };
    let origin = match trainer.explain_non_finite(batch) {
        Ok(Some(origin)) => origin,
        Ok(None) => {
            return anyhow!(
                "{failed}. The interpreted tape has finite numbers at that step: compiled code, whose sums have another order, \
                 is just beyond the greatest number"
            );
        }
        Err(e) => return e.into(),
    };
    // What a line of the cell file shows already.
    match origin.in_text() {
        Some(shown) => shown.into(),
        None => anyhow!("{failed}. {origin}"),
    }
}
