//! [`Canvas`]: lines, boxes and text in logical pixels, onto a PNG or an SVG by plotters.
//!
//! A PNG is drawn [`OVERSAMPLE`] times as large and averaged down: the bitmap backend does not smooth wide lines.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::PlotError;
use crate::fallback::{self, Run};
use crate::lettering::{
    BITMAP_LINE, SVG_LINE, drawn, register_fonts, run_style, run_width, text_style,
};
pub(crate) use crate::lettering::{Lettering, fitting, shorten, text_width};
use retrograd::files::replace;

const OVERSAMPLE: u32 = 3;

/// The highest picture, in logical pixels: oversampled, it takes half a gigabyte.
const HIGHEST: u32 = 12_000;

/// The colours of Okabe and Ito, and greys.
pub(crate) mod colour {
    use plotters::style::RGBColor;

    pub(crate) const BLUE: RGBColor = RGBColor(0, 114, 178);
    pub(crate) const PALE_BLUE: RGBColor = RGBColor(178, 212, 232);
    pub(crate) const VERMILION: RGBColor = RGBColor(213, 94, 0);
    pub(crate) const REFERENCES: [RGBColor; 4] = [
        RGBColor(0, 158, 115),
        RGBColor(204, 121, 167),
        RGBColor(230, 159, 0),
        RGBColor(86, 180, 233),
    ];
    pub(crate) const BLACK: RGBColor = RGBColor(0, 0, 0);
    /// One a kind of thing, for seven of them.
    pub(crate) const KINDS: [RGBColor; 7] = [
        BLACK,
        BLUE,
        REFERENCES[2],
        REFERENCES[3],
        REFERENCES[1],
        REFERENCES[0],
        VERMILION,
    ];
    pub(crate) const INK: RGBColor = RGBColor(30, 30, 30);
    pub(crate) const FRAME: RGBColor = RGBColor(120, 120, 120);
    pub(crate) const GRID: RGBColor = RGBColor(228, 228, 228);
}

/// A point in logical pixels from the upper left corner.
pub(crate) type PixelPoint = (f64, f64);

/// Where a text's given point lies on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// What plots draw on, whichever the format.
pub(crate) trait Canvas {
    /// A line through the points, `width` logical pixels wide.
    fn line(&self, points: &[PixelPoint], width: f64, colour: RGBColor) -> Result<(), PlotError>;
    /// A filled polygon, of an opacity from 0 to 1.
    fn area(&self, corners: &[PixelPoint], colour: RGBColor, opacity: f64)
    -> Result<(), PlotError>;
    /// A filled rectangle from its upper left to its lower right corner.
    fn rect(&self, from: PixelPoint, to: PixelPoint, colour: RGBColor) -> Result<(), PlotError>;
    /// A filled disc.
    fn disc(&self, centre: PixelPoint, radius: f64, colour: RGBColor) -> Result<(), PlotError>;
    /// Horizontal text whose baseline starts, is centred, or ends at `at`.
    fn text(
        &self,
        text: &str,
        at: PixelPoint,
        anchor: Anchor,
        lettering: Lettering,
    ) -> Result<(), PlotError>;

    /// A dashed line from `from` to `to`; `pattern` is lengths of stroke and gap in turn.
    fn dashes(
        &self,
        from: PixelPoint,
        to: PixelPoint,
        pattern: &[f64],
        width: f64,
        colour: RGBColor,
    ) -> Result<(), PlotError> {
        self.dashed(&[from, to], pattern, width, colour)
    }

    /// A dashed line through the points; `pattern` is lengths of stroke and gap in turn, in logical pixels along the line.
    fn dashed(
        &self,
        points: &[PixelPoint],
        pattern: &[f64],
        width: f64,
        colour: RGBColor,
    ) -> Result<(), PlotError> {
        let mut pieces = pattern.iter().cycle().copied();
        let (mut left, mut stroke) = (pieces.next().unwrap_or(f64::INFINITY), true);
        let mut path: Vec<PixelPoint> = points.first().copied().into_iter().collect();
        for pair in points.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            let mut at = 0.0;
            while length - at > left {
                at += left;
                let share = at / length;
                let here = (
                    from.0 + (to.0 - from.0) * share,
                    from.1 + (to.1 - from.1) * share,
                );
                path.push(here);
                if stroke {
                    self.line(&path, width, colour)?;
                }
                path = vec![here];
                left = pieces.next().unwrap_or(f64::INFINITY);
                stroke = !stroke;
            }
            left -= length - at;
            path.push(to);
        }
        match stroke && path.len() > 1 {
            true => self.line(&path, width, colour),
            false => Ok(()),
        }
    }
}

