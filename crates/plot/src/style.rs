//! What all pictures have in common.

use crate::canvas::Lettering;

/// The width of a picture in logical pixels.
pub(crate) const WIDTH: u32 = 1600;

pub(crate) const TITLE: Lettering = Lettering::bold(30.0);

/// Dash patterns, in logical pixels.
pub(crate) const DASHES: [&[f64]; 4] = [
    &[18.0, 9.0],
    &[4.0, 7.0],
    &[20.0, 7.0, 4.0, 7.0],
    &[34.0, 10.0],
];
