//! Reads the printed form of a graph.

use std::collections::HashMap;
use std::sync::Arc;

use retrograd_tape::{Domain, Map, Number, Op, Operands, Reduction, Role, Shape, Type, Value};

use crate::graph::Graph;
use crate::text::error::{Source, Span, TextError, nearest};
use crate::text::lexer::{Lexer, Token};
use crate::text::print::{DOMAINS, ROLES, YIELDS};

/// Reads a graph. The result has passed every check but those of whole graphs, which are the verifier's.
///
/// # Errors
/// The first mistake, with its line.
pub fn parse_graph(name: &str, text: &str) -> Result<Graph, TextError> {
    let source = Source::new(name, text);
    let mut reader = Reader {
        lexer: Lexer::new(&source, false),
        source,
        graph: Graph::new(""),
        values: HashMap::new(),
        open: Vec::new(),
    };
    reader.read()?;
    Ok(reader.graph)
}

struct Reader {
    source: Arc<Source>,
    lexer: Lexer,
    graph: Graph,
    values: HashMap<usize, (Value, Span)>,
    /// Delays whose operands are not known yet.
    open: Vec<Open>,
}

/// A delay that has been read, but perhaps not its operands.
struct Open {
    node: Value,
    op: Op,
    operands: [Numbered; 2],
}

/// The number of a value, and where it stands.
type Numbered = (usize, Span);

/// Names of all ops that are not inputs.
fn op_names() -> impl Iterator<Item = &'static str> {
    const OTHERS: [&str; 18] = [
        "const",
        "sum",
        "mean",
        "amax",
        "dot",
        "broadcast",
        "concat",
        "slice",
        "reshape",
        "matvec",
        "matvec_t",
        "outer",
        "gather",
        "scatter",
        "delay",
        "boundary",
        "spread",
        "sum_to",
    ];
    Map::ALL.iter().map(|m| m.row().name).chain(OTHERS)
}

impl Reader {
    fn fail<T>(&self, at: Span, message: String, label: String) -> Result<T, TextError> {
        Err(TextError::new(&self.source, at, message, label))
    }

    fn read(&mut self) -> Result<(), TextError> {
        self.skip_to_line();
        if !self.lexer.take_word("graph") {
            return Err(self.lexer.unexpected("`graph` and its name"));
        }
        let (name, _) = self.lexer.word("the graph's name")?;
        self.graph = Graph::new(&name);
        loop {
            self.end_of_line()?;
            self.skip_to_line();
            match self.lexer.peek() {
                (Token::End, _) => break,
                (Token::Sign("%"), _) => self.node()?,
                _ => self.output()?,
            }
        }
        self.close()
    }

    /// Skips empty lines and lines of comment.
    fn skip_to_line(&mut self) {
        loop {
            self.lexer.skip_newlines();
            if self.lexer.peek().0 != Token::Sign("#") {
                return;
            }
            self.lexer.skip_line();
        }
    }

    fn end_of_line(&mut self) -> Result<(), TextError> {
        match self.lexer.peek().0 {
            Token::Newline | Token::End => Ok(()),
            _ => Err(self.lexer.unexpected("the end of the line")),
        }
    }

    /// `%3`
    fn number(&mut self, what: &str) -> Result<Numbered, TextError> {
        let start = self.lexer.peek().1;
        if !self.lexer.take("%") {
            return Err(self.lexer.unexpected(what));
        }
        let n = self.lexer.whole("the value's number")?;
        Ok((n, start.to(self.lexer.behind())))
    }

    fn value(&self, (n, at): Numbered) -> Result<Value, TextError> {
        match self.values.get(&n) {
            Some(&(v, _)) => Ok(v),
            None => self.fail(
                at,
                format!("there is no %{n} before this line"),
                "expected a value of an earlier line (only a delay's first operand may come later)"
                    .into(),
            ),
        }
    }

    fn domain(&mut self) -> Result<Domain, TextError> {
        let (word, at) = self.lexer.name("a domain: once, row, edge or step")?;
        match DOMAINS.iter().find(|(name, _)| *name == word) {
            Some((_, Some(domain))) => Ok(*domain),
            Some(_) => Ok(Domain::Edge(self.lexer.whole("how many slots")?)),
            None => self.fail(
                at,
                format!("there is no domain `{word}`"),
                "expected once, row, edge or step".into(),
            ),
        }
    }

