//! Steps and rows beyond the available memory are rejected by a typed error, before anything is touched.

use retrograd_jit::{CompiledCell, Purpose, RunError, Stepper, StepperError};
use retrograd_tape::Extent;
use retrograd_text::read_tape;

/// Nothing comes with the samples: any number of steps and rows fits the caller's arrays.
const DECAY: &str = "cell decay(; h[64])
param a[64]
h' = a * h + 1
output y = h'
";

fn decay() -> CompiledCell<f32> {
    let tape = read_tape("limits", DECAY, &[]).expect("a cell");
    CompiledCell::compile(&tape, &Purpose::Forward).expect("it compiles")
}

/// A run whose outputs nobody wants.
fn run(cell: &CompiledCell<f32>, limit: Option<usize>, t: usize, b: usize) -> Result<(), RunError> {
    let a = [0.5; 64];
    let inputs = cell.inputs().iter().map(|i| match &*i.name {
        "a" => &a[..],
        _ => &[],
    });
    let inputs: Vec<&[f32]> = inputs.collect();
    let mut outputs: Vec<&mut [f32]> = cell.outputs().iter().map(|_| &mut [][..]).collect();
    let mut executor = cell.executor();
    executor.set_memory_limit(limit);
    executor.run(Extent { steps: t, rows: b }, &inputs, &mut outputs)
}

#[test]
fn more_than_the_machine_has_is_refused_with_the_bytes_that_it_needs() {
    let cell = decay();
    for (t, b) in [(1, 1_000_000_000_000), (100, 1_000_000_000_000)] {
        let found = run(&cell, None, t, b);
        let Err(RunError::Memory { needed, limit, .. }) = found else {
            panic!("T={t} B={b}: {found:?}");
        };
        assert!(limit.is_some_and(|limit| limit < needed));
        // At least the states of all rows.
        assert!(needed >= b * 64 * 4, "{needed}");
        let message = found.expect_err("it is refused").to_string();
        assert!(
            message.contains(" GiB beyond the caller's arrays"),
            "{message}"
        );
    }
}

#[test]
fn what_cannot_be_addressed_is_refused() {
    let cell = decay();
    for (t, b) in [
        (1 << 40, 1 << 40),
        (usize::MAX, 1),
        (1, usize::MAX),
        (usize::MAX, usize::MAX),
    ] {
        assert_eq!(run(&cell, None, t, b), Err(RunError::Extent { t, b }));
        let asked = cell.memory(Extent { steps: t, rows: b }, (&[], &[]));
        assert_eq!(asked, Err(RunError::Extent { t, b }));
    }
    assert_eq!(
        cell.output_len(
            0,
            Extent {
                steps: usize::MAX,
                rows: 2
            }
        ),
        usize::MAX
    );
}

#[test]
fn a_limit_refuses_what_is_beyond_it_and_nothing_else() {
    let cell = decay();
    let left_out: (Vec<usize>, Vec<usize>) = (
        (0..cell.inputs().len())
            .filter(|&k| &*cell.inputs()[k].name != "a")
            .collect(),
        (0..cell.outputs().len()).collect(),
    );
    let planned = cell.memory(
        Extent {
            steps: 10,
            rows: 1000,
        },
        (&left_out.0, &left_out.1),
    );
    let bytes = planned.expect("no budget").bytes;
    assert_eq!(run(&cell, Some(bytes), 10, 1000), Ok(()));
    let refused = RunError::Memory {
        needed: bytes,
        limit: Some(bytes - 1),
        t: 10,
        b: 1000,
    };
    assert_eq!(run(&cell, Some(bytes - 1), 10, 1000), Err(refused));
}

#[test]
fn after_a_refusal_the_executor_goes_on() {
    let cell = decay();
    let (a, h) = ([0.5; 64], [2.0; 64]);
    let mut executor = cell.executor();
    let mut y = [0.0; 128];
    let inputs: Vec<&[f32]> = (cell.inputs().iter())
        .map(|i| if &*i.name == "a" { &a[..] } else { &h[..] })
        .collect();
    for _ in 0..2 {
        executor.set_memory_limit(None);
        executor
            .run(
                Extent { steps: 2, rows: 1 },
                &inputs,
                &mut [&mut y, &mut []],
            )
            .expect("it fits");
        assert_eq!((y[0], y[64]), (2.0, 2.0));
        executor.set_memory_limit(Some(1));
        let mut wider = vec![0.0; 4 * 128];
        let given = [h; 4].concat();
        let inputs: Vec<&[f32]> = (cell.inputs().iter())
            .map(|i| if &*i.name == "a" { &a[..] } else { &given[..] })
            .collect();
        let refused = executor.run(
            Extent { steps: 2, rows: 4 },
            &inputs,
            &mut [&mut wider, &mut []],
        );
        assert!(
            matches!(refused, Err(RunError::Memory { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn a_stepper_of_too_many_rows_is_refused() {
    let tape = read_tape("limits", DECAY, &[]).expect("a cell");
    let a = [0.5f32; 64];
    let inputs: Vec<&[f32]> = (tape.inputs().iter())
        .map(|i| if &*i.name == "a" { &a[..] } else { &[][..] })
        .collect();
    let made = |b| Stepper::new(&tape, b, &inputs).map(|_| ());
    assert!(made(3).is_ok());
    let refused = made(1_000_000_000_000);
    assert!(
        matches!(refused, Err(StepperError::Run(RunError::Memory { .. }))),
        "{refused:?}"
    );
    let refused = made(usize::MAX);
    assert!(
        matches!(refused, Err(StepperError::Run(RunError::Extent { .. }))),
        "{refused:?}"
    );
}
