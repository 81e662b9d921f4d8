//! The sentences: each is composed from numbers alone, and has an opposite.

use std::cmp::Ordering;

use super::super::found::Found;
use super::super::numbers::{factor, list, relate, share, short};
use super::quantiles::{FlowQuantiles, carrier};
use crate::study::{BIASES, memory_systems};
use crate::systems::{Recurrent, System};
use crate::tasks::MemoryTask;

pub(crate) fn findings(found: &Found<'_>, far: usize) -> Vec<String> {
    let at = |system: System| carrier(&found.start(system)).1.at(far);
    let both = |cell: &str| {
        let system = System::named(cell);
        [system, system.with(Recurrent::Orthogonal)].map(at)
    };
    let (rnn, lstm) = (System::named("rnn"), System::named("lstm"));
    let (flows, gated) = (found.start(rnn), found.start(lstm));
    let mut all: Vec<(String, f64)> = System::all()
        .map(|s| (s.label(), carrier(&found.start(s)).1.kept(far)))
        .filter(|(_, kept)| kept.is_finite())
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    let told = |(name, kept): &(String, f64)| format!("{name} {}", share(*kept));
    let told: Vec<String> = all.iter().map(told).collect();
    let kept = BIASES.map(|bias| carrier(&found.start(lstm.keeping(bias))).1.kept(far));
    let mut out = gated_against_plain(far, carrier(&gated).1, carrier(&flows).1);
    let a_step = ["rnn", "one_memory"].map(|c| carrier(&found.start(System::named(c))).1.kept(far));
    out.push(question_one(
        far,
        a_step,
        both("rnn"),
        both("keepwrite"),
        both("one_memory"),
        both("one_memory_deep"),
    ));
    out.push(question_two(
        far,
        both("keepwrite"),
        both("one_hidden"),
        both("one_hidden_deep"),
    ));
    out.push(format!(
        "What a step keeps of the error at the start, greatest first: {}.",
        list(&told)
    ));
    out.push(start_against_gates(
        far,
        both("rnn"),
        at(lstm),
        at(lstm.keeping(3.0)),
    ));
    out.push(pace(&kept));
    let learners = learners(found);
    out.push(training(
        found.study.looked_at,
        found.trained_far(),
        &learners,
    ));
    out.push(prediction(
        found.study.looked_at,
        found.trained_far(),
        &learners,
    ));
    out
}

fn gated_against_plain(far: usize, lstm: &FlowQuantiles, rnn: &FlowQuantiles) -> Vec<String> {
    let (s7, s1) = (lstm.at(far), rnn.at(far));
    let first = match relate(s7, s1) {
        Ordering::Greater => format!(
            "Before training and with uniform weights, the gated memory of S7 passes {} times as much error over {far} steps \
             as the state of S1: {} against {}.",
            factor(s7 / s1),
            short(s7),
            short(s1),
        ),
        _ => format!(
            "Before training and with uniform weights, S7 passes no more than {} times the error of S1 over {far} steps: {} \
             against {}. The gated memory does not have the advantage that it is known for.",
            short(s7 / s1),
            short(s7),
            short(s1),
        ),
    };
    let from = 10.min(far / 2);
    let fall = lstm.at(from) / s7;
    let open = 1.0 / (1.0 + (-1.0_f64).exp());
    let second = format!(
        "{} A step keeps {} of it in S7, where the keep gate's bias of 1 alone would let σ(1) = {} through; in S1 it keeps {}.",
        if fall > 2.0 {
            format!(
                "Folklore has it that a gated memory makes the flow constant. It does not: from k = {from} to {far} it falls by a factor of {}.",
                factor(fall)
            )
        } else if fall < 0.5 {
            format!(
                "Folklore has it that a gated memory makes the flow constant. It does not: from k = {from} to {far} it grows by a factor of {}.",
                factor(1.0 / fall)
            )
        } else {
            "The flow through S7's gate is constant to a factor of two.".to_owned()
        },
        share(lstm.kept(far)),
        share(open),
        share(rnn.kept(far)),
    );
    vec![first, second]
}

