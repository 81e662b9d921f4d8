//! Labelled tables and manifests.

use std::fs;
use std::path::PathBuf;

use retrograd::classify::Setup;
use retrograd::data::{Csv, DataError, Gaps};

fn words() -> Csv {
    Csv::new().id("clip").constant(["word", "speaker"])
}

#[test]
fn a_long_table_has_sequences_of_any_length_with_a_text_each() {
    // Rows of several sequences may lie between each other; the label may look like a number; a column that counts labels the rows.
    let table =
        "t,clip,word,speaker,a,b\n0,7,1,x,0.5,3\n0,8,2,y,1,4\n1,7,1,x,0.25,5\n2,7,1,x,0,1\n";
    let clips = words().time("t").parse_panel(table, "clips.csv").unwrap();
    assert_eq!(
        (clips.ids(), clips.id_name()),
        (&["7".to_owned(), "8".to_owned()][..], Some("clip"))
    );
    assert_eq!(clips.names(), ["a", "b"]);
    assert_eq!(clips.series()[0].rows(), [0.5, 3.0, 0.25, 5.0, 0.0, 1.0]);
    assert_eq!(clips.constant("word").unwrap(), ["1", "2"]);
    assert_eq!(clips.constants().collect::<Vec<_>>(), ["word", "speaker"]);
    assert_eq!(clips.place(1), "\"8\" (clips.csv, line 3)");
    // What is forecast is none of them, and a table without labels is read where they may be missing.
    let unlabelled = "clip,a\n1,0.5\n";
    let read = |csv: Csv| csv.id("clip").parse_panel(unlabelled, "new.csv");
    assert!(
        read(Csv::new().optional(["word"]))
            .unwrap()
            .constant("word")
            .is_none()
    );
    assert!(matches!(
        read(Csv::new().constant(["word"])),
        Err(DataError::UnknownColumn { .. })
    ));
}

#[test]
fn numbers_are_sorted_as_numbers_and_words_as_words() {
    let table = |labels: [&str; 4]| {
        let rows = labels
            .iter()
            .enumerate()
            .map(|(k, l)| format!("{k},{l},x,0.{k}\n"));
        format!("clip,word,speaker,a\n{}", rows.collect::<String>())
    };
    let labels = |of| {
        let clips = words().parse_panel(&table(of), "clips.csv").unwrap();
        Setup::fit(&clips, "word", &[0, 1, 2, 3])
            .unwrap()
            .labels()
            .to_vec()
    };
    assert_eq!(labels(["10", "9", "9", "-1"]), ["-1", "9", "10"]);
    assert_eq!(labels(["10", "9", "9", "b"]), ["10", "9", "b"]);
    assert_eq!(labels(["NaN", "1", "1", "inf"]), ["1", "NaN", "inf"]);
}

#[test]
fn a_label_that_changes_within_a_sequence_is_refused_with_both_lines() {
    let table = "clip,word,speaker,a\n1,yes,x,0\n\n2,no,x,0\n1,no,x,1\n";
    let error = words().parse_panel(table, "clips.csv").unwrap_err();
    assert!(
        matches!(
            error,
            DataError::NotConstant {
                line: 5,
                first: 2,
                ..
            }
        ),
        "{error:?}"
    );
    let expected = "clips.csv, line 5, column \"word\": \"no\", where line 2 has \"yes\"; it must be the same in all rows of the series \"1\"";
    assert_eq!(error.to_string(), expected);
    let blank = table.replace("1,no,x,1", "1,,x,1");
    let error = words()
        .parse_panel(&blank, "clips.csv")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 5, column \"word\": \"\", where line 2 has \"yes\""),
        "{error}"
    );
    let twice = Csv::new()
        .id("clip")
        .constant(["word", "word"])
        .parse_panel(table, "clips.csv");
    assert!(matches!(twice, Err(DataError::RepeatedRequest { .. })));
}

