//! The functions of cell files: those of the op table and the composite ones.

use retrograd_tape::{Composite, Domain, Map, Op};

use crate::along::{ALONG, Along};
use crate::ast::{Call, Expr, ExprKind, LabelKind, Name};
use crate::error::{TextError, nearest};
use crate::lower::Lower;
use crate::sizes::{Form, Size};
use crate::source::Span;
use crate::stack::STACK;
use crate::target::domain;
use crate::typed::{Typed, TypedKind, spread_out};

/// The layers with parameters.
pub(crate) const LAYERS: [&str; 4] = ["dense", "dense_no_bias", "embedding", "conv"];

/// True for the functions that need no definition.
pub(crate) fn is_built_in(name: &str) -> bool {
    LAYERS.contains(&name)
        || ALONG.iter().any(|(known, _)| *known == name)
        || Composite::by_name(name).is_some()
        || Op::by_name(name).is_some()
        || name == "gradient"
        || name == STACK
}

/// A call split into operands and attributes.
pub(crate) struct Args<'c> {
    pub(crate) function: &'c Name,
    pub(crate) span: Span,
    pub(crate) operands: Vec<&'c Expr>,
    attributes: Vec<(&'c Name, &'c Expr)>,
}

impl<'c> Args<'c> {
    pub(crate) fn attribute(&self, name: &str) -> Option<&'c Expr> {
        let found = self.attributes.iter().find(|(n, _)| n.text == name);
        found.map(|(_, e)| *e)
    }
}

impl<'f> Lower<'f> {
    /// Resolves a call.
    pub(crate) fn call(&mut self, call: &Call, span: Span) -> Result<Typed, TextError> {
        let name = call.function.text.as_str();
        if let Some(value) = self.call_defined(call, span)? {
            return Ok(value);
        }
        match name {
            "dense" => return self.dense(call, span, true, None),
            "dense_no_bias" => return self.dense(call, span, false, None),
            "embedding" => return self.embedding(call, span, None),
            "conv" => return self.conv(call, span, None),
            "gradient" => return self.gradient(call, span),
            STACK => return self.stack(call, span),
            _ => {}
        }
        if call.sizes.is_some() {
            let message = format!("`{name}` takes no size in brackets");
            return Err(self.error(call.function.span, message, "expected its operands in ( )"));
        }
        let args = self.args(call, span)?;
        if let Some(value) = self.along(&args)? {
            return Ok(value);
        }
        match Composite::by_name(name) {
            Some(c) => self.composite(c, &args),
            None => self.op(&args),
        }
    }

    /// Resolves a call of a composite function of the tape.
    fn composite(&mut self, c: &'static Composite, args: &Args<'_>) -> Result<Typed, TextError> {
        let attribute = match c.attribute {
            Some((name, default)) => match args.attribute(name) {
                Some(e) => self.number(e)?,
                None => default,
            },
            None => 0.0,
        };
        let xs = self.operands(args, c.arity)?;
        // Its operands match as those of an element-wise op do.
        let Typed { kind, form, span } = self.element_wise(c.name, Map::Copy, xs, args.span)?;
        let TypedKind::Map(_, xs) = kind else {
            unreachable!("it makes an op");
        };
        let form = if c.reduces { Form::Scalar } else { form };
        let kind = TypedKind::Composite(c, attribute, xs);
        Ok(Typed { kind, form, span })
    }

    /// `gradient(e, of: W)`
    fn gradient(&mut self, call: &Call, span: Span) -> Result<Typed, TextError> {
        let [e, w] = &call.args[..] else {
            let message = "`gradient` takes a scalar and a value of the same step".to_owned();
            return Err(self.error(span, message, "expected gradient(e, of: W)"));
        };
        let labelled = match &w.label {
            None => true,
            Some((label, kind)) => *kind == LabelKind::Operand && label.text == "of",
        };
        let named = matches!(w.value.kind, ExprKind::Name(_));
        if e.label.is_some() || !labelled || !named {
            let message = "a gradient is taken of a value that has a name".to_owned();
            return Err(self.error(w.value.span, message, "expected gradient(e, of: W)"));
        }
        let (e, w) = (self.value(&e.value)?, self.value(&w.value)?);
        if e.form != Form::Scalar {
            let found = self.sizes.form(e.form);
            let message = format!("a gradient is that of a scalar, and this is {found}");
            let error = self.error(e.span, message, "expected a scalar");
            return Err(error.help("use sum(…) or mean(…)".into()));
        }
        let (form, kind) = (w.form, TypedKind::Gradient(Box::new([e, w])));
        Ok(Typed { kind, form, span })
    }

