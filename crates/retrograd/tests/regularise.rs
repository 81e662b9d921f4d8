//! Dropout, zoneout, drop-connect: their equations, and that masks depend on seed, draw, name, row and step alone.

use retrograd::{Batch, Cell, Cotangents, Domain, Engine, Extent, Init, Sgd, Trainer, Var};
use serde_json::Value as Json;

const ENGINES: [Engine; 2] = [Engine::Jit, Engine::Tape];

fn numbers(v: &Json) -> Vec<f64> {
    let list = v.as_array().expect("a list");
    list.iter().map(|x| x.as_f64().expect("a number")).collect()
}

#[test]
fn recurrent_dropout_has_the_equations_of_keras() {
    let file: Json =
        serde_json::from_str(include_str!("../../../data/fixtures/dropout.json")).expect("JSON");
    let cell = Cell::define("lstm", |b| {
        let (h, c) = (b.state("h", 5), b.state("c", 5));
        let x = b.input("x", 3);
        let gate = |name: &str| {
            b.scope(name, |b| {
                let x = b.dropout_over("x_drop", x, 0.5, Domain::Row).named("x");
                let before = b.dropout_over("h_drop", h, 0.25, Domain::Row).named("h");
                b.dense("", 5, [x, before])
            })
        };
        let [i, f, g, o] = ["i", "f", "g", "o"].map(gate);
        let c = b.next(c, f.sigmoid() * c + i.sigmoid() * g.tanh());
        b.output("y", b.next(h, o.sigmoid() * c.tanh()));
    });
    let cell = cell.expect("right");
    let parameters: Vec<f64> = (cell.parameter_specs())
        .flat_map(|p| numbers(&file["parameters"][p.name]))
        .collect();
    let given = |name: &str| numbers(&file[name]);
    let mut batch = Batch::new(Extent::steps(4).rows(2))
        .with("x", given("x"))
        .with("h", given("h"))
        .with("c", given("c"));
    for (k, gate) in ["i", "f", "g", "o"].into_iter().enumerate() {
        batch = batch
            .with(&format!("{gate}.x_drop"), numbers(&file["input masks"][k]))
            .with(&format!("{gate}.h_drop"), numbers(&file["state masks"][k]));
    }
    for engine in ENGINES {
        let program = cell
            .program()
            .gradients(["x", "h"])
            .cotangents(["y"])
            .engine(engine);
        let program = program.double().build().expect("right");
        let mut session = program.session();
        let forward = session.forward(&parameters, &batch).expect("right");
        // Some 60 roundings of numbers below 10 in each of four steps.
        let near = |what: &str, found: &[f64], expected: Vec<f64>| {
            assert_eq!(found.len(), expected.len(), "{what}");
            let all = found
                .iter()
                .zip(&expected)
                .all(|(f, e)| (f - e).abs() < 1e-12);
            assert!(all, "{engine:?}, {what}: {found:?}, not {expected:?}");
        };
        near("y", forward.output("y").expect("one"), given("y"));
        let cotangents = Cotangents::new().with("y", given("cotangent"));
        let gradients = forward.backward(&cotangents).expect("right");
        near("x", gradients.of("x").expect("one"), given("gradient of x"));
        near("h", gradients.of("h").expect("one"), given("gradient of h"));
    }
}

/// The recurrence h' = f(h, x), with its outputs as `y`, and a loss of them.
fn recurrence(f: impl for<'t> Fn(&'t retrograd::Builder, Var<'t>, Var<'t>) -> Var<'t>) -> Cell {
    let cell = Cell::define("recurrence", |c| {
        let h = c.state("h", 6);
        let h = c.next(h, f(c, h, c.input("x", 6)));
        c.output("y", h);
        c.loss((h * c.param_init("w", 6, Init::Constant(1.0))).sum());
    });
    cell.expect("right")
}

fn wave(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.7).sin()).collect()
}

