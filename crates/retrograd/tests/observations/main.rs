//! Observations: reading, splitting, standardising and cutting into windows, in one binary so that it links once.

mod csv;
mod guesses;
mod locales;
mod windows;

/// The names as owned strings.
fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
