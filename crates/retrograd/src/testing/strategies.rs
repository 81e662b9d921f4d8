//! Strategies of `proptest` for properties of your own: shapes, lengths of rows, batches for a cell, samples for
//! [`Property`](super::Property), and whole programs. They shrink to few rows, few steps and zeros.

use proptest::collection::vec;
use proptest::prelude::*;
use retrograd_tape::generate::{Case, Choices, generate, inputs};
use retrograd_tape::{Extent, InputRole, Lengths, Shape, Tape};

use super::{Sample, Target};
use crate::batch::Batch;
use crate::cell::Cell;

/// Shapes of rank 0 to 3, each axis of at most `most` elements.
///
/// ```
/// use proptest::strategy::{Strategy, ValueTree};
/// use proptest::test_runner::TestRunner;
/// use retrograd::testing::strategies::shapes;
///
/// let shape = shapes(4).new_tree(&mut TestRunner::default()).unwrap().current();
/// assert!((1..=64).contains(&shape.len()));
/// ```
pub fn shapes(most: usize) -> impl Strategy<Value = Shape> {
    let axes = vec(1..=most.max(1), 0..=3);
    axes.prop_map(|axes| Shape::from_axes(&axes).expect("up to three axes, none empty"))
}

/// Steps and rows, at most so many.
pub fn extents(steps: usize, rows: usize) -> impl Strategy<Value = Extent> {
    let (steps, rows) = (1..=steps.max(1), 1..=rows.max(1));
    (steps, rows).prop_map(|(steps, rows)| Extent { steps, rows })
}

/// Lengths of at most `rows` rows, the longest of at most `steps` steps; some may be empty.
///
/// ```
/// use proptest::strategy::{Strategy, ValueTree};
/// use proptest::test_runner::TestRunner;
/// use retrograd::testing::strategies::lengths;
///
/// let lengths = lengths(5, 3).new_tree(&mut TestRunner::default()).unwrap().current();
/// assert!(lengths.rows() <= 3 && (1..=5).contains(&lengths.steps()));
/// ```
pub fn lengths(steps: usize, rows: usize) -> impl Strategy<Value = Lengths> {
    let steps = steps.max(1);
    let rest = vec(0..=steps, 0..rows.max(1));
    (1..=steps, rest).prop_map(|(first, mut all)| {
        all.push(first);
        all.sort_unstable_by(|a, b| b.cmp(a));
        Lengths::new(all).expect("one has steps, and the longest comes first")
    })
}

/// So many numbers of this magnitude and less, all of them exact in f32.
pub fn values(count: usize, most: f32) -> impl Strategy<Value = Vec<f32>> {
    vec(-most..=most, count)
}

/// Batches that suit a cell, of at most so many steps and rows: numbers for every input but parameters and masks, within
/// what it was declared for; row numbers that its tables have. Half of the initial states are left out.
pub fn batches(
    cell: &Cell,
    steps: usize,
    rows: usize,
) -> impl Strategy<Value = Batch<f32>> + use<> {
    let tape = cell.tape().clone();
    let zeros = vec(any::<bool>(), tape.inputs().len());
    (extents(steps, rows), any::<u64>(), zeros).prop_map(move |(extent, seed, kept)| {
        let drawn = inputs(&tape, extent.steps, extent.rows, seed);
        let mut batch = Batch::new(extent);
        for ((input, mut numbers), kept) in tape.inputs().iter().zip(drawn).zip(kept) {
            if matches!(input.role, InputRole::Param | InputRole::Mask) || numbers.is_empty() {
                continue;
            }
            if !kept && input.role == InputRole::Initial {
                numbers.fill(0.0);
            }
            batch = batch.with(&input.name, numbers.iter().map(|x| *x as f32).collect());
        }
        batch
    })
}

/// Samples of a program, of at most so many steps and rows, for [`Property::outcome`](super::Property::outcome).
///
/// ```
/// use proptest::test_runner::{Config, TestRunner};
/// use retrograd::testing::{Property, strategies::samples};
/// use retrograd::Cell;
///
/// let cell = Cell::define("sum", |c| {
///     let (x, h) = (c.input("x", 2), c.state("h", 2));
///     c.output("y", c.next(h, (h + x).tanh()));
/// })?;
/// let property = Property::find("modes").unwrap();
/// let mut runner = TestRunner::new(Config { cases: 4, ..Config::default() });
/// let ran = runner.run(&samples(cell.tape(), 6, 3), |mut sample| {
///     assert!(!property.outcome(&mut sample).is_fault());
///     Ok(())
/// });
/// assert!(ran.is_ok());
/// # Ok::<(), retrograd::Error>(())
/// ```
pub fn samples(tape: &Tape, steps: usize, rows: usize) -> impl Strategy<Value = Sample<'_>> {
    (lengths(steps, rows), any::<u64>())
        .prop_map(|(lengths, seed)| Sample::over(tape, lengths, seed, Target::host()))
}

/// Whole random programs, as the compiler's own tests draw them: every op that can be recorded, states of every kind,
/// recurrences that follow, feed or ignore each other. A case displays as Rust.
pub fn programs() -> impl Strategy<Value = Case> {
    vec(any::<u8>(), 40..400).prop_map(|bytes| generate(&mut Choices::new(&bytes)))
}
