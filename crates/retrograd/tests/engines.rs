//! The two engines against each other, on the work that they are for.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use retrograd::data::{Series, Split, Standardizer, Windows};
use retrograd::{Adam, Batch, Cell, Engine, Extent, Trainer, zoo};

fn keepwrite(hidden: usize) -> Cell {
    zoo::forecaster(zoo::find("keepwrite").unwrap(), 4, hidden).unwrap()
}

/// Batches of Seattle's weather, `[T = 64, B = 32, 4]`, the same at each call.
fn batches(count: usize) -> Vec<Batch> {
    let series = Series::seattle_weather();
    let (training, _) = series.split(Split::Fraction(0.2)).unwrap();
    let standardizer = Standardizer::fit(&series, training.clone()).unwrap();
    let series = standardizer.transform(&series).unwrap();
    let windows = Windows::new(&series, training, 64).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut batches = Vec::new();
    while batches.len() < count {
        batches.extend(windows.batches(32, 8, &mut rng).unwrap().map(Batch::from));
    }
    batches.truncate(count);
    batches
}

fn trainer(engine: Engine, threads: usize) -> Trainer {
    let settings = Trainer::builder(keepwrite(32), Adam::new(3e-3)).engine(engine);
    settings.seed(1).clip(1.0).threads(threads).build().unwrap()
}

#[test]
fn both_engines_have_the_same_losses_over_the_first_50_steps_of_the_weather() {
    let (mut jit, mut tape) = (trainer(Engine::Jit, 1), trainer(Engine::Tape, 1));
    for batch in batches(50) {
        let (jit, tape) = (jit.step(&batch).unwrap(), tape.step(&batch).unwrap());
        let off = (jit.loss - tape.loss).abs() / tape.loss;
        assert!(off <= 1e-4, "{jit:?}\n{tape:?}");
    }
}

#[test]
fn any_number_of_threads_gives_bitwise_the_same_parameters() {
    let run = |threads| {
        let mut trainer = trainer(Engine::Jit, threads);
        for batch in batches(3) {
            trainer.step(&batch).unwrap();
        }
        let y = trainer.predict(&batches(1)[0]).unwrap();
        let y = y.output("y").unwrap().to_vec();
        let parameters: Vec<f32> = trainer
            .named_parameters()
            .flat_map(|p| p.values.to_vec())
            .collect();
        (parameters, y)
    };
    let one = run(1);
    for threads in [2, 3] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn compiling_is_timed_and_the_forward_program_compiled_when_it_is_needed() {
    let mut jit = trainer(Engine::Jit, 1);
    let before = jit.compile_time().unwrap();
    assert!(before.as_nanos() > 0);
    let batch = &batches(1)[0];
    jit.step(batch).unwrap();
    assert_eq!(jit.compile_time().unwrap(), before);
    jit.evaluate(batch).unwrap();
    assert!(jit.compile_time().unwrap() > before);
    assert_eq!(trainer(Engine::Tape, 1).compile_time(), None);
}

#[test]
fn an_index_outside_its_table_is_the_same_error_of_both_engines_that_names_its_place() {
    let text = "cell words(word)\n\
                e = embedding[10, 3](2 * word)\n\
                output y = dense[1](e)\n\
                target next[1]\n\
                loss mean(square(y - next))\n";
    let cell = Cell::from_text(text, &[]).unwrap();
    let words = |bad: f32| vec![0.0, 1.0, 2.0, bad, 4.0, 3.0];
    let batch = |bad| {
        let batch = Batch::new(Extent::steps(3).rows(2)).with("word", words(bad));
        batch.with("next", vec![0.5; 6])
    };
    for bad in [5.0, -1.0, f32::NAN] {
        let errors = [Engine::Jit, Engine::Tape].map(|engine| {
            let settings = Trainer::builder(cell.clone(), Adam::new(1e-3)).engine(engine);
            let mut trainer = settings.build().unwrap();
            let error = trainer.step(&batch(bad)).unwrap_err().to_string();
            // The trainer goes on.
            trainer.step(&batch(4.0)).unwrap();
            assert_eq!(trainer.predict(&batch(bad)).unwrap_err().to_string(), error);
            error
        });
        assert_eq!(errors[0], errors[1]);
        // Number 3 of [T, B = 2]: step 1, example 1.
        assert!(errors[0].contains("at step 1 of row 1"), "{}", errors[0]);
    }
}
