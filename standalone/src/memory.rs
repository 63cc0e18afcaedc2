//! How much memory this process may use.

use std::fs;

/// Assumed for models where the machine does not say what it has.
pub const FALLBACK: u64 = 1 << 30;

/// Bytes of the machine, or of the container where that is less.
pub fn total() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| meminfo(&text));
    let limits = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let limits = limits
        .iter()
        .filter_map(|path| limit(&fs::read_to_string(path).ok()?));
    limits.chain(machine).min()
}

/// `MemTotal` of `/proc/meminfo`.
fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim()
        .strip_suffix(" kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

/// A control group's limit: a number, or `max` for none.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        assert_eq!(
            meminfo("MemTotal:       24576 kB\nMemFree:  1 kB\n"),
            Some(24576 << 10)
        );
        assert_eq!(meminfo("MemFree:  1 kB\n"), None);
        assert_eq!(meminfo("MemTotal: 99999999999999999999 kB\n"), None);
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("1073741824\n"), Some(1 << 30));
        assert_eq!(limit("0"), None);
    }
}
