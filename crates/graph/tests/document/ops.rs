//! The tables of ops: names and docs from the ops' definitions, types from `Op::infer`, derivatives from the rules
//! themselves, applied symbolically.

use std::collections::BTreeSet;

use retrograd_tape::{
    Algebra, Domain, Map, Number, Op, Permutation, Reduction, Shape, Type, Value, rules,
};

use crate::source::{cell, variants};

/// An algebra of expressions, as cell files write them.
#[derive(Default)]
struct Words {
    values: Vec<(String, Type)>,
}

impl Words {
    fn named(&mut self, name: &str, ty: Type) -> Value {
        self.values.push((name.to_owned(), ty));
        Value(self.values.len() as u32 - 1)
    }

    fn text(&self, v: Value) -> String {
        let text = &self.values[v.index()].0;
        let whole = text.strip_prefix('(').and_then(|t| t.strip_suffix(')'));
        // Only an infix expression stands in brackets of its own.
        whole.unwrap_or(text).to_owned()
    }
}

impl Algebra for Words {
    fn op(&mut self, op: Op, xs: &[Value]) -> Value {
        let types: Vec<Type> = xs.iter().map(|&x| self.ty(x)).collect();
        let ty = op.infer(&types).expect("rules apply ops that fit");
        let word = |i: usize| self.values[xs[i].index()].0.clone();
        let infix = |sign: &str| format!("({} {sign} {})", word(0), word(1));
        let text = match op {
            Op::Constant { value, .. } => value.0.to_string(),
            Op::Zeros(_) => "0".to_owned(),
            Op::Map(Map::Add) => infix("+"),
            Op::Map(Map::Sub) => infix("-"),
            Op::Map(Map::Mul) => infix("*"),
            Op::Map(Map::Div) => infix("/"),
            Op::Map(Map::Lt) => infix("<"),
            Op::Map(Map::Le) => infix("<="),
            Op::Map(Map::Eq) => infix("=="),
            Op::Map(Map::Neg) => format!("-{}", word(0)),
            Op::MatVec { transposed: false } => infix("@"),
            Op::MatVec { transposed: true } => format!("({} @ {})", word(1), word(0)),
            _ => {
                // A scalar is repeated in element-wise ops alone.
                let shaped = |x: Value| match (self.text(x), self.ty(x).shape) {
                    (text, Shape::Vector(n)) if text.parse::<f64>().is_ok() => {
                        format!("broadcast({text}, [{n}])")
                    }
                    (text, _) => text,
                };
                let plain: Vec<String> = match op {
                    Op::Concat { .. } => xs.iter().map(|&x| shaped(x)).collect(),
                    _ => xs.iter().map(|&x| self.text(x)).collect(),
                };
                format!("{}({}{})", op.name(), plain.join(", "), attributes(&op))
            }
        };
        self.named(&text, ty)
    }

    fn ty(&self, v: Value) -> Type {
        self.values[v.index()].1
    }
}

/// As cell files write them.
fn attributes(op: &Op) -> String {
    let along = |axis: usize| match axis {
        0 => String::new(),
        axis => format!(", axis={axis}"),
    };
    match *op {
        Op::Broadcast(shape) | Op::Reshape(shape) => format!(", {shape}").replace(",", ", "),
        Op::ReduceAxis { axis, .. } => format!(", axis={axis}"),
        Op::Transpose(order) => format!(", axes=[{order}]"),
        Op::Concat { axis } => along(axis),
        Op::Slice { axis, start, len } => format!(", {start}..{}{}", start + len, along(axis)),
        Op::Outer { to } | Op::Spread(to) | Op::SumTo(to) => format!(", to={to}"),
        Op::Scatter { rows, to } => format!(", rows={rows}, to={to}"),
        Op::Delay(d) | Op::Boundary(d) => format!(", d={d}"),
        Op::Input { .. }
        | Op::Constant { .. }
        | Op::Zeros(_)
        | Op::Map(_)
        | Op::Reduce(_)
        | Op::Dot
        | Op::MatVec { .. }
        | Op::Gather => String::new(),
    }
    .replace(",  ", ", ")
}

