//! Programs that cannot run sample by sample.

use retrograd_graph::passes::Refused;
use retrograd_jit::{CompileError, CompiledCell, Purpose, Stepper, StepperError};

use super::{fixed, slices, tape};

#[test]
fn layers_that_read_from_the_end_are_refused_by_name() {
    let reverse = "cell both(x[3]; h[8], r[8] delay -1)
h' = tanh(dense(x, h))
r' = tanh(dense(x, r))
output y = dense[2](h', r')
";
    let tape = tape(reverse);
    let cell = CompiledCell::<f32>::compile(&tape, &Purpose::Forward).expect("it compiles");
    let made = cell.stepper(1, &slices(&fixed(&tape, 1)));
    let Err(StepperError::Compile(CompileError::Refused(Refused::Future(e)))) = made else {
        panic!("{made:?}")
    };
    assert_eq!(
        e.to_string(),
        "`both` cannot be run sample by sample: the state `r` reads the sequence from its end (delay -1)"
    );
}

#[test]
fn a_name_that_the_stream_needs_is_an_error() {
    let tape = tape("cell named(x[2]; h[2] init learned)\nh' = tanh(dense(x, h))\noutput y = h'\n");
    let mut graph = retrograd_graph::Graph::from_tape(&tape);
    let value = graph.outputs()[0].value;
    graph.output("initial(h)", retrograd_tape::OutputRole::Output, value);
    let refused = retrograd_graph::passes::streamed(&graph, &retrograd_graph::Options::verified())
        .expect_err("the name is taken");
    assert_eq!(
        refused.to_string(),
        "the stream adds an output `initial(h)`, and the program has one of that name already"
    );
}

#[test]
fn nothing_to_do_for_a_sample_is_an_error() {
    let tape = tape("cell idle(x[2])\ntarget next[2]\nloss mean(square(x - next))\n");
    let made = Stepper::<f32>::new(&tape, 1, &slices(&fixed(&tape, 1)));
    assert!(
        matches!(made, Err(StepperError::Compile(CompileError::Idle { .. }))),
        "{made:?}"
    );
}
