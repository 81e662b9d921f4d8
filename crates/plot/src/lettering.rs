//! Texts: fonts, sizes, widths.

use std::sync::Once;

use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use retrograd::data::printable;

use crate::canvas::colour;
use crate::fallback::{self, Run};

/// The longest text that is drawn, in characters.
const LONGEST: usize = 160;

/// What an SVG names: the font that texts are measured with, those that have other scripts and signs, and whatever there is. Registered
/// with plotters under this name.
const FAMILY: &str =
    "DejaVu Sans, Noto Sans, Noto Sans CJK JP, Noto Color Emoji, Verdana, Arial, sans-serif";

/// How a text looks; `em` is the font size in logical pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lettering {
    pub(crate) em: f64,
    pub(crate) bold: bool,
}

impl Lettering {
    pub(crate) const fn plain(em: f64) -> Lettering {
        Lettering { em, bold: false }
    }

    pub(crate) const fn bold(em: f64) -> Lettering {
        Lettering { em, bold: true }
    }
}

/// The width of a text in logical pixels.
pub(crate) fn text_width(text: &str, lettering: Lettering) -> f64 {
    let runs = fallback::runs(&drawn(text));
    runs.iter().map(|run| run_width(run, lettering)).sum()
}

pub(crate) fn run_width(run: &Run, lettering: Lettering) -> f64 {
    register_fonts();
    // Measured at ten times the size, since plotters rounds to whole pixels.
    let lettering = Lettering {
        em: 10.0 * lettering.em,
        ..lettering
    };
    let (style, _) = run_style(run, lettering);
    style
        .font
        .box_size(&run.text)
        .map_or(0.0, |(width, _)| f64::from(width) / 10.0)
}

/// The style of a stretch of text in a bitmap, and the height of its line in em.
pub(crate) fn run_style(run: &Run, lettering: Lettering) -> (TextStyle<'static>, f64) {
    match run.font {
        None => (text_style(lettering, BITMAP_LINE), BITMAP_LINE),
        Some(font) => {
            let style = (&*font.family, lettering.em * font.line).into_text_style(&(1, 1));
            (style.color(&colour::INK), font.line)
        }
    }
}

/// A text as it is drawn: without control characters, which are not allowed in an SVG, and of bounded length.
pub(crate) fn drawn(text: &str) -> String {
    printable(text, LONGEST)
}

/// The lettering, smaller if the text would else be wider than `width`.
pub(crate) fn fitting(text: &str, lettering: Lettering, width: f64) -> Lettering {
    let shrink = (width / text_width(text, lettering).max(1.0)).min(1.0);
    Lettering {
        em: lettering.em * shrink,
        ..lettering
    }
}

/// At most `most` characters of a text that the data's author chose.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    printable(text, most)
}

/// What plotters calls the size of a font, in em: ascent − descent of DejaVu Sans in bitmaps (ab_glyph's `PxScale`), …
pub(crate) const BITMAP_LINE: f64 = (1901.0 + 483.0) / 2048.0;
/// … and in SVG a factor that the backend divides by.
pub(crate) const SVG_LINE: f64 = 1.24;

pub(crate) fn text_style(lettering: Lettering, line: f64) -> TextStyle<'static> {
    let weight = if lettering.bold {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    };
    (FAMILY, lettering.em * line, weight)
        .into_text_style(&(1, 1))
        .color(&colour::INK)
}

pub(crate) fn register_fonts() {
    static FONTS: Once = Once::new();
    FONTS.call_once(|| {
        for (style, bytes) in [
            (FontStyle::Normal, dejavu::sans::regular()),
            (FontStyle::Bold, dejavu::sans::bold()),
        ] {
            assert!(
                register_font(FAMILY, style, bytes).is_ok(),
                "the embedded font is broken"
            );
        }
    });
}
