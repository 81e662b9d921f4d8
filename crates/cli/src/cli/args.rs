//! The command line's arguments.

use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};
use retrograd::data::{Gaps, Header};
use retrograd::forecast::{Difference, Scaling};
use retrograd::{Engine, Precision, Unroll};

use super::audio::WavArgs;
use super::backtest::BacktestArgs;
use super::bench::BenchArgs;
use super::cell::CellCommand;
use super::check::Check;
use super::choice::{Choice, ReadoutArgs, SizeArgs};
use super::compare::Compare;
use super::explain::Explain;
use super::labels::LabelArgs;
use super::predict::Predict;
use super::resume::Resume;
use super::values::{between, decimal, header, separator, unroll, whole, zoo_entry};

/// Compiles recurrent cells to machine code and trains them to forecast the next row of a table.
///
/// Without a command: forecasts tomorrow's precipitation, temperatures and wind in Seattle from all days so far, on embedded
/// weather data, and compares the forecast with three simple ones and the compiled code with the interpreter.
#[derive(Debug, Parser)]
#[command(name = "retrograd", version, args_conflicts_with_subcommands = true)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: TrainingArgs,
}

impl Cli {
    /// Refuses a command that needs data and names none. A file of flags may name it, so that the parser cannot ask for it.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        let missing = match &self.command {
            Some(Command::Train(train)) if !train.has_data() => {
                "<--data <FILE.csv>|--manifest <FILE.csv>|--wav <DRY.wav> <WET.wav>>"
            }
            Some(Command::Compare(compare)) if !compare.has_table() => "--data <FILE.csv>",
            _ => return Ok(()),
        };
        Err(Cli::command().error(
            clap::error::ErrorKind::MissingRequiredArgument,
            format!("the following required arguments were not provided: {missing}"),
        ))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Trains a cell on your own CSV file, reports how well it forecasts, and saves a model.
    Train(Box<Train>),
    /// Continues a training that was stopped.
    Resume(Resume),
    /// Forecasts the rows after a table with a saved model, with intervals.
    Predict(Box<Predict>),
    /// Tests a saved model on rows that it was not trained on, against simple forecasts.
    Backtest(Box<BacktestArgs>),
    /// Compares several cells on your CSV file, each with as many parameters and from several seeds.
    Compare(Box<Compare>),
    /// Shows how a cell is compiled: products stacked and hoisted, loops, memory, predicted time, the graph after each pass; and
    /// draws the graph.
    Explain(Box<Explain>),
    /// Tests a cell's compiled gradients: all engines against each other and against finite differences, on random sizes, rows
    /// and values. Exits with 3 if a property does not hold.
    Check(Box<Check>),
    /// Measures a training step of a cell, compiled and interpreted: time, GFLOP/s and share of the machine's peak, prediction, memory;
    /// and whether it is faster or slower than last time.
    Bench(Box<BenchArgs>),
    /// Writes a new cell file, or formats cell files.
    #[command(subcommand)]
    Cell(CellCommand),
    /// Lists the cells that --cell can name.
    Cells(Cells),
    /// Measures why an LSTM has gates: error flow, long memory, saturation, and forecasts by the cells S1 to S7.
    Intuition(Intuition),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cells {
    #[command(subcommand)]
    pub(crate) command: Option<CellsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CellsCommand {
    /// Prints one of them as a file to begin with: its text, below what it is, where it comes from and its parameters.
    Show {
        /// Its name.
        #[arg(value_name = "NAME", value_parser = zoo_entry)]
        cell: &'static retrograd::zoo::Entry,
        #[command(flatten)]
        sizes: SizeArgs,
        /// Writes a drawing of its step as well, as an SVG image.
        #[arg(long, value_name = "FILE.svg")]
        svg: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Intuition {
    /// Runs for minutes: few seeds, short lags.
    #[arg(long, conflicts_with = "full")]
    pub(crate) quick: bool,
    /// Runs for days: more seeds, lags up to 1000. Without --quick or --full, it runs for about an hour on two cores.
    #[arg(long)]
    pub(crate) full: bool,
    /// The first seed: the same seed gives the same numbers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Number of runs at the same time [default: number of cores]; the results do not depend on it.
    #[arg(long, value_name = "N", value_parser = whole(1..=1024))]
    pub(crate) threads: Option<usize>,
    /// The engine: `jit` (compiled to machine code) or `tape` (interpreted, for comparison).
    #[arg(long, value_name = "jit|tape", default_value_t = Engine::Jit)]
    pub(crate) engine: Engine,
    /// Directory for results, report and pictures [default: retrograd-out/intuition, with -quick or -full, and -tape]. Each run's
    /// result is stored when it ends: a stopped study continues with the runs that have no result yet.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) table: TableArgs,
    #[command(flatten)]
    pub(crate) wav: WavArgs,
    #[command(flatten)]
    pub(crate) roles: RoleArgs,
    #[command(flatten)]
    pub(crate) labels: LabelArgs,
    /// Takes flags from a TOML file, `learning-rate = 0.01`; those on the command line win.
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) options: TrainingArgs,
}

impl Train {
    fn has_data(&self) -> bool {
        let labels = self.labels.manifest.is_some();
        self.table.path.is_some() || labels || self.wav.wav.is_some()
    }

    /// What it trains on.
    pub(crate) fn source(&self) -> DataSource {
        match &self.wav.wav {
            None => DataSource::File(Box::new(self.table.clone())),
            Some(_) => DataSource::Wav(Box::new(self.wav.clone())),
        }
    }
}

/// A table and the options for reading it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TableArgs {
    /// The observations: a header line with the columns' names, then one row of comma-separated numbers per line, oldest first; at
    /// most 512 MiB. `-` is standard input.
    #[arg(long = "data", value_name = "FILE.csv")]
    pub(crate) path: Option<PathBuf>,
    /// The columns to read and forecast, separated by commas [default: all that hold numbers, except those that only count rows or
    /// time].
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub(crate) columns: Option<Vec<String>>,
    /// Whether the first line has the columns' names; without names, columns are called 1, 2, … [default: yes, but a line that
    /// looks like data is rejected].
    #[arg(long, value_name = "yes|no", value_parser = header)]
    pub(crate) header: Option<Header>,
    /// Reverses the rows, for tables whose newest row comes first.
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Accepts numbers with commas, spaces or apostrophes between thousands, as in "1,000".
    #[arg(long)]
    pub(crate) thousands: bool,
    #[command(flatten)]
    pub(crate) form: FormArgs,
}

/// How a table is written.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct FormArgs {
    /// What separates cells: one character, or `tab` [default: a comma, or what the first lines have].
    #[arg(long, value_name = "C", value_parser = separator)]
    pub(crate) separator: Option<u8>,
    /// The decimal mark: a point or a comma [default: a point, or what the numbers have].
    #[arg(long, value_name = ".|,", value_parser = decimal)]
    pub(crate) decimal: Option<u8>,
    /// What becomes of missing values: `refuse`, `ffill` (the value before), `linear`, or `mask` (the model sees what is missing, and
    /// is not asked to forecast it) [default: refuse].
    #[arg(long, value_name = "HOW")]
    pub(crate) gaps: Option<Gaps>,
    /// The column that says to which of several series a row belongs.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) id: Option<String>,
    /// Every column is a series of its own, as if it were called by `--id`, and all of them are of one kind.
    #[arg(long, conflicts_with = "id")]
    pub(crate) wide: bool,
    /// The column with the rows' dates or times, by which they are labelled [default: the first that is not numeric].
    #[arg(long, value_name = "COLUMN")]
    pub(crate) time: Option<String>,
}

