//! Names of lines in a panel's right margin, each beside the end of its line and none over another.

use plotters::style::RGBColor;

use crate::PlotError;
use crate::axis::PlotArea;
use crate::canvas::{Anchor, Canvas, Lettering, colour, text_width};

pub(crate) const LABEL: Lettering = Lettering::plain(22.0);

/// A line's name in the right margin, with a sample of the line.
pub(crate) struct LineLabel {
    pub(crate) text: String,
    pub(crate) value: f64,
    pub(crate) sample: Swatch,
}

/// What the line looks like.
pub(crate) enum Swatch {
    Curve(RGBColor, f64),
    Marked(RGBColor),
    Dashed(RGBColor, &'static [f64]),
}

/// From the panel to the labels' samples, and the samples' length, in logical pixels.
const LABEL_GAP: f64 = 36.0;
const SAMPLE: f64 = 52.0;

/// Draws the names where their lines end, or as near as they fit.
pub(crate) fn draw_labels(
    canvas: &dyn Canvas,
    panel: &PlotArea,
    labels: &[LineLabel],
) -> Result<(), PlotError> {
    let wanted: Vec<f64> = labels.iter().map(|label| panel.y_at(label.value)).collect();
    let placed = spread(&wanted, 1.5 * LABEL.em, panel.top, panel.bottom);
    for ((label, line_y), y) in labels.iter().zip(wanted).zip(placed) {
        let (start, end) = (panel.right + LABEL_GAP, panel.right + LABEL_GAP + SAMPLE);
        canvas.line(
            &[(panel.right + 4.0, line_y), (start - 4.0, y)],
            1.5,
            colour::FRAME,
        )?;
        match label.sample {
            Swatch::Curve(tone, width) => canvas.line(&[(start, y), (end, y)], width, tone)?,
            Swatch::Marked(tone) => {
                canvas.line(&[(start, y), (end, y)], 4.0, tone)?;
                canvas.disc((f64::midpoint(start, end), y), 6.0, tone)?;
            }
            Swatch::Dashed(tone, pattern) => {
                canvas.dashes((start, y), (end, y), pattern, 4.0, tone)?;
            }
        }
        canvas.text(
            &label.text,
            (end + 10.0, y + 0.36 * LABEL.em),
            Anchor::Start,
            LABEL,
        )?;
    }
    Ok(())
}

/// What the names take to the right of a panel, in logical pixels.
pub(crate) fn labels_width(labels: &[LineLabel]) -> f64 {
    let widths = labels.iter().map(|label| text_width(&label.text, LABEL));
    LABEL_GAP + SAMPLE + 10.0 + widths.fold(0.0, f64::max)
}

/// Positions as near as possible to the wanted ones, in their order, at least `gap` apart and inside low..high if they fit.
fn spread(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    // Groups of touching labels, each centred on the mean of what its members want: (sum of wants, members).
    let mut groups: Vec<(f64, usize)> = Vec::new();
    let top_of = |&(sum, members): &(f64, usize)| {
        let half = (members - 1) as f64 * gap / 2.0;
        (sum / members as f64 - half)
            .min(high - 2.0 * half)
            .max(low)
    };
    for &at in &order {
        groups.push((wanted[at], 1));
        while let [.., above, below] = groups.as_slice()
            && top_of(above) + above.1 as f64 * gap > top_of(below)
        {
            let joined = (above.0 + below.0, above.1 + below.1);
            groups.truncate(groups.len() - 2);
            groups.push(joined);
        }
    }
    let positions = groups
        .iter()
        .flat_map(|group| (0..group.1).map(move |k| top_of(group) + k as f64 * gap));
    let mut placed = vec![0.0; wanted.len()];
    for (&at, y) in order.iter().zip(positions) {
        placed[at] = y;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_distance_their_order_and_the_panel() {
        let placed = spread(&[100.0, 101.0, 99.0, 300.0, 399.0], 30.0, 0.0, 400.0);
        assert_eq!(placed, [100.0, 130.0, 70.0, 300.0, 399.0]);
        let crowded = spread(&[395.0, 398.0, 360.0], 30.0, 0.0, 400.0);
        assert_eq!(crowded, [370.0, 400.0, 340.0]);
    }
}
