//! Effects from pairs of recordings: files byte by byte, errors by hand, chunks against steps made by hand, runs that go on.
#![cfg(all(feature = "audio", feature = "text"))]

mod files;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use retrograd::audio::{AudioError, Clip, Cut, Effect, Loss, Model, Pair, Segments, Setup};
use retrograd::fit::{Chunk, Fit, Stopped};
use retrograd::random::{RngExt, stream};
use retrograd::{Adam, Batch, Cell, Checkpoint, Error, Extent, StateSpec, Trainer};

/// A directory of its own, which is removed in the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let name = format!("retrograd-audio-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("there is room");
        Place(directory)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("there is room");
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn clip(rate: u32, channels: usize, samples: usize) -> Clip {
    let wave = (0..samples * channels).map(|t| 0.5 * (0.1 * t as f32).sin());
    Clip::new(rate, channels, wave.collect()).unwrap()
}

#[test]
fn errors_are_those_that_are_computed_by_hand() {
    let of = |samples: &[f32]| Clip::new(8000, 1, samples.to_vec()).unwrap();
    let pair = Pair::new(of(&[1.0, 1.0, 9.0]), of(&[1.0, 2.0, 9.0])).unwrap();
    let errors = pair.compare(pair.dry(), 0..2).unwrap();
    // The error is 0, 1; filtered 0, 1. The target is 1, 2; filtered 1, 1.15.
    assert_eq!((errors.esr, errors.mse), (1.0 / 5.0, 0.5));
    assert!((errors.emphasised - 1.0 / (1.0 + 1.15_f64.powi(2))).abs() < 1e-12);
    assert!(pair.compare(pair.dry(), 0..4).is_err());
}

#[test]
fn the_loss_of_a_batch_is_the_ratio_of_sums() {
    let cell = |whole: bool| {
        Cell::define("gain", |c| {
            let y = c.dense("gain", 2, [c.input("x", 2)]);
            c.output("y", y);
            let wet = c.target("wet", 2);
            match whole {
                true => c.loss(c.error_to_signal("esr", y, wet, 0.85)),
                false => c.error_to_signal_loss("esr", y, wet, 0.85, 1e-12),
            }
        })
        .unwrap()
    };
    let wave = |k: f64, n: usize| -> Vec<f64> { (0..n).map(|t| (k * t as f64).sin()).collect() };
    let gradient = |whole: bool, rows: usize| {
        let trainer = Trainer::builder(cell(whole), Adam::new(0.1)).seed(2);
        let mut trainer = trainer.double().build().unwrap();
        let batch = Batch::new(Extent::steps(20).rows(rows));
        let batch = batch
            .with("x", wave(0.7, 40 * rows))
            .with("wet", wave(1.1, 40 * rows));
        let run = trainer.differentiate(&batch).unwrap();
        (run.loss(), run.gradient("gain.x").unwrap().to_vec())
    };
    // Of one example, it is the ratio of the example, but for what is added to the denominators.
    let ((a, da), (b, db)) = (gradient(true, 1), gradient(false, 1));
    assert!((a - b).abs() < 1e-8 * a, "{a} {b}");
    assert!(
        da.iter()
            .zip(&db)
            .all(|(a, b)| (a - b).abs() < 1e-8 * (1.0 + a.abs()))
    );
    // Of several, examples count by their energy.
    assert!((gradient(true, 3).0 - gradient(false, 3).0).abs() > 1e-6);
    // It needs nothing of later chunks.
    assert!(cell(false).carrying().is_ok() && cell(true).carrying().is_err());
}

fn pair(samples: usize) -> Pair {
    let mut rng = stream(3, "test", "dry");
    let dry: Vec<f32> = (0..samples).map(|_| rng.random::<f32>() - 0.5).collect();
    let mut low = 0.0;
    let wet = dry.iter().map(|x| {
        low += 0.3 * (x - low);
        (3.0 * low).tanh()
    });
    let wet = wet.collect();
    Pair::new(
        Clip::new(8000, 1, dry).unwrap(),
        Clip::new(8000, 1, wet).unwrap(),
    )
    .unwrap()
}

const CUT: Cut = Cut {
    segment: 150,
    burn_in: 20,
    chunk: 50,
    rows: 3,
};

fn effect(pair: &Pair) -> (Cell, Setup) {
    let effect = Effect::of(pair, 0..pair.frames(), Loss::default());
    // A state that is learned at its start, and dropout, must be carried and drawn as well.
    let cell = effect.cell("small", |c, x| {
        let x = c.dropout("drop", x, 0.1);
        let h = c.state_with("h", 4, StateSpec::delay(1).init_learned());
        c.next(h, 0.8 * h + 0.2 * c.dense("new", 4, [x, h]).tanh())
    });
    (cell.unwrap(), effect.setup())
}

