//! No text leaves the page and no two texts overlap, whatever the data.

use std::cell::RefCell;

use plotters::style::RGBColor;
use retrograd::classify::Report;

use crate::canvas::{Anchor, Canvas, Lettering, PixelPoint, text_width};
use crate::{
    Axis, Bar, BarPanel, BarPlot, Curve, Figure, ForecastPanel, ForecastPlot, HeatInput, HeatMap,
    HeatPlot, LinePanel, LinePlot, LossPlot, PlotError, Range, RangePanel, RangePlot, Reference,
    ShareTile, TileGroup, TilePlot, loss,
};

/// Keeps the box of every text: left, top, right, bottom; and the extremes of everything else.
#[derive(Default)]
struct Boxes {
    texts: RefCell<Vec<(String, [f64; 4])>>,
    points: RefCell<Vec<PixelPoint>>,
}

impl Canvas for Boxes {
    fn line(&self, points: &[PixelPoint], _: f64, _: RGBColor) -> Result<(), PlotError> {
        self.points.borrow_mut().extend(points);
        Ok(())
    }

    fn area(&self, corners: &[PixelPoint], _: RGBColor, _: f64) -> Result<(), PlotError> {
        self.points.borrow_mut().extend(corners);
        Ok(())
    }

    fn rect(&self, from: PixelPoint, to: PixelPoint, _: RGBColor) -> Result<(), PlotError> {
        self.points.borrow_mut().extend([from, to]);
        Ok(())
    }

    fn disc(&self, centre: PixelPoint, _: f64, _: RGBColor) -> Result<(), PlotError> {
        self.points.borrow_mut().push(centre);
        Ok(())
    }

    fn text(
        &self,
        text: &str,
        (x, y): PixelPoint,
        anchor: Anchor,
        lettering: Lettering,
    ) -> Result<(), PlotError> {
        let width = text_width(text, lettering);
        let left = match anchor {
            Anchor::Start => x,
            Anchor::Middle => x - width / 2.0,
            Anchor::End => x - width,
        };
        // DejaVu Sans: capitals rise 0.73 em, descenders reach 0.24 em below the baseline.
        let area = [
            left,
            y - 0.76 * lettering.em,
            left + width,
            y + 0.24 * lettering.em,
        ];
        self.texts.borrow_mut().push((text.to_owned(), area));
        Ok(())
    }
}

impl Boxes {
    fn check(&self, (width, height): (u32, u32)) {
        let (width, height) = (f64::from(width), f64::from(height));
        let texts = self.texts.borrow();
        for (k, (text, a)) in texts.iter().enumerate() {
            let inside = a[0] >= 0.0 && a[1] >= 0.0 && a[2] <= width && a[3] <= height;
            assert!(inside, "{text:?} leaves the page: {a:?}");
            for (other, b) in &texts[..k] {
                let apart = a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
                assert!(apart, "{text:?} and {other:?} overlap: {a:?}, {b:?}");
            }
        }
        let inside =
            |&(x, y): &PixelPoint| (0.0..=width).contains(&x) && (0.0..=height).contains(&y);
        assert!(self.points.borrow().iter().all(inside));
    }
}

fn check_loss(training: Vec<f64>, references: &[(&str, f64)]) {
    let reference = |&(name, loss): &(&str, f64)| Reference {
        name: name.to_owned(),
        loss,
    };
    let plot = LossPlot {
        title: "a title that goes on and on ".repeat(8),
        loss_name: "mean squared error (standardised units)".to_owned(),
        validation: training.iter().copied().enumerate().step_by(7).collect(),
        training,
        references: references.iter().map(reference).collect(),
    };
    let boxes = Boxes::default();
    plot.draw(&boxes).unwrap();
    boxes.check(loss::SIZE);
}

