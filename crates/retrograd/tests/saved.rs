//! Checkpoints: a run that goes on from one is bitwise the run that never stopped, and a model is used without its source.
#![cfg(feature = "text")]

use std::path::PathBuf;

use retrograd::optim::{
    Constraint, Group, Lbfgs, Lion, NAdam, Optimizer, Plateau, RmsProp, Schedule,
};
use retrograd::{
    Adam, Batch, Cell, Checkpoint, Domain, Extent, Sgd, StateSpec, Trainer, TrainerBuilder, zoo,
};
use retrograd_tape::InputRole;

/// A path of its own, which is removed in the end.
struct Beside(PathBuf);

impl Beside {
    fn new(name: &str) -> Beside {
        let file = format!("retrograd-saved-{}-{name}", std::process::id());
        Beside(std::env::temp_dir().join(file))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn cell() -> Cell {
    let cell = Cell::define("regularised", |c| {
        let x = c.dropout("x_drop", c.input("x", 2), 0.25);
        let h = c.state_with("h", 6, StateSpec::delay(1).init_learned());
        let kept = c.dropout_over("h_drop", h, 0.5, Domain::Row).named("h");
        let h = c.next(
            h,
            c.zoneout(
                "kept",
                h,
                c.dense("new", 6, [x.named("x"), kept]).tanh(),
                0.1,
            ),
        );
        let y = c.dense("read", 2, [h]);
        c.output("y", y);
        c.loss(y.huber(c.target("next", 2), 0.5).mean());
    });
    cell.expect("right")
}

fn batch(k: usize) -> Batch {
    let wave = |shift: usize| {
        (0..96)
            .map(|i| ((i + shift + 5 * k) as f32 * 0.7).sin())
            .collect()
    };
    Batch::new(Extent::steps(12).rows(4))
        .with("x", wave(0))
        .with("next", wave(4))
}

/// Trains ten steps, and again with a file after the fifth.
fn goes_on<O: Optimizer + Clone>(name: &str, builder: &TrainerBuilder<O>) {
    let file = Beside::new(name);
    let mut whole = builder.clone().seed(9).build().expect("right");
    let mut losses = Vec::new();
    for k in 0..10 {
        if k == 5 {
            whole.save(&file.0).expect("there is room");
        }
        losses.push(whole.step(&batch(k)).expect("finite"));
        whole.report_metric(1.0).expect("right");
    }
    // Another seed, and steps that are forgotten.
    let mut resumed = builder.clone().seed(1).threads(2).build().expect("right");
    resumed.step(&batch(3)).expect("finite");
    resumed
        .resume(&file.0)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(resumed.steps(), 5);
    for (k, report) in losses.iter().enumerate().skip(5) {
        let again = resumed.step(&batch(k)).expect("finite");
        assert_eq!(again, *report, "{name}, step {k}");
        resumed.report_metric(1.0).expect("right");
    }
    assert_eq!(resumed.parameters(), whole.parameters(), "{name}");
    assert_eq!(
        resumed.averaged_parameters(),
        whole.averaged_parameters(),
        "{name}"
    );
    assert_eq!(resumed.checkpoint(), whole.checkpoint(), "{name}");
}

#[test]
fn resumed_runs_are_bitwise_those_that_never_stopped() {
    let plateau = Plateau {
        patience: 1,
        ..Plateau::new(0.5)
    };
    let cosine = Schedule::cosine(7).warm_up(3);
    let adam = Trainer::builder(cell(), Adam::adamw(0.01))
        .clip(0.5)
        .average(0.9);
    goes_on(
        "adam",
        &adam
            .schedule(cosine)
            .constrain("new.h", Constraint::MaxNorm(0.7)),
    );
    let nadam = Trainer::builder(cell(), NAdam::new(0.01)).schedule(Schedule::Plateau(plateau));
    goes_on("nadam", &nadam.clip_value(0.1));
    let group = Group::new("read.*").learning_rate(0.5);
    let rms = Trainer::builder(cell(), RmsProp::new(0.01).momentum(0.5).centred());
    goes_on("rmsprop", &rms.group(group).freeze("new.bias"));
    let sgd = Sgd::new(0.05).momentum(0.9).nesterov();
    goes_on(
        "sgd",
        &Trainer::builder(cell(), sgd).schedule(Schedule::one_cycle(10)),
    );
    goes_on("lion", &Trainer::builder(cell(), Lion::new(0.001)));
    goes_on("lbfgs", &Trainer::builder(cell(), Lbfgs::new().history(3)));
}

#[test]
fn carried_states_and_notes_go_on_too() {
    let file = Beside::new("carried");
    let build = || {
        Trainer::builder(cell(), Adam::new(0.01))
            .build()
            .expect("right")
    };
    let mut whole = build();
    let mut carry = whole.carry(4).expect("right");
    for k in 0..3 {
        whole.step_carrying(&batch(k), &mut carry).expect("finite");
    }
    carry.reset_row(2).expect("there is one");
    let saved = whole
        .checkpoint()
        .with_carry("series", &carry)
        .with_note("epoch", "3");
    saved.write(&file.0).expect("there is room");
    whole.step_carrying(&batch(3), &mut carry).expect("finite");

    let read = Checkpoint::read(&file.0).expect("it was written");
    assert_eq!(read, saved);
    assert_eq!(
        (read.note("epoch"), read.note("other"), read.steps()),
        (Some("3"), None, 3)
    );
    let mut resumed = build();
    let mut again = resumed.carry(4).expect("right");
    resumed.restore(&read).expect("it fits");
    read.restore_carry("series", &mut again).expect("it fits");
    resumed
        .step_carrying(&batch(3), &mut again)
        .expect("finite");
    assert_eq!((resumed.parameters(), again), (whole.parameters(), carry));

    let mut fewer = resumed.carry(3).expect("right");
    let e = read
        .restore_carry("series", &mut fewer)
        .expect_err("4 rows")
        .to_string();
    assert!(e.contains("4 rows"), "{e}");
    assert!(read.restore_carry("other", &mut fewer).is_err());
}

#[test]
fn a_model_is_used_without_its_source() {
    let file = Beside::new("alone");
    let text = "use gru\ncell deep(x[2]) where H=4\nlayer l = gru(x, H=H)\noutput y = dense[2](l)\n\
                target next[2]\nloss mse(y, next)\n";
    let of_text = Cell::from_text(text, &[("H", 5)]).expect("right");
    for (cell, has_text) in [(cell(), false), (of_text, true)] {
        let mut trainer = Trainer::builder(cell, Adam::new(0.01))
            .build()
            .expect("right");
        for k in 0..4 {
            trainer.step(&batch(k)).expect("finite");
        }
        trainer.save(&file.0).expect("there is room");
        let expected = trainer.evaluate(&batch(7)).expect("right");
        let (loss, y) = (expected.loss(), expected.output("y").expect("one").to_vec());

        let saved = Checkpoint::<f32>::read(&file.0).expect("it was written");
        let cell = saved.cell().expect("it says it all");
        assert_eq!(cell.text().is_some(), has_text);
        let program = cell.program().build().expect("right");
        let mut session = program.session();
        let results = session.run(&saved.parameters(), &batch(7)).expect("right");
        assert_eq!(results.output("y"), Some(&y[..]));
        assert_eq!(results.loss(), Some(loss));
        // It trains on as the first would, bit by bit.
        let mut again = Trainer::builder(cell, Adam::new(0.01))
            .build()
            .expect("right");
        again.restore(&saved).expect("it fits");
        for k in 4..8 {
            let reports = [trainer.step(&batch(k)), again.step(&batch(k))];
            let [a, b] = reports.map(|r| r.expect("finite"));
            assert_eq!(a, b);
        }
    }
}

/// The batch, with what the cell reads of each row besides.
fn with_static_inputs(batch: Batch, cell: &Cell) -> Batch {
    let inputs = cell.tape().inputs().iter();
    let of_rows = inputs.filter(|i| i.role == InputRole::Static);
    of_rows.fold(batch, |batch, input| {
        let n = input.ty.numbers(12, 4);
        let numbers = (0..n).map(|i| (i as f32 * 0.9).sin()).collect();
        batch.with(&input.name, numbers)
    })
}

#[test]
fn every_cell_of_the_zoo_is_the_same_from_its_graph() {
    let file = Beside::new("zoo");
    for entry in zoo::ENTRIES {
        // A forecaster comes from the builder: it has no text.
        let Ok(cell) = zoo::forecaster(entry, 2, 5) else {
            continue;
        };
        let mut trainer = Trainer::builder(cell, Sgd::new(0.01))
            .build()
            .expect("right");
        trainer.save(&file.0).expect("there is room");
        let saved = Checkpoint::<f32>::read(&file.0).expect("it was written");
        let again = saved
            .cell()
            .unwrap_or_else(|e| panic!("{}: {e}", entry.name));
        assert!(again.text().is_none());
        let mut again = Trainer::builder(again, Sgd::new(0.01))
            .build()
            .expect("right");
        again.restore(&saved).expect("it fits");
        for k in 0..3 {
            let batch = with_static_inputs(batch(k), trainer.cell());
            let [a, b] = [&mut trainer, &mut again].map(|t| t.step(&batch).expect("finite"));
            assert_eq!(a, b, "{}", entry.name);
        }
        assert_eq!(trainer.parameters(), again.parameters(), "{}", entry.name);
    }
}

#[test]
fn parameters_alone_are_loaded_from_either_form_and_precision() {
    let (file, json) = (Beside::new("either"), Beside::new("either.json"));
    let mut trainer = Trainer::builder(cell(), Adam::new(0.01))
        .build()
        .expect("right");
    trainer.step(&batch(0)).expect("finite");
    trainer.save(&file.0).expect("there is room");
    trainer.save(&json.0).expect("there is room");
    assert!(
        std::fs::read(&json.0)
            .expect("text")
            .starts_with(b"{\"cell\"")
    );
    for path in [&file.0, &json.0] {
        let mut other = Trainer::builder(cell(), Sgd::new(0.1))
            .seed(8)
            .build()
            .expect("right");
        other.load(path).expect("the same parameters");
        assert_eq!(
            (other.parameters(), other.steps()),
            (trainer.parameters(), 0)
        );
        let mut double = Trainer::builder(cell(), Sgd::new(0.1))
            .double()
            .build()
            .expect("right");
        double.load(path).expect("the same parameters");
        let wide: Vec<f64> = trainer.parameters().iter().map(|p| f64::from(*p)).collect();
        assert_eq!(double.parameters(), wide);
    }
}

#[test]
fn other_runs_and_broken_files_are_refused_and_change_nothing() {
    let file = Beside::new("refused");
    let mut trainer = Trainer::builder(cell(), Adam::new(0.01))
        .clip(1.0)
        .build()
        .expect("right");
    trainer.step(&batch(0)).expect("finite");
    let saved = trainer.checkpoint();
    fn refuses<O: Optimizer>(saved: &Checkpoint, builder: TrainerBuilder<O>, says: &str) {
        let mut trainer = builder.build().expect("right");
        trainer.step(&batch(1)).expect("finite");
        let before = trainer.checkpoint();
        let e = trainer.restore(saved).expect_err(says).to_string();
        assert!(e.contains(says), "{e}");
        assert_eq!(trainer.checkpoint(), before);
    }
    let adam = |rate| Trainer::builder(cell(), Adam::new(rate));
    refuses(&saved, adam(0.01), "limits of a step");
    refuses(
        &saved,
        adam(0.01).clip(1.0).average(0.5),
        "limits of a step",
    );
    let betas = Adam::new(0.01).betas(0.5, 0.9);
    refuses(&saved, Trainer::builder(cell(), betas).clip(1.0), "beta1");
    refuses(
        &saved,
        Trainer::builder(cell(), NAdam::new(0.01)).clip(1.0),
        "optimiser: Adam",
    );
    let lstm = zoo::forecaster(zoo::find("lstm").expect("one"), 2, 6).expect("right");
    refuses(
        &saved,
        Trainer::builder(lstm, Adam::new(0.01)).clip(1.0),
        "`input.x`",
    );
    let double = adam(0.01).clip(1.0).double().build().expect("right");
    saved.write(&file.0).expect("there is room");
    let mut double = double;
    let e = double.resume(&file.0).expect_err("f32").to_string();
    assert!(e.contains("f32") && e.contains("f64"), "{e}");

    let whole = std::fs::read(&file.0).expect("it was written");
    // Every prefix, and every single byte of the header turned over: an error or a checkpoint, never a panic.
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().expect("eight")) as usize;
    for end in (0..whole.len()).step_by(7) {
        std::fs::write(&file.0, &whole[..end]).expect("there is room");
        assert!(Checkpoint::<f32>::read(&file.0).is_err(), "{end} bytes");
    }
    for k in (0..header).step_by(3) {
        let mut broken = whole.clone();
        broken[k] ^= 0x15;
        std::fs::write(&file.0, &broken).expect("there is room");
        if let Ok(read) = Checkpoint::<f32>::read(&file.0) {
            let _ = read.cell();
            let _ = adam(0.01).clip(1.0).build().expect("right").restore(&read);
        }
    }
    let e = Checkpoint::<f32>::read(std::env::temp_dir())
        .expect_err("a directory")
        .to_string();
    assert!(e.contains("directory"), "{e}");
}
