//! Files that are there whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Has `write` write a file beside `path`, then puts it in its place in one step: an interrupted run leaves the old file or
/// the new one.
///
/// ```
/// let path = std::env::temp_dir().join("retrograd-files-example.txt");
/// retrograd::files::replace(&path, "txt", |beside| std::fs::write(beside, "whole"))?;
/// assert_eq!(std::fs::read_to_string(&path)?, "whole");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// The file beside it ends in `.<extension>`, whatever `path` ends in.
pub fn replace<E: From<io::Error>>(
    path: &Path,
    extension: &str,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let beside = beside(path, extension);
    let written = write(&beside).and_then(|()| Ok(fs::rename(&beside, path)?));
    if written.is_err() {
        // There may be none; the first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{extension}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_stays() {
        let directory =
            std::env::temp_dir().join(format!("retrograd-files-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("file");
        replace(&path, "txt", |p| fs::write(p, "old")).unwrap();
        let failed: io::Result<()> = replace(&path, "txt", |p| {
            fs::write(p, "ne")?;
            Err(io::Error::other("interrupted"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "interrupted");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(&directory).unwrap();
    }
}
