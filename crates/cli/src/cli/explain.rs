//! `retrograd explain`: what the compiler makes of a cell, as text for people, a summary first.

use retrograd::Extent;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use retrograd::{Cell, Unroll, zoo};
use retrograd_explain::{Drawing, Explanation, PlanPart, WeightProduct, Where};
use retrograd_graph::plan::Kind;
use retrograd_graph::plan::cost::Work;
use retrograd_graph::{Graph, Options};
use retrograd_jit::Purpose;
use retrograd_jit::predict::Machine;
use retrograd_tape::{InputRole, OutputRole};

use super::args::{unroll, whole};
use super::choice::{Choice, SizeArgs, near};

/// The name that stands for the plan among the passes'.
const PLAN: &str = "plan";
/// The pass whose graph is drawn unless another is named.
const DRAWN: &str = "stack_products";

/// What `retrograd explain` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// The recurrent cell: a name that `retrograd cells` lists, or a cell file.
    #[arg(long, value_name = "NAME|FILE.cell", default_value = "keepwrite", value_parser = Choice::parse)]
    cell: Choice,
    #[command(flatten)]
    sizes: SizeArgs,
    /// Steps of a run.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = whole(1..=1_000_000_000))]
    steps: usize,
    /// Rows (examples) of a run.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = whole(1..=1_000_000))]
    batch: usize,
    /// Explains the forward step alone, as for forecasting; otherwise all of a training step.
    #[arg(long)]
    forward: bool,
    /// Steps that an iteration of a loop over time does [default: as the compiler chooses].
    #[arg(long, value_name = "N", value_parser = unroll)]
    unroll: Option<Unroll>,
    /// Prints only the graph before and after this pass (`plan`: the plan).
    #[arg(long, value_name = "PASS", conflicts_with = "summary")]
    pass: Option<String>,
    /// Leaves out the graphs.
    #[arg(long)]
    summary: bool,
    /// Writes a drawing in the language of Graphviz: of the forward step after `fuse` or, with --pass, of all that is
    /// explained after that pass.
    #[arg(long, value_name = "FILE.dot")]
    dot: Option<PathBuf>,
    /// Writes the same drawing as an SVG image.
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
}

/// Explains a cell, and writes the drawings that are asked for.
pub(super) fn explain(args: &Explain) -> Result<String> {
    let (cell, size) = cell(&args.cell, &args.sizes)?;
    let purpose = purpose(&cell, args.forward);
    let options = Options::default().with(|o| o.unroll = args.unroll.unwrap_or_default());
    let explained = Explanation::with(
        &cell,
        &purpose,
        &options,
        Extent::steps(args.steps).rows(args.batch),
    )?;
    let names = passes(&explained);
    if let Some(pass) = &args.pass
        && !names.contains(&pass.as_str())
    {
        let known: Vec<&str> = names;
        let hint = near(pass, known.iter().copied());
        bail!(
            "there is no pass `{pass}`{hint}; this program went through {}",
            known.join(", ")
        );
    }
    let what = if args.forward {
        "forward step"
    } else {
        "training step"
    };
    let title = format!("{}, {what}, {size}", cell.name());
    let mut out = match &args.pass {
        Some(pass) => {
            let mut out = format!("{title}\n");
            graphs(&mut out, &explained, Some(pass));
            out
        }
        None => {
            let machine = Machine::measure();
            let parts = explained.parts(&machine);
            let mut out = format!("{title}\n\n");
            out += &summary(&cell, &explained, &parts, &machine);
            out += &products(&explained);
            out += &details(&explained, &parts);
            out += &memory(&explained);
            out += &steps(&explained);
            if !args.summary {
                graphs(&mut out, &explained, None);
            }
            out
        }
    };
    if args.dot.is_some() || args.svg.is_some() {
        let drawing = drawing(&cell, &explained, args, &size)?;
        for (path, text) in [
            (&args.dot, Drawing::dot as fn(&Drawing) -> String),
            (&args.svg, Drawing::svg),
        ] {
            if let Some(path) = path {
                write(path, &text(&drawing))?;
                let _ = writeln!(out, "\nwritten: {}", path.display());
            }
        }
    }
    Ok(out)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))
}

