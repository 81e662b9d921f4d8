//! Functions of cell files that take more than operands: parts of values, delays, and layers with parameters.

use retrograd_tape::Op;

use crate::ast::{Call, ExprKind, LabelKind};
use crate::calls::Args;
use crate::error::TextError;
use crate::lower::Lower;
use crate::sizes::{Form, Size};
use crate::source::Span;
use crate::typed::{Typed, TypedKind, spread_out};

impl Lower<'_> {
    pub(crate) fn concat(&mut self, args: &Args<'_>) -> Result<Typed, TextError> {
        let axis = self.axis(args)?;
        let xs = self.operands(args, args.operands.len().max(1))?;
        let mut sizes = Vec::new();
        for x in &xs {
            let Some(n) = x.form.axis(axis) else {
                let found = self.sizes.form(x.form);
                let message = format!("{found} has no axis {axis} to join along");
                return Err(self.error(x.span, message, "expected a vector or a matrix"));
            };
            sizes.push(n);
            // All axes except the joined one have equal lengths.
            let alike = x.form.with_axis(axis, sizes[0]);
            if !self.sizes.join_forms(xs[0].form, alike) {
                let [a, b] = [&xs[0], x].map(|x| (x.form, x.span));
                return Err(self.mismatch("concat", a, b));
            }
        }
        let total = self.sizes.sum(sizes, args.span);
        Ok(Typed {
            form: xs[0].form.with_axis(axis, total),
            kind: TypedKind::Op(Op::Concat { axis }, xs),
            span: args.span,
        })
    }

    pub(crate) fn slice(&mut self, args: &Args<'_>) -> Result<Typed, TextError> {
        let axis = self.axis(args)?;
        let [x, range] = self.exprs(args)?;
        let x = self.value(x)?;
        let ExprKind::Range(start, end) = &range.kind else {
            let message = "`slice` needs a range".to_owned();
            let label = "expected first..end, the end not included, as in 2..5";
            return Err(self.error(range.span, message, label));
        };
        let (start, end) = (self.whole(start)?, self.whole(end)?);
        let Some(len) = end.checked_sub(start).filter(|&n| n > 0) else {
            let message = format!("the slice {start}..{end} is empty");
            return Err(self.error(range.span, message, "expected an end after the start"));
        };
        let Some(n) = x.form.axis(axis) else {
            let found = self.sizes.form(x.form);
            let message = format!("{found} has no axis {axis} to slice");
            return Err(self.error(x.span, message, "expected a vector or a matrix"));
        };
        self.sizes.at_least(n, end, range.span);
        Ok(Typed {
            form: x.form.with_axis(axis, Size::Known(len)),
            kind: TypedKind::Op(Op::Slice { axis, start, len }, vec![x]),
            span: args.span,
        })
    }

    /// `delay(x, init, d=2)` and `boundary(x, init, d=2)`.
    pub(crate) fn delay(&mut self, args: &Args<'_>) -> Result<Typed, TextError> {
        let d = match args.attribute("d") {
            None => 1,
            Some(e) => {
                let d = self.number(e)?;
                if d == 0.0 || d.fract() != 0.0 || d.abs() > f64::from(i32::MAX) {
                    let message = format!("there is no delay of {d}");
                    return Err(self.error(e.span, message, "expected whole steps, not 0"));
                }
                d as i32
            }
        };
        let [x, init] = self.exprs(args)?;
        let (x, init) = (self.value(x)?, self.value(init)?);
        let init = match init.form {
            Form::Scalar => spread_out(init, x.form),
            _ => init,
        };
        if !self.sizes.join_forms(x.form, init.form) {
            let function = &args.function.text;
            return Err(self.mismatch(function, (x.form, x.span), (init.form, init.span)));
        }
        let form = x.form;
        let op = match args.function.text.as_str() {
            "delay" => Op::Delay(d),
            _ => Op::Boundary(d),
        };
        Ok(Typed {
            kind: TypedKind::Op(op, vec![x, init]),
            form,
            span: args.span,
        })
    }

    /// The prefix of a layer's parameter names: the name that its equation defines.
    fn layer_name(&mut self, at: Span) -> Result<String, TextError> {
        let error = |me: &Self, message: &str| {
            let label = "expected an equation of its own, whose name its parameters get";
            me.error(at, message.to_owned(), label)
        };
        let Some(name) = self.naming.clone() else {
            return Err(error(self, "nothing gives this layer's parameters a name"));
        };
        if let Some(before) = self.named.replace(at) {
            let message = format!("two layers in one equation would both be called `{name}`");
            return Err(error(self, &message).and(before, "the first".into()));
        }
        Ok(name)
    }

    pub(crate) fn dense(
        &mut self,
        call: &Call,
        span: Span,
        bias: bool,
    ) -> Result<Typed, TextError> {
        let size = match call.sizes.as_deref() {
            None => self.sizes.unknown(),
            Some([n]) => Size::Known(self.whole(n)?),
            Some(_) => {
                let message = "a dense gives a vector".to_owned();
                return Err(self.error(span, message, "expected one size, as in dense[64](x)"));
            }
        };
        let name = self.layer_name(call.function.span)?;
        let mut operands = Vec::new();
        for arg in &call.args {
            let label = match &arg.label {
                None => None,
                Some((name, LabelKind::Operand)) => Some(name.clone()),
                Some((name, LabelKind::Attribute)) => {
                    let message = format!("`dense` has no attribute `{}`", name.text);
                    let label = "expected operands; `h: value` calls one `h`";
                    return Err(self.error(name.span, message, label));
                }
            };
            let value = self.value(&arg.value)?;
            if let Form::Matrix(..) = value.form {
                let found = self.sizes.form(value.form);
                let message = format!("a dense takes vectors, and this is {found}");
                return Err(self.error(value.span, message, "expected a vector or a scalar"));
            }
            operands.push((label, value));
        }
        self.wanted.push((size, call.function.span));
        Ok(Typed {
            form: Form::Vector(size),
            kind: TypedKind::Dense {
                name,
                size,
                operands,
                bias,
            },
            span,
        })
    }

    /// `embedding[10000, 64](word)`
    pub(crate) fn embedding(&mut self, call: &Call, args: &Args<'_>) -> Result<Typed, TextError> {
        let (rows, size) = match call.sizes.as_deref() {
            Some([rows]) => (self.whole(rows)?, self.sizes.unknown()),
            Some([rows, n]) => (self.whole(rows)?, Size::Known(self.whole(n)?)),
            _ => {
                let message = "`embedding` needs the size of its table".to_owned();
                let label = "expected embedding[rows](i) or embedding[rows, n](i)";
                return Err(self.error(call.function.span, message, label));
            }
        };
        let name = self.layer_name(call.function.span)?;
        let index = self.one(args)?;
        let index = Box::new(self.index(index)?);
        self.wanted.push((size, call.function.span));
        Ok(Typed {
            form: Form::Vector(size),
            kind: TypedKind::Embedding {
                name,
                rows,
                size,
                index,
            },
            span: args.span,
        })
    }
}
