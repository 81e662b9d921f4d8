use retrograd::{Cell, Init, Shape, zoo};

fn initial(cell: &Cell, seed: u64) -> Vec<f64> {
    cell.initial_parameters(seed).expect("it is small")
}

const M: fn(usize, usize) -> Shape = Shape::Matrix;

#[test]
fn a_seed_gives_the_same_parameters_and_another_gives_others() {
    let cell = zoo::forecaster(zoo::find("lstm").unwrap(), 4, 8).unwrap();
    assert_eq!(initial(&cell, 7), initial(&cell, 7));
    assert_ne!(initial(&cell, 7), initial(&cell, 8));
}

#[test]
fn a_further_parameter_leaves_the_others_as_they_were() {
    let few = Cell::define("few", |c| {
        c.param("b", (3, 4));
    })
    .unwrap();
    let more = Cell::define("more", |c| {
        c.param("a", (5, 5));
        c.param("b", (3, 4));
    })
    .unwrap();
    assert_eq!(initial(&few, 3), initial(&more, 3)[25..]);
}

#[test]
fn parameters_of_one_shape_do_not_repeat_each_other() {
    let a = Init::FanIn.values("a", M(4, 4), 1);
    let b = Init::FanIn.values("b", M(4, 4), 1);
    assert!(a.iter().zip(&b).all(|(x, y)| x != y));
}

#[test]
fn orthogonal_matrices_are_orthogonal() {
    for (rows, columns) in [(1, 1), (7, 7), (9, 4), (4, 9), (64, 64)] {
        let q = Init::Orthogonal.values("q", M(rows, columns), 5);
        let at = |i: usize, j: usize| q[i * columns + j];
        let thin = rows.min(columns);
        for a in 0..thin {
            for b in 0..thin {
                let product: f64 = match rows >= columns {
                    true => (0..rows).map(|i| at(i, a) * at(i, b)).sum(),
                    false => (0..columns).map(|j| at(a, j) * at(b, j)).sum(),
                };
                let expected = f64::from(u8::from(a == b));
                // 64 products of numbers below 1, each exact to ε, and a QR of backward error of some n ε.
                assert!(
                    (product - expected).abs() < 1e-13,
                    "{rows}×{columns}: {product}"
                );
            }
        }
    }
}

#[test]
fn orthogonal_matrices_have_both_determinants() {
    // Without the sign correction, Householder's Q of a 2×2 matrix always has the same determinant.
    let signs: Vec<bool> = (0..20)
        .map(|seed| {
            let q = Init::Orthogonal.values("q", M(2, 2), seed);
            q[0] * q[3] - q[1] * q[2] > 0.0
        })
        .collect();
    assert!(signs.contains(&true) && signs.contains(&false));
}

#[test]
fn the_identity_is_one_on_the_diagonal() {
    let expected = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    assert_eq!(Init::Identity.values("u", M(2, 3), 0), expected);
}

#[test]
fn each_matrix_of_several_begins_as_one_that_stands_alone() {
    let several = Shape::Tensor(2, 2, 3);
    let one = Init::Identity.values("u", M(2, 3), 0);
    assert_eq!(
        Init::Identity.values("u", several, 0),
        [&one[..], &one].concat()
    );
    let q = Init::Orthogonal.values("q", several, 7);
    assert_eq!(q[..6], Init::Orthogonal.values("q", M(2, 3), 7)[..]);
    let along = |u: usize, v: usize| -> f64 { (0..3).map(|k| q[u * 3 + k] * q[v * 3 + k]).sum() };
    for (u, v) in [(0, 0), (2, 2), (3, 3), (0, 1), (2, 3)] {
        assert!((along(u, v) - f64::from(u8::from(u == v))).abs() < 1e-14);
    }
    assert_ne!(q[..6], q[6..]);
    let wide = Init::FanIn.values("w", several, 3);
    assert!(wide.iter().all(|x| x.abs() <= 1.0 / 3f64.sqrt()));
}

#[test]
fn distributions_have_their_bounds_and_moments() {
    let n = 40_000;
    let moments = |init: Init| {
        let values = init.values("w", M(n / 16, 16), 11);
        let mean = values.iter().sum::<f64>() / n as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        let greatest = values.iter().fold(0f64, |m, v| m.max(v.abs()));
        (mean, variance, greatest)
    };
    // Four standard errors: of the mean √(variance/n), of the variance about variance·√(2/n).
    let near = |found: f64, expected: f64, error: f64| {
        assert!(
            (found - expected).abs() < 4.0 * error,
            "{found}, not {expected}"
        );
    };
    let roots = (n as f64).sqrt();
    let (mean, variance, greatest) = moments(Init::Normal(3.0));
    near(mean, 0.0, 3.0 / roots);
    near(variance, 9.0, 9.0 * 2f64.sqrt() / roots);
    assert!(greatest > 9.0);
    let (mean, variance, greatest) = moments(Init::FanIn); // ±1/√16
    near(mean, 0.0, 0.25 / 3f64.sqrt() / roots);
    near(variance, 0.0625 / 3.0, 0.0625 / 3.0 / roots);
    assert!(greatest <= 0.25 && greatest > 0.2499);
    assert_eq!(moments(Init::Constant(2.0)).0, 2.0);
    assert_eq!(moments(Init::Zeros).2, 0.0);
}