#[test]
fn the_texts_of_a_loss_plot_stay_on_the_page_and_apart() {
    let close = [
        ("persistence", 0.5),
        ("mean", 0.5001),
        ("ar7", 0.4999),
        ("a name of many letters and more", 0.5),
    ];
    check_loss(
        (0..200).map(|k| 0.5 + 1.0 / f64::from(k + 1)).collect(),
        &close,
    );
    check_loss(
        (0..200).map(|k| (-f64::from(k) / 5.0).exp()).collect(),
        &close,
    );
    check_loss((0..12_345).map(|k| f64::from(k).sin()).collect(), &close);
    check_loss(
        vec![1e30, 0.3, f64::INFINITY, 1e-9, f64::NAN],
        &[("one", -5.0), ("two", 1e12)],
    );
    check_loss(vec![0.0], &[]);
    check_loss(vec![0.123_456; 3], &[("same", 0.123_456)]);
}

#[test]
fn the_texts_of_a_forecast_plot_stay_on_the_page_and_apart() {
    let date = |k: usize| format!("2015-{:02}-{:02}", 1 + k / 28 % 12, 1 + k % 28);
    let labellings: [fn(usize) -> String; 3] = [
        |k| k.to_string(),
        |k| format!("a label of many letters, {k}"),
        |_| String::new(),
    ];
    for rows in [1, 2, 9, 120, 121, 500, 3000] {
        for label in labellings
            .iter()
            .map(|l| *l as fn(usize) -> String)
            .chain([date as fn(usize) -> String])
        {
            let panel = |name: &str, scale: f64| ForecastPanel {
                name: name.to_owned(),
                unit: Some("°C".to_owned()),
                observed: (0..rows).map(|k| scale * (k as f64 * 0.3).sin()).collect(),
                predicted: (0..rows).map(|k| scale * (k as f64 * 0.3).cos()).collect(),
                band: (0..rows)
                    .map(|k| match k % 7 {
                        0 => (f64::NAN, scale),
                        _ => (-scale, 1.5 * scale),
                    })
                    .collect(),
            };
            let plot = ForecastPlot {
                title: "forecast".to_owned(),
                x_name: "date".to_owned(),
                x_labels: (0..rows).map(label).collect(),
                panels: vec![
                    panel("small", 1e-7),
                    panel("large", 3e8),
                    panel("flat", 0.0),
                    panel(&"long name ".repeat(20), 7.0),
                ],
            };
            let boxes = Boxes::default();
            plot.draw(&boxes).unwrap();
            boxes.check(plot.size());
        }
    }
}

fn check(figure: &Figure) {
    let boxes = Boxes::default();
    figure.draw(&boxes).unwrap();
    boxes.check(figure.size());
}

#[test]
fn the_texts_of_curves_stay_on_the_page_and_apart() {
    let long = "a title that goes on and on ".repeat(8);
    for (log, scale) in [(true, -1.0), (true, 1.0), (false, 1.0), (true, 0.0)] {
        let line = |k: usize| Curve {
            name: format!("S{k} a system of a long name: c"),
            kind: k,
            variant: k % 5,
            points: (0..=200)
                .map(|x| (f64::from(x), (scale * 0.1 * k as f64 * f64::from(x)).exp()))
                .chain([(201.0, f64::INFINITY), (202.0, f64::NAN), (203.0, 0.0)])
                .collect(),
            band: (0..=203)
                .map(|x| (f64::from(x), f64::from(x) + 1.0))
                .collect(),
        };
        let axis = Axis::named(&long);
        let panel = LinePanel {
            title: long.clone(),
            x: Axis::named("k"),
            y: if log { axis.log() } else { axis },
            lines: (0..12).map(line).collect(),
        };
        check(&Figure::Lines(LinePlot {
            title: long.clone(),
            panels: vec![panel.clone(), panel],
        }));
    }
}

