//! A run with the sizes of the one before allocates nothing but what a product of several rows packs its operands into.

use retrograd_tape::Extent;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use retrograd_tape::{InputRole, Interpreter, Recorder, Shape, Var};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every method forwards to the system allocator; the counter is a plain number of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise about `layout` is the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `alloc`, that is from the system allocator, with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn dense<'t>(r: &'t Recorder, name: &str, n: usize, xs: &[Var<'t>]) -> Var<'t> {
    let bias = r.param(&format!("{name}.bias"), Shape::Vector(n));
    xs.iter().enumerate().fold(bias, |sum, (k, &x)| {
        let shape = Shape::Matrix(n, x.shape().map_or(1, Shape::len));
        sum + r.param(&format!("{name}.{k}"), shape).matvec(x)
    })
}

/// Products that a step of the cell below makes: seven forward, and two of each backward.
const PRODUCTS: usize = 21;

/// Allocations of the second and the third run of forward and backward.
fn allocations(t: usize, b: usize) -> [usize; 2] {
    let h = 64;
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(5));
    let s = r.state("s", Shape::Vector(h), 1, None);
    let c = r.state("c", Shape::Vector(h), -2, None);
    let keep = dense(&r, "keep", h, &[x, s]).sigmoid();
    let s = r.next(s, keep * s + dense(&r, "new", h, &[x, s]).tanh());
    let c = r.next(c, (c * 0.5 + s).softmax());
    r.output("y", dense(&r, "y", 3, &[c, s]));
    r.loss(dense(&r, "loss", 7, &[c]).square().mean());
    let tape = r.finish("cell").unwrap();
    let data: Vec<Vec<f32>> = (tape.inputs().iter())
        .map(|i| match i.role {
            InputRole::Param => vec![0.01; i.ty.shape.len()],
            InputRole::Initial => Vec::new(),
            _ => vec![0.3; t * b * i.ty.shape.len()],
        })
        .collect();
    let data: Vec<&[f32]> = data.iter().map(Vec::as_slice).collect();
    let y = vec![1.0; t * b * 3];
    let mut cotangents = vec![None; tape.outputs().len()];
    cotangents[0] = Some(&y[..]);
    cotangents[1] = Some(&[1.0][..]);
    let mut run = Interpreter::new(&tape);
    let mut allocations = || {
        let before = COUNT.get();
        run.forward(Extent { steps: t, rows: b }, &data).unwrap();
        run.backward(&cotangents).unwrap();
        COUNT.get() - before
    };
    assert!(allocations() > 0);
    [allocations(), allocations()]
}

#[test]
fn forward_and_backward_allocate_nothing_after_the_first_run() {
    // Products of one row need no packing.
    assert_eq!(allocations(6, 1), [0, 0]);
    // At most two for each product: the packed operands, and a list of what is packed.
    let packed = 2 * PRODUCTS * 6;
    assert!(allocations(6, 32).iter().all(|&n| n <= packed));
}
