//! What the long streams say.

use super::numbers::{factor, mean, median, percent, quantile, short, whole};
use super::{Drawing, Found, Section, Table};
use crate::intuition::saturation::{EXPLODED, SATURATED, Stream};
use crate::intuition::study::{memory_systems, stream_systems};
use crate::intuition::systems::{Recurrent, System};
use crate::intuition::tasks::{MARKED_EVERY, Task};
use crate::intuition::{Job, Outcome};
use crate::plot::{Axis, Figure, Line, LinePanel, LinePlot};

impl Found<'_> {
    fn streams(&self, jobs: impl Iterator<Item = Job>) -> Vec<&Stream> {
        let stream = |job: Job| match self.store.get(&job) {
            Some(Outcome::Saturation(stream)) => Some(stream),
            Some(Outcome::Memory(learned)) => learned.seen.as_ref().map(|s| &s.stream),
            _ => None,
        };
        jobs.filter_map(stream).collect()
    }

    fn stream_start(&self, system: System) -> Vec<&Stream> {
        let seeds = self.study.seeds(self.study.flow_seeds);
        self.streams(seeds.map(|seed| self.study.saturation(system, seed)))
    }

    fn stream_trained(&self, system: System) -> Vec<&Stream> {
        let seeds = self.study.seeds(self.study.memory_seeds);
        let lag = self.study.looked_at;
        self.streams(seeds.map(|seed| self.study.memory(system, Task::Adding, lag, seed)))
    }
}

/// The greatest numbers stand for what is not finite; an axis needs an end.
const HUGE: f64 = 1e12;

/// The last number of a measure of each stream.
fn last(streams: &[&Stream], of: fn(&Stream) -> &[f64]) -> Vec<f64> {
    streams
        .iter()
        .filter_map(|s| of(s).last().copied())
        .collect()
}

fn share(s: &Stream) -> &[f64] {
    &s.share
}

fn dead(s: &Stream) -> &[f64] {
    &s.dead
}

fn size(s: &Stream) -> &[f64] {
    &s.size
}

fn identities() -> [System; 3] {
    let irnn = System::named("irnn");
    let wide = System {
        wide_input: true,
        ..irnn
    };
    [irnn, wide, System::named("rnn").with(Recurrent::Identity)]
}

pub(super) fn section(found: &Found<'_>) -> Section {
    let extent = found.study.stream;
    Section {
        title: "Why not just the identity?".to_owned(),
        method: vec![format!(
            "A recurrent matrix that is the identity keeps what it has. Here each system reads a stream of {} steps, a number \
             uniform in 0..1 a step and a mark one step in {MARKED_EVERY} on the average, and nothing is ever asked. A tanh \
             unit counts as saturated beyond ±{SATURATED}, where its slope is below a tenth; a gated sum c beyond ±{:.2}, where the \
             tanh that reads it is; a rectified unit, which has no bound, as exploded beyond {EXPLODED}, and as dead at 0. The \
             memory c is looked at where there is one, else h.",
            whole(extent.steps as u64),
            SATURATED.atanh(),
        )],
        findings: [start(found), trained(found)].concat(),
        drawings: drawings(found),
        tables: vec![
            table(
                "Before training",
                stream_systems(),
                &|s| found.stream_start(s),
                extent.steps,
            ),
            table(
                &format!(
                    "After training on the adding problem at lag {}",
                    found.study.looked_at
                ),
                memory_systems(),
                &|s| found.stream_trained(s),
                extent.steps,
            ),
        ],
    }
}

fn start(found: &Found<'_>) -> Vec<String> {
    let [irnn, wide, tanh] = identities().map(|s| found.stream_start(s));
    let lstm = found.stream_start(System::named("lstm"));
    let growth = |streams: &[&Stream]| {
        let of = |s: &&Stream| {
            let half = s
                .steps
                .iter()
                .position(|&t| 2 * t >= found.study.stream.steps);
            s.size.last().unwrap_or(&f64::NAN) / half.map_or(f64::NAN, |k| s.size[k])
        };
        let ratios: Vec<f64> = streams.iter().map(of).collect();
        median(&ratios)
    };
    let lost = |s: &[&Stream]| mean(&last(s, share)) + mean(&last(s, dead));
    let first = format!(
        "The identity recurrence (S5), with input weights of the usual size, ends the stream with {} of its units exploded and \
         {} dead: {}. With the tiny input weights that it is published with it is {} exploded and {} dead, and over the second \
         half of the stream its size still grows by a factor of {}. The memory of S7 ends with {} saturated.",
        percent(mean(&last(&wide, share))),
        percent(mean(&last(&wide, dead))),
        match lost(&wide) > 0.5 {
            true => "input piles up, and most units can no longer be written to",
            false => "most units still work",
        },
        percent(mean(&last(&irnn, share))),
        percent(mean(&last(&irnn, dead))),
        short(growth(&irnn)),
        percent(mean(&last(&lstm, share))),
    );
    let plain = found.stream_start(System::named("rnn"));
    let second = format!(
        "With a tanh, the identity cannot explode: {} of its units are saturated at the end, of the plain S1 {}. {}",
        percent(mean(&last(&tanh, share))),
        percent(mean(&last(&plain, share))),
        match mean(&last(&tanh, share)) > mean(&last(&plain, share)) + 0.05 {
            true => "Input piles up here too, against the wall of the tanh.",
            false =>
                "At this size of input weights it does not saturate beyond the plain network by this measure.",
        }
    );
    vec![first, second]
}

