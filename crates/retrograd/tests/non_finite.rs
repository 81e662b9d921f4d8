//! Why a loss or a gradient is not finite: `Trainer::explain_non_finite` names node, step, row and line of the caller's batch.

use retrograd::{
    Adam, Batch, Cell, Engine, Error, Extent, Float, InputRole, Provenance, Sgd, StateSpec, Trainer,
};
use retrograd_tape::generate::{Choices, generate, inputs_ragged};
use retrograd_tape::{Domain, Op};

fn trainer(cell: Cell, engine: Engine) -> Trainer {
    let builder = Trainer::builder(cell, Sgd::new(0.1)).engine(engine);
    builder.build().expect("it compiles")
}

/// The step fails, and this is why.
fn origin<T: Float>(trainer: &mut Trainer<T>, batch: &Batch<T>) -> Provenance {
    let failed = trainer.step(batch).expect_err("it is not finite");
    let refused = matches!(
        failed,
        Error::NonFinite { .. } | Error::NonFiniteInput { .. }
    );
    assert!(refused, "{failed}");
    let found = trainer.explain_non_finite(batch).expect("it runs");
    found.expect("it is not finite on the tape either")
}

fn text(text: &str) -> Cell {
    Cell::from_text(text, &[]).expect("it is a cell")
}

