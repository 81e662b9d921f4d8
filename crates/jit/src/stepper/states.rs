//! The states of a [`Stepper`]: what they are, what they begin with.

use retrograd_graph::plan::BufferId;
use retrograd_tape::{Domain, Extent};

use super::{Stepper, StepperProgram, array_of_output};
use crate::arguments::fits;
use crate::element::Element;
use crate::error::RunError;

impl<T: Element> Stepper<T> {
    /// Resets all states: to the initial states that were given, or to those that the program computes.
    pub fn reset(&mut self) {
        self.compute_beginnings();
        for row in 0..self.stream.rows() {
            self.begin_again(row);
        }
        self.stream.begin(&self.program.plan, &self.program.code);
    }

    /// Resets the states of one row, as [`reset`](Self::reset) does those of all; the others are unchanged.
    ///
    /// # Errors
    /// [`RunError::NoRow`]. Then nothing has changed.
    #[inline(never)]
    pub fn reset_row(&mut self, row: usize) -> Result<(), RunError> {
        let rows = self.stream.rows();
        if row >= rows {
            return Err(RunError::NoRow { row, rows });
        }
        self.stop();
        self.compute_beginnings();
        self.begin_again(row);
        self.stream.begin(&self.program.plan, &self.program.code);
        Ok(())
    }

    /// A stepper that goes on by itself from the same states: a clone.
    ///
    /// ```
    /// use retrograd_jit::Stepper;
    /// use retrograd_tape::{Recorder, InputRole, Shape};
    ///
    /// let r = Recorder::new();
    /// let x = r.input("x", InputRole::Sequence, Shape::Scalar);
    /// let h = r.state("h", Shape::Scalar, 1, None);
    /// r.output("y", r.next(h, h + x));
    /// let mut sum = Stepper::<f32>::new(&r.finish("sum")?, 2, &[&[], &[]])?;
    /// sum.step(&[&[1.0, 2.0]], &mut [])?;
    /// let mut fork = sum.fork();
    /// fork.reset_row(0)?;
    /// fork.step(&[&[10.0, 10.0]], &mut [])?;
    /// sum.step(&[&[1.0, 1.0]], &mut [])?;
    /// assert_eq!((fork.output(0), sum.output(0)), (&[10.0, 12.0][..], &[2.0, 3.0][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    #[inline(never)]
    pub fn fork(&self) -> Self {
        self.clone()
    }

    /// Computes the initial states that the program computes slot by slot. Others are computed when parameters are set.
    fn compute_beginnings(&mut self) {
        let StepperProgram { graph, states, .. } = &*self.program;
        let by_slot = |k: usize| {
            let ty = graph.node(graph.outputs()[k].value).ty;
            matches!(ty.domain, Domain::BoundarySlots(_))
        };
        if states.iter().filter_map(|s| s.computed).any(by_slot) {
            self.stream.begin(&self.program.plan, &self.program.code);
        }
    }

    /// Lets a row of the arrays that states begin from be what it is at a beginning.
    fn begin_again(&mut self, row: usize) {
        let StepperProgram { graph, states, .. } = &*self.program;
        let stream = &mut self.stream;
        let rows = stream.rows();
        for (state, beginning) in states.iter().zip(&self.beginnings) {
            let to = BufferId::of_input(state.beginning);
            let n = graph.inputs()[state.beginning].ty.shape.len();
            for slot in 0..state.delay {
                let at = (slot * rows + row) * n;
                match (beginning, state.computed) {
                    (Some(given), _) => {
                        stream.array(to)[at..at + n].copy_from_slice(&given[at..at + n]);
                    }
                    (None, None) => stream.array(to)[at..at + n].fill(T::default()),
                    (None, Some(k)) => {
                        let from = match graph.node(graph.outputs()[k].value).ty.domain {
                            Domain::Once => 0,
                            Domain::Row => row * n,
                            Domain::BoundarySlots(_) | Domain::Step => at,
                        };
                        stream.copy_part((array_of_output(graph, k), from), (to, at), n);
                    }
                }
            }
        }
    }

    /// Lets the arrays that states begin from hold their current values. The position of a state's slots in its ring
    /// depends on the number of steps so far, which all states share: so all restart.
    fn stop(&mut self) {
        self.stream.states(&self.program.plan, &self.program.code);
        for state in &self.program.states {
            let from = array_of_output(&self.program.graph, state.value);
            self.stream
                .copy(from, BufferId::of_input(state.beginning), 0);
        }
    }

    /// The current value of a state, `[|d|, B, shape]` for a delay by d, the oldest slot first: the final value of a
    /// run that ended here. None if there is no state of this name.
    pub fn state(&mut self, name: &str) -> Option<&[T]> {
        let s = self.program.states.iter().position(|s| s.name == name)?;
        let u = array_of_output(&self.program.graph, self.program.states[s].value);
        self.stream.states(&self.program.plan, &self.program.code);
        Some(self.stream.array(u))
    }

    /// Sets a state, in the layout that [`state`](Self::state) returns; the others are unchanged.
    ///
    /// # Errors
    /// [`RunError::NoState`], or a wrong length. Then nothing has changed.
    #[inline(never)]
    pub fn set_state(&mut self, name: &str, values: &[T]) -> Result<(), RunError> {
        let Some(set) = self.program.states.iter().position(|s| s.name == name) else {
            return Err(RunError::NoState {
                name: name.into(),
                known: self.program.states.iter().map(|s| s.name.clone()).collect(),
            });
        };
        let i = &self.program.graph.inputs()[self.program.states[set].beginning];
        fits(
            "state",
            name,
            i.ty,
            values.len(),
            Extent::steps(1).rows(self.stream.rows()).into(),
        )?;
        self.stop();
        let to = BufferId::of_input(self.program.states[set].beginning);
        self.stream.array(to).copy_from_slice(values);
        self.stream.begin(&self.program.plan, &self.program.code);
        Ok(())
    }
}
