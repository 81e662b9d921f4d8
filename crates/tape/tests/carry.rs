//! Chunks whose states are carried: the numbers of one run over all steps; what is refused.

use retrograd_tape::{
    CarriedState, Domain, Extent, InputRole, Interpreter, Op, Recorder, Shape, Tape, TapeError,
};

/// The numbers of some steps of an input.
fn steps<'a>(
    tape: &Tape,
    i: usize,
    given: &'a [f64],
    steps: std::ops::Range<usize>,
    b: usize,
) -> &'a [f64] {
    let ty = tape.inputs()[i].ty;
    let n = b * ty.shape.len();
    match ty.domain {
        Domain::Step => &given[steps.start * n..steps.end * n],
        Domain::Once | Domain::Row | Domain::BoundarySlots(_) => given,
    }
}

/// The outputs of a case's steps in chunks, and the final states.
fn chunks(
    (tape, states): &(Tape, Vec<CarriedState>),
    inputs: &[&[f64]],
    ends: &[usize],
    b: usize,
) -> Result<Vec<Vec<f64>>, TapeError> {
    let mut run = Interpreter::<f64>::new(tape);
    let mut all: Vec<Vec<f64>> = vec![Vec::new(); tape.outputs().len()];
    let mut given: Vec<Vec<f64>> = inputs.iter().map(|x| x.to_vec()).collect();
    given.resize(tape.inputs().len(), Vec::new());
    let mut start = 0;
    for &end in ends {
        let slices: Vec<&[f64]> = (0..given.len())
            .map(|i| match i < inputs.len() {
                true => steps(tape, i, &given[i], start..end, b),
                false => &given[i],
            })
            .collect();
        run.forward(Extent::steps(end - start).rows(b), &slices)?;
        for (k, o) in tape.outputs().iter().enumerate() {
            match tape.node(o.value).ty.domain {
                Domain::Step => all[k].extend(run.output(k)),
                _ => all[k] = run.output(k).to_vec(),
            }
        }
        for state in states {
            given[state.input] = run.output(state.output).to_vec();
            if let Some(flag) = state.flag {
                let ty = tape.inputs()[flag].ty;
                given[flag] = vec![1.0; ty.numbers(0, b)];
            }
        }
        start = end;
    }
    Ok(all)
}

/// A cell whose state begins as a parameter, with what reads later steps.
fn with(later: impl FnOnce(&Recorder)) -> Result<(Tape, Vec<CarriedState>), TapeError> {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Scalar);
    let h = r.state("h", Shape::Scalar, 1, Some(r.param("start", Shape::Scalar)));
    r.output("y", r.next(h, 0.5 * h + x).named("new"));
    later(&r);
    r.finish("cell").expect("it is right").carrying()
}

fn refusal(later: impl FnOnce(&Recorder)) -> String {
    match with(later) {
        Err(e @ TapeError::NeedsLaterSteps { .. }) => e.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_reads_later_steps_is_refused_by_name() {
    let begins = refusal(|r| {
        let x = r.input("z", InputRole::Sequence, Shape::Scalar);
        let back = r.state("back", Shape::Scalar, -2, None);
        r.output("b", r.next(back, 0.5 * back + x));
    });
    assert_eq!(
        begins,
        "`cell` cannot be carried from chunk to chunk: the state `back` begins at the end of the steps (delay -2)"
    );
    let summed = refusal(|r| {
        let z = r.input("z", InputRole::Sequence, Shape::Scalar).named("z");
        r.output("mean", z.mean_to(Domain::Row));
    });
    assert!(summed.ends_with("`z` is summed over all steps"), "{summed}");
    let last = refusal(|r| {
        let z = r.input("z", InputRole::Sequence, Shape::Scalar);
        r.output("last", z.square().named("squared").last());
    });
    assert!(
        last.ends_with("`squared` is read as it is after the last step"),
        "{last}"
    );
    let normed = refusal(|r| {
        let z = r.input("z", InputRole::Sequence, Shape::Scalar);
        let mean = z.mean_to(Domain::Once);
        r.output("centred", z - mean);
    });
    assert!(normed.contains("is summed over all steps"), "{normed}");
    // The loss is one: of each chunk.
    let loss = with(|r| {
        let z = r.input("z", InputRole::Sequence, Shape::Scalar);
        r.loss(z.square());
    });
    assert!(loss.is_ok(), "{loss:?}");
}

#[test]
fn a_delay_that_is_no_state_is_carried_too() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Scalar);
    let start = r.param("start", Shape::Scalar);
    let before = r.apply(Op::Delay(2), &[x, start]).named("before");
    r.output("y", before);
    let tape = r.finish("raw").expect("it is right");
    let carrying = tape.carrying().expect("it can be");
    let inputs: Vec<&str> = carrying.0.inputs().iter().map(|i| &*i.name).collect();
    assert_eq!(
        inputs,
        ["x", "start", "delay(before)", "carried(delay(before))"]
    );
    let found = chunks(&carrying, &[&[1.0, 2.0, 3.0, 4.0], &[9.0]], &[1, 2, 4], 1);
    let found = found.expect("it runs");
    assert_eq!(found[0], [9.0, 9.0, 1.0, 2.0]);
    assert_eq!(found[1], [3.0, 4.0]);
}

#[test]
fn no_gradient_passes_from_a_carried_row_to_the_declared_start() {
    let (tape, states) = with(|r| r.loss(r.input("z", InputRole::Sequence, Shape::Scalar)))
        .expect("it can be carried");
    let CarriedState { input, flag, .. } = states[0];
    let mut run = Interpreter::<f64>::new(&tape);
    let (x, start) = ([0.0; 4], [3.0]);
    let mut given: Vec<&[f64]> = vec![&x, &start, &x, &[], &[]];
    given[input] = &[0.0, 7.0];
    given[flag.expect("it has one")] = &[0.0, 1.0];
    run.forward(Extent::steps(2).rows(2), &given)
        .expect("it runs");
    assert_eq!(run.output(0), [1.5, 3.5, 0.75, 1.75]);
    let ones = [1.0; 4];
    let cotangents: Vec<Option<&[f64]>> = (0..tape.outputs().len())
        .map(|k| (k == 0).then_some(&ones[..]))
        .collect();
    run.backward(&cotangents).expect("it runs");
    assert_eq!(run.gradient(1), Some(&[0.75][..]), "one row, both steps");
    assert_eq!(run.gradient(input), Some(&[0.0, 0.75][..]));
}

#[test]
fn a_name_that_is_taken_is_an_error() {
    let taken = with(|r| {
        let flag = r.input("carried(h)", InputRole::Sequence, Shape::Scalar);
        r.output("z", flag);
    });
    assert!(
        matches!(&taken, Err(TapeError::CarriedName { name, .. }) if name == "carried(h)"),
        "{taken:?}"
    );
}
