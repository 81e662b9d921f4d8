//! The sections of an explanation, as text.

use std::fmt::Write;

use retrograd::{Cell, Extent};
use retrograd_explain::{Explanation, PlanPart, WeightProduct, Where};
use retrograd_graph::plan::cost::Work;
use retrograd_graph::plan::{LoopKind, Storage};
use retrograd_jit::predict::Machine;

use super::units::{bytes, quantity, time};

/// The name that stands for the plan among the passes'.
pub(super) const PLAN: &str = "plan";

pub(super) fn summary(
    cell: &Cell,
    explained: &Explanation,
    parts: &[PlanPart],
    machine: &Machine,
) -> String {
    let mut out = String::new();
    let Extent { steps: t, rows: b } = explained.extent();
    let compiled = explained.compiled();
    let loops = compiled.plan().loops();
    let count = |kind: LoopKind| loops.iter().filter(|l| l.kind == kind).count();
    let flops: usize = parts.iter().map(PlanPart::flops).sum();
    let seconds: f64 = parts.iter().map(|p| p.seconds).sum();
    let gflops = flops as f64 / seconds / 1e9;
    let memory = explained.memory();
    let mut line = |head: &str, text: String| {
        let _ = writeln!(out, "{head:<11}{text}");
    };
    line(
        "run",
        format!(
            "{t} steps of {b} rows, f32; {} parameters",
            cell.parameter_count()
        ),
    );
    for (k, text) in product_counts(explained).into_iter().enumerate() {
        line(if k == 0 { "products" } else { "" }, text);
    }
    line(
        "loops",
        format!(
            "{} over time from first to last, {} from last to first, {} over all steps or rows at once",
            count(LoopKind::Recurrence { reverse: false }),
            count(LoopKind::Recurrence { reverse: true }),
            count(LoopKind::Parallel),
        ),
    );
    line(
        "work",
        format!(
            "{} FLOPs of products, {} element-wise ops, {} read and written, per step",
            quantity(flops as f64 / t as f64),
            quantity(parts.iter().map(PlanPart::ops).sum::<usize>() as f64 / t as f64),
            bytes(parts.iter().map(PlanPart::bytes).sum::<usize>() as f64 / t as f64),
        ),
    );
    line(
        "memory",
        format!(
            "{} beyond the caller's arrays; {} numbers per row and step are kept for the whole run",
            bytes(memory.bytes as f64),
            explained.stash()
        ),
    );
    line(
        "prediction",
        format!(
            "{} per run on one thread, {gflops:.1} GFLOP/s: {:.0} % of this machine's {:.0}",
            time(seconds),
            100.0 * gflops / machine.peak_gflops,
            machine.peak_gflops
        ),
    );
    line(
        "compiled",
        format!(
            "in {}, {} of machine code",
            time(compiled.compile_time().as_secs_f64()),
            bytes(compiled.code_bytes() as f64)
        ),
    );
    out
}

/// How many products there are, and where they run.
fn product_counts(explained: &Explanation) -> Vec<String> {
    let (before, after) = explained.stacked();
    let products = explained.products();
    let hoisted = products.iter().filter(|p| p.place == Where::Hoisted);
    let hoisted = hoisted.count();
    let inside = products.len() - hoisted;
    let calls = explained.product_calls();
    let mut out = vec![
        format!(
            "{} with weights as written and differentiated, {} after stacking",
            before.products, after.products
        ),
        format!(
            "{hoisted} hoisted ({} calls per run), {inside} left in loops ({} calls per run)",
            calls.0, calls.1
        ),
    ];
    if before.gradients > 0 {
        out.push(format!(
            "{} weight gradients Σ δ xᵀ, {} after stacking",
            before.gradients, after.gradients
        ));
    }
    out
}

pub(super) fn products(explained: &Explanation) -> String {
    let mut out = String::from("\nproducts with weights\n");
    let rows: Vec<[String; 4]> = explained.products().iter().map(product).collect();
    let wide = |k: usize| rows.iter().map(|r| r[k].chars().count()).max().unwrap_or(0);
    let wide = [wide(0), wide(1), wide(2)];
    for [name, place, stacked, weights] in &rows {
        let _ = writeln!(
            out,
            "  {name:<w0$}  {place:<w1$}  {stacked:<w2$}  {weights}",
            w0 = wide[0],
            w1 = wide[1],
            w2 = wide[2]
        );
    }
    out
}

/// Name and size, place, how many weights are stacked in it, and which.
fn product(p: &WeightProduct) -> [String; 4] {
    let t = if p.transposed { "ᵀ" } else { "" };
    let name = format!("W{}{t} [{}×{}]", p.weight, p.size.0, p.size.1);
    let place = match p.place {
        Where::Hoisted => "hoisted".to_owned(),
        Where::Loop(k) => format!("in loop {k}"),
    };
    let stacked = match p.weights.len() {
        1 => String::new(),
        n => format!("{n} stacked"),
    };
    [name, place, stacked, p.names()]
}

