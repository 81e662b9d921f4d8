//! Runs over rows of different lengths: each row is what it is alone, and gradients are those of differences.

#[path = "ragged/rows.rs"]
mod rows;

use retrograd_tape::{
    Directions, Domain, InputRole, Interpreter, Lengths, LossReduction, Recorder, Shape, Tape,
    TapeError, gradcheck_ragged,
};
use rows::{close, compare, of_row, slices};

/// Lengths with ties, rows shorter than any delay here, and empty ones.
const LENGTHS: [&[usize]; 6] = [
    &[5, 3, 3, 2, 1, 0, 0],
    &[4, 1],
    &[1, 0],
    &[7, 7, 6, 6, 6, 5, 2, 2, 1, 1],
    &[3, 3, 3],
    &[9],
];

fn lengths(of: &[usize]) -> Lengths {
    Lengths::new(of.to_vec()).expect("the longest is first")
}

/// Numbers between -1 and 1 without a pattern.
fn numbers(count: usize, seed: usize) -> Vec<f64> {
    (0..count)
        .map(|i| {
            let x = (i * 7919 + seed * 104_729 + 1) as f64 * 0.618_033_988_749_895;
            2.0 * x.fract() - 1.0
        })
        .collect()
}

/// Packed numbers for all inputs of a tape, and cotangents of all outputs.
fn arrays(tape: &Tape, lengths: &Lengths) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let inputs = tape.inputs().iter().enumerate();
    let inputs = inputs.map(|(i, input)| numbers(lengths.numbers(input.ty), i));
    let outputs = (0..tape.outputs().len())
        .map(|i| numbers(lengths.numbers(rows::output_type(tape, i)), 100 + i));
    (inputs.collect(), outputs.collect())
}

/// A recurrence over a value that is delayed by d besides, with a state that begins as given, learned, or as zeros; what is
/// left at its end goes out. The loss is a sum, so that rows add up.
fn recurrence(d: i32, init: &str) -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
    let a = r.input("a", InputRole::Static, Shape::Vector(3));
    let w = r.param("w", Shape::Matrix(3, 2));
    let u = r.param("u", Shape::Matrix(3, 3));
    let init = match init {
        "given" => None,
        "of the row" => Some(r.input("h0", InputRole::Static, Shape::Vector(3))),
        "learned" => Some(r.param("h0", Shape::Vector(3))),
        _ => Some(r.constant(0.0, Shape::Vector(3))),
    };
    let h = r.state("h", Shape::Vector(3), d, init);
    let next = (w.matvec(x) + u.matvec(h) + a).tanh().named("next");
    let next = r.next(h, next);
    // Its opposite, which reads what the first gives.
    let back = r.state("back", Shape::Vector(3), -d, None);
    let back = r.next(back, (0.5 * back + next * a).tanh());
    let mean = back.mean_to(Domain::Row);
    r.output("y", next * mean);
    r.output("mean", mean);
    r.output("last", back.last());
    r.loss((next * h).sum() + back.square().sum());
    r.reduce_loss(LossReduction::Sum);
    r.finish("recurrence").expect("it can be recorded")
}

/// The greatest value so far and the sum of those to come, which begin as a number of their own each.
fn running() -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
    let w = r.param("w", Shape::Vector(2));
    let y = (w * x).max_over_steps("greatest");
    let sum = r.state("to come", Shape::Vector(2), -1, Some(w));
    let sum = r.next(sum, sum + y);
    r.output("y", y * sum);
    r.loss(sum.sin().sum());
    r.reduce_loss(LossReduction::Sum);
    r.finish("running").expect("it can be recorded")
}

#[test]
fn each_row_is_what_it_is_alone() {
    let tape = running();
    for of in LENGTHS {
        let lengths = lengths(of);
        let (inputs, cotangents) = arrays(&tape, &lengths);
        compare(&tape, &lengths, (&inputs, &cotangents), &[])
            .unwrap_or_else(|e| panic!("running, {of:?}: {e}"));
    }
    for d in [1, 2, 3, -1, -2, -4] {
        for init in ["given", "of the row", "learned", "zeros"] {
            let tape = recurrence(d, init);
            assert!(rows::rows_are_independent(&tape));
            let observed = [tape.find("next").expect("it is named")];
            for of in LENGTHS {
                let lengths = lengths(of);
                let (inputs, cotangents) = arrays(&tape, &lengths);
                compare(&tape, &lengths, (&inputs, &cotangents), &observed)
                    .unwrap_or_else(|e| panic!("d = {d}, {init}, {of:?}: {e}"));
            }
        }
    }
}

