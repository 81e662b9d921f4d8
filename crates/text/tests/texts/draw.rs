//! Draws a program.

use crate::program::{Expr, Kind, Line, Program, Routine, Width, needed};

/// A source of decisions: bytes, and zeros when they run out, which are the plainest choice.
pub(crate) struct Choices<'a> {
    bytes: std::slice::Iter<'a, u8>,
}

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Choices<'a> {
        Choices {
            bytes: bytes.iter(),
        }
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or(0)) % n.max(1)
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(256) * 100 / 256 >= 100 - percent
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

struct Draw<'c, 'b> {
    c: &'c mut Choices<'b>,
    done: Vec<Routine>,
    /// Names of this routine that have a value, with its width.
    values: Vec<(String, Width)>,
    /// Layers to be applied, with what they take: so many operands of these widths, and their result's.
    layers: Vec<(String, Vec<Width>, Width, bool)>,
    indices: Vec<String>,
    count: usize,
}

pub(crate) fn draw(c: &mut Choices<'_>) -> Program {
    let mut d = Draw {
        c,
        done: Vec::new(),
        values: Vec::new(),
        layers: Vec::new(),
        indices: Vec::new(),
        count: 0,
    };
    let routines = 1 + d.c.below(4);
    for _ in 0..routines {
        d.routine(false);
    }
    d.routine(true);
    let penalty = d.c.below(256);
    Program {
        routines: d.done,
        penalty,
    }
}

const NAMES: [&str; 5] = ["gate", "mix", "core", "silu", "step"];

impl Draw<'_, '_> {
    fn routine(&mut self, main: bool) {
        let file = if main { 0 } else { self.c.below(3) };
        let kind = match main || self.c.chance(50) {
            true => Kind::Cell,
            false => Kind::Function,
        };
        let mut name = self.c.pick(&NAMES).to_owned();
        let taken = |name: &str, done: &[Routine]| {
            let mut same = done.iter().filter(|r| r.file == file);
            same.any(|r| r.name == name)
        };
        if main || taken(&name, &self.done) {
            name = format!("r{}", self.done.len());
        }
        (self.values, self.layers) = (Vec::new(), Vec::new());
        let operands: Vec<String> = (0..1 + self.c.below(2)).map(|k| format!("x{k}")).collect();
        for (k, name) in operands.iter().enumerate() {
            self.values.push((name.clone(), Width::Operand(k)));
        }
        let mut lines = Vec::new();
        let mut states = Vec::new();
        for _ in 0..self.c.below(3) {
            let name = self.fresh("h");
            let learned = kind == Kind::Cell && !main && self.c.chance(20);
            self.values.push((name.clone(), Width::Own));
            states.push(name.clone());
            lines.push(Line::State { name, learned });
        }
        let own = self.fresh("d");
        lines.push(self.dense(own.clone(), Width::Own));
        self.values.push((own, Width::Own));
        for _ in 0..2 + self.c.below(6) {
            self.line(&mut lines, 2);
        }
        for state in states {
            let value = self.sum(Width::Own);
            self.values.push((format!("{state}'"), Width::Own));
            lines.push(Line::Next { name: state, value });
        }
        let decoy = kind == Kind::Cell && !main && self.c.chance(60);
        let mut routine = Routine {
            kind,
            name,
            file,
            operands,
            lines,
            result: self.sum(Width::Own),
            decoy,
        };
        if kind == Kind::Cell && !main {
            routine.lines = needed(&routine);
        }
        self.done.push(routine);
    }

    fn fresh(&mut self, letter: &str) -> String {
        self.count += 1;
        format!("{letter}{}", self.count)
    }

    /// A value of this width that has a name.
    fn named(&mut self, width: Width) -> Option<String> {
        let fit: Vec<String> = (self.values.iter())
            .filter(|v| v.1 == width)
            .map(|v| v.0.clone())
            .collect();
        (!fit.is_empty()).then(|| self.c.pick(&fit))
    }

    fn width(&mut self) -> Width {
        let all: Vec<Width> = self.values.iter().map(|v| v.1).collect();
        self.c.pick(&all)
    }

    /// Something of this width; there is a value of it.
    fn expr(&mut self, width: Width, depth: usize) -> Expr {
        let Some(name) = self.named(width) else {
            panic!("there is a value of each width that is asked for");
        };
        let plain = Expr::Name(name);
        if depth == 0 {
            return plain;
        }
        match self.c.below(8) {
            0 => plain,
            1 | 2 => Expr::Call(
                self.c.pick(&["tanh", "sigmoid", "silu", "square"]),
                Box::new(self.expr(width, depth - 1)),
            ),
            3 | 4 => {
                let sign = self.c.pick(&["+", "-", "*"]);
                let right = self.expr(width, depth - 1);
                Expr::Infix(sign, Box::new(plain), Box::new(right))
            }
            5 => {
                let other = self.width();
                let first = Expr::First(Box::new(self.expr(other, depth - 1)));
                Expr::Infix("*", Box::new(first), Box::new(plain))
            }
            6 => Expr::Rolled(Box::new(self.expr(width, depth - 1)), width),
            _ => {
                let scalar = match self.indices.is_empty() {
                    true => Expr::Number(0.5),
                    false => Expr::After(self.c.pick(&self.indices.clone())),
                };
                Expr::Infix("*", Box::new(scalar), Box::new(self.expr(width, depth - 1)))
            }
        }
    }

