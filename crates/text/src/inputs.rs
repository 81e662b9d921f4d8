//! Inputs: their shapes, and what they vary over.

use std::ops::Range;

use retrograd_tape::{Domain, InputRole};

use crate::ast::{Expr, Name};
use crate::error::TextError;
use crate::library::is_operand;
use crate::lower::Lower;
use crate::sizes::Form;
use crate::typed::Action;

impl Lower<'_> {
    pub(crate) fn input(
        &mut self,
        role: InputRole,
        name: &Name,
        shape: &[Expr],
        (keep, range, over): (Option<&Expr>, Option<&(Expr, Expr)>, Option<&Expr>),
    ) -> Result<(), TextError> {
        // Where a cell is a layer, its operands are bound already.
        if self.frames.len() > 1 && is_operand(role) {
            if self.frame().suffix.is_empty() {
                return Ok(());
            }
            let message = "a cell that is a layer has its inputs in its head".to_owned();
            return Err(self.error(name.span, message, "expected no input in a repetition"));
        }
        let form = self.shape(shape)?;
        let (id, full) = self.declare(name, form)?;
        if role == InputRole::Weight && form != Form::Scalar {
            let message = format!("a weight is a scalar, not {form}");
            return Err(self.error(name.span, message, "expected a name without a shape"));
        }
        let range = match range {
            Some((from, to)) => Some(self.input_range(role, from, to)?),
            None => None,
        };
        let domain = self.input_domain(role, over)?;
        let name = full;
        self.actions.push(match keep {
            None => Action::Input {
                id,
                role,
                name,
                form,
                range,
                domain,
            },
            Some(keep) => {
                let p = self.number(keep)?;
                if !(p > 0.0 && p <= 1.0) {
                    let message = format!("a mask cannot keep with probability {p}");
                    let expected = "expected more than 0 and at most 1";
                    return Err(self.error(keep.span, message, expected));
                }
                let keep = p;
                Action::Mask {
                    id,
                    name,
                    form,
                    keep,
                    domain,
                }
            }
        });
        Ok(())
    }

    /// The interval that tests draw an input's numbers from.
    fn input_range(
        &mut self,
        role: InputRole,
        from: &Expr,
        to: &Expr,
    ) -> Result<Range<f64>, TextError> {
        let at = from.span.to(to.span);
        if role == InputRole::Mask {
            let message = "a mask is 0 or 1/keep".to_owned();
            return Err(self.error(at, message, "expected no range"));
        }
        let (start, end) = (self.number(from)?, self.number(to)?);
        if start < end && start.is_finite() && end.is_finite() {
            return Ok(start..end);
        }
        let message = format!("the range {start}..{end} has no numbers");
        let label = "expected an end above the beginning; the end is excluded";
        Err(self.error(at, message, label))
    }

    /// What an input varies over: what its line says, else what its role has.
    fn input_domain(&self, role: InputRole, over: Option<&Expr>) -> Result<Domain, TextError> {
        let (usual, may): (Domain, &[Domain]) = match role {
            InputRole::Static => (Domain::Row, &[Domain::Row, Domain::Once]),
            InputRole::Target | InputRole::Weight | InputRole::Mask => {
                (Domain::Step, &[Domain::Step, Domain::Row, Domain::Once])
            }
            _ => (Domain::Step, &[Domain::Step]),
        };
        let Some(over) = over else {
            return Ok(usual);
        };
        let domain = self.domain(over)?;
        if may.contains(&domain) {
            return Ok(domain);
        }
        let may: Vec<String> = may.iter().map(ToString::to_string).collect();
        let message = format!("an input of this kind cannot vary over {domain}");
        let label = format!("expected {}", may.join(" or "));
        Err(self.error(over.span, message, &label))
    }
}
