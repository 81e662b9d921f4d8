//! A random program of routines: what is drawn, before it is written as text.

/// How wide a value is: as an operand of its routine, as the routine's own size, or so many numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Operand(usize),
    Own,
    Number(usize),
}

#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Name(String),
    Number(f64),
    /// The index of a repetition, and 1.
    After(String),
    Call(&'static str, Box<Expr>),
    Infix(&'static str, Box<Expr>, Box<Expr>),
    /// `x[0]`
    First(Box<Expr>),
    /// `concat(x[1..], x[..1])`
    Rolled(Box<Expr>, Width),
}

#[derive(Clone, Debug)]
pub(crate) enum Line {
    Let {
        name: String,
        value: Expr,
    },
    /// `name = tanh(dense[H](x, q1: y))`
    Dense {
        name: String,
        size: Width,
        operands: Vec<(Option<String>, Expr)>,
        bias: bool,
    },
    Param {
        name: String,
        start: f64,
    },
    State {
        name: String,
        learned: bool,
    },
    Next {
        name: String,
        value: Expr,
    },
    /// A function or a cell where it stands; `layer` is written with the word.
    Call {
        name: String,
        routine: usize,
        size: Width,
        args: Vec<Expr>,
        layer: bool,
    },
    /// A layer to be applied: a routine, or a dense layer.
    Share {
        name: String,
        routine: Option<usize>,
        size: Width,
    },
    Apply {
        name: String,
        layer: String,
        args: Vec<Expr>,
    },
    For {
        index: String,
        range: (usize, usize),
        carried: String,
        first: Expr,
        lines: Vec<Line>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Function,
    Cell,
}

#[derive(Clone, Debug)]
pub(crate) struct Routine {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// The text that it stands in; the first is the cell's.
    pub(crate) file: usize,
    pub(crate) operands: Vec<String>,
    pub(crate) lines: Vec<Line>,
    /// As wide as the routine's own size.
    pub(crate) result: Expr,
    /// What a cell has for itself alone: a target and a loss.
    pub(crate) decoy: bool,
}

/// Routines, of which the last is the program; each uses earlier ones.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) routines: Vec<Routine>,
    /// Which of the numbers of parameters the loss has.
    pub(crate) penalty: usize,
}

impl Expr {
    fn names(&self, out: &mut Vec<String>) {
        match self {
            Expr::Name(name) => out.push(name.clone()),
            Expr::Number(_) | Expr::After(_) => {}
            Expr::Call(_, x) | Expr::First(x) | Expr::Rolled(x, _) => x.names(out),
            Expr::Infix(_, a, b) => {
                a.names(out);
                b.names(out);
            }
        }
    }
}

impl Line {
    /// What it gives to the lines below.
    pub(crate) fn gives(&self) -> String {
        match self {
            Line::Next { name, .. } => format!("{name}'"),
            Line::For { carried, .. } => carried.clone(),
            Line::Let { name, .. }
            | Line::Dense { name, .. }
            | Line::Param { name, .. }
            | Line::State { name, .. }
            | Line::Call { name, .. }
            | Line::Share { name, .. }
            | Line::Apply { name, .. } => name.clone(),
        }
    }

    fn names(&self, out: &mut Vec<String>) {
        match self {
            Line::Let { value, .. } | Line::Next { value, .. } => value.names(out),
            Line::Dense { operands, .. } => operands.iter().for_each(|(_, e)| e.names(out)),
            Line::Param { .. } | Line::Share { .. } => {}
            Line::State { name, .. } => out.push(format!("{name}'")),
            Line::Call { args, .. } => args.iter().for_each(|e| e.names(out)),
            Line::Apply { args, layer, .. } => {
                out.push(layer.clone());
                args.iter().for_each(|e| e.names(out));
            }
            Line::For { first, lines, .. } => {
                first.names(out);
                lines.iter().for_each(|l| l.names(out));
            }
        }
    }
}

/// The lines that the result of a cell needs, in their order: a layer leaves out the others.
pub(crate) fn needed(routine: &Routine) -> Vec<Line> {
    let mut kept = vec![false; routine.lines.len()];
    let mut work = Vec::new();
    routine.result.names(&mut work);
    while let Some(name) = work.pop() {
        let bare = name.trim_end_matches('\'').to_owned();
        for (k, line) in routine.lines.iter().enumerate() {
            let gives = line.gives();
            if (gives == name || gives == bare) && !std::mem::replace(&mut kept[k], true) {
                line.names(&mut work);
            }
        }
    }
    let both = routine.lines.iter().zip(kept);
    both.filter(|b| b.1).map(|b| b.0.clone()).collect()
}
