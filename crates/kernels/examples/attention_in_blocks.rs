//! The loops that attention over a second axis would run as (docs/SECOND-AXIS.md), written by hand: every step of T attends to
//! every step of S, forward and backward, in blocks, and no array has T × S numbers. The same is computed plainly, with those
//! arrays, and compared.
//!
//!     cargo run --release -p retrograd-kernels --example attention_in_blocks -- 2048 2048 32

use std::ops::Range;
use std::time::Instant;

/// Steps of either axis in a block.
const BLOCK: usize = 64;

/// Queries `[T, n]`, keys and values `[S, n]`.
struct Given {
    t: usize,
    s: usize,
    n: usize,
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
}

/// Outputs `[T, n]`, and the gradients of Σ output · cotangent.
#[derive(Default)]
struct Found {
    y: Vec<f64>,
    dq: Vec<f64>,
    dk: Vec<f64>,
    dv: Vec<f64>,
    /// Numbers in arrays beside what is given and found.
    held: usize,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn add(to: &mut [f64], by: f64, x: &[f64]) {
    to.iter_mut().zip(x).for_each(|(y, x)| *y += by * x);
}

fn blocks(n: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n.div_ceil(BLOCK)).map(move |k| k * BLOCK..n.min((k + 1) * BLOCK))
}

impl Given {
    fn row<'a>(&self, of: &'a [f64], k: usize) -> &'a [f64] {
        &of[k * self.n..][..self.n]
    }

    fn score(&self, t: usize, s: usize) -> f64 {
        dot(self.row(&self.q, t), self.row(&self.k, s)) / (self.n as f64).sqrt()
    }

    /// softmax(Q Kᵀ ÷ √n) V and its gradients, with the whole matrix of weights.
    fn plainly(&self, cotangent: &[f64]) -> Found {
        let (t, s, n) = (self.t, self.s, self.n);
        let mut found = self.nothing();
        let mut weights = vec![0.0; t * s];
        for (i, row) in weights.chunks_mut(s).enumerate() {
            row.iter_mut()
                .enumerate()
                .for_each(|(j, w)| *w = self.score(i, j));
            let greatest = row.iter().fold(f64::NEG_INFINITY, |m, x| m.max(*x));
            row.iter_mut().for_each(|w| *w = (*w - greatest).exp());
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|w| *w /= sum);
            for (j, &w) in row.iter().enumerate() {
                add(&mut found.y[i * n..][..n], w, self.row(&self.v, j));
            }
        }
        for (i, row) in weights.chunks(s).enumerate() {
            let c = &cotangent[i * n..][..n];
            let slopes: Vec<f64> = (0..s).map(|j| dot(c, self.row(&self.v, j))).collect();
            let mean = dot(row, &slopes);
            for (j, (&w, &slope)) in row.iter().zip(&slopes).enumerate() {
                add(&mut found.dv[j * n..][..n], w, c);
                let score = w * (slope - mean) / (n as f64).sqrt();
                add(&mut found.dq[i * n..][..n], score, self.row(&self.k, j));
                add(&mut found.dk[j * n..][..n], score, self.row(&self.q, i));
            }
        }
        found.held = weights.len();
        found
    }

    /// The same in blocks. Forward, each step of T carries the greatest score so far, the sum of the weights and the weighted
    /// sum of values, all relative to that score (Milakov & Gimelshein 2018); backward, weights are computed again from two
    /// numbers that each step of T has kept (Dao et al. 2022).
    fn in_blocks(&self, cotangent: &[f64]) -> Found {
        let (t, s, n) = (self.t, self.s, self.n);
        let mut found = self.nothing();
        // For each step of T, the logarithm of the sum of exp(score), and the cotangent along the output.
        let (mut log_sum, mut along) = (vec![0.0; t], vec![0.0; t]);
        let mut scores = [0.0; BLOCK * BLOCK];
        for rows in blocks(t) {
            let mut greatest = [f64::NEG_INFINITY; BLOCK];
            let mut sum = [0.0; BLOCK];
            for columns in blocks(s) {
                self.block(&rows, &columns, &mut scores);
                for (a, i) in rows.clone().enumerate() {
                    let row = &scores[a * BLOCK..][..columns.len()];
                    let now = row.iter().fold(greatest[a], |m: f64, x| m.max(*x));
                    let before = (greatest[a] - now).exp();
                    let y = &mut found.y[i * n..][..n];
                    y.iter_mut().for_each(|y| *y *= before);
                    sum[a] *= before;
                    for (j, score) in columns.clone().zip(row) {
                        let w = (score - now).exp();
                        sum[a] += w;
                        add(y, w, self.row(&self.v, j));
                    }
                    greatest[a] = now;
                }
            }
            for (a, i) in rows.enumerate() {
                let y = &mut found.y[i * n..][..n];
                y.iter_mut().for_each(|y| *y /= sum[a]);
                log_sum[i] = greatest[a] + sum[a].ln();
                along[i] = dot(y, &cotangent[i * n..][..n]);
            }
        }
        for columns in blocks(s) {
            for rows in blocks(t) {
                self.block(&rows, &columns, &mut scores);
                for (a, i) in rows.enumerate() {
                    let c = &cotangent[i * n..][..n];
                    for (b, j) in columns.clone().enumerate() {
                        let w = (scores[a * BLOCK + b] - log_sum[i]).exp();
                        add(&mut found.dv[j * n..][..n], w, c);
                        let slope = dot(c, self.row(&self.v, j)) - along[i];
                        let score = w * slope / (n as f64).sqrt();
                        add(&mut found.dq[i * n..][..n], score, self.row(&self.k, j));
                        add(&mut found.dk[j * n..][..n], score, self.row(&self.q, i));
                    }
                }
            }
        }
        found.held = log_sum.len() + along.len() + scores.len();
        found
    }

    /// The scores of a block: one product of matrices.
    fn block(&self, rows: &Range<usize>, columns: &Range<usize>, scores: &mut [f64]) {
        for (a, i) in rows.clone().enumerate() {
            for (b, j) in columns.clone().enumerate() {
                scores[a * BLOCK + b] = self.score(i, j);
            }
        }
    }

    fn nothing(&self) -> Found {
        let (of_t, of_s) = (vec![0.0; self.t * self.n], vec![0.0; self.s * self.n]);
        Found {
            y: of_t.clone(),
            dq: of_t,
            dk: of_s.clone(),
            dv: of_s,
            held: 0,
        }
    }
}