/// How the flows of two compare, in words.
fn compared(names: [&str; 2], flows: [f64; 2]) -> String {
    let ([a, b], [x, y]) = (names, flows);
    match relate(x, y) {
        Ordering::Greater => format!("{a} passes {} times as much as {b}", factor(x / y)),
        Ordering::Less => format!("{b} passes {} times as much as {a}", factor(y / x)),
        Ordering::Equal => format!("{a} and {b} pass as much to a factor of ten"),
    }
}

/// Flows with uniform and with orthogonal weights.
type Both = [f64; 2];

/// `kept` is what a step of S1 and one of S3 keeps with uniform weights.
fn question_one(
    far: usize,
    kept: [f64; 2],
    rnn: Both,
    gated: Both,
    one: Both,
    deep: Both,
) -> String {
    let orders = [0, 1].map(|k| relate(gated[k], one[k]));
    format!(
        "Question 1: over {far} steps with uniform weights, S3, where one network makes the new memory, passes {} ({} in its \
         deeper form), S2 {} and S1 {}: S3 loses the error {} S1, and {}. With orthogonal weights S3 passes {} ({}), S2 {}: {}. {} \
         The network that makes S3's memory reads h and c, so that its fan-in is about twice its width, where S1's is about its \
         width. Weights uniform in ±1/√fan-in then give its recurrent block a spectral radius of about √(1/6) = 0.41, S1's √(1/3) = \
         0.58{}.",
        short(one[0]),
        short(deep[0]),
        short(gated[0]),
        short(rnn[0]),
        match one[0].max(deep[0]) <= rnn[0] {
            true => "at least as fast as",
            false => "not as fast, in one form at least, as",
        },
        compared(["S2", "S3"], [gated[0], one[0]]),
        short(one[1]),
        short(deep[1]),
        short(gated[1]),
        compared(["S2", "S3"], [gated[1], one[1]]),
        match orders {
            [Ordering::Greater, Ordering::Greater] =>
                "Under both starts the gated memory passes more.",
            [Ordering::Less, Ordering::Less] =>
                "Against expectation, one network passes more under both starts.",
            [Ordering::Equal, Ordering::Equal] => "Under neither start do they differ by much.",
            _ =>
                "The two starts disagree: at a keep bias of 1 it is not the gates alone that decide which of the two passes more.",
        },
        // The ratio of both radii is 0.71.
        match kept[1] / kept[0] {
            0.6..0.85 =>
                ", which is about what a step of each keeps: with uniform weights the start sets S3 behind S1",
            _ => ", which does not explain what a step of each keeps",
        }
    )
}

fn question_two(far: usize, gated: Both, one: Both, deep: Both) -> String {
    let orders = [0, 1].map(|k| relate(one[k], gated[k]));
    format!(
        "Question 2: S4, whose memory is gated as S2's is but read by a network, passes {} over {far} steps with uniform weights \
         ({} in its deeper form), S2 {}: {}. With orthogonal weights it passes {} ({}), S2 {}: {}. {}",
        short(one[0]),
        short(deep[0]),
        short(gated[0]),
        compared(["S4", "S2"], [one[0], gated[0]]),
        short(one[1]),
        short(deep[1]),
        short(gated[1]),
        compared(["S4", "S2"], [one[1], gated[1]]),
        match orders {
            [Ordering::Less, Ordering::Less] =>
                "Under both starts, to read the memory by a network costs error flow.",
            [Ordering::Less, _] | [_, Ordering::Less] =>
                "Under one start, to read the memory by a network costs error flow, under the other it does not.",
            _ => "Under neither start does it cost error flow to read the memory by a network.",
        }
    )
}

fn start_against_gates(far: usize, rnn: Both, lstm: f64, open: f64) -> String {
    let [uniform, orthogonal] = rnn;
    format!(
        "With orthogonal recurrent weights S1 passes {} over {far} steps, {} times what it passes with uniform ones. {} With S7's \
         weights uniform, {}; and {}.",
        short(orthogonal),
        factor(orthogonal / uniform),
        if relate(orthogonal, uniform) != Ordering::Greater {
            "How the recurrent weights start does little for S1."
        } else if orthogonal >= lstm {
            "How the recurrent weights start does more for the flow than S7's gates with a bias of 1."
        } else {
            "How the recurrent weights start does much for the flow, but less than S7's gates with a bias of 1."
        },
        compared(["S7 with bias 1", "orthogonal S1"], [lstm, orthogonal]),
        compared(["S7 with bias 3", "orthogonal S1"], [open, orthogonal]),
    )
}

