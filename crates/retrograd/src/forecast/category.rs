//! Categories: columns whose numbers stand for texts, which a cell reads by embedding.

use std::collections::HashMap;
use std::ops::Range;

use retrograd_tape::Var;
use serde::{Deserialize, Serialize};

use super::{Columns, ForecastError};
use crate::builder::Builder;
use crate::data::{Panel, Series};

/// A column of categories, as a model knows it: the texts that were trained on. It is saved with the model. What else such a column says
/// later is the number 0, a row of the table that stands for what is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// The column.
    pub column: String,
    /// What it said in the rows that were trained on: the first is number 1.
    pub texts: Vec<String>,
}

/// The most categories of a column.
const MOST: usize = 4096;
/// The widest row of a table.
const WIDEST: usize = 16;

impl Category {
    /// Those of the columns, from the training part of each series.
    pub(super) fn all(
        columns: &Columns,
        panel: &Panel,
        training: &[Range<usize>],
    ) -> Result<Vec<Category>, ForecastError> {
        let mut out = Vec::new();
        for name in columns.names() {
            let mut texts: Vec<String> = Vec::new();
            let mut known: HashMap<&str, ()> = HashMap::new();
            let mut is = false;
            for (series, part) in panel.series().iter().zip(training) {
                let Some(column) = series.names().iter().position(|n| n == name) else {
                    continue;
                };
                let Some(list) = series.categories(column) else {
                    continue;
                };
                is = true;
                for row in part.clone().filter(|row| *row < series.len()) {
                    let text = &list[series.row(row)[column] as usize];
                    if known.insert(text, ()).is_none() {
                        texts.push(text.clone());
                    }
                }
            }
            if !is {
                continue;
            }
            if columns.targets.contains(name) {
                return Err(ForecastError::Request(format!(
                    "column \"{name}\" holds categories, which are not forecast; name the columns that are as targets"
                )));
            }
            if texts.len() > MOST {
                return Err(ForecastError::Request(format!(
                    "column \"{name}\" holds {} different texts; at most {MOST} are read as categories",
                    texts.len()
                )));
            }
            let column = name.clone();
            out.push(Category { column, texts });
        }
        Ok(out)
    }

    /// The width of its row in the table: half as many numbers as categories, at most 16.
    fn width(&self) -> usize {
        (self.texts.len() / 2).clamp(1, WIDEST)
    }

    /// The number of a text.
    fn number(&self, text: &str) -> f64 {
        let place = self.texts.iter().position(|known| known == text);
        place.map_or(0.0, |p| (p + 1) as f64)
    }

    /// The numbers of what the numbers of a series' column stand for; None if that is no column of categories.
    pub(super) fn numbers(&self, series: &Series, column: usize) -> Option<Vec<f64>> {
        let places: HashMap<&str, usize> = (self.texts.iter().enumerate())
            .map(|(k, text)| (text.as_str(), k + 1))
            .collect();
        let number = |text: &String| places.get(text.as_str()).map_or(0.0, |&k| k as f64);
        Some(series.categories(column)?.iter().map(number).collect())
    }

    /// The number of what a table of numbers says, such as a weekday that counts from 0.
    pub(super) fn number_of(&self, value: f64) -> f64 {
        self.number(&value.to_string())
    }
}

/// How a cell reads a column of categories: numbers of its input that are places of rows in a table.
///
/// ```
/// use retrograd::data::{Panel, Series};
/// use retrograd::forecast::{Columns, Embedding, Setup};
/// use retrograd::zoo;
///
/// let names = ["sold", "kind"].map(str::to_owned).to_vec();
/// let rows = (0..40).flat_map(|t| [f64::from(t % 7), f64::from(t % 2)]).collect();
/// let kinds = ["kiosk", "market"].map(str::to_owned);
/// let panel = Panel::from(Series::new(names, rows)?.with_categories("kind", &kinds)?);
/// let columns = Columns::of(panel.names(), Some(&["sold".to_owned()]), &["kind".to_owned()], &[])?;
/// let setup = Setup::fit(columns, &panel, &[0..30])?;
/// let categories = setup.embeddings();
/// let cell = zoo::Forecaster::new(setup.inputs()).targets(1).cell("leaky", |c, x| {
///     let x = Embedding::read(&categories, c, x);
///     let h = c.state("h", 4);
///     c.next(h, 0.9 * h + c.dense("new", 4, [x]).tanh())
/// })?;
/// let table = cell.parameter_specs().find(|p| p.name == "category.1").unwrap();
/// assert_eq!(table.shape.axes()[..], [1 + 2, 1], "a row for what is not known, and two more");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedding {
    /// The places of its numbers in the input: several where it is known for several rows ahead.
    places: Vec<usize>,
    rows: usize,
    width: usize,
}

impl Embedding {
    pub(super) fn new(category: &Category, places: Vec<usize>) -> Embedding {
        Embedding {
            places,
            rows: category.texts.len() + 1,
            width: category.width(),
        }
    }

    /// How many numbers a cell reads of an input of so many, once each place of a category is a row of its table.
    #[must_use]
    pub fn width(all: &[Embedding], inputs: usize) -> usize {
        let more = |e: &Embedding| e.places.len() * e.width;
        let places: usize = all.iter().map(|e| e.places.len()).sum();
        inputs - places + all.iter().map(more).sum::<usize>()
    }

    /// The input with the rows of the tables in the places of categories. The tables are the parameters `category.1`, `category.2` and
    /// so on, in the order of the model's columns; row 0 of each stands for what is not known.
    #[track_caller]
    pub fn read<'t>(all: &[Embedding], c: &'t Builder, x: Var<'t>) -> Var<'t> {
        let Some(inputs) = x.shape().map(|s| s.len()).filter(|_| !all.is_empty()) else {
            return x;
        };
        let tables: Vec<Var<'t>> = (all.iter().enumerate())
            .map(|(k, e)| {
                let name = table(k);
                c.param_init(&name, (e.rows, e.width), crate::Init::Normal(1.0))
            })
            .collect();
        let owner = |place: usize| all.iter().position(|e| e.places.contains(&place));
        let (mut parts, mut from) = (Vec::new(), 0);
        for place in 0..=inputs {
            let owner = owner(place);
            if (owner.is_some() || place == inputs) && from < place {
                parts.push(x.slice(from, place - from));
            }
            if let Some(k) = owner {
                let index = x.slice(place, 1).reshape(crate::Shape::Scalar);
                parts.push(tables[k].gather(index));
                from = place + 1;
            }
        }
        Var::concat(&parts)
    }
}

/// The parameter of a category.
pub(super) fn table(k: usize) -> String {
    format!("category.{}", k + 1)
}

/// Sets the row of what is not known to the mean of the rows that were learned.
pub(super) fn average_unknown(values: &mut [f32], rows: usize) {
    let width = values.len() / rows;
    for column in 0..width {
        let known = (1..rows).map(|row| f64::from(values[row * width + column]));
        values[column] = (known.sum::<f64>() / (rows - 1).max(1) as f64) as f32;
    }
}
