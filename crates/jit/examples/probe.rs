//! A probe: LSTM, JIT against tape, gradients and time. `probe HxBxT`
use retrograd_jit::{CompiledCell, Purpose};
use retrograd_tape::{Interpreter, Recorder, Role, Shape, Tape, Var, Yield};
use std::time::Instant;

fn dense<'t>(t: &'t Recorder, name: &str, n: usize, xs: &[(&str, Var<'t>)]) -> Var<'t> {
    let mut sum = None;
    for (k, x) in xs {
        let m = x.shape().unwrap().len();
        let w = t.param(&format!("{name}.{k}"), Shape::Matrix(n, m));
        let p = w.matvec(*x);
        sum = Some(match sum {
            None => p,
            Some(s) => s + p,
        });
    }
    sum.unwrap() + t.param(&format!("{name}.bias"), Shape::Vector(n))
}

fn lstm(hidden: usize) -> Tape {
    let t = Recorder::new();
    let x = t.input("x", Role::Sequence, Shape::Vector(hidden));
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
    t.finish("lstm").unwrap()
}

fn main() {
    let arg = std::env::args().nth(1).unwrap_or("32x4x10".into());
    let d: Vec<usize> = arg.split('x').map(|v| v.parse().unwrap()).collect();
    let (h, b, t) = (d[0], d[1], d[2]);
    let tape = lstm(h);
    let purpose = Purpose::Gradients {
        given: vec!["y".into()],
        loss: false,
        wrt: tape
            .inputs()
            .iter()
            .filter(|i| i.role == Role::Param)
            .map(|i| i.name.to_string())
            .collect(),
    };
    let mut cell = CompiledCell::<f32>::compile(&tape, &purpose).unwrap();
    println!(
        "compile {:?}, code {} bytes",
        cell.compile_time(),
        cell.code_bytes()
    );
    let mut s = 1u32;
    let mut r = || {
        s = s.wrapping_mul(1664525).wrapping_add(1013904223);
        ((s >> 8) as f32 / 8388608.0 - 1.0) / (h as f32).sqrt()
    };
    let size = |ty: retrograd_tape::Type| {
        ty.shape.len()
            * match ty.domain {
                retrograd_tape::Domain::Once => 1,
                retrograd_tape::Domain::Row => b,
                retrograd_tape::Domain::Edge(k) => k * b,
                _ => t * b,
            }
    };
    let data: Vec<Vec<f32>> = cell
        .inputs()
        .iter()
        .map(|i| {
            if i.role == Role::Initial {
                vec![]
            } else {
                (0..size(i.ty)).map(|_| r()).collect()
            }
        })
        .collect();
    let inputs: Vec<&[f32]> = data.iter().map(|v| v.as_slice()).collect();
    let mut out: Vec<Vec<f32>> = (0..cell.outputs().len())
        .map(|k| {
            if cell.outputs()[k].role == Yield::Gradient {
                vec![0.0; cell.output_len(k, t, b)]
            } else {
                vec![]
            }
        })
        .collect();
    let mut run = || {
        let mut outs: Vec<&mut [f32]> = out.iter_mut().map(|v| v.as_mut_slice()).collect();
        cell.run(t, b, &inputs, &mut outs).unwrap();
    };
    run();
    let (start, mut best) = (Instant::now(), f64::MAX);
    while start.elapsed().as_secs_f64() < 1.0 {
        let s = Instant::now();
        run();
        best = best.min(s.elapsed().as_secs_f64());
    }
    println!(
        "jit {:.4} ms, {:.1} GFLOP/s, workspace {:.1} MB",
        best * 1e3,
        40.0 * (h * h * b * t) as f64 / best / 1e9,
        cell.workspace_bytes() as f64 / 1e6
    );
    let mut it = Interpreter::<f32>::with_gradients(&tape, |i| i.role == Role::Param);
    let n = tape.inputs().len();
    let mut tape_run = || {
        it.forward(t, b, &inputs[..n]).unwrap();
        let cots: Vec<Option<&[f32]>> = tape
            .outputs()
            .iter()
            .map(|o| (&*o.name == "y").then(|| inputs[n]))
            .collect();
        it.backward(&cots).unwrap();
    };
    tape_run();
    let (start, mut best) = (Instant::now(), f64::MAX);
    while start.elapsed().as_secs_f64() < 1.0 {
        let s = Instant::now();
        tape_run();
        best = best.min(s.elapsed().as_secs_f64());
    }
    println!("tape {:.4} ms", best * 1e3);
    for (i, input) in tape
        .inputs()
        .iter()
        .enumerate()
        .filter(|(_, i)| i.role == Role::Param)
    {
        let k = cell.output(&format!("grad({})", input.name)).unwrap();
        let g = it.gradient(i).unwrap();
        let worst = g
            .iter()
            .zip(&out[k])
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        let scale = g.iter().map(|a| a.abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-4 * scale, "{} {worst} of {scale}", input.name);
    }
}
