//! What the error flow says.

use std::collections::BTreeMap;

use super::numbers::{factor, list, median, quantile, share, short};
use super::{Drawing, Found, Section, Table};
use crate::intuition::flow::Curves;
use crate::intuition::study::{BIASES, flow_systems, memory_systems};
use crate::intuition::systems::{Recurrent, System};
use crate::intuition::tasks::Task;
use crate::intuition::{Job, Outcome};
use crate::plot::{Axis, Figure, Line, LinePanel, LinePlot};

/// A state's error flow over seeds, at each k.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    median: Vec<f64>,
    /// The quartiles.
    band: Vec<(f64, f64)>,
}

type Flows = BTreeMap<String, Flow>;

impl Found<'_> {
    fn flows(&self, jobs: impl Iterator<Item = Job>) -> Flows {
        let mut states: BTreeMap<String, Vec<Vec<f64>>> = BTreeMap::new();
        for job in jobs {
            let curves: &Curves = match self.store.get(&job) {
                Some(Outcome::Flow(curves)) => curves,
                Some(Outcome::Memory(learned)) => match &learned.seen {
                    Some(seen) => &seen.flow,
                    None => continue,
                },
                _ => continue,
            };
            for (state, curve) in curves {
                states.entry(state.clone()).or_default().push(curve.clone());
            }
        }
        let steps = self.study.flow.steps;
        let over = |curves: Vec<Vec<f64>>| {
            let mut flow = Flow::default();
            for k in 0..=steps {
                let at = |c: &Vec<f64>| c.get(k).copied().unwrap_or(f64::INFINITY);
                let values: Vec<f64> = curves.iter().map(at).collect();
                flow.median.push(median(&values));
                flow.band
                    .push((quantile(&values, 0.25), quantile(&values, 0.75)));
            }
            flow
        };
        let all = states.into_iter();
        all.map(|(state, curves)| (state, over(curves))).collect()
    }

    /// Before training.
    fn start(&self, system: System) -> Flows {
        let seeds = self.study.seeds(self.study.flow_seeds);
        self.flows(seeds.map(|seed| self.study.flow(system, seed)))
    }

    /// After training on the adding problem.
    fn trained(&self, system: System) -> Flows {
        let seeds = self.study.seeds(self.study.memory_seeds);
        let lag = self.study.looked_at;
        self.flows(seeds.map(|seed| self.study.memory(system, Task::Adding, lag, seed)))
    }
}

/// The state that carries a system's memory: c where there is one.
fn carrier(flows: &Flows) -> (&str, &Flow) {
    let of = |state: &str| flows.get_key_value(state);
    let (state, flow) = of("c'").or_else(|| of("h'")).expect("every cell has a h");
    (bare(state), flow)
}

/// A state's name without its prime.
fn bare(state: &str) -> &str {
    state.trim_end_matches('\'')
}

impl Flow {
    fn at(&self, k: usize) -> f64 {
        self.median[k.min(self.median.len() - 1)]
    }

    /// What a step keeps of the error, on the average from k = 10 to k.
    fn kept(&self, k: usize) -> f64 {
        (self.at(k) / self.at(10)).powf(1.0 / (k as f64 - 10.0))
    }
}

pub(super) fn section(found: &Found<'_>) -> Section {
    let far = found.study.flow.steps.min(100);
    Section {
        title: "Does the error get through?".to_owned(),
        method: vec![format!(
            "Error flow is ‖∂L_T/∂s_(T−k)‖: how strongly the loss at the last step T, and only there, feels what a state s \
             was k steps earlier. It comes from the compiled backward step in f64: the adjoint of s as a step makes it, norm \
             over its units, root mean square over {} sequences of the adding problem; curves are medians and bands quartiles \
             over {} seeds. In an LSTM the direct path from c to c' has the keep gate for its derivative, in a single \
             network (S1, S3) a weight matrix times a slope.",
            found.study.flow.rows, found.study.flow_seeds,
        )],
        findings: [starts(found, far), depends(found, far), trained(found, far)].concat(),
        drawings: drawings(found),
        tables: vec![by_distance(found), by_start(found, far), after(found)],
    }
}

