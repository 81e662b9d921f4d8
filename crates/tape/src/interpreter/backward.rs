//! The backward program: the tape's nodes are walked once in reverse order, and the derivative rules append
//! instructions. A cotangent that has several contributions is accumulated in place.

use super::program::{
    BufferPlans, BufferView, Instruction, InstructionKind, InterpreterProgram, Part, Segment,
    phases,
};
use crate::algebra::{Algebra, Value};
use crate::map::Map;
use crate::op::Op;
use crate::rules;
use crate::schedule::PhaseKind;
use crate::tape::{Input, Tape};
use crate::ty::{Domain, Type};
use rustc_hash::FxHashMap as HashMap;

/// The backward program, with the places of the outputs' cotangents and the inputs' gradients.
#[derive(Clone, Debug)]
pub(crate) struct Backward {
    pub(crate) program: InterpreterProgram,
    /// For each output, where its cotangent is added; `None` if it does not depend on any node that needs a gradient.
    pub(crate) seeds: Vec<Option<BufferView>>,
    /// For each input, its gradient.
    pub(crate) gradients: Vec<Option<BufferView>>,
    /// For each observed value, its adjoint.
    pub(crate) adjoints: Vec<(Value, Option<BufferView>)>,
}

/// The cotangent of a node while its consumers are visited.
#[derive(Clone, Copy)]
enum Cotangent {
    None,
    /// The only contribution so far, in a buffer that others read, too.
    Shared(Value),
    /// A buffer of its own, to which more can be added.
    Own(BufferView),
}

/// Appends instructions. Values numbered below the tape's length are the tape's nodes.
struct BackwardBuilder<'a> {
    plans: &'a mut BufferPlans,
    values: Vec<(Type, BufferView)>,
    /// Instructions of the present segment that run at each step, and those that run over their whole domain.
    steps: Vec<Instruction>,
    whole: Vec<Instruction>,
    in_sweep: bool,
    /// What instructions are a part of.
    part: Part,
}

impl<'a> BackwardBuilder<'a> {
    fn new(plans: &'a mut BufferPlans, values: Vec<(Type, BufferView)>) -> Self {
        BackwardBuilder {
            plans,
            values,
            steps: Vec::new(),
            whole: Vec::new(),
            in_sweep: false,
            part: Part::of(Value(0)),
        }
    }

    fn value(&mut self, ty: Type, place: BufferView) -> Value {
        self.values.push((ty, place));
        Value(self.values.len() as u32 - 1)
    }

    fn list(&mut self, work: Domain) -> &mut Vec<Instruction> {
        // Values that do not vary over the steps are computed once, before the sweep that uses them.
        if self.in_sweep && work == Domain::Step {
            &mut self.steps
        } else {
            &mut self.whole
        }
    }

    fn emit(
        &mut self,
        kind: InstructionKind,
        args: impl IntoIterator<Item = BufferView>,
        dst: Option<BufferView>,
        work: Domain,
        accumulate: bool,
    ) {
        let instr = Instruction {
            kind,
            args: args.into_iter().collect(),
            dst,
            work,
            accumulate,
            part: self.part,
        };
        self.list(work).push(instr);
    }

    /// dst += v
    fn add_into(&mut self, dst: BufferView, v: Value) {
        let (ty, from) = self.values[v.index()];
        let copy = InstructionKind::Op(Op::Spread(ty.domain));
        self.emit(copy, [from], Some(dst), ty.domain, true);
    }

    /// The instruction that computed `v`, if `v` is newer than buffer `mark` and still unread: the last instruction.
    fn producer(&mut self, v: Value, mark: usize) -> Option<&mut Instruction> {
        let (ty, place) = self.values[v.index()];
        let last = self.plans.list.len() - 1;
        if place.buffer < mark || place.buffer != last || place.domain != ty.domain {
            return None;
        }
        let of = |i: &Instruction| i.dst.is_some_and(|d| d.buffer == last);
        if self.steps.last().is_some_and(of) {
            return self.steps.last_mut();
        }
        self.whole.last_mut().filter(|i| of(i))
    }

