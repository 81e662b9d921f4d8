//! [`Carry`]: the states of rows from one chunk of their sequences to the next.

use retrograd_tape::{Domain, Extent, Type};

use crate::batch::{Arrangement, Batch, Counts, Segment, axes, called};
use crate::cell::Cell;
use crate::error::Error;
use crate::numbers::Float;

/// The states that the rows of a chunk ended with, for the next chunk to begin with: truncated back-propagation through
/// time (Williams & Peng 1990). A long series is trained chunk after chunk; values are those of one run over the whole,
/// and gradients do not pass from a chunk to the one before. Compiled code computes them bit by bit as in one run if
/// nothing is learned between.
///
/// Every state is carried, whether it is given, learned or computed at the start, with as many values as its delay has
/// steps. A row begins as the cell declares until it is first carried, and again after [`reset_row`](Self::reset_row).
///
/// ```
/// use retrograd::{Adam, Batch, Extent, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("lstm").unwrap(), 1, 8)?;
/// let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).seed(1).build()?;
/// let series: Vec<f32> = (0..1001).map(|t| (0.3 * t as f32).sin()).collect();
///
/// let mut carry = trainer.carry(1)?; // of one row
/// for start in (0..1000).step_by(50) {
///     let chunk = Batch::new(Extent::steps(50))
///         .with("x", series[start..start + 50].to_vec())
///         .with("next", series[start + 1..start + 51].to_vec());
///     trainer.step_carrying(&chunk, &mut carry)?;
/// }
/// assert_eq!(carry.state("h").map(<[f32]>::len), Some(8));
/// carry.reset(); // another series begins
/// # Ok::<(), retrograd::Error>(())
/// ```
///
/// Around any other run: [`onto`](Self::onto) gives the batch to run, [`keep`](Self::keep) takes what it left. With
/// [`Session::forward`](crate::Session::forward) gradients may even pass from chunk to chunk: that of a carried state is
/// the cotangent of the final state before.
///
/// ```
/// use retrograd::{Batch, Cell, Cotangents, Extent};
///
/// let cell = Cell::define("leaky", |c| {
///     let (x, h) = (c.input("x", ()), c.state("h", ()));
///     c.output("y", c.next(h, 0.5 * h + x));
/// })?;
/// let program = cell.program().gradients(["x", "h"]).all_cotangents().build()?;
/// let (mut session, mut carry) = (program.session(), cell.carry(1)?);
/// let one = Batch::new(Extent::steps(2)).with("x", vec![1.0_f32, 1.0]);
/// let first = session.forward(&[], &one)?;
/// carry.keep(&one, |name| first.output(name))?;
/// let two = carry.onto(&one)?;
/// let second = session.forward(&[], &two)?;
/// assert_eq!(second.output("y"), Some(&[1.75, 1.875][..]));
///
/// let last = Cotangents::new().with("y", vec![0.0, 1.0]);
/// let passed = second.backward(&last)?.of("h").unwrap().to_vec();
/// let gradients = first.backward(&Cotangents::new().with("h", passed))?;
/// assert_eq!(gradients.of("x"), Some(&[0.125, 0.25][..]));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Carry<T: Float = f32> {
    rows: usize,
    burn_in: usize,
    states: Vec<Carried<T>>,
}

/// A state.
#[derive(Clone, Debug, PartialEq)]
struct Carried<T> {
    name: String,
    /// That of its slots.
    ty: Type,
    /// The input with its carried value, which may be that of another state that is the same, and the one that says which
    /// rows are carried.
    input: String,
    flag: Option<String>,
    /// `[|d|, B, shape]`; zeros in rows that are not carried.
    values: Vec<T>,
    rows: Vec<bool>,
}

/// Which rows of a state are carried, as it is saved.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CarryRows {
    pub(crate) name: String,
    rows: Vec<bool>,
}

