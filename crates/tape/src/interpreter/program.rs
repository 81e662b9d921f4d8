//! The interpreter's program: instruction lists over numbered buffers, and their construction from a tape.

use rustc_hash::FxHashMap as HashMap;
use smallvec::{SmallVec, smallvec};

use super::check::IndexUse;
use super::round::round_products;
use crate::algebra::Value;
use crate::op::Op;
use crate::schedule::PhaseKind;
use crate::tape::{Operands, Tape};
use crate::ty::{Domain, Shape};

/// One buffer: a value per point of its domain.
#[derive(Clone, Debug)]
pub(crate) struct BufferPlan {
    /// Elements per point.
    pub(crate) len: usize,
    pub(crate) domain: Domain,
    /// Holds a constant: filled once, never written again.
    pub(crate) constant: Option<f64>,
    /// Of domain `step`, but keeps only the present step's value.
    pub(crate) one_step: bool,
    /// Some instruction uses it.
    pub(crate) used: bool,
    /// Accumulates terms of all points of a run.
    pub(crate) summed: Summed,
    /// Depends on no input and no state.
    pub(crate) uniform: bool,
}

/// How accumulation in a buffer is kept accurate (see [`crate::sums::CompensatedSum`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Summed {
    /// It is no sum over points.
    #[default]
    No,
    /// The rounding error of each addition is kept beside it.
    Terms,
    /// The same, and products are first summed over a block of points.
    Products,
}

/// Where a value is stored: a buffer, viewed with a shape of equally many elements. The buffer's domain may be lower
/// than the value's own: a spread value is read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BufferView {
    pub(crate) buffer: usize,
    pub(crate) domain: Domain,
    pub(crate) shape: Shape,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum InstructionKind {
    /// An op of the table.
    Op(Op),
    /// The transpose of `Delay(d)`, or of `Boundary(d)`: adds the cotangent (the operand) to those of x and init.
    Back {
        d: i32,
        boundary: bool,
        x: Option<BufferView>,
        init: Option<BufferView>,
    },
    /// The transpose of a matrix, computed once for all steps (see [`InterpreterProgram::transpose`]).
    Transpose,
    /// Checks that the operand, an index with this number in the interpreter's list, is within its table.
    Index(usize),
}

/// What an instruction is a part of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// The tape's node.
    pub(crate) node: Value,
    /// In a backward program: the operand that the node is differentiated in, and the node's cotangent.
    pub(crate) back: Option<(usize, BufferView)>,
}

impl Part {
    /// The value of a node.
    pub(crate) fn of(node: Value) -> Part {
        Part { node, back: None }
    }
}

/// One instruction. At each tick of its work domain (see [`ticks`]) it computes all rows.
#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    pub(crate) kind: InstructionKind,
    pub(crate) args: SmallVec<[BufferView; 3]>,
    /// `None` for `Back`, whose destinations are operands, and for `IndexUse`, which has none.
    pub(crate) dst: Option<BufferView>,
    pub(crate) work: Domain,
    /// Add to the destination instead of overwriting it.
    pub(crate) accumulate: bool,
    pub(crate) part: Part,
}

impl Instruction {
    /// True if the destination has fewer points than the work: several points are summed into one.
    pub(crate) fn reduces(&self) -> bool {
        self.dst.is_some_and(|d| d.domain != self.work)
    }

    /// The buffer in which terms of several points are accumulated, and how.
    pub(crate) fn sums(&self) -> Option<(usize, Summed)> {
        match (self.kind, self.dst) {
            (InstructionKind::Back { init, .. }, _) => init
                .filter(|init| !matches!(init.domain, Domain::BoundarySlots(_)))
                .map(|init| (init.buffer, Summed::Terms)),
            (InstructionKind::Op(Op::Outer { .. }), Some(dst)) if self.reduces() => {
                Some((dst.buffer, Summed::Products))
            }
            (_, Some(dst)) if self.reduces() => Some((dst.buffer, Summed::Terms)),
            _ => None,
        }
    }
}

/// A part of a program.
#[derive(Clone, Debug)]
pub(crate) enum Segment {
    /// Each instruction over all its ticks, one after the other.
    Whole(Vec<Instruction>),
    /// All instructions at each step, forward or backward in time.
    Sweep {
        backward: bool,
        steps: Vec<Instruction>,
    },
}

