//! Scopes: what the names of states and parameters begin with, and which parameters are shared.

use std::collections::HashSet;

#[cfg(feature = "text")]
use retrograd_tape::Var;

#[cfg(feature = "text")]
use crate::{cellfile::CellText, error::Error};

use crate::builder::Builder;

/// The open scopes of a builder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// What names of states and masks begin with, with a dot, or nothing.
    values: String,
    /// What names of parameters begin with, likewise.
    parameters: String,
    /// In a shared layer, the parameters that this application has declared or found.
    shared: Option<HashSet<String>>,
    /// Delays of states are the other way round.
    pub(crate) reversed: bool,
}

impl Scope {
    /// The full name of a state or a mask.
    pub(crate) fn value(&self, name: &str) -> String {
        format!("{}{name}", self.values)
    }

    /// The full name of a parameter or a layer.
    pub(crate) fn parameter(&self, name: &str) -> String {
        match name {
            // A layer without a name of its own has the scope's.
            "" => self.parameters.trim_end_matches('.').to_owned(),
            _ => format!("{}{name}", self.parameters),
        }
    }

    /// True inside of a shared layer.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// True if a parameter may be one that an earlier application of the same shared layer declared.
    pub(crate) fn first_use(&mut self, full: &str) -> bool {
        match &mut self.shared {
            Some(shared) => shared.insert(full.to_owned()),
            None => false,
        }
    }
}

/// Layers with names of their own.
impl Builder {
    /// Runs `layer` in a scope: the names of the states, masks and parameters that it declares begin with `name` and a dot, so that
    /// one function makes several layers. Inputs, targets and outputs keep their names. Scopes may be within each other.
    ///
    /// ```
    /// use retrograd::{Builder, Cell, Var};
    ///
    /// fn leaky<'t>(c: &'t Builder, x: Var<'t>) -> Var<'t> {
    ///     let h = c.state("h", 8);
    ///     c.next(h, 0.9 * h + c.dense("new", 8, [x]).tanh())
    /// }
    /// let cell = Cell::define("two layers", |c| {
    ///     let below = c.scope("l1", |c| leaky(c, c.input("x", 2)));
    ///     c.output("y", c.scope("l2", |c| leaky(c, below)));
    /// })?;
    /// assert!(cell.parameter_specs().any(|p| p.name == "l2.new.bias"));
    /// assert_eq!(cell.new_states(), ["l1.h'", "l2.h'"]);
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[track_caller]
    pub fn scope<'t, R>(&'t self, name: &str, layer: impl FnOnce(&'t Builder) -> R) -> R {
        self.within(
            |scope| {
                scope.values = format!("{}{name}.", scope.values);
                scope.parameters = format!("{}{name}.", scope.parameters);
            },
            layer,
        )
    }

    /// Runs `layer` with shared parameters: their names begin with `name` and a dot, and where an earlier `share` of the same name
    /// declared one, that one is used. Operands of its dense layers are called as in the first use. States and masks are not shared; give each use a [`scope`](Self::scope).
    ///
    /// ```
    /// use retrograd::Cell;
    ///
    /// let cell = Cell::define("two ears", |c| {
    ///     let hear = |x| c.share("ear", |c| c.dense("", 8, [x]).tanh());
    ///     let [left, right] = ["left", "right"].map(|ear| c.input(ear, 3));
    ///     c.output("y", hear(left) * hear(right));
    /// })?;
    /// assert_eq!(cell.parameter_count(), 8 * 3 + 8);
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[track_caller]
    pub fn share<'t, R>(&'t self, name: &str, layer: impl FnOnce(&'t Builder) -> R) -> R {
        self.within(
            |scope| {
                scope.parameters = format!("{}{name}.", scope.parameters);
                scope.shared = Some(HashSet::new());
            },
            layer,
        )
    }

    /// Runs `layer` backwards in time: delays of its states are negated, so that it begins at the end of a row. Within another
    /// `reversed` it runs forwards. What the whole row has of it is its [`first`](crate::Var::first) step.
    ///
    /// ```
    /// use retrograd::{Cell, Var, zoo};
    ///
    /// let lstm = zoo::find("lstm").unwrap();
    /// let cell = Cell::define("bidirectional", |c| {
    ///     let x = c.input("x", 3);
    ///     let past = lstm.layer(c, "past", x, 8);
    ///     let future = c.reversed(|c| lstm.layer(c, "future", x, 8));
    ///     c.output("both", Var::concat(&[past, future]));
    ///     c.output("summary", Var::concat(&[past.last(), future.first()]));
    /// })?;
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[track_caller]
    pub fn reversed<'t, R>(&'t self, layer: impl FnOnce(&'t Builder) -> R) -> R {
        self.within(|scope| scope.reversed = !scope.reversed, layer)
    }

    pub(crate) fn within<'t, R>(
        &'t self,
        change: impl FnOnce(&mut Scope),
        layer: impl FnOnce(&'t Builder) -> R,
    ) -> R {
        let outer = self.scope.borrow().clone();
        change(&mut self.scope.borrow_mut());
        let result = layer(self);
        let mut scope = self.scope.borrow_mut();
        let inner = std::mem::replace(&mut *scope, outer);
        // Scopes inside of a shared layer are parts of the same application.
        if let (Some(shared), Some(inner)) = (&mut scope.shared, inner.shared) {
            shared.extend(inner);
        }
        result
    }

    /// A cell file as a layer: its inputs are the operands, in order, and its first output is the result. Its targets, weights and
    /// losses are left out, with what only they need. The names of its states and parameters begin with `name` and a dot, unless it
    /// is empty; `dimensions` replace the values that its `where` gives, and those that are the operands' shapes follow from them.
    ///
    /// ```
    /// use retrograd::{Cell, CellText};
    ///
    /// let leak = CellText::parse("leak.cell", "cell leak(x[I]; h[I]) where I=1\nparam k[I]\nh' = k * h + x\noutput h'")?;
    /// let cell = Cell::define("two leaks", |c| {
    ///     let below = c.layer("l1", &leak, [c.input("x", 3)], &[]);
    ///     c.output("y", c.layer("l2", &leak, [below], &[]));
    /// })?;
    /// assert_eq!(cell.parameter_count(), 6);
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[cfg(feature = "text")]
    #[track_caller]
    pub fn layer<'t>(
        &'t self,
        name: &str,
        cell: &CellText,
        operands: impl IntoIterator<Item = Var<'t>>,
        dimensions: &[(&str, usize)],
    ) -> Var<'t> {
        let operands: Vec<Var<'t>> = operands.into_iter().collect();
        match cell.record_layer(name, &operands, dimensions, self) {
            Ok(Some(v)) => v,
            // The recorder knows the mistake.
            Ok(None) => self.tape.nothing(),
            Err(e) => self.poison(e),
        }
    }

    /// Records a mistake, and returns a value that stands for none.
    #[cfg(feature = "text")]
    pub(crate) fn poison(&self, e: Error) -> Var<'_> {
        self.fail(e);
        self.tape.nothing()
    }
}