#[test]
fn gradients_are_those_of_differences() {
    for d in [1, 3, -1, -2] {
        for init in ["given", "of the row", "learned"] {
            let tape = recurrence(d, init);
            for of in &LENGTHS[..4] {
                let lengths = lengths(of);
                let (inputs, _) = arrays(&tape, &lengths);
                let report =
                    gradcheck_ragged(&tape, &lengths, &slices(&inputs), Directions::Random(6), 1)
                        .unwrap_or_else(|e| panic!("d = {d}, {init}, {of:?}: {e}"));
                assert_eq!(report.checked, 6);
            }
            // Every number of an input, those of empty rows too.
            let lengths = lengths(&[3, 1, 0]);
            let (inputs, _) = arrays(&tape, &lengths);
            let all = Directions::Coordinates;
            let report = gradcheck_ragged(&tape, &lengths, &slices(&inputs), all, 2);
            let report = report.unwrap_or_else(|e| panic!("d = {d}, {init}: {e}"));
            assert!(
                report.checked > 8 * report.rejected,
                "d = {d}, {init}: {report:?}"
            );
        }
    }
}

/// Of a weighted mean, over all steps that there are: Σ weight·loss of each row alone, by the weights of all.
#[test]
fn means_are_over_the_steps_that_rows_have() {
    let cell = |weighted: bool| {
        let r = Recorder::new();
        let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
        let w = r.param("w", Shape::Matrix(2, 2));
        let h = r.state("h", Shape::Vector(2), 1, None);
        let next = r.next(h, (w.matvec(h) + x).tanh());
        if weighted {
            r.weight(r.input("mask", InputRole::Weight, Shape::Scalar));
        }
        r.loss(next.square().sum());
        r.finish("cell").expect("it can be recorded")
    };
    for of in &LENGTHS[..4] {
        let lengths = lengths(of);
        for weighted in [false, true] {
            let tape = cell(weighted);
            let (mut inputs, _) = arrays(&tape, &lengths);
            let mask = tape.input("mask");
            if let Some(k) = mask {
                inputs[k].iter_mut().for_each(|x| *x = 1.0 + 0.5 * *x);
            }
            let cotangents = |one: f64| -> Vec<Vec<f64>> {
                (tape.outputs().iter().enumerate())
                    .map(|(i, o)| match &*o.name {
                        "loss" => vec![one],
                        _ => vec![0.0; lengths.numbers(rows::output_type(&tape, i))],
                    })
                    .collect()
            };
            let all = rows::ragged(&tape, &lengths, (&inputs, &cotangents(1.0)), &[]);
            let weight = |r: usize| match mask {
                Some(k) => of_row(&inputs[k], tape.inputs()[k].ty, &lengths, r)
                    .iter()
                    .sum(),
                None => lengths.of_rows()[r] as f64,
            };
            let total: f64 = (0..lengths.rows()).map(weight).sum();
            let loss = tape.output("loss").expect("it has one");
            let (mut value, mut slope) = (0.0, vec![0.0; 4]);
            for r in (0..lengths.rows()).filter(|&r| lengths.of_rows()[r] > 0) {
                let share = weight(r) / total;
                let row = rows::alone(&tape, &lengths, (&inputs, &cotangents(1.0)), &[], r);
                value += share * row.outputs[loss][0];
                let own = slope.iter_mut().zip(&row.gradients[1]);
                own.for_each(|(s, g)| *s += share * g);
                let x = of_row(&all.gradients[0], tape.inputs()[0].ty, &lengths, r);
                let alone: Vec<f64> = row.gradients[0].iter().map(|g| share * g).collect();
                close("gradient of x", &x, &alone).unwrap_or_else(|e| panic!("{of:?}: {e}"));
            }
            close("loss", &all.outputs[loss], &[value]).unwrap_or_else(|e| panic!("{of:?}: {e}"));
            close("gradient of w", &all.gradients[1], &slope)
                .unwrap_or_else(|e| panic!("{of:?}: {e}"));
        }
    }
}

