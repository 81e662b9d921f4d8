//! [`Purpose`]: what a program is compiled for, by the names of its inputs and outputs.

use retrograd_graph::Graph;
use retrograd_graph::passes::Derivation;
use retrograd_graph::passes::adjoint::{Differentiate, Seed};
use retrograd_graph::passes::tangent::Tangents;
use retrograd_tape::{InputRole, OutputRole, Tape};

use crate::error::CompileError;

/// What to compile a program for. Every purpose includes the program's outputs, its loss and its final states.
#[derive(Clone, Debug, Default)]
pub enum Purpose {
    /// Outputs, loss and final states only.
    #[default]
    Forward,
    /// Also the gradients of the loss with respect to all parameters.
    Train,
    /// Also these gradients.
    Gradients {
        /// Names of outputs whose cotangents are inputs named `cot(<output>)`; omitted ones are zeros.
        given: Vec<String>,
        /// Differentiate the loss too, with cotangent 1.
        loss: bool,
        /// Names of the inputs whose gradients become outputs named `grad(<input>)`.
        wrt: Vec<String>,
    },
    /// Also the product J·v of the outputs' Jacobian with a vector (forward mode).
    JacobianVector {
        /// Names of the inputs that vary. The direction, v, is inputs of the same types named `tan(<input>)`.
        along: Vec<String>,
        /// Names of the outputs (the loss and final states among them) whose tangents become outputs of the same types
        /// named `tan(<output>)`.
        of: Vec<String>,
    },
    /// Also gradients as [`Purpose::Gradients`], and their derivatives along inputs: with L = loss + Σ
    /// cotangent·output, the cotangents held fixed, the product H·v of ∂²L ÷ ∂wrt ∂along with a vector.
    HessianVector {
        /// As for `Gradients`.
        given: Vec<String>,
        /// As for `Gradients`.
        loss: bool,
        /// As for `Gradients`: the rows of H. Each input also gets its part of H·v, an output of the input's type named
        /// `tan(grad(<input>))`.
        wrt: Vec<String>,
        /// Names of the inputs that vary, the columns of H. The direction, v, is inputs named `tan(<input>)`.
        along: Vec<String>,
    },
}

impl Purpose {
    /// The gradients with respect to every input that has one, with a cotangent input for every output that is not the
    /// loss.
    pub fn everything(tape: &Tape) -> Purpose {
        Purpose::Gradients {
            given: tape
                .outputs()
                .iter()
                .filter(|o| o.role != OutputRole::Loss)
                .map(|o| o.name.to_string())
                .collect(),
            loss: tape.outputs().iter().any(|o| o.role == OutputRole::Loss),
            wrt: tape.inputs().iter().map(|i| i.name.to_string()).collect(),
        }
    }

    /// The product of the Hessian of the loss with respect to all parameters and a vector.
    ///
    /// ```
    /// use retrograd_jit::{CompiledCell, Purpose};
    /// use retrograd_tape::{Extent, Recorder, InputRole, Shape};
    ///
    /// let r = Recorder::new();
    /// let x = r.input("x", InputRole::Sequence, Shape::Scalar);
    /// let a = r.param("a", Shape::Scalar);
    /// let h = r.state("h", Shape::Scalar, 1, None);
    /// let h = r.next(h, a * h + x);
    /// r.loss(h.square());
    /// let tape = r.finish("leaky")?;
    ///
    /// let mut cell = CompiledCell::<f64>::compile(&tape, &Purpose::hessian_vector(&tape))?;
    /// let names: Vec<&str> = cell.inputs().iter().map(|i| &*i.name).collect();
    /// assert_eq!(names, ["x", "a", "h", "tan(a)"]);
    /// let names: Vec<&str> = cell.outputs().iter().map(|o| &*o.name).collect();
    /// assert_eq!(names, ["loss", "h", "grad(a)", "tan(grad(a))"]);
    /// // Two steps from 0 with x = 1: the loss is (1 + (1 + a)²) ÷ 2, its slope 1 + a, its second derivative 1.
    /// let (mut slope, mut second) = ([0.0], [0.0]);
    /// let x = [1.0, 1.0];
    /// let out = &mut [&mut [][..], &mut [], &mut slope, &mut second];
    /// cell.run(Extent::steps(2), &[&x, &[0.5], &[], &[1.0]], out)?;
    /// assert_eq!((slope, second), ([1.5], [1.0]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hessian_vector(tape: &Tape) -> Purpose {
        let parameters = tape.inputs().iter().filter(|i| i.role == InputRole::Param);
        let wrt: Vec<String> = parameters.map(|i| i.name.to_string()).collect();
        Purpose::HessianVector {
            given: Vec::new(),
            loss: true,
            along: wrt.clone(),
            wrt,
        }
    }

    /// The differentiations for this purpose, in order, as the passes' driver takes them.
    ///
    /// # Errors
    /// [`CompileError::Differentiate`] if there is no loss or no input or output of that name, or one is named twice.
    pub fn derivations(&self, g: &Graph) -> Result<Vec<Derivation>, CompileError> {
        Ok(match self {
            Purpose::Forward => Vec::new(),
            Purpose::Train => {
                the_loss(g)?;
                vec![Derivation::Adjoint(Differentiate::loss(g))]
            }
            Purpose::Gradients { given, loss, wrt } => {
                vec![Derivation::Adjoint(gradients(g, given, *loss, wrt)?)]
            }
            Purpose::JacobianVector { along, of } => vec![Derivation::Tangent(Tangents {
                along: inputs(g, along)?,
                of: outputs(g, of)?,
            })],
            Purpose::HessianVector {
                given,
                loss,
                wrt,
                along,
            } => {
                let first = gradients(g, given, *loss, wrt)?;
                let second = Tangents::of_gradients(g, &first, inputs(g, along)?);
                vec![Derivation::Adjoint(first), Derivation::Tangent(second)]
            }
        })
    }
}

fn gradients(
    g: &Graph,
    given: &[String],
    loss: bool,
    wrt: &[String],
) -> Result<Differentiate, CompileError> {
    let mut seeds = Vec::new();
    if loss {
        seeds.push((the_loss(g)?, Seed::One));
    }
    seeds.extend(outputs(g, given)?.into_iter().map(|o| (o, Seed::Given)));
    Ok(Differentiate {
        seeds,
        wrt: inputs(g, wrt)?,
    })
}

fn the_loss(g: &Graph) -> Result<usize, CompileError> {
    let loss = g.outputs().iter().position(|o| o.role == OutputRole::Loss);
    loss.ok_or_else(|| CompileError::Differentiate(format!("`{}` has no loss", g.name())))
}

fn inputs(g: &Graph, names: &[String]) -> Result<Vec<usize>, CompileError> {
    let known: Vec<&str> = g.inputs().iter().map(|i| &*i.name).collect();
    positions("input", &known, names)
}

fn outputs(g: &Graph, names: &[String]) -> Result<Vec<usize>, CompileError> {
    let known: Vec<&str> = g.outputs().iter().map(|o| &*o.name).collect();
    positions("output", &known, names)
}

/// The positions of names among the known ones; each may be requested once.
fn positions(what: &str, known: &[&str], names: &[String]) -> Result<Vec<usize>, CompileError> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let mistake = match known.iter().position(|k| k == name) {
            Some(i) if !found.contains(&i) => {
                found.push(i);
                continue;
            }
            Some(_) => format!("{what} `{name}` is named twice"),
            None => format!("there is no {what} `{name}`"),
        };
        return Err(CompileError::Differentiate(mistake));
    }
    Ok(found)
}
