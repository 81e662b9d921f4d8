//! Ranges of inputs, and those that tables give to indices: what tests draw.

use retrograd_tape::generate::inputs;
use retrograd_tape::{Directions, InputRole, Op, Recorder, Shape, Tape, TapeError, gradcheck};
use retrograd_text::read_tape;

fn read(text: &str) -> Tape {
    read_tape("test.cell", text, &[]).unwrap_or_else(|e| panic!("{e}"))
}

/// What is drawn for an input, from several seeds.
fn drawn(tape: &Tape, name: &str) -> Vec<f64> {
    let at = tape.input(name).expect("it is there");
    let all = (0..40).map(|seed| inputs(tape, 7, 3, seed)[at].clone());
    all.collect::<Vec<_>>().concat()
}

#[test]
fn a_range_of_the_text_is_that_of_the_builder() {
    let text = read(
        "cell c(share[3] in 0..1, static size in -N..2 * N; h[3]) where N=2
        target y[3] over row in 0.25..0.5
        weight_input w in 1..2 over step
        h' = share * size + h
        output h'
        loss mean(h' * y)
        weight w",
    );
    let r = Recorder::new();
    let share = r.input("share", InputRole::Sequence, Shape::Vector(3));
    assert_eq!(share.bounded(0.0..1.0).value(), share.value());
    let size = r
        .input("size", InputRole::Static, Shape::Scalar)
        .bounded(-2.0..4.0);
    r.output("both", size * share);
    let built = r.finish("c").unwrap();
    for (name, range) in [("share", 0.0..1.0), ("size", -2.0..4.0)] {
        for tape in [&text, &built] {
            let input = &tape.inputs()[tape.input(name).unwrap()];
            assert_eq!(input.range, Some(range.clone()));
        }
    }
    let shown = text.to_string();
    for line in [
        "= input 0 in 0..1  # share",
        "in -2..4  # size",
        "in 0.25..0.5",
        "in 1..2  # w",
    ] {
        assert!(shown.contains(line), "{line} is missing in\n{shown}");
    }
}

#[test]
fn numbers_are_drawn_from_the_range_without_its_end() {
    for (range, low, high) in [
        ("0..1", 0.0, 1.0),
        ("-3..-2.5", -3.0, -2.5),
        ("1..1.0000001", 1.0, 1.0000001),
        // No number of f32 lies in this one, and the next are as large as an f64 can be.
        ("0.1..0.1000000001", 0.1, 0.1000000001),
        ("-1e308..1e308", -1e308, 1e308),
    ] {
        let tape = read(&format!(
            "cell c(x[3] in {range}, free)\noutput y = x + free"
        ));
        let found = drawn(&tape, "x");
        let inside = found.iter().all(|x| (low..high).contains(x));
        assert!(inside, "{range}: {found:?}");
        let middle = 0.5 * low + 0.5 * high;
        if high - low > 0.1 {
            let (below, above): (Vec<f64>, Vec<f64>) = found.iter().partition(|&&x| x < middle);
            assert!(below.len().min(above.len()) > found.len() / 3, "{range}");
        }
    }
    let tape = read("cell c(x in 0..1, free)\noutput y = x + free");
    assert!(drawn(&tape, "free").iter().any(|&x| x < 0.0));
    assert!(drawn(&tape, "x").iter().all(|&x| f64::from(x as f32) == x));
}

#[test]
fn an_index_is_drawn_from_its_table_however_it_comes_there() {
    for (text, name, rows) in [
        ("cell c(word)\noutput y = embedding[5, 2](word)", "word", 5),
        (
            "cell c(static word; h)\ne = embedding[5, 2](word)\nh' = 0.5 * h + sum(e)\noutput h'",
            "word",
            5,
        ),
        ("cell c(x[4], k)\noutput y = gather(x, k)", "k", 4),
        (
            "cell c(M[4, 3], k)\noutput y = gather(M, k, axis=1)",
            "k",
            3,
        ),
        ("cell c(k)\noutput y = one_hot(k, 6)", "k", 6),
        ("cell c(k[1])\noutput y = one_hot(k, 6)", "k", 6),
        // The least of several tables, and the range within it.
        (
            "cell c(k, x[9])\noutput y = one_hot(k, 6)\noutput z = gather(x, k)",
            "k",
            6,
        ),
        ("cell c(k in 0..3)\noutput y = one_hot(k, 6)", "k", 3),
        ("cell c(k in 7..9)\noutput y = one_hot(k, 6)", "k", 6),
        // The word before this one.
        (
            "cell c(word; last)\nlast' = word\noutput y = embedding[5, 2](last)",
            "word",
            5,
        ),
    ] {
        let tape = read(text);
        let found = drawn(&tape, name);
        for k in 0..rows {
            assert!(found.contains(&(k as f64)), "{k} is never drawn in\n{text}");
        }
        let least = |x: &f64| (0.0..rows as f64).contains(x) && x.fract() == 0.0;
        assert!(found.iter().all(least), "{text}\n{found:?}");
        runs(&tape);
    }
}

#[test]
fn of_a_vector_only_the_indices_are_whole_numbers() {
    let tape = read(
        "cell c(x[4])
        word = embedding[5, 2](x[1])
        output y = sum(word) * x[2..4] + gather(x[2..4], x[0])",
    );
    let found = drawn(&tape, "x");
    for x in found.chunks(4) {
        assert!(x[..2].iter().all(|k| k.fract() == 0.0), "{x:?}");
        assert!((0.0..2.0).contains(&x[0]) && (0.0..5.0).contains(&x[1]));
    }
    assert!(found.iter().any(|x| x.fract() != 0.0));
    runs(&tape);
}

/// The gradients are those of differences, which an index out of its table would not let run.
fn runs(tape: &Tape) {
    let data = inputs(tape, 3, 2, 5);
    let slices: Vec<&[f64]> = data.iter().map(Vec::as_slice).collect();
    if tape.outputs().is_empty() {
        return;
    }
    gradcheck(tape, 3, 2, &slices, Directions::Random(2), 1).unwrap_or_else(|e| panic!("{e}"));
}

/// Without the range, the first half of what is drawn has no logarithm; with it, no difference leaves it.
#[test]
fn differences_stay_within_the_range() {
    let program = |range: &str| {
        let text = format!("cell c(x {range}; h)\nh' = 0.5 * h + ln(x) * sqrt(1 - x)\noutput h'");
        read(&text)
    };
    let check =
        |tape: &Tape, x: &[f64]| gradcheck(tape, 2, 2, &[x, &[]], Directions::Coordinates, 1);
    let free = program("");
    let negative = inputs(&free, 2, 2, 3)[0].clone();
    assert!(negative.iter().any(|&x| x < 0.0));
    assert!(check(&free, &negative).is_err());
    let bounded = program("in 0..1");
    let report = check(&bounded, &inputs(&bounded, 2, 2, 3)[0]).unwrap();
    assert!(report.checked >= 4, "{report:?}");
    // Closer to an end than a difference reaches.
    let near = [0.5, 1e-6, 1.0 - 1e-6, 0.25];
    let report = check(&bounded, &near).unwrap();
    assert_eq!(
        (report.checked, report.rejected),
        (4, 2),
        "two numbers and two states are left"
    );
    assert!(check(&free, &near).is_err());
}

#[test]
fn a_range_is_of_an_input_and_has_numbers() {
    for (line, says) in [
        ("input x in 1..1", "the range 1..1 has no numbers"),
        ("input x in 1..0", "the end is excluded"),
        ("input x in 0..n", "there is no dimension `n`"),
        ("input x in 0", "`..` and the end of the range"),
        ("input x in 0..1 in 0..1", "the end of the line"),
        ("mask m keep 0.5 in 0..1", "a mask is 0 or 1/keep"),
        ("param p in 0..1", "the end of the line"),
    ] {
        let text = format!("cell c(z)\n{line}\noutput y = z");
        let shown = read_tape("c.cell", &text, &[]).expect_err(line).to_string();
        assert!(shown.contains(says), "{shown}");
    }
    for range in [1.0..1.0, 0.0..f64::INFINITY, f64::NAN..1.0] {
        let r = Recorder::new();
        let x = r.input("x", InputRole::Sequence, Shape::Scalar);
        r.output("y", x.bounded(range).tanh());
        let error = r.finish("wrong").unwrap_err();
        assert!(matches!(error, TapeError::InputRange { .. }), "{error}");
        assert!(error.to_string().contains("`x` cannot be drawn from"));
    }
    let r = Recorder::new();
    let one = r.apply(Op::constant(1.0, Shape::Scalar), &[]);
    r.output("y", one.bounded(0.0..1.0));
    assert!(
        r.finish("wrong")
            .unwrap_err()
            .to_string()
            .contains("expected an input")
    );
}
