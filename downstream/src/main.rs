//! A cell defined, trained and looked into by what `retrograd` alone offers.

use std::sync::{Arc, Mutex};
use std::thread;

use retrograd::{Adam, Batch, Cell, Error, Extent, Observe, Program, Trainer};

/// A gated leak: h' = keep ∘ h + (1 − keep) ∘ tanh(new[x]).
fn cell() -> Result<Cell, Error> {
    Cell::define("leaky", |c| {
        let (x, h) = (c.input("x", 1), c.state("h", 8));
        let keep = c.dense("keep", 8, [x, h]).sigmoid().named("keep");
        let h = c.next(h, keep * h + (1.0 - keep) * c.dense("new", 8, [x]).tanh());
        let y = c.dense("read", 1, [h]);
        c.output("y", y);
        c.loss((y - c.target("next", 1)).square().mean());
    })
}

/// Windows of a sine, `[T = 16, B = 4]`.
fn batch() -> Batch<f64> {
    let at = |t: usize, b: usize| ((t + 5 * b) as f64 * 0.4).sin();
    let points = |shift: usize| {
        let steps = (0..16).flat_map(|t| (0..4).map(move |b| (t, b)));
        steps.map(|(t, b)| at(t + shift, b)).collect()
    };
    Batch::new(Extent::steps(16).rows(4))
        .with("x", points(0))
        .with("next", points(1))
}

fn train(trainer: &mut Trainer<f64>, steps: usize) -> Result<f64, Error> {
    let batch = batch();
    let losses = (0..steps).map(|_| Ok(trainer.step(&batch)?.loss));
    losses
        .collect::<Result<Vec<f64>, Error>>()
        .map(|l| l[steps - 1])
}

/// Gradients of inputs and parameters, values of a gate, products with the Hessian.
fn program(cell: &Cell) -> Result<Program<f64>, Error> {
    let builder = cell.program().gradients(["x"]).parameter_gradients();
    let builder = builder
        .observe(Observe::value("keep"))
        .observe(Observe::adjoint("h'"));
    builder.hessian_products().double().build()
}