fn starts(found: &Found<'_>, far: usize) -> Vec<String> {
    let flow = |cell: &str| found.start(System::named(cell));
    let (rnn, lstm, one) = (flow("rnn"), flow("lstm"), flow("one_memory"));
    let [(_, rnn), (_, lstm), (_, one)] = [&rnn, &lstm, &one].map(carrier);
    let ratio = lstm.at(far) / rnn.at(far);
    let first = match ratio >= 10.0 {
        true => format!(
            "Before training and with uniform weights, the gated memory of S7 passes {} times as much error over {far} steps \
             as the state of S1: {} against {}.",
            factor(ratio),
            short(lstm.at(far)),
            short(rnn.at(far)),
        ),
        false => format!(
            "Before training and with uniform weights, S7 passes no more than {} times the error of S1 over {far} steps: {} \
             against {}. The gated memory does not have the advantage that it is known for.",
            short(ratio),
            short(lstm.at(far)),
            short(rnn.at(far)),
        ),
    };
    let gated = 1.0 / (1.0 + (-1.0_f64).exp());
    let constant = lstm.at(far) >= 0.5 * lstm.at(10);
    let second = format!(
        "{} A step keeps {} of it in S7, where the keep gate's bias of 1 alone would let σ(1) = {} through; in S1 it keeps {}.",
        match constant {
            true => "The flow through S7's gate is about constant.".to_owned(),
            false => format!(
                "That does not make the flow constant, as folklore has it: from k = 10 to {far} it falls by a factor of {}.",
                factor(lstm.at(10) / lstm.at(far))
            ),
        },
        share(lstm.kept(far)),
        share(gated),
        share(rnn.kept(far)),
    );
    let (one_kept, rnn_kept) = (one.kept(far), rnn.kept(far));
    let alike = one.at(far) < 1e-3 * lstm.at(far);
    let third = format!(
        "Question 1: S3, where one network makes the new memory, {}: a step keeps {} of the error, in S1 {}, in S7 {}. {}",
        match alike {
            true => "loses the error as S1 does",
            false => "does not lose the error as S1 does",
        },
        share(one_kept),
        share(rnn_kept),
        share(lstm.kept(far)),
        match alike {
            true =>
                "A memory of its own does not help by itself; it is the gates that let the error through.",
            false => "A memory of its own helps even without gates.",
        },
    );
    let mut all: Vec<(String, f64)> = System::all()
        .map(|s| (s.label(), carrier(&found.start(s)).1.kept(far)))
        .filter(|(_, kept)| kept.is_finite())
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    let told = |(name, kept): &(String, f64)| format!("{name} {}", share(*kept));
    let told: Vec<String> = all.iter().map(told).collect();
    let fourth = format!(
        "What a step keeps of the error at the start, greatest first: {}.",
        list(&told)
    );
    vec![first, second, third, fourth]
}

fn depends(found: &Found<'_>, far: usize) -> Vec<String> {
    let at = |system: System| carrier(&found.start(system)).1.at(far);
    let (rnn, lstm) = (System::named("rnn"), System::named("lstm"));
    let orthogonal = at(rnn.with(Recurrent::Orthogonal));
    let (one, three) = (at(lstm), at(lstm.keeping(3.0)));
    let against = |lstm: f64, bias: &str| match lstm / orthogonal {
        r if r >= 10.0 => format!(
            "S7 with bias {bias} exceeds it by a factor of {}",
            factor(r)
        ),
        r if r >= 1.0 => format!(
            "S7 with bias {bias} exceeds it by a factor of {} only",
            short(r)
        ),
        r => format!(
            "it exceeds S7 with bias {bias} by a factor of {}",
            factor(1.0 / r)
        ),
    };
    let first = format!(
        "What the weights start as matters as much as the gates. With orthogonal recurrent weights S1 passes {} over {far} \
         steps, {} times what it passes with uniform ones; {}, and {}.",
        short(orthogonal),
        factor(orthogonal / at(rnn)),
        against(one, "1"),
        against(three, "3"),
    );
    let kept = BIASES.map(|bias| {
        let flows = found.start(lstm.keeping(bias));
        let open = 1.0 / (1.0 + (-bias).exp());
        let kept = carrier(&flows).1.kept(far);
        format!("{} with bias {bias} (σ = {})", share(kept), share(open))
    });
    let second = format!(
        "The bias of the keep gate sets the pace: with uniform weights a step of S7 keeps {} of the error.",
        list(&kept)
    );
    vec![first, second]
}

fn trained(found: &Found<'_>, far: usize) -> Vec<String> {
    let lag = found.study.looked_at;
    let far = far.min(lag);
    let (mut solvers, mut others) = (Vec::new(), Vec::new());
    for system in memory_systems() {
        let (before, after) = (found.start(system), found.trained(system));
        let (before, after) = (carrier(&before).1.at(far), carrier(&after).1.at(far));
        let (solved, of) = found.solved(system, Task::Adding, lag);
        let told = format!(
            "{} from {} to {}",
            system.label(),
            short(before),
            short(after)
        );
        match 2 * solved > of {
            true => solvers.push((told, after > before)),
            false => others.push((told, after > before)),
        }
    }
    let tell = |all: &[(String, bool)], who: &str| match all {
        [] => format!("None {who}."),
        _ => {
            let risen = all.iter().filter(|s| s.1).count();
            let told: Vec<String> = all.iter().map(|s| s.0.clone()).collect();
            format!(
                "Of those that {who}, training raised the flow at k = {far} in {risen} of {}: {}.",
                all.len(),
                list(&told)
            )
        }
    };
    let what = format!("in most runs learned to add at lag {lag}");
    let what_not = format!("in most runs did not learn to add at lag {lag}");
    vec![format!(
        "{} {}",
        tell(&solvers, &what),
        tell(&others, &what_not)
    )]
}