impl Segment {
    pub(crate) fn instrs(&self) -> &[Instruction] {
        match self {
            Segment::Whole(list) | Segment::Sweep { steps: list, .. } => list,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct InterpreterProgram {
    pub(crate) segments: Vec<Segment>,
    /// Buffers to zero before a run because sums accumulate in them.
    pub(crate) zero: Vec<usize>,
}

/// All buffers of an interpreter, and the shared ones of constants.
#[derive(Clone, Debug, Default)]
pub(crate) struct BufferPlans {
    pub(crate) list: Vec<BufferPlan>,
    /// Buffers of constants, by the number's bits and its element count.
    constants: HashMap<(u64, usize), usize>,
}

impl BufferPlans {
    pub(crate) fn fresh(&mut self, shape: Shape, domain: Domain) -> BufferView {
        self.list.push(BufferPlan {
            len: shape.len(),
            domain,
            constant: None,
            one_step: false,
            used: false,
            summed: Summed::No,
            uniform: false,
        });
        BufferView {
            buffer: self.list.len() - 1,
            domain,
            shape,
        }
    }

    pub(crate) fn constant(&mut self, value: f64, shape: Shape) -> BufferView {
        let key = (value.to_bits(), shape.len());
        let buffer = self.constants.get(&key).copied().unwrap_or_else(|| {
            let place = self.fresh(shape, Domain::Once);
            self.list[place.buffer].constant = Some(value);
            self.list[place.buffer].uniform = true;
            self.list[place.buffer].used = true;
            self.constants.insert(key, place.buffer);
            place.buffer
        });
        BufferView {
            buffer,
            domain: Domain::Once,
            shape,
        }
    }
}

/// The groups of nodes that run one after the other: whole values, and sweeps over the steps.
pub(crate) fn phases(tape: &Tape) -> Vec<(PhaseKind, Vec<Value>)> {
    let schedule = tape.schedule();
    let kinds = (0..schedule.phases).map(|p| (PhaseKind::of(p), Vec::new()));
    let mut phases: Vec<(PhaseKind, Vec<Value>)> = kinds.collect();
    for (i, &phase) in schedule.phase.iter().enumerate() {
        phases[phase].1.push(Value(i as u32));
    }
    phases
}

/// The forward program of the `kept` nodes, and the place of every node's value. Before a table is read, its index, one
/// of `indices`, is checked. Products round their operands if `bf16`.
pub(crate) fn forward(
    tape: &Tape,
    plans: &mut BufferPlans,
    indices: &[IndexUse],
    bf16: bool,
    kept: &dyn Fn(Value) -> bool,
) -> (InterpreterProgram, Vec<BufferView>) {
    let nodes = tape.nodes();
    let mut handed_out = vec![false; nodes.len()];
    for o in tape.outputs() {
        handed_out[o.value.index()] = true;
    }
    let mut index_of: HashMap<Value, usize> = HashMap::default();
    for (k, index) in indices.iter().enumerate() {
        index_of.insert(index.user, k);
    }
    let mut places: Vec<BufferView> = Vec::with_capacity(nodes.len());
    for (i, node) in nodes.iter().enumerate() {
        let handed_out = handed_out[i];
        let place = match node.op {
            Op::Constant { value, shape } if !handed_out => plans.constant(value.0, shape),
            Op::Zeros(shape) if !handed_out => plans.constant(0.0, shape),
            Op::Spread(_) | Op::Reshape(_) => {
                let from = places[node.operands[0].index()];
                if handed_out {
                    plans.fresh(node.ty.shape, node.ty.domain)
                } else {
                    BufferView {
                        shape: node.ty.shape,
                        ..from
                    }
                }
            }
            _ => plans.fresh(node.ty.shape, node.ty.domain),
        };
        places.push(place);
    }
    let mut program = InterpreterProgram::default();
    for (kind, values) in phases(tape) {
        let mut list = Vec::new();
        for v in values {
            let node = tape.node(v);
            let dst = places[v.index()];
            if let Some(&k) = index_of.get(&v) {
                let index = places[indices[k].value.index()];
                list.push(Instruction {
                    kind: InstructionKind::Index(k),
                    args: smallvec![index],
                    dst: None,
                    work: index.domain,
                    accumulate: false,
                    part: Part::of(v),
                });
            }
            if !kept(v) {
                continue;
            }
            let in_place = match node.op {
                Op::Input { .. } => true,
                Op::Constant { .. } | Op::Zeros(_) => plans.list[dst.buffer].constant.is_some(),
                Op::Spread(_) | Op::Reshape(_) => {
                    dst.buffer == places[node.operands[0].index()].buffer
                }
                _ => false,
            };
            if !in_place {
                list.push(Instruction {
                    kind: InstructionKind::Op(node.op),
                    args: node.operands.iter().map(|x| places[x.index()]).collect(),
                    dst: Some(dst),
                    work: work(tape, &node.op, &node.operands),
                    accumulate: false,
                    part: Part::of(v),
                });
            }
        }
        program.segments.push(match kind {
            PhaseKind::Sweep { backward } => Segment::Sweep {
                backward,
                steps: list,
            },
            PhaseKind::Whole => Segment::Whole(list),
        });
    }
    program.finish(plans, bf16);
    for (i, p) in places.iter().enumerate() {
        plans.list[p.buffer].used |= kept(Value(i as u32));
    }
    (program, places)
}

fn work(tape: &Tape, op: &Op, operands: &Operands) -> Domain {
    let types: SmallVec<[_; 3]> = operands.iter().map(|&v| tape.node(v).ty).collect();
    op.work_domain(&types)
}

impl InterpreterProgram {
    /// A product reads its right side faster by rows than by columns: 32×128×512 in f32 runs at 92 GFLOP/s instead of
    /// 65, and 4×128×512 at 21 instead of 5 (one core of Zen 4). So matrices of M·v within the steps are also kept
    /// transposed, as a third operand.
    fn transpose(&mut self, plans: &mut BufferPlans) {
        // Constants of one value and length share a buffer, whatever their shapes.
        let mut made: HashMap<(usize, Shape), BufferView> = HashMap::default();
        let segments = std::mem::take(&mut self.segments);
        for mut segment in segments {
            let mut before = Vec::new();
            if let Segment::Sweep { steps, .. } = &mut segment {
                for instr in steps {
                    let matrix = instr.args.first().copied();
                    let (InstructionKind::Op(Op::MatVec { transposed: false }), Some(matrix)) =
                        (instr.kind, matrix)
                    else {
                        continue;
                    };
                    if matrix.domain == Domain::Once && matrix.shape.rank() == 2 {
                        let copy =
                            *made
                                .entry((matrix.buffer, matrix.shape))
                                .or_insert_with(|| {
                                    let (m, n) = matrix.shape.as_matrix();
                                    let copy = plans.fresh(Shape::Matrix(n, m), Domain::Once);
                                    before.push(Instruction {
                                        kind: InstructionKind::Transpose,
                                        args: smallvec![matrix],
                                        dst: Some(copy),
                                        work: Domain::Once,
                                        accumulate: false,
                                        part: instr.part,
                                    });
                                    copy
                                });
                        instr.args.push(copy);
                    }
                }
            }
            self.segments.push(Segment::Whole(before));
            self.segments.push(segment);
        }
    }

    /// Rounds operands of products if `bf16`, drops empty segments, marks the buffers in use, and lets sums accumulate from 0.
    pub(crate) fn finish(&mut self, plans: &mut BufferPlans, bf16: bool) {
        if bf16 {
            round_products(self, plans);
        }
        self.transpose(plans);
        self.segments.retain(|s| !s.instrs().is_empty());
        for segment in &mut self.segments {
            let (Segment::Whole(list) | Segment::Sweep { steps: list, .. }) = segment;
            for instr in list {
                for place in instr.args.iter().chain(&instr.dst) {
                    plans.list[place.buffer].used = true;
                }
                if let Some((buffer, summed)) = instr.sums() {
                    let plan = &mut plans.list[buffer];
                    plan.summed = plan.summed.max(summed);
                }
                if let (true, false, Some(dst)) = (instr.reduces(), instr.accumulate, instr.dst) {
                    instr.accumulate = true;
                    self.zero.push(dst.buffer);
                }
            }
        }
        self.zero.sort_unstable();
        self.zero.dedup();
    }
}
