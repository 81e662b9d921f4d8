//! Runs a tape unchanged, forward and backward, over batch and time: the oracle that compiled code is compared with,
//! and a fair baseline for its speed (buffers allocated once, matrix products by the `matrixmultiply` crate,
//! vectorisable loops; no fusion, no hoisting).
//!
//! Layouts are row-major: a value of domain `once` is `[shape]`, of `row` `[B, shape]`, of `slots k` `[k, B, shape]`, of
//! `step` `[T, B, shape]`. Over rows of different [`Lengths`], a value of domain `step` is `[points, shape]`, packed: there
//! is no number for a step that a row does not have, so none can reach another. Each op at a step is one of the rows that
//! have it, which are the first ones.
//!
//! Invariants: nodes run in the order of [`Tape::schedule`], and backward in its exact reverse; the values of all steps
//! are kept from a forward run to the backward run after it; a run with the same sizes as the previous one allocates
//! nothing (except where `matrixmultiply` packs products of several rows). Sums over points (the loss, gradients of
//! parameters) are accurate for any number of points: see [`crate::sums`].

mod axes;
mod backward;
mod check;
mod delay;
mod execute;
mod frozen;
mod instances;
mod origins;
mod point;
mod points;
mod program;
mod reads;
mod round;
mod rows;
mod trace;
mod walk;

use crate::Extent;
use std::sync::Arc;

use backward::Backward;
use check::IndexUse;
#[cfg(feature = "generate")]
pub(crate) use check::index_operands;
use execute::Buffers;
use frozen::Frozen;
use points::RunPoints;
use program::{BufferPlans, BufferView, InterpreterProgram};
pub use trace::{NonFinite, OperandRange};
use walk::{Watch, walk};

use crate::algebra::Value;
use crate::error::TapeError;
use crate::lengths::Lengths;
use crate::real::Real;
use crate::sums::CompensatedSum;
use crate::tape::{Input, Tape};
use crate::ty::{Domain, Type};

/// A tape prepared to run in `f32` or `f64`.
#[derive(Clone, Debug)]
pub struct Interpreter<T: Real> {
    inputs: Vec<Input>,
    outputs: Vec<(Arc<str>, Type)>,
    /// Shape and domain of every node.
    places: Vec<BufferView>,
    domains: Vec<Domain>,
    output_places: Vec<BufferView>,
    forward: InterpreterProgram,
    backward: Backward,
    /// Buffers numbered below this belong to the forward program.
    forward_buffers: usize,
    memory: Buffers<T>,
    /// What runs after the last one of `forward` hold fast.
    frozen: Option<Frozen<T>>,
    indices: Vec<IndexUse>,
    state: RunState,
    budget: usize,
}

/// Progress of runs at the present sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunState {
    /// No run yet: there are no values.
    New,
    /// A forward run; backward buffers are not yet allocated.
    Forward,
    /// A forward run; backward buffers are allocated, too.
    Both,
}

impl<T: Real> Interpreter<T> {
    /// Prepares a tape, with gradients to all inputs.
    #[inline(never)]
    pub fn new(tape: &Tape) -> Interpreter<T> {
        Interpreter::with_gradients(tape, |_| true)
    }

    /// Prepares a tape, with gradients only to the inputs that are `wanted`. Fewer gradients mean less backward work: a
    /// trainer needs only those of parameters.
    pub fn with_gradients(tape: &Tape, wanted: impl Fn(&Input) -> bool) -> Interpreter<T> {
        Interpreter::build(tape, &wanted, &[], (true, false), &|_| true)
    }

    /// As [`new`](Interpreter::new), with the gradients of the program without the limits of `clip_gradient`: those that
    /// differences have; and with the adjoints of all values.
    pub(crate) fn without_limits(tape: &Tape) -> Interpreter<T> {
        let all: Vec<Value> = tape.values().collect();
        Interpreter::build(tape, &|_| true, &all, (false, false), &|_| true)
    }

