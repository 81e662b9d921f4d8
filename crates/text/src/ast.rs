//! A cell file's lines and expressions, as a tree with source places. Whole files are in `library.rs`.

use retrograd_tape::InputRole;

use crate::source::Span;

/// A name and its place.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    /// The name, with its primes.
    pub(crate) text: String,
    pub(crate) span: Span,
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
        /// The interval that its numbers are drawn from in tests, without its end.
        range: Option<Box<(Expr, Expr)>>,
        /// What it varies over, if the line says it.
        over: Option<Expr>,
    },
    Param {
        name: Name,
        shape: Vec<Expr>,
        init: Option<Start>,
    },
    State(StateDeclaration),
    /// `init forget.bias = 1`
    Init {
        name: Name,
        start: Start,
    },
    /// `a = …` and `c' = …`
    Assign {
        name: Name,
        value: Expr,
    },
    /// `layer f = dense[H]`: a layer that is applied by its name, each time with the same parameters.
    Layer {
        name: Name,
        call: Call,
    },
    /// `for k in 0..L carrying y = x { … }`
    For(Repetition),
    Output {
        name: Name,
        value: Expr,
    },
    /// With the loss's own weight, if it has one.
    Loss(Expr, Option<Expr>),
    Weight(Expr),
    SumLoss(Span),
}

impl Statement {
    /// A place of the statement.
    pub(crate) fn span(&self) -> Span {
        match self {
            Statement::Input { name, .. }
            | Statement::Param { name, .. }
            | Statement::State(StateDeclaration { name, .. })
            | Statement::Init { name, .. }
            | Statement::Assign { name, .. }
            | Statement::Layer { name, .. }
            | Statement::For(Repetition { index: name, .. })
            | Statement::Output { name, .. } => name.span,
            Statement::Loss(e, _) | Statement::Weight(e) => e.span,
            Statement::SumLoss(at) => *at,
        }
    }

    /// The names that the statement defines for the lines below it.
    pub(crate) fn defines(&self) -> impl Iterator<Item = &Name> {
        let (one, more): (Option<&Name>, &[(Name, Expr)]) = match self {
            Statement::Input { name, .. }
            | Statement::Param { name, .. }
            | Statement::Assign { name, .. }
            | Statement::Layer { name, .. }
            | Statement::State(StateDeclaration { name, .. }) => (Some(name), &[]),
            Statement::For(repetition) => (None, &repetition.carried),
            Statement::Init { .. }
            | Statement::Output { .. }
            | Statement::Loss(..)
            | Statement::Weight(_)
            | Statement::SumLoss(_) => (None, &[]),
        };
        one.into_iter().chain(more.iter().map(|(name, _)| name))
    }

    /// Adds all names that the statement defines, also inside of it: indices, and names of each iteration.
    pub(crate) fn gives<'s>(&'s self, out: &mut Vec<&'s Name>) {
        out.extend(self.defines());
        if let Statement::For(repetition) = self {
            out.push(&repetition.index);
            repetition.body.iter().for_each(|s| s.gives(out));
        }
    }

    /// Adds all expressions of the statement, in the order in which they are recorded; of a repetition only what is carried.
    pub(crate) fn expressions<'s>(&'s self, out: &mut Vec<&'s Expr>) {
        match self {
            Statement::Input { shape, .. } => out.extend(shape),
            Statement::Param { shape, init, .. } => {
                out.extend(shape);
                out.extend(init.iter().filter_map(Start::each));
            }
            Statement::State(s) => {
                out.extend(&s.shape);
                if let InitialValue::Value(e) = &s.init {
                    out.push(e);
                }
            }
            Statement::Init { start, .. } => out.extend(start.each()),
            Statement::Assign { value, .. }
            | Statement::Output { value, .. }
            | Statement::Weight(value) => out.push(value),
            Statement::Loss(value, weight) => {
                out.push(value);
                out.extend(weight);
            }
            Statement::Layer { call, .. } => out.extend(call.args.iter().map(|a| &a.value)),
            Statement::For(repetition) => out.extend(repetition.carried.iter().map(|(_, e)| e)),
            Statement::SumLoss(_) => {}
        }
    }

    /// Adds all names that the statement uses.
    pub(crate) fn names<'s>(&'s self, out: &mut Vec<&'s str>) {
        match self {
            Statement::Input { .. } | Statement::Param { .. } | Statement::SumLoss(_) => {}
            Statement::Init { name, .. } => out.push(&name.text),
            Statement::State(s) => {
                if let InitialValue::Value(e) = &s.init {
                    e.names(out);
                }
            }
            Statement::Assign { value, .. }
            | Statement::Output { value, .. }
            | Statement::Weight(value) => value.names(out),
            Statement::Loss(value, weight) => {
                value.names(out);
                weight.iter().for_each(|e| e.names(out));
            }
            Statement::Layer { call, .. } => call.names(out),
            Statement::For(repetition) => {
                repetition.carried.iter().for_each(|(_, e)| e.names(out));
                repetition.body.iter().for_each(|s| s.names(out));
            }
        }
    }
}

