//! Calls of functions, and of cells as layers: each is expanded where it is used.

use std::collections::{BTreeMap, HashMap};

use crate::ast::{Arg, Call, Expr, ExprKind, LabelKind, Name, Statement};
use crate::calls::{LAYERS, is_built_in};
use crate::error::TextError;
use crate::library::{Routine, RoutineKind};
use crate::lower::{Frame, Lower};
use crate::source::Span;
use crate::typed::{Action, Typed, TypedKind};

/// The most functions and cells that may use each other in a row.
const DEEPEST: usize = 64;

/// Where a layer's names come from.
pub(crate) struct Place {
    /// What its parameters' names begin with.
    pub(crate) parameters: String,
    /// What its values' and states' names begin with.
    pub(crate) values: String,
    /// The application of a shared layer that it is a part of, or 0.
    pub(crate) application: usize,
}

/// What a layer of a stack reads.
pub(crate) struct Below {
    /// Its first operand.
    pub(crate) value: Typed,
    /// It runs the other way than the stack.
    pub(crate) back: bool,
}

impl<'f> Lower<'f> {
    /// Resolves the call of a shared layer, a function or a cell; `None` if the name is none of these.
    pub(crate) fn call_defined(
        &mut self,
        call: &Call,
        span: Span,
    ) -> Result<Option<Typed>, TextError> {
        let name = call.function.text.as_str();
        if let Some(layer) = self.frame().layers.get(name).cloned() {
            if call.sizes.is_some() {
                let message = format!("the size of `{name}` is given where it is declared");
                return Err(self.error(call.function.span, message, "expected only operands"));
            }
            self.applications += 1;
            // Only values and states are called after the place of use.
            let function = layer.call.function.text.as_str();
            let plain = function != "conv" && self.defined(function).is_none();
            let place = Place {
                parameters: layer.name,
                values: match plain {
                    true => String::new(),
                    false => self.place_of_use(call, call.function.span)?,
                },
                application: self.applications,
            };
            let call = Call {
                function: layer.call.function.clone(),
                sizes: layer.call.sizes.clone(),
                args: layer.call.args.iter().chain(&call.args).cloned().collect(),
            };
            return self.layer(&call, span, Some(place)).map(Some);
        }
        match self.defined(name) {
            Some(_) => self.layer(call, span, None).map(Some),
            None => Ok(None),
        }
    }

