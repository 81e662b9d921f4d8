//! No text breaks the parsers, and what a cell file says is a program that reads back equal from its printed graph.
#![no_main]
use retrograd_graph::Graph;
use retrograd_graph::text::parse_graph;
use retrograd_text::read_tape;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = parse_graph("fuzz", text);
    if let Ok(tape) = read_tape("fuzz", text, &[]) {
        let graph = Graph::from_tape(&tape);
        assert_eq!(
            parse_graph("fuzz", &graph.to_string()).expect("printed graphs are read"),
            graph
        );
    }
});
