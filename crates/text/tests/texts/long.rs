//! The same program as one cell without functions, layers and repetitions, as a person would inline it by hand.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::program::{Expr, Line, Program, Routine, Width};
use crate::short::ends;

/// Where lines are expanded.
#[derive(Clone)]
struct Place {
    /// What names of values, and of parameters, begin with.
    values: String,
    parameters: String,
    /// The rounds of the repetitions.
    rounds: String,
    own: usize,
    operands: Vec<usize>,
    /// What each name is called in the text.
    names: HashMap<String, String>,
    widths: HashMap<String, usize>,
    indices: HashMap<String, usize>,
    /// Layers to be applied: their parameters' names, what they are, and their size.
    layers: HashMap<String, (String, Option<usize>, usize)>,
}

/// The text, and the names of its parameters.
pub(crate) struct Inlined {
    program: Program,
    out: String,
    /// What the operands of each dense layer are called, of other parameters nothing.
    made: HashMap<String, Vec<String>>,
    pub(crate) parameters: Vec<String>,
    helpers: usize,
}

pub(crate) fn inline(program: &Program) -> Inlined {
    let mut all = Inlined {
        program: program.clone(),
        out: String::new(),
        made: HashMap::new(),
        parameters: Vec::new(),
        helpers: 0,
    };
    let main = program.routines.last().expect("there is a cell").clone();
    let operands: Vec<usize> = (0..main.operands.len()).map(|k| k + 2).collect();
    let inputs = main.operands.iter().zip(&operands);
    let inputs: Vec<String> = inputs.map(|(x, n)| format!("{x}[{n}]")).collect();
    writeln!(
        all.out,
        "cell {}({}) where H=3",
        main.name,
        inputs.join(", ")
    )
    .unwrap();
    let names = main.operands.iter().map(|x| (x.clone(), x.clone()));
    let widths = main.operands.iter().cloned().zip(operands.iter().copied());
    let mut place = Place {
        widths: widths.collect(),
        values: String::new(),
        parameters: String::new(),
        rounds: String::new(),
        own: 3,
        operands,
        names: names.collect(),
        indices: HashMap::new(),
        layers: HashMap::new(),
    };
    all.lines(&main.lines, &mut place);
    let result = place.expr(&main.result);
    writeln!(all.out, "output y = {result}").unwrap();
    all
}

fn joined(outer: &str, inner: &str) -> String {
    match (outer, inner) {
        ("", name) | (name, "") => name.to_owned(),
        (outer, inner) => format!("{outer}.{inner}"),
    }
}

impl Inlined {
    /// With a parameter in the loss, if it has one.
    pub(crate) fn text(&self, penalty: Option<&str>) -> String {
        let mut out = self.out.clone();
        ends(penalty, &mut out);
        out
    }

    fn lines(&mut self, lines: &[Line], at: &mut Place) {
        for line in lines {
            self.line(line, at);
        }
    }

    fn line(&mut self, line: &Line, at: &mut Place) {
        match line {
            Line::Let { name, value } => {
                let (full, width) = (at.full(name), at.width_of(value));
                let value = at.expr(value);
                writeln!(self.out, "{full} = {value}").unwrap();
                at.bind(name, full, width);
            }
            Line::Dense {
                name,
                size,
                operands,
                bias,
            } => {
                let (full, layer, n) = (at.full(name), at.parameter(name), at.size(*size));
                let sum = self.dense(&layer, n, operands, *bias, at);
                writeln!(self.out, "{full} = tanh({sum})").unwrap();
                at.bind(name, full, n);
            }
            Line::Param { name, start } => {
                let (full, n) = (at.parameter(name), at.own);
                if self.made.insert(full.clone(), Vec::new()).is_none() {
                    writeln!(self.out, "param {full}[{n}] init {start}").unwrap();
                    self.parameters.push(full.clone());
                }
                at.bind(name, full, n);
            }
            Line::State { name, learned } => {
                let (full, n) = (at.full(name), at.own);
                let init = if *learned { " init learned" } else { "" };
                writeln!(self.out, "state {full}[{n}]{init}").unwrap();
                at.bind(name, full, n);
            }
            Line::Next { name, value } => {
                let (full, value) = (at.full(name) + "'", at.expr(value));
                writeln!(self.out, "{full} = {value}").unwrap();
                let own = at.own;
                at.bind(&format!("{name}'"), full, own);
            }
            Line::Call {
                name,
                routine,
                size,
                args,
                ..
            } => {
                let (parameters, n) = (at.parameter(name), at.size(*size));
                self.expand(*routine, name, parameters, n, args, at);
            }
            Line::Share {
                name,
                routine,
                size,
            } => {
                let layer = (at.parameter(name), *routine, at.size(*size));
                at.layers.insert(name.clone(), layer);
            }
            Line::Apply { name, layer, args } => {
                let (parameters, routine, n) = at.layers[layer].clone();
                match routine {
                    Some(routine) => self.expand(routine, name, parameters, n, args, at),
                    None => {
                        let operands: Vec<_> = args.iter().map(|e| (None, e.clone())).collect();
                        let sum = self.dense(&parameters, n, &operands, true, at);
                        let full = at.full(name);
                        writeln!(self.out, "{full} = {sum}").unwrap();
                        at.bind(name, full, n);
                    }
                }
            }
            Line::For {
                index,
                range: (from, to),
                carried,
                first,
                lines,
            } => {
                let width = at.width_of(first);
                let mut next = self.value(first, at);
                let before = at.clone();
                for k in *from..*to {
                    let mut round = before.clone();
                    round.bind(carried, next, width);
                    round.indices.insert(index.clone(), k);
                    round.rounds = format!("{}.{k}", at.rounds);
                    self.lines(lines, &mut round);
                    next = round.names[carried].clone();
                }
                at.bind(carried, next, width);
            }
        }
    }

