//! A drawing as text in the DOT language of Graphviz.

use std::fmt::Write;

use super::svg::{DELAY, RECURRENCES, edge_label};
use super::{Drawing, DrawnNode, NodeKind, NodePlace};

impl Drawing {
    /// The picture in Graphviz's language, with each recurrence as a cluster, for `dot -Tpdf` and other tools.
    pub fn dot(&self) -> String {
        let mut out = format!(
            "digraph {} {{\n  graph [label={}, labelloc=t, fontname=\"sans-serif\"];\n  \
             node [fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n",
            quoted(&self.title),
            quoted(&self.title)
        );
        for k in 0..self.recurrences.len() {
            let [fill, line] = RECURRENCES[k % RECURRENCES.len()];
            let _ = writeln!(
                out,
                "  subgraph cluster_{k} {{\n    label={};\n    style=\"rounded,filled\";\n    fillcolor=\"{fill}\";\n    color=\"{line}\";",
                quoted(&self.recurrence(k))
            );
            self.nodes_of(&mut out, "    ", |place| place == NodePlace::Recurrence(k));
            out.push_str("  }\n");
        }
        self.nodes_of(&mut out, "  ", |place| {
            !matches!(place, NodePlace::Recurrence(_))
        });
        for edge in &self.edges {
            let style = match edge.delay {
                Some(_) => format!(", color=\"{DELAY}\", style=dashed, constraint=false"),
                None => String::new(),
            };
            let label = quoted(&edge_label(&edge.label, edge.delay));
            let _ = writeln!(
                out,
                "  n{} -> n{} [label={label}{style}];",
                edge.from, edge.to
            );
        }
        out.push_str("}\n");
        out
    }

    fn nodes_of(&self, out: &mut String, indent: &str, here: impl Fn(NodePlace) -> bool) {
        for (i, node) in self.nodes.iter().enumerate().filter(|(_, n)| here(n.place)) {
            let lines: Vec<&str> = [node.label.as_str()]
                .into_iter()
                .chain(node.notes.iter().map(String::as_str))
                .collect();
            let label = quoted(&lines.join("\n"));
            let _ = writeln!(out, "{indent}n{i} [label={label}, {}];", look(node));
        }
    }
}

fn look(node: &DrawnNode) -> String {
    let shape = match node.kind {
        NodeKind::Port => "shape=parallelogram",
        NodeKind::State => "shape=box, style=\"rounded,filled\", color=\"#d55e00\"",
        NodeKind::Product => "shape=box, penwidth=2, color=\"#0072b2\"",
        NodeKind::Map => "shape=ellipse",
        NodeKind::Other => "shape=box",
    };
    let fill = match node.place {
        NodePlace::Steps => "#f0f0f0",
        NodePlace::Once | NodePlace::Recurrence(_) => "#ffffff",
    };
    let filled = if node.kind == NodeKind::State {
        ""
    } else {
        ", style=filled"
    };
    format!("{shape}{filled}, fillcolor=\"{fill}\"")
}

/// A string of the language; a line break is `\n` in it.
fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{escaped}\"")
}
