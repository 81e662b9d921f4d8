//! Rebuilding a graph: how passes rewrite.

use retrograd_tape::{Algebra, Op, Operands, Value};

use super::Graph;

/// A copy of a graph under construction: a pass walks the old graph in order and says what each node becomes.
pub(crate) struct Rebuild<'g> {
    pub(crate) old: &'g Graph,
    pub(crate) new: Graph,
    /// Indexed by old value.
    map: Vec<Option<Value>>,
    /// New delays and their old operands.
    open: Vec<(Value, Value, Value)>,
    /// Set once a node becomes another op or gets other operands.
    changed: bool,
}

impl<'g> Rebuild<'g> {
    /// Starts a copy, which has all inputs.
    pub(crate) fn new(old: &'g Graph) -> Rebuild<'g> {
        let mut r = Rebuild {
            old,
            new: Graph::new(old.name()),
            map: vec![None; old.bound()],
            open: Vec::new(),
            changed: false,
        };
        for i in old.inputs() {
            let v = r.new.input(&i.name, i.role, i.ty);
            r.map[i.value.index()] = Some(v);
        }
        r
    }

    /// What an old value has become.
    pub(crate) fn get(&self, v: Value) -> Value {
        self.map[v.index()].expect("what is read comes first")
    }

    /// What an old node's operands have become. Not for delays: their first operand comes later.
    pub(crate) fn operands(&self, v: Value) -> Operands {
        self.old.operands(v).iter().map(|&x| self.get(x)).collect()
    }

    /// Sets what an old value becomes; its name is kept. A value of a lower domain (such as a part of a concatenation)
    /// is spread, because sums count points and outputs must have their declared type.
    pub(crate) fn set(&mut self, v: Value, becomes: Value) {
        let node = self.old.node(v);
        let (name, at) = (node.name.clone(), node.at);
        let becomes = self.new.spread(becomes, node.ty.domain);
        self.new.label(becomes, name, at);
        self.map[v.index()] = Some(becomes);
        self.changed = self.changed || !self.is_copy(v, becomes);
    }

    /// True if the new node is the old op applied to what the old operands have become. The operands of a delay are not
    /// compared: it is closed with what its old operands have become in any case.
    fn is_copy(&self, v: Value, becomes: Value) -> bool {
        let op = self.old.op_of(v);
        let same = || self.new.operands(becomes) == self.operands(v);
        op == self.new.op_of(becomes) && (matches!(op, Op::Delay(_) | Op::Input { .. }) || same())
    }

    /// Copies a node as it is.
    pub(crate) fn copy(&mut self, v: Value) -> Value {
        if let Some(there) = self.map[v.index()] {
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

    /// Finishes the copy: closes the delays and copies the outputs.
    pub(crate) fn finish(self) -> Graph {
        self.close().0
    }

    /// Finishes the copy; also returns whether it differs from the original in more than node numbers.
    fn close(mut self) -> (Graph, bool) {
        for (delay, x, init) in std::mem::take(&mut self.open) {
            self.new.close_delay(delay, self.get(x), self.get(init));
        }
        for o in self.old.outputs() {
            self.new.output(&o.name, o.role, self.get(o.value));
        }
        self.new.prune();
        // Merged or unneeded nodes show in the count.
        let changed = self.changed || self.new.len() != self.old.len();
        (self.new, changed)
    }
}

/// A pass's rule for nodes. `None` copies the node.
pub(crate) trait Rewrite {
    /// What `v` of the old graph becomes; [`Rebuild::want`] gives what other old nodes have become.
    fn rewrite(&mut self, r: &mut Rebuild<'_>, v: Value) -> Option<Value>;
}

impl Rebuild<'_> {
    /// What an old value becomes, after rewriting it and its dependencies where that is still to be done.
    pub(crate) fn want(&mut self, rule: &mut dyn Rewrite, v: Value) -> Value {
        // An explicit stack: chains of ops can be longer than a thread's stack allows.
        let mut work = vec![v];
        while let Some(&v) = work.last() {
            if self.map[v.index()].is_some() {
                work.pop();
                continue;
            }
            if !matches!(self.old.op_of(v), Op::Delay(_)) {
                let before = work.len();
                let xs = self.old.operands(v).into_iter().rev();
                work.extend(xs.filter(|x| self.map[x.index()].is_none()));
                if work.len() > before {
                    continue;
                }
            }
            match rule.rewrite(self, v) {
                Some(becomes) => self.set(v, becomes),
                None => {
                    self.copy(v);
                }
            }
        }
        self.get(v)
    }
}

/// Rebuilds a graph with a rule.
pub(crate) fn rewrite(g: &Graph, rule: &mut dyn Rewrite) -> Graph {
    rewritten(g, rule).finish()
}

fn rewritten<'g>(g: &'g Graph, rule: &mut dyn Rewrite) -> Rebuild<'g> {
    let mut r = Rebuild::new(g);
    for v in g.order() {
        r.want(rule, v);
    }
    r
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

/// Rebuilds a graph with a closure, and returns whether anything changed.
pub(crate) fn rebuild_and_tell(
    g: &Graph,
    mut f: impl FnMut(&mut Rebuild<'_>, Value) -> Option<Value>,
) -> (Graph, bool) {
    rewritten(g, &mut f).close()
}