    fn shape(&mut self) -> Result<Shape, TextError> {
        self.lexer.expect("[", "of a shape")?;
        if self.lexer.take("]") {
            return Ok(Shape::Scalar);
        }
        let m = self.lexer.whole("a length")?;
        let shape = if self.lexer.take(",") {
            Shape::Matrix(m, self.lexer.whole("a length")?)
        } else {
            Shape::Vector(m)
        };
        self.lexer.expect("]", "after a shape")?;
        Ok(shape)
    }

    fn integer(&mut self, what: &str) -> Result<i32, TextError> {
        let negative = self.lexer.take("-");
        let at = self.lexer.peek().1;
        let n: i64 = self.lexer.whole(what)?;
        let n = if negative { n.checked_neg() } else { Some(n) };
        match n.map(i32::try_from) {
            Some(Ok(n)) => Ok(n),
            _ => self.fail(
                at,
                "a number that is too large".into(),
                format!("expected {what}"),
            ),
        }
    }

    /// A line of a node: `%3: step [4] = matvec %1, %2  # name`.
    fn node(&mut self) -> Result<(), TextError> {
        let (n, at) = self.number("a value")?;
        if let Some(&(_, before)) = self.values.get(&n) {
            let error = TextError::new(
                &self.source,
                at,
                format!("there are two values %{n}"),
                "expected a number of its own".into(),
            );
            return Err(error.and(before, "the first".into()));
        }
        self.lexer.expect(":", "and a type")?;
        let typed = self.lexer.peek().1;
        let domain = self.domain()?;
        let ty = Type::new(self.shape()?, domain);
        let typed = typed.to(self.lexer.behind());
        self.lexer.expect("=", "and an op")?;
        let (word, word_at) = self.lexer.name("an op")?;
        let input = ROLES.iter().find(|(_, name)| *name == word);
        let v = match input {
            Some(&(role, _)) => self.input(role, ty)?,
            None => self.op(&word, word_at, ty, typed)?,
        };
        if self.lexer.take("#") {
            let (name, _) = self.lexer.word("the value's name")?;
            self.graph.label(v, Some(name.into()), None);
        }
        self.values.insert(n, (v, at));
        Ok(())
    }

    fn input(&mut self, role: Role, ty: Type) -> Result<Value, TextError> {
        let (name, at) = self.lexer.word("the input's name")?;
        if self.graph.inputs().iter().any(|i| *i.name == name) {
            let message = format!("there already is an input `{name}`");
            return self.fail(at, message, "expected another name".into());
        }
        Ok(self.graph.input(&name, role, ty))
    }

