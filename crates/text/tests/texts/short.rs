//! A program as its files: functions and cells that use each other.

use std::fmt::Write as _;

use crate::program::{Expr, Kind, Line, Program, Routine, Width};

/// The texts, by name; the first is the program's.
pub(crate) fn texts(program: &Program, penalty: Option<&str>) -> Vec<(String, String)> {
    (0..3)
        .map(|file| {
            let writer = Writer { program, file };
            (file_name(file), writer.text(penalty))
        })
        .collect()
}

fn file_name(file: usize) -> String {
    ["main.cell", "one.cell", "two.cell"][file].to_owned()
}

struct Writer<'p> {
    program: &'p Program,
    file: usize,
}

impl Writer<'_> {
    fn text(&self, penalty: Option<&str>) -> String {
        let routines = &self.program.routines;
        let mut out = String::new();
        for (k, r) in routines.iter().enumerate() {
            if r.file != self.file && self.uses(k) {
                let file = file_name(r.file);
                let called = self.called(k);
                // The zoo has each name once.
                let unique = routines.iter().filter(|other| other.name == r.name).count() == 1;
                let place = match unique && k % 2 == 0 {
                    true => String::new(),
                    false => format!(" from \"{file}\""),
                };
                match called == r.name {
                    true => writeln!(out, "use {called}{place}").unwrap(),
                    false => writeln!(out, "use {} as {called}{place}", r.name).unwrap(),
                }
            }
        }
        for (k, r) in routines.iter().enumerate() {
            if r.file == self.file {
                self.routine(r, k + 1 == routines.len(), penalty, &mut out);
            }
        }
        out
    }

    /// True if a routine of this text calls another.
    fn uses(&self, other: usize) -> bool {
        fn calls(lines: &[Line], other: usize) -> bool {
            lines.iter().any(|line| match line {
                Line::Call { routine, .. } => *routine == other,
                Line::Share { routine, .. } => *routine == Some(other),
                Line::For { lines, .. } => calls(lines, other),
                _ => false,
            })
        }
        let here = self.program.routines.iter().filter(|r| r.file == self.file);
        let mut here = here.map(|r| &r.lines);
        here.any(|lines| calls(lines, other))
    }

    /// What this text calls a routine: its name, unless another routine has it here.
    fn called(&self, routine: usize) -> String {
        let routines = &self.program.routines;
        let own = &routines[routine];
        let mut others = routines.iter().enumerate();
        let clash = others.any(|(k, r)| {
            k != routine && r.name == own.name && (r.file == self.file || self.uses(k))
        });
        match clash && own.file != self.file {
            true => format!("u{routine}_{}", own.name),
            false => own.name.clone(),
        }
    }

    fn routine(&self, r: &Routine, main: bool, penalty: Option<&str>, out: &mut String) {
        let name = &r.name;
        if r.kind == Kind::Function {
            writeln!(out, "def {name}[H]({}) {{", r.operands.join(", ")).unwrap();
            self.lines(&r.lines, out);
            writeln!(out, "return {}\n}}", self.expr(&r.result)).unwrap();
            return;
        }
        let operands = r.operands.iter().enumerate();
        let inputs: Vec<String> = operands.map(|(k, x)| format!("{x}[I{k}]")).collect();
        let sizes = (0..inputs.len()).map(|k| format!("I{k}={}", k + 2));
        let sizes: Vec<String> = sizes.chain(["H=3".to_owned()]).collect();
        let head = |lines: &[Line]| {
            let states = lines.iter().take_while(|l| matches!(l, Line::State { .. }));
            states.count()
        };
        // States at the beginning stand in the head, as they usually do.
        let (states, lines) = r.lines.split_at(head(&r.lines));
        let states: Vec<String> = states.iter().map(state).collect();
        let (inputs, sizes) = (inputs.join(", "), sizes.join(", "));
        writeln!(
            out,
            "cell {name}({inputs}; {}) where {sizes}",
            states.join(", ")
        )
        .unwrap();
        self.lines(lines, out);
        if r.decoy {
            out.push_str("target aim[H]\nunread = tanh(dense[2](x0, name=unread))\n");
        }
        writeln!(out, "output y = {}", self.expr(&r.result)).unwrap();
        if r.decoy {
            out.push_str("output unread\nloss mean(square(y - aim)) + sum(unread)\n");
        }
        if main {
            ends(penalty, out);
        }
    }

    fn lines(&self, lines: &[Line], out: &mut String) {
        for line in lines {
            self.line(line, out);
        }
    }

    fn line(&self, line: &Line, out: &mut String) {
        let list = |args: &[Expr]| -> String {
            let args: Vec<String> = args.iter().map(|e| self.expr(e)).collect();
            args.join(", ")
        };
        match line {
            Line::Let { name, value } => writeln!(out, "{name} = {}", self.expr(value)),
            Line::Dense {
                name,
                size,
                operands,
                bias,
            } => {
                let layer = if *bias { "dense" } else { "dense_no_bias" };
                let operands: Vec<String> = (operands.iter())
                    .map(|(label, e)| match label {
                        Some(label) => format!("{label}: {}", self.expr(e)),
                        None => self.expr(e),
                    })
                    .collect();
                let operands = operands.join(", ");
                writeln!(out, "{name} = tanh({layer}[{}]({operands}))", width(*size))
            }
            Line::Param { name, start } => writeln!(out, "param {name}[H] init {start}"),
            Line::State { .. } => writeln!(out, "state {}", state(line)),
            Line::Next { name, value } => writeln!(out, "{name}' = {}", self.expr(value)),
            Line::Call {
                name,
                routine,
                size,
                args,
                layer,
            } => {
                let word = if *layer { "layer " } else { "" };
                let called = self.called(*routine);
                let (args, size) = (list(args), width(*size));
                match self.program.routines[*routine].kind {
                    Kind::Function => writeln!(out, "{word}{name} = {called}[{size}]({args})"),
                    Kind::Cell => writeln!(out, "{word}{name} = {called}({args}, H={size})"),
                }
            }
            Line::Share {
                name,
                routine,
                size,
            } => {
                let size = width(*size);
                match routine.map(|r| (self.called(r), self.program.routines[r].kind)) {
                    None => writeln!(out, "layer {name} = dense[{size}]"),
                    Some((called, Kind::Function)) => {
                        writeln!(out, "layer {name} = {called}[{size}]")
                    }
                    Some((called, Kind::Cell)) => {
                        writeln!(out, "layer {name} = {called}(H={size})")
                    }
                }
            }
            Line::Apply { name, layer, args } => writeln!(out, "{name} = {layer}({})", list(args)),
            Line::For {
                index,
                range: (from, to),
                carried,
                first,
                lines,
            } => {
                let first = self.expr(first);
                writeln!(
                    out,
                    "for {index} in {from}..{to} carrying {carried} = {first} {{"
                )
                .unwrap();
                self.lines(lines, out);
                writeln!(out, "}}")
            }
        }
        .unwrap();
    }

    fn expr(&self, e: &Expr) -> String {
        match e {
            Expr::Name(name) => name.clone(),
            Expr::Number(x) => x.to_string(),
            Expr::After(index) => format!("({index} + 1)"),
            Expr::Call(f, x) => format!("{}({})", self.function(f), self.expr(x)),
            Expr::Infix(sign, a, b) => format!("({} {sign} {})", self.expr(a), self.expr(b)),
            Expr::First(x) => format!("({})[0]", self.expr(x)),
            Expr::Rolled(x, _) => {
                let x = self.expr(x);
                format!("concat(({x})[1..], ({x})[..1])")
            }
        }
    }

    /// Where this text calls a routine like the function, the function has another name.
    fn function<'n>(&self, name: &'n str) -> &'n str {
        let routines = self.program.routines.iter().enumerate();
        let mut here = routines.filter(|(k, r)| r.file == self.file || self.uses(*k));
        match name == "silu" && here.any(|(k, _)| self.called(k) == name) {
            true => "swish",
            false => name,
        }
    }
}

/// The lines of the program itself that follow its output.
pub(crate) fn ends(penalty: Option<&str>, out: &mut String) {
    out.push_str("target aim[H]\nloss mean(square(y - aim))\n");
    if let Some(parameter) = penalty {
        writeln!(out, "loss 0.5 * sum(square({parameter}))").unwrap();
    }
}

fn state(line: &Line) -> String {
    match line {
        Line::State {
            name,
            learned: true,
        } => format!("{name}[H] init learned"),
        other => format!("{}[H]", other.gives()),
    }
}

fn width(w: Width) -> String {
    match w {
        Width::Number(n) => n.to_string(),
        Width::Own | Width::Operand(_) => "H".to_owned(),
    }
}
