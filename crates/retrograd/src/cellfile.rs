//! Cells from text: a cell file is replayed on the [`Builder`], so that parameters get the same names and initial values as with
//! the API. The language is described in [`retrograd_text`].

use std::path::Path;

use retrograd_tape::{Domain, InputRole, Op, Place, Shape, TapeError, Var};
use retrograd_text::{self as text, Found, Initial, RecordTarget, SourceMap, TextError};

use crate::builder::{Builder, StateSpec};
use crate::cell::Cell;
use crate::error::Error;
use crate::texts::Texts;
use crate::zoo;
use retrograd_tape::Init;

/// A cell file that has been parsed; its symbolic dimensions can still be set. The language, with its grammar, is described in the
/// documentation of the crate `retrograd_text`.
///
/// ```
/// use retrograd::CellText;
///
/// let text = CellText::parse("leak.cell", "cell leak(x[I]; h[I]) where I=2\nh' = 0.9 * h + x\noutput y = h'")?;
/// assert_eq!(text.dimensions().collect::<Vec<_>>(), ["I"]);
/// let cell = text.cell(&[("I", 5)])?;
/// assert_eq!(cell.parameter_count(), 0);
/// let wrong = CellText::parse("leak.cell", "cell leak(x[2]; h[2])\nh' = 0.9 * g + x").and_then(|t| t.cell(&[]));
/// assert!(wrong.unwrap_err().to_string().contains("`g`"));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CellText(text::CellFile);

impl CellText {
    /// Reads the text of a cell file; messages call it `name`. Its `use` lines find the cells of the [`zoo`](crate::zoo).
    ///
    /// # Errors
    /// [`Error::Text`] with the line and the place of the first mistake.
    pub fn parse(name: &str, text: &str) -> Result<CellText, Error> {
        let file = text::parse_cell_with(name, text, &mut |wanted| match wanted.path {
            None => of_zoo(wanted.name),
            Some(path) => Err(format!("a text that is no file cannot use the file {path}")),
        })?;
        Ok(CellText(file))
    }

    /// Reads a cell file, and the files that its `use` lines name, relative to the file that has the line.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, is no file or has more than 16 MiB; [`Error::Text`] for a mistake in it.
    pub fn open(path: impl AsRef<Path>) -> Result<CellText, Error> {
        let path = path.as_ref();
        let text = read(path).map_err(|cause| Error::File {
            path: path.to_owned(),
            cause,
        })?;
        let name = path.display().to_string();
        let file = text::parse_cell_with(&name, &text, &mut |wanted| match wanted.path {
            None => of_zoo(wanted.name),
            Some(path) => {
                let folder = Path::new(wanted.user).parent().unwrap_or(Path::new(""));
                let path = folder.join(path);
                let name = path.display().to_string();
                match read(&path) {
                    Ok(text) => Ok(Found { name, text }),
                    Err(why) => Err(format!("{name} cannot be read: {why}")),
                }
            }
        })?;
        Ok(CellText(file))
    }

