//! The loop of training: what it does can be done by hand, it stops early with the best parameters, and a run that is killed goes on
//! bitwise.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use retrograd::fit::{CsvLog, EventLog, Fit, History, Stopped};
use retrograd::optim::{Plateau, Schedule};
use retrograd::random::{RngExt, stream};
use retrograd::{Adam, Batch, Cell, Checkpoint, Error, Extent, Sgd, Trainer};

/// A directory of its own, which is removed in the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let name = format!("retrograd-fit-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("there is room");
        Place(directory)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn cell() -> Cell {
    let cell = Cell::define("leaky", |c| {
        let x = c.dropout("drop", c.input("x", 1), 0.1).named("x");
        let h = c.state("h", 6);
        let h = c.next(h, 0.5 * h + c.dense("new", 6, [x, h]).tanh());
        let y = c.dense("read", 1, [h]);
        c.output("y", y);
        c.loss(y.mse(c.target("next", 1)));
    });
    cell.expect("right")
}

fn window(from: usize) -> Batch {
    let wave = |from: usize| (from..from + 12).map(|t| (t as f32 * 0.37).sin()).collect();
    Batch::new(Extent::steps(12))
        .with("x", wave(from))
        .with("next", wave(from + 1))
}

/// Batches in an order of the epoch's own.
fn epoch(epoch: u64) -> Vec<Batch> {
    let mut rng = stream(epoch, "windows", "test");
    (0..6).map(|_| window(rng.random_range(0..400))).collect()
}

fn trainer() -> Trainer {
    let plateau = Plateau {
        patience: 1,
        ..Plateau::new(0.5)
    };
    let builder = Trainer::builder(cell(), Adam::new(0.02)).schedule(Schedule::Plateau(plateau));
    builder
        .average(0.9)
        .clip(1.0)
        .seed(2)
        .build()
        .expect("right")
}

#[test]
fn all_of_it_can_be_done_by_hand() {
    let held_out = window(1000);
    let mut fitted = trainer();
    let fit = Fit::new(5)
        .validate(|t| Ok(t.evaluate(&held_out)?.loss()))
        .averaged();
    let history = fit.run(&mut fitted, epoch).expect("finite");

    let mut by_hand = trainer();
    let mut best: Option<(f64, Vec<f32>)> = None;
    for (k, measured) in history.epochs.iter().enumerate() {
        let mut sum = 0.0;
        for batch in epoch(k as u64) {
            sum += by_hand.step(&batch).expect("finite").loss;
        }
        let metric = by_hand.with_average(|t| t.evaluate(&held_out).map(|e| e.loss()));
        let metric = metric.expect("right");
        by_hand.report_metric(metric).expect("right");
        let is_best = best.as_ref().is_none_or(|(b, _)| metric < *b);
        if is_best {
            best = Some((metric, by_hand.averaged_parameters().expect("one").to_vec()));
        }
        assert_eq!(
            (measured.epoch, measured.step),
            (k as u64, 6 * (k as u64 + 1))
        );
        assert_eq!(
            (measured.loss, measured.validation),
            (sum / 6.0, Some(metric))
        );
        assert_eq!(measured.is_best, is_best);
    }
    assert_eq!(
        (history.epochs.len(), history.stopped),
        (5, Stopped::Epochs)
    );
    assert_eq!(fitted.parameters(), best.expect("one").1);
}

