//! What this crate compiles for both precisions.
//!
//! A generic function is compiled again by each crate that calls it, unless it is never inlined and a crate below has compiled
//! it for the same types. All of the interpreter lies behind these few; without them every program that runs a tape
//! would take seconds to compile it.

use std::hint::black_box;

use super::Interpreter;
use super::execute::Buffers;
use super::frozen::Frozen;
use crate::real::Real;

/// The functions of one precision.
fn instances<T: Real>() {
    let all = [
        Interpreter::<T>::new as *const (),
        Interpreter::<T>::build as *const (),
        Interpreter::<T>::forward as *const (),
        Interpreter::<T>::forward_ragged as *const (),
        Interpreter::<T>::forward_frozen as *const (),
        Interpreter::<T>::backward as *const (),
        Interpreter::<T>::value as *const (),
        Buffers::<T>::run as *const (),
        Buffers::<T>::allocate as *const (),
        Frozen::<T>::new as *const (),
        Frozen::<T>::run as *const (),
    ];
    black_box(all);
}

#[used]
static INSTANCES: [fn(); 2] = [instances::<f32>, instances::<f64>];
