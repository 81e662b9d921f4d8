//! Functions of several ops whose axes or points have a say: what shape they give, and how they are recorded.

use retrograd_tape::{Domain, Var};

use crate::ast::{Expr, ExprKind};
use crate::calls::Args;
use crate::error::TextError;
use crate::lower::Lower;
use crate::sizes::{Form, Size};
use crate::typed::{Typed, TypedKind};

/// A function along axes or over points, with its attributes.
#[derive(Clone, Debug)]
pub(crate) enum Along {
    Square,
    Softmax(Option<usize>),
    LayerNorm(Option<usize>, f64),
    LogSumExp(Option<usize>),
    RmsNorm(usize, f64),
    GroupNorm(usize, f64),
    Cumsum(usize),
    /// Of two factors, by its specification.
    Einsum(String),
    /// The mean over what a domain lacks.
    MeanTo(Domain),
    /// The greatest of a row's steps, by a state of this name.
    MaxOverSteps(String),
    /// A row's last step.
    Last,
    /// Its first step.
    First,
    /// Moved round the end of an axis.
    Roll(i64, usize),
    /// A whole power.
    Powi(i32),
    /// Of complex numbers, whose first axis has the real and the imaginary parts.
    Polar,
    ComplexMul,
    ComplexConj,
    ComplexAbs,
    /// Of so many numbers, one that is 1.
    OneHot(usize),
    /// The index of the first of the greatest elements.
    ArgMax(Option<usize>),
    /// What is at an index along an axis.
    Gather(usize),
}

/// Their names, with the attributes that they take.
pub(crate) const ALONG: [(&str, &[&str]); 17] = [
    ("square", &[]),
    ("softmax", &["axis"]),
    ("layer_norm", &["axis", "eps"]),
    ("logsumexp", &["axis"]),
    ("rms_norm", &["axis", "eps"]),
    ("group_norm", &["groups", "eps"]),
    ("cumsum", &["axis"]),
    ("einsum", &[]),
    ("last", &[]),
    ("first", &[]),
    ("roll", &["axis"]),
    ("polar", &[]),
    ("complex_mul", &[]),
    ("complex_conj", &[]),
    ("complex_abs", &[]),
    ("one_hot", &[]),
    ("argmax", &["axis"]),
];

/// What normalisations add to a variance unless the call says it, as PyTorch's.
const EPS: f64 = 1e-5;

impl Along {
    /// Records the function of its operands.
    pub(crate) fn record<'t>(&self, xs: &[Var<'t>]) -> Var<'t> {
        let x = xs[0];
        match self {
            Along::Square => x.square(),
            Along::Softmax(None) => x.softmax(),
            Along::Softmax(Some(axis)) => x.softmax_axis(*axis),
            Along::LayerNorm(None, eps) => x.layer_norm(*eps),
            Along::LayerNorm(Some(axis), eps) => x.layer_norm_axis(*axis, *eps),
            Along::LogSumExp(None) => x.logsumexp(),
            Along::LogSumExp(Some(axis)) => x.logsumexp_axis(*axis),
            Along::RmsNorm(axis, eps) => x.rms_norm_axis(*axis, *eps),
            Along::GroupNorm(groups, eps) => x.group_norm(*groups, *eps),
            Along::Cumsum(axis) => x.cumsum(*axis),
            Along::Einsum(spec) => x.einsum(spec, xs[1]),
            Along::MeanTo(to) => x.mean_to(*to),
            Along::MaxOverSteps(name) => x.max_over_steps(name),
            Along::Last => x.last(),
            Along::First => x.first(),
            Along::Roll(shift, axis) => x.roll(*shift, *axis),
            Along::Powi(n) => x.powi(*n),
            Along::Polar => x.polar(xs[1]),
            Along::ComplexMul => x.complex_mul(xs[1]),
            Along::ComplexConj => x.complex_conj(),
            Along::ComplexAbs => x.complex_abs(),
            Along::OneHot(n) => x.one_hot(*n),
            Along::ArgMax(None) => x.argmax(),
            Along::ArgMax(Some(axis)) => x.argmax_axis(*axis),
            Along::Gather(axis) => x.gather_axis(xs[1], *axis),
        }
    }
}

