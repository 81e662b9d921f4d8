//! The expression grammar.

use crate::ast::{Arg, Call, Expr, ExprKind, Infix, LabelKind, Name, Selection};
use crate::error::TextError;
use crate::lexer::Token;
use crate::parse::Parser;
use crate::source::Span;

/// The greatest depth of an expression: all later stages recurse over it.
const DEEPEST: usize = 200;

/// An operator's precedence; a greater number binds tighter. Unary minus is between `*` and `@`, but may begin an exponent.
fn binding(infix: Infix) -> u8 {
    match infix {
        Infix::Lt | Infix::Le | Infix::Gt | Infix::Ge | Infix::Eq => 1,
        Infix::Add | Infix::Sub => 2,
        Infix::Mul | Infix::Div => 3,
        Infix::MatMul => 5,
        Infix::Pow => 6,
    }
}
const NEGATION: u8 = 4;

impl Parser {
    /// An expression.
    pub(crate) fn expression(&mut self) -> Result<Expr, TextError> {
        self.infix(0, 0)
    }

    /// An expression without operators.
    pub(crate) fn expression_atom(&mut self) -> Result<Expr, TextError> {
        self.atom(0)
    }

    fn made(&self, kind: ExprKind, span: Span, inner: &[usize]) -> Result<Expr, TextError> {
        let depth = 1 + inner.iter().max().copied().unwrap_or(0);
        self.shallow(depth, span)?;
        Ok(Expr { kind, span, depth })
    }

    fn shallow(&self, depth: usize, at: Span) -> Result<(), TextError> {
        if depth <= DEEPEST {
            return Ok(());
        }
        let end = at.start + self.lexer.text(at).chars().next().map_or(0, char::len_utf8);
        Err(TextError::new(
            &self.source,
            Span { end, ..at },
            format!("an expression of more than {DEEPEST} levels"),
            "expected a part of it to have an equation of its own".into(),
        ))
    }

    /// Operators that bind tighter than `than`; `level` is the recursion depth.
    fn infix(&mut self, than: u8, level: usize) -> Result<Expr, TextError> {
        self.shallow(level, self.lexer.peek().1)?;
        let mut left = self.unary(level)?;
        loop {
            let (Token::Sign(sign), _) = self.lexer.peek() else {
                return Ok(left);
            };
            let Some(&(_, infix)) = Infix::ALL.iter().find(|(s, _)| *s == sign) else {
                return Ok(left);
            };
            let tightness = binding(infix);
            if tightness <= than {
                return Ok(left);
            }
            self.lexer.next();
            self.lexer.skip_newlines();
            // `A @ B @ x` is A (B x), `x^y^z` is x^(y^z); the others group from the left.
            let right = match infix {
                Infix::Pow if self.lexer.peek().0 == Token::Sign("-") => {
                    self.negation(tightness - 1, level + 1)?
                }
                Infix::MatMul | Infix::Pow => self.infix(tightness - 1, level + 1)?,
                _ => self.infix(tightness, level + 1)?,
            };
            let (span, depths) = (left.span.to(right.span), [left.depth, right.depth]);
            let kind = ExprKind::Infix(infix, Box::new(left), Box::new(right));
            left = self.made(kind, span, &depths)?;
            if let (1, (Token::Sign(sign), at)) = (tightness, self.lexer.peek())
                && Infix::ALL
                    .iter()
                    .any(|&(s, i)| s == sign && binding(i) == 1)
            {
                return Err(TextError::new(
                    &self.source,
                    at,
                    "comparisons cannot be chained".into(),
                    "expected a comparison of two values".into(),
                ));
            }
        }
    }

    fn unary(&mut self, level: usize) -> Result<Expr, TextError> {
        match self.lexer.peek().0 {
            Token::Sign("-") => self.negation(NEGATION, level),
            _ => self.atom(level),
        }
    }

