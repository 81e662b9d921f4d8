//! Into how many pieces work is cut: decided by its cost and never by timing, so that every run is cut the same way.

use retrograd_graph::plan::cost::effort;
use retrograd_graph::plan::{Item, LoopKind, Plan, SliceWork, Slices, walk};
use retrograd_tape::Domain;

use super::columns::can_be_cut;

/// The minimal cost of a piece of work, in the units of [`Work::effort`](retrograd_graph::plan::cost::Work::effort).
///
/// A sleeping thread starts working about 10 µs after it is woken, and its caller sleeps as long after the last piece
/// is done. An effort of 1, a number loaded or stored by emitted 128-bit code, takes 0.1 ns or less, so a piece of 10⁵
/// takes up to 10 µs: below twice that, two threads are not faster than one.
const PIECE: usize = 200_000;

/// The minimal cost of a product in a recurrence whose columns are divided, in the same units. Threads that are awake meet
/// in half a microsecond, twice as long as two caches take to exchange a line four times.
const PRODUCT: usize = 24_000;

/// Rows of each thread, at most, where the columns of products are divided instead of the rows: for so few a product takes
/// as long as its weights take to read.
const FEW: usize = 3;

/// The same where the weights of a step do not stay in a core's L2, but half of them may.
const FEW_OF_FAR: usize = 8;

/// The same where they stay in no cache: with more rows, what a thread does with a weight takes longer than reading it.
const FEW_OF_FARTHEST: usize = 64;

/// A time tile's hoisted products are divided if they have this many times [`PRODUCT`] in all: until a thread is awake, a
/// smaller run is over.
const AWAKE: usize = 8;

/// Rows of a hoisted product that a time tile does at a time, about.
const TILE: usize = 48;

/// How a recurrence, alone or in a time tile, is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Division {
    /// By rows, into so many pieces.
    Rows(usize),
    /// By columns of its products, into so many parts.
    Columns(usize),
}

impl Division {
    /// Pieces that run at once.
    pub(crate) fn pieces(self) -> usize {
        match self {
            Division::Rows(n) | Division::Columns(n) => n,
        }
    }
}

/// How a run may cut its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Maximal number of concurrent pieces.
    pub(crate) threads: usize,
    /// Minimal effort of a piece.
    piece: usize,
    /// Minimal effort of a product that is divided.
    pub(crate) product: usize,
}

impl Cut {
    /// All work is done in one piece.
    pub(crate) const ONE: Cut = Cut::into(1);

    /// At most `threads` concurrent pieces, none of them too small.
    pub(crate) const fn into(threads: usize) -> Cut {
        Cut {
            threads,
            piece: PIECE,
            product: PRODUCT,
        }
    }

    /// `threads` pieces, however small.
    pub(crate) const fn always(threads: usize) -> Cut {
        Cut {
            threads,
            piece: 0,
            product: 0,
        }
    }

    /// Number of pieces for work of this cost.
    fn pieces(self, effort: usize) -> usize {
        match effort.checked_div(self.piece) {
            Some(pieces) => pieces.clamp(1, self.threads),
            None => self.threads,
        }
    }
}

/// The cost of each item of a plan for one point of its domain, and what decides into which slices its rows are cut, keyed
/// by the item's address, so that runs look it up without allocating.
#[derive(Debug)]
pub(crate) struct Efforts(Vec<OfItem>);

/// What is known of an item.
#[derive(Debug)]
struct OfItem {
    address: usize,
    effort: usize,
    slices: SliceWork,
    /// Whether the columns of its products can be divided.
    columns: bool,
}

impl Efforts {
    /// Those of no items.
    pub(crate) const fn none() -> Efforts {
        Efforts(Vec::new())
    }

