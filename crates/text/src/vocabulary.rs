//! The words of the language, for editors.

use retrograd_tape::{Composite, Op};

use crate::along::ALONG;
use crate::calls::LAYERS;
use crate::lines::LINES;
use crate::stack::STACK;

/// The words of the language and the functions that need no definition, each list sorted.
///
/// ```
/// use retrograd_text::Vocabulary;
///
/// let words = Vocabulary::new();
/// assert!(words.lines.contains(&"output") && words.within.contains(&"where"));
/// assert!(words.functions.contains(&"tanh") && words.functions.contains(&"dense"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vocabulary {
    /// Words that a line begins with, unless `=` follows.
    pub lines: Vec<&'static str>,
    /// Words within a line.
    pub within: Vec<&'static str>,
    /// Domains.
    pub domains: Vec<&'static str>,
    /// Rules by which parameters start.
    pub starts: Vec<&'static str>,
    /// Functions and layers.
    pub functions: Vec<&'static str>,
}

impl Vocabulary {
    /// All of them.
    pub fn new() -> Vocabulary {
        let layers = LAYERS.into_iter().chain(["gradient", STACK]);
        let along = ALONG.iter().map(|(name, _)| *name);
        let composites = Composite::ALL.iter().map(|c| c.name).chain(["swish"]);
        let ops = Op::each().map(|op| op.name());
        // What a call records otherwise, or by itself: constants are numbers, and an axis is an attribute.
        let called = |name: &&str| !matches!(*name, "const" | "zeros") && !name.ends_with("_axis");
        let functions = layers
            .chain(along)
            .chain(composites)
            .chain(ops.filter(called));
        Vocabulary {
            lines: sorted(LINES),
            within: sorted([
                "where", "keep", "over", "in", "delay", "init", "learned", "from", "as",
                "carrying", "return", "weight", "like",
            ]),
            domains: sorted(["step", "row", "once", "slots"]),
            starts: sorted([
                "zeros",
                "fan_in",
                "glorot_uniform",
                "glorot_normal",
                "he_uniform",
                "he_normal",
                "identity",
                "orthogonal",
            ]),
            functions: sorted(functions),
        }
    }
}

impl Default for Vocabulary {
    fn default() -> Vocabulary {
        Vocabulary::new()
    }
}

fn sorted(words: impl IntoIterator<Item = &'static str>) -> Vec<&'static str> {
    let mut words: Vec<&str> = words.into_iter().collect();
    words.sort_unstable();
    words.dedup();
    words
}
