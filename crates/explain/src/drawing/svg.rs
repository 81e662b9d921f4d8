//! A drawing as SVG.

use std::fmt::Write;

use dugong::Point;

use super::layout::{Area, LABEL, LEADING, NOTE, places, width};
use super::{Drawing, DrawnNode, NodeKind, NodePlace};

const INK: &str = "#222222";
const FLOW: &str = "#555555";
/// Delays. The colours are those that Okabe & Ito (2008) chose for all eyes, lighter where they fill.
pub(super) const DELAY: &str = "#d55e00";
const PRODUCT: &str = "#0072b2";
const STEPS: [&str; 2] = ["#f0f0f0", "#8a8a8a"];
const ONCE: [&str; 2] = ["#ffffff", "#8a8a8a"];
/// Fill and outline of recurrences, in turn.
pub(super) const RECURRENCES: [[&str; 2]; 4] = [
    ["#fdf0d5", "#e69f00"],
    ["#d9eefa", "#3a93c4"],
    ["#d5efe6", "#009e73"],
    ["#f6e3ee", "#cc79a7"],
];
const FONT: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";
const TITLE: f64 = 18.0;
const MARGIN: f64 = 16.0;

impl Drawing {
    /// The picture as an SVG document.
    pub fn svg(&self) -> String {
        let at = places(self);
        let top = MARGIN + TITLE * LEADING;
        let legend = self.legend();
        let wide = at
            .width
            .max(width(&self.title, TITLE) + 2.0 * MARGIN)
            .max(430.0);
        let high = top + at.height + legend_height(&legend);
        let mut out = String::new();
        let _ = write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide:.0} {high:.0}\" width=\"{wide:.0}\" height=\"{high:.0}\" \
             font-family=\"{FONT}\" fill=\"{INK}\">\n\
             <title>{title}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}{}",
            marker("flow", FLOW),
            marker("delay", DELAY),
            title = escaped(&self.title),
        );
        text(
            &mut out,
            (MARGIN, MARGIN + TITLE),
            TITLE,
            "start",
            &self.title,
        );
        let _ = writeln!(
            out,
            "<g transform=\"translate({:.1} {top:.1})\">",
            (wide - at.width) / 2.0
        );
        for (k, area) in &at.recurrences {
            let area = &with_heading(area);
            let [fill, line] = RECURRENCES[k % RECURRENCES.len()];
            let _ = writeln!(
                out,
                "<rect {} rx=\"10\" fill=\"{fill}\" stroke=\"{line}\"/>",
                rectangle(area)
            );
            let corner = (
                area.x - area.width / 2.0 + 8.0,
                area.y - area.height / 2.0 + NOTE + 6.0,
            );
            text(&mut out, corner, NOTE, "start", &self.recurrence(*k));
        }
        for (edge, (points, _)) in self.edges.iter().zip(&at.edges) {
            let (color, marker, dash) = match edge.delay {
                None => (FLOW, "flow", ""),
                Some(_) => (
                    DELAY,
                    "delay",
                    " stroke-width=\"1.8\" stroke-dasharray=\"6 3\"",
                ),
            };
            let _ = writeln!(
                out,
                "<path d=\"{}\" fill=\"none\" stroke=\"{color}\"{dash} marker-end=\"url(#{marker})\"/>",
                curve(points)
            );
        }
        for (edge, (_, middle)) in self.edges.iter().zip(&at.edges) {
            let label = edge_label(&edge.label, edge.delay);
            let color = if edge.delay.is_some() { DELAY } else { FLOW };
            if !label.is_empty() {
                let _ = writeln!(
                    out,
                    "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{NOTE}\" text-anchor=\"middle\" fill=\"{color}\" \
                     stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\">{}</text>",
                    middle.x,
                    middle.y + 0.36 * NOTE,
                    escaped(&label)
                );
            }
        }
        for (node, area) in self.nodes.iter().zip(&at.nodes) {
            out.push_str(&outline(node, area));
            words(&mut out, node, area);
        }
        out.push_str("</g>\n");
        draw_legend(&mut out, &legend, top + at.height);
        out.push_str("</svg>\n");
        out
    }

    /// The meaning of the colours and outlines in the picture.
    fn legend(&self) -> Vec<(LegendKey, String)> {
        let mut all = Vec::new();
        let has = |kind: NodeKind| self.nodes.iter().any(|n| n.kind == kind);
        let shapes = [
            (NodeKind::Port, "input or output"),
            (NodeKind::State, "state: the value of another step"),
            (NodeKind::Product, "product with a matrix"),
            (NodeKind::Map, "element by element"),
            (NodeKind::Other, "sum or other op"),
        ];
        for (kind, what) in shapes {
            if has(kind) {
                all.push((LegendKey::Outline(kind), what.to_owned()));
            }
        }
        if self.nodes.iter().any(|n| n.place == NodePlace::Steps) {
            all.push((
                LegendKey::Fill(NodePlace::Steps),
                "outside loops over time: all steps at once".to_owned(),
            ));
        }
        if self.nodes.iter().any(|n| n.place == NodePlace::Once) {
            all.push((
                LegendKey::Fill(NodePlace::Once),
                "once, not at every step".to_owned(),
            ));
        }
        for k in 0..self.recurrences.len() {
            let name = self.recurrence(k);
            all.push((
                LegendKey::Fill(NodePlace::Recurrence(k)),
                format!("{name}, one step after the other"),
            ));
        }
        if self.edges.iter().any(|e| e.delay.is_some()) {
            all.push((LegendKey::Delay, "delay: to another step".to_owned()));
        }
        all
    }
}

