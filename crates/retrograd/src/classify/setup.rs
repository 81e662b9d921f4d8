//! [`Setup`]: how sequences become what a cell reads, and the table of labels.

use retrograd_tape::Extent;
use serde::{Deserialize, Serialize};

use super::ClassifyError;
use crate::batch::Batch;
use crate::data::{DataError, Panel, Series, Standardizer, Windows, printable};

/// The names under which a cell takes sequences and their labels, and tells them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// The input, of [`Setup::inputs`] numbers at each step.
    pub input: String,
    /// The target: the number of the label, a scalar of each row.
    pub target: String,
    /// The weight of each row, if labels have weights.
    pub weight: String,
    /// The output of one number for each label, whose softmax are the probabilities; one of each row.
    pub output: String,
}

impl Default for Ports {
    /// Those of a [`Classifier`](super::Classifier): x, label, weight, logits.
    fn default() -> Ports {
        Ports {
            input: "x".to_owned(),
            target: "label".to_owned(),
            weight: "weight".to_owned(),
            output: "logits".to_owned(),
        }
    }
}

/// How sequences become what a cell reads: columns with their scales, and the table of labels. It is saved with the model.
///
/// ```
/// use retrograd::classify::Setup;
/// use retrograd::data::{Panel, Series};
///
/// let series = |rows: &[f64]| Series::new(vec!["level".to_owned()], rows.to_vec());
/// let all = vec![("a".to_owned(), series(&[0.0, 2.0])?), ("b".to_owned(), series(&[1.0])?), ("c".to_owned(), series(&[4.0])?)];
/// let clips = Panel::new("clip", all)?.with_constant("word", ["yes", "no", "yes"].map(str::to_owned).to_vec())?;
/// let setup = Setup::fit(&clips, "word", &[0, 1])?; // the third is not trained on
/// assert_eq!((setup.inputs(), setup.labels(), setup.counts()), (1, &["no".to_owned(), "yes".to_owned()][..], &[1, 1][..]));
/// # Ok::<(), retrograd::classify::ClassifyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct Setup {
    pub(super) label: String,
    pub(super) labels: Vec<String>,
    counts: Vec<usize>,
    weights: Option<Vec<f64>>,
    masked: bool,
    pub(super) ports: Ports,
    standardizer: Standardizer,
}

/// The note in which a checkpoint has it.
pub(super) const SETUP: &str = "classify";

/// Labels, in the order of their numbers if all are numbers, else of their letters.
pub(super) fn table_of<'l>(labels: impl Iterator<Item = &'l String>) -> Vec<String> {
    let mut table: Vec<String> = labels.filter(|l| !l.is_empty()).cloned().collect();
    table.sort_unstable();
    table.dedup();
    let numbers: Option<Vec<f64>> = table.iter().map(|l| l.parse().ok()).collect();
    if let Some(numbers) = numbers.filter(|n| n.iter().all(|x| x.is_finite())) {
        let mut order: Vec<usize> = (0..table.len()).collect();
        order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
        table = order.iter().map(|&k| table[k].clone()).collect();
    }
    table
}

/// The texts of a column of a panel.
pub(super) fn texts<'p>(panel: &'p Panel, name: &str) -> Result<&'p [String], ClassifyError> {
    panel.constant(name).ok_or_else(|| {
        ClassifyError::Data(DataError::NoColumn {
            name: name.to_owned(),
            columns: panel.constants().map(str::to_owned).collect(),
        })
    })
}

/// Refuses the number of a sequence that the panel has not.
pub(super) fn check(panel: &Panel, sequences: &[usize]) -> Result<(), ClassifyError> {
    let all = panel.series().len();
    match sequences.iter().find(|&&k| k >= all) {
        None => Ok(()),
        Some(&found) => Err(ClassifyError::Data(DataError::BadSetting {
            what: "the number of a sequence",
            found,
            expected: format!("less than {all}"),
        })),
    }
}

