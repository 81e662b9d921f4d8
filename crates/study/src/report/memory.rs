//! The section on the tasks of long memory.

use super::found::Found;
use super::numbers::{list, median, more_runs, percent, seeds, short, whole};
use super::{Picture, Section, Table};
use crate::Outcome;
use crate::memory::Learned;
use crate::study::memory_systems;
use crate::systems::{Recurrent, System};
use crate::tasks::{ALPHABET, ITEMS, MemoryTask};
use retrograd_plot::{Figure, ShareTile, TileGroup, TilePlot};

impl Found<'_> {
    /// The runs of a system on a task at a lag.
    pub(crate) fn learned(
        &self,
        system: System,
        task: MemoryTask,
        lag: usize,
    ) -> impl Iterator<Item = &Learned> {
        let seeds = self.study.seeds(self.study.memory_seeds);
        seeds.filter_map(move |seed| {
            match self.store.get(&self.study.memory(system, task, lag, seed)) {
                Some(Outcome::Memory(learned)) => Some(learned),
                _ => None,
            }
        })
    }

    /// How many of these runs solved it, of how many.
    pub(crate) fn solved(&self, system: System, task: MemoryTask, lag: usize) -> (usize, usize) {
        let runs = self.learned(system, task, lag);
        runs.fold((0, 0), |(solved, of), run| {
            (solved + usize::from(run.solved.is_some()), of + 1)
        })
    }

    /// The same over all tasks and lags.
    fn solved_in_all(&self, system: System) -> (usize, usize) {
        let mut all = (0, 0);
        for task in MemoryTask::ALL {
            for &lag in &self.study.lags {
                let (solved, of) = self.solved(system, task, lag);
                all = (all.0 + solved, all.1 + of);
            }
        }
        all
    }

    /// The median training step of those runs that solved it.
    fn steps(&self, system: System, task: MemoryTask, lag: usize) -> Option<u64> {
        let solved = self.learned(system, task, lag).filter_map(|r| r.solved);
        let steps: Vec<f64> = solved.map(|s| s as f64).collect();
        (!steps.is_empty()).then(|| median(&steps) as u64)
    }

    /// The longest lag that all runs solved, all shorter ones too.
    fn reach(&self, system: System, task: MemoryTask) -> Option<usize> {
        let whole = |lag: &&usize| {
            let (solved, of) = self.solved(system, task, **lag);
            solved == of
        };
        self.study.lags.iter().take_while(whole).last().copied()
    }
}

pub(crate) fn section(found: &Found<'_>) -> Section {
    let training = found.study.training;
    let criteria = MemoryTask::ALL.map(|t| format!("{}: {}", t.name(), t.criterion()));
    Section {
        title: "Who learns what lies far back?".to_owned(),
        method: vec![
            format!(
                "Three tasks: the adding problem (two marked numbers of a long sequence, one in either half, are to be added at its end), a copy task \
                 ({ITEMS} symbols of an alphabet of {ALPHABET} are to be repeated after a pause) and temporal order (X or Y in the \
                 second tenth of the sequence and again in the sixth, other symbols elsewhere; at the end, which of XX, XY, YX, \
                 YY it was). The lag is the length of the sequence, in the copy task that of the pause: in the other two what is \
                 to be remembered is nearer than the lag, the first number by up to half of it, the first symbol by a tenth to a \
                 fifth. A run counts as solved when {} sequences that it was not trained on meet the criterion ({}), tested every \
                 {} steps; otherwise the table reads \"not within {}\".",
                training.tested,
                criteria.join("; "),
                training.every,
                whole(training.limit),
            ),
            format!(
                "All systems train alike: Adam with step size {}, {} new sequences a step, gradients clipped to norm {}, {}; \
                 no setting was chosen for any one system, and one step size need not suit all of them. Recurrent weights start uniform but \
                 for S5's identity, and S1 is trained from orthogonal ones too; S3 and the others are not. {}",
                training.learning_rate,
                training.rows,
                training.clip,
                seeds(found.study.memory_seeds),
                sizes(found),
            ),
        ],
        findings: findings(found),
        drawings: vec![Picture {
            name: "memory",
            caption:
                "Success rate over seeds and median training steps to success, by task and lag."
                    .to_owned(),
            figure: Figure::Tiles(tiles(found)),
        }],
        tables: MemoryTask::ALL
            .into_iter()
            .map(|t| table(found, t))
            .collect(),
    }
}

