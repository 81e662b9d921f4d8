//! Classifies a legalized graph for the plan: how each value is computed, and in which loop.

use retrograd_tape::{Domain, Map, Op, Value};
use rustc_hash::FxHashMap as HashMap;

use crate::graph::{Graph, as_map};
use crate::passes::coarsest::coarsest;
use crate::passes::components::{Class, Components, components};
use crate::passes::halves::Halves;
use crate::passes::legalize::sums_over_points;
use crate::plan::outline_activations::is_wide;

/// How a value is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoweringKind {
    /// No work: a view into another value, an input, or a constant.
    View,
    /// Element by element.
    Lane,
    /// A fold of all elements of its operand to one number.
    Fold,
    /// Its parts are stored side by side.
    Concat,
    /// A statement of its own at every point.
    Row,
    /// A product with a weight.
    Product,
    /// No work: the product that is its second operand accumulates onto the array of its first, or the first product of
    /// that array starts from it.
    Accumulated,
    /// A sum over part of its domain.
    Global,
}

/// Maximal number of blocks of a weight that products read in place. A weight of more is assembled once.
const PIECES: usize = 1024;

/// A legalized graph with the plan's analysis of it.
pub(crate) struct Classified<'g> {
    pub(crate) g: &'g Graph,
    pub(crate) order: Vec<Value>,
    pub(crate) components: Components,
    pub(crate) halves: Halves,
    /// Indexed by value, like all vectors here.
    lowering: Vec<Option<LoweringKind>>,
    /// The recurrence that each value is computed in, including values that joined one.
    pub(crate) class: Vec<Class>,
    /// Values that are computed in the array of another: the sum of an addition that accumulates in place.
    alias: Vec<Option<Value>>,
    /// The product that writes the array of a sum in place first.
    first: HashMap<Value, Value>,
    /// The value in whose array another is computed, fully resolved.
    root: Vec<Option<Value>>,
    /// The values that are computed in the array of a root.
    parts: HashMap<Value, Vec<Value>>,
    /// Products that start from a vector of domain `once`.
    pub(crate) biases: HashMap<Value, Value>,
}

/// True for a product whose operands are roundings to bfloat16.
fn is_of_rounded(g: &Graph, v: Value) -> bool {
    matches!(g.op_of(v), Op::MatVec { .. } | Op::Outer { .. })
        && (g.operands(v).iter()).all(|&x| matches!(g.op_of(x), Op::Map(Map::RoundBf16)))
}

/// Where an operand comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OperandSource {
    /// The computed value, input or constant.
    pub(crate) value: Value,
    /// Whether the operand is that value, number for number.
    pub(crate) whole: bool,
    /// Whether it is read at another step or slot.
    pub(crate) elsewhere: bool,
    /// Whether boundary steps before the sequence may be read, and those after it.
    pub(crate) boundary: [bool; 2],
}

impl OperandSource {
    /// The sides on which boundary steps may be read: 0 before the sequence, 1 after it.
    pub(crate) fn sides(&self) -> impl Iterator<Item = usize> + use<> {
        let boundary = self.boundary;
        (0..2).filter(move |&side| boundary[side])
    }
}

