use retrograd_jit::{CompiledCell, Options, Purpose, Target};
use retrograd_tape::*;
#[test]
fn tmp() {
    let r = Recorder::new();
    let v3 = r.input("z4", InputRole::Sequence, Shape::Scalar);
    let v4 = r.apply(Op::Broadcast(Shape::Matrix(4, 7)), &[v3]);
    let v5 = r.apply(Op::Map(Map::Tanh), &[v4]);
    let v5 = r.apply(Op::Map(Map::Log1p), &[v5]);
    let m = r.apply(Op::Reduce(Reduction::Mean), &[v5]);
    r.output("y", v5);
    r.output("m", m);
    let tape = r.finish("case").unwrap();
    let mut c = CompiledCell::<f64>::compile_with(
        &tape,
        &Purpose::Forward,
        &Options::default().with(|o| o.target = Target::avx512()),
    )
    .unwrap();
    let x = [0.3f64, 0.9];
    let mut y = vec![0.0; 56];
    let mut m = vec![0.0; 2];
    c.run(Extent { steps: 1, rows: 2 }, &[&x], &mut [&mut y, &mut m])
        .unwrap();
    println!(
        "{y:?} {m:?} {} {}",
        0.3f64.tanh().ln_1p(),
        0.9f64.tanh().ln_1p()
    );
}
