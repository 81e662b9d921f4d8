//! Mistakes of whoever trains, streams and looks into a cell: each is an error that says where, and changes nothing.

use retrograd::optim::{Optimizer, Step, StepError};
use retrograd::{
    Adam, Batch, Cell, Error, Extent, Float, InputRole, Sgd, Shape, StateSpec, Trainer, zoo,
};

fn said<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("no error"),
        Err(e) => e.to_string(),
    }
}

fn cell() -> Cell {
    Cell::define("f", |c| {
        let (x, h) = (c.input("x", 2), c.state("h", 3));
        let gate = c.dense("gate", 3, [x, h]).sigmoid().named("g");
        let h = c.next(h, gate * h + c.dense("new", 3, [x]));
        let y = c.dense("read", 1, [h]);
        c.output("y", y);
        c.weight(c.weight_input("w"));
        c.loss((y - c.target("next", 1)).square().mean());
    })
    .expect("it is right")
}

fn batch() -> Batch {
    Batch::new(Extent::steps(2).rows(3))
        .with("x", vec![0.5; 12])
        .with("next", vec![0.25; 6])
}

fn trainer(optimizer: impl Optimizer) -> Trainer {
    Trainer::builder(cell(), optimizer)
        .build()
        .expect("it is right")
}

/// Writes a number into the last parameter, or says that a number is not finite which there is not.
#[derive(Debug)]
struct Odd(Option<f64>);

impl Optimizer for Odd {
    fn learning_rate(&self) -> f64 {
        1.0
    }
    fn set_learning_rate(&mut self, _: f64) {}
    fn step<T: Float>(&self, step: Step<'_, T>) -> Result<(), StepError> {
        let last = step.parameters.len() - 1;
        step.parameters[0] = T::ZERO;
        step.parameters[last] = T::from_f64(self.0.unwrap_or(7.0));
        match self.0 {
            Some(_) => Ok(()),
            None => Err(StepError::Overflow {
                what: "all that it knows",
                element: usize::MAX,
            }),
        }
    }
}

#[test]
fn a_step_that_ends_at_no_number_is_an_error_and_undone() {
    for (value, expected) in [
        (
            Some(f64::NAN),
            "step 1 would make element 0 of parameter `read.bias` NaN; the parameters are as they were before that step. A \
             smaller learning rate may help",
        ),
        (
            None,
            "all that it knows of parameter `?` would not be finite after step 1: its gradient is too large to be squared or \
             summed; nothing has changed. Gradient clipping helps",
        ),
    ] {
        let mut trainer = trainer(Odd(value));
        let before = trainer.parameters().to_vec();
        assert_eq!(said(trainer.step(&batch())), expected);
        assert_eq!(trainer.parameters(), before);
    }
    assert_eq!(
        said(Trainer::builder(cell(), Adam::new(1e300)).build()),
        "the learning rate in single precision is inf; expected a finite number of at least 0"
    );
    // A finite rate with which parameters leave the range: the loss is what says so, or the step.
    let mut trainer = trainer(Sgd::new(3e38));
    for _ in 0..4 {
        let _ = trainer.step(&batch());
        assert!(trainer.parameters().iter().all(|p| p.is_finite()));
    }
}

#[test]
fn a_batch_that_is_not_finite_is_named() {
    let mut numbers = vec![0.5; 12];
    numbers[7] = f32::NAN;
    let mut targets = vec![0.25; 6];
    targets[4] = f32::INFINITY;
    let mut weights = vec![1.0; 6];
    weights[2] = f32::NEG_INFINITY;
    let rest = "and so is the loss or its gradient; nothing has changed. A weight of 0 leaves steps out whose targets are missing";
    let mut trainer = trainer(Adam::new(0.1));
    for (name, values, place) in [
        ("x", numbers, "input `x` is NaN at step 1 of row 0"),
        (
            "next",
            targets.clone(),
            "target `next` is inf at step 1 of row 1",
        ),
        ("w", weights, "weight `w` is -inf at step 0 of row 2"),
    ] {
        let found = said(trainer.step(&batch().with(name, values)));
        assert_eq!(found, format!("the {place}, {rest}"));
    }
    let mut covered = vec![1.0; 6];
    covered[4] = 0.0;
    let batch = batch().with("next", targets).with("w", covered);
    assert!(trainer.step(&batch).is_ok());
}

