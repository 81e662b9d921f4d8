//! Write one time step of a recurrent cell as equations, and train it on the CPU at the speed of a hand-tuned LSTM.
//!
//! You never write batch or time. The library derives the backward step, fuses the gates, hoists loop-invariant work out of
//! the time loop, and compiles the rest to machine code in milliseconds.
//!
//! ```
//! use retrograd::{Adam, Batch, Cell, Extent, Trainer};
//!
//! let cell = Cell::define("leaky", |c| {
//!     let (x, h) = (c.input("x", 1), c.state("h", 16));
//!     let keep = c.dense("keep", 16, [x, h]).sigmoid();
//!     let h = c.next(h, keep * h + (1.0 - keep) * c.dense("new", 16, [x]).tanh()); // the new state, usable at once
//!     let y = c.dense("read", 1, [h]);
//!     c.output("y", y);
//!     c.loss((y - c.target("next", 1)).square().mean());
//! })?; // a mistake is one error, with names, shapes and this file's line
//! let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).seed(1).build()?; // machine code from here on
//! let wave: Vec<f32> = (0..33).map(|t| (t as f32 * 0.4).sin()).collect();
//! let batch = Batch::new(Extent::steps(32)).with("x", wave[..32].to_vec()).with("next", wave[1..].to_vec());
//! for _ in 0..100 {
//!     trainer.step(&batch)?;
//! }
//! assert!(trainer.evaluate(&batch)?.loss() < 0.1);
//! # Ok::<(), retrograd::Error>(())
//! ```
//!
//! # Where to go from here
//!
//! | to | use |
//! | --- | --- |
//! | write a cell | [`Cell::define`] and its [`Builder`]; or a cell file, [`Cell::from_file`]; or one of the [`zoo`] |
//! | build from layers | [`Builder::scope`], [`Builder::share`]; cells as layers, [`Builder::layer`], [`zoo::Entry::layer`]; stacks of them, [`Builder::stack`] |
//! | learn the cell language | `docs/LANGUAGE.md`; the grammar, in the documentation of the crate `retrograd_text`; [`CellText`] |
//! | initialise parameters | [`Init`], [`Builder::init`] |
//! | train | [`Trainer`], with [`Adam`], [`Sgd`], another of [`optim`] or an [`Optimizer`] of your own |
//! | train for epochs, with validation and checkpoints | [`fit::Fit`] |
//! | save, continue later, use a model without its source | [`Checkpoint`], [`Trainer::save`], [`Trainer::resume`] |
//! | regularise | [`Builder::dropout`], [`Builder::zoneout`], [`Builder::drop_connect`]; groups and constraints of [`optim`] |
//! | measure a loss | [`Var::cross_entropy`] and its kind, [`Builder::error_to_signal`] |
//! | choose a learning rate | [`Trainer::test_learning_rates`]; a schedule, [`optim::Schedule`] |
//! | train on a long series, chunk after chunk | [`Carry`], [`Trainer::step_carrying`] |
//! | prepare data | [`Batch`]; from a table, [`data::Series`] and [`data::Windows`] |
//! | forecast a table, with intervals and a backtest, from a saved model | [`forecast`] |
//! | tell labels of sequences of different lengths, from a saved model | [`classify`] |
//! | learn an effect from a dry and a wet WAV file | the module `audio`, with the feature `audio` |
//! | forecast or stream | [`Trainer::predict`]; sample by sample, [`Stepper`] |
//! | inspect a cell | [`Program`]: gradients of inputs, values and adjoints of gates, products with the Hessian, from many threads |
//! | save and load | [`Trainer::save`], [`Trainer::load`] |
//! | check compiled code against the interpreted tape | [`TrainerBuilder::engine`] with [`Engine::Tape`] |
//!
//! # How fast
//!
//! On one core, JAX or PyTorch, whichever is faster, takes 1.2 to 4.8 times as long as this library for a training step of an LSTM, and
//! 1.4 to 6.4 times as long for a layer-norm LSTM; a cell compiles in 2 to 9 ms, whatever T and B are. The README has the table, and
//! `docs/PERFORMANCE.md` all rows with their commands.
//!
//! # A year of weather
//!
//! ```
//! # #[cfg(feature = "csv")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use retrograd::data::{Series, Split, Standardizer, Windows};
//! use retrograd::random::stream;
//! use retrograd::{Adam, Batch, Trainer, zoo};
//!
//! let weather = Series::seattle_weather(); // four columns, a row a day
//! let (training, _) = weather.split(Split::Fraction(0.2))?;
//! let weather = Standardizer::fit(&weather, training.clone())?.transform(&weather)?;
//! let windows = Windows::new(&weather, training, 64)?;
//!
//! let cell = zoo::forecaster(zoo::find("lstm").expect("it is in the zoo"), 4, 16)?;
//! let mut trainer = Trainer::builder(cell, Adam::new(3e-3)).seed(1).build()?;
//! let mut rng = stream(1, "windows", "training");
//! for batch in windows.batches(32, 8, &mut rng)? {
//!     let report = trainer.step(&Batch::from(batch))?;
//!     println!("step {}: loss {:.3}", report.step, report.loss);
//! }
//!
//! let mut stepper = trainer.stepper().build()?; // a day at a time: no allocation, the states inside
//! for day in [[0.1, 0.4, 0.2, -0.3], [0.0, 0.5, 0.3, -0.2]] {
//!     let tomorrow = stepper.step(&[&day])?;
//!     assert_eq!(tomorrow.len(), 4);
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "csv"))]
//! # fn main() {}
//! ```
//!
//! # Features
//!
//! Two are on by default. `text`: cell files, [`CellText`], and the zoo, whose cells are cell files. `csv`: [`data::Series`] from CSV
//! files, and the embedded series. `audio`: effects that are learned from pairs of WAV files. `testing`, for the tests of a crate that defines cells: the module `testing` proves that a cell's
//! gradients are right.
//!
//! # Errors and limits
//!
//! A mistake of the user's is an [`Error`] (or, for tables of observations, a [`data::DataError`]), never a panic, unless the
//! documentation of a function says so. Results are bitwise the same for any number of threads.
#![forbid(unsafe_code)]