    /// An op of something, so that it is no other name of a value.
    fn sum(&mut self, width: Width) -> Expr {
        let (a, b) = (self.expr(width, 2), self.expr(width, 1));
        Expr::Infix(self.c.pick(&["+", "-"]), Box::new(a), Box::new(b))
    }

    fn size(&mut self) -> Width {
        match self.c.chance(60) {
            true => Width::Own,
            false => Width::Number(2 + self.c.below(3)),
        }
    }

    fn dense(&mut self, name: String, size: Width) -> Line {
        let mut operands: Vec<(Option<String>, Expr)> = Vec::new();
        let mut taken: Vec<String> = Vec::new();
        for k in 0..1 + self.c.below(3) {
            let width = self.width();
            let depth = usize::from(self.c.chance(40));
            let value = self.expr(width, depth);
            // A name is what the matrix is called after, unless the call says another.
            let bare = match &value {
                Expr::Name(name) => Some(name.trim_end_matches('\'').to_owned()),
                _ => None,
            };
            let own = bare.filter(|b| !taken.contains(b) && !self.c.chance(30));
            let label = match own {
                Some(own) => {
                    taken.push(own);
                    None
                }
                None => Some(format!("q{k}")),
            };
            operands.push((label, value));
        }
        let bias = !self.c.chance(25);
        Line::Dense {
            name,
            size,
            operands,
            bias,
        }
    }

    fn args(&mut self, widths: &[Width]) -> Vec<Expr> {
        let depth = usize::from(self.c.chance(40));
        widths.iter().map(|&w| self.expr(w, depth)).collect()
    }

    /// One more line, or two.
    fn line(&mut self, lines: &mut Vec<Line>, depth: usize) {
        match self.c.below(8) {
            0 | 1 => {
                let (name, width) = (self.fresh("v"), self.width());
                let value = self.sum(width);
                lines.push(Line::Let {
                    name: name.clone(),
                    value,
                });
                self.values.push((name, width));
            }
            2 => {
                let (name, size) = (self.fresh("d"), self.size());
                lines.push(self.dense(name.clone(), size));
                self.values.push((name, size));
            }
            3 => {
                let name = self.fresh("p");
                let start = self.c.pick(&[0.25, -0.5, 1.0]);
                lines.push(Line::Param {
                    name: name.clone(),
                    start,
                });
                self.values.push((name, Width::Own));
            }
            4 | 5 if !self.done.is_empty() => {
                let routine = self.c.below(self.done.len());
                let (name, size, layer) = (self.fresh("l"), self.size(), self.c.chance(50));
                let count = self.done[routine].operands.len();
                let widths: Vec<Width> = (0..count).map(|_| self.width()).collect();
                lines.push(Line::Call {
                    name: name.clone(),
                    routine,
                    size,
                    args: self.args(&widths),
                    layer,
                });
                self.values.push((name, size));
            }
            6 => self.shared(lines),
            _ if depth > 0 => self.repetition(lines, depth),
            _ => {}
        }
    }

    /// A layer that is applied twice at least, or one more application.
    fn shared(&mut self, lines: &mut Vec<Line>) {
        let times = match self.layers.is_empty() || self.c.chance(50) {
            true => {
                let name = self.fresh("s");
                let routine = match !self.done.is_empty() && self.c.chance(60) {
                    true => Some(self.c.below(self.done.len())),
                    false => None,
                };
                let count = routine.map_or(1, |r| self.done[r].operands.len());
                let (size, widths) = (self.size(), (0..count).map(|_| self.width()).collect());
                lines.push(Line::Share {
                    name: name.clone(),
                    routine,
                    size,
                });
                self.layers.push((name, widths, size, routine.is_none()));
                2
            }
            false => 1,
        };
        for _ in 0..times {
            let (layer, widths, size, dense) = match times {
                2 => self.layers.last().cloned().expect("there is one now"),
                _ => self.c.pick(&self.layers.clone()),
            };
            let name = self.fresh("a");
            let args = match dense {
                // Matrices are called after the operands of the first use.
                true => vec![Expr::Name(self.named(widths[0]).expect("it is there"))],
                false => self.args(&widths),
            };
            lines.push(Line::Apply {
                name: name.clone(),
                layer,
                args,
            });
            self.values.push((name, size));
        }
    }

    fn repetition(&mut self, lines: &mut Vec<Line>, depth: usize) {
        let (index, carried) = (self.fresh("k"), self.fresh("y"));
        let width = self.width();
        let first = self.expr(width, 1);
        let from = self.c.below(2);
        let range = (from, from + self.c.below(4));
        let (values, layers) = (self.values.clone(), self.layers.clone());
        self.values.push((carried.clone(), width));
        self.indices.push(index.clone());
        let mut inside = Vec::new();
        if self.c.chance(40) {
            let name = self.fresh("h");
            inside.push(Line::State {
                name: name.clone(),
                learned: false,
            });
            let value = self.sum(Width::Own);
            inside.push(Line::Next {
                name: name.clone(),
                value,
            });
            self.values.push((format!("{name}'"), Width::Own));
        }
        for _ in 0..1 + self.c.below(2) {
            self.line(&mut inside, depth - 1);
        }
        inside.push(match width {
            Width::Own if self.c.chance(50) => self.dense(carried.clone(), width),
            _ => Line::Let {
                name: carried.clone(),
                value: self.sum(width),
            },
        });
        (self.values, self.layers) = (values, layers);
        self.values.push((carried.clone(), width));
        self.indices.pop();
        lines.push(Line::For {
            index,
            range,
            carried,
            first,
            lines: inside,
        });
    }
}
