//! Pictures: whole files of the right kind and size. They are left in target/tmp for a look.

use std::path::PathBuf;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use retrograd::data::{Series, Split};
use retrograd_plot::{
    Figure, ForecastPlot, LossPlot, PlotError, Range, RangePanel, RangePlot, Reference,
};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Width and height of a PNG that is whole from signature to end chunk.
fn png_size(name: &str) -> (u32, u32) {
    let bytes = std::fs::read(path(name)).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"));
    assert_eq!(bytes[bytes.len() - 8..][..4], *b"IEND");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

fn svg(name: &str) -> String {
    let text = std::fs::read_to_string(path(name)).unwrap();
    assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
    assert!(
        text.contains("font-family=\"DejaVu Sans, Noto Sans,") && text.contains(", sans-serif\"")
    );
    assert!(!text.contains("NaN") && !text.contains("inf"));
    text
}

/// A run that falls from `from` to `to` with noise.
fn falling(from: f64, to: f64, steps: usize) -> LossPlot {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let law = |step: usize| to + (from - to) * (-(step as f64) / (steps as f64 / 8.0)).exp();
    let training = (0..steps)
        .map(|s| law(s) * rng.random_range(0.85..1.15))
        .collect();
    let validation = (0..=steps)
        .step_by(steps / 30)
        .map(|s| (s, law(s) * 1.06))
        .collect();
    let reference = |name: String, loss| Reference { name, loss };
    LossPlot {
        title: "keepwrite on Seattle weather: loss by step".to_owned(),
        loss_name: "mean squared error (standardised units)".to_owned(),
        training,
        validation,
        references: vec![
            reference("persistence (next = last)".to_owned(), 0.931),
            reference("training mean".to_owned(), 1.012),
            reference("autoregression (7 rows)".to_owned(), 0.553),
        ],
    }
}

fn forecast() -> ForecastPlot {
    let weather = Series::seattle_weather();
    let (_, validation) = weather.split(Split::Fraction(0.2)).unwrap();
    // Each day as the day before.
    let n = weather.columns();
    let predicted = weather.rows()[(validation.start - 1) * n..(validation.end - 1) * n].to_vec();
    let title = "persistence on Seattle weather: tomorrow's four numbers";
    ForecastPlot::of_series(title, &weather, validation, &predicted, 120).unwrap()
}

#[test]
fn the_loss_plot_is_a_png_and_an_svg_with_every_line_labelled() {
    let plot = falling(1.1, 0.54, 1200);
    plot.write_png(path("loss.png")).unwrap();
    plot.write_svg(path("loss.svg")).unwrap();
    assert_eq!(png_size("loss.png"), (1600, 900));
    let text = svg("loss.svg");
    for label in [
        "training step",
        "mean squared error (standardised units)",
        "training, each step",
        "validation: ",
        "persistence (next = last): 0.931",
        "training mean: 1.012",
        "autoregression (7 rows): 0.553",
    ] {
        assert!(text.contains(label), "{label}");
    }
}

#[test]
fn a_loss_over_orders_of_magnitude_gets_a_logarithmic_axis() {
    let plot = falling(3.0, 0.002, 600);
    plot.write_png(path("loss-log.png")).unwrap();
    plot.write_svg(path("loss-log.svg")).unwrap();
    let text = svg("loss-log.svg");
    for tick in [">\n0.01\n<", ">\n0.1\n<", ">\n1\n<"] {
        assert!(text.contains(tick), "{tick}");
    }
}

#[test]
fn a_diverged_run_a_single_step_and_a_long_name_are_drawn_all_the_same() {
    let mut diverged = falling(1.0, 0.5, 60);
    diverged.training[40..].fill(f64::NAN);
    diverged.validation.push((60, f64::INFINITY));
    diverged.references[1].loss = f64::NAN;
    diverged.references[0].name = "a baseline <with> a name that is far too long".to_owned();
    diverged.write_svg(path("loss-nan.svg")).unwrap();
    assert!(svg("loss-nan.svg").contains("a baseline &lt;with&gt; a name tha…"));
    assert!(svg("loss-nan.svg").contains("validation: not finite at the end"));
    let single = LossPlot {
        training: vec![0.7],
        ..LossPlot::default()
    };
    single.write_png(path("loss-single.png")).unwrap();
    let nothing_finite = LossPlot {
        training: vec![f64::NAN; 3],
        ..LossPlot::default()
    };
    nothing_finite.write_svg(path("loss-nothing.svg")).unwrap();
    svg("loss-nothing.svg");
}

#[test]
fn the_forecast_plot_has_a_panel_a_column_with_units_and_dates() {
    let plot = forecast();
    assert_eq!(plot.x_labels.len(), 120);
    assert_eq!(plot.panels[3].observed[119], 3.5, "the last day's wind");
    plot.write_png(path("forecast.png")).unwrap();
    plot.write_svg(path("forecast.svg")).unwrap();
    let (width, height) = png_size("forecast.png");
    assert!(width == 1600 && height > 900);
    let text = svg("forecast.svg");
    for label in [
        "precipitation (mm)",
        "temp_max (°C)",
        "wind (m/s)",
        "2015/12/01",
        "observed",
        "predicted",
        ">\ndate\n<",
    ] {
        assert!(text.contains(label), "{label}");
    }
}

#[test]
fn a_forecast_without_labels_of_one_row_or_many_columns_is_drawn() {
    let many: Vec<String> = (0..12).map(|k| format!("column {k}")).collect();
    let series = Series::new(many, (0..48).map(f64::from).collect()).unwrap();
    let plot = ForecastPlot::of_series("many", &series, 3..4, &[1.0; 12], 120).unwrap();
    assert_eq!(
        (plot.x_name.as_str(), &plot.x_labels[..]),
        ("row", &["3".to_owned()][..])
    );
    plot.write_svg(path("forecast-many.svg")).unwrap();
    assert!(svg("forecast-many.svg").contains("many (first 8 of 12 columns)"));
}

#[test]
fn texts_that_the_font_lacks_are_seen() {
    let titled = |title: &str| {
        let mut plot = falling(1.0, 0.5, 60);
        plot.title = title.to_owned();
        plot.write_png(path("script.png")).unwrap();
        png_size("script.png");
        plot.write_svg(path("script.svg")).unwrap();
        let text = svg("script.svg");
        roxmltree::Document::parse(&text).unwrap();
        assert!(text.contains(title), "{title}");
        std::fs::read(path("script.png")).unwrap()
    };
    let empty = titled("");
    for script in ["Ω μέτρο", "дождь", "日本語", "🎉", "ไทย", "\u{e000}"] {
        assert!(titled(script) != empty, "{script}: nothing is drawn");
    }
    // Installed fonts are not those of every machine, but no font has this one.
    assert_eq!(retrograd_plot::undrawable("a\u{e000}"), ['\u{e000}']);
    assert!(
        titled("\u{e000}") == titled("\u{fffd}"),
        "a sign stands for it"
    );
}

#[test]
fn nothing_to_plot_lengths_that_differ_and_a_missing_directory_are_errors() {
    let empty = LossPlot::default().write_png(path("none.png")).unwrap_err();
    assert!(matches!(empty, PlotError::NoData(_)));
    let mut plot = forecast();
    let missing = path("no/such/dir/plot");
    for result in [plot.write_png(&missing), plot.write_svg(&missing)] {
        let error = result.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("no/such/dir/plot: cannot be written: No such file"),
            "{error}"
        );
    }
    plot.panels[2].predicted.pop();
    let error = plot.write_svg(path("none.svg")).unwrap_err().to_string();
    assert_eq!(
        error,
        "predicted values of \"temp_min\": found 119 values, expected 120"
    );
    assert!(ForecastPlot::of_series("x", &Series::sunspots(), 300..309, &[0.0; 8], 120).is_err());
}

