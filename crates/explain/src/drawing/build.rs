//! Builds a drawing from a graph: chooses the values that are nodes, their labels and their edges.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use retrograd_graph::Graph;
use retrograd_graph::passes::components::{Class, Components, components};
use retrograd_tape::{Domain, InputRole, Map, Op, OutputRole, Reduction, Shape, Value};

use super::{Drawing, DrawnEdge, DrawnNode, NodeKind, NodePlace, grouped};

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

    /// The value whose node represents this one, and the part that is read.
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

    /// The name of an operand in a label.
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
        let own = || self.own_name(v);
        let (kind, label, notes) = match *g.op_of(v) {
            Op::Input { id, .. } => (NodeKind::Port, g.inputs()[id].name.to_string(), Vec::new()),
            Op::Delay(d) => self.state(v, d),
            Op::MatVec { transposed } => self.product(v, transposed),
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
            Op::Reduce(r) | Op::ReduceAxis { kind: r, .. } => {
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
            | Op::Reshape(_)
            | Op::Transpose(_)) => (NodeKind::Other, op.name().to_owned(), own()),
        };
        DrawnNode {
            kind,
            place: self.place(v),
            label,
            notes,
        }
    }

    /// A value of the step `d` steps earlier.
    fn state(&self, v: Value, d: i32) -> (NodeKind, String, Vec<String>) {
        let name = self.g.node(v).name.as_ref();
        let label = name.map_or_else(|| "carry".to_owned(), |n| n.to_string());
        let sign = if d > 0 { '−' } else { '+' };
        let mut notes = vec![format!("of step t {sign} {}", d.abs())];
        let init = self.g.operands(v)[1];
        let parts = self.parts(init);
        if self.fixed.contains(&init) && parts != ["0"] {
            notes.push(format!("begins as {}", parts.join(" | ")));
        }
        (NodeKind::State, label, notes)
    }

    /// A product with a matrix: of parameters, with the names of what is stacked in it, or of the step.
    fn product(&self, v: Value, transposed: bool) -> (NodeKind, String, Vec<String>) {
        let [m, x] = [0, 1].map(|k| self.g.operands(v)[k]);
        let (matrix, notes) = match self.fixed.contains(&m) {
            true => ("W".to_owned(), wrapped(&grouped(&self.parts(m)))),
            false => (
                self.name(m).unwrap_or_else(|| "M".to_owned()),
                self.own_name(v),
            ),
        };
        let t = if transposed { "ᵀ" } else { "" };
        let x = self.name(x).unwrap_or_else(|| "v".to_owned());
        let (rows, cols) = self.g.node(m).ty.shape.as_matrix();
        let size = match transposed {
            false => format!("{rows} × {cols}"),
            true => format!("{cols} × {rows}"),
        };
        let notes = [vec![size], notes].concat();
        (NodeKind::Product, format!("{matrix}{t} · {x}"), notes)
    }

    /// A value's own name, in lines.
    fn own_name(&self, v: Value) -> Vec<String> {
        let name = self.g.node(v).name.as_ref();
        name.map_or_else(Vec::new, |n| wrapped(n))
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

    /// The names of the parts of a fixed value.
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

/// A number in decimal notation.
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
