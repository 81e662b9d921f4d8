//! Error flow over seeds, of the jobs of a study.

use std::collections::BTreeMap;

use super::super::found::Found;
use super::super::numbers::log_quantile;
use crate::flow::Curves;
use crate::systems::System;
use crate::tasks::MemoryTask;
use crate::{Job, Outcome};

/// A state's error flow over seeds, at each k.
#[derive(Clone, Debug, Default)]
pub(super) struct FlowQuantiles {
    pub(super) median: Vec<f64>,
    /// The quartiles.
    pub(super) band: Vec<(f64, f64)>,
}

pub(super) type FlowsByState = BTreeMap<String, FlowQuantiles>;

impl Found<'_> {
    /// Of these jobs, k from 0 to `steps`; `relative` to what reaches the last hidden state of the same run.
    fn flows(&self, jobs: impl Iterator<Item = Job>, steps: usize, relative: bool) -> FlowsByState {
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
            let unit = match relative {
                true => curves["h'"].first().copied().unwrap_or(f64::NAN),
                false => 1.0,
            };
            for (state, curve) in curves {
                let curve = curve.iter().map(|f| f / unit).collect();
                states.entry(state.clone()).or_default().push(curve);
            }
        }
        let over = |curves: Vec<Vec<f64>>| {
            let mut flow = FlowQuantiles::default();
            for k in 0..=steps {
                let at = |c: &Vec<f64>| c.get(k).copied().unwrap_or(f64::INFINITY);
                let values: Vec<f64> = curves.iter().map(at).collect();
                let at = |share| log_quantile(&values, share);
                flow.median.push(at(0.5));
                flow.band.push((at(0.25), at(0.75)));
            }
            flow
        };
        let all = states.into_iter();
        all.map(|(state, curves)| (state, over(curves))).collect()
    }

    /// Before training.
    pub(super) fn start(&self, system: System) -> FlowsByState {
        let seeds = self.study.seeds(self.study.flow_seeds);
        let jobs = seeds.map(|seed| self.study.flow(system, seed));
        self.flows(jobs, self.study.flow.steps, false)
    }

    /// The seeds that both [`Found::before`] and [`Found::after`] are of.
    pub(super) fn trained_seeds(&self) -> u64 {
        self.study.memory_seeds.min(self.study.flow_seeds)
    }

    /// Before training on the adding problem, of the seeds that are trained, relative to the last hidden state's.
    pub(super) fn before(&self, system: System) -> FlowsByState {
        let seeds = self.study.seeds(self.trained_seeds());
        let jobs = seeds.map(|seed| self.study.flow(system, seed));
        self.flows(jobs, self.study.flow.steps, true)
    }

    /// After training on the adding problem, relative to the last hidden state's.
    pub(super) fn after(&self, system: System) -> FlowsByState {
        let seeds = self.study.seeds(self.trained_seeds());
        let lag = self.study.looked_at;
        let jobs = seeds.map(|seed| self.study.memory(system, MemoryTask::Adding, lag, seed));
        self.flows(jobs, lag - 1, true)
    }

    /// The farthest k that trained flow is told at: that of the first step of a sequence as long as the trained ones.
    pub(super) fn trained_far(&self) -> usize {
        (self.study.looked_at - 1).min(self.study.flow.steps)
    }
}

/// The state that carries a system's memory: c where there is one.
pub(super) fn carrier(flows: &FlowsByState) -> (&str, &FlowQuantiles) {
    let of = |state: &str| flows.get_key_value(state);
    let (state, flow) = of("c'").or_else(|| of("h'")).expect("every cell has a h");
    (bare(state), flow)
}

/// A state's name without its prime.
pub(super) fn bare(state: &str) -> &str {
    state.trim_end_matches('\'')
}

impl FlowQuantiles {
    pub(super) fn at(&self, k: usize) -> f64 {
        self.median[k.min(self.median.len() - 1)]
    }

    /// What a step keeps of the error, on the average from k = 10 (half of k where that is less) to k.
    pub(super) fn kept(&self, k: usize) -> f64 {
        let from = 10.min(k / 2);
        (self.at(k) / self.at(from)).powf(1.0 / (k - from) as f64)
    }
}