#[test]
fn zoneout_keeps_elements_in_training_and_their_mean_afterwards() {
    let cell = recurrence(|c, h, x| c.zoneout("kept", h, x, 0.25));
    let batch = Batch::new(Extent::steps(40).rows(5)).with("x", wave(1200));
    for engine in ENGINES {
        let trainer = Trainer::builder(cell.clone(), Sgd::new(0.0)).engine(engine);
        let mut trainer = trainer.build().expect("right");
        let y = trainer
            .evaluate(&batch)
            .expect("right")
            .output("y")
            .expect("one")
            .to_vec();
        let x = wave(1200);
        for (k, y_k) in y.iter().enumerate() {
            let before = if k < 30 { 0.0 } else { y[k - 30] };
            assert!((y_k - (0.25 * before + 0.75 * x[k])).abs() < 1e-6);
        }
        let y = trainer
            .sample(&batch, 1)
            .expect("right")
            .output("y")
            .expect("one")
            .to_vec();
        let mut kept = 0;
        for (k, y_k) in y.iter().enumerate() {
            let before = if k < 30 { 0.0 } else { y[k - 30] };
            assert!(
                *y_k == before || *y_k == x[k],
                "{y_k}: neither {before} nor {}",
                x[k]
            );
            kept += usize::from(*y_k == before);
        }
        // 1200 draws of probability ¼: four standard deviations of 15.
        assert!((240..360).contains(&kept), "{kept}");
    }
}

#[test]
fn dropped_weights_are_zeros_in_a_whole_batch_and_only_in_training() {
    let layer = |drop: bool| {
        recurrence(move |c, h, x| {
            if drop {
                c.drop_connect("new.h", 0.5);
            }
            c.dense("new", 6, [x.named("x"), h]).tanh()
        })
    };
    let (plain, dropped) = (layer(false), layer(true));
    assert!(plain.parameter_specs().eq(dropped.parameter_specs()));
    assert_eq!(dropped.keep_probabilities(), [0.5]);
    let mask: Vec<f64> = (0..36)
        .map(|k| if k % 3 == 0 { 0.0 } else { 2.0 })
        .collect();
    let x: Vec<f64> = wave(120).into_iter().map(f64::from).collect();
    let batch = Batch::new(Extent::steps(10).rows(2)).with("x", x);
    for engine in ENGINES {
        let trainer = |cell: &Cell| {
            let builder = Trainer::builder(cell.clone(), Sgd::new(0.1))
                .engine(engine)
                .seed(1);
            builder.double().build().expect("right")
        };
        let (mut with, mut without) = (trainer(&dropped), trainer(&plain));
        assert_eq!(
            with.evaluate(&batch).expect("right").loss(),
            without.evaluate(&batch).expect("right").loss()
        );
        let weights = without.parameter("new.h").expect("one").to_vec();
        let masked: Vec<f64> = weights.iter().zip(&mask).map(|(w, m)| w * m).collect();
        without.set_parameter("new.h", &masked).expect("as many");
        let given = batch.clone().with("new.h.mask", mask.clone());
        let found = with.differentiate(&given).expect("right");
        let expected = without.differentiate(&batch).expect("right");
        assert!((found.loss() - expected.loss()).abs() < 1e-13);
        let gradients = [&found, &expected].map(|e| e.gradient("new.h").expect("one"));
        for ((f, e), m) in gradients[0].iter().zip(gradients[1]).zip(&mask) {
            assert!((f - e * m).abs() < 1e-12, "{f}, not {e} · {m}");
        }
        // A step moves what was kept, and leaves what was dropped.
        let before = with.parameter("new.h").expect("one").to_vec();
        with.step(&batch).expect("right");
        let moved = with.parameter("new.h").expect("one").iter().zip(&before);
        let moved = moved.filter(|(a, b)| a != b).count();
        assert!((5..32).contains(&moved), "{moved} of 36 moved");
    }
}