/// What a line of the legend shows.
enum LegendKey {
    Outline(NodeKind),
    Fill(NodePlace),
    Delay,
}

/// What is written on an edge.
pub(super) fn edge_label(label: &str, delay: Option<i32>) -> String {
    match delay {
        None => label.to_owned(),
        Some(d) => format!(
            "{label} {} {}",
            if d > 0 { "delay" } else { "delay −" },
            d.abs()
        )
        .replace("− ", "−"),
    }
    .trim()
    .to_owned()
}

const ROW: f64 = 24.0;

fn legend_height(legend: &[(LegendKey, String)]) -> f64 {
    ROW * legend.len() as f64 + MARGIN
}

fn draw_legend(out: &mut String, legend: &[(LegendKey, String)], top: f64) {
    for (i, (sample, what)) in legend.iter().enumerate() {
        let (x, y) = (MARGIN, top + ROW * (i as f64 + 0.5));
        let area = Area {
            x: x + 18.0,
            y,
            width: 32.0,
            height: 16.0,
        };
        let node = |kind, place| DrawnNode {
            kind,
            place,
            label: String::new(),
            notes: Vec::new(),
        };
        match *sample {
            LegendKey::Outline(kind) => out.push_str(&outline(&node(kind, NodePlace::Once), &area)),
            LegendKey::Fill(place) => {
                let [fill, line] = colors(place);
                let _ = writeln!(
                    out,
                    "<rect {} fill=\"{fill}\" stroke=\"{line}\"/>",
                    rectangle(&area)
                );
            }
            LegendKey::Delay => {
                let _ = writeln!(
                    out,
                    "<path d=\"M{x:.1} {y:.1}h30\" stroke=\"{DELAY}\" stroke-width=\"1.8\" stroke-dasharray=\"6 3\" marker-end=\"url(#delay)\"/>"
                );
            }
        }
        text(out, (x + 46.0, y + 4.0), NOTE + 1.0, "start", what);
    }
}

fn colors(place: NodePlace) -> [&'static str; 2] {
    match place {
        NodePlace::Steps => STEPS,
        NodePlace::Once => ONCE,
        NodePlace::Recurrence(k) => RECURRENCES[k % RECURRENCES.len()],
    }
}

