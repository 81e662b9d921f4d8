//! Losses that need more than one step.

use retrograd_tape::{Domain, Shape, Var};

use crate::builder::Builder;

impl Builder {
    /// The error-to-signal ratio of each example, Σ (t − y)² ÷ (Σ t² + 10⁻⁸) over its steps, both after the filter 1 − `emphasis` z⁻¹,
    /// which counts what is audible (Wright et al. 2020, "Real-Time Guitar Amplifier Emulation with Deep Learning", equations 9 and 10;
    /// they use 0.85). It is a value of a row, to be passed to [`Builder::loss`]. Its two states, which hold error and target of the step
    /// before, are called `<name>.error` and `<name>.target`.
    ///
    /// ```
    /// use retrograd::{Cell, zoo};
    ///
    /// let cell = Cell::define("amplifier", |c| {
    ///     let h = zoo::find("lstm").unwrap().layer(c, "l", c.input("x", 1), 8);
    ///     let y = c.dense("read", 1, [h]);
    ///     c.output("y", y);
    ///     c.loss(c.error_to_signal("esr", y, c.target("wet", 1), 0.85));
    /// })?;
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[track_caller]
    pub fn error_to_signal<'t>(
        &'t self,
        name: &str,
        y: Var<'t>,
        target: Var<'t>,
        emphasis: f64,
    ) -> Var<'t> {
        let energy = |part: &str, v: Var<'t>| {
            let shape = v.shape().unwrap_or(Shape::Scalar);
            let before = self.state(&format!("{name}.{part}"), shape);
            let filtered = v - emphasis * before;
            self.next(before, v);
            filtered.square().sum().sum_to(Domain::Row)
        };
        let error = energy("error", target - y);
        error / (energy("target", target) + 1e-8)
    }
}
