//! A large weight that one product reads once in a run is packed by parts: that takes less memory, and the results have the
//! bits of a run whose weights are packed as a whole.

use retrograd_graph::Target;
use retrograd_jit::{CompiledCell, Element, Options, Purpose};
use retrograd_tape::{InputRole, Lengths, Real, Tape};
use retrograd_text::read_tape;

/// A readout with a few columns beyond whole registers, which is multiplied forward and, transposed, backward.
const WIDE: &str = "cell wide(x[3]; h[H]) where H=150, O=1509
h' = tanh(dense(x, h))
output y = dense[O](h')
target next[O]
loss mean(square(y - next))
";

/// Products in a time tile that does all steps at once.
const TILE: &str = "cell tile(x[X]; h[H]) where X=700, H=160
h' = tanh(dense(x, h))
output y = dense[3](h')
target next[3]
loss mean(square(y - next))
";

/// The same of a weight whose blocks are the gates', on no border of columns.
const GATES: &str = "cell gates(x[X]; h[H], c[H]) where X=700, H=161
i = sigmoid(dense(x, h))
f = sigmoid(dense(x, h))
o = sigmoid(dense(x, h))
c' = f * c + i * tanh(dense(x, h))
h' = o * tanh(c')
output y = dense[3](h')
target next[3]
loss mean(square(y - next))
";

/// A readout of the step before.
const LATE: &str = "cell late(x[3]; h[H]) where H=150, O=1509
output y = dense[O](h)
h' = tanh(dense(x, h))
target next[O]
loss mean(square(y - next))
";

/// A product once a row, which of one row alone is not packed.
const ROW: &str = "cell row(x[3], static s[S]; h[H]) where S=700, H=160
u = dense_no_bias[H](s)
h' = tanh(dense(x, h) + u)
output y = dense[3](h')
target next[3]
loss mean(square(y - next))
";

fn tape(text: &str) -> Tape {
    read_tape("parts", text, &[]).expect("a cell")
}

/// The bytes of a run, its blocks, and the bits of its outputs.
struct Run {
    bytes: usize,
    blocks: usize,
    bits: Vec<Vec<u64>>,
}

/// A run in which all rows and steps have the same numbers, or all have others.
fn run<T: Element + Real>(
    cell: &CompiledCell<T>,
    lengths: &Lengths,
    pieces: usize,
    alike: bool,
) -> Run {
    let inputs: Vec<Vec<T>> = (cell.inputs().iter().enumerate())
        .map(|(k, i)| match i.role {
            InputRole::Initial => Vec::new(),
            _ => (0..lengths.numbers(i.ty))
                .map(|j| if alike { j % i.ty.shape.len() } else { j } * 7 + k)
                .map(|j| <T as Real>::from_f64((j as f64 * 0.37).sin() * 0.2))
                .collect(),
        })
        .collect();
    let left_out: Vec<usize> = (0..inputs.len())
        .filter(|&k| inputs[k].is_empty())
        .collect();
    let inputs: Vec<&[T]> = inputs.iter().map(Vec::as_slice).collect();
    let mut outputs: Vec<Vec<T>> = (0..cell.outputs().len())
        .map(|k| vec![<T as Real>::from_f64(f64::NAN); cell.output_len_ragged(k, lengths)])
        .collect();
    let mut executor = cell.executor();
    executor.cut_into(pieces);
    let memory = executor
        .memory_ragged(lengths, (&left_out, &[]))
        .expect("enough");
    let mut places: Vec<&mut [T]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    executor
        .run_ragged(lengths, &inputs, &mut places)
        .expect("it runs");
    assert_eq!(executor.workspace_bytes(), memory.bytes);
    let bits = |x: Vec<T>| x.into_iter().map(|x| x.to_f64().to_bits()).collect();
    Run {
        bytes: memory.bytes,
        blocks: (lengths.points()).div_ceil(memory.block * lengths.rows()),
        bits: outputs.into_iter().map(bits).collect(),
    }
}

/// One block of steps: the same with any number of places, and with so many that the weight is packed as a whole.
fn same<T: Element + Real>(text: &str, lengths: &Lengths, weight: usize) {
    for target in Target::all_runnable() {
        for purpose in [Purpose::Train, Purpose::Forward] {
            let options = Options::default().with(|o| o.target = target);
            let cell = CompiledCell::<T>::compile_with(&tape(text), &purpose, &options);
            let cell = cell.expect("it compiles");
            let one = run(&cell, lengths, 1, false);
            assert_eq!(one.blocks, 1);
            assert!(
                one.bits
                    .iter()
                    .flatten()
                    .all(|x| !f64::from_bits(*x).is_nan())
            );
            for pieces in [2, 3, 5, 64] {
                let cut = run(&cell, lengths, pieces, false);
                assert!(cut.bits == one.bits, "{target}: {pieces} pieces");
                // Without sums there is no scratch but the places.
                let more = cut.bytes - one.bytes;
                let packed = text != ROW || lengths.rows() > 1;
                let whole = packed && pieces == 64 && matches!(purpose, Purpose::Forward);
                assert!(
                    !whole || more > weight * size_of::<T>() / 2,
                    "{target}: {more} bytes"
                );
            }
        }
    }
}

#[test]
fn a_product_by_parts_has_the_bits_of_the_whole_one() {
    let equal = |t, b| Lengths::new(vec![t; b]).expect("they are equal");
    for lengths in [equal(7, 3), equal(1, 2), equal(40, 1)] {
        same::<f32>(WIDE, &lengths, 150 * 1509);
        same::<f64>(WIDE, &lengths, 150 * 1509);
    }
    same::<f32>(TILE, &equal(40, 1), 700 * 160);
    same::<f32>(TILE, &equal(20, 2), 700 * 160);
    same::<f32>(GATES, &equal(40, 1), 700 * 4 * 161);
    same::<f32>(ROW, &equal(5, 3), 700 * 160);
    same::<f32>(ROW, &equal(5, 1), 700 * 160);
    let ragged = Lengths::new(vec![9, 4, 4, 1]).expect("the longest comes first");
    same::<f32>(WIDE, &ragged, 150 * 1509);
    same::<f32>(LATE, &ragged, 150 * 1509);
    same::<f64>(LATE, &ragged, 150 * 1509);
}

/// Each part would read all points again.
#[test]
fn a_product_of_many_points_has_the_whole_weight() {
    let cell = CompiledCell::<f32>::compile(&tape(WIDE), &Purpose::Forward).expect("it compiles");
    let more = |points: usize| {
        let lengths = Lengths::new(vec![1; points]).expect("they are equal");
        let [one, many] = [1, 64].map(|pieces| run(&cell, &lengths, pieces, false));
        assert!(one.bits == many.bits);
        many.bytes - one.bytes
    };
    let weight = 150 * 1509 * size_of::<f32>();
    assert!(more(256) > weight / 2);
    assert!(more(257) < weight / 100);
}

#[test]
fn a_product_of_one_row_which_is_not_packed_is_that_of_several() {
    let cell = CompiledCell::<f32>::compile(&tape(ROW), &Purpose::Forward).expect("it compiles");
    let read_out = |rows: usize| {
        let lengths = Lengths::new(vec![5; rows]).expect("they are equal");
        let y = run(&cell, &lengths, 1, true).bits.swap_remove(0);
        // A row's of three numbers, of each step.
        let rows = y.chunks(3 * rows).flat_map(|step| step[..3].to_vec());
        rows.map(f64::from_bits).collect::<Vec<f64>>()
    };
    let (one, three) = (read_out(1), read_out(3));
    assert_eq!(one.len(), 15);
    assert!(one.iter().all(|x| x.abs() > 1e-3));
    for (x, y) in one.iter().zip(&three) {
        // Sums of 700 products of at most 0.04, in another order, and ten of them one after another.
        assert!(
            (x - y).abs() < 10.0 * 700.0 * 0.04 * f64::from(f32::EPSILON),
            "{x} {y}"
        );
    }
}
