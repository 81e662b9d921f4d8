//! Layers with parameters of their own: the affine map of a gate, a filter over time, and the embedding.

use retrograd_tape::{Init, Shape, Var};

use crate::builder::{Builder, StateSpec};

impl Builder {
    /// The sum of one matrix product per operand, plus a bias: `[n]`. See [`Builder::dense_no_bias`] for the names of the matrices;
    /// the bias is `<name>.bias`, with the same initialisation. The sum itself is called `name`; to observe a gate computed from
    /// it, give the gate that name, `c.dense("forget", n, [x, h]).sigmoid().named("forget")`.
    #[track_caller]
    pub fn dense<'t>(
        &'t self,
        name: &str,
        n: usize,
        operands: impl IntoIterator<Item = Var<'t>>,
    ) -> Var<'t> {
        self.affine_of(name, (None, n), operands, true)
    }

    /// The sum of one matrix product per operand: `[n]`. The matrix of an operand `[k]` is a parameter `[n, k]` called
    /// `<name>.<operand>`: the operand's name without primes, `<operand>_<i>` where that is taken, or the operand's position, from
    /// 0, if it has no name. Saved files contain these names; [`Var::named`](crate::Var::named) keeps them independent of the
    /// order. A scalar operand counts as `[1]`.
    ///
    /// All of them are initialised uniformly in ±1/√(sum of the operands' widths), the fan-in of one product with the concatenated
    /// operands.
    #[track_caller]
    pub fn dense_no_bias<'t>(
        &'t self,
        name: &str,
        n: usize,
        operands: impl IntoIterator<Item = Var<'t>>,
    ) -> Var<'t> {
        self.affine_of(name, (None, n), operands, false)
    }

    /// [`dense`](Self::dense) for each head: operands `[heads, k]` give `[heads, n]`, by parameters `<name>.<operand>` `[heads, n, k]`
    /// and `<name>.bias` `[heads, n]`. It is a dense layer with a block-diagonal matrix. An operand `[k]` is one of every head.
    ///
    /// ```
    /// use retrograd::{Cell, Shape};
    ///
    /// let cell = Cell::define("heads", |c| {
    ///     let x = c.input("x", 12).reshape(Shape::Matrix(3, 4)); // three heads of four numbers
    ///     let h = c.state("h", (3, 5));
    ///     c.output("y", c.next(h, c.dense_heads("h", 3, 5, [x.named("x"), h]).tanh()));
    /// })?;
    /// assert_eq!(cell.parameter_count(), 3 * 5 * (4 + 5 + 1));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[track_caller]
    pub fn dense_heads<'t>(
        &'t self,
        name: &str,
        heads: usize,
        n: usize,
        operands: impl IntoIterator<Item = Var<'t>>,
    ) -> Var<'t> {
        self.affine_of(name, (Some(heads), n), operands, true)
    }

    /// [`dense_heads`](Self::dense_heads) without a bias.
    #[track_caller]
    pub fn dense_heads_no_bias<'t>(
        &'t self,
        name: &str,
        heads: usize,
        n: usize,
        operands: impl IntoIterator<Item = Var<'t>>,
    ) -> Var<'t> {
        self.affine_of(name, (Some(heads), n), operands, false)
    }

    /// Each element's own filter over the last `steps` steps (a depthwise causal convolution) of a vector: Σ kernel\[k\] x(t − k) +
    /// bias, with parameters `<name>.kernel` `[steps, n]`, uniform in ±1/√steps, and `<name>.bias` `[n]`. The steps before the
    /// first are states, `<name>.1` to `<name>.<steps − 1>`.
    ///
    /// ```
    /// use retrograd::Cell;
    ///
    /// let cell = Cell::define("filtered", |c| c.output("y", c.conv("y", 4, c.input("x", 3))))?;
    /// assert_eq!((cell.parameter_count(), cell.new_states().len()), (4 * 3 + 3, 3));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[track_caller]
    pub fn conv<'t>(&'t self, name: &str, steps: usize, x: Var<'t>) -> Var<'t> {
        let Some(n) = x.shape().map(|s| s.len()) else {
            return x;
        };
        let init = Init::Uniform(1.0 / (steps as f64).sqrt());
        let kernel = self.param_init(&joined(name, "kernel"), (steps, n), init.clone());
        let mut sum = self.param_init(&joined(name, "bias"), n, init);
        let past = |k: usize| match k {
            0 => x,
            _ => {
                let delay = StateSpec::delay(i32::try_from(k).unwrap_or(i32::MAX));
                let past = self.state_with(&joined(name, &k.to_string()), n, delay);
                self.next(past, x);
                past
            }
        };
        let all: Vec<Var<'t>> = (0..steps).map(past).collect();
        for (k, past) in all.into_iter().enumerate() {
            let row = kernel.slice(k, 1).reshape(Shape::Vector(n));
            sum = sum + row * past;
        }
        sum
    }

    /// [`affine`](Self::affine) of operands that name their matrices.
    #[track_caller]
    fn affine_of<'t>(
        &'t self,
        name: &str,
        size: (Option<usize>, usize),
        operands: impl IntoIterator<Item = Var<'t>>,
        bias: bool,
    ) -> Var<'t> {
        let mut taken = vec!["bias".to_owned()];
        let mut named = Vec::new();
        for (i, v) in operands.into_iter().enumerate() {
            let mut own = self.operand_name(v).unwrap_or_else(|| i.to_string());
            if taken.contains(&own) {
                own = format!("{own}_{i}");
            }
            taken.push(own.clone());
            named.push((own, v));
        }
        // Later uses of a shared layer call their operands as the first did.
        let layer = self.scope.borrow().parameter(name);
        if self.scope.borrow().is_shared() {
            let mut layers = self.shared.borrow_mut();
            let own = || named.iter().map(|(own, _)| own.clone()).collect();
            let first: &Vec<String> = layers.entry(layer).or_insert_with(own);
            if first.len() == named.len() {
                for ((own, _), first) in named.iter_mut().zip(first) {
                    own.clone_from(first);
                }
            }
        }
        let named: Vec<(&str, Var<'t>)> = named.iter().map(|(own, v)| (own.as_str(), *v)).collect();
        self.affine(name, size, &named, bias)
    }

    /// The sum of one product per operand, whose matrix is called `<name>.<operand>`, and perhaps of a bias; for each head, if
    /// there are any.
    #[track_caller]
    pub(crate) fn affine<'t>(
        &'t self,
        name: &str,
        (heads, n): (Option<usize>, usize),
        operands: &[(&str, Var<'t>)],
        bias: bool,
    ) -> Var<'t> {
        let mut widths = Vec::with_capacity(operands.len());
        for (_, v) in operands {
            match v.shape() {
                // The last axis, as heads have products of their own; without heads it is the only one.
                Some(Shape::Matrix(_, k)) if heads.is_some() => widths.push(k),
                Some(shape) => widths.push(shape.len()),
                None => return *v,
            }
        }
        let fan_in = widths.iter().sum::<usize>().max(1);
        let init = Init::Uniform(1.0 / (fan_in as f64).sqrt());
        let mut total = None;
        for (&(operand, v), width) in operands.iter().zip(widths) {
            let shape = match heads {
                None => Shape::Matrix(n, width),
                Some(h) => Shape::Tensor(h, n, width),
            };
            let weight = self.param_init(&joined(name, operand), shape, init.clone());
            let column = match v.shape() {
                Some(Shape::Scalar) => v.reshape(Shape::Vector(1)),
                _ => v,
            };
            let product = match (heads, column.shape()) {
                (Some(_), Some(Shape::Vector(_))) => weight.einsum("hij,j->hi", column),
                _ => weight.matvec(column),
            };
            total = Some(match total {
                None => product,
                Some(sum) => sum + product,
            });
        }
        let shape = heads.map_or(Shape::Vector(n), |h| Shape::Matrix(h, n));
        let sum = if bias {
            let bias = self.param_init(&joined(name, "bias"), shape, init);
            match total {
                None => return bias,
                Some(sum) => sum + bias,
            }
        } else {
            match total {
                None => self.constant(0.0, shape),
                Some(sum) => sum,
            }
        };
        if let Some(v) = sum.value() {
            self.sums.borrow_mut().push((v, None));
        }
        sum.named(&self.scope.borrow().parameter(name))
    }

    /// The operand's part of a matrix's name: the state, if the value is a sum that becomes its next value, else the value's own
    /// name without primes.
    fn operand_name(&self, v: Var<'_>) -> Option<String> {
        let sums = self.sums.borrow();
        let state = sums.iter().find(|s| Some(s.0) == v.value());
        let state = state.and_then(|s| s.1.as_deref());
        let name = state
            .map(str::to_owned)
            .or_else(|| Some(v.name()?.to_string()))?;
        Some(name.trim_end_matches('\'').to_owned())
    }

    /// Row `index` (a scalar or `[1]`, a whole number from 0 to `vocabulary` − 1) of a learned table `[vocabulary, n]` called
    /// `name`, initialised from the standard normal distribution as PyTorch's `nn.Embedding`: `[n]`.
    #[track_caller]
    pub fn embedding<'t>(
        &'t self,
        name: &str,
        vocabulary: usize,
        n: usize,
        index: Var<'t>,
    ) -> Var<'t> {
        let table = self.param_init(name, (vocabulary, n), Init::Normal(1.0));
        let index = match index.shape() {
            Some(Shape::Vector(1)) => index.reshape(Shape::Scalar),
            _ => index,
        };
        table.gather(index)
    }
}

/// The name of a layer's parameter; a layer without a name has that of its scope.
fn joined(layer: &str, parameter: &str) -> String {
    match layer {
        "" => parameter.to_owned(),
        layer => format!("{layer}.{parameter}"),
    }
}
