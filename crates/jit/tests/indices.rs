//! Indices that a program computes: rounded, and rejected if they are then no row of their table, wherever that
//! happens.

use retrograd_jit::{CompiledCell, Element, Purpose, RunError, Stepper, StepperError};
use retrograd_tape::Extent;
use retrograd_tape::{InputRole, Op, Recorder, Shape, Tape};

const ROWS: usize = 3;

/// y = table[2 x], and a loss that all of it is in.
fn twice() -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Scalar);
    let table = r.param("table", Shape::Matrix(ROWS, 2));
    let row = table.gather(x + x);
    r.output("y", row);
    r.loss(row.square().mean());
    r.finish("twice").expect("it is a program")
}

const BAD: [f64; 7] = [
    1.5,
    -0.5,
    -1e30,
    1e30,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

fn runs_refuse<T: Element>(purpose: &Purpose) {
    let (t, b) = (5, 4);
    let cell = CompiledCell::<T>::compile(&twice(), purpose).expect("it compiles");
    let table: Vec<T> = (0..2 * ROWS).map(|i| T::from_f64(i as f64)).collect();
    let good: Vec<T> = (0..t * b).map(|i| T::from_f64((i % 2) as f64)).collect();
    let mut executor = cell.executor();
    let lens = (0..cell.outputs().len()).map(|k| cell.output_len(k, Extent { steps: t, rows: b }));
    let mut own: Vec<Vec<T>> = lens.map(|n| vec![T::from_f64(9.0); n]).collect();
    let mut run = |x: &[T], pieces: usize| {
        let mut outputs: Vec<&mut [T]> = own.iter_mut().map(Vec::as_mut_slice).collect();
        executor.cut_into(pieces);
        let ran = executor.run(Extent { steps: t, rows: b }, &[x, &table], &mut outputs);
        ran.map(|()| own[0].iter().map(|x| x.to_f64()).collect::<Vec<f64>>())
    };
    let right: Vec<f64> = (0..t * b)
        .flat_map(|i| if i % 2 == 0 { [0.0, 1.0] } else { [4.0, 5.0] })
        .collect();
    for pieces in [1, 3] {
        assert_eq!(run(&good, pieces).expect("all rows exist"), right);
        for bad in BAD {
            for at in [0, 7, t * b - 1] {
                let mut x = good.clone();
                x[at] = T::from_f64(bad);
                let refused = RunError::ComputedIndex {
                    program: "twice".into(),
                };
                assert_eq!(run(&x, pieces), Err(refused), "{bad} at {at}");
                // Nothing of it is left.
                assert_eq!(run(&good, pieces).expect("all rows exist"), right);
            }
        }
        // Halves are rounded to even numbers, and nothing is lost where they are rows then.
        let mut x = good.clone();
        x[0] = T::from_f64(1.25);
        x[1] = T::from_f64(-0.25);
        assert_eq!(
            run(&x, pieces).expect("both are rows")[..4],
            [4.0, 5.0, 0.0, 1.0]
        );
    }
}

#[test]
fn a_computed_index_outside_its_table_is_an_error_of_the_run_on_any_thread() {
    for purpose in [Purpose::Forward, Purpose::Train] {
        runs_refuse::<f32>(&purpose);
        runs_refuse::<f64>(&purpose);
    }
}

#[test]
fn a_sample_with_a_computed_index_outside_its_table_is_an_error_and_the_next_one_is_not() {
    let table = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let mut stepper = Stepper::<f64>::new(&twice(), 1, &[&[], &table]).expect("it is made");
    for bad in BAD {
        let found = stepper.step(&[&[bad]], &mut []);
        assert!(
            matches!(found, Err(RunError::ComputedIndex { .. })),
            "{bad}: {found:?}"
        );
        stepper.step(&[&[1.0]], &mut []).expect("the row exists");
        assert_eq!(stepper.output(0), [4.0, 5.0]);
    }
}

#[test]
fn what_a_stepper_makes_before_its_samples_is_checked_as_well() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Scalar);
    let s = r.input("s", InputRole::Static, Shape::Scalar);
    let table = r.param("table", Shape::Matrix(ROWS, 1));
    r.output("y", table.gather(s + s) * x);
    let tape = r.finish("chosen").expect("it is a program");
    let table = [1.0, 2.0, 3.0];
    let made = |s: f64| Stepper::<f64>::new(&tape, 1, &[&[], &[s], &table]);
    assert!(matches!(
        made(1.5),
        Err(StepperError::Run(RunError::ComputedIndex { .. }))
    ));
    let mut stepper = made(1.0).expect("the row exists");
    stepper.step(&[&[10.0]], &mut []).expect("it fits");
    assert_eq!(stepper.output(0), [30.0]);
    let found = stepper.set_inputs(&[&[], &[2.0], &[]]);
    assert!(
        matches!(found, Err(RunError::ComputedIndex { .. })),
        "{found:?}"
    );
    stepper
        .set_inputs(&[&[], &[0.0], &[]])
        .expect("the row exists");
    stepper.step(&[&[10.0]], &mut []).expect("it fits");
    assert_eq!(stepper.output(0), [10.0]);
}

#[test]
fn an_input_that_is_an_index_after_a_reshape_is_checked_before_the_run() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(1));
    let table = r.param("table", Shape::Matrix(ROWS, 1));
    let index = r.apply(Op::Reshape(Shape::Scalar), &[x]);
    r.output("y", table.gather(index));
    let tape = r.finish("reshaped").expect("it is a program");
    let cell = CompiledCell::<f64>::compile(&tape, &Purpose::Forward).expect("it compiles");
    let mut y = [0.0; 2];
    for bad in [3.0, -1.0, 0.5, f64::NAN] {
        let found = cell.run(
            Extent { steps: 2, rows: 1 },
            &[&[1.0, bad], &[1.0, 2.0, 3.0]],
            &mut [&mut y],
        );
        assert!(
            matches!(
                found,
                Err(RunError::Index {
                    rows: ROWS,
                    at: 1,
                    ..
                })
            ),
            "{bad}: {found:?}"
        );
    }
}