/// Lines that are repeated with an index, and the values that each iteration hands to the next.
#[derive(Clone, Debug)]
pub(crate) struct Repetition {
    pub(crate) index: Name,
    pub(crate) from: Expr,
    /// The end, which is excluded.
    pub(crate) to: Expr,
    pub(crate) carried: Vec<(Name, Expr)>,
    pub(crate) body: Vec<Statement>,
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

/// How a parameter starts.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// A rule for the whole parameter, such as `zeros` or `orthogonal`.
    Named(Name),
    /// `1`, `normal(0.1)`, `ln(uniform(1, 16))`, perhaps with the random numbers of another parameter.
    Each(Expr, Option<Name>),
}

impl Start {
    /// The expression for each element.
    fn each(&self) -> Option<&Expr> {
        match self {
            Start::Named(_) => None,
            Start::Each(e, _) => Some(e),
        }
    }
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
    /// `x[0]`, `M[1..3, 0]`
    Part(Box<Expr>, Vec<Selection>),
    /// `[4, 2]`
    Shape(Vec<Expr>),
    /// `2..5`
    Range(Box<Expr>, Box<Expr>),
    /// `"hij,hj->hi"`
    Quoted(String),
}

impl Expr {
    /// Adds all calls in the expression.
    pub(crate) fn calls<'e>(&'e self, out: &mut Vec<&'e Call>) {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Quoted(_) | ExprKind::Name(_) => {}
            ExprKind::Neg(a) => a.calls(out),
            ExprKind::Infix(_, a, b) | ExprKind::Range(a, b) => {
                a.calls(out);
                b.calls(out);
            }
            ExprKind::Call(call) => {
                out.push(call);
                call.args.iter().for_each(|a| a.value.calls(out));
            }
            ExprKind::Part(a, _) => a.calls(out),
            ExprKind::Shape(sizes) => sizes.iter().for_each(|e| e.calls(out)),
        }
    }

    /// Adds all names in the expression.
    pub(crate) fn names<'e>(&'e self, out: &mut Vec<&'e str>) {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Quoted(_) => {}
            ExprKind::Name(name) => out.push(name),
            ExprKind::Neg(a) => a.names(out),
            ExprKind::Infix(_, a, b) | ExprKind::Range(a, b) => {
                a.names(out);
                b.names(out);
            }
            ExprKind::Call(c) => c.names(out),
            ExprKind::Part(a, _) => a.names(out),
            ExprKind::Shape(sizes) => sizes.iter().for_each(|e| e.names(out)),
        }
    }
}

/// What is selected along one axis.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    /// `2`: one index; the axis is dropped.
    One(Expr),
    /// `1..3`, `1..`, `..3` or `..`.
    Range(Option<Expr>, Option<Expr>),
}

/// An infix operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Infix {
    Add,
    Sub,
    Mul,
    Div,
    MatMul,
    Pow,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
}

impl Infix {
    pub(crate) const ALL: [(&'static str, Infix); 11] = [
        ("+", Infix::Add),
        ("-", Infix::Sub),
        ("*", Infix::Mul),
        ("/", Infix::Div),
        ("@", Infix::MatMul),
        ("^", Infix::Pow),
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

impl Call {
    /// Adds all names in the operands, and the function's own, which may be a layer's.
    pub(crate) fn names<'e>(&'e self, out: &mut Vec<&'e str>) {
        out.push(&self.function.text);
        self.args.iter().for_each(|a| a.value.names(out));
    }
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