/// What a step keeps at each of [`BIASES`].
fn pace(kept: &[f64; 4]) -> String {
    let told = kept.iter().zip(BIASES).map(|(kept, bias)| {
        let open = 1.0 / (1.0 + (-bias).exp());
        format!("{} with bias {bias} (σ = {})", share(*kept), share(open))
    });
    let told: Vec<String> = told.collect();
    format!(
        "With uniform weights a step of S7 keeps {} of the error: {}.",
        list(&told),
        match kept.windows(2).all(|k| k[1] > k[0]) {
            true => "the more its keep gate is open at the start, the more",
            false => "not throughout the more, the more its keep gate is open at the start",
        }
    )
}

/// A system that was trained: its flow into the carrying state before and after, and how many runs solved the task.
struct Learner {
    name: String,
    before: f64,
    after: f64,
    solved: usize,
    of: usize,
}

fn learners(found: &Found<'_>) -> Vec<Learner> {
    let (lag, far) = (found.study.looked_at, found.trained_far());
    let of = |system: System| {
        let (before, after) = (found.before(system), found.after(system));
        let (solved, of) = found.solved(system, MemoryTask::Adding, lag);
        Learner {
            name: system.label(),
            before: carrier(&before).1.at(far),
            after: carrier(&after).1.at(far),
            solved,
            of,
        }
    };
    memory_systems().into_iter().map(of).collect()
}

fn training(lag: usize, far: usize, learners: &[Learner]) -> String {
    let (solvers, others): (Vec<&Learner>, Vec<&Learner>) =
        learners.iter().partition(|l| 2 * l.solved > l.of);
    let tell = |all: &[&Learner], who: &str| match all {
        [] => format!("There is no system that {who} at lag {lag} in most of its runs."),
        _ => {
            let risen = all.iter().filter(|l| l.after > l.before).count();
            let told =
                |l: &&Learner| format!("{} from {} to {}", l.name, short(l.before), short(l.after));
            let told: Vec<String> = all.iter().map(told).collect();
            format!(
                "Of those that {who} at lag {lag} in most of their runs, training raised the flow at k = {far} in {risen} of {}: {}.",
                all.len(),
                list(&told)
            )
        }
    };
    let (learned, failed) = ("learned to add", "did not learn to add");
    format!("{} {}", tell(&solvers, learned), tell(&others, failed))
}

