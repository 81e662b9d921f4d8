//! The check of cells: those of the zoo pass, and what is no fault is told apart from one.
#![cfg(all(feature = "testing", feature = "text"))]

use std::time::Duration;

use retrograd::testing::{self, CheckOptions, Finding, GradientFlow, Report, Sizes, Skip};
use retrograd::{Cell, CellText, zoo};

fn options(cases: usize) -> CheckOptions {
    let time = Duration::from_secs(120);
    CheckOptions::default().cases(cases).time(time)
}

fn text(text: &str) -> CellText {
    CellText::parse("own.cell", text).unwrap_or_else(|e| panic!("{e}"))
}

fn report(cell: &str, cases: usize) -> Report {
    let report = testing::check_with(&text(cell), &options(cases)).unwrap();
    report.assert();
    report
}

fn skipped(report: &Report, property: &str, why: Skip) -> usize {
    let found = report.properties.iter().find(|p| p.name == property);
    let found = found.expect("there is such a property");
    found.skipped.get(&why).copied().unwrap_or(0)
}

fn flow(report: &Report) -> Option<GradientFlow> {
    report.findings.iter().find_map(|f| match f {
        Finding::Exponents { gradients, .. } => Some(*gradients),
        _ => None,
    })
}

#[test]
fn every_cell_of_the_zoo_passes() {
    for entry in zoo::ENTRIES {
        let cell = entry.parsed().unwrap();
        let sizes = Sizes::of(&cell).with(entry.units(), 5);
        let report = testing::check_with(&sizes, &options(2).findings(false)).unwrap();
        assert!(report.passed(), "{}: {report}", entry.name);
        for p in &report.properties {
            assert!(p.cases > 0 || p.name == "rows", "{}: {report}", entry.name);
        }
    }
}

#[test]
#[ignore = "a minute for each cell"]
fn every_cell_of_the_zoo_passes_a_long_check() {
    for entry in zoo::ENTRIES {
        let cell = entry.parsed().unwrap();
        let options = CheckOptions::default().cases(100).seed(2);
        let report = testing::check_with(&cell, &options.time(Duration::from_secs(60))).unwrap();
        println!("{report}");
        assert!(report.passed(), "{}: {report}", entry.name);
    }
}

#[test]
fn exploding_states_overflow_on_every_engine_and_are_no_fault() {
    let cell = "cell explodes(x[2]; h[2])\nh' = exp(20 * (h + x))\noutput y = h'";
    let report = report(cell, 8);
    assert!(skipped(&report, "f32", Skip::NotFinite) > 0, "{report}");
    let finite = |f: &Finding| matches!(f, Finding::NotFinite { single, .. } if *single > 0);
    assert!(report.findings.iter().any(finite), "{report}");
}

#[test]
fn growing_and_fading_gradients_are_told_by_their_exponents() {
    let linear = |by: f64| format!("cell linear(x[3]; h[3])\nh' = {by} * h + x\noutput y = h'");
    let grows = report(&linear(1.5), 2);
    assert_eq!(flow(&grows), Some(GradientFlow::Explodes), "{grows}");
    let Some(Finding::Exponents { exponents, .. }) = grows.findings.first() else {
        panic!("{grows}");
    };
    // Of 1.5 times a state, each is ln 1.5, to the rounding of 200 steps.
    assert_eq!(exponents.len(), 3);
    assert!(
        exponents.iter().all(|x| (x - 1.5_f64.ln()).abs() < 1e-9),
        "{exponents:?}"
    );
    assert_eq!(flow(&report(&linear(0.99), 2)), Some(GradientFlow::Keeps));
    assert_eq!(flow(&report(&linear(0.5), 2)), Some(GradientFlow::Vanishes));
}

#[test]
fn kinks_surrogates_and_limits_are_no_faults() {
    let spiking = "cell spiking(x[3]; v[4])
u = 0.9 * v + dense(x)
spike = with_gradient(1 < u, of: sigmoid(4 * (u - 1)))
v' = clip_gradient(u - spike, 0.01)
output y = relu(spike - 0.5) + abs(v')
";
    report(spiking, 6);
}

#[test]
fn what_has_no_influence_and_what_begins_saturated_is_told() {
    let cell = "cell odd(x[2]; h[4], back[4] delay -1)
param idle[3]
gate = sigmoid(dense(x) + 40)
h' = gate * tanh(dense(x, h, name=new))
back' = 0.5 * back + h'
output y = back' + 0 * sum(idle)
output z = h'
";
    let report = report(cell, 2);
    let told: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let told = told.join("\n");
    assert!(told.contains("nothing depends on `idle`"), "{told}");
    assert!(told.contains("`gate` begins saturated"), "{told}");
    assert!(
        told.contains("the output `y` depends on later steps"),
        "{told}"
    );
    assert!(!told.contains("`z`"), "{told}");
}

#[test]
fn the_same_seed_gives_the_same_report_and_another_another() {
    let cell = Cell::define("rnn", |c| {
        let (x, h) = (c.input("x", 2), c.state("h", 3));
        c.output("y", c.next(h, c.dense("h", 3, [x, h]).tanh()));
    })
    .unwrap();
    let worst = |seed: u64| {
        let report = testing::check_with(&cell, &options(2).seed(seed)).unwrap();
        let worst: Vec<f64> = report.properties.iter().map(|p| p.worst).collect();
        worst
    };
    assert_eq!(worst(3), worst(3));
    assert_ne!(worst(3), worst(4));
}

#[test]
fn what_cannot_be_checked_is_an_error() {
    let cell = text("cell one(x[2]; h[2])\nh' = h + x\noutput y = h'");
    let error = testing::check_with(&cell, &options(0)).unwrap_err();
    assert!(error.to_string().contains("0 cases"), "{error}");
    let sizes = Sizes::of(&cell).with("Q", 3);
    let error = testing::check_with(&sizes, &options(1)).unwrap_err();
    assert!(error.to_string().contains("no dimension `Q`"), "{error}");
}
