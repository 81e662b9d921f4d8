//! An effect learned from a pair of recordings, and then played sample by sample as in a plug-in.
//!
//!     cargo run --release -p retrograd --features audio --example 06_audio
//!
//! The pair is generated: plucked strings, bursts of noise and a sweep through a distortion pedal. Its circuit is a high-pass filter,
//! an asymmetrical clipper whose working point sags under loud signals, and a tone filter. The last fifth is held out. An LSTM of few
//! units learns the pedal from the two WAV files; its error-to-signal ratio on what is held out is printed, and how fast it plays.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use retrograd::audio::{Clip, Cut, Effect, Errors, Format, Loss, Model, Pair, Segments};
use retrograd::fit::Fit;
use retrograd::optim::Schedule;
use retrograd::random::{ChaCha8Rng, RngExt, stream};
use retrograd::{Adam, Trainer, zoo};

const RATE: u32 = 44_100;
const SECONDS: usize = 8;
const UNITS: usize = 12;
const EPOCHS: u64 = 100;

/// What a guitarist plays: half a second each of a plucked string, a burst of noise or a sweep, at different levels.
fn dry() -> Vec<f32> {
    let mut rng = stream(1, "audio", "dry");
    let each = RATE as usize / 2;
    let mut out = Vec::with_capacity(SECONDS * RATE as usize);
    for k in 0..2 * SECONDS {
        let level = 0.15 + 0.75 * rng.random::<f32>();
        match k % 4 {
            // Two strings at once make what a clipper does to sums heard.
            0 | 1 => {
                let low = 80.0 * 2_f32.powf(2.0 * rng.random::<f32>());
                let (a, b) = (pluck(&mut rng, low, each), pluck(&mut rng, 1.5 * low, each));
                out.extend(a.iter().zip(&b).map(|(a, b)| level * (0.6 * a + 0.4 * b)));
            }
            2 => out.extend((0..each).map(|t| {
                let envelope = (-(t as f32) / (0.1 * RATE as f32)).exp();
                level * envelope * (2.0 * rng.random::<f32>() - 1.0)
            })),
            _ => {
                let mut phase = 0.0;
                out.extend((0..each).map(|t| {
                    let octave = 6.0 * t as f32 / each as f32;
                    phase += std::f32::consts::TAU * 60.0 * 2_f32.powf(octave) / RATE as f32;
                    level * (phase % std::f32::consts::TAU).sin()
                }));
            }
        }
    }
    out
}

/// A plucked string (Karplus & Strong 1983): noise that goes round a delay line through a low-pass filter.
fn pluck(rng: &mut ChaCha8Rng, pitch: f32, samples: usize) -> Vec<f32> {
    let length = (RATE as f32 / pitch) as usize;
    let mut line: Vec<f32> = (0..length)
        .map(|_| 2.0 * rng.random::<f32>() - 1.0)
        .collect();
    let next = |t: usize| {
        let (now, after) = (t % length, (t + 1) % length);
        let sample = line[now];
        line[now] = 0.498 * (line[now] + line[after]);
        sample
    };
    (0..samples).map(next).collect()
}

/// The pedal.
fn wet(dry: &[f32]) -> Vec<f32> {
    let pole = |hertz: f32| 1.0 - (-std::f32::consts::TAU * hertz / RATE as f32).exp();
    let (coupling, sag, tone) = (pole(120.0), pole(15.0), pole(5000.0));
    let (mut low, mut charge, mut out) = (0.0, 0.0, 0.0);
    let each = |x: &f32| {
        low += coupling * (x - low);
        let driven = 4.0 * (x - low);
        // Diodes of two kinds, biased by what the capacitor has stored of loud half-waves.
        let biased = driven + 0.2 - 0.5 * charge;
        let clipped = if biased > 0.0 {
            biased.tanh()
        } else {
            0.7 * (biased / 0.7).tanh()
        };
        charge += sag * (clipped.max(0.0) - charge);
        out += tone * (clipped - out);
        0.6 * out
    };
    dry.iter().map(each).collect()
}

/// Learns the pedal from two files, and returns the errors on what is held out and the factor of real time.
fn learn(directory: &Path) -> Result<(Errors, f64), Box<dyn Error>> {
    let played = dry();
    let files = [directory.join("dry.wav"), directory.join("wet.wav")];
    let of = |samples| {
        Ok::<_, Box<dyn Error>>(Clip::new(RATE, 1, samples)?.with_format(Format::Int(24)))
    };
    of(wet(&played))?.write(&files[1])?;
    of(played)?.write(&files[0])?;

    let pair = Pair::read(&files[0], &files[1])?;
    let (training, held_out) = pair.split(0.2)?;
    let effect = Effect::of(&pair, training.clone(), Loss::default());
    let lstm = zoo::find("lstm").expect("it is in the zoo");
    let cell = effect.cell("pedal", |c, x| lstm.layer(c, "", x, UNITS))?;
    println!("{} parameters", cell.parameter_count());

    let cut = Cut {
        segment: 8192,
        burn_in: 512,
        chunk: 1024,
        rows: 16,
    };
    let segments = Segments::new(&pair, training, cut, &effect.setup())?;
    let steps = EPOCHS * segments.steps_per_epoch() as u64;
    let mut trainer = Trainer::builder(cell, Adam::new(1e-2))
        .seed(1)
        .clip(1.0)
        .schedule(Schedule::cosine(steps))
        .build()?;
    let begun = Instant::now();
    let history = Fit::new(EPOCHS).run(&mut trainer, |epoch| segments.epoch(1, epoch))?;
    for epoch in history.epochs.iter().step_by(10) {
        println!("epoch {:>3}: loss {:.4}", epoch.epoch, epoch.loss);
    }
    println!("{steps} steps in {:.1} s", begun.elapsed().as_secs_f64());

    let path = directory.join("pedal.safetensors");
    let model = Model::new(&trainer.checkpoint(), &effect.setup())?;
    model.keep_in(trainer.checkpoint()).write(&path)?;

    // From here on nothing but the file is needed.
    let model = Model::open(&path)?;
    let mut stepper = model.stepper()?;
    let mut heard = Vec::with_capacity(pair.frames());
    let begun = Instant::now();
    for sample in pair.dry().samples() {
        heard.push(stepper.step(&[&[*sample]])?[0]);
    }
    let factor = pair.dry().seconds() / begun.elapsed().as_secs_f64();
    let heard = Clip::new(RATE, 1, heard)?;
    heard.write(directory.join("heard.wav"))?;
    Ok((pair.compare(&heard, held_out)?, factor))
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join("retrograd-audio");
    std::fs::create_dir_all(&directory)?;
    let (errors, factor) = learn(&directory)?;
    println!(
        "held out: error to signal {:.4}, with pre-emphasis {:.4}\n\
         streamed at {RATE} Hz {factor:.0} times as fast as real time\n\
         dry.wav, wet.wav and heard.wav are in {}",
        errors.esr,
        errors.emphasised,
        directory.display()
    );
    Ok(())
}

#[test]
fn the_pedal_is_learned_to_two_hundredths_of_its_energy() {
    let directory = std::env::temp_dir().join(format!("retrograd-audio-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("there is room");
    let (errors, factor) = learn(&directory).expect("nothing is wrong with the recordings");
    std::fs::remove_dir_all(&directory).expect("it was made");
    assert!(
        errors.esr <= 0.02 && errors.emphasised <= 0.02,
        "{errors:?}"
    );
    // Far below what any machine does, and what a plug-in needs.
    assert!(factor > 1.0, "{factor}");
}
