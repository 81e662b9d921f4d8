//! Records the contents of a cell file.

use std::collections::HashMap;
use std::sync::Arc;

use retrograd_tape::{Op, Place, Recorder, Shape, Tape, Var};

use crate::ast::Name;
use crate::error::TextError;
use crate::library::CellFile;
use crate::lower::{Lowered, lower, lower_layer};
use crate::parse::parse_cell;
use crate::sizes::{Form, Size, SizeSolver};
use crate::source::{Source, Span};
use crate::target::{Initial, RecordTarget, dense_shape, product};
use crate::typed::{Action, Beginning, LayerUse, Typed, TypedKind, ValueId};

/// Places of a recorded cell's parts in its file, for mistakes that only appear when the recording is finished.
#[derive(Debug)]
pub struct SourceMap {
    /// The cell's file, and those that it uses.
    sources: Vec<Arc<Source>>,
    /// The cell's name, in its head.
    head: Span,
    names: HashMap<String, Span>,
    /// The first value that did not fit.
    poisoned: Option<Span>,
}

impl SourceMap {
    /// How many texts there are.
    pub fn texts(&self) -> u32 {
        self.sources.iter().map(|s| s.file + 1).max().unwrap_or(0)
    }

    /// The part of a text at a place, after the text's name.
    pub fn part(&self, place: Place) -> Option<(&str, &str)> {
        let source = self.sources.iter().find(|s| s.file == place.file)?;
        let part = source.text.get(place.start..place.end)?;
        Some((&source.name, part))
    }

    /// A message about a place that something was recorded from. `None` if these texts have no such place.
    pub fn shown(&self, place: Place, message: String, label: String) -> Option<TextError> {
        self.part(place)?;
        let source = self.sources.iter().find(|s| s.file == place.file)?;
        Some(TextError::new(source, place.into(), message, label))
    }

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
        let source = &self.sources[at.file as usize];
        let error = TextError::new(source, at, message.to_owned(), "here".into());
        let error = error.among(&self.sources);
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
    let mut build = Build::new(file, &lowered, target);
    build.first = Some(0);
    build.actions(&lowered.actions);
    // What is added in the end comes from the losses.
    target.at_place(build.loss.map(Place::from));
    Ok(build.places)
}

/// Records a cell as a layer: its inputs are the operands, in order, and its first output is the result. Targets, weights and
/// losses are left out, with what only they need. The names of states and parameters begin with `name` and a dot, unless it
/// is empty. `reversed`, its states run from the end of a row to its beginning.
///
/// # Errors
/// As [`record`]; also if the operands are not those of the cell.
pub fn record_layer<'t, T: RecordTarget>(
    file: &CellFile,
    name: &str,
    operands: &[Var<'t>],
    (overrides, reversed): (&[(&str, usize)], bool),
    target: &'t T,
) -> Result<Option<Var<'t>>, TextError> {
    let Some(shapes) = operands
        .iter()
        .map(|x| x.shape())
        .collect::<Option<Vec<Shape>>>()
    else {
        return Ok(None);
    };
    let lowered = lower_layer(file, name, &shapes, (overrides, reversed))?;
    let mut build = Build::new(file, &lowered, target);
    for (place, &operand) in build.values.iter_mut().zip(operands) {
        *place = Some(operand);
    }
    build.first = Some(target.first_text());
    let done = build.actions(&lowered.actions);
    let result = match &lowered.result {
        Some(result) => done.and_then(|()| build.value(result)),
        None => None,
    };
    target.keep(build.places);
    Ok(result)
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
    values: Vec<Option<Var<'t>>>,
    /// Parameters that were looked up.
    parameters: HashMap<String, Var<'t>>,
    places: SourceMap,
    /// Everything that is recorded gets its place in the texts, the first of which has this number.
    first: Option<u32>,
    /// The last loss.
    loss: Option<Span>,
}