fn main() -> Result<(), Error> {
    let cell = cell()?;
    let mut trainer = Trainer::builder(cell.clone(), Adam::new(1e-2))
        .seed(1)
        .double()
        .build()?;
    let loss = train(&mut trainer, 200)?;
    println!("loss {loss:.4} after 200 steps");

    let program = program(&cell)?;
    let parameters = Arc::new(trainer.parameters().to_vec());
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut session = program.session();
                let results = session.run(&parameters, &batch()).expect("it fits");
                let loss = results.loss().expect("the cell has one");
                found.lock().expect("no thread panics").push(loss);
            });
        }
    });
    println!(
        "losses by four threads {:?}",
        found.into_inner().expect("no thread panics")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cell_learns() {
        let mut trainer = Trainer::builder(cell().unwrap(), Adam::new(1e-2))
            .seed(1)
            .double()
            .build()
            .unwrap();
        let first = trainer.step(&batch()).unwrap().loss;
        assert!(train(&mut trainer, 200).unwrap() < first / 10.0);
    }

    /// The loss with one number of a vector moved, by central differences.
    fn difference(mut loss: impl FnMut(f64) -> f64) -> f64 {
        let h = 1e-5;
        (loss(h) - loss(-h)) / (2.0 * h)
    }

    /// Central differences of step 1e-5 are off by about 1e-10 (third derivatives) and 1e-11 (rounding).
    const NEAR: f64 = 1e-8;

    #[test]
    fn gradients_of_inputs_and_parameters_are_those_of_differences() {
        let cell = cell().unwrap();
        let program = program(&cell).unwrap();
        let (parameters, batch) = (cell.initial_parameters::<f64>(3).unwrap(), batch());
        let mut session = program.session();
        let results = session.run(&parameters, &batch).unwrap();
        let (of_x, of_bias) = (
            results.gradient("x").unwrap()[9],
            results.gradient("keep.bias").unwrap()[2],
        );
        let x = batch.array("x").unwrap().to_vec();
        let moved = difference(|h| {
            let mut x = x.clone();
            x[9] += h;
            session
                .run(&parameters, &batch.clone().with("x", x))
                .unwrap()
                .loss()
                .unwrap()
        });
        assert!((of_x - moved).abs() < NEAR, "{of_x} {moved}");
        let before = cell.parameter_specs().take_while(|p| p.name != "keep.bias");
        let at = before.map(|p| p.shape.len()).sum::<usize>() + 2;
        let moved = difference(|h| {
            let mut parameters = parameters.clone();
            parameters[at] += h;
            session.run(&parameters, &batch).unwrap().loss().unwrap()
        });
        assert!((of_bias - moved).abs() < NEAR, "{of_bias} {moved}");
    }

    #[test]
    fn a_gate_and_an_adjoint_can_be_observed() {
        let cell = cell().unwrap();
        let program = program(&cell).unwrap();
        let mut session = program.session();
        let results = session.run(&cell.initial_parameters::<f64>(3).unwrap(), &batch()).unwrap();
        let keep = results.observed(&Observe::value("keep")).unwrap();
        assert_eq!(keep.len(), 16 * 4 * 8);
        assert!(keep.iter().all(|k| (0.0..1.0).contains(k)));
        // The last state reaches the loss by the last forecast alone: ∂L/∂h = Vᵀ ∂L/∂y.
        let adjoint = results.observed(&Observe::adjoint("h'")).unwrap();
        assert!(adjoint.iter().all(|a| a.is_finite()) && adjoint.iter().any(|a| *a != 0.0));
    }

    #[test]
    fn a_product_with_the_hessian_is_the_difference_of_gradients() {
        let cell = cell().unwrap();
        let program = program(&cell).unwrap();
        let parameters = cell.initial_parameters::<f64>(3).unwrap();
        let direction: Vec<f64> = (0..parameters.len()).map(|i| (i as f64).cos()).collect();
        let mut session = program.session();
        let product = session
            .hessian_product(&parameters, &batch(), &direction)
            .unwrap()
            .to_vec();
        let mut gradient = |h: f64| -> Vec<f64> {
            let moved: Vec<f64> = parameters
                .iter()
                .zip(&direction)
                .map(|(p, d)| p + h * d)
                .collect();
            let results = session.run(&moved, &batch()).unwrap();
            cell.parameter_specs()
                .flat_map(|p| results.gradient(p.name).unwrap().to_vec())
                .collect()
        };
        let (right, left) = (gradient(1e-5), gradient(-1e-5));
        for (i, found) in product.iter().enumerate() {
            let expected = (right[i] - left[i]) / 2e-5;
            assert!((found - expected).abs() < NEAR, "{i}: {found} {expected}");
        }
    }

    #[test]
    fn one_program_serves_four_threads_at_once() {
        let cell = cell().unwrap();
        let program = program(&cell).unwrap();
        let parameters = cell.initial_parameters::<f64>(3).unwrap();
        let alone = program
            .session()
            .run(&parameters, &batch())
            .unwrap()
            .gradient("x")
            .unwrap()
            .to_vec();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (program, parameters) = (program.clone(), parameters.clone());
                thread::spawn(move || {
                    let mut session = program.session();
                    let results = session.run(&parameters, &batch()).unwrap();
                    results.gradient("x").unwrap().to_vec()
                })
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), alone);
        }
        // A trainer may move to another thread.
        let mut trainer = Trainer::builder(cell, Adam::new(1e-2))
            .double()
            .build()
            .unwrap();
        thread::spawn(move || train(&mut trainer, 3).unwrap())
            .join()
            .unwrap();
    }

    /// The mistake that a definition comes to.
    fn mistake(define: impl FnOnce(&retrograd::Builder)) -> String {
        Cell::define("mistaken", define)
            .expect_err("a mistake")
            .to_string()
    }

    #[test]
    fn misuse_is_an_error_and_never_a_panic() {
        let mut leaked = None;
        Cell::define("other", |c| {
            // A handle of this builder cannot leave its closure alive, but a builder can be defined inside another.
            let x = c.input("x", ());
            leaked = Some(mistake(|inner| {
                inner.output("y", inner.input("z", 1));
                inner.loss(x);
            }));
            c.output("x again", x);
        })
        .unwrap();
        let leaked = leaked.unwrap();
        assert!(leaked.contains("`x`"), "{leaked}");
        let empty = mistake(|c| c.output("y", c.dense("nothing", 0, [c.input("x", 1)])));
        assert!(empty.contains("nothing"), "{empty}");

        let builder = || Trainer::builder(cell().unwrap(), Adam::new(1e-2)).double();
        // More threads than there are change nothing.
        let mut many = builder().threads(2_000_000).build().unwrap();
        let mut one = builder().build().unwrap();
        assert_eq!(many.step(&batch()).unwrap(), one.step(&batch()).unwrap());
        // Neither do rows that no memory holds abort.
        let e = one
            .stepper()
            .rows(1_000_000_000_000)
            .build()
            .expect_err("too many");
        assert!(e.to_string().contains("GiB"), "{e}");
        let e = one.set_parameters(&[1.0]).expect_err("too few");
        assert!(matches!(e, Error::ParameterCount { found: 1, .. }), "{e}");
    }
}
