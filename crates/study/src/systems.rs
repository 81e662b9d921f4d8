//! The compared systems: a cell of the zoo with initialisations of its recurrent weights and of its keep gate's bias; and the
//! number of hidden units that brings a system to a given number of parameters.

use retrograd::{Shape, Var};
use serde::{Deserialize, Serialize};

use retrograd::Builder;
use retrograd::Cell;
use retrograd::Error;
use retrograd::Init;
use retrograd::zoo::{self, Entry};

/// The initialisation of the weights that lead from the states of one step, or from layers inside the recurrence, to the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recurrent {
    /// As the zoo has them: uniform in ±1/√fan-in but for the IRNN, whose are the identity.
    Zoo,
    /// [`Init::Orthogonal`].
    Orthogonal,
    /// [`Init::Identity`].
    Identity,
}

/// A cell and its initialisation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct System {
    /// A cell of the zoo.
    pub cell: &'static str,
    /// The initialisation of its recurrent weights.
    pub recurrent: Recurrent,
    /// The initial bias of its keep gate (the forget gate of the LSTM, the update gate of the GRU); None for cells without one.
    pub keep_bias: Option<f64>,
    /// Whether input weights are initialised uniformly in ±1/√fan-in where the zoo has something else, as in the IRNN.
    pub wide_input: bool,
}

/// The cells' names for the bias of the gate that keeps a state.
const KEEP: [&str; 3] = ["forget.bias", "keep.bias", "update.bias"];

/// The read-out's parameters start with this.
pub(crate) const READOUT: &str = "readout";

/// The sizes of a system's input and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Numbers of the input "x".
    pub(crate) inputs: usize,
    /// Numbers of the output "y" and of the target "target".
    pub(crate) outputs: usize,
    /// Whether the target is a class (one-hot) or numbers.
    pub(crate) classes: bool,
}

impl System {
    /// The cell as the zoo has it, but every keep gate's bias is 1, as the zoo has the LSTM's.
    pub fn of(entry: &'static Entry) -> System {
        System {
            cell: entry.name,
            recurrent: Recurrent::Zoo,
            keep_bias: has_keep_gate(entry).then_some(1.0),
            wide_input: false,
        }
    }

    /// The same with other recurrent weights.
    #[must_use]
    pub fn with(self, recurrent: Recurrent) -> System {
        System { recurrent, ..self }
    }

    /// The same with another bias of the keep gate.
    #[must_use]
    pub fn keeping(self, bias: f64) -> System {
        System {
            keep_bias: Some(bias),
            ..self
        }
    }

    /// Every cell of the zoo, in the question's order.
    pub fn all() -> impl Iterator<Item = System> {
        zoo::question().map(System::of)
    }

    /// The system of that cell of the zoo.
    ///
    /// # Panics
    /// If the zoo has no such cell.
    pub fn named(cell: &str) -> System {
        System::of(zoo::find(cell).unwrap_or_else(|| panic!("the zoo has no `{cell}`")))
    }

    /// The cell of the zoo.
    pub fn entry(&self) -> &'static Entry {
        zoo::find(self.cell).expect("a system is made of the zoo's cells")
    }

    /// Its cell's number in the question.
    pub(crate) fn number(&self) -> &'static str {
        self.entry()
            .number
            .expect("a system is one of the question's")
    }

    /// Its name in tables and plots, such as "S1 rnn, orthogonal"; the keep gate's bias is named where it is not 1.
    pub fn label(&self) -> String {
        let mut label = format!("{} {}", self.number(), self.cell);
        match self.recurrent {
            Recurrent::Zoo => {}
            Recurrent::Orthogonal => label += ", orthogonal",
            Recurrent::Identity => label += ", identity",
        }
        if self.wide_input {
            label += ", W uniform";
        }
        match self.keep_bias {
            None | Some(1.0) => {}
            Some(bias) => label += &format!(", bias {bias}"),
        }
        label
    }

    /// Which of the question's seven systems it is, from 0, as pictures tell them apart.
    pub(crate) fn kind(&self) -> usize {
        let number = self.number().trim_start_matches('S');
        number.parse::<usize>().map_or(0, |n| n - 1)
    }

    /// Which of its kind it is, from 0: the question's own cell is 0.
    pub(crate) fn variant(&self) -> usize {
        let same = zoo::question().filter(|e| e.number == self.entry().number);
        let cell = same.take_while(|e| e.name != self.cell).count();
        let recurrent = match self.recurrent {
            Recurrent::Zoo => 0,
            Recurrent::Orthogonal => 1,
            Recurrent::Identity => 2,
        };
        cell + recurrent + usize::from(self.wide_input)
    }

    /// The cell with so many hidden units. Its loss counts where the weight "weight" says, its output is "y".
    ///
    /// # Errors
    /// [`Error::Cell`] if a number is 0.
    pub(crate) fn cell(&self, ends: Ends, hidden: usize) -> Result<Cell, Error> {
        let plain = Cell::define(self.cell, |c| record(c, self.entry(), ends, hidden))?;
        let starts: Vec<(String, Init)> = plain
            .parameter_specs()
            .filter_map(|p| Some((p.name.to_owned(), self.start(p.name, p.shape, hidden)?)))
            .collect();
        Cell::define(self.cell, |c| {
            record(c, self.entry(), ends, hidden);
            for (name, init) in &starts {
                c.init(name, init.clone());
            }
        })
    }

    /// The initialisation of a parameter, if it differs from the zoo's.
    fn start(&self, name: &str, shape: Shape, hidden: usize) -> Option<Init> {
        if let Some(bias) = self.keep_bias
            && KEEP.contains(&name)
        {
            return Some(Init::Constant(bias));
        }
        if self.wide_input && name.ends_with(".x") {
            let fan_in = hidden + shape.axis(1).unwrap_or(1);
            return Some(Init::Uniform(1.0 / (fan_in as f64).sqrt()));
        }
        let square = shape == Shape::Matrix(hidden, hidden);
        let recurrent = square && !name.ends_with(".x") && !name.starts_with(READOUT);
        match self.recurrent {
            Recurrent::Orthogonal if recurrent => Some(Init::Orthogonal(1.0)),
            Recurrent::Identity if recurrent => Some(Init::Identity),
            _ => None,
        }
    }

    /// The number of hidden units that brings the cell nearest to so many parameters.
    ///
    /// # Errors
    /// As [`System::cell`].
    pub(crate) fn hidden(&self, ends: Ends, parameters: usize) -> Result<usize, Error> {
        nearest(parameters, |hidden| {
            let cell = Cell::define(self.cell, |c| record(c, self.entry(), ends, hidden))?;
            Ok(cell.parameter_count())
        })
    }
}

