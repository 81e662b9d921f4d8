//! Parses a cell file into its tree. Expressions are in `expr.rs`.

use std::sync::Arc;

use retrograd_tape::InputRole;

use crate::ast::{
    CellFile, Expr, ExprKind, InitialValue, InitialiserCall, Name, StateDeclaration, Statement,
};
use crate::error::{TextError, nearest};
use crate::lexer::{Lexer, Token};
use crate::source::{Source, Span};

/// Maximum length of a text, in bytes.
const LONGEST: usize = 16 << 20;

/// Parses a cell file of at most 16 MiB.
///
/// # Errors
/// The first syntax error, with its line.
pub fn parse_cell(name: &str, text: &str) -> Result<CellFile, TextError> {
    if text.len() > LONGEST {
        let message = format!(
            "the text has {} bytes, too many for a cell file",
            text.len()
        );
        let beginning: String = text.chars().take_while(|&c| c != '\n').take(80).collect();
        let (source, at) = (Source::new(name, &beginning), Span { start: 0, end: 0 });
        let label = format!("expected at most {LONGEST} bytes");
        return Err(TextError::new(&source, at, message, label));
    }
    let source = Source::new(name, text);
    let lexer = Lexer::new(&source);
    Parser { source, lexer }.file()
}

pub(crate) struct Parser {
    pub(crate) source: Arc<Source>,
    pub(crate) lexer: Lexer,
}

/// Words that a line can begin with.
const LINES: [&str; 12] = [
    "input",
    "static",
    "mask",
    "target",
    "weight_input",
    "param",
    "state",
    "init",
    "output",
    "loss",
    "weight",
    "sum_loss",
];

fn input_role(word: &str) -> Option<InputRole> {
    match word {
        "input" => Some(InputRole::Sequence),
        "static" => Some(InputRole::Static),
        "mask" => Some(InputRole::Mask),
        "target" => Some(InputRole::Target),
        "weight_input" => Some(InputRole::Weight),
        _ => None,
    }
}

impl Parser {
    pub(crate) fn name(&mut self, what: &str) -> Result<Name, TextError> {
        let (text, span) = self.lexer.name(what)?;
        Ok(Name { text, span })
    }

    /// The next word, if there is one.
    fn word(&self) -> Option<&str> {
        match self.lexer.peek() {
            (Token::Name, span) => Some(self.lexer.text(span)),
            _ => None,
        }
    }

    fn file(mut self) -> Result<CellFile, TextError> {
        self.lexer.skip_newlines();
        if !self.lexer.take_word("cell") {
            return Err(self.lexer.unexpected("`cell` and its name"));
        }
        let name = self.name("the cell's name")?;
        let mut statements = self.head()?;
        let dims = self.dimensions()?;
        loop {
            match self.lexer.peek().0 {
                Token::End => break,
                Token::Newline => self.lexer.skip_newlines(),
                _ => return Err(self.lexer.unexpected("the end of the line")),
            }
            if self.lexer.peek().0 != Token::End {
                statements.push(self.statement()?);
            }
        }
        Ok(CellFile {
            source: self.source,
            name,
            dims,
            statements,
        })
    }

    /// `(x[4], static s[3]; h[64], c[64] delay 2)`
    fn head(&mut self) -> Result<Vec<Statement>, TextError> {
        let mut out = Vec::new();
        let open = self.lexer.expect("(", "and the cell's inputs")?;
        let mut states = false;
        while !self.lexer.take(")") {
            if self.lexer.take(";") {
                if states {
                    let error = self.lexer.unexpected("`,` or `)`");
                    return Err(error.and(open, "one `;` parts the inputs from the states".into()));
                }
                states = true;
                continue;
            }
            if states {
                out.push(Statement::State(self.state()?));
            } else {
                let role = self.word().and_then(input_role);
                // An input may be called `target`: a role must be followed by a name.
                let mut ahead = self.lexer.clone();
                ahead.next();
                if role.is_some() && ahead.peek().0 == Token::Name {
                    self.lexer.next();
                    out.push(self.input(role.unwrap_or(InputRole::Sequence))?);
                } else {
                    out.push(self.input(InputRole::Sequence)?);
                }
            }
            match self.lexer.peek().0 {
                Token::Sign("," | ";" | ")") => {
                    self.lexer.take(",");
                }
                _ => {
                    let expected = if states {
                        "`,`, `)`, or the state's `delay` or `init`"
                    } else {
                        "`,`, `;` before the states, or `)`"
                    };
                    let error = self.lexer.unexpected(expected);
                    return Err(error.and(open, "opened here".into()));
                }
            }
        }
        Ok(out)
    }

    /// `where I=4, H=64`, on the head's line or the next.
    fn dimensions(&mut self) -> Result<Vec<(Name, Expr)>, TextError> {
        let mut ahead = self.lexer.clone();
        ahead.skip_newlines();
        let mut dims = Vec::new();
        if !ahead.take_word("where") {
            return Ok(dims);
        }
        self.lexer = ahead;
        loop {
            let name = self.name("a dimension's name")?;
            self.lexer.expect("=", "and its value")?;
            dims.push((name, self.expression()?));
            if !self.lexer.take(",") {
                return Ok(dims);
            }
            self.lexer.skip_newlines();
        }
    }

