//! [`Drawing`]: a step graph as a picture, for people.
//!
//! What depends on parameters and constants alone is written into the label of the op that reads it, so that a product
//! stands there with the names of the weights that are stacked in it; slices, broadcasts and changes of shape are labels
//! of edges. What stays are states, products, element-wise ops, sums, inputs and outputs, in groups by where they run.

mod dot;
mod layout;
mod svg;

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use retrograd_graph::Graph;
use retrograd_graph::passes::components::{Class, Components, components};
use retrograd_tape::{Domain, InputRole, Map, Op, OutputRole, Reduction, Shape, Value};

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

/// What a node's outline says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum NodeKind {
    /// What is read or handed out.
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
    /// Once a row or once at all.
    Once,
    /// Step after step, in the recurrence of this number.
    Recurrence(usize),
}

#[derive(Clone, Debug)]
pub(super) struct DrawnNode {
    pub(super) kind: NodeKind,
    pub(super) place: NodePlace,
    /// What it does, in large letters.
    pub(super) label: String,
    /// Its name or sizes, in small ones.
    pub(super) notes: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct DrawnEdge {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Shape, or which part of it.
    pub(super) label: String,
    /// From one step to another: steps.
    pub(super) delay: Option<i32>,
}

/// Letters of a line of notes, at most.
const LINE: usize = 26;
/// Letters of an operand that stands beside its op's sign, at most.
const SHORT: usize = 8;

impl Drawing {
    /// Draws what the outputs of a graph need; final states are the states' last values and have no node of their own.
    ///
    /// # Panics
    /// If recurrences of the graph run both ways in time: the passes refuse such a program.
    pub fn of(g: &Graph) -> Drawing {
        let components = components(g).expect("the passes have checked the directions");
        let mut draw = Draw {
            g,
            fixed: fixed(g),
            components: &components,
            at: HashMap::new(),
            nodes: Vec::new(),
            edges: Vec::new(),
        };
        let needed = draw.needed();
        let order: Vec<Value> = g
            .order()
            .into_iter()
            .filter(|v| needed.contains(v))
            .collect();
        for &v in &order {
            if draw.stands(v) {
                draw.at.insert(v, draw.nodes.len());
                let node = draw.node(v);
                draw.nodes.push(node);
            }
        }
        for &v in &order {
            if draw.stands(v) {
                draw.edges_into(v);
            }
        }
        draw.outputs();
        Drawing {
            title: g.name().to_owned(),
            nodes: draw.nodes,
            edges: draw.edges,
            recurrences: components.reverse.clone(),
        }
    }

    /// Says what the picture shows.
    pub fn titled(self, title: String) -> Drawing {
        Drawing { title, ..self }
    }

    /// What a recurrence is called.
    pub(super) fn recurrence(&self, k: usize) -> String {
        match self.recurrences[k] {
            false => format!("recurrence {}: t = 1 … T", k + 1),
            true => format!("recurrence {}: t = T … 1", k + 1),
        }
    }
}

/// The values that depend on parameters and constants alone.
fn fixed(g: &Graph) -> HashSet<Value> {
    let mut fixed = HashSet::new();
    for v in g.order() {
        let is = match *g.op_of(v) {
            Op::Input { id, .. } => g.inputs()[id].role == InputRole::Param,
            Op::Delay(_) | Op::Boundary(_) => false,
            _ => g.operands(v).iter().all(|x| fixed.contains(x)),
        };
        if is {
            fixed.insert(v);
        }
    }
    fixed
}

/// An op's sign, where it has one.
fn sign(m: Map) -> &'static str {
    match m {
        Map::Add => "+",
        Map::Sub => "−",
        Map::Mul => "×",
        Map::Div => "÷",
        Map::Sigmoid => "σ",
        Map::Sqrt => "√",
        Map::Recip => "1 ÷",
        other => other.row().name,
    }
}