impl Setup {
    /// The setup of all columns and of the labels in `label`, a [text of each sequence](Panel::constant), for these sequences to train
    /// on. The table has the labels of all sequences of the panel; columns are scaled by the rows of those that are trained on.
    ///
    /// # Errors
    /// [`ClassifyError::Request`] for a sequence to train on without a label, fewer than two labels, or as many as sequences;
    /// [`ClassifyError::Data`] if there is no such column, and those of [`Standardizer::fit`].
    pub fn fit(panel: &Panel, label: &str, training: &[usize]) -> Result<Setup, ClassifyError> {
        let texts = texts(panel, label)?;
        check(panel, training)?;
        let labels = table_of(texts.iter());
        let request = |what: String| Err(ClassifyError::Request(what));
        let column = printable(label, 40);
        if training.is_empty() {
            return request("there is no sequence to train on".to_owned());
        }
        match labels.len() {
            0 => {
                return request(format!(
                    "column \"{column}\" is empty: no sequence has a label"
                ));
            }
            1 => {
                return request(format!(
                    "all sequences have the label \"{}\"; there is nothing to tell apart",
                    printable(&labels[0], 40)
                ));
            }
            n if n == texts.len() => {
                return request(format!(
                    "each of the {n} sequences has a label of its own in column \"{column}\"; a label is learned from several"
                ));
            }
            _ => {}
        }
        let parts: Vec<(&Series, std::ops::Range<usize>)> = training
            .iter()
            .map(|&k| (&panel.series()[k], 0..panel.series()[k].len()))
            .collect();
        let mut setup = Setup {
            label: label.to_owned(),
            counts: vec![0; labels.len()],
            labels,
            weights: None,
            masked: training.iter().any(|&k| panel.series()[k].has_missing()),
            ports: Ports::default(),
            standardizer: Standardizer::fit_all(&parts)?,
        };
        for number in setup.truth(panel, training)? {
            setup.counts[number] += 1;
        }
        Ok(setup)
    }

    /// Gives each label a weight in the loss in inverse proportion to how often it was trained on, 1 on average over the sequences, so
    /// that rare labels count as much as frequent ones together.
    pub fn balanced(mut self) -> Setup {
        let there = self.counts.iter().filter(|n| **n > 0).count() as f64;
        let all = self.counts.iter().sum::<usize>() as f64;
        let weight = |n: &usize| match n {
            0 => 1.0,
            n => all / (there * *n as f64),
        };
        self.weights = Some(self.counts.iter().map(weight).collect());
        self
    }

    /// The names of the cell's input, target, weight and output.
    pub fn ports(self, ports: Ports) -> Setup {
        Setup { ports, ..self }
    }

    /// The table of labels: numbers in their order, else words in the order of their letters.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// How many sequences of each label are trained on.
    #[must_use]
    pub fn counts(&self) -> &[usize] {
        &self.counts
    }

    /// The weights of the labels, if they have any.
    #[must_use]
    pub fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// The name of the column of labels.
    #[must_use]
    pub fn label_name(&self) -> &str {
        &self.label
    }

