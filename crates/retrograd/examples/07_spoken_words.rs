//! Spoken words of different lengths are told apart by a bidirectional GRU.
//!
//!     cargo run --release -p retrograd --example 07_spoken_words
//!
//! A recording is a series of frames, each with the first three resonances of the vocal tract. The words say the vowels
//! a, i and u in six orders, each vowel as long as the speaker likes, so a recording takes 9 to 60 frames, and its mean tells
//! nothing. A batch has rows of any lengths: [`Batch::with_lengths`] takes the place of masks, and the layer that reads
//! from the end begins where each word ends. Recordings are made here, vowels by the mean formants of Peterson & Barney
//! (1952, *Control methods used in a study of the vowels*, table II, men).

use retrograd::random::{ChaCha8Rng, RngExt, stream};
use retrograd::{Adam, Batch, Cell, Domain, Error, Extent, InputRole, Trainer, zoo};

/// Resonances of /ɑ/, /i/ and /u/ in Hz.
const VOWELS: [[f32; FORMANTS]; 3] = [
    [730.0, 1090.0, 2440.0],
    [270.0, 2290.0, 3010.0],
    [300.0, 870.0, 2240.0],
];
const FORMANTS: usize = 3;
/// The vowels of each word.
const WORDS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];
/// The longest recording, in frames, and the recordings of a batch.
const LONGEST: usize = 60;
const ROWS: usize = 32;

/// A recording: its word, and its frames one after another.
struct Recording {
    word: usize,
    frames: Vec<f32>,
}

/// A speaker says a word.
fn say(rng: &mut ChaCha8Rng) -> Recording {
    let word = rng.random_range(0..WORDS.len());
    // Vocal tracts differ in length, and so do all resonances in proportion.
    let tract = rng.random_range(0.85..1.2);
    let (mut frames, mut now) = (Vec::new(), VOWELS[WORDS[word][0]]);
    for vowel in WORDS[word] {
        for _ in 0..rng.random_range(3..=20) {
            for (f, to) in now.iter_mut().zip(VOWELS[vowel]) {
                *f += 0.4 * (to - *f); // the tongue takes its time
                let noise = 1.0 + rng.random_range(-0.25..0.25);
                frames.push((*f * tract * noise / 1500.0) - 1.0);
            }
        }
    }
    Recording { word, frames }
}

/// Some recordings as a batch, time-major; what lies beyond a recording's end is not read.
fn batch(recordings: &[Recording]) -> Batch {
    let rows = recordings.len();
    let lengths: Vec<usize> = recordings
        .iter()
        .map(|r| r.frames.len() / FORMANTS)
        .collect();
    let mut frames = vec![f32::NAN; LONGEST * rows * FORMANTS];
    let mut words = vec![0.0; rows * WORDS.len()];
    for (row, recording) in recordings.iter().enumerate() {
        for (t, frame) in recording.frames.chunks(FORMANTS).enumerate() {
            frames[(t * rows + row) * FORMANTS..][..FORMANTS].copy_from_slice(frame);
        }
        words[row * WORDS.len() + recording.word] = 1.0;
    }
    Batch::new(Extent::steps(LONGEST).rows(rows))
        .with_lengths(&lengths)
        .with("frame", frames)
        .with("word", words)
}

/// Two GRUs, one from each end; where they end up decides.
fn cell() -> Result<Cell, Error> {
    Cell::define("words", |c| {
        let gru = zoo::find("gru").expect("it is in the zoo");
        let frame = c.input("frame", FORMANTS);
        let past = gru.layer(c, "past", frame, 16).last();
        let future = c.reversed(|c| gru.layer(c, "future", frame, 16)).first();
        let logits = c.dense("read", WORDS.len(), [past, future]);
        c.output("logits", logits);
        let word = c.input_over("word", InputRole::Target, WORDS.len(), Domain::Row);
        c.loss(-(word * logits.softmax().ln()).sum());
    })
}

/// Trains on new recordings all the time, and returns the share of others that are told apart, and the steps that they have of
/// those that they would have if all were the longest.
fn train(steps: usize, seed: u64) -> Result<(f64, f64), Error> {
    let mut rng = stream(seed, "example", "spoken words");
    let mut say = |n: usize| -> Vec<Recording> { (0..n).map(|_| say(&mut rng)).collect() };
    let mut trainer = Trainer::builder(cell()?, Adam::new(1e-2))
        .seed(seed)
        .build()?;
    for _ in 0..steps {
        trainer.step(&batch(&say(ROWS)))?;
    }
    let unknown = say(500);
    let frames: usize = unknown.iter().map(|r| r.frames.len() / FORMANTS).sum();
    let evaluation = trainer.evaluate(&batch(&unknown))?;
    let logits = evaluation.output("logits").unwrap_or_default();
    let right = logits
        .chunks(WORDS.len())
        .zip(&unknown)
        .filter(|(logits, recording)| {
            let best = (0..WORDS.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            best == Some(recording.word)
        });
    let share = right.count() as f64 / unknown.len() as f64;
    Ok((share, frames as f64 / (LONGEST * unknown.len()) as f64))
}

fn main() -> Result<(), Error> {
    let (right, live) = train(300, 1)?;
    println!(
        "{:.1} % of 500 unknown recordings are told apart",
        100.0 * right
    );
    println!(
        "{:.0} % of the steps of a padded batch are computed",
        100.0 * live
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::train;

    #[test]
    fn words_are_told_apart() {
        let (right, _) = train(300, 1).expect("it trains");
        assert!(right >= 0.97, "{right}");
    }
}