fn trainer(cell: &Cell) -> Trainer {
    Trainer::builder(cell.clone(), Adam::new(1e-2))
        .seed(5)
        .build()
        .unwrap()
}

#[test]
fn chunks_are_steps_with_states_carried_by_hand() {
    let pair = pair(1000);
    let (cell, setup) = effect(&pair);
    let segments = Segments::new(&pair, 0..900, CUT, &setup).unwrap();
    assert_eq!(
        segments.steps_per_epoch(),
        3,
        "5 segments are one batch of 3, of 3 chunks each"
    );
    let mut fitted = trainer(&cell);
    Fit::new(2)
        .run(&mut fitted, |epoch| segments.epoch(9, epoch))
        .unwrap();

    // By hand: starts from the samples of the first chunk, then chunk after chunk.
    let (mut by_hand, dry, wet) = (trainer(&cell), pair.dry().samples(), pair.wet().samples());
    let mut seen: Vec<Vec<usize>> = Vec::new();
    for epoch in 0..2 {
        // The segments of this epoch, found by their samples.
        let mut plain = Trainer::builder(probe(&setup), Adam::new(1e-2))
            .build()
            .unwrap();
        let mut starts = Vec::new();
        Fit::new(1)
            .on_step(|trainer, _| {
                if starts.is_empty() {
                    let first = trainer.output("y").unwrap()[..3].to_vec();
                    starts = first
                        .iter()
                        .map(|x| dry.iter().position(|d| d == x).unwrap())
                        .collect();
                }
                ControlFlow::Continue(())
            })
            .run(&mut plain, |_| segments.epoch(9, epoch))
            .unwrap();
        let mut carry = by_hand.carry(3).unwrap().burn_in(20);
        for (from, steps) in [(-20_isize, 70), (50, 50), (100, 50)] {
            let gather = |samples: &[f32]| -> Vec<f32> {
                let rows = |t: usize| {
                    starts
                        .iter()
                        .map(move |s| (*s as isize + from) as usize + t)
                };
                (0..steps)
                    .flat_map(|t| rows(t).map(|at| samples[at]).collect::<Vec<_>>())
                    .collect()
            };
            let chunk = Batch::new(Extent::steps(steps).rows(3));
            let chunk = chunk.with("x", gather(dry)).with("wet", gather(wet));
            by_hand.step_carrying(&chunk, &mut carry).unwrap();
            carry = carry.burn_in(0);
        }
        seen.push(starts);
    }
    assert_ne!(
        seen[0], seen[1],
        "each epoch has an order and an offset of its own"
    );
    assert_eq!(by_hand.parameters(), fitted.parameters());
}

/// A cell that shows the samples it was given after the burn-in.
fn probe(setup: &Setup) -> Cell {
    Cell::define("probe", |c| {
        let x = c.input(&setup.input, 1);
        c.output("y", x);
        let h = c.state("h", 1);
        c.next(h, x);
        c.loss((c.param("w", 1) * x).mse(c.target(&setup.target, 1)));
    })
    .unwrap()
}

#[test]
fn a_run_that_is_stopped_between_chunks_goes_on_bitwise() {
    let place = Place::new("stopped");
    let pair = pair(1000);
    let (cell, setup) = effect(&pair);
    let segments = Segments::new(&pair, 0..900, CUT, &setup).unwrap();
    let path = place.0.join("run.safetensors");
    let mut whole = trainer(&cell);
    Fit::new(4)
        .run(&mut whole, |epoch| segments.epoch(9, epoch))
        .unwrap();
    // Stopped after every single step, in the middle of segments too.
    let mut runs = 0;
    let resumed = loop {
        let mut trainer = trainer(&cell);
        let fit = Fit::new(4)
            .checkpoint(&path, 1)
            .on_step(|_, _| ControlFlow::Break(()));
        let history = fit
            .run(&mut trainer, |epoch| segments.epoch(9, epoch))
            .unwrap();
        runs += 1;
        if history.stopped == Stopped::Epochs {
            break trainer;
        }
    };
    assert_eq!(runs, 4 * 3 + 1);
    assert_eq!(resumed.parameters(), whole.parameters());
    let bits = |t: &Trainer| {
        t.parameters()
            .iter()
            .map(|p| p.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&resumed), bits(&whole));
    // A chunk that goes on where none was before is refused.
    let following = |_| segments.epoch(9, 0).skip(1);
    let error = Fit::new(1).run(&mut trainer(&cell), following).unwrap_err();
    assert!(error.to_string().contains("Chunk::first"), "{error}");
    let alone = |_| vec![Chunk::from(Batch::new(Extent::steps(1)))];
    assert!(matches!(
        Fit::new(1).run(&mut trainer(&cell), alone),
        Err(Error::MissingInput { .. })
    ));
}