/// A row without steps ends as it began, and poisons nothing.
#[test]
fn an_empty_row_has_means_of_0_and_final_states_that_are_its_initial_ones() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
    let mean = x.mean_to(Domain::Row);
    r.output("mean", mean);
    r.output("sum", x.sum_to(Domain::Row));
    r.output("last", x.last());
    r.output("greatest", x.max_over_steps("so far"));
    let h = r.state("h", Shape::Vector(2), -2, None);
    r.next(h, h + x - mean);
    r.loss((x - mean).square().sum());
    let tape = r.finish("empty").expect("it can be recorded");
    let lengths = lengths(&[2, 1, 0]);
    let x = [1.0, 2.0, 5.0, 6.0, 3.0, 5.0];
    let h = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2];
    let mut run = Interpreter::<f64>::new(&tape);
    run.forward_ragged(&lengths, &[&x, &h]).expect("it runs");
    let output = |name: &str| run.output(tape.output(name).expect("it has it"));
    assert_eq!(output("mean"), [2.0, 3.5, 5.0, 6.0, 0.0, 0.0]);
    assert_eq!(output("sum"), [4.0, 7.0, 5.0, 6.0, 0.0, 0.0]);
    assert_eq!(output("last"), [3.0, 5.0, 5.0, 6.0, 0.0, 0.0]);
    assert_eq!(output("greatest"), [3.0, 5.0, 5.0, 6.0, 0.0, 0.0]);
    // Of row 0 both slots have moved, of row 1 the second is the first that was given, of row 2 both are as given.
    let left = output("h");
    assert_eq!(left[4..6], h[4..6], "{left:?}");
    assert_eq!(left[10..12], h[10..12], "{left:?}");
    assert_eq!(left[8..10], h[2..4], "{left:?}");
    assert_eq!(output("loss"), [6.5 / 3.0]);
    let cotangents = arrays(&tape, &lengths).1;
    let cotangents: Vec<Option<&[f64]>> = cotangents.iter().map(|c| Some(&c[..])).collect();
    run.backward(&cotangents).expect("they fit");
    for i in 0..tape.inputs().len() {
        let gradient = run.gradient(i).expect("it has one");
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    }
}

/// What an interpreter did before leaves no trace in a smaller run, were it NaN.
#[test]
fn nothing_is_read_of_an_earlier_run() {
    for d in [2, -2] {
        let tape = recurrence(d, "given");
        for of in LENGTHS {
            let lengths = lengths(of);
            let (inputs, cotangents) = arrays(&tape, &lengths);
            let fresh = rows::ragged(&tape, &lengths, (&inputs, &cotangents), &[]);
            let mut run = Interpreter::<f64>::new(&tape);
            let large = Lengths::new(vec![11; 12]).expect("they are equal");
            let (mut nan, mut of_outputs) = arrays(&tape, &large);
            nan.iter_mut()
                .chain(&mut of_outputs)
                .for_each(|x| x.fill(f64::NAN));
            run.forward_ragged(&large, &slices(&nan)).expect("it runs");
            let all: Vec<Option<&[f64]>> = of_outputs.iter().map(|c| Some(&c[..])).collect();
            run.backward(&all).expect("they fit");
            run.forward_ragged(&lengths, &slices(&inputs))
                .expect("it runs");
            let all: Vec<Option<&[f64]>> = cotangents.iter().map(|c| Some(&c[..])).collect();
            run.backward(&all).expect("they fit");
            for (i, output) in fresh.outputs.iter().enumerate() {
                assert_eq!(run.output(i), output, "d = {d}, {of:?}: output {i}");
            }
            for (i, gradient) in fresh.gradients.iter().enumerate() {
                let now = run.gradient(i).unwrap_or_default();
                assert_eq!(now, gradient, "d = {d}, {of:?}: gradient {i}");
            }
        }
    }
}

#[test]
fn equal_lengths_are_a_full_run() {
    let tape = recurrence(1, "given");
    let lengths = lengths(&[4, 4, 4]);
    let (inputs, cotangents) = arrays(&tape, &lengths);
    let found = rows::ragged(&tape, &lengths, (&inputs, &cotangents), &[]);
    let mut run = Interpreter::<f64>::new(&tape);
    let extent = retrograd_tape::Extent::steps(4).rows(3);
    run.forward(extent, &slices(&inputs)).expect("it runs");
    for (i, output) in found.outputs.iter().enumerate() {
        assert_eq!(run.output(i), output);
    }
}

#[test]
fn mistakes_name_the_step_and_the_row() {
    let r = Recorder::new();
    let table = r.param("table", Shape::Matrix(3, 2));
    let word = r.input("word", InputRole::Sequence, Shape::Scalar);
    r.loss(table.gather(word).sum());
    let tape = r.finish("words").expect("it can be recorded");
    let lengths = lengths(&[3, 2, 1]);
    let (table, mut words) = (vec![0.5; 6], vec![0.0, 1.0, 2.0, 0.0, 3.0, 1.0]);
    let mut run = Interpreter::<f64>::new(&tape);
    let wrong = run.forward_ragged(&lengths, &[&table, &words]);
    let text = wrong.expect_err("3 is no row").to_string();
    assert!(text.contains("step 1 of row 1"), "{text}");
    assert_eq!(
        tape.check_indices_ragged(&lengths, &[&table, &words])
            .map_err(|e| e.to_string()),
        Err(text)
    );
    words[4] = 2.0;
    assert_eq!(
        tape.check_indices_ragged(&lengths, &[&table, &words]),
        Ok(())
    );
    let wrong = run.forward_ragged(&lengths, &[&table, &words[1..]]);
    let text = wrong.expect_err("one is missing").to_string();
    assert!(
        text.contains("`word`") && text.contains('6') && text.contains('5'),
        "{text}"
    );
    run.forward_ragged(&lengths, &[&table, &words])
        .expect("it runs");
    assert!(matches!(
        run.backward(&[Some(&[1.0, 2.0])]),
        Err(TapeError::Length { .. })
    ));
}

