//! Recurrences with time innermost: for each row, a tile of lanes runs through all steps of the range, with the states
//! in registers.
//!
//! A tile is one or two cache lines wide, so that each line that it touches is used whole. Arrays without steps are
//! read before the first step and written after the last.

use cranelift::codegen::ir::BlockArg;
use cranelift::prelude::*;
use retrograd_graph::plan::{Carried, Instr, Loop, LoopKind, Region, Stmt, View, WideActivation};
use retrograd_tape::Domain;

use super::region::map;
use super::{Code, Width};
use crate::exec::points::lag;
use crate::vmath::LaneTypes;

/// A rule of the plan.
const ROWS: &str = "time is not innermost where rows are repeated";

/// Vectors of 16 bytes per tile: a line of 64 bytes.
const TILE: usize = 4;

/// The same where each step waits for an activation before the next one can start: it takes this many independent lanes
/// to fill that latency (an SRU's forward loop, H = 32, B = 1: 4.9 µs for 100 steps against 5.8).
const DEEP_TILE: usize = 8;

/// An array over steps as the loop reads or writes it, without the offset, which is a constant.
#[derive(Clone, Copy)]
struct SteppedArray {
    view: View,
    /// Whether each lane has its own number; else one number is repeated.
    lanes: bool,
    /// Its address at the first step, in the row.
    at: Value,
    /// Bytes from step to step, in the loop's order.
    step: Value,
}

/// The loop over time.
struct TimeLoop<'l> {
    region: &'l Region,
    /// Number of steps, and steps per iteration.
    steps: Value,
    unroll: usize,
    /// Vectors per tile.
    tile: usize,
    /// Instructions whose values the next step may read, and the load that reads them there.
    carried: Vec<(usize, Option<usize>)>,
    streams: Vec<SteppedArray>,
    /// Addresses of arrays without steps, in the row.
    fixed: Vec<(View, Value)>,
}

/// A tile of lanes.
#[derive(Clone, Copy)]
struct LaneTile {
    /// Byte offset of its first lane.
    at: Value,
    width: Width,
    vectors: usize,
}

/// The state of the loop: every stream's address, and the carried values, vector by vector.
#[derive(Clone)]
struct Now {
    left: Value,
    at: Vec<Value>,
    carried: Vec<Value>,
}

impl Now {
    fn args(&self) -> Vec<BlockArg> {
        let all = [self.left].into_iter();
        let all = all.chain(self.at.iter().copied());
        all.chain(self.carried.iter().copied())
            .map(BlockArg::from)
            .collect()
    }

    /// The same, taken from the parameters of a block.
    fn params(&self, params: &[Value]) -> Now {
        let (at, carried) = params[1..].split_at(self.at.len());
        Now {
            left: params[0],
            at: at.to_vec(),
            carried: carried.to_vec(),
        }
    }
}