    /// A minus and its operand, whose operators bind tighter than `than`.
    fn negation(&mut self, than: u8, level: usize) -> Result<Expr, TextError> {
        let at = self.lexer.expect("-", "")?;
        let inner = self.infix(than, level + 1)?;
        let (span, depth) = (at.to(inner.span), inner.depth);
        let kind = match inner.kind {
            ExprKind::Number(x) => ExprKind::Number(-x),
            _ => ExprKind::Neg(Box::new(inner)),
        };
        self.made(kind, span, &[depth])
    }

    /// A value without operators, and the parts that are selected from it.
    fn atom(&mut self, level: usize) -> Result<Expr, TextError> {
        let mut whole = self.plain(level)?;
        let mut inside = level;
        while self.lexer.peek().0 == Token::Sign("[") {
            inside += 1;
            let selections = self.selections(inside)?;
            let span = whole.span.to(self.lexer.behind());
            whole = self.part(whole, selections, span)?;
        }
        Ok(whole)
    }

    fn part(&self, whole: Expr, selections: Vec<Selection>, span: Span) -> Result<Expr, TextError> {
        let mut depths = vec![whole.depth];
        for selection in &selections {
            match selection {
                Selection::One(e) => depths.push(e.depth),
                Selection::Range(a, b) => {
                    depths.extend([a, b].into_iter().flatten().map(|e| e.depth));
                }
            }
        }
        self.made(ExprKind::Part(Box::new(whole), selections), span, &depths)
    }

    fn plain(&mut self, level: usize) -> Result<Expr, TextError> {
        let (token, span) = self.lexer.peek();
        match token {
            Token::Number(x) if x.is_infinite() => {
                let message = format!(
                    "the number `{}` is too large for f64",
                    self.lexer.text(span)
                );
                let label = format!("expected at most {:e}", f64::MAX);
                Err(TextError::new(&self.source, span, message, label))
            }
            Token::Number(x) => {
                self.lexer.next();
                self.made(ExprKind::Number(x), span, &[])
            }
            Token::Name => {
                let name = self.name("a name")?;
                match self.lexer.peek().0 {
                    Token::Sign("(") => self.call(name, None, level),
                    Token::Sign("[") => self.bracketed(name, level),
                    _ => self.made(ExprKind::Name(name.text), span, &[]),
                }
            }
            Token::Quoted => {
                self.lexer.next();
                let text = self.lexer.text(span).trim_matches('"').to_owned();
                self.made(ExprKind::Quoted(text), span, &[])
            }
            Token::Sign("(") => {
                self.lexer.next();
                let inner = self.infix(0, level + 1)?;
                self.close(")", span)?;
                let span = span.to(self.lexer.behind());
                Ok(Expr { span, ..inner })
            }
            Token::Sign("[") => {
                let sizes = self.sizes(level)?;
                let span = span.to(self.lexer.behind());
                let depths: Vec<usize> = sizes.iter().map(|e| e.depth).collect();
                self.made(ExprKind::Shape(sizes), span, &depths)
            }
            _ => Err(self.lexer.unexpected("a value")),
        }
    }

    /// The bracket that closes the one at `open`.
    fn close(&mut self, sign: &'static str, open: Span) -> Result<(), TextError> {
        match self.lexer.take(sign) {
            true => Ok(()),
            false => {
                let error = self.lexer.unexpected(&format!("an operator or `{sign}`"));
                Err(error.and(open, "opened here".into()))
            }
        }
    }

    /// `[4, 64]`
    fn sizes(&mut self, level: usize) -> Result<Vec<Expr>, TextError> {
        let open = self.lexer.expect("[", "")?;
        let mut sizes = Vec::new();
        while !self.lexer.take("]") {
            sizes.push(self.infix(0, level + 1)?);
            if !self.lexer.take(",") {
                self.close("]", open)?;
                break;
            }
        }
        Ok(sizes)
    }

