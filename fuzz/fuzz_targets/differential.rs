//! A random program through all engines: see `crates/jit/tests/differential.rs`, which runs the same check.
#![no_main]

use retrograd_check::{Sample, checks, runs};
use retrograd_tape::generate::{Choices, generate};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let case = generate(&mut Choices::new(bytes));
    // One comparison an input, drawn by it: all of them would take some ten seconds under the sanitizers.
    let (check, clear) = checks::ALL[case.seed as usize % checks::ALL.len()];
    // Where a rounding decides between two results, engines may differ.
    let sizes = [checks::other_sizes(case.t, case.b), (case.t, 1)];
    if case.clearance_at(&sizes).is_some_and(|d| d >= clear) {
        let target = runs::drawn(case.seed);
        let found = check(&Sample::drawn(&case.tape, case.t, case.b, case.seed, target));
        if let Err(e) = found {
            panic!("{target}: {e}\n{case}");
        }
    }
});
