//! Every op against PyTorch: values and gradients from `data/fixtures/ops.json`, which `data/fixtures/generate.py` wrote.

use retrograd_tape::Extent;
use std::collections::BTreeSet;

use retrograd_tape::{
    Domain, InputRole, Interpreter, Map, Op, Permutation, Recorder, Reduction, Shape, Var,
};
use serde_json::Value as Json;

fn numbers(v: &Json) -> Vec<f64> {
    v.as_array()
        .expect("a list")
        .iter()
        .map(|x| x.as_f64().expect("a number"))
        .collect()
}

fn shape(v: &Json) -> Shape {
    let axes: Vec<usize> = numbers(v).into_iter().map(|n| n as usize).collect();
    match axes[..] {
        [] => Shape::Scalar,
        [n] => Shape::Vector(n),
        [m, n] => Shape::Matrix(m, n),
        [h, m, n] => Shape::Tensor(h, m, n),
        _ => panic!("{axes:?}"),
    }
}

fn domain(v: &Json) -> Domain {
    let v = v.as_str().expect("a domain");
    match v {
        "once" => Domain::Once,
        "row" => Domain::Row,
        "step" => Domain::Step,
        _ => Domain::BoundarySlots(v.strip_prefix("edge ").expect("slots").parse().unwrap()),
    }
}

fn op(case: &Json) -> Op {
    let size = |key: &str| case[key].as_u64().unwrap_or_else(|| panic!("{key}")) as usize;
    let name = case["op"].as_str().expect("a name");
    match name {
        "sum" => Op::Reduce(Reduction::Sum),
        "mean" => Op::Reduce(Reduction::Mean),
        "amax" => Op::Reduce(Reduction::Max),
        "sum_axis" | "mean_axis" | "amax_axis" => Op::ReduceAxis {
            kind: match name {
                "sum_axis" => Reduction::Sum,
                "mean_axis" => Reduction::Mean,
                _ => Reduction::Max,
            },
            axis: size("axis"),
        },
        "transpose" => {
            let axes: Vec<usize> = numbers(&case["axes"]).iter().map(|&x| x as usize).collect();
            Op::Transpose(Permutation::new(&axes).expect("each axis once"))
        }
        "dot" => Op::Dot,
        "broadcast" => Op::Broadcast(shape(&case["shape"])),
        "reshape" => Op::Reshape(shape(&case["shape"])),
        "concat" => Op::Concat { axis: size("axis") },
        "slice" => Op::Slice {
            axis: size("axis"),
            start: size("start"),
            len: size("len"),
        },
        "matvec" => Op::MatVec { transposed: false },
        "matvec_t" => Op::MatVec { transposed: true },
        "outer" => Op::Outer {
            to: domain(&case["to"]),
        },
        "gather" => Op::Gather,
        "scatter" => Op::Scatter {
            rows: size("rows"),
            to: domain(&case["to"]),
        },
        "delay" => Op::Delay(case["d"].as_i64().expect("d") as i32),
        "boundary" => Op::Boundary(case["d"].as_i64().expect("d") as i32),
        "spread" => Op::Spread(domain(&case["to"])),
        "sum_to" => Op::SumTo(domain(&case["to"])),
        _ => Op::Map(Map::by_name(name).unwrap_or_else(|| panic!("no op `{name}`"))),
    }
}

/// Every number is a sum of at most 24 products of factors up to about 10 through at most one function of at most 16 ulp:
/// with n roundings of terms of sum S, n·ε·S < 40 · 2.2e-16 · 100 < 1e-12 where the values are about 1, and as a share of
/// the value where they are greater.
fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (f, e) in found.iter().zip(expected) {
        assert!(
            (f - e).abs() <= 1e-12 * e.abs().max(1.0),
            "{what}: {f} should be {e}"
        );
    }
}

fn check(case: &Json, t: usize, b: usize) {
    let op = op(case);
    let what = format!("{op} of {}", case["operands"]);
    let operands = case["operands"].as_array().expect("operands");
    let r = Recorder::new();
    let delay = matches!(op, Op::Delay(_) | Op::Boundary(_));
    let xs: Vec<Var<'_>> = (operands.iter().enumerate())
        .take(if delay { 1 } else { operands.len() })
        .map(|(i, x)| {
            let role = match domain(&x["domain"]) {
                Domain::Once => InputRole::Param,
                Domain::Row => InputRole::Static,
                Domain::Step => InputRole::Sequence,
                Domain::BoundarySlots(_) => InputRole::Initial,
            };
            r.input(&format!("x{i}"), role, shape(&x["shape"]))
        })
        .collect();
    match op {
        Op::Delay(d) | Op::Boundary(d) => {
            let s = r.state("s", xs[0].shape().unwrap(), d, None);
            r.next(s, xs[0]);
            if matches!(op, Op::Delay(_)) {
                r.output("y", s);
            }
        }
        _ => r.output("y", r.apply(op, &xs)),
    }
    let tape = r.finish("case").unwrap();
    assert_eq!(
        tape.node(tape.outputs()[0].value).ty.domain,
        domain(&case["domain"]),
        "{what}"
    );
    let data: Vec<Vec<f64>> = operands.iter().map(|x| numbers(&x["data"])).collect();
    let data: Vec<&[f64]> = data.iter().map(Vec::as_slice).collect();
    let mut run = Interpreter::<f64>::new(&tape);
    run.forward(Extent { steps: t, rows: b }, &data).unwrap();
    assert_close(
        &format!("value of {what}"),
        run.output(0),
        &numbers(&case["value"]),
    );
    let cotangent = numbers(&case["cotangent"]);
    let mut cotangents = vec![None; tape.outputs().len()];
    cotangents[0] = Some(&cotangent[..]);
    run.backward(&cotangents).unwrap();
    for (i, expected) in case["gradients"].as_array().unwrap().iter().enumerate() {
        let found = run.gradient(i);
        let what = format!("gradient {i} of {what}");
        match (found, expected) {
            (None, Json::Null) => {}
            (Some(found), Json::Null) => assert_close(&what, found, &vec![0.0; found.len()]),
            (found, _) => {
                // `sign` and the like: PyTorch says zeros where we say that nothing flows.
                let zeros = vec![0.0; data[i].len()];
                assert_close(&what, found.unwrap_or(&zeros), &numbers(expected));
            }
        }
    }
}

#[test]
fn every_op_equals_pytorch_in_value_and_gradients() {
    let file: Json =
        serde_json::from_str(include_str!("../../../data/fixtures/ops.json")).expect("JSON");
    let (t, b) = (file["T"].as_u64().unwrap(), file["B"].as_u64().unwrap());
    let cases = file["cases"].as_array().expect("cases");
    for case in cases {
        check(case, t as usize, b as usize);
    }
    let covered: BTreeSet<&str> = cases.iter().map(|c| op(c).name()).collect();
    let computed = Op::each().filter(|op| op.arity() != Some(0));
    let all: BTreeSet<&str> = computed.map(|op| op.name()).collect();
    assert_eq!(covered, all);
}