fn prediction(lag: usize, far: usize, learners: &[Learner]) -> String {
    let (solvers, others): (Vec<&Learner>, Vec<&Learner>) =
        learners.iter().partition(|l| 2 * l.solved > l.of);
    let greatest = learners.iter().max_by(|a, b| a.before.total_cmp(&b.before));
    let Some(greatest) = greatest else {
        return String::new();
    };
    let first = format!(
        "At the start {} has the greatest flow at k = {far}; {} of its {} runs learned to add at lag {lag}.",
        greatest.name, greatest.solved, greatest.of
    );
    let pairs = solvers.len() * others.len();
    if pairs == 0 {
        return format!(
            "{first} {} learned it in most runs, so that flow at the start cannot tell who learns.",
            if solvers.is_empty() {
                "No system"
            } else {
                "Every system"
            }
        );
    }
    let pair = |s: &&Learner| others.iter().filter(|o| s.before > o.before).count();
    let right: usize = solvers.iter().map(pair).sum();
    let verdict = match right as f64 / pairs as f64 {
        0.8.. => "flow at the start tells well who learns",
        0.6..0.8 => "flow at the start tells little of who learns",
        _ => "flow at the start does not predict who learns",
    };
    format!(
        "{first} Of the {pairs} pairs of a system that learned it in most runs and one that did not, the one that learned had the \
         greater flow at the start in {right}: {verdict}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flow that keeps so much a step.
    fn keeping(kept: f64) -> FlowQuantiles {
        let median: Vec<f64> = (0..=100).map(|k| f64::powi(kept, k)).collect();
        let band = median.iter().map(|m| (*m, *m)).collect();
        FlowQuantiles { median, band }
    }

    fn learner(name: &str, before: f64, solved: usize) -> Learner {
        let name = name.to_owned();
        Learner {
            name,
            before,
            after: 1.0,
            solved,
            of: 3,
        }
    }

    #[test]
    fn what_a_step_keeps_is_told_and_a_flow_may_fall_rise_or_stay() {
        assert!((keeping(0.9).kept(100) - 0.9).abs() < 1e-9);
        let said = |lstm, rnn| gated_against_plain(100, &keeping(lstm), &keeping(rnn)).join(" ");
        assert!(said(0.9, 0.6).contains("it falls by a factor"));
        assert!(said(1.1, 0.6).contains("it grows by a factor"));
        assert!(said(1.0, 0.6).contains("constant to a factor of two"));
        assert!(said(0.6, 0.9).contains("does not have the advantage"));
    }

    #[test]
    fn questions_are_answered_under_both_starts() {
        let one = |gated, one| question_one(100, [0.6, 0.4], [1e-6; 2], gated, one, [1e-7; 2]);
        assert!(one([1e-3; 2], [1e-8; 2]).contains("Under both starts the gated"));
        assert!(one([1e-9; 2], [1e-6; 2]).contains("Against expectation"));
        assert!(one([1e-7; 2], [1e-7; 2]).contains("Under neither start"));
        assert!(one([1e-3, 1e-9], [1e-8, 1e-3]).contains("disagree"));
        assert!(one([1e-3; 2], [1e-8; 2]).contains("at least as fast as"));
        assert!(one([1e-3; 2], [1e-2; 2]).contains("not as fast"));
        assert!(one([1e-3; 2], [1e-8; 2]).contains("the start sets S3 behind"));
        let same = question_one(100, [0.6; 2], [1e-6; 2], [1e-3; 2], [1e-8; 2], [1e-7; 2]);
        assert!(same.contains("does not explain"), "{same}");
        let two = |gated, one| question_two(100, gated, one, [1e-7; 2]);
        assert!(two([1e-3; 2], [1e-8; 2]).contains("Under both starts"));
        assert!(two([1e-3, 1e-9], [1e-8; 2]).contains("Under one start"));
        assert!(two([1e-9; 2], [1e-8; 2]).contains("Under neither start"));
    }

    #[test]
    fn starts_and_biases_may_matter_or_not() {
        let said = |rnn, lstm| start_against_gates(100, rnn, lstm, 1.0);
        assert!(said([1e-9, 1e-2], 1e-5).contains("does more for the flow"));
        assert!(said([1e-9, 1e-5], 1e-2).contains("but less than"));
        assert!(said([1e-9, 1e-9], 1e-2).contains("does little"));
        assert!(pace(&[0.5, 0.7, 0.9, 1.0]).contains("the start, the more."));
        assert!(pace(&[0.5, 0.7, 0.6, 1.0]).contains("not throughout"));
    }

    #[test]
    fn flow_at_the_start_may_predict_or_not() {
        let said = |all: &[Learner]| prediction(40, 39, all);
        let told = said(&[learner("a", 1.0, 3), learner("b", 0.1, 0)]);
        assert!(told.contains("tells well"), "{told}");
        let told = said(&[learner("a", 1.0, 0), learner("b", 0.1, 3)]);
        assert!(
            told.contains("does not predict") && told.contains("0 of its 3"),
            "{told}"
        );
        assert!(said(&[learner("a", 1.0, 0)]).contains("No system"));
        assert!(said(&[learner("a", 1.0, 3)]).contains("Every system"));
        let told = training(40, 39, &[learner("a", 0.1, 3)]);
        assert!(
            told.contains("in 1 of 1") && told.contains("There is no system that did not"),
            "{told}"
        );
    }
}
