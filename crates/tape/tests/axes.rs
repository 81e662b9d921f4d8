//! What a `Var` does along axes, against sums written out, and what it says about mistakes.

use retrograd_tape::{
    Directions, Extent, InputRole, Interpreter, Recorder, Shape, Tape, TapeError, Var, gradcheck,
};

/// Numbers without a pattern, in -1 ‥ 1.
fn numbers(n: usize, seed: usize) -> Vec<f64> {
    (0..n)
        .map(|i| (((i + 1) * (seed * 2 + 7919)) % 1009) as f64 / 504.5 - 1.0)
        .collect()
}

/// The value of an expression in parameters of these shapes, and their numbers.
fn value(
    shapes: &[Shape],
    f: impl for<'t> Fn(&[Var<'t>]) -> Var<'t>,
) -> (Shape, Vec<f64>, Vec<Vec<f64>>) {
    let r = Recorder::new();
    let params: Vec<Var<'_>> = (shapes.iter().enumerate())
        .map(|(i, &s)| r.param(&format!("p{i}"), s))
        .collect();
    let y = f(&params);
    let shape = y.shape();
    r.output("y", y);
    let tape = r.finish("axes").expect("the operands fit");
    let data: Vec<Vec<f64>> = (shapes.iter().enumerate())
        .map(|(i, s)| numbers(s.len(), i))
        .collect();
    let slices: Vec<&[f64]> = data.iter().map(Vec::as_slice).collect();
    let mut run = Interpreter::<f64>::new(&tape);
    run.forward(Extent::steps(1), &slices).expect("it runs");
    (shape.expect("no mistake"), run.output(0).to_vec(), data)
}

fn near(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() < 1e-12, "{what}: {found:?} {expected:?}");
    }
}

/// The Einstein sum, over all values of all letters.
fn summed(spec: &str, sizes: &[(char, usize)], a: &[f64], b: &[f64]) -> Vec<f64> {
    let (factors, result) = spec.split_once("->").unwrap();
    let (left, right) = factors.split_once(',').unwrap();
    let size = |c: char| sizes.iter().find(|s| s.0 == c).unwrap().1;
    let place = |letters: &str, at: &[usize]| {
        letters.chars().fold(0, |k, c| {
            let i = sizes.iter().position(|s| s.0 == c).unwrap();
            k * size(c) + at[i]
        })
    };
    let mut out = vec![0.0; result.chars().map(size).product()];
    let all: usize = sizes.iter().map(|s| s.1).product();
    for mut k in 0..all {
        let at: Vec<usize> = (sizes.iter())
            .map(|s| {
                let i = k % s.1;
                k /= s.1;
                i
            })
            .collect();
        out[place(result, &at)] += a[place(left, &at)] * b[place(right, &at)];
    }
    out
}

#[test]
fn einsum_is_the_sum_that_its_letters_say() {
    let sizes = [('h', 2), ('i', 3), ('j', 4), ('k', 5)];
    let shape = |letters: &str| {
        let axes: Vec<usize> = (letters.chars())
            .map(|c| sizes.iter().find(|s| s.0 == c).unwrap().1)
            .collect();
        Shape::from_axes(&axes).unwrap()
    };
    let specs = [
        "hij,hj->hi",
        "hij,hi->hj",
        "hij,hj->ih",
        "hji,hj->hi",
        "ihj,hj->hi",
        "ijh,jh->hi",
        "hi,hj->hij",
        "hi,hj->jih",
        "ih,jh->hij",
        "i,j->ij",
        "i,j->ji",
        "ij,j->i",
        "ij,i->j",
        "j,ij->i",
        "hj,hij->hi",
        "i,i->",
        "ij,ij->",
        "ij,ji->",
        "hij,hij->",
        "hi,hi->h",
        "hij,hij->h",
        "hij,ihj->hi",
        "ij,ij->ij",
        "ij,ji->ij",
        "h,hij->hij",
        "hij,h->ijh",
        "hi,hij->jhi",
        ",ij->ij",
        "i,->i",
        ",->",
        "ij,jk->ik",
        "ij,jk->ki",
        "ij,kj->ik",
        "hij,hjk->hik",
        "hij,hkj->hki",
        "hij,jk->hik",
        "hij,ijk->hk",
        "hij,hjk->ik",
        "hij,k->hik",
        "hij,jk->hk",
        "ij,k->",
        "hij,hj->",
        "h i j , h j -> h i",
    ];
    for spec in specs {
        let plain = spec.replace(' ', "");
        let (factors, result) = plain.split_once("->").unwrap();
        let (a, b) = factors.split_once(',').unwrap();
        let used: Vec<_> = (sizes.iter().copied())
            .filter(|s| factors.contains(s.0))
            .collect();
        let (found, y, data) = value(&[shape(a), shape(b)], |p| p[0].einsum(spec, p[1]));
        assert_eq!(found, shape(result), "{spec}");
        near(spec, &y, &summed(&plain, &used, &data[0], &data[1]));
    }
}