    /// The efforts of a plan's items; the plan must not move.
    pub(crate) fn of(plan: &Plan) -> Efforts {
        let all = walk(&plan.items).filter(|i| !matches!(i, Item::Sweep { .. }));
        let of = |item: &Item| {
            let items = match item {
                Item::TimeTile { items, .. } => items,
                Item::Loop(_) => std::slice::from_ref(item),
                _ => &[],
            };
            let weights = SliceWork::weights_of(items);
            OfItem {
                address: address(item),
                effort: effort(plan, item, 1),
                slices: SliceWork::of(plan, items),
                columns: weights.iter().all(|&w| can_be_cut(&plan.weights[w])),
            }
        };
        let mut out: Vec<OfItem> = all.map(of).collect();
        out.sort_unstable_by_key(|x| x.address);
        Efforts(out)
    }

    fn get(&self, item: &Item) -> Option<&OfItem> {
        let at = self.0.binary_search_by_key(&address(item), |x| x.address);
        at.ok().map(|at| &self.0[at])
    }

    /// What the rows of an item do in a step.
    pub(crate) fn of_slices(&self, item: &Item) -> SliceWork {
        self.get(item).map_or_else(SliceWork::default, |x| x.slices)
    }

    /// Number of pieces that an item is cut into for this many points of its domain.
    pub(crate) fn pieces(&self, item: &Item, points: usize, cut: Cut) -> usize {
        if cut.threads <= 1 {
            return 1;
        }
        let effort = self.get(item).map_or(0, |x| x.effort);
        cut.pieces(effort.saturating_mul(points))
    }

    /// How a recurrence, or a time tile, of this many points of `rows` rows is divided, for numbers of `bytes` bytes.
    pub(crate) fn division(
        &self,
        (plan, item): (&Plan, &Item),
        (points, rows): (usize, usize),
        bytes: usize,
        cut: Cut,
    ) -> Division {
        let pieces = self.pieces(item, points, cut);
        let by_rows = Division::Rows(pieces.min(rows).max(1));
        if pieces <= 1 || !self.get(item).is_some_and(|x| x.columns) {
            return by_rows;
        }
        let weights = self.of_slices(item).weights;
        let few = match weights * bytes > plan.target.caches().l2 {
            true => FEW_OF_FAR,
            false => FEW,
        };
        // Each thread's rows would read all weights from memory.
        let far =
            weights * bytes > Slices::of(plan.target).cached && rows <= FEW_OF_FARTHEST * pieces;
        let effort = |rows: usize| weights.saturating_mul(rows) / 4;
        let in_tile = matches!(item, Item::TimeTile { .. });
        let pays = effort(rows) >= 2 * cut.product
            || in_tile && effort(rows.max(TILE)) >= AWAKE * cut.product;
        match (rows <= few * pieces || far) && weights > 0 && pays {
            true => Division::Columns(pieces),
            false => by_rows,
        }
    }

    /// Whether a time tile of this many points of `rows` rows does them all at once, if one thread does it: its items can then
    /// come one after another, as if they were not in a tile.
    pub(crate) fn is_one_tile(
        &self,
        (plan, tile): (&Plan, &Item),
        (points, rows): (usize, usize),
        bytes: usize,
    ) -> bool {
        let (slices, work) = (Slices::of(plan.target), self.of_slices(tile));
        let steps = slices.steps(plan, tile.inner(), work, rows, bytes);
        points <= steps.saturating_mul(rows) && slices.rows(work, bytes, rows, 1) >= rows
    }

    /// The maximal number of pieces over the items that `which` selects, for `t` steps of `b` rows.
    pub(crate) fn most(
        &self,
        plan: &Plan,
        (t, b): (usize, usize),
        bytes: usize,
        cut: Cut,
        which: fn(&Item) -> bool,
    ) -> usize {
        let wanted = walk(&plan.items).filter(|i| !matches!(i, Item::Sweep { .. }) && which(i));
        wanted
            .map(|i| {
                let points = domain(i).points(t, b);
                match is_recurrence(i) {
                    true => self.division((plan, i), (points, b), bytes, cut).pieces(),
                    false => self.pieces(i, points, cut),
                }
            })
            .fold(1, usize::max)
    }
}

/// Whether an item is a recurrence, or a time tile, which has one.
fn is_recurrence(item: &Item) -> bool {
    match item {
        Item::TimeTile { .. } => true,
        Item::Loop(l) => matches!(l.kind, LoopKind::Recurrence { .. }),
        _ => false,
    }
}

