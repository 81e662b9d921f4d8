//! States that are carried from chunk to chunk: the numbers of one run, gradients that do not pass the border, rows that
//! begin anew, for every kind of start, on both engines.

use retrograd::{
    Adam, Batch, Carry, Cell, CellText, Cotangents, Engine, Error, Extent, Sgd, Trainer, zoo,
};

/// Numbers without a pattern, of the order of 1.
fn numbers(n: usize, seed: usize) -> Vec<f32> {
    let number = |i: usize| (0.7 * (i + 13 * seed) as f64 + 0.3).sin() as f32;
    (0..n).map(number).collect()
}

/// Every kind of start: given, a constant, learned, computed for each row; delays of one and more.
const STARTS: &str = "cell starts(x[2]; h[6], g[6] delay 3, l[6] init learned, far[2] delay 2 init learned, s[6] init begin)
static style[3]
begin = tanh(dense(style))
h' = tanh(dense(x, h, g))
g' = tanh(dense(h', l))
l' = 0.5 * l + 0.5 * sigmoid(dense(h', s))
far' = x
s' = 0.9 * s + 0.1 * h'
y = dense[2](l', g', far)
output y = y
target next[2]
loss mean(square(y - next))
";

/// Cells with their names, and whether they have a static input.
fn cells() -> Vec<(&'static str, Cell)> {
    let text = CellText::parse("starts", STARTS).unwrap_or_else(|e| panic!("{e}"));
    let starts = text.cell(&[]).unwrap_or_else(|e| panic!("{e}"));
    let mut all = vec![("starts", starts)];
    for name in ["lstm", "gru", "mingru", "sru"] {
        let entry = zoo::find(name).unwrap_or_else(|| panic!("no {name}"));
        all.push((name, zoo::forecaster(entry, 2, 8).expect("it is right")));
    }
    all
}

/// Some steps of a sequence.
fn chunk(cell: &Cell, steps: std::ops::Range<usize>, b: usize) -> Batch<f32> {
    let n = 2 * b;
    let part = |seed| numbers(40 * n, seed)[steps.start * n..steps.end * n].to_vec();
    let mut batch = Batch::new(Extent::steps(steps.len()).rows(b));
    batch = batch.with("x", part(1)).with("next", part(2));
    if cell.tape().input("style").is_some() {
        batch = batch.with("style", numbers(3 * b, 3));
    }
    batch
}

fn trainer(cell: &Cell, engine: Engine, threads: usize, rate: f64) -> Trainer<f32> {
    let builder = Trainer::builder(cell.clone(), Sgd::new(rate)).seed(5);
    builder
        .engine(engine)
        .threads(threads)
        .build()
        .expect("it builds")
}