    /// Records the cell as a layer of a builder's; see [`Builder::layer`].
    pub(crate) fn record_layer<'t>(
        &self,
        name: &str,
        operands: &[Var<'t>],
        dimensions: &[(&str, usize)],
        c: &'t Builder,
    ) -> Result<Option<Var<'t>>, Error> {
        // The text's delays, and all that depends on them, are reversed there.
        let reversed = c.scope.borrow().reversed;
        c.within(
            |scope| scope.reversed = false,
            |c| text::record_layer(&self.0, name, operands, (dimensions, reversed), c),
        )
        .map_err(Error::from)
    }

    /// The cell's name.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Its symbolic dimensions, in order.
    pub fn dimensions(&self) -> impl Iterator<Item = &str> {
        self.0.dimensions()
    }

    /// The default of a dimension, if the text gives it as a number.
    pub fn default_of(&self, dimension: &str) -> Option<usize> {
        self.0.default_of(dimension)
    }

    /// Its inputs, in order: role, name, and the dimension if that alone is the shape, as in `x[I]`.
    pub fn inputs(&self) -> impl Iterator<Item = (InputRole, &str, Option<&str>)> {
        self.0.inputs()
    }

    /// True if the cell has a loss of its own; without one, it is a recurrence for others to read out.
    pub fn has_loss(&self) -> bool {
        self.0.has_loss()
    }

    /// The cell, with these dimensions instead of those that its `where` gives.
    ///
    /// # Errors
    /// [`Error::Text`] with the line and the place of the first mistake.
    pub fn cell(&self, dimensions: &[(&str, usize)]) -> Result<Cell, Error> {
        let mut places = None;
        let cell = Cell::define(self.name(), |c| {
            places = Some(text::record(&self.0, dimensions, c));
        });
        let places = places.expect("`define` calls its closure")?;
        let cell = cell.map_err(|e| Error::from(locate(&places, e)))?;
        let mut texts = Texts::default();
        texts.keep(places);
        Ok(cell.with_text(self.inlined(dimensions).ok(), texts))
    }

    /// The cell as one text, with these dimensions in its `where`: all that its `use` lines name, of the zoo and of other files, is in
    /// it. It is what to keep with a model; see [`Cell::text`].
    ///
    /// ```
    /// use retrograd::{Cell, CellText};
    ///
    /// let text = CellText::parse("deep", "use gru\ncell deep(x[2]) where H=8\nlayer l = gru(x, H=H)\noutput y = gru(l, H=H)")?;
    /// let alone = text.inlined(&[("H", 4)])?;
    /// assert!(alone.contains("cell gru(") && !alone.contains("use "));
    /// assert_eq!(Cell::from_text(&alone, &[])?.parameter_count(), text.cell(&[("H", 4)])?.parameter_count());
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Text`] for a dimension that the cell does not have, or if the cell is called like a built-in function that a text which
    /// it uses calls.
    pub fn inlined(&self, dimensions: &[(&str, usize)]) -> Result<String, Error> {
        Ok(self.0.inlined(dimensions)?)
    }

    /// A mistake that the caller found in the input or output `name`, or without a name in the cell as a whole; it shows the place
    /// in the text as the parser's mistakes do.
    pub fn mistake(&self, name: Option<&str>, message: String, expected: String) -> Error {
        self.0.mistake(name, message, expected).into()
    }
}

impl Cell {
    /// Reads a cell from the text of a cell file; `dimensions` replace the values that its `where` gives.
    ///
    /// ```
    /// use retrograd::Cell;
    ///
    /// let text = "
    ///     cell rnn(x[I]; h[H]) where I=4, H=16
    ///     h' = tanh(dense(x, h))
    ///     output y = dense(h')
    ///     target next[I]
    ///     loss mean(square(y - next))";
    /// let cell = Cell::from_text(text, &[("H", 32)])?;
    /// assert_eq!(cell.parameter_count(), 32 * (4 + 32 + 1) + 4 * (32 + 1));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Text`] with the line and the place of the first mistake.
    pub fn from_text(text: &str, dimensions: &[(&str, usize)]) -> Result<Cell, Error> {
        CellText::parse("cell", text)?.cell(dimensions)
    }

    /// Reads a cell file; see [`Cell::from_text`].
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Text`] for a mistake in it.
    pub fn from_file(path: impl AsRef<Path>, dimensions: &[(&str, usize)]) -> Result<Cell, Error> {
        CellText::open(path)?.cell(dimensions)
    }
}

/// The largest file, in bytes.
const MOST: u64 = 16 << 20;

fn read(path: &Path) -> std::io::Result<String> {
    crate::files::read_text(path, MOST)
}

/// The cell of the zoo that a `use` line names.
fn of_zoo(name: &str) -> Result<Found, String> {
    match zoo::find(name) {
        Some(entry) => Ok(Found {
            name: format!("zoo/{name}.cell"),
            text: entry.text.to_owned(),
        }),
        None => {
            let known: Vec<&str> = zoo::names().collect();
            Err(format!(
                "the zoo has no cell `{name}`; it has {}; a file is used by its path, `use {name} from \"path.cell\"`",
                known.join(", ")
            ))
        }
    }
}