    /// Resolves a call of an op of the table.
    fn op(&mut self, args: &Args<'_>) -> Result<Typed, TextError> {
        let (name, span) = (args.function.text.as_str(), args.span);
        let typed = |kind, form| Ok(Typed { kind, form, span });
        match Op::by_name(name) {
            Some(Op::Map(map)) => {
                let xs = self.operands(args, map.row().arity)?;
                self.element_wise(name, map, xs, span)
            }
            Some(Op::Reduce(kind)) => self.reduce(args, kind),
            Some(Op::Dot) => {
                let xs = self.operands(args, 2)?;
                if !self.sizes.join_forms(xs[0].form, xs[1].form) {
                    let [a, b] = [0, 1].map(|i| (xs[i].form, xs[i].span));
                    return Err(self.mismatch(name, a, b));
                }
                typed(TypedKind::Op(Op::Dot, xs), Form::Scalar)
            }
            Some(Op::Broadcast(_)) => {
                let (x, form) = self.shaped(args)?;
                if x.form != Form::Scalar && self.sizes.stretch(x.form, form) != Some(form) {
                    let found = self.sizes.form(x.form);
                    let message = format!("{found} cannot be broadcast to {form}");
                    let label =
                        "expected a scalar, or as many axes, each of the same length or of 1";
                    return Err(self.error(x.span, message, label));
                }
                let x = spread_out(x, form);
                Ok(Typed { span, ..x })
            }
            Some(Op::Transpose(_)) => self.transpose(args),
            Some(Op::Reshape(_)) => {
                let (x, form) = self.shaped(args)?;
                self.sizes.same_count(x.form, form, span);
                typed(TypedKind::Reshape(Box::new(x)), form)
            }
            Some(Op::Concat { .. }) => self.concat(args),
            Some(Op::Slice { .. }) => self.slice(args),
            Some(Op::MatVec { transposed }) => {
                let [m, v] = self.two(args)?;
                self.product(transposed, m, v, span)
            }
            Some(Op::Outer { .. }) => {
                let to = args.attribute("to").map(|e| self.domain(e)).transpose()?;
                let [a, b] = self.two(args)?;
                let form = match (a.form, b.form) {
                    // One product per head.
                    (Form::Matrix(h, m), Form::Matrix(heads, n)) => {
                        if !self.sizes.join(h, heads) {
                            return Err(self.mismatch(name, (a.form, a.span), (b.form, b.span)));
                        }
                        Form::Tensor(h, m, n)
                    }
                    _ => Form::Matrix(self.length(name, &a)?, self.length(name, &b)?),
                };
                typed(TypedKind::Outer(Box::new([a, b]), to), form)
            }
            Some(Op::Gather) => {
                let [m, i] = self.two(args)?;
                if m.form == Form::Scalar {
                    let message = "`gather` takes a part of a vector or more".to_owned();
                    return Err(self.error(m.span, message, "expected no scalar"));
                }
                let axis = args.attribute("axis");
                let axis = axis.map_or(Ok(0), |e| self.axis_of(e, &m))?;
                let (i, form) = (self.index(i)?, m.form.without_axis(axis));
                typed(TypedKind::Along(Along::Gather(axis), vec![m, i]), form)
            }
            Some(Op::Scatter { .. }) => {
                let (rows, to) = (self.needed(args, "rows")?, self.needed(args, "to")?);
                let (rows, to) = (self.whole(rows)?, self.domain(to)?);
                let [i, v] = self.two(args)?;
                let (i, n) = (self.index(i)?, self.length(name, &v)?);
                let kind = TypedKind::Op(Op::Scatter { rows, to }, vec![i, v]);
                typed(kind, Form::Matrix(Size::Known(rows), n))
            }
            Some(Op::Delay(_) | Op::Boundary(_)) => self.delay(args),
            Some(op @ (Op::Spread(_) | Op::SumTo(_))) => {
                let to = self.needed(args, "to")?;
                let to = self.domain(to)?;
                let xs = self.operands(args, 1)?;
                let form = xs[0].form;
                let op = match op {
                    Op::Spread(_) => Op::Spread(to),
                    _ => Op::SumTo(to),
                };
                typed(TypedKind::Op(op, xs), form)
            }
            None
            | Some(Op::ReduceAxis { .. } | Op::Input { .. } | Op::Constant { .. } | Op::Zeros(_)) => {
                Err(self.unknown(args.function))
            }
        }
    }

