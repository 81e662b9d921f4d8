//! Cells of several heads, written with values of rank 3 and head by head: the same numbers, and as fast.

use std::time::Instant;

use retrograd_jit::{CompiledCell, Element, Purpose};
use retrograd_tape::{Extent, InputRole, Real, Recorder, Shape, Tape, Var};

/// The sizes of a cell.
#[derive(Clone, Copy)]
struct Sizes {
    heads: usize,
    /// Of each head.
    d: usize,
    inputs: usize,
}

/// What both ways of writing a matrix memory share: the projections of the input.
struct Projected<'t> {
    q: Var<'t>,
    k: Var<'t>,
    v: Var<'t>,
    output: Var<'t>,
    input_gate: Var<'t>,
    forget_gate: Var<'t>,
}

fn projected(r: &Recorder, s: Sizes) -> Projected<'_> {
    let x = r.input("x", InputRole::Sequence, Shape::Vector(s.inputs));
    let dense = |name: &str, n: usize| {
        let w = r.param(&format!("{name}.x"), Shape::Matrix(n, s.inputs));
        w.matvec(x) + r.param(&format!("{name}.bias"), Shape::Vector(n))
    };
    let all = s.heads * s.d;
    Projected {
        q: dense("q", all),
        k: dense("k", all) / (s.d as f64).sqrt(),
        v: dense("v", all),
        output: dense("output", all).sigmoid(),
        input_gate: dense("input", s.heads),
        forget_gate: dense("forget", s.heads),
    }
}

fn loss<'t>(r: &'t Recorder, h: Var<'t>, s: Sizes) {
    let next = r.input("next", InputRole::Target, Shape::Vector(s.heads * s.d));
    r.loss((h - next).square().mean());
}

/// The exponential gates of mLSTM, with their common factor: new maximum, input gate, forget gate.
fn gates<'t>(input: Var<'t>, forget: Var<'t>, m: Var<'t>) -> [Var<'t>; 3] {
    let log_f = -(-forget).softplus();
    let next = (log_f + m).max(input).max(m * 0.0);
    [next, (input - next).exp(), (log_f + m - next).exp()]
}

/// mLSTM with all heads at once.
fn memory<'t>(r: &'t Recorder, s: Sizes) {
    let Sizes { heads, d, .. } = s;
    let p = projected(r, s);
    let by_head = |v: Var<'t>| v.reshape(Shape::Matrix(heads, d));
    let (q, k, v) = (by_head(p.q), by_head(p.k), by_head(p.v));
    let c = r.state("c", Shape::Tensor(heads, d, d), 1, None);
    let n = r.state("n", Shape::Matrix(heads, d), 1, None);
    let m = r.state("m", Shape::Vector(heads), 1, None);
    let [next_m, i, f] = gates(p.input_gate, p.forget_gate, m);
    let column = |v: Var<'t>| v.reshape(Shape::Matrix(heads, 1));
    let block = |v: Var<'t>| v.reshape(Shape::Tensor(heads, 1, 1));
    let next_c = block(f) * c + (column(i) * v).einsum("hi,hj->hij", k);
    let next_n = column(f) * n + column(i) * k;
    r.next(c, next_c);
    r.next(n, next_n);
    r.next(m, next_m);
    let size = next_n.einsum("hj,hj->h", q).abs().max((-next_m).exp()) + 1e-6;
    let read = next_c.einsum("hij,hj->hi", q) / column(size);
    let h = p.output * read.reshape(Shape::Vector(heads * d));
    r.output("read", h);
    loss(r, h, s);
}

/// The same, head by head.
fn memory_by_hand<'t>(r: &'t Recorder, s: Sizes) {
    let Sizes { heads, d, .. } = s;
    let p = projected(r, s);
    let of_heads: Vec<Var<'t>> = (0..heads)
        .map(|head| {
            let part = |v: Var<'t>| v.slice(head * d, d);
            let number = |v: Var<'t>| v.slice(head, 1).reshape(Shape::Scalar);
            let (q, k, v) = (part(p.q), part(p.k), part(p.v));
            let c = r.state(&format!("c.{head}"), Shape::Matrix(d, d), 1, None);
            let n = r.state(&format!("n.{head}"), Shape::Vector(d), 1, None);
            let m = r.state(&format!("m.{head}"), Shape::Scalar, 1, None);
            let [next_m, i, f] = gates(number(p.input_gate), number(p.forget_gate), m);
            let next_c = f * c + (i * v).outer(k);
            let next_n = f * n + i * k;
            r.next(c, next_c);
            r.next(n, next_n);
            r.next(m, next_m);
            let size = next_n.dot(q).abs().max((-next_m).exp()) + 1e-6;
            next_c.matvec(q) / size
        })
        .collect();
    let h = p.output * Var::concat(&of_heads);
    r.output("read", h);
    loss(r, h, s);
}

