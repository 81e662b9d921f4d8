//! [`TilePlot`]: shares as a table of tiles, the darker the greater, in groups side by side.

use plotters::style::RGBColor;
use retrograd::classify::Report;

use crate::PlotError;
use crate::canvas::{Anchor, Canvas, Lettering, colour, fitting, shorten, text_width};
use crate::style::{TITLE, WIDTH};

const NAME: Lettering = Lettering::plain(23.0);
const HEAD: Lettering = Lettering::bold(23.0);
const SHARE: Lettering = Lettering::bold(23.0);
const TEXT: Lettering = Lettering::plain(20.0);

const TOP: f64 = 76.0;
const HEADS: f64 = 84.0;
/// The height of a row: of few with two texts, of one, of many.
const ROWS: [f64; 3] = [66.0, 42.0, 24.0];
const MANY: usize = 40;
const NOTE: f64 = 60.0;
/// Labels that are drawn of many; those of which shares are written; characters of their names.
const DRAWN: usize = 60;
const PERCENTS: usize = 16;
const NAME_LENGTH: usize = 24;
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
///     row_name: "task".to_owned(),
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
    /// What the rows are, above their names; may be empty.
    pub row_name: String,
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
    /// Who was taken for whom: a row for each label, a column for each that was told, the darker the greater its share of the row. Of
    /// more than 60 labels, those with the most mistakes are drawn.
    ///
    /// ```
    /// use retrograd::classify::Report;
    /// use retrograd_plot::{Figure, TilePlot};
    ///
    /// let labels = ["no", "yes"].map(str::to_owned);
    /// let report = Report::of(&labels, &[0, 0, 0, 1], &[0, 0, 1, 1]).unwrap();
    /// let plot = TilePlot::confusion("Words", &report);
    /// assert_eq!((&*plot.rows[0], &*plot.groups[0].tiles[0][1].above), ("no", "1"));
    /// assert!(Figure::Tiles(plot).svg()?.contains("label that was told"));
    /// # Ok::<(), retrograd_plot::PlotError>(())
    /// ```
    pub fn confusion(title: &str, report: &Report) -> TilePlot {
        let n = report.labels.len();
        let wrong = |k: usize| {
            let score = &report.classes[k];
            score.support + score.told - 2 * report.confusion[k][k]
        };
        let mut shown: Vec<usize> = (0..n).collect();
        if n > DRAWN {
            shown.sort_by_key(|&k| std::cmp::Reverse(wrong(k)));
            shown.truncate(DRAWN);
            shown.sort_unstable();
        }
        let name = |k: usize| shorten(&report.labels[k], NAME_LENGTH);
        // Where names do not fit above the columns, numbers stand for them.
        let room = (0.65 * f64::from(WIDTH)) / shown.len() as f64;
        let fits = |k: &usize| 0.7 * text_width(&name(*k), TEXT) < room;
        let numbered = !shown.iter().all(fits);
        let row = |(at, &k): (usize, &usize)| match numbered {
            true => format!("{} {}", at + 1, name(k)),
            false => name(k),
        };
        let column = |(at, &k): (usize, &usize)| match numbered {
            true => (at + 1).to_string(),
            false => name(k),
        };
        let two = shown.len() <= PERCENTS;
        let tile = |truth: usize, told: usize| {
            let count = report.confusion[truth][told];
            let share = count as f64 / report.classes[truth].support.max(1) as f64;
            ShareTile {
                share,
                above: match count {
                    0 => String::new(),
                    count => count.to_string(),
                },
                below: match two && count > 0 {
                    true => format!("{:.0} %", 100.0 * share),
                    false => String::new(),
                },
            }
        };
        let row_of = |&truth: &usize| shown.iter().map(|&told| tile(truth, told)).collect();
        let left_out = match n - shown.len() {
            0 => String::new(),
            more => format!(" {more} labels with fewer mistakes are not drawn."),
        };
        TilePlot {
            title: title.to_owned(),
            note: format!(
                "{} sequences; each tile: how many, the darker the greater their share of the row. Accuracy {:.1} %, macro F1 {:.3}.{left_out}",
                report.count(),
                100.0 * report.accuracy,
                report.macro_f1
            ),
            row_name: "true label".to_owned(),
            rows: shown.iter().enumerate().map(row).collect(),
            groups: vec![TileGroup {
                title: "label that was told".to_owned(),
                columns: shown.iter().enumerate().map(column).collect(),
                tiles: shown.iter().map(row_of).collect(),
            }],
        }
    }

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
        let height = TOP + HEADS + self.row() * self.rows.len() as f64 + NOTE;
        (WIDTH, height as u32)
    }

    fn row(&self) -> f64 {
        let tiles = self.groups.iter().flat_map(|g| &g.tiles).flatten();
        let two = { tiles }.any(|t| !t.below.is_empty());
        match (two, self.rows.len() > MANY) {
            (true, _) => ROWS[0],
            (false, false) => ROWS[1],
            (false, true) => ROWS[2],
        }
    }

    pub(crate) fn draw(&self, canvas: &dyn Canvas) -> Result<(), PlotError> {
        let width = f64::from(WIDTH);
        let title = fitting(&self.title, TITLE, width - 48.0);
        canvas.text(&self.title, (width / 2.0, 48.0), Anchor::Middle, title)?;
        let names = self.rows.iter().map(|name| text_width(name, NAME));
        let row_name = text_width(&self.row_name, HEAD);
        let names = names.fold(row_name, f64::max).min(0.3 * width);
        let left = 24.0 + names + 20.0;
        let columns: usize = self.groups.iter().map(|g| g.columns.len()).sum();
        let gaps = GAP * (self.groups.len() - 1) as f64;
        let column = (width - 24.0 - left - gaps) / columns.max(1) as f64;

        let row = self.row();
        let head = fitting(&self.row_name, HEAD, names);
        let at = (24.0, TOP + HEADS - 16.0);
        if !self.row_name.is_empty() {
            canvas.text(&self.row_name, at, Anchor::Start, head)?;
        }
        for (k, name) in self.rows.iter().enumerate() {
            let baseline = TOP + HEADS + row * (k as f64 + 0.5) + 0.36 * NAME.em;
            canvas.text(
                name,
                (24.0, baseline),
                Anchor::Start,
                fitting(name, NAME, names),
            )?;
        }
        let mut x = left;
        for group in &self.groups {
            group.draw(canvas, x, (column, row))?;
            x += column * group.columns.len() as f64 + GAP;
        }
        let note = fitting(&self.note, TEXT, width - 48.0);
        let baseline = f64::from(self.size().1) - 20.0;
        canvas.text(&self.note, (24.0, baseline), Anchor::Start, note)
    }
}