    /// Adds the contribution `v`, computed since buffer `mark`, to a cotangent.
    fn contribute(&mut self, to: &mut Cotangent, v: Value, mark: usize) {
        let (ty, place) = self.values[v.index()];
        let fresh = self.producer(v, mark);
        *to = match *to {
            Cotangent::None if fresh.is_some() => Cotangent::Own(place),
            Cotangent::None => Cotangent::Shared(v),
            Cotangent::Own(sum) => {
                if let Some(instr) = fresh {
                    instr.dst = Some(BufferView {
                        shape: place.shape,
                        ..sum
                    });
                    instr.accumulate = true;
                } else {
                    self.add_into(sum, v);
                }
                Cotangent::Own(sum)
            }
            Cotangent::Shared(before) if fresh.is_some() => {
                self.add_into(place, before);
                Cotangent::Own(place)
            }
            Cotangent::Shared(before) => {
                let sum = self.plans.fresh(ty.shape, ty.domain);
                let args = [self.values[before.index()].1, place];
                let add = InstructionKind::Op(Op::Map(Map::Add));
                self.emit(add, args, Some(sum), ty.domain, false);
                Cotangent::Own(sum)
            }
        };
    }
}

impl Algebra for BackwardBuilder<'_> {
    fn op(&mut self, op: Op, xs: &[Value]) -> Value {
        let types: Vec<Type> = xs.iter().map(|x| self.values[x.index()].0).collect();
        let ty = op
            .infer(&types)
            .expect("rules apply ops to operands that fit");
        let args: Vec<BufferView> = xs.iter().map(|x| self.values[x.index()].1).collect();
        let place = match op {
            Op::Constant { value, shape } => self.plans.constant(value.0, shape),
            Op::Zeros(shape) => self.plans.constant(0.0, shape),
            Op::Spread(_) | Op::Reshape(_) => BufferView {
                shape: ty.shape,
                ..args[0]
            },
            _ => {
                let dst = self.plans.fresh(ty.shape, ty.domain);
                self.emit(
                    InstructionKind::Op(op),
                    args,
                    Some(dst),
                    op.work_domain(&types),
                    false,
                );
                dst
            }
        };
        self.value(ty, place)
    }

    fn ty(&self, v: Value) -> Type {
        self.values[v.index()].0
    }
}

/// An algebra on types alone.
struct Types(Vec<Type>);

impl Algebra for Types {
    fn op(&mut self, op: Op, xs: &[Value]) -> Value {
        let types: Vec<Type> = xs.iter().map(|x| self.0[x.index()]).collect();
        let ty = op.infer(&types);
        self.0
            .push(ty.expect("rules apply ops to operands that fit"));
        Value(self.0.len() as u32 - 1)
    }
    fn ty(&self, v: Value) -> Type {
        self.0[v.index()]
    }
}

/// Nodes with a derivative in a wanted input or an observed value, and in which some output has a derivative.
fn active(tape: &Tape, wanted: &dyn Fn(&Input) -> bool, observed: &[Value]) -> Vec<bool> {
    let nodes = tape.nodes();
    // For each node, the operands in which it has a derivative.
    let paths: Vec<Vec<usize>> = nodes
        .iter()
        .map(|node| {
            let mut types: Vec<Type> = node.operands.iter().map(|&v| tape.node(v).ty).collect();
            let xs: Vec<Value> = (0..types.len() as u32).map(Value).collect();
            types.extend([node.ty, node.ty]);
            let (y, t) = (Value(xs.len() as u32), Value(xs.len() as u32 + 1));
            let flows = |i: usize| {
                matches!(node.op, Op::Delay(_) | Op::Boundary(_))
                    || rules::vjp(&mut Types(types.clone()), &node.op, &xs, y, i, t).is_some()
            };
            (0..xs.len())
                .filter(|&i| flows(i))
                .map(|i| node.operands[i].index())
                .collect()
        })
        .collect();
    let mut depends = vec![false; nodes.len()];
    for input in tape.inputs() {
        depends[input.value.index()] = wanted(input);
    }
    for v in observed {
        depends[v.index()] = true;
    }
    let mut influences = vec![false; nodes.len()];
    for output in tape.outputs() {
        influences[output.value.index()] = true;
    }
    // Delays close cycles: repeat until nothing changes.
    let mut changed = true;
    while changed {
        changed = false;
        for (i, from) in paths.iter().enumerate() {
            if !depends[i] && from.iter().any(|&x| depends[x]) {
                depends[i] = true;
                changed = true;
            }
        }
        for (i, from) in paths.iter().enumerate().rev() {
            for &x in from {
                if influences[i] && !influences[x] {
                    influences[x] = true;
                    changed = true;
                }
            }
        }
    }
    depends
        .iter()
        .zip(&influences)
        .map(|(d, i)| *d && *i)
        .collect()
}

