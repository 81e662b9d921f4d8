//! Cell files with what they use: the routines of all files that are read together, and where each finds the others.

use std::collections::HashMap;
use std::sync::Arc;

use retrograd_tape::InputRole;

use crate::ast::{Expr, ExprKind, Name, Statement};
use crate::error::{TextError, nearest};
use crate::parse;
use crate::source::{Source, Span};

/// The most files that may be read together.
const MOST_FILES: usize = 256;

/// What a `use` line asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// The cell's or function's name.
    pub name: &'w str,
    /// The path, if the line gives one; without, the cell is one of the zoo.
    pub path: Option<&'w str>,
    /// The name of the text that has the line, usually a path.
    pub user: &'w str,
}

/// A text that defines what a `use` line asks for.
#[derive(Clone, Debug)]
pub struct Found {
    /// The text's name in messages. Texts of one name are read once.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A cell, or a function.
#[derive(Clone, Debug)]
pub(crate) struct Routine {
    pub(crate) kind: RoutineKind,
    pub(crate) name: Name,
    /// Symbolic dimensions and their values, which may refer to earlier ones; a function's have none.
    pub(crate) dims: Vec<(Name, Option<Expr>)>,
    /// A cell's inputs and states from its head, then the lines.
    pub(crate) statements: Vec<Statement>,
}

#[derive(Clone, Debug)]
pub(crate) enum RoutineKind {
    Cell,
    Function { operands: Vec<Name>, result: Expr },
}

/// A line `use lstm as encoder from "mine.cell"`.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) name: Name,
    /// What the text calls it, if not by its name.
    pub(crate) alias: Option<Name>,
    pub(crate) path: Option<Name>,
    /// The whole line.
    pub(crate) span: Span,
}

/// The contents of one text.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) source: Arc<Source>,
    pub(crate) uses: Vec<Use>,
    pub(crate) routines: Vec<Routine>,
}

/// All texts that are read together.
#[derive(Clone, Debug)]
pub(crate) struct Library {
    pub(crate) files: Vec<Parsed>,
    /// For each text, where it finds a name: the text and the routine's number in it.
    scopes: Vec<HashMap<String, (usize, usize)>>,
}

/// A cell file.
#[derive(Clone, Debug)]
pub struct CellFile {
    pub(crate) library: Arc<Library>,
    /// The number of the cell in the first text.
    pub(crate) main: usize,
}

impl Library {
    /// Reads a text and all texts that it uses.
    fn read(
        source: Arc<Source>,
        find: &mut dyn FnMut(Wanted<'_>) -> Result<Found, String>,
    ) -> Result<Library, TextError> {
        let mut files = vec![parse::parse(&source)?];
        let mut by_name = HashMap::from([(source.name.clone(), 0)]);
        // For each text, the texts that its lines use.
        let mut used: Vec<Vec<usize>> = Vec::new();
        while let Some(parsed) = files.get(used.len()) {
            let user = parsed.source.clone();
            let mut numbers = Vec::new();
            for line in parsed.uses.clone() {
                let path = line.path.as_ref();
                let at = path.unwrap_or(&line.name).span;
                let wanted = Wanted {
                    name: &line.name.text,
                    path: path.map(|p| p.text.as_str()),
                    user: &user.name,
                };
                let found = find(wanted)
                    .map_err(|why| TextError::new(&user, at, why, "expected a cell".into()))?;
                let number = match by_name.get(&found.name) {
                    Some(&number) => number,
                    None if files.len() == MOST_FILES => {
                        let message = format!("more than {MOST_FILES} files are used");
                        let label = "expected fewer files";
                        return Err(TextError::new(&user, at, message, label.into()));
                    }
                    None => {
                        let source = Source::numbered(&found.name, &found.text, files.len() as u32);
                        let parsed = parse::parse(&source).map_err(|e| {
                            e.and(at, "used here".into())
                                .among(std::slice::from_ref(&user))
                        })?;
                        files.push(parsed);
                        by_name.insert(found.name, files.len() - 1);
                        files.len() - 1
                    }
                };
                numbers.push(number);
            }
            used.push(numbers);
        }
        let mut library = Library {
            scopes: vec![HashMap::new(); files.len()],
            files,
        };
        for (file, used) in used.into_iter().enumerate() {
            library.link(file, used)?;
        }
        Ok(library)
    }

    /// Fills in where a text finds names, given the texts that its `use` lines name.
    fn link(&mut self, file: usize, used: Vec<usize>) -> Result<(), TextError> {
        let Library { files, scopes } = self;
        let user = &files[file];
        let mut places: HashMap<String, Span> = HashMap::new();
        let mut define = |name: &Name, found: (usize, usize)| {
            if let Some(before) = places.insert(name.text.clone(), name.span) {
                let message = format!("`{}` is defined twice", name.text);
                let label = "expected another name".to_owned();
                let error = TextError::new(&user.source, name.span, message, label);
                return Err(error.and(before, "the first".into()));
            }
            scopes[file].insert(name.text.clone(), found);
            Ok(())
        };
        for (k, routine) in user.routines.iter().enumerate() {
            define(&routine.name, (file, k))?;
        }
        for (line, number) in user.uses.iter().zip(used) {
            let routines = &files[number].routines;
            let found = routines.iter().position(|r| r.name.text == line.name.text);
            let Some(k) = found else {
                let message = format!(
                    "{} defines no `{}`",
                    files[number].source.name, line.name.text
                );
                let label = "expected the name of a cell or a function there".to_owned();
                let error = TextError::new(&user.source, line.name.span, message, label);
                let known = routines.iter().map(|r| r.name.text.as_str());
                return Err(match nearest(&line.name.text, known) {
                    Some(near) => error.help(format!("did you mean `{near}`?")),
                    None => error,
                });
            };
            define(line.alias.as_ref().unwrap_or(&line.name), (number, k))?;
        }
        Ok(())
    }

    /// The cell or function that a text calls by a name.
    pub(crate) fn find(&self, file: u32, name: &str) -> Option<&Routine> {
        let (file, k) = self.place(file, name)?;
        Some(&self.files[file].routines[k])
    }

    /// Its text and its number there.
    pub(crate) fn place(&self, file: u32, name: &str) -> Option<(usize, usize)> {
        self.scopes[file as usize].get(name).copied()
    }

    /// The names that a text can call.
    pub(crate) fn names(&self, file: u32) -> impl Iterator<Item = &str> {
        self.scopes[file as usize].keys().map(String::as_str)
    }

    /// All texts.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.files.iter().map(|f| &f.source)
    }
}