impl Code<'_, '_, '_> {
    /// Lowers a recurrence with time innermost.
    pub(crate) fn time_innermost(&mut self, l: &Loop, carried: &[Carried]) {
        let ([Stmt::Region(r)], LoopKind::Recurrence { reverse }) = (l.body.as_slice(), l.kind)
        else {
            unreachable!("the plan has time innermost of single regions only")
        };
        let [t0, t1, b0, b1] = self.range;
        let first = if reverse {
            self.b.ins().iadd_imm_s(t1, -1)
        } else {
            t0
        };
        let steps = self.b.ins().isub(t1, t0);
        let waits = |i: &Instr| matches!(i, Instr::Map(m, _) if WideActivation::of(*m).is_some());
        let tile = match r.instrs.iter().any(waits) {
            true => DEEP_TILE,
            false => TILE,
        };
        let mut wanted: Vec<(usize, Option<usize>)> =
            carried.iter().map(|c| (c.from, Some(c.load))).collect();
        let plan = self.plan;
        let over_steps = |v: View| plan.buffers[v.buffer].domain == Domain::Step;
        for &(from, _) in r.stores.iter().filter(|s| !over_steps(s.1)) {
            if !wanted.iter().any(|w| w.0 == from) {
                wanted.push((from, None));
            }
        }
        let mut streams: Vec<(View, bool)> = Vec::new();
        let mut fixed: Vec<View> = Vec::new();
        let loads = r.instrs.iter().enumerate().filter_map(|(i, x)| match x {
            Instr::Load(v) => Some((Some(i), *v, true)),
            Instr::Splat(v) => Some((Some(i), *v, false)),
            Instr::SplatRows(..) | Instr::LoadRow(..) => unreachable!("{ROWS}"),
            Instr::Const(_) | Instr::Map(..) => None,
        });
        let stores = r.stores.iter().map(|s| (None, s.1, true));
        for (instr, v, lanes) in loads.chain(stores) {
            let carried = instr.is_some() && carried.iter().any(|c| Some(c.load) == instr);
            let plain = View { offset: 0, ..v };
            if !over_steps(v) {
                fixed.push(plain);
            } else if !carried && !streams.contains(&(plain, lanes)) {
                streams.push((plain, lanes));
            }
        }
        fixed.sort_unstable();
        fixed.dedup();
        // A carried load of an array over steps is read from memory once, for the first step.
        let firsts: Vec<View> = carried
            .iter()
            .filter_map(|c| match r.instrs[c.load] {
                Instr::Load(v) if over_steps(v) => Some(View { offset: 0, ..v }),
                _ => None,
            })
            .collect();
        let base = |code: &mut Self, v: View| code.step_address(Domain::Step, v, first);
        let streams: Vec<(View, bool, (Value, i64))> = streams
            .into_iter()
            .map(|(v, lanes)| (v, lanes, base(self, v)))
            .collect();
        let fixed: Vec<(View, (Value, i64))> = fixed
            .into_iter()
            .chain(firsts)
            .map(|v| (v, base(self, v)))
            .collect();
        if self.wide.is_some()
            && self.emitted_recurrence(r, carried, &wanted, steps, reverse, &streams, &fixed, first)
        {
            return;
        }
        self.count(b0, b1, false, &mut |code, b| {
            let in_row = |code: &mut Self, (at, stride): (Value, i64)| {
                let far = code.b.ins().imul_imm_s(b, stride);
                code.b.ins().iadd(at, far)
            };
            let streams = streams
                .iter()
                .map(|&(view, lanes, at)| SteppedArray {
                    view,
                    lanes,
                    at: in_row(code, at),
                    step: code.step_bytes(view, reverse, first),
                })
                .collect();
            let fixed = fixed.iter().map(|&(v, at)| (v, in_row(code, at))).collect();
            let lane_loop = TimeLoop {
                region: r,
                steps,
                unroll: l.unroll,
                tile,
                carried: wanted.clone(),
                streams,
                fixed,
            };
            code.tiles(&lane_loop);
        });
    }

    /// Bytes from one step to the next, in the loop's order, in a view's array: the same for all steps of a run.
    pub(super) fn step_bytes(&mut self, v: View, reverse: bool, t: Value) -> Value {
        if self.plan.memory.streams {
            // A call computes one step, whose number the table does not know.
            return self.imm(0);
        }
        let lag = lag(&self.plan.buffers[v.buffer], v);
        let (from, to) = (self.before(t, -lag), self.before(t, 1 - lag));
        let rows = self.b.ins().isub(to, from);
        let point = self.point(v);
        let bytes = if reverse { -point } else { point };
        self.b.ins().imul_imm_s(rows, bytes)
    }

    /// All lanes of a row: tiles, then the remaining vectors together, then the remaining lanes.
    fn tiles(&mut self, lane_loop: &TimeLoop<'_>) {
        let (lanes, bytes) = (self.lane.lanes() as usize, i64::from(self.lane.bytes()));
        let vectors = lane_loop.region.lanes / lanes;
        let (rest, vector) = (vectors % lane_loop.tile, 16);
        let tiled = (vectors - rest) as i64 * vector;
        let done = vectors as i64 * vector;
        let end = lane_loop.region.lanes as i64 * bytes;
        let parts = [
            (
                0,
                tiled,
                lane_loop.tile as i64 * vector,
                Width::Full,
                lane_loop.tile,
            ),
            (tiled, done, rest as i64 * vector, Width::Full, rest),
            (
                done,
                end,
                end - done,
                Width::Part(lane_loop.region.lanes % lanes),
                1,
            ),
        ];
        for (lo, hi, by, width, vectors) in parts {
            self.part((lo, hi), by, width, &[], &mut |code, at, width, _| {
                let at = at.from;
                code.through_time(lane_loop, LaneTile { at, width, vectors });
                Vec::new()
            });
        }
    }

    /// One tile, from the first step to the last.
    fn through_time(&mut self, lane_loop: &TimeLoop<'_>, tile: LaneTile) {
        let r = lane_loop.region;
        let plan = self.plan;
        let over_steps = |v: View| plan.buffers[v.buffer].domain == Domain::Step;
        let is_carried = |i: usize| lane_loop.carried.iter().any(|c| c.1 == Some(i));
        // Loop-invariant values, by instruction and vector.
        let mut fixed: Vec<Option<Vec<Value>>> = Vec::with_capacity(r.instrs.len());
        let unchanging: Vec<bool> = (r.instrs.iter().enumerate())
            .map(|(i, x)| match x {
                Instr::Load(v) => !over_steps(*v) && !is_carried(i),
                Instr::Splat(v) => !over_steps(*v),
                Instr::SplatRows(..) | Instr::LoadRow(..) => unreachable!("{ROWS}"),
                Instr::Const(_) => true,
                Instr::Map(..) => false,
            })
            .collect();
        for (instr, unchanging) in r.instrs.iter().zip(unchanging) {
            fixed.push(unchanging.then(|| match instr {
                Instr::Load(v) => self.load_fixed(lane_loop, tile, *v),
                Instr::Splat(v) => {
                    let from = self.fixed_address(lane_loop, *v);
                    vec![self.splat(from); tile.vectors]
                }
                Instr::SplatRows(..) | Instr::LoadRow(..) => unreachable!("{ROWS}"),
                Instr::Const(c) => vec![self.math().constant(*c); tile.vectors],
                Instr::Map(..) => unreachable!("computed at every step"),
            }));
        }
        let mut now = Now {
            left: lane_loop.steps,
            at: Vec::new(),
            carried: Vec::new(),
        };
        for s in &lane_loop.streams {
            let at = match s.lanes {
                true => self.b.ins().iadd(s.at, tile.at),
                false => s.at,
            };
            now.at.push(at);
        }
        for &(_, load) in &lane_loop.carried {
            let start = match load.map(|i| &r.instrs[i]) {
                Some(Instr::Load(v)) => self.load_fixed(lane_loop, tile, *v),
                _ => vec![self.math().constant(0.0); tile.vectors],
            };
            now.carried.extend(start);
        }
        // The remainder of a row is not worth more code.
        let unroll = match tile.vectors == lane_loop.tile {
            true => lane_loop.unroll,
            false => 1,
        };
        if unroll > 1 {
            now = self.iterations(lane_loop, tile, &fixed, unroll, now);
        }
        now = self.iterations(lane_loop, tile, &fixed, 1, now);
        for &(from, v) in &r.stores {
            if self.plan.buffers[v.buffer].domain == Domain::Step {
                continue;
            }
            let k = lane_loop.carried.iter().position(|c| c.0 == from);
            let k = k.expect("what is stored at the end is carried");
            let to = self.fixed_address(lane_loop, v);
            for j in 0..tile.vectors {
                let to = self.b.ins().iadd(to, tile.at);
                self.store_at(tile, j, now.carried[k * tile.vectors + j], to, 0);
            }
        }
    }

    /// Iterations of `unroll` steps as long as that many are left.
    fn iterations(
        &mut self,
        lane_loop: &TimeLoop<'_>,
        tile: LaneTile,
        fixed: &[Option<Vec<Value>>],
        unroll: usize,
        start: Now,
    ) -> Now {
        let (head, inside, exit) = (
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
        );
        for v in start.args() {
            let BlockArg::Value(v) = v else {
                unreachable!("made of values")
            };
            let ty = self.b.func.dfg.value_type(v);
            self.b.append_block_param(head, ty);
        }
        self.b.ins().jump(head, &start.args());
        self.b.switch_to_block(head);
        let at_head = start.params(self.b.block_params(head));
        let more =
            self.b
                .ins()
                .icmp_imm_s(IntCC::SignedGreaterThanOrEqual, at_head.left, unroll as i64);
        self.b.ins().brif(more, inside, &[], exit, &[]);
        self.b.switch_to_block(inside);
        let mut now = at_head.clone();
        for _ in 0..unroll {
            now = self.step(lane_loop, tile, fixed, &now);
        }
        now.left = self.b.ins().iadd_imm_s(now.left, -(unroll as i64));
        self.b.ins().jump(head, &now.args());
        self.b.switch_to_block(exit);
        at_head
    }

    /// One step of a tile. Each vector's loads come before its stores.
    fn step(
        &mut self,
        lane_loop: &TimeLoop<'_>,
        tile: LaneTile,
        fixed: &[Option<Vec<Value>>],
        now: &Now,
    ) -> Now {
        let r = lane_loop.region;
        let mut next = now.clone();
        let stream = |v: View, lanes: bool| {
            let plain = View { offset: 0, ..v };
            let found = lane_loop.streams.iter();
            let mut found = found.map(|s| (s.view, s.lanes));
            found
                .position(|s| s == (plain, lanes))
                .expect("made of all")
        };
        for j in 0..tile.vectors {
            let mut values: Vec<Value> = Vec::with_capacity(r.instrs.len());
            for (i, instr) in r.instrs.iter().enumerate() {
                let carried = lane_loop.carried.iter().position(|c| c.1 == Some(i));
                let value = match (&fixed[i], carried, instr) {
                    (Some(all), ..) => all[j],
                    (None, Some(k), _) => now.carried[k * tile.vectors + j],
                    (None, None, Instr::Load(v)) => {
                        let from = now.at[stream(*v, true)];
                        self.load_at(tile, j, from, v.offset)
                    }
                    (None, None, Instr::Splat(v)) => {
                        let from = now.at[stream(*v, false)];
                        let offset = v.offset as i64 * i64::from(self.lane.bytes());
                        let from = self.b.ins().iadd_imm_s(from, offset);
                        self.splat(from)
                    }
                    (None, None, Instr::SplatRows(..) | Instr::LoadRow(..)) => {
                        unreachable!("{ROWS}")
                    }
                    (None, None, Instr::Map(m, xs)) => {
                        let xs: Vec<Value> = xs.iter().map(|&x| values[x]).collect();
                        map(&mut self.math(), *m, &xs)
                    }
                    (None, None, Instr::Const(_)) => unreachable!("fixed"),
                };
                values.push(value);
            }
            for &(from, v) in &r.stores {
                if self.plan.buffers[v.buffer].domain == Domain::Step {
                    let to = now.at[stream(v, true)];
                    self.store_at(tile, j, values[from], to, v.offset);
                }
            }
            for (k, &(from, _)) in lane_loop.carried.iter().enumerate() {
                next.carried[k * tile.vectors + j] = values[from];
            }
        }
        for (at, s) in next.at.iter_mut().zip(&lane_loop.streams) {
            *at = self.b.ins().iadd(*at, s.step);
        }
        next
    }

    /// The address in the row of a view that has one.
    fn fixed_address(&mut self, lane_loop: &TimeLoop<'_>, v: View) -> Value {
        let plain = View { offset: 0, ..v };
        let known = lane_loop.fixed.iter().find(|f| f.0 == plain);
        let at = known.expect("made of all").1;
        let offset = v.offset as i64 * i64::from(self.lane.bytes());
        self.b.ins().iadd_imm_s(at, offset)
    }

    /// A tile's numbers in such a view.
    fn load_fixed(&mut self, lane_loop: &TimeLoop<'_>, tile: LaneTile, v: View) -> Vec<Value> {
        let at = self.fixed_address(lane_loop, v);
        let at = self.b.ins().iadd(at, tile.at);
        (0..tile.vectors)
            .map(|j| self.load_at(tile, j, at, 0))
            .collect()
    }

    /// Vector `j` of a tile, `offset` numbers after an address.
    fn load_at(&mut self, tile: LaneTile, j: usize, at: Value, offset: usize) -> Value {
        let far = self.far(j, offset);
        self.load_width(at, far, tile.width)
    }

    /// Stores vector `j` of a tile.
    fn store_at(&mut self, tile: LaneTile, j: usize, v: Value, at: Value, offset: usize) {
        let far = self.far(j, offset);
        self.store_width(v, at, far, tile.width);
    }

    fn far(&self, j: usize, offset: usize) -> i32 {
        let far = 16 * j + offset * self.lane.bytes() as usize;
        i32::try_from(far).expect("a point's value has less than 2 GiB")
    }
}
