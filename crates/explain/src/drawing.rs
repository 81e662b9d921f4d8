//! [`Drawing`]: a step graph as a picture.
//!
//! Values that depend on parameters and constants alone are written into the label of the op that reads them, so that a product
//! shows the names of its stacked weights; slices, broadcasts and changes of shape are labels of edges. The nodes are states,
//! products, element-wise ops, sums, inputs and outputs, grouped by where they run.

mod build;
mod dot;
mod layout;
mod svg;

/// A picture of a step graph. [`Drawing::dot`] gives it as text for Graphviz, [`Drawing::svg`] as an image.
///
/// ```
/// use retrograd_explain::Drawing;
/// use retrograd::{Cell, zoo};
/// use retrograd_graph::Graph;
///
/// let cell = zoo::forecaster(zoo::find("lstm").expect("it is there"), 4, 16)?;
/// let drawing = Drawing::of(&Graph::from_tape(cell.tape()));
/// assert!(drawing.svg().contains("tanh") && drawing.dot().contains("tanh"));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Drawing {
    pub(super) title: String,
    pub(super) nodes: Vec<DrawnNode>,
    pub(super) edges: Vec<DrawnEdge>,
    /// For each recurrence, whether it runs from the last step to the first.
    pub(super) recurrences: Vec<bool>,
}

/// The kind of a node, shown by its outline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum NodeKind {
    /// An input or output.
    Port,
    /// A value of another step.
    State,
    /// A product with a matrix.
    Product,
    /// An element-wise op.
    Map,
    /// Sums and all else.
    Other,
}

/// Where a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum NodePlace {
    /// For all steps and rows at once.
    Steps,
    /// Once per row, or once per run.
    Once,
    /// Step after step, in the recurrence of this number.
    Recurrence(usize),
}

#[derive(Clone, Debug)]
pub(super) struct DrawnNode {
    pub(super) kind: NodeKind,
    pub(super) place: NodePlace,
    /// Its label, in large letters.
    pub(super) label: String,
    /// Its name or sizes, in small letters.
    pub(super) notes: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct DrawnEdge {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Shape, or the part that is read.
    pub(super) label: String,
    /// The delay in steps, for an edge from one step to another.
    pub(super) delay: Option<i32>,
}

impl Drawing {
    /// Sets the title.
    pub fn titled(self, title: String) -> Drawing {
        Drawing { title, ..self }
    }

    /// The name of a recurrence.
    pub(super) fn recurrence(&self, k: usize) -> String {
        match self.recurrences[k] {
            false => format!("recurrence {}: t = 1 … T", k + 1),
            true => format!("recurrence {}: t = T … 1", k + 1),
        }
    }
}

/// Names as one: those of one ending share it, as in `(input | forget).x`.
pub(super) fn grouped(names: &[String]) -> String {
    let pairs: Option<Vec<(&str, &str)>> = names.iter().map(|n| n.rsplit_once('.')).collect();
    match pairs.as_deref() {
        Some([first, rest @ ..]) if !rest.is_empty() && rest.iter().all(|p| p.1 == first.1) => {
            let heads: Vec<&str> = [first].into_iter().chain(rest).map(|p| p.0).collect();
            format!("({}).{}", heads.join(" | "), first.1)
        }
        _ => names.join(" | "),
    }
}
