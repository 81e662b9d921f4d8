//! Copies of a graph in the making: how passes rewrite.

use std::collections::HashMap;

use retrograd_tape::{Algebra, Op, Operands, Value};

use super::Graph;

/// A copy of a graph in the making: a pass walks the old graph in order and says what each node becomes.
pub(crate) struct Rebuild<'g> {
    pub(crate) old: &'g Graph,
    pub(crate) new: Graph,
    map: HashMap<Value, Value>,
    /// New delays and their old operands.
    open: Vec<(Value, Value, Value)>,
}

impl<'g> Rebuild<'g> {
    /// Starts a copy: all inputs are there.
    pub(crate) fn new(old: &'g Graph) -> Rebuild<'g> {
        let mut r = Rebuild {
            old,
            new: Graph::new(old.name()),
            map: HashMap::new(),
            open: Vec::new(),
        };
        for i in old.inputs() {
            let v = r.new.input(&i.name, i.role, i.ty);
            r.map.insert(i.value, v);
        }
        r
    }

    /// What an old value has become.
    pub(crate) fn get(&self, v: Value) -> Value {
        self.map[&v]
    }

    /// What an old node's operands have become. Not for delays, whose first operand comes later.
    pub(crate) fn operands(&self, v: Value) -> Operands {
        self.old.operands(v).iter().map(|x| self.map[x]).collect()
    }

    /// Says what an old value becomes; the name goes along. A value of a lower domain (a part of a concatenation may be
    /// one) is spread: sums count points, and outputs have the type that was declared.
    pub(crate) fn set(&mut self, v: Value, becomes: Value) {
        let node = self.old.node(v);
        let (name, at) = (node.name.clone(), node.at);
        let becomes = self.new.spread(becomes, node.ty.domain);
        self.new.label(becomes, name, at);
        self.map.insert(v, becomes);
    }

    /// Copies a node as it is.
    pub(crate) fn copy(&mut self, v: Value) -> Value {
        if let Some(&there) = self.map.get(&v) {
            return there;
        }
        let op = *self.old.op_of(v);
        let becomes = match op {
            Op::Delay(d) => {
                let xs = self.old.operands(v);
                let n = self.new.open_delay(d, self.old.node(v).ty.shape);
                self.open.push((n, xs[0], xs[1]));
                n
            }
            op => {
                let xs = self.operands(v);
                self.new.op(op, &xs)
            }
        };
        self.set(v, becomes);
        becomes
    }

    /// Ends the copy: closes the delays and copies the table of outputs.
    pub(crate) fn finish(mut self) -> Graph {
        for (delay, x, init) in std::mem::take(&mut self.open) {
            self.new.close_delay(delay, self.map[&x], self.map[&init]);
        }
        for o in self.old.outputs() {
            self.new.output(&o.name, o.role, self.map[&o.value]);
        }
        self.new.prune();
        self.new
    }
}

/// What a pass makes of a node. `None` copies it.
pub(crate) trait Rewrite {
    /// What `v` of the old graph becomes; [`Rebuild::want`] gives what other old nodes have become.
    fn rewrite(&mut self, r: &mut Rebuild<'_>, v: Value) -> Option<Value>;
}

impl Rebuild<'_> {
    /// What an old value becomes, rewriting it and what it depends on if that has not been done.
    pub(crate) fn want(&mut self, rule: &mut dyn Rewrite, v: Value) -> Value {
        if let Some(&there) = self.map.get(&v) {
            return there;
        }
        if !matches!(self.old.op_of(v), Op::Delay(_)) {
            for x in self.old.operands(v) {
                self.want(rule, x);
            }
        }
        if self.map.contains_key(&v) {
            return self.map[&v];
        }
        match rule.rewrite(self, v) {
            Some(becomes) => self.set(v, becomes),
            None => {
                self.copy(v);
            }
        }
        self.map[&v]
    }
}

/// Rebuilds a graph with a rule.
pub(crate) fn rewrite(g: &Graph, rule: &mut dyn Rewrite) -> Graph {
    let mut r = Rebuild::new(g);
    for v in g.order() {
        r.want(rule, v);
    }
    r.finish()
}

impl<F: FnMut(&mut Rebuild<'_>, Value) -> Option<Value>> Rewrite for F {
    fn rewrite(&mut self, r: &mut Rebuild<'_>, v: Value) -> Option<Value> {
        self(r, v)
    }
}

/// Rebuilds a graph with a closure.
pub(crate) fn rebuild(
    g: &Graph,
    mut f: impl FnMut(&mut Rebuild<'_>, Value) -> Option<Value>,
) -> Graph {
    rewrite(g, &mut f)
}
