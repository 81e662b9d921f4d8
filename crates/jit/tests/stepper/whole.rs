//! The numbers of a whole run, by the comparisons of `retrograd-check`.

use retrograd_check::runs::drawn;
use retrograd_check::stepping::by_stepper;
use retrograd_check::{Sample, checks};
use retrograd_jit::Target;
use retrograd_tape::Recorder;
use retrograd_text::{Found, parse_cell_with, record};

use super::{CELLS, tape};

#[test]
fn every_kind_of_state_gives_the_numbers_of_a_whole_run() {
    for (what, text) in CELLS {
        let tape = tape(text);
        for (t, b, seed) in [(1, 1, 1), (11, 3, 2), (30, 1, 3), (5, 35, 4)] {
            let target = drawn(seed + 11 * t as u64);
            let found = checks::stepper(&Sample::drawn(&tape, t, b, seed, target));
            found.unwrap_or_else(|e| panic!("{what} T={t} B={b}: {e}"));
            let sample = Sample::drawn(&tape, t, b, seed, Target::host());
            let ran = by_stepper::<f64>(&sample, None).expect("it runs");
            assert!(ran.is_some(), "{what} is refused");
        }
    }
}

#[test]
fn every_cell_file_gives_the_numbers_of_a_whole_run() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../retrograd/cells");
    let mut cells = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let sizes: Vec<(&str, usize)> = ["I", "H", "D"].into_iter().zip([5, 24, 6]).collect();
        let sizes: Vec<(&str, usize)> = (sizes.into_iter())
            .filter(|(name, _)| text.contains(&format!("{name}=")))
            .collect();
        let file = parse_cell_with("cell", &text, &mut |wanted| {
            let used = format!("{folder}/{}.cell", wanted.name);
            let text = std::fs::read_to_string(&used).map_err(|e| e.to_string())?;
            Ok(Found { name: used, text })
        });
        let recorder = Recorder::new();
        let recorded = file.and_then(|file| record(&file, &sizes, &recorder));
        recorded.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let tape = recorder.finish("cell").expect("it is a program");
        let sample = |t, b| Sample::drawn(&tape, t, b, 1, Target::host());
        checks::stepper(&sample(7, 3)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let ran = by_stepper::<f64>(&sample(2, 1), None).expect("it runs");
        assert!(ran.is_some(), "{} is refused", path.display());
        cells += 1;
    }
    assert!(cells >= 15, "{cells}");
}

#[test]
fn states_that_are_set_where_a_ring_stands_are_what_the_next_samples_go_on_from() {
    // A ring of four steps for a delay of 3; after 1 + t / 2 samples it stands at each of its places for some t.
    let tape = tape(
        "cell rings(x[3]; h[5], far[5] delay 3)
h' = tanh(dense(x, h, far))
far' = h' - 0.5 * far
output y = far'
",
    );
    for t in 1..12 {
        let sample = Sample::drawn(&tape, t, 2, t as u64, drawn(11 * t as u64));
        let set = checks::set_states(&sample).unwrap_or_else(|e| panic!("T={t}: {e}"));
        assert!(set, "T={t}: nothing was compared");
    }
}
