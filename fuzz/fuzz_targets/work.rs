//! No cell file of a kilobyte takes a second: what its parser makes of it is no more than a few nodes a byte, and passes and
//! planner do no more operations than they get done in that time. Counted, never timed (`retrograd_graph::work`).
#![no_main]
use retrograd_graph::{Graph, Options, passes, plan, work};
use retrograd_jit::Purpose;
use retrograd_text::read_tape;

/// Bytes of a text.
const KILOBYTE: usize = 1024;
/// Nodes that a byte of text makes at most.
const NODES: usize = 16;
/// Operations of passes and planner in a second, at 120 ns each.
const SECOND: u64 = 1 << 23;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if text.len() > KILOBYTE {
        return;
    }
    let Ok(tape) = read_tape("fuzz", text, &[]) else {
        return;
    };
    let nodes = tape.nodes().len();
    assert!(nodes <= NODES * KILOBYTE, "{nodes} nodes");
    let before = work::done();
    let graph = Graph::from_tape(&tape);
    let options = Options::default().with(|o| o.verify = false);
    let derivations = Purpose::everything(&tape).derivations(&graph);
    // What cannot be differentiated is refused, which is quick too.
    if let Ok(derivations) = derivations
        && let Ok(last) = passes::run(&graph, &derivations, &options)
    {
        plan::plan(&last, &options);
    }
    let done = work::done() - before;
    assert!(done < SECOND, "{done} operations for {nodes} nodes");
});
