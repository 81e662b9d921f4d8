//! What this crate compiles for both precisions.
//!
//! A generic function is compiled again by each crate that calls it, unless it is never inlined and a crate below has compiled
//! it for the same types. Training, running and stepping lie behind these few: a user's program then takes one or two
//! seconds to compile, not ten and more.

use std::hint::black_box;

use crate::batch::Batch;
use crate::numbers::Float;
use crate::program::ProgramBuilder;
use crate::saved::Checkpoint;
use crate::session::Session;
use crate::split::Forward;
use crate::stepper::{Stepper, StepperBuilder};
use crate::trainer::Trainer;

/// The functions of one precision.
fn instances<T: Float>() {
    let all = [
        crate::trainer::builder::instances::<T>(),
        Trainer::<T>::step as *const (),
        Trainer::<T>::evaluate as *const (),
        Trainer::<T>::predict as *const (),
        Trainer::<T>::sample as *const (),
        Trainer::<T>::differentiate as *const (),
        Trainer::<T>::set_parameters as *const (),
        Trainer::<T>::set_parameter as *const (),
        Trainer::<T>::carry as *const (),
        Trainer::<T>::step_carrying as *const (),
        Trainer::<T>::evaluate_carrying as *const (),
        Trainer::<T>::predict_carrying as *const (),
        Trainer::<T>::explain_non_finite as *const (),
        Trainer::<T>::explain_non_finite_carrying as *const (),
        Trainer::<T>::test_learning_rates as *const (),
        Trainer::<T>::forward as *const (),
        Trainer::<T>::report_metric as *const (),
        Trainer::<T>::restore as *const (),
        Trainer::<T>::checkpoint as *const (),
        Checkpoint::<T>::restore_carry as *const (),
        Checkpoint::<T>::to_bytes as *const (),
        Checkpoint::<T>::from_bytes as *const (),
        Batch::<T>::segments as *const (),
        Session::<T>::run as *const (),
        Session::<T>::forward as *const (),
        Session::<T>::hessian_product as *const (),
        ProgramBuilder::<T>::build as *const (),
        Forward::<T>::backward as *const (),
        StepperBuilder::<T>::build as *const (),
        Stepper::<T>::step as *const (),
        Stepper::<T>::reset_row as *const (),
        Stepper::<T>::fork as *const (),
        Stepper::<T>::set_state as *const (),
    ];
    black_box(all);
}

#[used]
static INSTANCES: [fn(); 2] = [instances::<f32>, instances::<f64>];
