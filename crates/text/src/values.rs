//! Expressions of cell files: names, operators, and which operands match. Functions are in `calls.rs`.

use retrograd_tape::{Map, Op};

use crate::along::Along;
use crate::ast::{Expr, ExprKind, Infix};
use crate::error::{TextError, nearest};
use crate::lower::{Lower, joined};
use crate::sizes::{Form, Size};
use crate::source::Span;
use crate::typed::{Action, Typed, TypedKind};

impl Lower<'_> {
    /// Resolves an expression that is a value.
    pub(crate) fn value(&mut self, e: &Expr) -> Result<Typed, TextError> {
        self.spend(e.span)?;
        self.deeper(e.span)?;
        let value = self.level(e)?;
        self.depth -= 1;
        Ok(value)
    }

    /// One level of an expression.
    fn level(&mut self, e: &Expr) -> Result<Typed, TextError> {
        let span = e.span;
        let (kind, form) = match &e.kind {
            ExprKind::Number(x) => (TypedKind::Constant(*x), Form::Scalar),
            ExprKind::Name(name) => match self.frame().dims.get(name.as_str()) {
                Some(&x) => (TypedKind::Constant(x), Form::Scalar),
                None => self.look_up(name, span)?,
            },
            ExprKind::Neg(inner) => {
                let inner = self.value(inner)?;
                return self.element_wise("-", Map::Neg, vec![inner], span);
            }
            ExprKind::Part(whole, selections) => return self.part(whole, selections, span),
            ExprKind::Infix(Infix::Pow, a, b) => return self.power(a, b, span),
            ExprKind::Infix(infix, a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                return self.infix(*infix, a, b, span);
            }
            ExprKind::Call(call) => return self.call(call, span),
            ExprKind::Shape(_) => {
                let message = "a shape is no value".to_owned();
                return Err(self.error(span, message, "expected a value"));
            }
            ExprKind::Quoted(_) => {
                let message = "a text is no value".to_owned();
                return Err(self.error(span, message, "expected a value"));
            }
            ExprKind::Range(..) => {
                let message = "a range is no value".to_owned();
                return Err(self.error(span, message, "expected a value"));
            }
        };
        Ok(Typed { kind, form, span })
    }

    /// What a name stands for: a value of the frame, or a value or parameter inside a layer of it, such as `l1.h`.
    fn look_up(&self, name: &str, at: Span) -> Result<(TypedKind, Form), TextError> {
        let frame = self.frame();
        let found = frame.scope.get(name).map(|&(id, _)| id);
        // A layer above a repetition has no iteration in its name.
        let value = found
            .or_else(|| self.known.get(&frame.full(name)).copied())
            .or_else(|| self.known.get(&joined(&frame.prefix, name)).copied())
            .filter(|_| found.is_some() || name.contains('.'));
        if let Some(id) = value {
            let form = self.sizes.form(self.values[id.0].form);
            return Ok((TypedKind::Value(id), form));
        }
        let parameter = (self.parameters.get(&frame.full_parameter(name)))
            .or_else(|| self.parameters.get(&joined(&frame.parameters, name)));
        if let Some(parameter) = parameter {
            let form = self.sizes.form(parameter.form);
            return Ok((TypedKind::Parameter(parameter.name.clone()), form));
        }
        let error = self.error(
            at,
            format!("there is no value `{name}`"),
            "expected a name that is given above",
        );
        if frame.waiting.iter().any(|s| s.name.text == name) {
            return Err(error.help(format!(
                "`{name}` begins as a value that is given further down; give it above this line"
            )));
        }
        if frame.given.contains(name) {
            return Err(error.help(format!(
                "`{name}` is given further down; an equation uses what stands above it"
            )));
        }
        let inside = |full: &'_ String| match frame.parameters.is_empty() {
            true => Some(full.len()),
            false => full
                .strip_prefix(&frame.parameters)
                .map(|rest| rest.len() - 1),
        };
        let parts = (self.parameters.keys())
            .filter_map(|full| Some(&full[full.len() - inside(full)?..]))
            .filter(|part| part.contains('.'));
        let known = frame.scope.keys().chain(frame.dims.keys());
        let known = known.map(String::as_str);
        Err(match nearest(name, known.chain(parts)) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        })
    }

    /// What a value is called in the name of a matrix that it is multiplied with, if it has a name.
    pub(crate) fn label(&self, value: &Typed) -> Option<String> {
        match &value.kind {
            TypedKind::Value(id) => self.values[id.0].label.clone(),
            TypedKind::Parameter(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// The value under a number, so that it is recorded once however often it is used.
    pub(crate) fn once(&mut self, value: Typed) -> Typed {
        let (form, span) = (value.form, value.span);
        let id = self.number_value(form, self.label(&value));
        self.actions.push(Action::Define {
            id,
            name: None,
            value,
        });
        let kind = TypedKind::Value(id);
        Typed { kind, form, span }
    }

    /// xⁿ for whole n by products, as many as n has binary digits; a root for n = ½ and -½, as in PyTorch; any other power by
    /// `pow`.
    /// Not inlined: `value` calls itself, and its frame would grow by this one's.
    #[inline(never)]
    fn power(&mut self, base: &Expr, exponent: &Expr, span: Span) -> Result<Typed, TextError> {
        const MOST: f64 = 64.0;
        let base = self.value(base)?;
        let n = match self.number(exponent) {
            Ok(n) if n.fract() == 0.0 && n.abs() <= MOST => n,
            Ok(n) if n.abs() == 0.5 => return self.root(base, n < 0.0, span),
            _ => {
                let exponent = self.value(exponent)?;
                return self.element_wise("^", Map::Pow, vec![base, exponent], span);
            }
        };
        let form = base.form;
        Ok(Typed {
            kind: TypedKind::Along(Along::Powi(n as i32), vec![base]),
            form,
            span,
        })
    }

    /// The square root, or its reciprocal.
    /// Not inlined, for the same reason.
    #[inline(never)]
    fn root(&mut self, base: Typed, reciprocal: bool, span: Span) -> Result<Typed, TextError> {
        let root = self.element_wise("^", Map::Sqrt, vec![base], span)?;
        match reciprocal {
            true => self.element_wise("^", Map::Recip, vec![root], span),
            false => Ok(root),
        }
    }

    fn infix(&mut self, infix: Infix, a: Typed, b: Typed, at: Span) -> Result<Typed, TextError> {
        let sign = infix.sign();
        let (map, operands) = match infix {
            Infix::Add => (Map::Add, vec![a, b]),
            Infix::Sub => (Map::Sub, vec![a, b]),
            Infix::Mul => (Map::Mul, vec![a, b]),
            Infix::Div => (Map::Div, vec![a, b]),
            Infix::Lt => (Map::Lt, vec![a, b]),
            Infix::Le => (Map::Le, vec![a, b]),
            Infix::Gt => (Map::Lt, vec![b, a]),
            Infix::Ge => (Map::Le, vec![b, a]),
            Infix::Eq => (Map::Eq, vec![a, b]),
            // M v, or with the vector first Mᵀ v.
            Infix::Pow => unreachable!("powers are resolved before their operands"),
            Infix::MatMul => {
                return match (a.form, b.form) {
                    (Form::Vector(_), Form::Matrix(..)) | (Form::Matrix(..), Form::Tensor(..)) => {
                        self.product(true, b, a, at)
                    }
                    _ => self.product(false, a, b, at),
                };
            }
        };
        self.element_wise(sign, map, operands, at)
    }

    /// M v or Mᵀ v.
    pub(crate) fn product(
        &mut self,
        transposed: bool,
        m: Typed,
        v: Typed,
        at: Span,
    ) -> Result<Typed, TextError> {
        let (of, with) = if transposed { (0, 1) } else { (1, 0) };
        let fits = match (m.form, v.form) {
            (Form::Matrix(rows, columns), Form::Vector(n)) => {
                let sides = [rows, columns];
                (self.sizes.join(sides[of], n)).then_some(Form::Vector(sides[with]))
            }
            // One product per head.
            (Form::Tensor(h, rows, columns), Form::Matrix(heads, n)) => {
                let sides = [rows, columns];
                let fits = self.sizes.join(h, heads) && self.sizes.join(sides[of], n);
                fits.then_some(Form::Matrix(h, sides[with]))
            }
            _ => None,
        };
        let Some(form) = fits else {
            let what = if transposed {
                "transposed matrix"
            } else {
                "matrix"
            };
            let (m, v) = (
                (m.span, self.sizes.form(m.form)),
                (v.span, self.sizes.form(v.form)),
            );
            let message = format!(
                "{} and {} are no {what} and a vector that it takes",
                m.1, v.1
            );
            let expected = match (m.1, transposed) {
                (Form::Matrix(_, n), false) | (Form::Matrix(n, _), true) => format!("[{n}]"),
                _ => "a vector".to_owned(),
            };
            let label = format!("this is {}; expected {expected}", v.1);
            return Err(self
                .error(v.0, message, &label)
                .and(m.0, format!("this is {}", m.1)));
        };
        Ok(Typed {
            kind: TypedKind::Op(Op::MatVec { transposed }, vec![m, v]),
            form: self.sizes.form(form),
            span: at,
        })
    }

    /// An element-wise op: all operands have the same shape or are scalars.
    pub(crate) fn element_wise(
        &mut self,
        sign: &str,
        map: Map,
        operands: Vec<Typed>,
        span: Span,
    ) -> Result<Typed, TextError> {
        let mut wide: Option<(Form, Span)> = None;
        for x in operands.iter().filter(|x| x.form != Form::Scalar) {
            wide = match wide {
                None => Some((x.form, x.span)),
                Some((form, at)) => match self.sizes.stretch(form, x.form) {
                    Some(joint) => Some((joint, at)),
                    None => return Err(self.mismatch(sign, (form, at), (x.form, x.span))),
                },
            };
        }
        let form = wide.map_or(Form::Scalar, |(form, _)| self.sizes.form(form));
        let kind = TypedKind::Map(map, operands);
        Ok(Typed { kind, form, span })
    }

    pub(crate) fn mismatch(&self, what: &str, a: (Form, Span), b: (Form, Span)) -> TextError {
        let (x, y) = (self.sizes.form(a.0), self.sizes.form(b.0));
        let message = format!("`{what}` needs values of one shape, not {x} and {y}");
        let label = format!("this is {y}; expected {x}");
        let error = self
            .error(b.1, message, &label)
            .and(a.1, format!("this is {x}"));
        let missing = x.rank() != y.rank() && x.rank().min(y.rank()) > 0;
        match missing {
            true => error.help(
                "axes of length 1 are broadcast, missing ones are not: `reshape(x, [n, 1])` adds one".into(),
            ),
            false => error,
        }
    }

    /// A shape whose sizes are all numbers.
    pub(crate) fn shape(&self, sizes: &[Expr]) -> Result<Form, TextError> {
        let sizes: Vec<Size> = (sizes.iter())
            .map(|e| self.whole(e).map(Size::Known))
            .collect::<Result<_, _>>()?;
        Ok(Form::of(&sizes))
    }
}

/// Another use of a value that has a number.
pub(crate) fn typed_copy(value: &Typed) -> Typed {
    let TypedKind::Value(id) = value.kind else {
        unreachable!("only values with numbers are used twice");
    };
    Typed {
        kind: TypedKind::Value(id),
        form: value.form,
        span: value.span,
    }
}