#[test]
fn it_stops_early_with_the_best_parameters_or_when_asked() {
    let mut trainer = Trainer::builder(cell(), Sgd::new(0.01))
        .build()
        .expect("right");
    // Better for three epochs, then not; NaN is never better.
    let mut metrics = [3.0, 2.0, 1.0, f64::NAN, 1.5, 1.0, 0.5].into_iter();
    let mut seen = Vec::new();
    let fit = Fit::new(100).validate(|t| {
        seen.push(t.parameters().to_vec());
        Ok(metrics.next().expect("it stops before"))
    });
    let history = fit.stop_early(3).run(&mut trainer, epoch).expect("finite");
    assert_eq!(history.stopped, Stopped::Early);
    let found: Vec<Option<f64>> = history.epochs.iter().map(|e| e.validation).collect();
    assert_eq!(
        found,
        [Some(3.0), Some(2.0), Some(1.0), None, Some(1.5), Some(1.0)]
    );
    assert_eq!(history.best().expect("one").epoch, 2);
    assert_eq!(trainer.parameters(), seen[2]);

    let mut steps = 0;
    let fit = Fit::new(100).on_step(|_, m| {
        steps = m.step;
        if m.epoch == 1 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let history = fit.run(&mut trainer, epoch).expect("finite");
    assert_eq!((history.stopped, history.epochs.len()), (Stopped::Asked, 1));
    assert_eq!(steps, trainer.steps());
    let fit = Fit::new(9).on_epoch(|_, m| match m.epoch {
        3 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(
        fit.run(&mut trainer, epoch).expect("finite").epochs.len(),
        4
    );
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let wrong = |fit: Fit<'_>, says: &str| {
        let e = fit.run(&mut trainer(), epoch).expect_err(says).to_string();
        assert!(e.contains(says), "{e}");
    };
    wrong(Fit::new(1).stop_early(3), "validation");
    wrong(Fit::new(1).checkpoint("x", 0), "at least 1");
    wrong(Fit::new(1).least_change(-1.0), "least change");
    let e = Fit::new(1).run(&mut trainer(), |_| Vec::<Batch>::new());
    assert!(matches!(e, Err(Error::Setting { .. })), "{e:?}");
    let place = Place::new("other");
    let path = place.0.join("run.safetensors");
    trainer().save(&path).expect("there is room");
    wrong(Fit::new(1).checkpoint(&path, 5), "such a loop");
}

#[test]
fn logs_have_every_step_and_epoch_once_also_of_a_run_that_went_on() {
    let place = Place::new("logs");
    let (csv, events) = (place.0.join("log.csv"), place.0.join("events"));
    let path = place.0.join("run.safetensors");
    let held_out = window(1000);
    let fit = |asked: u64| {
        Fit::new(4)
            .validate(|t| Ok(t.evaluate(&held_out)?.loss()))
            .checkpoint(&path, 4)
            .log(CsvLog::new(&csv))
            .log(EventLog::new(&events))
            .on_step(move |_, m| match m.step == asked {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
    };
    fit(15).run(&mut trainer(), epoch).expect("finite");
    // As if the process had been killed after step 15, with the checkpoint of step 12.
    let saved = Checkpoint::<f32>::read(&path).expect("it was written");
    assert_eq!(saved.steps(), 15);
    let history = fit(0).run(&mut trainer(), epoch).expect("finite");
    assert_eq!(history.epochs.len(), 4);

    let text = std::fs::read_to_string(&csv).expect("text");
    let mut steps = Vec::new();
    let mut epochs = 0;
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), 6, "{line}");
        match fields[3] {
            "" => epochs += 1,
            _ => steps.push(fields[0].parse::<u64>().expect("a step")),
        }
    }
    assert_eq!(steps, (1..=24).collect::<Vec<_>>());
    assert_eq!(epochs, 4);

    let mut scalars = BTreeMap::new();
    let files = std::fs::read_dir(&events).expect("it was made");
    for file in files {
        let bytes = std::fs::read(file.expect("a file").path()).expect("it can be read");
        for (tag, step) in tags(&bytes) {
            *scalars.entry((tag, step)).or_insert(0) += 1;
        }
    }
    for (tag, count) in [
        ("train/loss", 24),
        ("train/learning_rate", 24),
        ("epoch/loss", 4),
        ("validation", 4),
    ] {
        let of_tag: Vec<_> = scalars.iter().filter(|((t, _), _)| t == tag).collect();
        assert_eq!(of_tag.len(), count, "{tag}: {of_tag:?}");
        assert!(of_tag.iter().all(|(_, n)| **n == 1), "{tag}: {of_tag:?}");
    }
}

/// Tags and steps of the scalars in an event file.
fn tags(mut bytes: &[u8]) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
        let event = &bytes[12..12 + length];
        bytes = &bytes[16 + length..];
        let (step, rest) = varint(&event[10..]);
        if rest[0] != 0x2a {
            continue;
        }
        let (_, mut values) = varint(&rest[1..]);
        while !values.is_empty() {
            let (n, value) = varint(&values[1..]);
            let (tag, _) = varint(&value[1..]);
            let text = String::from_utf8(value[2..2 + tag as usize].to_vec()).expect("text");
            found.push((text, step));
            values = &value[n as usize..];
        }
    }
    found
}

fn varint(bytes: &[u8]) -> (u64, &[u8]) {
    let mut x = 0;
    for (k, b) in bytes.iter().enumerate() {
        x |= u64::from(b & 0x7f) << (7 * k);
        if b & 0x80 == 0 {
            return (x, &bytes[k + 1..]);
        }
    }
    panic!("a number that does not end")
}

/// The run that is killed: a few hundred steps, with a checkpoint every third.
fn long_run(trainer: &mut Trainer, path: Option<&Path>) -> History {
    let held_out = window(1000);
    let mut fit = Fit::new(60).validate(|t| Ok(t.evaluate(&held_out)?.loss()));
    if let Some(path) = path {
        fit = fit
            .checkpoint(path, 3)
            .log(CsvLog::new(path.with_extension("csv")));
    }
    fit.run(trainer, epoch).expect("finite")
}