#[test]
fn the_texts_of_tiles_stay_on_the_page_and_apart() {
    for columns in [1, 4, 6] {
        let tile = |k: usize| ShareTile {
            share: k as f64 / 2.0,
            above: "10/10".to_owned(),
            below: "20,000".to_owned(),
        };
        let group = |title: &str| TileGroup {
            title: title.to_owned(),
            columns: (0..columns)
                .map(|k| format!("lag {}", 10_usize.pow(k)))
                .collect(),
            tiles: vec![(0..columns as usize).map(tile).collect(); 11],
        };
        check(&Figure::Tiles(TilePlot {
            title: "tiles ".repeat(40),
            note: "a note that explains what all of this is about ".repeat(6),
            row_name: "what the rows are, at length ".repeat(3),
            rows: (0..11)
                .map(|k| format!("S{k} a system with a name of its own"))
                .collect(),
            groups: ["adding problem", "copy task", "temporal order"]
                .map(group)
                .to_vec(),
        }));
    }
}

#[test]
fn the_texts_of_confusions_stay_on_the_page_and_apart() {
    for (n, long) in [(2, 1), (10, 1), (10, 9), (40, 1), (100, 5)] {
        let labels: Vec<String> = (0..n).map(|k| format!("label {k} ").repeat(long)).collect();
        let truth: Vec<usize> = (0..40 * n).map(|k| k % n).collect();
        let told = truth.iter().enumerate();
        let told = told.map(|(k, t)| if k % 7 == 0 { k * k % n } else { *t });
        let report = Report::of(&labels, &truth, &told.collect::<Vec<_>>()).unwrap();
        let plot = TilePlot::confusion(&"a title ".repeat(30), &report);
        assert_eq!(plot.rows.len(), n.min(60));
        check(&Figure::Tiles(plot));
    }
}

#[test]
fn the_texts_of_maps_and_ranges_stay_on_the_page_and_apart() {
    for steps in [1, 30, 1000] {
        check(&Figure::Heat(HeatPlot {
            title: "maps ".repeat(40),
            x_name: "step".to_owned(),
            row_name: "units".to_owned(),
            steps,
            maps: vec![
                HeatMap {
                    name: "keep gate: how much of c stays".to_owned(),
                    rows: vec![(0..steps).map(|s| s as f64 / steps as f64).collect(); 30],
                };
                3
            ],
            read: vec![HeatInput {
                name: "the numbers read".to_owned(),
                values: vec![0.5; steps],
                marked: vec![true; steps],
            }],
        }));
    }
    for loss in [-1e9, 0.5, 1e12] {
        let range = |k: usize| Range {
            name: format!("S{k} a system of a long name"),
            kind: k,
            low: 0.5,
            middle: 0.5 + k as f64,
            high: f64::INFINITY,
        };
        check(&Figure::Ranges(RangePlot {
            title: "ranges ".repeat(40),
            panels: vec![RangePanel {
                title: "a panel".to_owned(),
                x_name: "error".to_owned(),
                ranges: (0..10).map(range).collect(),
                reference: Some(Reference {
                    name: "autoregression".to_owned(),
                    loss,
                }),
            }],
        }));
    }
}

#[test]
fn the_texts_of_bars_stay_on_the_page_and_apart() {
    for (greatest, long) in [(0.0, 1), (3.2, 20), (1e300, 200), (f64::NAN, 1)] {
        let bar = |k: usize| Bar {
            name: format!("bar {k} {}", "of a name ".repeat(long)),
            kind: k,
            value: greatest * k as f64 / 4.0,
            range: (k > 1).then_some((greatest * 0.2 * k as f64, f64::INFINITY)),
            note: "12.3 ms, 95.1 GFLOP/s ".repeat(long),
        };
        let panel = BarPanel {
            title: "a shape ".repeat(long),
            x_name: "microseconds for a row and a step ".repeat(long),
            bars: (0..5).map(bar).collect(),
        };
        check(&Figure::Bars(BarPlot {
            title: "bars ".repeat(40),
            panels: vec![panel.clone(), panel],
        }));
    }
    let empty = Figure::Bars(BarPlot::default());
    assert!(matches!(empty.svg(), Err(PlotError::NoData(_))));
}
