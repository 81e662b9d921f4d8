//! Cells: one time step of one example, written as equations. Batch and time are never written.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use retrograd_tape::{CarriedState, Init, InputRole, Shape, Tape};

use crate::builder::Builder;
use crate::error::Error;
use crate::init::draw;
use crate::numbers::{Float, reserved};
#[cfg(feature = "text")]
use crate::texts::Texts;

/// A finished cell: its tape, the initialisation of each parameter and the keep probability of each mask. It displays as its tape.
///
/// ```
/// use retrograd::Cell;
///
/// let cell = Cell::define("rnn", |c| {
///     let x = c.input("x", 4);
///     let h = c.state("h", 16);
///     let h = c.next(h, c.dense("h", 16, [x, h]).tanh()); // the new state, usable at once
///     let y = c.dense("forecast", 4, [h]);
///     c.output("y", y);
///     let target = c.target("next", 4);
///     c.loss((y - target).square().mean());
/// })?;
/// let names: Vec<&str> = cell.parameter_specs().map(|p| p.name).collect();
/// assert_eq!(names, ["h.x", "h.h", "h.bias", "forecast.h", "forecast.bias"]);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cell {
    tape: Tape,
    /// For each parameter in the order of the tape's inputs.
    inits: Vec<Init>,
    /// For each mask in the order of the tape's inputs.
    keeps: Vec<f64>,
    /// The states, if each of them takes a carried value.
    carried: Option<Vec<CarriedState>>,
    text: Option<Arc<str>>,
    /// Where its nodes come from in that text's files.
    #[cfg(feature = "text")]
    places: Option<Arc<Texts>>,
}

/// One parameter of a cell; see [`Cell::parameter_specs`].
///
/// ```
/// let cell = retrograd::zoo::forecaster(retrograd::zoo::find("lstm").unwrap(), 2, 8)?;
/// let forget = cell.parameter_specs().find(|p| p.name == "forget.bias").unwrap();
/// assert_eq!((forget.shape.len(), forget.init), (8, retrograd::Init::Constant(1.0)));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSpec<'a> {
    /// Its name, unique in the cell.
    pub name: &'a str,
    /// Its shape.
    pub shape: Shape,
    /// Its initialisation.
    pub init: Init,
}

impl Cell {
    /// Records the cell that `write` describes.
    ///
    /// # Errors
    /// The first mistake: [`Error::Cell`] for shapes that do not fit (the message has names, shapes and the user's line), a state
    /// without `next`, a name used twice, or a recurrence that runs both ways in time; [`Error::KeepProbability`],
    /// [`Error::NoSuchParameter`], [`Error::BadInit`].
    #[track_caller]
    pub fn define(name: &str, write: impl FnOnce(&Builder)) -> Result<Cell, Error> {
        let builder = Builder::new();
        write(&builder);
        #[cfg(feature = "text")]
        let places = Some(Arc::new(builder.texts.take()));
        let (tape, inits, keeps) = builder.finish(name)?;
        Ok(Cell {
            tape,
            inits,
            keeps,
            carried: None,
            text: None,
            #[cfg(feature = "text")]
            places,
        })
    }

