//! Repetitions: lines that are expanded once for each index.

use crate::ast::{Name, Repetition, Statement};
use crate::error::TextError;
use crate::lower::Lower;
use crate::typed::{Action, Typed, TypedKind, ValueId};

impl<'f> Lower<'f> {
    /// Binds a name that keeps it in the names of matrices, whatever value it stands for.
    pub(crate) fn pass(&mut self, name: &Name, value: Typed) -> ValueId {
        let id = self.number_value(value.form, Some(name.text.clone()));
        self.rebind(name, id);
        let name = None;
        self.actions.push(Action::Define { id, name, value });
        id
    }

    pub(crate) fn repeat(&mut self, r: &'f Repetition) -> Result<(), TextError> {
        let (from, to) = (self.whole(&r.from)?, self.whole(&r.to)?);
        let index = &r.index.text;
        let frame = self.frame();
        if frame.dims.contains_key(index) || frame.scope.contains_key(index) {
            let message = format!("`{index}` is given twice");
            return Err(self.error(r.index.span, message, "expected another name"));
        }
        if to < from {
            let message = format!("the range {from}..{to} ends before it begins");
            let label = "expected an end of at least the first index";
            return Err(self.error(r.to.span, message, label));
        }
        for (name, first) in &r.carried {
            let state = name.text.ends_with('\'') || self.frame().states.contains_key(&name.text);
            if state {
                let message = format!("the state `{}` cannot be carried", name.text);
                let label = "expected a name of its own: iterations hand on values of one step";
                return Err(self.error(name.span, message, label));
            }
            let value = self.equation(&name.text, first)?;
            self.pass(name, value);
        }
        let body: Vec<&Statement> = r.body.iter().collect();
        let outer = std::mem::take(&mut self.frame_mut().carried);
        let suffix = self.frame().suffix.clone();
        for k in from..to {
            self.spend(r.index.span)?;
            let frame = self.frame_mut();
            frame.carried = r
                .carried
                .iter()
                .map(|(name, _)| name.text.as_str())
                .collect();
            frame.suffix = format!("{suffix}.{k}");
            frame.dims.insert(index.clone(), k as f64);
            let kept = frame.bound.len();
            self.block(&body)?;
            if let Some((name, _)) =
                (r.carried.iter()).find(|(n, _)| self.frame().carried.contains(n.text.as_str()))
            {
                let message = format!("an iteration does not hand on `{}`", name.text);
                let label = format!("expected an equation `{} = …` in the braces", name.text);
                return Err(self.error(name.span, message, &label));
            }
            let next: Vec<ValueId> = (r.carried.iter())
                .map(|(name, _)| self.frame().scope[&name.text].0)
                .collect();
            self.unbind(kept);
            for s in &r.body {
                if let Statement::Layer { name, .. } = s {
                    self.frame_mut().layers.remove(&name.text);
                }
            }
            self.frame_mut().suffix.clone_from(&suffix);
            for ((name, _), id) in r.carried.iter().zip(next) {
                let form = self.values[id.0].form;
                let (kind, span) = (TypedKind::Value(id), name.span);
                self.pass(name, Typed { kind, form, span });
            }
        }
        let frame = self.frame_mut();
        frame.dims.remove(index);
        frame.carried = outer;
        for (name, _) in &r.carried {
            frame.carried.remove(name.text.as_str());
        }
        Ok(())
    }
}