impl TileGroup {
    fn draw(
        &self,
        canvas: &dyn Canvas,
        left: f64,
        (column, height): (f64, f64),
    ) -> Result<(), PlotError> {
        let width = column * self.columns.len() as f64;
        let head = fitting(&self.title, HEAD, width);
        let at = (left + width / 2.0, TOP + 28.0);
        canvas.text(&self.title, at, Anchor::Middle, head)?;
        for (k, name) in self.columns.iter().enumerate() {
            let at = (left + column * (k as f64 + 0.5), TOP + HEADS - 16.0);
            written(canvas, name, at, (TEXT, column - 6.0))?;
        }
        for (row, tiles) in self.tiles.iter().enumerate() {
            for (k, tile) in tiles.iter().enumerate() {
                let from = (left + column * k as f64, TOP + HEADS + height * row as f64);
                tile.draw(canvas, from, (column, height))?;
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
        if self.below.is_empty() {
            let share = Lettering::bold(SHARE.em.min(0.7 * height));
            let at = (middle, y + height / 2.0 - 1.5 + 0.36 * share.em);
            return written(canvas, &self.above, at, (share, width - 10.0));
        }
        written(
            canvas,
            &self.above,
            (middle, y + 26.0),
            (SHARE, width - 10.0),
        )?;
        written(
            canvas,
            &self.below,
            (middle, y + 52.0),
            (TEXT, width - 10.0),
        )
    }
}

/// A text around a point, unless there is no room to read it.
fn written(
    canvas: &dyn Canvas,
    text: &str,
    at: (f64, f64),
    (lettering, width): (Lettering, f64),
) -> Result<(), PlotError> {
    /// The least size that can be read.
    const LEAST: f64 = 8.0;
    let fitted = fitting(text, lettering, width.max(0.0));
    match fitted.em >= LEAST && !text.is_empty() {
        true => canvas.text(text, at, Anchor::Middle, fitted),
        false => Ok(()),
    }
}

fn shade(share: f64) -> RGBColor {
    let share = share.clamp(0.0, 1.0);
    let mix = |full: u8| (255.0 + (f64::from(full) - 255.0) * share).round() as u8;
    RGBColor(mix(FULL.0), mix(FULL.1), mix(FULL.2))
}
