//! The layout of a drawing: a layered layout (Sugiyama et al. 1981) by `dugong`, each recurrence in a box.

use dugong::graphlib::{Graph, GraphOptions};
use dugong::{EdgeLabel, GraphLabel, NodeLabel, Point, layout};

use super::{Drawing, DrawnNode, NodeKind, NodePlace};

/// Sizes of letters, in pixels: of labels and of notes.
pub(super) const LABEL: f64 = 15.0;
pub(super) const NOTE: f64 = 11.0;
/// Width of a letter against its size: an average of DejaVu Sans.
const WIDTH: f64 = 0.62;
/// Between text and outline.
const PADDING: f64 = 9.0;
/// From line to line against the size of letters.
pub(super) const LEADING: f64 = 1.25;
/// Delays go around what lies between; they pull less than what flows within a step.
const PULL: [f64; 2] = [2.0, 0.5];

/// A rectangle around its centre.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A drawing's places, in pixels.
#[derive(Debug)]
pub(super) struct DrawingLayout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// One for each node.
    pub(super) nodes: Vec<Area>,
    /// For each edge the points that it goes through, from its source on, and the middle of its label.
    pub(super) edges: Vec<(Vec<Point>, Point)>,
    /// One for each recurrence that has nodes.
    pub(super) recurrences: Vec<(usize, Area)>,
}

/// Width of text in letters of a size.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * WIDTH
}

/// What a node needs.
fn size(node: &DrawnNode) -> (f64, f64) {
    let widest = node
        .notes
        .iter()
        .map(|n| width(n, NOTE))
        .fold(width(&node.label, LABEL), f64::max);
    let lines = LEADING * (LABEL + NOTE * node.notes.len() as f64);
    let (w, h) = (widest + 2.0 * PADDING, lines + 2.0 * PADDING);
    match node.kind {
        // Round as far as the text lets it be.
        NodeKind::Map => (w.max(h), h),
        _ => (w + PADDING, h),
    }
}

pub(super) fn places(drawing: &Drawing) -> DrawingLayout {
    let mut g: Graph<NodeLabel, EdgeLabel, GraphLabel> = Graph::new(GraphOptions {
        multigraph: true,
        compound: true,
        ..GraphOptions::default()
    });
    g.set_graph(GraphLabel {
        nodesep: 22.0,
        ranksep: 26.0,
        edgesep: 12.0,
        marginx: 16.0,
        marginy: 16.0,
        ..GraphLabel::default()
    });
    let inside = |node: &DrawnNode| match node.place {
        NodePlace::Recurrence(k) => Some(k),
        NodePlace::Steps | NodePlace::Once => None,
    };
    let mut used: Vec<usize> = drawing.nodes.iter().filter_map(inside).collect();
    used.sort_unstable();
    used.dedup();
    for k in &used {
        g.set_node(box_id(*k), NodeLabel::default());
    }
    for (i, node) in drawing.nodes.iter().enumerate() {
        let (width, height) = size(node);
        g.set_node(
            id(i),
            NodeLabel {
                width,
                height,
                ..NodeLabel::default()
            },
        );
        if let Some(k) = inside(node) {
            g.set_parent(id(i), box_id(k));
        }
    }
    // A delay inside a recurrence is laid out the other way round: states above, their next values below.
    let back = |from: usize, to: usize, delay: Option<i32>| {
        delay.is_some() && drawing.nodes[from].place == drawing.nodes[to].place
    };
    for (e, edge) in drawing.edges.iter().enumerate() {
        let turned = back(edge.from, edge.to, edge.delay);
        let (from, to) = if turned {
            (edge.to, edge.from)
        } else {
            (edge.from, edge.to)
        };
        let label = EdgeLabel {
            width: width(&edge.label, NOTE) + 4.0,
            height: NOTE * LEADING,
            weight: PULL[usize::from(turned)],
            ..EdgeLabel::default()
        };
        g.set_edge_named(id(from), id(to), Some(name(e)), Some(label));
    }
    layout(&mut g).expect("sizes are finite, and delays turned there is no cycle");

    let area = |id: &str| {
        let n = g.node(id).expect("it was set");
        let (x, y) = (n.x.unwrap_or_default(), n.y.unwrap_or_default());
        Area {
            x,
            y,
            width: n.width,
            height: n.height,
        }
    };
    let edges = drawing.edges.iter().enumerate().map(|(e, edge)| {
        let turned = back(edge.from, edge.to, edge.delay);
        let (from, to) = if turned {
            (edge.to, edge.from)
        } else {
            (edge.from, edge.to)
        };
        let laid = g
            .edge(&id(from), &id(to), Some(&name(e)))
            .expect("it was set");
        let mut points = laid.points.clone();
        if turned {
            points.reverse();
        }
        let middle = Point {
            x: laid.x.unwrap_or_default(),
            y: laid.y.unwrap_or_default(),
        };
        (points, middle)
    });
    DrawingLayout {
        width: g.graph().width,
        height: g.graph().height,
        nodes: (0..drawing.nodes.len()).map(|i| area(&id(i))).collect(),
        edges: edges.collect(),
        recurrences: used.iter().map(|&k| (k, area(&box_id(k)))).collect(),
    }
}

fn id(node: usize) -> String {
    format!("n{node}")
}

fn box_id(recurrence: usize) -> String {
    format!("r{recurrence}")
}

fn name(edge: usize) -> String {
    format!("e{edge}")
}