/// What the columns are for, and how far ahead is forecast.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct RoleArgs {
    /// The columns to forecast, separated by commas; the others are only read [default: all].
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub(crate) target: Option<Vec<String>>,
    /// Columns that are known ahead, such as prices or holidays: the forecast of a row reads them at that row.
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub(crate) known: Vec<String>,
    /// Columns that are the same in all rows of a series.
    #[arg(long = "static", value_name = "A,B,C", value_delimiter = ',')]
    pub(crate) statics: Vec<String>,
    /// Columns that hold categories, such as weekdays, whatever they look like; a known or static column of texts is one without this.
    /// The model learns a row of numbers for each, and reads what it does not know as their mean.
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub(crate) categorical: Vec<String>,
    /// Rows that are forecast at once. A model of one row forecasts further ones by reading its own forecasts [default: 1].
    #[arg(long, value_name = "N", value_parser = whole(1..=10_000))]
    pub(crate) horizon: Option<usize>,
    /// Whether numbers are scaled per `column`, per `series` or per `window` [default: series].
    #[arg(long, value_name = "PER")]
    pub(crate) scale: Option<Scaling>,
    /// What is read and forecast of the targets: their numbers (`none`), their difference from the last `row`, or from the row N rows
    /// before, as in 12 [default: as the training part speaks for; `none` for one series that is forecast row by row].
    #[arg(long, value_name = "none|row|N")]
    pub(crate) difference: Option<Difference>,
}

