//! A cell as an effect: what is added to one without a loss of its own, and one that has all.

use anyhow::{Result, bail};
use retrograd::InputRole;
use retrograd::audio::{Effect, Setup};
use retrograd::forecast::Head;

use super::fit::{check_length, fit, forecasts};
use super::{Choice, Forecaster, SizeArgs, Widths, of_role, only};
use super::{size_of_dimension, sizes, with_columns};

impl Choice {
    /// The cell for an effect. A `loss` that was asked for is refused by a cell that has one of its own.
    ///
    /// # Errors
    /// As [`Choice::forecaster`].
    pub(crate) fn effect(
        &self,
        effect: &Effect,
        asked: Option<&str>,
        args: &SizeArgs,
    ) -> Result<Forecaster> {
        let setup = effect.setup();
        if let Choice::Zoo(entry) = self
            && entry.number.is_some()
        {
            let [_, hidden] = args.of_zoo(entry.name)?;
            if let Some((_, n)) = args.set.iter().find(|(d, n)| d == "I" && *n != setup.dry) {
                bail!("--set I={n}: the dry recording has {} channels", setup.dry);
            }
            let cell = effect.cell(entry.name, |c, x| entry.layer(c, "", x, hidden))?;
            let size = format!("{hidden} hidden units");
            return Ok(Forecaster {
                hidden: Some(hidden),
                ..Forecaster::effect(cell, &setup, size)
            });
        }
        let text = self.text()?;
        let given = args.of(&text)?;
        if text.has_loss() || of_role(&text, InputRole::Target).next().is_some() {
            if let Some(loss) = asked {
                bail!(
                    "--loss {loss} is for cells without a loss of their own; `{}` has one",
                    text.name()
                );
            }
            let widths = Widths {
                inputs: setup.dry,
                outputs: setup.wet,
                masked: false,
                categories: &[],
            };
            return fit(&text, widths, &given);
        }
        let input = only(
            &text,
            InputRole::Sequence,
            "input",
            "cell name(x[I]; …) where I=1",
        )?;
        if let Some((name, _)) = of_role(&text, InputRole::Static).next() {
            let message = "a recording has no static inputs".to_owned();
            let expected = "expected a cell of one input".to_owned();
            return Err(text.mistake(Some(name), message, expected).into());
        }
        let dims = with_columns(&given, of_role(&text, InputRole::Sequence), setup.dry);
        let alone = text.cell(&dims)?;
        check_length(&text, &alone, &input, setup.dry)?;
        let mut outputs = alone.tape().outputs().iter();
        if let Some(read) = outputs.find(|o| o.role == retrograd_tape::OutputRole::Output) {
            forecasts(&text, &alone, &read.name)?;
        }
        let cell = effect.cell(text.name(), |c, x| c.layer("", &text, [x], &dims))?;
        Ok(Forecaster {
            hidden: size_of_dimension(&text, &dims, "H"),
            ..Forecaster::effect(cell, &setup, sizes(&text, &dims))
        })
    }
}

impl Forecaster {
    /// A cell whose inputs and outputs are those of a setup.
    pub(crate) fn effect(cell: retrograd::Cell, setup: &Setup, size: String) -> Forecaster {
        Forecaster {
            name: cell.name().to_owned(),
            hidden: None,
            size,
            dropout: None,
            input: setup.input.clone(),
            target: setup.target.clone(),
            output: setup.output.clone(),
            head: Head::Point,
            cell,
        }
    }
}
