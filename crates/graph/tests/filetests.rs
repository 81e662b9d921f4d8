//! Tests of the passes by the text they produce. A case is a file in `cases/`:
//!
//! ```text
//! # What the case shows.
//! run: simplify, adjoint, simplify
//! expect 2 `delay -1`: the adjoint of each delay.
//! ----
//! cell …            (or: graph …)
//! ----
//! the graph after the last pass, or the listing of components, or the plan, or the error
//! ```
//!
//! A second line `observe: value(keep), adjoint(c)` observes these; an adjoint is compared with the derivative of the
//! loss with respect to that value. A line `options: without time_tile, unroll 4, flush` says which options `all`,
//! `gradient`, `hessian`, `fuse`, `plan` and the executed plans switch off, the unroll factor, that delayed values
//! are flushed, and that operands of products are rounded (`bf16`); in such a case, lines `default 1 `text`: …` are
//! expectations of the result with default options.
//!
//! `stream` stands for the stages of a stepper: *stream*, the driver's passes, and the plan for samples one after
//! another. `simplify early` is the pass before a differentiation; `adjoint` is that of the loss with respect to all
//! parameters, `tangent` that of all outputs of the preceding differentiation, or of all outputs, with respect to all
//! parameters. `all` stands for the driver's passes, `gradient` for the driver's passes with the gradients of the loss,
//! `hessian` with their tangents too.
//! Each graph is also run, before and after every pass, on numbers that depend on the inputs' names alone: the results
//! must be equal up to rounding, and gradients and tangents must agree with differences. The same holds for its
//! plans, with and without each optional pass.
//! An `expect` line says how many lines of the result contain a text, and what that means: it checks blessed output.
//! `BLESS=1 cargo test -p retrograd-graph --test filetests` rewrites what is below the second line. Read what it wrote.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

mod plans;

use retrograd_graph::passes::tangent::{self, Tangents};
use retrograd_graph::passes::{self, Derivation};
use retrograd_graph::passes::{adjoint, components, legalize, simplify, split, stack_products};
use retrograd_graph::{Bf16, Graph, Options, Target, Unroll, interpret, plan, text, verify};
use retrograd_tape::{InputRole, Map, Observe, Op, OutputRole, Value};

const RULE: &str = "\n----\n";

/// What the slopes of the loss in an observed value are kept under.
const SLOPE: &str = "slope of ";

/// Lines of the result that hold a text.
struct Expect {
    lines: usize,
    text: String,
    meaning: String,
}

struct Case {
    head: String,
    expects: Vec<Expect>,
    /// What is expected of the result with the default options, for contrast.
    defaults: Vec<Expect>,
    passes: Vec<String>,
    observe: Vec<Observe>,
    options: Options,
    input: String,
    expected: String,
}

fn read(path: &Path) -> Case {
    let whole = std::fs::read_to_string(path).expect("the case can be read");
    let mut parts = whole.splitn(3, RULE);
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (head, input, expected) = (part(), part(), part());
    let run = head.lines().find_map(|l| l.strip_prefix("run: "));
    let run = run.unwrap_or_else(|| panic!("{}: no line `run: …`", path.display()));
    assert!(head.starts_with("# "), "{}: no comment", path.display());
    let known = |l: &str| {
        [
            "# ",
            "run: ",
            "observe: ",
            "options: ",
            "expect ",
            "default ",
        ]
        .iter()
        .any(|k| l.starts_with(k))
    };
    if let Some(l) = head.lines().find(|l| !known(l)) {
        panic!("{}: what is `{l}`?", path.display());
    }
    let expects = |keyword: &str| {
        let lines = head.lines().filter_map(|l| l.strip_prefix(keyword));
        let lines = lines.map(|l| expect(l).unwrap_or_else(|| panic!("{}: {l}", path.display())));
        lines.collect()
    };
    let observe = head.lines().find_map(|l| l.strip_prefix("observe: "));
    let observe = observe.into_iter().flat_map(|l| l.split(", "));
    let observed = |o: &str| match o.trim_end_matches(')').split_once('(') {
        Some(("value", name)) => Observe::value(name),
        Some(("adjoint", name)) => Observe::adjoint(name),
        _ => panic!("{}: `{o}` cannot be observed", path.display()),
    };
    let options = head.lines().find_map(|l| l.strip_prefix("options: "));
    let options = options.map_or(Ok(unflushed()), options_of);
    Case {
        options: options.unwrap_or_else(|e| panic!("{}: {e}", path.display())),
        expects: expects("expect "),
        defaults: expects("default "),
        observe: observe.map(observed).collect(),
        passes: run.split(", ").map(str::to_owned).collect(),
        head,
        input,
        expected,
    }
}

