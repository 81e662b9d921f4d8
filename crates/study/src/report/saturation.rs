//! The section on long streams.

use super::found::Found;
use super::numbers::{list, mean, middle, percent, quantile, seeds as counted, short, whole};
use super::{Picture, Section, Table};
use crate::saturation::{EXPLODED, SATURATED, SaturationBound, SaturationCurve};
use crate::study::{memory_systems, stream_systems};
use crate::systems::{Recurrent, System};
use crate::tasks::{MARKED_EVERY, MemoryTask};
use crate::{Job, Outcome};
use retrograd_plot::{Axis, Curve, Figure, LinePanel, LinePlot};

impl Found<'_> {
    fn streams(&self, jobs: impl Iterator<Item = Job>) -> Vec<&SaturationCurve> {
        let stream = |job: Job| match self.store.get(&job) {
            Some(Outcome::Saturation(stream)) => Some(stream),
            Some(Outcome::Memory(learned)) => learned.seen.as_ref().map(|s| &s.stream),
            _ => None,
        };
        jobs.filter_map(stream).collect()
    }

    fn stream_start(&self, system: System) -> Vec<&SaturationCurve> {
        let seeds = self.study.seeds(self.study.flow_seeds);
        self.streams(seeds.map(|seed| self.study.saturation(system, seed)))
    }

    fn stream_trained(&self, system: System) -> Vec<&SaturationCurve> {
        let seeds = self.study.seeds(self.study.memory_seeds);
        let lag = self.study.looked_at;
        self.streams(seeds.map(|seed| self.study.memory(system, MemoryTask::Adding, lag, seed)))
    }
}

/// The greatest numbers stand for what is not finite; an axis needs an end.
const HUGE: f64 = 1e12;

/// The last number of a measure of each stream.
fn last(streams: &[&SaturationCurve], of: fn(&SaturationCurve) -> &[f64]) -> Vec<f64> {
    streams
        .iter()
        .filter_map(|s| of(s).last().copied())
        .collect()
}

fn share(s: &SaturationCurve) -> &[f64] {
    &s.share
}

fn dead(s: &SaturationCurve) -> &[f64] {
    &s.dead
}