/// Random programs, among them those that couple rows, which only differences can tell.
#[cfg(feature = "generate")]
mod random {
    use super::*;
    use retrograd_tape::generate::{Case, Choices, cotangents_ragged, generate};

    /// The case of a counter.
    fn drawn(counter: u64) -> Case {
        let bytes: Vec<u8> = (0..40 + counter as usize % 560)
            .map(|i| {
                let x = (counter * 600 + i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                ((x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as u8
            })
            .collect();
        generate(&mut Choices::new(&bytes))
    }

    fn rows_alone(case: &Case) -> Result<(), String> {
        let (tape, lengths) = (&case.tape, &case.lengths);
        let cotangents = cotangents_ragged(tape, lengths, case.seed);
        compare(tape, lengths, (&case.inputs, &cotangents), &[])
    }

    #[test]
    fn rows_are_what_they_are_alone() {
        let mut compared = 0;
        for counter in 0..4000 {
            let case = drawn(counter);
            if !case.is_ragged() {
                continue;
            }
            // Gradients that are limited do not add up either.
            let case = case.summed().without_limits();
            let suits = |c: &Case| {
                rows::rows_are_independent(&c.tape) && c.clearance().is_some_and(|d| d >= 1e-9)
            };
            if !suits(&case) {
                continue;
            }
            compared += 1;
            if let Err(reason) = rows_alone(&case) {
                let case = case.shrink(3000, |c| suits(c) && rows_alone(c).is_err());
                let now = rows_alone(&case).err().unwrap_or_default();
                panic!("{counter}: {reason}\ncut down:\n{case}{now}");
            }
        }
        assert!(compared >= 300, "{compared}");
    }

    fn differences(case: &Case) -> Result<usize, TapeError> {
        let random = Directions::Random(2);
        match gradcheck_ragged(&case.tape, &case.lengths, &case.slices(), random, case.seed) {
            Ok(report) => Ok(report.checked),
            Err(TapeError::NearKink { .. }) => Ok(0),
            Err(e) => Err(e),
        }
    }

    #[test]
    fn gradients_are_those_of_differences() {
        let mut checked = 0;
        for counter in 10_000..11_500 {
            let case = drawn(counter);
            if !case.is_ragged() || case.clearance().is_none_or(|d| d < 1e-3) {
                continue;
            }
            match differences(&case) {
                Ok(n) => checked += usize::from(n > 0),
                Err(e) => {
                    let fails =
                        |c: &Case| matches!(differences(c), Err(TapeError::Gradient { .. }));
                    let clear = |c: &Case| c.clearance().is_some_and(|d| d >= 1e-3);
                    let case = case.shrink(2000, |c| clear(c) && fails(c));
                    panic!("{counter}: {e}\ncut down:\n{case}{:?}", differences(&case));
                }
            }
        }
        assert!(checked >= 100, "{checked}");
    }

    #[test]
    fn lengths_of_every_kind_are_drawn_and_shrink_to_equal_ones() {
        let cases: Vec<Case> = (0..2000).map(drawn).collect();
        let share = |f: &dyn Fn(&[usize]) -> bool| {
            let found = cases.iter().filter(|c| f(c.lengths.of_rows()));
            found.count()
        };
        let ragged = share(&|l| l.first() != l.last());
        assert!((400..1000).contains(&ragged), "{ragged}");
        assert!(share(&|l| l.last() == Some(&0)) > 100);
        assert!(share(&|l| l[0] > 2 && l.last() == Some(&1)) > 50);
        let tied = |l: &[usize]| l[0] != l[l.len() - 1] && l.windows(2).any(|w| w[0] == w[1]);
        assert!(share(&tied) > 200);
        let ragged = cases.iter().find(|c| c.is_ragged() && c.b > 4);
        let ragged = ragged.expect("there are many");
        assert!(ragged.to_string().contains("ragged(&r.finish"), "{ragged}");
        assert!(!ragged.shrink(3000, |_| true).is_ragged());
        let short = ragged.shrink(3000, Case::is_ragged);
        assert_eq!(short.lengths.of_rows(), [1, 0], "{short}");
        assert!(
            generate(&mut Choices::new(&[])).lengths == lengths(&[1]),
            "the plainest"
        );
    }
}
