//! The loops of docs/SECOND-AXIS.md give what attention gives, and hold no array over both axes: the example says so.

#[path = "../examples/attention_in_blocks.rs"]
mod attention_in_blocks;

#[test]
fn attention_in_blocks_is_attention() {
    attention_in_blocks::main();
}