#[test]
fn what_is_computed_along_an_axis_is_what_a_vector_gives() {
    let shape = Shape::Tensor(2, 3, 5);
    type OfVector = for<'t> fn(Var<'t>) -> Var<'t>;
    type Along = for<'t> fn(Var<'t>, usize) -> Var<'t>;
    let cases: [(&str, OfVector, Along); 8] = [
        ("sum", |x| x.sum(), |x, k| x.sum_axis(k)),
        ("mean", |x| x.mean(), |x, k| x.mean_axis(k)),
        ("max", |x| x.amax(), |x, k| x.max_axis(k)),
        ("softmax", |x| x.softmax(), |x, k| x.softmax_axis(k)),
        (
            "layer_norm",
            |x| x.layer_norm(0.1),
            |x, k| x.layer_norm_axis(k, 0.1),
        ),
        (
            "rms_norm",
            |x| x / (x.square().mean() + 0.1).sqrt(),
            |x, k| x.rms_norm_axis(k, 0.1),
        ),
        (
            "cumsum",
            |x| {
                let n = x.shape().unwrap().len();
                let sums: Vec<Var<'_>> = (1..=n)
                    .map(|k| x.slice(0, k).sum().reshape(Shape::Vector(1)))
                    .collect();
                Var::concat(&sums)
            },
            |x, k| x.cumsum(k),
        ),
        ("argmax", |x| x.argmax(), |x, k| x.argmax_axis(k)),
    ];
    for (name, of_vector, along) in cases {
        for axis in 0..3 {
            let (_, found, _) = value(&[shape], |p| along(p[0], axis));
            // The axis last, then vector by vector.
            let mut order: Vec<usize> = (0..3).filter(|&k| k != axis).collect();
            order.push(axis);
            let n = shape.axis(axis).unwrap();
            let count = shape.len() / n;
            let (_, expected, _) = value(&[shape], |p| {
                let rows = p[0].transpose(&order).reshape(Shape::Matrix(count, n));
                let each: Vec<Var<'_>> = (0..count)
                    .map(|i| of_vector(rows.slice(i, 1).reshape(Shape::Vector(n))))
                    .map(|y| y.reshape(Shape::Vector(y.shape().unwrap().len())))
                    .collect();
                let all = Var::concat(&each);
                let mut axes: Vec<usize> = order.iter().map(|&k| shape.axes()[k]).collect();
                axes[2] = all.shape().unwrap().len() / count;
                let mut back = [0; 3];
                order
                    .iter()
                    .enumerate()
                    .for_each(|(k, &axis)| back[axis] = k);
                all.reshape(Shape::from_axes(&axes).unwrap())
                    .transpose(&back)
            });
            near(name, &found, &expected);
        }
    }
}

