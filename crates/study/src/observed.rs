//! Values of a cell's step, and their adjoints, in f64.

use retrograd::{Batch, Cell, Engine, Error, Observe};

/// The observed values of a run on a batch, each an array `[T, B, shape]`, in the requested order. Adjoints are those of the
/// batch's loss. `parameters` is the flat vector in the cell's order.
///
/// # Errors
/// [`Error::Compile`] or [`Error::NoSuchValue`], and what a batch that does not fit gives.
pub(crate) fn observe(
    cell: &Cell,
    parameters: &[f64],
    batch: &Batch<f64>,
    engine: Engine,
    observe: &[Observe],
) -> Result<Vec<Vec<f64>>, Error> {
    let builder = cell.program().double().engine(engine);
    let builder = (observe.iter()).fold(builder, |b, o| b.observe(o.clone()));
    let mut session = builder.build()?.session();
    let results = session.run(parameters, batch)?;
    let of = |o| results.observed(o).expect("it was asked for").to_vec();
    Ok(observe.iter().map(of).collect())
}