/// The cell in the sizes that are asked for, and what they are.
fn cell(choice: &Choice, sizes: &SizeArgs) -> Result<(Cell, String)> {
    if let Choice::Zoo(entry) = choice {
        let [inputs, hidden] = sizes.of_zoo(entry.name)?;
        let cell = zoo::forecaster(entry, inputs, hidden)?;
        return Ok((cell, format!("I={inputs} H={hidden}")));
    }
    let text = choice.text()?.expect("what is not the zoo's is text");
    let set = sizes.of(&text)?;
    let cell = text.cell(&set)?;
    let size = text.dimensions().filter_map(|d| {
        let given = set.iter().find(|(name, _)| *name == d).map(|(_, n)| *n);
        Some(format!("{d}={}", given.or_else(|| text.default_of(d))?))
    });
    Ok((cell, size.collect::<Vec<_>>().join(" ")))
}

/// Gradients of the loss or, for a cell without one, of its outputs.
fn purpose(cell: &Cell, forward: bool) -> Purpose {
    let tape = cell.tape();
    let named = |role: OutputRole| {
        let outputs = tape.outputs().iter().filter(move |o| o.role == role);
        outputs.map(|o| o.name.to_string())
    };
    if forward {
        return Purpose::Forward;
    }
    if named(OutputRole::Loss).next().is_some() {
        return Purpose::Train;
    }
    let parameters = tape.inputs().iter().filter(|i| i.role == InputRole::Param);
    Purpose::Gradients {
        given: named(OutputRole::Output).collect(),
        loss: false,
        wrt: parameters.map(|i| i.name.to_string()).collect(),
    }
}

/// Names that `--pass` can say, each once.
fn passes(explained: &Explanation) -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in explained.trace() {
        if !names.contains(name) {
            names.push(name);
        }
    }
    names.push(PLAN);
    names
}

fn drawing(cell: &Cell, explained: &Explanation, args: &Explain, size: &str) -> Result<Drawing> {
    let last = |explained: &Explanation, pass: &str| {
        let trace = explained.trace();
        let at = trace.iter().rposition(|(name, _)| *name == pass);
        let (name, graph): &(&str, Graph) = &trace[at.unwrap_or(trace.len() - 1)];
        (*name, Drawing::of(graph))
    };
    let (what, (pass, drawing)) = match &args.pass {
        Some(pass) if !args.forward => ("training step", last(explained, pass)),
        Some(pass) => ("forward step", last(explained, pass)),
        None if args.forward => ("forward step", last(explained, DRAWN)),
        None => {
            let forward = Explanation::new(cell, &Purpose::Forward, explained.extent())?;
            ("forward step", last(&forward, DRAWN))
        }
    };
    Ok(drawing.titled(format!("{}: {what} after `{pass}`, {size}", cell.name())))
}

