//! Random cells (see [`retrograd_tape::generate`]) on all engines: tape, plan interpreter, compiled code, by the comparisons
//! of `retrograd-check`, which users have for cells of their own. A failure is
//! shrunk and printed as Rust, to be added to `regressions.rs` before it is fixed.
//!
//! Each case is compiled for one of the targets that the machine runs, drawn by its seed. The cases are the same in
//! every run. `cargo test --release -p retrograd-jit --test differential -- --ignored` tries fifty thousand others,
//! each by all comparisons and with second derivatives (`differential/many.rs`).

#[path = "differential/many.rs"]
mod many;
#[path = "differential/purposes.rs"]
mod purposes;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use retrograd_check::Sample;
use retrograd_check::checks::{self, Check};
use retrograd_check::runs::drawn;
use retrograd_tape::generate::{Case, Choices, generate};

/// A comparison of engines with the least distance to a kink that it needs, and how many cases it gets in the normal run.
struct Comparison {
    check: Check,
    clear: f64,
    cases: u32,
}

impl Comparison {
    const fn new(which: usize, cases: u32) -> Comparison {
        let (check, clear) = checks::ALL[which];
        Comparison {
            check,
            clear,
            cases,
        }
    }
}

const DOUBLE: Comparison = Comparison::new(0, 500);
const FORWARD: Comparison = Comparison::new(1, 300);
const THREADS: Comparison = Comparison::new(2, 200);
const ENGINES: Comparison = Comparison::new(3, 300);
const BUDGET: Comparison = Comparison::new(4, 300);
const STEPPER: Comparison = Comparison::new(5, 500);
const HALVES: Comparison = Comparison::new(6, 400);
const WIDTH: Comparison = Comparison::new(7, 300);

#[test]
fn f64_code_agrees_with_the_tape() {
    DOUBLE.holds(1, 1);
}

#[test]
fn f64_code_without_gradients_agrees_with_the_tape() {
    FORWARD.holds(1, 2);
}

#[test]
fn two_threads_give_the_same_bits_as_one() {
    THREADS.holds(1, 3);
}

#[test]
fn plans_and_code_agree_with_the_tape_whatever_pass_is_switched_off() {
    ENGINES.holds(1, 4);
}

#[test]
fn gradients_are_the_same_within_any_budget() {
    BUDGET.holds(1, 5);
}

#[test]
fn a_stepper_agrees_with_the_tape_sample_by_sample() {
    STEPPER.holds(1, 6);
}

#[test]
fn a_run_in_two_halves_gives_the_bits_of_one_run() {
    HALVES.holds(1, 7);
}

#[test]
fn wide_loops_give_the_bits_of_narrow_ones() {
    WIDTH.holds(1, 8);
}

impl Comparison {
    /// Compares on `times` as many cases as in the normal run, drawn from `seed`.
    fn holds(&self, times: u32, seed: u8) {
        let config = Config {
            cases: times * self.cases,
            max_global_rejects: 100 * times * self.cases,
            // Cases are cut down by what they hold, not by their bytes: see `Case::shrink`.
            max_shrink_iters: 0,
            failure_persistence: None,
            ..Config::default()
        };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let bytes = proptest::collection::vec(any::<u8>(), 40..600);
        let result = TestRunner::new_with_rng(config, rng).run(&bytes, |bytes| {
            let case = generate(&mut Choices::new(&bytes));
            if !self.suits(&case) {
                return Err(TestCaseError::reject("too near to a kink"));
            }
            self.of(&case).map_err(TestCaseError::fail)
        });
        match result {
            Ok(()) => {}
            Err(TestError::Fail(reason, bytes)) => {
                let case = generate(&mut Choices::new(&bytes));
                let case = case.shrink(3000, |c| self.suits(c) && self.of(c).is_err());
                let now = self.of(&case).err().unwrap_or_default();
                panic!("{reason}\ncut down:\n{case}{now}\n");
            }
            Err(e) => panic!("{e}"),
        }
    }

    /// True if no kink is near.
    fn suits(&self, case: &Case) -> bool {
        clearance(case).is_some_and(|d| d >= self.clear)
    }

    fn of(&self, case: &Case) -> Result<(), String> {
        let sample = sample(case);
        let found = (self.check)(&sample).map(|_| ());
        found.map_err(|e| format!("{}: {e}", sample.target))
    }
}

/// A case's program and numbers, for the target that its seed draws.
fn sample(case: &Case) -> Sample<'_> {
    let target = drawn(case.seed);
    Sample::over(&case.tape, case.lengths.clone(), case.seed, target)
}

/// The distance to the nearest kink at all lengths that are compared.
fn clearance(case: &Case) -> Option<f64> {
    case.clearance_at(&checks::others(&case.lengths))
}
