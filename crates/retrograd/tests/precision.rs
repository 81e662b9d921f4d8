//! Trainers and programs whose products take bfloat16 operands.

use retrograd::{
    Adam, Batch, Checkpoint, Cotangents, Engine, Error, Extent, Precision, Sgd, Stepper, Trainer,
    zoo,
};

fn batch(k: usize) -> Batch {
    let wave = |shift: usize, n: usize| {
        (0..n)
            .map(|i| ((i + shift + 5 * k) as f32 * 0.7).sin())
            .collect()
    };
    Batch::new(Extent::steps(12).rows(4))
        .with("x", wave(0, 144))
        .with("next", wave(4, 144))
}

fn trainer(cell: &str, engine: Engine, precision: Precision, threads: usize) -> Trainer {
    let cell = zoo::forecaster(zoo::find(cell).expect("it is in the zoo"), 3, 17);
    Trainer::builder(cell.expect("right"), Adam::new(3e-3))
        .seed(2)
        .engine(engine)
        .precision(precision)
        .threads(threads)
        .build()
        .expect("right")
}

fn losses(mut trainer: Trainer) -> Vec<f64> {
    (0..20)
        .map(|k| trainer.step(&batch(k % 3)).expect("finite").loss)
        .collect()
}

#[test]
fn both_engines_train_as_well_and_other_than_in_full() {
    for cell in ["lstm", "gru", "mingru", "keepwrite"] {
        let of = |engine, precision, threads| losses(trainer(cell, engine, precision, threads));
        let full = of(Engine::Jit, Precision::Full, 1);
        let jit = of(Engine::Jit, Precision::Bf16, 1);
        assert_eq!(jit, of(Engine::Jit, Precision::Bf16, 2), "{cell}");
        let tape = of(Engine::Tape, Precision::Bf16, 1);
        for (k, (jit, tape)) in jit.iter().zip(&tape).enumerate() {
            // An operand may lie on two sides of a tie, and the next step starts from there.
            assert!(
                (jit - tape).abs() <= 2e-3 * tape,
                "{cell}, step {k}: {jit} {tape}"
            );
        }
        assert_ne!(jit, full, "{cell}");
        let (last, right) = (jit[19], full[19]);
        assert!(
            (last - right).abs() <= 0.02 * full[0],
            "{cell}: {last} {right}"
        );
        assert!(last < 0.9 * full[0], "{cell}: {last} of {}", full[0]);
    }
}

#[test]
fn what_is_saved_is_full_and_says_how_it_was_trained() {
    let file = format!("retrograd-precision-{}", std::process::id());
    let path = std::env::temp_dir().join(file);
    let mut whole = trainer("lstm", Engine::Jit, Precision::Bf16, 1);
    for k in 0..3 {
        whole.step(&batch(k)).expect("finite");
    }
    whole.save(&path).expect("there is room");
    let saved = Checkpoint::<f32>::read(&path).expect("it was just written");
    assert_eq!(saved.precision(), Precision::Bf16);
    assert_eq!(
        saved.parameters(),
        whole.parameters(),
        "they are not rounded"
    );
    let mut resumed = trainer("lstm", Engine::Jit, Precision::Bf16, 1);
    resumed.restore(&saved).expect("it is the same training");
    let mut other = trainer("lstm", Engine::Jit, Precision::Full, 1);
    let Err(Error::OtherTraining { difference }) = other.restore(&saved) else {
        panic!("it would not go on as it was");
    };
    assert_eq!(
        difference,
        "its precision of products: bf16; the trainer's: f32"
    );
    for k in 3..6 {
        let (one, two) = (whole.step(&batch(k)), resumed.step(&batch(k)));
        assert_eq!(one.expect("finite"), two.expect("finite"));
    }
    assert_eq!(whole.parameters(), resumed.parameters());
    // A file of a training in full says nothing of it, as files always did.
    let full = trainer("lstm", Engine::Jit, Precision::Full, 1);
    full.save(&path).expect("there is room");
    let text = std::fs::read(&path).expect("it was just written");
    let says = |what: &[u8]| text.windows(what.len()).any(|w| w == what);
    assert!(says(b"learning_rate") && !says(b"precision"));
    assert_eq!(
        Checkpoint::<f32>::read(&path).expect("it was").precision(),
        Precision::Full
    );
    std::fs::remove_file(path).expect("it was there");
}

