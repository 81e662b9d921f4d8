//! `clip_gradient`, compiled: what it limits is what the tape limits, wherever passes might merge or move it, with and
//! without them.

use retrograd_graph::Options;
use retrograd_jit::{CompiledCell, Purpose};
use retrograd_tape::{Domain, Extent, InputRole, Interpreter, Op, Recorder, Shape, Tape, Var};

const EXTENT: Extent = Extent { steps: 3, rows: 2 };

/// The gradient of the loss in each input that has one, by the tape, which equals that of compiled code.
fn gradients(f: impl for<'t> Fn(&'t Recorder, Var<'t>, Var<'t>) -> Var<'t>) -> Vec<Vec<f64>> {
    let r = Recorder::new();
    let w = r.param("w", Shape::Vector(2));
    let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
    r.output("y", f(&r, w, x));
    let tape: Tape = r.finish("limited").expect("it fits");
    let w = [0.5, -2.0];
    let x: Vec<f64> = (0..12).map(|i| f64::from(i) - 4.0).collect();
    let cotangent = [1.0; 12];
    let mut run = Interpreter::<f64>::new(&tape);
    // A state begins with zeros, and nothing is asked of what it ends with.
    let rest = [0.0; 4];
    let given = |name: &str| match name {
        "w" => &w[..],
        "x" => &x[..],
        "cot(y)" => &cotangent[..],
        _ => &rest[..],
    };
    let inputs: Vec<&[f64]> = tape.inputs().iter().map(|i| given(&i.name)).collect();
    run.forward(EXTENT, &inputs).expect("it runs");
    let asked = (tape.outputs().iter()).map(|o| (&*o.name == "y").then_some(&cotangent[..]));
    let asked: Vec<Option<&[f64]>> = asked.collect();
    run.backward(&asked).expect("it runs");
    let place = |name: &str| tape.input(name).expect("it has it");
    let right: Vec<Vec<f64>> = (["w", "x"].iter())
        .map(|name| run.gradient(place(name)).expect("it has one").to_vec())
        .collect();
    for options in [Options::default(), Options::none()] {
        let purpose = Purpose::everything(&tape);
        let cell =
            CompiledCell::<f64>::compile_with(&tape, &purpose, &options).expect("it compiles");
        let mut out: Vec<Vec<f64>> = (0..cell.outputs().len())
            .map(|k| vec![f64::NAN; cell.output_len(k, EXTENT)])
            .collect();
        let mut slots: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        let inputs: Vec<&[f64]> = cell.inputs().iter().map(|i| given(&i.name)).collect();
        cell.run(EXTENT, &inputs, &mut slots).expect("it runs");
        for (name, right) in ["grad(w)", "grad(x)"].iter().zip(&right) {
            let found = &out[cell.output(name).expect("it has it")];
            assert_eq!(found, right, "{name}");
        }
    }
    right
}

#[test]
fn two_equal_limits_limit_twice() {
    let found = gradients(|_, w, x| 3.0 * x.clip_gradient(1.0) + x.clip_gradient(1.0) + w);
    assert_eq!(found[1], [2.0; 12]);
    // What comes from one place is limited once.
    let found = gradients(|_, w, x| {
        let y = x.clip_gradient(1.5);
        3.0 * y + y + w
    });
    assert_eq!(found[1], [1.5; 12]);
}

#[test]
fn a_limit_is_where_its_value_is() {
    // Of the parameter: of the sum over 6 points. Of each point: before the sum.
    let found = gradients(|_, w, x| w.clip_gradient(5.0) + x);
    assert_eq!(found[0], [5.0, 5.0]);
    let found = gradients(|r, w, x| {
        let w = r.apply(Op::Spread(Domain::Step), &[w]);
        w.clip_gradient(0.5) + x
    });
    assert_eq!(found[0], [3.0, 3.0]);
}

#[test]
fn limits_act_at_each_step_of_a_recurrence() {
    let found = gradients(|r, w, x| {
        let h = r.state("h", Shape::Vector(2), 1, None);
        let next = r.next(h, 4.0 * h.clip_gradient(0.25) + x);
        next + w
    });
    // From the last step to the first: 1, then 1 and what the limit leaves of 4 times it.
    let expected = [
        1.25, 1.25, 1.25, 1.25, 1.25, 1.25, 1.25, 1.25, 1.0, 1.0, 1.0, 1.0,
    ];
    assert_eq!(found[1], expected);
}