    /// The name of a value, which gets a line if it has none.
    fn value(&mut self, e: &Expr, at: &Place) -> String {
        if let Expr::Name(name) = e {
            return at.names[name].clone();
        }
        self.helpers += 1;
        let (name, value) = (format!("helper_{}", self.helpers), at.expr(e));
        writeln!(self.out, "{name} = {value}").unwrap();
        name
    }

    /// A dense layer; another application of it is written with its parameters.
    fn dense(
        &mut self,
        layer: &str,
        n: usize,
        operands: &[(Option<String>, Expr)],
        bias: bool,
        at: &Place,
    ) -> String {
        if let Some(labels) = self.made.get(layer).cloned() {
            let values: Vec<String> = operands.iter().map(|(_, e)| self.value(e, at)).collect();
            let products = labels.iter().zip(values);
            let products: Vec<String> = products
                .map(|(own, x)| format!("{layer}.{own} @ {x}"))
                .collect();
            let bias = if bias {
                format!(" + {layer}.bias")
            } else {
                String::new()
            };
            return products.join(" + ") + &bias;
        }
        let label = |(label, e): &(Option<String>, Expr)| match (label, e) {
            (Some(label), _) => label.clone(),
            (None, Expr::Name(name)) => name.trim_end_matches('\'').to_owned(),
            (None, _) => unreachable!("what has no name has a label"),
        };
        let labels: Vec<String> = operands.iter().map(label).collect();
        let values = labels.iter().zip(operands);
        let values: Vec<String> = values
            .map(|(own, (_, e))| format!("{own}: {}", at.expr(e)))
            .collect();
        self.parameters
            .extend(labels.iter().map(|own| format!("{layer}.{own}")));
        self.made.insert(layer.to_owned(), labels);
        let function = if bias { "dense" } else { "dense_no_bias" };
        format!("{function}[{n}]({}, name={layer})", values.join(", "))
    }

    fn expand(
        &mut self,
        routine: usize,
        name: &str,
        parameters: String,
        own: usize,
        args: &[Expr],
        at: &mut Place,
    ) {
        let routine: Routine = self.program.routines[routine].clone();
        let values: Vec<String> = args.iter().map(|e| self.value(e, at)).collect();
        let full = at.full(name);
        let operands: Vec<usize> = args.iter().map(|e| at.width_of(e)).collect();
        let widths = routine
            .operands
            .iter()
            .cloned()
            .zip(operands.iter().copied());
        let mut inside = Place {
            widths: widths.collect(),
            values: full.clone(),
            parameters,
            rounds: String::new(),
            own,
            operands,
            names: routine.operands.iter().cloned().zip(values).collect(),
            indices: HashMap::new(),
            layers: HashMap::new(),
        };
        self.lines(&routine.lines, &mut inside);
        let result = inside.expr(&routine.result);
        writeln!(self.out, "{full} = {result}").unwrap();
        at.bind(name, full, own);
    }
}

impl Place {
    fn in_round(&self, name: &str) -> String {
        format!("{name}{}", self.rounds)
    }

    fn full(&self, name: &str) -> String {
        joined(&self.values, &self.in_round(name))
    }

    fn parameter(&self, name: &str) -> String {
        joined(&self.parameters, &self.in_round(name))
    }

    fn size(&self, width: Width) -> usize {
        match width {
            Width::Own => self.own,
            Width::Number(n) => n,
            Width::Operand(k) => self.operands[k],
        }
    }

    fn bind(&mut self, name: &str, full: String, width: usize) {
        self.names.insert(name.to_owned(), full);
        self.widths.insert(name.to_owned(), width);
    }

    /// The width of a value; scalars are repeated to that of what they are multiplied with.
    fn width_of(&self, e: &Expr) -> usize {
        match e {
            Expr::Name(name) => self.widths[name],
            Expr::Call(_, x) | Expr::Rolled(x, _) => self.width_of(x),
            Expr::Infix(_, a, b) => self.width_of(a).max(self.width_of(b)),
            Expr::Number(_) | Expr::After(_) | Expr::First(_) => 1,
        }
    }

    fn expr(&self, e: &Expr) -> String {
        match e {
            Expr::Name(name) => self.names[name].clone(),
            Expr::Number(x) => x.to_string(),
            Expr::After(index) => format!("({} + 1)", self.indices[index]),
            Expr::Call(f, x) => format!("{f}({})", self.expr(x)),
            Expr::Infix(sign, a, b) => format!("({} {sign} {})", self.expr(a), self.expr(b)),
            Expr::First(x) => format!("reshape(slice({}, 0..1), [])", self.expr(x)),
            Expr::Rolled(x, width) => {
                let (x, n) = (self.expr(x), self.size(*width));
                format!("concat(slice({x}, 1..{n}), slice({x}, 0..1))")
            }
        }
    }
}
