//! Quantities known before recording: dimensions, sizes, probabilities, and how parameters start.

use retrograd_tape::Map;

use crate::ast;
use crate::ast::{Expr, ExprKind, Infix};
use crate::error::{TextError, nearest};
use crate::lower::Lower;
use crate::target::Initialiser;

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
    pub(crate) fn start(&self, s: &ast::InitialiserCall) -> Result<Initialiser, TextError> {
        let number = match &s.number {
            Some(e) => self.number(e)?,
            None => 0.0,
        };
        Ok(match s.kind.text.as_str() {
            "zeros" => Initialiser::Zeros,
            "constant" => Initialiser::Constant(number),
            "uniform" => Initialiser::Uniform(number),
            "fan_in" => Initialiser::FanIn,
            "normal" => Initialiser::Normal(number),
            "identity" => Initialiser::Identity,
            "orthogonal" => Initialiser::Orthogonal,
            other => {
                let message = format!("no parameter starts as `{other}`");
                return Err(self.error(s.span, message, "expected zeros or another start"));
            }
        })
    }
}