fn summary(cell: &Cell, explained: &Explanation, parts: &[PlanPart], machine: &Machine) -> String {
    let mut out = String::new();
    let Extent { steps: t, rows: b } = explained.extent();
    let compiled = explained.compiled();
    let (before, after) = explained.fused();
    let products = explained.products();
    let hoisted = products
        .iter()
        .filter(|p| p.place == Where::Hoisted)
        .count();
    let inside = products.len() - hoisted;
    let calls = explained.product_calls();
    let loops = compiled.plan().loops();
    let count = |kind: Kind| loops.iter().filter(|l| l.kind == kind).count();
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
    line(
        "products",
        format!(
            "{} with weights as written and differentiated, {} after fusing",
            before.products, after.products
        ),
    );
    line(
        "",
        format!(
            "{hoisted} hoisted ({} calls a run), {inside} left in loops ({} calls a run)",
            calls.0, calls.1
        ),
    );
    if before.gradients > 0 {
        line(
            "",
            format!(
                "{} weight gradients Σ δ xᵀ, {} after fusing",
                before.gradients, after.gradients
            ),
        );
    }
    line(
        "loops",
        format!(
            "{} over time from first to last, {} from last to first, {} over all steps or rows at once",
            count(Kind::Recurrence { reverse: false }),
            count(Kind::Recurrence { reverse: true }),
            count(Kind::Parallel),
        ),
    );
    line(
        "work",
        format!(
            "{} FLOPs of products, {} element-wise ops, {} read and written, a step",
            quantity(flops as f64 / t as f64),
            quantity(parts.iter().map(PlanPart::ops).sum::<usize>() as f64 / t as f64),
            bytes(parts.iter().map(PlanPart::bytes).sum::<usize>() as f64 / t as f64),
        ),
    );
    line(
        "memory",
        format!(
            "{} beyond the caller's arrays; {} numbers a row and step are kept for the whole run",
            bytes(memory.bytes as f64),
            explained.stash()
        ),
    );
    line(
        "prediction",
        format!(
            "{} a run on one thread, {gflops:.1} GFLOP/s: {:.0} % of this machine's {:.0}",
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

fn products(explained: &Explanation) -> String {
    let mut out = String::from("\nproducts with weights\n");
    let rows: Vec<[String; 4]> = explained.products().iter().map(product).collect();
    let wide = |k: usize| rows.iter().map(|r| r[k].chars().count()).max().unwrap_or(0);
    let wide = [wide(0), wide(1), wide(2)];
    for [name, place, fused, weights] in &rows {
        let _ = writeln!(
            out,
            "  {name:<w0$}  {place:<w1$}  {fused:<w2$}  {weights}",
            w0 = wide[0],
            w1 = wide[1],
            w2 = wide[2]
        );
    }
    out
}

/// Name and size, place, how many it is fused of, and which.
fn product(p: &WeightProduct) -> [String; 4] {
    let t = if p.transposed { "ᵀ" } else { "" };
    let name = format!("W{}{t} [{}×{}]", p.weight, p.size.0, p.size.1);
    let place = match p.place {
        Where::Hoisted => "hoisted".to_owned(),
        Where::Loop(k) => format!("in loop {k}"),
    };
    let fused = match p.weights.len() {
        1 => String::new(),
        n => format!("{n} fused"),
    };
    [name, place, fused, p.names()]
}

fn details(explained: &Explanation, parts: &[PlanPart]) -> String {
    let mut out = String::from("\nwhat runs, in this order\n");
    let t = explained.extent().steps;
    let total: f64 = parts.iter().map(|p| p.seconds).sum();
    for (k, part) in parts
        .iter()
        .enumerate()
        .filter(|(_, p)| !p.tasks.is_empty())
    {
        let a_step = |n: usize| n as f64 / t as f64;
        let _ = writeln!(out, "  {:>2}  {}", k + 1, part.title);
        let _ = writeln!(
            out,
            "      {} FLOPs, {} ops, {} a step; predicted {}, {:.0} %",
            quantity(a_step(part.flops())),
            quantity(a_step(part.ops())),
            bytes(a_step(part.bytes())),
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

fn memory(explained: &Explanation) -> String {
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
        .enumerate()
        .filter(|(_, x)| x.storage == retrograd_graph::plan::Storage::Workspace)
        .map(|(u, x)| {
            let size = plan.size(u, t, b, memory.layout()) * size_of::<f32>();
            (
                size,
                format!("{} [{}] a point of {}", x.name, x.len, x.domain),
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
fn steps(explained: &Explanation) -> String {
    let mut out = String::from("\npasses: ops of the graph after each\n");
    for (k, (name, graph)) in explained.trace().iter().enumerate() {
        let _ = writeln!(out, "  {k:>2}  {name:<10} {:>4}", graph.order().len());
    }
    out
}

/// The graph after each pass or, for one, before and after; and the plan.
fn graphs(out: &mut String, explained: &Explanation, only: Option<&str>) {
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

/// A number with three digits and a unit of thousands.
fn quantity(x: f64) -> String {
    let units = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    let unit = units.into_iter().find(|(size, _)| x >= *size);
    match unit {
        Some((size, name)) => format!("{}{name}", digits(x / size)),
        None => digits(x),
    }
}

fn bytes(x: f64) -> String {
    let units = [
        (f64::from(1 << 30), "GiB"),
        (f64::from(1 << 20), "MiB"),
        (1024.0, "KiB"),
    ];
    match units.into_iter().find(|(size, _)| x >= *size) {
        Some((size, name)) => format!("{} {name}", digits(x / size)),
        None => format!("{} bytes", digits(x)),
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{} s", digits(s)),
        s if s >= 1e-3 => format!("{} ms", digits(s * 1e3)),
        s => format!("{} µs", digits(s * 1e6)),
    }
}

/// Three digits, without those after the point that say nothing.
fn digits(x: f64) -> String {
    match x {
        _ if x.fract() == 0.0 || x >= 100.0 => format!("{x:.0}"),
        _ if x >= 10.0 => format!("{x:.1}"),
        _ => format!("{x:.2}"),
    }
}
