//! Ready-made cells, as cell files that hold the recurrence alone: [`ENTRIES`]. Those of the question *what is the intuition behind
//! LSTM networks?*, S1–S7, come first. A cell file uses them by `use lstm`, the builder by [`Entry::layer`].
//!
//! In the files, x is the input `[I]`, h the hidden state `[H]`, c the memory `[H]`, and a prime marks the new value.
//! `dense(x, h)` in an equation for `gate` stands for W x + U h + b with the parameters `gate.x` `[H, I]`, `gate.h` `[H, H]` and
//! `gate.bias` `[H]`. States begin as zeros.

mod forecaster;
mod head;

use retrograd_tape::{InputRole, Shape, Var};

use crate::builder::Builder;
use crate::cellfile::CellText;
use crate::error::Error;

pub use forecaster::{ForecastLoss, Forecaster, forecaster, forecaster_with_dropout};

/// A cell of the zoo.
///
/// ```
/// use retrograd::{Cell, zoo};
///
/// let gru = zoo::find("gru").unwrap();
/// assert_eq!((gru.number, gru.description), (Some("S6"), "Gated recurrent unit, reset before the product"));
/// let cell = Cell::define(gru.name, |c| c.output("y", gru.layer(c, "", c.input("x", 2), 4)))?;
/// assert_eq!(cell.parameter_count(), 3 * 4 * (2 + 4 + 1)); // reset, update, new
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Its number in the question, S1–S7, if it is one of the question's.
    pub number: Option<&'static str>,
    /// The group that it belongs to, such as "gated"; see [`groups`].
    pub group: &'static str,
    /// What it is, in one line.
    pub description: &'static str,
    /// What it is for, in one line.
    pub purpose: &'static str,
    /// Where it comes from: authors, title, arXiv number or journal, year.
    pub reference: &'static str,
    /// The cell file. Its head, a comment, says all of the above, and gives the equations.
    pub text: &'static str,
}

/// Cells by name, which is the file's. The rest is in the head of each file; what it lacks is an error of the build.
macro_rules! entries {
    ($($cell:ident)*) => {
        &[$({
            const TEXT: &str = include_str!(concat!("../cells/", stringify!($cell), ".cell"));
            const ENTRY: Entry = Entry::of(stringify!($cell), TEXT);
            ENTRY
        }),*]
    };
}

/// All cells; the question's come first, in its order.
///
/// ```
/// use retrograd::{Cell, zoo};
///
/// for entry in zoo::ENTRIES {
///     let cell = Cell::from_text(entry.text, &[("I", 3)])?;
///     assert_eq!(cell.name(), entry.name);
/// }
/// # Ok::<(), retrograd::Error>(())
/// ```
pub static ENTRIES: &[Entry] = entries! {
    rnn keepwrite one_memory one_memory_deep one_hidden one_hidden_deep irnn gru gru_after lstm
    peephole cifg lstmp lnlstm lngru mgu mut1 mut2 mut3 janet ligru slstm lstm4
    odyssey_nig odyssey_nfg odyssey_nog odyssey_niaf odyssey_noaf odyssey_cifg odyssey_np odyssey_fgr
    mingru minlstm sru indrnn qrnn1 qrnn2
    lru s5 rglru
    mamba2 gla mlstm mlstm_heads fast_weights deltanet gated_deltanet rwkv7
    ttt_linear titans
    cornn lem ltc cfc phased_lstm neural_ode clockwork
    ntm ntm_static additive_attention
    lif
};

/// The groups, each with its cells, in the order in which they first appear.
///
/// ```
/// use retrograd::zoo;
///
/// let (name, cells) = zoo::groups().into_iter().find(|(name, _)| *name == "linear recurrence").unwrap();
/// assert!(cells.iter().any(|cell| cell.name == "lru"));
/// ```
pub fn groups() -> Vec<(&'static str, Vec<&'static Entry>)> {
    let mut groups: Vec<(&str, Vec<&Entry>)> = Vec::new();
    for entry in ENTRIES {
        match groups.iter_mut().find(|(name, _)| *name == entry.group) {
            Some((_, cells)) => cells.push(entry),
            None => groups.push((entry.group, vec![entry])),
        }
    }
    groups
}

/// The names of all cells.
///
/// ```
/// use retrograd::zoo;
///
/// assert!(zoo::names().all(|name| zoo::find(name).is_some()));
/// ```
pub fn names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|e| e.name)
}

/// The question's cells, in its order.
///
/// ```
/// use retrograd::zoo;
///
/// let grus: Vec<&str> = zoo::question().filter(|e| e.number == Some("S6")).map(|e| e.name).collect();
/// assert_eq!(grus, ["gru", "gru_after"]);
/// ```
pub fn question() -> impl Iterator<Item = &'static Entry> {
    ENTRIES.iter().filter(|e| e.number.is_some())
}

/// The cell of that name, if there is one.
///
/// ```
/// use retrograd::zoo;
///
/// assert_eq!(zoo::find("lstm").unwrap().number, Some("S7"));
/// assert!(zoo::find("LSTM").is_none());
/// ```
pub fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|e| e.name == name)
}