/// A mistake found when the cell was finished, with its place in the text.
fn locate(places: &SourceMap, e: Error) -> TextError {
    let message = e.to_string();
    let name = match &e {
        Error::KeepProbability { name, .. }
        | Error::NoSuchParameter { name, .. }
        | Error::BadInit { name, .. } => Some(name.as_str()),
        Error::Cell(e) => match &**e {
            TapeError::NoNext { name, .. }
            | TapeError::NextTwice { name, .. }
            | TapeError::StateShape { name, .. }
            | TapeError::NameTaken { name, .. }
            | TapeError::TooManyElements { name, .. }
            | TapeError::DelayTooLong { name, .. }
            | TapeError::Empty { name, .. } => Some(name.as_str()),
            _ => None,
        },
        _ => None,
    };
    places.locate(&message, name).caused_by(e)
}

impl From<TextError> for Error {
    fn from(e: TextError) -> Error {
        Error::Text(Box::new(e))
    }
}

impl RecordTarget for Builder {
    fn at_place(&self, place: Option<Place>) -> Option<Place> {
        self.tape.at_place(place)
    }
    fn first_text(&self) -> u32 {
        self.texts.borrow().next()
    }
    fn keep(&self, texts: SourceMap) {
        self.texts.borrow_mut().keep(texts);
    }
    fn input(&self, name: &str, role: InputRole, shape: Shape, domain: Domain) -> Var<'_> {
        self.input_over(name, role, shape, domain)
    }
    fn mask(&self, name: &str, shape: Shape, keep: f64, domain: Domain) -> Var<'_> {
        self.mask_over(name, shape, keep, domain)
    }
    fn param(&self, name: &str, shape: Shape, init: Init) -> Var<'_> {
        self.param_init(name, shape, init)
    }
    fn init(&self, name: &str, init: Init) {
        Builder::init(self, name, init);
    }
    fn state<'t>(&'t self, name: &str, shape: Shape, delay: i32, init: Initial<'t>) -> Var<'t> {
        let state = StateSpec::delay(delay);
        let state = match init {
            Initial::Given => state,
            Initial::Learned => state.init_learned(),
            Initial::Value(v) => state.init(v),
        };
        self.state_with(name, shape, state)
    }
    fn next<'t>(&'t self, state: Var<'t>, value: Var<'t>) -> Var<'t> {
        Builder::next(self, state, value)
    }
    fn constant(&self, value: f64, shape: Shape) -> Var<'_> {
        Builder::constant(self, value, shape)
    }
    fn apply<'t>(&'t self, op: Op, operands: &[Var<'t>]) -> Var<'t> {
        Builder::apply(self, op, operands)
    }
    fn parameter(&self, name: &str) -> Option<Var<'_>> {
        Builder::parameter(self, name)
    }
    fn dense<'t>(
        &'t self,
        name: &str,
        heads: Option<usize>,
        n: usize,
        operands: &[(&str, Var<'t>)],
        bias: bool,
    ) -> Var<'t> {
        self.affine(name, (heads, n), operands, bias)
    }
    fn embedding<'t>(&'t self, name: &str, rows: usize, n: usize, index: Var<'t>) -> Var<'t> {
        Builder::embedding(self, name, rows, n, index)
    }
    fn output(&self, name: &str, v: Var<'_>) {
        Builder::output(self, name, v);
    }
    fn loss(&self, v: Var<'_>, weight: Option<Var<'_>>) {
        match weight {
            Some(weight) => self.weighted_loss(v, weight),
            None => Builder::loss(self, v),
        }
    }
    fn weight(&self, v: Var<'_>) {
        Builder::weight(self, v);
    }
    fn sum_loss(&self) {
        Builder::sum_loss(self);
    }
}
