//! Lines: declarations, equations, outputs and losses, and repetitions.

use retrograd_tape::{Init, InputRole};

use crate::ast::{Expr, ExprKind, InitialValue, Name, StateDeclaration, Statement};
use crate::error::{TextError, nearest};
use crate::library::RoutineKind;
use crate::lower::{Lower, Parameter, SharedLayer, joined};
use crate::sizes::Form;
use crate::typed::{Action, Beginning, Typed, TypedKind, ValueId, spread_out};

impl<'f> Lower<'f> {
    /// Expands lines. States that they declare must get their next values there.
    pub(crate) fn block(&mut self, statements: &[&'f Statement]) -> Result<(), TextError> {
        let frame = self.frame_mut();
        // What this block adds is taken back at its end: an iteration must not cost what the lines above it cost.
        let (mut given, mut becomes) = (Vec::new(), Vec::new());
        let waiting = std::mem::take(&mut frame.waiting);
        for &s in statements {
            let names = s.defines().map(|name| name.text.as_str());
            given.extend(names.filter(|name| frame.given.insert(name)));
            if let Statement::Assign { name, value } = s
                && let (Some(state), ExprKind::Name(alias)) =
                    (name.text.strip_suffix('\''), &value.kind)
            {
                becomes.push((alias.as_str(), frame.becomes.insert(alias, state)));
            }
        }
        for &s in statements {
            self.spend(s.span())?;
            self.statement(s)?;
            self.begin_waiting()?;
        }
        if let Some(s) = self.frame().waiting.first()
            && let InitialValue::Value(e) = &s.init
        {
            self.value(e)?;
        }
        for &s in statements {
            let Statement::State(s) = s else { continue };
            let next = format!("{}'", s.name.text);
            if !self.frame().scope.contains_key(&next) {
                let message = format!("the state `{}` has no next value", s.name.text);
                let label = format!("expected an equation `{next} = …`");
                return Err(self.error(s.name.span, message, &label));
            }
        }
        let frame = self.frame_mut();
        frame.waiting = waiting;
        given.iter().for_each(|name| {
            frame.given.remove(name);
        });
        for (alias, before) in becomes.into_iter().rev() {
            match before {
                Some(state) => frame.becomes.insert(alias, state),
                None => frame.becomes.remove(alias),
            };
        }
        Ok(())
    }

    fn statement(&mut self, s: &'f Statement) -> Result<(), TextError> {
        let used = self.frames.len() > 1;
        let in_function = matches!(self.frame().routine.kind, RoutineKind::Function { .. });
        let of_cell = match s {
            Statement::Input { role, .. } => *role != InputRole::Mask,
            Statement::Output { .. } | Statement::Loss(..) => true,
            Statement::Weight(_) | Statement::SumLoss(_) => true,
            _ => false,
        };
        if in_function && of_cell {
            let message = "a function has no inputs, outputs and losses of its own".to_owned();
            return Err(self.error(s.span(), message, "expected it in a cell"));
        }
        match s {
            // A cell that is a layer leaves its losses out, in repetitions, too.
            Statement::Loss(..) | Statement::Weight(_) | Statement::SumLoss(_) if used => {}
            Statement::Input {
                role,
                name,
                shape,
                keep,
                range,
                over,
            } => {
                let more = (keep.as_ref(), range.as_deref(), over.as_ref());
                self.input(*role, name, shape, more)?;
            }
            Statement::Param { name, shape, init } => {
                let form = self.shape(shape)?;
                let start = match init {
                    Some(init) => self.start(init)?,
                    None => Init::FanIn,
                };
                self.param(name, form, start)?;
            }
            Statement::State(state) => {
                if self.ready(state) {
                    self.state(state)?;
                } else {
                    self.frame_mut().waiting.push(state);
                }
            }
            Statement::Init { name, start } => {
                let start = self.start(start)?;
                let full = self.parameter_called(&name.text);
                // A shared layer starts once.
                if self.frame().application > 0 && !self.started.insert(full.clone()) {
                    return Ok(());
                }
                let name = self.called(name, full);
                self.actions.push(Action::Init { name, start });
            }
            Statement::Assign { name, value } => self.assign(name, value)?,
            Statement::Layer { name, call } => {
                let function = &call.function;
                if !self.is_layer(&function.text) {
                    let message = format!("`{}` is no layer", function.text);
                    let label = "expected a layer with parameters, a cell or a function";
                    return Err(self.error(function.span, message, label));
                }
                self.check_free(name)?;
                if self.frame().layers.contains_key(&name.text) {
                    let message = format!("there are two layers `{}`", name.text);
                    return Err(self.error(name.span, message, "expected another name"));
                }
                let layer = SharedLayer {
                    call,
                    name: self.frame().full_parameter(&name.text),
                };
                self.frame_mut().layers.insert(name.text.clone(), layer);
            }
            Statement::For(repetition) => self.repeat(repetition)?,
            Statement::Output { name, value } => self.output(name, value)?,
            Statement::Loss(value, weight) => {
                let value = self.scalar(value, "the loss")?;
                let weight = match weight {
                    Some(weight) => Some(self.scalar(weight, "the loss's weight")?),
                    None => None,
                };
                self.actions.push(Action::Loss(value, weight));
            }
            Statement::Weight(value) => {
                let value = self.scalar(value, "the loss's weight")?;
                self.actions.push(Action::Weight(value));
            }
            Statement::SumLoss(_) => self.actions.push(Action::SumLoss),
        }
        Ok(())
    }

    /// A name as the whole program calls it, at its place in the text.
    fn called(&self, name: &Name, full: String) -> Name {
        Name {
            text: full,
            span: name.span,
        }
    }

    /// Gives a declared name a value.
    pub(crate) fn declare(
        &mut self,
        name: &Name,
        form: Form,
    ) -> Result<(ValueId, Name), TextError> {
        if name.text.ends_with('\'') {
            let message = format!("`{}` cannot be declared", name.text);
            let label = "a prime marks the next value of a state; expected a name without";
            return Err(self.error(name.span, message, label));
        }
        let id = self.number_value(form, Some(name.text.clone()));
        self.bind(name, id)?;
        let full = self.frame().full(&name.text);
        Ok((id, self.called(name, full)))
    }

    pub(crate) fn param(&mut self, name: &Name, form: Form, start: Init) -> Result<(), TextError> {
        let (id, _) = self.declare(name, form)?;
        let full = self.frame().full_parameter(&name.text);
        let shared = self.frame().application > 0;
        if let Some(before) = self.parameters.get(&full)
            && shared
        {
            let before = before.clone();
            if !self.sizes.join_forms(before.form, form) {
                let expected = self.sizes.form(before.form);
                let message = format!("the parameter `{full}` of a shared layer is {expected}");
                let label = format!("this is {form}; expected {expected}");
                return Err(self.error(name.span, message, &label));
            }
            let (kind, span) = (TypedKind::Parameter(before.name), name.span);
            let value = Typed { kind, form, span };
            let name = None;
            self.actions.push(Action::Define { id, name, value });
            return Ok(());
        }
        if self.frame().nameless {
            let message = format!("nothing gives the parameter `{}` a full name", name.text);
            let label = "expected the function to be used in an equation of its own";
            return Err(self.error(name.span, message, label));
        }
        self.know_parameter(&full, &full, form);
        let name = self.called(name, full);
        self.actions.push(Action::Param {
            id,
            name,
            form,
            start,
        });
        Ok(())
    }

    /// The full name of the parameter that a line means: one of this iteration or above it, or a table by its alias.
    pub(crate) fn parameter_called(&self, name: &str) -> String {
        let frame = self.frame();
        let here = frame.full_parameter(name);
        let above = joined(&frame.parameters, name);
        let found = [&here, &above]
            .into_iter()
            .find_map(|full| self.parameters.get(full));
        found.map_or(here, |parameter| parameter.name.clone())
    }

    /// Lets expressions name a parameter.
    pub(crate) fn know_parameter(&mut self, alias: &str, name: &str, form: Form) {
        let name = name.to_owned();
        let parameter = Parameter { name, form };
        self.parameters.insert(alias.to_owned(), parameter);
    }

    fn scalar(&mut self, e: &Expr, what: &str) -> Result<Typed, TextError> {
        let value = self.value(e)?;
        if value.form == Form::Scalar {
            return Ok(value);
        }
        let found = self.sizes.form(value.form);
        let message = format!("{what} must be a scalar per example and step, and this is {found}");
        let error = self.error(e.span, message, "expected a scalar");
        Err(error.help("use mean(…) or sum(…)".into()))
    }

    /// True if everything that a state's initial value needs is defined above it.
    fn ready(&self, state: &StateDeclaration) -> bool {
        match &state.init {
            InitialValue::Value(e) => {
                let mut names = Vec::new();
                e.names(&mut names);
                let frame = self.frame();
                let later = |n: &&str| !frame.scope.contains_key(*n) && frame.given.contains(*n);
                !names.iter().any(later)
            }
            _ => true,
        }
    }

    fn begin_waiting(&mut self) -> Result<(), TextError> {
        while let Some(k) = self.frame().waiting.iter().position(|s| self.ready(s)) {
            let state = self.frame_mut().waiting.remove(k);
            self.state(state)?;
        }
        Ok(())
    }

    fn state(&mut self, s: &StateDeclaration) -> Result<(), TextError> {
        let form = self.shape(&s.shape)?;
        let (id, full) = self.declare(&s.name, form)?;
        let delay = match &s.delay {
            None => 1,
            Some(e) => self.steps(e, "a state cannot have a delay of")?,
        };
        let delay = self.along_time(delay);
        let init = match &s.init {
            InitialValue::Given => Beginning::Given,
            InitialValue::Learned => {
                let name = format!("{}.init", full.text);
                self.know_parameter(&name, &name, form);
                Beginning::Learned
            }
            InitialValue::Value(e) => {
                let value = self.value(e)?;
                let found = value.form;
                if found == Form::Scalar {
                    Beginning::Value(spread_out(value, form))
                } else if self.sizes.join_forms(found, form) {
                    Beginning::Value(value)
                } else {
                    let (found, form) = (self.sizes.form(found), self.sizes.form(form));
                    let message = format!(
                        "the state `{}` is {form}, but begins as {found}",
                        s.name.text
                    );
                    return Err(self.error(e.span, message, &format!("expected {form}")));
                }
            }
        };
        let frame = self.frame_mut();
        frame.states.insert(s.name.text.clone(), s.name.span);
        self.actions.push(Action::State {
            id,
            name: full,
            form,
            delay,
            init,
        });
        Ok(())
    }

    /// A delay as the program has it: negative for one of a routine that runs backwards.
    pub(crate) fn along_time(&self, delay: i32) -> i32 {
        match self.frame().reversed {
            true => -delay,
            false => delay,
        }
    }

    /// A delay in whole steps, not 0.
    pub(crate) fn steps(&mut self, e: &Expr, what: &str) -> Result<i32, TextError> {
        let d = self.number(e)?;
        if d == 0.0 || d.fract() != 0.0 || d.abs() > f64::from(i32::MAX) {
            let label = "expected a whole number of steps, not 0; below 0 from the end";
            return Err(self.error(e.span, format!("{what} {d}"), label));
        }
        Ok(d as i32)
    }

    /// The value of an equation's right side; its layers are called after `name`.
    pub(crate) fn equation(&mut self, name: &str, value: &Expr) -> Result<Typed, TextError> {
        let bare = name.trim_end_matches('\'').to_owned();
        let outer = self.frame_mut().equation.replace(bare);
        let value = self.value(value)?;
        self.frame_mut().equation = outer;
        Ok(value)
    }

    /// Records a value under a name.
    fn define(&mut self, name: &Name, value: Typed) -> Result<(), TextError> {
        let frame = self.frame();
        let state = frame.becomes.get(name.text.as_str()).copied();
        let label = match self.label(&value) {
            Some(label) => label,
            None => state.unwrap_or(name.text.trim_end_matches('\'')).to_owned(),
        };
        // The next value of a state is named after the state, as `next` would name it.
        let full = match state {
            Some(state) => frame.full(&format!("{state}'")),
            None => frame.full(&name.text),
        };
        let id = self.number_value(value.form, Some(label));
        self.bind(name, id)?;
        let name = Some(self.called(name, full));
        self.actions.push(Action::Define { id, name, value });
        Ok(())
    }

    fn assign(&mut self, name: &Name, value: &Expr) -> Result<(), TextError> {
        self.check_free(name)?;
        let value = self.equation(&name.text, value)?;
        let bare = name.text.trim_end_matches('\'');
        if bare == name.text {
            return self.define(name, value);
        }
        let Some(&declared) = self.frame().states.get(bare) else {
            let message = format!("there is no state `{bare}`");
            let label = "expected the name of a state and one prime";
            let error = self.error(name.span, message, label);
            let inputs = self.frame().routine.operands();
            if inputs.iter().any(|input| input.text == bare) {
                return Err(error.help(format!(
                    "`{bare}` is an input: in a cell's head, a semicolon parts inputs from states, as in (x; {bare})"
                )));
            }
            let known = self.frame().states.keys().map(String::as_str);
            return Err(match nearest(bare, known) {
                Some(near) => error.help(format!("did you mean `{near}'`?")),
                None => error,
            });
        };
        let state = self.frame().scope[bare].0;
        let form = self.values[state.0].form;
        if name.text.len() != bare.len() + 1 {
            let message = format!("a state has one next value, `{bare}'`");
            return Err(self.error(name.span, message, "expected one prime"));
        }
        // A scalar becomes a state of any shape by repetition, as in an operator.
        let value = match (value.form, form) {
            (Form::Scalar, form) => spread_out(value, form),
            _ => value,
        };
        if !self.sizes.join_forms(value.form, form) {
            let (found, form) = (self.sizes.form(value.form), self.sizes.form(form));
            let message = format!("the state `{bare}` is {form}, but its next value is {found}");
            let error = self.error(value.span, message, &format!("expected {form}"));
            return Err(error.and(declared, "declared here".into()));
        }
        let label = self.label(&value).unwrap_or_else(|| bare.to_owned());
        let id = self.number_value(form, Some(label));
        self.bind(name, id)?;
        let full = self.frame().full(&name.text);
        let name = self.called(name, full);
        self.actions.push(Action::Next {
            id,
            state,
            name,
            value,
        });
        Ok(())
    }

    fn output(&mut self, name: &Name, value: &Expr) -> Result<(), TextError> {
        // Of a cell that is a layer, an output is a value with a name.
        if self.frames.len() > 1 {
            if !self.frame().scope.contains_key(&name.text) {
                let value = self.equation(&name.text, value)?;
                self.define(name, value)?;
            }
            return Ok(());
        }
        if let Some(&before) = self.outputs.get(&name.text) {
            let message = format!("there are two outputs `{}`", name.text);
            let error = self.error(name.span, message, "expected another name");
            return Err(error.and(before, "the first".into()));
        }
        self.outputs.insert(name.text.clone(), name.span);
        let mut value = self.equation(&name.text, value)?;
        // From here on the name also denotes the value, unless a value already has that name.
        if !self.frame().scope.contains_key(&name.text) {
            let (form, span) = (value.form, value.span);
            self.define(name, value)?;
            let kind = TypedKind::Value(self.frame().scope[&name.text].0);
            value = Typed { kind, form, span };
        }
        let name = name.clone();
        self.actions.push(Action::Output { name, value });
        Ok(())
    }
}
