//! The formatter: what it writes means the same, and stays as it is.

use std::path::PathBuf;

use proptest::prelude::*;
use retrograd_text::{format, read_tape};

/// The texts of the zoo, of papers, and of tests.
fn texts() -> Vec<(PathBuf, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../retrograd");
    let folders = ["cells", "tests/cells", "tests/papers"];
    let files = folders.iter().flat_map(|f| {
        let folder = std::fs::read_dir(root.join(f)).expect("the folder is there");
        folder.map(|e| e.expect("it can be read").path())
    });
    let cells = files.filter(|p| p.extension().is_some_and(|e| e == "cell"));
    let read = |p: PathBuf| {
        let text = std::fs::read_to_string(&p).expect("it can be read");
        (p, text)
    };
    cells.map(read).collect()
}

#[test]
fn cells_are_recorded_as_before_and_stay_as_they_are() {
    let all = texts();
    assert!(all.len() > 30, "{}", all.len());
    for (path, text) in all {
        let once = format(&text).unwrap_or_else(|| panic!("{}", path.display()));
        assert_eq!(format(&once).as_deref(), Some(&*once), "{}", path.display());
        let comments = |t: &str| t.matches('#').count();
        assert_eq!(comments(&text), comments(&once), "{}", path.display());
        // Those that use no other file.
        if let Ok(tape) = read_tape("before", &text, &[]) {
            let after = read_tape("after", &once, &[]);
            let after = after.unwrap_or_else(|e| panic!("{}: {e}\n{once}", path.display()));
            assert_eq!(tape.to_string(), after.to_string(), "{}", path.display());
        }
    }
}

#[test]
fn the_usual_form() {
    for (from, to) in [
        ("h'=-x", "h' = -x\n"),
        ("h' = a -b", "h' = a - b\n"),
        ("h' = a*-b", "h' = a * -b\n"),
        ("y = x ^ - 1", "y = x^-1\n"),
        ("y = M@x[ 1 .. 3 ]", "y = M @ x[1..3]\n"),
        ("y=softmax( x,axis = -1 )", "y = softmax(x, axis=-1)\n"),
        ("loss  (y-next)^2", "loss (y - next)^2\n"),
        ("y = dense (x)", "y = dense(x)\n"),
        ("l = dense(h : r*h)", "l = dense(h: r * h)\n"),
        (
            "for k in 0 .. L carrying y = x{\ny=y+k\n}",
            "for k in 0..L carrying y = x {\n    y = y + k\n}\n",
        ),
        ("\n\n# a\n\n\n\nx = 1   # b  \n\n", "# a\n\nx = 1  # b\n"),
        ("y = f(a,\nb)", "y = f(a,\n    b)\n"),
        (
            "use lstm from \"a # b.cell\"",
            "use lstm from \"a # b.cell\"\n",
        ),
    ] {
        assert_eq!(format(from).as_deref(), Some(to), "{from}");
    }
    assert_eq!(format("x = \u{a7}"), None);
}

/// More or less white space beside a sign that has any; what is quoted stays.
fn stretched(text: &str, wide: &[bool]) -> String {
    let mut wide = wide.iter().cycle();
    let (mut comment, mut quoted) = (false, false);
    let mut out = String::new();
    for c in text.chars() {
        quoted ^= c == '"' && !comment;
        comment = (comment || c == '#' && !quoted) && c != '\n';
        let sign = matches!(c, '+' | '*' | '/' | '@' | ',' | ';' | ':');
        if sign && !comment && !quoted && wide.next() == Some(&true) {
            out.push_str("  ");
            out.push(c);
            out.push(' ');
        } else {
            out.push(c);
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn white_space_does_not_matter(wide in prop::collection::vec(any::<bool>(), 1..40), which in 0_usize..1000) {
        let all = texts();
        let (_, text) = &all[which % all.len()];
        prop_assert_eq!(format(&stretched(text, &wide)), format(text));
    }

    #[test]
    fn any_text_is_formatted_once_or_not_at_all(text in "[a-c\"#(){}\\[\\]=+\\-*/@^.,:;<> \n0-9']{0,60}") {
        if let Some(once) = format(&text) {
            prop_assert_eq!(format(&once), Some(once.clone()), "{}", text);
        }
    }
}
