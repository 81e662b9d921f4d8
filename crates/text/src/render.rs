//! Rendering of mistakes: the affected lines, carets under the places, labels and help.
//!
//! The renderer is that of rustc ([`annotate_snippets`]), without colours. It shows whole lines where several places
//! share one, so its input is first cut to [`WHOLE`] bytes of text or to a window around each place.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::source::{Source, Span};

/// Longest part of the text, in bytes, that is passed to the renderer uncut. It holds 30 lines of 130 characters.
const WHOLE: usize = 4096;

/// The number of characters of a longer line shown before and after the beginning of a place.
const AROUND: usize = 50;

/// Longest message, label or help, in characters: a name within it may be as long as the text.
const LONGEST: usize = 1000;

/// The report of a mistake; the first label is its place.
pub(crate) fn report(
    sources: &[Arc<Source>],
    message: &str,
    labels: &[(Span, String)],
    help: Option<&str>,
) -> String {
    let labels: Vec<Label<'_>> = (labels.iter().enumerate())
        .map(|(i, (span, label))| (kind(i), *span, label.as_str()))
        .collect();
    // The text that has the mistake comes first, and then the others in the order of their first label.
    let mut files: Vec<u32> = labels.iter().map(|(_, span, _)| span.file).collect();
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(*file));
    let title = Group::with_title(Level::ERROR.primary_title(shortened(message)));
    let group = files.into_iter().fold(title, |group, file| {
        let Some(source) = sources.iter().find(|s| s.file == file) else {
            return group;
        };
        let mut here = labels.clone();
        here.retain(|(_, span, _)| span.file == file);
        match piece(&source.text, &here) {
            Some(at) => group.element(whole(source, at, &here)),
            None => here
                .iter()
                .fold(group, |group, label| window(group, source, label)),
        }
    });
    let group = match help {
        Some(help) => group.element(Level::HELP.message(shortened(help))),
        None => group,
    };
    Renderer::plain().render(&[group]) + "\n"
}

/// A place with the text under it.
type Label<'s> = (AnnotationKind, Span, &'s str);

/// Line and column of a byte of the text, counted from 1, in characters.
pub(crate) fn position(text: &str, at: usize) -> (usize, usize) {
    let line = text[..at].matches('\n').count() + 1;
    let column = text[line_start(text, at)..at].chars().count() + 1;
    (line, column)
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |n| n + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |n| at + n)
}

/// The first label is the mistake's place; the others are related to it.
fn kind(i: usize) -> AnnotationKind {
    match i {
        0 => AnnotationKind::Primary,
        _ => AnnotationKind::Context,
    }
}

/// The lines that contain all labels, if they are short enough to be shown uncut.
fn piece(text: &str, labels: &[Label<'_>]) -> Option<Range<usize>> {
    let start = labels.iter().map(|(_, at, _)| at.start).min()?;
    let end = labels.iter().map(|(_, at, _)| at.end).max()?;
    let (start, end) = (line_start(text, start), line_end(text, end));
    (end - start <= WHOLE).then_some(start..end)
}

fn whole<'s>(
    source: &'s Source,
    at: Range<usize>,
    labels: &[Label<'s>],
) -> Snippet<'s, annotate_snippets::Annotation<'s>> {
    let snippet = Snippet::source(&source.text[at.start..at.end])
        .path(&source.name)
        .line_start(position(&source.text, at.start).0);
    let annotation = |(kind, span, label): &Label<'s>| {
        let shown = span.start - at.start..span.end - at.start;
        kind.span(shown).label(shortened(label))
    };
    snippet.annotations(labels.iter().map(annotation))
}

/// Adds a label with the surrounding part of its line. A place that continues on the next line is shown up to the line's end.
fn window<'s>(group: Group<'s>, source: &'s Source, (kind, span, label): &Label<'s>) -> Group<'s> {
    let text = &source.text;
    let (line, column) = position(text, span.start);
    let before = &text[line_start(text, span.start)..span.start];
    let from = (before.char_indices().rev().nth(AROUND - 1)).map_or(0, |(n, _)| n);
    let after = &text[span.start..line_end(text, span.start)];
    let to = (after.char_indices().nth(AROUND)).map_or(after.len(), |(n, _)| n);

    let mut shown = String::new();
    shown += if from > 0 { "..." } else { "" };
    shown += &before[from..];
    let start = shown.len();
    shown += &after[..to];
    let end = (start + span.end - span.start).min(shown.len());
    shown += if to < after.len() { "..." } else { "" };

    let origin = Origin::path(&source.name).line(line).char_column(column);
    let annotation = kind.span(start..end).label(shortened(label));
    let snippet = Snippet::source(shown).line_start(line);
    group
        .element(origin)
        .element(snippet.annotation(annotation))
}

/// The text, without its middle if it is long.
fn shortened(text: &str) -> String {
    const HALF: usize = LONGEST / 2;
    let begins = text.char_indices().nth(HALF).map(|(n, _)| n);
    let ends = text.char_indices().rev().nth(HALF).map(|(n, _)| n);
    match (begins, ends) {
        (Some(a), Some(b)) if a < b => format!("{} ... {}", &text[..a], &text[b..]),
        _ => text.to_owned(),
    }
}
