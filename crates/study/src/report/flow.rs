//! The section on error flow.

mod findings;
mod quantiles;

use quantiles::{FlowQuantiles, FlowsByState, bare, carrier};

use super::found::Found;
use super::numbers::{seeds as counted, share, short};
use super::{Picture, Section, Table};
use crate::study::{BIASES, flow_systems, memory_systems};
use crate::systems::{Recurrent, System};
use crate::tasks::MemoryTask;
use retrograd_plot::{Axis, Curve, Figure, LinePanel, LinePlot};

pub(crate) fn section(found: &Found<'_>) -> Section {
    let far = found.study.flow.steps.min(100);
    Section {
        title: "Does the error get through?".to_owned(),
        method: vec![format!(
            "Error flow is ‖∂L_T/∂s_(T−k)‖: how strongly the loss at the last step T, and only there, feels what a state s \
             was k steps earlier. It comes from the backward step in f64: the adjoint of s as a step makes it, norm \
             over its units, root mean square over {} sequences of the adding problem; curves are medians and bands quartiles \
             over {}, both taken of logarithms. After training the sequences are as long as those that were trained on, \
             curves are over {}, and flow is divided by that into the last hidden state, ‖∂L_T/∂h_T‖, so that neither the \
             size of the answer's error nor that of the read-out counts; before and after are compared so, of the same seeds. In an \
             LSTM the direct path from c to c' has the keep gate for its derivative, in a single \
             network (S1, S3) a weight matrix times a slope.",
            found.study.flow.rows,
            counted(found.study.flow_seeds),
            counted(found.trained_seeds()),
        )],
        findings: findings::findings(found, far),
        drawings: drawings(found),
        tables: vec![by_distance(found), by_start(found, far), after(found)],
    }
}

fn drawings(found: &Found<'_>) -> Vec<Picture> {
    let drawing = |name, caption: String, plot| Picture {
        name,
        caption,
        figure: Figure::Lines(plot),
    };
    let (seed, seeds) = (found.study.seed, counted(found.study.flow_seeds));
    vec![
        drawing(
            "flow-start",
            format!(
                "Error flow of all systems before training, by state; first seed {seed}, {seeds}."
            ),
            start_plot(found),
        ),
        drawing(
            "flow-depends",
            format!(
                "Error flow before training by keep bias, and with orthogonal recurrent weights, over {seeds}; c or h \
                      names the state."
            ),
            causes_plot(found),
        ),
        drawing(
            "flow-trained",
            format!(
                "Error flow after training, relative to that into the last h, on sequences as long as the trained ones, over \
                      {}; of each system the state that carries its memory, the table has the others. The first panel is \
                      cut off below 10⁻¹², and curves that end there go on below it.",
                counted(found.trained_seeds())
            ),
            trained_plot(found),
        ),
    ]
}

/// A panel of flow before training.
fn start_panel(found: &Found<'_>, title: &str, lines: Vec<Curve>) -> LinePanel {
    LinePanel {
        title: title.to_owned(),
        x: Axis::named("k, steps before the loss"),
        y: Axis::named(format!(
            "error flow ‖∂L_T/∂s_(T−k)‖, median and quartiles over {}",
            counted(found.study.flow_seeds)
        ))
        .log(),
        lines,
    }
}

/// The flow into the state that carries the memory of each of these systems.
fn carriers(
    systems: impl IntoIterator<Item = System>,
    flows: impl Fn(System) -> FlowsByState,
) -> Vec<Curve> {
    let of = |s: System| {
        let flows = flows(s);
        let (state, flow) = carrier(&flows);
        line(format!("{}: {state}", s.label()), s, flow)
    };
    systems.into_iter().map(of).collect()
}

/// Every system before training, by state.
fn start_plot(found: &Found<'_>) -> LinePlot {
    let all = |state: &str| -> Vec<Curve> {
        let flows = System::all().map(|s| (s, found.start(s)));
        flows
            .filter_map(|(s, flows)| Some(line(s.label(), s, flows.get(state)?)))
            .collect()
    };
    let panel = |title, state| start_panel(found, title, all(state));
    LinePlot {
        title: "Error flow before training, uniform recurrent weights, keep bias 1".to_owned(),
        panels: vec![
            panel("into the memory c, of those that have one", "c'"),
            panel("into the hidden state h", "h'"),
        ],
    }
}

/// What the bias of the keep gate and orthogonal recurrent weights make of it.
fn causes_plot(found: &Found<'_>) -> LinePlot {
    let start = |s: System| found.start(s);
    let (rnn, lstm) = (System::named("rnn"), System::named("lstm"));
    let mut biases = carriers(BIASES.map(|b| lstm.keeping(b)), start);
    // Bias 1 is drawn as S7 is in all pictures.
    for ((line, bias), variant) in biases.iter_mut().zip(BIASES).zip([1, 0, 2, 3]) {
        (line.variant, line.name) = (variant, format!("S7 lstm: c, bias {bias}"));
    }
    biases.extend(carriers([rnn, rnn.with(Recurrent::Orthogonal)], start));
    let plain = || System::all().filter(|s| s.cell != "irnn");
    let mut orthogonal = carriers(plain().map(|s| s.with(Recurrent::Orthogonal)), start);
    for (line, plain) in orthogonal.iter_mut().zip(plain()) {
        line.name = line.name.replace(", orthogonal", "");
        line.variant = plain.variant();
    }
    let panel = |title, lines| start_panel(found, title, lines);
    LinePlot {
        title: "What error flow depends on, before training".to_owned(),
        panels: vec![
            panel("the bias of S7's keep gate, against S1", biases),
            panel("orthogonal recurrent weights, keep bias 1", orthogonal),
        ],
    }
}

