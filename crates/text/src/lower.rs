//! From the trees of a cell file, and of what it uses, to the list of things to record: resolves names, infers shapes, solves
//! the sizes of dense layers, and expands functions, cells that are layers, and repetitions.
//!
//! Here is what all of that shares: frames, names, and the limit on the program's size. Lines are in `block.rs`, calls of
//! functions and cells in `routine.rs`, expressions in `values.rs`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use retrograd_tape::Shape;

use crate::ast::{Call, Name, StateDeclaration};
use crate::error::TextError;
use crate::library::{CellFile, Library, Routine};
use crate::sizes::{Form, Size, SizeSolver};
use crate::source::{Source, Span};
use crate::typed::{Action, Typed, TypedKind, ValueId};

/// The most lines and expressions that a program may have once everything is expanded.
const MOST: usize = 1 << 20;

/// The most levels of expressions, through all functions that use each other: every level takes some of the stack.
const DEEPEST: usize = 220;

/// The most places of use that a mistake inside of functions shows.
const SHOWN: usize = 3;

/// The things to record, with all sizes known.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) actions: Vec<Action>,
    pub(crate) values: usize,
    pub(crate) sizes: SizeSolver,
    /// The value of a cell that is a layer.
    pub(crate) result: Option<Typed>,
}

pub(crate) struct Lower<'f> {
    pub(crate) library: &'f Library,
    pub(crate) sizes: SizeSolver,
    pub(crate) values: Vec<ValueInfo>,
    /// Values and parameters by their full names, for names such as `l1.h` and `l1.forget.x`.
    pub(crate) known: HashMap<String, ValueId>,
    pub(crate) parameters: HashMap<String, Parameter>,
    /// Layers by the full names that their parameters begin with.
    pub(crate) layers: HashMap<String, Layer>,
    /// The cell, and the functions and cells that are being expanded, each called by the one before it.
    pub(crate) frames: Vec<Frame<'f>>,
    pub(crate) outputs: HashMap<String, Span>,
    pub(crate) actions: Vec<Action>,
    /// Sizes that must be known in the end, and their owners.
    pub(crate) wanted: Vec<(Size, Span)>,
    /// How many applications of shared layers there were.
    pub(crate) applications: usize,
    /// What is left of [`MOST`].
    left: usize,
    /// Levels of expressions, those of functions in functions included.
    pub(crate) depth: usize,
    /// Parameters of shared layers whose start a line has given.
    pub(crate) started: HashSet<String>,
    /// Names of maxima over steps, and how many have each.
    pub(crate) maxima: HashMap<String, usize>,
}

/// A value that has a number.
pub(crate) struct ValueInfo {
    pub(crate) form: Form,
    /// What it is called in the name of a matrix that it is multiplied with.
    pub(crate) label: Option<String>,
}

/// A parameter.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    /// Its full name.
    pub(crate) name: String,
    pub(crate) form: Form,
}

/// A layer with parameters.
pub(crate) struct Layer {
    pub(crate) at: Span,
    /// The application of a shared layer that made it, or 0.
    pub(crate) application: usize,
    pub(crate) size: Size,
    /// What each operand is called, and its size.
    pub(crate) operands: Vec<(String, Size)>,
}

/// The cell, or a function or cell that is being expanded.
pub(crate) struct Frame<'f> {
    pub(crate) routine: &'f Routine,
    /// Numbers by name: sizes, and the indices of the repetitions that are being expanded.
    pub(crate) dims: BTreeMap<String, f64>,
    /// The sizes that its cell's `where` gives, which functions see, too.
    pub(crate) sizes: BTreeMap<String, f64>,
    pub(crate) scope: BTreeMap<String, (ValueId, Span)>,
    /// What each name in the scope stood for before, in the order in which they were bound.
    pub(crate) bound: Vec<(String, Option<(ValueId, Span)>)>,
    pub(crate) states: HashMap<String, Span>,
    /// Layers to be applied by name.
    pub(crate) layers: HashMap<String, SharedLayer<'f>>,
    /// Names defined somewhere in the open blocks.
    pub(crate) given: HashSet<&'f str>,
    /// The state whose next value a name stands for, as in `h' = hidden`.
    pub(crate) becomes: HashMap<&'f str, &'f str>,
    /// States whose initial value uses names that come later.
    pub(crate) waiting: Vec<&'f StateDeclaration>,
    /// Carried names that this iteration has not given yet.
    pub(crate) carried: HashSet<&'f str>,
    /// What the names of its values and states begin with, and those of its parameters; empty for the cell itself.
    pub(crate) prefix: String,
    pub(crate) parameters: String,
    /// What they end with: the iterations of the repetitions that are being expanded, `.0`.
    pub(crate) suffix: String,
    /// The application of a shared layer that it is a part of, or 0.
    pub(crate) application: usize,
    /// Its time runs from the end of a row to the beginning.
    pub(crate) reversed: bool,
    /// Nothing gives it a name: it may not make parameters.
    pub(crate) nameless: bool,
    /// The name that the present equation defines; empty for a function's result.
    pub(crate) equation: Option<String>,
    /// Where it is used.
    pub(crate) call: Option<Span>,
}

