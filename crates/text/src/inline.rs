//! A cell file and all that it uses as one text, to be kept with what was trained.
//!
//! The texts are joined, those that are used first, without their `use` lines. In one text all names mean the same
//! everywhere, so a routine gets another name where its own would mean something else in another text: two texts may
//! define functions of one name, or one may define what another knows as a built-in function, or call it by an alias.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::ast::{Call, Expr, ExprKind, Statement};
use crate::calls::is_built_in;
use crate::error::TextError;
use crate::library::{CellFile, Library, Routine, RoutineKind};
use crate::source::Span;
use crate::stack::STACK;

/// A routine by its text and its number there.
type Place = (usize, usize);

/// A name that is called, or that a stack calls, and where it stands.
#[derive(Clone, Copy)]
struct Named<'f> {
    text: &'f str,
    span: Span,
}

/// Calls of one text, and what each means: a routine, or a built-in function.
#[derive(Default)]
struct Calls<'f> {
    calls: Vec<(Named<'f>, Option<Place>)>,
    /// Names of layers that are declared to be applied.
    layers: HashSet<&'f str>,
}

/// What replaces parts of one text, by the first byte: the end of the part, and its new text.
type Edits = BTreeMap<usize, (usize, String)>;

impl CellFile {
    /// One text that says the same as the file and all that its `use` lines name, with these dimensions in its `where`. It needs no
    /// other text; what it records is the same, but for names of functions in messages where two texts had the same.
    ///
    /// ```
    /// use retrograd_text::{Found, parse_cell, parse_cell_with};
    ///
    /// let text = "use leak from \"leak.cell\"\ncell two(x[N]) where N=3\nlayer a = leak(x)\noutput b = leak(a)";
    /// let leak = "cell leak(x[I]; h[I]) where I=1\nh' = 0.9 * h + x\noutput h'\n";
    /// let file = parse_cell_with("two.cell", text, &mut |_| {
    ///     Ok(Found { name: "leak.cell".into(), text: leak.into() })
    /// })?;
    /// let alone = file.inlined(&[("N", 5)])?;
    /// assert!(alone.starts_with(leak) && alone.contains("cell two(x[N]) where N=5\n"));
    /// parse_cell("two.cell", &alone)?;
    /// # Ok::<(), retrograd_text::TextError>(())
    /// ```
    ///
    /// # Errors
    /// A dimension that the cell does not have. A cell whose name is that of a built-in function which another text uses: in one
    /// text, that would mean the cell.
    pub fn inlined(&self, dimensions: &[(&str, usize)]) -> Result<String, TextError> {
        let library = &*self.library;
        let calls: Vec<Calls<'_>> = (0..library.files.len())
            .map(|file| Calls::of(library, file))
            .collect();
        let names = self.names(&calls)?;
        let mut edits: Vec<Edits> = Vec::new();
        for (file, parsed) in library.files.iter().enumerate() {
            let edit = |own: &mut Edits, at: Span, new: &str| {
                own.insert(at.start, (at.end, new.to_owned()));
            };
            let mut own = Edits::new();
            for line in &parsed.uses {
                own.insert(
                    line.span.start,
                    (
                        end_of_line(&parsed.source.text, line.span.end),
                        String::new(),
                    ),
                );
            }
            for (k, routine) in parsed.routines.iter().enumerate() {
                edit(&mut own, routine.name.span, &names[&(file, k)]);
            }
            for (call, meant) in &calls[file].calls {
                if let Some(place) = meant {
                    edit(&mut own, call.span, &names[place]);
                }
            }
            edits.push(own);
        }
        for (name, n) in dimensions {
            let mut dims = self.main().dims.iter();
            let Some((_, value)) = dims.find(|(dim, _)| dim.text == *name) else {
                let message = format!("there is no dimension `{name}` to set");
                let known: Vec<&str> = self.dimensions().collect();
                let expected = match known.as_slice() {
                    [] => "this cell has no symbolic dimensions; expected `where …`".to_owned(),
                    known => format!(
                        "expected one of this cell's dimensions, {}",
                        known.join(", ")
                    ),
                };
                return Err(self.mistake(None, message, expected));
            };
            if let Some(value) = value {
                edits[0].insert(value.span.start, (value.span.end, n.to_string()));
            }
        }
        let texts = library.files.iter().zip(edits).rev();
        let texts = texts.map(|(parsed, edits)| edited(&parsed.source.text, &edits));
        Ok(texts.collect::<Vec<_>>().join("\n"))
    }

