//! The section on the gates of a trained S2 over one sequence.

use super::found::Found;
use super::numbers::{mean, share};
use super::{Picture, Section, Table};
use crate::memory::{Gates, Learned};
use crate::systems::System;
use crate::tasks::MemoryTask;
use retrograd_plot::{Figure, HeatInput, HeatMap, HeatPlot};

/// A gate over one sequence.
struct Gate<'a> {
    name: &'a str,
    /// `[T, H]`
    values: &'a [f64],
    hidden: usize,
}

impl Gate<'_> {
    fn at(&self, step: usize, unit: usize) -> f64 {
        self.values[step * self.hidden + unit]
    }

    /// A unit's mean over some steps.
    fn mean(&self, unit: usize, steps: &[usize]) -> f64 {
        let values: Vec<f64> = steps.iter().map(|&s| self.at(s, unit)).collect();
        mean(&values)
    }
}

/// One sequence's numbers and marks, and the gates.
struct Sequence<'a> {
    numbers: Vec<f64>,
    marked: Vec<usize>,
    others: Vec<usize>,
    gates: Vec<Gate<'a>>,
    hidden: usize,
}

impl<'a> Sequence<'a> {
    fn new(learned: &Learned, gates: &'a Gates) -> Sequence<'a> {
        let hidden = learned.hidden;
        let steps = gates.x.len() / 2;
        let (marked, others) = (0..steps).partition(|s| gates.x[2 * s + 1] > 0.0);
        let gate = |(name, values): &'a (String, Vec<f64>)| Gate {
            name,
            values,
            hidden,
        };
        Sequence {
            numbers: gates.x.iter().step_by(2).copied().collect(),
            marked,
            others,
            gates: gates.gates.iter().map(gate).collect(),
            hidden,
        }
    }

    /// Units by how much more their gate is open at marked steps than at others, the most first.
    fn by_response(&self, gate: &Gate<'_>) -> Vec<(usize, f64)> {
        let more = |u: usize| gate.mean(u, &self.marked) - gate.mean(u, &self.others);
        let mut units: Vec<(usize, f64)> = (0..self.hidden).map(|u| (u, more(u))).collect();
        units.sort_by(|a, b| b.1.total_cmp(&a.1));
        units
    }
}

pub(crate) fn section(found: &Found<'_>) -> Section {
    let (lag, system) = (found.study.looked_at, System::named("keepwrite"));
    let runs: Vec<&Learned> = found.learned(system, MemoryTask::Adding, lag).collect();
    let solved = runs.iter().filter(|r| r.solved.is_some()).count();
    let mut section = Section {
        title: "What, and how much: what do the gates do?".to_owned(),
        method: vec![format!(
            "The keep, write and read gates of the question's LSTM (S2) after training on the adding problem at lag {lag}, over \
             a sequence that it was not trained on. {solved} of {} runs had solved the problem; the picture is of the first of \
             them{}. Units are ordered by how much more their write gate opens at a mark, the same order in all maps.",
            runs.len(),
            if solved == 0 {
                " that there is, although none had"
            } else {
                ""
            },
        )],
        findings: Vec::new(),
        drawings: Vec::new(),
        tables: Vec::new(),
    };
    let shown = runs.iter().find(|r| r.solved.is_some()).or(runs.first());
    if let Some(shown) = shown
        && let Some(gates) = shown.seen.as_ref().and_then(|s| s.gates.as_ref())
    {
        let sequence = Sequence::new(shown, gates);
        section.drawings.push(drawing(&sequence, shown, lag));
    }
    let sequences: Vec<Sequence<'_>> = runs
        .iter()
        .filter(|r| r.solved.is_some() || solved == 0)
        .filter_map(|r| Some(Sequence::new(r, r.seen.as_ref()?.gates.as_ref()?)))
        .collect();
    section.findings = findings(&sequences);
    section.tables = vec![table(&sequences)];
    section
}

/// The mean of a gate over units, at steps that `which` chooses, over sequences.
fn open(sequences: &[Sequence<'_>], gate: usize, which: fn(&Sequence<'_>) -> Vec<usize>) -> f64 {
    let of = |s: &Sequence<'_>| {
        let steps = which(s);
        let units: Vec<f64> = (0..s.hidden)
            .map(|u| s.gates[gate].mean(u, &steps))
            .collect();
        mean(&units)
    };
    let all: Vec<f64> = sequences.iter().map(of).filter(|m| m.is_finite()).collect();
    mean(&all)
}

fn marked(s: &Sequence<'_>) -> Vec<usize> {
    s.marked.clone()
}

fn others(s: &Sequence<'_>) -> Vec<usize> {
    s.others.clone()
}