/// `layer f = dense[H]`
#[derive(Clone)]
pub(crate) struct SharedLayer<'f> {
    pub(crate) call: &'f Call,
    /// What its parameters' names begin with.
    pub(crate) name: String,
}

/// Two names, one inside the other.
pub(crate) fn joined(outer: &str, inner: &str) -> String {
    match (outer, inner) {
        ("", name) | (name, "") => name.to_owned(),
        (outer, inner) => format!("{outer}.{inner}"),
    }
}

/// Resolves a cell file, optionally with other values for its symbolic dimensions.
pub(crate) fn lower(file: &CellFile, overrides: &[(&str, usize)]) -> Result<Lowered, TextError> {
    let mut lower = Lower::new(file);
    let given = overrides
        .iter()
        .map(|&(name, n)| (name, n as f64))
        .collect();
    lower.dimensions(&given)?;
    if let Some((name, _)) = overrides
        .iter()
        .find(|(n, _)| !lower.frame().dims.contains_key(*n))
    {
        return Err(lower.no_dimension(file.main().name.span, name));
    }
    let frame = lower.frame_mut();
    frame.sizes.clone_from(&frame.dims);
    let statements: Vec<_> = file.main().statements.iter().collect();
    lower.block(&statements)?;
    lower.finish(None)
}

/// Resolves a cell file as a layer whose names begin with `name`, of operands of these shapes; they have the first numbers.
pub(crate) fn lower_layer(
    file: &CellFile,
    name: &str,
    operands: &[Shape],
    (overrides, reversed): (&[(&str, usize)], bool),
) -> Result<Lowered, TextError> {
    let mut lower = Lower::new(file);
    let at = file.main().name.span;
    let mut values = Vec::new();
    for &shape in operands {
        let form = Form::from(shape);
        let kind = TypedKind::Value(lower.number_value(form, None));
        let span = at;
        values.push(Typed { kind, form, span });
    }
    let result = lower.expand_main(file.main(), name, values, (overrides, reversed))?;
    lower.finish(Some(result))
}

impl<'f> Frame<'f> {
    pub(crate) fn new(routine: &'f Routine) -> Frame<'f> {
        Frame {
            routine,
            dims: BTreeMap::new(),
            sizes: BTreeMap::new(),
            scope: BTreeMap::new(),
            bound: Vec::new(),
            states: HashMap::new(),
            layers: HashMap::new(),
            given: HashSet::new(),
            becomes: HashMap::new(),
            waiting: Vec::new(),
            carried: HashSet::new(),
            prefix: String::new(),
            parameters: String::new(),
            suffix: String::new(),
            application: 0,
            reversed: false,
            nameless: false,
            equation: None,
            call: None,
        }
    }

    /// A name with the iterations that it belongs to: `l.forget` is `l.0.forget` in the first.
    fn in_round(&self, name: &str) -> String {
        let bare = name.trim_end_matches('\'');
        let (primes, suffix) = (&name[bare.len()..], &self.suffix);
        match bare.split_once('.') {
            _ if suffix.is_empty() || name.is_empty() => name.to_owned(),
            Some((head, rest)) => format!("{head}{suffix}.{rest}{primes}"),
            None => format!("{bare}{suffix}{primes}"),
        }
    }

    /// The full name of a value or state.
    pub(crate) fn full(&self, name: &str) -> String {
        joined(&self.prefix, &self.in_round(name))
    }

    /// The full name of a parameter or layer.
    pub(crate) fn full_parameter(&self, name: &str) -> String {
        joined(&self.parameters, &self.in_round(name))
    }
}

impl<'f> Lower<'f> {
    fn new(file: &'f CellFile) -> Lower<'f> {
        Lower {
            library: &file.library,
            sizes: SizeSolver::default(),
            values: Vec::new(),
            known: HashMap::new(),
            parameters: HashMap::new(),
            layers: HashMap::new(),
            frames: vec![Frame::new(file.main())],
            outputs: HashMap::new(),
            actions: Vec::new(),
            wanted: Vec::new(),
            applications: 0,
            left: MOST,
            depth: 0,
            started: HashSet::new(),
            maxima: HashMap::new(),
        }
    }

    pub(crate) fn frame(&self) -> &Frame<'f> {
        self.frames.last().expect("the cell's frame stays")
    }

    pub(crate) fn frame_mut(&mut self) -> &mut Frame<'f> {
        self.frames.last_mut().expect("the cell's frame stays")
    }

    /// A mistake; inside of functions and cells it shows where they are used, too.
    pub(crate) fn error(&self, at: Span, message: String, label: &str) -> TextError {
        let sources: Vec<Arc<Source>> = self.library.sources().cloned().collect();
        let source = &sources[at.file as usize];
        let error = TextError::new(source, at, message, label.to_owned()).among(&sources);
        let calls = self.frames.iter().rev().filter_map(|f| f.call);
        calls
            .take(SHOWN)
            .fold(error, |error, call| error.and(call, "used here".into()))
    }

