//! Families of programs whose size is one parameter, for measuring how compile time grows with the program.
//!
//! ```
//! use retrograd_tape::families;
//! assert!(families::equations(100).nodes().len() > families::equations(10).nodes().len() + 90);
//! ```

use crate::record::{Recorder, Var};
use crate::tape::{InputRole, Tape};
use crate::ty::Shape;

/// Numbers per state and per input.
const WIDTH: usize = 8;

/// `n` independent leaky integrators of one input, h' = σ(a) h + x. The loss is the sum of their squares.
///
/// # Panics
/// If `n` is 0.
pub fn states(n: usize) -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(WIDTH));
    let ends: Vec<Var<'_>> = (0..n)
        .map(|k| {
            let a = r.param(&format!("a.{k}"), Shape::Vector(WIDTH));
            let h = r.state(&format!("h.{k}"), Shape::Vector(WIDTH), 1, None);
            r.next(h, a.sigmoid() * h + x).square().sum()
        })
        .collect();
    r.loss(sum(&ends));
    finish(r, "states")
}

/// A stack of `n` LSTM layers of 8 units; the loss is the square of the last layer's output.
pub fn layers(n: usize) -> Tape {
    let r = Recorder::new();
    let mut x = r.input("x", InputRole::Sequence, Shape::Vector(WIDTH));
    for k in 0..n {
        let h = r.state(&format!("{k}.h"), Shape::Vector(WIDTH), 1, None);
        let c = r.state(&format!("{k}.c"), Shape::Vector(WIDTH), 1, None);
        let gate = |name: &str| {
            let matrix = |of: &str| {
                let shape = Shape::Matrix(WIDTH, WIDTH);
                r.param(&format!("{k}.{name}.{of}"), shape)
            };
            let b = r.param(&format!("{k}.{name}.bias"), Shape::Vector(WIDTH));
            matrix("x").matvec(x) + matrix("h").matvec(h) + b
        };
        let (input, forget) = (gate("input").sigmoid(), gate("forget").sigmoid());
        let (cell, output) = (gate("cell").tanh(), gate("output").sigmoid());
        let c = r.next(c, forget * c + input * cell);
        x = r.next(h, output * c.tanh());
    }
    r.loss(x.square().sum());
    finish(r, "layers")
}

/// One state whose next value is the last of `n` equations, each reading the one before: y = w tanh y + x, y + x or w y.
pub fn equations(n: usize) -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(WIDTH));
    let w = r.param("w", Shape::Vector(WIDTH));
    let h = r.state("h", Shape::Vector(WIDTH), 1, None);
    let mut y = h;
    for k in 0..n {
        // Two of three are linear.
        y = match k % 3 {
            0 => w * y.tanh() + x,
            1 => y + x,
            _ => w * y,
        };
    }
    let y = r.next(h, y);
    r.loss(y.square().sum());
    finish(r, "equations")
}

/// The sum of values, added in order.
fn sum<'t>(all: &[Var<'t>]) -> Var<'t> {
    let sum = all.iter().copied().reduce(|a, b| a + b);
    sum.expect("there is at least one")
}

fn finish(r: Recorder, name: &str) -> Tape {
    r.finish(name).expect("the families record no mistakes")
}
