//! Dropout in its forms: of values, of what a state keeps, of weights. All consist of masks, which are 1 outside training.

use std::panic::Location;

use retrograd_tape::{Domain, InputRole, Shape, Var};

use crate::builder::Builder;
use crate::error::Error;

impl Builder {
    /// Dropout (Srivastava et al. 2014): in training, each element of each example and step is 0 with probability `rate`, at least 0
    /// and less than 1, and the others are divided by 1 − `rate`. The [mask](Builder::mask) is called `name`.
    ///
    /// ```
    /// use retrograd::{Cell, Domain};
    ///
    /// let cell = Cell::define("regularised", |c| {
    ///     let x = c.dropout("input_drop", c.input("x", 4), 0.1);
    ///     let h = c.state("h", 8);
    ///     // One mask for all steps of a sequence, as is right for what returns to itself.
    ///     let before = c.dropout_over("state_drop", h, 0.25, Domain::Row).named("h");
    ///     c.drop_connect("new.h", 0.5); // weights of the layer below
    ///     let new = c.dense("new", 8, [x, before]).tanh();
    ///     let new = c.next(h, c.zoneout("kept", h, new, 0.1));
    ///     c.output("y", new);
    /// })?;
    /// assert_eq!(cell.keep_probabilities(), [0.9, 0.75, 0.5, 0.1]);
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[track_caller]
    pub fn dropout<'t>(&'t self, name: &str, x: Var<'t>, rate: f64) -> Var<'t> {
        self.dropout_over(name, x, rate, Domain::Step)
    }

    /// [`dropout`](Builder::dropout) with a mask that varies over less: over [`Domain::Row`] it is the same at all steps of an example
    /// (variational dropout, Gal & Ghahramani 2016). With masks for each gate, of its input and of
    /// the state, it is the dropout and recurrent dropout of Keras.
    #[track_caller]
    pub fn dropout_over<'t>(
        &'t self,
        name: &str,
        x: Var<'t>,
        rate: f64,
        domain: Domain,
    ) -> Var<'t> {
        match (rate, x.shape()) {
            (0.0, _) | (_, None) => x,
            (rate, Some(shape)) => x * self.mask_over(name, shape, 1.0 - rate, domain),
        }
    }

    /// Zoneout (Krueger et al. 2017, equation 2): in training, each element stays `old` with probability `rate`, at least 0 and less
    /// than 1, and is `new` otherwise; outside training it is rate · old + (1 − rate) · new. The mask is called `name`.
    #[track_caller]
    pub fn zoneout<'t>(&'t self, name: &str, old: Var<'t>, new: Var<'t>, rate: f64) -> Var<'t> {
        match (rate, new.shape()) {
            (0.0, _) | (_, None) => new,
            (rate, Some(shape)) => {
                // 1/rate with probability `rate`, 1 outside training.
                let stays = rate * self.mask(name, shape, if rate < 1.0 { rate } else { f64::NAN });
                stays * old + (1.0 - stays) * new
            }
        }
    }

    /// Drops weights (DropConnect, Wan et al. 2013; of recurrent weights, Merity et al. 2018, section 2): in training, each element of
    /// the parameter is 0 with probability `rate` in all examples and steps of a batch, and the others are divided by 1 − `rate`. To be
    /// called before the layer that makes the parameter. The mask is called `<parameter>.mask`.
    #[track_caller]
    pub fn drop_connect(&self, parameter: &str, rate: f64) {
        let name = self.scope.borrow().parameter(parameter);
        let keep = 1.0 - rate;
        if !(keep > 0.0 && keep <= 1.0) {
            let at = *Location::caller();
            self.fail(Error::KeepProbability { name, keep, at });
        } else if self.tape.parameter(&name).is_some() {
            self.fail(Error::DropAfter {
                name,
                at: *Location::caller(),
            });
        } else {
            let at = *Location::caller();
            self.drops.borrow_mut().push(Drop { name, keep, at });
        }
    }

    /// The value of a parameter where it is used: some of its elements are dropped if [`drop_connect`](Builder::drop_connect) said so.
    #[track_caller]
    pub(crate) fn dropped<'t>(&'t self, name: &str, parameter: Var<'t>) -> Var<'t> {
        let drops = self.drops.borrow();
        let Some(keep) = drops.iter().find(|d| d.name == name).map(|d| d.keep) else {
            return parameter;
        };
        drop(drops);
        let mask = format!("{name}.mask");
        let mask = self
            .tape
            .declared(&mask, InputRole::Mask)
            .unwrap_or_else(|| {
                self.keeps.borrow_mut().push((mask.clone(), keep));
                let shape = parameter.shape().unwrap_or(Shape::Scalar);
                self.tape
                    .input_over(&mask, InputRole::Mask, shape, Domain::Once)
            });
        parameter * mask
    }
}

/// A parameter of which elements are dropped.
pub(crate) struct Drop {
    pub(crate) name: String,
    keep: f64,
    pub(crate) at: Location<'static>,
}
