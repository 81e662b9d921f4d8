//! A cell file's contents, as a tree with source places.

use std::sync::Arc;

use retrograd_tape::InputRole;

use crate::error::TextError;
use crate::source::{Source, Span};

/// A name and its place.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    /// The name, with its primes.
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// A cell file.
#[derive(Clone, Debug)]
pub struct CellFile {
    pub(crate) source: Arc<Source>,
    pub(crate) name: Name,
    /// Symbolic dimensions and their values, which may refer to earlier ones.
    pub(crate) dims: Vec<(Name, Expr)>,
    /// The inputs and states of the head, then the lines.
    pub(crate) statements: Vec<Statement>,
}

impl CellFile {
    /// The cell's name.
    pub fn name(&self) -> &str {
        &self.name.text
    }

    /// The names of its symbolic dimensions.
    pub fn dimensions(&self) -> impl Iterator<Item = &str> {
        self.dims.iter().map(|(name, _)| name.text.as_str())
    }

    /// The value that the cell's `where` gives a dimension, if it is a number.
    pub fn default_of(&self, dimension: &str) -> Option<usize> {
        let (_, value) = self.dims.iter().find(|(n, _)| n.text == dimension)?;
        match value.kind {
            ExprKind::Number(x) if x >= 1.0 && x.fract() == 0.0 => Some(x as usize),
            _ => None,
        }
    }

    /// Its inputs in textual order: role, name, and the symbolic dimension if that alone is its shape, as in `x[I]`.
    pub fn inputs(&self) -> impl Iterator<Item = (InputRole, &str, Option<&str>)> {
        self.statements.iter().filter_map(|s| match s {
            Statement::Input {
                role, name, shape, ..
            } => {
                let dimension = match &shape[..] {
                    [one] => self.symbol(one),
                    _ => None,
                };
                Some((*role, name.text.as_str(), dimension))
            }
            _ => None,
        })
    }

    fn symbol<'e>(&self, e: &'e Expr) -> Option<&'e str> {
        let ExprKind::Name(name) = &e.kind else {
            return None;
        };
        let known = self.dims.iter().any(|(dim, _)| dim.text == *name);
        known.then_some(name)
    }

    /// A mistake about one of its inputs or outputs, or, without a name, about the cell.
    pub fn mistake(&self, name: Option<&str>, message: String, expected: String) -> TextError {
        let found = self.statements.iter().find_map(|s| match s {
            Statement::Input { name: n, .. } | Statement::Output { name: n, .. } => {
                (Some(n.text.as_str()) == name).then_some(n.span)
            }
            _ => None,
        });
        let at = found.unwrap_or(self.name.span);
        TextError::new(&self.source, at, message, expected)
    }

    /// The text and its name.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }
}

/// A line of a cell file.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    /// An input of any role except `Param` and `Initial`; `keep` belongs to a mask.
    Input {
        role: InputRole,
        name: Name,
        shape: Vec<Expr>,
        keep: Option<Expr>,
    },
    Param {
        name: Name,
        shape: Vec<Expr>,
        init: Option<InitialiserCall>,
    },
    State(StateDeclaration),
    /// `init forget.bias = 1`
    Init {
        name: Name,
        start: InitialiserCall,
    },
    /// `a = …` and `c' = …`
    Assign {
        name: Name,
        value: Expr,
    },
    Output {
        name: Name,
        value: Expr,
    },
    Loss(Expr),
    Weight(Expr),
    SumLoss,
}

/// `h[64] delay 2 init learned`
#[derive(Clone, Debug)]
pub(crate) struct StateDeclaration {
    pub(crate) name: Name,
    pub(crate) shape: Vec<Expr>,
    pub(crate) delay: Option<Expr>,
    pub(crate) init: InitialValue,
}

#[derive(Clone, Debug)]
pub(crate) enum InitialValue {
    Given,
    Learned,
    Value(Expr),
}

/// How a parameter starts: a name, and a number if the name takes one.
#[derive(Clone, Debug)]
pub(crate) struct InitialiserCall {
    pub(crate) kind: Name,
    pub(crate) number: Option<Expr>,
    pub(crate) span: Span,
}

/// An expression.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) span: Span,
    /// Its depth of nesting.
    pub(crate) depth: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum ExprKind {
    Number(f64),
    Name(String),
    Neg(Box<Expr>),
    Infix(Infix, Box<Expr>, Box<Expr>),
    Call(Call),
    /// `[4, 2]`
    Shape(Vec<Expr>),
    /// `2..5`
    Range(Box<Expr>, Box<Expr>),
}

impl Expr {
    /// Adds all names in the expression.
    pub(crate) fn names<'e>(&'e self, out: &mut Vec<&'e str>) {
        match &self.kind {
            ExprKind::Number(_) => {}
            ExprKind::Name(name) => out.push(name),
            ExprKind::Neg(a) => a.names(out),
            ExprKind::Infix(_, a, b) | ExprKind::Range(a, b) => {
                a.names(out);
                b.names(out);
            }
            ExprKind::Call(c) => c.args.iter().for_each(|a| a.value.names(out)),
            ExprKind::Shape(sizes) => sizes.iter().for_each(|e| e.names(out)),
        }
    }
}

/// An infix operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Infix {
    Add,
    Sub,
    Mul,
    Div,
    MatMul,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
}

impl Infix {
    pub(crate) const ALL: [(&'static str, Infix); 10] = [
        ("+", Infix::Add),
        ("-", Infix::Sub),
        ("*", Infix::Mul),
        ("/", Infix::Div),
        ("@", Infix::MatMul),
        ("<", Infix::Lt),
        ("<=", Infix::Le),
        (">", Infix::Gt),
        (">=", Infix::Ge),
        ("==", Infix::Eq),
    ];

    pub(crate) fn sign(self) -> &'static str {
        let found = Infix::ALL.iter().find(|(_, i)| *i == self);
        found.expect("the table has all operators").0
    }
}

/// `dense[64](x, h: r * h)`
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) function: Name,
    /// The contents of the brackets.
    pub(crate) sizes: Option<Vec<Expr>>,
    pub(crate) args: Vec<Arg>,
}

#[derive(Clone, Debug)]
pub(crate) struct Arg {
    /// `axis=` or `h:`
    pub(crate) label: Option<(Name, LabelKind)>,
    pub(crate) value: Expr,
}

/// The kind of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LabelKind {
    /// `axis=1`: an attribute of the function.
    Attribute,
    /// `h: r * h`: the name of a dense layer's operand.
    Operand,
}
