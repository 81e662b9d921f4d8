//! What a call gives a function or a cell besides operands: sizes, and the direction of time.

use std::collections::BTreeMap;

use crate::ast::{Arg, Call, ExprKind, LabelKind, Statement};
use crate::error::TextError;
use crate::library::{Routine, is_operand};
use crate::lower::Lower;
use crate::sizes::Size;
use crate::typed::Typed;

impl<'f> Lower<'f> {
    /// The dimensions of a routine that a call gives, by brackets or by name.
    pub(crate) fn called_sizes(
        &mut self,
        routine: &'f Routine,
        call: &Call,
    ) -> Result<BTreeMap<&'f str, f64>, TextError> {
        let mut given = BTreeMap::new();
        let name = &routine.name.text;
        for Arg { label, value } in &call.args {
            let Some((label, LabelKind::Attribute)) = label else {
                continue;
            };
            let is_dimension = routine.dims.iter().any(|(n, _)| n.text == label.text);
            if label.text == "name" || (label.text == "reverse" && !is_dimension) {
                continue;
            }
            let Some((dim, _)) = routine.dims.iter().find(|(n, _)| n.text == label.text) else {
                let known: Vec<&str> = routine.dims.iter().map(|(n, _)| n.text.as_str()).collect();
                let message = format!("`{name}` has no dimension `{}`", label.text);
                let expected = match known.as_slice() {
                    [] => "expected only operands".to_owned(),
                    known => format!("expected {}", known.join(" or ")),
                };
                return Err(self.error(label.span, message, &expected));
            };
            if given
                .insert(dim.text.as_str(), self.number(value)?)
                .is_some()
            {
                let message = format!("the dimension `{}` is given twice", dim.text);
                return Err(self.error(label.span, message, "expected it once"));
            }
        }
        if let Some(sizes) = &call.sizes {
            if sizes.len() > routine.dims.len() {
                let message = format!("`{name}` has {} sizes", routine.dims.len());
                let at = call.function.span;
                return Err(self.error(at, message, "expected at most as many in brackets"));
            }
            for ((dim, _), size) in routine.dims.iter().zip(sizes) {
                given.insert(dim.text.as_str(), self.number(size)?);
            }
        }
        Ok(given)
    }

    /// `reverse=1`: the layer runs from the end of a row to its beginning.
    pub(crate) fn reverses(&self, routine: &Routine, call: &Call) -> Result<bool, TextError> {
        let mut reverse = None;
        for Arg { label, value } in &call.args {
            if let Some((label, LabelKind::Attribute)) = label
                && label.text == "reverse"
                && !routine.dims.iter().any(|(n, _)| n.text == label.text)
            {
                let given = self.number(value)?;
                if given != 0.0 && given != 1.0 {
                    let message = format!("a layer is not reversed {given} times");
                    return Err(self.error(value.span, message, "expected 0 or 1"));
                }
                if reverse.replace(given).is_some() {
                    let message = "`reverse` is given twice".to_owned();
                    return Err(self.error(label.span, message, "expected it once"));
                }
            }
        }
        Ok(reverse == Some(1.0))
    }

    /// Adds the dimensions of a cell that the shapes of its operands say, as far as they are not given.
    pub(crate) fn sizes_of_operands<'g>(
        &self,
        routine: &'g Routine,
        operands: &[Typed],
        given: &mut BTreeMap<&'g str, f64>,
    ) {
        let inputs = routine.statements.iter().filter_map(|s| match s {
            Statement::Input { role, shape, .. } if is_operand(*role) => Some(shape),
            _ => None,
        });
        for (shape, operand) in inputs.zip(operands) {
            let sizes = self.sizes.form(operand.form).sizes();
            for (e, size) in shape.iter().zip(sizes) {
                if let (ExprKind::Name(dim), Size::Known(n)) = (&e.kind, size)
                    && routine.dims.iter().any(|(known, _)| known.text == *dim)
                {
                    given.entry(dim.as_str()).or_insert(n as f64);
                }
            }
        }
    }
}
