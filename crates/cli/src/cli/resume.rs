//! `retrograd resume`: goes on with a training that was stopped.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Parser;
use retrograd::Checkpoint;

use super::args::{Cli, Command, DataSource, RoleArgs};
use super::labels::LabelArgs;
use super::run::Request;
use super::saved;

/// Arguments of `retrograd resume`.
#[derive(Debug, clap::Args)]
pub(crate) struct Resume {
    /// The model that `train` left.
    #[arg(value_name = "MODEL.safetensors")]
    model: PathBuf,
    /// The table (or manifest) that the training began with, if it is elsewhere now.
    #[arg(long, value_name = "FILE.csv")]
    data: Option<PathBuf>,
    /// The recordings that the training began with, if they are elsewhere now.
    #[arg(long, num_args = 2, value_names = ["DRY.wav", "WET.wav"])]
    wav: Option<Vec<PathBuf>>,
    /// Prints the results as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The request of a training that is saved.
///
/// # Errors
/// A file that was not saved by `train`.
pub(super) fn request(args: &Resume) -> Result<Request> {
    let saved: Checkpoint = Checkpoint::read(&args.model)?;
    let mut request = of_saved(&saved, &args.model)?;
    match (&mut request.source, &args.data, &args.wav) {
        (DataSource::File(table), Some(path), None) => match &mut request.labels.manifest {
            Some(manifest) => manifest.clone_from(path),
            None => table.path = Some(path.clone()),
        },
        (DataSource::Wav(pair), None, Some(_)) => pair.wav.clone_from(&args.wav),
        (_, None, None) => {}
        (DataSource::Wav(_), ..) => {
            bail!("the training began with recordings, --wav DRY.wav WET.wav")
        }
        _ => bail!("the training began with a table, --data FILE.csv"),
    }
    let out = args.model.parent().map(PathBuf::from).unwrap_or_default();
    request.options.out = match out.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => out,
    };
    request.options.json = args.json;
    request.resume = Some(args.model.clone());
    Ok(request)
}

/// The request that a saved training began with.
///
/// # Errors
/// A file that was not saved by `train`.
pub(super) fn of_saved(saved: &Checkpoint, path: &std::path::Path) -> Result<Request> {
    let command = saved::command(saved, path)?;
    let line = std::iter::once("retrograd".to_owned()).chain(command.iter().cloned());
    let cli = Cli::try_parse_from(line);
    let cli = cli.ok().with_context(|| {
        format!(
            "{}: this version does not know the flags of its training",
            path.display()
        )
    })?;
    let (source, roles, labels, options) = match cli.command {
        Some(Command::Train(train)) => (train.source(), train.roles, train.labels, train.options),
        None => (
            DataSource::SeattleWeather,
            RoleArgs::default(),
            LabelArgs::default(),
            cli.options,
        ),
        Some(_) => bail!("{}: it was not saved by `retrograd train`", path.display()),
    };
    Ok(Request {
        source,
        roles,
        labels,
        options,
        command,
        resume: None,
    })
}
