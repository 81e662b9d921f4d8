//! Mistakes in a text: their places and messages. `render.rs` displays them.

use std::fmt;
use std::sync::Arc;

use crate::render;
use crate::source::{Source, Span};

/// A mistake in a text. Its display includes the line, with carets under the place.
#[derive(Clone, Debug)]
pub struct TextError(Box<Content>);

#[derive(Clone, Debug)]
struct Content {
    /// The texts in which the places are; the first has the mistake.
    sources: Vec<Arc<Source>>,
    message: String,
    /// The first is the place of the mistake.
    labels: Vec<(Span, String)>,
    help: Option<String>,
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl TextError {
    /// A mistake, its place and the label under it.
    pub fn new(source: &Arc<Source>, at: Span, message: String, label: String) -> TextError {
        TextError(Box::new(Content {
            sources: vec![source.clone()],
            message,
            labels: vec![(at, label)],
            help: None,
            cause: None,
        }))
    }

    /// Points at another place, too.
    pub fn and(mut self, at: Span, label: String) -> TextError {
        self.0.labels.push((at, label));
        self
    }

    /// The same mistake, whose places are in any of these texts.
    pub(crate) fn among(mut self, sources: &[Arc<Source>]) -> TextError {
        for source in sources {
            if self.0.sources.iter().all(|s| s.file != source.file) {
                self.0.sources.push(source.clone());
            }
        }
        self
    }

    /// Adds advice.
    pub fn help(mut self, help: String) -> TextError {
        self.0.help = Some(help);
        self
    }

    /// Keeps the underlying error.
    pub fn caused_by(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> TextError {
        self.0.cause = Some(Arc::new(cause));
        self
    }

    /// The message, without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Line and column of the place, counted from 1, in characters.
    pub fn position(&self) -> (usize, usize) {
        render::position(&self.0.sources[0].text, self.0.labels[0].0.start)
    }
}

/// The whole report: file, line, carets and what was expected. It is plain ASCII except for excerpts of the text, so it
/// can be written anywhere, and short even if the text's lines are long.
impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Content {
            sources,
            message,
            labels,
            help,
            ..
        } = &*self.0;
        f.write_str(&render::report(sources, message, labels, help.as_deref()))
    }
}

impl std::error::Error for TextError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let cause = self.0.cause.as_deref()?;
        Some(cause)
    }
}

/// Longest name for which suggestions are sought: the edit distance takes time and memory quadratic in the length.
const LONGEST: usize = 64;

/// The known name most similar to `name`, if it is similar enough to have been meant.
pub(crate) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let length = name.chars().count();
    let far = 1 + length / 4;
    known
        .filter(|k| length <= LONGEST && k.len() <= 4 * LONGEST)
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .filter(|&(distance, _)| distance <= far)
        .min()
        .map(|(_, k)| k)
}
