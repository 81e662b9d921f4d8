//! A cell file with resolved names and shapes: the things to record, in order.

use std::ops::Range;

use retrograd_tape::{Composite, Domain, Init, InputRole, Map, Op};

use crate::along::Along;
use crate::ast::Name;
use crate::sizes::{Form, Size};
use crate::source::Span;

/// The number of a value that has a name, or that is used more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ValueId(pub(crate) usize);

/// One thing to record. Names are unique in the whole program: `l1.h` is the state `h` of the layer `l1`.
#[derive(Debug)]
pub(crate) enum Action {
    Input {
        id: ValueId,
        role: InputRole,
        name: Name,
        form: Form,
        range: Option<Range<f64>>,
        domain: Domain,
    },
    Mask {
        id: ValueId,
        name: Name,
        form: Form,
        keep: f64,
        domain: Domain,
    },
    Param {
        id: ValueId,
        name: Name,
        form: Form,
        start: Init,
    },
    State {
        id: ValueId,
        name: Name,
        form: Form,
        delay: i32,
        init: Beginning,
    },
    Init {
        name: Name,
        start: Init,
    },
    /// Records a value, under a name if it has one.
    Define {
        id: ValueId,
        name: Option<Name>,
        value: Typed,
    },
    /// Sets a state's next value, called `name`.
    Next {
        id: ValueId,
        state: ValueId,
        name: Name,
        value: Typed,
    },
    Output {
        name: Name,
        value: Typed,
    },
    Loss(Typed, Option<Typed>),
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
    Value(ValueId),
    /// A parameter that was made before, by its name.
    Parameter(String),
    /// An element-wise op; scalars are repeated.
    Map(Map, Vec<Typed>),
    Along(Along, Vec<Typed>),
    /// A composite function and its attribute.
    Composite(&'static Composite, f64, Vec<Typed>),
    /// An op with all its attributes known.
    Op(Op, Vec<Typed>),
    /// The gradient of a scalar of this step with respect to a value of it.
    Gradient(Box<[Typed; 2]>),
    /// A scalar repeated to the result's shape.
    Broadcast(Box<Typed>),
    /// The same elements in the result's shape.
    Reshape(Box<Typed>),
    /// a bᵀ, in the joint domain of the two or summed to a given one.
    Outer(Box<[Typed; 2]>, Option<Domain>),
    Dense {
        layer: LayerUse,
        /// A product for each, if the operands have an axis for them.
        heads: Option<Size>,
        size: Size,
        operands: Vec<DenseOperand>,
        bias: bool,
    },
    Embedding {
        layer: LayerUse,
        rows: usize,
        size: Size,
        index: Box<Typed>,
    },
}

/// An operand of a dense layer.
#[derive(Debug)]
pub(crate) struct DenseOperand {
    /// What it is called in its matrix's name.
    pub(crate) own: String,
    /// The call gives it that name: it is its own, if it has none.
    pub(crate) labelled: bool,
    /// Of its matrix.
    pub(crate) columns: Size,
    pub(crate) value: Typed,
}

/// The parameters that a layer uses.
#[derive(Clone, Debug)]
pub(crate) struct LayerUse {
    /// What its parameters' names begin with.
    pub(crate) name: String,
    /// An earlier application made the parameters.
    pub(crate) again: bool,
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
