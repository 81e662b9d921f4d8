//! Quantities known before recording: dimensions, sizes, probabilities, and how parameters start.

use std::sync::Arc;

use retrograd_tape::{Draw, Init, Map, StartExpression};

use crate::ast::{Arg, Expr, ExprKind, Infix, Start};
use crate::error::{TextError, nearest};
use crate::lower::Lower;

impl Lower<'_> {
    /// The value of an expression of numbers and dimensions.
    pub(crate) fn number(&self, e: &Expr) -> Result<f64, TextError> {
        match &e.kind {
            ExprKind::Number(x) => Ok(*x),
            ExprKind::Name(name) => match self.frame().dims.get(name.as_str()) {
                Some(&x) => Ok(x),
                None => {
                    let message = format!("there is no dimension `{name}` with a value");
                    let label = "expected a number or a dimension that `where` gives";
                    let error = self.error(e.span, message, label);
                    Err(
                        match nearest(name, self.frame().dims.keys().map(String::as_str)) {
                            Some(near) => error.help(format!("did you mean `{near}`?")),
                            None => error,
                        },
                    )
                }
            },
            ExprKind::Neg(a) => Ok(-self.number(a)?),
            ExprKind::Infix(infix, a, b) => {
                let (x, y) = (self.number(a)?, self.number(b)?);
                match infix {
                    Infix::Add => Ok(x + y),
                    Infix::Sub => Ok(x - y),
                    Infix::Mul => Ok(x * y),
                    Infix::Div => Ok(x / y),
                    Infix::Pow => Ok(x.powf(y)),
                    _ => Err(self.no_number(e)),
                }
            }
            ExprKind::Call(call) => {
                let Some(map) = Map::by_name(&call.function.text) else {
                    return Err(self.no_number(e));
                };
                if call.args.len() != map.row().arity || call.sizes.is_some() {
                    return Err(self.no_number(e));
                }
                let xs: Vec<f64> = (call.args.iter())
                    .map(|a| self.number(&a.value))
                    .collect::<Result<_, _>>()?;
                Ok((map.row().eval)(&xs))
            }
            ExprKind::Shape(_) | ExprKind::Range(..) | ExprKind::Part(..) | ExprKind::Quoted(_) => {
                Err(self.no_number(e))
            }
        }
    }

    fn no_number(&self, e: &Expr) -> TextError {
        let message = "this is no number that is known before the cell runs".to_owned();
        let label = "expected numbers, dimensions, + - * / and element-wise functions";
        self.error(e.span, message, label)
    }

    /// A size or an index.
    pub(crate) fn whole(&self, e: &Expr) -> Result<usize, TextError> {
        let x = self.number(e)?;
        if x >= 0.0 && x.fract() == 0.0 && x <= f64::from(u32::MAX) {
            return Ok(x as usize);
        }
        let message = format!("{x} is no size");
        Err(self.error(
            e.span,
            message,
            "expected a whole number from 0 to 4294967295",
        ))
    }

    /// How a parameter starts.
    pub(crate) fn start(&self, s: &Start) -> Result<Init, TextError> {
        let e = match s {
            Start::Named(name) => return Ok(rule(&name.text).unwrap_or_default()),
            Start::Each(e, None) => e,
            Start::Each(e, Some(like)) => {
                let full = self.parameter_called(&like.text);
                return match self.parameters.contains_key(&full) {
                    true => Ok(self.start(&Start::Each(e.clone(), None))?.like(&full)),
                    false => {
                        let message = format!("there is no parameter `{}` above", like.text);
                        Err(self.error(like.span, message, "expected a parameter"))
                    }
                };
            }
        };
        if let ExprKind::Call(call) = &e.kind
            && let [Arg { label: None, value }] = &call.args[..]
        {
            match call.function.text.as_str() {
                "constant" => return Ok(Init::Constant(self.number(value)?)),
                "uniform" => return Ok(Init::Uniform(self.number(value)?)),
                "normal" => return Ok(Init::Normal(self.number(value)?)),
                "orthogonal" => return Ok(Init::Orthogonal(self.number(value)?)),
                _ => {}
            }
        }
        Ok(match self.element(e)? {
            StartExpression::Number(x) => Init::Constant(x),
            each => Init::Expression(Arc::new(each)),
        })
    }

    /// The start of each element of a parameter.
    fn element(&self, e: &Expr) -> Result<StartExpression, TextError> {
        let of = |map: Map, xs: Vec<StartExpression>| {
            let known = xs.iter().map(|x| match x {
                StartExpression::Number(x) => Some(*x),
                _ => None,
            });
            match known.collect::<Option<Vec<f64>>>() {
                Some(xs) => StartExpression::Number((map.row().eval)(&xs)),
                None => StartExpression::Apply(map, xs),
            }
        };
        Ok(match &e.kind {
            ExprKind::Neg(a) => of(Map::Neg, vec![self.element(a)?]),
            ExprKind::Infix(infix, a, b) => {
                let map = match infix {
                    Infix::Add => Map::Add,
                    Infix::Sub => Map::Sub,
                    Infix::Mul => Map::Mul,
                    Infix::Div => Map::Div,
                    Infix::Pow => Map::Pow,
                    _ => return Err(self.no_number(e)),
                };
                of(map, vec![self.element(a)?, self.element(b)?])
            }
            ExprKind::Call(call) => {
                let numbers = || -> Result<Vec<f64>, TextError> {
                    call.args.iter().map(|a| self.number(&a.value)).collect()
                };
                let function = call.function.text.as_str();
                match (function, call.args.len(), Map::by_name(function)) {
                    ("uniform", 2, _) => {
                        let ab = numbers()?;
                        StartExpression::Random(Draw::Uniform(ab[0], ab[1]))
                    }
                    ("uniform", 1, _) => {
                        let k = numbers()?[0];
                        StartExpression::Random(Draw::Uniform(-k, k))
                    }
                    ("normal", 1, _) => StartExpression::Random(Draw::Normal(numbers()?[0])),
                    ("chrono", 1, _) => StartExpression::chrono(numbers()?[0]),
                    ("uniform_gate", 1, _) => StartExpression::uniform_gate(numbers()?[0]),
                    ("index", 0, _) => StartExpression::Index(0),
                    ("index", 1, _) => StartExpression::Index(self.whole(&call.args[0].value)?),
                    (_, n, Some(map)) if map.row().arity == n => {
                        let xs = call.args.iter().map(|a| self.element(&a.value));
                        of(map, xs.collect::<Result<_, _>>()?)
                    }
                    _ => {
                        let message = format!(
                            "a start has no `{function}` of {} operands",
                            call.args.len()
                        );
                        let label = "expected uniform(a, b), normal(deviation), chrono(steps), uniform_gate(n), index(axis), or an element-wise function";
                        return Err(self.error(call.function.span, message, label));
                    }
                }
            }
            _ => StartExpression::Number(self.number(e)?),
        })
    }
}

/// The start of this name that is a rule for the whole parameter.
pub(crate) fn rule(name: &str) -> Option<Init> {
    Some(match name {
        "zeros" => Init::Zeros,
        "fan_in" => Init::FanIn,
        "glorot_uniform" => Init::GlorotUniform,
        "glorot_normal" => Init::GlorotNormal,
        "he_uniform" => Init::HeUniform,
        "he_normal" => Init::HeNormal,
        "identity" => Init::Identity,
        "orthogonal" => Init::Orthogonal(1.0),
        _ => return None,
    })
}
