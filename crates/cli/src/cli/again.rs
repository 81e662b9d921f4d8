//! A training that is done again, on the rows that were known at an origin of a backtest.

use std::path::Path;

use anyhow::{Result, bail};
use retrograd::data::Panel;
use retrograd::fit::Stopped;
use retrograd::forecast::{Examples, Model};
use retrograd::{Checkpoint, Trainer};

use super::choice::Choice;
use super::interrupt;
use super::run::{Kept, Request, validation_windows};
use super::saved;
use super::table::Table;
use super::train;

/// A saved training, to be done again on other rows.
pub(super) struct Again {
    request: Request,
    saved: Checkpoint,
}

impl Again {
    /// That of a file.
    pub(super) fn of(path: &Path) -> Result<Again> {
        let saved = Checkpoint::read(path)?;
        let request = super::resume::of_saved(&saved, path)?;
        interrupt::watch();
        Ok(Again { request, saved })
    }

    /// Trains on a panel as it was done, tested on the last rows as then.
    pub(super) fn train(&self, panel: &Panel) -> Result<Model> {
        let options = &self.request.options;
        let table = Table {
            name: String::new(),
            embedded: false,
            panel: panel.clone(),
        };
        let roles = &self.request.roles;
        let options = &train::options(options, &table, roles);
        let (training, validation) = table.split(options.validation)?;
        let columns = roles.of(panel)?;
        let setup = train::setup(&table, &training, roles, columns, options.steps)?;
        let there = match &options.cell {
            Choice::Zoo(_) => true,
            Choice::File(path) => path.exists(),
        };
        let saved = (!there).then_some(&self.saved);
        let categories = setup.embeddings();
        let widths = train::widths(&setup, &categories);
        let forecaster = saved::forecaster(&options.cell, options, widths, saved)?;
        let setup = setup
            .ports(forecaster.ports())
            .head(forecaster.head.clone());
        let examples = Examples::new(&setup, panel, &training, forecaster.once())?;
        let ends = validation_windows(&setup, &table, &validation, &forecaster)?;
        let measure = |trainer: &mut Trainer| match &ends {
            Some(ends) => Ok(train::window_error(ends, trainer)?),
            None => Ok(f64::NAN),
        };
        let mut trainer = train::trainer(&forecaster, &examples, options)?;
        let trained = train::train(&mut trainer, &examples, options, None, &measure)?;
        if trained.stopped == Stopped::Asked && interrupt::asked() {
            bail!("stopped; a backtest that trains begins anew");
        }
        let model = Model::new(&trainer.checkpoint(), &setup)?;
        Ok(Kept::of(model, panel, &validation)?.model)
    }
}