    /// The name of each routine in the one text.
    fn names(&self, calls: &[Calls<'_>]) -> Result<HashMap<Place, String>, TextError> {
        let library = &*self.library;
        let main = (0, self.main);
        let mut names: HashMap<Place, String> = HashMap::new();
        let mut taken: HashSet<&str> = HashSet::new();
        let mut others = Vec::new();
        // The cell and what stands beside it are the last to lose their names.
        let beside = (0..library.files[0].routines.len()).rev().map(|k| (0, k));
        let used = (1..library.files.len())
            .flat_map(|f| (0..library.files[f].routines.len()).map(move |k| (f, k)));
        let first = std::iter::once(main).chain(beside.filter(|&p| p != main));
        for place in first.chain(used) {
            let name = library.files[place.0].routines[place.1].name.text.as_str();
            let elsewhere = |(file, calls): (usize, &Calls<'_>)| {
                let layer = calls.layers.contains(name);
                let built_in = |(call, meant): &(Named<'_>, Option<Place>)| {
                    meant.is_none() && call.text == name
                };
                file != place.0 && (layer || calls.calls.iter().any(built_in))
            };
            let means_another = calls.iter().enumerate().any(elsewhere);
            if place == main && means_another && is_built_in(name) {
                let message =
                    format!("a text that this cell uses calls the built-in function `{name}`");
                let expected = "expected another name of the cell, to have both in one text";
                return Err(self.mistake(None, message, expected.into()));
            }
            if place == main || (!means_another && !taken.contains(name)) {
                taken.insert(name);
                names.insert(place, name.to_owned());
            } else {
                others.push((place, name));
            }
        }
        let mut new_names: HashSet<String> = HashSet::new();
        for (place, name) in others {
            let free = |new: &String| {
                let occurs = library.sources().any(|s| s.text.contains(new));
                !occurs && !is_built_in(new) && !new_names.contains(new)
            };
            let mut all = (2..).map(|k| format!("{name}_{k}"));
            let new = all.find(free).expect("there are more numbers than names");
            new_names.insert(new.clone());
            names.insert(place, new);
        }
        Ok(names)
    }
}

impl<'f> Named<'f> {
    fn of(call: &'f Call) -> Named<'f> {
        Named {
            text: &call.function.text,
            span: call.function.span,
        }
    }
}

impl<'f> Calls<'f> {
    /// All calls of a text.
    fn of(library: &'f Library, file: usize) -> Calls<'f> {
        let mut found = Calls::default();
        for (k, routine) in library.files[file].routines.iter().enumerate() {
            let mut layers = HashSet::new();
            found.block(library, (file, k), &routine.statements, &mut layers);
            if let RoutineKind::Function { result, .. } = &routine.kind {
                found.expressions(library, (file, k), &[result], &layers);
            }
        }
        found
    }

    /// The calls of lines, in their order: below a `layer`, its name means it.
    fn block(
        &mut self,
        library: &'f Library,
        place: Place,
        statements: &'f [Statement],
        layers: &mut HashSet<&'f str>,
    ) {
        let above = layers.clone();
        for s in statements {
            let mut expressions = Vec::new();
            s.expressions(&mut expressions);
            self.expressions(library, place, &expressions, layers);
            match s {
                Statement::Layer { name, call } => {
                    let named = Named::of(call);
                    self.calls.push((named, meant(library, place, named)));
                    layers.insert(&name.text);
                    self.layers.insert(&name.text);
                }
                Statement::For(repetition) => {
                    self.block(library, place, &repetition.body, layers);
                }
                _ => {}
            }
        }
        // A function's result, which follows, may apply those of its own lines.
        let routine: &Routine = &library.files[place.0].routines[place.1];
        if !std::ptr::eq(routine.statements.as_slice(), statements) {
            *layers = above;
        }
    }

    fn expressions(
        &mut self,
        library: &'f Library,
        place: Place,
        expressions: &[&'f Expr],
        layers: &HashSet<&'f str>,
    ) {
        let mut calls = Vec::new();
        expressions.iter().for_each(|e| e.calls(&mut calls));
        let calls = calls.into_iter();
        let functions = calls.filter(|call| !layers.contains(call.function.text.as_str()));
        let named = functions.flat_map(|call| {
            let function = Named::of(call);
            let stacks = call.function.text == STACK && meant(library, place, function).is_none();
            let mut operands = call.args.iter().filter(|arg| arg.label.is_none());
            let cell = operands.next().filter(|_| stacks);
            let cell = cell.and_then(|arg| match &arg.value.kind {
                ExprKind::Name(text) => Some(Named {
                    text,
                    span: arg.value.span,
                }),
                _ => None,
            });
            std::iter::once(function).chain(cell)
        });
        let found = named.map(|named| (named, meant(library, place, named)));
        self.calls.extend(found);
    }
}

/// The routine that a call in another one means; `None` for a built-in function.
fn meant(library: &Library, caller: Place, call: Named<'_>) -> Option<Place> {
    let name = call.text;
    let found = library.place(caller.0 as u32, name)?;
    (found != caller || !is_built_in(name)).then_some(found)
}

/// The end of a line of which nothing is left behind a place, or that place.
fn end_of_line(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r']).len();
    match rest[blank..].starts_with('\n') {
        true => at + blank + 1,
        false => at,
    }
}

fn edited(text: &str, edits: &Edits) -> String {
    let mut out = String::new();
    let mut at = 0;
    for (&start, (end, new)) in edits {
        out += &text[at..start];
        out += new;
        at = *end;
    }
    out += &text[at..];
    out
}