#[test]
fn group_norm_normalises_each_group() {
    let (_, found, _) = value(&[Shape::Vector(6)], |p| p[0].group_norm(2, 0.1));
    let (_, expected, _) = value(&[Shape::Vector(6)], |p| {
        Var::concat(&[
            p[0].slice(0, 3).layer_norm(0.1),
            p[0].slice(3, 3).layer_norm(0.1),
        ])
    });
    near("group_norm", &found, &expected);
}

#[test]
fn operators_stretch_axes_of_length_1_and_no_others() {
    let (shape, y, data) = value(&[Shape::Tensor(2, 1, 3), Shape::Tensor(1, 2, 1)], |p| {
        p[0] * p[1]
    });
    assert_eq!(shape, Shape::Tensor(2, 2, 3));
    let expected = summed(
        "hj,i->hij",
        &[('h', 2), ('i', 2), ('j', 3)],
        &data[0],
        &data[1],
    );
    near("product", &y, &expected);
}

/// The message of the mistake.
fn mistake(f: impl for<'t> Fn(&'t Recorder) -> Var<'t>) -> String {
    let r = Recorder::new();
    f(&r);
    let error: TapeError = r.finish("mistake").map(|_: Tape| ()).unwrap_err();
    assert!(matches!(error, TapeError::TypeMismatch { .. }), "{error}");
    error.to_string()
}

#[test]
fn mistakes_name_the_operand_and_what_would_fit() {
    let says = |f: &dyn for<'t> Fn(&'t Recorder) -> Var<'t>, words: &[&str]| {
        let message = mistake(f);
        for word in words {
            assert!(message.contains(word), "{message}: {word}");
        }
    };
    fn w(r: &Recorder) -> Var<'_> {
        r.param("w", Shape::Tensor(2, 3, 4))
    }
    fn v(r: &Recorder) -> Var<'_> {
        r.param("v", Shape::Vector(2))
    }
    says(
        &|r| w(r) * v(r),
        &["`w` is [2,3,4], `v` is [2]", "`v` should be [2,3,4]"],
    );
    says(
        &|r| w(r).sum_axis(3),
        &["`w` should be a value with an axis 3"],
    );
    says(
        &|r| v(r).transpose(&[1, 0]),
        &["`v` should be a value of 2 axes"],
    );
    says(&|r| w(r).transpose(&[1, 1]), &["[1, 1] names once each"]);
    says(
        &|r| w(r).insert_axis(0),
        &["`w` is [2,3,4]", "at most 2 axes"],
    );
    says(
        &|r| v(r).expand(Shape::Matrix(2, 2)),
        &["a scalar, or [2,2] with any of its axes 1"],
    );
    says(&|r| w(r).softmax_axis(7), &["softmax_axis", "an axis 7"]);
    says(&|r| v(r).group_norm(3, 0.1), &["3 groups divide"]);
    says(&|r| w(r).matvec(v(r)), &["`v` should be [2,4]"]);
    says(&|r| v(r).matvec(w(r)), &["`v` should be a matrix"]);
    says(&|r| w(r).outer(v(r)), &["`w` should be a vector"]);
    says(&|r| w(r).softmax(), &["a vector", "softmax_axis"]);
    for (spec, words) in [
        ("hij,hj", "letters of two factors"),
        ("hij->h", "letters of two factors"),
        ("h1j,h->j", "`1` in `h1j,h->j` should be a letter"),
        ("hhj,h->j", "`h` should be there once in `hhj`"),
        ("hij,h->k", "`k` of the result should be in a factor"),
        (
            "hi,h->i",
            "the first factor of `hi,h->i` should have 2 axes",
        ),
        (
            "hij,i->j",
            "`i` of `hij,i->j` should be of one length, and is 3",
        ),
        ("hij,k->hijk", "at most 3 axes"),
    ] {
        says(
            &|r| w(r).einsum(spec, v(r)),
            &["`einsum` does not fit", "`w` is [2,3,4]", words],
        );
    }
}