impl Cell {
    /// The cell with a carried value for every state, which takes the place of the start that the cell declares: a batch may
    /// have an array of each state's name, `[|d|, B, shape]`. A state that is given at its start has one already; for
    /// others it is added, together with `carried(<state>)`, `[|d|, B]`, which is 1 where the array counts and 0 where the
    /// declared start does, and ones unless given. No gradient reaches the declared start of a carried row. A cell whose
    /// states are all given at their start stays as it is.
    ///
    /// [`Trainer::carry`](crate::Trainer::carry) does this by itself; a [`Program`](crate::Program) is made of the result.
    ///
    /// ```
    /// use retrograd::{Batch, Cell, Extent, StateSpec};
    ///
    /// let cell = Cell::define("sum", |c| {
    ///     let h = c.state_with("h", 1, StateSpec::delay(1).init_learned());
    ///     c.output("y", c.next(h, h + c.input("x", 1)));
    /// })?
    /// .carrying()?;
    /// let mut session = cell.program().build()?.session();
    /// let batch = Batch::new(Extent::steps(1).rows(2)).with("x", vec![1.0, 1.0]);
    /// let batch = batch.with("h", vec![10.0, 20.0]).with("carried(h)", vec![1.0, 0.0]);
    /// let results = session.run(&[5.0], &batch)?;
    /// assert_eq!(results.output("y"), Some(&[11.0, 6.0][..]));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Cell`] for what reads later steps, which the next chunk has: a state that begins at the end of the steps, a
    /// value of a whole row. The message names it. Also if an input of the cell has the name of one that is added.
    pub fn carrying(&self) -> Result<Cell, Error> {
        if self.carried().is_some() {
            return Ok(self.clone());
        }
        let (tape, carried) = self.tape().carrying()?;
        Ok(self.with_carried(tape, carried))
    }

    /// States for this many rows of chunks, which begin as declared.
    ///
    /// # Errors
    /// As [`carrying`](Self::carrying); [`Error::NotCarrying`] if that would change the cell.
    pub fn carry<T: Float>(&self, rows: usize) -> Result<Carry<T>, Error> {
        let carrying = self.carrying()?;
        let tape = carrying.tape();
        if rows == 0 {
            return Err(Error::EmptyBatch { t: 1, b: 0 });
        }
        let mut states = Vec::new();
        for state in carrying.carried().unwrap_or_default() {
            let input = &tape.inputs()[state.input];
            let name = tape.outputs()[state.output].name.to_string();
            if self.tape().input(&input.name).is_none() {
                return Err(Error::NotCarrying {
                    cell: self.name().to_owned(),
                    state: name,
                });
            }
            states.push(Carried {
                name,
                ty: input.ty,
                input: input.name.to_string(),
                flag: state.flag.map(|f| tape.inputs()[f].name.to_string()),
                values: crate::numbers::zeros("the states", input.ty.numbers(0, rows))?,
                rows: vec![false; rows],
            });
        }
        Ok(Carry {
            rows,
            burn_in: 0,
            states,
        })
    }
}

