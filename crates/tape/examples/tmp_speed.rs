use retrograd_tape::*;
use std::time::Instant;
fn dense<'t>(r: &'t Recorder, name: &str, n: usize, xs: &[Var<'t>]) -> Var<'t> {
    let mut y = r.param(&format!("{name}.b"), Shape::Vector(n));
    for (k, x) in xs.iter().enumerate() {
        let w = r.param(&format!("{name}.{k}"), Shape::Matrix(n, x.shape().unwrap().len()));
        y = w.matvec(*x) + y;
    }
    y
}
fn main() {
    for (h, b, t) in [(32usize, 1usize, 100usize), (32, 32, 100), (128, 32, 100), (256, 64, 50), (512, 32, 50)] {
        let r = Recorder::new();
        let i = h;
        let x = r.input("x", Role::Sequence, Shape::Vector(i));
        let hs = r.state("h", Shape::Vector(h), 1, None);
        let cs = r.state("c", Shape::Vector(h), 1, None);
        let ig = dense(&r, "i", h, &[x, hs]).sigmoid();
        let fg = dense(&r, "f", h, &[x, hs]).sigmoid();
        let og = dense(&r, "o", h, &[x, hs]).sigmoid();
        let g = dense(&r, "g", h, &[x, hs]).tanh();
        let c = r.next(cs, fg * cs + ig * g);
        let hn = r.next(hs, og * c.sigmoid());
        let y = dense(&r, "out", 4, &[hn]);
        let target = r.input("t", Role::Target, Shape::Vector(4));
        r.loss((y - target).square().mean());
        let tape = r.finish("l").unwrap();
        let mut run = Interpreter::<f32>::with_gradients(&tape, |i| i.role == Role::Param);
        let data: Vec<Vec<f32>> = tape.inputs().iter().map(|i| {
            let p = match i.ty.domain { Domain::Once => 1, Domain::Step => t*b, Domain::Edge(_) => b, _ => b };
            (0..p*i.ty.shape.len()).map(|k| ((k*7919 % 1000) as f32 / 500.0 - 1.0) * 0.2).collect()
        }).collect();
        let data: Vec<&[f32]> = data.iter().map(|d| &d[..]).collect();
        let cot: Vec<Option<&[f32]>> = tape.outputs().iter().map(|o| (o.role == Yield::Loss).then_some(&[1.0f32][..])).collect();
        let (mut bf, mut bb) = (f64::MAX, f64::MAX);
        for _ in 0..if h >= 256 { 5 } else { 20 } {
            let s = Instant::now();
            run.forward(t, b, &data).unwrap();
            bf = bf.min(s.elapsed().as_secs_f64());
            let s = Instant::now();
            run.backward(&cot).unwrap();
            bb = bb.min(s.elapsed().as_secs_f64());
        }
        println!("H {h} B {b} T {t}: forward {:.3} ms, backward {:.3} ms, total {:.3}", bf*1e3, bb*1e3, (bf+bb)*1e3);
    }
}