/// The default options for one target, whatever the machine, but for *flush*, which would stand in every recurrence, and
/// with narrow loops.
fn unflushed() -> Options {
    Options::verified().with(|o| {
        o.target = Target::avx2();
        // Narrow loops have a stage more: activations leave them for kernels.
        o.wide_loops = false;
        o.flush = false;
    })
}

/// `without time_tile, unroll 4, flush`
fn options_of(line: &str) -> Result<Options, String> {
    let mut options = unflushed();
    for wish in line.split(", ") {
        match wish.split_once(' ') {
            Some(("without", name)) => {
                let found = Options::SWITCHES.iter().find(|(n, _)| *n == name);
                let (_, switch) = found.ok_or_else(|| format!("there is no switch `{name}`"))?;
                *switch(&mut options) = false;
            }
            Some(("unroll", factor)) => {
                let factor = factor.parse().map_err(|_| format!("`{factor}` steps?"))?;
                options.unroll = Unroll::by(factor).map_err(|e| e.to_string())?;
            }
            None if wish == "flush" => options.flush = true,
            None if wish == "bf16" => options.bf16 = Bf16::Ops,
            _ => return Err(format!("`{wish}` is no option")),
        }
    }
    Ok(options)
}

/// 2 `text`: meaning
fn expect(line: &str) -> Option<Expect> {
    let (lines, rest) = line.split_once(" `")?;
    let (text, meaning) = rest.split_once("`: ")?;
    Some(Expect {
        lines: lines.parse().ok()?,
        text: text.to_owned(),
        meaning: meaning.to_owned(),
    })
}

/// What the case's passes make of its input, or the error's text.
fn run(path: &Path, case: &Case, options: &Options) -> Result<String, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let first = case
        .input
        .lines()
        .find(|l| !l.trim().is_empty() && !l.starts_with('#'));
    let mut g = if first.is_some_and(|l| l.starts_with("graph")) {
        text::parse_graph(&name, &case.input).map_err(|e| e.to_string())?
    } else {
        let tape = retrograd_text::read_tape(&name, &case.input, &[]).map_err(|e| e.to_string())?;
        Graph::observing(&tape, &case.observe).map_err(|name| format!("no value `{name}`\n"))?
    };
    check(&name, "record", &g);
    let mut before = BTreeMap::new();
    if components::components(&g).is_ok() {
        same_numbers(&name, "record", &mut before, &g);
        plans::agree(&name, &g, &number);
    }
    for (i, pass) in case.passes.iter().enumerate() {
        // Nothing but the last differentiation removes `stop_gradient`.
        let last = !case.passes[i..]
            .iter()
            .any(|p| p == "adjoint" || p == "tangent");
        g = match pass.as_str() {
            "print" => g,
            "simplify early" => simplify::simplify(&g, false),
            "simplify" => simplify::simplify(&g, last),
            "adjoint" => adjoint::adjoint(&g, &adjoint::Differentiate::loss(&g)),
            "centred" => passes::centred::centred(&g),
            "unbatch" => passes::unbatch::unbatch(&g),
            "split" => split::split(&g),
            "stack_products" => stack_products::stack_products(&g, options),
            "legalize" => legalize::legalize(&g),
            "rematerialize" => passes::rematerialize::rematerialize(&g),
            "flush" => passes::flush::flush(&g),
            "tangent" => tangent::tangent(&g, &tangents(&g)),
            "all" | "gradient" | "hessian" => {
                let what = adjoint::Differentiate::loss(&g);
                let second = Tangents::of_gradients(&g, &what, what.wrt.clone());
                let what = [Derivation::Adjoint(what), Derivation::Tangent(second)];
                let count = ["all", "gradient", "hessian"]
                    .iter()
                    .position(|p| p == pass);
                let what = &what[..count.expect("one of them")];
                let trace =
                    passes::trace(&g, what, options).map_err(|e| format!("error: {e}\n"))?;
                for (pass, g) in &trace {
                    check(&name, pass, g);
                    same_numbers(&name, pass, &mut before, g);
                }
                trace.into_iter().last().expect("it starts with one").1
            }
            "components" => return listing(&g),
            "stream" => {
                let streamed = match passes::streamed(&g, &Options::verified()) {
                    Ok(streamed) => streamed,
                    Err(e) => return Ok(format!("error: {e}\n")),
                };
                let options = options.clone().streaming();
                let last = passes::run(&streamed.graph, &[], &options);
                let last = last.map_err(|e| format!("error: {e}\n"))?;
                return Ok(plan::stream(&last, &options).to_string());
            }
            "plan" => return Ok(plan::plan(&g, options).to_string()),
            other => panic!("{name}: there is no pass `{other}`"),
        };
        check(&name, pass, &g);
        same_numbers(&name, pass, &mut before, &g);
    }
    Ok(g.to_string())
}

