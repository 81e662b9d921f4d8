use retrograd_graph::{Graph, passes};
use retrograd_tape::{Recorder, Shape, Var};

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

fn main() {
    let t = Recorder::new();
    let x = t.input("x", retrograd_tape::Role::Sequence, Shape::Vector(4));
    let h = t.state("h", Shape::Vector(8), 1, None);
    let c = t.state("c", Shape::Vector(8), 1, None);
    let xs = [("x", x), ("h", h)];
    let gru = std::env::args().any(|a| a == "gru");
    let h = if gru {
        let r = dense(&t, "reset", 8, &xs).sigmoid();
        let z = dense(&t, "update", 8, &xs).sigmoid();
        let n = (dense(&t, "newx", 8, &[("x", x)]) + r * dense(&t, "newh", 8, &[("h", h)])).tanh();
        t.next(c, c);
        t.next(h, (1.0 - z) * n + z * h)
    } else {
        let i = dense(&t, "input", 8, &xs).sigmoid().named("i");
        let f = dense(&t, "forget", 8, &xs).sigmoid().named("f");
        let g = dense(&t, "cell", 8, &xs).tanh().named("g");
        let o = dense(&t, "output", 8, &xs).sigmoid().named("o");
        let c = t.next(c, f * c + i * g);
        t.next(h, o * c.tanh())
    };
    let y = dense(&t, "y", 4, &[("h", h)]);
    t.output("y", y);
    let target = t.input("target", retrograd_tape::Role::Target, Shape::Vector(4));
    t.loss((y - target).square().mean());
    let tape = t.finish("lstm").unwrap();
    let g = Graph::from_tape(&tape);
    let d = passes::adjoint::Differentiate::loss(&g);
    let trace = passes::run(&g, Some(&d)).unwrap();
    for (name, g) in &trace {
        if std::env::args().any(|a| a == *name || a == "all") {
            println!("== {name}\n{g}");
        }
    }
    println!("{}", retrograd_graph::plan::plan(&trace.last().unwrap().1));
}
