//! The cells that are measured: five as the peers' programs write them (stacked weights W `[G·H, I]` and U `[G·H, H]`, sliced
//! into gates), and every other by its name in the zoo or its file.
//!
//! In the equations z = W x + b + U h, cut into gates of H elements. All weights start uniform in ±1/√H.

use anyhow::{Context, Result};
use retrograd::{Builder, Cell, CellText, Init, Var, zoo};

/// Names of the cells that are also measured in PyTorch and JAX.
pub const NAMES: [&str; 5] = ["lstm", "gru", "keepwrite", "lnlstm", "peephole"];

/// The layer norm's ε, PyTorch's default.
const EPS: f64 = 1e-5;

/// A cell by name, with as many inputs as hidden units: one of [`NAMES`], one of the zoo (`zoo/<name>` where both have it),
/// or the path of a `.cell` file. Of a cell's text all dimensions that it gives as numbers become `hidden`; its outputs are
/// what the loss Σ y·gy is made of, a loss of its own is left out.
///
/// # Errors
/// If there is no such cell.
pub fn find(name: &str, hidden: usize) -> Result<Cell> {
    let bare = name.strip_prefix("zoo/").unwrap_or(name);
    if name.ends_with(".cell") {
        let text = CellText::open(name)?;
        let free = text.dimensions().filter(|d| text.default_of(d).is_some());
        let sizes: Vec<(&str, usize)> = free.map(|d| (d, hidden)).collect();
        return Ok(text.cell(&sizes)?);
    }
    let write: for<'t> fn(&'t Builder, Var<'t>, usize) -> Var<'t> = match name {
        "lstm" => lstm,
        "gru" => gru,
        "keepwrite" => keepwrite,
        "lnlstm" => lnlstm,
        "peephole" => peephole,
        _ => {
            let entry = zoo::find(bare).with_context(|| {
                format!(
                    "there is no cell `{name}`; there are {}, zoo/{}, and .cell files",
                    NAMES.join(", "),
                    zoo::names().collect::<Vec<_>>().join(", zoo/"),
                )
            })?;
            return of_zoo(entry, hidden);
        }
    };
    let cell = Cell::define(name, |c| {
        let x = c.input("x", hidden);
        let h = write(c, x, hidden);
        c.output("y", h);
    })?;
    Ok(cell)
}

/// A cell of the zoo without a readout, with as many inputs as units.
///
/// # Errors
/// Those of its sizes.
pub fn bare(entry: &zoo::Entry, hidden: usize) -> Result<Cell> {
    let cell = Cell::define(entry.name, |c| {
        c.output("y", entry.layer(c, "", c.input("x", hidden), hidden));
    })?;
    Ok(cell)
}

/// A cell of the zoo. Those that are not the question's have always been measured with a readout.
fn of_zoo(entry: &zoo::Entry, hidden: usize) -> Result<Cell> {
    let cell = Cell::define(entry.name, |c| {
        let h = entry.layer(c, "", c.input("x", hidden), hidden);
        c.output(
            "y",
            match entry.number {
                Some(_) => h,
                None => c.dense("forecast", hidden, [h]),
            },
        );
    })?;
    Ok(cell)
}

/// The standard LSTM, gates i, f, g, o.
pub fn lstm<'t>(c: &'t Builder, x: Var<'t>, n: usize) -> Var<'t> {
    let (h, m) = (c.state("h", n), c.state("c", n));
    let [i, f, g, o] = gates(from_x(c, x, 4 * n) + from_h(c, h, 4 * n), n);
    let m = c.next(m, f.sigmoid() * m + i.sigmoid() * g.tanh());
    c.next(h, o.sigmoid() * m.tanh())
}

/// The GRU with the reset after the product and two biases, as `torch.nn.GRU`; gates r, z, n.
pub fn gru<'t>(c: &'t Builder, x: Var<'t>, n: usize) -> Var<'t> {
    let h = c.state("h", n);
    let [xr, xz, xn] = gates(from_x(c, x, 3 * n), n);
    let bias = c.param_init("bh", 3 * n, uniform(n));
    let [hr, hz, hn] = gates(from_h(c, h, 3 * n) + bias, n);
    let z = (xz + hz).sigmoid();
    let new = (xn + (xr + hr).sigmoid() * hn).tanh();
    c.next(h, (1.0 - z) * new + z * h)
}

/// The question's LSTM: keep, write, candidate, and what is read through a sigmoid of the memory.
pub fn keepwrite<'t>(c: &'t Builder, x: Var<'t>, n: usize) -> Var<'t> {
    let (h, m) = (c.state("h", n), c.state("c", n));
    let [keep, write, g, inner] = gates(from_x(c, x, 4 * n) + from_h(c, h, 4 * n), n);
    let m = c.next(m, keep.sigmoid() * m + write.sigmoid() * g.tanh());
    c.next(h, inner.tanh() * m.sigmoid())
}