/// After training, with how many runs solved the task.
fn trained_plot(found: &Found<'_>) -> LinePlot {
    let lag = found.study.looked_at;
    let mut after = carriers(memory_systems(), |s| found.after(s));
    for (line, system) in after.iter_mut().zip(memory_systems()) {
        let (solved, of) = found.solved(system, MemoryTask::Adding, lag);
        line.name += &format!(" ({solved}/{of})");
    }
    LinePlot {
        title: format!("Error flow after training on the adding problem at lag {lag}"),
        panels: trained_panels(found.trained_seeds(), after),
    }
}

/// All systems down to where an axis can still show the greater ones, and the greater ones apart.
fn trained_panels(seeds: u64, lines: Vec<Curve>) -> Vec<LinePanel> {
    let seeds = counted(seeds);
    let panel = |title: &str, floor: f64, lines: Vec<Curve>| LinePanel {
        title: title.to_owned(),
        x: Axis::named("k, steps before the loss"),
        y: Axis {
            floor: Some(floor),
            ..Axis::named(format!(
                "‖∂L_T/∂s_(T−k)‖ ÷ ‖∂L_T/∂h_T‖, median and quartiles over {seeds}"
            ))
            .log()
        },
        lines,
    };
    let near = |l: &&Curve| l.points.iter().all(|p| p.1 >= 1e-3);
    let greater: Vec<Curve> = lines.iter().filter(near).cloned().collect();
    let mut panels = vec![panel("in brackets: how many runs solved it", 1e-12, lines)];
    if !greater.is_empty() {
        panels.push(panel("those that stay above 0.001", 1e-3, greater));
    }
    panels
}

fn line(name: String, system: System, flow: &FlowQuantiles) -> Curve {
    let points = flow.median.iter().enumerate();
    Curve {
        name,
        kind: system.kind(),
        variant: system.variant(),
        points: points.map(|(k, y)| (k as f64, *y)).collect(),
        band: flow.band.clone(),
    }
}

/// Every state at some distances.
fn by_distance(found: &Found<'_>) -> Table {
    let steps = found.study.flow.steps;
    let distances: Vec<usize> = [0, 1, 10, 50, 100, 200]
        .into_iter()
        .filter(|k| *k <= steps)
        .collect();
    let mut rows = Vec::new();
    for system in System::all() {
        for (state, flow) in found.start(system) {
            let mut row = vec![system.label(), bare(&state).to_owned()];
            row.extend(distances.iter().map(|&k| short(flow.at(k))));
            row.push(share(flow.kept(steps.min(100))));
            rows.push(row);
        }
    }
    let mut head = vec!["system".to_owned(), "state".to_owned()];
    head.extend(distances.iter().map(|k| format!("k = {k}")));
    head.push("kept a step".to_owned());
    Table {
        caption: format!(
            "Error flow before training, uniform recurrent weights, median of {}; and what a step keeps of it, on the \
             average from k = 10 to {}.",
            counted(found.study.flow_seeds),
            steps.min(100)
        ),
        head,
        rows,
    }
}

/// The carrying state of every start at one distance.
fn by_start(found: &Found<'_>, far: usize) -> Table {
    let mut rows = Vec::new();
    for base in System::all() {
        for recurrent in [Recurrent::Zoo, Recurrent::Orthogonal] {
            let of = |s: &System| s.cell == base.cell && s.recurrent == recurrent;
            let systems: Vec<System> = flow_systems().into_iter().filter(of).collect();
            let Some(first) = systems.first() else {
                continue;
            };
            let weights = match (recurrent, base.cell) {
                (Recurrent::Zoo, "irnn") => "identity",
                (Recurrent::Zoo, _) => "uniform",
                (Recurrent::Orthogonal, _) => "orthogonal",
                (Recurrent::Identity, _) => "identity",
            };
            let flows = found.start(*first);
            let mut row = vec![
                base.label(),
                carrier(&flows).0.to_owned(),
                weights.to_owned(),
            ];
            let at = |s: &System| short(carrier(&found.start(*s)).1.at(far));
            match first.keep_bias {
                None => {
                    row.push(at(first));
                    row.extend(BIASES.map(|_| "–".to_owned()));
                }
                Some(_) => {
                    row.push("–".to_owned());
                    row.extend(systems.iter().map(at));
                }
            }
            rows.push(row);
        }
    }
    let mut head: Vec<String> = ["system", "state", "recurrent weights", "no keep gate"]
        .map(str::to_owned)
        .to_vec();
    head.extend(BIASES.map(|b| format!("bias {b}")));
    Table {
        caption: format!("Error flow before training at k = {far}, by start, median over seeds."),
        head,
        rows,
    }
}

fn after(found: &Found<'_>) -> Table {
    let lag = found.study.looked_at;
    let far = found.trained_far();
    let mut rows = Vec::new();
    for system in memory_systems() {
        let (before, after) = (found.before(system), found.after(system));
        let (solved, of) = found.solved(system, MemoryTask::Adding, lag);
        for (state, after) in &after {
            rows.push(vec![
                system.label(),
                bare(state).to_owned(),
                format!("{solved}/{of}"),
                before
                    .get(state)
                    .map_or(String::new(), |b| short(b.at(far))),
                short(after.at(far)),
                share(after.kept(far)),
            ]);
        }
    }
    Table {
        caption: format!(
            "Error flow at k = {far}, relative to that into the last h, before and after training on the adding problem at lag \
             {lag}, median over the same {}; and what a step keeps of it after training, on the average from k = {} on.",
            counted(found.trained_seeds()),
            10.min(far / 2),
        ),
        head: [
            "system",
            "state",
            "solved",
            "before",
            "after",
            "kept a step, after",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
    }
}