fn trained(found: &Found<'_>) -> Vec<String> {
    let lag = found.study.looked_at;
    let told = |cell: &str| {
        let system = System::named(cell);
        let streams = found.stream_trained(system);
        let (solved, of) = found.solved(system, Task::Adding, lag);
        let lost = mean(&last(&streams, share));
        let size = median(&last(&streams, size));
        let text = format!(
            "{} {} saturated or exploded, size {} ({solved}/{of} had solved it)",
            system.label(),
            percent(lost),
            short(size),
        );
        (text, lost, size)
    };
    let [irnn, keepwrite, gru, lstm] = ["irnn", "keepwrite", "gru", "lstm"].map(told);
    let gated = [&keepwrite, &gru, &lstm].map(|t| t.2);
    let greatest = gated.into_iter().fold(0.0, f64::max);
    let verdict = if irnn.2 >= f64::MAX {
        "The trained identity recurrence has left the range of f64".to_owned()
    } else if irnn.2 > 10.0 * greatest {
        format!(
            "The trained identity recurrence has grown to {} times the size of the greatest gated state",
            factor(irnn.2 / greatest)
        )
    } else {
        "The trained identity recurrence has not grown far beyond the gated states".to_owned()
    };
    let gates = match [&keepwrite, &gru, &lstm].iter().all(|t| t.1 < 0.5) {
        true => "training leaves most units of the gated memories able to change",
        false => {
            "but gates are no safeguard by themselves: a gated memory that was trained on sequences may saturate on a \
                  stream that never ends"
        }
    };
    vec![format!(
        "After training on the adding problem at lag {lag}, at the end of the stream: {}; {}; {}; {}. {verdict}; {gates}.",
        irnn.0, keepwrite.0, gru.0, lstm.0
    )]
}

fn drawings<'a>(found: &'a Found<'_>) -> Vec<Drawing> {
    let drawn = |system: &System| {
        ["irnn", "keepwrite", "gru", "lstm"].contains(&system.cell)
            || (system.cell == "rnn" && system.recurrent != Recurrent::Orthogonal)
    };
    let plot = |title: String, systems: Vec<System>, of: &dyn Fn(System) -> Vec<&'a Stream>| {
        let lines = |measure: fn(&Stream) -> &[f64]| -> Vec<Line> {
            let systems = systems.iter().filter(|s| drawn(s));
            systems.filter_map(|s| line(s, &of(*s), measure)).collect()
        };
        let panel = |title: &str, y: Axis, lines| LinePanel {
            title: title.to_owned(),
            x: Axis::named("step of the stream").log(),
            y,
            lines,
        };
        LinePlot {
            title,
            panels: vec![
                panel(
                    "units that are saturated or exploded",
                    Axis::named("share of units, mean and range over seeds"),
                    lines(share),
                ),
                panel(
                    "how large the state is",
                    Axis::named("root mean square of the units, mean and range over seeds").log(),
                    lines(size),
                ),
            ],
        }
    };
    let lag = found.study.looked_at;
    let start = plot(
        "Under a long stream of input, before training".to_owned(),
        stream_systems(),
        &|s| found.stream_start(s),
    );
    let trained = plot(
        format!("Under a long stream of input, after the adding problem at lag {lag}"),
        memory_systems(),
        &|s| found.stream_trained(s),
    );
    vec![
        Drawing {
            name: "saturation-start",
            caption:
                "The identity recurrence beside gated cells under a long stream, before training."
                    .to_owned(),
            figure: Figure::Lines(start),
        },
        Drawing {
            name: "saturation-trained",
            caption: "The same after training.".to_owned(),
            figure: Figure::Lines(trained),
        },
    ]
}

fn line(system: &System, streams: &[&Stream], measure: fn(&Stream) -> &[f64]) -> Option<Line> {
    let first = streams.first()?;
    let at = |k: usize| -> Vec<f64> { streams.iter().map(|s| measure(s)[k].min(HUGE)).collect() };
    let steps = first.steps.iter().enumerate();
    Some(Line {
        name: format!("{}: {}", system.label(), first.state.trim_end_matches('\'')),
        kind: system.kind(),
        variant: system.variant(),
        points: steps
            .clone()
            .map(|(k, t)| (*t as f64, mean(&at(k))))
            .collect(),
        band: steps
            .map(|(k, _)| (quantile(&at(k), 0.0), quantile(&at(k), 1.0)))
            .collect(),
    })
}

fn table<'a>(
    caption: &str,
    systems: Vec<System>,
    of: &dyn Fn(System) -> Vec<&'a Stream>,
    steps: usize,
) -> Table {
    let at: Vec<usize> = [10, 100, 1000, steps]
        .into_iter()
        .filter(|t| *t <= steps)
        .collect();
    let row = |system: System| {
        let streams = of(system);
        let state = streams
            .first()
            .map_or("", |s| s.state.trim_end_matches('\''));
        let mut row = vec![system.label(), state.to_owned()];
        for &t in &at {
            let near = |s: &&Stream| {
                let k = s.steps.iter().position(|&step| step >= t);
                k.map_or(f64::NAN, |k| s.share[k])
            };
            let shares: Vec<f64> = streams.iter().map(near).collect();
            row.push(percent(mean(&shares)));
        }
        row.push(percent(mean(&last(&streams, dead))));
        row.push(short(median(&last(&streams, size))));
        row
    };
    let mut head = vec!["system".to_owned(), "state".to_owned()];
    head.extend(at.iter().map(|t| format!("step {}", whole(*t as u64))));
    head.extend(["dead at the end", "size at the end"].map(str::to_owned));
    Table {
        caption: format!(
            "{caption}: share of units saturated or exploded at some steps of the stream, of those that are 0 at its end \
             (means over seeds), and the root mean square of the units (median)."
        ),
        head,
        rows: systems.into_iter().map(row).collect(),
    }
}
