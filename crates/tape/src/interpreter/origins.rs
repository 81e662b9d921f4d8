//! The origins of the numbers of a run that are not finite: see `trace.rs`.

use super::check::BadIndex;
use super::delay::{From, Reads};
use super::execute::Buffers;
use super::program::{BufferView, Instruction, InstructionKind};
use super::reads::reads;
use super::trace::Numbers;
use super::walk::Watch;
use crate::algebra::Value;
use crate::op::Op;
use crate::real::Real;
use crate::tape::Tape;
use crate::ty::{Domain, Shape};

/// What is known of an origin.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) node: Value,
    /// For a gradient, the operand that the node was derived in.
    pub(super) derived_in: Option<usize>,
    pub(super) domain: Domain,
    /// Tick and row; none for a sum over points.
    pub(super) point: Option<(usize, usize)>,
    pub(super) element: usize,
    pub(super) shape: Shape,
    pub(super) number: f64,
    pub(super) operands: Vec<(Value, Numbers)>,
    pub(super) cotangent: Option<Numbers>,
}

/// The origins of all numbers of a run.
#[derive(Debug)]
pub(super) struct Origins<'a> {
    tape: &'a Tape,
    /// Where the values of the tape's nodes are.
    places: &'a [BufferView],
    /// For each number of each buffer, that of its origin, or 0 for a number that is finite. Empty while all of a buffer are.
    of: Vec<Vec<u32>>,
    count: u32,
    /// The origin to be described.
    wanted: Option<u32>,
    pub(super) found: Option<Found>,
    /// The origin of an index that is not finite.
    pub(super) refused: Option<u32>,
}

/// Where an origin is: tick and row, or none for a sum over points; and the element.
type At = (Option<(usize, usize)>, usize);

impl<'a> Origins<'a> {
    /// Of a run of this tape.
    pub(super) fn new(tape: &'a Tape, places: &'a [BufferView], wanted: Option<u32>) -> Self {
        Origins {
            tape,
            places,
            of: Vec::new(),
            count: 0,
            wanted,
            found: None,
            refused: None,
        }
    }

    /// The first origin of all numbers of a buffer.
    pub(super) fn first_in(&self, buffer: usize) -> Option<u32> {
        let of = self.of.get(buffer)?;
        of.iter().copied().filter(|&o| o != 0).min()
    }

    fn get(&self, buffer: usize, at: usize) -> u32 {
        let of = self.of.get(buffer);
        of.and_then(|of| of.get(at).copied()).unwrap_or(0)
    }

    fn set<T>(&mut self, memory: &Buffers<T>, buffer: usize, at: usize, origin: u32) {
        if self.of.len() <= buffer {
            self.of.resize_with(memory.data.len(), Vec::new);
        }
        let of = &mut self.of[buffer];
        if of.is_empty() && origin != 0 {
            of.resize(memory.data[buffer].len(), 0);
        }
        if let Some(place) = of.get_mut(at) {
            *place = origin;
        }
    }

    /// The next number of an origin, and whether it is to be described. There may be more than 2³² origins: the last number is
    /// that of all further ones.
    fn next(&mut self) -> (u32, bool) {
        self.count = self.count.saturating_add(1);
        let described = self.wanted == Some(self.count) && self.found.is_none();
        (self.count, described)
    }

    /// A result that is not finite although all that it was computed from is.
    fn appeared<T: Real>(
        &mut self,
        memory: &Buffers<T>,
        instr: &Instruction,
        (point, element): At,
        number: f64,
    ) -> u32 {
        let (origin, described) = self.next();
        if described {
            let (operands, cotangent) = self.operands(memory, instr, (point, element));
            let shape = match (instr.kind, instr.dst) {
                (_, Some(dst)) => dst.shape,
                (_, None) => instr.args[0].shape,
            };
            self.found = Some(Found {
                node: instr.part.node,
                derived_in: instr.part.back.map(|(k, _)| k),
                domain: instr.work,
                point,
                element,
                shape,
                number,
                operands,
                cotangent,
            });
        }
        origin
    }

