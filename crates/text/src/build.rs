//! Records the contents of a cell file.

use std::collections::HashMap;
use std::sync::Arc;

use retrograd_tape::{Op, Recorder, Shape, Tape, Var};

use crate::ast::CellFile;
use crate::error::TextError;
use crate::lower::lower;
use crate::parse::parse_cell;
use crate::sizes::{Form, Size, SizeSolver};
use crate::source::{Source, Span};
use crate::target::{Initial, RecordTarget};
use crate::typed::{Action, Beginning, Typed, TypedKind};

/// Places of a recorded cell's parts in its file, for mistakes that only appear when the recording is finished.
#[derive(Debug)]
pub struct SourceMap {
    source: Arc<Source>,
    /// The cell's name, in its head.
    head: Span,
    names: HashMap<String, Span>,
    /// The first value that did not fit.
    poisoned: Option<Span>,
}

impl SourceMap {
    /// The mistake found on finishing the recording, shown under the value that did not fit, else under `name`, else
    /// under whatever the message names in backticks, else under the cell's name. A position in Rust code at the start
    /// of the message is left out.
    pub fn locate(&self, message: &str, name: Option<&str>) -> TextError {
        let message = without_position(message);
        let spoken = message.split('`').skip(1).step_by(2);
        let named = (name.into_iter().chain(spoken)).filter_map(|n| self.names.get(n).copied());
        let mut places: Vec<Span> = self.poisoned.into_iter().chain(named).collect();
        places.dedup();
        if self.poisoned.is_some() || name.is_some() {
            places.truncate(1);
        }
        let at = places.first().copied().unwrap_or(self.head);
        let error = TextError::new(&self.source, at, message.to_owned(), "here".into());
        (places.iter().skip(1)).fold(error, |error, &also| error.and(also, "and here".into()))
    }
}

/// A message without `src/file.rs:1:2: `.
fn without_position(message: &str) -> &str {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    match message.split_once(": ") {
        Some((place, rest)) => {
            let mut parts = place.rsplitn(3, ':');
            match (parts.next(), parts.next(), parts.next()) {
                (Some(column), Some(line), Some(_)) if digits(column) && digits(line) => rest,
                _ => message,
            }
        }
        None => message,
    }
}

/// Records a cell, optionally with other values for its symbolic dimensions.
///
/// # Errors
/// Unknown names, shapes that do not fit, sizes that nothing determines. Other mistakes (values of incompatible domains,
/// recurrences that run both ways) only appear when the recording is finished; [`SourceMap`] then locates them.
pub fn record<T: RecordTarget>(
    file: &CellFile,
    overrides: &[(&str, usize)],
    target: &T,
) -> Result<SourceMap, TextError> {
    let lowered = lower(file, overrides)?;
    let mut build = Build {
        target,
        sizes: &lowered.sizes,
        values: HashMap::new(),
        places: SourceMap {
            source: file.source.clone(),
            head: file.name.span,
            names: HashMap::new(),
            poisoned: None,
        },
        mislabelled: None,
        becomes: (lowered.actions.iter())
            .filter_map(|action| match action {
                Action::Next { name, value, .. } => match &value.kind {
                    TypedKind::Value(alias) => Some((alias.as_str(), name.text.as_str())),
                    _ => None,
                },
                _ => None,
            })
            .collect(),
    };
    for action in &lowered.actions {
        if build.action(action).is_none() {
            break;
        }
    }
    match build.mislabelled {
        Some(e) => Err(e),
        None => Ok(build.places),
    }
}

/// Reads a cell file and records it on a bare tape.
///
/// # Errors
/// The first mistake, with its line.
pub fn read_tape(name: &str, text: &str, overrides: &[(&str, usize)]) -> Result<Tape, TextError> {
    let file = parse_cell(name, text)?;
    let recorder = Recorder::new();
    let places = record(&file, overrides, &recorder)?;
    recorder
        .finish(file.name())
        .map_err(|e| places.locate(&e.to_string(), None))
}

struct Build<'t, 'l, T> {
    target: &'t T,
    sizes: &'l SizeSolver,
    values: HashMap<String, Var<'t>>,
    places: SourceMap,
    mislabelled: Option<TextError>,
    /// The state whose next value a name stands for, as in `h' = hidden`.
    becomes: HashMap<&'l str, &'l str>,
}

