//! [`GroupSplit`]: sequences for training and for validation, all of a group on one side.

use std::collections::{BTreeMap, HashMap};

use super::ClassifyError;
use super::setup::{check, table_of, texts};
use crate::data::{Panel, printable};
use crate::random::{ChaCha8Rng, RngExt, stream};

/// Keeps a share of the sequences for validation, all of a group on one side: a model that has heard a speaker is not tested on other
/// recordings of that speaker. Without groups, each sequence is one of its own. Of each label as nearly that share is kept as the groups
/// allow, and no label is kept whole unless they leave no choice.
///
/// ```
/// use retrograd::classify::GroupSplit;
/// use retrograd::data::{Panel, Series};
///
/// let clip = |k: usize| Ok((format!("{k}"), Series::new(vec!["level".to_owned()], vec![k as f64])?));
/// let clips: Result<Vec<_>, retrograd::data::DataError> = (0..40).map(clip).collect();
/// let texts = |of: fn(usize) -> usize| (0..40).map(|k| of(k).to_string()).collect::<Vec<_>>();
/// let clips = Panel::new("clip", clips?)?
///     .with_constant("word", texts(|k| k % 2))?
///     .with_constant("speaker", texts(|k| k / 4))?;
/// let parts = GroupSplit::new(0.2).by("speaker").seed(1).split(&clips, "word")?;
/// assert_eq!((parts.training.len(), parts.validation.len()), (32, 8)); // eight speakers and two
/// assert!(parts.training.iter().all(|t| parts.validation.iter().all(|v| t / 4 != v / 4)));
/// # Ok::<(), retrograd::classify::ClassifyError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct GroupSplit {
    share: f64,
    group: Option<String>,
    seed: u64,
}

/// The numbers of sequences, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Parts {
    /// Those to train on; at least one.
    pub training: Vec<usize>,
    /// Those that are kept; at least one.
    pub validation: Vec<usize>,
}

/// Groups that are compared before one is taken.
const CANDIDATES: usize = 1024;

/// Sequences that stay together.
struct Group {
    members: Vec<usize>,
    /// How many of each label, but for labels that it has not.
    counts: Vec<(usize, usize)>,
}

impl GroupSplit {
    /// Keeps a share of more than 0 and less than 1.
    pub fn new(share: f64) -> GroupSplit {
        GroupSplit {
            share,
            group: None,
            seed: 0,
        }
    }

    /// The column of groups, a [text of each sequence](Panel::constant).
    pub fn by(self, column: impl Into<String>) -> GroupSplit {
        GroupSplit {
            group: Some(column.into()),
            ..self
        }
    }

    /// The seed of what is left to chance.
    pub fn seed(self, seed: u64) -> GroupSplit {
        GroupSplit { seed, ..self }
    }

    /// Splits all sequences of a panel, whose labels are in the column `label`.
    ///
    /// # Errors
    /// [`ClassifyError::Request`] for a share that is none, a sequence without a group, or fewer than two groups;
    /// [`ClassifyError::Data`] if a column is not there.
    pub fn split(&self, panel: &Panel, label: &str) -> Result<Parts, ClassifyError> {
        let all: Vec<usize> = (0..panel.series().len()).collect();
        self.split_part(panel, label, &all)
    }

    /// Splits some sequences of a panel, such as those that a split before has left.
    ///
    /// # Errors
    /// As [`split`](Self::split).
    pub fn split_part(
        &self,
        panel: &Panel,
        label: &str,
        among: &[usize],
    ) -> Result<Parts, ClassifyError> {
        check(panel, among)?;
        if !(self.share > 0.0 && self.share < 1.0) {
            return Err(ClassifyError::Request(format!(
                "the share of sequences for validation is {}; expected more than 0 and less than 1",
                self.share
            )));
        }
        let labels = texts(panel, label)?;
        let table = table_of(among.iter().map(|&k| &labels[k]));
        let places = table.iter().enumerate();
        let places: HashMap<&str, usize> = places.map(|(k, label)| (&**label, k)).collect();
        let groups = self.groups(panel, among, |k| places.get(&*labels[k]).copied())?;
        let chosen = Chooser::new(&groups, table.len(), self.share).run(&mut stream(
            self.seed,
            "sequences",
            "split",
        ));
        let (mut training, mut validation) = (Vec::new(), Vec::new());
        for (group, chosen) in groups.iter().zip(chosen) {
            match chosen {
                true => validation.extend(&group.members),
                false => training.extend(&group.members),
            }
        }
        training.sort_unstable();
        validation.sort_unstable();
        Ok(Parts {
            training,
            validation,
        })
    }