    /// What a result was computed from: the operands of the node; for a gradient also the node's result, and its cotangent.
    fn operands<T: Real>(
        &self,
        memory: &Buffers<T>,
        instr: &Instruction,
        at: At,
    ) -> (Vec<(Value, Numbers)>, Option<Numbers>) {
        let node = self.tape.node(instr.part.node);
        let Some((_, cotangent)) = instr.part.back else {
            let args = node.operands.iter().zip(&instr.args).enumerate();
            let numbers = |(k, (&v, place)): (usize, (&Value, &BufferView))| {
                let all = &memory.data[place.buffer];
                let read = match (at, instr.kind) {
                    ((Some((tick, row)), j), InstructionKind::Op(op)) if !delays(&op) => {
                        let base = base(memory, place, tick, row);
                        let number =
                            |k: usize, e: usize| number(memory, &instr.args[k], (tick, row), e);
                        let elements = reads(instr, k, j, &number).each();
                        Numbers::of(elements.map(|e| all[base + e].to_f64()))
                    }
                    _ => Numbers::of(all.iter().map(|x| x.to_f64())),
                };
                (v, read)
            };
            let numbers = args.map(numbers).filter(|(_, read)| read.count > 0);
            return (numbers.collect(), None);
        };
        // Element by element, if that is how the node works.
        let element = match node.op {
            Op::Map(_) => Some(at.1),
            _ => None,
        };
        let numbers = |place: &BufferView| {
            let all = &memory.data[place.buffer];
            let n = place.shape.len();
            let here = place.domain == Domain::Once
                || place.domain == instr.work
                || place.domain == Domain::Row && instr.work != Domain::Once;
            let Some((tick, row)) = at.0.filter(|_| here) else {
                return Numbers::of(all.iter().map(|x| x.to_f64()));
            };
            let value = &all[base(memory, place, tick, row)..][..n];
            match element.and_then(|e| value.get(e)) {
                Some(x) => Numbers::of([x.to_f64()].into_iter()),
                None => Numbers::of(value.iter().map(|x| x.to_f64())),
            }
        };
        let mut values = node.operands.to_vec();
        values.push(instr.part.node);
        values.dedup();
        let of = |v: Value| (v, numbers(&self.places[v.index()]));
        (
            values.into_iter().map(of).collect(),
            Some(numbers(&cotangent)),
        )
    }

    /// The first origin of what an element of a result was computed from, or 0.
    fn before<T: Real>(
        &self,
        memory: &Buffers<T>,
        instr: &Instruction,
        point: (usize, usize),
        j: usize,
    ) -> u32 {
        let number = |k: usize, e: usize| number(memory, &instr.args[k], point, e);
        let mut first = 0;
        for (k, place) in instr.args.iter().enumerate() {
            if self.of.get(place.buffer).is_none_or(Vec::is_empty) {
                continue;
            }
            let base = base(memory, place, point.0, point.1);
            for e in reads(instr, k, j, &number).each() {
                first = earlier(first, self.get(place.buffer, base + e));
            }
        }
        first
    }

    /// A value at each row of a tick.
    fn values<T: Real>(
        &mut self,
        memory: &Buffers<T>,
        instr: &Instruction,
        dst: &BufferView,
        tick: usize,
    ) {
        let range = memory.range(dst, tick);
        let tracked = self.of.get(dst.buffer).is_some_and(|of| !of.is_empty());
        if !tracked && all_finite(&memory.data[dst.buffer][range.clone()]) {
            return;
        }
        let n = dst.shape.len();
        for row in 0..memory.points.rows_at(instr.work, tick) {
            for j in 0..n {
                let at = range.start + row * n + j;
                let found = memory.data[dst.buffer][at].to_f64();
                let mut origin = 0;
                if !found.is_finite() {
                    let own = if instr.accumulate {
                        self.get(dst.buffer, at)
                    } else {
                        0
                    };
                    origin = earlier(own, self.before(memory, instr, (tick, row), j));
                    if origin == 0 {
                        let here = (Some((tick, row)), j);
                        origin = self.appeared(memory, instr, here, found);
                    }
                }
                self.set(memory, dst.buffer, at, origin);
            }
        }
    }