fn size(s: &SaturationCurve) -> &[f64] {
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

pub(crate) fn section(found: &Found<'_>) -> Section {
    let extent = found.study.stream;
    Section {
        title: "Why not just the identity?".to_owned(),
        method: vec![format!(
            "A recurrent matrix that is the identity keeps what it has. Here each system reads a stream of {} steps, a number \
             uniform in 0..1 a step and a mark one step in {MARKED_EVERY} on the average, and nothing is ever asked. The memory c is \
             looked at where there is one, else h. A tanh unit (S1, S3) counts as saturated beyond ±{SATURATED}, where its slope is \
             below a tenth; S7's c beyond ±{:.2}, where the tanh that reads it is; S2's c beyond ±{:.2}, where the slope of the sigmoid \
             that reads it is as small a part of its greatest. S6's h is a mixture of tanh values: it is counted beyond \
             ±{SATURATED} too, which says nothing of a slope. S4's c has no squashing reader component by component and a rectified \
             unit (S5) has no bound: they count as exploded beyond {EXPLODED}. A unit that is exactly 0 counts as at 0, apart.",
            whole(extent.steps as u64),
            SaturationBound::ReadByTanh.limit(),
            SaturationBound::ReadBySigmoid.limit(),
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

/// Sizes beyond this are told as such, not as numbers.
const LARGE: f64 = 1000.0;

/// What a system's units are at the end of a stream.
struct StreamEnd {
    name: String,
    /// The shares of units saturated or exploded, and at 0, means over runs.
    lost: f64,
    zero: f64,
    /// Their size in each run.
    sizes: Vec<f64>,
}

impl StreamEnd {
    fn new(system: System, streams: &[&SaturationCurve]) -> StreamEnd {
        StreamEnd {
            name: system.label(),
            lost: mean(&last(streams, share)),
            zero: mean(&last(streams, dead)),
            sizes: last(streams, size),
        }
    }

    fn large(&self) -> usize {
        self.sizes.iter().filter(|s| **s > LARGE).count()
    }

    fn told(&self) -> String {
        format!(
            "{} {} and {}",
            self.name,
            percent(self.lost),
            percent(self.zero)
        )
    }
}

fn start(found: &Found<'_>) -> Vec<String> {
    let end = |s: System| StreamEnd::new(s, &found.stream_start(s));
    let [irnn, wide, tanh] = identities().map(end);
    let (plain, lstm) = (end(System::named("rnn")), end(System::named("lstm")));
    let half = |s: &&SaturationCurve| {
        let half = s
            .steps
            .iter()
            .position(|&t| 2 * t >= found.study.stream.steps);
        s.size.last().unwrap_or(&f64::NAN) / half.map_or(f64::NAN, |k| s.size[k])
    };
    let growth: Vec<f64> = found
        .stream_start(System::named("irnn"))
        .iter()
        .map(half)
        .collect();
    let others = stream_systems().into_iter().map(end);
    let others: Vec<f64> = others
        .filter(|e| e.name != wide.name)
        .map(|e| e.lost)
        .collect();
    let most = others.into_iter().fold(0.0, f64::max);
    vec![
        piling_up(&wide, &irnn, middle(&growth), most),
        tanh_identity(&tanh, &plain, &lstm),
    ]
}

/// `most` is the greatest share saturated or exploded of all other systems.
fn piling_up(wide: &StreamEnd, irnn: &StreamEnd, growth: f64, most: f64) -> String {
    format!(
        "Before training, the identity recurrence (S5) with input weights of the usual size ends the stream with {} of its units \
         exploded and {} at 0: {}. With the tiny input weights that it is published with it is {} exploded and {} at 0, and over the \
         second half of the stream its size {} (by a factor of {} in the median seed). No other system has more than {} \
         saturated or exploded.",
        percent(wide.lost),
        percent(wide.zero),
        match wide.lost > most + 0.1 {
            true => "input piles up",
            false => "input does not pile up more than elsewhere",
        },
        percent(irnn.lost),
        percent(irnn.zero),
        match growth > 1.2 {
            true => "still grows",
            false => "hardly grows any more",
        },
        short(growth),
        percent(most),
    )
}

fn tanh_identity(tanh: &StreamEnd, plain: &StreamEnd, lstm: &StreamEnd) -> String {
    format!(
        "With a tanh, the identity cannot explode: {} of its units are saturated at the end, of the plain S1 {}, of the memory of \
         S7 {}. {}",
        percent(tanh.lost),
        percent(plain.lost),
        percent(lstm.lost),
        match tanh.lost > plain.lost + 0.05 {
            true => "Input piles up here too, against the wall of the tanh.",
            false =>
                "At this size of input weights it saturates no more than the plain network by this measure.",
        }
    )
}

fn trained(found: &Found<'_>) -> Vec<String> {
    let ends = memory_systems().into_iter();
    let mut ends: Vec<StreamEnd> = ends
        .map(|s| StreamEnd::new(s, &found.stream_trained(s)))
        .collect();
    ends.sort_by(|a, b| b.lost.total_cmp(&a.lost));
    vec![
        shares(found.study.looked_at, &ends),
        sizes(found.study.stream.steps, &ends),
    ]
}

/// The ends are sorted by what is lost, the most first.
fn shares(lag: usize, ends: &[StreamEnd]) -> String {
    let told: Vec<String> = ends.iter().map(StreamEnd::told).collect();
    let gated = |e: &&StreamEnd| {
        ["S2", "S4", "S6", "S7"]
            .iter()
            .any(|n| e.name.starts_with(n))
    };
    let most = |gated: &dyn Fn(&&StreamEnd) -> bool| {
        let shares = ends.iter().filter(|e| gated(e)).map(|e| e.lost + e.zero);
        shares.fold(0.0, f64::max)
    };
    let (with, without) = (most(&gated), most(&|e| !gated(e)));
    format!(
        "After training on the adding problem at lag {lag}, shares of units saturated or exploded, and at 0, at the end of the \
         stream: {}. In no system whose memory is gated (S2, S4, S6, S7) is the sum of both more than {}, in the others it goes up to {}: {}.",
        list(&told),
        percent(with),
        percent(without),
        if with + 0.05 < without {
            "the worst of the gated ones has fewer such units than the worst of the others"
        } else if with > without + 0.05 {
            "against expectation, a gated one has the most such units"
        } else {
            "the worst of the gated ones has about as many such units as the worst of the others"
        }
    )
}

fn sizes(steps: usize, ends: &[StreamEnd]) -> String {
    let large: Vec<String> = ends
        .iter()
        .filter(|e| e.large() > 0)
        .map(|e| format!("of {} in {} of {} runs", e.name, e.large(), e.sizes.len()))
        .collect();
    let bounded = ends.iter().filter(|e| e.large() == 0);
    let greatest = bounded.flat_map(|e| e.sizes.iter().copied());
    let greatest = greatest.fold(0.0, f64::max);
    match &large[..] {
        [] => format!(
            "After {} steps no trained system's size exceeds {}; the greatest is {}.",
            whole(steps as u64),
            whole(LARGE as u64),
            short(greatest)
        ),
        some => format!(
            "After {} steps the size exceeds {} {}; of the other systems the greatest of any run is {}.",
            whole(steps as u64),
            whole(LARGE as u64),
            list(some),
            short(greatest)
        ),
    }
}

fn drawings<'a>(found: &'a Found<'_>) -> Vec<Picture> {
    let plot = |title: String,
                systems: Vec<System>,
                seeds: u64,
                of: &dyn Fn(System) -> Vec<&'a SaturationCurve>| {
        let lines =
            |measure: fn(&SaturationCurve) -> &[f64], middle: fn(&[f64]) -> f64| -> Vec<Curve> {
                let systems = systems.iter();
                let lines = systems.filter_map(|s| line(s, &of(*s), measure, middle));
                lines.collect()
            };
        let panel = |title: &str, y: Axis, lines| LinePanel {
            title: title.to_owned(),
            x: Axis::named("step of the stream").log(),
            y,
            lines,
        };
        let seeds = counted(seeds);
        LinePlot {
            title,
            panels: vec![
                panel(
                    "units that are saturated or exploded",
                    Axis::named(format!("share of units, mean and range over {seeds}")),
                    together(lines(share, mean)),
                ),
                panel(
                    "how large the state is",
                    Axis::named(format!(
                        "root mean square of the units, median and range over {seeds}; beyond 10¹² drawn at 10¹²"
                    ))
                    .log(),
                    lines(size, middle),
                ),
            ],
        }
    };
    let lag = found.study.looked_at;
    let start = plot(
        "Under a long stream of input, before training".to_owned(),
        stream_systems(),
        found.study.flow_seeds,
        &|s| found.stream_start(s),
    );
    let trained = plot(
        format!("Under a long stream of input, after the adding problem at lag {lag}"),
        memory_systems(),
        found.study.memory_seeds,
        &|s| found.stream_trained(s),
    );
    vec![
        Picture {
            name: "saturation-start",
            caption:
                "The identity recurrence beside all other systems under a long stream, before training."
                    .to_owned(),
            figure: Figure::Lines(start),
        },
        Picture {
            name: "saturation-trained",
            caption: "The same after training, with the systems that were trained.".to_owned(),
            figure: Figure::Lines(trained),
        },
    ]
}

/// The lines that are 0 throughout, as one.
fn together(lines: Vec<Curve>) -> Vec<Curve> {
    let (mut zero, mut others): (Vec<Curve>, Vec<Curve>) = lines
        .into_iter()
        .partition(|l| l.band.iter().all(|b| b.1 == 0.0));
    if zero.len() > 1 {
        let first = zero.swap_remove(0);
        zero = vec![Curve {
            name: if others.is_empty() {
                "all: 0"
            } else {
                "all others: 0"
            }
            .to_owned(),
            kind: 0,
            variant: 0,
            ..first
        }];
    }
    others.extend(zero);
    others
}

fn line(
    system: &System,
    streams: &[&SaturationCurve],
    measure: fn(&SaturationCurve) -> &[f64],
    middle: fn(&[f64]) -> f64,
) -> Option<Curve> {
    let first = streams.first()?;
    let at = |k: usize| -> Vec<f64> { streams.iter().map(|s| measure(s)[k].min(HUGE)).collect() };
    let steps = first.steps.iter().enumerate();
    Some(Curve {
        name: format!("{}: {}", system.label(), first.state.trim_end_matches('\'')),
        kind: system.kind(),
        variant: system.variant(),
        points: steps
            .clone()
            .map(|(k, t)| (*t as f64, middle(&at(k))))
            .collect(),
        band: steps
            .map(|(k, _)| (quantile(&at(k), 0.0), quantile(&at(k), 1.0)))
            .collect(),
    })
}

fn table<'a>(
    caption: &str,
    systems: Vec<System>,
    of: &dyn Fn(System) -> Vec<&'a SaturationCurve>,
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
            let near = |s: &&SaturationCurve| {
                let k = s.steps.iter().position(|&step| step >= t);
                k.map_or(f64::NAN, |k| s.share[k])
            };
            let shares: Vec<f64> = streams.iter().map(near).collect();
            row.push(percent(mean(&shares)));
        }
        row.push(percent(mean(&last(&streams, dead))));
        let sizes = last(&streams, size);
        row.push(short(middle(&sizes)));
        row.push(short(sizes.iter().copied().fold(0.0, f64::max)));
        row
    };
    let mut head = vec!["system".to_owned(), "state".to_owned()];
    head.extend(at.iter().map(|t| format!("step {}", whole(*t as u64))));
    head.extend(["at 0 at the end", "size at the end", "greatest"].map(str::to_owned));
    Table {
        caption: format!(
            "{caption}: share of units saturated or exploded at some steps of the stream, of those that are 0 at its end \
             (means over seeds), and the root mean square of the units (the median of the seeds, and the greatest)."
        ),
        head,
        rows: systems.into_iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(name: &str, lost: f64, zero: f64, sizes: &[f64]) -> StreamEnd {
        StreamEnd {
            name: name.to_owned(),
            lost,
            zero,
            sizes: sizes.to_vec(),
        }
    }

    #[test]
    fn every_sentence_has_its_opposite() {
        let (some, none) = (end("S5", 0.5, 0.4, &[50.0]), end("S1", 0.0, 0.0, &[0.1]));
        assert!(piling_up(&some, &none, 2.0, 0.0).contains("input piles up"));
        assert!(piling_up(&none, &none, 1.0, 0.0).contains("does not pile up"));
        assert!(piling_up(&none, &none, 1.0, 0.0).contains("hardly grows"));
        assert!(tanh_identity(&some, &none, &none).contains("against the wall"));
        assert!(tanh_identity(&none, &none, &none).contains("saturates no more"));
        let lstm = |lost| end("S7 lstm", lost, 0.0, &[1.0]);
        let irnn = || end("S5 irnn", 0.02, 0.95, &[0.5, 7e146]);
        let said = shares(40, &[lstm(0.1), irnn()]);
        assert!(
            said.contains("S5 irnn 2.0 % and 95 %") && said.contains("has fewer"),
            "{said}"
        );
        assert!(shares(40, &[lstm(0.9), none]).contains("against expectation"));
        let said = sizes(100, &[lstm(0.1), irnn()]);
        assert!(said.contains("of S5 irnn in 1 of 2 runs"), "{said}");
        assert!(sizes(100, &[lstm(0.1)]).contains("no trained system"));
    }

    #[test]
    fn lines_at_nothing_become_one() {
        let line = |name: &str, high| Curve {
            name: name.to_owned(),
            points: vec![(1.0, high)],
            band: vec![(0.0, high)],
            ..Curve::default()
        };
        let names = |lines: Vec<Curve>| -> Vec<String> {
            together(lines).into_iter().map(|l| l.name).collect()
        };
        let lines = vec![line("a", 0.0), line("b", 0.5), line("c", 0.0)];
        assert_eq!(names(lines), ["b", "all others: 0"]);
        assert_eq!(names(vec![line("a", 0.0), line("b", 0.5)]), ["b", "a"]);
    }
}
