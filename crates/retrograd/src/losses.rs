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
        let [error, signal] = self.emphasised(name, y, target, emphasis);
        error.sum_to(Domain::Row) / (signal.sum_to(Domain::Row) + 1e-8)
    }

    /// Adds the error-to-signal ratio of all steps of a batch together as a loss: Σ (t − y)² ÷ Σ (t² + `floor`) over steps and examples,
    /// both after the filter 1 − `emphasis` z⁻¹. Unlike [`error_to_signal`](Self::error_to_signal), it can be computed chunk by chunk
    /// ([`Trainer::carry`](crate::Trainer::carry)), and an example that is silent counts by the size of its error alone. `floor` > 0 is
    /// a power far below that of the target; it keeps batches finite that are all silence. The two states are called as there.
    ///
    /// ```
    /// use retrograd::{Batch, Cell, Extent, Sgd, Trainer};
    ///
    /// let cell = Cell::define("gain", |c| {
    ///     let y = c.param("gain", ()) * c.input("x", ());
    ///     c.output("y", y);
    ///     c.error_to_signal_loss("esr", y, c.target("wet", ()), 0.5, 1e-6);
    /// })?;
    /// let mut trainer = Trainer::builder(cell, Sgd::new(0.1)).build()?;
    /// let gain = f64::from(trainer.parameters()[0]);
    /// let wet = vec![1.0, 2.0, -1.0];
    /// let batch = Batch::new(Extent::steps(3)).with("x", wet.clone()).with("wet", wet);
    /// assert!((trainer.evaluate(&batch)?.loss() - (1.0 - gain).powi(2)).abs() < 1e-5);
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[track_caller]
    pub fn error_to_signal_loss<'t>(
        &'t self,
        name: &str,
        y: Var<'t>,
        target: Var<'t>,
        emphasis: f64,
        floor: f64,
    ) {
        let [error, signal] = self.emphasised(name, y, target, emphasis);
        let signal = signal + floor;
        // Weighted by the denominator of each step, their mean is the ratio of the sums.
        self.weighted_loss(error / signal, signal);
    }

    /// The squares of error and target at each step, both filtered.
    #[track_caller]
    fn emphasised<'t>(
        &'t self,
        name: &str,
        y: Var<'t>,
        target: Var<'t>,
        emphasis: f64,
    ) -> [Var<'t>; 2] {
        let energy = |part: &str, v: Var<'t>| {
            let shape = v.shape().unwrap_or(Shape::Scalar);
            let before = self.state(&format!("{name}.{part}"), shape);
            let filtered = v - emphasis * before;
            self.next(before, v);
            filtered.square().sum()
        };
        [energy("error", target - y), energy("target", target)]
    }
}
