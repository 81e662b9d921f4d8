//! *stack_products*: fewer, larger products.
//!
//! Within one component only (stacking across its border would tie W x to U h and pull it back into the loop):
//!
//! - sums are put in order: products outside the recurrence first, then biases, then its own products, then the rest;
//! - products that are summed become one with joined operands: Σ Uᵢᵀ δᵢ = [U₁;U₂…]ᵀ [δ₁;δ₂…];
//! - products that share their operand become one with stacked weights, gates of one activation side by side:
//!   Wᵢ x = slice of [W₁;W₂…] x;
//! - slices of two such stacks that are added pairwise are slices of their sum, which is one accumulation; likewise
//!   slices that biases are added to;
//! - weight gradients Σ δᵢ xᵀ and Σ δᵢ that share x become one of the joined δ.

mod gradients;
mod groups;
mod stacks;
mod sums;

use retrograd_tape::{Op, Value};

use crate::graph::Graph;
use crate::options::{Bf16, Options};
use crate::passes::simplify::simplify;
use gradients::{bias_gradients, gradients};
use groups::Rules;
use stacks::{add_stacks, stacks};
use sums::sums;

/// Stacks products. With [`Options::distribute`], those of one component; without, for a plan with one loop per direction,
/// those of one direction, which also turns W x + U h into one product of x and h copied side by side. If
/// [`Options::bf16`] asks for rounding, products with constants, which *round* leaves as they are, are stacked with each
/// other only.
pub fn stack_products(g: &Graph, options: &Options) -> Graph {
    let is_product = |&v: &Value| matches!(g.op_of(v), Op::MatVec { .. } | Op::Outer { .. });
    if !g.order().iter().any(is_product) {
        return g.clone();
    }
    let rules = Rules {
        distribute: options.distribute,
        rounds: options.bf16 != Bf16::Off,
    };
    let g = sums(g, rules);
    let g = simplify(&stacks(&g, rules), true);
    let g = add_stacks(g);
    let g = simplify(&gradients(&g, rules), true);
    simplify(&bias_gradients(&g), true)
}
