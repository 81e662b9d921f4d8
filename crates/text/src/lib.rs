//! The language of cell files: the equations of a recurrent cell as text, read and recorded on a tape.
//!
//! A cell file is read into a tree ([`parse_cell`]). Its names are looked up, its shapes inferred and the widths of its
//! dense layers solved from their use, and it is recorded on a [`RecordTarget`] ([`record`]): a bare tape ([`read_tape`]) or a
//! builder that also knows how parameters start. A mistake is a [`TextError`], which displays itself with the file, the
//! line, carets under the place, what was expected and, where it can tell, what was meant.
//!
//! ```
//! use retrograd_tape::Shape;
//!
//! let text = "
//!     cell rnn(x[I]; h[H]) where I=4, H=16
//!     h' = tanh(dense(x, h))
//!     output y = dense[1](h')";
//! let tape = retrograd_text::read_tape("rnn.cell", text, &[("H", 32)])?;
//! let weight = tape.input("h.x").expect("the dense layer has a weight for x");
//! assert_eq!(tape.inputs()[weight].ty.shape, Shape::Matrix(32, 4));
//!
//! let wrong = retrograd_text::read_tape("rnn.cell", &text.replace("tanh", "tahn"), &[]);
//! let message = wrong.expect_err("there is no tahn").to_string();
//! assert!(message.contains("rnn.cell:3:10") && message.contains("did you mean `tanh`?"));
//! # Ok::<(), retrograd_text::TextError>(())
//! ```
//!
//! Invariant: no text makes the reader panic. Texts of more than 16 MiB and expressions of more than 200 levels are
//! refused, and so are numbers that `f64` does not hold.
//!
//! # Grammar
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
//!          | NAME ":" expr                                            an operand, and what it is called
//!          | NAME "=" ( expr | domain )                               an attribute
//!          | expr ".." expr | "[" expr { "," expr } "]" ;             a range, a shape
//! NAME     = letter { letter | digit | "_" | "." letter } { "'" } ;
//! ```
//!
//! `#` begins a comment. Ends of lines do not count inside brackets and after an operator. Words of the language are
//! names where `=` follows, so a gate may be called `input` or `output`. Functions are the element-wise ops of the table
//! by name, `square`, `silu`, `gelu`, `gelu_tanh`, `elu(x, alpha=1)`, `selu`, `hard_sigmoid`, `hard_tanh`,
//! `leaky_relu(x, slope=0.01)`, `mish`, `mod(a, b)`, `with_gradient(y, of: z)`, `clip_gradient(x, 1)`, `logsumexp`, `argmax`, `one_hot(i, 10)`, `softmax`, `layer_norm(x, eps=1e-5)`, `sum`,
//! `mean`, `amax`, `dot`, `matvec`, `matvec_t`, `outer`, `gather`, `concat(a, b, axis=0)`, `slice(x, 2..5, axis=0)`, `reshape(x, [2, 3])`, `broadcast(s, [4])`,
//! `delay(x, init, d=1)`, `boundary`, `spread(x, to=step)`, `sum_to(x, to=once)`, `scatter(i, v, rows=9, to=once)`, and the
//! layers `dense[n](x, h)`, `dense_no_bias`, `embedding[rows, n](i)`, whose parameters are called after the equation that
//! they stand in. A layer's n may be left out where its use says it. Scalars are repeated in element-wise ops.
#![forbid(unsafe_code)]

mod along;
mod ast;
mod block;
mod build;
mod calls;
mod error;
mod expr;
mod layers;
mod lexer;
mod library;
mod lines;
mod lower;
mod numbers;
mod parse;
mod parts;
mod render;
mod routine;
mod sizes;
mod source;
mod target;
mod typed;
mod values;

pub use build::{SourceMap, read_tape, record, record_layer};
pub use error::TextError;
pub use library::{CellFile, Found, Wanted};
pub use parse::{parse_cell, parse_cell_with};
pub use source::{Source, Span};
pub use target::{Initial, Initialiser, RecordTarget};
