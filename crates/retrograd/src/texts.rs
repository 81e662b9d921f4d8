//! The texts that a cell was recorded from, and places in them.

use retrograd_tape::Place;
use retrograd_text::{SourceMap, TextError};

/// The texts of a cell, or of its layers. A place has the number of a text.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// With the number of the first.
    maps: Vec<(u32, SourceMap)>,
}

impl Texts {
    /// The number of the next text.
    pub(crate) fn next(&self) -> u32 {
        (self.maps.last()).map_or(0, |(first, map)| first.saturating_add(map.texts()))
    }

    /// Keeps texts.
    pub(crate) fn keep(&mut self, map: SourceMap) {
        self.maps.push((self.next(), map));
    }

    fn find(&self, place: Place) -> Option<(&SourceMap, Place)> {
        let (first, map) = self.maps.iter().rfind(|(first, _)| *first <= place.file)?;
        let file = place.file - first;
        Some((map, Place { file, ..place }))
    }

    /// A message about a place.
    pub(crate) fn shown(&self, place: Place, message: String, label: String) -> Option<TextError> {
        let (map, place) = self.find(place)?;
        map.shown(place, message, label)
    }

    /// The part of a text at a place, after the text's name.
    pub(crate) fn part(&self, place: Place) -> Option<(&str, &str)> {
        let (map, place) = self.find(place)?;
        map.part(place)
    }
}
