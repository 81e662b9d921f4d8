//! Data, baselines and plots: everything around the engine, in one binary so that it links once.

mod baseline;
mod csv;
mod plot;
mod windows;

/// The names as owned strings.
fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