impl<'t, T: RecordTarget> Build<'t, '_, T> {
    fn shape(&self, form: Form) -> Shape {
        self.sizes.shape(form).expect("all sizes are solved")
    }

    fn size(&self, size: Size) -> usize {
        match self.sizes.get(size) {
            Size::Known(n) => n,
            Size::Unknown(_) => unreachable!("all sizes are solved"),
        }
    }

    /// A newly recorded value; `None` if it is poisoned, in which case its place is kept.
    fn made(&mut self, v: Var<'t>, at: Span) -> Option<Var<'t>> {
        if v.value().is_none() {
            self.places.poisoned.get_or_insert(at);
            return None;
        }
        Some(v)
    }

    /// `None` ends the recording: something did not fit.
    fn action(&mut self, action: &Action) -> Option<()> {
        let target = self.target;
        match action {
            Action::Input { role, name, form } => {
                let v = target.input(&name.text, *role, self.shape(*form));
                self.bind(&name.text, v, name.span)?;
            }
            Action::Mask { name, form, keep } => {
                let v = target.mask(&name.text, self.shape(*form), *keep);
                self.bind(&name.text, v, name.span)?;
            }
            Action::Param { name, form, start } => {
                let v = target.param(&name.text, self.shape(*form), *start);
                self.bind(&name.text, v, name.span)?;
            }
            Action::State {
                name,
                form,
                delay,
                init,
            } => {
                let init = match init {
                    Beginning::Given => Initial::Given,
                    Beginning::Learned => Initial::Learned,
                    Beginning::Value(v) => Initial::Value(self.value(v)?),
                };
                let v = target.state(&name.text, self.shape(*form), *delay, init);
                self.bind(&name.text, v, name.span)?;
            }
            Action::Init { name, start } => {
                self.places.names.insert(name.text.clone(), name.span);
                target.init(&name.text, *start);
            }
            Action::Define { name, value } => {
                // The next value of a state is named after the state, as `next` would name it.
                let own = self.becomes.get(name.text.as_str()).copied();
                let v = self.value(value)?.named(own.unwrap_or(&name.text));
                self.bind(&name.text, v, name.span)?;
            }
            Action::Next { state, name, value } => {
                let v = self.value(value)?;
                let v = target.next(self.values[state], v);
                self.bind(&name.text, v, value.span)?;
            }
            Action::Output { name, value } => {
                let v = self.value(value)?;
                self.places.names.insert(name.text.clone(), name.span);
                target.output(&name.text, v);
            }
            Action::Loss(value) => target.loss(self.value(value)?),
            Action::Weight(value) => target.weight(self.value(value)?),
            Action::SumLoss => target.sum_loss(),
        }
        Some(())
    }

    fn bind(&mut self, name: &str, v: Var<'t>, at: Span) -> Option<()> {
        self.places.names.insert(name.to_owned(), at);
        let v = self.made(v, at)?;
        self.values.insert(name.to_owned(), v);
        Some(())
    }

    fn all(&mut self, xs: &[Typed]) -> Option<Vec<Var<'t>>> {
        xs.iter().map(|x| self.value(x)).collect()
    }

    fn value(&mut self, e: &Typed) -> Option<Var<'t>> {
        let target = self.target;
        let v = match &e.kind {
            TypedKind::Constant(x) => target.constant(*x, Shape::Scalar),
            TypedKind::Value(name) => self.values[name],
            TypedKind::Map(map, xs) => {
                let mut operands = self.all(xs)?;
                if e.form != Form::Scalar {
                    for x in &mut operands {
                        if x.shape() == Some(Shape::Scalar) {
                            *x = target.apply(Op::Broadcast(self.shape(e.form)), &[*x]);
                        }
                    }
                }
                target.apply(Op::Map(*map), &operands)
            }
            TypedKind::Square(x) => self.value(x)?.square(),
            TypedKind::Softmax(x) => self.value(x)?.softmax(),
            TypedKind::LayerNorm(x, eps) => self.value(x)?.layer_norm(*eps),
            TypedKind::Composite(c, attribute, xs) => Var::composite(c, &self.all(xs)?, *attribute),
            TypedKind::Op(op, xs) => {
                let operands = self.all(xs)?;
                target.apply(*op, &operands)
            }
            TypedKind::Broadcast(x) => {
                let x = self.value(x)?;
                target.apply(Op::Broadcast(self.shape(e.form)), &[x])
            }
            TypedKind::Reshape(x) => {
                let x = self.value(x)?;
                target.apply(Op::Reshape(self.shape(e.form)), &[x])
            }
            TypedKind::Outer(xs, to) => {
                let [a, b] = [self.value(&xs[0])?, self.value(&xs[1])?];
                match to {
                    Some(to) => target.apply(Op::Outer { to: *to }, &[a, b]),
                    None => a.outer(b),
                }
            }
            TypedKind::Dense {
                name,
                size,
                operands,
                bias,
            } => {
                let mut xs = Vec::new();
                for (label, x) in operands {
                    let v = self.value(x)?;
                    let own = match label {
                        Some(label) => v.named(&label.text).name(),
                        None => None,
                    };
                    if let (Some(label), Some(own)) = (label, own)
                        && *own != *label.text
                    {
                        let message = format!("this value already is called `{own}`");
                        let expected = "expected a value without a name of its own".to_owned();
                        let source = &self.places.source;
                        let error = TextError::new(source, label.span, message, expected);
                        self.mislabelled = Some(error);
                        return None;
                    }
                    xs.push(v);
                }
                target.dense(name, self.size(*size), &xs, *bias)
            }
            TypedKind::Embedding {
                name,
                rows,
                size,
                index,
            } => {
                let index = self.value(index)?;
                target.embedding(name, *rows, self.size(*size), index)
            }
        };
        self.made(v, e.span)
    }
}
