//! The printed form of a plan.

use std::fmt;

use retrograd_tape::Domain;

use crate::plan::{
    BlockAt, BufferId, Carried, Fold, Innermost, Instr, Item, Lifetime, Loop, LoopKind, Plan,
    Product, Region, Stmt, Storage, View,
};

struct Show<'p>(&'p Plan, View);

impl fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Show(plan, view) = self;
        let buffer = &plan.buffers[view.buffer];
        match buffer.storage {
            Storage::Input(_) => write!(f, "in.{}", buffer.name)?,
            Storage::Output(_) => write!(f, "out.{}", buffer.name)?,
            Storage::Workspace => write!(f, "{}.{}", buffer.name, view.buffer.as_u32())?,
        }
        if view.offset > 0 {
            write!(f, "+{}", view.offset)?;
        }
        match (buffer.domain, view.shift, view.from_end) {
            (Domain::Step, 0, false) => write!(f, "[t]"),
            (Domain::Step, s, false) => write!(f, "[t{s:+}]"),
            (Domain::Step, 0, true) => write!(f, "[T+t]"),
            (Domain::Step, s, true) => write!(f, "[T+t{s:+}]"),
            _ => Ok(()),
        }
    }
}

impl Plan {
    fn region(&self, f: &mut fmt::Formatter<'_>, r: &Region) -> fmt::Result {
        writeln!(f, "    for {} lanes", r.lanes)?;
        for (i, instr) in r.instrs.iter().enumerate() {
            match instr {
                Instr::Load(v) => writeln!(f, "      {i} = load {}", Show(self, *v))?,
                Instr::Splat(v) => writeln!(f, "      {i} = splat {}", Show(self, *v))?,
                Instr::SplatRows(v, n) => {
                    writeln!(f, "      {i} = splat {}, a number per {n}", Show(self, *v))?;
                }
                Instr::LoadRow(v, n) => {
                    writeln!(f, "      {i} = load {}, the same {n}", Show(self, *v))?;
                }
                Instr::Const(c) => writeln!(f, "      {i} = {c:?}")?,
                Instr::Map(m, xs) => {
                    let xs: Vec<String> = xs.iter().map(usize::to_string).collect();
                    writeln!(f, "      {i} = {} {}", m.row().name, xs.join(", "))?;
                }
            }
        }
        for (i, v) in &r.stores {
            writeln!(f, "      {} = {i}", Show(self, *v))?;
        }
        for (fold, xs, v) in &r.folds {
            let name = match fold {
                Fold::Reduce(r) => format!("{r:?}").to_lowercase(),
                Fold::Dot => "dot".into(),
            };
            let xs: Vec<String> = xs.iter().map(usize::to_string).collect();
            writeln!(f, "      {} = {name} {}", Show(self, *v), xs.join(", "))?;
        }
        Ok(())
    }

    /// The domain, order and kind of a loop.
    fn head(&self, f: &mut fmt::Formatter<'_>, l: &Loop) -> fmt::Result {
        match l.kind {
            LoopKind::Parallel => write!(f, "  for all of {}", l.domain)?,
            LoopKind::Recurrence { reverse: false } => write!(f, "  for t from first to last")?,
            LoopKind::Recurrence { reverse: true } => write!(f, "  for t from last to first")?,
        }
        if let Innermost::Time(_) = l.inner {
            write!(f, ", time innermost")?;
        }
        if l.unroll > 1 {
            write!(f, ", {} steps per iteration", l.unroll)?;
        }
        writeln!(f)?;
        if !l.scratch.is_empty() {
            let names = l
                .scratch
                .iter()
                .map(|&u| Show(self, View::of(u)).to_string());
            writeln!(f, "    scratch {}", names.collect::<Vec<_>>().join(", "))?;
        }
        if let Innermost::Time(carried) = &l.inner {
            for Carried { load, from } in carried {
                writeln!(f, "    {load} carries {from} of the step before")?;
            }
        }
        Ok(())
    }

    fn product(&self, p: &Product) -> String {
        let w = &self.weights[p.weight];
        let op = if p.add { "+=" } else { "=" };
        let t = if w.transposed { "ᵀ" } else { "" };
        let bias = p.bias.map(|b| format!("{} + ", Show(self, b)));
        let (bias, y, x) = (bias.unwrap_or_default(), Show(self, p.y), Show(self, p.x));
        format!(
            "{y} {op} {bias}{}{t}[{},{}] · {x}{}",
            p.weight,
            w.rows,
            w.cols,
            of_bf16(w.bf16)
        )
    }

    fn items(&self, f: &mut fmt::Formatter<'_>, items: &[Item]) -> fmt::Result {
        items.iter().try_for_each(|item| self.item(f, item))
    }

