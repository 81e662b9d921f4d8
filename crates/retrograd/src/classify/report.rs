//! [`Report`]: how often labels that were told are right.

use serde::Serialize;

use super::ClassifyError;

/// How often labels are right: accuracy, F1, and who was taken for whom.
///
/// ```
/// use retrograd::classify::Report;
///
/// let labels = ["no", "yes"].map(str::to_owned);
/// let report = Report::of(&labels, &[0, 0, 0, 1], &[0, 0, 1, 1])?;
/// assert_eq!(report.accuracy, 0.75);
/// assert_eq!(report.confusion, [[2, 1], [0, 1]]); // of three `no`, one was taken for `yes`
/// let yes = &report.classes[1];
/// assert_eq!((yes.precision, yes.recall, yes.support), (0.5, 1.0, 1));
/// # Ok::<(), retrograd::classify::ClassifyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The labels.
    pub labels: Vec<String>,
    /// How many sequences with the label of the row were told to have that of the column, `[labels, labels]`.
    pub confusion: Vec<Vec<u64>>,
    /// The share that is right.
    pub accuracy: f64,
    /// The mean of the labels' F1, rare ones counting as much as frequent ones. A label that occurs neither in truth nor among what
    /// was told is left out.
    pub macro_f1: f64,
    /// The scores of each label.
    pub classes: Vec<ClassScore>,
}

/// The scores of a label. A share of nothing is 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClassScore {
    /// The label.
    pub label: String,
    /// Of those that were told to have it, the share that has.
    pub precision: f64,
    /// Of those that have it, the share that was told so.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
    /// How many have it.
    pub support: u64,
    /// How many were told to have it.
    pub told: u64,
}

impl Report {
    /// The report of numbers of labels: what they are, and what was told.
    ///
    /// # Errors
    /// [`ClassifyError::Request`] if there are none, if there is not one told for each, or for a number that is no label's.
    pub fn of(labels: &[String], truth: &[usize], told: &[usize]) -> Result<Report, ClassifyError> {
        let request = |what: String| Err(ClassifyError::Request(what));
        if truth.is_empty() {
            return request("no sequence has a label to compare with".to_owned());
        }
        if truth.len() != told.len() {
            return request(format!(
                "{} labels are compared with {}; expected one for each",
                truth.len(),
                told.len()
            ));
        }
        let n = labels.len();
        if let Some(bad) = truth.iter().chain(told).find(|k| **k >= n) {
            return request(format!("there is no label number {bad}; there are {n}"));
        }
        let mut confusion = vec![vec![0_u64; n]; n];
        for (&truth, &told) in truth.iter().zip(told) {
            confusion[truth][told] += 1;
        }
        let share = |part: u64, of: u64| match of {
            0 => 0.0,
            of => part as f64 / of as f64,
        };
        let score = |k: usize| {
            let right = confusion[k][k];
            let support: u64 = confusion[k].iter().sum();
            let told: u64 = confusion.iter().map(|row| row[k]).sum();
            ClassScore {
                label: labels[k].clone(),
                precision: share(right, told),
                recall: share(right, support),
                f1: share(2 * right, support + told),
                support,
                told,
            }
        };
        let classes: Vec<ClassScore> = (0..n).map(score).collect();
        let occurs = |c: &&ClassScore| c.support + c.told > 0;
        let occurring = classes.iter().filter(occurs);
        let f1: f64 = occurring.clone().map(|c| c.f1).sum();
        let right: u64 = (0..n).map(|k| confusion[k][k]).sum();
        Ok(Report {
            labels: labels.to_vec(),
            accuracy: share(right, truth.len() as u64),
            macro_f1: f1 / occurring.count() as f64,
            confusion,
            classes,
        })
    }

    /// How many were compared.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.classes.iter().map(|c| c.support).sum()
    }

    /// Who was taken for whom, the most frequent first: the numbers of both labels, and how often.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(usize, usize, u64)> {
        let n = self.labels.len();
        let pairs = (0..n).flat_map(|a| (0..n).map(move |b| (a, b)));
        let wrong = pairs.filter(|(a, b)| a != b && self.confusion[*a][*b] > 0);
        let mut all: Vec<_> = wrong.map(|(a, b)| (a, b, self.confusion[a][b])).collect();
        all.sort_by_key(|(_, _, n)| std::cmp::Reverse(*n));
        all
    }
}