impl<T: Float> Carry<T> {
    /// Lets the first steps of every chunk run forward only: they change the states and nothing else (no loss, no gradient,
    /// no outputs), as after states that other parameters left (Kapturowski et al. 2019). It holds for
    /// [`Trainer::step_carrying`](crate::Trainer::step_carrying) and its kind.
    #[must_use]
    pub fn burn_in(self, steps: usize) -> Carry<T> {
        Carry {
            burn_in: steps,
            ..self
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The names of the states.
    pub fn states(&self) -> impl Iterator<Item = &str> {
        self.states.iter().map(|s| &*s.name)
    }

    /// A state, `[|d|, B, shape]` for its |d| slots, the oldest first; zeros in rows that begin as declared.
    pub fn state(&self, name: &str) -> Option<&[T]> {
        let state = self.states.iter().find(|s| s.name == name)?;
        Some(&state.values)
    }

    /// Sets a state of all rows, in the layout that [`state`](Self::state) returns: the next chunk begins with it.
    ///
    /// # Errors
    /// [`Error::NoSuchState`], [`Error::InputLength`].
    pub fn set_state(&mut self, name: &str, values: &[T]) -> Result<(), Error> {
        let Some(at) = self.states.iter().position(|s| s.name == name) else {
            return Err(Error::NoSuchState {
                name: name.to_owned(),
                known: self.states().map(str::to_owned).collect(),
            });
        };
        let state = &mut self.states[at];
        state.fits(values, self.rows)?;
        state.values.copy_from_slice(values);
        state.rows.fill(true);
        Ok(())
    }

    /// Names, lengths and numbers of the states, with the rows that are carried.
    pub(crate) fn saved(&self) -> impl Iterator<Item = (CarryRows, Vec<usize>, &[T])> {
        self.states.iter().map(|s| {
            let mut shape = vec![s.slots_of(), self.rows];
            shape.extend_from_slice(&s.ty.shape.axes());
            let rows = CarryRows {
                name: s.name.clone(),
                rows: s.rows.clone(),
            };
            (rows, shape, &s.values[..])
        })
    }

    /// Sets all states to those that were saved, or says what is different.
    pub(crate) fn set_saved(&mut self, saved: &[(&CarryRows, &[T])]) -> Result<(), String> {
        let names = saved.iter().map(|(s, _)| &s.name[..]);
        if !names.eq(self.states()) {
            let known: Vec<&str> = self.states().collect();
            return Err(format!("other states than {known:?} were carried"));
        }
        for (state, (rows, values)) in self.states.iter().zip(saved) {
            if rows.rows.len() != self.rows || values.len() != state.values.len() {
                let found = rows.rows.len();
                return Err(format!("{found} rows were carried, not {}", self.rows));
            }
        }
        for (state, (rows, values)) in self.states.iter_mut().zip(saved) {
            state.values.copy_from_slice(values);
            state.rows.clone_from(&rows.rows);
        }
        Ok(())
    }

    /// Cuts all rows off from what came before: they begin as declared.
    pub fn reset(&mut self) {
        for state in &mut self.states {
            state.values.fill(T::ZERO);
            state.rows.fill(false);
        }
    }

    /// Cuts one row off from what came before: it begins as declared, the others go on.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such row.
    pub fn reset_row(&mut self, row: usize) -> Result<(), Error> {
        if row >= self.rows {
            return Err(Error::Setting {
                what: "the row to be reset",
                found: row.to_string(),
                expected: format!("less than the number of rows, {}", self.rows),
            });
        }
        for state in &mut self.states {
            state.rows[row] = false;
            for part in state.slots(self.rows, row) {
                state.values[part].fill(T::ZERO);
            }
        }
        Ok(())
    }

    /// The chunk with the carried states as its initial ones. A row that begins as declared keeps what the chunk says of its
    /// start. Arrays are shared with the chunk, not copied.
    ///
    /// # Errors
    /// [`Error::Setting`] if the chunk has another number of rows.
    pub fn onto(&self, chunk: &Batch<T>) -> Result<Batch<T>, Error> {
        if chunk.extent.rows != self.rows {
            return Err(Error::Setting {
                what: "the number of rows of a chunk",
                found: chunk.extent.rows.to_string(),
                expected: format!("{}, as of those whose states are carried", self.rows),
            });
        }
        let mut batch = chunk.clone();
        for state in self.states.iter().filter(|s| s.rows.contains(&true)) {
            let given = chunk.array(&state.input);
            if let Some(given) = given {
                state.fits(given, self.rows)?;
            }
            let mut values = state.values.clone();
            let mut flags = vec![T::ONE; state.slots_of().saturating_mul(self.rows)];
            let which = state.flag.as_ref().and_then(|flag| chunk.array(flag));
            for (row, _) in state.rows.iter().enumerate().filter(|(_, on)| !**on) {
                for (slot, part) in state.slots(self.rows, row).enumerate() {
                    let at = slot * self.rows + row;
                    let Some(given) = given else {
                        flags[at] = T::ZERO;
                        continue;
                    };
                    values[part.clone()].copy_from_slice(&given[part]);
                    if let Some(flag) = which.and_then(|flags| flags.get(at)) {
                        flags[at] = *flag;
                    }
                }
            }
            batch = batch.with(&state.input, values);
            if let Some(flag) = &state.flag {
                batch = batch.with(flag, flags);
            }
        }
        Ok(batch)
    }

    /// Keeps the states that a run of this chunk ended with: `last` returns each of them by its name, as a run's `output` does.
    /// A row that has no steps in the chunk stays as it is: it may yet have to begin.
    ///
    /// # Errors
    /// [`Error::NoSuchState`] if the run has none of this name; [`Error::InputLength`] if it had another number of rows.
    pub fn keep<'r>(
        &mut self,
        chunk: &Batch<T>,
        last: impl Fn(&str) -> Option<&'r [T]>,
    ) -> Result<(), Error>
    where
        T: 'r,
    {
        for state in &self.states {
            let Some(values) = last(&state.name) else {
                return Err(Error::NoSuchState {
                    name: state.name.clone(),
                    known: Vec::new(),
                });
            };
            state.fits(values, self.rows)?;
        }
        let lengths = chunk.lengths();
        let runs = |row: usize| lengths.is_none_or(|l| l.get(row).is_some_and(|&n| n > 0));
        for state in &mut self.states {
            let Some(values) = last(&state.name) else {
                continue;
            };
            for row in (0..self.rows).filter(|&row| runs(row)) {
                for part in state.slots(self.rows, row) {
                    state.values[part.clone()].copy_from_slice(&values[part]);
                }
                state.rows[row] = true;
            }
        }
        Ok(())
    }

    /// The chunk in two: the steps that run forward only, if there are any, and those after them.
    ///
    /// # Errors
    /// [`Error::Setting`] if all of them run forward only.
    pub(crate) fn divided(
        &self,
        cell: &Cell,
        chunk: &Batch<T>,
    ) -> Result<(Option<Batch<T>>, Batch<T>), Error> {
        let n = self.burn_in;
        if n == 0 {
            return Ok((None, chunk.clone()));
        }
        let segments = chunk.segments()?;
        let t = segments.iter().map(|s| s.steps.end).max().unwrap_or(0);
        if n >= t {
            return Err(Error::Setting {
                what: "the number of steps that run forward only",
                found: n.to_string(),
                expected: format!("less than the steps of a chunk's longest row, {t}"),
            });
        }
        let t = chunk.extent.steps;
        Ok((Some(chunk.steps(cell, 0..n)?), chunk.steps(cell, n..t)?))
    }
}

impl<T: Float> Carried<T> {
    fn slots_of(&self) -> usize {
        match self.ty.domain {
            Domain::BoundarySlots(d) => d,
            Domain::Once | Domain::Row | Domain::Step => 1,
        }
    }

