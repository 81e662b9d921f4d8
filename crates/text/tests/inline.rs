//! One text of a cell and all that it uses: it needs no other, and records the same.

use retrograd_tape::Recorder;
use retrograd_text::{CellFile, Found, parse_cell, parse_cell_with, record};

/// Reads the first of some texts, which find the others by their paths, or by their names.
fn open(texts: &[(&str, &str)]) -> CellFile {
    parse_cell_with(texts[0].0, texts[0].1, &mut |wanted| {
        let name = wanted.path.unwrap_or(wanted.name);
        let found = texts.iter().find(|(n, _)| *n == name);
        let (name, text) = found.ok_or_else(|| format!("there is no {name}"))?;
        Ok(Found {
            name: (*name).to_owned(),
            text: (*text).to_owned(),
        })
    })
    .unwrap_or_else(|e| panic!("{e}"))
}

fn tape(file: &CellFile, dimensions: &[(&str, usize)]) -> String {
    let r = Recorder::new();
    record(file, dimensions, &r).unwrap_or_else(|e| panic!("{e}"));
    r.finish(file.name())
        .unwrap_or_else(|e| panic!("{e}"))
        .to_string()
}

/// The one text, which must record what the several do.
#[track_caller]
fn same(texts: &[(&str, &str)], dimensions: &[(&str, usize)]) -> String {
    let file = open(texts);
    let alone = file.inlined(dimensions).unwrap_or_else(|e| panic!("{e}"));
    let read = parse_cell("alone.cell", &alone).unwrap_or_else(|e| panic!("{e}\n{alone}"));
    assert_eq!(read.name(), file.name());
    assert_eq!(tape(&read, &[]), tape(&file, dimensions), "{alone}");
    // It is its own one text.
    let again = read.inlined(&[]).unwrap();
    assert_eq!(
        tape(&parse_cell("again.cell", &again).unwrap(), &[]),
        tape(&read, &[])
    );
    alone
}

const GRU: (&str, &str) = (
    "gru",
    "# A comment that stays.
cell gru(x[I]; h[H]) where I=1, H=2
reset = sigmoid(dense(x, h))
keep = sigmoid(dense(x, h))
new = tanh(dense(x, h: reset * h))
h' = keep * h + (1 - keep) * new
output h'
",
);

#[test]
fn a_text_of_one_file_stays_as_it_is_but_for_its_sizes() {
    let alone = same(&[GRU], &[]);
    assert_eq!(alone, GRU.1);
    let alone = same(&[GRU], &[("H", 7), ("I", 3)]);
    assert_eq!(alone, GRU.1.replace("I=1, H=2", "I=3, H=7"));
    let e = open(&[GRU]).inlined(&[("K", 2)]).unwrap_err().to_string();
    assert!(e.contains("no dimension `K`") && e.contains("I, H"), "{e}");
}

#[test]
fn uses_within_uses_are_all_there_and_once() {
    let two = (
        "two.cell",
        "use gru   # of the zoo
use leak from \"leak.cell\"
cell two(x[I]; h[H]) where I=2, H=3
layer below = gru(x, H=H)
h' = leak(below)
output h'",
    );
    let main = (
        "main.cell",
        "use two from \"two.cell\"
use gru
use leak from \"leak.cell\"
cell main(x[2], z[2]) where H=4
layer both = two(H=H)
l = both(x)
r = both(z)
output a = l + r
output b = leak(gru(x, H=4, name=inner))
target t[4]
loss mean(square(a - t)) + sum(square(both.below.keep.x))",
    );
    let leak = (
        "leak.cell",
        "def leak(x) {\n    state h[4]\n    h' = 0.5 * h + x\n    return h'\n}\n",
    );
    let file = open(&[main, two, leak, GRU]);
    assert!(tape(&file, &[]).contains("both.below.keep.x"));
    let alone = same(&[main, two, leak, GRU], &[]);
    assert!(!alone.contains("use "), "{alone}");
    for once in [
        "cell gru(",
        "def leak(",
        "cell two(",
        "# A comment that stays.",
        "# of the zoo",
    ] {
        assert_eq!(alone.matches(once).count(), 1, "{once}\n{alone}");
    }
    assert!(alone.trim_start().lines().count() > 20);
}

#[test]
fn names_that_would_mean_something_else_in_one_text_are_others() {
    // Both have a function `gate`, and both call their own; one calls the other's by another name.
    let lib = (
        "lib.cell",
        "def gate(x) = sigmoid(dense[2](x))
cell layer(x[I]; h[H]) where I=1, H=2
g = gate(x)
h' = 0.5 * h + mean(g) * mean(x)
output h'",
    );
    let main = (
        "main.cell",
        "use layer as inner from \"lib.cell\"
use gate as other from \"lib.cell\"
def gate(x) = tanh(dense[3](x))
cell main(x[4])
a = gate(x)
b = other(x)
c = inner(x)
output y = a * mean(b) + mean(c)
output layer_2 = a",
    );
    let alone = same(&[main, lib], &[]);
    assert!(
        alone.contains("def gate(x) = tanh"),
        "the file's own keeps its name\n{alone}"
    );
    // `layer_2` is a name already.
    assert!(!alone.contains("cell layer_2("), "{alone}");
}

#[test]
fn a_function_that_is_called_like_a_built_in_one_stays_within_its_text() {
    // Each text knows `silu` as something else, and inside of itself it is the built-in one.
    let lib = (
        "lib.cell",
        "def silu(x) = silu(2 * x)\ndef twice(x) = silu(silu(x))\ndef plain(x) = softmax(x)",
    );
    let main = (
        "main.cell",
        "use twice from \"lib.cell\"
use plain from \"lib.cell\"
def softmax(x) = x - logsumexp(x)
cell main(x[4])
output y = twice(x) + silu(x) + plain(x) + softmax(x)",
    );
    let alone = same(&[main, lib], &[]);
    assert!(
        alone.contains("silu_2(silu_2(x))") && alone.contains("= silu(2 * x)"),
        "{alone}"
    );
    let cell = (
        "main.cell",
        "use plain from \"lib.cell\"\ncell softmax(x[4])\noutput y = plain(x)",
    );
    let e = open(&[cell, lib]).inlined(&[]).unwrap_err().to_string();
    assert!(e.contains("`softmax`") && e.contains("main.cell:2"), "{e}");
}

#[test]
fn layers_and_sizes_of_one_text_are_none_of_another() {
    // `core` is a layer here and a cell there; `K`, `k` and `z` are sizes here and names there.
    let lib = (
        "lib.cell",
        "cell core(x[I]; h[I]) where I=1
h' = 0.9 * h + x
output h'
def filtered[N](x) {
    layer K = dense[N]
    for k in 0..2 carrying y = x {
        z = tanh(K(y))
        y = z * (k + 1)
    }
    return K(y)
}",
    );
    let main = (
        "main.cell",
        "use core as leaky from \"lib.cell\"
use filtered from \"lib.cell\"
cell main(x[N]) where N=3, K=2, k=5, z=7
layer core = dense[N]
below = leaky(core(x))
deep = filtered[N](below)
output y = core(deep) * K + k * z",
    );
    same(&[main, lib], &[]);
    same(&[main, lib], &[("N", 6), ("z", 1)]);
}
