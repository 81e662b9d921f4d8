//! The order in which an interpreter's program runs, and [`Watch`], which sees what each instruction did.

use super::check::BadIndex;
use super::execute::Buffers;
use super::frozen::Frozen;
use super::program::{Instruction, InterpreterProgram, Segment};
use crate::algebra::Value;
use crate::real::Real;

/// Looks on while a program runs. `()` sees nothing and costs nothing.
pub(super) trait Watch<T> {
    /// An input of the program has been copied to its buffer.
    fn given(&mut self, _: &Buffers<T>, _: Value, _buffer: usize) {}
    /// An instruction has run at a tick.
    fn ran(&mut self, _: &Buffers<T>, _: &Instruction, _tick: usize) {}
    /// The sums that instructions have added to are finished.
    fn settled(&mut self, _: &Buffers<T>, _: &[Instruction]) {}
    /// An instruction has met an index that is none.
    fn refused(&mut self, _: &Buffers<T>, _: &Instruction, _at: &BadIndex<T>) {}
}

impl<T> Watch<T> for () {}

/// Runs a program; what is `frozen` keeps its value.
///
/// # Errors
/// An index out of its table.
pub(super) fn walk<T: Real>(
    program: &InterpreterProgram,
    memory: &mut Buffers<T>,
    frozen: Option<&Frozen<T>>,
    watch: &mut impl Watch<T>,
) -> Result<(), BadIndex<T>> {
    let at = |memory: &mut Buffers<T>, watch: &mut _, instr: &Instruction, tick: usize| {
        match frozen {
            Some(frozen) if frozen.replaces(instr) => frozen.run(memory, instr, tick),
            _ => {
                if let Err(bad) = memory.run(instr, tick) {
                    Watch::refused(watch, memory, instr, &bad);
                    return Err(bad);
                }
            }
        }
        Watch::ran(watch, memory, instr, tick);
        Ok(())
    };
    for segment in &program.segments {
        match segment {
            Segment::Whole(list) => {
                for instr in list {
                    for tick in 0..memory.points.ticks(instr.work) {
                        at(memory, watch, instr, tick)?;
                    }
                    memory.settle([instr]);
                    watch.settled(memory, std::slice::from_ref(instr));
                }
            }
            Segment::Sweep { backward, steps } => {
                let n = memory.points.steps();
                for k in 0..n {
                    let tick = if *backward { n - 1 - k } else { k };
                    for instr in steps {
                        at(memory, watch, instr, tick)?;
                    }
                }
                memory.settle(steps);
                watch.settled(memory, steps);
            }
        }
    }
    Ok(())
}