    /// Not inlined: what resolves calls, calls itself.
    #[cold]
    #[inline(never)]
    fn unknown(&self, function: &Name) -> TextError {
        let message = format!("there is no function `{}`", function.text);
        let error = self.error(function.span, message, "expected a function");
        if let Some(Op::ReduceAxis { .. }) = Op::by_name(&function.text)
            && let Some(whole) = function.text.strip_suffix("_axis")
        {
            return error.help(format!("`{whole}(x, axis=0)` goes along an axis"));
        }
        let written = |op: &Op| op.arity() != Some(0) && !matches!(op, Op::ReduceAxis { .. });
        let ops = Op::each().filter(written);
        let ops = ops.map(|op| op.name());
        let layers = self.frame().layers.keys().map(String::as_str);
        let defined = self.library.names(self.frame().routine.file());
        let composites = ALONG.iter().map(|(name, _)| *name);
        let composites = composites.chain(Composite::ALL.into_iter().map(|c| c.name));
        let known = ops
            .chain(composites)
            .chain(LAYERS)
            .chain([STACK])
            .chain(layers)
            .chain(defined);
        match nearest(&function.text, known) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        }
    }

    /// The operand of a function that takes a value and a shape.
    fn shaped(&mut self, args: &Args<'_>) -> Result<(Typed, Form), TextError> {
        let [x, to] = self.exprs(args)?;
        let x = self.value(x)?;
        let ExprKind::Shape(sizes) = &to.kind else {
            let message = format!("`{}` needs a shape", args.function.text);
            return Err(self.error(to.span, message, "expected a shape, as in [2, 3]"));
        };
        Ok((x, self.shape(sizes)?))
    }

    /// Separates operands from attributes, given the attributes that the function has.
    pub(crate) fn args<'c>(&self, call: &'c Call, span: Span) -> Result<Args<'c>, TextError> {
        let function = &call.function;
        let composite = ALONG.iter().find(|(name, _)| *name == function.text);
        let known: &[&str] = match function.text.as_str() {
            _ if composite.is_some() => composite.map_or(&[], |(_, attributes)| attributes),
            "embedding" | "conv" => &["name"],
            "sum" | "mean" => &["axis", "keep", "to"],
            "amax" => &["axis", "keep", "to"],
            "concat" | "slice" | "gather" => &["axis"],
            "outer" | "spread" | "sum_to" => &["to"],
            "scatter" => &["rows", "to"],
            "delay" | "boundary" => &["d"],
            other => match Composite::by_name(other).map(|c| &c.attribute) {
                Some(Some((attribute, _))) => std::slice::from_ref(attribute),
                Some(None) | None => &[],
            },
        };
        let mut args = Args {
            function,
            span,
            operands: Vec::new(),
            attributes: Vec::new(),
        };
        for arg in &call.args {
            match &arg.label {
                None => args.operands.push(&arg.value),
                Some((name, LabelKind::Attribute)) if known.contains(&name.text.as_str()) => {
                    args.attributes.push((name, &arg.value));
                }
                Some((name, LabelKind::Attribute)) => {
                    let message = format!("`{}` has no attribute `{}`", function.text, name.text);
                    let label = match known {
                        [] => "expected only operands".to_owned(),
                        known => format!("expected {}", known.join(" or ")),
                    };
                    return Err(self.error(name.span, message, &label));
                }
                Some((name, LabelKind::Operand)) if function.text == "with_gradient" => {
                    if (name.text.as_str(), args.operands.len()) != ("of", 1) {
                        let message = "`with_gradient` calls its second operand `of`".to_owned();
                        let label = "expected `with_gradient(y, of: z)`";
                        return Err(self.error(name.span, message, label));
                    }
                    args.operands.push(&arg.value);
                }
                Some((name, LabelKind::Operand)) => {
                    let message = format!("`{}` does not call its operands", function.text);
                    let label = "only `dense` names operands, for its parameters";
                    return Err(self.error(name.span, message, label));
                }
            }
        }
        Ok(args)
    }

    pub(crate) fn exprs<'c, const N: usize>(
        &self,
        args: &Args<'c>,
    ) -> Result<[&'c Expr; N], TextError> {
        args.operands.clone().try_into().map_err(|_| {
            let (function, found) = (&args.function.text, args.operands.len());
            let message = format!("`{function}` takes {N} operands, and here are {found}");
            self.error(args.span, message, &format!("expected {N} operands"))
        })
    }

    pub(crate) fn one(&mut self, args: &Args<'_>) -> Result<Typed, TextError> {
        let [x] = self.exprs(args)?;
        self.value(x)
    }

    fn two(&mut self, args: &Args<'_>) -> Result<[Typed; 2], TextError> {
        let [a, b] = self.exprs(args)?;
        Ok([self.value(a)?, self.value(b)?])
    }

    pub(crate) fn operands(&mut self, args: &Args<'_>, n: usize) -> Result<Vec<Typed>, TextError> {
        if args.operands.len() != n {
            let (function, found) = (&args.function.text, args.operands.len());
            let message = format!("`{function}` takes {n} operands, and here are {found}");
            return Err(self.error(args.span, message, &format!("expected {n} operands")));
        }
        args.operands.iter().map(|e| self.value(e)).collect()
    }

    pub(crate) fn needed<'c>(&self, args: &Args<'c>, name: &str) -> Result<&'c Expr, TextError> {
        args.attribute(name).ok_or_else(|| {
            let message = format!("`{}` needs `{name}=`", args.function.text);
            self.error(args.span, message, &format!("expected `{name}=`"))
        })
    }

    pub(crate) fn domain(&self, e: &Expr) -> Result<Domain, TextError> {
        let found = match &e.kind {
            ExprKind::Name(name) => domain(name),
            ExprKind::Call(c) if c.function.text == "slots" && c.args.len() == 1 => {
                Some(Domain::BoundarySlots(self.whole(&c.args[0].value)?))
            }
            _ => None,
        };
        let message = || "this is no domain".to_owned();
        found.ok_or_else(|| self.error(e.span, message(), "expected once, row, step or slots(k)"))
    }

    /// The length of a vector.
    pub(crate) fn length(&self, function: &str, v: &Typed) -> Result<Size, TextError> {
        match v.form {
            Form::Vector(n) => Ok(n),
            form => {
                let found = self.sizes.form(form);
                let message = format!("`{function}` takes vectors, and this is {found}");
                Err(self.error(v.span, message, "expected a vector"))
            }
        }
    }

    /// An index: a scalar, or a vector of one.
    pub(crate) fn index(&mut self, i: Typed) -> Result<Typed, TextError> {
        match i.form {
            Form::Scalar => Ok(i),
            Form::Vector(n) if self.sizes.join(n, Size::Known(1)) => Ok(Typed {
                span: i.span,
                form: Form::Scalar,
                kind: TypedKind::Reshape(Box::new(i)),
            }),
            form => {
                let message = format!("an index is one number, not {}", self.sizes.form(form));
                Err(self.error(i.span, message, "expected a scalar"))
            }
        }
    }
}
