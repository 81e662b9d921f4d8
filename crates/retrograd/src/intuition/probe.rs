//! Runs a cell in f64 and looks into it: values of the step and their adjoints, by name.

use retrograd_jit::{CompiledCell, Observe, Options, Purpose};
use retrograd_tape::{Interpreter, Role, Yield};

use crate::batch::{Batch, Feed, Purpose as Fed};
use crate::cell::Cell;
use crate::engine::Engine;
use crate::error::Error;

/// What is observed of a run on a batch, each an array `[T, B, shape]`, in the order asked for. Adjoints are those of the
/// batch's loss. `params` are all parameters in the cell's order.
///
/// # Errors
/// [`Error::Engine`] if the cell has no value of a name, and what a batch that does not fit gives.
pub(super) fn observe(
    cell: &Cell,
    params: &[f64],
    batch: &Batch<f64>,
    engine: Engine,
    observe: &[Observe],
) -> Result<Vec<Vec<f64>>, Error> {
    let mut feed = Feed::new(cell, 0);
    let mut inputs: Vec<&[f64]> = Vec::new();
    feed.inputs(cell, params, batch, Fed::Evaluate, &mut inputs)?;
    match engine {
        Engine::Jit => compiled(cell, &inputs, (batch.t, batch.b), observe),
        Engine::Tape => interpreted(cell, &inputs, (batch.t, batch.b), observe),
    }
}

/// The names of a cell's states, as a step makes them: `h'`, `c'`.
pub(super) fn states(cell: &Cell) -> Vec<String> {
    let inputs = cell.tape().inputs().iter();
    let states = inputs.filter(|i| i.role == Role::Initial);
    states.map(|i| format!("{}'", i.name)).collect()
}

fn compiled(
    cell: &Cell,
    inputs: &[&[f64]],
    (t, b): (usize, usize),
    observe: &[Observe],
) -> Result<Vec<Vec<f64>>, Error> {
    let engine = |e: retrograd_jit::CompileError| Error::Engine {
        engine: Engine::Jit,
        cause: e.to_string(),
    };
    let differentiated = observe.iter().any(|o| matches!(o, Observe::Adjoint(_)));
    let purpose = match differentiated {
        true => Purpose::Gradients {
            given: Vec::new(),
            loss: true,
            wrt: Vec::new(),
        },
        false => Purpose::Forward,
    };
    let options = Options {
        observe: observe.to_vec(),
        ..Options::default()
    };
    let mut program =
        CompiledCell::<f64>::compile_with(cell.tape(), &purpose, &options).map_err(engine)?;
    let wanted: Vec<usize> = observe
        .iter()
        .map(|o| {
            program
                .output(&o.to_string())
                .expect("what is observed is an output")
        })
        .collect();
    let mut arrays: Vec<Vec<f64>> = (0..program.outputs().len())
        .map(|k| match wanted.contains(&k) {
            true => vec![0.0; program.output_len(k, t, b)],
            false => Vec::new(),
        })
        .collect();
    let mut outputs: Vec<&mut [f64]> = arrays.iter_mut().map(Vec::as_mut_slice).collect();
    program.run(t, b, inputs, &mut outputs)?;
    Ok(wanted
        .into_iter()
        .map(|k| std::mem::take(&mut arrays[k]))
        .collect())
}

fn interpreted(
    cell: &Cell,
    inputs: &[&[f64]],
    (t, b): (usize, usize),
    observe: &[Observe],
) -> Result<Vec<Vec<f64>>, Error> {
    let tape = cell.tape();
    let find = |o: &Observe| {
        tape.find(o.name()).ok_or_else(|| Error::Engine {
            engine: Engine::Tape,
            cause: format!("there is no value `{}`", o.name()),
        })
    };
    let values = observe.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let mut run = Interpreter::<f64>::observing(tape, |_| false, &values)?;
    run.forward(t, b, inputs)?;
    if observe.iter().any(|o| matches!(o, Observe::Adjoint(_))) {
        let one = [1.0];
        let outputs = tape.outputs().iter();
        let seeds: Vec<Option<&[f64]>> = outputs
            .map(|o| (o.role == Yield::Loss).then_some(&one[..]))
            .collect();
        run.backward(&seeds)?;
    }
    let of = |(o, v): (&Observe, retrograd_tape::Value)| match o {
        Observe::Value(_) => Ok(run.value(v)?),
        Observe::Adjoint(_) => Ok(run.adjoint(v)?.map(<[f64]>::to_vec).unwrap_or_default()),
    };
    observe.iter().zip(values).map(of).collect()
}