    /// `dense[64](x)`, or a part of a value, `x[0]`, whose name has been read.
    fn bracketed(&mut self, name: Name, level: usize) -> Result<Expr, TextError> {
        let selections = self.selections(level)?;
        if self.lexer.peek().0 == Token::Sign("(") {
            let sizes = (selections.into_iter())
                .map(|selection| match selection {
                    Selection::One(size) => Ok(size),
                    Selection::Range(..) => Err(TextError::new(
                        &self.source,
                        name.span,
                        format!("`{}` is called with a range as its size", name.text),
                        "expected sizes, as in dense[64](x)".into(),
                    )),
                })
                .collect::<Result<_, _>>()?;
            return self.call(name, Some(sizes), level);
        }
        let span = name.span.to(self.lexer.behind());
        let value = self.made(ExprKind::Name(name.text), name.span, &[])?;
        self.part(value, selections, span)
    }

    /// `[0]`, `[1..3, ..]`
    fn selections(&mut self, level: usize) -> Result<Vec<Selection>, TextError> {
        let open = self.lexer.expect("[", "")?;
        let mut selections = Vec::new();
        while !self.lexer.take("]") {
            let first = match self.lexer.peek().0 {
                Token::Sign("..") => None,
                _ => Some(self.infix(0, level + 1)?),
            };
            let range = self.lexer.take("..");
            let ends = matches!(self.lexer.peek().0, Token::Sign("," | "]"));
            selections.push(match first {
                Some(one) if !range => Selection::One(one),
                first if ends => Selection::Range(first, None),
                first => Selection::Range(first, Some(self.infix(0, level + 1)?)),
            });
            if !self.lexer.take(",") {
                self.close("]", open)?;
                break;
            }
        }
        Ok(selections)
    }

    /// A layer, with or without operands.
    pub(crate) fn layer_call(&mut self, function: Name) -> Result<Expr, TextError> {
        let sizes = match self.lexer.peek().0 {
            Token::Sign("[") => Some(self.sizes(0)?),
            _ => None,
        };
        if self.lexer.peek().0 == Token::Sign("(") {
            return self.call(function, sizes, 0);
        }
        let span = function.span.to(self.lexer.behind());
        let args = Vec::new();
        let kind = ExprKind::Call(Call {
            function,
            sizes,
            args,
        });
        self.made(kind, span, &[])
    }

    /// The call of a function whose name and sizes have been read.
    fn call(
        &mut self,
        function: Name,
        sizes: Option<Vec<Expr>>,
        level: usize,
    ) -> Result<Expr, TextError> {
        let start = function.span;
        let open = self.lexer.expect("(", "and the operands")?;
        let mut args = Vec::new();
        while !self.lexer.take(")") {
            args.push(self.arg(level)?);
            if !self.lexer.take(",") {
                self.close(")", open)?;
                break;
            }
        }
        let span = start.to(self.lexer.behind());
        let inner = args.iter().map(|a| a.value.depth);
        let sized = sizes.iter().flatten().map(|e| e.depth);
        let depths: Vec<usize> = inner.chain(sized).collect();
        let kind = ExprKind::Call(Call {
            function,
            sizes,
            args,
        });
        self.made(kind, span, &depths)
    }

    /// `x`, `axis=1`, `h: r * h` or `2..5`
    fn arg(&mut self, level: usize) -> Result<Arg, TextError> {
        let mut ahead = self.lexer.clone();
        ahead.next();
        let kind = match (self.lexer.peek().0, ahead.peek().0) {
            (Token::Name, Token::Sign("=")) => Some(LabelKind::Attribute),
            (Token::Name, Token::Sign(":")) => Some(LabelKind::Operand),
            _ => None,
        };
        let mut label = None;
        if let Some(kind) = kind {
            let name = self.name("a label")?;
            self.lexer.next();
            label = Some((name, kind));
        }
        let mut value = self.infix(0, level + 1)?;
        if self.lexer.take("..") {
            let end = self.infix(0, level + 1)?;
            let (span, depths) = (value.span.to(end.span), [value.depth, end.depth]);
            let kind = ExprKind::Range(Box::new(value), Box::new(end));
            value = self.made(kind, span, &depths)?;
        }
        Ok(Arg { label, value })
    }
}
