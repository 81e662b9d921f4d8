//! Random cells, tape against compiled code.

#[path = "differential/check.rs"]
mod check;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use retrograd_tape::Tape;
use retrograd_tape::generate::{Case, Choices, generate};

type Check = fn(&Tape, usize, usize, u64) -> check::Verdict;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 40..500)
}

fn runner(cases: u32, seed: u8) -> TestRunner {
    let config = Config {
        cases,
        // Cases are cut down by their structure: see `Case::shrink`.
        max_shrink_iters: 0,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    TestRunner::new_with_rng(config, rng)
}

/// Runs the check on so many cases that stay `clear` of kinks; a failure is cut down and printed as Rust.
fn all(cases: u32, seed: u8, clear: f64, check: Check) {
    let fails = |case: &Case| {
        (case.clearance() >= clear).then(|| check(&case.tape, case.t, case.b, case.seed).err())?
    };
    let found = runner(cases, seed).run(&bytes(), |bytes| {
        let case = generate(&mut Choices::new(&bytes));
        match fails(&case) {
            Some(e) => Err(TestCaseError::fail(e)),
            None => Ok(()),
        }
    });
    if let Err(TestError::Fail(reason, bytes)) = found {
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let case = generate(&mut Choices::new(&bytes)).shrink(2000, |c| fails(c).is_some());
        std::panic::set_hook(quiet);
        let now = fails(&case).unwrap_or_default();
        panic!("{reason}\ncut down:\n{case}{now}\n");
    } else {
        found.expect("the generator always gives a case");
    }
}

#[test]
fn f64_code_agrees_with_the_tape() {
    all(200, 1, 1e-9, check::double);
}

#[test]
fn f64_code_without_gradients_agrees_with_the_tape() {
    all(100, 2, 1e-9, check::forward);
}

#[test]
fn two_threads_give_the_same_bits_as_one() {
    all(100, 3, 1e-9, check::threads);
}

#[test]
fn f32_code_is_as_near_to_the_exact_result_as_the_tape_in_f32() {
    all(200, 5, 1e-3, check::single);
}