/// The number of hidden units, at least 1, with which `count` comes nearest to `parameters`; `count` grows with it.
///
/// # Errors
/// Those of `count`.
pub fn nearest<E>(
    parameters: usize,
    count: impl Fn(usize) -> Result<usize, E>,
) -> Result<usize, E> {
    let (mut low, mut high) = (1, 2);
    while count(high)? < parameters {
        (low, high) = (high, 2 * high);
    }
    while low + 1 < high {
        let middle = usize::midpoint(low, high);
        match count(middle)? < parameters {
            true => low = middle,
            false => high = middle,
        }
    }
    let off = |n: usize| Ok::<usize, E>(count(n)?.abs_diff(parameters));
    Ok(if off(low)? <= off(high)? { low } else { high })
}

/// Whether the cell has a gate that keeps a state.
fn has_keep_gate(entry: &'static Entry) -> bool {
    zoo::forecaster(entry, 1, 1)
        .is_ok_and(|cell| cell.parameter_specs().any(|p| KEEP.contains(&p.name)))
}

fn record(c: &Builder, entry: &Entry, ends: Ends, hidden: usize) {
    let x = c.input("x", ends.inputs);
    let h = entry.layer(c, "", x, hidden);
    let y = c.dense(READOUT, ends.outputs, [h]);
    c.output("y", y);
    let target = c.target("target", ends.outputs);
    c.weight(c.weight_input("weight"));
    c.loss(match ends.classes {
        true => cross_entropy(y, target),
        false => (y - target).square().mean(),
    });
}

/// −Σ target · ln softmax(y), its exponentials shifted by the greatest so that none overflows.
fn cross_entropy<'t>(y: Var<'t>, target: Var<'t>) -> Var<'t> {
    let y = y - y.amax();
    y.exp().sum().ln() - target.dot(y)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: Ends = Ends {
        inputs: 2,
        outputs: 3,
        classes: false,
    };

    #[test]
    fn sizes_bring_all_cells_to_about_the_same_number_of_parameters() {
        for system in System::all() {
            let hidden = system.hidden(ENDS, 4000).unwrap();
            let count = |h| system.cell(ENDS, h).unwrap().parameter_count();
            let off = count(hidden).abs_diff(4000);
            assert!(off <= count(hidden + 1).abs_diff(4000), "{}", system.cell);
            assert!(off <= count(hidden - 1).abs_diff(4000), "{}", system.cell);
            assert!(off <= 200, "{}: {off} off", system.cell);
        }
    }

    #[test]
    fn starts_are_those_that_the_system_says() {
        let init = |system: System, name: &str| {
            let cell = system.cell(ENDS, 5).unwrap();
            let found = cell.parameter_specs().find(|p| p.name == name);
            found.map(|p| p.init).unwrap_or(Init::Zeros)
        };
        let lstm = System::named("lstm");
        assert_eq!(init(lstm, "forget.bias"), Init::Constant(1.0));
        assert_eq!(init(lstm.keeping(3.0), "forget.bias"), Init::Constant(3.0));
        for (cell, gate) in [
            ("gru", "update"),
            ("keepwrite", "keep"),
            ("one_hidden", "keep"),
        ] {
            let bias = format!("{gate}.bias");
            assert_eq!(init(System::named(cell), &bias), Init::Constant(1.0));
        }
        let orthogonal = System::named("one_memory_deep").with(Recurrent::Orthogonal);
        for name in [
            "memory_hidden.h",
            "memory_hidden.c",
            "memory.memory_hidden",
            "h_int.h",
        ] {
            assert_eq!(init(orthogonal, name), Init::Orthogonal(1.0), "{name}");
        }
        for name in ["memory_hidden.x", "readout.h", "memory.bias"] {
            assert!(matches!(init(orthogonal, name), Init::Uniform(_)), "{name}");
        }
        let identity = System::named("rnn").with(Recurrent::Identity);
        assert_eq!(init(identity, "h.h"), Init::Identity);
        let irnn = System::named("irnn");
        assert_eq!(init(irnn, "h.x"), Init::Normal(0.001));
        let wide = System {
            wide_input: true,
            ..irnn
        };
        assert_eq!(init(wide, "h.x"), Init::Uniform(1.0 / 7.0_f64.sqrt()));
    }

    #[test]
    fn labels_name_what_differs_from_the_zoo() {
        assert_eq!(System::named("rnn").label(), "S1 rnn");
        let lstm = System::named("lstm");
        assert_eq!(lstm.label(), "S7 lstm");
        let other = lstm.keeping(3.0).with(Recurrent::Orthogonal);
        assert_eq!(other.label(), "S7 lstm, orthogonal, bias 3");
    }
}