    fn op(&mut self, word: &str, at: Span, ty: Type, typed: Span) -> Result<Value, TextError> {
        let Some(op) = self.attributes(word, ty)? else {
            let error = TextError::new(
                &self.source,
                at,
                format!("there is no op `{word}`"),
                "expected an op of the table, or an input's role".into(),
            );
            let known = op_names().chain(ROLES.iter().map(|r| r.1));
            return Err(match nearest(word, known) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error,
            });
        };
        let mut given = Vec::new();
        while let (Token::Sign("%"), _) = self.lexer.peek() {
            given.push(self.number("a value")?);
            if !self.lexer.take(",") {
                break;
            }
        }
        if let (Op::Delay(d), [x, init]) = (op, given.as_slice()) {
            let v = self.graph.open_delay(d, ty.shape);
            let (node, operands) = (v, [*x, *init]);
            self.open.push(Open { node, op, operands });
            if ty.domain != Domain::Step {
                let message = format!("a delay is a value of each step, not {}", ty.domain);
                return self.fail(typed, message, "expected step".into());
            }
            return Ok(v);
        }
        let xs: Operands = (given.iter().copied())
            .map(|x| self.value(x))
            .collect::<Result<_, _>>()?;
        self.check(op, &xs, ty, at, typed)?;
        Ok(self.graph.restore(op, &xs, ty))
    }

    /// The op of that name, its attributes read.
    fn attributes(&mut self, word: &str, ty: Type) -> Result<Option<Op>, TextError> {
        if let Some(m) = Map::by_name(word) {
            return Ok(Some(Op::Map(m)));
        }
        Ok(Some(match word {
            "const" => Op::Constant {
                value: self.constant()?,
                shape: ty.shape,
            },
            "sum" => Op::Reduce(Reduction::Sum),
            "mean" => Op::Reduce(Reduction::Mean),
            "amax" => Op::Reduce(Reduction::Max),
            "dot" => Op::Dot,
            "broadcast" => Op::Broadcast(ty.shape),
            "concat" => Op::Concat { axis: self.axis()? },
            "slice" => {
                let start: usize = self.lexer.whole("the first index")?;
                self.lexer.expect("..", "and the index after the last")?;
                let at = self.lexer.peek().1;
                let end: usize = self.lexer.whole("the index after the last")?;
                let Some(len) = end.checked_sub(start).filter(|&n| n > 0) else {
                    let message = format!("the slice {start}..{end} is empty");
                    return self.fail(at, message, format!("expected more than {start}"));
                };
                let axis = self.axis()?;
                Op::Slice { axis, start, len }
            }
            "reshape" => Op::Reshape(ty.shape),
            "matvec" => Op::MatVec { transposed: false },
            "matvec_t" => Op::MatVec { transposed: true },
            "outer" => Op::Outer { to: self.domain()? },
            "gather" => Op::Gather,
            "scatter" => Op::Scatter {
                rows: self.lexer.whole("how many rows")?,
                to: self.domain()?,
            },
            "delay" => Op::Delay(self.integer("by how many steps")?),
            "boundary" => Op::Boundary(self.integer("by how many steps")?),
            "spread" => Op::Spread(self.domain()?),
            "sum_to" => Op::SumTo(self.domain()?),
            _ => return Ok(None),
        }))
    }

    fn axis(&mut self) -> Result<usize, TextError> {
        if !self.lexer.take_word("axis") {
            return Ok(0);
        }
        self.lexer.expect("=", "and an axis")?;
        self.lexer.whole("an axis")
    }

    fn constant(&mut self) -> Result<Number, TextError> {
        let sign = if self.lexer.take("-") { -1.0 } else { 1.0 };
        if self.lexer.take_word("inf") {
            return Ok(Number(sign * f64::INFINITY));
        }
        if self.lexer.take_word("NaN") {
            // A NaN other than the usual one is followed by its bits.
            let bits = match self.lexer.peek().0 {
                Token::Number(_) => self.lexer.whole("the bits of a NaN")?,
                _ => f64::NAN.to_bits(),
            };
            return Ok(Number(f64::from_bits(bits)));
        }
        match self.lexer.peek() {
            (Token::Number(x), _) => {
                self.lexer.next();
                Ok(Number(sign * x))
            }
            _ => Err(self.lexer.unexpected("a number")),
        }
    }

    fn check(
        &self,
        op: Op,
        xs: &[Value],
        ty: Type,
        at: Span,
        typed: Span,
    ) -> Result<(), TextError> {
        let types: Vec<Type> = xs.iter().map(|&x| self.graph.node(x).ty).collect();
        match op.infer(&types) {
            Ok(found) if found == ty => Ok(()),
            Ok(found) => self.fail(
                typed,
                format!("`{}` of these operands is {found}, not {ty}", op.name()),
                format!("expected {found}"),
            ),
            Err(misfit) => {
                use retrograd_tape::Misfit::*;
                let expected = match misfit {
                    Arity { expected } => format!("expected {expected} operands"),
                    Shape { operand, expected } | Domain { operand, expected } => {
                        format!("expected {expected} as operand {operand}")
                    }
                    other => other.to_string(),
                };
                let types: Vec<String> = types.iter().map(Type::to_string).collect();
                let message = format!("`{}` does not fit {}", op.name(), types.join(", "));
                self.fail(at, message, expected)
            }
        }
    }

    /// A line of an output: `output y = %3`.
    fn output(&mut self) -> Result<(), TextError> {
        let (word, at) = (self.lexer).name("a value (`%0: …`) or an output (`output y = %0`)")?;
        let Some(&(role, _)) = YIELDS.iter().find(|(_, name)| *name == word) else {
            return self.fail(
                at,
                format!("`{word}` begins no line of a graph"),
                "expected %, output, loss, final, gradient, tangent or observed".into(),
            );
        };
        let (name, named) = self.lexer.word("the output's name")?;
        if self.graph.outputs().iter().any(|o| *o.name == name) {
            let message = format!("there already is an output `{name}`");
            return self.fail(named, message, "expected another name".into());
        }
        self.lexer.expect("=", "and a value")?;
        let number = self.number("a value")?;
        let v = self.value(number)?;
        self.graph.output(&name, role, v);
        Ok(())
    }

    /// Gives the delays their operands, now that all values are known.
    fn close(&mut self) -> Result<(), TextError> {
        for open in std::mem::take(&mut self.open) {
            let (v, op, [x, init]) = (open.node, open.op, open.operands);
            let xs = [self.value(x)?, self.value(init)?];
            let ty = self.graph.node(v).ty;
            self.check(op, &xs, ty, x.1, x.1)?;
            self.graph.close_delay(v, xs[0], xs[1]);
        }
        Ok(())
    }
}
