//! What a forecast may depend on, and models that do not fit their table.

use retrograd::data::Series;
use retrograd::fit::Fit;
use retrograd::forecast::{
    Backtest, Examples, ForecastError, Head, Model, Ports, Setup, reads_no_later_row,
};
use retrograd::{Adam, Cell, Sgd, Trainer};

use super::{all, linear, model, names, waves};

#[test]
fn an_encoder_of_the_window_may_read_all_of_it_and_forecasts_what_comes_after() {
    let text = "use gru\ncell both(x[I]) where I=2, H=6, O=6\nlayer past = gru(x, H=H)\n\
                layer back = gru(x, H=H, reverse=1)\noutput y = dense[O](last(past), first(back))\n\
                target next[O] over row\nloss mean(square(y - next))";
    let panel = waves(200);
    let setup = Setup::fit(all(&panel), &panel, &[0..160])
        .unwrap()
        .steps(12)
        .horizon(3);
    let cell = Cell::from_text(text, &[]).unwrap();
    assert!(reads_no_later_row(&cell, "y").is_ok());
    let mut trainer = Trainer::builder(cell, Adam::new(1e-2))
        .seed(2)
        .build()
        .unwrap();
    let examples = Examples::new(&setup, &panel, &[0..160], true).unwrap();
    let held_out = Examples::new(&setup, &panel, &[150..200], true).unwrap();
    let before = held_out.error(&mut trainer, 100).unwrap();
    let mut order = examples.order(16, 2, 1).unwrap();
    Fit::new(60)
        .run(&mut trainer, |epoch| order.epoch(epoch))
        .unwrap();
    let after = held_out.error(&mut trainer, 100).unwrap();
    assert!(after < 0.1 * before, "{after} {before}");
    let model = Model::new(&trainer.checkpoint(), &setup).unwrap();
    let report = model
        .backtest(&panel, &[160..200], &Backtest::new(3))
        .unwrap();
    assert!(report.mase[0].unwrap() < report.naive_mase[0].unwrap());
    let far = model.forecast(&panel, 4, None, &[]).unwrap_err();
    assert!(far.to_string().contains("horizon of 4"), "{far}");
}

#[test]
fn a_cell_that_reads_what_it_is_to_forecast_is_refused() {
    let with = |line: &str| {
        let text = format!(
            "use gru\ncell c(x[2]; b[2] delay -1) where H=2\nb' = x + 0.5 * b\nlayer f = gru(x, H=H)\n{line}\n\
             target next[2]\nloss mean(square(y - next))"
        );
        reads_no_later_row(&Cell::from_text(&text, &[]).unwrap(), "y")
    };
    for (line, why) in [
        ("output y = b' + f", "later rows"),
        ("output y = f - mean(x, to=row)", "sum over all steps"),
        ("output y = f + last(x)", "later rows"),
        ("output y = 0.5 * next + f", "depends on the target `next`"),
    ] {
        let line = if line.contains("next") {
            format!("target next0[2]\n{}", line.replace("next", "next0"))
        } else {
            line.to_owned()
        };
        let error = with(&line).unwrap_err().to_string();
        let why = why.replace("`next`", "`next0`");
        assert!(error.contains(&why), "{line}: {error}");
    }
    assert!(
        with("output y = f\noutput look = b'").is_ok(),
        "other outputs may look"
    );
    let cell = Cell::from_text("cell c(x[2])\noutput y = 2 * x", &[]).unwrap();
    assert!(matches!(
        reads_no_later_row(&cell, "z"),
        Err(ForecastError::Request(_))
    ));
}

#[test]
fn a_model_must_fit_its_table() {
    let panel = waves(60);
    let setup = Setup::fit(all(&panel), &panel, &[0..50]).unwrap();
    let cell = linear(3, 2);
    let trainer = Trainer::builder(cell, Sgd::new(0.1)).build().unwrap();
    let error = Model::new(&trainer.checkpoint(), &setup)
        .unwrap_err()
        .to_string();
    assert!(error.contains("reads 3 numbers of a row"), "{error}");
    let ports = Ports {
        output: "forecast".to_owned(),
        ..Ports::default()
    };
    let error = Model::new(&trainer.checkpoint(), &setup.clone().ports(ports))
        .unwrap_err()
        .to_string();
    assert!(error.contains("no output `forecast`"), "{error}");
    let fits = model(&setup, &[1.0, 0.0, 0.0, 1.0]);
    assert!(fits.forecast(&panel, 0, None, &[]).is_err());
    assert!(fits.forecast(&panel, 1, None, &[1.0]).is_err());
    let other = Series::new(names(&["a", "c"]), vec![0.0; 4]).unwrap();
    assert!(
        fits.forecast(&other.into(), 1, None, &[])
            .unwrap_err()
            .to_string()
            .contains("no column \"b\"")
    );
    let short = setup.clone().steps(49).horizon(9);
    let error = Examples::new(&short, &panel, &[0..50], false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("needs at least 58"), "{error}");
    assert_eq!(setup.distribution(), &Head::Point);
}
