//! Sizes that a user's numbers ask for, beyond what there can be: typed errors that name the value and the limit, before any
//! memory is taken.

use retrograd_tape::Extent;
use retrograd_tape::limits::{MAX_DELAY, MAX_ELEMENTS, MAX_OPS, MAX_POINTS};
use retrograd_tape::{Domain, InputRole, Interpreter, Op, Recorder, Shape, TapeError, Var};

/// Recording it is all that matters.
fn unused(_: Var<'_>) {}

fn refused(record: impl FnOnce(&Recorder)) -> TapeError {
    let r = Recorder::new();
    record(&r);
    let error = r.finish("large").expect_err("it should be refused");
    let text = error.to_string();
    assert!(text.contains("crates/tape/tests/limits.rs"), "{text}");
    error
}

#[test]
fn a_value_of_too_many_numbers_is_refused_by_name() {
    for shape in [
        Shape::Matrix(100_000, 100_000),
        Shape::Matrix(1 << 31, 1),
        Shape::Matrix(usize::MAX, 2),
        Shape::Matrix(1 << 32, 1 << 32),
        Shape::Vector(MAX_ELEMENTS + 1),
        Shape::Vector(usize::MAX),
    ] {
        let declared: [&dyn Fn(&Recorder); 3] = [
            &|r| unused(r.param("huge", shape)),
            &|r| unused(r.input("huge", InputRole::Sequence, shape)),
            &|r| unused(r.state("huge", shape, 1, None)),
        ];
        for declare in declared {
            let text = refused(|r| declare(r)).to_string();
            for part in ["`huge`", &shape.to_string(), "2147483647"] {
                assert!(text.contains(part), "`{part}` is missing in: {text}");
            }
        }
        let made: [&dyn Fn(&Recorder); 2] = [&|r| unused(r.constant(1.0, shape)), &|r| {
            unused(r.param("x", Shape::Scalar).broadcast(shape))
        }];
        for make in made {
            let e = refused(|r| make(r));
            assert!(matches!(e, TapeError::TooManyElements { .. }), "{e}");
        }
    }
    let e = refused(|r| {
        let v = r.param("v", Shape::Vector(1 << 20));
        v.outer(v);
    });
    assert!(
        e.to_string().contains("`outer` would be [1048576,1048576]"),
        "{e}"
    );
    let r = Recorder::new();
    r.param("just", Shape::Vector(MAX_ELEMENTS));
    r.finish("fits").unwrap();
}

#[test]
fn a_concat_that_is_doubled_many_times_meets_the_limit() {
    let e = refused(|r| {
        let mut x = r.param("x", Shape::Vector(1));
        for _ in 0..200 {
            x = Var::concat(&[x, x]);
        }
        r.output("y", x);
    });
    assert!(
        e.to_string().contains("`concat` would be [2147483648]"),
        "{e}"
    );
}

#[test]
fn a_delay_that_is_too_long_is_refused_by_name() {
    for d in [2_000_000_000, i32::MAX, i32::MIN, MAX_DELAY as i32 + 1] {
        let text = refused(|r| unused(r.state("old", Shape::Scalar, d, None))).to_string();
        for part in ["`old`", &d.unsigned_abs().to_string(), "1048576"] {
            assert!(text.contains(part), "`{part}` is missing in: {text}");
        }
        let e = refused(|r| {
            let x = r.input("x", InputRole::Sequence, Shape::Scalar);
            r.apply(Op::Delay(d), &[x, r.constant(0.0, Shape::Scalar)]);
        });
        assert!(matches!(e, TapeError::DelayTooLong { .. }), "{e}");
        let e = refused(|r| {
            let slots = Domain::BoundarySlots(d.unsigned_abs() as usize);
            r.apply(Op::Spread(slots), &[r.param("p", Shape::Scalar)]);
        });
        assert!(matches!(e, TapeError::DelayTooLong { .. }), "{e}");
    }
}

#[test]
fn a_program_has_room_for_so_many_ops_and_no_more() {
    let chain = |ops: usize| {
        let r = Recorder::new();
        let mut x = r.param("x", Shape::Scalar);
        for _ in 1..ops {
            x = x.tanh();
        }
        r.output("y", x);
        r.finish("chain")
    };
    assert_eq!(chain(MAX_OPS).unwrap().nodes().len(), MAX_OPS);
    let e = chain(MAX_OPS + 1).unwrap_err();
    assert!(
        matches!(e, TapeError::TooManyOps { limit: MAX_OPS, .. }),
        "{e}"
    );
    assert!(e.to_string().contains("1048576 ops"), "{e}");
}

#[test]
fn many_inputs_states_and_outputs_are_recorded_in_linear_time() {
    // Each with every other compared, 2 · 10¹⁰ comparisons of names.
    let r = Recorder::new();
    for i in 0..200_000 {
        let x = r.param(&format!("x{i}"), Shape::Scalar);
        let s = r.state(&format!("s{i}"), Shape::Scalar, 1, Some(x));
        r.next(s, s);
        r.output(&format!("y{i}"), x);
    }
    assert_eq!(r.finish("many").unwrap().outputs().len(), 400_000);
}

#[test]
fn memory_that_cannot_be_had_is_an_error_of_the_run_that_says_how_much() {
    let needs = |result: Result<(), TapeError>| match result {
        Err(TapeError::Memory { bytes }) => bytes,
        other => panic!("{other:?}"),
    };
    // 2²⁴ numbers at each of 2²⁰ points, in f64: 2⁴⁷ bytes. Nothing of it is an input.
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Scalar);
    let v = x.broadcast(Shape::Vector(1 << 12));
    r.loss(v.outer(v).sum());
    let tape = r.finish("outer").unwrap();
    let mut run = Interpreter::<f64>::new(&tape);
    let given = vec![0.5; 1 << 20];
    let e = run
        .forward(
            Extent {
                steps: 1 << 10,
                rows: 1 << 10,
            },
            &[&given],
        )
        .unwrap_err();
    assert!(e.to_string().contains("GiB"), "{e}");
    assert!(needs(Err(e)) >= 1 << 47);
    assert_eq!(run.bytes(), 0);
    assert_eq!(run.backward(&[None]), Err(TapeError::NotRun));
    // A run that fits works afterwards.
    run.forward(Extent { steps: 1, rows: 2 }, &[&given[..2]])
        .unwrap();
    assert_eq!(run.output(0)[0], 0.25 * (1 << 24) as f64);

    // The slots of a long delay of many examples: zeros unless given, so that nobody has them yet.
    let r = Recorder::new();
    let x = r.input("x", InputRole::Static, Shape::Scalar);
    let s = r.state("s", Shape::Scalar, MAX_DELAY as i32, None);
    r.next(s, s + x);
    let tape = r.finish("slots").unwrap();
    let mut run = Interpreter::<f32>::new(&tape);
    run.set_budget(1 << 40);
    assert!(
        needs(run.forward(
            Extent {
                steps: 1,
                rows: 1 << 20
            },
            &[&vec![0.5; 1 << 20], &[]]
        )) >= 1 << 42
    );

    // What is constant takes memory when it is run, too.
    let r = Recorder::new();
    r.output("y", r.constant(1.5, Shape::Vector(MAX_ELEMENTS)).sum());
    let tape = r.finish("constant").unwrap();
    let mut run = Interpreter::<f64>::new(&tape);
    run.set_budget(1 << 20);
    assert!(needs(run.forward(Extent { steps: 1, rows: 1 }, &[])) > 8 * MAX_ELEMENTS as u64);
}

