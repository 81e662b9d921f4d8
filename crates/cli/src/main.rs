//! The program `retrograd`: trains a cell on a table of observations and reports how well it forecasts and how fast it ran.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
