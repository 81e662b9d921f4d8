//! [`Stack`]: layers of one kind upon each other, composed of what a [`Builder`] has.

use retrograd_tape::{Domain, Shape};

use crate::{Builder, Var};

/// How the two directions of a bidirectional layer are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Side by side: twice as wide.
    Concat,
    /// Added: as wide as one.
    Sum,
}

/// Layers of one kind upon each other: how many, and what lies between them. [`Builder::stack`] records them.
///
/// ```
/// use retrograd::{Adam, Batch, Cell, Extent, Join, Stack, Trainer, zoo};
///
/// let lstm = zoo::find("lstm").unwrap();
/// let cell = Cell::define("tagger", |c| {
///     let stack = Stack::new(3).bidirectional(Join::Concat).project(16).residual().dropout(0.1);
///     let h = c.stack("rnn", c.input("x", 4), stack, |c, x| lstm.layer(c, "", x, 8));
///     let tags = c.dense("tags", 5, [h.steps()]); // one for each step
///     let of_all = c.dense("kind", 2, [h.mean()]); // another head, of the whole row
///     c.output("tags", tags);
///     c.output("kind", of_all);
///     c.loss(tags.square().mean());
/// })?;
/// assert!(cell.parameter_specs().any(|p| p.name == "rnn.2.backward.forget.h"));
/// let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).build()?;
/// trainer.step(&Batch::new(Extent::steps(7).rows(2)).with("x", vec![0.5; 7 * 2 * 4]))?;
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stack {
    layers: usize,
    residual: bool,
    dropout: f64,
    /// Whether the mask of dropout is the same at all steps of a row.
    variational: bool,
    join: Option<Join>,
    width: Option<usize>,
}

impl Stack {
    /// So many layers that run forwards, one reading the other.
    pub fn new(layers: usize) -> Stack {
        Stack {
            layers,
            residual: false,
            dropout: 0.0,
            variational: false,
            join: None,
            width: None,
        }
    }

    /// Adds to what each layer computes what it read, if that is as wide; if not, which can only be so for a layer that
    /// changes the width, nothing.
    #[must_use]
    pub fn residual(self) -> Stack {
        Stack {
            residual: true,
            ..self
        }
    }

    /// Dropout of what each layer but the first reads, with a mask of each step.
    #[must_use]
    pub fn dropout(self, rate: f64) -> Stack {
        Stack {
            dropout: rate,
            variational: false,
            ..self
        }
    }

    /// The same with one mask for all steps of a row (Gal & Ghahramani 2016).
    #[must_use]
    pub fn variational_dropout(self, rate: f64) -> Stack {
        Stack {
            dropout: rate,
            variational: true,
            ..self
        }
    }

    /// Each layer is two, of which one runs from the end of a row to its beginning; their parameters are called `forward` and
    /// `backward`.
    #[must_use]
    pub fn bidirectional(self, join: Join) -> Stack {
        Stack {
            join: Some(join),
            ..self
        }
    }

    /// A linear layer without bias, called `project`, makes what each layer computes this wide, before anything is added.
    #[must_use]
    pub fn project(self, width: usize) -> Stack {
        Stack {
            width: Some(width),
            ..self
        }
    }
}

/// What a stack computes: [`steps`](Stacked::steps), or what a row has of them.
#[derive(Clone, Debug)]
pub struct Stacked<'t> {
    name: String,
    steps: Var<'t>,
    /// The directions of the last layer.
    forward: Var<'t>,
    backward: Option<(Var<'t>, Join)>,
    project: Option<Var<'t>>,
}

impl<'t> Stacked<'t> {
    /// What the last layer computes at each step.
    pub fn steps(&self) -> Var<'t> {
        self.steps
    }

    /// That at a row's last step.
    #[track_caller]
    pub fn last(&self) -> Var<'t> {
        self.steps.last()
    }

    /// What the last layer itself makes of a whole row, without a residual link: forwards at the row's last step, backwards at its
    /// first, joined and projected.
    #[track_caller]
    pub fn summary(&self) -> Var<'t> {
        let ends = match self.backward {
            None => self.forward.last(),
            Some((backward, join)) => join.of(self.forward.last(), backward.first()),
        };
        self.project.map_or(ends, |p| p.matvec(ends))
    }

    /// The mean over a row's steps.
    #[track_caller]
    pub fn mean(&self) -> Var<'t> {
        self.steps.mean_to(Domain::Row)
    }

    /// The greatest value of a row's steps, element by element; see [`Var::max_over_steps`].
    #[track_caller]
    pub fn max(&self) -> Var<'t> {
        self.steps.max_over_steps(&format!("{}.max", self.name))
    }
}

impl Join {
    #[track_caller]
    fn of<'t>(self, forward: Var<'t>, backward: Var<'t>) -> Var<'t> {
        match self {
            Join::Concat => Var::concat(&[forward, backward]),
            Join::Sum => forward + backward,
        }
    }
}

impl Builder {
    /// A stack of layers, each of them what `layer` makes of its input. The names of states and parameters begin with `name`, the
    /// number of the layer and, if it runs both ways, the direction: `rnn.0.backward.forget.h`. See [`Stack`].
    #[track_caller]
    pub fn stack<'t>(
        &'t self,
        name: &str,
        x: Var<'t>,
        stack: Stack,
        layer: impl Fn(&'t Builder, Var<'t>) -> Var<'t>,
    ) -> Stacked<'t> {
        let mut all = Stacked {
            name: self.scope.borrow().value(name),
            steps: x,
            forward: x,
            backward: None,
            project: None,
        };
        for k in 0..stack.layers {
            let record = |c| stack.record(c, k, &mut all, &layer);
            self.scope(name, |c| c.scope(&k.to_string(), record));
        }
        all
    }
}