/// What operand `i` receives of the cotangent t.
fn cotangent(op: &Op, names: &[&str], types: &[Type], i: usize) -> String {
    let mut words = Words::default();
    let xs: Vec<Value> = (names.iter().zip(types))
        .map(|(name, ty)| words.named(name, *ty))
        .collect();
    let ty = op.infer(types).expect("the sample fits");
    let y = words.named("y", ty);
    let t = words.named("t", ty);
    match rules::vjp(&mut words, op, &xs, y, i, t) {
        Some(v) => words.text(v),
        None => "0".into(),
    }
}

fn names(arity: usize) -> &'static [&'static str] {
    match arity {
        1 => &["x"],
        2 => &["a", "b"],
        _ => &["c", "a", "b"],
    }
}

/// Where an op is defined, found by trying: everywhere, or where one operand is positive, not 0, or
/// greater than -1.
fn defined(m: Map) -> String {
    let (row, n) = (m.row(), m.row().arity);
    let conditions = (0..n).filter_map(|k| {
        let at = |x: f64| {
            let mut point = [1.0; 3];
            point[k] = x;
            (row.defined)(&point[..n])
        };
        match [-1.0, 0.0, 1.0].map(at) {
            [true, true, true] => None,
            [false, false, true] => Some(format!("{} > 0", names(n)[k])),
            [false, true, true] if at(-0.999) => Some(format!("{} > -1", names(n)[k])),
            [true, false, true] => Some(format!("{} ≠ 0", names(n)[k])),
            other => panic!("{}: {other:?}", row.name),
        }
    });
    let all: Vec<String> = conditions.collect();
    match all.is_empty() {
        true => "everywhere".into(),
        false => all.join(", "),
    }
}

/// Where an op has a kink or jump, found by trying: nowhere, where the first operand is 0, an integer, or halfway between
/// two, or where two are equal.
fn kink(m: Map) -> String {
    let (row, n) = (m.row(), m.row().arity);
    let at = |point: [f64; 3]| (row.kink)(&point[..n]);
    if at([2.0, 3.0, 4.0]) == f64::INFINITY {
        "none".into()
    } else if [0.0, 1.0, -2.0].iter().all(|&x| at([x, 3.5, 4.5]) == 0.0) {
        format!("integer {}", names(n)[0])
    } else if [0.5, 1.5, -2.5].iter().all(|&x| at([x, 3.0, 4.0]) == 0.0) {
        format!("{} halfway between integers", names(n)[0])
    } else if at([0.0, 3.0, 4.0]) == 0.0 {
        format!("{} = 0", names(n)[0])
    } else if at([2.0, 2.0, 4.0]) == 0.0 {
        "a = b".into()
    } else {
        panic!("{}: a kink of another kind", row.name)
    }
}

