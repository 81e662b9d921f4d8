use retrograd::{Cell, Init, Shape, initial_values, zoo};

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
    let a = initial_values(&Init::FanIn, "a", M(4, 4), 1);
    let b = initial_values(&Init::FanIn, "b", M(4, 4), 1);
    assert!(a.iter().zip(&b).all(|(x, y)| x != y));
}

#[test]
fn orthogonal_matrices_are_orthogonal() {
    for (rows, columns) in [(1, 1), (7, 7), (9, 4), (4, 9), (64, 64)] {
        let q = initial_values(&Init::Orthogonal(1.0), "q", M(rows, columns), 5);
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
            let q = initial_values(&Init::Orthogonal(1.0), "q", M(2, 2), seed);
            q[0] * q[3] - q[1] * q[2] > 0.0
        })
        .collect();
    assert!(signs.contains(&true) && signs.contains(&false));
}

#[test]
fn the_identity_is_one_on_the_diagonal() {
    let expected = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    assert_eq!(initial_values(&Init::Identity, "u", M(2, 3), 0), expected);
}

#[test]
fn each_matrix_of_several_begins_as_one_that_stands_alone() {
    let several = Shape::Tensor(2, 2, 3);
    let one = initial_values(&Init::Identity, "u", M(2, 3), 0);
    assert_eq!(
        initial_values(&Init::Identity, "u", several, 0),
        [&one[..], &one].concat()
    );
    let q = initial_values(&Init::Orthogonal(1.0), "q", several, 7);
    assert_eq!(
        q[..6],
        initial_values(&Init::Orthogonal(1.0), "q", M(2, 3), 7)[..]
    );
    let along = |u: usize, v: usize| -> f64 { (0..3).map(|k| q[u * 3 + k] * q[v * 3 + k]).sum() };
    for (u, v) in [(0, 0), (2, 2), (3, 3), (0, 1), (2, 3)] {
        assert!((along(u, v) - f64::from(u8::from(u == v))).abs() < 1e-14);
    }
    assert_ne!(q[..6], q[6..]);
    let wide = initial_values(&Init::FanIn, "w", several, 3);
    assert!(wide.iter().all(|x| x.abs() <= 1.0 / 3f64.sqrt()));
}

#[test]
fn distributions_have_their_bounds_and_moments() {
    let n = 40_000;
    let moments = |init: Init| {
        let values = initial_values(&init, "w", M(n / 16, 16), 11);
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

#[test]
fn fans_decide_the_spread_of_glorot_and_he() {
    let (rows, columns) = (400, 100);
    let moments = |init: Init| {
        let values = initial_values(&init, "w", M(rows, columns), 3);
        let n = values.len() as f64;
        let greatest = values.iter().fold(0f64, |m, v| m.max(v.abs()));
        (values.iter().map(|v| v * v).sum::<f64>() / n, greatest, n)
    };
    for (init, variance, bound) in [
        (
            Init::GlorotUniform,
            2.0 / 500.0,
            Some((6.0f64 / 500.0).sqrt()),
        ),
        (Init::GlorotNormal, 2.0 / 500.0, None),
        (Init::HeUniform, 2.0 / 100.0, Some((6.0f64 / 100.0).sqrt())),
        (Init::HeNormal, 2.0 / 100.0, None),
    ] {
        let (found, greatest, n) = moments(init.clone());
        // Four standard errors of a variance of normal numbers, which is more than that of uniform ones.
        assert!(
            (found - variance).abs() < 4.0 * variance * (2.0 / n).sqrt(),
            "{init:?}"
        );
        assert!(
            bound.is_none_or(|b| greatest <= b && greatest > 0.99 * b),
            "{init:?}"
        );
        assert!(
            bound.is_some() || greatest > 3.0 * variance.sqrt(),
            "{init:?}"
        );
    }
}

#[test]
fn gates_begin_as_the_papers_say() {
    let cell = Cell::define("two", |c| {
        let x = c.input("x", 3);
        let layer = |name: &str, x| {
            c.scope(name, |c| {
                let [f, i] = ["forget", "input"].map(|gate| c.dense(gate, 50, [x]).sigmoid());
                c.init("forget.bias", Init::chrono(100.0));
                c.init(
                    "input.bias",
                    Init::chrono(100.0).negative().like("forget.bias"),
                );
                f * i
            })
        };
        let h = layer("b", layer("a", x));
        let g = c.dense("g", 50, [h]);
        c.init("g.bias", Init::uniform_gate(50));
        c.init("g.0", Init::Orthogonal(2.0));
        c.output("y", g);
    })
    .expect("right");
    let all = initial(&cell, 5);
    let of = |name: &str| -> &[f64] {
        let mut at = 0;
        for p in cell.parameter_specs() {
            let (start, n) = (at, p.shape.len());
            at += n;
            if p.name == name {
                return &all[start..][..n];
            }
        }
        panic!("no {name}")
    };
    for layer in ["a", "b"] {
        let (f, i) = (
            of(&format!("{layer}.forget.bias")),
            of(&format!("{layer}.input.bias")),
        );
        assert!(f.iter().zip(i).all(|(f, i)| *f == -i));
        assert!(f.iter().all(|f| (0.0..99f64.ln()).contains(f)));
    }
    assert_ne!(of("a.forget.bias"), of("b.forget.bias"));
    let gates = of("g.bias").iter().map(|b| 1.0 / (1.0 + (-b).exp()));
    let mut gates: Vec<f64> = gates.collect();
    gates.sort_by(f64::total_cmp);
    assert!(gates[0] >= 0.0199 && gates[49] <= 0.9801 && gates[0] < 0.2 && gates[49] > 0.8);
    let row = |k: usize| &of("g.0")[k * 50..][..50];
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
    assert!((dot(row(0), row(0)) - 4.0).abs() < 1e-12 && dot(row(0), row(1)).abs() < 1e-12);
}

#[cfg(feature = "text")]
#[test]
fn a_file_says_the_same_starts_as_the_builder() {
    let text = "cell c(x[3])
y = dense[4](x)
z = dense[4](y)
init y.x = glorot_normal
init y.bias = chrono(50)
init z.y = orthogonal(0.5)
init z.bias = -chrono(50) like y.bias
output z\n";
    let cell = Cell::from_text(text, &[]).expect("right");
    let chrono = Init::chrono(50.0);
    let like = chrono.clone().negative().like("y.bias");
    let expected = [Init::GlorotNormal, chrono, Init::Orthogonal(0.5), like];
    assert!(cell.parameter_specs().map(|p| p.init).eq(expected));
    let wrong = text.replace("like y.bias", "like w.bias");
    let e = Cell::from_text(&wrong, &[])
        .expect_err("no such parameter")
        .to_string();
    assert!(
        e.contains("w.bias") && e.contains("expected a parameter"),
        "{e}"
    );
}