impl Entry {
    /// The cell of a file whose head gives what it is in the first line, then lines `# group: …`, `# for: …`, `# paper: …`.
    const fn of(name: &'static str, text: &'static str) -> Entry {
        Entry {
            name,
            number: head::find(text, "# question: "),
            group: head::expect(text, "# group: "),
            description: head::expect(text, "# "),
            purpose: head::expect(text, "# for: "),
            reference: head::expect(text, "# paper: "),
            text,
        }
    }

    /// Its equations as the paper gives them, in lines of text: x is the input, a prime marks a new value, ⊙ multiplies element by
    /// element, σ is the sigmoid.
    ///
    /// ```
    /// use retrograd::zoo;
    ///
    /// assert_eq!(zoo::find("rnn").unwrap().equations(), "h' = tanh(W x + U h + b)");
    /// ```
    pub fn equations(&self) -> String {
        let indented = self.text.lines().take_while(|l| l.starts_with('#'));
        let indented = indented.filter_map(|l| l.strip_prefix("#     "));
        indented.collect::<Vec<_>>().join("\n")
    }

    /// What else its file says in front of the cell, in lines of text.
    pub fn notes(&self) -> String {
        let head = self.text.lines().take_while(|l| l.starts_with('#'));
        let after = head.skip_while(|l| !l.starts_with("#     "));
        let notes = after.filter(|l| !l.starts_with("#     "));
        let notes = notes.filter_map(|l| l.strip_prefix("# "));
        notes.collect::<Vec<_>>().join("\n")
    }

    /// The cell file, parsed.
    ///
    /// # Errors
    /// None: every file of the zoo is right.
    pub fn parsed(&self) -> Result<CellText, Error> {
        CellText::parse(&format!("{}.cell", self.name), self.text)
    }

    /// The dimension that counts its units: H, or D for a matrix memory.
    pub fn units(&self) -> &'static str {
        match self.parsed() {
            Ok(text) if !text.dimensions().any(|d| d == "H") => "D",
            _ => "H",
        }
    }

    /// The cell as a layer with so many units: the new hidden state for an input x. The names of its states and parameters begin
    /// with `name` and a dot, unless it is empty. See [`Builder::layer`].
    ///
    /// ```
    /// use retrograd::{Cell, zoo};
    ///
    /// let lstm = zoo::find("lstm").unwrap();
    /// let cell = Cell::define("two layers", |c| {
    ///     let below = lstm.layer(c, "l1", c.input("x", 2), 8);
    ///     c.output("y", lstm.layer(c, "l2", below, 4));
    /// })?;
    /// assert!(cell.parameter_specs().any(|p| p.name == "l2.forget.h"));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[track_caller]
    pub fn layer<'t>(&self, c: &'t Builder, name: &str, x: Var<'t>, units: usize) -> Var<'t> {
        self.layer_of(c, name, x, &[(self.units(), units)])
    }

    /// As [`Entry::layer`], with any of the cell's dimensions. A static input that the cell has besides x, such as the memory of
    /// `ntm_static`, becomes one of the builder's, under the name that it has in the file.
    ///
    /// ```
    /// use retrograd::{Cell, zoo};
    ///
    /// let attention = zoo::find("additive_attention").unwrap();
    /// let cell = Cell::define("reader", |c| {
    ///     c.output("y", attention.layer_of(c, "", c.input("x", 2), &[("H", 8), ("S", 5), ("M", 3)]));
    /// })?;
    /// let memory = &cell.tape().inputs()[1];
    /// assert_eq!((&*memory.name, memory.ty.shape.len()), ("K", 5 * 3));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[track_caller]
    pub fn layer_of<'t>(
        &self,
        c: &'t Builder,
        name: &str,
        x: Var<'t>,
        sizes: &[(&str, usize)],
    ) -> Var<'t> {
        let parsed = self.parsed().and_then(|text| {
            let further = self.further_inputs(&text, x, sizes)?;
            Ok((text, further))
        });
        match parsed {
            Ok((text, further)) => {
                let further = further.iter();
                let further = further.map(|(name, shape)| c.static_input(name, *shape));
                let operands: Vec<Var<'t>> = std::iter::once(x).chain(further).collect();
                c.layer(name, &text, operands, sizes)
            }
            Err(e) => c.poison(e),
        }
    }

    /// The inputs that the cell has besides x, with their shapes.
    fn further_inputs(
        &self,
        text: &CellText,
        x: Var<'_>,
        sizes: &[(&str, usize)],
    ) -> Result<Vec<(String, Shape)>, Error> {
        if text.inputs().count() == 1 {
            return Ok(Vec::new());
        }
        let mut sizes = sizes.to_vec();
        if let (Some((_, _, Some(width))), Some(shape)) = (text.inputs().next(), x.shape()) {
            sizes.push((width, shape.len()));
        }
        let cell = text.cell(&sizes)?;
        let inputs = cell.tape().inputs().iter();
        let inputs = inputs.filter(|i| i.role == InputRole::Static);
        Ok(inputs.map(|i| (i.name.to_string(), i.ty.shape)).collect())
    }
}