fn findings(sequences: &[Sequence<'_>]) -> Vec<String> {
    const KEEP: usize = 0;
    const WRITE: usize = 1;
    if sequences.is_empty() {
        return vec!["There is no run to look into.".to_owned()];
    }
    let (write_marked, write_others) = (
        open(sequences, WRITE, marked),
        open(sequences, WRITE, others),
    );
    let most: Vec<f64> = sequences
        .iter()
        .map(|s| s.by_response(&s.gates[WRITE])[0].1)
        .collect();
    let most = mean(&most);
    let first = writing(sequences.len(), write_marked, write_others, most);
    let keep_others = open(sequences, KEEP, others);
    let most_kept: Vec<f64> = sequences
        .iter()
        .map(|s| {
            let units = (0..s.hidden).map(|u| s.gates[KEEP].mean(u, &s.others));
            units.fold(0.0, f64::max)
        })
        .collect();
    let most_kept = mean(&most_kept);
    vec![first, keeping(keep_others, most_kept)]
}

/// The means of the write gates over units, and of the unit that answers most by how much more it is open at a mark.
fn writing(runs: usize, marked: f64, others: f64, most: f64) -> String {
    format!(
        "Over one sequence of each of {runs} runs, the write gates are {} open at its two marks and {} elsewhere, mean over \
         units: {}. The unit that responds most opens its write gate by {} more at a mark: {}.",
        share(marked),
        share(others),
        if marked > others + 0.05 {
            "taken together they open for what is marked"
        } else if marked < others - 0.05 {
            "taken together they shut for what is marked"
        } else {
            "taken together they do not tell what is marked"
        },
        share(most),
        match most > 0.3 {
            true =>
                "there are units into which the input decides, step by step, how much is written",
            false => "no unit's write gate tells marked steps clearly from the others",
        }
    )
}

/// The mean of the keep gates at steps without a mark, over units and of the unit that keeps most.
fn keeping(others: f64, most: f64) -> String {
    format!(
        "At the steps without a mark the keep gates are {} open, mean over units, and that of the unit that keeps most {}. {}",
        share(others),
        share(most),
        match most > 0.98 {
            true => format!(
                "A gate that stood at that would keep {} over 100 steps: there are units that hold what was written.",
                share(most.powi(100))
            ),
            false => format!(
                "A gate that stood at that would keep {} over 100 steps: no unit holds its memory for long by its gate alone.",
                share(most.powi(100))
            ),
        }
    )
}

fn drawing(sequence: &Sequence<'_>, learned: &Learned, lag: usize) -> Picture {
    let write = sequence.gates.iter().find(|g| g.name == "write");
    let order = sequence.by_response(write.unwrap_or(&sequence.gates[0]));
    let steps = sequence.numbers.len();
    let title = |name: &str| match name {
        "keep" => "keep gate: how much of c stays",
        "write" => "write gate: how much is added to c",
        "read" => "read gate σ(c'): how much h sees",
        _ => "gate",
    };
    let map = |gate: &Gate<'_>| HeatMap {
        name: title(gate.name).to_owned(),
        rows: order
            .iter()
            .map(|&(unit, _)| (0..steps).map(|s| gate.at(s, unit)).collect())
            .collect(),
    };
    let plot = HeatPlot {
        title: format!(
            "Gates of S2 keepwrite over one sequence of the adding problem at lag {lag}{}",
            if learned.solved.is_some() {
                ""
            } else {
                " (not solved)"
            }
        ),
        x_name: "step".to_owned(),
        row_name: "units".to_owned(),
        steps,
        maps: sequence.gates.iter().map(map).collect(),
        read: vec![HeatInput {
            name: "the numbers read; the two marked ones are to be added".to_owned(),
            values: sequence.numbers.clone(),
            marked: (0..steps).map(|s| sequence.marked.contains(&s)).collect(),
        }],
    };
    Picture {
        name: "gates",
        caption: format!(
            "Gates of the question's LSTM, trained on the adding problem at lag {lag}, over one sequence: a row a unit, in the \
             same order in all maps, by how much more its write gate opens at a mark, and the numbers that it reads, the two marked ones in another colour and below a triangle."
        ),
        figure: Figure::Heat(plot),
    }
}

fn table(sequences: &[Sequence<'_>]) -> Table {
    let names = sequences
        .first()
        .map_or(Vec::new(), |s| s.gates.iter().map(|g| g.name).collect());
    let row = |(k, name): (usize, &str)| {
        let most: Vec<f64> = sequences
            .iter()
            .map(|s| s.by_response(&s.gates[k])[0].1)
            .collect();
        let least: Vec<f64> = sequences
            .iter()
            .filter_map(|s| s.by_response(&s.gates[k]).last().map(|u| u.1))
            .collect();
        vec![
            name.to_owned(),
            share(open(sequences, k, marked)),
            share(open(sequences, k, others)),
            format!("{:+.2}", mean(&most)).replace('-', "−"),
            format!("{:+.2}", mean(&least)).replace('-', "−"),
        ]
    };
    Table {
        caption: "How open the gates are over one sequence, from 0 to 1, mean over units and runs; and by how much the unit changes at a mark that \
                  opens most, and the one that shuts most."
            .to_owned(),
        head: ["gate", "at a mark", "elsewhere", "opens most", "shuts most"]
            .map(str::to_owned)
            .to_vec(),
        rows: names.into_iter().enumerate().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_has_its_opposite() {
        assert!(writing(2, 0.6, 0.4, 0.5).contains("they open for"));
        assert!(writing(2, 0.3, 0.4, 0.5).contains("they shut for"));
        assert!(writing(2, 0.41, 0.4, 0.5).contains("do not tell"));
        assert!(writing(2, 0.6, 0.4, 0.5).contains("there are units"));
        assert!(writing(2, 0.6, 0.4, 0.1).contains("no unit's write gate"));
        assert!(keeping(0.7, 0.99).contains("units that hold"));
        assert!(keeping(0.7, 0.9).contains("no unit holds"));
    }
}
