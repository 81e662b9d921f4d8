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
//! file     = { cell | function | use } ;                              the last cell is the file's
//! cell     = "cell" NAME "(" [ inputs ] [ ";" [ states ] ] ")" [ "where" dims ] NEWLINE { line NEWLINE } ;
//! function = "def" NAME [ "[" NAME { "," NAME } "]" ] "(" NAME { "," NAME } ")"
//!            ( "=" expr | "{" { line NEWLINE } "return" expr "}" ) ;
//! use      = "use" NAME { "as" NAME | "from" QUOTED } ;               of the zoo, or of a file
//! inputs   = [ kind ] input { "," [ kind ] input } ;
//! input    = NAME shape [ "keep" expr ] { "over" domain | "in" expr ".." expr } ;    a mask has its keep
//! states   = state { "," state } ;
//! dims     = NAME "=" expr { "," NAME "=" expr } ;                    the caller may give other values
//! shape    = [ "[" [ expr { "," expr } ] "]" ] ;                      up to three axes; none: a scalar
//! kind     = "input" | "static" | "mask" | "target" | "weight_input" ;
//! domain   = "step" | "row" | "once" | "slots" "(" expr ")" ;
//! state    = NAME shape { "delay" expr | "init" ( "learned" | expr ) } ;
//! line     = NAME "=" expr                                            an equation
//!          | NAME "'" "=" expr                                        the next value of a state, usable below
//!          | "layer" NAME "=" NAME [ sizes ] [ "(" args ")" ]         without operands: to be applied by name
//!          | "for" NAME "in" expr ".." expr [ "carrying" NAME "=" expr { "," NAME "=" expr } ] "{" { line NEWLINE } "}"
//!          | kind input | "param" NAME shape [ "init" start ] | "state" state
//!          | "init" NAME "=" start                                    of a layer's parameter
//!          | "output" NAME [ "=" expr ] | "loss" expr [ "weight" expr ] | "weight" expr | "sum_loss" ;
//! start    = "zeros" | "fan_in" | "glorot_uniform" | "glorot_normal" | "he_uniform" | "he_normal" | "identity" | "orthogonal"
//!          | expr [ "like" NAME ] ;          of numbers, uniform, normal, chrono, uniform_gate, index; or orthogonal(gain)
//! expr     = sum [ ( "<" | "<=" | ">" | ">=" | "==" ) sum ] ;
//! sum      = product { ( "+" | "-" ) product } ;
//! product  = negation { ( "*" | "/" ) negation } ;
//! negation = "-" negation | factor ;
//! factor   = power [ "@" factor ] ;                                   M @ v, or v @ M for the transposed M
//! power    = part [ "^" [ "-" ] power ] ;
//! part     = atom { "[" select { "," select } "]" } ;
//! select   = expr | [ expr ] ".." [ expr ] ;                          an index, or a range without its end
//! atom     = NUMBER | NAME | "(" expr ")" | NAME [ sizes ] "(" args ")" ;
//! sizes    = "[" expr { "," expr } "]" ;
//! args     = [ arg { "," arg } ] ;
//! arg      = expr                                                     an operand
//!          | NAME ":" expr                                            an operand by its name
//!          | NAME "=" ( expr | domain )                               an attribute or a dimension
//!          | expr ".." expr | "[" expr { "," expr } "]" | QUOTED ;    a range, a shape, letters of axes
//! NAME     = letter { letter | digit | "_" | "." ( letter | digit ) } { "'" } ;
//! ```
//!
//! `#` begins a comment. Ends of lines do not count inside brackets and after an operator. Words of the language are
//! names where `=` follows, so a gate may be called `input` or `output`. Functions are the element-wise ops of the
//! table by name; `sum`, `mean`, `amax`, of all elements, along `axis=` (with `keep=1`), or over the points that `to=`
//! lacks; `last(x)`, `first(x)`, `roll(x, 1, axis=0)`, `square`, `softmax(x, axis=0)`, `layer_norm(x, axis=-1,
//! eps=1e-5)`, `rms_norm`, `group_norm(x, groups=4)`, `cumsum(x, axis=0)`, `logsumexp`, `silu` (or `swish`), `gelu`,
//! `gelu_tanh`, `elu(x, alpha=1)`, `selu`, `hard_sigmoid`, `hard_tanh`, `leaky_relu(x, slope=0.01)`, `mish`, `mod(a,
//! b)`; `dot`, `matvec`, `matvec_t`, `outer`, `einsum("hij,hj->hi", C, q)`, `gather(M, i, axis=1)`, `transpose(C, [2,
//! 0, 1])`, `concat(a, b, axis=0)`, `slice(x, 2..5, axis=0)`, `reshape(x, [2, 3])`, `broadcast(s, [4])`, `delay(x,
//! init, d=1)`, `boundary`, `spread(x, to=step)`, `sum_to(x, to=once)`, `scatter(i, v, rows=9, to=once)`, `one_hot(i,
//! 10)`, `argmax(x, axis=0)`, `polar(r, angle)`, `complex_mul(a, b)`, `complex_conj`, `complex_abs`, `with_gradient(y,
//! of: z)`, `clip_gradient(x, 1)`, `gradient(e, of: W)`; and the layers `dense[n](x, h)`, with two sizes one per head,
//! `dense_no_bias`, `embedding[rows, n](i)`, `conv[steps](x)`, whose parameters are called after the equation that they
//! stand in, or as `name=` says. A function or a used cell with `reverse=1` runs from the end of a row. A layer's n may
//! be left out where its use says it. Scalars are repeated in element-wise ops, and axes of length 1 stretched.
//! Losses are `mse(y, t)`, `mae(y, t)`, `huber(y, t, delta=1)`, `log_cosh(y, t)`, `binary_cross_entropy(z, t)`,
//! `pinball(y, t, q=0.5)`, `gaussian_nll(y, t, log_variance)`, `student_t_nll(y, t, log_scale, df=5)`,
//! `cross_entropy(z, t, smoothing=0)` and `class_cross_entropy(z, t, w, smoothing=0)`.
//! `docs/LANGUAGE.md` explains all of it by examples.
#![forbid(unsafe_code)]

mod along;
mod ast;
mod block;
mod build;
mod calls;
mod error;
mod expr;
mod format;
mod given;
mod inline;
mod inputs;
mod layers;
mod lexer;
mod library;
mod lines;
mod lower;
mod numbers;
mod parse;
mod parts;
mod render;
mod repeat;
mod routine;
mod sizes;
mod source;
mod target;
mod typed;
mod values;
mod vocabulary;

pub use build::{SourceMap, read_tape, record, record_layer};
pub use error::TextError;
pub use format::format;
pub use library::{CellFile, Found, Wanted};
pub use parse::{parse_cell, parse_cell_with};
pub use source::{Source, Span};
pub use target::{Initial, RecordTarget};
pub use vocabulary::Vocabulary;
