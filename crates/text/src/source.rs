//! A text and places within it.

use std::sync::Arc;

use retrograd_tape::Place;

/// A text and its name in messages, usually a path.
#[derive(Debug)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// The text.
    pub text: String,
    /// Its number among the texts that are read together: 0 for the one that uses the others.
    pub(crate) file: u32,
}

impl Source {
    /// A named text.
    pub fn new(name: &str, text: &str) -> Arc<Source> {
        Source::numbered(name, text, 0)
    }

    pub(crate) fn numbered(name: &str, text: &str, file: u32) -> Arc<Source> {
        Arc::new(Source {
            name: name.to_owned(),
            text: text.to_owned(),
            file,
        })
    }
}

/// A place in a text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The number of the text.
    pub(crate) file: u32,
    /// First byte.
    pub start: usize,
    /// One past the last.
    pub end: usize,
}

impl From<Span> for Place {
    fn from(at: Span) -> Place {
        Place {
            file: at.file,
            start: at.start,
            end: at.end,
        }
    }
}

impl From<Place> for Span {
    fn from(at: Place) -> Span {
        Span {
            file: at.file,
            start: at.start,
            end: at.end,
        }
    }
}

impl Span {
    /// From the beginning of this place to the end of another.
    pub fn to(self, end: Span) -> Span {
        Span {
            end: end.end,
            ..self
        }
    }
}
