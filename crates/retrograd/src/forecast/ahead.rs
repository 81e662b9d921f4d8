//! Whether a forecast reads what it is to forecast.

use retrograd_graph::Graph;
use retrograd_graph::passes::stream::looks_ahead;
use retrograd_tape::{Domain, InputRole, OutputRole};

use super::ForecastError;
use crate::cell::Cell;

/// Checks that an output of a cell is a forecast: what it says at a step may depend on inputs of that step and of those before it, and
/// on no target. An output of each row, such as one of the [last](retrograd_tape::Var::last) step or of a bidirectional encoder of the
/// window, is a forecast of what comes after the window, and may depend on all of its steps. The cell's other outputs do not matter.
///
/// ```
/// use retrograd::forecast::reads_no_later_row;
/// use retrograd::{Cell, StateSpec};
///
/// let cell = Cell::define("both ways", |c| {
///     let x = c.input("x", 2);
///     let back = c.state_with("back", 2, StateSpec::delay(-1)); // from the end of the sequence
///     let back = c.next(back, 0.5 * back + x);
///     c.output("y", back);
///     c.output("so far", x);
/// })?;
/// assert!(reads_no_later_row(&cell, "y").unwrap_err().to_string().contains("later rows"));
/// assert!(reads_no_later_row(&cell, "so far").is_ok());
/// # Ok::<(), retrograd::Error>(())
/// ```
///
/// # Errors
/// [`ForecastError::Looks`], which names what it depends on; [`ForecastError::Request`] if there is no such output, or if it is neither
/// of each step nor of each row.
pub fn reads_no_later_row(cell: &Cell, output: &str) -> Result<(), ForecastError> {
    let g = Graph::from_tape(cell.tape());
    let mut outputs = g.outputs().iter();
    let found = outputs.find(|o| o.role == OutputRole::Output && *o.name == *output);
    let Some(found) = found else {
        return Err(ForecastError::Request(format!(
            "the cell `{}` has no output `{output}` to forecast with",
            cell.name()
        )));
    };
    let supervised = |role| matches!(role, InputRole::Target | InputRole::Weight);
    let mut inputs = g.inputs().iter();
    if let Some(target) = inputs.find(|i| supervised(i.role) && g.depends_on(found.value, i.value))
    {
        return Err(ForecastError::Looks {
            output: output.to_owned(),
            why: format!("it depends on the target `{}`", target.name),
        });
    }
    match g.node(found.value).ty.domain {
        Domain::Row => Ok(()),
        Domain::Step => looks_ahead(&g, found.value).map_err(|e| ForecastError::Looks {
            output: output.to_owned(),
            why: format!("a forecast cannot know later rows: {} {}", e.value, e.why),
        }),
        _ => Err(ForecastError::Request(format!(
            "the output `{output}` is the same for all rows, and no forecast"
        ))),
    }
}