#[test]
fn denormals_outliers_and_the_greatest_numbers_are_drawn_at_once() {
    let start = std::time::Instant::now();
    for extremes in [
        [5e-324, 1e-310],
        [1e-320, 1e10],
        [0.0, 1e-300],
        [f64::MIN, f64::MAX],
        [f64::MAX, f64::MAX],
    ] {
        let plot = LossPlot {
            training: extremes.repeat(30),
            validation: vec![(0, extremes[0]), (60, extremes[1])],
            ..falling(1.0, 0.5, 60)
        };
        plot.write_svg(path("loss-extreme.svg")).unwrap();
        svg("loss-extreme.svg");
        let mut plot = forecast();
        plot.panels[0].observed = extremes.repeat(60);
        plot.write_png(path("forecast-extreme.png")).unwrap();
        plot.write_svg(path("forecast-extreme.svg")).unwrap();
        svg("forecast-extreme.svg");
    }
    // The axes once took minutes.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn names_that_are_long_or_hold_control_characters_give_a_whole_picture() {
    let mut plot = forecast();
    let name = format!("a\u{1b}[31m\u{0}\u{202e}<&{}", "x".repeat(1 << 20));
    plot.title.clone_from(&name);
    plot.x_name.clone_from(&name);
    plot.panels[0].name.clone_from(&name);
    plot.x_labels.fill(name.clone());
    plot.write_svg(path("forecast-names.svg")).unwrap();
    let text = svg("forecast-names.svg");
    assert!(text.len() < 1 << 20);
    roxmltree::Document::parse(&text).unwrap();
    let range = |k: usize| Range {
        name: format!("{k}{name}"),
        ..Range::default()
    };
    let ranges = |count: usize| {
        let panel = RangePanel {
            title: name.clone(),
            x_name: name.clone(),
            ranges: (0..count).map(range).collect(),
            reference: Some(Reference {
                name: name.clone(),
                loss: 0.5,
            }),
        };
        Figure::Ranges(RangePlot {
            title: name.clone(),
            panels: vec![panel],
        })
    };
    roxmltree::Document::parse(&ranges(3).svg().unwrap()).unwrap();
    let error = ranges(300).svg().unwrap_err().to_string();
    assert_eq!(
        error,
        "the picture would be 13472 pixels high; at most 12000 are drawn: plot fewer panels or rows"
    );
}