    /// The cell of a program that was recorded without the builder. Parameters start as zeros, and masks drop nothing, unless a
    /// batch has them.
    ///
    /// ```
    /// use retrograd::tape::Recorder;
    /// use retrograd::{Batch, Cell, Extent, InputRole, Shape};
    ///
    /// let r = Recorder::new();
    /// let (x, w) = (r.input("x", InputRole::Sequence, Shape::Scalar), r.param("w", Shape::Scalar));
    /// r.output("y", w * x);
    /// let cell = Cell::from_tape(r.finish("line")?);
    /// let mut session = cell.program().build()?.session();
    /// let results = session.run(&[2.0], &Batch::new(Extent::steps(1)).with("x", vec![3.0]))?;
    /// assert_eq!(results.output("y"), Some(&[6.0][..]));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    pub fn from_tape(tape: Tape) -> Cell {
        let of = |role| tape.inputs().iter().filter(move |i| i.role == role);
        Cell {
            inits: of(InputRole::Param).map(|_| Init::Zeros).collect(),
            keeps: of(InputRole::Mask).map(|_| 1.0).collect(),
            carried: None,
            text: None,
            #[cfg(feature = "text")]
            places: None,
            tape,
        }
    }

    /// The same with another tape, of the same parameters and masks, whose states all take a carried value.
    pub(crate) fn with_carried(&self, tape: Tape, carried: Vec<CarriedState>) -> Cell {
        Cell {
            tape,
            carried: Some(carried),
            ..self.clone()
        }
    }

    /// The states, if each of them takes a carried value.
    pub(crate) fn carried(&self) -> Option<&[CarriedState]> {
        self.carried.as_deref()
    }

    /// The same with its text.
    #[cfg(feature = "text")]
    pub(crate) fn with_text(self, text: Option<String>, places: Texts) -> Cell {
        Cell {
            text: text.map(Arc::from),
            places: Some(Arc::new(places)),
            ..self
        }
    }

    /// Where its nodes come from in the files of its text.
    #[cfg(feature = "text")]
    pub(crate) fn places(&self) -> Option<&Texts> {
        self.places.as_deref()
    }

    /// The text that the cell was read from, as one cell file: what it uses is inlined, and its `where` has the cell's dimensions.
    /// [`Cell::from_text`] reads the same cell from it. `None` for a cell of the builder.
    ///
    /// ```
    /// use retrograd::Cell;
    ///
    /// let text = "cell leak(x[I]; h[I]) where I=2\nh' = 0.9 * h + x\noutput h'";
    /// let cell = Cell::from_text(text, &[("I", 5)])?;
    /// let saved = cell.text().expect("it comes from a text");
    /// assert_eq!(saved, text.replace("I=2", "I=5"));
    /// assert_eq!(Cell::from_text(saved, &[])?.to_string(), cell.to_string());
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The canonical text of its graph, of which [`Checkpoint::cell`](crate::Checkpoint::cell) makes it again.
    pub(crate) fn graph_text(&self) -> String {
        retrograd_graph::Graph::from_tape(&self.tape).to_string()
    }

    /// The cell of a graph, with the probabilities that its masks keep an element.
    pub(crate) fn from_graph_text(text: &str, keeps: &[f64]) -> Result<Cell, Error> {
        let other = |e: String| Error::OtherTraining {
            difference: format!("its graph cannot be read: {e}"),
        };
        let graph = retrograd_graph::text::parse_graph("graph", text);
        let graph = graph.map_err(|e| other(e.to_string()))?;
        retrograd_graph::verify(&graph).map_err(|e| other(e.to_string()))?;
        let tape = graph.to_tape()?;
        let count = |role| tape.inputs().iter().filter(|i| i.role == role).count();
        let valid = |keep: &f64| *keep > 0.0 && *keep <= 1.0;
        if count(InputRole::Mask) != keeps.len() || !keeps.iter().all(valid) {
            return Err(other(format!("its masks keep {keeps:?}")));
        }
        Ok(Cell {
            inits: vec![Init::default(); count(InputRole::Param)],
            keeps: keeps.to_vec(),
            carried: None,
            text: None,
            #[cfg(feature = "text")]
            places: None,
            tape,
        })
    }

    /// The cell's name.
    pub fn name(&self) -> &str {
        self.tape.name()
    }

    /// The recorded program.
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// Descriptors of the parameters, in the order of their declaration.
    pub fn parameter_specs(&self) -> impl Iterator<Item = ParameterSpec<'_>> {
        let parameters = self
            .tape
            .inputs()
            .iter()
            .filter(|i| i.role == InputRole::Param);
        parameters.zip(&self.inits).map(|(i, init)| ParameterSpec {
            name: &i.name,
            shape: i.ty.shape,
            init: init.clone(),
        })
    }

    /// The range of each parameter in the flat vector.
    pub(crate) fn parameter_ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let mut end = 0;
        self.parameter_specs().map(move |p| {
            let start = end;
            end += p.shape.len();
            start..end
        })
    }

    /// Rejects a vector that does not have one number per element of all parameters; the message calls it `what`.
    pub(crate) fn check_count<T>(&self, what: &'static str, values: &[T]) -> Result<(), Error> {
        if values.len() == self.parameter_count() {
            return Ok(());
        }
        Err(Error::ParameterCount {
            what,
            cell: self.name().to_owned(),
            expected: self.parameter_count(),
            found: values.len(),
        })
    }

    /// The number of all parameters' elements.
    pub fn parameter_count(&self) -> usize {
        self.parameter_specs().map(|p| p.shape.len()).sum()
    }

    /// The flat vector of parameters before training, for a seed.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn initial_parameters<T: Float>(&self, seed: u64) -> Result<Vec<T>, Error> {
        let mut all = reserved("the parameters", self.parameter_count())?;
        for p in self.parameter_specs() {
            draw(&p.init, p.name, p.shape, seed, |x| all.push(T::from_f64(x)));
        }
        Ok(all)
    }

    /// The probability that an element is kept, for each mask in the order of the tape's inputs.
    pub fn keep_probabilities(&self) -> &[f64] {
        &self.keeps
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tape.fmt(f)
    }
}
