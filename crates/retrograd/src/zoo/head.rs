//! The head of a cell file of the zoo, read while the library is built.

/// The rest of the first line that begins with `key`, in the comment that the text begins with.
pub(super) const fn find(text: &'static str, key: &str) -> Option<&'static str> {
    let (bytes, key) = (text.as_bytes(), key.as_bytes());
    let mut at = 0;
    while at < bytes.len() && bytes[at] == b'#' {
        let mut end = at;
        while end < bytes.len() && bytes[end] != b'\n' {
            end += 1;
        }
        let mut same = 0;
        while same < key.len() && at + same < end && bytes[at + same] == key[same] {
            same += 1;
        }
        if same == key.len() {
            let (line, _) = text.split_at(end);
            return Some(line.split_at(at + key.len()).1);
        }
        at = end + 1;
    }
    None
}

/// As [`find`], where the line must be there.
pub(super) const fn expect(text: &'static str, key: &str) -> &'static str {
    match find(text, key) {
        Some(found) => found,
        None => panic!("the head of a cell file lacks a line"),
    }
}
