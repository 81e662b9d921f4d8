//! `--config FILE.toml`: flags from a file. Those of the command line win.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory};
use retrograd::files;

use super::args::Cli;

/// Bytes of a file, at most.
const MOST: u64 = 1 << 20;
const FLAG: &str = "config";

/// The command line with the flags of the file that it names. A line that does not parse stays as it is: its mistake is told later.
///
/// # Errors
/// A file that cannot be read, that is no TOML, or that has a flag which the command has not.
pub(super) fn with_file(mut line: Vec<OsString>) -> Result<Vec<OsString>> {
    // What the file may say must not be missing before it is read.
    let lenient = Cli::command().mut_subcommands(|c| c.mut_args(|arg| arg.required(false)));
    let Ok(matches) = lenient.try_get_matches_from(&line) else {
        return Ok(line);
    };
    let Some((name, own)) = matches.subcommand() else {
        return Ok(line);
    };
    let Ok(Some(path)) = own.try_get_one::<PathBuf>(FLAG) else {
        return Ok(line);
    };
    let shown = path.display();
    let text = files::read_text(path, MOST).with_context(|| format!("{shown}: cannot be read"))?;
    let table: toml::Table =
        toml::from_str(&text).map_err(|e| anyhow::anyhow!("{shown}: {}", e.message()))?;
    let root = Cli::command();
    let command = root.find_subcommand(name).expect("it was parsed");
    for (key, value) in &table {
        let flags = flags(command, own, key, value).with_context(|| shown.to_string())?;
        line.extend(flags.into_iter().map(OsString::from));
    }
    Ok(line)
}

/// A key of the file as flags of the command line; none if that has it already.
fn flags(
    command: &Command,
    given: &ArgMatches,
    key: &str,
    value: &toml::Value,
) -> Result<Vec<String>> {
    let mut args = command.get_arguments();
    let Some(arg) = args.find(|a| a.get_long() == Some(key) && key != FLAG) else {
        let longs = command.get_arguments().filter_map(|a| a.get_long());
        let near = super::choice::near(key, longs);
        bail!("there is no flag `{key}`{near}");
    };
    if given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine) {
        return Ok(Vec::new());
    }
    let flag = format!("--{key}");
    if !arg.get_action().takes_values() {
        return match value {
            toml::Value::Boolean(true) => Ok(vec![flag]),
            toml::Value::Boolean(false) => Ok(Vec::new()),
            _ => bail!("`{key}` is true or false"),
        };
    }
    let word = |value: &toml::Value| match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(n) => Ok(n.to_string()),
        toml::Value::Float(x) => Ok(x.to_string()),
        toml::Value::Boolean(yes) => Ok(if *yes { "yes" } else { "no" }.to_owned()),
        _ => bail!("`{key}` is a text, a number or a list of them"),
    };
    let words: Vec<String> = match value {
        toml::Value::Array(all) => all.iter().map(word).collect::<Result<_>>()?,
        one => vec![word(one)?],
    };
    if arg.get_num_args().is_some_and(|n| n.min_values() > 1) {
        return Ok(std::iter::once(flag).chain(words).collect());
    }
    Ok(match arg.get_value_delimiter() {
        Some(delimiter) => vec![format!("{flag}={}", words.join(&delimiter.to_string()))],
        None => words.iter().map(|word| format!("{flag}={word}")).collect(),
    })
}