    /// As [`with_gradients`](Interpreter::with_gradients), plus the adjoints of these values for
    /// [`adjoint`](Interpreter::adjoint); [`Tape::find`] finds a value by its name.
    ///
    /// # Errors
    /// An observed value that is not on the tape.
    pub fn observing(
        tape: &Tape,
        wanted: impl Fn(&Input) -> bool,
        observed: &[Value],
    ) -> Result<Interpreter<T>, TapeError> {
        Interpreter::checked(tape, &wanted, observed, false)
    }

    fn checked(
        tape: &Tape,
        wanted: &dyn Fn(&Input) -> bool,
        observed: &[Value],
        bf16: bool,
    ) -> Result<Interpreter<T>, TapeError> {
        let count = tape.nodes().len();
        match observed.iter().find(|v| v.index() >= count) {
            None => {
                let all = &|_| true;
                Ok(Interpreter::build(
                    tape,
                    wanted,
                    observed,
                    (true, bf16),
                    all,
                ))
            }
            Some(v) => Err(TapeError::NoSuch {
                what: "value",
                index: v.index(),
                count,
            }),
        }
    }

    /// As [`observing`](Interpreter::observing), but each product with a weight, each of their transposes in the backward
    /// run and each weight gradient takes operands that are rounded to bfloat16 ([`Map::RoundBf16`](crate::Map::RoundBf16)), as
    /// compiled code does on request. Sums are of the full precision, constants are not rounded, and derivatives are
    /// those of the program without roundings.
    ///
    /// ```
    /// use retrograd_tape::{Extent, InputRole, Interpreter, Recorder, Shape};
    ///
    /// let r = Recorder::new();
    /// let x = r.input("x", InputRole::Sequence, Shape::Vector(1));
    /// r.output("y", r.param("W", Shape::Matrix(1, 1)).matvec(x));
    /// let tape = r.finish("product")?;
    /// let mut run = Interpreter::<f32>::of_bf16_products(&tape, |_| true, &[])?;
    /// run.forward(Extent { steps: 1, rows: 1 }, &[&[1.001], &[2.0]])?;
    /// assert_eq!(run.output(0), [2.0]); // eight bits of 1.001 are 1
    /// # Ok::<(), retrograd_tape::TapeError>(())
    /// ```
    ///
    /// # Errors
    /// As `observing`.
    pub fn of_bf16_products(
        tape: &Tape,
        wanted: impl Fn(&Input) -> bool,
        observed: &[Value],
    ) -> Result<Interpreter<T>, TapeError> {
        Interpreter::checked(tape, &wanted, observed, true)
    }

    /// Prepares only the nodes of a tape that are `kept`. The operands of a kept node must be kept, too. Gradients are
    /// limited by `clip_gradient` if `limited`, and products round if `bf16`.
    #[inline(never)]
    fn build(
        tape: &Tape,
        wanted: &dyn Fn(&Input) -> bool,
        observed: &[Value],
        (limited, bf16): (bool, bool),
        kept: &dyn Fn(Value) -> bool,
    ) -> Interpreter<T> {
        let mut plans = BufferPlans::default();
        let indices = check::indices(tape);
        let (forward, places) = program::forward(tape, &mut plans, &indices, bf16, kept);
        let forward_buffers = plans.list.len();
        let backward =
            backward::backward(tape, &places, &mut plans, wanted, observed, (limited, bf16));
        Interpreter {
            inputs: tape.inputs().to_vec(),
            outputs: tape
                .outputs()
                .iter()
                .map(|o| (o.name.clone(), tape.node(o.value).ty))
                .collect(),
            output_places: tape
                .outputs()
                .iter()
                .map(|o| places[o.value.index()])
                .collect(),
            places,
            domains: tape.nodes().iter().map(|n| n.ty.domain).collect(),
            forward,
            backward,
            forward_buffers,
            memory: Buffers {
                data: vec![Vec::new(); plans.list.len()],
                sums: vec![CompensatedSum::default(); plans.list.len()],
                tables: indices.iter().map(|i| i.rows).collect(),
                plans: plans.list,
                points: RunPoints::Full(Extent { steps: 0, rows: 0 }),
            },
            frozen: None,
            indices,
            state: RunState::New,
            budget: usize::MAX,
        }
    }

