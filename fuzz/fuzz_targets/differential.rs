//! A random program through all engines: see `crates/jit/tests/differential.rs`, which runs the same check.
#![no_main]
use retrograd_check::runs::drawn;
use retrograd_check::{Sample, checks};
use retrograd_tape::generate::{Choices, generate};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let case = generate(&mut Choices::new(bytes));
    // One comparison an input, drawn by it: all of them would take some ten seconds under the sanitizers.
    let (check, clear) = checks::ALL[case.seed as usize % checks::ALL.len()];
    // Where a rounding decides between two results, engines may differ.
    let others = checks::others(&case.lengths);
    if case.clearance_at(&others).is_some_and(|d| d >= clear) {
        let target = drawn(case.seed);
        let found = check(&Sample::over(&case.tape, case.lengths.clone(), case.seed, target));
        found.unwrap_or_else(|e| panic!("{target}: {e}\n{case}"));
    }
});