/// How equal the parameter counts are.
fn sizes(found: &Found<'_>) -> String {
    let budget = found.study.parameters as f64;
    let counts = memory_systems().into_iter().flat_map(|s| {
        let runs = MemoryTask::ALL.map(|t| found.learned(s, t, found.study.lags[0]).next());
        runs.into_iter().flatten().map(|r| r.parameters as f64)
    });
    let off = counts
        .map(|c| (c - budget).abs() / budget)
        .fold(0.0, f64::max);
    format!(
        "Parameter counts are within {} of {}.",
        percent(off),
        whole(found.study.parameters as u64)
    )
}

fn findings(found: &Found<'_>) -> Vec<String> {
    vec![
        longest_lags(found),
        question(
            found,
            "Question 1",
            "a single network for the memory",
            ["one_memory", "one_memory_deep"],
        ),
        question(
            found,
            "Question 2",
            "a single network for the hidden state",
            ["one_hidden", "one_hidden_deep"],
        ),
        plain_against_lstm(found),
        ranking(found),
    ]
}

/// For each task the longest lag that a system solved with every seed.
fn longest_lags(found: &Found<'_>) -> String {
    let of = |task: MemoryTask| {
        let all: Vec<(String, usize)> = memory_systems()
            .into_iter()
            .filter_map(|s| Some((s.label(), found.reach(s, task)?)))
            .collect();
        let name = task.name();
        let Some(longest) = all.iter().map(|r| r.1).max() else {
            return format!("the {name}: no system solved the shortest lag with every seed");
        };
        let names = all.into_iter().filter(|r| r.1 == longest).map(|r| r.0);
        let names: Vec<String> = names.collect();
        format!("the {name}: lag {longest}, by {}", list(&names))
    };
    format!(
        "The longest lag up to which every seed succeeded: {}.",
        MemoryTask::ALL.map(of).join("; ")
    )
}

/// The question's gated form against the two forms of `what`, the cells `one`.
fn question(found: &Found<'_>, question: &str, what: &str, one: [&str; 2]) -> String {
    let [gated, plain, deep] = ["keepwrite", one[0], one[1]].map(System::named);
    let told = |system: System| {
        let (solved, of) = found.solved_in_all(system);
        format!("{} {solved} of {of}", system.label())
    };
    let (solved, of) = found.solved_in_all(gated);
    let others = [plain, deep].map(|s| found.solved_in_all(s).0);
    format!(
        "{question}, all tasks and lags together: {}, {}, {}; {}.",
        told(gated),
        told(plain),
        told(deep),
        one_or_gates(what, solved, others, of)
    )
}

fn plain_against_lstm(found: &Found<'_>) -> String {
    let (rnn, lstm) = (System::named("rnn"), System::named("lstm"));
    let (plain, runs) = found.solved_in_all(rnn);
    let orthogonal = found.solved_in_all(rnn.with(Recurrent::Orthogonal)).0;
    let lstm = found.solved_in_all(lstm).0;
    format!(
        "S1 solves {plain} of {runs} runs, with orthogonal recurrent weights {orthogonal}; S7 solves {lstm}. {}",
        plain_or_gates(plain, orthogonal, lstm, runs),
    )
}

/// All systems by the runs that they solved, and how many runs diverged.
fn ranking(found: &Found<'_>) -> String {
    let with_count = |s: System| (s.label(), found.solved_in_all(s));
    let mut all: Vec<_> = memory_systems().into_iter().map(with_count).collect();
    all.sort_by_key(|(_, (solved, _))| std::cmp::Reverse(*solved));
    let told = |(name, (solved, of)): &(String, (usize, usize))| format!("{name} {solved}/{of}");
    let told: Vec<String> = all.iter().map(told).collect();
    let mut diverged = 0;
    for system in memory_systems() {
        for task in MemoryTask::ALL {
            for &lag in &found.study.lags {
                let runs = found.learned(system, task, lag);
                diverged += runs.filter(|r| r.diverged.is_some()).count();
            }
        }
    }
    format!(
        "Runs solved, most first: {}. {}",
        list(&told),
        match diverged {
            0 => "No run diverged.".to_owned(),
            n => format!("{n} runs diverged, to numbers that are not finite, and count as failed."),
        }
    )
}

/// What the runs solved say of the question's gated form against the two forms of one network.
fn one_or_gates(what: &str, gated: usize, one: [usize; 2], of: usize) -> String {
    let best = one[0].max(one[1]);
    if more_runs(gated, best, of) {
        format!("the gated form solves more runs than {what} in either form")
    } else if more_runs(best, gated, of) {
        format!(
            "{what} solves more runs than the gated form, in the better of its two forms, which is a best of two against one"
        )
    } else {
        format!(
            "{what} solves about as many as the gated form, in the better of its two forms, which is a best of two against one"
        )
    }
}

