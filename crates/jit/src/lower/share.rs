//! Shares one function among all loops that differ only in the names of their arrays, such as those of a stack's layers
//! or of independent states, so that code and compile time grow only with the number of distinct forms.

use cranelift::codegen::entity::EntityRef;
use cranelift::codegen::ir::Function;
use cranelift::prelude::FunctionBuilderContext;
use retrograd_graph::plan::{BufferId, Innermost, Loop, Plan, Renamed, Stmt, WeightId};
use rustc_hash::FxHashMap as HashMap;

use super::{Backend, Emitted, lower};
use crate::frame::offset;

/// The names that a shared function receives: arrays and weights, in the order of their first use in the loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    buffers: Vec<BufferId>,
    weights: Vec<WeightId>,
    /// The position of an array or a weight in these lists.
    buffer_places: HashMap<BufferId, usize>,
    weight_places: HashMap<WeightId, usize>,
}

impl Names {
    fn of(renamed: &Renamed) -> Names {
        Names {
            buffers: renamed.buffers.clone(),
            weights: renamed.weights.clone(),
            buffer_places: renamed.buffers.iter().copied().zip(0..).collect(),
            weight_places: renamed.weights.iter().copied().zip(0..).collect(),
        }
    }

    /// The position of one of the loop's arrays in the table.
    pub(super) fn buffer(&self, u: BufferId) -> i32 {
        self.buffer_places[&u] as i32
    }

    /// The position of one of the loop's weights in the table.
    pub(super) fn weight(&self, w: WeightId) -> i32 {
        (self.buffers.len() + self.weight_places[&w]) as i32
    }

    /// The table as the function reads it: byte offsets into the table of addresses, then into that of weights.
    pub(crate) fn table(&self) -> impl Iterator<Item = usize> + '_ {
        let weight = |w: &WeightId| w.index() * offset::WEIGHT_BYTES as usize;
        let buffers = self.buffers.iter().map(|u| 8 * u.index());
        buffers.chain(self.weights.iter().map(weight))
    }
}

/// Number of ops beyond which a loop's body is cut into several functions: register allocation takes more than
/// proportional time.
const MOST: usize = 1024;

/// The parts of a loop, each a loop of some of its statements, which run one after another at each step; a short loop
/// is its only part. Statements communicate through memory in any case.
fn parts(l: &Loop) -> Vec<Loop> {
    let size = |s: &Stmt| match s {
        Stmt::Region(r) => r.instrs.len(),
        _ => 8,
    };
    if l.inner != Innermost::Lanes || l.body.iter().map(size).sum::<usize>() <= MOST {
        return vec![l.clone()];
    }
    let mut parts: Vec<Loop> = Vec::new();
    let mut room = 0;
    for s in &l.body {
        if size(s) > room || parts.is_empty() {
            parts.push(Loop {
                body: Vec::new(),
                unroll: 1,
                // What one part stores another may load.
                scratch: Vec::new(),
                inner: Innermost::Lanes,
                ..*l
            });
            room = MOST;
        }
        let part = parts.last_mut().expect("there is one");
        part.body.push(s.clone());
        room = room.saturating_sub(size(s));
    }
    parts
}

/// All functions of a plan; and for each loop the functions of its parts, with the names for each. A function of a
/// single loop has the names in its code.
pub(crate) fn share(
    backend: &Backend<'_>,
    plan: &Plan,
    context: &mut FunctionBuilderContext,
    emitted: &mut Emitted,
) -> (Vec<Function>, Vec<Vec<(usize, Names)>>) {
    let loops: Vec<Vec<Loop>> = plan.loops().into_iter().map(parts).collect();
    let parts: Vec<&Loop> = loops.iter().flatten().collect();
    let mut renamed: Vec<Renamed> = parts.iter().map(|l| plan.renamed(l)).collect();
    // The parts of each form, in the order of the forms' first occurrence.
    let mut forms: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::default();
    for (i, r) in renamed.iter_mut().enumerate() {
        let k = *known
            .entry(std::mem::take(&mut r.form))
            .or_insert(forms.len());
        match forms.get_mut(k) {
            Some(alike) => alike.push(i),
            None => forms.push(vec![i]),
        }
    }
    let mut functions = Vec::with_capacity(forms.len());
    let mut calls = vec![(0, Names::default()); parts.len()];
    for alike in forms {
        let first = alike[0];
        let names = (alike.len() > 1).then(|| Names::of(&renamed[first]));
        let function = lower(
            backend,
            plan,
            parts[first],
            names.as_ref(),
            context,
            emitted,
        );
        for i in alike {
            let own = names.as_ref().map(|_| Names::of(&renamed[i]));
            calls[i] = (functions.len(), own.unwrap_or_default());
        }
        functions.push(function);
    }
    let mut calls = calls.into_iter();
    let of_loop = |l: &Vec<Loop>| calls.by_ref().take(l.len()).collect();
    (functions, loops.iter().map(of_loop).collect())
}
