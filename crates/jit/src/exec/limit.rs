//! The machine's amount of memory: a run that needs more is rejected before anything is touched. Linux overcommits, and
//! kills the process that comes to use the memory.

use std::sync::OnceLock;

/// Bytes of memory available to this process: the machine's, or its control group's if that is less; the whole address
/// space if the system does not say. Read once.
pub fn machine_bytes() -> usize {
    static FOUND: OnceLock<usize> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let machine = read("/proc/meminfo").and_then(|text| total(&text));
        let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
        machine.into_iter().chain(group).min().unwrap_or(usize::MAX)
    })
}

/// The line `MemTotal:  N kB` of `/proc/meminfo`, in bytes.
fn total(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn the_total_is_read_in_bytes() {
        let text = "MemTotal:       32639028 kB\nMemFree:         1234 kB\n";
        assert_eq!(total(text), Some(32_639_028 * 1024));
        assert_eq!(total("MemTotal: many\n"), None);
        assert_eq!(total(""), None);
    }
}