/// An item's address.
pub(crate) fn address(item: &Item) -> usize {
    std::ptr::from_ref(item).addr()
}

/// The points at which an item is executed.
pub(super) fn domain(item: &Item) -> Domain {
    match item {
        Item::Pack(_) => Domain::Once,
        Item::Loop(l) => l.domain,
        Item::Product { domain, .. }
        | Item::Outer { domain, .. }
        | Item::SumTo { domain, .. }
        | Item::OuterTo { domain, .. }
        | Item::Scatter { domain, .. } => *domain,
        Item::TimeTile { .. } | Item::Sweep { .. } => Domain::Step,
    }
}

#[cfg(test)]
mod tests {
    use super::{Cut, PIECE};

    /// One row of 512 LSTM units reads its weights in halves; 32 have nothing to share, nor 128 rows of one.
    #[test]
    fn few_rows_divide_their_products_and_many_themselves() {
        use super::{Division, Efforts, is_recurrence};
        use retrograd_graph::plan::{plan, walk};
        use retrograd_graph::{Bf16, Graph, Options, Target, passes};
        use retrograd_tape::{InputRole, Recorder, Shape};

        let divided = |n: usize, rows: usize, threads: usize, bf16: Bf16| {
            let r = Recorder::new();
            let x = r.input("x", InputRole::Sequence, Shape::Vector(n));
            let h = r.state("h", Shape::Vector(n), 1, None);
            let (w, u) = (
                r.param("w", Shape::Matrix(4 * n, n)),
                r.param("u", Shape::Matrix(4 * n, n)),
            );
            let z = (w.matvec(x) + u.matvec(h)).tanh();
            let next = z.slice(0, n) * z.slice(n, n) + z.slice(2 * n, n) * z.slice(3 * n, n);
            r.output("y", r.next(h, next));
            let recorded = Graph::from_tape(&r.finish("gates").expect("it is a program"));
            let options = Options::default().with(|o| {
                o.target = Target::avx512();
                o.bf16 = bf16;
            });
            let graph = passes::run(&recorded, &[], &options).expect("it goes one way");
            let plan = plan(&graph, &options);
            let efforts = Efforts::of(&plan);
            let found = walk(&plan.items).find(|i| is_recurrence(i));
            let item = found.expect("it has a recurrence");
            efforts.division((&plan, item), (100 * rows, rows), 4, Cut::into(threads))
        };
        let division = |n, rows, threads| divided(n, rows, threads, Bf16::Off);
        assert_eq!(division(32, 1, 2), Division::Rows(1));
        assert_eq!(division(512, 1, 1), Division::Rows(1));
        assert_eq!(division(512, 1, 2), Division::Columns(2));
        assert_eq!(division(512, 16, 2), Division::Columns(2));
        assert_eq!(division(512, 64, 2), Division::Rows(2));
        assert_eq!(division(128, 4, 2), Division::Columns(2));
        assert_eq!(division(128, 32, 2), Division::Rows(2));
        // Both threads would read 32 MiB.
        assert_eq!(division(1024, 64, 2), Division::Columns(2));
        assert_eq!(division(1024, 512, 2), Division::Rows(2));
        // Weights of bfloat16 are not divided.
        assert_eq!(divided(512, 1, 2, Bf16::Kernels), Division::Rows(1));
        assert_eq!(divided(512, 16, 2, Bf16::Kernels), Division::Rows(2));
    }

    #[test]
    fn pieces_are_as_many_as_pay_and_no_more_than_threads() {
        let cut = Cut::into(4);
        for (effort, pieces) in [
            (0, 1),
            (PIECE, 1),
            (2 * PIECE - 1, 1),
            (2 * PIECE, 2),
            (usize::MAX, 4),
        ] {
            assert_eq!(cut.pieces(effort), pieces);
        }
        assert_eq!(Cut::always(7).pieces(0), 7);
        assert_eq!(Cut::ONE.pieces(usize::MAX), 1);
    }
}