    /// Limits the bytes that the buffers of a run may take in total; by default the limit is the machine's memory. A
    /// run that needs more fails with [`TapeError::Memory`].
    pub fn set_budget(&mut self, bytes: usize) {
        self.budget = bytes;
    }

    /// Computes all values from `inputs`, in the order of [`Tape::inputs`], for an extent of T steps and B examples. An empty slice for
    /// an input of role [`InputRole::Initial`](crate::InputRole::Initial) means zeros.
    ///
    /// # Errors
    /// No steps or no examples, or more than [`MAX_POINTS`](crate::limits::MAX_POINTS) of both; too few or too many
    /// inputs; an input whose length does not match its layout; an input that is used as an index and is not a whole
    /// number; more memory than is available, or than the [budget](Interpreter::set_budget) allows; an index, given or
    /// computed, that is not a row of its table: the values of the previous run are then lost.
    #[inline(never)]
    pub fn forward(&mut self, extent: Extent, inputs: &[&[T]]) -> Result<(), TapeError> {
        self.forward_at(RunPoints::Full(extent), inputs, &mut ())
    }

    /// As [`forward`](Interpreter::forward), for rows of these lengths. Values over steps are packed, `[points, shape]`:
    /// that of row r at step t is number `lengths.offset(t) + r`. So are those of [`output`](Interpreter::output),
    /// [`value`](Interpreter::value), [`gradient`](Interpreter::gradient) and [`adjoint`](Interpreter::adjoint) after this
    /// run, and the cotangents that [`backward`](Interpreter::backward) takes.
    ///
    /// Each row is computed as if it were alone: a `delay` by d reads the row's slots before its first step, one by −d
    /// those after its own last one, and a `boundary` has the row's own last values (of a row shorter than the delay,
    /// some of its slots). Sums over steps are over the steps that rows have.
    ///
    /// ```
    /// use retrograd_tape::{InputRole, Interpreter, Lengths, Recorder, Shape};
    ///
    /// let r = Recorder::new();
    /// let x = r.input("x", InputRole::Sequence, Shape::Scalar);
    /// let s = r.state("sum", Shape::Scalar, 1, None);
    /// r.output("y", r.next(s, s + x)); // and the final state, `sum`
    /// let tape = r.finish("sums")?;
    ///
    /// let mut run = Interpreter::<f64>::new(&tape);
    /// let lengths = Lengths::new(vec![3, 1, 0])?; // rows 1, 2, 3; 10; nothing
    /// run.forward_ragged(&lengths, &[&[1.0, 10.0, 2.0, 3.0], &[]])?;
    /// assert_eq!(run.output(0), [1.0, 10.0, 3.0, 6.0]);
    /// assert_eq!(run.output(1), [6.0, 10.0, 0.0]);
    /// run.backward(&[None, Some(&[1.0, 2.0, 3.0])])?;
    /// assert_eq!(run.gradient(0), Some(&[1.0, 2.0, 1.0, 1.0][..]));
    /// # Ok::<(), retrograd_tape::TapeError>(())
    /// ```
    ///
    /// # Errors
    /// Those of `forward`.
    #[inline(never)]
    pub fn forward_ragged(&mut self, lengths: &Lengths, inputs: &[&[T]]) -> Result<(), TapeError> {
        self.forward_at(RunPoints::of(lengths, &self.memory.points), inputs, &mut ())
    }

