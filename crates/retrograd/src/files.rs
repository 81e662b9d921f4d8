//! Files that are written whole or not at all, and reading of regular files up to a size limit.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Reads a file of at most `limit` bytes.
///
/// ```
/// use retrograd::files;
/// use std::path::Path;
///
/// let manifest = Path::new("Cargo.toml");
/// assert!(files::read(manifest, 1 << 20)?.starts_with(b"[package]"));
/// let error = files::read(manifest, 12).unwrap_err();
/// assert_eq!(error.to_string(), "it has more than the 12 bytes that are read");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Those of the system, and errors for anything but a regular file (a directory, a pipe, or a device, which may have no end), for a
/// file of more than `limit` bytes, and if memory for it is lacking.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // Before it is opened: opening a pipe waits for its writer, and opening a device may do something.
    match not_a_file(fs::metadata(path)?.file_type()) {
        Some(what) => Err(refused(what)),
        None => read_all(File::open(path)?, limit),
    }
}

/// [`read`], also of a pipe such as a shell's `<(…)`, until its writer closes it.
///
/// ```
/// use retrograd::files;
/// use std::path::Path;
///
/// let bytes = files::read_or_receive(Path::new("Cargo.toml"), 1 << 20)?;
/// assert!(bytes.starts_with(b"[package]"));
/// let error = files::read_or_receive(Path::new("src"), 1 << 20).unwrap_err();
/// assert_eq!(error.to_string(), "it is a directory, not a file");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Those of [`read`], except for pipes.
pub fn read_or_receive(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    match not_a_file(fs::metadata(path)?.file_type()) {
        Some(what) if what != PIPE => Err(refused(what)),
        _ => read_all(File::open(path)?, limit),
    }
}

/// [`read`] of text in UTF-8.
///
/// ```
/// use retrograd::files;
/// use std::path::Path;
///
/// let text = files::read_text(Path::new("Cargo.toml"), 1 << 20)?;
/// assert!(text.contains("name = \"retrograd\""));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Those of [`read`], and one for bytes that are not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let bytes = read(path, limit)?;
    String::from_utf8(bytes)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-8 text: {e}")))
}

/// Reads `reader` to its end, at most `limit` bytes.
///
/// ```
/// use retrograd::files;
///
/// assert_eq!(files::read_all(&b"a,b"[..], 3)?, b"a,b");
/// assert!(files::read_all(std::io::repeat(0), 1 << 10).is_err(), "it never ends");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Those of the reader, and errors if it has more, or if memory for it is lacking.
pub fn read_all(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Memory is asked for fallibly in there.
    reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let message = format!("it has more than the {} that are read", size(limit));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

const PIPE: &str = "a pipe";

fn refused(what: &str) -> io::Error {
    let message = format!("it is {what}, not a file");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// What a file type is, if not a regular file.
fn not_a_file(kind: FileType) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return Some(PIPE);
        }
        if kind.is_socket() {
            return Some("a socket");
        }
    }
    match (kind.is_file(), kind.is_dir()) {
        (true, _) => None,
        (_, true) => Some("a directory"),
        _ => Some("a device"),
    }
}

/// A number of bytes for display, in the largest binary unit of which there is at least one: "512 MiB", "18.6 GiB", "12 bytes".
///
/// ```
/// use retrograd::files::size;
///
/// assert_eq!([512 << 20, 20_000_000_000, 12].map(size), ["512 MiB", "18.6 GiB", "12 bytes"]);
/// ```
#[must_use]
pub fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(power, _)| bytes >> power > 0) {
        Some((power, unit)) => {
            let count = bytes as f64 / (1_u64 << power) as f64;
            let decimals = usize::from(count.fract() != 0.0 && count < 100.0);
            format!("{count:.decimals$} {unit}")
        }
        None => format!("{bytes} bytes"),
    }
}

/// Calls `write` for a temporary file beside `path`, then renames it to `path`: an interrupted run leaves the old file or the new
/// one, never a part. File and directory are synchronised with the disk, so that the same holds for a machine that loses power.
///
/// ```
/// let path = std::env::temp_dir().join("retrograd-files-example.txt");
/// retrograd::files::replace(&path, "txt", |beside| std::fs::write(beside, "whole"))?;
/// assert_eq!(std::fs::read_to_string(&path)?, "whole");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// The temporary file ends in `.<extension>`, whatever `path` ends in.
pub fn replace<E: From<io::Error>>(
    path: &Path,
    extension: &str,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let beside = beside(path, extension);
    let written = write(&beside).and_then(|()| {
        // Opened for writing, without which some systems do not synchronise.
        File::options().append(true).open(&beside)?.sync_all()?;
        fs::rename(&beside, path)?;
        Ok(sync_directory(path)?)
    });
    if written.is_err() {
        // There may be none; the first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Makes a rename last through a crash of the machine.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory = path.parent().filter(|d| !d.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
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

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let name = format!("retrograd-read-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("file");
        fs::write(&path, [b'a'; 2048]).unwrap();
        assert_eq!(read(&path, 2048).unwrap().len(), 2048);
        let said = |path: &Path, limit| read(path, limit).unwrap_err().to_string();
        assert_eq!(
            said(&path, 2047),
            "it has more than the 2.0 KiB that are read"
        );
        assert_eq!(
            said(&path, 12),
            "it has more than the 12 bytes that are read"
        );
        assert_eq!(said(&directory, 9), "it is a directory, not a file");
        #[cfg(unix)]
        assert_eq!(
            said(Path::new("/dev/zero"), u64::MAX),
            "it is a device, not a file"
        );
        let endless = read_all(io::repeat(0), 1 << 20).unwrap_err();
        assert_eq!(
            endless.to_string(),
            "it has more than the 1 MiB that are read"
        );
        fs::write(&path, [b'a', 0xff]).unwrap();
        assert!(
            read_text(&path, 9)
                .unwrap_err()
                .to_string()
                .starts_with("not UTF-8")
        );
        fs::remove_dir_all(&directory).unwrap();
    }
}
