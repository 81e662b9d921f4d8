//! Text that the shipped font lacks: the installed font that draws it, or the sign that stands for it.
//!
//! The shipped font draws Latin, Greek, Cyrillic and more. For anything else, the fonts of the system are looked through when the first
//! such character is drawn; what none of them draws is shown as �, which the shipped font has.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use fontdb::{Database, FaceInfo, ID, Style};
use plotters::style::{FontStyle, register_font};
use ttf_parser::{Face, OutlineBuilder};

/// What stands for a character that no font draws.
const REPLACEMENT: char = '\u{fffd}';

/// An installed font that plotters knows under a name of ours.
#[derive(Debug, PartialEq)]
pub(crate) struct Installed {
    pub(crate) family: String,
    /// What plotters calls the size of a font, in em: ascent − descent.
    pub(crate) line: f64,
}

/// A stretch of a text in one font; None is the shipped one.
#[derive(Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) text: String,
    pub(crate) font: Option<&'static Installed>,
}

/// Who draws a character.
#[derive(Clone, Copy, Debug)]
enum Drawer {
    Font(Option<&'static Installed>),
    /// Nobody, and � stands for it.
    Nobody,
    /// Nobody, and nothing is to be seen of it: joiners and selectors of variants.
    Invisible,
}

/// Fonts besides the shipped one, and what they were found to draw.
struct Fonts {
    database: Database,
    drawers: HashMap<char, Drawer>,
    installed: Vec<(ID, &'static Installed)>,
}

/// A text in stretches of one font each, with � for what none draws.
pub(crate) fn runs(text: &str) -> Vec<Run> {
    match text.chars().all(shipped) {
        true => vec![Run {
            text: text.to_owned(),
            font: None,
        }],
        false => with_system(|fonts| fonts.runs(text)),
    }
}

/// The characters of a text that neither the shipped font nor an installed one draws, each once: a PNG shows � for them, and an SVG what
/// the fonts of its reader have.
///
/// ```
/// use retrograd_plot::undrawable;
///
/// assert!(undrawable("Größe, μ, дождь").is_empty());
/// assert_eq!(undrawable("\u{e000}\u{e000}"), ['\u{e000}'], "a character for private use");
/// ```
#[must_use]
pub fn undrawable(text: &str) -> Vec<char> {
    let mut out: Vec<char> = Vec::new();
    if text.chars().all(shipped) {
        return out;
    }
    with_system(|fonts| {
        for c in text.chars().filter(|c| !c.is_control()) {
            if matches!(fonts.drawer(c), Drawer::Nobody) && !out.contains(&c) {
                out.push(c);
            }
        }
    });
    out
}

fn with_system<T>(call: impl FnOnce(&mut Fonts) -> T) -> T {
    static SYSTEM: OnceLock<Mutex<Fonts>> = OnceLock::new();
    let system = SYSTEM.get_or_init(|| {
        let mut database = Database::new();
        database.load_system_fonts();
        Mutex::new(Fonts::of(database))
    });
    // What was found stays true if a thread panicked.
    call(&mut system.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Whether the shipped font has a character.
fn shipped(c: char) -> bool {
    static SHIPPED: OnceLock<Face<'static>> = OnceLock::new();
    let face = SHIPPED.get_or_init(|| {
        Face::parse(dejavu::sans::regular(), 0).expect("the embedded font is right")
    });
    c == ' ' || face.glyph_index(c).is_some()
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}')
}

impl Fonts {
    fn of(database: Database) -> Fonts {
        Fonts {
            database,
            drawers: HashMap::new(),
            installed: Vec::new(),
        }
    }

    fn runs(&mut self, text: &str) -> Vec<Run> {
        let mut out: Vec<Run> = Vec::new();
        for c in text.chars() {
            let (c, font) = match self.drawer(c) {
                Drawer::Font(font) => (c, font),
                Drawer::Nobody => (REPLACEMENT, None),
                Drawer::Invisible => continue,
            };
            match out.last_mut() {
                Some(run) if run.font == font => run.text.push(c),
                _ => out.push(Run {
                    text: c.to_string(),
                    font,
                }),
            }
        }
        out
    }

    fn drawer(&mut self, c: char) -> Drawer {
        if shipped(c) {
            return Drawer::Font(None);
        }
        if let Some(known) = self.drawers.get(&c) {
            return *known;
        }
        let drawer = match self.find(c) {
            _ if is_invisible(c) => Drawer::Invisible,
            Some(font) => Drawer::Font(Some(font)),
            None => Drawer::Nobody,
        };
        self.drawers.insert(c, drawer);
        drawer
    }

    /// The font for a character: one that draws others already, else the plainest.
    fn find(&mut self, c: char) -> Option<&'static Installed> {
        let mut again = self.installed.iter();
        if let Some((_, font)) = again.find(|(id, _)| self.draws(*id, c)) {
            return Some(font);
        }
        // plotters reads the first font of a collection alone.
        let usable = |f: &&FaceInfo| f.index == 0 && f.style == Style::Normal;
        let mut faces: Vec<&FaceInfo> = self.database.faces().filter(usable).collect();
        faces.sort_by_key(|f| {
            let serif = !f.post_script_name.contains("Sans");
            (f.weight.0.abs_diff(400), f.monospaced, serif)
        });
        let ids: Vec<ID> = faces.iter().map(|f| f.id).collect();
        let drawing = ids.into_iter().filter(|id| self.draws(*id, c));
        let (id, font) = { drawing }.find_map(|id| Some((id, self.install(id)?)))?;
        self.installed.push((id, font));
        Some(font)
    }

    /// Whether a font has an outline for a character; those of coloured pictures have not.
    fn draws(&self, id: ID, c: char) -> bool {
        let has = |face: Face<'_>| {
            let glyph = face.glyph_index(c)?;
            face.outline_glyph(glyph, &mut Nowhere)
        };
        let looked = self.database.with_face_data(id, |data, index| {
            Face::parse(data, index).ok().and_then(has)
        });
        looked.flatten().is_some()
    }

