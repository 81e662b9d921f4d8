//! Products of bfloat16 operands: the same roundings that the compiler's pass *round* makes.
//!
//! The operands of each product with a weight, forward and backward, and those of each weight gradient, are rounded by
//! instructions before it; constants, and what is computed from them alone, are not.

use rustc_hash::FxHashMap as HashMap;
use smallvec::smallvec;

use super::program::{
    BufferPlans, BufferView, Instruction, InstructionKind, InterpreterProgram, Segment,
};
use crate::map::Map;
use crate::op::Op;
use crate::ty::{Domain, Shape};

/// Inserts the instructions.
pub(super) fn round_products(program: &mut InterpreterProgram, plans: &mut BufferPlans) {
    mark_constants(program, plans);
    // What varies over no steps is rounded once, before its first use.
    let mut made: HashMap<(usize, Shape), BufferView> = HashMap::default();
    for mut segment in std::mem::take(&mut program.segments) {
        let mut before = Vec::new();
        let in_sweep = matches!(segment, Segment::Sweep { .. });
        let (Segment::Whole(list) | Segment::Sweep { steps: list, .. }) = &mut segment;
        let mut new = Vec::with_capacity(list.len());
        for mut instr in std::mem::take(list) {
            if is_rounded(&instr, plans) {
                for k in 0..2 {
                    let from = instr.args[k];
                    let key = (from.buffer, from.shape);
                    let known = (in_sweep && from.domain != Domain::Step)
                        .then(|| made.get(&key).copied())
                        .flatten();
                    let to = known.unwrap_or_else(|| {
                        let to = plans.fresh(from.shape, from.domain);
                        let rounding = Instruction {
                            kind: InstructionKind::Op(Op::Map(Map::RoundBf16)),
                            args: smallvec![from],
                            dst: Some(to),
                            work: from.domain,
                            accumulate: false,
                            part: instr.part,
                        };
                        match in_sweep && from.domain != Domain::Step {
                            true => {
                                before.push(rounding);
                                made.insert(key, to);
                            }
                            false => new.push(rounding),
                        }
                        to
                    });
                    instr.args[k] = to;
                }
            }
            new.push(instr);
        }
        *list = new;
        program.segments.push(Segment::Whole(before));
        program.segments.push(segment);
    }
}

/// Marks what depends on no input and no state: constants, and what is computed from them alone.
fn mark_constants(program: &InterpreterProgram, plans: &mut BufferPlans) {
    let instrs = || program.segments.iter().flat_map(Segment::instrs);
    for instr in instrs() {
        for written in written(instr) {
            plans.list[written].uniform = true;
        }
    }
    // Until nothing changes: several instructions may add to a buffer.
    let mut changes = true;
    while changes {
        changes = false;
        for instr in instrs() {
            let of_constants = match instr.kind {
                InstructionKind::Op(op) => op.is_constant_of_constants(),
                InstructionKind::Transpose => true,
                InstructionKind::Back { .. } | InstructionKind::Index(_) => false,
            };
            if of_constants && instr.args.iter().all(|x| plans.list[x.buffer].uniform) {
                continue;
            }
            for written in written(instr) {
                changes |= std::mem::take(&mut plans.list[written].uniform);
            }
        }
    }
}

/// The buffers that an instruction writes.
fn written(instr: &Instruction) -> impl Iterator<Item = usize> {
    let more = match instr.kind {
        InstructionKind::Back { x, init, .. } => [x, init],
        _ => [None, None],
    };
    [instr.dst]
        .into_iter()
        .chain(more)
        .flatten()
        .map(|place| place.buffer)
}

/// True for products with weights, and for weight gradients.
fn is_rounded(instr: &Instruction, plans: &BufferPlans) -> bool {
    let once = |place: &BufferView| place.domain == Domain::Once;
    let multiplies = match (instr.kind, &instr.dst) {
        (InstructionKind::Op(Op::MatVec { .. }), _) => {
            once(&instr.args[0]) && !once(&instr.args[1])
        }
        (InstructionKind::Op(Op::Outer { .. }), Some(dst)) => once(dst) && instr.reduces(),
        _ => false,
    };
    let uniform = |place: &BufferView| plans.list[place.buffer].uniform;
    multiplies && !instr.args[..2].iter().any(uniform)
}
