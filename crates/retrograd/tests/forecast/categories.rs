//! Categories: a level that depends on one is learned with it and not without; what is not known is the mean of what is.

use retrograd::data::{Csv, Gaps, Panel};
use retrograd::fit::Fit;
use retrograd::forecast::{Columns, Embedding, Examples, ForecastError, Model, Setup};
use retrograd::zoo::Forecaster;
use retrograd::{Adam, Checkpoint, Trainer};

use super::names;

const KINDS: [(&str, f64); 4] = [
    ("kiosk", 3.0),
    ("market", -2.0),
    ("mall", 8.0),
    ("fair", -5.0),
];

/// What is sold depends on the kind of the day alone, which changes at random and is known ahead.
fn text(rows: usize) -> String {
    let mut seed = 7_u32;
    let mut out = "day,kind,sold\n".to_owned();
    for row in 0..rows {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (kind, level) = KINDS[(seed >> 20) as usize % 4];
        out += &format!("{row},{kind},{level}\n");
    }
    out
}

fn panel(text: &str, with: bool) -> Panel {
    let csv = Csv::new().columns(["sold"]);
    let csv = if with { csv.texts(["kind"]) } else { csv };
    csv.parse_panel(text, "sales.csv").unwrap()
}

fn setup(panel: &Panel, with: bool) -> Setup {
    let known = if with { names(&["kind"]) } else { Vec::new() };
    let columns = Columns::of(panel.names(), Some(&names(&["sold"])), &known, &[]).unwrap();
    Setup::fit(columns, panel, &[0..300]).unwrap().steps(16)
}

fn trained(panel: &Panel, setup: &Setup) -> Trainer {
    let categories = setup.embeddings();
    let cell = Forecaster::new(setup.inputs()).targets(setup.outputs());
    let cell = cell.cell("leaky", |c, x| {
        let x = Embedding::read(&categories, c, x);
        let h = c.state("h", 8);
        c.next(h, c.dense("new", 8, [x, h]).tanh())
    });
    let mut trainer = Trainer::builder(cell.unwrap(), Adam::new(1e-2))
        .seed(3)
        .build()
        .unwrap();
    let examples = Examples::new(setup, panel, &[0..300], false).unwrap();
    let mut order = examples.order(16, 4, 1).unwrap();
    Fit::new(150)
        .run(&mut trainer, |epoch| order.epoch(epoch))
        .unwrap();
    trainer
}

/// The mean squared error of the rows that were not trained on, in standardised units.
fn error(panel: &Panel, setup: &Setup, trainer: &mut Trainer) -> f64 {
    let ends = Examples::new(setup, panel, &[290..400], false).unwrap();
    ends.error(trainer, 90).unwrap()
}

#[test]
fn a_level_that_depends_on_a_category_is_learned_with_it_and_not_without() {
    let text = text(400);
    let errors = [true, false].map(|with| {
        let panel = panel(&text, with);
        let setup = setup(&panel, with);
        let mut trainer = trained(&panel, &setup);
        error(&panel, &setup, &mut trainer)
    });
    assert!(errors[0] < 0.01, "{errors:?}");
    // There is nothing else to know it from: no better than the mean.
    assert!(errors[1] > 0.8, "{errors:?}");
}

#[test]
fn a_saved_model_forecasts_the_same_bits_and_numbers_categories_by_its_own_table() {
    let panel = panel(&text(400), true);
    assert!(
        panel
            .notes()
            .iter()
            .any(|n| n.to_string() == "column \"kind\" holds 4 categories")
    );
    let setup = setup(&panel, true);
    let trainer = trained(&panel, &setup);
    let model = Model::new(&trainer.checkpoint(), &setup).unwrap();
    let path = std::env::temp_dir().join(format!(
        "retrograd-categories-{}.safetensors",
        std::process::id()
    ));
    model.keep_in(trainer.checkpoint()).write(&path).unwrap();
    let opened = Model::open(&path).unwrap();
    let saved: Checkpoint = Checkpoint::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    assert_eq!(opened.setup(), model.setup());

    // The future names categories in another order than the past.
    let future = |kinds: &[&str]| {
        let rows: String = kinds
            .iter()
            .enumerate()
            .map(|(k, kind)| format!("{},{kind}\n", 400 + k))
            .collect();
        let csv = Csv::new().columns(["kind"]).categorical(["kind"]);
        csv.parse_panel(&format!("day,kind\n{rows}"), "future.csv")
            .unwrap()
    };
    let forecast = |model: &Model, kind: &str| {
        let future = future(&[kind]);
        model.forecast(&panel, 1, Some(&future), &[]).unwrap()[0].values[0]
    };
    for (kind, level) in KINDS {
        let value = forecast(&opened, kind);
        assert!((value - level).abs() < 0.5, "{kind}: {value}");
        assert_eq!(value.to_bits(), forecast(&model, kind).to_bits());
    }

    // What is not known is read as the mean row of the table, and told.
    let unknown = future(&["harbour", "mall"]);
    assert_eq!(
        opened.setup().unknown(&unknown),
        [("kind".to_owned(), names(&["harbour"]))]
    );
    let value = forecast(&opened, "harbour");
    let cell = saved.cell().unwrap();
    let (mut parameters, mut start) = (Vec::new(), 0);
    for p in cell.parameter_specs() {
        let own = &saved.parameters()[start..start + p.shape.len()];
        start += own.len();
        let mut own = own.to_vec();
        if p.name == "category.1" {
            let width = p.shape.axes()[1];
            for k in 0..width {
                let mean = (1..5)
                    .map(|row| f64::from(own[row * width + k]))
                    .sum::<f64>()
                    / 4.0;
                own[k] = mean as f32;
            }
        }
        parameters.extend(own);
    }
    let mut stepper = cell.stepper(&parameters).build().unwrap();
    // Standardised by hand.
    let series = &panel.series()[0];
    let sold: Vec<f64> = (0..400).map(|row| series.row(row)[0]).collect();
    let mean = sold[..300].iter().sum::<f64>() / 300.0;
    let scale = (sold[..300].iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 300.0).sqrt();
    let place = |row: usize| -> f32 {
        let of = |text: &str| {
            opened.setup().categories()[0]
                .texts
                .iter()
                .position(|t| t == text)
        };
        let known =
            (row < 400).then(|| &series.categories(1).unwrap()[series.row(row)[1] as usize]);
        known
            .and_then(|text| of(text))
            .map_or(0.0, |p| (p + 1) as f32)
    };
    for (row, sold) in sold.iter().enumerate().take(400) {
        stepper
            .step(&[&[((sold - mean) / scale) as f32, place(row + 1)]])
            .unwrap();
    }
    let expected = f64::from(stepper.output("y").unwrap()[0]) * scale + mean;
    assert!((value - expected).abs() < 1e-4, "{value} {expected}");
}

