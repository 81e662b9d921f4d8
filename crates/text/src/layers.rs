//! Functions of cell files that take more than operands: parts of values, delays, and layers with parameters.

use std::collections::HashSet;

use retrograd_tape::Op;

use crate::ast::{Call, Expr, ExprKind, LabelKind, Selection};
use crate::calls::Args;
use crate::error::TextError;
use crate::lower::{Layer, Lower};
use crate::routine::Place;
use crate::sizes::{Form, Size};
use crate::source::Span;
use crate::typed::{LayerUse, Typed, TypedKind, spread_out};

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
            Some(e) => self.steps(e, "there is no delay of")?,
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

    /// The parameters of a layer that stands here. `operands` are what its operands are called, with their sizes.
    fn parameters_of(
        &mut self,
        call: &Call,
        size: Size,
        operands: Vec<(String, Size)>,
        place: Option<Place>,
    ) -> Result<(LayerUse, Size), TextError> {
        let at = call.function.span;
        let place = self.place(call, place)?;
        let (name, application) = (place.parameters, place.application);
        if let Some(layer) = self.layers.get(&name) {
            if application == 0 || application == layer.application {
                let message = format!("two layers in one equation would both be called `{name}`");
                let label = "expected a name of its own, as in dense(x, name=gate)";
                let error = self.error(at, message, label);
                return Err(error.and(layer.at, "the first".into()));
            }
            let (first, before) = (layer.at, layer.operands.clone());
            let mut sizes = before.iter().zip(&operands);
            let fit = before.len() == operands.len()
                && sizes.all(|((_, a), (_, b))| self.sizes.join(*a, *b));
            let own = self.layers[&name].size;
            if !fit || !self.sizes.join(own, size) {
                let shown = |of: &[(String, Size)]| {
                    let sizes = of.iter().map(|&(_, n)| self.sizes.get(n).to_string());
                    sizes.collect::<Vec<_>>().join(", ")
                };
                let (found, needed) = (shown(&operands), shown(&before));
                let message = format!(
                    "the layer `{name}` takes operands of {needed}, and these are of {found}"
                );
                let label = "expected the sizes of its first use";
                return Err(self
                    .error(at, message, label)
                    .and(first, "the first use".into()));
            }
            return Ok((LayerUse { name, again: true }, own));
        }
        let layer = Layer {
            at,
            application,
            size,
            operands,
        };
        self.layers.insert(name.clone(), layer);
        Ok((LayerUse { name, again: false }, size))
    }

    pub(crate) fn dense(
        &mut self,
        call: &Call,
        span: Span,
        bias: bool,
        place: Option<Place>,
    ) -> Result<Typed, TextError> {
        let size = match call.sizes.as_deref() {
            None => self.sizes.unknown(),
            Some([n]) => Size::Known(self.whole(n)?),
            Some(_) => {
                let message = "a dense gives a vector".to_owned();
                return Err(self.error(span, message, "expected one size, as in dense[64](x)"));
            }
        };
        let mut operands = Vec::new();
        let mut sizes: Vec<(String, Size)> = Vec::new();
        let mut taken = HashSet::from(["bias".to_owned()]);
        for arg in &call.args {
            let given = match &arg.label {
                None => None,
                Some((name, LabelKind::Operand)) => Some(name.text.clone()),
                Some((name, LabelKind::Attribute)) if name.text == "name" => continue,
                Some((name, LabelKind::Attribute)) => {
                    let message = format!("`dense` has no attribute `{}`", name.text);
                    let label = "expected operands; `h: value` calls one `h`";
                    return Err(self.error(name.span, message, label));
                }
            };
            let value = self.value(&arg.value)?;
            let columns = match value.form {
                Form::Scalar => Size::Known(1),
                Form::Vector(n) => n,
                form => {
                    let found = self.sizes.form(form);
                    let message = format!("a dense takes vectors, and this is {found}");
                    let expected = "expected a vector or a scalar";
                    return Err(self.error(value.span, message, expected));
                }
            };
            let i = operands.len();
            let own = given.or_else(|| self.label(&value));
            let mut own = own.map_or(i.to_string(), |own| own.trim_end_matches('\'').to_owned());
            if taken.contains(&own) {
                own = format!("{own}_{i}");
            }
            taken.insert(own.clone());
            sizes.push((own.clone(), columns));
            operands.push((own, value));
        }
        let (layer, size) = self.parameters_of(call, size, sizes, place)?;
        if layer.again {
            let first = &self.layers[&layer.name].operands;
            for ((own, _), (name, _)) in operands.iter_mut().zip(first) {
                own.clone_from(name);
            }
        } else {
            for (own, value) in &operands {
                let full = format!("{}.{own}", layer.name);
                let columns = match value.form {
                    Form::Vector(n) => n,
                    _ => Size::Known(1),
                };
                self.know_parameter(&full, &full, Form::Matrix(size, columns));
            }
            if bias {
                let full = format!("{}.bias", layer.name);
                self.know_parameter(&full, &full, Form::Vector(size));
            }
        }
        self.wanted.push((size, call.function.span));
        Ok(Typed {
            form: Form::Vector(size),
            kind: TypedKind::Dense {
                layer,
                size,
                operands,
                bias,
            },
            span,
        })
    }

    /// `embedding[10000, 64](word)`
    pub(crate) fn embedding(
        &mut self,
        call: &Call,
        span: Span,
        place: Option<Place>,
    ) -> Result<Typed, TextError> {
        let (rows, size) = match call.sizes.as_deref() {
            Some([rows]) => (self.whole(rows)?, self.sizes.unknown()),
            Some([rows, n]) => (self.whole(rows)?, Size::Known(self.whole(n)?)),
            _ => {
                let message = "`embedding` needs the size of its table".to_owned();
                let label = "expected embedding[rows](i) or embedding[rows, n](i)";
                return Err(self.error(call.function.span, message, label));
            }
        };
        let args = self.args(call, span)?;
        let index = self.one(&args)?;
        let index = Box::new(self.index(index)?);
        let (layer, size) = self.parameters_of(call, size, Vec::new(), place)?;
        if !layer.again {
            // The table has the name of the rows that are looked up in it.
            let form = Form::Matrix(Size::Known(rows), size);
            self.know_parameter(&format!("{}.table", layer.name), &layer.name, form);
        }
        self.wanted.push((size, call.function.span));
        Ok(Typed {
            form: Form::Vector(size),
            kind: TypedKind::Embedding {
                layer,
                rows,
                size,
                index,
            },
            span,
        })
    }
}
