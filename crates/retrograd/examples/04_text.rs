//! A poem letter by letter, and new lines drawn from what was learned.
//!
//!     cargo run --release -p retrograd --example 04_text
//!     cargo run --release -p retrograd --example 04_text 5 bf16     # from the fifth seed, with products of bfloat16 numbers
//!
//! A GRU reads *The Raven* (Edgar Allan Poe, 1845), and says after each character how likely every other is to be the next. The last
//! two stanzas are not trained on: what they cost in bits is compared with what they cost by how often each character, and each pair
//! of them, stands in the others. Then the cell writes: a character is drawn from what it says, and read as the next.

use retrograd::random::{ChaCha8Rng, RngExt, stream};
use retrograd::{Adam, Batch, Cell, Error, Extent, Precision, Shape, Trainer, zoo};

const POEM: &str = include_str!("../data/the-raven.txt");
const STEPS: usize = 64;
const ROWS: usize = 16;
/// How sharply characters are drawn: below 1, likely ones are more likely.
const TEMPERATURE: f64 = 0.6;

/// The characters of the poem, and the poem as their numbers.
fn letters() -> (Vec<char>, Vec<usize>) {
    let mut alphabet: Vec<char> = POEM.chars().collect();
    alphabet.sort_unstable();
    alphabet.dedup();
    let number = |c: char| alphabet.binary_search(&c).expect("it is one of them");
    let numbers = POEM.chars().map(number).collect();
    (alphabet, numbers)
}

/// Bits for each character of `text` by how often each pair of characters stands in `known`, every pair counting once more.
fn bits_by_pairs(known: &[usize], text: &[usize], alphabet: usize) -> f64 {
    let mut pairs = vec![1.0; alphabet * alphabet];
    known
        .windows(2)
        .for_each(|p| pairs[p[0] * alphabet + p[1]] += 1.0);
    let bits = text.windows(2).map(|p| {
        let row = &pairs[p[0] * alphabet..][..alphabet];
        -(row[p[1]] / row.iter().sum::<f64>()).log2()
    });
    bits.sum::<f64>() / (text.len() - 1) as f64
}

fn batch(windows: &[&[usize]]) -> Batch {
    let steps = windows[0].len() - 1;
    let at = |shift: usize| {
        let of_step = move |t: usize| windows.iter().map(move |w| w[t + shift] as f32);
        (0..steps).flat_map(of_step).collect::<Vec<f32>>()
    };
    let batch = Batch::new(Extent::steps(steps).rows(windows.len()));
    batch.with("letter", at(0)).with("next", at(1))
}

/// Draws a number by its logit.
fn draw(logits: &[f32], rng: &mut ChaCha8Rng) -> usize {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |z: &f32| (f64::from(z - most) / TEMPERATURE).exp();
    let mut rest = rng.random::<f64>() * logits.iter().map(weight).sum::<f64>();
    let past = logits.iter().position(|z| {
        rest -= weight(z);
        rest < 0.0
    });
    past.unwrap_or(logits.len() - 1)
}

fn main() -> Result<(), Error> {
    let (alphabet, numbers) = letters();
    let n = alphabet.len();
    let stanzas = POEM
        .rmatch_indices("\n\n")
        .nth(1)
        .map_or(0, |(at, _)| POEM[..at].chars().count());
    let (known, unknown) = numbers.split_at(stanzas);
    let gru = zoo::find("gru").expect("it is in the zoo");
    let cell = Cell::define("poet", |c| {
        let x = c.embedding("letters", n, 24, c.input("letter", Shape::Scalar));
        let h = c.dropout("drop", gru.layer(c, "", x, 128), 0.3);
        let logits = c.dense("say", n, [h]);
        c.output("logits", logits);
        c.loss(logits.cross_entropy(c.target("next", Shape::Scalar).one_hot(n), 0.0));
    })?;
    let mut arguments = std::env::args().skip(1);
    let seed = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let precision = arguments
        .next()
        .map_or(Ok(Precision::Full), |p| p.parse())?;
    let mut trainer = Trainer::builder(cell, Adam::new(4e-3))
        .seed(seed)
        .precision(precision)
        .clip(1.0)
        .build()?;
    let mut rng = stream(seed, "example", "text");
    for _ in 0..220 {
        let starts: Vec<usize> = (0..ROWS)
            .map(|_| rng.random_range(0..known.len() - STEPS))
            .collect();
        let windows: Vec<&[usize]> = starts.iter().map(|&s| &known[s..=s + STEPS]).collect();
        trainer.step(&batch(&windows))?;
    }

    let bits = trainer.evaluate(&batch(&[unknown]))?.loss() / std::f64::consts::LN_2;
    let by_pairs = bits_by_pairs(known, unknown, n);
    println!("bits for each character of two unknown stanzas: {bits:.2}; by pairs {by_pairs:.2}\n");

    let mut stepper = trainer.stepper().build()?;
    let mut written = "Once upon a ".to_owned();
    let mut logits = Vec::new();
    for c in written.clone().chars() {
        let number = alphabet.binary_search(&c).expect("it stands in the poem");
        logits = stepper.step(&[&[number as f32]])?.to_vec();
    }
    for _ in 0..400 {
        let number = draw(&logits, &mut rng);
        written.push(alphabet[number]);
        logits = stepper.step(&[&[number as f32]])?.to_vec();
    }
    println!("{written}");
    let words: Vec<&str> = written.split_whitespace().collect();
    let real = words.iter().filter(|w| POEM.contains(**w)).count();
    println!("\n{real} of {} words stand in the poem", words.len());
    assert!(bits < 0.9 * by_pairs, "it has not learned words");
    assert!(2 * real > words.len(), "it does not write words");
    Ok(())
}