#[test]
fn a_multi_head_matrix_memory_has_the_gradients_of_differences() {
    let (heads, d, width) = (2, 3, 4);
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(width));
    let split = |name: &str| {
        let w = r.param(name, Shape::Matrix(heads * d, width));
        w.matvec(x).reshape(Shape::Matrix(heads, d))
    };
    let (q, k, v) = (split("q"), split("k").softmax_axis(1), split("v"));
    let gate = |name: &str| {
        let w = r.param(name, Shape::Matrix(heads, width));
        w.matvec(x).reshape(Shape::Tensor(heads, 1, 1))
    };
    let c = r.state("c", Shape::Tensor(heads, d, d), 1, None);
    let next = gate("f").sigmoid() * c + gate("i").sigmoid() * v.outer(k);
    r.next(c, next);
    let mixed = r.param("mix", Shape::Tensor(heads, d, d));
    let h = mixed
        .einsum("hij,hj->hi", next.matvec(q))
        .rms_norm_axis(1, 0.1);
    r.output("h", h.cumsum(1));
    r.loss((h.group_norm(1, 0.1) * h.max_axis(1).insert_axis(1)).mean());
    let tape = r.finish("memory").unwrap();
    let t = Extent { steps: 3, rows: 2 };
    let data: Vec<Vec<f64>> = (tape.inputs().iter().enumerate())
        .map(|(i, input)| numbers(input.ty.numbers(t.steps, t.rows), i))
        .collect();
    let slices: Vec<&[f64]> = data.iter().map(Vec::as_slice).collect();
    gradcheck(&tape, t.steps, t.rows, &slices, Directions::Coordinates, 3).unwrap();
}

#[test]
fn a_part_is_gathered_along_any_axis() {
    let shapes = [
        Shape::Vector(5),
        Shape::Matrix(3, 4),
        Shape::Tensor(2, 3, 4),
    ];
    for shape in shapes {
        let axes = shape.axes();
        for axis in 0..shape.rank() {
            for at in 0..axes[axis] {
                let r = Recorder::new();
                let x = r.param("x", shape);
                let i = r.input("i", InputRole::Sequence, Shape::Scalar);
                // The first axis is the usual one, and a matrix's is the op itself.
                let part = match axis {
                    0 if at > 0 => x.gather(i),
                    _ => x.gather_axis(i, axis),
                };
                assert_eq!(part.shape(), shape.without_axis(axis));
                r.output("y", part.square());
                let tape = r.finish("gathered").unwrap();
                let x = numbers(shape.len(), 3);
                let inner: usize = axes[axis + 1..].iter().product();
                let chosen = |k: &usize| k / inner % axes[axis] == at;
                let expected = (0..shape.len()).filter(chosen).map(|k| x[k] * x[k]);
                let index = [at as f64];
                let mut run = Interpreter::<f64>::new(&tape);
                run.forward(Extent::steps(1), &[&x, &index]).unwrap();
                near(
                    &format!("{shape}, axis {axis}"),
                    run.output(0),
                    &expected.collect::<Vec<f64>>(),
                );
                let inputs: [&[f64]; 2] = [&x, &index];
                let report = gradcheck(&tape, 1, 1, &inputs, Directions::Coordinates, 1).unwrap();
                assert_eq!(report.checked, shape.len());
            }
        }
    }
    mistake_of_gather(|v, i| v.gather_axis(i, 1), "an axis 1");
    mistake_of_gather(|_, i| i.gather(i), "an axis 0");
    mistake_of_gather(|v, _| v.gather(v), "scalar");
}

fn mistake_of_gather(f: impl for<'t> Fn(Var<'t>, Var<'t>) -> Var<'t>, says: &str) {
    let r = Recorder::new();
    let v = r.param("v", Shape::Vector(3));
    let i = r.input("i", InputRole::Sequence, Shape::Scalar);
    r.output("y", f(v, i));
    let error = r.finish("wrong").unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}