impl Lower<'_> {
    /// Resolves the call of one of them; `None` if there is none of this name.
    pub(crate) fn along(&mut self, args: &Args<'_>) -> Result<Option<Typed>, TextError> {
        let name = args.function.text.as_str();
        if !ALONG.iter().any(|(known, _)| *known == name) {
            return Ok(None);
        }
        match name {
            "einsum" => return self.einsum(args).map(Some),
            "one_hot" => return self.one_hot(args).map(Some),
            "roll" => return self.roll(args).map(Some),
            "polar" | "complex_mul" | "complex_conj" | "complex_abs" => {
                return self.complex(args).map(Some);
            }
            _ => {}
        }
        let x = self.one(args)?;
        let eps = args.attribute("eps").map_or(Ok(EPS), |e| self.number(e))?;
        let axis = args
            .attribute("axis")
            .map(|e| self.axis_of(e, &x))
            .transpose()?;
        // Without an axis it is the last one.
        let along = match (axis, x.form.rank()) {
            (Some(axis), _) => axis,
            (None, rank) => rank.saturating_sub(1),
        };
        // A vector's have ops of their own.
        let last = (x.form.rank() > 1).then_some(along);
        let function = match name {
            "square" => Along::Square,
            "softmax" => Along::Softmax(axis.or(last)),
            "layer_norm" => Along::LayerNorm(axis.or(last), eps),
            "logsumexp" => Along::LogSumExp(axis.or(last)),
            "argmax" => Along::ArgMax(axis.or(last)),
            // Where time runs backwards, the last step comes first.
            "last" if self.frame().reversed => Along::First,
            "first" if self.frame().reversed => Along::Last,
            "last" => Along::Last,
            "first" => Along::First,
            _ if x.form == Form::Scalar => {
                let message = format!("`{name}` needs an axis, and this is a scalar");
                return Err(self.error(x.span, message, "expected a vector or more"));
            }
            "rms_norm" => Along::RmsNorm(along, eps),
            "cumsum" => Along::Cumsum(along),
            _ => {
                let groups = self.needed(args, "groups")?;
                let (groups, n) = (self.whole(groups)?, self.sizes.get(x.form.sizes()[0]));
                if groups == 0 || matches!(n, Size::Known(n) if n % groups > 0) {
                    let message = format!("{n} numbers are no {groups} groups of equal size");
                    let label = "expected a number of groups that divides the first axis";
                    return Err(self.error(args.span, message, label));
                }
                Along::GroupNorm(groups, eps)
            }
        };
        let form = match function {
            Along::LogSumExp(Some(axis)) | Along::ArgMax(Some(axis)) => x.form.without_axis(axis),
            Along::LogSumExp(None) | Along::ArgMax(None) => Form::Scalar,
            _ => x.form,
        };
        let span = args.span;
        let kind = TypedKind::Along(function, vec![x]);
        Ok(Some(Typed { kind, form, span }))
    }

    /// `polar(r, angle)`, `complex_mul(a, b)`, `complex_conj(a)`, `complex_abs(a)`
    fn complex(&mut self, args: &Args<'_>) -> Result<Typed, TextError> {
        let name = args.function.text.as_str();
        let function = match name {
            "polar" => Along::Polar,
            "complex_mul" => Along::ComplexMul,
            "complex_conj" => Along::ComplexConj,
            _ => Along::ComplexAbs,
        };
        let count = match function {
            Along::Polar | Along::ComplexMul => 2,
            _ => 1,
        };
        let xs = self.operands(args, count)?;
        let polar = matches!(function, Along::Polar);
        for x in &xs {
            let first = x.form.axis(0);
            let fits = match polar {
                true => x.form.rank() < 3,
                false => first.is_some_and(|n| self.sizes.join(n, Size::Known(2))),
            };
            if !fits {
                let found = self.sizes.form(x.form);
                let message = format!("`{name}` cannot take {found}");
                let label = match polar {
                    true => "expected a vector or a matrix of real numbers",
                    false => "expected a first axis of 2, for real and imaginary parts",
                };
                return Err(self.error(x.span, message, label));
            }
        }
        let mut form = xs[0].form;
        if let [a, b] = &xs[..] {
            form = match self.sizes.stretch(a.form, b.form) {
                Some(form) => form,
                None => return Err(self.mismatch(name, (a.form, a.span), (b.form, b.span))),
            };
        }
        let form = match function {
            Along::Polar => {
                let sizes = [vec![Size::Known(2)], form.sizes()].concat();
                Form::of(&sizes)
            }
            Along::ComplexAbs => form.without_axis(0),
            _ => form,
        };
        let kind = TypedKind::Along(function, xs);
        let span = args.span;
        Ok(Typed { kind, form, span })
    }

    /// An axis of a value; axes below 0 count from the last one.
    pub(crate) fn axis_of(&mut self, e: &Expr, x: &Typed) -> Result<usize, TextError> {
        let (axis, rank) = (self.number(e)?, x.form.rank());
        let counted = if axis < 0.0 { axis + rank as f64 } else { axis };
        if counted.fract() == 0.0 && (0.0..rank as f64).contains(&counted) {
            return Ok(counted as usize);
        }
        let found = self.sizes.form(x.form);
        let message = format!("{found} has no axis {axis}");
        let label = match rank {
            0 => "a scalar has no axes".to_owned(),
            _ => format!("expected 0 to {}, or from -{rank} to -1", rank - 1),
        };
        Err(self.error(e.span, message, &label))
    }

    /// `roll(x, -1, axis=0)`
    fn roll(&mut self, args: &Args<'_>) -> Result<Typed, TextError> {
        let [x, shift] = self.exprs(args)?;
        let (x, by) = (self.value(x)?, self.number(shift)?);
        if x.form == Form::Scalar {
            let message = "`roll` needs an axis, and this is a scalar".to_owned();
            return Err(self.error(x.span, message, "expected a vector or more"));
        }
        if by.fract() != 0.0 || by.abs() > f64::from(i32::MAX) {
            let message = format!("nothing is moved by {by} places");
            return Err(self.error(shift.span, message, "expected a whole number"));
        }
        let axis = match args.attribute("axis") {
            Some(axis) => self.axis_of(axis, &x)?,
            None => x.form.rank() - 1,
        };
        let form = x.form;
        Ok(Typed {
            kind: TypedKind::Along(Along::Roll(by as i64, axis), vec![x]),
            form,
            span: args.span,
        })
    }

    /// `one_hot(i, 10)`
    fn one_hot(&mut self, args: &Args<'_>) -> Result<Typed, TextError> {
        let [i, n] = self.exprs(args)?;
        let i = self.value(i)?;
        let (i, n) = (self.index(i)?, self.whole(n)?);
        Ok(Typed {
            kind: TypedKind::Along(Along::OneHot(n), vec![i]),
            form: Form::Vector(Size::Known(n)),
            span: args.span,
        })
    }

    /// `einsum("hij,hj->hi", C, q)`
    fn einsum(&mut self, args: &Args<'_>) -> Result<Typed, TextError> {
        let [spec, a, b] = self.exprs(args)?;
        let ExprKind::Quoted(text) = &spec.kind else {
            let message = "`einsum` needs the letters of its axes first".to_owned();
            return Err(self.error(
                spec.span,
                message,
                r#"expected them in quotes, "hij,hj->hi""#,
            ));
        };
        let parts = text.split_once("->").and_then(|(factors, result)| {
            let (a, b) = factors.split_once(',')?;
            Some([a.trim(), b.trim(), result.trim()])
        });
        let letters = |part: &str| part.chars().all(|c| c.is_ascii_alphabetic());
        let Some(parts) = parts.filter(|parts| parts.iter().all(|p| letters(p))) else {
            let message = format!("`{text}` are no letters of two factors and a result");
            return Err(self.error(spec.span, message, r#"expected them as in "hij,hj->hi""#));
        };
        let factors = [self.value(a)?, self.value(b)?];
        let mut sizes: Vec<(char, Size)> = Vec::new();
        for (part, x) in parts.iter().zip(&factors) {
            let axes = x.form.sizes();
            if part.chars().count() != axes.len() {
                let found = self.sizes.form(x.form);
                let message = format!("`{part}` names {} axes, and this is {found}", part.len());
                let label = format!("expected a letter for each of {} axes", axes.len());
                return Err(self.error(x.span, message, &label));
            }
            for (letter, size) in part.chars().zip(axes) {
                match sizes.iter().find(|(known, _)| *known == letter).copied() {
                    None => sizes.push((letter, size)),
                    Some((_, before)) if self.sizes.join(before, size) => {}
                    Some((_, before)) => {
                        let (n, size) = (self.sizes.get(before), self.sizes.get(size));
                        let message = format!("the axis `{letter}` has {n} elements and {size}");
                        let label = format!("expected {n} along `{letter}`");
                        return Err(self.error(x.span, message, &label));
                    }
                }
            }
        }
        let mut result = Vec::new();
        for letter in parts[2].chars() {
            match sizes.iter().find(|(known, _)| *known == letter) {
                Some(&(_, size)) => result.push(size),
                None => {
                    let message = format!("no factor has the axis `{letter}`");
                    return Err(self.error(spec.span, message, "expected letters of the factors"));
                }
            }
        }
        if result.len() > 3 {
            let message = format!("a value of {} axes", result.len());
            return Err(self.error(spec.span, message, "expected at most three"));
        }
        let spec = parts[..2].join(",") + "->" + parts[2];
        Ok(Typed {
            form: Form::of(&result),
            kind: TypedKind::Along(Along::Einsum(spec), factors.into()),
            span: args.span,
        })
    }
}