impl<'g> Classified<'g> {
    /// Classifies every value, with one loop per recurrence, or one per direction if work is not distributed.
    /// With `kernels_round`, what only products round is read as it is.
    pub(crate) fn classify(g: &'g Graph, distribute: bool, kernels_round: bool) -> Classified<'g> {
        let order = g.order();
        let mut components = components(g).expect("checked before the first pass");
        if !distribute {
            components = coarsest(g, &components);
        }
        let mut classified = Classified {
            g,
            order,
            components,
            halves: Halves::of(g),
            lowering: vec![None; g.bound()],
            class: vec![Class::Parallel; g.bound()],
            alias: vec![None; g.bound()],
            first: HashMap::default(),
            root: vec![None; g.bound()],
            parts: HashMap::default(),
            biases: HashMap::default(),
        };
        classified.classes(kernels_round);
        classified
    }

    /// How a value is computed.
    pub(crate) fn lowering(&self, v: Value) -> LoweringKind {
        self.lowering[v.index()].expect("all values have been classified")
    }

    /// Where a value is computed.
    pub(crate) fn class(&self, v: Value) -> Class {
        self.class[v.index()]
    }

    /// Numbers per point of a value.
    pub(crate) fn len(&self, v: Value) -> usize {
        self.g.node(v).ty.shape.len()
    }

    pub(crate) fn domain(&self, v: Value) -> Domain {
        self.g.node(v).ty.domain
    }

    fn classes(&mut self, kernels_round: bool) {
        let g = self.g;
        let pieces = self.pieces();
        for &v in self.order.iter().rev() {
            let xs = g.operands(v);
            let lowering = match *g.op_of(v) {
                Op::Input { .. }
                | Op::Constant { .. }
                | Op::Zeros(_)
                | Op::Broadcast(_)
                | Op::Reshape(_)
                | Op::Delay(_) => LoweringKind::View,
                Op::Boundary(_) | Op::Spread(_) | Op::Slice { axis: 0, .. } => LoweringKind::View,
                Op::Slice { .. } | Op::Concat { .. }
                    if pieces[v.index()] <= PIECES && self.only_weighs(v) =>
                {
                    LoweringKind::View
                }
                Op::Slice { .. } | Op::Gather | Op::Transpose(_) => LoweringKind::Row,
                Op::Concat { axis: 0 } => LoweringKind::Concat,
                Op::Concat { .. } => LoweringKind::Row,
                Op::Map(Map::RoundBf16) if kernels_round && self.products_alone_round(v) => {
                    LoweringKind::View
                }
                Op::Map(_) => LoweringKind::Lane,
                Op::Reduce(_) | Op::Dot => LoweringKind::Fold,
                op @ Op::ReduceAxis { .. } => unreachable!("unbatch has replaced {op}"),
                Op::MatVec { .. } => {
                    let weighs = g.node(xs[0]).ty.domain == Domain::Once
                        && g.node(xs[1]).ty.domain != Domain::Once;
                    if weighs {
                        LoweringKind::Product
                    } else {
                        LoweringKind::Row
                    }
                }
                Op::Outer { .. } | Op::Scatter { .. } if !sums_over_points(g, v) => {
                    LoweringKind::Row
                }
                Op::Outer { .. } | Op::Scatter { .. } | Op::SumTo(_) => LoweringKind::Global,
            };
            self.lowering[v.index()] = Some(lowering);
            self.class[v.index()] = self.components.class(v);
        }
    }

    /// True for a rounding of operands of products that round themselves.
    fn products_alone_round(&self, v: Value) -> bool {
        !self.g.is_output(v)
            && self.g.users(v).all(|u| {
                let multiplies = matches!(
                    self.lowering[u.index()],
                    Some(LoweringKind::Product | LoweringKind::Global)
                );
                multiplies && is_of_rounded(self.g, u)
            })
    }

    /// True for a product, or a weight gradient, whose kernel rounds its operands.
    pub(crate) fn rounds(&self, v: Value) -> bool {
        is_of_rounded(self.g, v)
            && (self.g.operands(v).iter()).all(|&x| self.lowering(x) == LoweringKind::View)
    }

    /// A value before what its readers round of it.
    pub(crate) fn unrounded(&self, v: Value) -> Value {
        match self.g.op_of(v) {
            Op::Map(Map::RoundBf16) if self.lowering(v) == LoweringKind::View => {
                self.g.operands(v)[0]
            }
            _ => v,
        }
    }

    /// The number of blocks of each value that is composed of parts of others, indexed by value.
    fn pieces(&self) -> Vec<usize> {
        let mut pieces = vec![1usize; self.g.bound()];
        for &v in &self.order {
            let xs = self.g.operands(v);
            pieces[v.index()] = match self.g.op_of(v) {
                Op::Concat { .. } => {
                    let all = xs.iter().map(|x| pieces[x.index()]);
                    all.fold(0, usize::saturating_add)
                }
                Op::Slice { .. } => pieces[xs[0].index()],
                _ => 1,
            };
        }
        pieces
    }

    /// True for a part, or a concatenation, of weight matrices that only products (and such values) use: products read
    /// it in place.
    fn only_weighs(&self, v: Value) -> bool {
        self.g.node(v).ty.domain == Domain::Once
            && !self.g.is_output(v)
            && self.g.users(v).all(|u| match self.lowering[u.index()] {
                Some(LoweringKind::Product) => {
                    self.g.operands(u)[0] == v && self.g.operands(u)[1] != v
                }
                Some(LoweringKind::View) => match self.g.op_of(u) {
                    Op::Concat { .. } | Op::Slice { axis: 1, .. } => true,
                    Op::Map(_) => (self.g.users(u)).all(|w| {
                        self.lowering[w.index()] == Some(LoweringKind::Product)
                            && self.g.operands(w)[0] == u
                            && self.g.operands(w)[1] != u
                    }),
                    _ => false,
                },
                _ => false,
            })
    }

    /// The source of an operand.
    pub(crate) fn source(&self, v: Value) -> OperandSource {
        let mut s = OperandSource {
            value: v,
            whole: true,
            elsewhere: false,
            boundary: [false; 2],
        };
        while self.lowering(s.value) == LoweringKind::View {
            let xs = self.g.operands(s.value);
            match *self.g.op_of(s.value) {
                Op::Broadcast(_) | Op::Slice { .. } => s.whole = false,
                Op::Delay(d) | Op::Boundary(d) => {
                    s.elsewhere = true;
                    s.boundary[usize::from(d < 0)] = true;
                    s.whole = false;
                }
                Op::Reshape(_) | Op::Spread(_) | Op::Map(_) => {}
                _ => return s,
            }
            s.value = xs[0];
        }
        s
    }

    /// All values that a computed value reads, including initial values of delays.
    pub(crate) fn reads(&self, v: Value) -> Vec<OperandSource> {
        let mut out = Vec::new();
        let mut work: Vec<Value> = self.g.operands(v).to_vec();
        if let Some(place) = self.added_to(v) {
            work.push(place);
        }
        work.extend(self.biases.get(&v));
        while let Some(x) = work.pop() {
            if self.lowering(x) == LoweringKind::View
                && matches!(self.g.op_of(x), Op::Concat { .. })
            {
                work.extend(self.g.operands(x));
                continue;
            }
            let mut s = self.source(x);
            if self.lowering(s.value) == LoweringKind::View
                && matches!(self.g.op_of(s.value), Op::Concat { .. })
            {
                work.extend(self.g.operands(s.value));
                continue;
            }
            s.value = self.last(s.value);
            out.push(s);
        }
        out
    }

    /// The computed values that read `v`, through views.
    pub(crate) fn readers(&self, v: Value) -> Vec<(Value, bool)> {
        let mut out = Vec::new();
        let mut work = vec![(v, false)];
        while let Some((x, elsewhere)) = work.pop() {
            for u in self.g.users(x) {
                match self.lowering(u) {
                    LoweringKind::View => {
                        let moves = matches!(self.g.op_of(u), Op::Delay(_) | Op::Boundary(_));
                        let is_init = moves && self.g.operands(u)[0] != x;
                        work.push((u, elsewhere || moves || is_init));
                    }
                    _ => out.push((u, elsewhere)),
                }
            }
        }
        out
    }

    /// True if `u` reads `v` number for number, so that one lane loop can compute both.
    pub(crate) fn reads_whole(&self, u: Value, v: Value) -> bool {
        self.reads(u).iter().any(|s| s.value == v && s.whole)
    }

    /// True if a value is an activation that a wide kernel can compute from a stored product.
    pub(crate) fn is_wide_activation(&self, v: Value) -> bool {
        let &Op::Map(m) = self.g.op_of(v) else {
            return false;
        };
        let s = self.source(self.g.operands(v)[0]);
        // Sums with products may still accumulate in place, so they count as products.
        let mut x = s.value;
        while let Some(xs) = as_map(self.g, x, Map::Add) {
            if self.lowering(xs[1]) != LoweringKind::Product && !self.is_bias(xs[1]) {
                return false;
            }
            x = xs[0];
        }
        is_wide(m, self.len(v)) && !s.elsewhere && self.lowering(x) == LoweringKind::Product
    }

    /// Finds sums that cost nothing: of an array and a product, which accumulates onto the array, and of an array and a
    /// bias, which the array's first product starts from. Nothing else may read the array.
    pub(crate) fn accumulate_in_place(&mut self) {
        for i in 0..self.order.len() {
            let v = self.order[i];
            let Some(xs) = as_map(self.g, v, Map::Add) else {
                continue;
            };
            let (p, q) = (xs[0], xs[1]);
            let once = |x: Value| self.g.users(x).count() == 1 && !self.g.is_output(x);
            let place = matches!(
                self.lowering(p),
                LoweringKind::Product | LoweringKind::Accumulated
            );
            if !place || !once(p) || p == q || self.domain(p) != self.domain(v) {
                continue;
            }
            let product = self.lowering(q) == LoweringKind::Product
                && once(q)
                && self.class(q) == self.class(v)
                && self.domain(q) == self.domain(v);
            let first = self.first(p);
            if product {
                self.alias[q.index()] = Some(v);
            } else if self.is_bias(q)
                && !self.biases.contains_key(&first)
                && self.is_there_before(v, p)
            {
                self.biases.insert(first, q);
            } else {
                continue;
            }
            self.alias[p.index()] = Some(v);
            self.lowering[v.index()] = Some(LoweringKind::Accumulated);
            self.first.insert(v, first);
        }
        // The sum comes after its operands.
        for &v in self.order.iter().rev() {
            if let Some(sum) = self.alias[v.index()] {
                let root = self.root(sum);
                self.root[v.index()] = Some(root);
                self.parts.entry(root).or_default().push(v);
            }
        }
    }

    /// Every value that is accumulated in the array of a root.
    pub(crate) fn parts(&self, root: Value) -> &[Value] {
        self.parts.get(&root).map_or(&[], Vec::as_slice)
    }

    /// True if the value that `v` adds to `p` is available before the products of `p`: no loop without `v` computes one
    /// of them, so none has to be ordered before it.
    fn is_there_before(&self, v: Value, p: Value) -> bool {
        let mut x = p;
        loop {
            if self.class(x) != Class::Parallel && self.class(x) != self.class(v) {
                return false;
            }
            if self.lowering(x) != LoweringKind::Accumulated {
                return true;
            }
            x = self.g.operands(x)[0];
        }
    }

    /// A vector of domain `once` that has an array.
    fn is_bias(&self, v: Value) -> bool {
        let whole_vector = |x: Value| self.g.node(x).ty.shape.rank() == 1;
        let mut x = v;
        while self.lowering(x) == LoweringKind::View {
            match self.g.op_of(x) {
                Op::Input { .. } => break,
                Op::Slice { axis: 0, .. } if whole_vector(self.g.operands(x)[0]) => {
                    x = self.g.operands(x)[0];
                }
                _ => return false,
            }
        }
        self.domain(v) == Domain::Once && whole_vector(v)
    }

    /// The product that writes the array of a sum in place first.
    pub(crate) fn first(&self, v: Value) -> Value {
        self.first.get(&v).copied().unwrap_or(v)
    }

    /// The product that completes a sum in place.
    pub(crate) fn last(&self, v: Value) -> Value {
        let mut v = v;
        while self.lowering(v) == LoweringKind::Accumulated {
            let xs = self.g.operands(v);
            v = if self.alias[xs[1].index()] == Some(v) {
                xs[1]
            } else {
                xs[0]
            };
        }
        v
    }

    /// The value whose array a product accumulates onto, if it does: the other operand of the sum that it accumulates
    /// in.
    pub(crate) fn added_to(&self, v: Value) -> Option<Value> {
        let sum = self.alias[v.index()]?;
        let xs = self.g.operands(sum);
        (self.lowering(v) == LoweringKind::Product && xs[1] == v).then_some(xs[0])
    }

    /// The value in whose array `v` is computed.
    pub(crate) fn root(&self, v: Value) -> Value {
        self.root[v.index()].unwrap_or(v)
    }
}
