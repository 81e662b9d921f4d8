//! Starts of papers as expressions: where the numbers lie, and how they are spread.

use retrograd::Cell;

/// The first numbers of a parameter.
fn start(text: &str, name: &str) -> Vec<f64> {
    let cell = Cell::from_text(text, &[]).unwrap_or_else(|e| panic!("{e}"));
    let all: Vec<f64> = cell.initial_parameters(7).expect("it is small");
    let mut rest = &all[..];
    for spec in cell.parameter_specs() {
        let (own, behind) = rest.split_at(spec.shape.len());
        if spec.name == name {
            return own.to_vec();
        }
        rest = behind;
    }
    panic!("no parameter `{name}`");
}

/// Numbers are within `low` and `high` and uniform there: four standard deviations of a mean, and of the share below the
/// first quarter.
fn uniform(x: impl Iterator<Item = f64>, low: f64, high: f64) {
    let x: Vec<f64> = x.map(|x| (x - low) / (high - low)).collect();
    let n = x.len() as f64;
    assert!(x.iter().all(|x| (-1e-9..1.0 + 1e-9).contains(x)), "{x:?}");
    let mean = x.iter().sum::<f64>() / n;
    assert!((mean - 0.5).abs() < 4.0 / (12.0 * n).sqrt(), "{mean}");
    let share = x.iter().filter(|x| **x < 0.25).count() as f64 / n;
    assert!((share - 0.25).abs() < 4.0 * (0.1875 / n).sqrt(), "{share}");
}

fn softplus(x: f64) -> f64 {
    x.exp().ln_1p()
}

#[test]
fn decays_of_papers_lie_where_the_papers_put_them() {
    // De et al. 2024, RG-LRU: a⁸ of a = sigmoid(Λ) is uniform in 0.9 to 0.999.
    let text = "cell c(x[2000])\nparam L[2000] init -ln(uniform(0.9, 0.999)^(-1 / 8) - 1)\noutput y = x * L";
    let a = |x: &f64| (1.0 / (1.0 + (-x).exp())).powi(8);
    uniform(start(text, "L").iter().map(a), 0.9, 0.999);

    // Dao & Gu 2024, Mamba-2: A uniform in 1 to 16, and steps whose logarithm is, from 0.001 to 0.1.
    let text = "cell c(x[2000])
        param A_log[2000] init ln(uniform(1, 16))
        param dt_bias[2000] init ln(expm1(exp(uniform(ln(0.001), ln(0.1)))))
        output y = exp(A_log) * x * softplus(dt_bias)";
    uniform(start(text, "A_log").iter().map(|x| x.exp()), 1.0, 16.0);
    let steps = start(text, "dt_bias");
    let steps = steps.iter().map(|x| softplus(*x).ln());
    uniform(steps, 0.001f64.ln(), 0.1f64.ln());

    // Orvieto et al. 2023, LRU: uniform on the ring between two radii, so the squares of the radii are.
    let text = "cell c(x[2000])
        param nu[2000] init ln(-0.5 * ln(uniform(0.9^2, 0.999^2)))
        param theta[2000] init ln(uniform(0, 6.28))
        output y = x * nu * theta";
    let squares = start(text, "nu");
    let squares = squares.iter().map(|x| (-2.0 * x.exp()).exp());
    uniform(squares, 0.81, 0.999 * 0.999);
    uniform(start(text, "theta").iter().map(|x| x.exp()), 0.0, 6.28);
}

#[test]
fn biases_follow_from_sizes_and_parameters_of_rounds_from_the_round() {
    // Tallec & Ollivier 2018, chrono initialisation for memories of up to T steps.
    let text = "use lstm
        cell c(x[3]) where T=500, H=2000
        layer l = lstm(x, H=H)
        init l.forget.bias = ln(uniform(1, T - 1))
        output y = l";
    match Cell::from_text(text, &[]) {
        Ok(_) => uniform(
            start(text, "l.forget.bias").iter().map(|x| x.exp()),
            1.0,
            499.0,
        ),
        Err(e) => panic!("{e}"),
    }
    // Press et al. 2022: a slope for each head; and a frequency for each place (Vaswani et al. 2017).
    let text = "cell c(x[4])
        param place[3, 4] init sin(index(0) / 10000^(index(1) / 4))
        for k in 0..3 carrying y = x {
            param slope[4] init 2^(-8 * (k + 1) / 3)
            y = y * slope
        }
        output y = y + place[0]";
    let place = start(text, "place");
    for (k, found) in place.iter().enumerate() {
        let (row, column) = ((k / 4) as f64, (k % 4) as f64);
        let right = (row / 10_000f64.powf(column / 4.0)).sin();
        assert!((found - right).abs() < 1e-15, "{k}: {found} {right}");
    }
    for k in 0..3 {
        let right = 2f64.powf(-8.0 * (k + 1) as f64 / 3.0);
        for found in start(text, &format!("slope.{k}")) {
            assert!((found - right).abs() < 1e-15, "{k}: {found} {right}");
        }
    }
    let text = "cell c(x[4000])\nparam w[4000] init normal(0.5)\noutput y = x * w";
    let w = start(text, "w");
    let square = w.iter().map(|x| x * x).sum::<f64>() / 4000.0;
    // The variance of a square of a normal number is 2.
    assert!((square / 0.25 - 1.0).abs() < 4.0 * (2.0f64 / 4000.0).sqrt());
}