#[test]
fn a_program_and_a_run_in_two_halves_have_the_trainers_numbers() {
    for engine in Engine::ALL {
        let trainer = trainer("gru", engine, Precision::Bf16, 1);
        let program = trainer
            .cell()
            .program()
            .parameter_gradients()
            .all_cotangents();
        let program = program
            .engine(engine)
            .precision(Precision::Bf16)
            .build()
            .expect("right");
        let mut session = program.session();
        let whole = session
            .run(trainer.parameters(), &batch(0))
            .expect("it runs");
        let loss = whole.loss().expect("it has one");
        let first = batch(0);
        let forward = session
            .forward(trainer.parameters(), &first)
            .expect("it runs");
        let half = forward.loss().expect("it has one");
        assert_eq!(loss, half, "{engine}");
        let gradients = forward.backward(&Cotangents::new().with("loss", vec![1.0]));
        assert!(gradients.is_ok(), "{engine}");
        let full = trainer
            .cell()
            .program()
            .engine(engine)
            .build()
            .expect("right");
        let full = full
            .session()
            .run(trainer.parameters(), &batch(0))
            .expect("it runs")
            .loss();
        let full = full.expect("it has one");
        assert!(
            full != loss && (full - loss).abs() < 1e-2 * full,
            "{engine}: {full} {loss}"
        );
    }
}

#[test]
fn double_precision_rounds_the_same_operands() {
    let cell = zoo::forecaster(zoo::find("lstm").expect("it is in the zoo"), 3, 17).expect("right");
    let loss = |engine| {
        let builder = Trainer::builder(cell.clone(), Sgd::new(0.1)).engine(engine);
        let mut trainer = builder
            .precision(Precision::Bf16)
            .double()
            .build()
            .expect("right");
        let wide =
            |n: usize, shift: usize| (0..n).map(|i| ((i + shift) as f64 * 0.7).sin()).collect();
        let batch = Batch::new(Extent::steps(12).rows(4));
        let batch = batch.with("x", wide(144, 0)).with("next", wide(144, 4));
        (0..3)
            .map(|_| trainer.step(&batch).expect("finite").loss)
            .collect::<Vec<f64>>()
    };
    for (jit, tape) in loss(Engine::Jit).into_iter().zip(loss(Engine::Tape)) {
        assert!((jit - tape).abs() <= 1e-12 * tape, "{jit} {tape}");
    }
}

#[test]
fn a_stepper_has_the_numbers_of_its_trainer() {
    let mut trained = trainer("gru", Engine::Jit, Precision::Bf16, 1);
    trained.step(&batch(0)).expect("finite");
    let x: Vec<f32> = (0..36).map(|i| (i as f32 * 0.7).sin()).collect();
    let samples = |mut stepper: Stepper| -> Vec<f32> {
        let step = |x| stepper.step(&[x]).expect("finite").to_vec();
        x.chunks(3).flat_map(step).collect()
    };
    let own = samples(trained.stepper().build().expect("it needs no later sample"));
    let one = Batch::new(Extent::steps(12)).with("x", x.clone());
    let run = trained.predict(&one).expect("it runs");
    assert_eq!(own, run.output("y").expect("it has one"));
    let full = trained.stepper().precision(Precision::Full).build();
    let full = samples(full.expect("it needs no later sample"));
    assert_ne!(own, full);
    for (a, b) in own.iter().zip(&full) {
        assert!((a - b).abs() < 2e-2, "{a} {b}");
    }
}

#[test]
fn an_unknown_precision_is_an_error_that_names_those_there_are() {
    let error = "fp8".parse::<Precision>().expect_err("there is none");
    let told = error.to_string();
    assert!(
        told.contains("`fp8`") && told.contains("`f32` or `bf16`"),
        "{told}"
    );
}