const PATH: &str = "RETROGRAD_TEST_CHECKPOINT";

/// Not a test of its own: what the one below starts and kills.
#[test]
#[ignore = "it is started by another test"]
fn the_run_that_is_killed() {
    if let Some(path) = std::env::var_os(PATH) {
        long_run(&mut trainer(), Some(Path::new(&path)));
    }
}

#[cfg(unix)]
#[test]
fn fifty_kills_leave_readable_files_and_the_run_ends_bitwise_as_one_that_was_not_killed() {
    let place = Place::new("killed");
    let mut whole = trainer();
    let history = long_run(&mut whole, None);
    let mut rng = stream(std::process::id().into(), "kills", "test");
    let (mut kills, mut run, mut with_file, mut grown) = (0, 0, 0, 0);
    // In milliseconds: longer on a machine that is too busy for a process to get anywhere, shorter where one gets to the end.
    let mut longest = 160.0;
    // Each run is one that ended by itself in spite of the kills, or the last.
    while kills < 50 {
        run += 1;
        let path = place.0.join(format!("run-{run}.safetensors"));
        let mut before = 0;
        let ended = loop {
            let this = std::env::current_exe().expect("there is one");
            let mut child = Command::new(this)
                .args(["--ignored", "--exact", "the_run_that_is_killed"])
                .env(PATH, &path)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("it starts");
            if kills >= 50 {
                break child.wait().expect("it ends").success();
            }
            std::thread::sleep(Duration::from_millis(rng.random_range(5..longest as u64)));
            if let Some(status) = child.try_wait().expect("it can be asked") {
                longest = f64::max(longest * 0.7, 20.0);
                break status.success();
            }
            // SIGKILL.
            child.kill().expect("it runs");
            child.wait().expect("it ends");
            kills += 1;
            longest *= 1.1;
            if path.exists() {
                let saved = Checkpoint::<f32>::read(&path).expect("whole, however it was killed");
                assert!(saved.steps() >= before, "it never goes back");
                with_file += 1;
                if saved.steps() > before {
                    grown += 1;
                    longest = f64::max(longest * 0.7, 20.0);
                }
                before = saved.steps();
            }
        };
        assert!(ended, "run {run} failed");
        let mut resumed = trainer();
        let fit = Fit::new(60).validate(|_| panic!("nothing is left to do"));
        let again = fit
            .checkpoint(&path, 3)
            .run(&mut resumed, epoch)
            .expect("it has ended");
        assert_eq!(again, history);
        assert_eq!(resumed.parameters(), whole.parameters());
        let text = std::fs::read_to_string(path.with_extension("csv")).expect("text");
        assert_eq!(
            text.lines().count(),
            1 + 60 * 7,
            "every step and epoch once"
        );
    }
    assert!(
        with_file >= 10 && grown >= 3,
        "{with_file} of {kills} kills met a file, {grown} new ones"
    );
}

#[test]
fn a_loop_may_only_measure_keeps_its_notes_and_begins_anew() {
    let place = Place::new("notes");
    let path = place.0.join("model.safetensors");
    let run = |epochs: u64, anew: bool| {
        let mut trainer = trainer();
        let fit = Fit::new(epochs)
            .keep_last()
            .checkpoint(&path, 4)
            .note("scaler", "0.5 2");
        let fit = if anew { fit.anew() } else { fit };
        // Each epoch is worse than the one before.
        let mut measured = 0.0;
        let fit = fit.validate(move |_| {
            measured += 1.0;
            Ok(measured)
        });
        let history = fit.run(&mut trainer, epoch).unwrap();
        (history, trainer)
    };
    let (history, trainer) = run(3, false);
    let best: Vec<bool> = history.epochs.iter().map(|e| e.is_best).collect();
    assert_eq!(best, [true, false, false]);
    let saved: Checkpoint = Checkpoint::read(&path).unwrap();
    assert_eq!(
        (saved.note("scaler"), saved.array("best")),
        (Some("0.5 2"), None)
    );
    assert_eq!(
        saved.parameters(),
        trainer.parameters(),
        "those of the last epoch"
    );
    // Going on from the file, nothing is left to do; anew, all of it is done again.
    let (again, _) = run(3, false);
    assert_eq!(again, history);
    let (anew, _) = run(2, true);
    assert_eq!((anew.epochs.len(), anew.epochs[0]), (2, history.epochs[0]));
}