/// A gated recurrence whose weights are blocks, one per head.
fn blocks<'t>(r: &'t Recorder, s: Sizes) {
    let Sizes { heads, d, .. } = s;
    let x = r.input("x", InputRole::Sequence, Shape::Vector(s.inputs));
    let h = r.state("h", Shape::Matrix(heads, d), 1, None);
    let gate = |name: &str, h: Var<'t>| {
        let w = r.param(&format!("{name}.x"), Shape::Matrix(heads * d, s.inputs));
        let u = r.param(&format!("{name}.h"), Shape::Tensor(heads, d, d));
        w.matvec(x).reshape(Shape::Matrix(heads, d)) + u.einsum("hij,hj->hi", h)
    };
    let z = gate("z", h).sigmoid();
    let new = gate("n", h).tanh();
    let next = z * h + (1.0 - z) * new;
    r.next(h, next);
    r.output("read", next.reshape(Shape::Vector(heads * d)));
    loss(r, next.reshape(Shape::Vector(heads * d)), s);
}

/// The same, head by head, with the same parameters.
fn blocks_by_hand<'t>(r: &'t Recorder, s: Sizes) {
    let Sizes { heads, d, .. } = s;
    let x = r.input("x", InputRole::Sequence, Shape::Vector(s.inputs));
    let h: Vec<Var<'t>> = (0..heads)
        .map(|head| r.state(&format!("h.{head}"), Shape::Vector(d), 1, None))
        .collect();
    let gate = |name: &str| -> Vec<Var<'t>> {
        let w = r.param(&format!("{name}.x"), Shape::Matrix(heads * d, s.inputs));
        let u = r.param(&format!("{name}.h"), Shape::Matrix(heads * d, d));
        let wx = w.matvec(x);
        (h.iter().enumerate())
            .map(|(head, &h)| wx.slice(head * d, d) + u.slice(head * d, d).matvec(h))
            .collect()
    };
    let (z, new) = (gate("z"), gate("n"));
    let next: Vec<Var<'t>> = (0..heads)
        .map(|head| {
            let z = z[head].sigmoid();
            z * h[head] + (1.0 - z) * new[head].tanh()
        })
        .collect();
    for (&h, &next) in h.iter().zip(&next) {
        r.next(h, next);
    }
    let next = Var::concat(&next);
    r.output("read", next);
    loss(r, next, s);
}

/// One matrix memory whose forget gate is a number per row, as in gated linear attention.
fn rows(r: &Recorder, s: Sizes) {
    gated_rows(r, s, |f, c, d| f.reshape(Shape::Matrix(d, 1)) * c);
}

/// The same with the gate repeated by a product with ones.
fn rows_by_hand(r: &Recorder, s: Sizes) {
    gated_rows(r, s, |f, c, d| {
        let tape = f.tape().expect("it is on one");
        f.outer(tape.constant(1.0, Shape::Vector(d))) * c
    });
}

fn gated_rows<'t>(r: &'t Recorder, s: Sizes, forget: impl Fn(Var<'t>, Var<'t>, usize) -> Var<'t>) {
    let d = s.d;
    let x = r.input("x", InputRole::Sequence, Shape::Vector(s.inputs));
    let dense = |name: &str| {
        let w = r.param(name, Shape::Matrix(d, s.inputs));
        w.matvec(x)
    };
    let (q, k, v, f) = (dense("q"), dense("k"), dense("v"), dense("f").sigmoid());
    let c = r.state("c", Shape::Matrix(d, d), 1, None);
    let next = forget(f, c, d) + k.outer(v);
    r.next(c, next);
    let h = next.matvec_t(q);
    r.output("read", h);
    let target = r.input("next", InputRole::Target, Shape::Vector(d));
    r.loss((h - target).square().mean());
}

/// A run: cell, numbers, results.
struct Run<T: Element> {
    cell: CompiledCell<T>,
    executor: retrograd_jit::Executor<T>,
    inputs: Vec<Vec<T>>,
    outputs: Vec<Vec<T>>,
    extent: Extent,
}