#[test]
fn a_model_streams_what_a_run_over_the_whole_says() {
    let place = Place::new("model");
    let pair = pair(600);
    let (cell, setup) = effect(&pair);
    let path = place.0.join("model.safetensors");
    let mut trainer = trainer(&cell);
    let segments = Segments::new(&pair, 0..500, CUT, &setup).unwrap();
    Fit::new(3)
        .run(&mut trainer, |epoch| segments.epoch(1, epoch))
        .unwrap();
    let model = Model::new(&trainer.checkpoint(), &setup).unwrap();
    model.keep_in(trainer.checkpoint()).write(&path).unwrap();
    let opened = Model::open(&path).unwrap();
    let heard = opened.process(pair.dry()).unwrap();
    assert_eq!(
        heard,
        model.process(pair.dry()).unwrap(),
        "bit by bit after a round trip"
    );
    let batch = Batch::new(Extent::steps(600)).with("x", pair.dry().samples().to_vec());
    let whole = trainer
        .predict(&batch)
        .unwrap()
        .output("y")
        .unwrap()
        .to_vec();
    for (t, (a, b)) in heard.samples().iter().zip(&whole).enumerate() {
        assert!((a - b).abs() <= 1e-5, "{t}: {a} {b}");
    }
    // What is measured in stretches side by side is what is measured in one stream, but for where the filter and the states begin.
    let streamed = pair.compare(&heard, 500..600).unwrap();
    let measured = segments.errors(&mut trainer, 500..600).unwrap();
    assert!(
        (streamed.esr - measured.esr).abs() < 0.05 * streamed.esr,
        "{streamed:?} {measured:?}"
    );

    let other = Clip::new(44_100, 1, vec![0.1; 10]).unwrap();
    let error = opened.process(&other).unwrap_err();
    assert!(matches!(
        error,
        AudioError::Rate {
            expected: 8000,
            found: 44_100
        }
    ));
    assert!(error.to_string().contains("trained at 8000 Hz"), "{error}");
    let stereo = clip(8000, 2, 10);
    assert!(
        opened
            .process(&stereo)
            .unwrap_err()
            .to_string()
            .contains("takes 1 channel")
    );
    assert!(refused(&place.0, &trainer.checkpoint()).contains("no model of an effect"));
}

fn refused(at: &Path, saved: &Checkpoint) -> String {
    let path = at.join("plain.safetensors");
    saved.write(&path).unwrap();
    Model::open(&path).unwrap_err().to_string()
}

#[test]
fn a_mono_signal_becomes_two_channels() {
    let dry = pair(800).dry().clone();
    let both = dry
        .samples()
        .iter()
        .flat_map(|x| [0.5 * x, -0.25 * x])
        .collect();
    let pair = Pair::new(dry, Clip::new(8000, 2, both).unwrap()).unwrap();
    let effect = Effect::of(&pair, 0..700, Loss::Squared);
    let cell = effect.cell("panned", |c, x| c.dense("d", 2, [x])).unwrap();
    let mut trainer = Trainer::builder(cell, Adam::new(3e-2))
        .seed(1)
        .build()
        .unwrap();
    let segments = Segments::new(&pair, 0..700, CUT, &effect.setup()).unwrap();
    Fit::new(150)
        .run(&mut trainer, |epoch| segments.epoch(1, epoch))
        .unwrap();
    let model = Model::new(&trainer.checkpoint(), &effect.setup()).unwrap();
    let heard = model.process(pair.dry()).unwrap();
    assert_eq!((heard.channels(), heard.frames()), (2, 800));
    let errors = pair.compare(&heard, 700..800).unwrap();
    assert!(errors.esr < 1e-3, "{errors:?}");
}

#[test]
fn cuts_that_fit_nothing_are_refused() {
    let pair = pair(600);
    let (_, setup) = effect(&pair);
    let of = |cut: Cut| Segments::new(&pair, 0..600, cut, &setup).map(|_| ());
    assert!(
        of(Cut {
            segment: 149,
            ..CUT
        })
        .unwrap_err()
        .to_string()
        .contains("no whole number")
    );
    assert!(of(Cut { chunk: 0, ..CUT }).is_err() && of(Cut { rows: 0, ..CUT }).is_err());
    let few = of(Cut { rows: 4, ..CUT }).unwrap_err().to_string();
    assert!(few.contains("hold 3 segments"), "{few}");
    assert!(Segments::new(&pair, 0..601, CUT, &setup).is_err());
    for frames in [1, 2, 50, 1000, 44_100, 10_000_000] {
        let cut = Cut::of(44_100, frames);
        assert!(
            cut.segment.is_multiple_of(cut.chunk) && cut.rows * cut.segment + cut.burn_in <= frames,
            "{frames}: {cut:?}"
        );
    }
}
