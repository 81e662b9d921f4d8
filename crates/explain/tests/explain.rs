//! What an explanation counts is what runs, and its drawings are whole.

use retrograd_tape::Extent;
use std::collections::HashSet;

use retrograd::{Cell, zoo};
use retrograd_explain::{Drawing, Explanation, Where};
use retrograd_graph::Graph;
use retrograd_jit::predict::Machine;
use retrograd_jit::{CompiledCell, Purpose};
use retrograd_tape::{InputRole, OutputRole};

/// All cells that the program knows by name.
fn cells() -> Vec<(&'static str, Cell)> {
    let all = zoo::ENTRIES.iter();
    all.map(|e| (e.name, zoo::forecaster(e, 3, 8).expect("it is a cell")))
        .collect()
}

/// Calls of products in a run: hoisted, and at single steps.
fn counted(cell: &Cell, purpose: &Purpose, t: usize, b: usize) -> (usize, usize) {
    let compiled = CompiledCell::<f32>::compile(cell.tape(), purpose).expect("it compiles");
    let inputs = compiled.inputs().iter().map(|i| {
        let points = match i.role {
            InputRole::Initial => 0,
            InputRole::Param => 1,
            InputRole::Static => b,
            _ => t * b,
        };
        vec![0.1; points * i.ty.shape.len()]
    });
    let inputs: Vec<Vec<f32>> = inputs.collect();
    let outputs = compiled.outputs().iter().enumerate();
    let lens = outputs.map(|(k, o)| match o.role {
        OutputRole::Final => 0,
        _ => compiled.output_len(k, Extent { steps: t, rows: b }),
    });
    let mut outputs: Vec<Vec<f32>> = lens.map(|n| vec![0.0; n]).collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let mut outputs: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    let calls = compiled
        .executor()
        .count_calls(Extent { steps: t, rows: b }, &inputs, &mut outputs)
        .expect("it runs");
    (calls.hoisted_products, calls.step_products)
}

#[test]
fn products_that_are_told_are_those_that_are_called() {
    for (name, cell) in cells() {
        for purpose in [Purpose::Forward, Purpose::Train] {
            for (t, b) in [(7, 1), (25, 3), (5, 40)] {
                let told = Explanation::new(&cell, &purpose, Extent { steps: t, rows: b })
                    .expect("it compiles");
                let called = counted(&cell, &purpose, t, b);
                assert_eq!(
                    told.product_calls(),
                    called,
                    "{name}, T={t} B={b}, {purpose:?}"
                );
                // In every step of a loop each of its products once for each slice of up to 32 rows.
                let products = told.products().into_iter();
                let inside = products.filter(|p| p.place != Where::Hoisted).count();
                assert_eq!(called.1, inside * t * b.div_ceil(32), "{name}, T={t} B={b}");
            }
        }
    }
}

#[test]
fn an_lstm_has_its_gates_stacked_and_its_input_hoisted() {
    let cell = zoo::forecaster(zoo::find("lstm").expect("it is there"), 3, 8).expect("a cell");
    let told = Explanation::new(&cell, &Purpose::Forward, Extent { steps: 10, rows: 2 })
        .expect("it compiles");
    let (before, after) = told.stacked();
    assert_eq!((before.products, after.products), (9, 3));
    let products = told.products();
    let fours = products.iter().filter(|p| p.weights.len() == 4);
    let sizes: Vec<_> = fours.map(|p| (p.size, p.place == Where::Hoisted)).collect();
    assert_eq!(sizes, [((32, 3), true), ((32, 8), false)]);
}