struct Draw<'g> {
    g: &'g Graph,
    fixed: HashSet<Value>,
    components: &'g Components,
    /// The node of each value that has one.
    at: HashMap<Value, usize>,
    nodes: Vec<DrawnNode>,
    edges: Vec<DrawnEdge>,
}

impl Draw<'_> {
    fn needed(&self) -> HashSet<Value> {
        let shown = |role: OutputRole| role != OutputRole::Final;
        let outputs = self.g.outputs();
        let some = outputs.iter().any(|o| shown(o.role));
        let roots = outputs.iter().filter(|o| shown(o.role) || !some);
        let mut work: Vec<Value> = roots.map(|o| o.value).collect();
        let mut seen: HashSet<Value> = work.iter().copied().collect();
        while let Some(v) = work.pop() {
            work.extend(self.g.operands(v).into_iter().filter(|&x| seen.insert(x)));
        }
        seen
    }

    /// Whether a value has a node of its own.
    fn stands(&self, v: Value) -> bool {
        if self.fixed.contains(&v) {
            return false;
        }
        match *self.g.op_of(v) {
            Op::Slice { .. } | Op::Spread(_) | Op::Broadcast(_) | Op::Reshape(_) => false,
            // States begin as zeros or are given: the label says it where they are not.
            Op::Input { id, .. } => self.g.inputs()[id].role != InputRole::Initial,
            _ => true,
        }
    }

    /// The value that stands for this one, and which part of it is meant.
    fn source(&self, v: Value) -> (Value, String) {
        let mut v = v;
        let mut part = None;
        while !self.stands(v) && !self.fixed.contains(&v) {
            match *self.g.op_of(v) {
                Op::Slice { start, len, .. } => {
                    part.get_or_insert_with(|| format!("{start}..{}", start + len));
                }
                Op::Spread(_) | Op::Broadcast(_) | Op::Reshape(_) => {}
                _ => break,
            }
            v = self.g.operands(v)[0];
        }
        let label = part.unwrap_or_else(|| match self.g.node(v).ty.shape {
            Shape::Scalar => String::new(),
            shape => shape.to_string(),
        });
        (v, label)
    }

    fn place(&self, v: Value) -> NodePlace {
        match (self.components.class(v), self.g.node(v).ty.domain) {
            (Class::Recurrent(k), _) => NodePlace::Recurrence(k),
            (Class::Parallel, Domain::Step) => NodePlace::Steps,
            (Class::Parallel, _) => NodePlace::Once,
        }
    }

    /// What a label calls an operand.
    fn name(&self, v: Value) -> Option<String> {
        let (source, _) = self.source(v);
        let named = self.g.node(v).name.as_ref();
        let named = named.or(self.g.node(source).name.as_ref());
        named.map(|n| n.to_string())
    }

    fn node(&self, v: Value) -> DrawnNode {
        let g = self.g;
        let xs = g.operands(v);
        let shape = g.node(v).ty.shape;
        let own = || {
            let name = g.node(v).name.as_ref();
            name.map_or_else(Vec::new, |n| wrapped(n))
        };
        let (kind, label, notes) = match *g.op_of(v) {
            Op::Input { id, .. } => (NodeKind::Port, g.inputs()[id].name.to_string(), Vec::new()),
            Op::Delay(d) => {
                let name = g.node(v).name.as_ref();
                let label = name.map_or_else(|| "carry".to_owned(), |n| n.to_string());
                let mut notes = vec![format!(
                    "of step t {} {}",
                    if d > 0 { '−' } else { '+' },
                    d.abs()
                )];
                let init = self.parts(xs[1]);
                if self.fixed.contains(&xs[1]) && init != ["0"] {
                    notes.push(format!("begins as {}", init.join(" | ")));
                }
                (NodeKind::State, label, notes)
            }
            Op::MatVec { transposed } => {
                let (matrix, notes) = match self.fixed.contains(&xs[0]) {
                    true => ("W".to_owned(), wrapped(&grouped(&self.parts(xs[0])))),
                    false => (self.name(xs[0]).unwrap_or_else(|| "M".to_owned()), own()),
                };
                let t = if transposed { "ᵀ" } else { "" };
                let x = self.name(xs[1]).unwrap_or_else(|| "v".to_owned());
                let (rows, cols) = g.node(xs[0]).ty.shape.as_matrix();
                let size = match transposed {
                    false => format!("{rows} × {cols}"),
                    true => format!("{cols} × {rows}"),
                };
                let notes = [vec![size], notes].concat();
                (NodeKind::Product, format!("{matrix}{t} · {x}"), notes)
            }
            Op::Outer { to: Domain::Once } => {
                let (rows, cols) = shape.as_matrix();
                (
                    NodeKind::Product,
                    "Σ δ xᵀ".to_owned(),
                    vec![format!("{rows} × {cols}, over steps and rows")],
                )
            }
            Op::Outer { .. } => {
                let [a, b] = [0, 1].map(|k| self.name(xs[k]).unwrap_or_else(|| "·".to_owned()));
                (
                    NodeKind::Product,
                    format!("{a} {b}ᵀ"),
                    vec![shape.to_string()],
                )
            }
            Op::Map(m) => {
                let (label, operand) = self.map(m, &xs);
                (NodeKind::Map, label, [operand, own()].concat())
            }
            Op::Reduce(r) => {
                let label = match r {
                    Reduction::Sum => "Σ",
                    Reduction::Mean => "mean",
                    Reduction::Max => "max",
                };
                (NodeKind::Other, label.to_owned(), own())
            }
            Op::Dot => (NodeKind::Other, "dot".to_owned(), own()),
            Op::Concat { .. } => (NodeKind::Other, "joined".to_owned(), own()),
            Op::SumTo(to) => {
                let over = match (g.node(xs[0]).ty.domain, to) {
                    (Domain::Step, Domain::Once) => "over steps and rows",
                    (_, Domain::Once) => "over rows",
                    _ => "over steps",
                };
                (NodeKind::Other, "Σ".to_owned(), vec![over.to_owned()])
            }
            Op::Boundary(d) => (
                NodeKind::Other,
                "boundary".to_owned(),
                vec![format!("of delay {d}")],
            ),
            Op::Gather => (
                NodeKind::Other,
                "row of".to_owned(),
                wrapped(&grouped(&self.parts(xs[0]))),
            ),
            op @ (Op::Scatter { .. }
            | Op::Constant { .. }
            | Op::Zeros(_)
            | Op::Slice { .. }
            | Op::Spread(_)
            | Op::Broadcast(_)
            | Op::Reshape(_)) => (NodeKind::Other, op.name().to_owned(), own()),
        };
        DrawnNode {
            kind,
            place: self.place(v),
            label,
            notes,
        }
    }

    /// An element-wise op with its fixed operand, in the label or, if that is long, in lines below.
    fn map(&self, m: Map, xs: &[Value]) -> (String, Vec<String>) {
        let sign = sign(m).to_owned();
        let fixed = |x: &Value| (self.fixed.contains(x)).then(|| grouped(&self.parts(*x)));
        let [a, b] = *xs else {
            return (sign, Vec::new());
        };
        let before = !matches!(m, Map::Add | Map::Mul);
        match (fixed(&a), fixed(&b)) {
            _ if m == Map::Mul && self.source(a) == self.source(b) => {
                ("square".to_owned(), Vec::new())
            }
            (Some(x), _) | (_, Some(x)) if x.chars().count() > SHORT => (sign, wrapped(&x)),
            (Some(a), None) if before => (format!("{a} {sign}"), Vec::new()),
            (Some(x), None) | (None, Some(x)) => (format!("{sign} {x}"), Vec::new()),
            _ => (sign, Vec::new()),
        }
    }

    /// What a fixed value is made of, by name.
    fn parts(&self, v: Value) -> Vec<String> {
        let node = self.g.node(v);
        let xs = self.g.operands(v);
        match node.op {
            Op::Input { id, .. } => vec![self.g.inputs()[id].name.to_string()],
            Op::Constant { value, .. } => vec![number(value.0)],
            Op::Zeros(_) => vec![number(0.0)],
            Op::Concat { .. } => xs.iter().flat_map(|&x| self.parts(x)).collect(),
            Op::Spread(_) | Op::Broadcast(_) | Op::Reshape(_) => self.parts(xs[0]),
            Op::Slice { start, len, .. } => {
                let of = grouped(&self.parts(xs[0]));
                vec![format!("{of}[{start}..{}]", start + len)]
            }
            // A fixed value that is summed is the same for all steps and rows.
            Op::SumTo(_) => {
                let points = match self.g.node(xs[0]).ty.domain {
                    Domain::Step => "T·B",
                    _ => "B",
                };
                match &self.parts(xs[0])[..] {
                    [one] if one == "1" => vec![points.to_owned()],
                    parts => vec![format!("{points}·{}", grouped(parts))],
                }
            }
            op => match &node.name {
                Some(name) => vec![name.to_string()],
                None => {
                    let xs: Vec<String> = xs.iter().map(|&x| grouped(&self.parts(x))).collect();
                    match (op, &xs[..]) {
                        (Op::Map(m), [a, b]) => vec![format!("{a} {} {b}", sign(m))],
                        _ => vec![format!("{}({})", op.name(), xs.join(", "))],
                    }
                }
            },
        }
    }

    fn edges_into(&mut self, v: Value) {
        let to = self.at[&v];
        let op = *self.g.op_of(v);
        let mut added: Vec<(usize, String)> = Vec::new();
        for (slot, x) in self.g.operands(v).into_iter().enumerate() {
            let (source, label) = self.source(x);
            let Some(&from) = self.at.get(&source) else {
                continue;
            };
            let delay = match op {
                Op::Delay(d) if slot == 0 => Some(d),
                _ => None,
            };
            // Once for both operands of a square.
            if added.contains(&(from, label.clone())) {
                continue;
            }
            added.push((from, label.clone()));
            self.edges.push(DrawnEdge {
                from,
                to,
                label,
                delay,
            });
        }
    }

    /// Nodes for the outputs, one for all that are parts of one value.
    fn outputs(&mut self) {
        let mut ports: Vec<(Value, OutputRole, Vec<String>)> = Vec::new();
        for o in self.g.outputs() {
            let (source, _) = self.source(o.value);
            if o.role == OutputRole::Final || !self.at.contains_key(&source) {
                continue;
            }
            match ports.iter_mut().find(|p| (p.0, p.1) == (source, o.role)) {
                Some(port) => port.2.push(o.name.to_string()),
                None => ports.push((source, o.role, vec![o.name.to_string()])),
            }
        }
        for (source, _, names) in ports {
            let from = self.at[&source];
            let (_, label) = self.source(source);
            let to = self.nodes.len();
            let (first, rest) = names.split_first().expect("an output has a name");
            let place = match self.place(source) {
                NodePlace::Recurrence(_) => NodePlace::Steps,
                other => other,
            };
            self.nodes.push(DrawnNode {
                kind: NodeKind::Port,
                place,
                label: first.clone(),
                notes: rest.to_vec(),
            });
            self.edges.push(DrawnEdge {
                from,
                to,
                label,
                delay: None,
            });
        }
    }
}

/// A number as one writes it.
fn number(x: f64) -> String {
    match x {
        _ if x == 0.0 => "0".to_owned(),
        _ if x.fract() == 0.0 && x.abs() < 1e6 => format!("{x:.0}"),
        _ if (1e-3..1e6).contains(&x.abs()) => {
            let text = format!("{x:.4}");
            text.trim_end_matches('0').to_owned()
        }
        _ => format!("{x:e}"),
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

/// Text in lines of a few words.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is one");
        if !last.is_empty() && last.chars().count() + word.chars().count() >= LINE {
            lines.push(word.to_owned());
            continue;
        }
        let gap = if last.is_empty() { "" } else { " " };
        let _ = write!(last, "{gap}{word}");
    }
    lines
}
