//! Where in a text a mistake is, and how it is shown: file, line, carets under the place, what was expected.

use std::fmt;
use std::sync::Arc;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError,
    MietteSpanContents, SourceCode, SourceSpan, SpanContents, ThemeCharacters,
};

/// A text and what messages call it: a path, as a rule.
#[derive(Debug)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// The text.
    pub text: String,
    /// The text with one more end of line, so that there is a line to show for a mistake behind the last one.
    shown: String,
}

impl Source {
    /// A named text.
    pub fn new(name: &str, text: &str) -> Arc<Source> {
        Arc::new(Source {
            name: name.to_owned(),
            text: text.to_owned(),
            shown: format!("{text}\n"),
        })
    }
}

/// A place in a text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last.
    pub end: usize,
}

impl Span {
    /// From the beginning of this to the end of another.
    pub fn to(self, end: Span) -> Span {
        Span {
            start: self.start,
            end: end.end,
        }
    }
}

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
}

impl TextError {
    /// A mistake, its place and what to say under it.
    pub fn new(source: &Arc<Source>, at: Span, message: String, label: String) -> TextError {
        TextError(Box::new(Content {
            source: source.clone(),
            message,
            labels: vec![(at, label)],
            help: None,
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

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Line and column of the place, from 1, in characters.
    pub fn position(&self) -> (usize, usize) {
        let before = &self.0.source.text[..self.0.labels[0].0.start];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }
}

/// The whole report: file, line, carets and what was expected. Without colours, so that it can go anywhere; whoever has a
/// terminal may render the [`Diagnostic`] with miette as it likes.
impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let theme = GraphicalTheme {
            characters: ThemeCharacters {
                error: "error:".to_owned(),
                // A place one character wide has a caret too.
                underbar: '^',
                ..ThemeCharacters::ascii()
            },
            ..GraphicalTheme::none()
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_wrap_lines(false);
        let mut shown = String::new();
        handler.render_report(&mut shown, &Report(self))?;
        f.write_str(shown.trim_start())
    }
}

/// The error as [`GraphicalReportHandler`] wants it: its message is what the error displays, and ours displays all.
#[derive(Debug)]
struct Report<'e>(&'e TextError);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.message())
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Diagnostic::help(self.0)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Diagnostic::source_code(self.0)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Diagnostic::labels(self.0)
    }
}

impl std::error::Error for TextError {}

impl Diagnostic for TextError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.0.help.as_deref()?;
        Some(Box::new(help))
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.0.source)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = |(i, (span, label)): (usize, &(Span, String))| {
            let at = span.start..span.end;
            match i {
                0 => LabeledSpan::new_primary_with_span(Some(label.clone()), at),
                _ => LabeledSpan::new_with_span(Some(label.clone()), at),
            }
        };
        Some(Box::new(self.0.labels.iter().enumerate().map(label)))
    }
}

/// Lines of the text under its name.
impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let text = match span.offset() == self.text.len() {
            true => &self.shown,
            false => &self.text,
        };
        let found = text.read_span(span, lines_before, lines_after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            found.data(),
            *found.span(),
            found.line(),
            found.column(),
            found.line_count(),
        )))
    }
}

/// The known name that is most like `name`, if one is near enough to have been meant.
pub(crate) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let far = 1 + name.chars().count() / 4;
    known
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .filter(|&(distance, _)| distance <= far)
        .min()
        .map(|(_, k)| k)
}