impl Routine {
    /// The number of the text that it stands in.
    pub(crate) fn file(&self) -> u32 {
        self.name.span.file
    }

    /// The names of its operands: a function's, or the sequences and static inputs of a cell, in order.
    pub(crate) fn operands(&self) -> Vec<&Name> {
        match &self.kind {
            RoutineKind::Function { operands, .. } => operands.iter().collect(),
            RoutineKind::Cell => (self.statements.iter())
                .filter_map(|s| match s {
                    Statement::Input { role, name, .. } if is_operand(*role) => Some(name),
                    _ => None,
                })
                .collect(),
        }
    }
}

/// True for the inputs of a cell that are operands where it is a layer.
pub(crate) fn is_operand(role: InputRole) -> bool {
    matches!(role, InputRole::Sequence | InputRole::Static)
}

impl CellFile {
    pub(crate) fn read(
        source: Arc<Source>,
        find: &mut dyn FnMut(Wanted<'_>) -> Result<Found, String>,
    ) -> Result<CellFile, TextError> {
        let library = Library::read(source, find)?;
        let cell = |r: &Routine| matches!(r.kind, RoutineKind::Cell);
        let Some(main) = library.files[0].routines.iter().rposition(cell) else {
            let source = &library.files[0].source;
            let end = source.text.trim_end().len();
            let (file, start) = (0, end);
            let message = "the text has no cell".to_owned();
            let label = "expected `cell` and its name".to_owned();
            return Err(TextError::new(
                source,
                Span { file, start, end },
                message,
                label,
            ));
        };
        Ok(CellFile {
            library: Arc::new(library),
            main,
        })
    }

    /// The cell: the last of the text.
    pub(crate) fn main(&self) -> &Routine {
        &self.library.files[0].routines[self.main]
    }

    /// The cell's name.
    pub fn name(&self) -> &str {
        &self.main().name.text
    }

    /// The names of its symbolic dimensions.
    pub fn dimensions(&self) -> impl Iterator<Item = &str> {
        self.main().dims.iter().map(|(name, _)| name.text.as_str())
    }

    /// The value that the cell's `where` gives a dimension, if it is a number.
    pub fn default_of(&self, dimension: &str) -> Option<usize> {
        let mut dims = self.main().dims.iter();
        let (_, value) = dims.find(|(n, _)| n.text == dimension)?;
        match value.as_ref()?.kind {
            ExprKind::Number(x) if x >= 1.0 && x.fract() == 0.0 => Some(x as usize),
            _ => None,
        }
    }

    /// Its inputs in textual order: role, name, and the symbolic dimension if that alone is its shape, as in `x[I]`.
    pub fn inputs(&self) -> impl Iterator<Item = (InputRole, &str, Option<&str>)> {
        self.main().statements.iter().filter_map(|s| match s {
            Statement::Input {
                role, name, shape, ..
            } => {
                let dimension = match &shape[..] {
                    [one] => self.symbol(one),
                    _ => None,
                };
                Some((*role, name.text.as_str(), dimension))
            }
            _ => None,
        })
    }

    fn symbol<'e>(&self, e: &'e Expr) -> Option<&'e str> {
        let ExprKind::Name(name) = &e.kind else {
            return None;
        };
        self.dimensions().any(|dim| dim == name).then_some(name)
    }

    /// True if the cell has a loss of its own.
    pub fn has_loss(&self) -> bool {
        let mut statements = self.main().statements.iter();
        statements.any(|s| matches!(s, Statement::Loss(..)))
    }

    /// A mistake about one of its inputs or outputs, or, without a name, about the cell.
    pub fn mistake(&self, name: Option<&str>, message: String, expected: String) -> TextError {
        let found = self.main().statements.iter().find_map(|s| match s {
            Statement::Input { name: n, .. } | Statement::Output { name: n, .. } => {
                (Some(n.text.as_str()) == name).then_some(n.span)
            }
            _ => None,
        });
        let at = found.unwrap_or(self.main().name.span);
        TextError::new(self.source(), at, message, expected)
    }

    /// The text and its name.
    pub fn source(&self) -> &Arc<Source> {
        &self.library.files[0].source
    }
}
