//! Executes every case's plans: with all optional passes, with none, and without each. Their results are those of the
//! graph as read.

use std::collections::BTreeMap;

use retrograd_graph::passes::stream::stream;
use retrograd_graph::passes::tangent::{self, Tangents};
use retrograd_graph::passes::{self, Derivation, adjoint, adjoint::Differentiate};
use retrograd_graph::plan::{self, Blocking, Plan, plan};
use retrograd_graph::{Graph, Options, interpret};

/// Plans of the program, of the program with the gradients of its loss, and with their tangents too, give what the graph
/// interpreter gives.
pub(crate) fn agree(name: &str, g: &Graph, number: &dyn Fn(&str, usize) -> f64) {
    agree_on(name, g, &[], number);
    if let Ok(streamed) = stream(g) {
        // One sample after another, and each state where the ring has it.
        let options = Options::verified().streaming();
        let found = run(
            name,
            &streamed.graph,
            &[],
            &options,
            plan::stream,
            (9, 2, Blocking::default()),
            number,
        );
        let right = interpret::run(&streamed.graph, 9, 2, number);
        compare(&format!("{name}: sample by sample"), &found, &right);
    }
    let what = Differentiate::loss(g);
    if !what.seeds.is_empty() {
        let second = Tangents::of_gradients(g, &what, what.wrt.clone());
        let both = [Derivation::Adjoint(what), Derivation::Tangent(second)];
        agree_on(name, g, &both[..1], number);
        agree_on(name, g, &both, number);
    }
}

fn compare(what: &str, found: &BTreeMap<String, Vec<f64>>, right: &BTreeMap<String, Vec<f64>>) {
    assert!(found.keys().eq(right.keys()), "{what}");
    for (output, right) in right {
        let found = &found[output];
        assert_eq!(found.len(), right.len(), "{what}: {output}");
        for (i, (x, y)) in found.iter().zip(right).enumerate() {
            // Reordered sums of at most a few hundred numbers near 1.
            let near = (x - y).abs() <= 1e-12 * (1.0 + y.abs()) || x == y;
            assert!(
                near || (x.is_nan() && y.is_nan()),
                "{what}: {output}[{i}] is {x} and should be {y}"
            );
        }
    }
}

fn agree_on(
    name: &str,
    g: &Graph,
    derivations: &[Derivation],
    number: &dyn Fn(&str, usize) -> f64,
) {
    let whole = derivations.iter().fold(g.clone(), |g, d| match d {
        Derivation::Adjoint(what) => adjoint::adjoint(&g, what),
        Derivation::Tangent(what) => tangent::tangent(&g, what),
    });
    // More steps than any delay of the cases, and fewer; the second has one row: products are vectors.
    for (t, b, cut) in [
        (
            5,
            2,
            Blocking {
                block: 2,
                replay: true,
                ..Blocking::default()
            },
        ),
        (
            2,
            1,
            Blocking {
                steps: 1,
                lanes: 1,
                last_first: true,
                block: 1,
                replay: false,
            },
        ),
    ] {
        let right = interpret::run(&whole, t, b, number);
        let all = [("nothing", Options::verified()), ("all", Options::none())];
        for (without, options) in all.into_iter().chain(Options::each_off()) {
            let found = run(name, g, derivations, &options, plan, (t, b, cut), number);
            let what = format!("{name}: T={t} B={b}, the plan without {without}");
            compare(&what, &found, &right);
        }
    }
}

fn run(
    name: &str,
    g: &Graph,
    derivations: &[Derivation],
    options: &Options,
    make: fn(&Graph, &Options) -> Plan,
    (t, b, cut): (usize, usize, Blocking),
    number: &dyn Fn(&str, usize) -> f64,
) -> BTreeMap<String, Vec<f64>> {
    let last = passes::run(g, derivations, options).unwrap_or_else(|e| panic!("{name}: {e}"));
    let plan = make(&last, options);
    let inputs: Vec<Vec<f64>> = (last.inputs().iter())
        .map(|input| {
            let numbers = 0..input.ty.numbers(t, b);
            numbers.map(|i| number(&input.name, i)).collect()
        })
        .collect();
    let slices: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
    let outputs = plan.interpret(t, b, &slices, cut);
    let outputs = outputs.unwrap_or_else(|e| panic!("{name}: {e}"));
    let names = last.outputs().iter().map(|o| o.name.to_string());
    names.zip(outputs).collect()
}
