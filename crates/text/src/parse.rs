//! Parses a text into cells and functions. Their lines are in `lines.rs`, expressions in `expr.rs`.

use std::sync::Arc;

use retrograd_tape::InputRole;

use crate::ast::{Expr, Name, Statement};
use crate::error::TextError;
use crate::lexer::{Lexer, Token};
use crate::library::{CellFile, Found, Parsed, Routine, RoutineKind, Use, Wanted};
use crate::lines::input_role;
use crate::source::{Source, Span};

/// Maximum length of a text, in bytes.
const LONGEST: usize = 16 << 20;

/// Parses a cell file of at most 16 MiB. It may not `use` others: [`parse_cell_with`] finds them.
///
/// # Errors
/// The first syntax error, with its line.
pub fn parse_cell(name: &str, text: &str) -> Result<CellFile, TextError> {
    parse_cell_with(name, text, &mut |wanted| {
        Err(format!("there is no library that has `{}`", wanted.name))
    })
}

/// Parses a cell file of at most 16 MiB, and the texts that its `use` lines ask `find` for.
///
/// ```
/// use retrograd_text::{Found, parse_cell_with};
///
/// let text = "use leak\ncell two(x[3])\nlayer a = leak(x)\nlayer b = leak(a)\noutput b";
/// let leak = "cell leak(x[I]; h[I]) where I=1\nh' = 0.9 * h + x\noutput h'";
/// let file = parse_cell_with("two.cell", text, &mut |wanted| match wanted.name {
///     "leak" => Ok(Found { name: "leak.cell".into(), text: leak.into() }),
///     other => Err(format!("there is no cell `{other}`")),
/// })?;
/// let recorder = retrograd_tape::Recorder::new();
/// retrograd_text::record(&file, &[], &recorder)?;
/// let tape = recorder.finish("two").unwrap();
/// assert!(tape.input("a.h").is_some() && tape.input("b.h").is_some());
/// # Ok::<(), retrograd_text::TextError>(())
/// ```
///
/// # Errors
/// The first syntax error, with its line, or what `find` says.
pub fn parse_cell_with(
    name: &str,
    text: &str,
    find: &mut dyn FnMut(Wanted<'_>) -> Result<Found, String>,
) -> Result<CellFile, TextError> {
    CellFile::read(Source::new(name, text), find)
}

/// Parses one text.
pub(crate) fn parse(source: &Arc<Source>) -> Result<Parsed, TextError> {
    let (name, text, file) = (&source.name, &source.text, source.file);
    if text.len() > LONGEST {
        let message = format!(
            "the text has {} bytes, too many for a cell file",
            text.len()
        );
        let beginning: String = text.chars().take_while(|&c| c != '\n').take(80).collect();
        let source = Source::numbered(name, &beginning, file);
        let (start, end) = (0, 0);
        let label = format!("expected at most {LONGEST} bytes");
        return Err(TextError::new(
            &source,
            Span { file, start, end },
            message,
            label,
        ));
    }
    let (source, lexer) = (source.clone(), Lexer::new(source));
    let blocks = 0;
    Parser {
        source,
        lexer,
        blocks,
    }
    .file()
}

/// The most blocks within each other.
const DEEPEST: usize = 64;

pub(crate) struct Parser {
    pub(crate) source: Arc<Source>,
    pub(crate) lexer: Lexer,
    /// Open blocks.
    blocks: usize,
}

impl Parser {
    pub(crate) fn name(&mut self, what: &str) -> Result<Name, TextError> {
        let (text, span) = self.lexer.name(what)?;
        Ok(Name { text, span })
    }

    /// The next word, if there is one.
    pub(crate) fn word(&self) -> Option<&str> {
        match self.lexer.peek() {
            (Token::Name, span) => Some(self.lexer.text(span)),
            _ => None,
        }
    }

    /// Cells, functions and `use` lines, in any order.
    fn file(mut self) -> Result<Parsed, TextError> {
        let mut parsed = Parsed {
            source: self.source.clone(),
            uses: Vec::new(),
            routines: Vec::new(),
        };
        self.lexer.skip_newlines();
        if self.lexer.peek().0 == Token::End {
            return Err(self.lexer.unexpected("`cell` and its name"));
        }
        while self.lexer.peek().0 != Token::End {
            // A gate may be called `cell`, `def` or `use`: a name follows the word.
            match self.word_before_name() {
                Some("cell") => {
                    self.lexer.next();
                    let name = self.name("the cell's name")?;
                    let statements = self.head()?;
                    let dims = self.dimensions()?;
                    parsed.routines.push(Routine {
                        kind: RoutineKind::Cell,
                        name,
                        dims,
                        statements,
                    });
                }
                Some("def") => {
                    self.lexer.next();
                    let function = self.function()?;
                    parsed.routines.push(function);
                }
                Some("use") => {
                    let (_, at) = self.lexer.next();
                    let used = self.used(at)?;
                    parsed.uses.push(used);
                }
                _ => {
                    // Functions may stand between a cell's lines.
                    let cell = |r: &&mut Routine| matches!(r.kind, RoutineKind::Cell);
                    let Some(cell) = parsed.routines.iter_mut().rev().find(cell) else {
                        return Err(self.lexer.unexpected("`cell` and its name"));
                    };
                    let statement = self.statement()?;
                    cell.statements.push(statement);
                }
            }
            match self.lexer.peek().0 {
                Token::End => break,
                Token::Newline => self.lexer.skip_newlines(),
                _ => return Err(self.lexer.unexpected("the end of the line")),
            }
        }
        Ok(parsed)
    }

    /// The next word, if another name follows it.
    fn word_before_name(&self) -> Option<&str> {
        let mut ahead = self.lexer.clone();
        ahead.next();
        match ahead.peek().0 {
            Token::Name => self.word(),
            _ => None,
        }
    }

    /// `lstm`, `lstm from "mine.cell"`, either of them `as encoder`; the word `use` stands at `start`.
    fn used(&mut self, start: Span) -> Result<Use, TextError> {
        let name = self.name("a cell's name")?;
        let (mut alias, mut path, mut end) = (None, None, name.span);
        loop {
            if alias.is_none() && self.lexer.take_word("as") {
                let own = self.name("what it is called here")?;
                end = own.span;
                alias = Some(own);
            } else if path.is_none() && self.lexer.take_word("from") {
                let (token, span) = self.lexer.peek();
                if token != Token::Quoted {
                    return Err(self.lexer.unexpected("a path in double quotes"));
                }
                self.lexer.next();
                let text = self.lexer.text(span).trim_matches('"').to_owned();
                path = Some(Name { text, span });
                end = span;
            } else {
                let span = start.to(end);
                return Ok(Use {
                    name,
                    alias,
                    path,
                    span,
                });
            }
        }
    }

    /// `gate(x, h) = sigmoid(dense(x, h))`, or lines in braces of which the last begins with `return`.
    fn function(&mut self) -> Result<Routine, TextError> {
        let name = self.name("the function's name")?;
        let mut dims = Vec::new();
        if self.lexer.take("[") {
            while !self.lexer.take("]") {
                dims.push((self.name("a size's name")?, None));
                if !self.lexer.take(",") {
                    self.lexer.expect("]", "after the sizes")?;
                    break;
                }
            }
        }
        self.lexer.expect("(", "and the function's operands")?;
        let mut operands = Vec::new();
        while !self.lexer.take(")") {
            operands.push(self.name("an operand's name")?);
            if !self.lexer.take(",") {
                self.lexer.expect(")", "after the operands")?;
                break;
            }
        }
        let (statements, result) = if self.lexer.take("=") {
            (Vec::new(), self.expression()?)
        } else {
            let open = self
                .lexer
                .expect("{", "or `=`, and what the function computes")?;
            self.block(open, |p| {
                p.lexer.take_word("return").then(|| p.expression())
            })?
        };
        Ok(Routine {
            kind: RoutineKind::Function { operands, result },
            name,
            dims,
            statements,
        })
    }

    /// Lines up to the closing brace. `last` reads the line that must come last, if it is there.
    pub(crate) fn block<R>(
        &mut self,
        open: Span,
        last: impl Fn(&mut Parser) -> Option<Result<R, TextError>>,
    ) -> Result<(Vec<Statement>, R), TextError> {
        if self.blocks == DEEPEST {
            let message = format!("more than {DEEPEST} blocks within each other");
            let label = "expected fewer".to_owned();
            return Err(TextError::new(&self.source, open, message, label));
        }
        self.blocks += 1;
        let mut statements = Vec::new();
        loop {
            self.lexer.skip_newlines();
            // A word is a name where `=` follows.
            let mut ahead = self.lexer.clone();
            ahead.next();
            if ahead.peek().0 != Token::Sign("=")
                && let Some(last) = last(self)
            {
                let last = last?;
                self.lexer.skip_newlines();
                if !self.lexer.take("}") {
                    let error = self.lexer.unexpected("`}` after the last line");
                    return Err(error.and(open, "opened here".into()));
                }
                self.blocks -= 1;
                return Ok((statements, last));
            }
            if let Token::End | Token::Sign("}") = self.lexer.peek().0 {
                let error = self.lexer.unexpected("`return` and the function's result");
                return Err(error.and(open, "opened here".into()));
            }
            statements.push(self.statement()?);
            match self.lexer.peek().0 {
                Token::Newline | Token::Sign("}") => {}
                _ => return Err(self.lexer.unexpected("the end of the line")),
            }
        }
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
                    let of_state = matches!(self.word(), Some("delay" | "init"));
                    let error = self.lexer.unexpected(expected);
                    let error = error.and(open, "opened here".into());
                    return Err(match of_state && !states {
                        true => error.help(
                            "states have delays and initial values, and stand after a semicolon"
                                .into(),
                        ),
                        false => error,
                    });
                }
            }
        }
        Ok(out)
    }

    /// `where I=4, H=64`, on the head's line or the next.
    fn dimensions(&mut self) -> Result<Vec<(Name, Option<Expr>)>, TextError> {
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
            dims.push((name, Some(self.expression()?)));
            if !self.lexer.take(",") {
                return Ok(dims);
            }
            self.lexer.skip_newlines();
        }
    }
}
