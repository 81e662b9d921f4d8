//! Reading cell files that use others, for tests of what they expand to.

use std::collections::BTreeSet;

use retrograd_tape::{Recorder, Tape};
use retrograd_text::{Found, TextError, parse_cell_with, record};

pub(crate) const LSTM: &str = "cell lstm(x[I]; h[H], c[H]) where I=4, H=8
    input = sigmoid(dense(x, h))
    forget = sigmoid(dense(x, h))
    cell = tanh(dense(x, h))
    output = sigmoid(dense(x, h))
    init forget.bias = 1
    c' = forget * c + input * cell
    h' = output * tanh(c')
    output y = h'
    target next[I]
    readout = dense[I](h')
    loss mean(square(readout - next))";

/// Reads a text that may use [`LSTM`] by its name or from `other.cell`, or any of the given texts.
pub(crate) fn read_with(text: &str, others: &[(&str, &str)]) -> Result<Tape, TextError> {
    let file = parse_cell_with("test.cell", text, &mut |wanted| {
        let name = wanted.path.unwrap_or("lstm.cell");
        let other = others.iter().find(|(n, _)| *n == name);
        let text = match (other, wanted.name) {
            (Some((_, text)), _) => *text,
            (None, "lstm") => LSTM,
            (None, other) => return Err(format!("there is no cell `{other}`")),
        };
        Ok(Found {
            name: name.to_owned(),
            text: text.to_owned(),
        })
    })?;
    let recorder = Recorder::new();
    let places = record(&file, &[], &recorder)?;
    (recorder.finish(file.name())).map_err(|e| places.locate(&e.to_string(), None))
}

pub(crate) fn read(text: &str) -> Tape {
    read_with(text, &[]).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn inputs(tape: &Tape) -> BTreeSet<String> {
    tape.inputs().iter().map(|i| i.name.to_string()).collect()
}

/// The message of a mistake: where it is, and what it says.
pub(crate) fn mistake(text: &str, others: &[(&str, &str)], parts: &[&str]) {
    let shown = match read_with(text, others) {
        Err(e) => e.to_string(),
        Ok(tape) => panic!("there is no mistake in\n{text}\n{tape}"),
    };
    for part in parts {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
}
