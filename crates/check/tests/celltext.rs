//! Programs as text: what a failure is reduced to reads back as the same program.

use std::collections::BTreeMap;

use retrograd_check::{Random, cell_text};
use retrograd_tape::generate::{Case, Choices, generate, inputs_ragged};
use retrograd_tape::{InputRole, Interpreter, Lengths, Tape};

/// All outputs of a run, by name, on numbers by name.
fn outputs(
    tape: &Tape,
    lengths: &Lengths,
    numbers: &BTreeMap<String, Vec<f64>>,
) -> BTreeMap<String, Vec<u64>> {
    let given: Vec<&[f64]> = (tape.inputs().iter())
        .map(|i| &numbers[&*i.name][..])
        .collect();
    let mut run = Interpreter::<f64>::new(tape);
    run.forward_ragged(lengths, &given).expect("it runs");
    let outputs = tape.outputs().iter().enumerate();
    let bits = |k| run.output(k).iter().map(|x| x.to_bits()).collect();
    outputs
        .map(|(k, o)| (o.name.to_string(), bits(k)))
        .collect()
}

#[test]
fn random_programs_read_back_as_what_they_are() {
    let mut written = 0;
    for number in 0..120 {
        let mut random = Random::new(number ^ 0x7e47);
        let bytes: Vec<u8> = (0..40 + number as usize * 3)
            .map(|_| (random.bits() >> 56) as u8)
            .collect();
        let drawn = generate(&mut Choices::new(&bytes));
        let case = Case::of(&drawn.tape, drawn.lengths.clone(), drawn.seed);
        let Some(case) = case else { continue };
        let Some(text) = cell_text(&case.tape) else {
            continue;
        };
        let read = retrograd_text::read_tape("reduced", &text, &[]);
        let read = read.unwrap_or_else(|e| panic!("program {number}: {e}\n{text}"));
        let numbers = inputs_ragged(&case.tape, &case.lengths, case.seed);
        let names = case.tape.inputs().iter().map(|i| i.name.to_string());
        let numbers: BTreeMap<String, Vec<f64>> = names.zip(numbers).collect();
        assert_eq!(
            outputs(&case.tape, &case.lengths, &numbers),
            outputs(&read, &case.lengths, &numbers),
            "program {number}\n{text}"
        );
        let roles = |t: &Tape| {
            t.inputs()
                .iter()
                .filter(|i| i.role == InputRole::Param)
                .count()
        };
        assert_eq!(roles(&case.tape), roles(&read));
        written += 1;
    }
    assert!(written > 60, "{written} of 120");
}
