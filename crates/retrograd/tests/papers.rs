//! Cells from papers, as files: each is what an independent implementation says (`data/fixtures/papers.py`).

use retrograd::Cell;

fn files() -> Vec<std::path::PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/papers");
    let files = std::fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<_> = files.map(|f| f.expect("it can be read").path()).collect();
    files.sort();
    files
}

#[test]
fn every_file_is_read() {
    let mut wrong = 0;
    for path in files() {
        match Cell::from_file(&path, &[]) {
            Ok(cell) => println!("{}: {} ops", cell.name(), cell.tape().nodes().len()),
            Err(e) => {
                wrong += 1;
                println!("{e}");
            }
        }
    }
    assert_eq!(wrong, 0);
}