pub(crate) fn backward(
    tape: &Tape,
    places: &[BufferView],
    plans: &mut BufferPlans,
    wanted: &dyn Fn(&Input) -> bool,
    observed: &[Value],
    (limited, bf16): (bool, bool),
) -> Backward {
    let nodes = tape.nodes();
    let active = active(tape, wanted, observed);
    // These have a whole buffer, initially zeros: they are passed in or out, or receive contributions from other steps.
    let mut kept: Vec<Option<BufferView>> = vec![None; nodes.len()];
    let mut keep = |v: Value| {
        if active[v.index()] && kept[v.index()].is_none() {
            let ty = tape.node(v).ty;
            kept[v.index()] = Some(plans.fresh(ty.shape, ty.domain));
        }
    };
    tape.outputs().iter().for_each(|o| keep(o.value));
    tape.inputs().iter().for_each(|i| keep(i.value));
    observed.iter().for_each(|&v| keep(v));
    for (i, node) in nodes.iter().enumerate() {
        if active[i] && matches!(node.op, Op::Delay(_) | Op::Boundary(_)) {
            node.operands.iter().for_each(|&v| keep(v));
        }
    }
    let mut cotangents: Vec<Cotangent> = kept
        .iter()
        .map(|k| k.map_or(Cotangent::None, Cotangent::Own))
        .collect();
    let mut program = InterpreterProgram::default();
    for &place in kept.iter().flatten() {
        plans.list[place.buffer].used = true;
        program.zero.push(place.buffer);
    }
    let values = nodes.iter().zip(places).map(|(n, &p)| (n.ty, p)).collect();
    let mut a = BackwardBuilder::new(plans, values);
    for (kind, phase) in phases(tape).into_iter().rev() {
        a.in_sweep = kind != PhaseKind::Whole;
        for v in phase.into_iter().rev() {
            let node = tape.node(v);
            if !active[v.index()] {
                continue;
            }
            let t = match cotangents[v.index()] {
                Cotangent::None => continue,
                Cotangent::Shared(t) => t,
                Cotangent::Own(place) => a.value(node.ty, place),
            };
            let of = a.values[t.index()].1;
            a.part = Part {
                node: v,
                back: Some((0, of)),
            };
            if let Op::Delay(d) | Op::Boundary(d) = node.op {
                let kind = InstructionKind::Back {
                    d,
                    boundary: matches!(node.op, Op::Boundary(_)),
                    x: kept[node.operands[0].index()],
                    init: kept[node.operands[1].index()],
                };
                a.emit(kind, [of], None, node.ty.domain, true);
                continue;
            }
            // Without its limit, it passes cotangents as its reverse does.
            let (mut op, mut operands) = (node.op, node.operands.clone());
            if op == Op::Map(Map::ClipGradient) && !limited {
                op = Op::Map(Map::WithGradient);
                operands.reverse();
            }
            for (i, x) in operands.iter().enumerate() {
                if !active[x.index()] {
                    continue;
                }
                let mark = a.plans.list.len();
                a.part.back = Some((i, of));
                if let Some(c) = rules::vjp(&mut a, &op, &operands, v, i, t) {
                    a.contribute(&mut cotangents[x.index()], c, mark);
                }
            }
        }
        let (whole, steps) = (std::mem::take(&mut a.whole), std::mem::take(&mut a.steps));
        program.segments.push(Segment::Whole(whole));
        if let PhaseKind::Sweep { backward } = kind {
            let backward = !backward;
            program.segments.push(Segment::Sweep { backward, steps });
        }
    }
    program.finish(plans, bf16);
    keep_one_step(&program, plans, places, &kept);
    let place_of = |v: Value| kept[v.index()];
    Backward {
        seeds: tape.outputs().iter().map(|o| place_of(o.value)).collect(),
        gradients: tape.inputs().iter().map(|i| place_of(i.value)).collect(),
        adjoints: observed.iter().map(|&v| (v, place_of(v))).collect(),
        program,
    }
}

/// Buffers used within one sweep alone need to hold only the present step.
fn keep_one_step(
    program: &InterpreterProgram,
    plans: &mut BufferPlans,
    places: &[BufferView],
    kept: &[Option<BufferView>],
) {
    let mut home: HashMap<usize, Option<usize>> = HashMap::default();
    for place in places.iter().chain(kept.iter().flatten()) {
        home.insert(place.buffer, None);
    }
    for (s, segment) in program.segments.iter().enumerate() {
        let here = matches!(segment, Segment::Sweep { .. }).then_some(s);
        for instr in segment.instrs() {
            for place in instr.args.iter().chain(&instr.dst) {
                let at = home.entry(place.buffer).or_insert(here);
                if *at != here {
                    *at = None;
                }
            }
        }
    }
    for (buffer, at) in home {
        let plan = &mut plans.list[buffer];
        plan.one_step = plan.domain == Domain::Step && at.is_some();
    }
}