    /// Makes a font known to plotters, which keeps it for as long as the program runs.
    fn install(&self, id: ID) -> Option<&'static Installed> {
        let data = self.database.with_face_data(id, |data, _| data.to_vec())?;
        let face = Face::parse(&data, 0).ok()?;
        let height = f64::from(face.ascender()) - f64::from(face.descender());
        let line = height / f64::from(face.units_per_em());
        if !(line > 0.0 && line.is_finite()) {
            return None;
        }
        let family = format!("installed {id}");
        register_font(&family, FontStyle::Normal, data.leak()).ok()?;
        Some(Box::leak(Box::new(Installed { family, line })))
    }
}

/// An outline that is not drawn.
struct Nowhere;

impl OutlineBuilder for Nowhere {
    fn move_to(&mut self, _: f32, _: f32) {}
    fn line_to(&mut self, _: f32, _: f32) {}
    fn quad_to(&mut self, _: f32, _: f32, _: f32, _: f32) {}
    fn curve_to(&mut self, _: f32, _: f32, _: f32, _: f32, _: f32, _: f32) {}
    fn close(&mut self) {}
}

#[cfg(test)]
mod tests {
    use fontdb::Database;

    use super::{Fonts, REPLACEMENT, Run, runs};

    /// A font that has 日 and nothing else; see `data/fixtures/font.py`.
    const FONT: &[u8] = include_bytes!("../../../data/fixtures/font.ttf");

    fn run(text: &str) -> Run {
        Run {
            text: text.to_owned(),
            font: None,
        }
    }

    #[test]
    fn an_installed_font_draws_what_the_shipped_one_lacks() {
        let mut database = Database::new();
        database.load_font_data(FONT.to_vec());
        let mut fonts = Fonts::of(database);
        let found = fonts.runs("in 日日 本\u{e0100}!");
        assert_eq!(found.len(), 3);
        assert_eq!(
            (&found[0], &found[2]),
            (&run("in "), &run(&format!(" {REPLACEMENT}!")))
        );
        let font = found[1].font.expect("it was found");
        assert_eq!(found[1].text, "日日");
        assert_eq!(font.line, 1.25, "800 above the line and 450 below, of 1000");
        // The same one next time.
        assert_eq!(fonts.runs("日")[0].font, Some(font));
        assert_eq!(fonts.installed.len(), 1);
    }

    #[test]
    fn what_no_font_draws_is_replaced_where_it_can_be_seen() {
        let mut none = Fonts::of(Database::new());
        assert_eq!(none.runs("a日b"), [run(&format!("a{REPLACEMENT}b"))]);
        assert!(super::shipped(REPLACEMENT));
        for text in ["", "Ω λ Ж й ß", "±×÷ ≤ →"] {
            assert_eq!(runs(text), [run(text)], "the shipped font has all of it");
        }
    }
}