#[test]
fn what_is_no_category_is_told() {
    let table = "day,kind,sold\n1,a,1\n2,,2\n3,b,3\n4,a,4\n";
    let csv = Csv::new().columns(["sold"]);
    let read = |gaps| csv.clone().texts(["kind"]).gaps(gaps).parse(table, "x.csv");
    assert!(
        read(Gaps::Refuse)
            .unwrap_err()
            .to_string()
            .contains("line 3, column \"kind\"")
    );
    // There is nothing between two categories: the one before.
    let filled = read(Gaps::Linear).unwrap();
    assert_eq!(filled.column(1).collect::<Vec<_>>(), [0.0, 0.0, 1.0, 0.0]);
    // Numbers are categories if that is said, however they are written.
    let numbers = "day,week,sold\n1,1,1\n2,01.0,2\n3,2,3\n";
    let as_numbers = csv.clone().texts(["week"]).parse(numbers, "x.csv").unwrap();
    assert!(as_numbers.categories(1).is_none());
    let said = csv
        .clone()
        .categorical(["week"])
        .parse(numbers, "x.csv")
        .unwrap();
    assert_eq!(said.categories(1).unwrap(), names(&["1", "2"]));
    // One is not forecast.
    let panel = Panel::from(said);
    let columns = Columns::of(panel.names(), None, &[], &[]).unwrap();
    let error = Setup::fit(columns, &panel, &[0..3]).unwrap_err();
    assert!(
        matches!(error, ForecastError::Request(_))
            && error.to_string().contains("are not forecast")
    );
}

#[test]
fn places_of_categories_are_those_of_the_input() {
    let rows = "day,a,k,s,sold\n1,x,p,m,1\n2,y,q,m,2\n3,x,p,m,3\n4,x,q,m,4\n5,y,p,m,5\n6,x,q,m,6\n";
    let csv = Csv::new().columns(["sold"]).texts(["a", "k", "s"]);
    let panel = csv.parse_panel(rows, "x.csv").unwrap();
    let columns = Columns::of(
        panel.names(),
        Some(&names(&["sold"])),
        &names(&["k"]),
        &names(&["s"]),
    )
    .unwrap();
    let setup = Setup::fit(columns, &panel, &[0..6])
        .unwrap()
        .horizon(2)
        .steps(2);
    // sold, a; k of the next row, of the one after; s.
    assert_eq!(setup.inputs(), 5);
    let categories = setup.embeddings();
    assert_eq!(
        Embedding::width(&categories, 5),
        5,
        "each is one number wide"
    );
    let examples = Examples::new(&setup, &panel, &[0..6], false).unwrap();
    let batch = examples.batch(&[0]).unwrap();
    // Row 0: x is number 1; k is q (2) and p (1); s is m (1).
    let x = batch.array("x").unwrap();
    assert_eq!(x[1..5], [1.0, 2.0, 1.0, 1.0]);
    let cell = Forecaster::new(5).targets(2).cell("sum", |c, x| {
        let x = Embedding::read(&categories, c, x);
        c.dense("d", 3, [x])
    });
    let names: Vec<String> = cell
        .unwrap()
        .parameter_specs()
        .map(|p| p.name.to_owned())
        .collect();
    assert_eq!(names[..3], ["category.1", "category.2", "category.3"]);
}
