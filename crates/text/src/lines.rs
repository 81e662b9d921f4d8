//! Parses the lines of a cell: declarations, equations, repetitions. Whole files are in `parse.rs`.

use retrograd_tape::{InputRole, Shape};

use crate::ast::{
    Arg, Expr, ExprKind, InitialValue, LabelKind, Name, Repetition, Start, StateDeclaration,
    Statement,
};
use crate::error::{TextError, nearest};
use crate::lexer::Token;
use crate::numbers::rule;
use crate::parse::Parser;
use crate::source::Span;

/// Words that a line can begin with.
pub(crate) const LINES: [&str; 17] = [
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
    "layer",
    "for",
    "def",
    "use",
    "cell",
];

pub(crate) fn input_role(word: &str) -> Option<InputRole> {
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
    /// `[4, 64]`, or nothing for a scalar.
    pub(crate) fn shape(&mut self) -> Result<Vec<Expr>, TextError> {
        if self.lexer.peek().0 != Token::Sign("[") {
            return Ok(Vec::new());
        }
        let span = self.lexer.peek().1;
        let Expr {
            kind, span: end, ..
        } = self.expression_atom()?;
        let span = span.to(end);
        match kind {
            ExprKind::Shape(sizes) if sizes.len() <= Shape::MAX_RANK => Ok(sizes),
            _ => Err(TextError::new(
                &self.source,
                span,
                "a value has at most three axes".into(),
                "expected [], [n], [m, n] or [h, m, n]".into(),
            )),
        }
    }

    pub(crate) fn input(&mut self, role: InputRole) -> Result<Statement, TextError> {
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
        let (mut range, mut over) = (None, None);
        loop {
            if range.is_none() && self.lexer.take_word("in") {
                let from = self.expression()?;
                self.lexer.expect("..", "and the end of the range")?;
                range = Some(Box::new((from, self.expression()?)));
            } else if over.is_none() && self.lexer.take_word("over") {
                over = Some(self.expression()?);
            } else {
                break;
            }
        }
        Ok(Statement::Input {
            role,
            name,
            shape,
            keep,
            range,
            over,
        })
    }

    pub(crate) fn state(&mut self) -> Result<StateDeclaration, TextError> {
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

    /// `orthogonal`, or an expression for each element, such as `normal(0.1)`.
    fn start(&mut self) -> Result<Start, TextError> {
        let mut ahead = self.lexer.clone();
        if self.word().is_some_and(|word| rule(word).is_some()) {
            ahead.next();
            if ahead.peek().0 != Token::Sign("(") {
                return Ok(Start::Named(self.name("")?));
            }
        }
        match self.lexer.peek().0 {
            Token::Number(_) | Token::Name | Token::Sign("-" | "(") => {
                let each = self.expression()?;
                let like = match self.lexer.take_word("like") {
                    true => Some(self.name("the parameter whose random numbers it has")?),
                    false => None,
                };
                Ok(Start::Each(each, like))
            }
            _ => Err(self.lexer.unexpected(
                "how the parameter starts: zeros, fan_in, glorot_uniform, glorot_normal, he_uniform, he_normal, identity, orthogonal, \
                 or an expression of numbers, uniform(a, b), normal(deviation), chrono(steps), uniform_gate(n) and index(axis)",
            )),
        }
    }

    pub(crate) fn statement(&mut self) -> Result<Statement, TextError> {
        let (text, span) = self
            .lexer
            .name("a line of a cell: an equation, or a word such as `output`, `param`, `loss`")?;
        // A word is a name where `=` follows: a gate may be called `input` or `output`.
        if self.lexer.take("=") {
            let name = Name { text, span };
            let value = self.expression()?;
            return Ok(Statement::Assign { name, value });
        }
        self.line(&text, span)
    }

    /// `layer l1 = lstm(x, H=64)`, or, to be applied by name, `layer f = dense[H]`.
    fn layer(&mut self) -> Result<Statement, TextError> {
        let name = self.name("the layer's name")?;
        self.lexer.expect("=", "and the layer")?;
        let function = self.name("a layer, a cell or a function")?;
        let start = function.span;
        let value = self.layer_call(function)?;
        let ExprKind::Call(call) = &value.kind else {
            return Err(TextError::new(
                &self.source,
                start,
                "this is no layer".into(),
                "expected a call, as in lstm(x, H=64), or a layer to apply later, as in dense[64]"
                    .into(),
            ));
        };
        let operand = |a: &Arg| !matches!(a.label, Some((_, LabelKind::Attribute)));
        match call.args.iter().any(operand) {
            true => Ok(Statement::Assign { name, value }),
            false => Ok(Statement::Layer {
                name,
                call: call.clone(),
            }),
        }
    }

    /// `k in 0..L carrying y = x, z = 0 { … }`
    fn repetition(&mut self) -> Result<Statement, TextError> {
        let index = self.name("the index's name")?;
        if !self.lexer.take_word("in") {
            return Err(self.lexer.unexpected("`in` and a range"));
        }
        let from = self.expression()?;
        self.lexer.expect("..", "and the end of the range")?;
        let to = self.expression()?;
        let mut carried = Vec::new();
        if self.lexer.take_word("carrying") {
            loop {
                let name =
                    self.name("the name of a value that each iteration hands to the next")?;
                self.lexer
                    .expect("=", "and what it is in the first iteration")?;
                carried.push((name, self.expression()?));
                if !self.lexer.take(",") {
                    break;
                }
                self.lexer.skip_newlines();
            }
        }
        let open = self.lexer.expect("{", "and the lines to repeat")?;
        let end = |p: &mut Parser| (p.lexer.peek().0 == Token::Sign("}")).then_some(Ok(()));
        let (body, ()) = self.block(open, end)?;
        Ok(Statement::For(Repetition {
            index,
            from,
            to,
            carried,
            body,
        }))
    }

    fn line(&mut self, word: &str, at: Span) -> Result<Statement, TextError> {
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
            "layer" => self.layer(),
            "for" => self.repetition(),
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
            "loss" => {
                let loss = self.expression()?;
                let weight = match self.lexer.take_word("weight") {
                    true => Some(self.expression()?),
                    false => None,
                };
                Ok(Statement::Loss(loss, weight))
            }
            "weight" => Ok(Statement::Weight(self.expression()?)),
            "sum_loss" => Ok(Statement::SumLoss(at)),
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
