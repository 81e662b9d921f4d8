//! Cells with a readout that tells labels.

use anyhow::{Result, bail};
use retrograd::classify::{Classifier, Setup};
use retrograd::forecast::Head;
use retrograd::{Cell, InputRole};

use super::fit::check_length;
use super::{
    Choice, Forecaster, HIDDEN, SizeArgs, of_role, only, size_of_dimension, sizes, with_columns,
};
use crate::cli::labels::LabelArgs;

impl Choice {
    /// The cell with a readout for labels.
    ///
    /// # Errors
    /// A cell file with a mistake or with a loss of its own; settings that the cell does not take.
    pub(crate) fn classifier(
        &self,
        setup: &Setup,
        sizes_given: &SizeArgs,
        dropout: Option<f64>,
        labels: &LabelArgs,
    ) -> Result<Forecaster> {
        let readout = Classifier::of(setup)
            .pool(labels.pool.unwrap_or_default())
            .smoothing(labels.smoothing.unwrap_or(0.0))
            .dropout(dropout.unwrap_or(0.0));
        let shown = Some(dropout.unwrap_or(0.0));
        if let Choice::Zoo(entry) = self
            && entry.number.is_some()
        {
            if let Some((name, n)) = sizes_given.set.first() {
                bail!(
                    "--set {name}={n} is for cell files; the cell `{}` takes --hidden {n}",
                    entry.name
                );
            }
            let hidden = sizes_given.hidden.unwrap_or(HIDDEN);
            let cell = readout.cell(entry.name, |c, x| entry.layer(c, "", x, hidden))?;
            let size = format!("{hidden} hidden units");
            return Ok(Forecaster::of_labels(cell, Some(hidden), size, shown));
        }
        let text = self.text()?;
        let given = sizes_given.of(&text)?;
        if text.has_loss() || of_role(&text, InputRole::Target).next().is_some() {
            bail!(
                "`{}` has a loss of its own; labels are learned by the cross entropy of a readout that is added: leave `loss` and `target` out",
                text.name()
            );
        }
        let input = only(
            &text,
            InputRole::Sequence,
            "input",
            "cell name(x[I]; …) where I=4",
        )?;
        if let Some((name, _)) = of_role(&text, InputRole::Static).next() {
            let message = "rows of a sequence have no static inputs".to_owned();
            let expected = "expected a cell of one input".to_owned();
            return Err(text.mistake(Some(name), message, expected).into());
        }
        let inputs = setup.inputs();
        let dims = with_columns(&given, of_role(&text, InputRole::Sequence), inputs);
        // As the file says its shape: the cell as a layer would only say what does not fit.
        check_length(&text, &text.cell(&dims)?, &input, inputs)?;
        let cell = readout.cell(text.name(), |c, x| c.layer("", &text, [x], &dims))?;
        let hidden = size_of_dimension(&text, &dims, "H");
        Ok(Forecaster::of_labels(
            cell,
            hidden,
            sizes(&text, &dims),
            shown,
        ))
    }
}

impl Forecaster {
    /// A cell that tells labels.
    pub(crate) fn of_labels(
        cell: Cell,
        hidden: Option<usize>,
        size: String,
        dropout: Option<f64>,
    ) -> Forecaster {
        Forecaster {
            name: cell.name().to_owned(),
            hidden,
            size,
            dropout,
            input: "x".to_owned(),
            target: "label".to_owned(),
            output: "logits".to_owned(),
            head: Head::Point,
            cell,
        }
    }
}
