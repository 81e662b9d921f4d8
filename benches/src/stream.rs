//! Streaming: samples for a stepper, and a lower bound on the cycles per sample.

use std::hint::black_box;

use anyhow::Result;
use retrograd::Cell;
use retrograd_graph::Options;
use retrograd_jit::Stepper;
use retrograd_tape::{Domain, InputRole, Shape};

use crate::work::StepArrays;

/// The number of samples, used cyclically.
const SAMPLES: usize = 16;

/// A stepper and its samples.
#[derive(Debug)]
pub struct SampleStream {
    stepper: Stepper<f32>,
    /// By sample, then by input.
    samples: Vec<Vec<Vec<f32>>>,
    next: usize,
}

impl SampleStream {
    /// Compiles a cell for samples of `b` rows, with these options.
    ///
    /// # Errors
    /// If there is no stepper for it.
    pub fn new(cell: &Cell, options: &Options, b: usize) -> Result<SampleStream> {
        let work = StepArrays::new(cell, SAMPLES, b);
        let inputs = cell.tape().inputs();
        let over_steps = |k: usize| inputs[k].ty.domain == Domain::Step;
        let fixed = (0..inputs.len()).map(|k| match over_steps(k) {
            true => &[][..],
            false => &work.inputs[k],
        });
        let stepper = Stepper::with_options(cell.tape(), options, b, &fixed.collect::<Vec<_>>())?;
        let read = stepper.inputs().iter();
        let read = read.filter_map(|i| inputs.iter().position(|j| j.name == i.name));
        let read: Vec<usize> = read.collect();
        let sample = |t: usize| {
            let part = |&k: &usize| {
                let n = work.inputs[k].len() / SAMPLES;
                work.inputs[k][t * n..][..n].to_vec()
            };
            read.iter().map(part).collect()
        };
        Ok(SampleStream {
            samples: (0..SAMPLES).map(sample).collect(),
            stepper,
            next: 0,
        })
    }

    /// The stepper.
    pub fn stepper(&self) -> &Stepper<f32> {
        &self.stepper
    }

    /// Processes the next sample. With more than one input, a list is allocated.
    pub fn step(&mut self) {
        let sample = &self.samples[self.next];
        self.next = (self.next + 1) % SAMPLES;
        let taken = match &sample[..] {
            [x] => self.stepper.step(&[black_box(x)], &mut []),
            xs => {
                let slices: Vec<&[f32]> = xs.iter().map(Vec::as_slice).collect();
                self.stepper.step(black_box(&slices), &mut [])
            }
        };
        taken.expect("the samples fit");
        black_box(self.stepper.output(0));
    }
}

/// Cycles that a sample of one row takes if weights (f32) come at 32 bytes a cycle and each of `units` units takes 6 for its
/// element-wise work.
pub fn bound(cell: &Cell, units: usize) -> f64 {
    let matrices = (cell.tape().inputs().iter()).filter_map(|i| match (i.role, i.ty.shape) {
        (InputRole::Param, shape @ Shape::Matrix(..)) => Some(shape.len()),
        _ => None,
    });
    let bytes = 4 * matrices.sum::<usize>();
    bytes as f64 / 32.0 + 6.0 * units as f64
}
