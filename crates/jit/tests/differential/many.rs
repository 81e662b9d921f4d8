//! Fifty thousand random programs, in ten parts: each through every comparison that it is clear enough for, and its second
//! derivatives with one choice of passes or another.
//!
//! `cargo test --release -p retrograd-jit --test differential -- --ignored part_3` does one part.

use std::panic::{AssertUnwindSafe, catch_unwind};

use retrograd_graph::Options;
use retrograd_tape::generate::{Case, Choices, generate};

use super::check::{self, Verdict};
use super::second::{Random, second_order};

/// Cases a part.
const CASES: u64 = 5_000;

/// Failures after which a part gives up.
const ENOUGH: usize = 10;

macro_rules! parts {
    ($($name:ident $k:literal),*) => {$(
        #[test]
        #[ignore = "hours in all"]
        fn $name() {
            part($k * CASES);
        }
    )*};
}

parts!(part_0 0, part_1 1, part_2 2, part_3 3, part_4 4, part_5 5, part_6 6, part_7 7, part_8 8, part_9 9);

/// Cases from a counter on.
fn part(first: u64) {
    let mut failures = Vec::new();
    for counter in first..first + CASES {
        let case = drawn(counter);
        if let Err(reason) = all(&case) {
            let case = case.shrink(400, |c| all(c).is_err());
            let now = all(&case).err().unwrap_or_default();
            let failure = format!("case {counter}: {reason}\ncut down:\n{case}{now}\n");
            eprintln!("{failure}");
            failures.push(failure);
            if failures.len() == ENOUGH {
                break;
            }
        }
        if counter % 100 == 99 {
            eprintln!("{} of {CASES} from {first}", counter + 1 - first);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The case of a counter.
pub(crate) fn drawn(counter: u64) -> Case {
    let mut random = Random(counter ^ 0x0050_0000_0000);
    let n = 40 + counter as usize % 560;
    let bytes: Vec<u8> = (0..n)
        .map(|_| (128.0 + 128.0 * random.next()) as u8)
        .collect();
    generate(&mut Choices::new(&bytes))
}

/// Everything that there is to compare.
fn all(case: &Case) -> Verdict {
    let (tape, t, b, seed) = (&case.tape, case.t, case.b, case.seed);
    let clear = catch_unwind(|| case.clearance()).map_err(|_| "it does not run".to_string())?;
    let target = check::drawn(seed);
    for (k, (check, least)) in check::ALL.into_iter().enumerate() {
        if clear >= least {
            let found = catch_unwind(AssertUnwindSafe(|| check(tape, t, b, seed, target)));
            let found = found.unwrap_or_else(|_| Err("a panic".into()));
            found.map_err(|e| format!("comparison {k}: {e}"))?;
        }
    }
    if clear < 1e-9 {
        return Ok(());
    }
    let mut choices: Vec<(&str, Options)> = Options::each_off().collect();
    choices.extend([("nothing", Options::default()), ("all", Options::none())]);
    let (name, mut options) = choices.swap_remove((seed / 3) as usize % choices.len());
    options.target = target;
    let run = || second_order(tape, t, b, seed, &options).map(|_| ());
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err("a panic".into()))
        .map_err(|e| format!("second derivatives without {name}: {e}"))
}