impl<'t, 'l, T: RecordTarget> Build<'t, 'l, T> {
    fn new(file: &CellFile, lowered: &'l Lowered, target: &'t T) -> Self {
        Build {
            target,
            sizes: &lowered.sizes,
            values: vec![None; lowered.values],
            parameters: HashMap::new(),
            places: SourceMap {
                sources: file.library.sources().cloned().collect(),
                head: file.main().name.span,
                names: HashMap::new(),
                poisoned: None,
            },
            first: None,
            loss: None,
        }
    }

    /// Records at a place of the text.
    fn located<R>(&mut self, at: Span, record: impl FnOnce(&mut Self) -> R) -> R {
        let Some(first) = self.first else {
            return record(self);
        };
        let place = Place::from(at);
        let file = first.saturating_add(place.file);
        let before = self.target.at_place(Some(Place { file, ..place }));
        let recorded = record(self);
        self.target.at_place(before);
        recorded
    }

    /// Records actions up to the first that does not fit.
    fn actions(&mut self, actions: &[Action]) -> Option<()> {
        actions.iter().try_for_each(|action| self.action(action))
    }

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
        let at = match action {
            Action::Input { name, .. }
            | Action::Mask { name, .. }
            | Action::Param { name, .. }
            | Action::State { name, .. }
            | Action::Init { name, .. } => Some(name.span),
            Action::Define { value, .. }
            | Action::Next { value, .. }
            | Action::Output { value, .. }
            | Action::Loss(value, _)
            | Action::Weight(value) => Some(value.span),
            Action::SumLoss => None,
        };
        match at {
            Some(at) => self.located(at, |build| build.record(action)),
            None => self.record(action),
        }
    }

    fn record(&mut self, action: &Action) -> Option<()> {
        let target = self.target;
        match action {
            Action::Input {
                id,
                role,
                name,
                form,
                range,
                domain,
            } => {
                let mut v = target.input(&name.text, *role, self.shape(*form), *domain);
                if let Some(range) = range {
                    v = v.bounded(range.clone());
                }
                self.bind(*id, name, v)?;
            }
            Action::Mask {
                id,
                name,
                form,
                keep,
                domain,
            } => {
                let v = target.mask(&name.text, self.shape(*form), *keep, *domain);
                self.bind(*id, name, v)?;
            }
            Action::Param {
                id,
                name,
                form,
                start,
            } => {
                let v = target.param(&name.text, self.shape(*form), start.clone());
                self.bind(*id, name, v)?;
            }
            Action::State {
                id,
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
                self.bind(*id, name, v)?;
            }
            Action::Init { name, start } => {
                self.places.names.insert(name.text.clone(), name.span);
                target.init(&name.text, start.clone());
            }
            Action::Define { id, name, value } => {
                let v = self.value(value)?;
                match name {
                    Some(name) => self.bind(*id, name, v.named(&name.text))?,
                    None => self.values[id.0] = Some(self.made(v, value.span)?),
                }
            }
            Action::Next {
                id,
                state,
                name,
                value,
            } => {
                let v = self.value(value)?;
                let v = target.next(self.at(*state)?, v);
                self.places.names.insert(name.text.clone(), value.span);
                self.values[id.0] = Some(self.made(v, value.span)?);
            }
            Action::Output { name, value } => {
                let v = self.value(value)?;
                self.places.names.insert(name.text.clone(), name.span);
                target.output(&name.text, v);
            }
            Action::Loss(value, weight) => {
                self.loss = Some(value.span);
                let value = self.value(value)?;
                let weight = match weight {
                    Some(weight) => Some(self.value(weight)?),
                    None => None,
                };
                target.loss(value, weight);
            }
            Action::Weight(value) => target.weight(self.value(value)?),
            Action::SumLoss => target.sum_loss(),
        }
        Some(())
    }

    fn bind(&mut self, id: ValueId, name: &Name, v: Var<'t>) -> Option<()> {
        self.places.names.insert(name.text.clone(), name.span);
        self.values[id.0] = Some(self.made(v, name.span)?);
        Some(())
    }

    /// The value under a number, which an earlier action recorded.
    fn at(&self, id: ValueId) -> Option<Var<'t>> {
        self.values[id.0]
    }

    /// A parameter that an earlier action or layer made.
    fn parameter(&mut self, name: &str) -> Option<Var<'t>> {
        if let Some(&v) = self.parameters.get(name) {
            return Some(v);
        }
        let v = self.target.parameter(name)?;
        self.parameters.insert(name.to_owned(), v);
        Some(v)
    }

    /// A dense layer of parameters that an earlier one made.
    fn dense_again(
        &mut self,
        layer: &LayerUse,
        (heads, size): (Option<usize>, usize),
        operands: &[(&str, Var<'t>)],
        bias: bool,
    ) -> Option<Var<'t>> {
        let mut sum: Option<Var<'t>> = None;
        for (own, x) in operands {
            let weight = self.parameter(&format!("{}.{own}", layer.name))?;
            let product = product(weight, *x);
            sum = Some(sum.map_or(product, |sum| sum + product));
        }
        let bias = match bias {
            true => Some(self.parameter(&format!("{}.bias", layer.name))?),
            false => None,
        };
        match (sum, bias) {
            (Some(sum), Some(bias)) => Some(sum + bias),
            (Some(v), None) | (None, Some(v)) => Some(v),
            (None, None) => Some(self.target.constant(0.0, dense_shape(heads, &[size]))),
        }
    }

    fn all(&mut self, xs: &[Typed]) -> Option<Vec<Var<'t>>> {
        xs.iter().map(|x| self.value(x)).collect()
    }

    fn value(&mut self, e: &Typed) -> Option<Var<'t>> {
        self.located(e.span, |build| build.expression(e))
    }

    fn expression(&mut self, e: &Typed) -> Option<Var<'t>> {
        let target = self.target;
        let v = match &e.kind {
            TypedKind::Constant(x) => target.constant(*x, Shape::Scalar),
            TypedKind::Value(id) => self.at(*id)?,
            TypedKind::Parameter(name) => self.parameter(name)?,
            TypedKind::Map(map, xs) => {
                let mut operands = self.all(xs)?;
                let shape = self.shape(e.form);
                for x in &mut operands {
                    if x.shape() != Some(shape) {
                        *x = target.apply(Op::Broadcast(shape), &[*x]);
                    }
                }
                target.apply(Op::Map(*map), &operands)
            }
            TypedKind::Along(f, xs) => f.record(&self.all(xs)?),
            TypedKind::Composite(c, attribute, xs) => Var::composite(c, &self.all(xs)?, *attribute),
            TypedKind::Op(op, xs) => {
                let operands = self.all(xs)?;
                target.apply(*op, &operands)
            }
            TypedKind::Gradient(of) => {
                let [e, w] = [self.value(&of[0])?, self.value(&of[1])?];
                let [slope] = e.gradient([w]);
                slope
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
                layer,
                heads,
                size,
                operands,
                bias,
            } => {
                let heads = heads.map(|h| self.size(h));
                let mut xs = Vec::new();
                for operand in operands {
                    let v = self.value(&operand.value)?;
                    let v = match operand.labelled {
                        true => v.named(&operand.own),
                        false => v,
                    };
                    xs.push((operand.own.as_str(), v));
                }
                match layer.again {
                    true => self.dense_again(layer, (heads, self.size(*size)), &xs, *bias)?,
                    false => target.dense(&layer.name, heads, self.size(*size), &xs, *bias),
                }
            }
            TypedKind::Embedding {
                layer,
                rows,
                size,
                index,
            } => {
                let index = self.value(index)?;
                match layer.again {
                    true => self.parameter(&layer.name)?.gather(index),
                    false => target.embedding(&layer.name, *rows, self.size(*size), index),
                }
            }
        };
        self.made(v, e.span)
    }
}
