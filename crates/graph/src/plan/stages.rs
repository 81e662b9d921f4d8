//! The driver: the stages that build a plan, in order, each verified if [`Options::verify`] is set.

use crate::graph::Graph;
use crate::options::{Bf16, Options, Unroll};
use crate::plan::assignment::{Assignment, ProgramOrder};
use crate::plan::build::Classified;
use crate::plan::fuse::fuse;
use crate::plan::interchange::interchange;
use crate::plan::item::each_loop;
use crate::plan::memory::Memory;
use crate::plan::outline_activations::widen;
use crate::plan::region::Emit;
use crate::plan::reuse::reuse;
use crate::plan::schedule::schedule;
use crate::plan::scratch::scratch;
use crate::plan::sweep::sweeps;
use crate::plan::time_tile::time_tile;
use crate::plan::unroll::unroll;
use crate::plan::verify::{border, verify};
use crate::plan::{LoopId, Plan};

/// Plans a graph that has been through the passes, with the stages that `options` enable.
///
/// # Panics
/// If a stage breaks a rule of the plan's verifier and [`Options::verify`] is set; the message names the stage.
pub fn plan(g: &Graph, options: &Options) -> Plan {
    let check = options.verify;
    let mut plan = loops(g, options);
    stage(&mut plan, check, "memory", true, |p| {
        p.memory = Memory::of(p)
    });
    if check && let Err(broken) = border(g, &plan) {
        panic!("the plan's stages broke {broken}\n{plan}");
    }
    plan
}

/// Plans a graph that has been through *stream* and the passes, for samples that come one after another: first the work
/// that depends on no sample, then one loop with all the work of a step, whose function is called for each sample, then
/// the values of the states, computed on request.
///
/// # Panics
/// As [`plan`].
pub fn stream(g: &Graph, options: &Options) -> Plan {
    let check = options.verify;
    let mut plan = loops(
        g,
        &Options {
            time_tile: false,
            sweeps: false,
            // A call does one step.
            unroll: Unroll::NONE,
            ..options.clone().streaming()
        },
    );
    stage(&mut plan, check, "memory", true, |p| {
        p.memory = Memory::stream(p)
    });
    plan
}

/// All stages except the memory analysis.
fn loops(g: &Graph, options: &Options) -> Plan {
    let mut classified = Classified::classify(g, options.distribute, options.bf16 == Bf16::Kernels);
    // What a loop computes at full width itself needs no kernel.
    let outline = options.outline_activations && !options.are_loops_wide();
    if options.fuse {
        classified.class = fuse(&classified, outline, options.target);
    }
    if options.accumulate_in_place {
        classified.accumulate_in_place();
    }
    let (drafts, early) = schedule(&classified, options.sink);
    let order = ProgramOrder::new(&drafts);
    let mut assignment = Assignment::new(&classified, &order, options.reuse);
    if options.reuse {
        reuse(&mut assignment, &order, options.sweeps);
    }
    assignment.allocate_all();
    let check = options.verify;
    // The first stage that yields a plan: mistakes in earlier ones show here.
    let mut plan = Emit::new(&classified, assignment).run(drafts, early, options);
    stage(&mut plan, check, "emit", true, |_| ());
    stage(
        &mut plan,
        check,
        "interchange",
        options.interchange,
        interchange,
    );
    stage(&mut plan, check, "outline_activations", outline, widen);
    stage(&mut plan, check, "time_tile", options.time_tile, |p| {
        each_half(p, time_tile)
    });
    stage(&mut plan, check, "sweeps", options.sweeps, |p| {
        each_half(p, sweeps)
    });
    stage(&mut plan, check, "unroll", true, |p| {
        unroll(&mut p.items, options.unroll)
    });
    stage(&mut plan, check, "scratch", options.scratch, scratch);
    stage(&mut plan, check, "number", true, |p| {
        let mut numbers = (0..).map(LoopId::from_u32);
        each_loop(&mut p.items, &mut |l| {
            l.number = numbers.next().expect("it has no end");
        });
    });
    plan
}

/// Runs a stage on both halves of a plan, so that no item crosses the border between them.
fn each_half(plan: &mut Plan, run: fn(&mut Plan)) {
    let late = plan.items.split_off(plan.border);
    run(plan);
    plan.border = plan.items.len();
    if late.is_empty() {
        return;
    }
    let early = std::mem::replace(&mut plan.items, late);
    run(plan);
    plan.items.splice(..0, early);
}

/// Runs a stage if it is enabled, and verifies its result if `check` is set.
fn stage(
    plan: &mut Plan,
    check: bool,
    name: &'static str,
    wanted: bool,
    run: impl FnOnce(&mut Plan),
) {
    if !wanted {
        return;
    }
    run(plan);
    if check && let Err(broken) = verify(plan) {
        panic!("plan stage `{name}` broke {broken}\n{plan}");
    }
}
