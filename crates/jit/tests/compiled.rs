//! Properties of a compiled cell beside right numbers: how often kernels are called, its errors for arrays that do not
//! fit, and the same bits for any number of threads.

use retrograd_jit::{CompileError, CompiledCell, Observe, Options, Purpose, RunError, Target};
use retrograd_kernels::AlignedBuffer;
use retrograd_tape::{Extent, InputRole, OutputRole, Recorder, Shape, Tape, Var};

fn dense<'t>(t: &'t Recorder, name: &str, n: usize, xs: &[(&str, Var<'t>)]) -> Var<'t> {
    let products = xs.iter().map(|(k, x)| {
        let len = x.shape().map_or(0, Shape::len);
        t.param(&format!("{name}.{k}"), Shape::Matrix(n, len))
            .matvec(*x)
    });
    let sum = products.reduce(|a, b| a + b).expect("there is an operand");
    sum + t.param(&format!("{name}.bias"), Shape::Vector(n))
}

fn lstm(inputs: usize, hidden: usize) -> Tape {
    let t = Recorder::new();
    let x = t.input("x", InputRole::Sequence, Shape::Vector(inputs));
    let h = t.state("h", Shape::Vector(hidden), 1, None);
    let c = t.state("c", Shape::Vector(hidden), 1, None);
    let xs = [("x", x), ("h", h)];
    let i = dense(&t, "input", hidden, &xs).sigmoid();
    let f = dense(&t, "forget", hidden, &xs).sigmoid();
    let g = dense(&t, "cell", hidden, &xs).tanh();
    let o = dense(&t, "output", hidden, &xs).sigmoid();
    let c = t.next(c, f * c + i * g);
    let h = t.next(h, o * c.tanh());
    t.output("y", h);
    let target = t.input("target", InputRole::Target, Shape::Vector(hidden));
    t.loss((h - target).square().mean());
    t.finish("lstm").expect("it is a program")
}

fn compiled(tape: &Tape, purpose: &Purpose, target: Target) -> CompiledCell<f32> {
    let options = Options::default().with(|o| o.target = target);
    CompiledCell::compile_with(tape, purpose, &options).expect("it compiles")
}

/// Numbers in ±0.5, the same every time.
fn numbers(n: usize, seed: u32) -> Vec<f32> {
    let mut s = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        s = s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (s >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..n).map(|_| next()).collect()
}

fn inputs(tape: &Tape, t: usize, b: usize) -> Vec<Vec<f32>> {
    let of = |(k, i): (usize, &retrograd_tape::Input)| match i.role {
        InputRole::Param => numbers(i.ty.shape.len(), k as u32),
        InputRole::Initial => Vec::new(),
        _ => numbers(i.ty.shape.len() * t * b, k as u32),
    };
    tape.inputs().iter().enumerate().map(of).collect()
}

fn outputs(cell: &CompiledCell<f32>, t: usize, b: usize) -> Vec<Vec<f32>> {
    (0..cell.outputs().len())
        .map(|k| vec![0.0; cell.output_len(k, Extent { steps: t, rows: b })])
        .collect()
}

/// One block of the hoisted product is about 48 rows, a slice of rows 32; steps of a slice that is not all rows are not
/// neighbours in memory, so their hoisted products are one a step.
#[test]
fn an_lstm_makes_one_hoisted_product_a_block_and_one_product_and_two_activations_a_step() {
    let tape = lstm(16, 32);
    let purposes = [(Purpose::Forward, 1), (Purpose::Train, 2)];
    let all = Target::all_runnable().into_iter();
    for (target, (purpose, recurrences)) in all.flat_map(|t| purposes.clone().map(|p| (t, p))) {
        let cell = compiled(&tape, &purpose, target);
        for (t, b) in [
            (1, 1),
            (7, 3),
            (100, 1),
            (20, 24),
            (20, 32),
            (20, 33),
            (20, 64),
        ] {
            let data = inputs(&tape, t, b);
            let given: Vec<&[f32]> = data.iter().map(Vec::as_slice).collect();
            let mut out = outputs(&cell, t, b);
            let mut out: Vec<&mut [f32]> = out.iter_mut().map(Vec::as_mut_slice).collect();
            let mut executor = cell.executor();
            let calls = executor
                .count_calls(Extent { steps: t, rows: b }, &given, &mut out)
                .expect("the arrays fit");
            let slices = b.div_ceil(32);
            let blocks = if slices == 1 {
                t.div_ceil((48 / b).max(1))
            } else {
                t * slices
            };
            let what = format!("{purpose:?} for {target}, T={t} B={b}: {calls:?}");
            // Only the forward part hoists; the backward part's one product a step is that with U transposed.
            assert!((1..=blocks).contains(&calls.hoisted_products), "{what}");
            assert_eq!(calls.step_products, recurrences * t * slices, "{what}");
            // Forward the three gates of one kind, and the fourth; backward tanh c once more, which is not kept.
            assert!(
                calls.activations <= (1 + recurrences) * t * slices,
                "{what}"
            );
        }
    }
}

#[test]
fn each_array_that_does_not_fit_is_named_with_its_layout() {
    let tape = lstm(3, 5);
    let cell = CompiledCell::<f32>::compile(&tape, &Purpose::Train).expect("it compiles");
    let (t, b) = (4, 2);
    let data = inputs(&tape, t, b);
    let given: Vec<&[f32]> = data.iter().map(Vec::as_slice).collect();
    let mut own = outputs(&cell, t, b);
    let mut run = |t: usize, b: usize, given: &[&[f32]], cut: Option<usize>| {
        let mut out: Vec<&mut [f32]> = own.iter_mut().map(Vec::as_mut_slice).collect();
        if let Some(k) = cut {
            let last = out[k].len() - 1;
            out[k] = &mut std::mem::take(&mut out[k])[..last];
        }
        cell.run(Extent { steps: t, rows: b }, given, &mut out)
    };
    assert_eq!(run(t, b, &given, None), Ok(()));
    assert_eq!(run(0, b, &given, None), Err(RunError::Empty { t: 0, b }));
    assert_eq!(run(t, 0, &given, None), Err(RunError::Empty { t, b: 0 }));
    let missing = run(t, b, &given[1..], None);
    assert!(
        matches!(missing, Err(RunError::Count { what: "inputs", .. })),
        "{missing:?}"
    );
    for k in 0..given.len() {
        let mut bad = given.clone();
        let longer: Vec<f32> = bad[k].iter().copied().chain([0.0]).collect();
        bad[k] = &longer;
        let message = run(t, b, &bad, None)
            .expect_err("it is too long")
            .to_string();
        let name = &tape.inputs()[k].name;
        assert!(message.contains(&format!("input `{name}` [")), "{message}");
        assert!(message.contains(&longer.len().to_string()), "{message}");
    }
    let message = run(t, b, &given, Some(0))
        .expect_err("it is too short")
        .to_string();
    assert_eq!(
        message,
        "output `y` [T,B,5] needs 40 numbers for 4 steps and 2 rows, and has 39"
    );
}

#[test]
fn threads_do_not_change_a_bit() {
    let tape = lstm(7, 33);
    let sizes = [(5, 1), (60, 1), (9, 2), (9, 13), (3, 70)];
    let all = Target::all_runnable().into_iter();
    for (target, (t, b)) in all.flat_map(|target| sizes.map(|s| (target, s))) {
        let data = inputs(&tape, t, b);
        let given: Vec<&[f32]> = data.iter().map(Vec::as_slice).collect();
        let cell = compiled(&tape, &Purpose::Train, target);
        let mut first: Option<Vec<Vec<f32>>> = None;
        for pieces in 1..=4 {
            let mut executor = cell.executor();
            executor.cut_into(pieces);
            let mut own = outputs(&cell, t, b);
            let mut out: Vec<&mut [f32]> = own.iter_mut().map(Vec::as_mut_slice).collect();
            executor
                .run(Extent { steps: t, rows: b }, &given, &mut out)
                .expect("the arrays fit");
            let first = first.get_or_insert_with(|| own.clone());
            assert_eq!(*first, own, "{target}, T={t} B={b}, {pieces} pieces");
        }
    }
}

/// The arrays, each this many numbers behind the beginning of a cache line.
fn moved(arrays: &[Vec<f32>], by: usize) -> Vec<AlignedBuffer<f32>> {
    let one = |x: &Vec<f32>| {
        let mut moved = AlignedBuffer::new(by + x.len());
        moved[by..].copy_from_slice(x);
        moved
    };
    arrays.iter().map(one).collect()
}

/// Few rows read weights in place, or copied to cache lines if there are many steps.
#[test]
fn where_arrays_lie_does_not_change_a_bit() {
    for (hidden, t, target) in [31, 32, 40].into_iter().flat_map(|t| {
        let targets = Target::all_runnable().into_iter();
        targets.flat_map(move |target| [(32, t, target), (33, t, target)])
    }) {
        let tape = lstm(7, hidden);
        let extent = Extent { steps: t, rows: 1 };
        let data = inputs(&tape, t, 1);
        let cell = compiled(&tape, &Purpose::Train, target);
        let purpose = Purpose::Gradients {
            given: vec!["y".into()],
            loss: false,
            wrt: tape.inputs().iter().map(|i| i.name.to_string()).collect(),
        };
        let halves = compiled(&tape, &purpose, target);
        let seeds = [numbers(hidden * t, 77)];
        let (mut first, mut first_late) = (None, None);
        for (early, late) in [(0, 0), (1, 0), (0, 4), (15, 8)] {
            let what = format!("{target}, {t} steps of {hidden}, {early} and {late}");
            let given = moved(&data, early);
            let given: Vec<&[f32]> = given.iter().map(|x| &x[early..]).collect();
            let mut own = outputs(&cell, t, 1);
            let mut out: Vec<&mut [f32]> = own.iter_mut().map(Vec::as_mut_slice).collect();
            cell.run(extent, &given, &mut out).expect("it runs");
            assert_eq!(*first.get_or_insert_with(|| own.clone()), own, "{what}");

            // The arrays of the backward half may lie elsewhere.
            let kept = halves.executor().forward(extent, &given).expect("it runs");
            let given = [moved(&data, late), moved(&seeds, late)].concat();
            let given: Vec<&[f32]> = given.iter().map(|x| &x[late..]).collect();
            let results = halves.outputs().iter().enumerate();
            let results = results.filter(|(_, o)| o.role == OutputRole::Gradient);
            let mut own: Vec<Vec<f32>> = results
                .map(|(k, _)| vec![0.0; halves.output_len(k, extent)])
                .collect();
            let mut out: Vec<&mut [f32]> = own.iter_mut().map(Vec::as_mut_slice).collect();
            kept.backward(&given, &mut out).expect("it runs");
            let right = first_late.get_or_insert_with(|| own.clone());
            assert_eq!(*right, own, "{what}");
        }
    }
}

#[test]
fn row_numbers_outside_the_table_are_refused() {
    let t = Recorder::new();
    let index = t.input("word", InputRole::Sequence, Shape::Scalar);
    t.output("row", t.param("table", Shape::Matrix(3, 2)).gather(index));
    let tape = t.finish("embedding").expect("it is a program");
    let cell = CompiledCell::<f32>::compile(&tape, &Purpose::Forward).expect("it compiles");
    let table = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let mut row = [0.0; 4];
    cell.run(
        Extent { steps: 2, rows: 1 },
        &[&[2.0, 0.0], &table],
        &mut [&mut row],
    )
    .expect("both rows exist");
    assert_eq!(row, [5.0, 6.0, 1.0, 2.0]);
    for bad in [3.0, -1.0, 0.5, f32::NAN] {
        let found = cell.run(
            Extent { steps: 2, rows: 1 },
            &[&[0.0, bad], &table],
            &mut [&mut row],
        );
        assert!(
            matches!(found, Err(RunError::Index { rows: 3, at: 1, .. })),
            "{bad}: {found:?}"
        );
    }
}

#[test]
fn training_needs_a_loss() {
    let t = Recorder::new();
    let x = t.input("x", InputRole::Sequence, Shape::Scalar);
    t.output("y", x * 2.0);
    let tape = t.finish("no loss").expect("it is a program");
    let found = CompiledCell::<f32>::compile(&tape, &Purpose::Train);
    assert!(matches!(found, Err(CompileError::Differentiate(_))));
}

#[test]
fn a_name_that_a_derivative_takes_is_an_error_that_says_which() {
    let program = |input: &str, output: &str| {
        let t = Recorder::new();
        let x = t.input("x", InputRole::Sequence, Shape::Scalar);
        let w = t.param("w", Shape::Scalar);
        let other = t.input(input, InputRole::Sequence, Shape::Scalar);
        let y = w * x + other;
        t.output("y", y);
        t.output(output, y.tanh().named("gate"));
        t.loss(y.square());
        t.finish("cell").expect("it is a program")
    };
    let list = |name: &str| vec![name.to_owned()];
    let tangent = || Purpose::JacobianVector {
        along: list("x"),
        of: list("y"),
    };
    let gradients = || Purpose::Gradients {
        given: list("y"),
        loss: false,
        wrt: list("w"),
    };
    let cases = [
        ("tan(x)", "z", tangent(), "the tangent adds an input"),
        ("u", "tan(y)", tangent(), "the tangent adds an output"),
        ("cot(y)", "z", gradients(), "the adjoint adds an input"),
        ("u", "grad(w)", Purpose::Train, "the adjoint adds an output"),
        (
            "u",
            "tan(grad(w))",
            Purpose::hessian_vector(&program("u", "z")),
            "the tangent adds an output",
        ),
    ];
    for (input, output, purpose, message) in cases {
        let tape = program(input, output);
        let taken = if input == "u" { output } else { input };
        let expected = format!("{message} `{taken}`, and the program has one of that name already");
        match CompiledCell::<f32>::compile(&tape, &purpose) {
            Err(CompileError::Refused(e)) => assert_eq!(e.to_string(), expected),
            other => panic!("{taken}: {other:?}"),
        }
        // Where nothing of that name is added, the name is as good as any.
        CompiledCell::<f32>::compile(&tape, &Purpose::Forward).expect("it compiles");
    }
    let options = Options::default().with(|o| o.observe = vec![Observe::Value("gate".into())]);
    let tape = program("u", "value(gate)");
    match CompiledCell::<f32>::compile_with(&tape, &Purpose::Forward, &options) {
        Err(CompileError::Observe(e)) => {
            assert_eq!(e, "`cell` already has an output `value(gate)`");
        }
        other => panic!("{other:?}"),
    }
}
