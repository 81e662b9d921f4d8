//! Rule 13: how long arrays keep their steps.

use retrograd_tape::Domain;

use super::broken;
use crate::plan::{BufferId, Checkpointing, Item, Lifetime, LoopKind, Plan, Storage};
use crate::verify::Broken;

/// Rule 13.
pub(super) fn memory(plan: &Plan) -> Result<(), Broken> {
    let memory = &plan.memory;
    if memory.keep.is_empty() && !plan.buffers.is_empty() {
        return match memory.replays.is_empty() {
            true => Ok(()),
            false => broken(13, "replays, but no memory".into()),
        };
    }
    if memory.keep.len() != plan.buffers.len() {
        return broken(13, format!("{} arrays are kept", memory.keep.len()));
    }
    let sweeps: Vec<(bool, &[Item])> = plan.sweeps().collect();
    for r in &memory.replays {
        replay(plan, &sweeps, r)?;
    }
    for (u, keep) in &memory.keep {
        let x = &plan.buffers[u];
        let own = x.storage == Storage::Workspace && x.domain == Domain::Step;
        let one_sided = |p: usize| match sweeps.get(p) {
            Some((true, _)) => x.front == 0,
            Some((false, _)) => x.back == 0,
            None => false,
        };
        let sound = match *keep {
            Lifetime::Whole => true,
            Lifetime::Block(p) => own && one_sided(p),
            Lifetime::Replayed(k) => {
                own && memory.replays.get(k).is_some_and(|r| one_sided(r.sweep))
            }
            Lifetime::Ring(n) => own && memory.streams && n.is_power_of_two() && n > x.front,
        };
        if !sound {
            return broken(13, format!("`{}` cannot be kept so: {keep:?}", x.name));
        }
    }
    let mut sweep = 0;
    for item in &plan.items {
        let own = match item {
            Item::Sweep { .. } => {
                sweep += 1;
                Some(sweep - 1)
            }
            _ => None,
        };
        let edge = matches!(item, Item::Loop(l) if matches!(l.domain, Domain::BoundarySlots(_)));
        for a in item.accesses(&plan.weights) {
            let u = a.view.buffer;
            let kept = |p: usize| match memory.keep[u] {
                Lifetime::Whole | Lifetime::Ring(_) => true,
                Lifetime::Block(q) => p == q,
                Lifetime::Replayed(k) => {
                    [memory.replays[k].sweep, memory.replays[k].by].contains(&p)
                }
            };
            let here = match own {
                Some(p) => kept(p),
                // Initial states come in and final ones leave between sweeps.
                None => edge || matches!(memory.keep[u], Lifetime::Whole | Lifetime::Ring(_)),
            };
            if !here {
                let what = format!("`{}`: {a:?} where it is not kept", plan.buffers[u].name);
                return broken(13, what);
            }
        }
    }
    if memory.streams {
        let step = |l: &&crate::plan::Loop| l.domain == Domain::Step;
        let loops = plan.loops();
        let steps: Vec<_> = loops.into_iter().filter(step).collect();
        let forward = LoopKind::Recurrence { reverse: false };
        let nested = |i: &Item| matches!(i, Item::TimeTile { .. } | Item::Sweep { .. });
        if steps.len() > 1
            || steps.iter().any(|l| l.kind != forward)
            || plan.items.iter().any(nested)
        {
            return broken(13, "a stream's samples are not one loop's".into());
        }
    }
    Ok(())
}

fn replay(plan: &Plan, sweeps: &[(bool, &[Item])], r: &Checkpointing) -> Result<(), Broken> {
    let back = r.sweep < r.by && r.by < sweeps.len() && sweeps[r.sweep].0 != sweeps[r.by].0;
    let domain = |u: BufferId| plan.buffers.get(u).map(|x| x.domain);
    let there = back
        && r.items.iter().all(|&i| i < sweeps[r.sweep].1.len())
        && r.items.windows(2).all(|w| w[0] < w[1])
        && r.history.iter().all(|&u| domain(u) == Some(Domain::Step))
        && r.slots
            .iter()
            .all(|&u| domain(u).is_some_and(|d| d != Domain::Step));
    match there {
        true => Ok(()),
        false => broken(13, format!("{r:?} goes back through no earlier sweep")),
    }
}