/// Where the observations come from.
#[derive(Debug)]
pub(crate) enum DataSource {
    SeattleWeather,
    /// A file.
    File(Box<TableArgs>),
    /// A pair of recordings.
    Wav(Box<WavArgs>),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TrainingArgs {
    /// The recurrent cell: a name that `retrograd cells` lists, or a cell file.
    #[arg(long, value_name = "NAME|FILE.cell", default_value = "keepwrite", value_parser = Choice::parse)]
    pub(crate) cell: Choice,
    #[command(flatten)]
    pub(crate) sizes: SizeArgs,
    /// The engine: `jit` (compiled to machine code) or `tape` (interpreted).
    #[arg(long, value_name = "jit|tape", default_value_t = Engine::Jit)]
    pub(crate) engine: Engine,
    /// What products with weights multiply: numbers of `f32`, or of `bf16` (8 significant bits), faster on Zen 4 and on processors
    /// with AMX. Sums, states and the saved model are f32.
    #[arg(long, value_name = "f32|bf16", default_value_t = Precision::Full)]
    pub(crate) precision: Precision,
    /// Passes over the training part, in which the learning rate falls to zero.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = whole(1..=1_000_000))]
    pub(crate) epochs: usize,
    /// Rows per training window [default: 64, fewer in a short series].
    #[arg(long, value_name = "N", value_parser = whole(1..=1_000_000))]
    pub(crate) steps: Option<usize>,
    /// Windows per training step [default: 32, fewer in a short series].
    #[arg(long, value_name = "N", value_parser = whole(1..=1_000_000))]
    pub(crate) batch: Option<usize>,
    /// Adam's initial learning rate.
    #[arg(long, value_name = "X", default_value_t = 0.003, value_parser = between(0.0, f64::MAX))]
    pub(crate) learning_rate: f64,
    #[command(flatten)]
    pub(crate) readout: ReadoutArgs,
    /// Share of the rows, taken from the end, that is kept for validation.
    #[arg(long, value_name = "X", default_value_t = 0.2, value_parser = between(0.0, 1.0))]
    pub(crate) validation: f64,
    /// Reads the first N rows only, for example the training part, to compare settings without using the validation part.
    #[arg(long, value_name = "N", value_parser = whole(1..=usize::MAX))]
    pub(crate) rows: Option<usize>,
    /// Seed of all random numbers: the same seed gives the same model.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Threads of compiled code; the results do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(1..=1024))]
    pub(crate) threads: usize,
    /// Steps per iteration of compiled loops over time; the results do not depend on it [default: chosen by the compiler].
    #[arg(long, value_name = "N", value_parser = unroll)]
    pub(crate) unroll: Option<Unroll>,
    /// If a loss or gradient is not finite, runs that step again on the interpreted tape and says where it began: the op, its
    /// operands, step and row, and the line of the cell file.
    #[arg(long)]
    pub(crate) trace_nan: bool,
    /// Stops after N epochs in a row without a better validation error, and keeps the best epoch's parameters; 0 trains for all epochs,
    /// and keeps the last's [default: 20; 0 for one series that is forecast row by row].
    #[arg(long, value_name = "N", value_parser = whole(0..=1_000_000))]
    pub(crate) patience: Option<usize>,
    /// Writes the model every N steps, too, so that `resume` can go on after a crash [default: only at the end, or at Ctrl-C].
    #[arg(long, value_name = "N", value_parser = whole(1..=usize::MAX))]
    pub(crate) checkpoint_every: Option<usize>,
    /// Directory for the plots and the trained model, created if missing. With --json, its name must be UTF-8.
    #[arg(long, value_name = "DIR", default_value = "retrograd-out")]
    pub(crate) out: PathBuf,
    /// Prints the results as one JSON object; guesses about the data are in its `notes`.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A message of the library with its options called by their flags.
pub(super) fn with_flags(message: &str) -> String {
    const FLAGS: [(&str, &str); 7] = [
        ("`Csv::gaps`", "`--gaps`"),
        ("`Csv::separator`", "`--separator`"),
        ("`Csv::decimal`", "`--decimal`"),
        ("`Header::None`", "`--header no`"),
        ("`Header::Names`", "`--header yes`"),
        ("`Csv::thousands`", "`--thousands`"),
        ("`Csv::reversed`", "`--reverse`"),
    ];
    let replace = |said: String, (option, flag): (&str, &str)| said.replace(option, flag);
    FLAGS.into_iter().fold(message.to_owned(), replace)
}

/// A mistake in usage as one paragraph: clap's message and its hints, without the summary of the usage.
pub(crate) fn paragraph(e: &clap::Error) -> String {
    let text = e.render().to_string();
    let end = ["\n\nUsage:", "\n\nFor more information"]
        .into_iter()
        .filter_map(|rest| text.find(rest))
        .min();
    let message: Vec<&str> = text[..end.unwrap_or(text.len())]
        .split_whitespace()
        .collect();
    format!("{} (`retrograd --help` tells more)", message.join(" "))
}