/// Draws at [`OVERSAMPLE`] times `size`, averages, and writes a PNG of `size` pixels.
pub(crate) fn write_png(
    path: &Path,
    size: (u32, u32),
    draw: &mut dyn FnMut(&dyn Canvas) -> Result<(), PlotError>,
) -> Result<(), PlotError> {
    register_fonts();
    check(size)?;
    let large = (size.0 * OVERSAMPLE, size.1 * OVERSAMPLE);
    let mut pixels: Vec<u8> = Vec::new();
    let bytes = large.0 as usize * large.1 as usize * 3;
    pixels
        .try_reserve_exact(bytes)
        .map_err(|e| PlotError::Backend(format!("{bytes} bytes for the picture: {e}")))?;
    pixels.resize(bytes, 255);
    {
        let area = BitMapBackend::with_buffer(&mut pixels, large).into_drawing_area();
        draw(&Page {
            area: &area,
            scale: f64::from(OVERSAMPLE),
            format: Format::Bitmap,
        })?;
        area.present().map_err(backend)?;
    }
    let averaged: Vec<u8> = (0..size.1)
        .flat_map(|y| (0..size.0).map(move |x| (x, y)))
        .flat_map(|(x, y)| {
            let RGBColor(r, g, b) = average(&pixels, large.0, x, y);
            [r, g, b]
        })
        .collect();
    replace(path, "png", |beside| {
        let file = std::io::BufWriter::new(std::fs::File::create(beside)?);
        let mut encoder = png::Encoder::new(file, size.0, size.1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(encoding)?;
        writer.write_image_data(&averaged).map_err(encoding)?;
        writer.finish().map_err(encoding)
    })
    .map_err(|e: Failed| e.at(path))
}

/// Refuses a picture that nobody could look at.
fn check((_, height): (u32, u32)) -> Result<(), PlotError> {
    match height <= HIGHEST {
        true => Ok(()),
        false => Err(PlotError::TooHigh {
            height,
            most: HIGHEST,
        }),
    }
}

/// Writes an SVG of `size`.
pub(crate) fn write_svg(
    path: &Path,
    size: (u32, u32),
    draw: &mut dyn FnMut(&dyn Canvas) -> Result<(), PlotError>,
) -> Result<(), PlotError> {
    let text = svg(size, draw)?;
    replace(path, "svg", |beside| Ok(std::fs::write(beside, text)?)).map_err(|e: Failed| e.at(path))
}

/// The text of an SVG of `size`.
pub(crate) fn svg(
    size: (u32, u32),
    draw: &mut dyn FnMut(&dyn Canvas) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    register_fonts();
    check(size)?;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE).map_err(backend)?;
        draw(&Page {
            area: &area,
            scale: 1.0,
            format: Format::Svg,
        })?;
        area.present().map_err(backend)?;
    }
    Ok(text)
}

/// Why a file was not written, before its path is told.
enum Failed {
    System(std::io::Error),
    Drawing(PlotError),
}

impl From<std::io::Error> for Failed {
    fn from(cause: std::io::Error) -> Failed {
        Failed::System(cause)
    }
}

impl From<PlotError> for Failed {
    fn from(e: PlotError) -> Failed {
        Failed::Drawing(e)
    }
}

impl Failed {
    fn at(self, path: &Path) -> PlotError {
        match self {
            Failed::System(cause) => PlotError::Unwritable {
                path: path.to_owned(),
                cause,
            },
            Failed::Drawing(e) => e,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Bitmap,
    Svg,
}

struct Page<'a, DB: DrawingBackend> {
    area: &'a DrawingArea<DB, Shift>,
    scale: f64,
    format: Format,
}

impl<DB: DrawingBackend> Page<'_, DB> {
    fn pixel(&self, point: PixelPoint) -> (i32, i32) {
        (
            (point.0 * self.scale).round() as i32,
            (point.1 * self.scale).round() as i32,
        )
    }
}