/// Checks bits, or for the interpreter, whose products add in an order that depends on the number of steps, a few hundred
/// roundings.
fn same(engine: Engine, found: &[f32], right: &[f32], what: &str) {
    assert_eq!(found.len(), right.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(right).enumerate() {
        let most = match engine {
            Engine::Jit => 0.0,
            Engine::Tape => 256.0 * f32::EPSILON,
        };
        assert!((a - b).abs() <= most, "{what}: number {i} is {a}, not {b}");
    }
}

#[test]
fn chunks_have_the_numbers_of_one_run() {
    for (name, cell) in cells() {
        for (engine, threads, b) in [
            (Engine::Jit, 1, 1),
            (Engine::Jit, 4, 3),
            (Engine::Tape, 1, 3),
        ] {
            let what = format!("{name}, {engine}, {b} rows");
            // With a rate of 0 nothing is learned.
            let (mut whole, mut parts) = (
                trainer(&cell, engine, 1, 0.0),
                trainer(&cell, engine, threads, 0.0),
            );
            let mut carry = parts.carry(b).unwrap_or_else(|e| panic!("{what}: {e}"));
            // The same program.
            whole.carry(b).expect("it can be carried");
            for training in [true, false] {
                carry.reset();
                let mut found = Vec::new();
                for steps in [0..1, 1..8, 8..9, 9..30] {
                    let chunk = chunk(&cell, steps, b);
                    let ran = match training {
                        true => parts.step_carrying(&chunk, &mut carry).map(|_| ()),
                        false => parts.evaluate_carrying(&chunk, &mut carry).map(|_| ()),
                    };
                    ran.unwrap_or_else(|e| panic!("{what}: {e}"));
                    found.extend_from_slice(parts.output("y").expect("an output"));
                }
                let all = chunk(&cell, 0..30, b);
                let ran = match training {
                    true => whole.step(&all).map(|_| ()),
                    false => whole.evaluate(&all).map(|_| ()),
                };
                ran.unwrap_or_else(|e| panic!("{what}: {e}"));
                same(engine, &found, whole.output("y").expect("an output"), &what);
                for state in carry.states() {
                    let (found, right) = (carry.state(state), whole.output(state));
                    let what = format!("{what}, {state}");
                    same(
                        engine,
                        found.expect("carried"),
                        right.expect("final"),
                        &what,
                    );
                }
            }
        }
    }
}

#[test]
fn a_step_takes_initial_states_and_leaves_final_ones() {
    let (_, cell) = cells().swap_remove(1);
    let b = 2;
    for engine in Engine::ALL {
        let (mut by_hand, mut carried) = (
            trainer(&cell, engine, 1, 0.1),
            trainer(&cell, engine, 3, 0.1),
        );
        let mut carry = carried.carry(b).expect("it can be carried");
        let mut states: Vec<(String, Vec<f32>)> = Vec::new();
        for k in 0..3 {
            let mut batch = chunk(&cell, 5 * k..5 * k + 5, b);
            let report = carried.step_carrying(&batch, &mut carry).expect("a step");
            for (name, values) in states.drain(..) {
                batch = batch.with(&name, values);
            }
            assert_eq!(by_hand.step(&batch).expect("a step"), report);
            for name in ["h", "c"] {
                let state = by_hand.output(name).expect("a final state").to_vec();
                assert_eq!(carry.state(name), Some(&state[..]));
                states.push((name.to_owned(), state));
            }
            assert_eq!(
                by_hand.parameters(),
                carried.parameters(),
                "{engine}, chunk {k}"
            );
        }
    }
}

#[test]
fn a_carried_row_gives_its_declared_start_no_gradient_and_a_renewed_one_does() {
    let (_, cell) = cells().swap_remove(0);
    for engine in Engine::ALL {
        let mut trainer = trainer(&cell, engine, 1, 0.5);
        let mut carry = trainer.carry(2).expect("it can be carried");
        let starts = |t: &Trainer<f32>| {
            let of = |name: &str| t.parameter(name).expect("a start").to_vec();
            (of("l.init"), of("far.init"))
        };
        let (a, b) = (chunk(&cell, 0..5, 2), chunk(&cell, 5..10, 2));
        let before = starts(&trainer);
        trainer.step_carrying(&a, &mut carry).expect("a step");
        let first = starts(&trainer);
        assert!(
            before.0 != first.0 && before.1 != first.1,
            "the declared starts learn"
        );
        trainer.step_carrying(&b, &mut carry).expect("a step");
        assert_eq!(starts(&trainer), first, "what is carried has another start");
        let kept = carry.state("h").expect("a state")[6..].to_vec();
        carry.reset_row(0).expect("there is one");
        assert_eq!(carry.state("h").expect("a state")[..6], [0.0; 6]);
        assert_eq!(carry.state("h").expect("a state")[6..], kept);
        trainer.step_carrying(&b, &mut carry).expect("a step");
        assert_ne!(starts(&trainer), first, "a renewed row begins as declared");
        // It has the numbers of a row that begins.
        carry.reset_row(1).expect("there is one");
        trainer.set_learning_rate(0.0).expect("it is one");
        trainer.evaluate_carrying(&b, &mut carry).expect("it runs");
        let row: Vec<f32> = output_of_row(&trainer, 1);
        trainer.evaluate(&b).expect("it runs");
        same(engine, &row, &output_of_row(&trainer, 1), "a renewed row");
    }
}

fn output_of_row(trainer: &Trainer<f32>, row: usize) -> Vec<f32> {
    let y = trainer.output("y").expect("an output");
    y.chunks(2)
        .skip(row)
        .step_by(2)
        .flatten()
        .copied()
        .collect()
}

#[test]
fn steps_of_a_burn_in_change_the_states_and_nothing_else() {
    let b = 2;
    for (name, cell) in cells() {
        for engine in Engine::ALL {
            let mut burnt = trainer(&cell, engine, 1, 0.5);
            let mut by_hand = trainer(&cell, engine, 1, 0.5);
            let mut carry = burnt.carry(b).expect("it can be carried").burn_in(4);
            let mut warm = by_hand.carry(b).expect("it can be carried");
            for k in 0..2 {
                let steps = 10 * k..10 * k + 10;
                let (first, rest) = (steps.start..steps.start + 4, steps.start + 4..steps.end);
                // What is not counted may be missing.
                let mut all = chunk(&cell, steps, b);
                let mut next = all.array("next").expect("targets").to_vec();
                next[..4 * 2 * b].fill(f32::NAN);
                all = all.with("next", next);
                let report = burnt.step_carrying(&all, &mut carry).expect("a step");
                by_hand
                    .predict_carrying(&chunk(&cell, first, b), &mut warm)
                    .expect("it runs");
                let right = by_hand.step_carrying(&chunk(&cell, rest, b), &mut warm);
                assert_eq!(report, right.expect("a step"), "{name}, {engine}");
                assert_eq!(burnt.parameters(), by_hand.parameters(), "{name}, {engine}");
                for state in warm.states() {
                    assert_eq!(carry.state(state), warm.state(state), "{name}, {state}");
                }
            }
        }
    }
}

#[test]
fn gradients_of_carried_states_chain_runs_to_the_gradient_of_one() {
    let (_, cell) = cells().swap_remove(0);
    let b = 2;
    let cell = cell.carrying().expect("it can be carried");
    for engine in Engine::ALL {
        let parameters: Vec<f64> = cell.initial_parameters(5).expect("they fit");
        let states = ["h", "g", "l", "far", "s"];
        let builder = cell
            .program()
            .parameter_gradients()
            .gradients(states)
            .all_cotangents();
        let program = builder.engine(engine).double().build().expect("it builds");
        let mut session = program.session();
        let double = |steps: std::ops::Range<usize>| {
            let single = chunk(&cell, steps, b);
            let mut batch = Batch::new(single.extent);
            for name in ["x", "next", "style"] {
                let values = single.array(name).expect("given");
                batch = batch.with(name, values.iter().map(|&x| f64::from(x)).collect());
            }
            batch
        };
        let slopes =
            |n: usize, seed| -> Vec<f64> { numbers(n, seed).into_iter().map(f64::from).collect() };
        let (all, first, second) = (double(0..7), double(0..4), double(4..7));
        let y = slopes(7 * b * 2, 9);
        let of_y = |values: &[f64]| Cotangents::new().with("y", values.to_vec());
        let whole = session.forward(&parameters, &all).expect("it runs");
        let whole = whole.backward(&of_y(&y)).expect("it runs");

        let mut carry: Carry<f64> = cell.carry(b).expect("it can be carried");
        let one = session.forward(&parameters, &first).expect("it runs");
        carry
            .keep(&first, |name| one.output(name))
            .expect("it has them");
        let begun = carry.onto(&second).expect("it fits");
        let two = session.forward(&parameters, &begun).expect("it runs");
        let later = two.backward(&of_y(&y[4 * b * 2..])).expect("it runs");
        let mut passed = of_y(&y[..4 * b * 2]);
        for state in states {
            passed = passed.with(state, later.of(state).expect("requested").to_vec());
        }
        let earlier = one.backward(&passed).expect("it runs");
        let sums = earlier.parameters().expect("all").iter();
        let sums = sums
            .zip(later.parameters().expect("all"))
            .map(|(a, b)| a + b);
        for (i, (found, right)) in sums.zip(whole.parameters().expect("all")).enumerate() {
            // Roundings of f64 in another order, of numbers of the order of 10.
            assert!(
                (found - right).abs() < 1e-12,
                "{engine}, {i}: {found}, not {right}"
            );
        }
    }
}

#[test]
fn rows_with_ends_and_resets_are_carried_each_from_its_own_last_step() {
    let (b, n) = (3, 2 * 3);
    for (name, cell) in cells() {
        let mut whole = trainer(&cell, Engine::Jit, 1, 0.0);
        let mut parts = trainer(&cell, Engine::Jit, 2, 0.0);
        let mut carry = parts.carry(b).expect("it can be carried");
        whole.carry(b).expect("it can be carried");
        // Of 12 steps row 1 has 7, and row 2 begins anew before steps 3 and 8.
        let mut resets = vec![false; 12 * b];
        resets[3 * b + 2] = true;
        resets[8 * b + 2] = true;
        let all = chunk(&cell, 0..12, b).with_lengths(&[12, 7, 12]);
        whole.evaluate(&all.with_resets(&resets)).expect("it runs");
        let mut found = Vec::new();
        for steps in [0..5, 5..12] {
            let lengths = [12, 7, 12].map(|len: usize| len.clamp(steps.start, steps.end));
            let lengths = lengths.map(|end| end - steps.start);
            let part = chunk(&cell, steps.clone(), b).with_lengths(&lengths);
            let part = part.with_resets(&resets[steps.start * b..steps.end * b]);
            let ran = parts.evaluate_carrying(&part, &mut carry);
            ran.unwrap_or_else(|e| panic!("{name}: {e}"));
            found.extend_from_slice(parts.output("y").expect("an output"));
        }
        let right = whole.output("y").expect("an output");
        assert_eq!(found.len(), 12 * n);
        same(Engine::Jit, &found, right, name);
        for state in carry.states() {
            let (found, right) = (carry.state(state), whole.output(state));
            let what = format!("{name}, {state}");
            same(
                Engine::Jit,
                found.expect("carried"),
                right.expect("final"),
                &what,
            );
        }
    }
}

#[test]
fn a_stepper_goes_on_where_a_chunk_ended() {
    let b = 2;
    for (name, cell) in cells() {
        let mut trainer = trainer(&cell, Engine::Jit, 1, 0.1);
        let mut carry = trainer.carry(b).expect("it can be carried");
        let first = chunk(&cell, 0..6, b);
        trainer.step_carrying(&first, &mut carry).expect("a step");
        let mut stepper = trainer.stepper().rows(b);
        if let Some(style) = first.array("style") {
            stepper = stepper.with("style", style.to_vec());
        }
        let mut stepper = stepper.build().expect("it streams");
        for state in carry.states() {
            let values = carry.state(state).expect("carried");
            stepper.set_state(state, values).expect("it has it");
        }
        let later = chunk(&cell, 6..12, b);
        trainer
            .predict_carrying(&later, &mut carry)
            .expect("it runs");
        let right = trainer.output("y").expect("an output").chunks(2 * b);
        let x = later.array("x").expect("given").chunks(2 * b);
        for (x, right) in x.zip(right) {
            let found = stepper.step(&[x]).expect("it fits");
            // Products add in another order.
            for (a, b) in found.iter().zip(right) {
                assert!((a - b).abs() <= 64.0 * f32::EPSILON, "{name}: {a}, not {b}");
            }
        }
    }
}

#[test]
fn after_an_error_nothing_has_changed() {
    let (_, cell) = cells().swap_remove(1);
    let mut trainer = trainer(&cell, Engine::Jit, 1, 0.1);
    let mut carry = trainer.carry(2).expect("it can be carried");
    trainer
        .step_carrying(&chunk(&cell, 0..5, 2), &mut carry)
        .expect("a step");
    let (left, parameters) = (carry.clone(), trainer.parameters().to_vec());
    let bad = chunk(&cell, 5..10, 2).with("x", vec![f32::NAN; 20]);
    let error = trainer.step_carrying(&bad, &mut carry);
    assert!(
        matches!(error, Err(Error::NonFiniteInput { .. })),
        "{error:?}"
    );
    let rows = trainer.step_carrying(&chunk(&cell, 0..5, 3), &mut carry);
    let rows = rows.expect_err("another number of rows").to_string();
    assert!(
        rows.starts_with("the number of rows of a chunk is 3; expected 2"),
        "{rows}"
    );
    let mut all_burnt = carry.clone().burn_in(5);
    let none = trainer.step_carrying(&chunk(&cell, 0..5, 2), &mut all_burnt);
    let none = none.expect_err("no step is left").to_string();
    assert!(none.contains("run forward only is 5"), "{none}");
    let row = carry.reset_row(2);
    assert!(matches!(row, Err(Error::Setting { .. })), "{row:?}");
    let state = carry.set_state("m", &[0.0; 16]);
    assert!(matches!(state, Err(Error::NoSuchState { .. })), "{state:?}");
    let length = carry.set_state("h", &[0.0; 15]);
    assert!(
        matches!(length, Err(Error::InputLength { .. })),
        "{length:?}"
    );
    assert_eq!(carry, left);
    assert_eq!(trainer.parameters(), parameters);
}

#[test]
fn what_reads_later_steps_is_refused_by_name() {
    let text = "cell both(x[3]; h[8], r[8] delay -1)
h' = tanh(dense(x, h))
r' = tanh(dense(x, r))
output y = dense[2](h', r')
target next[2]
loss mean(square(y - next))
";
    let cell = CellText::parse("both", text).expect("it parses");
    let cell = cell.cell(&[]).expect("it is right");
    let mut trainer = Trainer::builder(cell, Adam::new(0.1))
        .build()
        .expect("it builds");
    let refused = trainer
        .carry(1)
        .expect_err("it reads from the end")
        .to_string();
    assert!(
        refused.contains("`both` cannot be carried from chunk to chunk: the state `r` begins at the end of the steps (delay -1)"),
        "{refused}"
    );
}
