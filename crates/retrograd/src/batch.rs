//! Batches: T steps of B examples, each array under the name that the cell knows it by.

mod feed;
mod segments;
mod unpacked;

use std::sync::Arc;

use retrograd_tape::{Domain, Extent};

pub(crate) use feed::{Fed, Feed, RunMode, axes, called, not_finite};
pub use segments::Segment;
pub(crate) use segments::{Arrangement, Counts, Packing, Points};
pub(crate) use unpacked::Unpacked;

use crate::data;

/// T steps of B examples. Arrays are time-major and row-major: element k of example b at step t of an input of n elements is at `(t
/// * B + b) * n + k`; static inputs are `[B, n]`; the initial value of a state is `[d, B, n]` for its |d| slots. Lengths cannot
/// tell time-major from example-major data: transpose `[B, T, n]` first.
///
/// ```
/// use retrograd::{Batch, Extent};
///
/// // Two steps of three examples with two numbers each.
/// let x = vec![
///     0.1, 0.2, /* step 0, example 0 */ 1.1, 1.2, /* example 1 */ 2.1, 2.2, // example 2
///     0.3, 0.4, /* step 1, example 0 */ 1.3, 1.4, /* example 1 */ 2.3, 2.4, // example 2
/// ];
/// let batch = Batch::new(Extent::steps(2).rows(3)).with("x", x).with("next", vec![0.5; 6]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Batch<T = f32> {
    /// T, the number of steps, and B, the number of examples.
    pub extent: Extent,
    /// Shared, so that a clone may replace some of them.
    arrays: Vec<(String, Arc<Vec<T>>)>,
    lengths: Option<Vec<usize>>,
    resets: Option<Vec<bool>>,
}

impl<T> Batch<T> {
    /// A batch without arrays.
    pub fn new(extent: Extent) -> Batch<T> {
        Batch {
            extent,
            arrays: Vec::new(),
            lengths: None,
            resets: None,
        }
    }

    /// The batch with rows of these lengths, at most T each; a row may be empty, but not all of them. What lies beyond a
    /// row's end is neither computed nor read: outputs and gradients of inputs are zeros there. What is read from the end
    /// begins at the row's own end, final states are those after its own last step, and a mean over steps is one over the
    /// steps that there are.
    ///
    /// ```
    /// use retrograd::{Batch, Cell, Extent};
    ///
    /// let cell = Cell::define("sum", |c| {
    ///     let (x, h) = (c.input("x", ()), c.state("h", ()));
    ///     let h = c.next(h, h + x);
    ///     c.output("y", h);
    /// })?;
    /// let x = vec![1.0, 10.0, /* step 1 */ 2.0, f32::NAN, /* step 2 */ 3.0, f32::NAN];
    /// let batch = Batch::new(Extent::steps(3).rows(2)).with_lengths(&[3, 1]).with("x", x);
    /// let mut session = cell.program().build()?.session();
    /// let results = session.run(&[], &batch)?;
    /// assert_eq!(results.output("y"), Some(&[1.0, 10.0, 3.0, 0.0, 6.0, 0.0][..]));
    /// assert_eq!(results.output("h"), Some(&[6.0, 10.0][..]), "the final states");
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[must_use]
    pub fn with_lengths(mut self, lengths: &[usize]) -> Batch<T> {
        self.lengths = Some(lengths.to_vec());
        self
    }

    /// The batch with resets, `[T, B]`: where one is true, all states of that row are reset before that step, as at the
    /// start of an episode or between recordings that lie one after another. The stretches between resets, which
    /// [`segments`](Batch::segments) returns, are sequences of their own: nothing flows from one to another, in neither
    /// direction.
    ///
    /// A reset state begins as declared, and where initial states are given, with zeros; so only a row's first segment
    /// has a given initial state (unless the row's first step is a reset), and only its last has the row's final state. A
    /// state that runs from the end begins with the last segment. Targets, weights, masks and outputs over rows are one a
    /// segment, `[segments, n]`, in order of row, then time; a segment has the static inputs of its row.
    ///
    /// ```
    /// use retrograd::{Batch, Cell, Extent};
    ///
    /// let cell = Cell::define("sum", |c| {
    ///     let (x, h) = (c.input("x", ()), c.state("h", ()));
    ///     let h = c.next(h, h + x);
    ///     c.output("y", h);
    /// })?;
    /// let batch = Batch::new(Extent::steps(4))
    ///     .with("x", vec![1.0, 2.0, 3.0, 4.0])
    ///     .with("h", vec![10.0])
    ///     .with_resets(&[false, false, true, false]);
    /// let mut session = cell.program().build()?.session();
    /// assert_eq!(session.run(&[], &batch)?.output("y"), Some(&[11.0, 13.0, 3.0, 7.0][..]));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[must_use]
    pub fn with_resets(mut self, resets: &[bool]) -> Batch<T> {
        self.resets = Some(resets.to_vec());
        self
    }

    /// The lengths of the rows, if they were given.
    pub fn lengths(&self) -> Option<&[usize]> {
        self.lengths.as_deref()
    }

    /// The resets, if they were given.
    pub fn resets(&self) -> Option<&[bool]> {
        self.resets.as_deref()
    }

    /// The batch with an array; one of the same name is replaced. Lengths are checked against the cell when the batch is used.
    #[must_use]
    pub fn with(mut self, name: &str, values: Vec<T>) -> Batch<T> {
        self.arrays.retain(|(n, _)| n != name);
        self.arrays.push((name.to_owned(), Arc::new(values)));
        self
    }

    /// Cuts lengths and resets to some of the steps.
    pub(crate) fn cut(&mut self, steps: &std::ops::Range<usize>) {
        let rows = self.extent.rows;
        for length in self.lengths.iter_mut().flatten() {
            *length = (*length).clamp(steps.start, steps.end) - steps.start;
        }
        if let Some(resets) = &mut self.resets
            && let Some(part) = resets.get(steps.start * rows..steps.end * rows)
        {
            *resets = part.to_vec();
        }
    }

    /// Whether a point of a domain is one of the batch's, not padding.
    fn has(&self, domain: Domain, point: usize) -> bool {
        let rows = self.extent.rows;
        match (&self.lengths, domain) {
            (Some(lengths), Domain::Step) => point / rows < lengths[point % rows],
            _ => true,
        }
    }

    /// The array of that name.
    pub fn array(&self, name: &str) -> Option<&[T]> {
        let found = self.arrays.iter().find(|(n, _)| n == name);
        found.map(|(_, values)| &values[..])
    }
}

/// Windows of a series, under the names of [`crate::zoo::forecaster`]: "x" and "next".
impl<T> From<data::WindowBatch<T>> for Batch<T> {
    fn from(windows: data::WindowBatch<T>) -> Batch<T> {
        Batch::new(Extent {
            steps: windows.steps,
            rows: windows.batch,
        })
        .with("x", windows.input)
        .with("next", windows.target)
    }
}
