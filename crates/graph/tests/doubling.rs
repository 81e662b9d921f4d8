//! A pass visits a value once, even if it occurs many times in another or at the end of a long chain.

use std::time::{Duration, Instant};

use retrograd_graph::{Graph, Options, passes};
use retrograd_tape::{InputRole, Recorder, Shape, Tape, Var};

/// A state that fades, by way of whatever `through` does to it and back.
fn fading(through: for<'t> fn(Var<'t>) -> Var<'t>) -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(1));
    let h = r.state("h", Shape::Vector(1), 1, None);
    let next = r.next(h, through(0.5 * h + x));
    r.output("y", next);
    r.finish("fading").expect("it is right")
}

#[test]
fn a_carried_value_is_flushed_without_going_through_its_parts_again_and_again() {
    let doubled = fading(|v| {
        let twice = |v, _| Var::concat(&[v, v]);
        (0..30).fold(v, twice).slice(0, 1)
    });
    let chain = fading(|v| {
        let shapes = [Shape::Matrix(1, 1), Shape::Vector(1)];
        (0..100_000).fold(v, |v, k| v.reshape(shapes[k % 2]))
    });
    for tape in [doubled, chain] {
        let options = Options::default().with(|o| {
            o.simplify = false;
            o.stack_products = false;
        });
        let begun = Instant::now();
        let trace =
            passes::trace(&Graph::from_tape(&tape), &[], &options).expect("it has an order");
        // Milliseconds; by all ways through the doubled value it would be minutes.
        assert!(begun.elapsed() < Duration::from_secs(10));
        let (_, flushed) = trace
            .iter()
            .find(|(name, _)| *name == "flush")
            .expect("it is on");
        assert!(flushed.to_string().contains("= flush "));
    }
}
