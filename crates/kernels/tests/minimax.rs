//! The committed polynomials are the best fits, up to rounding: the example that computes them says so.

#[path = "../examples/minimax.rs"]
mod minimax;

#[test]
fn the_committed_polynomials_are_the_best_fits() {
    minimax::main();
}
