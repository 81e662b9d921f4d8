//! Sums over 4 million points in f32: the loss and every kind of gradient of a parameter.

use retrograd_tape::Extent;
use retrograd_tape::{InputRole, Interpreter, Recorder, Shape, Tape};

const POINTS: usize = 1 << 22;

/// x of each point (two numbers), and everything that sums over points: the loss, and gradients of a factor, a bias, a matrix,
/// a table and what a state begins with.
fn program() -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
    let zero = r.input("zero", InputRole::Sequence, Shape::Scalar);
    let factor = r.param("factor", Shape::Vector(2));
    let bias = r.param("bias", Shape::Vector(2));
    let matrix = r.param("matrix", Shape::Matrix(3, 2));
    let table = r.param("table", Shape::Matrix(4, 2));
    let begin = r.param("begin", Shape::Vector(2));
    let s = r.state("s", Shape::Vector(2), 1, Some(begin));
    r.next(s, x);
    let all = (x * factor).sum()
        + bias.sum()
        + matrix.matvec(x).sum()
        + (table.gather(zero) * x).sum()
        + (s * x).sum();
    r.loss(all);
    r.reduce_loss(retrograd_tape::LossReduction::Sum);
    r.finish("sums").unwrap()
}

fn close(what: &str, found: f32, exact: f64, ulps: f64) {
    let off = (f64::from(found) - exact).abs() / (exact.abs() * f64::from(f32::EPSILON));
    assert!(
        off <= ulps,
        "{what}: {found} should be {exact}, {off} ulp off"
    );
}

#[test]
fn sums_over_four_million_points_are_off_by_ulps_however_the_points_are_cut() {
    let tape = program();
    // Positive numbers of about 0.1, all different in their low bits.
    let x: Vec<f32> = (0..2 * POINTS as u32)
        .map(|i| 0.05 + (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 1e8)
        .collect();
    let zero = vec![0.0; POINTS];
    let sum = |k: usize| -> f64 { x.iter().skip(k).step_by(2).map(|&x| f64::from(x)).sum() };
    let sums = [sum(0), sum(1)];
    for (t, b) in [(1, POINTS), (1 << 11, 1 << 11), (POINTS / 4, 4)] {
        let mut run = Interpreter::<f32>::with_gradients(&tape, |i| i.role == InputRole::Param);
        // With the other parameters 0, each point's loss is 3 · (x₀ + x₁), rounded at most nine times.
        let (ones, zeros) = ([1.0; 8], [0.0; 8]);
        let inputs: [&[f32]; 7] = [
            &x,
            &zero,
            &ones[..2],
            &zeros[..2],
            &ones[..6],
            &zeros[..8],
            &zeros[..2],
        ];
        run.forward(Extent { steps: t, rows: b }, &inputs).unwrap();
        let loss = 4.0 * (sums[0] + sums[1])
            + (x.iter().zip(&x[2 * b..]))
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum::<f64>();
        // Twelve roundings of a point's terms, half an ulp each, and about one of their sum.
        close("loss", run.output(0)[0], loss, 7.0);
        run.backward(&[Some(&[1.0]), None]).unwrap();
        let gradient = |name: &str| run.gradient(tape.input(name).unwrap()).unwrap();
        for k in 0..2 {
            // Of terms that are exact: what the sum itself is off by.
            close("factor", gradient("factor")[k], sums[k], 1.0);
            close("bias", gradient("bias")[k], POINTS as f64, 0.0);
            close("table", gradient("table")[k], sums[k], 1.0);
            let first: f64 = (0..b).map(|r| f64::from(x[2 * r + k])).sum();
            close("begin", gradient("begin")[k], first, 1.0);
            for row in 0..3 {
                // 256 products one after the other, half an ulp each, and then about one of all blocks.
                close("matrix", gradient("matrix")[2 * row + k], sums[k], 129.0);
            }
        }
    }
}
