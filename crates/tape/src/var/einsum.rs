//! Einstein sums of two factors: `einsum("hij,hj->hi", a, b)` is Σⱼ a[h,i,j] · b[h,j].
//!
//! Letters fall into four groups: in both factors and in the result (heads), in both but not in the result (summed),
//! and those of one factor alone. A letter of one factor that the result lacks is summed first. What remains is one
//! op on values whose groups are one axis each: a product of matrix and vector, an outer product, or an element-wise
//! product.

use std::panic::Location;

use crate::map::Map;
use crate::op::{Op, Permutation, Reduction};
use crate::record::Var;
use crate::ty::{Domain, Shape};

/// A letter per axis of a factor or of the result.
type Letters = Vec<char>;

/// What a specification says.
struct Spec {
    factors: [Letters; 2],
    result: Letters,
}

impl Spec {
    /// The specification, or what one should be.
    fn parse(text: &str) -> Result<Spec, String> {
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let parts = plain.split_once("->").and_then(|(factors, result)| {
            let (a, b) = factors.split_once(',')?;
            Some([a, b, result])
        });
        let Some(parts) = parts else {
            return Err(format!(
                "`{text}` should be letters of two factors and of the result, such as `hij,hj->hi`"
            ));
        };
        for part in parts {
            if let Some(c) = part.chars().find(|c| !c.is_ascii_alphabetic()) {
                return Err(format!("`{c}` in `{text}` should be a letter"));
            }
            let twice = |c: char| part.matches(c).count() > 1;
            if let Some(c) = part.chars().find(|&c| twice(c)) {
                return Err(format!(
                    "`{c}` should be there once in `{part}` of `{text}`"
                ));
            }
        }
        let [a, b, result] = parts.map(|part| part.chars().collect::<Letters>());
        if let Some(c) = result.iter().find(|c| !a.contains(c) && !b.contains(c)) {
            return Err(format!(
                "`{c}` of the result should be in a factor of `{text}`"
            ));
        }
        if result.len() > Shape::MAX_RANK {
            return Err(format!(
                "the result of `{text}` should have at most {} axes",
                Shape::MAX_RANK
            ));
        }
        Ok(Spec {
            factors: [a, b],
            result,
        })
    }
}

/// A value with a letter for each axis.
#[derive(Clone)]
struct Factor<'t> {
    v: Var<'t>,
    letters: Letters,
}

/// Records the ops of one call.
struct Einsum<'s> {
    /// The length of each letter's axis.
    sizes: Vec<(char, usize)>,
    result: &'s Letters,
    at: &'static Location<'static>,
}