#[cfg(feature = "audio")]
pub mod audio;
pub mod classify;
pub mod data;
pub mod files;
pub mod fit;
pub mod forecast;
pub mod optim;
pub mod random;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "text")]
pub mod zoo;

mod batch;
mod builder;
mod carry;
mod cell;
#[cfg(feature = "text")]
mod cellfile;
mod checkpoint;
mod dense;
mod engine;
mod error;
mod init;
mod instances;
mod losses;
mod numbers;
mod precision;
mod program;
mod regularise;
mod saved;
mod scope;
mod session;
mod split;
mod stack;
mod stepper;
#[cfg(feature = "text")]
mod texts;
mod trainer;

pub use batch::{Batch, Segment};
pub use builder::{Builder, IntoShape, StateSpec};
pub use carry::Carry;
pub use cell::{Cell, ParameterSpec};
#[cfg(feature = "text")]
pub use cellfile::CellText;
pub use engine::Engine;
pub use error::Error;
pub use init::initial_values;
pub use numbers::Float;
pub use optim::{Adam, Optimizer, Sgd};
pub use precision::Precision;
pub use program::{Program, ProgramBuilder};
pub use retrograd_graph::{Unroll, UnrollError};
pub use retrograd_jit::{CompileError, RunError, StepperError};
pub use retrograd_tape::{
    Domain, Draw, Extent, Init, InputRole, Map, NonFinite, Observe, Op, OperandRange, Real, Shape,
    StartExpression, Tape, TapeError, Var,
};
pub use saved::Checkpoint;
pub use session::{Results, Session};
pub use split::{Cotangents, Forward, Gradients};
pub use stack::{Join, Stack, Stacked};
pub use stepper::{Stepper, StepperBuilder};
pub use trainer::{
    Evaluation, NamedParameter, Provenance, RateTest, Report, Trainer, TrainerBuilder, Update,
};

/// The crates below this one, for the types that appear in its interface.
#[cfg(feature = "text")]
#[doc(no_inline)]
pub use retrograd_text as text;
#[doc(no_inline)]
pub use {retrograd_graph as graph, retrograd_jit as jit, retrograd_tape as tape};