#[test]
fn mistakes_are_told() {
    let rates = [-0.1, 1.0, f64::NAN];
    for rate in rates {
        let wrong = [
            Cell::define("c", |c| {
                c.output("y", c.dropout("d", c.input("x", 2), rate))
            }),
            Cell::define("c", |c| {
                let x = c.input("x", 2);
                c.output("y", c.zoneout("d", x, x, rate));
            }),
            Cell::define("c", |c| {
                c.drop_connect("y.x", rate);
                c.output("y", c.dense("y", 2, [c.input("x", 2)]));
            }),
        ];
        for e in wrong {
            let e = e.expect_err("it is no probability");
            assert!(matches!(e, retrograd::Error::KeepProbability { .. }), "{e}");
        }
    }
    let after = Cell::define("c", |c| {
        c.output("y", c.dense("y", 2, [c.input("x", 2)]));
        c.drop_connect("y.x", 0.5);
    });
    assert!(
        after
            .expect_err("too late")
            .to_string()
            .contains("before the layer")
    );
    let unknown = Cell::define("c", |c| {
        c.drop_connect("y.z", 0.5);
        c.output("y", c.dense("y", 2, [c.input("x", 2)]));
    });
    let e = unknown.expect_err("no such weights").to_string();
    assert!(e.contains("y.z") && e.contains("y.x"), "{e}");
}

/// y is the mask itself.
fn masks(domain: Domain) -> Cell {
    let cell = Cell::define("masks", |c| {
        let x = c.input("x", 6);
        let drop = c.mask_over("drop", 6, 0.5, domain);
        c.output("y", x * drop);
        c.loss((x * drop * c.param_init("w", 6, Init::Constant(1.0))).sum());
    });
    cell.expect("right")
}

#[test]
fn a_mask_is_a_function_of_seed_draw_name_row_and_step() {
    let sampled = |domain, (steps, rows): (usize, usize), seed, sample| {
        let trainer = Trainer::builder(masks(domain), Sgd::new(0.1)).seed(seed);
        let mut trainer = trainer.build().expect("right");
        let batch =
            Batch::new(Extent::steps(steps).rows(rows)).with("x", vec![1.0; 6 * steps * rows]);
        trainer
            .sample(&batch, sample)
            .expect("right")
            .output("y")
            .expect("one")
            .to_vec()
    };
    let large = sampled(Domain::Step, (7, 5), 1, 2);
    let small = sampled(Domain::Step, (3, 2), 1, 2);
    for (t, b) in [(0, 0), (0, 1), (2, 0), (2, 1)] {
        assert_eq!(
            large[(t * 5 + b) * 6..][..6],
            small[(t * 2 + b) * 6..][..6],
            "at {t}, {b}"
        );
    }
    assert_ne!(large, sampled(Domain::Step, (7, 5), 2, 2));
    assert_ne!(large, sampled(Domain::Step, (7, 5), 1, 3));
    let of_rows = sampled(Domain::Row, (7, 5), 1, 2);
    assert!(of_rows.chunks(30).all(|step| step == &of_rows[..30]));
    assert!(of_rows[..6] != of_rows[6..12] || of_rows[..6] != of_rows[12..18]);
    let of_all = sampled(Domain::Once, (7, 5), 1, 2);
    assert!(of_all.chunks(6).all(|point| point == &of_all[..6]));
}

#[test]
fn threads_and_halves_train_with_the_same_masks() {
    let cell = recurrence(|c, h, x| {
        c.drop_connect("new.h", 0.25);
        let x = c.dropout("x_drop", x, 0.5).named("x");
        let h_drop = c.dropout_over("h_drop", h, 0.25, Domain::Row).named("h");
        c.zoneout("kept", h, c.dense("new", 6, [x, h_drop]).tanh(), 0.125)
    });
    let batch = Batch::new(Extent::steps(30).rows(16)).with("x", wave(2880));
    let train = |threads, halves: bool| {
        let trainer = Trainer::builder(cell.clone(), Sgd::new(0.01))
            .threads(threads)
            .seed(5);
        let mut trainer = trainer.build().expect("right");
        for _ in 0..4 {
            if halves {
                let forward = trainer.forward(&batch).expect("right");
                let gradients = forward
                    .backward(&Cotangents::new().with_loss(1.0))
                    .expect("right");
                trainer.apply([gradients]).expect("finite");
            } else {
                trainer.step(&batch).expect("finite");
            }
        }
        trainer.parameters().to_vec()
    };
    let one = train(1, false);
    assert_eq!(one, train(2, false));
    assert_eq!(one, train(3, false));
    assert_eq!(one, train(1, true));
}