impl<T: Element + Real> Run<T> {
    fn new(tape: &Tape, purpose: &Purpose, extent: Extent) -> Run<T> {
        let cell = CompiledCell::<T>::compile(tape, purpose).expect("it compiles");
        let (t, b) = (extent.steps, extent.rows);
        // States begin with zeros in both programs. Others are told apart by their names, which both share.
        let inputs = (cell.inputs().iter())
            .map(|i| match i.role {
                InputRole::Initial => Vec::new(),
                _ => {
                    let phase: u32 = i.name.bytes().map(u32::from).sum();
                    (0..i.ty.numbers(t, b))
                        .map(|k| (k as f64 * 0.37 + f64::from(phase)).sin() * 0.3)
                        .map(<T as Real>::from_f64)
                        .collect()
                }
            })
            .collect();
        let outputs = (0..cell.outputs().len())
            .map(|k| vec![<T as Real>::from_f64(f64::NAN); cell.output_len(k, extent)])
            .collect();
        Run {
            executor: cell.executor(),
            cell,
            inputs,
            outputs,
            extent,
        }
    }

    fn run(&mut self) {
        let inputs: Vec<&[T]> = self.inputs.iter().map(Vec::as_slice).collect();
        let mut outputs: Vec<&mut [T]> = self.outputs.iter_mut().map(Vec::as_mut_slice).collect();
        (self.executor)
            .run(self.extent, &inputs, &mut outputs)
            .expect("it runs");
    }

    fn output(&self, name: &str) -> &[T] {
        let k = self.cell.output(name);
        &self.outputs[k.unwrap_or_else(|| panic!("no output {name}"))]
    }
}

type Write = for<'t> fn(&'t Recorder, Sizes);
type Written = (&'static str, Write, Write);

fn tape(write: Write, s: Sizes) -> Tape {
    let r = Recorder::new();
    write(&r, s);
    r.finish("cell").expect("a cell")
}

const CELLS: [Written; 3] = [
    ("matrix memory", memory, memory_by_hand),
    ("block-diagonal recurrence", blocks, blocks_by_hand),
    ("gates of rows", rows, rows_by_hand),
];

#[test]
fn heads_at_once_are_the_heads_one_by_one() {
    let extent = Extent::steps(5).rows(3);
    for (heads, d) in [(1, 8), (3, 4), (4, 8), (17, 3), (1, 20), (1, 64), (66, 2)] {
        let s = Sizes {
            heads,
            d,
            inputs: 5,
        };
        for (name, at_once, by_hand) in CELLS {
            let mut a = Run::<f64>::new(&tape(at_once, s), &Purpose::Train, extent);
            let mut b = Run::<f64>::new(&tape(by_hand, s), &Purpose::Train, extent);
            a.run();
            b.run();
            let params = a.cell.inputs().iter();
            let gradients = params
                .filter(|i| i.role == InputRole::Param)
                .map(|i| format!("grad({})", i.name));
            let names = ["read".to_owned(), "loss".to_owned()];
            for output in names.into_iter().chain(gradients) {
                let (x, y) = (a.output(&output), b.output(&output));
                assert_eq!(x.len(), y.len(), "{name}: {output}");
                for (x, y) in x.iter().zip(y) {
                    // A hundred roundings of numbers of about 1.
                    assert!(
                        (x - y).abs() < 1e-13,
                        "{name} of {heads} heads: {output} {x} {y}"
                    );
                }
            }
        }
    }
}

/// `cargo test --release -p retrograd-jit --test heads -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn heads_at_once_are_as_fast_as_heads_one_by_one() {
    let s = Sizes {
        heads: 4,
        d: 64,
        inputs: 256,
    };
    for (name, at_once, by_hand) in CELLS {
        for (t, b) in [(64, 1), (64, 8), (32, 32)] {
            let extent = Extent::steps(t).rows(b);
            for (what, purpose) in [("forward", Purpose::Forward), ("training", Purpose::Train)] {
                let mut a = Run::<f32>::new(&tape(at_once, s), &purpose, extent);
                let mut b = Run::<f32>::new(&tape(by_hand, s), &purpose, extent);
                let mut best = [f64::INFINITY; 2];
                for _ in 0..40 {
                    for (best, run) in best.iter_mut().zip([&mut a, &mut b]) {
                        let start = Instant::now();
                        run.run();
                        *best = best.min(start.elapsed().as_secs_f64() * 1e3);
                    }
                }
                println!(
                    "{name:>26}, {what:>8}, {extent}: {:.3} ms at once, {:.3} ms by hand, ratio {:.3}",
                    best[0],
                    best[1],
                    best[0] / best[1]
                );
            }
        }
    }
}