impl<DB: DrawingBackend> Canvas for Page<'_, DB> {
    fn line(&self, points: &[PixelPoint], width: f64, colour: RGBColor) -> Result<(), PlotError> {
        let mut path: Vec<(i32, i32)> = points.iter().map(|&point| self.pixel(point)).collect();
        path.dedup();
        let style = colour.stroke_width((width * self.scale).round().max(1.0) as u32);
        if self.format == Format::Svg || path.len() < 3 {
            return self
                .area
                .draw(&PathElement::new(path, style))
                .map_err(backend);
        }
        // The bitmap backend's mitres shoot out at sharp corners: draw segments and round the corners.
        let radius = (width * self.scale / 2.0).floor() as i32;
        for pair in path.windows(2) {
            self.area
                .draw(&PathElement::new(pair.to_vec(), style))
                .map_err(backend)?;
        }
        for &corner in &path[1..path.len() - 1] {
            self.area
                .draw(&Circle::new(corner, radius, colour.filled()))
                .map_err(backend)?;
        }
        Ok(())
    }

    fn area(
        &self,
        corners: &[PixelPoint],
        colour: RGBColor,
        opacity: f64,
    ) -> Result<(), PlotError> {
        let corners: Vec<(i32, i32)> = corners.iter().map(|&c| self.pixel(c)).collect();
        let style = colour.mix(opacity).filled();
        self.area
            .draw(&Polygon::new(corners, style))
            .map_err(backend)
    }

    fn rect(&self, from: PixelPoint, to: PixelPoint, colour: RGBColor) -> Result<(), PlotError> {
        let corners = [self.pixel(from), self.pixel(to)];
        self.area
            .draw(&Rectangle::new(corners, colour.filled()))
            .map_err(backend)
    }

    fn disc(&self, centre: PixelPoint, radius: f64, colour: RGBColor) -> Result<(), PlotError> {
        let radius = (radius * self.scale).round() as i32;
        self.area
            .draw(&Circle::new(self.pixel(centre), radius, colour.filled()))
            .map_err(backend)
    }

    fn text(
        &self,
        text: &str,
        at: PixelPoint,
        anchor: Anchor,
        lettering: Lettering,
    ) -> Result<(), PlotError> {
        let h_pos = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let text = drawn(text);
        if self.format == Format::Bitmap {
            let runs = fallback::runs(&text);
            if runs.iter().any(|run| run.font.is_some()) {
                return self.runs(&runs, at, anchor, lettering);
            }
            let runs = runs.into_iter().map(|run| run.text);
            return self.line_of_text(runs.collect(), at, h_pos, lettering);
        }
        self.line_of_text(text, at, h_pos, lettering)
    }
}

impl<DB: DrawingBackend> Page<'_, DB> {
    /// Text in the shipped font.
    fn line_of_text(
        &self,
        text: String,
        at: PixelPoint,
        h_pos: HPos,
        lettering: Lettering,
    ) -> Result<(), PlotError> {
        let em = lettering.em * self.scale;
        // How far below the given point plotters 0.3 puts the baseline of top-anchored text, in em: half the line in
        // FontDataInternal::draw of its ab_glyph backend, dy = 0.76em in its SVG backend.
        let (line, drop) = match self.format {
            Format::Bitmap => (BITMAP_LINE, BITMAP_LINE / 2.0),
            Format::Svg => (SVG_LINE, 0.76),
        };
        let style = text_style(Lettering { em, ..lettering }, line).pos(Pos::new(h_pos, VPos::Top));
        let (x, y) = self.pixel(at);
        let top = y - (drop * em).round() as i32;
        self.area
            .draw(&Text::new(text, (x, top), style))
            .map_err(backend)
    }

    /// Text of a bitmap in several fonts, one after another.
    fn runs(
        &self,
        runs: &[Run],
        at: PixelPoint,
        anchor: Anchor,
        lettering: Lettering,
    ) -> Result<(), PlotError> {
        let widths: Vec<f64> = runs.iter().map(|run| run_width(run, lettering)).collect();
        let whole: f64 = widths.iter().sum();
        let mut left = match anchor {
            Anchor::Start => at.0,
            Anchor::Middle => at.0 - whole / 2.0,
            Anchor::End => at.0 - whole,
        };
        let em = lettering.em * self.scale;
        for (run, width) in runs.iter().zip(widths) {
            let (style, line) = run_style(run, Lettering { em, ..lettering });
            let style = style.pos(Pos::new(HPos::Left, VPos::Top));
            let (x, y) = self.pixel((left, at.1));
            let top = y - (line / 2.0 * em).round() as i32;
            self.area
                .draw(&Text::new(run.text.as_str(), (x, top), style))
                .map_err(backend)?;
            left += width;
        }
        Ok(())
    }
}

fn average(pixels: &[u8], width: u32, x: u32, y: u32) -> RGBColor {
    let mut sums = [0_u32; 3];
    for row in y * OVERSAMPLE..(y + 1) * OVERSAMPLE {
        let start = (row as usize * width as usize + (x * OVERSAMPLE) as usize) * 3;
        for (at, &value) in pixels[start..][..OVERSAMPLE as usize * 3]
            .iter()
            .enumerate()
        {
            sums[at % 3] += u32::from(value);
        }
    }
    let [r, g, b] = sums.map(|sum| (sum / (OVERSAMPLE * OVERSAMPLE)) as u8);
    RGBColor(r, g, b)
}

/// An error of the encoder is the system's, or a bug of ours.
fn encoding(error: png::EncodingError) -> Failed {
    match error {
        png::EncodingError::IoError(cause) => Failed::System(cause),
        other => Failed::Drawing(backend(other)),
    }
}

fn backend(error: impl std::fmt::Display) -> PlotError {
    PlotError::Backend(error.to_string())
}