impl<'t> Var<'t> {
    /// The Einstein sum of two factors: letters name their axes and those of the result; what the result lacks is
    /// summed. Letters of a malformed specification, or sizes that do not fit, are a mistake.
    ///
    /// ```
    /// use retrograd_tape::{Recorder, Shape};
    ///
    /// let r = Recorder::new();
    /// let w = r.param("w", Shape::Tensor(4, 8, 3));
    /// let x = r.param("x", Shape::Matrix(4, 3));
    /// let y = w.einsum("hij,hj->hi", x);
    /// assert_eq!(y.shape(), Some(Shape::Matrix(4, 8)));
    /// ```
    #[track_caller]
    pub fn einsum(self, spec: &str, other: Var<'t>) -> Var<'t> {
        let at = Location::caller();
        let (Some(a), Some(b)) = (self.shape(), other.shape()) else {
            // An earlier mistake, or one that the use of a concatenation of nothing records.
            return Var::apply(Op::Map(Map::Mul), &[self, other], at);
        };
        let parsed = Spec::parse(spec).and_then(|s| sizes(&s, spec, [a, b]).map(|n| (s, n)));
        let (parsed, sizes) = match parsed {
            Ok(fits) => fits,
            Err(expected) => return self.misfit_of("einsum", &[self, other], &expected, at),
        };
        let [a, b] = parsed.factors;
        let einsum = Einsum {
            sizes,
            result: &parsed.result,
            at,
        };
        einsum.of(
            Factor {
                v: self,
                letters: a,
            },
            Factor {
                v: other,
                letters: b,
            },
        )
    }
}

/// The length of each letter's axis, or what does not fit.
fn sizes(spec: &Spec, text: &str, shapes: [Shape; 2]) -> Result<Vec<(char, usize)>, String> {
    let mut sizes: Vec<(char, usize)> = Vec::new();
    for (k, (letters, shape)) in spec.factors.iter().zip(shapes).enumerate() {
        let which = ["first", "second"][k];
        if letters.len() != shape.rank() {
            let n = letters.len();
            return Err(format!(
                "the {which} factor of `{text}` should have {n} axes"
            ));
        }
        for (&c, len) in letters.iter().zip(shape.axes()) {
            match sizes.iter().find(|(known, _)| *known == c) {
                Some(&(_, other)) if other != len => {
                    return Err(format!(
                        "`{c}` of `{text}` should be of one length, and is {other} in the first factor and {len} in the \
                         second"
                    ));
                }
                Some(_) => {}
                None => sizes.push((c, len)),
            }
        }
    }
    Ok(sizes)
}

impl Einsum<'_> {
    fn apply<'t>(&self, op: Op, xs: &[Var<'t>]) -> Var<'t> {
        Var::apply(op, xs, self.at)
    }

    fn len(&self, letters: &[char]) -> usize {
        let size = |c: &char| self.sizes.iter().find(|(known, _)| known == c);
        let lens = letters.iter().map(|c| size(c).map_or(1, |&(_, n)| n));
        lens.fold(1, usize::saturating_mul)
    }

    fn reshape<'t>(&self, v: Var<'t>, axes: &[usize]) -> Var<'t> {
        let shape = Shape::from_axes(axes).unwrap_or(Shape::Scalar);
        match v.shape() == Some(shape) {
            true => v,
            false => self.apply(Op::Reshape(shape), &[v]),
        }
    }

    /// The factor with its axes in this order, each group of letters as one axis.
    fn grouped<'t>(&self, x: &Factor<'t>, groups: &[&[char]]) -> Var<'t> {
        let v = self.ordered(x, &groups.concat());
        let axes: Vec<usize> = groups.iter().map(|g| self.len(g)).collect();
        self.reshape(v, &axes)
    }

    fn ordered<'t>(&self, x: &Factor<'t>, order: &[char]) -> Var<'t> {
        let place = |c: &char| x.letters.iter().position(|x| x == c).unwrap_or(0);
        let order: Vec<usize> = order.iter().map(place).collect();
        match Permutation::new(&order) {
            Some(order) if order.moves() > 0 => self.apply(Op::Transpose(order), &[x.v]),
            _ => x.v,
        }
    }

    /// The factor without the letters that neither the other one nor the result has.
    fn summed<'t>(&self, mut x: Factor<'t>, other: &Letters) -> Factor<'t> {
        let alone = |c: &char| !other.contains(c) && !self.result.contains(c);
        while let Some(axis) = x.letters.iter().position(alone) {
            let kind = Reduction::Sum;
            x.v = self.apply(Op::ReduceAxis { kind, axis }, &[x.v]);
            x.letters.remove(axis);
        }
        x
    }

    fn of<'t>(&self, a: Factor<'t>, b: Factor<'t>) -> Var<'t> {
        let (a, b) = (
            self.summed(a.clone(), &b.letters),
            self.summed(b, &a.letters),
        );
        let of = |x: &Factor<'t>, keep: &dyn Fn(&char) -> bool| -> Letters {
            x.letters.iter().copied().filter(keep).collect()
        };
        let in_result = |c: &char| self.result.contains(c);
        // In the order of a factor, so that at least that one need not be transposed.
        let heads = of(&a, &|c| b.letters.contains(c) && in_result(c));
        let summed = of(&a, &|c| b.letters.contains(c) && !in_result(c));
        let left = of(&a, &|c| !b.letters.contains(c));
        let right = of(&b, &|c| !a.letters.contains(c));
        let parts = Parts {
            heads: &heads,
            left: &left,
            right: &right,
            summed: &summed,
        };
        let (v, letters) = match (left.is_empty(), right.is_empty(), summed.is_empty()) {
            (true, true, true) => {
                let product = [self.ordered(&a, &heads), self.ordered(&b, &heads)];
                (self.apply(Op::Map(Map::Mul), &product), heads.clone())
            }
            (true, true, false) => (self.dots(&a, &b, parts), heads.clone()),
            (_, _, true) => {
                let outer = self.outer(&a, &b, parts);
                (outer, [&heads[..], &left, &right].concat())
            }
            (false, true, false) => {
                let y = self.product(&a, &b, parts);
                (y, [&heads[..], &left].concat())
            }
            (true, false, false) => {
                let y = self.product(&b, &a, parts.exchanged());
                (y, [&heads[..], &right].concat())
            }
            (false, false, false) => self.matrices(&a, &b, parts),
        };
        let axes: Vec<usize> = letters.iter().map(|&c| self.len(&[c])).collect();
        let v = self.reshape(v, &axes);
        self.ordered(&Factor { v, letters }, self.result)
    }

    /// One dot product per head.
    fn dots<'t>(&self, a: &Factor<'t>, b: &Factor<'t>, p: Parts<'_>) -> Var<'t> {
        if p.heads.is_empty() {
            let groups = [p.summed];
            let both = [self.grouped(a, &groups), self.grouped(b, &groups)];
            return self.apply(Op::Dot, &both);
        }
        let groups = [p.heads, p.summed];
        let both = [self.grouped(a, &groups), self.grouped(b, &groups)];
        let product = self.apply(Op::Map(Map::Mul), &both);
        let (kind, axis) = (Reduction::Sum, 1);
        self.apply(Op::ReduceAxis { kind, axis }, &[product])
    }

    /// A product of each number with each, per head.
    fn outer<'t>(&self, a: &Factor<'t>, b: &Factor<'t>, p: Parts<'_>) -> Var<'t> {
        let domain = |v: Var<'t>| v.ty().map_or(Domain::Once, |ty| ty.domain);
        let to = domain(a.v).join(domain(b.v)).unwrap_or(domain(a.v));
        if p.left.is_empty() || p.right.is_empty() {
            // One number per head times the others.
            let groups = |own| [p.heads, own];
            let both = [
                self.grouped(a, &groups(p.left)),
                self.grouped(b, &groups(p.right)),
            ];
            return self.apply(Op::Map(Map::Mul), &both);
        }
        let both = match p.heads.is_empty() {
            true => [self.grouped(a, &[p.left]), self.grouped(b, &[p.right])],
            false => [
                self.grouped(a, &[p.heads, p.left]),
                self.grouped(b, &[p.heads, p.right]),
            ],
        };
        self.apply(Op::Outer { to }, &both)
    }

    /// A matrix, the first factor, times a vector per head.
    fn product<'t>(&self, m: &Factor<'t>, v: &Factor<'t>, p: Parts<'_>) -> Var<'t> {
        let (matrix, transposed) = self.matrix(m, p);
        let vector = match p.heads.is_empty() {
            true => self.grouped(v, &[p.summed]),
            false => self.grouped(v, &[p.heads, p.summed]),
        };
        self.apply(Op::MatVec { transposed }, &[matrix, vector])
    }

    /// The first factor as one matrix per head, and whether it is the transposed one: as it lies, if possible.
    fn matrix<'t>(&self, m: &Factor<'t>, p: Parts<'_>) -> (Var<'t>, bool) {
        let as_it_lies = [p.heads, p.summed, p.left].concat() == m.letters;
        let (rows, columns) = match as_it_lies {
            true => (p.summed, p.left),
            false => (p.left, p.summed),
        };
        let matrix = match p.heads.is_empty() {
            true => self.grouped(m, &[rows, columns]),
            false => self.grouped(m, &[p.heads, rows, columns]),
        };
        (matrix, as_it_lies)
    }

    /// A product of two matrices per head: one product with a vector per row of the factor that has fewer of them, or
    /// of the one that is no parameter. Returns its letters, too.
    fn matrices<'t>(&self, a: &Factor<'t>, b: &Factor<'t>, p: Parts<'_>) -> (Var<'t>, Letters) {
        let weight = |x: &Factor<'t>| x.v.ty().is_some_and(|ty| ty.domain == Domain::Once);
        let fewer = self.len(p.left) < self.len(p.right);
        let by_left = if weight(a) == weight(b) {
            fewer
        } else {
            weight(b)
        };
        if by_left {
            return self.rows(b, a, p.exchanged());
        }
        self.rows(a, b, p)
    }

    /// The products of the first factor with each row of the second.
    fn rows<'t>(&self, m: &Factor<'t>, rows: &Factor<'t>, p: Parts<'_>) -> (Var<'t>, Letters) {
        let (matrix, transposed) = self.matrix(m, p);
        let (heads, k) = (self.len(p.heads), self.len(p.summed));
        let (out, count) = (self.len(p.left), self.len(p.right));
        let all = self.grouped(rows, &[p.heads, p.right, p.summed]);
        let products: Vec<Var<'t>> = (0..count)
            .map(|start| {
                let (axis, len) = (1, 1);
                let row = self.apply(Op::Slice { axis, start, len }, &[all]);
                let row = match p.heads.is_empty() {
                    true => self.reshape(row, &[k]),
                    false => self.reshape(row, &[heads, k]),
                };
                let y = self.apply(Op::MatVec { transposed }, &[matrix, row]);
                self.reshape(y, &[heads, 1, out])
            })
            .collect();
        let y = match products[..] {
            [one] => one,
            _ => self.apply(Op::Concat { axis: 1 }, &products),
        };
        (y, [p.heads, p.right, p.left].concat())
    }
}

/// The groups of letters.
#[derive(Clone, Copy)]
struct Parts<'a> {
    heads: &'a [char],
    left: &'a [char],
    right: &'a [char],
    summed: &'a [char],
}

impl Parts<'_> {
    /// Those of the factors in the other order.
    fn exchanged(self) -> Self {
        Parts {
            left: self.right,
            right: self.left,
            ..self
        }
    }
}