    /// `[4, 64]`, or nothing for a scalar.
    fn shape(&mut self) -> Result<Vec<Expr>, TextError> {
        if self.lexer.peek().0 != Token::Sign("[") {
            return Ok(Vec::new());
        }
        let span = self.lexer.peek().1;
        let Expr {
            kind, span: end, ..
        } = self.expression_atom()?;
        let span = span.to(end);
        match kind {
            ExprKind::Shape(sizes) if sizes.len() <= 2 => Ok(sizes),
            _ => Err(TextError::new(
                &self.source,
                span,
                "a value has at most two axes".into(),
                "expected [], [n] or [m, n]".into(),
            )),
        }
    }

    fn input(&mut self, role: InputRole) -> Result<Statement, TextError> {
        let name = self.name("a name")?;
        let shape = self.shape()?;
        let mut keep = None;
        if role == InputRole::Mask {
            if !self.lexer.take_word("keep") {
                let what = "`keep` and the probability that an element is kept";
                return Err(self.lexer.unexpected(what));
            }
            keep = Some(self.expression()?);
        }
        Ok(Statement::Input {
            role,
            name,
            shape,
            keep,
        })
    }

    fn state(&mut self) -> Result<StateDeclaration, TextError> {
        let name = self.name("a state's name")?;
        let shape = self.shape()?;
        let mut delay = None;
        let mut init = InitialValue::Given;
        loop {
            if self.lexer.take_word("delay") {
                delay = Some(self.expression()?);
            } else if self.lexer.take_word("init") {
                init = match self.word() {
                    Some("learned") => {
                        self.lexer.next();
                        InitialValue::Learned
                    }
                    _ => InitialValue::Value(self.expression()?),
                };
            } else {
                return Ok(StateDeclaration {
                    name,
                    shape,
                    delay,
                    init,
                });
            }
        }
    }

    /// `normal(0.1)`, `orthogonal`, or a number for all elements.
    fn start(&mut self) -> Result<InitialiserCall, TextError> {
        let at = self.lexer.peek().1;
        if let Some("zeros" | "fan_in" | "identity" | "orthogonal") = self.word() {
            let kind = self.name("")?;
            let span = kind.span;
            return Ok(InitialiserCall {
                kind,
                number: None,
                span,
            });
        }
        if let Some("constant" | "uniform" | "normal") = self.word() {
            let kind = self.name("")?;
            self.lexer.expect("(", "and a number")?;
            let number = Some(self.expression()?);
            self.lexer.expect(")", "after the number")?;
            let span = kind.span.to(self.lexer.behind());
            return Ok(InitialiserCall { kind, number, span });
        }
        let number = match self.lexer.peek().0 {
            Token::Number(_) | Token::Sign("-" | "(") => self.expression()?,
            _ => {
                return Err(self.lexer.unexpected(
                    "how the parameter starts: a number, zeros, constant(v), uniform(k), fan_in, normal(deviation), \
                     identity or orthogonal",
                ));
            }
        };
        let span = number.span;
        let kind = Name {
            text: "constant".into(),
            span: at,
        };
        Ok(InitialiserCall {
            kind,
            number: Some(number),
            span,
        })
    }

    fn statement(&mut self) -> Result<Statement, TextError> {
        let (text, span) = self
            .lexer
            .name("a line of a cell: an equation, or a word such as `output`, `param`, `loss`")?;
        // A word is a name where `=` follows: a gate may be called `input` or `output`.
        if self.lexer.take("=") {
            let name = Name { text, span };
            let value = self.expression()?;
            return Ok(Statement::Assign { name, value });
        }
        self.line(&text)
    }

    fn line(&mut self, word: &str) -> Result<Statement, TextError> {
        if let Some(role) = input_role(word) {
            return self.input(role);
        }
        match word {
            "param" => {
                let name = self.name("the parameter's name")?;
                let shape = self.shape()?;
                let init = match self.lexer.take_word("init") {
                    true => Some(self.start()?),
                    false => None,
                };
                Ok(Statement::Param { name, shape, init })
            }
            "state" => Ok(Statement::State(self.state()?)),
            "init" => {
                let name = self.name("the name of a parameter")?;
                self.lexer.expect("=", "and how it starts")?;
                let start = self.start()?;
                Ok(Statement::Init { name, start })
            }
            "output" => {
                let name = self.name("the output's name")?;
                let value = if self.lexer.take("=") {
                    self.expression()?
                } else {
                    Expr {
                        kind: ExprKind::Name(name.text.clone()),
                        span: name.span,
                        depth: 1,
                    }
                };
                Ok(Statement::Output { name, value })
            }
            "loss" => Ok(Statement::Loss(self.expression()?)),
            "weight" => Ok(Statement::Weight(self.expression()?)),
            "sum_loss" => Ok(Statement::SumLoss),
            _ => {
                let error = self.lexer.unexpected(&format!("`=` after `{word}`"));
                Err(match nearest(word, LINES.into_iter()) {
                    Some(near) => error.help(format!("did you mean `{near}`?")),
                    None => error,
                })
            }
        }
    }
}