#[test]
fn a_budget_is_kept_forward_and_backward() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(100));
    r.loss(x.tanh().sum());
    let tape = r.finish("budget").unwrap();
    let given = vec![0.5f32; 1000];
    let mut run = Interpreter::<f32>::new(&tape);
    run.forward(Extent { steps: 10, rows: 1 }, &[&given])
        .unwrap();
    let forward = run.bytes();
    run.backward(&[Some(&[1.0])]).unwrap();
    let both = run.bytes();
    assert!(both > forward && forward > 2 * 4000);

    let mut run = Interpreter::<f32>::new(&tape);
    run.set_budget(both - 1);
    run.forward(Extent { steps: 10, rows: 1 }, &[&given])
        .unwrap();
    assert_eq!(
        run.backward(&[Some(&[1.0])]),
        Err(TapeError::Memory { bytes: both as u64 })
    );
    run.set_budget(both);
    run.forward(Extent { steps: 10, rows: 1 }, &[&given])
        .unwrap();
    run.backward(&[Some(&[1.0])]).unwrap();
}

#[test]
fn a_run_of_too_many_points_is_refused() {
    let r = Recorder::new();
    let p = r.param("p", Shape::Scalar);
    r.loss(p);
    let tape = r.finish("points").unwrap();
    let mut run = Interpreter::<f64>::new(&tape);
    for (t, b) in [
        (MAX_POINTS, 2),
        (usize::MAX, usize::MAX),
        (1, MAX_POINTS + 1),
    ] {
        let e = run
            .forward(Extent { steps: t, rows: b }, &[&[1.0]])
            .unwrap_err();
        assert!(matches!(e, TapeError::TooManyPoints { .. }), "{e}");
    }
}
