//! Fifty thousand random programs, in ten parts: each through every comparison that it is clear enough for, and its second
//! derivatives with one choice of passes or another.
//!
//! `cargo test --release -p retrograd-jit --test differential -- --ignored part_3` does one part.

use std::panic::{AssertUnwindSafe, catch_unwind};

use retrograd_graph::Options;
use retrograd_tape::generate::{Case, Choices, generate};

use retrograd_check::checks;
use retrograd_check::second::second_order;
use retrograd_check::{Random, Sample};

use super::{clearance, sample};

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

/// Cases from a counter on, each in a thread of its name, which a message of an aborting process says.
fn part(first: u64) {
    let mut failures: Vec<String> = Vec::new();
    for counter in first..first + CASES {
        let thread = std::thread::Builder::new().name(format!("case {counter}"));
        let found = thread.spawn(move || failure(counter));
        let found = found.expect("there are threads").join();
        failures.extend(found.unwrap_or_else(|_| Some(format!("case {counter} panicked"))));
        if failures.len() == ENOUGH {
            break;
        }
        if counter % 100 == 99 {
            eprintln!("{} of {CASES} from {first}", counter + 1 - first);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The first comparison of a case that fails, cut down.
fn failure(counter: u64) -> Option<String> {
    let case = drawn(counter);
    let Some(clear) = clearance(&case) else {
        return Some(format!("case {counter} does not run:\n{case}"));
    };
    let failed = (0..COMPARISONS).find_map(|k| Some((k, one(&case, clear, k).err()?)));
    let (k, reason) = failed?;
    eprintln!("case {counter}, comparison {k}: {reason}");
    let now = |c: &Case| one(c, clearance(c)?, k).err();
    let case = case.shrink(10_000, |c| now(c).is_some());
    let now = now(&case).unwrap_or_default();
    let failure = format!("case {counter}, comparison {k}, cut down:\n{case}{now}\n");
    eprintln!("{failure}");
    Some(failure)
}

/// The case of a counter.
pub(crate) fn drawn(counter: u64) -> Case {
    let mut random = Random::new(counter ^ 0x0050_0000_0000);
    let n = 40 + counter as usize % 560;
    let bytes: Vec<u8> = (0..n)
        .map(|_| (128.0 + 128.0 * random.next()) as u8)
        .collect();
    generate(&mut Choices::new(&bytes))
}

/// What can be compared: the comparisons of `retrograd-check`, and second derivatives.
const COMPARISONS: usize = checks::ALL.len() + 1;

/// One of them, if the case, so far from all kinks, is clear enough for it.
fn one(case: &Case, clear: f64, k: usize) -> Result<(), String> {
    let sample = sample(case);
    let run = || match checks::ALL.get(k) {
        Some((check, least)) if clear >= *least => check(&sample).map(|_| ()),
        None if clear >= 1e-9 => {
            let mut choices: Vec<(&str, Options)> = Options::each_off().collect();
            choices.extend([("nothing", Options::default()), ("all", Options::none())]);
            let (name, mut options) = choices.swap_remove((case.seed / 3) as usize % choices.len());
            options.target = sample.target;
            let tape = case.without_limits().tape;
            let (lengths, seed) = (case.lengths.clone(), case.seed);
            let found = second_order(&Sample::over(&tape, lengths, seed, sample.target), &options);
            found
                .map_err(|e| format!("without {name}: {e}"))
                .map(|_| ())
        }
        _ => Ok(()),
    };
    let found = catch_unwind(AssertUnwindSafe(run));
    found.unwrap_or_else(|_| Err("a panic".into()))
}
