//! The function that `backward` differentiates: what `stop_gradient` and `with_gradient` hide stays as it was, and what
//! `round_bf16` has rounded off.

use rustc_hash::FxHashMap as HashMap;

use super::execute::Buffers;
use super::program::{Instruction, InstructionKind, InterpreterProgram, Segment};
use super::rows::Operand;
use crate::map::Map;
use crate::op::Op;
use crate::real::Real;

/// Of each `with_gradient(y, z)`, and of each y = `round_bf16(z)`, by the buffer of its result: the results and the z of a
/// run.
#[derive(Clone, Debug)]
pub(super) struct Frozen<T>(HashMap<usize, [Vec<T>; 2]>);

impl<T: Real> Frozen<T> {
    /// From the run whose values these are.
    #[inline(never)]
    pub(super) fn new(program: &InterpreterProgram, memory: &Buffers<T>) -> Frozen<T> {
        let instrs = program.segments.iter().flat_map(Segment::instrs);
        Frozen(
            instrs
                .filter_map(|i| {
                    let z = moves_with(i)?;
                    let y = i.dst?.buffer;
                    let both = [y, i.args[z].buffer].map(|b| memory.data[b].clone());
                    Some((y, both))
                })
                .collect(),
        )
    }

    /// True for what [`run`](Frozen::run) runs.
    pub(super) fn replaces(&self, instr: &Instruction) -> bool {
        is(instr, Map::StopGradient) || moves_with(instr).is_some()
    }

    /// One instruction at one tick: `stop_gradient` keeps its value, `with_gradient` and `round_bf16` move as z does,
    /// exactly by nothing if z has not moved.
    #[inline(never)]
    pub(super) fn run(&self, memory: &mut Buffers<T>, instr: &Instruction, tick: usize) {
        let Some(((dst, z), [y_then, z_then])) = instr
            .dst
            .zip(moves_with(instr))
            .and_then(|(dst, z)| Some(((dst, z), self.0.get(&dst.buffer)?)))
        else {
            return;
        };
        let from = &instr.args[z];
        let (n, rows) = (dst.shape.len(), memory.points.rows_at(instr.work, tick));
        let mut out = std::mem::take(&mut memory.data[dst.buffer]);
        let range = memory.range(&dst, tick);
        let z = memory.read(from, tick, rows);
        let then = &z_then[memory.range(from, tick)];
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

/// The operand with which a result moves.
fn moves_with(instr: &Instruction) -> Option<usize> {
    match instr.kind {
        InstructionKind::Op(Op::Map(Map::WithGradient)) => Some(1),
        InstructionKind::Op(Op::Map(Map::RoundBf16)) => Some(0),
        _ => None,
    }
}

fn is(instr: &Instruction, map: Map) -> bool {
    matches!(instr.kind, InstructionKind::Op(Op::Map(m)) if m == map)
}