#[test]
fn more_points_than_are_counted_are_refused_by_all_that_run() {
    let most = usize::MAX;
    for (steps, rows) in [(most, most), (1 << 63, 2), (1 << 40, 1), (1, 1 << 31)] {
        let batch = Batch::new(Extent::steps(steps).rows(rows))
            .with("x", vec![])
            .with("next", vec![]);
        let expected = format!("{steps} steps");
        let found = said(trainer(Adam::new(0.1)).step(&batch));
        assert!(found.contains(&expected), "{found}");
        let (cell, parameters) = (cell(), trainer(Adam::new(0.1)).parameters().to_vec());
        let mut session = cell.program().build().expect("it is right").session();
        let found = said(session.run(&parameters, &batch));
        assert!(found.contains(&expected), "{found}");
    }
}

#[test]
fn the_first_mistake_of_a_cell_is_told() {
    let found = said(Cell::define("f", |c| {
        let (x, y) = (c.input("x", 2), c.input("y", 3));
        let _ = x + y;
        c.mask("m", 3, 7.0);
        c.init("nowhere", retrograd::Init::Zeros);
    }));
    assert!(found.contains("`add` does not fit"), "{found}");
    for (inputs, hidden) in [(0, 4), (4, 0), (4, 1 << 40)] {
        let found = zoo::forecaster(zoo::find("lstm").expect("it is there"), inputs, hidden);
        assert!(
            matches!(found, Err(Error::Cell(_) | Error::Text(_))),
            "{found:?}"
        );
    }
}

#[test]
fn what_is_asked_for_by_the_wrong_name_is_told_where_it_is() {
    let cell = cell();
    assert_eq!(
        said(cell.program().gradients(["g"]).build()),
        "the cell `f` has no input `g`; it has `x`, `h`, `gate.x`, `gate.h`, `gate.bias`, `new.x`, `new.bias`, `read.h`, \
         `read.bias`, `w` and `next`. That is a value of the step: `observe(Observe::adjoint(…))` gives its gradient"
    );
    let parameters = trainer(Adam::new(0.1)).parameters().to_vec();
    assert_eq!(
        said(cell.stepper(&parameters).with("x", vec![1.0, 2.0]).build()),
        "`x` is no static input or beginning of a state: inputs come with each sample, to `step`; what can be given once and for \
         all is `h`"
    );
    let program = cell.program().hessian_products().build();
    let mut session = program.expect("it is right").session();
    let n = parameters.len();
    assert_eq!(
        said(session.hessian_product(&parameters, &batch(), &parameters[1..])),
        format!(
            "the elements of the direction have {} numbers; all parameters of the cell `f` have {n}",
            n - 1
        )
    );
    let learned = Cell::define("learned", |c| {
        let h = c.state_with("h", 2, StateSpec::delay(1).init_learned());
        let h = c.next(h, 0.5 * h + c.input("x", 2));
        c.loss(h.square().sum());
    })
    .expect("it is right");
    assert!(learned.program().gradients(["h.init"]).build().is_ok());
}

/// Passes steps on to Adam, and forgets what Adam remembers.
#[derive(Debug)]
struct Forgetful(Adam);

impl Optimizer for Forgetful {
    fn learning_rate(&self) -> f64 {
        self.0.learning_rate()
    }
    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.0.set_learning_rate(learning_rate);
    }
    fn step<T: Float>(&self, step: Step<'_, T>) -> Result<(), StepError> {
        self.0.step(step)
    }
}

#[test]
fn an_optimiser_without_its_memory_is_told_so() {
    assert_eq!(
        said(trainer(Forgetful(Adam::new(0.1))).step(&batch())),
        "the number of vectors that the optimiser remembers is 0; expected 2, as its `memory` should say"
    );
}

