//! The canonical text form of a graph: how it is printed and read.
//!
//! One op per line, in the order of [`Graph::order`]. The text contains everything that distinguishes two graphs, so
//! that `parse_graph(print(g)) == g`. Invariant: no text makes the reader panic; a mistake is a [`ReadError`] with its
//! position and what was expected. The language of cell files has a crate of its own, `retrograd-text`.
//!
//! # Grammar
//!
//! ```text
//! graph    = "graph" word NEWLINE { line NEWLINE } ;          a line that begins with # is a comment
//! line     = value ":" type "=" ( role word | op [ value { "," value } ] ) [ "#" word ]
//!          | output word "=" value ;
//! value    = "%" integer ;                                    defined above, but for a delay's first operand
//! type     = domain "[" [ integer [ "," integer ] ] "]" ;
//! domain   = "once" | "row" | "step" | "slots" integer ;
//! role     = "param" | "static" | "input" | "target" | "weight" | "mask" | "initial" | "cotangent" | "tangent" ;
//! output   = "output" | "loss" | "final" | "gradient" | "tangent" | "observed" ;
//! op       = "const" number | "slice" integer ".." integer [ axis ] | "concat" [ axis ]
//!          | ( "outer" | "spread" | "sum_to" ) domain | "scatter" integer domain
//!          | ( "delay" | "boundary" ) [ "-" ] integer | NAME ;    any other op of the table
//! axis     = "axis" "=" integer ;
//! number   = [ "-" ] ( NUMBER | "inf" ) | "NaN" [ integer ] ; the bits of an unusual NaN
//! word     = characters up to a blank, or a quoted string ;
//! ```
//!
//! [`Graph::order`]: crate::Graph::order

mod cursor;
mod print;
mod read;

pub use cursor::ReadError;
pub use read::parse_graph;
