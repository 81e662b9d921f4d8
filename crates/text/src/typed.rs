//! A cell file after its names and shapes have been understood: what is to be recorded, in order.

use retrograd_tape::{Domain, InputRole, Map, Op};

use crate::ast::Name;
use crate::sizes::{Form, Size};
use crate::source::Span;
use crate::target::Initialiser;

/// One thing to record.
#[derive(Debug)]
pub(crate) enum Action {
    Input {
        role: InputRole,
        name: Name,
        form: Form,
    },
    Mask {
        name: Name,
        form: Form,
        keep: f64,
    },
    Param {
        name: Name,
        form: Form,
        start: Initialiser,
    },
    State {
        name: Name,
        form: Form,
        delay: i32,
        init: Beginning,
    },
    Init {
        name: Name,
        start: Initialiser,
    },
    /// A value is given a name.
    Define {
        name: Name,
        value: Typed,
    },
    /// A state is given its next value, called `name`.
    Next {
        state: String,
        name: Name,
        value: Typed,
    },
    Output {
        name: Name,
        value: Typed,
    },
    Loss(Typed),
    Weight(Typed),
    SumLoss,
}

/// What a state is before the first step.
#[derive(Debug)]
pub(crate) enum Beginning {
    Given,
    Learned,
    Value(Typed),
}

/// An expression whose names, ops and shape are known.
#[derive(Debug)]
pub(crate) struct Typed {
    pub(crate) kind: TypedKind,
    pub(crate) form: Form,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) enum TypedKind {
    Constant(f64),
    Value(String),
    /// Element by element; scalars are repeated.
    Map(Map, Vec<Typed>),
    Square(Box<Typed>),
    Softmax(Box<Typed>),
    LayerNorm(Box<Typed>, f64),
    /// An op that is known wholly.
    Op(Op, Vec<Typed>),
    /// A scalar repeated to the result's shape.
    Broadcast(Box<Typed>),
    /// The same elements in the result's shape.
    Reshape(Box<Typed>),
    /// a bᵀ, in the domain of the two or summed to one.
    Outer(Box<[Typed; 2]>, Option<Domain>),
    Dense {
        name: String,
        size: Size,
        /// With what each is to be called.
        operands: Vec<(Option<Name>, Typed)>,
        bias: bool,
    },
    Embedding {
        name: String,
        rows: usize,
        size: Size,
        index: Box<Typed>,
    },
}

/// A scalar repeated to a form.
pub(crate) fn spread_out(value: Typed, form: Form) -> Typed {
    if form == Form::Scalar {
        return value;
    }
    Typed {
        span: value.span,
        kind: TypedKind::Broadcast(Box::new(value)),
        form,
    }
}