    fn item(&self, f: &mut fmt::Formatter<'_>, item: &Item) -> fmt::Result {
        let show = |v: &View| Show(self, *v);
        let order = |reverse: bool| match reverse {
            true => "last to first",
            false => "first to last",
        };
        match item {
            Item::TimeTile { reverse, items } => {
                writeln!(f, "  in blocks of steps from {}", order(*reverse))?;
                self.items(f, items)?;
                writeln!(f, "  end of blocks")
            }
            Item::Sweep { reverse, items } => {
                writeln!(f, "  sweep, from {}", order(*reverse))?;
                self.items(f, items)?;
                writeln!(f, "  end of sweep")
            }
            Item::Pack(w) => writeln!(f, "  pack {w}"),
            Item::Product { domain, product } => {
                writeln!(f, "  for all of {domain}: {}", self.product(product))
            }
            Item::Outer {
                domain,
                delta,
                rhs,
                bias,
                bf16,
                ..
            } => {
                let (d, rounded) = (show(delta), of_bf16(*bf16));
                for r in rhs {
                    let (to, x) = (self.parts(&r.to), show(&r.x));
                    writeln!(f, "  {to} = Σ {domain} {d} · {x}ᵀ{rounded}")?;
                }
                match bias.is_empty() {
                    true => Ok(()),
                    false => writeln!(f, "  {} = Σ {domain} {d}", self.parts(bias)),
                }
            }
            Item::SumTo {
                domain,
                to,
                x,
                parts,
                ..
            } => {
                let (y, x) = (self.parts(parts), show(x));
                writeln!(f, "  {y} = Σ {domain} to {to} {x}")
            }
            Item::OuterTo {
                domain,
                to,
                a,
                b,
                y,
            } => {
                let (a, b, y) = (show(&a.0), show(&b.0), show(y));
                writeln!(f, "  {y} = Σ {domain} to {to} {a} · {b}ᵀ")
            }
            Item::Scatter {
                domain,
                to,
                index,
                v,
                y,
                ..
            } => {
                let (i, v, y) = (show(index), show(v), show(y));
                writeln!(f, "  {y} = Σ {domain} to {to} {v} in row {i}")
            }
            Item::Loop(l) => {
                self.head(f, l)?;
                l.body.iter().try_for_each(|s| self.stmt(f, s))
            }
        }
    }

    fn stmt(&self, f: &mut fmt::Formatter<'_>, stmt: &Stmt) -> fmt::Result {
        let show = |v: &View| Show(self, *v);
        match stmt {
            Stmt::Region(r) => self.region(f, r),
            Stmt::Product(p) => writeln!(f, "    {}", self.product(p)),
            Stmt::Activate { map, x, y, len } => {
                let (x, y, map) = (show(x), show(y), map.map().row().name);
                writeln!(f, "    {y} = {map} {x}, {len} lanes")
            }
            Stmt::MatVec {
                transposed,
                m,
                x,
                y,
                ..
            } => {
                let t = if *transposed { "ᵀ" } else { "" };
                writeln!(f, "    {} = {}{t} · {}", show(y), show(m), show(x))
            }
            Stmt::OuterRow { a, b, y, .. } => {
                writeln!(f, "    {} = {} · {}ᵀ", show(y), show(a), show(b))
            }
            Stmt::Gather { m, index, y, .. } => {
                writeln!(f, "    {} = row {} of {}", show(y), show(index), show(m))
            }
            Stmt::Scatter { index, v, y, .. } => {
                let (i, v, y) = (show(index), show(v), show(y));
                writeln!(f, "    {y} = {v} in row {i} of zeros")
            }
            Stmt::Transpose { m, y, .. } => {
                writeln!(f, "    {} = {}ᵀ", show(y), show(m))
            }
            Stmt::CopyBlock {
                rows,
                cols,
                from,
                to,
            } => {
                let (from, to) = (show(&from.0), show(&to.0));
                writeln!(f, "    {to} = {from}, {rows} rows of {cols}")
            }
        }
    }

    fn parts(&self, parts: &[BlockAt]) -> String {
        parts
            .iter()
            .map(|p| Show(self, p.view).to_string())
            .collect::<Vec<_>>()
            .join(" | ")
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan {}", self.name)?;
        for (i, b) in self
            .buffers
            .iter()
            .filter(|(_, b)| b.storage == Storage::Workspace)
        {
            write!(
                f,
                "  array {}.{}: {} [{}]",
                b.name,
                i.as_u32(),
                b.domain,
                b.len
            )?;
            if b.front + b.back > 0 {
                write!(
                    f,
                    ", {} boundary steps before and {} after",
                    b.front, b.back
                )?;
            }
            // Before the memory analysis, a plan is printed only when a stage broke it.
            match self.memory.keep.get(i).copied().unwrap_or(Lifetime::Whole) {
                Lifetime::Whole => writeln!(f)?,
                Lifetime::Block(p) => writeln!(f, ", one block of sweep {p}")?,
                Lifetime::Replayed(r) => writeln!(f, ", one block in replay {r}")?,
                Lifetime::Ring(n) => writeln!(f, ", a ring of {n} steps")?,
            }
        }
        for (i, w) in &self.weights {
            let t = if w.transposed { "ᵀ" } else { "" };
            writeln!(
                f,
                "  weight {i}{t}[{},{}]: {}",
                w.rows,
                w.cols,
                self.parts(&w.blocks)
            )?;
        }
        let (early, late) = self.items.split_at(self.border);
        self.items(f, early)?;
        if !late.is_empty() {
            writeln!(f, "  the backward half")?;
            self.items(f, late)?;
        }
        let long = match self.memory.pays {
            true => ", by default where a run outgrows the caches",
            false => "",
        };
        for (i, r) in self.memory.replays.iter().enumerate() {
            let array = |&u: &BufferId| format!("{}.{}", self.buffers[u].name, u.as_u32());
            let list = |all: &[BufferId]| all.iter().map(array).collect::<Vec<_>>().join(", ");
            writeln!(
                f,
                "  replay {i}: items {:?} of sweep {} before each block of sweep {}, from [{}] and boundary steps of [{}]{long}",
                r.items,
                r.sweep,
                r.by,
                list(&r.slots),
                list(&r.history)
            )?;
        }
        Ok(())
    }
}

/// What is said of a product of rounded operands.
fn of_bf16(rounded: bool) -> &'static str {
    match rounded {
        true => ", of bfloat16",
        false => "",
    }
}
