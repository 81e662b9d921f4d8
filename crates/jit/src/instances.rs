//! What this crate compiles for both precisions.
//!
//! A generic function is compiled again by each crate that calls it, unless it is never inlined and a crate below has compiled
//! it for the same types. All that runs lies behind these few; without them every program that uses the crate would take
//! seconds to compile it.

use std::hint::black_box;

use crate::cell::CompiledCell;
use crate::element::Element;
use crate::executor::Executor;
use crate::predict::Machine;
use crate::split::Residuals;
use crate::stepper::Stepper;

/// The functions of one precision.
fn instances<T: Element>() {
    let all = [
        CompiledCell::<T>::compile_with as *const (),
        Executor::<T>::run as *const (),
        Executor::<T>::run_ragged as *const (),
        Executor::<T>::forward as *const (),
        Executor::<T>::forward_ragged as *const (),
        Executor::<T>::count_calls as *const (),
        Executor::<T>::time_items as *const (),
        Executor::<T>::memory_of as *const (),
        Residuals::<T>::backward as *const (),
        Stepper::<T>::of as *const (),
        Stepper::<T>::step as *const (),
        Stepper::<T>::set_inputs as *const (),
        Stepper::<T>::reset_row as *const (),
        Stepper::<T>::fork as *const (),
        Stepper::<T>::set_state as *const (),
        Machine::seconds::<T> as *const (),
        Machine::run_seconds::<T> as *const (),
    ];
    black_box(all);
}

#[used]
static INSTANCES: [fn(); 2] = [instances::<f32>, instances::<f64>];
