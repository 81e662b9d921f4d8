//! Random programs really exercise each purpose: every op over every domain that the purpose has, in similar shares.

use std::collections::BTreeMap;

use retrograd_graph::Graph;
use retrograd_graph::passes::stream::stream;
use retrograd_tape::generate::{Case, every_tag, tags_of};
use retrograd_tape::{Domain, Output, OutputRole};

use retrograd_check::checks;

use super::many::drawn;

/// Cases that are drawn.
const CASES: u64 = 2_500;

type Histogram = BTreeMap<String, usize>;

/// Nothing that is listed is in less than a share of the cases that were compared.
#[track_caller]
fn in_like_shares(purpose: &str, compared: usize, histogram: &Histogram, share: usize) {
    assert!(
        compared * 4 >= CASES as usize,
        "{purpose}: {compared} of {CASES}"
    );
    let rare = histogram.iter().filter(|(_, n)| **n * share < compared);
    let rare: Vec<_> = rare.collect();
    assert!(
        rare.is_empty(),
        "{purpose}, of {compared}: too rare: {rare:?}"
    );
}

fn count(histogram: &mut Histogram, case: &Case, pass: impl Fn(&Output) -> bool) {
    for tag in tags_of(&case.tape, pass) {
        if let Some(n) = histogram.get_mut(&tag) {
            *n += 1;
        }
    }
}

#[test]
fn every_purpose_is_compared_on_every_op_over_every_domain() {
    let all = || every_tag().into_iter().map(|t| (t, 0));
    // A stepper has no boundary slots but those that its states begin and end with, nothing that a row has of its steps, and
    // no loss.
    let streams = |tag: &String| {
        let slots =
            tag.contains("over slots") && !tag.starts_with("input") && !tag.starts_with("boundary");
        let none = [
            "negative d",
            "loss",
            "weight of the loss",
            "outputs of lower domains",
            "first step",
            "last step",
            "mean of the steps",
            "maximum of the steps",
        ];
        let of_a_row = tag.contains("what a row has of its steps") || tag.contains("a loss ");
        !slots && !of_a_row && !tag.contains("over step to") && !none.contains(&tag.as_str())
    };
    let mut gradients: Histogram = all().collect();
    let mut stepper: Histogram = all().filter(|(t, _)| streams(t)).collect();
    let mut compared = [0, 0];
    for counter in 0..CASES {
        let case = drawn(counter);
        let clear = case.clearance().expect("it runs");
        // Gradients, and products with Hessians, which differentiate the same outputs.
        if clear >= checks::ALL[0].1 {
            compared[0] += 1;
            count(&mut gradients, &case, |_| true);
        }
        if clear >= checks::ALL[5].1 && stream(&Graph::from_tape(&case.tape)).is_ok() {
            compared[1] += 1;
            count(&mut stepper, &case, |o| match o.role {
                OutputRole::Output => case.tape.node(o.value).ty.domain == Domain::Step,
                role => role == OutputRole::Final,
            });
        }
    }
    println!("{compared:?} of {CASES}: gradients {gradients:?}, stepper {stepper:?}");
    in_like_shares("gradients", compared[0], &gradients, 100);
    in_like_shares("stepper", compared[1], &stepper, 100);
}