    /// Terms that are added to a sum over points, which is not finished yet.
    fn terms<T: Real>(
        &mut self,
        memory: &Buffers<T>,
        instr: &Instruction,
        dst: &BufferView,
        tick: usize,
    ) {
        let rows = memory.points.rows_at(instr.work, tick);
        let product = matches!(instr.kind, InstructionKind::Op(Op::Outer { .. }));
        // The greatest product of two operands is finite: so are all.
        let greatest = instr.args.iter().map(|place| {
            let start = base(memory, place, tick, 0);
            let rows = if place.domain == Domain::Once {
                1
            } else {
                rows
            };
            let read = &memory.data[place.buffer][start..][..rows * place.shape.len()];
            let size = |x: &T| {
                if x.is_nan() {
                    f64::INFINITY
                } else {
                    x.abs().to_f64()
                }
            };
            read.iter().map(size).fold(0.0, f64::max)
        });
        let greatest: f64 = if product {
            greatest.product()
        } else {
            greatest.fold(0.0, f64::max)
        };
        if T::from_f64(greatest).to_f64().is_finite() {
            return;
        }
        let n = dst.shape.len();
        for row in 0..rows {
            let base_of_sum = if dst.domain == Domain::Once {
                0
            } else {
                row * n
            };
            for j in 0..n {
                let mut origin = self.before(memory, instr, (tick, row), j);
                if origin == 0 && product {
                    let number =
                        &|k: usize, e: usize| number(memory, &instr.args[k], (tick, row), e);
                    let factor =
                        |k: usize| reads(instr, k, j, number).each().map(move |e| number(k, e));
                    let factors = (0..2).flat_map(factor);
                    let term = T::from_f64(factors.product::<f64>()).to_f64();
                    if !term.is_finite() {
                        origin = self.appeared(memory, instr, (Some((tick, row)), j), term);
                    }
                }
                let at = base_of_sum + j;
                let origin = earlier(self.get(dst.buffer, at), origin);
                self.set(memory, dst.buffer, at, origin);
            }
        }
    }

    /// What a delay or boundary has copied.
    fn copied<T: Real>(
        &mut self,
        memory: &Buffers<T>,
        instr: &Instruction,
        (dst, how): (&BufferView, Reads),
        tick: usize,
    ) {
        let n = dst.shape.len();
        for row in 0..memory.points.rows_at(instr.work, tick) {
            let (from, at) = match how.of_row(&memory.points, tick, row) {
                From::Step(t) => (&instr.args[0], t),
                From::Init(k) => (&instr.args[1], k),
            };
            let (from_base, to) = (base(memory, from, at, row), base(memory, dst, tick, row));
            for j in 0..n {
                let origin = self.get(from.buffer, from_base + j);
                self.set(memory, dst.buffer, to + j, origin);
            }
        }
    }

    /// What the transpose of a delay or boundary has added to the cotangents of its operands.
    fn added<T: Real>(
        &mut self,
        memory: &Buffers<T>,
        instr: &Instruction,
        (how, x, init): (Reads, Option<BufferView>, Option<BufferView>),
        tick: usize,
    ) {
        let from = &instr.args[0];
        let n = from.shape.len();
        for row in 0..memory.points.rows_at(instr.work, tick) {
            let (to, at) = match how.of_row(&memory.points, tick, row) {
                From::Step(t) => (x, t),
                From::Init(k) => (init, k),
            };
            let Some(to) = to else { continue };
            let (from_base, to_base) = (base(memory, from, tick, row), base(memory, &to, at, row));
            let summed = matches!(to.domain, Domain::Once | Domain::Row);
            for j in 0..n {
                let found = memory.data[to.buffer][to_base + j].to_f64();
                let own = self.get(to.buffer, to_base + j);
                let mut origin = earlier(own, self.get(from.buffer, from_base + j));
                // A sum over points is judged when it is finished.
                if !summed && found.is_finite() {
                    origin = 0;
                } else if !summed && origin == 0 {
                    origin = self.appeared(memory, instr, (Some((tick, row)), j), found);
                }
                self.set(memory, to.buffer, to_base + j, origin);
            }
        }
    }
}