/// Labels of a drawing's nodes, one line each, from its text for Graphviz, which must hang together.
fn labels(name: &str, dot: &str) -> (Vec<String>, usize) {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for c in dot.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth -= 1,
            _ => {}
        }
        assert!(depth >= 0, "{name}");
    }
    assert_eq!((depth, quoted), (0, false), "{name}: {dot}");
    let (mut nodes, mut labels, mut edges) = (HashSet::new(), Vec::new(), Vec::new());
    for line in dot.lines().map(str::trim) {
        let Some((head, rest)) = line.split_once(" [label=\"") else {
            continue;
        };
        match head.split_once(" -> ") {
            Some(ends) => edges.push(ends),
            None => {
                assert!(nodes.insert(head.to_owned()), "{name}: {head} twice");
                let label = rest.split_once("\", ").expect("attributes follow").0;
                labels.extend(label.split("\\n").map(|l| l.replace("\\\"", "\"")));
            }
        }
    }
    for (from, to) in &edges {
        assert!(
            nodes.contains(*from) && nodes.contains(*to),
            "{name}: {from} -> {to}"
        );
    }
    (labels, edges.len())
}

#[test]
fn drawings_are_whole_for_every_cell_and_pass() {
    for (name, cell) in cells() {
        let purpose = if name == "lstm4" {
            Purpose::Forward
        } else {
            Purpose::Train
        };
        let told =
            Explanation::new(&cell, &purpose, Extent { steps: 10, rows: 2 }).expect("it compiles");
        let passes = if name == "lstm" {
            0
        } else {
            told.trace().len() - 2
        };
        for (pass, graph) in &told.trace()[passes..] {
            let name = format!("{name} after {pass}");
            let drawing = Drawing::of(graph).titled(format!("<{name}> & \"more\""));
            let (labels, edges) = labels(&name, &drawing.dot());
            let svg = drawing.svg();
            let parsed = roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{name}: {e}"));
            let texts: HashSet<&str> = parsed.descendants().filter_map(|n| n.text()).collect();
            for label in &labels {
                assert!(texts.contains(label.as_str()), "{name}: no {label:?}");
            }
            let ends = parsed
                .descendants()
                .filter(|n| n.attribute("marker-end").is_some());
            // One in the legend.
            assert_eq!(ends.count(), edges + 1, "{name}");
            assert_eq!(svg, drawing.svg(), "{name}: the same every time");
        }
    }
}

#[test]
fn bytes_of_a_part_and_numbers_that_are_kept_are_those_of_the_equations() {
    let cell = zoo::forecaster(zoo::find("lstm").expect("it is there"), 4, 32).expect("a cell");
    let told = Explanation::new(&cell, &Purpose::Train, Extent { steps: 50, rows: 2 })
        .expect("it compiles");
    // From the forward to the backward step go four gates, h and c, of 32 units.
    assert_eq!(told.stash(), 6 * 32);
    let machine = Machine {
        peak_gflops: 100.0,
        cache_gbs: 80.0,
        memory_gbs: 10.0,
        product: 1.0,
        outer: 1.0,
    };
    let parts = told.parts(&machine);
    // The gates' weights with x and with h, and their transpose with δ: each number is read and written once.
    let packing: Vec<(usize, usize)> = (parts.iter())
        .filter(|p| p.title.starts_with("pack W") && p.title.contains("[128×"))
        .map(|p| (p.flops(), p.bytes()))
        .collect();
    let of = |columns: usize| (0, 2 * 128 * columns * size_of::<f32>());
    assert_eq!(packing, [of(4), of(32), of(32)]);
    // Without a backward step nothing is kept for all steps.
    let forward = Explanation::new(&cell, &Purpose::Forward, Extent { steps: 50, rows: 2 })
        .expect("it compiles");
    assert_eq!(forward.stash(), 0);
}

/// The drawings of the page of the cells: `BLESS=1 cargo test --release -p retrograd-explain --test explain` writes them.
#[test]
fn the_page_of_the_cells_has_their_drawings() {
    let images = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/img/cells");
    let bless = std::env::var_os("BLESS").is_some();
    if bless {
        std::fs::create_dir_all(&images).expect("the directory can be made");
    }
    for entry in zoo::ENTRIES {
        let cell = entry.parsed().and_then(|text| text.cell(&[]));
        let cell = cell.expect("every file of the zoo is right");
        let drawing = Drawing::of(&Graph::from_tape(cell.tape())).titled(entry.name.to_owned());
        let path = images.join(entry.name).with_extension("svg");
        if bless {
            std::fs::write(&path, drawing.svg()).expect("it can be written");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == drawing.svg(), "{} is not drawn so", path.display());
    }
}