    /// Where a row's values lie, slot by slot.
    fn slots(
        &self,
        rows: usize,
        row: usize,
    ) -> impl Iterator<Item = std::ops::Range<usize>> + use<T> {
        let n = self.ty.shape.len();
        (0..self.slots_of()).map(move |slot| {
            let start = (slot * rows + row) * n;
            start..start + n
        })
    }

    fn fits(&self, values: &[T], rows: usize) -> Result<(), Error> {
        if values.len() == self.values.len() {
            return Ok(());
        }
        Err(Error::InputLength {
            name: self.name.clone(),
            role: "state",
            count: self.values.len(),
            expected: axes(
                self.ty,
                Arrangement::Starts { reverse: false },
                Counts::full(Extent { steps: 0, rows }),
            ),
            found: values.len(),
        })
    }
}

impl<T: Float> Batch<T> {
    /// Some of the steps: arrays over steps are cut, and of those with one value a segment, these steps' segments are left.
    fn steps(&self, cell: &Cell, steps: std::ops::Range<usize>) -> Result<Batch<T>, Error> {
        let rows = self.extent.rows;
        let mut part = self.clone();
        part.extent = Extent {
            steps: steps.len(),
            rows,
        };
        part.cut(&steps);
        let (whole, parts) = (self.segments()?, part.segments()?);
        let counts = Counts {
            segments: whole.len(),
            ..Counts::full(self.extent)
        };
        let tape = cell.tape();
        for (k, input) in tape.inputs().iter().enumerate() {
            let how = Arrangement::of_input(tape, k);
            if !matches!(how, Arrangement::Steps | Arrangement::Segments) {
                continue;
            }
            let Some(values) = self.array(&input.name) else {
                continue;
            };
            let count = how.numbers(input.ty, counts);
            if values.len() != count {
                return Err(Error::InputLength {
                    name: input.name.to_string(),
                    role: called(input.role),
                    count,
                    expected: axes(input.ty, how, counts),
                    found: values.len(),
                });
            }
            let n = input.ty.shape.len();
            let cut = match how {
                Arrangement::Steps => values[steps.start * rows * n..steps.end * rows * n].to_vec(),
                _ => {
                    let of = |s: &Segment| {
                        let begins = |w: &Segment| {
                            (w.row, w.steps.start) <= (s.row, steps.start + s.steps.start)
                        };
                        let at = whole.partition_point(begins) - 1;
                        &values[at * n..][..n]
                    };
                    parts.iter().flat_map(of).copied().collect()
                }
            };
            part = part.with(&input.name, cut);
        }
        Ok(part)
    }
}
