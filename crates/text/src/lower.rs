//! From a cell file's tree to the list of things to record: resolves names, infers shapes, solves the sizes of dense layers.

use std::collections::{BTreeMap, HashMap, HashSet};

use retrograd_tape::InputRole;

use crate::ast::{CellFile, Expr, InitialValue, Name, StateDeclaration, Statement};
use crate::error::{TextError, nearest};
use crate::sizes::{Form, Size, SizeSolver};
use crate::source::Span;
use crate::target::Initialiser;
use crate::typed::{Action, Beginning, Typed, TypedKind, spread_out};

/// The things to record, with all sizes known.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) actions: Vec<Action>,
    pub(crate) sizes: SizeSolver,
}

pub(crate) struct Lower<'f> {
    pub(crate) file: &'f CellFile,
    /// Symbolic dimensions.
    pub(crate) dims: BTreeMap<&'f str, f64>,
    pub(crate) sizes: SizeSolver,
    pub(crate) scope: BTreeMap<String, (Form, Span)>,
    states: HashMap<String, (Form, Span)>,
    outputs: HashMap<String, Span>,
    /// Names defined somewhere in the file.
    pub(crate) given: HashSet<&'f str>,
    /// States whose initial value uses names that come later.
    pub(crate) waiting: Vec<&'f StateDeclaration>,
    actions: Vec<Action>,
    /// The prefix of layer parameters' names in the present equation, and the layer that has taken the prefix.
    pub(crate) naming: Option<String>,
    pub(crate) named: Option<Span>,
    /// Sizes that must be known in the end, and their owners.
    pub(crate) wanted: Vec<(Size, Span)>,
}

/// Resolves a cell file, optionally with other values for its symbolic dimensions.
pub(crate) fn lower(file: &CellFile, overrides: &[(&str, usize)]) -> Result<Lowered, TextError> {
    let mut lower = Lower {
        file,
        dims: BTreeMap::new(),
        sizes: SizeSolver::default(),
        scope: BTreeMap::new(),
        states: HashMap::new(),
        outputs: HashMap::new(),
        given: file.statements.iter().filter_map(defines).collect(),
        waiting: Vec::new(),
        actions: Vec::new(),
        naming: None,
        named: None,
        wanted: Vec::new(),
    };
    lower.dimensions(overrides)?;
    for statement in &file.statements {
        lower.statement(statement)?;
        lower.begin_waiting()?;
    }
    lower.finish()
}

/// The name that a statement defines.
fn defines(s: &Statement) -> Option<&str> {
    match s {
        Statement::Input { name, .. }
        | Statement::Param { name, .. }
        | Statement::Assign { name, .. }
        | Statement::State(StateDeclaration { name, .. }) => Some(&name.text),
        Statement::Init { .. }
        | Statement::Output { .. }
        | Statement::Loss(_)
        | Statement::Weight(_)
        | Statement::SumLoss => None,
    }
}

impl<'f> Lower<'f> {
    pub(crate) fn error(&self, at: Span, message: String, label: &str) -> TextError {
        TextError::new(&self.file.source, at, message, label.to_owned())
    }

    fn dimensions(&mut self, overrides: &[(&str, usize)]) -> Result<(), TextError> {
        for (name, value) in &self.file.dims {
            let given = overrides.iter().find(|(n, _)| *n == name.text);
            let value = match given {
                Some(&(_, n)) => n as f64,
                None => self.number(value)?,
            };
            if self.dims.insert(&name.text, value).is_some() {
                let message = format!("the dimension `{}` is given twice", name.text);
                return Err(self.error(name.span, message, "expected another name"));
            }
        }
        let unknown = overrides.iter().find(|(n, _)| !self.dims.contains_key(n));
        if let Some((name, _)) = unknown {
            let known: Vec<&str> = self.file.dimensions().collect();
            let label = match known.as_slice() {
                [] => "this cell has no symbolic dimensions; expected `where …`".to_owned(),
                known => format!(
                    "expected one of this cell's dimensions, {}",
                    known.join(", ")
                ),
            };
            let message = format!("there is no dimension `{name}` to set");
            return Err(self.error(self.file.name.span, message, &label));
        }
        Ok(())
    }

