//! Reads the printed form of a graph.

use retrograd_tape::{Domain, InputRole, Number, Op, Operands, Permutation, Shape, Type, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use crate::graph::Graph;
use crate::text::cursor::{Cursor, ReadError, quoted};
use crate::text::print::{DOMAINS, ROLES, YIELDS};

/// Reads a graph; errors call the text `name`. Each line of the result has been checked; rules about whole graphs are
/// left to the verifier.
///
/// # Errors
/// The first mistake, with its line and column.
pub fn parse_graph(name: &str, text: &str) -> Result<Graph, ReadError> {
    let all = (1..).zip(text.split('\n'));
    let mut lines = all
        .map(|(number, line)| Cursor::new(name, number, line))
        .filter(|c| !c.rest().is_empty() && !c.rest().starts_with('#'));
    let Some(mut first) = lines.next() else {
        let nothing = Cursor::new(name, 1, "");
        return Err(nothing.error(0, "there is no graph".into(), "`graph` and its name"));
    };
    if !first.take_word("graph") {
        return first.unexpected("`graph` and its name");
    }
    let (graph, _) = first.name("the graph's name")?;
    end_of_line(&first)?;
    let mut reader = Reader {
        graph: Graph::new(&graph),
        values: HashMap::default(),
        open: Vec::new(),
        inputs: HashSet::default(),
        outputs: HashSet::default(),
    };
    for mut line in lines {
        match line.rest().starts_with('%') {
            true => reader.node(&mut line)?,
            false => reader.output(&mut line)?,
        }
        end_of_line(&line)?;
    }
    reader.close(name, text)
}

struct Reader {
    graph: Graph,
    /// The values by their numbers (`%3`), with the line that defines each.
    values: HashMap<usize, (Value, usize)>,
    /// Delays whose operands are not known yet.
    open: Vec<Open>,
    /// Names of the inputs and outputs read so far.
    inputs: HashSet<String>,
    outputs: HashSet<String>,
}

/// A delay that has been read, whose operands may not have been yet.
struct Open {
    node: Value,
    op: Op,
    operands: [Numbered; 2],
    line: usize,
}

/// The number of a value, and its offset in the line.
type Numbered = (usize, usize);

/// Names of all ops that are not inputs.
fn op_names() -> impl Iterator<Item = &'static str> {
    Op::each().map(|op| op.name())
}

fn end_of_line(c: &Cursor<'_>) -> Result<(), ReadError> {
    match c.rest() {
        "" => Ok(()),
        _ => c.unexpected("the end of the line"),
    }
}

/// `%3`
fn number(c: &mut Cursor<'_>) -> Result<Numbered, ReadError> {
    let at = c.place().1;
    c.expect("%", "and a value's number")?;
    Ok((c.whole("the value's number")?, at))
}

/// A count or a length. The limit is that of cell files, so that sums and products of lengths stay within `usize`.
fn length(c: &mut Cursor<'_>, what: &str) -> Result<usize, ReadError> {
    Ok(c.whole::<u32>(what)? as usize)
}

fn domain(c: &mut Cursor<'_>) -> Result<Domain, ReadError> {
    const EXPECTED: &str = "once, row, edge or step";
    let (word, at) = c.word(EXPECTED)?;
    match DOMAINS.iter().find(|(name, _)| *name == word) {
        Some((_, Some(domain))) => Ok(*domain),
        Some((_, None)) => Ok(Domain::BoundarySlots(length(c, "how many slots")?)),
        None => Err(c.error(at, format!("there is no domain {}", quoted(word)), EXPECTED)),
    }
}

fn shape(c: &mut Cursor<'_>) -> Result<Shape, ReadError> {
    c.expect("[", "of a shape")?;
    if c.take("]") {
        return Ok(Shape::Scalar);
    }
    let mut axes = vec![length(c, "a length")?];
    while axes.len() < Shape::MAX_RANK && c.take(",") {
        axes.push(length(c, "a length")?);
    }
    c.expect("]", "after a shape")?;
    Ok(Shape::from_axes(&axes).expect("no more axes than that are read"))
}

/// An order of axes, such as `0,2,1`.
fn order(c: &mut Cursor<'_>) -> Result<Permutation, ReadError> {
    let at = c.place().1;
    let mut axes = vec![length(c, "an axis")?];
    while axes.len() < Shape::MAX_RANK && c.take(",") {
        axes.push(length(c, "an axis")?);
    }
    Permutation::new(&axes).ok_or_else(|| {
        let message = "an axis is missing or there twice".to_owned();
        c.error(at, message, "0 and the next axes in any order, each once")
    })
}

/// A number of steps.
fn steps(c: &mut Cursor<'_>) -> Result<i32, ReadError> {
    let negative = c.take("-");
    let at = c.place().1;
    let n: i64 = c.whole("by how many steps")?;
    let signed = if negative { -n } else { n };
    i32::try_from(signed).map_err(|_| {
        c.error(
            at,
            format!("{n} steps are too many"),
            "by how many steps, in 32 bits",
        )
    })
}

