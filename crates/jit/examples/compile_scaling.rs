//! How compile time grows with a program, stage by stage, in milliseconds: recording, passes, plan, and all of
//! `CompiledCell::compile`, whose remainder is code generation.
//!
//!     cargo run --release -p retrograd-jit --example compile_scaling -- states 10 100 1000
//!
//! `--plan` prints the plans too.

use std::time::Instant;

use retrograd_graph::{Graph, Options, passes, plan};
use retrograd_jit::{CompiledCell, Purpose};
use retrograd_tape::{Tape, families};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let family = args.first().map_or("states", String::as_str);
    let build: fn(usize) -> Tape = match family {
        "states" => families::states,
        "layers" => families::layers,
        "equations" => families::equations,
        other => panic!("no family `{other}`: states, layers, equations"),
    };
    let sizes = args[1.min(args.len())..].iter().filter(|a| *a != "--plan");
    println!("{family:>12}    nodes   record   passes     plan     code    total   bytes");
    for n in sizes.map(|n| n.parse::<usize>().expect("a number")) {
        let clock = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
        let start = Instant::now();
        let tape = build(n);
        let record = clock(start);
        let start = Instant::now();
        let g = Graph::from_tape(&tape);
        let purpose = Purpose::Train;
        let derivations = purpose.derivations(&g).expect("a loss");
        let options = Options::default().with(|o| o.verify = false);
        let graph = passes::run(&g, &derivations, &options).expect("a program");
        let passes = clock(start);
        let start = Instant::now();
        let made = plan::plan(&graph, &options);
        let planned = clock(start);
        if std::env::args().any(|a| a == "--plan") {
            println!("{made}");
        }
        drop(made);
        let start = Instant::now();
        let cell =
            CompiledCell::<f32>::compile_with(&tape, &purpose, &options).expect("it compiles");
        let total = clock(start);
        let code = total - passes - planned;
        println!(
            "{n:12} {:8} {record:8.1} {passes:8.1} {planned:8.1} {code:8.1} {total:8.1} {:7}",
            graph.len(),
            cell.code_bytes()
        );
    }
}
