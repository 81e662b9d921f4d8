//! The way back: a graph as a tape.

use retrograd_tape::{Input, Node, Op, Operands, Output, Tape, TapeError, Value};

use super::Graph;

impl Graph {
    /// The graph as a recorded program: its inputs in order, then its nodes in [`order`](Graph::order). The graph of the tape prints as
    /// this one does.
    ///
    /// ```
    /// use retrograd_graph::{Graph, text::parse_graph};
    /// use retrograd_tape::{Recorder, Shape};
    ///
    /// let r = Recorder::new();
    /// let h = r.state("h", Shape::Vector(2), 1, None);
    /// r.output("y", r.next(h, 0.5 * h + r.param("w", Shape::Vector(2))));
    /// let text = Graph::from_tape(&r.finish("leaky")?).to_string();
    /// let again = parse_graph("text", &text)?.to_tape()?;
    /// assert_eq!(Graph::from_tape(&again).to_string(), text);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TapeError`] if no order of the steps computes it, which a graph of a tape has.
    pub fn to_tape(&self) -> Result<Tape, TapeError> {
        let order = self.order();
        let mut place = vec![Value(0); order.iter().map(|v| v.index() + 1).max().unwrap_or(0)];
        for (k, v) in order.iter().enumerate() {
            place[v.index()] = Value(k as u32);
        }
        let moved = |v: Value| place[v.index()];
        let mut nodes: Vec<Node> = Vec::with_capacity(order.len());
        for &v in &order {
            let node = self.node(v);
            nodes.push(Node {
                op: node.op,
                operands: self
                    .operands(v)
                    .into_iter()
                    .map(moved)
                    .collect::<Operands>(),
                ty: node.ty,
                name: node.name.clone(),
                at: node.at,
                place: None,
            });
        }
        let inputs = self.inputs().iter().enumerate().map(|(id, i)| {
            let value = moved(i.value);
            if let Op::Input { id: at, .. } = &mut nodes[value.index()].op {
                *at = id;
            }
            let node = &mut nodes[value.index()];
            node.name.get_or_insert_with(|| i.name.clone());
            Input { value, ..i.clone() }
        });
        let inputs = inputs.collect();
        let outputs = self.outputs().iter().map(|o| Output {
            value: moved(o.value),
            ..o.clone()
        });
        Tape::from_nodes(self.name(), nodes, inputs, outputs.collect())
    }
}