pub(crate) fn element_wise() -> String {
    let mut out = String::from(
        "| op | operands | value | defined | kink | ulp | cotangents |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let ty = Type::new(Shape::Vector(3), Domain::Step);
    for m in Map::ALL {
        let row = m.row();
        let names = names(row.arity);
        let types = vec![ty; row.arity];
        let parts: Vec<String> = (names.iter().enumerate())
            .map(|(i, name)| format!("{name}: `{}`", cotangent(&Op::Map(m), names, &types, i)))
            .collect();
        out += &format!(
            "| `{}` | {} | {} | {} | {} | {} | {} |\n",
            row.name,
            names.join(", "),
            cell(row.doc),
            defined(m),
            kink(m),
            row.ulp,
            cell(&parts.join("; ")),
        );
    }
    out
}

/// One of each op that is not element-wise, with operands that it may have.
fn samples() -> Vec<(Op, &'static [&'static str], Vec<Type>)> {
    let (once, row, step) = (Domain::Once, Domain::Row, Domain::Step);
    let scalar = |d| Type::new(Shape::Scalar, d);
    let vector = |d, n| Type::new(Shape::Vector(n), d);
    let matrix = |d| Type::new(Shape::Matrix(3, 4), d);
    let (x, ab): (&[&str], &[&str]) = (&["x"], &["a", "b"]);
    let along = |kind| Op::ReduceAxis { kind, axis: 1 };
    let exchange = Permutation::exchange(0, 1).expect("two axes");
    vec![
        (
            Op::Input {
                id: 0,
                ty: vector(step, 4),
            },
            &[],
            vec![],
        ),
        (
            Op::Constant {
                value: Number(0.5),
                shape: Shape::Vector(4),
            },
            &[],
            vec![],
        ),
        (Op::Zeros(Shape::Vector(4)), &[], vec![]),
        (Op::Reduce(Reduction::Sum), x, vec![vector(step, 4)]),
        (Op::Reduce(Reduction::Mean), x, vec![vector(step, 4)]),
        (Op::Reduce(Reduction::Max), x, vec![vector(step, 4)]),
        (along(Reduction::Sum), x, vec![matrix(step)]),
        (along(Reduction::Mean), x, vec![matrix(step)]),
        (along(Reduction::Max), x, vec![matrix(step)]),
        (Op::Dot, ab, vec![vector(step, 4), vector(step, 4)]),
        (Op::Broadcast(Shape::Vector(4)), x, vec![scalar(step)]),
        (
            Op::Concat { axis: 0 },
            ab,
            vec![vector(step, 3), vector(step, 4)],
        ),
        (
            Op::Slice {
                axis: 0,
                start: 1,
                len: 2,
            },
            x,
            vec![vector(step, 4)],
        ),
        (Op::Reshape(Shape::Vector(12)), x, vec![matrix(step)]),
        (Op::Transpose(exchange), x, vec![matrix(step)]),
        (
            Op::MatVec { transposed: false },
            &["M", "v"],
            vec![matrix(once), vector(step, 4)],
        ),
        (
            Op::MatVec { transposed: true },
            &["M", "v"],
            vec![matrix(once), vector(step, 3)],
        ),
        (
            Op::Outer { to: once },
            ab,
            vec![vector(step, 3), vector(step, 4)],
        ),
        (Op::Gather, &["M", "i"], vec![matrix(once), scalar(step)]),
        (
            Op::Scatter { rows: 3, to: once },
            &["i", "v"],
            vec![scalar(step), vector(step, 4)],
        ),
        (
            Op::Delay(2),
            &["x", "init"],
            vec![vector(step, 4), vector(row, 4)],
        ),
        (
            Op::Boundary(2),
            &["x", "init"],
            vec![vector(step, 4), vector(row, 4)],
        ),
        (Op::Spread(step), x, vec![vector(row, 4)]),
        (Op::SumTo(row), x, vec![vector(step, 4)]),
    ]
}

pub(crate) fn structural() -> String {
    let source = include_str!("../../../tape/src/op.rs");
    let docs = variants(source, "Op");
    let reductions = variants(source, "Reduction");
    let mut out = String::from(
        "| op | what it gives | for example | cotangents |\n| --- | --- | --- | --- |\n",
    );
    let mut shown = BTreeSet::from(["Map".to_owned()]);
    for (op, names, types) in samples() {
        let debug = format!("{op:?}");
        let variant = debug
            .split(|c: char| !c.is_alphanumeric())
            .next()
            .unwrap_or("");
        shown.insert(variant.to_owned());
        let find = |docs: &[(String, String)], name: &str| {
            let found = docs.iter().find(|(v, _)| v == name);
            found.unwrap_or_else(|| panic!("no `{name}`")).1.clone()
        };
        let doc = match op {
            Op::Reduce(r) => find(&reductions, &format!("{r:?}")),
            Op::ReduceAxis { kind, .. } => {
                let what = find(&reductions, &format!("{kind:?}"));
                format!("{} {what}", find(&docs, variant))
            }
            _ => find(&docs, variant),
        };
        let given: Vec<String> = (names.iter().zip(&types))
            .map(|(name, ty)| format!("{name}: {ty}"))
            .collect();
        let arrow = if given.is_empty() { "" } else { " → " };
        let result = op.infer(&types).expect("the sample fits");
        let parts: Vec<String> = match op {
            Op::Delay(_) | Op::Boundary(_) => vec!["that of the pair, below".into()],
            _ => (names.iter().enumerate())
                .map(|(i, name)| format!("{name}: `{}`", cotangent(&op, names, &types, i)))
                .collect(),
        };
        let attributes = attributes(&op);
        let attributes = attributes.trim_start_matches(", ");
        out += &format!(
            "| `{}` | {} | {}{arrow}{result}{} | {} |\n",
            op.name(),
            cell(&doc),
            given.join(", "),
            match attributes {
                "" => String::new(),
                a => format!(" ({a})"),
            },
            cell(&parts.join("; ")),
        );
    }
    let all: BTreeSet<String> = docs.into_iter().map(|(name, _)| name).collect();
    assert_eq!(shown, all, "`samples` has one of every op");
    out
}
