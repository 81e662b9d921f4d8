//! *fuse*: work that can run for all steps at once moves back into a recurrence where that reduces the numbers that
//! cross between loops, and so must be stored for all steps.
//!
//! Maximal distribution leaves a recurrence only its own work. Its readers then need all its values: the read-out C q
//! of a matrix memory would need every step's matrix. Three things reduce this, in this order:
//!
//! 1. Two recurrences in one direction become one loop, with the point-wise work between them, where that reduces the
//!    crossing numbers. Not if both have products with weights: each product's weights would evict the other's from
//!    cache in every step.
//! 2. *Consumers*: each recurrence takes in the set of point-wise readers that leaves least to store. It is found as a
//!    minimum cut: a value that is computed on the recurrence's side and read on the other side costs its length. They
//!    join if what need not be stored is worth their work, by the target's cycles. A polynomial of each number is not
//!    worth it: a recurrence's rows already wait for theirs, and more of them lengthen the wait, while over all steps the
//!    rows overlap.
//! 3. *Producers*: work that only one recurrence reads joins it, if it reads no more numbers than it computes:
//!    element-wise work, outer products, rows of a table. Two kinds stay out, because they would make the loop slower
//!    than a load does: a lane loop of its own, as of one number per row that is then repeated, which also prevents
//!    time innermost; and, in an element-wise recurrence, an activation of a stored product: outside, wide kernels
//!    compute it over many steps at once, in its operand's place (6.5 cycles for four sigmoids of f32 with 256-bit
//!    vectors, 12.3 in the loop, against half a cycle for the load; `jit/src/predict.rs`).
//!
//! Nothing joins a recurrence of the other half of a run (`passes/halves.rs`). Products with weights are in none of
//! these sets: a reader of a hoisted product of a recurrence's values cannot join the recurrence, so that no product is
//! pulled into a loop.

mod cut;
mod network;

use std::collections::HashSet;

use retrograd_tape::{Domain, Op, Value};

use crate::passes::components::Class;
use crate::plan::build::{Classified, LoweringKind};
use crate::plan::cycles::{Cycles, EMITTED_BYTES};
use crate::target::Target;
use crate::work::Allowance;
use network::{Classes, Link, Net, Via};

/// Numbers of an emitted vector. A number counts as four bytes: plans do not know their numbers' type.
const LANES: f64 = (EMITTED_BYTES / size_of::<f32>()) as f64;

/// Operations allowed for any program, however small.
const SMALL: usize = 1 << 21;

/// Operations allowed per value, and per link between two, for finding what should join.
const EACH: usize = 32;

/// The classes of all values over steps after everything that should has joined, indexed by value. If the search takes
/// too long, the rest stays apart. `outline_activations`: wide kernels will compute activations of stored products.
pub(crate) fn fuse(f: &Classified<'_>, outline_activations: bool, target: Target) -> Vec<Class> {
    let cycles = target.cycles();
    let net = Net::new(f);
    let links: usize = net.reads.iter().map(Vec::len).sum();
    let mut left = Allowance::of(SMALL + EACH * (f.order.len() + links));
    let recurrences = f.components.reverse.len();
    let mut class = net.apart();
    let mut best = net.with_consumers(&class, cycles, &mut left);
    let mut least = net.stored(&best);
    let multiplies = |class: &Classes, k: usize| {
        (class.members[k].iter()).any(|&v| f.lowering(v) == LoweringKind::Product)
    };
    let mut product: Vec<bool> = (0..recurrences).map(|k| multiplies(&class, k)).collect();
    for j in 1..recurrences {
        // The one that leaves least to store, of several the last.
        let mut found = None;
        for i in (0..j).rev() {
            if left.is_spent() {
                break;
            }
            let directions = &f.components.reverse;
            let empty = class.members[i].is_empty() || class.members[j].is_empty();
            let apart = || net.is_late(&class, i) != net.is_late(&class, j);
            if empty || directions[i] != directions[j] || product[i] && product[j] || apart() {
                continue;
            }
            let Some(merged) = net.merged(&class, i, j, &mut left) else {
                continue;
            };
            let joined = net.with_consumers(&merged, cycles, &mut left);
            let stored = net.stored(&joined);
            // An incomplete result is discarded.
            if left.spend(f.order.len()) && stored < least {
                (best, least) = (joined, stored);
                found = Some((i, merged));
            }
        }
        if let Some((i, merged)) = found {
            class = merged;
            product[i] |= product[j];
        }
    }
    net.producers(&mut best, outline_activations, cycles);
    best.class
}