/// A node's outline.
fn outline(node: &DrawnNode, area: &Area) -> String {
    let [fill, line] = colors(node.place);
    let fill = match node.place {
        // On the ground of the loop's box.
        NodePlace::Recurrence(_) => "#ffffff",
        _ => fill,
    };
    let at = rectangle(area);
    match node.kind {
        NodeKind::Product => {
            format!("<rect {at} fill=\"{fill}\" stroke=\"{PRODUCT}\" stroke-width=\"2.4\"/>\n")
        }
        NodeKind::State => format!(
            "<rect {at} rx=\"12\" fill=\"{fill}\" stroke=\"{DELAY}\" stroke-width=\"1.8\"/>\n"
        ),
        NodeKind::Map => format!(
            "<ellipse cx=\"{:.1}\" cy=\"{:.1}\" rx=\"{:.1}\" ry=\"{:.1}\" fill=\"{fill}\" stroke=\"{line}\" stroke-width=\"1.4\"/>\n",
            area.x,
            area.y,
            area.width / 2.0,
            area.height / 2.0
        ),
        NodeKind::Other => format!("<rect {at} rx=\"3\" fill=\"{fill}\" stroke=\"{line}\"/>\n"),
        NodeKind::Port => {
            let (w, h, lean) = (area.width / 2.0, area.height / 2.0, 6.0);
            let (x, y) = (area.x, area.y);
            format!(
                "<path d=\"M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}Z\" fill=\"{fill}\" stroke=\"{INK}\"/>\n",
                x - w + lean,
                y - h,
                x + w,
                y - h,
                x + w - lean,
                y + h,
                x - w,
                y + h
            )
        }
    }
}

/// A node's label and notes, in the middle of its area.
fn words(out: &mut String, node: &DrawnNode, area: &Area) {
    let lines = LABEL + NOTE * node.notes.len() as f64;
    let mut y = area.y - LEADING * lines / 2.0 + LABEL;
    text(out, (area.x, y), LABEL, "middle", &node.label);
    for note in &node.notes {
        y += NOTE * LEADING;
        text(out, (area.x, y), NOTE, "middle", note);
    }
}

fn text(out: &mut String, (x, y): (f64, f64), size: f64, anchor: &str, words: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\">{}</text>",
        escaped(words)
    );
}

/// A box with room for a line of text above what is in it.
fn with_heading(area: &Area) -> Area {
    let room = NOTE * LEADING;
    Area {
        y: area.y - room / 2.0,
        height: area.height + room,
        ..*area
    }
}

fn rectangle(area: &Area) -> String {
    format!(
        "x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"",
        area.x - area.width / 2.0,
        area.y - area.height / 2.0,
        area.width,
        area.height
    )
}

fn marker(id: &str, color: &str) -> String {
    format!(
        "<marker id=\"{id}\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"8\" markerHeight=\"8\" \
         markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L10 5L0 10z\" fill=\"{color}\"/></marker>\n"
    )
}

/// A smooth line near its points: a cubic B-spline that begins and ends on the first and the last.
fn curve(points: &[Point]) -> String {
    let Some(first) = points.first() else {
        return String::new();
    };
    let last = points.last().unwrap_or(first);
    let mut out = format!("M{:.1} {:.1}", first.x, first.y);
    for w in points.windows(3) {
        let [a, b, c] = w else { continue };
        let ends = |p: &Point, q: &Point, k: f64| (p.x + k * (q.x - p.x), p.y + k * (q.y - p.y));
        let (x1, y1) = ends(a, b, 2.0 / 3.0);
        let (x2, y2) = ends(b, c, 1.0 / 3.0);
        if std::ptr::eq(a, first) {
            let _ = write!(out, "L{:.1} {:.1}", (a.x + b.x) / 2.0, (a.y + b.y) / 2.0);
        }
        let _ = write!(
            out,
            "C{x1:.1} {y1:.1} {x2:.1} {y2:.1} {:.1} {:.1}",
            (b.x + c.x) / 2.0,
            (b.y + c.y) / 2.0
        );
    }
    let _ = write!(out, "L{:.1} {:.1}", last.x, last.y);
    out
}

/// Text between tags or in an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no way to say these.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
