//! A program sample by sample: [`by_stepper`].

use retrograd_graph::passes::Refused;
use retrograd_jit::{CompileError, Element, Stepper, StepperError};
use retrograd_tape::{Domain, Input, InputRole, Output, OutputRole, Real, Tape};

use crate::guarded::{GUARD, Guarded};
use crate::runs::{Arrays, of};
use crate::sample::{Sample, cast};

/// The sample, but with initial states of another seed's, and numbers for all of them. None if a state begins with anything
/// but an input of its name: then no run begins where a stepper can be told to go on.
pub fn started_elsewhere<'a>(sample: &Sample<'a>) -> Option<Sample<'a>> {
    let (tape, b, seed) = (sample.tape, sample.b(), sample.seed);
    let mut other = sample.clone();
    let states = tape.outputs().iter();
    let states = states.filter(|o| o.role == OutputRole::Final);
    let named = |o: &Output| tape.input(&o.name).map(|k| tape.inputs()[k].role);
    if !states.clone().all(|o| named(o) == Some(InputRole::Initial)) || states.count() == 0 {
        return None;
    }
    for k in sample.initial() {
        let input = &tape.inputs()[k];
        let Domain::BoundarySlots(slots) = input.ty.domain else {
            return None;
        };
        let number = |i: usize| f64::from((0.9 * (seed as f64 + (5 * k + i) as f64).sin()) as f32);
        other.inputs[k] = (0..slots * b * input.ty.shape.len()).map(number).collect();
    }
    Some(other)
}

/// A stepper and the sequence that it is given.
struct Sampled<'a, T: Element> {
    stepper: Stepper<T>,
    tape: &'a Tape,
    given: &'a [Vec<T>],
    /// Its inputs' numbers in the program.
    read: Vec<usize>,
    b: usize,
}

impl<T: Element + Real> Sampled<'_, T> {
    /// The outputs of the sample of this step.
    fn step(&mut self, step: usize) -> Result<Vec<Vec<T>>, String> {
        let (tape, b) = (self.tape, self.b);
        let part = |&k: &usize| {
            let n = b * tape.inputs()[k].ty.shape.len();
            &self.given[k][step * n..][..n]
        };
        let samples: Vec<&[T]> = self.read.iter().map(part).collect();
        let shape = |o: &Output| {
            let k = tape.output(&o.name).expect("an output");
            tape.nodes()[tape.outputs()[k].value.index()].ty.shape
        };
        let outputs = self.stepper.outputs().iter();
        let mut out: Vec<Guarded<T>> = outputs
            .map(|o| Guarded::new(GUARD, b * shape(o).len()))
            .collect();
        let mut slices: Vec<&mut [T]> = out.iter_mut().map(Guarded::inner_mut).collect();
        let ran = self.stepper.step(&samples, &mut slices);
        ran.map_err(|e| e.to_string())?;
        (out.iter().zip(self.stepper.outputs()))
            .map(|(array, o)| array.written(&o.name))
            .collect()
    }

    /// Sets all states to what a run that begins with these inputs begins with.
    fn start(&mut self, states: &[String], start: &[Vec<f64>]) -> Result<(), String> {
        for name in states {
            let k = self
                .tape
                .input(name)
                .ok_or("a state begins with no input")?;
            let values = cast::<T>(&start[k..=k]).remove(0);
            let set = self.stepper.set_state(name, &values);
            set.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Sets parameters and all states to what they are, which must change nothing.
    fn set_to_what_is(&mut self, states: &[String], fixed: &[&[T]]) -> Result<(), String> {
        for name in states {
            let now = self.state(name);
            let set = self.stepper.set_state(name, &now);
            set.map_err(|e| e.to_string())?;
        }
        let parameters = (0..fixed.len()).map(|k| match self.tape.inputs()[k].ty.domain {
            Domain::Once | Domain::Row => fixed[k],
            _ => &[][..],
        });
        let parameters: Vec<&[T]> = parameters.collect();
        let set = self.stepper.set_inputs(&parameters);
        set.map_err(|e| e.to_string())
    }

    fn state(&mut self, name: &str) -> Vec<T> {
        self.stepper.state(name).expect("its own name").to_vec()
    }
}

/// The outputs over steps of a stepper that is given a sequence, then its states; none if the program needs later samples.
/// In the middle of the sequence parameters and all states are set to what they are, which must change nothing.
///
/// `start` are inputs whose initial states the stepper is set to after some samples, before the sequence begins: the numbers
/// are then those of a run that begins there, wherever its rings stand.
///
/// # Errors
/// Anything but a program that needs later samples.
pub fn by_stepper<T: Element + Real>(
    sample: &Sample<'_>,
    start: Option<&Sample<'_>>,
) -> Result<Option<Arrays<T>>, String> {
    let (tape, t, b) = (sample.tape, sample.t(), sample.b());
    let given = cast::<T>(&sample.inputs);
    let over_steps = |k: usize| tape.inputs()[k].ty.domain == Domain::Step;
    let fixed = (0..given.len()).map(|k| if over_steps(k) { &[][..] } else { &given[k] });
    let fixed: Vec<&[T]> = fixed.collect();
    let stepper = match Stepper::with_options(tape, &of(sample.target), b, &fixed) {
        Ok(stepper) => stepper,
        Err(StepperError::Compile(
            CompileError::Refused(Refused::Future(_)) | CompileError::Idle { .. },
        )) => {
            return Ok(None);
        }
        Err(e) => return Err(e.to_string()),
    };
    let position = |i: &Input| tape.inputs().iter().position(|j| j.name == i.name);
    let names = stepper.outputs().iter().map(|o| o.name.to_string());
    let mut out: Arrays<T> = names.map(|name| (name, Vec::new())).collect();
    let states: Vec<String> = stepper.states().map(str::to_string).collect();
    let mut sampled = Sampled {
        read: stepper.inputs().iter().filter_map(position).collect(),
        stepper,
        tape,
        given: &given,
        b,
    };
    if let Some(start) = start {
        for step in 0..1 + t / 2 {
            sampled.step(step)?;
        }
        sampled.start(&states, &start.inputs)?;
    }
    let mut first = Vec::new();
    for step in 0..t {
        let got = sampled.step(step)?;
        for ((_, all), one) in out.iter_mut().zip(&got) {
            all.extend(one);
        }
        if step == 0 {
            first = got;
        }
        if step == t / 2 {
            sampled.set_to_what_is(&states, &fixed)?;
        }
    }
    for name in states {
        let last = sampled.state(&name);
        out.push((name, last));
    }
    if start.is_some() {
        return Ok(Some(out));
    }
    sampled.stepper.reset();
    let again = sampled.step(0)?;
    let bits = |x: &[Vec<T>]| -> Vec<u64> {
        (x.iter().flatten())
            .map(|x| Real::to_f64(*x).to_bits())
            .collect()
    };
    if bits(&first) != bits(&again) {
        return Err("after a reset the first sample gives other numbers".into());
    }
    Ok(Some(out))
}
