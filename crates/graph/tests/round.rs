//! The pass *round*: what is rounded, and what becomes of it in the plan.

use retrograd_graph::passes::adjoint::Differentiate;
use retrograd_graph::passes::{self, Derivation};
use retrograd_graph::plan::{Item, Plan, plan, stream, walk};
use retrograd_graph::{Bf16, Graph, Options};
use retrograd_tape::{Map, Op};

const LSTM: &str = "cell lstm(x[16]; h[16], c[16])
i = sigmoid(dense(x, h))
f = sigmoid(dense(x, h))
g = tanh(dense(x, h))
o = sigmoid(dense(x, h))
c' = f * c + i * g
h' = o * tanh(c')
output y = dense[2](h')
target next[2]
loss mean(square(y - next))
";

const GRU: &str = "cell gru(x[5]; h[7])
z = sigmoid(dense(x, h))
r = sigmoid(dense(x, h))
m = r * dense(h)
n = tanh(dense(x) + m)
h' = (1 - z) * n + z * h
loss mean(square(h'))
";

/// Two layers, whose parameters meet.
const STACK: &str = "cell stack(x[8]; h[8], k[8])
h' = tanh(dense(x, h))
k' = tanh(dense(h', k))
loss mean(square(k'))
";

fn recorded(cell: &str) -> Graph {
    Graph::from_tape(&retrograd_text::read_tape("cell", cell, &[]).expect("it is a cell"))
}

fn options(bf16: Bf16) -> Options {
    Options::verified().with(|o| o.bf16 = bf16)
}

fn trained(cell: &str, options: &Options) -> (Graph, Plan) {
    let g = recorded(cell);
    let whole = [Derivation::Adjoint(Differentiate::loss(&g))];
    let g = passes::run(&g, &whole, options).expect("it is a program");
    let plan = plan(&g, options);
    (g, plan)
}

/// How often products round: an operand of two products is rounded once.
fn roundings(g: &Graph) -> usize {
    let rounds = |v: &retrograd_tape::Value| *g.op_of(*v) == Op::Map(Map::RoundBf16);
    g.order().iter().filter(|v| rounds(v)).count()
}

#[test]
fn kernels_that_round_need_no_array_and_no_loop_of_their_own() {
    for cell in [LSTM, GRU, STACK] {
        for each in [options(Bf16::Kernels)]
            .into_iter()
            .chain(Options::each_off().map(|(_, o)| o.with(|o| o.bf16 = Bf16::Kernels)))
        {
            let (_, rounded) = trained(cell, &each);
            let (_, whole) = trained(cell, &each.clone().with(|o| o.bf16 = Bf16::Off));
            let told = rounded.to_string();
            assert!(told.contains(", of bfloat16"), "{told}");
            assert_eq!(told.replace(", of bfloat16", ""), whole.to_string());
        }
    }
}

#[test]
fn all_weights_and_weight_gradients_are_rounded_by_their_kernels() {
    let (g, plan) = trained(LSTM, &options(Bf16::Kernels));
    // x, h before and after the step, both δ, and the weights of both layers forward and back.
    assert!(roundings(&g) >= 8, "{g}");
    assert!(plan.weights.values().all(|w| w.bf16), "{plan}");
    let sums = walk(&plan.items).filter_map(|item| match item {
        Item::Outer { bf16, .. } => Some(*bf16),
        _ => None,
    });
    let sums: Vec<bool> = sums.collect();
    assert!(!sums.is_empty() && sums.iter().all(|bf16| *bf16), "{plan}");
}

#[test]
fn ops_that_round_are_in_the_plan_and_products_are_whole() {
    let (g, plan) = trained(LSTM, &options(Bf16::Ops));
    assert!(roundings(&g) >= 8, "{g}");
    assert!(plan.weights.values().all(|w| !w.bf16), "{plan}");
    assert!(plan.to_string().contains("round_bf16"), "{plan}");
}

#[test]
fn without_the_option_nothing_is_rounded_but_what_the_program_rounds() {
    assert_eq!(roundings(&trained(LSTM, &options(Bf16::Off)).0), 0);
    let own = "cell own(x[4]; h[4])
h' = round_bf16(tanh(dense(x, h)))
loss mean(square(h'))
";
    let (g, plan) = trained(own, &options(Bf16::Off));
    assert!(
        roundings(&g) > 0 && plan.weights.values().all(|w| !w.bf16),
        "{g}"
    );
    // What the program rounds has an array, because others read it, too.
    let (_, plan) = trained(own, &options(Bf16::Kernels));
    assert!(plan.weights.values().all(|w| w.bf16), "{plan}");
    assert!(plan.to_string().contains("round_bf16"), "{plan}");
}

#[test]
fn products_with_constants_and_sums_are_not_rounded() {
    // The sum along an axis is a product with ones, and so is its gradient.
    let sums = "cell sums(x[6, 40]; h[6])
h' = 0.5 * h + sum(x, axis=1)
loss mean(square(h'))
";
    let (g, plan) = trained(sums, &options(Bf16::Kernels));
    assert_eq!(roundings(&g), 0, "{g}");
    assert!(plan.weights.values().all(|w| !w.bf16), "{plan}");
}

#[test]
fn a_stepper_has_rounded_weights_as_well() {
    let options = options(Bf16::Kernels).streaming();
    let left = passes::streamed(&recorded(GRU), &options).expect("it needs no later sample");
    let g = passes::run(&left.graph, &[], &options).expect("it is a program");
    let plan = stream(&g, &options);
    assert!(
        plan.weights.values().all(|w| w.bf16) && !plan.weights.is_empty(),
        "{plan}"
    );
}