#[test]
fn a_ramp_in_the_first_sequence_is_no_index() {
    let rows = |clip: usize, value: fn(usize) -> usize| -> String {
        (0..9)
            .map(|t| format!("{clip},{t},{},{}\n", value(t), t * t % 5))
            .collect()
    };
    let table = format!(
        "clip,n,a,b\n{}{}{}",
        rows(1, |t| 3 + t),
        rows(2, |t| t * t),
        rows(3, |t| 7 * t % 4)
    );
    let clips = Csv::new()
        .id("clip")
        .parse_panel(&table, "clips.csv")
        .unwrap();
    assert_eq!(clips.names(), ["a", "b"]);
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Folder {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("classify-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("clips")).unwrap();
        for (file, text) in files {
            fs::write(path.join(file), text).unwrap();
        }
        Folder(path)
    }

    fn open(&self, csv: Csv) -> Result<retrograd::data::Panel, String> {
        let panel = csv.open_manifest(self.0.join("words.csv"));
        panel.map_err(|e| e.to_string().replace(&format!("{}/", self.0.display()), ""))
    }
}

#[test]
fn a_manifest_names_files_with_their_labels() {
    let folder = Folder::new(
        "manifest",
        &[
            (
                "words.csv",
                "file;label;group\nclips/a.csv;ja;eins\nclips/b.csv;nein;zwei\n",
            ),
            ("clips/a.csv", "t;x;y\n0;1,5;2,5\n1;;3,5\n2;3,5;1,0\n"),
            ("clips/b.csv", "t;y;x\n0;7,5;\n1;9,5;8,5\n"),
        ],
    );
    let clips = folder
        .open(Csv::new().time("t").gaps(Gaps::Linear))
        .unwrap();
    assert_eq!(clips.ids(), ["clips/a.csv", "clips/b.csv"]);
    assert_eq!(clips.names(), ["x", "y"]);
    assert_eq!(
        clips.series()[1].rows(),
        [8.5, 7.5, 8.5, 9.5],
        "by names, not by place"
    );
    assert_eq!(clips.constant("label").unwrap(), ["ja", "nein"]);
    assert_eq!(clips.constant("group").unwrap(), ["eins", "zwei"]);
    assert!(clips.place(1).ends_with("words.csv, line 3)"));
    let notes: Vec<String> = clips.notes().iter().map(ToString::to_string).collect();
    let gaps = "column \"x\": 2 gaps, filled on the line between their neighbours";
    assert_eq!(notes.last().map(String::as_str), Some(gaps), "of all files");
}

#[test]
fn mistakes_in_manifests_and_their_files_are_told_with_both_places() {
    let refused = |name: &str, manifest: &str, csv: Csv| {
        let files = [
            ("words.csv", manifest),
            ("clips/a.csv", "x\n1\n2\n"),
            ("clips/b.csv", "z\n1\n"),
            ("clips/c.csv", "x\n1\nfoo\n"),
            ("clips/d.csv", "x\n"),
        ];
        Folder::new(name, &files).open(csv).unwrap_err()
    };
    let new = Csv::new;
    assert_eq!(
        refused(
            "missing",
            "file,label\nclips/a.csv,yes\nclips/no.csv,no\n",
            new()
        ),
        "words.csv, line 3: clips/no.csv: cannot be read: No such file or directory (os error 2)"
    );
    assert_eq!(
        refused(
            "columns",
            "file,label\nclips/a.csv,yes\nclips/b.csv,no\n",
            new()
        ),
        "words.csv, line 3: clips/b.csv: there is no column \"x\" (did you mean \"z\"?); the columns are z"
    );
    assert_eq!(
        refused("text", "file,label\nclips/c.csv,yes\n", new()),
        "words.csv, line 2: clips/c.csv, line 3, column \"x\": \"foo\" is not a number"
    );
    assert_eq!(
        refused("empty", "file,label\nclips/d.csv,yes\n", new()),
        "words.csv, line 2: clips/d.csv: no data rows after the header on line 1"
    );
    assert_eq!(
        refused(
            "twice",
            "file,label\nclips/a.csv,yes\nclips/a.csv,no\n",
            new()
        ),
        "words.csv, line 3: \"clips/a.csv\" is also in line 2; a manifest names each file once"
    );
    assert_eq!(
        refused("none", "path,label\nclips/a.csv,yes\n", new()),
        "words.csv: there is no column \"file\"; the columns are path, label"
    );
    assert_eq!(
        refused("blank", "file,label\n,yes\n", new()),
        "words.csv, line 2, column \"file\": the value is missing; fill the gap, remove the row, or say `Csv::gaps`"
    );
    assert!(
        refused("gone", "path,label\nclips/x.csv,yes\n", new().id("path"))
            .starts_with("words.csv, line 2: ")
    );
    let folder = Folder(PathBuf::from("/nonexistent"));
    assert!(
        folder
            .open(new())
            .unwrap_err()
            .starts_with("words.csv: cannot be read")
    );
}