    fn forward_at(
        &mut self,
        points: RunPoints,
        inputs: &[&[T]],
        watch: &mut impl Watch<T>,
    ) -> Result<(), TapeError> {
        self.check(&points, inputs)?;
        if points != self.memory.points || self.state == RunState::New {
            self.memory.points = points;
            self.allocate(0..self.forward_buffers)?;
            self.state = RunState::Forward;
        }
        self.frozen = None;
        self.compute(inputs, watch)
    }

    /// As [`forward`](Interpreter::forward) at the sizes of its last run, but every `stop_gradient` keeps its value from
    /// that run, and `with_gradient(y, z)` is y of that run plus what z has changed since: this is the function that
    /// `backward` differentiates.
    ///
    /// # Errors
    /// As for `forward`; also if there was no previous run.
    #[inline(never)]
    pub fn forward_frozen(&mut self, inputs: &[&[T]]) -> Result<(), TapeError> {
        if self.state == RunState::New {
            return Err(TapeError::NotRun);
        }
        self.check(&self.memory.points, inputs)?;
        if self.frozen.is_none() {
            self.frozen = Some(Frozen::new(&self.forward, &self.memory));
        }
        self.compute(inputs, &mut ())
    }

    /// The values of output `i` (in the order of [`Tape::outputs`]) of the last run, in the layout of its domain; empty before
    /// the first.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn output(&self, i: usize) -> &[T] {
        &self.memory.data[self.output_places[i].buffer]
    }

    /// Computes the gradients of Σ cotangent·output, given one cotangent per output in the output's layout; `None`
    /// stands for zeros. The cotangent of the loss is one number, usually 1.
    ///
    /// # Errors
    /// A call before the first run; too few or too many cotangents; one whose length does not match its output; more
    /// memory than is available, or than the [budget](Interpreter::set_budget) allows.
    #[inline(never)]
    pub fn backward(&mut self, cotangents: &[Option<&[T]>]) -> Result<(), TapeError> {
        self.backward_watched(cotangents, &mut ())
    }

    fn backward_watched(
        &mut self,
        cotangents: &[Option<&[T]>],
        watch: &mut impl Watch<T>,
    ) -> Result<(), TapeError> {
        if self.state == RunState::New {
            return Err(TapeError::NotRun);
        }
        if cotangents.len() != self.outputs.len() {
            return Err(TapeError::Count {
                what: "cotangents",
                expected: self.outputs.len(),
                found: cotangents.len(),
            });
        }
        for (c, (name, ty)) in cotangents.iter().zip(&self.outputs) {
            if let Some(c) = c {
                let points = &self.memory.points;
                self.check_length(points, ("the cotangent of", name), *ty, c.len())?;
            }
        }
        if self.state == RunState::Forward {
            self.allocate(self.forward_buffers..self.memory.data.len())?;
            self.state = RunState::Both;
        }
        for &z in &self.backward.program.zero {
            self.memory.data[z].fill(T::ZERO);
            self.memory.sums[z].clear();
        }
        for (c, seed) in cotangents.iter().zip(&self.backward.seeds) {
            if let (Some(c), Some(seed)) = (c, seed) {
                for (s, &c) in self.memory.data[seed.buffer].iter_mut().zip(*c) {
                    *s += c;
                }
            }
        }
        let ran = walk(&self.backward.program, &mut self.memory, None, watch);
        ran.map_err(|at| self.outside(at))
    }

    /// The gradient of input `i` (in the order of [`Tape::inputs`]) from the last backward run, in the input's layout; `None`
    /// where no gradient can flow or none was requested.
    ///
    /// # Panics
    /// If there is no such input.
    pub fn gradient(&self, i: usize) -> Option<&[T]> {
        let place = self.backward.gradients[i].as_ref()?;
        Some(&self.memory.data[place.buffer])
    }

    /// The adjoint of an observed value from the last backward run, in the layout of its domain; `None` if no output depends
    /// on it.
    ///
    /// # Errors
    /// A value that is not observed.
    pub fn adjoint(&self, v: Value) -> Result<Option<&[T]>, TapeError> {
        let mut adjoints = self.backward.adjoints.iter();
        let found = adjoints.find(|a| a.0 == v);
        let (_, place) = found.ok_or(TapeError::NotObserved { value: v.index() })?;
        Ok(place.as_ref().map(|p| &self.memory.data[p.buffer][..]))
    }

    /// Any value of the last run, in the layout of its domain.
    ///
    /// # Errors
    /// A call before the first run; a value that is not on the tape.
    #[inline(never)]
    pub fn value(&self, v: Value) -> Result<Vec<T>, TapeError> {
        if self.state == RunState::New {
            return Err(TapeError::NotRun);
        }
        let Some((place, &domain)) = self.places.get(v.index()).zip(self.domains.get(v.index()))
        else {
            return Err(TapeError::NoSuch {
                what: "value",
                index: v.index(),
                count: self.places.len(),
            });
        };
        let n = place.shape.len();
        Ok((0..self.memory.points.ticks(domain))
            .flat_map(|tick| {
                let rows = self.memory.points.rows_at(domain, tick);
                let of_tick = self.memory.read(place, tick, rows);
                (0..rows).flat_map(move |r| of_tick.row(r, n).iter().copied())
            })
            .collect())
    }

    /// Bytes of all buffers at the present sizes.
    pub fn bytes(&self) -> usize {
        self.memory.numbers() * size_of::<T>()
    }

    /// The number of elements of input `i` at the present sizes.
    pub(crate) fn input_length(&self, i: usize) -> usize {
        self.memory.points.numbers(self.inputs[i].ty)
    }

    /// True if input `i` is an index of gather or scatter: whole numbers, which have no derivative.
    pub(crate) fn is_index(&self, i: usize) -> bool {
        self.indices.iter().any(|index| index.input == Some(i))
    }

    /// Resizes these buffers for the present run. If there is not enough memory for them, all are released.
    fn allocate(&mut self, buffers: std::ops::Range<usize>) -> Result<(), TapeError> {
        let allocated = self.memory.allocate(buffers, self.budget);
        if allocated.is_err() {
            self.memory.free();
            self.state = RunState::New;
        }
        allocated
    }

    fn compute(&mut self, inputs: &[&[T]], watch: &mut impl Watch<T>) -> Result<(), TapeError> {
        for &z in &self.forward.zero {
            self.memory.data[z].fill(T::ZERO);
            self.memory.sums[z].clear();
        }
        for (input, given) in self.inputs.iter().zip(inputs) {
            let buffer = self.places[input.value.index()].buffer;
            if !self.memory.plans[buffer].used {
                continue;
            }
            let numbers = &mut self.memory.data[buffer];
            if given.is_empty() {
                numbers.fill(T::ZERO);
            } else {
                numbers.copy_from_slice(given);
            }
            watch.given(&self.memory, input.value, buffer);
        }
        let frozen = self.frozen.as_ref();
        walk(&self.forward, &mut self.memory, frozen, watch).map_err(|at| {
            self.state = RunState::New;
            self.outside(at)
        })
    }

    /// Calls `visit` with the operands of every point that node `v` computed in the last run: for all its rows and
    /// ticks, and per element if it is element-wise, else with one slice per operand.
    pub(crate) fn points(&self, tape: &Tape, v: Value, mut visit: impl FnMut(&[&[T]])) {
        let node = tape.node(v);
        let types: Vec<Type> = node.operands.iter().map(|&x| tape.node(x).ty).collect();
        let domain = node.op.work_domain(&types);
        for tick in 0..self.memory.points.ticks(domain) {
            let rows = self.memory.points.rows_at(domain, tick);
            for r in 0..rows {
                let operands: Vec<&[T]> = node
                    .operands
                    .iter()
                    .map(|x| {
                        let place = &self.places[x.index()];
                        self.memory
                            .read(place, tick, rows)
                            .row(r, place.shape.len())
                    })
                    .collect();
                visit(&operands);
            }
        }
    }
}