#[test]
fn hours_are_labelled_as_hours_and_rows_to_come_have_their_interval() {
    let hour = |k: usize| format!("2024-03-{:02} {:02}:00:00", 1 + k / 24, k % 24);
    let known = 40;
    let panel = retrograd_plot::ForecastPanel {
        name: "load".to_owned(),
        unit: None,
        observed: (0..60)
            .map(|k| if k < known { k as f64 } else { f64::NAN })
            .collect(),
        predicted: (0..60)
            .map(|k| if k < known { f64::NAN } else { 40.0 })
            .collect(),
        band: (0..60)
            .map(|k| {
                if k < known {
                    (f64::NAN, f64::NAN)
                } else {
                    (30.0, 900.0)
                }
            })
            .collect(),
    };
    let plot = ForecastPlot {
        title: "load".to_owned(),
        x_name: "time".to_owned(),
        x_labels: (0..60).map(hour).collect(),
        panels: vec![panel],
    };
    plot.write_svg(path("hours.svg")).unwrap();
    let text = svg("hours.svg");
    assert!(
        text.contains("2024-03-01 00:00") && !text.contains(":00:00"),
        "{text}"
    );
    assert!(
        text.contains("800") && text.contains("<polygon"),
        "the interval is in the axis, and drawn"
    );
    let short = ForecastPlot {
        x_labels: Vec::new(),
        ..plot
    };
    assert!(short.write_svg(path("none.svg")).is_err());
}
