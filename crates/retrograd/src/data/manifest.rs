//! Manifests: a table of files, each of them a series.

use std::collections::HashMap;
use std::path::Path;

use super::load::CsvTable;
use super::panel::Constant;
use super::records::cut;
use super::{Csv, DataError, Header, Note, Panel, Series};

/// The column of a manifest that names the files, unless [`Csv::id`] does.
const FILE: &str = "file";

impl Csv {
    /// Reads a manifest, a table with a line for each series: the column `file`, or the one of [`Csv::id`], names a CSV file, relative
    /// to the manifest, and its other columns are texts of the series, [`Panel::constant`]. The files are read as the other options
    /// say; all have the columns of the first.
    ///
    /// ```
    /// use retrograd::data::Csv;
    ///
    /// let folder = std::env::temp_dir().join("retrograd-manifest-example");
    /// std::fs::create_dir_all(&folder)?;
    /// std::fs::write(folder.join("a.csv"), "level,pitch\n0.1,220\n0.3,230\n")?;
    /// std::fs::write(folder.join("b.csv"), "level,pitch\n0.2,180\n")?;
    /// std::fs::write(folder.join("words.csv"), "file,label,speaker\na.csv,yes,anna\nb.csv,no,ben\n")?;
    /// let words = Csv::new().open_manifest(folder.join("words.csv"))?;
    /// assert_eq!(words.ids(), ["a.csv", "b.csv"]);
    /// assert_eq!(words.constant("speaker").unwrap(), ["anna", "ben"]);
    /// assert_eq!(words.series()[0].len(), 2);
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Csv::open`] for the manifest; [`DataError::InManifest`] for a mistake in a file, [`DataError::NamedTwice`] for one that is
    /// named twice.
    pub fn open_manifest(&self, path: impl AsRef<Path>) -> Result<Panel, DataError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let text = self.text(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let lines = Lines::read(&text, &name, self.id.as_deref().unwrap_or(FILE))?;

        let mut files = Csv {
            id: None,
            constant: Vec::new(),
            optional: Vec::new(),
            ..self.clone()
        };
        let mut series: Vec<(String, Series)> = Vec::with_capacity(lines.files.len());
        let mut filled: Vec<Note> = Vec::new();
        for (file, line) in lines.files.iter().zip(&lines.numbers) {
            let read = files.open(folder.join(file));
            let read = read.map_err(|cause| DataError::InManifest {
                file: name.clone(),
                line: *line,
                cause: Box::new(cause),
            })?;
            read.notes().iter().for_each(|note| add(&mut filled, note));
            // What is a column of numbers is decided by the first file.
            files.columns.get_or_insert_with(|| read.names().to_vec());
            files.also.clear();
            series.push((file.clone(), read));
        }
        let first = &mut series[0].1;
        let others = first.notes().iter();
        let others = others
            .filter(|n| !matches!(n, Note::Filled { .. }))
            .cloned();
        *first = first.clone().with_notes(others.chain(filled).collect());
        let place = |line: &u64| format!("{name}, line {line}");
        let constants = lines.texts.into_iter().map(|(column, texts)| Constant {
            name: column,
            texts,
            lines: lines.numbers.iter().map(place).collect(),
        });
        let constants = constants.collect();
        Ok(Panel::new(&lines.id, series)?.with_constants(constants))
    }
}

/// Gaps that were filled in one more file.
fn add(all: &mut Vec<Note>, note: &Note) {
    let Note::Filled { column, gaps, how } = note else {
        return;
    };
    for known in all.iter_mut() {
        if let Note::Filled {
            column: c, gaps: n, ..
        } = known
            && c == column
        {
            *n += gaps;
            return;
        }
    }
    all.push(Note::Filled {
        column: column.clone(),
        gaps: *gaps,
        how: *how,
    });
}

/// The lines of a manifest.
struct Lines {
    /// The column of files.
    id: String,
    files: Vec<String>,
    numbers: Vec<u64>,
    /// The other columns.
    texts: Vec<(String, Vec<String>)>,
}

impl Lines {
    fn read(text: &str, name: &str, id: &str) -> Result<Lines, DataError> {
        let how = Csv::new().header(Header::Names);
        let table = CsvTable::scan(text.trim_start_matches('\u{feff}'), name, &how)?;
        let at = table.find(&[id.to_owned()])?[0];
        let others = table.columns.iter().enumerate();
        let others: Vec<usize> = others
            .filter(|(c, column)| *c != at && !column.name.is_empty())
            .map(|(c, _)| c)
            .collect();
        let of = |&c: &usize| (table.columns[c].name.clone(), Vec::new());
        let mut lines = Lines {
            id: table.columns[at].name.clone(),
            files: Vec::new(),
            numbers: Vec::new(),
            texts: others.iter().map(of).collect(),
        };
        let mut seen: HashMap<String, u64> = HashMap::new();
        table.each_row(|line, cells| {
            let file = &cells[at];
            if file.is_empty() {
                return Err(DataError::Missing {
                    file: name.to_owned(),
                    line,
                    column: table.columns[at].name.clone(),
                });
            }
            if let Some(first) = seen.insert(file.to_owned(), line) {
                return Err(DataError::NamedTwice {
                    file: name.to_owned(),
                    line,
                    text: cut(file),
                    first,
                });
            }
            lines.files.push(file.to_owned());
            lines.numbers.push(line);
            for (&c, (_, texts)) in others.iter().zip(&mut lines.texts) {
                texts.push(cells[c].to_owned());
            }
            Ok(())
        })?;
        Ok(lines)
    }
}
