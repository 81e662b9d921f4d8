//! Every range that a plan reads or writes, with its length and the points at which it does.

use retrograd_tape::Domain;

use crate::plan::verify::broken;
use crate::plan::{BlockAt, Item, Loop, LoopKind, Plan, Product, Stmt, View, WeightId};
use crate::verify::Broken;

/// A range that is read or written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touch {
    pub(crate) view: View,
    /// Its length in numbers.
    pub(crate) len: usize,
    pub(crate) write: bool,
    /// The points at which it is accessed.
    pub(crate) domain: Domain,
    /// Whether they are visited step after step.
    pub(crate) in_iteration: bool,
}

type Each<'f> = dyn FnMut(Touch) -> Result<(), Broken> + 'f;
type EachView<'f> = dyn FnMut(View, usize, bool) -> Result<(), Broken> + 'f;

/// Visits the accesses of a loop's statement, reads first.
pub(crate) fn of_stmt(plan: &Plan, l: &Loop, s: &Stmt, f: &mut Each<'_>) -> Result<(), Broken> {
    let in_iteration = matches!(l.kind, LoopKind::Recurrence { .. });
    let domain = l.domain;
    let mut each = |view, len, write| {
        f(Touch {
            view,
            len,
            write,
            domain,
            in_iteration,
        })
    };
    match s {
        Stmt::Region(r) => {
            for i in &r.instrs {
                if let Some((v, n)) = i.reads(r.lanes) {
                    each(v, n, false)?;
                }
            }
            (r.stores.iter()).try_for_each(|s| each(s.1, r.lanes, true))?;
            r.folds.iter().try_for_each(|s| each(s.2, 1, true))
        }
        Stmt::Product(p) => {
            product(plan, p, &mut each)?;
            weight(plan, p.weight, f)
        }
        s => of_other(s, &mut each),
    }
}

fn product(plan: &Plan, p: &Product, each: &mut EachView<'_>) -> Result<(), Broken> {
    let Some(w) = plan.weights.get(p.weight) else {
        return broken(8, format!("there is no {}", p.weight));
    };
    each(p.x, w.inner(), false)?;
    p.bias.map_or(Ok(()), |b| each(b, w.outer(), false))?;
    if p.add {
        each(p.y, w.outer(), false)?;
    }
    each(p.y, w.outer(), true)
}

/// Visits the blocks of a weight.
pub(crate) fn weight(plan: &Plan, w: WeightId, f: &mut Each<'_>) -> Result<(), Broken> {
    for b in &plan.weights[w].blocks {
        block(b, false, Domain::Once, f)?;
    }
    Ok(())
}

/// Visits the rows of a block, as one range if they are contiguous.
fn block(b: &BlockAt, write: bool, domain: Domain, f: &mut Each<'_>) -> Result<(), Broken> {
    matrix((b.rows, b.cols), (b.view, b.ld), &mut |view, len| {
        f(Touch {
            view,
            len,
            write,
            domain,
            in_iteration: false,
        })
    })
}

fn matrix(
    (rows, cols): (usize, usize),
    (view, ld): (View, usize),
    f: &mut dyn FnMut(View, usize) -> Result<(), Broken>,
) -> Result<(), Broken> {
    match ld == cols {
        true => f(view, rows * cols),
        false => (0..rows).try_for_each(|i| f(view.plus(i * ld), cols)),
    }
}

/// Visits the accesses of a statement that is neither a region nor a product.
pub(crate) fn of_other(s: &Stmt, each: &mut EachView<'_>) -> Result<(), Broken> {
    match *s {
        Stmt::Region(_) | Stmt::Product(_) => Ok(()),
        Stmt::Activate { x, y, len, .. } => {
            each(x, len, false)?;
            each(y, len, true)
        }
        Stmt::MatVec {
            rows,
            cols,
            transposed,
            m,
            x,
            y,
        } => {
            let (reads, makes) = if transposed {
                (rows, cols)
            } else {
                (cols, rows)
            };
            each(m, rows * cols, false)?;
            each(x, reads, false)?;
            each(y, makes, true)
        }
        Stmt::OuterRow {
            rows,
            cols,
            a,
            b,
            y,
        } => {
            each(a, rows, false)?;
            each(b, cols, false)?;
            each(y, rows * cols, true)
        }
        Stmt::Gather {
            rows,
            cols,
            m,
            index,
            y,
        } => {
            each(m, rows * cols, false)?;
            each(index, 1, false)?;
            each(y, cols, true)
        }
        Stmt::Scatter {
            rows,
            cols,
            index,
            v,
            y,
        } => {
            each(index, 1, false)?;
            each(v, cols, false)?;
            each(y, rows * cols, true)
        }
        Stmt::Transpose { rows, cols, m, y } => {
            each(m, rows * cols, false)?;
            each(y, rows * cols, true)
        }
        Stmt::CopyBlock {
            rows,
            cols,
            from,
            to,
        } => {
            matrix((rows, cols), from, &mut |v, n| each(v, n, false))?;
            matrix((rows, cols), to, &mut |v, n| each(v, n, true))
        }
    }
}

/// Visits the accesses of an item that contains no items and is no loop.
pub(crate) fn of_item(plan: &Plan, item: &Item, f: &mut Each<'_>) -> Result<(), Broken> {
    let mut at = |domain: Domain, view: View, len: usize, write: bool| {
        f(Touch {
            view,
            len,
            write,
            domain,
            in_iteration: false,
        })
    };
    match item {
        Item::Pack(w) if !plan.weights.is_valid(*w) => {
            broken(8, format!("there is no {w} to pack"))
        }
        Item::Pack(w) => weight(plan, *w, f),
        Item::Product { domain, product: p } => {
            product(plan, p, &mut |v, n, write| at(*domain, v, n, write))?;
            weight(plan, p.weight, f)
        }
        Item::Outer {
            domain,
            delta,
            len,
            rhs,
            bias,
            bf16: _,
        } => {
            at(*domain, *delta, *len, false)?;
            rhs.iter()
                .try_for_each(|r| at(*domain, r.x, r.len, false))?;
            let mut to = rhs.iter().flat_map(|r| &r.to).chain(bias);
            to.try_for_each(|b| block(b, true, Domain::Once, f))
        }
        Item::SumTo {
            domain,
            to,
            x,
            len,
            parts,
        } => {
            at(*domain, *x, *len, false)?;
            parts.iter().try_for_each(|b| block(b, true, *to, f))
        }
        Item::OuterTo {
            domain,
            to,
            a,
            b,
            y,
        } => {
            at(*domain, a.0, a.1, false)?;
            at(*domain, b.0, b.1, false)?;
            at(*to, *y, a.1 * b.1, true)
        }
        Item::Scatter {
            domain,
            to,
            rows,
            cols,
            index,
            v,
            y,
        } => {
            at(*domain, *index, 1, false)?;
            at(*domain, *v, *cols, false)?;
            at(*to, *y, rows * cols, true)
        }
        Item::Loop(_) | Item::TimeTile { .. } | Item::Sweep { .. } => Ok(()),
    }
}