    /// The columns that are read.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        self.standardizer.names()
    }

    /// The numbers of a step that the cell reads: the columns and, if some values were missing, a mark for each column of what there is.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.columns().len() * if self.masked { 2 } else { 1 }
    }

    /// The names of the cell's input, target, weight and output.
    pub fn cell_ports(&self) -> &Ports {
        &self.ports
    }

    /// Key and text of the note in which a checkpoint has it, for [`Fit::note`](crate::fit::Fit::note).
    #[must_use]
    pub fn note(&self) -> (&'static str, String) {
        let text = serde_json::to_string(self);
        (SETUP, text.expect("names and numbers are always JSON"))
    }

    /// The numbers of the labels of some sequences.
    ///
    /// # Errors
    /// [`ClassifyError::Request`] for one without a label, or with one that is not in the table.
    pub fn truth(&self, panel: &Panel, sequences: &[usize]) -> Result<Vec<usize>, ClassifyError> {
        let texts = texts(panel, &self.label)?;
        check(panel, sequences)?;
        let number = |&k: &usize| {
            let place = || panel.place(k);
            if texts[k].is_empty() {
                return Err(ClassifyError::Request(format!(
                    "the sequence {} has no label: column \"{}\" is empty; give it one, or leave it out",
                    place(),
                    printable(&self.label, 40)
                )));
            }
            let found = self.labels.iter().position(|l| *l == texts[k]);
            found.ok_or_else(|| {
                ClassifyError::Request(format!(
                    "the sequence {} has the label \"{}\", which was not trained on",
                    place(),
                    printable(&texts[k], 40)
                ))
            })
        };
        sequences.iter().map(number).collect()
    }

    /// Whether the parts fit together, as they do unless a file was changed by hand.
    pub(super) fn is_sane(&self) -> bool {
        let n = self.labels.len();
        let weights = self.weights.as_ref();
        n > 1 && self.counts.len() == n && weights.is_none_or(|w| w.len() == n)
    }

    /// The columns of a panel in the order in which they are read.
    ///
    /// # Errors
    /// [`DataError::NoColumn`] for one that the panel has not.
    pub(super) fn places(&self, panel: &Panel) -> Result<Vec<usize>, ClassifyError> {
        let place = |name: &String| {
            let found = panel.names().iter().position(|n| n == name);
            found.ok_or_else(|| {
                ClassifyError::Data(DataError::NoColumn {
                    name: name.clone(),
                    columns: panel.names().to_vec(),
                })
            })
        };
        self.columns().iter().map(place).collect()
    }

    /// Refuses numbers that cannot be scaled.
    pub(super) fn check_scale(
        &self,
        panel: &Panel,
        places: &[usize],
        sequences: &[usize],
    ) -> Result<(), ClassifyError> {
        for &k in sequences {
            let series = &panel.series()[k];
            for row in 0..series.len() {
                for (column, &place) in places.iter().enumerate() {
                    let value = series.row(row)[place];
                    let z = self.scaled(column, value);
                    // Not `>=`: what overflows is out of scale too.
                    if z.abs() < Standardizer::FARTHEST {
                        continue;
                    }
                    return Err(ClassifyError::Sequence {
                        place: panel.place(k),
                        cause: Box::new(DataError::OutOfScale {
                            row,
                            column: self.columns()[column].clone(),
                            value,
                            deviations: z.abs(),
                        }),
                    });
                }
            }
        }
        Ok(())
    }

    fn scaled(&self, column: usize, value: f64) -> f64 {
        (value - self.standardizer.mean()[column]) / self.standardizer.scale()[column]
    }

    /// Refuses a batch of so many sequences of so many steps that does not fit into a gibibyte.
    pub(super) fn check_memory(&self, steps: usize, rows: usize) -> Result<(), ClassifyError> {
        let n = self.inputs();
        let sizes = [steps, rows, n, size_of::<f32>()];
        let bytes = sizes
            .iter()
            .fold(1_u64, |all, &n| all.saturating_mul(n as u64));
        match bytes > Windows::LIMIT {
            false => Ok(()),
            true => Err(ClassifyError::Data(DataError::NoMemory {
                what: format!("a batch of {rows} sequences of up to {steps} rows of {n} numbers"),
                bytes,
                limit: Some(Windows::LIMIT),
            })),
        }
    }

    /// A batch of sequences, as long as the longest of them.
    pub(super) fn gather(
        &self,
        panel: &Panel,
        places: &[usize],
        sequences: &[usize],
    ) -> Result<Batch, ClassifyError> {
        let series: Vec<&Series> = sequences.iter().map(|&k| &panel.series()[k]).collect();
        let lengths: Vec<usize> = series.iter().map(|s| s.len()).collect();
        let steps = lengths.iter().copied().max().unwrap_or(0);
        let (rows, n) = (series.len(), self.inputs());
        self.check_memory(steps, rows)?;
        let mut x: Vec<f32> = Vec::with_capacity(steps * rows * n);
        for t in 0..steps {
            for series in &series {
                if t >= series.len() {
                    // Not read.
                    x.resize(x.len() + n, 0.0);
                    continue;
                }
                let row = series.row(t);
                let scaled = places.iter().enumerate();
                x.extend(scaled.map(|(column, &place)| self.scaled(column, row[place]) as f32));
                if self.masked {
                    x.extend(
                        places
                            .iter()
                            .map(|&place| f32::from(!series.is_missing(t, place))),
                    );
                }
            }
        }
        let batch = Batch::new(Extent::steps(steps).rows(rows)).with(&self.ports.input, x);
        Ok(match lengths.iter().all(|&l| l == steps) {
            true => batch,
            false => batch.with_lengths(&lengths),
        })
    }
}