#[test]
fn weights_that_sum_to_nothing_are_an_error_of_all_that_differentiate() {
    let batch = batch().with("w", vec![1.0, -1.0, 0.0, 0.0, 0.0, 0.0]);
    let batch = batch.with("next", vec![0.25, 7.0, 0.25, 0.25, 0.25, 0.25]);
    let expected = "the weights of the loss sum to 0 in this batch: its mean loss is no number, and there is nothing to learn from \
                    it. Leave it out";
    let mut trainer = trainer(Adam::new(0.1));
    assert_eq!(said(trainer.step(&batch)), expected);
    let (cell, parameters) = (cell(), trainer.parameters().to_vec());
    let program = cell.program().gradients(["x"]).hessian_products().build();
    let mut session = program.expect("it is right").session();
    assert_eq!(said(session.run(&parameters, &batch)), expected);
    assert_eq!(
        said(session.hessian_product(&parameters, &batch, &parameters)),
        expected
    );
}

#[test]
fn memory_is_asked_for_before_it_is_used() {
    let cell = Cell::define("no input", |c| {
        let h = c.state("h", 100);
        let h = c.next(h, (0.5 * h + 1.0) * c.mask("m", 100, 0.5));
        c.loss((h - c.target("next", 100)).square().mean());
    });
    let cell = cell.expect("it is right");
    let mut trainer: Trainer = Trainer::builder(cell.clone(), Adam::new(0.1))
        .build()
        .expect("it is right");
    let batch = Batch::new(Extent::steps(2_000_000_000));
    assert!(matches!(
        trainer.predict(&batch),
        Err(Error::NoMemory { .. })
    ));
    let mut session = cell.program().build().expect("it is right").session();
    assert!(matches!(
        session.run(&[], &batch),
        Err(Error::NoMemory { .. })
    ));
    assert!(matches!(session.set_threads(0), Err(Error::Setting { .. })));
}

#[test]
fn what_is_recorded_past_the_builder_begins_as_parameters_do() {
    let cell = Cell::define("past", |c| {
        let x = c.input("x", ());
        let tape = x.tape().expect("it is on one");
        let w = tape.param("w", Shape::Scalar);
        let m = tape.input("m", InputRole::Mask, Shape::Scalar);
        c.loss((w * x * m).square());
    });
    let mut trainer = Trainer::builder(cell.expect("it is right"), Adam::new(0.1))
        .build()
        .expect("it is right");
    let batch = Batch::new(Extent::steps(2)).with("x", vec![1.0f32, 2.0]);
    assert!(trainer.step(&batch).expect("it runs").loss > 0.0);
}

#[test]
fn budgets_flushing_and_sharing_are_within_reach() {
    fn shared<S: Send + Sync>(_: &S) {}
    let mut trainer: Trainer = Trainer::builder(cell(), Adam::new(0.1))
        .memory_budget(1)
        .flush(false)
        .build()
        .expect("it is right");
    let found = said(trainer.step(&batch()));
    assert!(found.contains("and the budget is 1 bytes"), "{found}");
    let (cell, parameters) = (cell(), trainer.parameters().to_vec());
    let program = cell
        .program()
        .parameter_gradients()
        .flush(false)
        .build()
        .expect("it is right");
    let mut session = program.session();
    session.set_memory_budget(Some(1));
    let found = said(session.run(&parameters, &batch()));
    assert!(found.contains("and the budget is 1 bytes"), "{found}");
    session.set_memory_budget(None);
    session.set_threads(2).expect("at least one");
    assert!(session.run(&parameters, &batch()).is_ok());
    let mut stepper = cell.stepper(&parameters).build().expect("it streams");
    stepper.step(&[&[0.5, 0.25]]).expect("it fits");
    let mut twin = stepper.clone();
    let next = stepper.step(&[&[0.1, 0.2]]).expect("it fits").to_vec();
    assert_eq!(twin.step(&[&[0.1, 0.2]]).expect("it fits"), next);
    assert_eq!(
        said(stepper.step(&[]).map(<[f32]>::to_vec)),
        "the program has 1 inputs for each sample, and 0 were given"
    );
    shared(&trainer);
    shared(&program);
    shared(&session);
    shared(&stepper);
}

#[cfg(feature = "text")]
#[test]
fn a_mistake_in_a_cell_file_keeps_its_cause() {
    let text = "cell f(x[2]; h[2] delay 2000000000)\nh' = 0.5 * h + x";
    let error = Cell::from_text(text, &[]).expect_err("beyond all limits");
    let cause = std::error::Error::source(&error).and_then(|c| c.downcast_ref::<Error>());
    assert!(matches!(cause, Some(Error::Cell(_))), "{error}");
}
