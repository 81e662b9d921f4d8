//! Every cell of `docs/LANGUAGE.md` is read, compiled and run; every mistake on it is shown as the page says.

use retrograd::{Batch, Cell, CellText, Engine, Error, Extent, InputRole};
use retrograd_tape::generate::inputs;

const PAGE: &str = include_str!("../../../docs/LANGUAGE.md");

/// The blocks of a kind, and the kind and text of the block that follows each.
fn blocks() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```").filter(|k| !k.is_empty()) else {
            continue;
        };
        let body: Vec<&str> = lines.by_ref().take_while(|l| *l != "```").collect();
        found.push((kind.to_owned(), body.join("\n") + "\n"));
    }
    found
}

/// A batch of numbers that suit any cell: those of the inputs' ranges, whole for indices.
fn batch(cell: &Cell) -> Batch<f64> {
    let extent = Extent::steps(7).rows(3);
    let numbers = inputs(cell.tape(), extent.steps, extent.rows, 1);
    let all = cell.tape().inputs().iter().zip(numbers);
    let taken = all.filter(|(i, _)| !matches!(i.role, InputRole::Param | InputRole::Initial));
    taken.fold(Batch::new(extent), |batch, (input, numbers)| {
        batch.with(&input.name, numbers)
    })
}

#[test]
fn every_cell_of_the_page_is_read_compiled_and_run() {
    let blocks = blocks();
    let mut cells = 0;
    for (k, (kind, text)) in blocks.iter().enumerate() {
        if kind != "cell" {
            continue;
        }
        cells += 1;
        let read = CellText::parse("cell", text).and_then(|t| t.cell(&[]));
        let next = blocks.get(k + 1).filter(|(kind, _)| kind == "error");
        let cell = match (read, next) {
            (Ok(cell), None) => cell,
            (Err(e), Some((_, shown))) => {
                assert_eq!(e.to_string().trim_end(), shown.trim_end());
                continue;
            }
            (Ok(_), Some(_)) => panic!("there is no mistake in\n{text}"),
            (Err(e), None) => panic!("{e}"),
        };
        run(&cell).unwrap_or_else(|e| panic!("{text}\n{e}"));
    }
    assert!(cells > 12, "{cells}");
    let known = |kind: &str| ["cell", "error"].contains(&kind);
    assert!(
        blocks.iter().all(|(kind, _)| known(kind)),
        "a block that nothing runs"
    );
}

/// Runs a cell on both engines, with the gradients of its loss if it has one.
fn run(cell: &Cell) -> Result<(), Error> {
    let parameters = cell.initial_parameters::<f64>(1)?;
    let has_loss = cell.tape().outputs().iter().any(|o| &*o.name == "loss");
    let mut all: Vec<Vec<(String, Vec<f64>)>> = Vec::new();
    for engine in Engine::ALL {
        let program = cell.program().double().engine(engine);
        let program = match has_loss {
            true => program.parameter_gradients().build()?,
            false => program.build()?,
        };
        let mut session = program.session();
        let batch = batch(cell);
        let results = session.run(&parameters, &batch)?;
        let outputs = cell
            .tape()
            .outputs()
            .iter()
            .map(|o| (o.name.to_string(), results.output(&o.name)));
        let gradients = cell
            .parameter_specs()
            .map(|p| (format!("grad({})", p.name), results.gradient(p.name)));
        let found = outputs.chain(gradients);
        all.push(
            found
                .filter_map(|(name, x)| Some((name, x?.to_vec())))
                .collect(),
        );
    }
    assert_eq!(all[0].len(), all[1].len());
    for ((name, a), (_, b)) in all[0].iter().zip(&all[1]) {
        for (a, b) in a.iter().zip(b) {
            assert!(
                a.is_finite() && (a - b).abs() <= 1e-9 * (1.0 + a.abs()),
                "{name}: {a} {b}"
            );
        }
    }
    assert!(
        !has_loss
            || cell.parameter_count() == 0
            || all[0].iter().any(|(n, _)| n.starts_with("grad"))
    );
    Ok(())
}

/// With files on disk, the zoo, and sizes that the caller sets.
#[test]
fn every_cell_with_a_text_is_read_again_from_that_text_alone() {
    let folder = std::env::temp_dir().join(format!("retrograd-inlined-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("parts")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        "parts/smooth.cell",
        "use leak from \"leak.cell\"\ndef smooth(x) {\n    y = leak(x)\n    return y\n}",
    );
    write(
        "parts/leak.cell",
        "cell leak(x[I]; h[I]) where I=1\nh' = 0.9 * h + x\noutput h'",
    );
    write(
        "main.cell",
        "use lstm as enc\nuse smooth from \"parts/smooth.cell\"\ncell main(x[2]) where H=8\nbelow = enc(x, H=H)\n\
         layer both = smooth(below)\noutput y = dense[2](both)\ntarget t[2]\nloss mean(square(y - t))",
    );
    let cell = Cell::from_file(folder.join("main.cell"), &[("H", 5)]).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let text = cell.text().unwrap();
    assert!(!text.contains("use ") && !text.contains("parts"), "{text}");
    let again = Cell::from_text(text, &[]).unwrap();
    assert_eq!(again.to_string(), cell.to_string());
    assert_eq!(
        again.initial_parameters::<f64>(3).unwrap(),
        cell.initial_parameters::<f64>(3).unwrap()
    );
    run(&again).unwrap();

    for (kind, text) in blocks() {
        if kind == "cell"
            && let Ok(cell) = Cell::from_text(&text, &[])
        {
            let again = Cell::from_text(cell.text().unwrap(), &[]).unwrap();
            assert_eq!(again.to_string(), cell.to_string());
        }
    }
    assert!(
        Cell::define("built", |c| c.output("y", c.input("x", 1)))
            .unwrap()
            .text()
            .is_none()
    );
}