/// LSTM with layer norm (Ba, Kiros & Hinton 2016) of W x, U h and the memory: gains g1, g2 `[4·H]`, gc `[H]`, biases b, bc.
pub fn lnlstm<'t>(c: &'t Builder, x: Var<'t>, n: usize) -> Var<'t> {
    let (h, m) = (c.state("h", n), c.state("c", n));
    let gain = |name: &str, n: usize| c.param_init(name, n, Init::Constant(1.0));
    let (wx, uh) = (product(c, "W", x, 4 * n, n), from_h(c, h, 4 * n));
    let z = wx.layer_norm(EPS) * gain("g1", 4 * n) + uh.layer_norm(EPS) * gain("g2", 4 * n);
    let [i, f, g, o] = gates(z + c.param_init("b", 4 * n, uniform(n)), n);
    let m_new = (f.sigmoid() * m + i.sigmoid() * g.tanh()).layer_norm(EPS) * gain("gc", n);
    let m = c.next(m, m_new + c.param_init("bc", n, Init::Zeros));
    c.next(h, o.sigmoid() * m.tanh())
}

/// LSTM whose gates see the memory through the weights pi, pf (old) and po (new) `[H]` (Gers & Schmidhuber 2000).
pub fn peephole<'t>(c: &'t Builder, x: Var<'t>, n: usize) -> Var<'t> {
    let (h, m) = (c.state("h", n), c.state("c", n));
    let [i, f, g, o] = gates(from_x(c, x, 4 * n) + from_h(c, h, 4 * n), n);
    let peep = |name: &str| c.param_init(name, n, uniform(n));
    let (i, f) = (i + peep("pi") * m, f + peep("pf") * m);
    let m = c.next(m, f.sigmoid() * m + i.sigmoid() * g.tanh());
    c.next(h, (o + peep("po") * m).sigmoid() * m.tanh())
}

fn uniform(hidden: usize) -> Init {
    Init::Uniform(1.0 / (hidden as f64).sqrt())
}

fn product<'t>(c: &'t Builder, name: &str, v: Var<'t>, rows: usize, hidden: usize) -> Var<'t> {
    let columns = v.shape().map_or(0, |s| s.len());
    let weight = c.param_init(name, (rows, columns), uniform(hidden));
    weight.matvec(v)
}

/// W x + b.
fn from_x<'t>(c: &'t Builder, x: Var<'t>, rows: usize) -> Var<'t> {
    let hidden = x.shape().map_or(1, |s| s.len());
    product(c, "W", x, rows, hidden) + c.param_init("b", rows, uniform(hidden))
}

/// U h.
fn from_h<'t>(c: &'t Builder, h: Var<'t>, rows: usize) -> Var<'t> {
    product(c, "U", h, rows, h.shape().map_or(1, |s| s.len()))
}

/// K gates of n elements each.
fn gates<const K: usize>(z: Var<'_>, n: usize) -> [Var<'_>; K] {
    std::array::from_fn(|k| z.slice(k * n, n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use retrograd_measure::flops::{of_step, of_weights};
    use retrograd_tape::{Extent, Tape};

    #[test]
    fn peers_cells_have_the_flops_that_peers_count() {
        for (name, gates) in NAMES.into_iter().zip([4, 3, 4, 4, 4]) {
            let (h, b, t) = (24, 3, 7);
            let cell = find(name, h).unwrap();
            let expected = (10 * b * t * gates * h * h) as f64;
            assert_eq!(
                of_step(cell.tape(), Extent::steps(t).rows(b)),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn products_with_a_memory_are_none_with_weights() {
        let text =
            "cell both(x[4]; S[4, 4])\nS' = 0.5 * S + outer(x, x)\noutput y = dense[4](S' @ x)";
        let cell = Cell::from_text(text, &[]).unwrap();
        let of = |count: fn(&Tape, Extent) -> f64| count(cell.tape(), Extent::steps(10));
        // Only the layer depends on a parameter, and what it reads does not.
        assert_eq!((of(of_weights), of(of_step)), (640.0, 1280.0));
    }

    #[test]
    fn gates_written_one_by_one_count_as_the_stacked_ones() {
        let (stacked, single) = (find("lstm", 8), find("zoo/lstm", 8));
        let of = |cell: &Cell| of_step(cell.tape(), Extent::steps(5));
        assert_eq!(of(&stacked.unwrap()), of(&single.unwrap()));
    }

    #[test]
    fn a_cell_is_found_by_name_in_the_zoo_and_by_file_and_a_wrong_name_says_which_there_are() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../crates/retrograd/cells/lstm.cell"
        );
        for name in ["lstm", "zoo/lstm", "irnn", "mlstm", "zoo/peephole", file] {
            let cell = find(name, 6).unwrap();
            assert_eq!(cell.tape().inputs()[0].ty.shape.len(), 6, "{name}");
        }
        let error = find("lsmt", 6).unwrap_err().to_string();
        assert!(error.contains("peephole, zoo/rnn"), "{error}");
    }
}
