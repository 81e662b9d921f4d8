//! Layers, which have parameters: dense layers, embeddings, convolutions over time.

use std::collections::HashSet;

use retrograd_tape::{Init, Map, Op};

use crate::ast::{Call, LabelKind, Name};
use crate::error::TextError;
use crate::lower::{Layer, Lower};
use crate::routine::Place;
use crate::sizes::{Form, Size};
use crate::source::Span;
use crate::typed::{Action, Beginning, DenseOperand, LayerUse, Typed, TypedKind};
use crate::values::typed_copy;

/// The longest filter of a convolution, in steps.
const LONGEST_FILTER: usize = 256;

impl Lower<'_> {
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
        let (heads, size) = self.dense_sizes(call, span)?;
        let (heads, mut operands) = self.dense_operands(call, heads)?;
        let sizes: Vec<(String, Size)> = (operands.iter())
            .map(|operand| (operand.own.clone(), operand.columns))
            .collect();
        let (layer, size) = self.parameters_of(call, size, sizes.clone(), place)?;
        if layer.again {
            let first = &self.layers[&layer.name].operands;
            for (operand, (name, _)) in operands.iter_mut().zip(first) {
                operand.own.clone_from(name);
            }
        } else {
            for (own, columns) in &sizes {
                let full = format!("{}.{own}", layer.name);
                let form = with_heads(heads, &[size, *columns]);
                self.know_parameter(&full, &full, form);
            }
            if bias {
                let full = format!("{}.bias", layer.name);
                self.know_parameter(&full, &full, with_heads(heads, &[size]));
            }
        }
        self.wanted.push((size, call.function.span));
        Ok(Typed {
            form: with_heads(heads, &[size]),
            kind: TypedKind::Dense {
                layer,
                heads,
                size,
                operands,
                bias,
            },
            span,
        })
    }

    /// The number of heads and the width that a dense layer gives in brackets.
    fn dense_sizes(&mut self, call: &Call, span: Span) -> Result<(Option<Size>, Size), TextError> {
        Ok(match call.sizes.as_deref() {
            None => (None, self.sizes.unknown()),
            Some([n]) => (None, Size::Known(self.whole(n)?)),
            Some([heads, n]) => {
                let heads = Size::Known(self.whole(heads)?);
                (Some(heads), Size::Known(self.whole(n)?))
            }
            Some(_) => {
                let message = "a dense gives a vector, or one per head".to_owned();
                let label = "expected one size, as in dense[64](x), or two, as in dense[4, 16](x)";
                return Err(self.error(span, message, label));
            }
        })
    }

    /// The operands of a dense layer, each with the columns of its matrix, and its number of heads: with two sizes, or operands
    /// of two axes, each head has a product of its own.
    fn dense_operands(
        &mut self,
        call: &Call,
        mut heads: Option<Size>,
    ) -> Result<(Option<Size>, Vec<DenseOperand>), TextError> {
        let (mut values, mut operands) = (Vec::new(), Vec::new());
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
            if let Form::Matrix(h, _) = value.form {
                heads.get_or_insert(h);
            }
            values.push((given, value));
        }
        for (i, (given, value)) in values.into_iter().enumerate() {
            let columns = self.columns(heads, &value)?;
            let labelled = given.is_some();
            let own = given.or_else(|| self.label(&value));
            let mut own = own.map_or(i.to_string(), |own| own.trim_end_matches('\'').to_owned());
            while !taken.insert(own.clone()) {
                own = format!("{own}_{i}");
            }
            operands.push(DenseOperand {
                own,
                labelled,
                columns,
                value,
            });
        }
        Ok((heads, operands))
    }

    /// How many columns the matrix of a dense layer's operand has. All heads take the same vector.
    fn columns(&mut self, heads: Option<Size>, value: &Typed) -> Result<Size, TextError> {
        let columns = match (heads, value.form) {
            (_, Form::Scalar) => Some(Size::Known(1)),
            (_, Form::Vector(n)) => Some(n),
            (Some(heads), Form::Matrix(h, n)) => self.sizes.join(heads, h).then_some(n),
            _ => None,
        };
        let Some(columns) = columns else {
            let found = self.sizes.form(value.form);
            let (message, expected) = match heads.map(|h| self.sizes.get(h)) {
                None => (
                    format!("a dense takes vectors, and this is {found}"),
                    "expected a vector or a scalar".to_owned(),
                ),
                Some(h) => (
                    format!("a dense of {h} heads takes a vector of each, and this is {found}"),
                    format!("expected [{h},n], or a vector for all heads"),
                ),
            };
            return Err(self.error(value.span, message, &expected));
        };
        Ok(columns)
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

    /// `conv[4](x)`: each element's own filter over the last steps (a depthwise causal convolution), Σ kernel[k] x(t − k) + bias.
    /// The steps before the first are states, `<name>.1` to `<name>.3`.
    pub(crate) fn conv(
        &mut self,
        call: &Call,
        span: Span,
        place: Option<Place>,
    ) -> Result<Typed, TextError> {
        let width = match call.sizes.as_deref() {
            Some([width]) => self.whole(width)?,
            _ => 0,
        };
        if !(1..=LONGEST_FILTER).contains(&width) {
            let message = "`conv` needs the length of its filter".to_owned();
            let label = format!("expected 1 to {LONGEST_FILTER} steps, as in conv[4](x)");
            return Err(self.error(call.function.span, message, &label));
        }
        let args = self.args(call, span)?;
        let x = self.one(&args)?;
        let n = self.length("conv", &x)?;
        let place = self.place(call, place)?;
        let values = place.values.clone();
        let (layer, _) = self.parameters_of(call, n, Vec::new(), Some(place))?;
        let forms = [
            ("kernel", Form::Matrix(Size::Known(width), n)),
            ("bias", Form::Vector(n)),
        ];
        let [kernel, bias] = forms.map(|(own, form)| {
            let name = format!("{}.{own}", layer.name);
            if !layer.again {
                self.know_parameter(&name, &name, form);
                let name = Name {
                    text: name.clone(),
                    span,
                };
                let (id, start) = (
                    self.number_value(form, None),
                    Init::Uniform(1.0 / (width as f64).sqrt()),
                );
                self.actions.push(Action::Param {
                    id,
                    name,
                    form,
                    start,
                });
            }
            let kind = TypedKind::Parameter(name);
            Typed { kind, form, span }
        });
        let form = Form::Vector(n);
        let mut sum = bias;
        let now = self.once(x);
        let kernel = self.once(kernel);
        for k in 0..width {
            self.spend(span)?;
            let past = match k {
                0 => typed_copy(&now),
                _ => {
                    let delay = self.along_time(k as i32);
                    self.earlier(&now, delay, format!("{values}.{k}"))
                }
            };
            let row = Typed {
                kind: TypedKind::Op(
                    Op::Slice {
                        axis: 0,
                        start: k,
                        len: 1,
                    },
                    vec![typed_copy(&kernel)],
                ),
                form: Form::Matrix(Size::Known(1), n),
                span,
            };
            let row = Typed {
                kind: TypedKind::Reshape(Box::new(row)),
                form,
                span,
            };
            let product = TypedKind::Map(Map::Mul, vec![row, past]);
            let product = Typed {
                kind: product,
                form,
                span,
            };
            sum = Typed {
                kind: TypedKind::Map(Map::Add, vec![sum, product]),
                form,
                span,
            };
        }
        Ok(sum)
    }

    /// The value `delay` steps earlier, by a state of this name.
    fn earlier(&mut self, x: &Typed, delay: i32, name: String) -> Typed {
        let (form, span) = (x.form, x.span);
        let state = self.number_value(form, None);
        let next = self.number_value(form, None);
        self.actions.push(Action::State {
            id: state,
            name: Name {
                text: name.clone(),
                span,
            },
            form,
            delay,
            init: Beginning::Given,
        });
        self.actions.push(Action::Next {
            id: next,
            state,
            name: Name {
                text: format!("{name}'"),
                span,
            },
            value: typed_copy(x),
        });
        let kind = TypedKind::Value(state);
        Typed { kind, form, span }
    }
}

/// A form, with an axis for heads in front if there are any.
fn with_heads(heads: Option<Size>, sizes: &[Size]) -> Form {
    let sizes: Vec<Size> = heads.into_iter().chain(sizes.iter().copied()).collect();
    Form::of(&sizes)
}