fn axis(c: &mut Cursor<'_>) -> Result<usize, ReadError> {
    if !c.take_word("axis") {
        return Ok(0);
    }
    c.expect("=", "and an axis")?;
    length(c, "an axis")
}

fn slice(c: &mut Cursor<'_>) -> Result<Op, ReadError> {
    let start = length(c, "the first index")?;
    c.expect("..", "and the index after the last")?;
    let at = c.place().1;
    let end = length(c, "the index after the last")?;
    if end <= start {
        let message = format!("the slice {start}..{end} is empty");
        return Err(c.error(at, message, &format!("more than {start}")));
    }
    let len = end - start;
    let axis = axis(c)?;
    Ok(Op::Slice { axis, start, len })
}

fn constant(c: &mut Cursor<'_>) -> Result<Number, ReadError> {
    let sign = if c.take("-") { -1.0 } else { 1.0 };
    if c.take_word("inf") {
        return Ok(Number(sign * f64::INFINITY));
    }
    if c.take_word("NaN") {
        // A NaN other than the canonical one is followed by its bits.
        let bits = match c.rest().starts_with(|c: char| c.is_ascii_digit()) {
            true => c.whole("the bits of a NaN")?,
            false => f64::NAN.to_bits(),
        };
        return Ok(Number(f64::from_bits(bits)));
    }
    Ok(Number(sign * c.number()?))
}

/// The op of that name with its attributes; `None` if no op has it.
fn attributes(c: &mut Cursor<'_>, word: &str, ty: Type) -> Result<Option<Op>, ReadError> {
    let Some(op) = Op::by_name(word) else {
        return Ok(None);
    };
    Ok(Some(match op {
        Op::Constant { .. } => Op::Constant {
            value: constant(c)?,
            shape: ty.shape,
        },
        Op::Zeros(_) => Op::Zeros(ty.shape),
        Op::Broadcast(_) => Op::Broadcast(ty.shape),
        Op::ReduceAxis { kind, .. } => Op::ReduceAxis {
            kind,
            axis: axis(c)?,
        },
        Op::Transpose(_) => Op::Transpose(order(c)?),
        Op::Concat { .. } => Op::Concat { axis: axis(c)? },
        Op::Slice { .. } => slice(c)?,
        Op::Reshape(_) => Op::Reshape(ty.shape),
        Op::Outer { .. } => Op::Outer { to: domain(c)? },
        Op::Scatter { .. } => Op::Scatter {
            rows: length(c, "how many rows")?,
            to: domain(c)?,
        },
        Op::Delay(_) => Op::Delay(steps(c)?),
        Op::Boundary(_) => Op::Boundary(steps(c)?),
        Op::Spread(_) => Op::Spread(domain(c)?),
        Op::SumTo(_) => Op::SumTo(domain(c)?),
        Op::Input { .. }
        | Op::Map(_)
        | Op::Reduce(_)
        | Op::Dot
        | Op::MatVec { .. }
        | Op::Gather => op,
    }))
}

/// The op or role most similar to `word`, if one is near enough to have been meant.
fn nearest(word: &str) -> Option<&'static str> {
    let letters: Vec<char> = word.chars().take(32).collect();
    let distance = |known: &str| {
        let mut row: Vec<usize> = (0..=letters.len()).collect();
        for (i, k) in known.chars().enumerate() {
            let mut diagonal = std::mem::replace(&mut row[0], i + 1);
            for (j, &c) in letters.iter().enumerate() {
                let replaced = diagonal + usize::from(k != c);
                diagonal = row[j + 1];
                row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
            }
        }
        row[letters.len()]
    };
    let known = op_names().chain(ROLES.iter().map(|r| r.1));
    let best = known.map(|k| (distance(k), k)).min();
    best.filter(|&(d, _)| d <= 1 + letters.len() / 4)
        .map(|(_, k)| k)
}

impl Reader {
    fn value(&self, c: &Cursor<'_>, (n, at): Numbered) -> Result<Value, ReadError> {
        match self.values.get(&n) {
            Some(&(v, _)) => Ok(v),
            None => Err(c.error(
                at,
                format!("there is no %{n} before this line"),
                "a value of an earlier line (only a delay's first operand may come later)",
            )),
        }
    }

    /// Reads the line of a node: `%3: step [4] = matvec %1, %2  # name`.
    fn node(&mut self, c: &mut Cursor<'_>) -> Result<(), ReadError> {
        let (n, at) = number(c)?;
        let line = c.place().0;
        if let Some((_, before)) = self.values.get(&n) {
            let message = format!("there are two values %{n}, the first on line {before}");
            return Err(c.error(at, message, "a number of its own"));
        }
        c.expect(":", "and a type")?;
        let typed = c.place().1;
        let domain = domain(c)?;
        let ty = Type::new(shape(c)?, domain);
        c.expect("=", "and an op")?;
        let (word, word_at) = c.word("an op")?;
        let input = ROLES.iter().find(|(_, name)| *name == word);
        let v = match input {
            Some(&(role, _)) => self.input(c, role, ty)?,
            None => self.op(c, (word, word_at), ty, typed)?,
        };
        if c.take("#") {
            let (name, _) = c.name("the value's name")?;
            self.graph.label(v, Some(name.into()), None);
        }
        self.values.insert(n, (v, line));
        Ok(())
    }