impl Stack {
    /// Records layer `k` upon what is there.
    fn record<'t>(
        &self,
        c: &'t Builder,
        k: usize,
        all: &mut Stacked<'t>,
        layer: &impl Fn(&'t Builder, Var<'t>) -> Var<'t>,
    ) {
        let below = all.steps;
        let domain = match self.variational {
            true => Domain::Row,
            false => Domain::Step,
        };
        let rate = if k == 0 { 0.0 } else { self.dropout };
        let x = c.dropout_over("drop", below, rate, domain);
        let joined = match self.join {
            None => {
                all.forward = layer(c, x);
                all.forward
            }
            Some(join) => {
                all.forward = c.scope("forward", |c| layer(c, x));
                let backward = c.scope("backward", |c| c.reversed(|c| layer(c, x)));
                all.backward = Some((backward, join));
                join.of(all.forward, backward)
            }
        };
        let width = joined.shape().map_or(0, Shape::len);
        all.project = (self.width).map(|n| c.param("project", Shape::Matrix(n, width)));
        let own = all.project.map_or(joined, |p| p.matvec(joined));
        all.steps = match self.residual && own.shape() == below.shape() {
            true => own + below,
            false => own,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Cell, Engine, Extent};

    /// h' = w x + h / 2 with w = 1, so that numbers can be told by hand.
    fn leak<'t>(c: &'t Builder, x: Var<'t>) -> Var<'t> {
        let h = c.state("h", x.shape().map_or(0, Shape::len));
        c.next(h, x + 0.5 * h)
    }

    /// What a stack of leaks computes of x = 1, 2 and 4.
    fn of(stack: Stack, read: impl for<'t> Fn(&Stacked<'t>) -> Var<'t>) -> Vec<f64> {
        let cell = Cell::define("leaks", |c| {
            let stacked = c.stack("s", c.input("x", 1), stack, leak);
            c.output("y", read(&stacked));
        });
        let cell = cell.expect("it is a cell");
        let program = cell.program().double();
        let program = program.engine(Engine::Tape).build().expect("it compiles");
        let mut session = program.session();
        let batch = Batch::new(Extent::steps(3)).with("x", vec![1.0, 2.0, 4.0]);
        let parameters = vec![1.0; program.cell().parameter_count()];
        let results = session.run(&parameters, &batch).expect("it runs");
        results.output("y").expect("an output").to_vec()
    }

    #[test]
    fn layers_read_each_other_with_what_lies_between() {
        let (one, two) = (Stack::new(1), Stack::new(2));
        assert_eq!(of(Stack::new(0), |s| s.steps()), [1.0, 2.0, 4.0]);
        assert_eq!(of(one, |s| s.steps()), [1.0, 2.5, 5.25]);
        assert_eq!(of(two, |s| s.steps()), [1.0, 3.0, 6.75]);
        // 1 + 1, 2 + 2.5, 4 + 5.25, and the same again of that.
        assert_eq!(of(one.residual(), |s| s.steps()), [2.0, 4.5, 9.25]);
        assert_eq!(of(two.residual(), |s| s.steps()), [4.0, 10.0, 21.25]);
        // Outside of training, dropout is nothing.
        assert_eq!(of(two.dropout(0.5), |s| s.steps()), [1.0, 3.0, 6.75]);
    }

    #[test]
    fn both_directions_are_joined_and_read_at_their_ends() {
        let both = |join| Stack::new(1).bidirectional(join);
        // Backwards: 4, 2 + 2, 1 + 2.
        let concat = [1.0, 3.0, 2.5, 4.0, 5.25, 4.0];
        assert_eq!(of(both(Join::Concat), |s| s.steps()), concat);
        assert_eq!(of(both(Join::Sum), |s| s.steps()), [4.0, 6.5, 9.25]);
        assert_eq!(of(both(Join::Concat), |s| s.summary()), [5.25, 3.0]);
        assert_eq!(of(both(Join::Sum), |s| s.summary()), [8.25]);
        // A projection by ones adds what is side by side, and as wide as the input it has a link.
        let narrow = both(Join::Concat).project(1);
        assert_eq!(of(narrow, |s| s.steps()), [4.0, 6.5, 9.25]);
        assert_eq!(of(narrow.residual(), |s| s.steps()), [5.0, 8.5, 13.25]);
        assert_eq!(of(narrow.residual(), |s| s.summary()), [8.25]);
    }

    #[test]
    fn a_row_is_read_at_its_last_step_and_pooled() {
        let one = Stack::new(1);
        assert_eq!(of(one, |s| s.last()), [5.25]);
        assert_eq!(of(one, |s| s.summary()), [5.25]);
        assert_eq!(of(one, |s| s.mean()), [8.75 / 3.0]);
        assert_eq!(of(one, |s| s.max()), [5.25]);
    }

    #[test]
    fn masks_lie_between_layers_alone() {
        let masks = |stack: Stack| {
            let cell = Cell::define("leaks", |c| {
                c.output("y", c.stack("s", c.input("x", 1), stack, leak).steps());
            });
            let cell = cell.expect("it is a cell");
            let inputs = cell.tape().inputs().iter();
            let masks = inputs.filter(|i| i.role == crate::InputRole::Mask);
            masks
                .map(|i| (i.name.to_string(), i.ty.domain))
                .collect::<Vec<_>>()
        };
        let each = masks(Stack::new(3).dropout(0.5));
        let named = |domain| ["s.1.drop", "s.2.drop"].map(|name| (name.to_owned(), domain));
        assert_eq!(each, named(Domain::Step));
        assert_eq!(
            masks(Stack::new(3).variational_dropout(0.5)),
            named(Domain::Row)
        );
    }
}