pub(crate) fn main() {
    // A test harness has arguments of its own.
    let mut sizes = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse::<usize>().ok());
    let mut size = |usual: usize| sizes.next().unwrap_or(usual).max(1);
    compare(size(300), size(200), size(8));
}

/// Computes both, and compares them.
fn compare(t: usize, s: usize, n: usize) {
    let numbers = |count: usize, k: f64| -> Vec<f64> {
        (0..count)
            .map(|i| 2.0 * (k + 0.37 * i as f64 + 1e-3 * (i * i % 977) as f64).sin())
            .collect()
    };
    let given = Given {
        t,
        s,
        n,
        q: numbers(t * n, 0.1),
        k: numbers(s * n, 0.7),
        v: numbers(s * n, 1.3),
    };
    let cotangent = numbers(t * n, 2.9);
    let start = Instant::now();
    let plain = given.plainly(&cotangent);
    let middle = Instant::now();
    let found = given.in_blocks(&cotangent);
    let end = Instant::now();
    let arrays = [
        ("y", &plain.y, &found.y),
        ("dq", &plain.dq, &found.dq),
        ("dk", &plain.dk, &found.dk),
        ("dv", &plain.dv, &found.dv),
    ];
    let mut worst: f64 = 0.0;
    for (name, right, found) in arrays {
        let size = right.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        let off = right
            .iter()
            .zip(found)
            .fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()))
            / size;
        println!("{name}: off by {off:.1e}");
        worst = worst.max(off);
    }
    println!(
        "T={t} S={s} n={n}: {} numbers held plainly in {:.2?}, {} in blocks in {:.2?}",
        plain.held,
        middle - start,
        found.held,
        end - middle
    );
    assert!(worst < 1e-12, "off by {worst:e}");
    assert!(found.held <= 2 * t + BLOCK * BLOCK);
}
