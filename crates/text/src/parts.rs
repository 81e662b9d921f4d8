//! Parts of values: slices, joins, and what is reduced or reordered along axes; and delays.

use retrograd_tape::{Domain, Op, Permutation, Reduction};

use crate::along::Along;
use crate::ast::{Expr, ExprKind, Selection};
use crate::calls::Args;
use crate::error::TextError;
use crate::lower::{Lower, joined};
use crate::sizes::{Form, Size};
use crate::source::Span;
use crate::typed::{Typed, TypedKind, spread_out};

impl Lower<'_> {
    pub(crate) fn concat(&mut self, args: &Args<'_>) -> Result<Typed, TextError> {
        let xs = self.operands(args, args.operands.len().max(1))?;
        let axis = args
            .attribute("axis")
            .map_or(Ok(0), |e| self.axis_of(e, &xs[0]))?;
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
        let [x, range] = self.exprs(args)?;
        let x = self.value(x)?;
        let axis = args
            .attribute("axis")
            .map_or(Ok(0), |e| self.axis_of(e, &x))?;
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
            Some(e) => self.steps(e, "there is no delay of")?,
        };
        let d = self.along_time(d);
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

    /// A part of a value: an index drops its axis, a range keeps it, axes that are not mentioned stay whole.
    pub(crate) fn part(
        &mut self,
        whole: &Expr,
        selections: &[Selection],
        span: Span,
    ) -> Result<Typed, TextError> {
        let mut x = self.value(whole)?;
        let form = self.sizes.form(x.form);
        if selections.is_empty() || selections.len() > form.sizes().len() {
            let message = match &whole.kind {
                ExprKind::Name(name) => format!("`{name}` is {form}"),
                _ => format!("this is {form}"),
            };
            let label = format!(
                "expected an index for each of its {} axes",
                form.sizes().len()
            );
            return Err(self.error(span, message, &label));
        }
        // Axes that are dropped in the end have length 1 until then.
        let mut kept = form.sizes();
        let mut dropped = Vec::new();
        for (axis, selection) in selections.iter().enumerate() {
            let n = kept[axis];
            let (start, len) = match selection {
                Selection::One(e) => {
                    dropped.push(axis);
                    (self.whole(e)?, 1)
                }
                Selection::Range(None, None) => continue,
                Selection::Range(a, b) => {
                    let start = a.as_ref().map_or(Ok(0), |e| self.whole(e))?;
                    let end = match (b, self.sizes.get(n)) {
                        (Some(e), _) => self.whole(e)?,
                        (None, Size::Known(n)) => n,
                        (None, Size::Unknown(_)) => {
                            let message = "nothing says yet how wide this is".to_owned();
                            let label = "expected an end of the range";
                            return Err(self.error(whole.span, message, label));
                        }
                    };
                    let Some(len) = end.checked_sub(start).filter(|&n| n > 0) else {
                        let message = format!("the part {start}..{end} is empty");
                        return Err(self.error(span, message, "expected an end after the start"));
                    };
                    (start, len)
                }
            };
            self.sizes.at_least(n, start.saturating_add(len), span);
            if let Err((at, message, label)) = self.sizes.settle() {
                return Err(self.error(at, message, &label));
            }
            kept[axis] = Size::Known(len);
            x = Typed {
                form: x.form.with_axis(axis, Size::Known(len)),
                kind: TypedKind::Op(Op::Slice { axis, start, len }, vec![x]),
                span,
            };
        }
        let mut axis = 0;
        kept.retain(|_| {
            axis += 1;
            !dropped.contains(&(axis - 1))
        });
        if !dropped.is_empty() {
            x = Typed {
                form: Form::of(&kept),
                kind: TypedKind::Reshape(Box::new(x)),
                span,
            };
        }
        Ok(x)
    }

    /// A reduction of all elements, along `axis=`, or over the points that the domain `to=` lacks. `keep=1` leaves an axis of
    /// length 1.
    pub(crate) fn reduce(&mut self, args: &Args<'_>, kind: Reduction) -> Result<Typed, TextError> {
        let [x] = self.exprs(args)?;
        let x = self.value(x)?;
        let (form, span) = (x.form, args.span);
        let keep = args.attribute("keep").map_or(Ok(0), |e| self.whole(e))? > 0;
        if let Some(to) = args.attribute("to") {
            if let Some(axis) = args.attribute("axis") {
                let message = "a reduction is along an axis or over points".to_owned();
                return Err(self.error(axis.span, message, "expected either `axis=` or `to=`"));
            }
            let domain = self.domain(to)?;
            let kind = match kind {
                Reduction::Sum => TypedKind::Op(Op::SumTo(domain), vec![x]),
                Reduction::Mean => TypedKind::Along(Along::MeanTo(domain), vec![x]),
                Reduction::Max if domain == Domain::Row => {
                    let nameless = self.frame().nameless;
                    let Some(name) = self.frame().equation.clone().filter(|_| !nameless) else {
                        let message = "nothing gives this maximum a name".to_owned();
                        let label = "expected an equation of its own";
                        return Err(self.error(span, message, label));
                    };
                    let mut name = joined(&self.frame().full(&name), "max");
                    let count = self.maxima.entry(name.clone()).or_default();
                    *count += 1;
                    if *count > 1 {
                        name += &format!(".{count}");
                    }
                    TypedKind::Along(Along::MaxOverSteps(name), vec![x])
                }
                Reduction::Max => {
                    let message = "a maximum is over the steps of a row".to_owned();
                    return Err(self.error(to.span, message, "expected `to=row`"));
                }
            };
            return Ok(Typed { kind, form, span });
        }
        let Some(axis) = args.attribute("axis") else {
            return Ok(Typed {
                kind: TypedKind::Op(Op::Reduce(kind), vec![x]),
                form: Form::Scalar,
                span,
            });
        };
        let axis = self.axis_of(axis, &x)?;
        let reduced = Typed {
            kind: TypedKind::Op(Op::ReduceAxis { kind, axis }, vec![x]),
            form: form.without_axis(axis),
            span,
        };
        if !keep {
            return Ok(reduced);
        }
        Ok(Typed {
            kind: TypedKind::Reshape(Box::new(reduced)),
            form: form.with_axis(axis, Size::Known(1)),
            span,
        })
    }

    /// `transpose(M)`, or `transpose(C, [2, 0, 1])` with the order of axes.
    pub(crate) fn transpose(&mut self, args: &Args<'_>) -> Result<Typed, TextError> {
        let (x, order) = match args.operands[..] {
            [x] => (x, None),
            _ => {
                let [x, order] = self.exprs(args)?;
                (x, Some(order))
            }
        };
        let x = self.value(x)?;
        let rank = x.form.rank();
        let axes: Vec<usize> = match order.map(|e| (&e.kind, e.span)) {
            None => (0..rank).rev().collect(),
            Some((ExprKind::Shape(axes), _)) => axes
                .iter()
                .map(|e| self.whole(e))
                .collect::<Result<_, _>>()?,
            Some((_, at)) => {
                let message = "`transpose` needs an order of axes".to_owned();
                return Err(self.error(at, message, "expected it as in [1, 0]"));
            }
        };
        let order = Permutation::new(&axes).filter(|_| axes.len() == rank);
        let Some(order) = order else {
            let message = format!("this is no order of {rank} axes");
            let label = format!("expected each of 0 to {} once", rank.saturating_sub(1));
            return Err(self.error(args.span, message, &label));
        };
        let sizes = x.form.sizes();
        let moved: Vec<Size> = (0..rank).map(|k| sizes[order.axis(k)]).collect();
        Ok(Typed {
            kind: TypedKind::Op(Op::Transpose(order), vec![x]),
            form: Form::of(&moved),
            span: args.span,
        })
    }
}