    fn groups(
        &self,
        panel: &Panel,
        among: &[usize],
        label: impl Fn(usize) -> Option<usize>,
    ) -> Result<Vec<Group>, ClassifyError> {
        let request = |what: String| Err(ClassifyError::Request(what));
        let members: Vec<Vec<usize>> = match &self.group {
            None => among.iter().map(|&k| vec![k]).collect(),
            Some(name) => {
                let texts = texts(panel, name)?;
                let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
                for &k in among {
                    if texts[k].is_empty() {
                        return request(format!(
                            "the sequence {} has no group: column \"{}\" is empty",
                            panel.place(k),
                            printable(name, 40)
                        ));
                    }
                    groups.entry(&texts[k]).or_default().push(k);
                }
                groups.into_values().collect()
            }
        };
        if members.len() < 2 {
            return request(match &self.group {
                Some(name) if !among.is_empty() => format!(
                    "all sequences are of one group in column \"{}\"; a part to train on and one to validate on need a group each",
                    printable(name, 40)
                ),
                _ => format!(
                    "there {}; a part to train on and one to validate on need one each",
                    match among.len() {
                        1 => "is 1 sequence".to_owned(),
                        n => format!("are {n} sequences"),
                    }
                ),
            });
        }
        let group = |members: Vec<usize>| {
            let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
            for label in members.iter().filter_map(|&k| label(k)) {
                *counts.entry(label).or_default() += 1;
            }
            Group {
                members,
                counts: counts.into_iter().collect(),
            }
        };
        Ok(members.into_iter().map(group).collect())
    }
}

/// Takes group after group, of those left the one after which the kept shares of labels are nearest to what was asked for.
struct Chooser<'g> {
    groups: &'g [Group],
    /// Sequences of each label, how many of them should be kept, and how many are.
    all: Vec<usize>,
    wanted: Vec<f64>,
    kept: Vec<usize>,
    /// The same of all sequences.
    wanted_in_all: f64,
    kept_in_all: usize,
}

impl<'g> Chooser<'g> {
    fn new(groups: &'g [Group], labels: usize, share: f64) -> Chooser<'g> {
        let mut all = vec![0; labels];
        for (label, n) in groups.iter().flat_map(|g| &g.counts) {
            all[*label] += n;
        }
        let sequences: usize = groups.iter().map(|g| g.members.len()).sum();
        Chooser {
            groups,
            wanted: all.iter().map(|n| share * *n as f64).collect(),
            all,
            kept: vec![0; labels],
            wanted_in_all: share * sequences as f64,
            kept_in_all: 0,
        }
    }

    /// Whether each group is kept.
    fn run(mut self, rng: &mut ChaCha8Rng) -> Vec<bool> {
        let mut left: Vec<usize> = (0..self.groups.len()).collect();
        for k in (1..left.len()).rev() {
            left.swap(k, rng.random_range(0..=k));
        }
        let mut chosen = vec![false; left.len()];
        // One is left to train on.
        while left.len() > 1 {
            let shown = 0..left.len().min(CANDIDATES);
            let costs = shown.map(|at| (self.cost(left[at]), at));
            let best = costs.min_by(|a, b| a.0.partial_cmp(&b.0).expect("finite"));
            let Some((cost, at)) = best else { break };
            if self.kept_in_all > 0 && (cost.0 || cost.1) {
                break;
            }
            let group = left.swap_remove(at);
            chosen[group] = true;
            self.kept_in_all += self.groups[group].members.len();
            for (label, n) in &self.groups[group].counts {
                self.kept[*label] += n;
            }
        }
        chosen
    }

    /// What speaks against a group, the first first: that it takes all of a label, that there would be rather too many, and by how much
    /// the shares of its labels would be farther from those asked for.
    fn cost(&self, group: usize) -> (bool, bool, f64) {
        let group = &self.groups[group];
        let counts = || group.counts.iter().copied();
        let exhausts = counts().any(|(label, n)| self.kept[label] + n == self.all[label]);
        let distance = |kept: usize| (kept as f64 - self.wanted_in_all).abs();
        let more = self.kept_in_all + group.members.len();
        let farther = counts().map(|(label, n)| {
            let off = |kept: usize| (kept as f64 - self.wanted[label]).powi(2);
            (off(self.kept[label] + n) - off(self.kept[label])) / self.all[label] as f64
        });
        let too_many = distance(more) > distance(self.kept_in_all);
        (exhausts, too_many, farther.sum())
    }
}
