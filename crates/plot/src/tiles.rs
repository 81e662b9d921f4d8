//! [`TilePlot`]: shares as a table of tiles, the darker the greater, in groups side by side.

use plotters::style::RGBColor;

use crate::PlotError;
use crate::canvas::{Anchor, Canvas, Lettering, colour, fitting, text_width};
use crate::style::{TITLE, WIDTH};

const NAME: Lettering = Lettering::plain(23.0);
const HEAD: Lettering = Lettering::bold(23.0);
const SHARE: Lettering = Lettering::bold(23.0);
const TEXT: Lettering = Lettering::plain(20.0);

const TOP: f64 = 76.0;
const HEADS: f64 = 84.0;
const ROW: f64 = 66.0;
const NOTE: f64 = 60.0;
/// Between groups.
const GAP: f64 = 28.0;

/// The colour of a share of 1; black text is well read on it. 0 is white.
const FULL: RGBColor = RGBColor(86, 180, 233);

/// A table of shares.
///
/// ```
/// use retrograd_plot::{Figure, ShareTile, TileGroup, TilePlot};
///
/// let tile = |share: f64| ShareTile { share, above: format!("{share:.1}"), below: "of 5 seeds".to_owned() };
/// let group = TileGroup {
///     title: "lag 10".to_owned(),
///     columns: vec!["rnn".to_owned(), "lstm".to_owned()],
///     tiles: vec![vec![tile(0.2), tile(1.0)]],
/// };
/// let plot = TilePlot {
///     title: "Learned".to_owned(),
///     note: "share of seeds".to_owned(),
///     rows: vec!["copy".to_owned()],
///     groups: vec![group],
/// };
/// assert!(Figure::Tiles(plot).svg()?.contains("lag 10"));
/// # Ok::<(), retrograd_plot::PlotError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TilePlot {
    /// What is shown.
    pub title: String,
    /// What the texts in a tile are.
    pub note: String,
    /// The rows' names.
    pub rows: Vec<String>,
    /// Groups of columns, from the left.
    pub groups: Vec<TileGroup>,
}

/// Columns that belong together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TileGroup {
    /// Its name.
    pub title: String,
    /// The columns' names.
    pub columns: Vec<String>,
    /// For each row, its tiles.
    pub tiles: Vec<Vec<ShareTile>>,
}

/// One tile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShareTile {
    /// From 0 to 1.
    pub share: f64,
    /// The share as text.
    pub above: String,
    /// What more there is to say.
    pub below: String,
}

impl TilePlot {
    pub(crate) fn check(&self) -> Result<(), PlotError> {
        if self.rows.is_empty() || self.groups.is_empty() {
            return Err(PlotError::NoData(format!(
                "\"{}\" has no tiles",
                self.title
            )));
        }
        let wrong = |what: String, found, expected| {
            Err(PlotError::Length {
                what,
                found,
                expected,
            })
        };
        for group in &self.groups {
            let rows = format!("rows of tiles of \"{}\"", group.title);
            if group.tiles.len() != self.rows.len() {
                return wrong(rows, group.tiles.len(), self.rows.len());
            }
            for (row, tiles) in self.rows.iter().zip(&group.tiles) {
                if tiles.len() != group.columns.len() {
                    let what = format!("tiles of \"{row}\" in \"{}\"", group.title);
                    return wrong(what, tiles.len(), group.columns.len());
                }
            }
        }
        Ok(())
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        let height = TOP + HEADS + ROW * self.rows.len() as f64 + NOTE;
        (WIDTH, height as u32)
    }

    pub(crate) fn draw(&self, canvas: &dyn Canvas) -> Result<(), PlotError> {
        let width = f64::from(WIDTH);
        let title = fitting(&self.title, TITLE, width - 48.0);
        canvas.text(&self.title, (width / 2.0, 48.0), Anchor::Middle, title)?;
        let names = self.rows.iter().map(|name| text_width(name, NAME));
        let names = names.fold(0.0, f64::max).min(0.3 * width);
        let left = 24.0 + names + 20.0;
        let columns: usize = self.groups.iter().map(|g| g.columns.len()).sum();
        let gaps = GAP * (self.groups.len() - 1) as f64;
        let column = (width - 24.0 - left - gaps) / columns.max(1) as f64;

        for (k, name) in self.rows.iter().enumerate() {
            let baseline = TOP + HEADS + ROW * (k as f64 + 0.5) + 0.36 * NAME.em;
            canvas.text(
                name,
                (24.0, baseline),
                Anchor::Start,
                fitting(name, NAME, names),
            )?;
        }
        let mut x = left;
        for group in &self.groups {
            group.draw(canvas, x, column)?;
            x += column * group.columns.len() as f64 + GAP;
        }
        let note = fitting(&self.note, TEXT, width - 48.0);
        let baseline = f64::from(self.size().1) - 20.0;
        canvas.text(&self.note, (24.0, baseline), Anchor::Start, note)
    }
}

impl TileGroup {
    fn draw(&self, canvas: &dyn Canvas, left: f64, column: f64) -> Result<(), PlotError> {
        let width = column * self.columns.len() as f64;
        let head = fitting(&self.title, HEAD, width);
        let at = (left + width / 2.0, TOP + 28.0);
        canvas.text(&self.title, at, Anchor::Middle, head)?;
        for (k, name) in self.columns.iter().enumerate() {
            let at = (left + column * (k as f64 + 0.5), TOP + HEADS - 16.0);
            canvas.text(name, at, Anchor::Middle, fitting(name, TEXT, column - 6.0))?;
        }
        for (row, tiles) in self.tiles.iter().enumerate() {
            for (k, tile) in tiles.iter().enumerate() {
                let from = (left + column * k as f64, TOP + HEADS + ROW * row as f64);
                tile.draw(canvas, from, (column, ROW))?;
            }
        }
        Ok(())
    }
}

impl ShareTile {
    fn draw(
        &self,
        canvas: &dyn Canvas,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
    ) -> Result<(), PlotError> {
        let corner = (x + width - 3.0, y + height - 3.0);
        canvas.rect((x, y), corner, colour::FRAME)?;
        canvas.rect(
            (x + 1.5, y + 1.5),
            (corner.0 - 1.5, corner.1 - 1.5),
            shade(self.share),
        )?;
        let middle = x + (width - 3.0) / 2.0;
        let share = fitting(&self.above, SHARE, width - 10.0);
        canvas.text(&self.above, (middle, y + 26.0), Anchor::Middle, share)?;
        let text = fitting(&self.below, TEXT, width - 10.0);
        canvas.text(&self.below, (middle, y + 52.0), Anchor::Middle, text)
    }
}

fn shade(share: f64) -> RGBColor {
    let share = share.clamp(0.0, 1.0);
    let mix = |full: u8| (255.0 + (f64::from(full) - 255.0) * share).round() as u8;
    RGBColor(mix(FULL.0), mix(FULL.1), mix(FULL.2))
}
