//! The text forms: how graphs are printed and read, and the cell files that people write.
//!
//! Both levels share one lexer. **The canonical form** of a graph is one op a line, in the order of [`Graph::order`]; it
//! holds all that makes two graphs differ, so that `parse_graph(print(g)) == g`. **A cell file** is read into a tree
//! ([`parse_cell`]), its names are looked up, its shapes inferred and the widths of its dense layers solved, and it is
//! recorded on a [`Target`] ([`record`]): a bare tape ([`read_tape`]) or a builder that knows how parameters start.
//! Invariant: no text makes the readers panic; a mistake is a [`TextError`] with its place and what was expected.
//!
//! # The canonical form
//!
//! ```text
//! graph    = "graph" word NEWLINE { line NEWLINE } ;          a line that begins with # is a comment
//! line     = value ":" type "=" ( role word | op [ value { "," value } ] ) [ "#" word ]
//!          | yield word "=" value ;
//! value    = "%" integer ;                                    defined above, but for a delay's first operand
//! type     = domain "[" [ integer [ "," integer ] ] "]" ;
//! domain   = "once" | "row" | "step" | "edge" integer ;
//! role     = "param" | "static" | "input" | "target" | "weight" | "mask" | "initial" | "cotangent" | "tangent" ;
//! yield    = "output" | "loss" | "final" | "gradient" | "tangent" | "observed" ;
//! op       = "const" number | "slice" integer ".." integer [ axis ] | "concat" [ axis ]
//!          | ( "outer" | "spread" | "sum_to" ) domain | "scatter" integer domain
//!          | ( "delay" | "boundary" ) [ "-" ] integer | NAME ;    any other op of the table
//! axis     = "axis" "=" integer ;
//! number   = [ "-" ] ( NUMBER | "inf" ) | "NaN" [ integer ] ; the bits of an unusual NaN
//! word     = characters up to a blank, or a quoted string ;
//! ```
//!
//! # Cell files
//!
//! ```text
//! cell     = "cell" NAME "(" [ inputs ] [ ";" [ states ] ] ")" [ "where" dims ] NEWLINE { line NEWLINE } ;
//! inputs   = [ kind ] NAME shape { "," [ kind ] NAME shape } ;        a mask also has its keep
//! states   = state { "," state } ;
//! dims     = NAME "=" expr { "," NAME "=" expr } ;                    the caller may give other values
//! shape    = [ "[" [ expr [ "," expr ] ] "]" ] ;                      none: a scalar
//! kind     = "input" | "static" | "mask" | "target" | "weight_input" ;
//! state    = NAME shape { "delay" expr | "init" ( "learned" | expr ) } ;
//! line     = NAME "=" expr                                            an equation
//!          | NAME "'" "=" expr                                        the next value of a state, usable below
//!          | kind NAME shape [ "keep" expr ]
//!          | "param" NAME shape [ "init" start ] | "state" state
//!          | "init" NAME "=" start                                    of a layer's parameter
//!          | "output" NAME [ "=" expr ] | "loss" expr | "weight" expr | "sum_loss" ;
//! start    = expr | "zeros" | "constant(" expr ")" | "uniform(" expr ")" | "fan_in" | "normal(" expr ")"
//!          | "identity" | "orthogonal" ;
//! expr     = sum [ ( "<" | "<=" | ">" | ">=" | "==" ) sum ] ;
//! sum      = product { ( "+" | "-" ) product } ;
//! product  = negation { ( "*" | "/" ) negation } ;
//! negation = "-" negation | factor ;
//! factor   = atom [ "@" factor ] ;                                    M @ v, or v @ M for the transposed M
//! atom     = NUMBER | NAME | "(" expr ")" | NAME [ "[" expr { "," expr } "]" ] "(" [ arg { "," arg } ] ")" ;
//! arg      = expr                                                     an operand
//!          | NAME ":" expr                                            an operand of a dense, and what it is called
//!          | NAME "=" ( expr | domain )                               an attribute
//!          | expr ".." expr | "[" expr { "," expr } "]" ;             a range, a shape
//! NAME     = letter { letter | digit | "_" | "." letter } { "'" } ;
//! ```
//!
//! `#` begins a comment. Ends of lines do not count inside brackets and after an operator. Words of the language are
//! names where `=` follows, so a gate may be called `input` or `output`. Functions are the element-wise ops of the table
//! by name, `square`, `softmax`, `layer_norm(x, eps=1e-5)`, `sum`, `mean`, `amax`, `dot`, `matvec`, `matvec_t`, `outer`,
//! `gather`, `concat(a, b, axis=0)`, `slice(x, 2..5, axis=0)`, `reshape(x, [2, 3])`, `broadcast(s, [4])`,
//! `delay(x, init, d=1)`, `boundary`, `spread(x, to=step)`, `sum_to(x, to=once)`, `scatter(i, v, rows=9, to=once)`, and the
//! layers `dense[n](x, h)`, `dense_no_bias`, `embedding[rows, n](i)`, whose parameters are called after the equation that
//! they stand in. A layer's n may be left out where its use says it. Scalars are repeated in element-wise ops.
//!
//! [`Graph::order`]: crate::Graph::order

mod ast;
mod build;
mod calls;
mod error;
mod expr;
mod layers;
mod lexer;
mod lower;
mod numbers;
mod parse;
mod print;
mod read;
mod sizes;
mod target;
mod typed;
mod values;

pub use ast::CellFile;
pub use build::{Places, read_tape, record};
pub use error::{Source, Span, TextError};
pub use parse::parse_cell;
pub use read::parse_graph;
pub use target::{Initial, Start, Target};
