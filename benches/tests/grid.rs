//! The flags and keys of `grid`: the comparison with other frameworks reads them.

use std::collections::BTreeSet;
use std::process::Command;

/// The keys of every line that `grid` prints with these flags.
fn keys(flags: &[&str]) -> Vec<BTreeSet<String>> {
    let run = Command::new(env!("CARGO_BIN_EXE_grid"))
        .args(["--cell", "lstm", "--shapes", "8x2x4", "--secs", "0.01"])
        .args(flags)
        .output()
        .expect("it runs");
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let out = String::from_utf8(run.stdout).expect("it prints text");
    let keys = |line: &str| -> BTreeSet<String> {
        let line: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).expect("each line is an object");
        line.into_iter().map(|(key, _)| key).collect()
    };
    out.lines().map(keys).collect()
}

fn with(more: &[&str]) -> BTreeSet<String> {
    let all = "impl cell I H B T threads median_ms min_ms first_ms gflops peak_rss_mb compile_ms peak_share workspace_mb";
    let all = all.split(' ').chain(more.iter().copied());
    all.map(str::to_owned).collect()
}

#[test]
fn lines_have_the_keys_that_peers_py_reads() {
    let both = [with(&["predicted_share"]), with(&[])];
    assert_eq!(keys(&["--threads", "1"]), both);
    assert_eq!(keys(&["--engines", "jit,tape"]), both);
    assert_eq!(keys(&["--engines", "tape"]), both[1..]);
    let parts = with(&["predicted_share", "forward_ms", "vectors_ms"]);
    assert_eq!(keys(&["--engines", "jit", "--parts"]), [parts]);
}
