//! Stacks: cells of one kind upon each other, as a repetition would have them, in one line.

use retrograd_tape::{Domain, Init, Map, Op};

use crate::ast::{Arg, Call, Expr, ExprKind, LabelKind, Name};
use crate::error::{TextError, nearest};
use crate::lower::{Lower, joined};
use crate::routine::{Below, Place};
use crate::sizes::{Form, Size};
use crate::source::Span;
use crate::typed::{Action, Typed, TypedKind};
use crate::values::typed_copy;

/// The name of the function.
pub(crate) const STACK: &str = "stack";

/// What a stack is told by its attributes; those of the cell go to the cell.
const ATTRIBUTES: [&str; 6] = [
    "name",
    "residual",
    "dropout",
    "variational",
    "bidirectional",
    "project",
];

/// How the two directions of a layer are joined.
#[derive(Clone, Copy)]
enum Join {
    Concat,
    Sum,
}

/// What a stack is told.
struct Told {
    layers: usize,
    residual: bool,
    dropout: f64,
    /// Whether a mask is the same at all steps of a row.
    variational: bool,
    join: Option<Join>,
    project: Option<usize>,
    /// The call of a layer, without what it reads.
    cell: Call,
}

impl Lower<'_> {
    /// `stack[3](lstm, x, H=32, residual=1, dropout=0.1)`
    pub(crate) fn stack(&mut self, call: &Call, span: Span) -> Result<Typed, TextError> {
        let (told, x) = self.told(call, span)?;
        let x = self.value(x)?;
        let mut below = self.once(x);
        let name = self.local_name(call, call.function.span)?;
        for k in 0..told.layers {
            self.spend(span)?;
            let own = |what: &str| Name {
                text: format!("{name}.{k}.{what}"),
                span,
            };
            let x = match k {
                0 => typed_copy(&below),
                _ => self.dropped(&told, own("drop"), &below)?,
            };
            let one = |lower: &mut Self, direction: &str, back: bool| {
                let within = joined(&k.to_string(), direction);
                let frame = lower.frame();
                let place = Place {
                    parameters: joined(&frame.full_parameter(&name), &within),
                    values: joined(&frame.full(&name), &within),
                    application: frame.application,
                };
                let value = typed_copy(&x);
                let below = Some(Below { value, back });
                lower.expand_named(&told.cell, span, place, below)
            };
            let mut value = match told.join {
                None => one(self, "", false)?,
                Some(join) => {
                    let forward = one(self, "forward", false)?;
                    let backward = one(self, "backward", true)?;
                    self.joined_ways(join, forward, backward, span)?
                }
            };
            if let Some(width) = told.project {
                value = self.projected(own("project"), width, value)?;
            }
            if told.residual && self.as_wide(&value, &below)? {
                value = self.element_wise("+", Map::Add, vec![value, below], span)?;
            }
            below = self.once(value);
        }
        Ok(below)
    }

    /// What a call says.
    fn told<'c>(&self, call: &'c Call, span: Span) -> Result<(Told, &'c Expr), TextError> {
        let form = "expected it as in stack[3](lstm, x, H=32)";
        let layers = match call.sizes.as_deref() {
            Some([layers]) => self.whole(layers)?,
            _ => {
                let message = "a stack has a number of layers".to_owned();
                return Err(self.error(call.function.span, message, form));
            }
        };
        let mut operands = call.args.iter().filter(|arg| arg.label.is_none());
        let (Some(cell), Some(x)) = (operands.next(), operands.next()) else {
            let message = "a stack takes a cell and what its first layer reads".to_owned();
            return Err(self.error(span, message, form));
        };
        let ExprKind::Name(function) = &cell.value.kind else {
            let message = "the layers of a stack are a cell or a function by its name".to_owned();
            return Err(self.error(cell.value.span, message, form));
        };
        let mut told = Told {
            layers,
            residual: self.is_set(call, "residual")?,
            dropout: self.rate(call)?,
            variational: self.is_set(call, "variational")?,
            join: self.join(call)?,
            project: self
                .given(call, "project")?
                .map(|e| self.whole(e))
                .transpose()?,
            cell: Call {
                function: Name {
                    text: function.clone(),
                    span: cell.value.span,
                },
                sizes: None,
                args: Vec::new(),
            },
        };
        let Some(routine) = self.defined(function) else {
            let message = format!("there is no cell or function `{function}` to stack");
            let error = self.error(
                cell.value.span,
                message,
                "expected one that is defined or used",
            );
            let known = self.library.names(self.frame().routine.file());
            return Err(match nearest(function, known) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!("`use {function}` takes it from the zoo or a file")),
            });
        };
        let of_cell = |name: &str| routine.dims.iter().any(|(dim, _)| dim.text == name);
        for arg in &call.args {
            if std::ptr::eq(&arg.value, &cell.value) || std::ptr::eq(&arg.value, &x.value) {
                continue;
            }
            match &arg.label {
                Some((label, LabelKind::Attribute)) if ATTRIBUTES.contains(&&*label.text) => {}
                Some((label, LabelKind::Attribute))
                    if label.text != "reverse" && !of_cell(&label.text) =>
                {
                    let message = format!("neither a stack nor `{function}` has `{}`", label.text);
                    let dims = routine.dims.iter().map(|(dim, _)| dim.text.as_str());
                    let known: Vec<&str> = ATTRIBUTES.into_iter().chain(dims).collect();
                    let expected = format!("expected {} or reverse", known.join(", "));
                    return Err(self.error(label.span, message, &expected));
                }
                _ => told.cell.args.push(Arg::clone(arg)),
            }
        }
        Ok((told, &x.value))
    }

    /// The value of an attribute.
    fn given<'c>(&self, call: &'c Call, name: &str) -> Result<Option<&'c Expr>, TextError> {
        let mut found = None;
        for arg in &call.args {
            if let Some((label, LabelKind::Attribute)) = &arg.label
                && label.text == name
                && found.replace(&arg.value).is_some()
            {
                let message = format!("`{name}` is given twice");
                return Err(self.error(label.span, message, "expected it once"));
            }
        }
        Ok(found)
    }

    fn is_set(&self, call: &Call, name: &str) -> Result<bool, TextError> {
        let Some(value) = self.given(call, name)? else {
            return Ok(false);
        };
        match self.number(value)? {
            1.0 => Ok(true),
            0.0 => Ok(false),
            n => {
                let message = format!("`{name}` is no number of times, {n}");
                Err(self.error(value.span, message, "expected 0 or 1"))
            }
        }
    }

    fn rate(&self, call: &Call) -> Result<f64, TextError> {
        let Some(value) = self.given(call, "dropout")? else {
            return Ok(0.0);
        };
        let rate = self.number(value)?;
        if (0.0..1.0).contains(&rate) {
            return Ok(rate);
        }
        let message = format!("nothing is dropped with probability {rate}");
        Err(self.error(value.span, message, "expected at least 0 and less than 1"))
    }

    fn join(&self, call: &Call) -> Result<Option<Join>, TextError> {
        let Some(value) = self.given(call, "bidirectional")? else {
            return Ok(None);
        };
        match &value.kind {
            ExprKind::Name(name) if name == "concat" => Ok(Some(Join::Concat)),
            ExprKind::Name(name) if name == "sum" => Ok(Some(Join::Sum)),
            _ => {
                let message = "this does not say how two directions are joined".to_owned();
                Err(self.error(value.span, message, "expected concat or sum"))
            }
        }
    }

    /// What a layer reads, some of it dropped.
    fn dropped(&mut self, told: &Told, name: Name, below: &Typed) -> Result<Typed, TextError> {
        if told.dropout == 0.0 {
            return Ok(typed_copy(below));
        }
        let (form, span) = (below.form, name.span);
        let (id, name) = self.declare(&name, form)?;
        self.actions.push(Action::Mask {
            id,
            name,
            form,
            keep: 1.0 - told.dropout,
            domain: match told.variational {
                true => Domain::Row,
                false => Domain::Step,
            },
        });
        let kind = TypedKind::Value(id);
        let mask = Typed { kind, form, span };
        let both = vec![typed_copy(below), mask];
        let dropped = self.element_wise("*", Map::Mul, both, span)?;
        Ok(self.once(dropped))
    }

    /// The two directions of a layer as one value.
    fn joined_ways(
        &mut self,
        join: Join,
        forward: Typed,
        backward: Typed,
        span: Span,
    ) -> Result<Typed, TextError> {
        match (join, forward.form, backward.form) {
            (Join::Sum, ..) => self.element_wise("+", Map::Add, vec![forward, backward], span),
            (Join::Concat, Form::Vector(a), Form::Vector(b)) => Ok(Typed {
                form: Form::Vector(self.sizes.sum(vec![a, b], span)),
                kind: TypedKind::Op(Op::Concat { axis: 0 }, vec![forward, backward]),
                span,
            }),
            (Join::Concat, form, _) => Err(self.no_vector("joined side by side", form, span)),
        }
    }

    /// A linear layer without bias.
    fn projected(&mut self, name: Name, width: usize, value: Typed) -> Result<Typed, TextError> {
        let span = name.span;
        let Form::Vector(n) = value.form else {
            return Err(self.no_vector("projected", value.form, span));
        };
        let value = self.once(value);
        let form = Form::Matrix(Size::Known(width), n);
        self.param(&name, form, Init::FanIn)?;
        let kind = TypedKind::Value(self.frame().scope[&name.text].0);
        let weight = Typed { kind, form, span };
        self.product(false, weight, value, span)
    }

    fn no_vector(&self, what: &str, form: Form, span: Span) -> TextError {
        let found = self.sizes.form(form);
        let message = format!("vectors are {what}, and the layers of this stack give {found}");
        self.error(span, message, "expected a cell that gives a vector")
    }

    /// Whether two values have one shape, which must be known here.
    fn as_wide(&self, value: &Typed, below: &Typed) -> Result<bool, TextError> {
        match [value, below].map(|v| self.sizes.shape(v.form)) {
            [Some(own), Some(read)] => Ok(own == read),
            _ => {
                let message = "nothing above says how wide the layers of this stack are";
                let label = "expected their size, as in H=32, for residual links";
                Err(self.error(value.span, message.to_owned(), label))
            }
        }
    }
}