/// What the pass `tangent` differentiates.
fn tangents(g: &Graph) -> Tangents {
    let gradient = |i: &usize| g.outputs()[*i].role == OutputRole::Gradient;
    let outputs = 0..g.outputs().len();
    Tangents {
        along: (0..g.inputs().len())
            .filter(|&i| g.inputs()[i].role == InputRole::Param)
            .collect(),
        of: match outputs.clone().any(|i| gradient(&i)) {
            true => outputs.filter(gradient).collect(),
            false => outputs.collect(),
        },
    }
}

/// The verifier is content, and the printed graph reads back as the same.
fn check(name: &str, pass: &str, g: &Graph) {
    match verify(g) {
        Ok(()) => {}
        // A case may show that a recurrence is refused.
        Err(broken) if broken.rule == 6 => {}
        Err(broken) => panic!("{name}: {pass}: {broken}\n{g}"),
    }
    let printed = g.to_string();
    let read =
        text::parse_graph(name, &printed).unwrap_or_else(|e| panic!("{name}: after {pass}:\n{e}"));
    assert!(read == *g, "{name}: {pass}: read back differently\n{g}");
    assert_eq!(read.to_string(), printed, "{name}: {pass}");
}

/// What an input is: numbers between -1 and 1 that depend on its name and their place.
fn number(name: &str, i: usize) -> f64 {
    let seed = name
        .bytes()
        .fold(7.0, |s: f64, b| (s * 1.7 + f64::from(b)) % 97.0);
    (seed + 1.3 * i as f64).sin()
}

/// The graph's outputs are what they were before; new ones that are gradients are the slopes of the loss. For values whose
/// adjoints are wanted, `before` gets the slopes.
fn same_numbers(name: &str, pass: &str, before: &mut BTreeMap<String, Vec<f64>>, g: &Graph) {
    let (t, b) = (4, 2);
    let after = interpret::run(g, t, b, &number);
    let close = |x: f64, y: f64, by: f64| (x - y).abs() <= by * (1.0 + x.abs()) || x == y;
    for o in g
        .outputs()
        .iter()
        .filter(|o| o.role == OutputRole::Gradient)
    {
        if let Some(slopes) = before.remove(&format!("{SLOPE}{}", o.name)) {
            before.remove(&*o.name);
            for (x, slope) in after[&*o.name].iter().zip(slopes) {
                // As for gradients below.
                assert!(
                    close(*x, slope, 1e-7),
                    "{name}: {} is {x}, the slope {slope}",
                    o.name
                );
            }
        }
    }
    for (output, values) in before.iter().filter(|(o, _)| !o.starts_with(SLOPE)) {
        let now = &after[output];
        assert_eq!(values.len(), now.len(), "{name}: {pass}: {output}");
        for (x, y) in values.iter().zip(now) {
            // Reordered sums of at most a few hundred numbers near 1.
            assert!(
                close(*x, *y, 1e-12),
                "{name}: {pass}: {output} was {x} and is {y}"
            );
        }
    }
    // What `stop_gradient` hides from the gradient the differences see, and not what `with_gradient` puts in its place, nor
    // the limits of `clip_gradient`, nor what lies beneath the steps of `round_bf16`.
    let cut = |&v: &Value| {
        let cuts = [
            Map::StopGradient,
            Map::WithGradient,
            Map::ClipGradient,
            Map::RoundBf16,
        ]
        .map(Op::Map);
        cuts.contains(g.op_of(v))
    };
    let comparable = !g.order().iter().any(cut);
    for (output, values) in after.iter().filter(|_| comparable) {
        if before.contains_key(output) {
            continue;
        }
        let inner = |prefix: &str| output.strip_prefix(prefix)?.strip_suffix(')');
        let h = 1e-5;
        let slope = |i: usize, of: &str, along: &dyn Fn(&str, usize) -> f64| {
            let moved = |by: f64| {
                let inputs = |n: &str, k: usize| number(n, k) + by * along(n, k);
                interpret::run(g, t, b, &inputs)[of][i]
            };
            (moved(h) - moved(-h)) / (2.0 * h)
        };
        for (i, x) in values.iter().enumerate() {
            let slope = if let Some(input) = inner("grad(") {
                slope(0, "loss", &|n, k| f64::from(n == input && k == i))
            } else if let Some(of) = inner("tan(") {
                slope(i, of, &|n, k| {
                    let t = format!("tan({n})");
                    let moves = g.inputs().iter().any(|input| *input.name == *t);
                    if moves { number(&t, k) } else { 0.0 }
                })
            } else {
                continue;
            };
            // Truncation h² and cancellation 1e-16 / h, with room for third derivatives near 100.
            assert!(
                close(*x, slope, 1e-7),
                "{name}: {output}[{i}] is {x}, the slope {slope}"
            );
        }
    }
    *before = after;
    for o in g
        .outputs()
        .iter()
        .filter(|o| o.role == OutputRole::Observed)
    {
        let loss = |k: usize, by: f64| {
            interpret::run_moved(g, t, b, &number, Some((o.value, k, by)))["loss"][0]
        };
        let h = 1e-5;
        let slope = |k: usize| (loss(k, h) - loss(k, -h)) / (2.0 * h);
        let slopes = (0..before[&*o.name].len()).map(slope).collect();
        before.insert(format!("{SLOPE}{}", o.name), slopes);
    }
}

