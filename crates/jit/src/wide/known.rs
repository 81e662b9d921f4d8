//! What straight code knows of memory: values that were loaded or stored a few operations ago are still in registers.

use retrograd_graph::plan::{BufferId, View};
use rustc_hash::FxHashMap as HashMap;

use super::block::{Block, Place, V};

/// A value that was stored or loaded fewer operations ago than this is still in its register.
const NEAR: usize = 120;

/// What a value has of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A vector.
    Whole,
    /// The first elements of one.
    Part(usize),
    /// One number, in all elements.
    Number,
}

/// A value that is also in memory.
#[derive(Clone, Copy)]
struct Entry {
    view: View,
    at: Place,
    form: Form,
    value: V,
    /// The operation that had to do with it last.
    when: usize,
}

impl Entry {
    fn is(&self, block: &Block, v: View, at: Place) -> bool {
        self.at == at && same(self.view, v) && self.is_near(block)
    }

    fn is_near(&self, block: &Block) -> bool {
        block.ops.len() - self.when <= NEAR
    }
}

/// Values of the block that are also in memory, by the array that they are in.
#[derive(Default)]
pub(super) struct Known {
    values: HashMap<BufferId, Vec<Entry>>,
}

impl Known {
    fn of(&mut self, v: View) -> &mut Vec<Entry> {
        self.values.entry(v.buffer).or_default()
    }

    /// The vector at a place, of which only these elements matter.
    pub(super) fn vector(
        &mut self,
        block: &Block,
        v: View,
        at: Place,
        part: Option<usize>,
    ) -> Option<V> {
        let enough = |form: Form| match (form, part) {
            (Form::Whole, _) => true,
            (Form::Part(has), Some(n)) => has >= n,
            (Form::Number, n) => n == Some(1),
            (Form::Part(_), None) => false,
        };
        let mut all = self.of(v).iter_mut();
        let found = all.find(|k| k.is(block, v, at) && enough(k.form))?;
        found.when = block.ops.len();
        Some(found.value)
    }

    /// The number at a place, as itself or as the first of a vector.
    pub(super) fn number(&mut self, block: &Block, v: View, at: Place) -> Option<(V, Form)> {
        let found = self.of(v).iter_mut().find(|k| k.is(block, v, at))?;
        found.when = block.ops.len();
        Some((found.value, found.form))
    }

    pub(super) fn remember(&mut self, block: &Block, v: View, at: Place, form: Form, value: V) {
        let entries = self.of(v);
        entries.retain(|k| k.is_near(block) && !(k.at == at && same(k.view, v)));
        entries.push(Entry {
            view: v,
            at,
            form,
            value,
            when: block.ops.len(),
        });
    }

    /// Forgets what a store may have changed: other views of the array may overlap, too.
    /// Vectors have `vector` bytes.
    pub(super) fn overwritten(&mut self, v: View, at: Place, bytes: usize, vector: usize) {
        let (start, end) = (
            i64::from(at.distance),
            i64::from(at.distance) + bytes as i64,
        );
        let apart = |k: &Entry| {
            let other = i64::from(k.at.distance);
            let clear = end <= other || other + vector as i64 <= start;
            same(k.view, v) && k.at.index == at.index && clear
        };
        self.of(v).retain(apart);
    }
}

/// Whether two views differ in their offset only.
fn same(a: View, b: View) -> bool {
    View { offset: 0, ..a } == View { offset: 0, ..b }
}