fn drawings(found: &Found<'_>) -> Vec<Drawing> {
    let lag = found.study.looked_at;
    let panel = |title: &str, lines: Vec<Line>| LinePanel {
        title: title.to_owned(),
        x: Axis::named("k, steps before the loss"),
        y: Axis::named("error flow ‖∂L_T/∂s_(T−k)‖").log(),
        lines,
    };
    let all = |state: &str| -> Vec<Line> {
        let flows = System::all().map(|s| (s, found.start(s)));
        flows
            .filter_map(|(s, flows)| Some(line(s.label(), s, flows.get(state)?)))
            .collect()
    };
    let carriers = |systems: Vec<System>, flows: &dyn Fn(System) -> Flows| -> Vec<Line> {
        let of = |s: System| {
            let flows = flows(s);
            let (state, flow) = carrier(&flows);
            line(format!("{}: {state}", s.label()), s, flow)
        };
        systems.into_iter().map(of).collect()
    };
    let start = LinePlot {
        title: "Error flow before training, uniform recurrent weights, keep bias 1".to_owned(),
        panels: vec![
            panel("into the memory c, of those that have one", all("c'")),
            panel("into the hidden state h", all("h'")),
        ],
    };
    let (rnn, lstm) = (System::named("rnn"), System::named("lstm"));
    let mut biases: Vec<Line> = carriers(BIASES.map(|b| lstm.keeping(b)).to_vec(), &|s| {
        found.start(s)
    });
    for ((k, line), bias) in biases.iter_mut().enumerate().zip(BIASES) {
        (line.variant, line.name) = (k, format!("S7 lstm: c, bias {bias}"));
    }
    let mut references = carriers(vec![rnn, rnn.with(Recurrent::Orthogonal)], &|s| {
        found.start(s)
    });
    references[1].variant = 1;
    biases.extend(references);
    let orthogonal = System::all()
        .filter(|s| s.cell != "irnn")
        .map(|s| s.with(Recurrent::Orthogonal));
    let mut orthogonal = carriers(orthogonal.collect(), &|s| found.start(s));
    for line in &mut orthogonal {
        line.name = line.name.replace(", orthogonal", "");
    }
    let depends = LinePlot {
        title: "What error flow depends on, before training".to_owned(),
        panels: vec![
            panel("the bias of S7's keep gate, against S1", biases),
            panel("orthogonal recurrent weights, keep bias 1", orthogonal),
        ],
    };
    let mut after = carriers(memory_systems(), &|s| found.trained(s));
    for (line, system) in after.iter_mut().zip(memory_systems()) {
        let (solved, of) = found.solved(system, Task::Adding, lag);
        line.name += &format!(" ({solved}/{of})");
    }
    let trained = LinePlot {
        title: format!("Error flow after training on the adding problem at lag {lag}"),
        panels: vec![panel("in brackets: how many runs solved it", after)],
    };
    let drawing = |name, caption: &str, plot| Drawing {
        name,
        caption: caption.to_owned(),
        figure: Figure::Lines(plot),
    };
    vec![
        drawing(
            "flow-start",
            "Error flow of all systems before training, by state.",
            start,
        ),
        drawing(
            "flow-depends",
            "Error flow before training by keep bias, and with orthogonal recurrent weights; c or h names the state.",
            depends,
        ),
        drawing(
            "flow-trained",
            "Error flow after training; c or h names the state.",
            trained,
        ),
    ]
}

fn line(name: String, system: System, flow: &Flow) -> Line {
    let points = flow.median.iter().enumerate();
    Line {
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
            "Error flow before training, uniform recurrent weights, median of {} seeds; and what a step keeps of it, on the \
             average from k = 10 to {}.",
            found.study.flow_seeds,
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
    let far = lag.min(found.study.flow.steps);
    let rows = memory_systems().into_iter().map(|system| {
        let (before, after) = (found.start(system), found.trained(system));
        let (state, after) = carrier(&after);
        let (solved, of) = found.solved(system, Task::Adding, lag);
        vec![
            system.label(),
            state.to_owned(),
            format!("{solved}/{of}"),
            short(carrier(&before).1.at(far)),
            short(after.at(far)),
            share(after.kept(far.max(20))),
        ]
    });
    Table {
        caption: format!(
            "Error flow at k = {far} before and after training on the adding problem at lag {lag}, median over seeds. After \
             training it also depends on how wrong the answers still are."
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
        rows: rows.collect(),
    }
}