/// What they say of S1, with uniform and with orthogonal weights, against S7.
fn plain_or_gates(plain: usize, orthogonal: usize, lstm: usize, of: usize) -> String {
    let form = if more_runs(lstm, plain, of) {
        "The standard LSTM learns more than the plain network with as many parameters"
    } else if more_runs(plain, lstm, of) {
        "Against the folklore, the plain network learns more than the standard LSTM with as many parameters"
    } else {
        "The standard LSTM and the plain network with as many parameters learn about as much"
    };
    let start = if more_runs(orthogonal, plain, of) {
        "orthogonal weights help the plain one"
    } else if more_runs(plain, orthogonal, of) {
        "orthogonal weights harm the plain one"
    } else {
        "orthogonal weights make no clear difference to the plain one"
    };
    let against = if more_runs(orthogonal, lstm, of) {
        "with them it learns more than the LSTM, against the folklore"
    } else if more_runs(lstm, orthogonal, of) {
        "with them it learns less than the LSTM"
    } else {
        "with them it learns about as much as the LSTM"
    };
    format!("{form}; {start}, and {against}.")
}

fn tiles(found: &Found<'_>) -> TilePlot {
    let group = |task: MemoryTask| TileGroup {
        title: task.name().to_owned(),
        columns: found
            .study
            .lags
            .iter()
            .map(|l| format!("lag {l}"))
            .collect(),
        tiles: memory_systems()
            .into_iter()
            .map(|s| {
                found
                    .study
                    .lags
                    .iter()
                    .map(|&lag| tile(found, s, task, lag))
                    .collect()
            })
            .collect(),
    };
    TilePlot {
        title: "Long memory: runs that solved the task, and after how many training steps"
            .to_owned(),
        note: format!(
            "Above: runs that solved it, of all runs. Below: training steps to success, median; – is not within {}.",
            whole(found.study.training.limit)
        ),
        row_name: String::new(),
        rows: memory_systems().iter().map(System::label).collect(),
        groups: MemoryTask::ALL.map(group).to_vec(),
    }
}

fn tile(found: &Found<'_>, system: System, task: MemoryTask, lag: usize) -> ShareTile {
    let (solved, of) = found.solved(system, task, lag);
    ShareTile {
        share: solved as f64 / of.max(1) as f64,
        above: format!("{solved}/{of}"),
        below: found.steps(system, task, lag).map_or("–".to_owned(), whole),
    }
}

fn table(found: &Found<'_>, task: MemoryTask) -> Table {
    let limit = whole(found.study.training.limit);
    let cell = |system: System, lag: usize| {
        let (solved, of) = found.solved(system, task, lag);
        match found.steps(system, task, lag) {
            Some(steps) => format!("{solved}/{of} in {}", whole(steps)),
            None => {
                let scores: Vec<f64> = found.learned(system, task, lag).map(|r| r.score).collect();
                format!("0/{of}, not within {limit} ({})", short(median(&scores)))
            }
        }
    };
    let rows = memory_systems().into_iter().map(|system| {
        let size = found.learned(system, task, found.study.lags[0]).next();
        let mut row = vec![
            system.label(),
            size.map_or(String::new(), |l| l.hidden.to_string()),
            size.map_or(String::new(), |l| whole(l.parameters as u64)),
        ];
        row.extend(found.study.lags.iter().map(|&lag| cell(system, lag)));
        row
    });
    let mut head = ["system", "hidden units", "parameters"]
        .map(str::to_owned)
        .to_vec();
    head.extend(found.study.lags.iter().map(|l| format!("lag {l}")));
    Table {
        caption: format!(
            "The {}: runs that solved it, and the median training steps that these took. Solved is: {}; in brackets the median \
             score of the last test where no run did.",
            task.name(),
            task.criterion()
        ),
        head,
        rows: rows.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_of_twelve_decides_nothing() {
        let said = |gated, one| one_or_gates("one network", gated, one, 12);
        assert!(said(8, [5, 6]).starts_with("the gated form solves more"));
        assert!(said(8, [7, 6]).contains("about as many"));
        assert!(said(8, [9, 6]).contains("about as many"));
        assert!(said(8, [5, 10]).contains("solves more runs than the gated form"));
        for (runs, sentences) in [
            (
                (5, 8, 10),
                ["learns more than the plain", "help", "less than"],
            ),
            (
                (9, 5, 7),
                ["plain network learns more", "harm", "less than"],
            ),
            ((8, 9, 8), ["about as much", "no clear", "about as much as"]),
            (
                (5, 11, 9),
                ["learns more than the plain", "help", "against the folklore"],
            ),
        ] {
            let said = plain_or_gates(runs.0, runs.1, runs.2, 12);
            assert!(sentences.iter().all(|s| said.contains(s)), "{said}");
        }
    }
}