    /// Counts one more line or expression.
    pub(crate) fn spend(&mut self, at: Span) -> Result<(), TextError> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let message = format!("the program has more than {MOST} lines and expressions");
                let label = "expected fewer iterations or layers";
                Err(self.error(at, message, label))
            }
        }
    }

    /// Enters one more level of expressions.
    pub(crate) fn deeper(&mut self, at: Span) -> Result<(), TextError> {
        self.depth += 1;
        if self.depth <= DEEPEST {
            return Ok(());
        }
        let message = format!("expressions of more than {DEEPEST} levels, functions included");
        Err(self.error(
            at,
            message,
            "expected a part of it to have an equation of its own",
        ))
    }

    /// A value with a number of its own.
    pub(crate) fn number_value(&mut self, form: Form, label: Option<String>) -> ValueId {
        self.values.push(ValueInfo { form, label });
        ValueId(self.values.len() - 1)
    }

    /// The dimensions of the frame: given ones, else those of its `where`.
    pub(crate) fn dimensions(&mut self, given: &BTreeMap<&str, f64>) -> Result<(), TextError> {
        let routine = self.frame().routine;
        let mut own = HashSet::new();
        for (name, value) in &routine.dims {
            let value = match (given.get(name.text.as_str()), value) {
                (Some(&n), _) => n,
                (None, Some(value)) => self.number(value)?,
                (None, None) => {
                    let message = format!("`{}` needs its sizes in brackets", routine.name.text);
                    let label = format!("expected the size `{}`", name.text);
                    return Err(self.error(name.span, message, &label));
                }
            };
            self.frame_mut().dims.insert(name.text.clone(), value);
            if !own.insert(&name.text) {
                let message = format!("the dimension `{}` is given twice", name.text);
                return Err(self.error(name.span, message, "expected another name"));
            }
        }
        Ok(())
    }

    /// The mistake of a value for a dimension that the frame's cell does not have.
    pub(crate) fn no_dimension(&self, at: Span, name: &str) -> TextError {
        let dims = &self.frame().routine.dims;
        let known: Vec<&str> = dims.iter().map(|(n, _)| n.text.as_str()).collect();
        let label = match known.as_slice() {
            [] => "this cell has no symbolic dimensions; expected `where …`".to_owned(),
            known => format!(
                "expected one of this cell's dimensions, {}",
                known.join(", ")
            ),
        };
        self.error(at, format!("there is no dimension `{name}` to set"), &label)
    }

    /// Makes a name stand for a value.
    pub(crate) fn bind(&mut self, name: &Name, id: ValueId) -> Result<(), TextError> {
        self.check_free(name)?;
        self.frame_mut().carried.remove(name.text.as_str());
        self.rebind(name, id);
        Ok(())
    }

    /// That a name may be given a value.
    pub(crate) fn check_free(&self, name: &Name) -> Result<(), TextError> {
        let frame = self.frame();
        if frame.dims.contains_key(name.text.as_str()) {
            let message = format!("`{}` is a dimension", name.text);
            return Err(self.error(name.span, message, "expected another name"));
        }
        let carried = frame.carried.contains(name.text.as_str());
        if let Some(&(_, before)) = frame.scope.get(&name.text)
            && !carried
        {
            let is_state = frame.states.contains_key(&name.text);
            let message = format!("`{}` is given twice", name.text);
            let error = self.error(name.span, message, "expected another name");
            let error = error.and(before, "the first".into());
            return Err(match is_state {
                true => error.help(format!(
                    "the next value of the state is called `{}'`",
                    name.text
                )),
                false => error,
            });
        }
        Ok(())
    }

    /// Makes a name stand for a value, also if it stood for another.
    pub(crate) fn rebind(&mut self, name: &Name, id: ValueId) {
        let frame = self.frame_mut();
        let full = frame.full(&name.text);
        let before = frame.scope.insert(name.text.clone(), (id, name.span));
        frame.bound.push((name.text.clone(), before));
        self.known.insert(full, id);
    }

    /// Forgets all names that were bound after the first `kept`.
    pub(crate) fn unbind(&mut self, kept: usize) {
        let frame = self.frame_mut();
        while frame.bound.len() > kept
            && let Some((name, before)) = frame.bound.pop()
        {
            match before {
                Some(before) => {
                    frame.scope.insert(name, before);
                }
                None => {
                    frame.states.remove(&name);
                    frame.scope.remove(&name);
                }
            }
        }
    }

    fn finish(mut self, result: Option<Typed>) -> Result<Lowered, TextError> {
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
        Ok(Lowered {
            actions: self.actions,
            values: self.values.len(),
            sizes: self.sizes,
            result,
        })
    }
}