    fn input(&mut self, c: &mut Cursor<'_>, role: InputRole, ty: Type) -> Result<Value, ReadError> {
        let (name, at) = c.name("the input's name")?;
        let v = self.graph.input(&name, role, ty);
        if let Some(name) = self.inputs.replace(name) {
            let message = format!("there already is an input {}", quoted(&name));
            return Err(c.error(at, message, "another name"));
        }
        Ok(v)
    }

    /// Reads an op from its attributes on; its type begins at `typed`.
    fn op(
        &mut self,
        c: &mut Cursor<'_>,
        (word, at): (&str, usize),
        ty: Type,
        typed: usize,
    ) -> Result<Value, ReadError> {
        let Some(op) = attributes(c, word, ty)? else {
            let mut expected = "an op of the table, or an input's role".to_owned();
            if let Some(near) = nearest(word) {
                expected += &format!("; did you mean `{near}`?");
            }
            return Err(c.error(at, format!("there is no op {}", quoted(word)), &expected));
        };
        let mut given = Vec::new();
        while c.rest().starts_with('%') {
            given.push(number(c)?);
            if !c.take(",") {
                break;
            }
        }
        if let (Op::Delay(d), [x, init]) = (op, given.as_slice()) {
            if ty.domain != Domain::Step {
                let message = format!("a delay is a value of each step, not {}", ty.domain);
                return Err(c.error(typed, message, "step"));
            }
            let node = self.graph.open_delay(d, ty.shape);
            self.open.push(Open {
                node,
                op,
                operands: [*x, *init],
                line: c.place().0,
            });
            return Ok(node);
        }
        let xs: Operands = (given.iter().copied())
            .map(|x| self.value(c, x))
            .collect::<Result<_, _>>()?;
        self.check(c, op, &xs, ty, (at, typed))?;
        Ok(self.graph.restore(op, &xs, ty))
    }

    /// Checks that the op fits its operands, and gives this type; errors of the former are placed at `at`, of the
    /// latter at `typed`.
    fn check(
        &self,
        c: &Cursor<'_>,
        op: Op,
        xs: &[Value],
        ty: Type,
        (at, typed): (usize, usize),
    ) -> Result<(), ReadError> {
        let types: Vec<Type> = xs.iter().map(|&x| self.graph.node(x).ty).collect();
        match op.infer(&types) {
            Ok(found) if found == ty => Ok(()),
            Ok(found) => {
                let message = format!("`{}` of these operands is not {ty}", op.name());
                Err(c.error(typed, message, &found.to_string()))
            }
            Err(mismatch) => {
                use retrograd_tape::TypeMismatch::*;
                let expected = match mismatch {
                    Arity { expected } => format!("{expected} operands"),
                    Shape { operand, expected } | Domain { operand, expected } => {
                        format!("{expected} as operand {operand}")
                    }
                    other => other.to_string(),
                };
                let types: Vec<String> = types.iter().map(Type::to_string).collect();
                let message = format!("`{}` does not fit {}", op.name(), types.join(", "));
                Err(c.error(at, message, &expected))
            }
        }
    }

    /// Reads the line of an output: `output y = %3`.
    fn output(&mut self, c: &mut Cursor<'_>) -> Result<(), ReadError> {
        let (word, at) = c.word("a value (`%0: …`) or an output (`output y = %0`)")?;
        let Some(&(role, _)) = YIELDS.iter().find(|(_, name)| *name == word) else {
            let words: Vec<&str> = YIELDS.iter().map(|y| y.1).collect();
            let message = format!("{} begins no line of a graph", quoted(word));
            return Err(c.error(at, message, &format!("%, {}", words.join(" or "))));
        };
        let (name, named) = c.name("the output's name")?;
        c.expect("=", "and a value")?;
        let number = number(c)?;
        let v = self.value(c, number)?;
        self.graph.output(&name, role, v);
        if let Some(name) = self.outputs.replace(name) {
            let message = format!("there already is an output {}", quoted(&name));
            return Err(c.error(named, message, "another name"));
        }
        Ok(())
    }

    /// Sets the operands of the delays, now that all values are known.
    fn close(mut self, name: &str, text: &str) -> Result<Graph, ReadError> {
        let mut lines = (1..).zip(text.split('\n'));
        for open in std::mem::take(&mut self.open) {
            let line = lines.find(|(number, _)| *number == open.line);
            let c = Cursor::new(name, open.line, line.map_or("", |l| l.1));
            let (v, [x, init]) = (open.node, open.operands);
            let xs = [self.value(&c, x)?, self.value(&c, init)?];
            let ty = self.graph.node(v).ty;
            self.check(&c, open.op, &xs, ty, (x.1, x.1))?;
            self.graph.close_delay(v, xs[0], xs[1]);
        }
        Ok(self.graph)
    }
}