impl<T: Real> Watch<T> for Origins<'_> {
    fn given(&mut self, memory: &Buffers<T>, node: Value, buffer: usize) {
        let ty = self.tape.node(node).ty;
        let n = ty.shape.len();
        for (at, x) in memory.data[buffer].iter().enumerate() {
            let number = x.to_f64();
            if number.is_finite() {
                continue;
            }
            let (origin, described) = self.next();
            self.set(memory, buffer, at, origin);
            if described {
                self.found = Some(Found {
                    node,
                    derived_in: None,
                    domain: ty.domain,
                    point: Some(memory.points.at(ty.domain, at / n)),
                    element: at % n,
                    shape: ty.shape,
                    number,
                    operands: Vec::new(),
                    cotangent: None,
                });
            }
        }
    }

    fn ran(&mut self, memory: &Buffers<T>, instr: &Instruction, tick: usize) {
        match (instr.kind, &instr.dst) {
            (InstructionKind::Op(Op::Delay(d)), Some(dst)) => {
                let boundary = false;
                self.copied(memory, instr, (dst, Reads { d, boundary }), tick);
            }
            (InstructionKind::Op(Op::Boundary(d)), Some(dst)) => {
                let boundary = true;
                self.copied(memory, instr, (dst, Reads { d, boundary }), tick);
            }
            (
                InstructionKind::Back {
                    d,
                    boundary,
                    x,
                    init,
                },
                _,
            ) => self.added(memory, instr, (Reads { d, boundary }, x, init), tick),
            (_, Some(dst)) if instr.reduces() => self.terms(memory, instr, dst, tick),
            (_, Some(dst)) => self.values(memory, instr, dst, tick),
            (_, None) => {}
        }
    }

    fn settled(&mut self, memory: &Buffers<T>, instrs: &[Instruction]) {
        for instr in instrs {
            let Some((buffer, _)) = instr.sums() else {
                continue;
            };
            for (at, x) in memory.data[buffer].iter().enumerate() {
                let found = x.to_f64();
                let mut origin = self.get(buffer, at);
                match found.is_finite() {
                    true => origin = 0,
                    false if origin == 0 => {
                        let n = instr.dst.map_or(1, |dst| dst.shape.len());
                        origin = self.appeared(memory, instr, (None, at % n), found);
                    }
                    false => {}
                }
                self.set(memory, buffer, at, origin);
            }
        }
    }

    fn refused(&mut self, memory: &Buffers<T>, instr: &Instruction, bad: &BadIndex<T>) {
        if !bad.found.to_f64().is_finite() {
            let place = &instr.args[0];
            let at = base(memory, place, bad.tick, bad.row);
            self.refused = Some(self.get(place.buffer, at)).filter(|&origin| origin != 0);
        }
    }
}

/// The first of two origins, 0 being none.
fn earlier(a: u32, b: u32) -> u32 {
    match (a, b) {
        (0, origin) | (origin, 0) => origin,
        (a, b) => a.min(b),
    }
}

fn delays(op: &Op) -> bool {
    matches!(op, Op::Delay(_) | Op::Boundary(_))
}

fn all_finite<T: Real>(numbers: &[T]) -> bool {
    numbers.iter().all(|x| x.to_f64().is_finite())
}

/// Where a place's value of a row begins in its buffer.
fn base<T: Real>(memory: &Buffers<T>, place: &BufferView, tick: usize, row: usize) -> usize {
    let start = memory.range(place, tick).start;
    match place.domain {
        Domain::Once => start,
        Domain::Row | Domain::BoundarySlots(_) | Domain::Step => start + row * place.shape.len(),
    }
}

/// An element of a place's value at a point.
fn number<T: Real>(
    memory: &Buffers<T>,
    place: &BufferView,
    (tick, row): (usize, usize),
    element: usize,
) -> f64 {
    memory.data[place.buffer][base(memory, place, tick, row) + element].to_f64()
}