/// The recurrences, then every value and where it runs.
fn listing(g: &Graph) -> Result<String, String> {
    let found = components::components(g).map_err(|e| format!("error: {e}\n"))?;
    let mut out = String::new();
    for (k, reverse) in found.reverse.iter().enumerate() {
        let way = if *reverse {
            "last to first"
        } else {
            "first to last"
        };
        writeln!(out, "recurrence {k}: {way}").expect("strings take all");
    }
    let order = g.order();
    let printed = g.to_string();
    let lines = printed.lines().skip(1);
    for (v, line) in order.iter().zip(lines) {
        let class = match found.class(*v) {
            components::Class::Parallel => "-".to_owned(),
            components::Class::Recurrent(k) => k.to_string(),
        };
        writeln!(out, "{class:>3}{line}").expect("strings take all");
    }
    Ok(out)
}

/// A line for each expectation that the result does not meet.
fn missed(path: &Path, expects: &[Expect], found: &str) -> String {
    let mut out = String::new();
    for Expect {
        lines,
        text,
        meaning,
    } in expects
    {
        let n = found.lines().filter(|l| l.contains(text)).count();
        if n != *lines {
            let path = path.display();
            writeln!(
                out,
                "{path}: {n} lines hold `{text}`, not {lines}: {meaning}"
            )
            .expect("strings take all");
        }
    }
    out
}

#[test]
fn every_case_gives_what_its_file_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|e| e.expect("it can be read").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = String::new();
    for path in &paths {
        let case = read(path);
        let found = run(path, &case, &case.options).unwrap_or_else(|e| e);
        wrong += &missed(path, &case.expects, &found);
        if !case.defaults.is_empty() {
            let found = run(path, &case, &unflushed()).unwrap_or_else(|e| e);
            wrong += &missed(path, &case.defaults, &found);
        }
        if found == case.expected {
            continue;
        }
        if bless {
            let Case { head, input, .. } = &case;
            std::fs::write(path, format!("{head}{RULE}{input}{RULE}{found}"))
                .expect("the case can be written");
            continue;
        }
        let differs = (case.expected.lines().zip(found.lines())).find(|(a, b)| a != b);
        let (a, b) = differs.unwrap_or(("one of them ends", "before the other"));
        writeln!(wrong, "{}:\n  expected {a}\n  found    {b}", path.display())
            .expect("strings take all");
    }
    assert!(wrong.is_empty(), "{wrong}BLESS=1 rewrites the cases");
}