pub(super) fn details(explained: &Explanation, parts: &[PlanPart]) -> String {
    let mut out = String::from("\nwhat runs, in this order\n");
    let t = explained.extent().steps;
    let total: f64 = parts.iter().map(|p| p.seconds).sum();
    for (k, part) in parts
        .iter()
        .enumerate()
        .filter(|(_, p)| !p.tasks.is_empty())
    {
        let per_step = |n: usize| n as f64 / t as f64;
        let _ = writeln!(out, "  {:>2}  {}", k + 1, part.title);
        let _ = writeln!(
            out,
            "      {} FLOPs, {} ops, {} per step; predicted {}, {:.0} %",
            quantity(per_step(part.flops())),
            quantity(per_step(part.ops())),
            bytes(per_step(part.bytes())),
            time(part.seconds),
            100.0 * part.seconds / total
        );
        for task in &part.tasks {
            let _ = writeln!(out, "      {:>8} × {}", task.times, work(&task.work));
        }
    }
    out
}

/// A piece of work in words.
fn work(work: &Work) -> String {
    match work {
        Work::Product {
            weight,
            rows,
            inner,
            outer,
            packed,
            inside,
            ..
        } => format!(
            "product W{weight}, {}: {} by [{inner} → {outer}]{}",
            if *inside { "at a step" } else { "hoisted" },
            rows_of(*rows),
            if *packed { ", packed" } else { ", as it lies" },
        ),
        Work::Outer { terms, len, cols } => format!("Σ δ xᵀ over {terms} points: {len} × {cols}"),
        Work::Pack { numbers } => format!("packing of {numbers} weights"),
        Work::Activate { map, rows, len } => {
            format!("kernel {}: {} of {len}", map.row().name, rows_of(*rows))
        }
        Work::LaneLoop {
            rows,
            lanes,
            loads,
            stores,
            ops,
            folds,
        } => {
            let mut names: Vec<(&str, usize)> = Vec::new();
            for op in ops {
                match names.iter_mut().find(|(n, _)| *n == op.row().name) {
                    Some((_, n)) => *n += 1,
                    None => names.push((op.row().name, 1)),
                }
            }
            let ops: Vec<String> = names
                .iter()
                .map(|(name, n)| match n {
                    1 => (*name).to_owned(),
                    n => format!("{n} {name}"),
                })
                .collect();
            let folds = match folds {
                0 => String::new(),
                n => format!(", {n} sums"),
            };
            format!(
                "emitted code: {} of {lanes} lanes: {loads} loads, {}{folds}, {stores} stores",
                rows_of(*rows),
                if ops.is_empty() {
                    "no ops".to_owned()
                } else {
                    ops.join(", ")
                }
            )
        }
        Work::Matrix {
            rows,
            numbers,
            flops,
        } => {
            let what = match flops {
                0 => "copy",
                1 => "outer product",
                _ => "product",
            };
            format!(
                "emitted {what} over a matrix of {numbers} in each of {}",
                rows_of(*rows)
            )
        }
        Work::Sum { points, len } => format!("sum of {points} × {len}"),
    }
}

fn rows_of(n: usize) -> String {
    if n == 1 {
        "1 row".to_owned()
    } else {
        format!("{n} rows")
    }
}

pub(super) fn memory(explained: &Explanation) -> String {
    let (memory, plan) = (explained.memory(), explained.compiled().plan());
    let Extent { steps: t, rows: b } = explained.extent();
    let mut out = format!(
        "\nmemory: {}, steps in blocks of {}{}\n",
        bytes(memory.bytes as f64),
        memory.block,
        if memory.replays {
            ", forward blocks replayed"
        } else {
            ""
        }
    );
    let mut arrays: Vec<(usize, String)> = plan
        .buffers
        .iter()
        .filter(|(_, x)| x.storage == Storage::Workspace)
        .map(|(u, x)| {
            let size = plan.size(u, t, b, memory.layout()) * size_of::<f32>();
            (
                size,
                format!("{} [{}] per point of {}", x.name, x.len, x.domain),
            )
        })
        .collect();
    arrays.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    const SHOWN: usize = 8;
    for (size, what) in arrays.iter().take(SHOWN) {
        let _ = writeln!(out, "  {:>10}  {what}", bytes(*size as f64));
    }
    if let Some(rest) = arrays.get(SHOWN..)
        && !rest.is_empty()
    {
        let size: usize = rest.iter().map(|a| a.0).sum();
        let _ = writeln!(
            out,
            "  {:>10}  {} more arrays",
            bytes(size as f64),
            rest.len()
        );
    }
    out
}

/// What each pass did to the graph, in numbers.
pub(super) fn steps(explained: &Explanation) -> String {
    let mut out = String::from("\npasses: ops of the graph after each\n");
    for (k, (name, graph)) in explained.trace().iter().enumerate() {
        let _ = writeln!(out, "  {k:>2}  {name:<14} {:>4}", graph.order().len());
    }
    out
}

/// The graph after each pass or, for one, before and after; and the plan.
pub(super) fn graphs(out: &mut String, explained: &Explanation, only: Option<&str>) {
    let trace = explained.trace();
    for (k, (name, graph)) in trace.iter().enumerate() {
        if only.is_some_and(|only| only != *name) {
            continue;
        }
        if let (Some(_), Some((before, graph))) = (only, k.checked_sub(1).map(|k| &trace[k])) {
            let _ = write!(out, "\nbefore pass {k}, {name} (after {before}):\n{graph}");
        }
        let _ = write!(out, "\nafter pass {k}, {name}:\n{graph}");
    }
    if only.is_none_or(|only| only == PLAN) {
        let _ = write!(out, "\n{}", explained.compiled().plan());
    }
}