const ROOT: &str = "cell root(x; h)
param w
h' = 0.5 * h + x
y = 2 * sqrt(w * h')
output y
target next
loss square(y - next)";

/// Backward only: the root of 0 has no slope.
#[test]
fn the_line_of_a_cell_file_with_lengths_and_resets() {
    let file = text(ROOT);
    for engine in Engine::ALL {
        let mut trainer = trainer(file.clone(), engine);
        trainer.set_parameters(&[1.0]).expect("one parameter");
        // Row 1 is renewed before step 2, where its input is 0. Row 0 is shorter, and its padding is NaN.
        let x = vec![1.0, 1.0, 1.0, 1.0, f32::NAN, 0.0, f32::NAN, 1.0];
        let mut resets = [false; 8];
        resets[2 * 2 + 1] = true;
        let batch = Batch::new(Extent::steps(4).rows(2))
            .with_lengths(&[2, 4])
            .with_resets(&resets)
            .with("x", x)
            .with("next", vec![0.5; 8]);
        let found = origin(&mut trainer, &batch);
        let number = found.number();
        assert_eq!((number.op, number.derived_in), ("sqrt", Some(0)));
        assert_eq!((found.step(), found.row()), (Some(2), Some(1)));
        let said = found.to_string();
        assert!(said.ends_with("(cell:4:9: `sqrt(w * h')`)"), "{said}");
        let shown = found.in_text().expect("it comes from a text").to_string();
        assert!(shown.contains("4 | y = 2 * sqrt(w * h')"), "{shown}");
        assert!(shown.contains("^^^^^^^^^^^^ -inf appears here"), "{shown}");
    }
}

#[test]
fn the_line_of_a_layer_that_is_used() {
    let cell = text(
        "cell gate(x[2]; h[2])
h' = ln(x)
output y = h'

cell main(x[2])
layer l = gate(x)
output y = sum(l)
target next
loss square(y - next)",
    );
    let mut trainer = trainer(cell, Engine::Jit);
    let batch = Batch::new(Extent::steps(1).rows(2))
        .with("x", vec![1.0, 2.0, 1.0, -2.0])
        .with("next", vec![0.0; 2]);
    let found = origin(&mut trainer, &batch);
    assert_eq!((found.row(), found.number().element), (Some(1), 1));
    let said = found.to_string();
    assert!(said.contains("cell:2:6: `ln(x)`"), "{said}");
}

/// Two texts in one builder, and a line of Rust between them.
#[test]
fn the_lines_of_layers_of_a_builder() {
    let layer = |name: &str, line: &str| {
        let text = format!("cell {name}(x)\n{line}\noutput y");
        retrograd::CellText::parse(&format!("{name}.cell"), &text).expect("it is a cell")
    };
    let (first, second) = (layer("first", "y = 1 / x"), layer("second", "\n y = ln(x)"));
    let cell = Cell::define("two", |c| {
        let y = c.layer("a", &first, [c.input("x", ())], &[]);
        let z = c.layer("b", &second, [y - c.input("b", ())], &[]);
        c.loss(z.square());
    });
    let mut trainer = trainer(cell.expect("it is a cell"), Engine::Jit);
    let mut said = |x: f32, b: f32| {
        let batch = Batch::new(Extent::steps(1))
            .with("x", vec![x])
            .with("b", vec![b]);
        origin(&mut trainer, &batch).to_string()
    };
    let (a, b) = (said(0.0, 1.0), said(1.0, 2.0));
    assert!(a.ends_with("(first.cell:2:5: `1 / x`)"), "{a}");
    assert!(b.ends_with("(second.cell:3:6: `ln(x)`)"), "{b}");
}

#[test]
fn the_line_and_the_scope_of_a_builder() {
    let mut line = 0;
    let cell = Cell::define("scaled", |c| {
        let (x, y) = (c.input("x", 2), c.input("y", 2));
        let ratio = c.scope("norm", |c| {
            line = line!() + 1;
            let ratio = x / y;
            c.dense("out", 1, [ratio])
        });
        c.loss((ratio.sum() - c.target("right", ())).square());
    })
    .expect("it is a cell");
    let mut trainer = trainer(cell, Engine::Jit);
    let batch = Batch::new(Extent::steps(2).rows(2))
        .with("x", vec![1.0; 8])
        .with("y", vec![1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0])
        .with("right", vec![0.0; 4]);
    let found = origin(&mut trainer, &batch);
    let number = found.number();
    assert_eq!((number.op, number.element), ("div", 1));
    assert_eq!((found.step(), found.row()), (Some(1), Some(0)));
    assert_eq!(number.toward.as_deref(), Some("norm.out"));
    let said = found.to_string();
    assert!(said.contains(&format!("({}:{line}:", file!())), "{said}");
    assert!(said.contains("div of `x` = 1, `y` = 0"), "{said}");
}

#[test]
fn an_input_that_is_nan() {
    let mut trainer = trainer(text(ROOT), Engine::Jit);
    trainer.set_parameters(&[1.0]).expect("one parameter");
    let batch = Batch::new(Extent::steps(3).rows(2))
        .with("x", vec![1.0, 1.0, 1.0, f32::NAN, 1.0, 1.0])
        .with("next", vec![0.0; 6]);
    let found = origin(&mut trainer, &batch);
    assert_eq!(found.number().role, Some(InputRole::Sequence));
    assert_eq!(
        found.to_string(),
        "the input `x` is NaN at step 1, row 1 (cell:1:11: `x`)"
    );
}

/// The same in both precisions, but where only single precision overflows.
#[test]
fn what_overflows_in_single_precision_alone() {
    let cell = text("cell e(x; h)\nparam w\nh' = 2 * h + w * x\ne = exp(h')\nloss e");
    let mut x = vec![0.0; 8];
    x[0] = 1.0;
    let batch = Batch::new(Extent::steps(8)).with("x", x.clone());
    let mut single = trainer(cell.clone(), Engine::Jit);
    single.set_parameters(&[1.0]).expect("one parameter");
    let found = origin(&mut single, &batch);
    assert_eq!((found.number().op, found.step()), ("exp", Some(7)));
    assert_eq!(found.number().operands[0].greatest, 128.0);
    let batch = Batch::new(Extent::steps(8)).with("x", x.into_iter().map(f64::from).collect());
    let double = Trainer::builder(cell, Sgd::new(0.1)).double().build();
    let mut double = double.expect("it compiles");
    double.set_parameters(&[1.0]).expect("one parameter");
    double.step(&batch).expect("it is finite");
    assert!(
        double
            .explain_non_finite(&batch)
            .expect("it runs")
            .is_none()
    );
}

/// The masks are those of the step that failed: what they drop overflows nothing.
#[test]
fn with_the_masks_of_the_step() {
    let cell = Cell::define("dropped", |c| {
        let x = c.input("x", 64) * c.mask("m", 64, 0.5);
        c.loss((x * c.param("w", 64)).exp().sum().named("e"));
    });
    let cell = cell.expect("it is a cell");
    for seed in 0..4 {
        let trainer = Trainer::builder(cell.clone(), Adam::new(0.1)).seed(seed);
        let mut trainer = trainer.build().expect("it compiles");
        trainer.set_parameters(&[100.0; 64]).expect("64 parameters");
        // The first element that is kept overflows.
        let batch = Batch::new(Extent::steps(1)).with("x", vec![1.0; 64]);
        let found = origin(&mut trainer, &batch);
        let kept = found.number();
        assert_eq!((kept.op, kept.operands[0].least), ("exp", 200.0));
        let mut x = vec![0.0; 64];
        x[..kept.element].fill(1.0);
        // All before it are dropped by the same masks.
        let before = Batch::new(Extent::steps(1)).with("x", x);
        assert!(
            trainer
                .explain_non_finite(&before)
                .expect("it runs")
                .is_none()
        );
    }
}

#[test]
fn carried_states_and_burn_in() {
    let cell = Cell::define("sum", |c| {
        let (x, h) = (
            c.input("x", ()),
            c.state_with("h", (), StateSpec::delay(1).init_learned()),
        );
        let h = c.next(h, h + x);
        c.loss((c.param("w", ()) * h.ln().named("log")).square());
    });
    let mut trainer = trainer(cell.expect("it is a cell"), Engine::Jit);
    trainer.set_parameters(&[1.0, 1.0]).expect("two parameters");
    let mut carry = trainer.carry(2).expect("two rows").burn_in(1);
    let chunk = |x: [f32; 6]| Batch::new(Extent::steps(3).rows(2)).with("x", x.to_vec());
    trainer
        .step_carrying(&chunk([1.0; 6]), &mut carry)
        .expect("it is finite");
    let states = carry.state("h").expect("a state").to_vec();
    // Row 1 falls below 0 at the last step; steps are those of the chunk.
    let fatal = chunk([0.0, 0.0, 0.0, 0.0, 0.0, -9.0]);
    assert!(trainer.step_carrying(&fatal, &mut carry).is_err());
    let found = trainer
        .explain_non_finite_carrying(&fatal, &carry)
        .expect("it runs");
    let found = found.expect("the logarithm of a negative number");
    assert_eq!((found.step(), found.row()), (Some(2), Some(1)));
    assert_eq!(found.number().name, "`log`");
    assert_eq!(found.number().operands[0].least, f64::from(states[1] - 9.0));
    // And in the burn-in, where there is no loss.
    let fatal = chunk([f32::INFINITY, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert!(trainer.step_carrying(&fatal, &mut carry).is_err());
    let found = trainer
        .explain_non_finite_carrying(&fatal, &carry)
        .expect("it runs");
    let said = found.expect("an infinite input").to_string();
    assert!(
        said.starts_with("the input `x` is inf at step 0, row 0"),
        "{said}"
    );
    assert_eq!(carry.state("h"), Some(&states[..]), "nothing has changed");
}

/// Random programs with rows of different lengths: of a number that is not finite in an input, and nowhere else, comes every
/// output that is not finite.
#[test]
fn random_programs_trace_everything_to_the_input() {
    let (mut reached, mut tried) = (0, 0);
    for seed in 0..400_u64 {
        let bytes: Vec<u8> = (0..400_u64)
            .map(|i| (((seed + 1) * (i * i + 7 * i + 3) * 2_654_435_761) >> 13) as u8)
            .collect();
        let case = generate(&mut Choices::new(&bytes));
        let tape = &case.tape;
        let mut inputs = inputs_ragged(tape, &case.lengths, case.seed);
        let run = |inputs: &[Vec<f64>]| {
            let slices: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
            tape.first_non_finite_of(&case.lengths, &slices, false, |_| true)
        };
        if run(&inputs) != Ok(None) {
            continue;
        }
        let k = seed as usize % inputs.len();
        if inputs[k].is_empty() || inputs[k].iter().all(|x| x.fract() == 0.0) {
            continue; // Row numbers.
        }
        let at = (seed as usize * 31) % inputs[k].len();
        inputs[k][at] = f64::NAN;
        tried += 1;
        // An index that is NaN on purpose is an error of its input.
        let Ok(Some(found)) = run(&inputs) else {
            continue;
        };
        reached += 1;
        let node = tape.node(found.node);
        assert!(
            matches!(node.op, Op::Input { id, .. } if id == k),
            "{found}\n{case}"
        );
        let n = node.ty.shape.len();
        assert_eq!(found.element, at % n, "{found}");
        let point = match node.ty.domain {
            Domain::Once => 0,
            Domain::Row => found.row.unwrap_or(0),
            Domain::BoundarySlots(_) => {
                found.slot.unwrap_or(0) * case.lengths.rows() + found.row.unwrap_or(0)
            }
            Domain::Step => case.lengths.offset(found.step.unwrap_or(0)) + found.row.unwrap_or(0),
        };
        assert_eq!(point, at / n, "{found}");
    }
    assert!(reached > 100 && tried < 3 * reached, "{reached} of {tried}");
}