    fn statement(&mut self, s: &'f Statement) -> Result<(), TextError> {
        match s {
            Statement::Input {
                role,
                name,
                shape,
                keep,
            } => {
                let form = self.declare(name, shape)?;
                let role = *role;
                if role == InputRole::Weight && form != Form::Scalar {
                    let message = format!("a weight is a scalar, not {form}");
                    return Err(self.error(name.span, message, "expected a name without a shape"));
                }
                let name = name.clone();
                self.actions.push(match keep {
                    None => Action::Input { role, name, form },
                    Some(keep) => {
                        let p = self.number(keep)?;
                        if !(p > 0.0 && p <= 1.0) {
                            let message = format!("a mask cannot keep with probability {p}");
                            let expected = "expected more than 0 and at most 1";
                            return Err(self.error(keep.span, message, expected));
                        }
                        Action::Mask {
                            name,
                            form,
                            keep: p,
                        }
                    }
                });
            }
            Statement::Param { name, shape, init } => {
                let form = self.declare(name, shape)?;
                let start = match init {
                    Some(init) => self.start(init)?,
                    None => Initialiser::Unspecified,
                };
                let name = name.clone();
                self.actions.push(Action::Param { name, form, start });
            }
            Statement::State(state) => {
                if self.ready(state) {
                    self.state(state)?;
                } else {
                    self.waiting.push(state);
                }
            }
            Statement::Init { name, start } => {
                let (name, start) = (name.clone(), self.start(start)?);
                self.actions.push(Action::Init { name, start });
            }
            Statement::Assign { name, value } => self.assign(name, value)?,
            Statement::Output { name, value } => {
                if let Some(&before) = self.outputs.get(&name.text) {
                    let message = format!("there are two outputs `{}`", name.text);
                    let error = self.error(name.span, message, "expected another name");
                    return Err(error.and(before, "the first".into()));
                }
                self.outputs.insert(name.text.clone(), name.span);
                self.naming = Some(name.text.trim_end_matches('\'').to_owned());
                self.named = None;
                let mut value = self.value(value)?;
                self.naming = None;
                let name = name.clone();
                // From here on the name also denotes the value, unless a value already has that name.
                if !self.scope.contains_key(&name.text) {
                    self.bind(&name, value.form)?;
                    let (form, span) = (value.form, value.span);
                    let kind = TypedKind::Value(name.text.clone());
                    let named = name.clone();
                    self.actions.push(Action::Define { name: named, value });
                    value = Typed { kind, form, span };
                }
                self.actions.push(Action::Output { name, value });
            }
            Statement::Loss(value) => {
                let value = self.scalar(value, "the loss")?;
                self.actions.push(Action::Loss(value));
            }
            Statement::Weight(value) => {
                let value = self.scalar(value, "the loss's weight")?;
                self.actions.push(Action::Weight(value));
            }
            Statement::SumLoss => self.actions.push(Action::SumLoss),
        }
        Ok(())
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

    /// The shape of a declaration, whose name must be new.
    fn declare(&mut self, name: &Name, shape: &[Expr]) -> Result<Form, TextError> {
        if name.text.ends_with('\'') {
            let message = format!("`{}` cannot be declared", name.text);
            let label = "a prime marks the next value of a state; expected a name without";
            return Err(self.error(name.span, message, label));
        }
        let form = self.shape(shape)?;
        self.bind(name, form)?;
        Ok(form)
    }

    fn bind(&mut self, name: &Name, form: Form) -> Result<(), TextError> {
        if self.dims.contains_key(name.text.as_str()) {
            let message = format!("`{}` is a dimension", name.text);
            return Err(self.error(name.span, message, "expected another name"));
        }
        let before = self.scope.insert(name.text.clone(), (form, name.span));
        let Some((_, before)) = before else {
            return Ok(());
        };
        let error = self.error(
            name.span,
            format!("`{}` is given twice", name.text),
            "expected another name",
        );
        let error = error.and(before, "the first".into());
        Err(match self.states.contains_key(&name.text) {
            true => error.help(format!(
                "the next value of the state is called `{}'`",
                name.text
            )),
            false => error,
        })
    }

    /// True if everything that a state's initial value needs is defined above it.
    fn ready(&self, state: &StateDeclaration) -> bool {
        match &state.init {
            InitialValue::Value(e) => {
                let mut names = Vec::new();
                e.names(&mut names);
                let later = |n: &&str| !self.scope.contains_key(*n) && self.given.contains(*n);
                !names.iter().any(later)
            }
            _ => true,
        }
    }

    fn begin_waiting(&mut self) -> Result<(), TextError> {
        while let Some(k) = self.waiting.iter().position(|s| self.ready(s)) {
            let state = self.waiting.remove(k);
            self.state(state)?;
        }
        Ok(())
    }

    fn state(&mut self, s: &StateDeclaration) -> Result<(), TextError> {
        let form = self.declare(&s.name, &s.shape)?;
        let delay = match &s.delay {
            None => 1,
            Some(e) => {
                let d = self.number(e)?;
                if d == 0.0 || d.fract() != 0.0 || d.abs() > f64::from(i32::MAX) {
                    let message = format!("a state cannot have a delay of {d}");
                    let label = "expected a whole number of steps, not 0; below 0 from the end";
                    return Err(self.error(e.span, message, label));
                }
                d as i32
            }
        };
        let init = match &s.init {
            InitialValue::Given => Beginning::Given,
            InitialValue::Learned => Beginning::Learned,
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
        self.states.insert(s.name.text.clone(), (form, s.name.span));
        self.actions.push(Action::State {
            name: s.name.clone(),
            form,
            delay,
            init,
        });
        Ok(())
    }

    fn assign(&mut self, name: &Name, value: &Expr) -> Result<(), TextError> {
        let bare = name.text.trim_end_matches('\'').to_owned();
        self.naming = Some(bare.clone());
        self.named = None;
        let value = self.value(value)?;
        self.naming = None;
        if bare == name.text {
            self.bind(name, value.form)?;
            let name = name.clone();
            self.actions.push(Action::Define { name, value });
            return Ok(());
        }
        let Some(&(form, declared)) = self.states.get(&bare) else {
            let message = format!("there is no state `{bare}`");
            let label = "expected the name of a state and one prime";
            let error = self.error(name.span, message, label);
            let known = self.states.keys().map(String::as_str);
            return Err(match nearest(&bare, known) {
                Some(near) => error.help(format!("did you mean `{near}'`?")),
                None => error,
            });
        };
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
        self.bind(name, form)?;
        self.actions.push(Action::Next {
            state: bare,
            name: name.clone(),
            value,
        });
        Ok(())
    }

    fn finish(mut self) -> Result<Lowered, TextError> {
        if let Some(s) = self.waiting.first()
            && let InitialValue::Value(e) = &s.init
        {
            self.value(e)?;
        }
        if let Err((at, message, label)) = self.sizes.settle() {
            return Err(self.error(at, message, &label));
        }
        for &(size, at) in &self.wanted {
            if let Size::Unknown(_) = self.sizes.get(size) {
                let message = "nothing says how wide this is".to_owned();
                let label = "expected its size in brackets, as in `dense[64](x, h)`";
                return Err(self.error(at, message, label));
            }
        }
        for s in &self.file.statements {
            let Statement::State(s) = s else { continue };
            let next = format!("{}'", s.name.text);
            if !self.scope.contains_key(&next) {
                let message = format!("the state `{}` has no next value", s.name.text);
                let label = format!("expected an equation `{next} = …`");
                return Err(self.error(s.name.span, message, &label));
            }
        }
        Ok(Lowered {
            actions: self.actions,
            sizes: self.sizes,
        })
    }
}
