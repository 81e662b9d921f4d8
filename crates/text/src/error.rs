//! Where in a text a mistake is, and what to say about it. How it is shown is in `render.rs`.

use std::fmt;
use std::sync::Arc;

use crate::render;
use crate::source::{Source, Span};

/// A mistake in a text. It displays itself with the line and carets under the place.
#[derive(Clone, Debug)]
pub struct TextError(Box<Content>);

#[derive(Clone, Debug)]
struct Content {
    source: Arc<Source>,
    message: String,
    /// The first is the place of the mistake.
    labels: Vec<(Span, String)>,
    help: Option<String>,
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl TextError {
    /// A mistake, its place and what to say under it.
    pub fn new(source: &Arc<Source>, at: Span, message: String, label: String) -> TextError {
        TextError(Box::new(Content {
            source: source.clone(),
            message,
            labels: vec![(at, label)],
            help: None,
            cause: None,
        }))
    }

    /// Points at another place too.
    pub fn and(mut self, at: Span, label: String) -> TextError {
        self.0.labels.push((at, label));
        self
    }

    /// Says what to do.
    pub fn help(mut self, help: String) -> TextError {
        self.0.help = Some(help);
        self
    }

    /// Keeps the error that this one shows the place of.
    pub fn caused_by(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> TextError {
        self.0.cause = Some(Arc::new(cause));
        self
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Line and column of the place, from 1, in characters.
    pub fn position(&self) -> (usize, usize) {
        render::position(&self.0.source.text, self.0.labels[0].0.start)
    }
}

/// The whole report: file, line, carets and what was expected. It is plain ASCII but for what the text holds, so that it
/// can go anywhere, and short, however long the text's lines are.
impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Content {
            source,
            message,
            labels,
            help,
            ..
        } = &*self.0;
        f.write_str(&render::report(source, message, labels, help.as_deref()))
    }
}

impl std::error::Error for TextError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let cause = self.0.cause.as_deref()?;
        Some(cause)
    }
}

/// Longest name of which it is asked what was meant: the distance takes time and memory of the order of its square.
const LONGEST: usize = 64;

/// The known name that is most like `name`, if one is near enough to have been meant.
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