impl Net<'_, '_> {
    /// Recurrences `i` and `j`, which have one direction, and the work between them as one, if one loop can compute
    /// them.
    fn merged(&self, class: &Classes, i: usize, j: usize, left: &mut Allowance) -> Option<Classes> {
        let reverse = self.f.components.reverse[i];
        let both = [class.members[i].as_slice(), &class.members[j]].concat();
        let below = self.reached(class, &both, Self::readers, left)?;
        let above = self.reached(class, &both, Self::reads, left)?;
        let mut inside = vec![false; self.place.len()];
        let mut all = both;
        all.iter().for_each(|v| inside[v.index()] = true);
        let own = all.len();
        for &v in below.all.iter().filter(|v| above.has(**v)) {
            if !std::mem::replace(&mut inside[v.index()], true) {
                all.push(v);
            }
        }
        let joins = |v: &Value| self.is_pointwise(*v) && class.of(*v) == Class::Parallel;
        let fits = |v: &Value| {
            let mut of_it = self.reads(*v).iter().filter(|l| inside[l.at.index()]);
            of_it.all(|l| Self::in_time(l.via, reverse))
        };
        if !all[own..].iter().all(joins) || !all.iter().all(fits) {
            return None;
        }
        let mut merged = class.clone();
        merged.put(self, &all, i);
        Some(merged)
    }

    /// Every recurrence with the readers that it takes in.
    fn with_consumers(&self, class: &Classes, c: &Cycles, left: &mut Allowance) -> Classes {
        let mut class = class.clone();
        for k in 0..self.f.components.reverse.len() {
            let Some(joined) = self.consumers(&class, k, left) else {
                break;
            };
            if joined.is_empty() {
                continue;
            }
            // What other recurrences store depends on where their readers are, and, for parts, on the readers of the
            // whole.
            let mut touched = joined.clone();
            let mut from = 0;
            for _ in 0..2 {
                let to = touched.len();
                for at in from..to {
                    touched.extend(self.reads(touched[at]).iter().map(|l| l.at));
                }
                from = to;
            }
            touched.sort_unstable();
            touched.dedup();
            left.spend(2 * touched.len());
            let stored = |class: &Classes| -> usize {
                touched.iter().map(|&v| self.stored_of(class, v)).sum()
            };
            let before = stored(&class);
            let own: Vec<Class> = joined.iter().map(|&v| class.of(v)).collect();
            joined
                .iter()
                .for_each(|v| class.class[v.index()] = Class::Recurrent(k));
            let after = stored(&class);
            let work: f64 = joined.iter().map(|&v| self.work(v, c)).sum();
            if after < before && work <= c.stored * (before - after) as f64 {
                class.put(self, &joined, k);
            } else {
                let back = joined.iter().zip(own);
                back.for_each(|(v, own)| class.class[v.index()] = own);
            }
        }
        class
    }

    /// Cycles per point that work takes in a recurrence.
    fn work(&self, v: Value, c: &Cycles) -> f64 {
        let f = self.f;
        let numbers = |n: usize| n as f64 / LANES;
        let operand = |i: usize| f.len(f.g.operands(v)[i]);
        match *f.g.op_of(v) {
            Op::Reduce(_) => numbers(operand(0)) * c.instr,
            Op::Dot | Op::MatVec { .. } => numbers(operand(0)) * 2.0 * c.instr,
            // What reads a number waits for a root or a polynomial of it.
            Op::Map(m) if f.len(v) == 1 && c.emitted(m) >= c.quotient => c.single + c.emitted(m),
            Op::Map(m) => numbers(f.len(v)) * c.emitted(m),
            _ => numbers(f.len(v)) * c.instr,
        }
    }

    /// Work that only one recurrence reads joins it.
    fn producers(&self, class: &mut Classes, outline_activations: bool, c: &Cycles) {
        let f = self.f;
        let lane_wise = |v: &Value| {
            matches!(
                f.lowering(*v),
                LoweringKind::View | LoweringKind::Lane | LoweringKind::Concat
            )
        };
        let slow: HashSet<Class> = (f.order.iter())
            .filter(|v| !lane_wise(v))
            .map(|&v| class.of(v))
            .collect();
        for &v in f.order.iter().rev() {
            if !self.is_pointwise(v) || class.of(v) != Class::Parallel || f.g.is_output(v) {
                continue;
            }
            let operands = f.g.operands(v).into_iter();
            let takes: usize = (operands.filter(|&x| f.domain(x) == Domain::Step))
                .map(|x| f.len(x))
                .sum();
            let small = match f.lowering(v) {
                LoweringKind::Lane => {
                    let in_one_lane_loop =
                        |l: &Link| f.lowering(l.at) == LoweringKind::Lane && f.reads_whole(l.at, v);
                    self.readers(v).iter().any(in_one_lane_loop)
                }
                LoweringKind::Row => {
                    takes <= f.len(v) && self.work(v, c) <= c.stored * f.len(v) as f64
                }
                _ => false,
            };
            let readers = self.readers(v);
            let Some(own) = readers.first().map(|l| class.of(l.at)) else {
                continue;
            };
            let late = f.halves.is_late(v);
            let pointwise = |l: &Link| {
                let here = self.is_pointwise(l.at) && l.via == Via::Here;
                here && f.halves.is_late(l.at) == late
            };
            if small
                && own != Class::Parallel
                && readers
                    .iter()
                    .all(|l| pointwise(l) && class.of(l.at) == own)
                && (slow.contains(&own) || !outline_activations || !f.is_wide_activation(v))
            {
                class.class[v.index()] = own;
            }
        }
    }
}
