//! The function that `backward` differentiates: what `stop_gradient` and `with_gradient` hide stays as it was.

use rustc_hash::FxHashMap as HashMap;

use super::execute::Buffers;
use super::program::{Instruction, InstructionKind, InterpreterProgram, Segment};
use super::rows::Operand;
use crate::map::Map;
use crate::op::Op;
use crate::real::Real;

/// Of each `with_gradient(y, z)`, by the buffer of its result: the results and the z of a run.
#[derive(Clone, Debug)]
pub(super) struct Frozen<T>(HashMap<usize, [Vec<T>; 2]>);

impl<T: Real> Frozen<T> {
    /// From the run whose values these are.
    pub(super) fn new(program: &InterpreterProgram, memory: &Buffers<T>) -> Frozen<T> {
        let instrs = program.segments.iter().flat_map(Segment::instrs);
        let surrogates = instrs.filter(|i| is(i, Map::WithGradient));
        Frozen(
            surrogates
                .filter_map(|i| {
                    let y = i.dst?.buffer;
                    let both = [y, i.args[1].buffer].map(|b| memory.data[b].clone());
                    Some((y, both))
                })
                .collect(),
        )
    }

    /// True for what [`run`](Frozen::run) runs.
    pub(super) fn replaces(&self, instr: &Instruction) -> bool {
        is(instr, Map::StopGradient) || is(instr, Map::WithGradient)
    }

    /// One instruction at one tick: `stop_gradient` keeps its value, `with_gradient` moves as z does, exactly by nothing
    /// if z has not moved.
    pub(super) fn run(&self, memory: &mut Buffers<T>, instr: &Instruction, tick: usize) {
        let Some((dst, [y_then, z_then])) = instr
            .dst
            .and_then(|dst| Some((dst, self.0.get(&dst.buffer)?)))
        else {
            return;
        };
        let (n, rows) = (dst.shape.len(), memory.points.rows_at(instr.work, tick));
        let mut out = std::mem::take(&mut memory.data[dst.buffer]);
        let range = memory.range(&dst, tick);
        let z = memory.read(&instr.args[1], tick, rows);
        let then = &z_then[memory.range(&instr.args[1], tick)];
        let then = match z {
            Operand::Full(_) => Operand::Full(then),
            Operand::Row(_) | Operand::Splat(..) => Operand::Row(then),
        };
        let y = y_then[range.clone()].chunks_exact(n);
        for (r, (out, y)) in out[range].chunks_exact_mut(n).zip(y).enumerate() {
            let change = z.row(r, n).iter().zip(then.row(r, n));
            for ((out, &y), (&z, &then)) in out.iter_mut().zip(y).zip(change) {
                *out = y + (z - then);
            }
        }
        memory.data[dst.buffer] = out;
    }
}

fn is(instr: &Instruction, map: Map) -> bool {
    matches!(instr.kind, InstructionKind::Op(Op::Map(m)) if m == map)
}
