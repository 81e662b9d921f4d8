//! A random program through all engines: see `crates/jit/tests/differential.rs`, which runs the same check.
#![no_main]
#[path = "../../crates/jit/tests/differential/check.rs"]
mod check;

use retrograd_tape::generate::{Choices, generate};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let case = generate(&mut Choices::new(bytes));
    // Where a rounding decides between two results, engines may differ.
    for (check, clear) in check::ALL
        .iter()
        .filter(|(_, clear)| case.clearance() >= *clear)
    {
        check(&case.tape, case.t, case.b, case.seed)
            .unwrap_or_else(|e| panic!("{clear}: {e}\n{case}"));
    }
});