    /// The function or cell of this name; inside of one that is called like a built-in function, the name means that.
    pub(crate) fn defined(&self, name: &str) -> Option<&'f Routine> {
        let library = self.library;
        let found = library.find(self.frame().routine.file(), name)?;
        let itself = std::ptr::eq(found, self.frame().routine);
        (!itself || !is_built_in(name)).then_some(found)
    }

    /// True if a function of this name has parameters, or may have.
    pub(crate) fn is_layer(&self, name: &str) -> bool {
        LAYERS.contains(&name) || self.defined(name).is_some()
    }

    fn layer(&mut self, call: &Call, span: Span, place: Option<Place>) -> Result<Typed, TextError> {
        match (
            self.defined(&call.function.text),
            call.function.text.as_str(),
        ) {
            (Some(routine), _) => self.expand(routine, call, span, (place, None)),
            (None, "embedding") => self.embedding(call, span, place),
            (None, "conv") => self.conv(call, span, place),
            (None, function) => self.dense(call, span, function == "dense", place),
        }
    }

    /// What the names of values and states begin with where a call is expanded: the present equation's name, or the one
    /// that the call gives.
    fn place_of_use(&self, call: &Call, at: Span) -> Result<String, TextError> {
        let name = self.local_name(call, at)?;
        Ok(self.frame().full(&name))
    }

    fn has_name(&self, call: &Call) -> bool {
        let frame = self.frame();
        !frame.nameless && (frame.equation.is_some() || own_name(call).is_some())
    }

    /// The name that a layer gets: the present equation's, or the one that the call gives by `name=`.
    pub(crate) fn local_name(&self, call: &Call, at: Span) -> Result<String, TextError> {
        let own = own_name(call).filter(|_| !self.frame().nameless);
        match own.map(|e| (&e.kind, e.span)) {
            Some((ExprKind::Name(name), _)) => Ok(name.clone()),
            Some((_, at)) => {
                let message = "a layer's name is a word".to_owned();
                Err(self.error(at, message, "expected a name, as in name=gate"))
            }
            None => (self.frame().equation.clone())
                .filter(|_| !self.frame().nameless)
                .ok_or_else(|| {
                    let message = "nothing gives this layer's parameters a name".to_owned();
                    let label = "expected an equation of its own, whose name its parameters get";
                    self.error(at, message, label)
                }),
        }
    }

    /// Where a layer's names come from, unless a shared layer says so.
    pub(crate) fn place(&self, call: &Call, place: Option<Place>) -> Result<Place, TextError> {
        if let Some(place) = place {
            return Ok(place);
        }
        let name = self.local_name(call, call.function.span)?;
        let frame = self.frame();
        Ok(Place {
            parameters: frame.full_parameter(&name),
            values: frame.full(&name),
            application: frame.application,
        })
    }

    /// Expands a function or a cell that is known to be there, as a layer of a stack.
    pub(crate) fn expand_named(
        &mut self,
        call: &Call,
        span: Span,
        place: Place,
        below: Option<Below>,
    ) -> Result<Typed, TextError> {
        let routine = self.defined(&call.function.text);
        let routine = routine.expect("a stack looks its cell up first");
        self.expand(routine, call, span, (Some(place), below))
    }

    /// Expands a function or a cell.
    fn expand(
        &mut self,
        routine: &'f Routine,
        call: &Call,
        span: Span,
        (place, below): (Option<Place>, Option<Below>),
    ) -> Result<Typed, TextError> {
        let name = &routine.name.text;
        let again = self.frames.iter().any(|f| std::ptr::eq(f.routine, routine));
        if again || self.frames.len() > DEEPEST {
            let message = match again {
                true => format!("`{name}` uses itself"),
                false => format!("more than {DEEPEST} functions use each other in a row"),
            };
            let error = self.error(call.function.span, message, "expected another function");
            return Err(error.and(routine.name.span, "defined here".into()));
        }
        self.deeper(span)?;
        let mut frame = Frame::new(routine);
        frame.call = Some(span);
        // A function without parameters and states needs no name, and stands anywhere.
        let named = place.is_some() || self.has_name(call);
        let is_function = matches!(routine.kind, RoutineKind::Function { .. });
        if named || !is_function {
            let place = self.place(call, place)?;
            (frame.parameters, frame.prefix) = (place.parameters, place.values);
            frame.application = place.application;
        } else {
            frame.prefix = self.frame().full(name);
            frame.nameless = true;
        }
        let back = below.as_ref().is_some_and(|b| b.back);
        frame.reversed = self.frame().reversed ^ self.reverses(routine, call)? ^ back;
        let operands = self.bind_operands(routine, call, span, below)?;
        let mut given = self.called_sizes(routine, call)?;
        self.sizes_of_operands(routine, &operands, &mut given);
        if is_function && self.frame().routine.file() == routine.file() {
            frame.sizes = self.frame().sizes.clone();
            // A function's own names hide the cell's sizes.
            frame.dims.clone_from(&frame.sizes);
            let mut own = routine.operands();
            routine.statements.iter().for_each(|s| s.gives(&mut own));
            for name in own {
                frame.dims.remove(&name.text);
            }
        }
        self.frames.push(frame);
        let result = self.body(routine, operands, &given)?;
        self.frames.pop();
        self.depth -= 1;
        // Outside, the result is not called what it is called inside.
        let form = result.form;
        let id = self.number_value(form, None);
        self.actions.push(Action::Define {
            id,
            name: None,
            value: result,
        });
        let kind = TypedKind::Value(id);
        Ok(Typed { kind, form, span })
    }

    /// Expands the cell of a file as a layer of these operands.
    pub(crate) fn expand_main(
        &mut self,
        routine: &'f Routine,
        name: &str,
        operands: Vec<Typed>,
        (overrides, reversed): (&[(&'f str, usize)], bool),
    ) -> Result<Typed, TextError> {
        let mut frame = Frame::new(routine);
        frame.reversed = reversed;
        (frame.parameters, frame.prefix) = (name.to_owned(), name.to_owned());
        self.frames.push(frame);
        let formal = routine.operands();
        if formal.len() != operands.len() {
            let names: Vec<&str> = formal.iter().map(|n| n.text.as_str()).collect();
            let message = format!(
                "`{}` takes {} operands, not {}",
                routine.name.text,
                formal.len(),
                operands.len()
            );
            let label = format!("expected {}", names.join(", "));
            return Err(self.error(routine.name.span, message, &label));
        }
        let mut given = BTreeMap::new();
        for &(name, n) in overrides {
            if !routine.dims.iter().any(|(dim, _)| dim.text == name) {
                return Err(self.no_dimension(routine.name.span, name));
            }
            given.insert(name, n as f64);
        }
        self.sizes_of_operands(routine, &operands, &mut given);
        self.body(routine, operands, &given)
    }

    /// Expands a routine in a frame of its own, which is the last.
    fn body(
        &mut self,
        routine: &'f Routine,
        operands: Vec<Typed>,
        given: &BTreeMap<&str, f64>,
    ) -> Result<Typed, TextError> {
        self.dimensions(given)?;
        if let RoutineKind::Cell = routine.kind {
            let frame = self.frame_mut();
            frame.sizes.clone_from(&frame.dims);
        }
        for (name, value) in routine.operands().into_iter().zip(operands) {
            self.check_operand(routine, name, &value)?;
            self.pass(name, value);
        }
        match &routine.kind {
            RoutineKind::Function { result, .. } => {
                let statements: Vec<_> = routine.statements.iter().collect();
                self.block(&statements)?;
                self.equation("", result)
            }
            RoutineKind::Cell => {
                let Some((name, value)) = first_output(routine) else {
                    let message = format!("the cell `{}` has no output", routine.name.text);
                    let label = "expected a line `output …` in it";
                    return Err(self.error(routine.name.span, message, label));
                };
                let statements = core(routine, name, value);
                self.block(&statements)?;
                match self.frame().scope.get(&name.text) {
                    Some(&(id, span)) => {
                        let (kind, form) = (TypedKind::Value(id), self.values[id.0].form);
                        Ok(Typed { kind, form, span })
                    }
                    None => self.equation(&name.text, value),
                }
            }
        }
    }

    /// The values of a call's operands, in the order in which the routine has them.
    fn bind_operands(
        &mut self,
        routine: &Routine,
        call: &Call,
        span: Span,
        below: Option<Below>,
    ) -> Result<Vec<Typed>, TextError> {
        let name = &routine.name.text;
        let formal = routine.operands();
        let mut found: Vec<Option<Typed>> = formal.iter().map(|_| None).collect();
        let listed = || {
            let names: Vec<&str> = formal.iter().map(|n| n.text.as_str()).collect();
            format!("expected {}", names.join(", "))
        };
        let mut next = 0;
        if let (Some(below), Some(first)) = (below, found.first_mut()) {
            *first = Some(below.value);
            next = 1;
        }
        for Arg { label, value } in &call.args {
            let k = match label {
                Some((_, LabelKind::Attribute)) => continue,
                None => {
                    next += 1;
                    next - 1
                }
                Some((label, LabelKind::Operand)) => {
                    match formal.iter().position(|n| n.text == label.text) {
                        Some(k) => k,
                        None => {
                            let message = format!("`{name}` has no operand `{}`", label.text);
                            return Err(self.error(label.span, message, &listed()));
                        }
                    }
                }
            };
            let value = self.value(value)?;
            match found.get_mut(k) {
                Some(place @ None) => *place = Some(value),
                Some(Some(_)) => {
                    let message = format!("the operand `{}` is given twice", formal[k].text);
                    return Err(self.error(value.span, message, &listed()));
                }
                None => {
                    let message = format!("`{name}` takes {} operands", formal.len());
                    return Err(self.error(value.span, message, &listed()));
                }
            }
        }
        if let Some(k) = found.iter().position(Option::is_none) {
            let message = format!("`{name}` needs the operand `{}`", formal[k].text);
            return Err(self.error(span, message, &listed()));
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// That the operand of a cell has the shape that the cell declares.
    fn check_operand(
        &mut self,
        routine: &Routine,
        operand: &Name,
        value: &Typed,
    ) -> Result<(), TextError> {
        let declared = routine.statements.iter().find_map(|s| match s {
            Statement::Input { name, shape, .. } if name.text == operand.text => Some(shape),
            _ => None,
        });
        let (Some(shape), RoutineKind::Cell) = (declared, &routine.kind) else {
            return Ok(());
        };
        let form = self.shape(shape)?;
        if self.sizes.join_forms(value.form, form) {
            return Ok(());
        }
        let (found, form) = (self.sizes.form(value.form), self.sizes.form(form));
        let message = format!(
            "the operand `{}` of `{}` is {form}, and this is {found}",
            operand.text, routine.name.text
        );
        let error = self.error(value.span, message, &format!("expected {form}"));
        Err(error.and(operand.span, "declared here".into()))
    }
}

/// What a call gives by `name=`.
fn own_name(call: &Call) -> Option<&Expr> {
    call.args.iter().find_map(|arg| match &arg.label {
        Some((label, LabelKind::Attribute)) if label.text == "name" => Some(&arg.value),
        _ => None,
    })
}

fn first_output(routine: &Routine) -> Option<(&Name, &Expr)> {
    routine.statements.iter().find_map(|s| match s {
        Statement::Output { name, value } => Some((name, value)),
        _ => None,
    })
}

/// The lines of a cell that its first output needs: losses, targets and what only they need are left out.
fn core<'f>(routine: &'f Routine, name: &'f Name, output: &'f Expr) -> Vec<&'f Statement> {
    let mut lines: HashMap<&str, Vec<usize>> = HashMap::new();
    for (k, s) in routine.statements.iter().enumerate() {
        for name in s.defines() {
            lines.entry(&name.text).or_default().push(k);
        }
        // An output gives its name to the lines below, unless a line above does.
        if let Statement::Output { name, .. } = s {
            lines.entry(&name.text).or_insert_with(|| vec![k]);
        }
        // An initial value belongs to the layer or parameter that it is about.
        if let Statement::Init { name, .. } = s {
            let head = name.text.split('.').next().unwrap_or_default();
            lines.entry(head).or_default().push(k);
        }
    }
    let mut needed = vec![false; routine.statements.len()];
    let mut names = Vec::new();
    output.names(&mut names);
    names.push(&name.text);
    while let Some(name) = names.pop() {
        let bare = name.trim_end_matches('\'');
        let head = name.split('.').next().unwrap_or_default();
        for name in [name, bare, head] {
            for &k in lines.get(name).into_iter().flatten() {
                if std::mem::replace(&mut needed[k], true) {
                    continue;
                }
                let s = &routine.statements[k];
                s.names(&mut names);
                if let Statement::State(s) = s {
                    let next = lines.get(format!("{}'", s.name.text).as_str());
                    let next = next.into_iter().flatten();
                    names.extend(
                        next.flat_map(|&k| routine.statements[k].defines())
                            .map(|n| &*n.text),
                    );
                }
            }
        }
    }
    let kept = routine.statements.iter().zip(needed);
    kept.filter_map(|(s, needed)| needed.then_some(s)).collect()
}
