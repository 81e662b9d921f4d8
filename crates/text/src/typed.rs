//! A cell file with resolved names and shapes: the things to record, in order.

use retrograd_tape::{Composite, Domain, InputRole, Map, Op};

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
    /// Names a value.
    Define {
        name: Name,
        value: Typed,
    },
    /// Sets a state's next value, called `name`.
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

/// A state's value before the first step.
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
    /// An element-wise op; scalars are repeated.
    Map(Map, Vec<Typed>),
    Square(Box<Typed>),
    Softmax(Box<Typed>),
    LayerNorm(Box<Typed>, f64),
    /// A composite function of the tape, its attribute and operands.
    Composite(&'static Composite, f64, Vec<Typed>),
    /// An op with all its attributes known.
    Op(Op, Vec<Typed>),
    /// A scalar repeated to the result's shape.
    Broadcast(Box<Typed>),
    /// The same elements in the result's shape.
    Reshape(Box<Typed>),
    /// a bᵀ, in the joint domain of the two or summed to a given one.
    Outer(Box<[Typed; 2]>, Option<Domain>),
    Dense {
        name: String,
        size: Size,
        /// With the name of each operand.
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
