//! Parameters in a JSON file: `{"cell": name, "parameters": [{"name", "shape", "values"}, …]}`, shapes as lists of
//! lengths, values row-major and exact.

use std::fs;
use std::path::Path;

use retrograd_tape::Shape;
use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::error::Error;
use crate::files::{read_text, replace};
use crate::numbers::{Float, reserved};
use crate::trainer::Trainer;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    cell: String,
    parameters: Vec<SavedParameter>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedParameter {
    name: String,
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl<T: Float> Trainer<T> {
    /// Writes a [`Checkpoint`](crate::Checkpoint) with all of the run; to a path that ends in `.json` only the parameters, as
    /// `{"cell": name, "parameters": [{"name", "shape", "values"}, …]}`, values row-major and exact. Both can be loaded in f32 and f64
    /// alike.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        if path.as_ref().extension().is_none_or(|e| e != "json") {
            return self.checkpoint().write(path);
        }
        let parameters = self.named_parameters().map(|p| SavedParameter {
            name: p.name.to_owned(),
            shape: lengths(p.shape),
            values: p.values.iter().map(|v| v.to_f64()).collect(),
        });
        let saved = Saved {
            cell: self.cell().name().to_owned(),
            parameters: parameters.collect(),
        };
        let text = serde_json::to_string(&saved).expect("names and numbers are always JSON");
        let path = path.as_ref();
        replace(path, "json", |beside| fs::write(beside, text)).map_err(|cause| Error::File {
            path: path.to_owned(),
            cause,
        })
    }

    /// Reads all parameters from a file that [`Trainer::save`] wrote, in either form; optimiser, schedule and step stay as they are.
    /// The cell must have the same parameters, in name and shape; its own name does not matter.
    ///
    /// # Errors
    /// Those of [`Cell::load_parameters`]. After an error the parameters are unchanged.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let parameters: Vec<T> = self.cell().load_parameters(path)?;
        self.set_parameters(&parameters)
    }
}

impl Cell {
    /// The flat vector of parameters, in the cell's order, from a file that [`Trainer::save`] wrote, as for a
    /// [`Stepper`](crate::Stepper) or a [`Program`](crate::Program): no training program is compiled for it. The cell must have
    /// the same parameters, in name and shape and in any order; its own name does not matter.
    ///
    /// ```no_run
    /// use retrograd::zoo;
    ///
    /// let cell = zoo::forecaster(zoo::find("lstm").unwrap(), 1, 8)?;
    /// let parameters: Vec<f32> = cell.load_parameters("lstm.json")?;
    /// let mut stepper = cell.stepper(&parameters).build()?;
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::File`], also for anything but a regular file, or for one far larger than the cell's parameters can be,
    /// [`Error::NotParameters`], and [`Error::OtherParameters`], which names the first difference.
    pub fn load_parameters<T: Float>(&self, path: impl AsRef<Path>) -> Result<Vec<T>, Error> {
        let path = path.as_ref();
        if path.extension().is_none_or(|e| e != "json") && !begins_with_brace(path) {
            return self.take_parameters(path);
        }
        let text = read_text(path, self.largest_file()).map_err(|cause| Error::File {
            path: path.to_owned(),
            cause,
        })?;
        let saved: Saved = serde_json::from_str(&text).map_err(|cause| Error::NotParameters {
            path: path.to_owned(),
            cause: cause.into(),
        })?;
        if let Some(difference) = self.difference::<T>(&saved) {
            return Err(Error::OtherParameters {
                path: path.to_owned(),
                cell: self.name().to_owned(),
                difference,
            });
        }
        let mut all = reserved("the parameters", self.parameter_count())?;
        for p in self.parameter_specs() {
            let saved = saved.parameters.iter().find(|s| s.name == p.name);
            let values = saved.map_or(&[][..], |s| &s.values);
            all.extend(values.iter().map(|&v| T::from_f64(v)));
        }
        Ok(all)
    }

    /// The greatest size of a file in bytes: several times what the parameters take, so that the file of a somewhat larger cell is
    /// still read and its first difference named.
    fn largest_file(&self) -> u64 {
        /// A number of f64 in 17 digits, its sign, point, exponent and comma take 25.
        const A_NUMBER: u64 = 400;
        const LEAST: u64 = 64 << 20;
        (A_NUMBER * self.parameter_count() as u64).max(LEAST)
    }

    /// The first difference between a file and the cell.
    fn difference<T: Float>(&self, saved: &Saved) -> Option<String> {
        for p in self.parameter_specs() {
            let (name, expected) = (p.name, lengths(p.shape));
            let Some(found) = saved.parameters.iter().find(|s| s.name == name) else {
                return Some(format!("the file has no parameter `{name}` {}", p.shape));
            };
            if found.shape != expected {
                return Some(format!(
                    "parameter `{name}` is {expected:?}, in the file {:?}",
                    found.shape
                ));
            }
            if found.values.len() != p.shape.len() {
                return Some(format!(
                    "parameter `{name}` has {} values, in the file {}",
                    p.shape.len(),
                    found.values.len()
                ));
            }
            if let Some(v) = found
                .values
                .iter()
                .find(|&&v| !T::from_f64(v).to_f64().is_finite())
            {
                return Some(format!(
                    "parameter `{name}` holds {v}, which is out of range"
                ));
            }
        }
        let known = |name: &str| self.parameter_specs().any(|p| p.name == name);
        let twice = |i: usize, name: &str| saved.parameters[..i].iter().any(|s| s.name == name);
        let mut extra = saved.parameters.iter().enumerate();
        extra
            .find(|(i, s)| !known(&s.name) || twice(*i, &s.name))
            .map(|(_, s)| match known(&s.name) {
                true => format!("the file has `{}` twice", s.name),
                false => format!("the file has a parameter `{}` besides", s.name),
            })
    }
}

/// Whether a file is text in JSON: eight bytes, the length of a header, precede the brace of safetensors.
fn begins_with_brace(path: &Path) -> bool {
    use std::io::Read;
    let mut first = [0; 9];
    let is_file = fs::metadata(path).is_ok_and(|m| m.is_file());
    let read = is_file.then(|| fs::File::open(path)?.read_exact(&mut first));
    !matches!(read, Some(Ok(()))) || (first[0] == b'{' && first[8] != b'{')
}

/// A shape as the lengths of its axes.
fn lengths(shape: Shape) -> Vec<usize> {
    shape.axes().to_vec()
}
