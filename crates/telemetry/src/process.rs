//! The process itself, under the names Prometheus's own clients use.

use std::fs;

use metrics::{describe_gauge, gauge};

pub(crate) fn describe() {
    describe_gauge!("process_resident_memory_bytes", "Resident memory.");
    describe_gauge!("process_resident_memory_peak_bytes", "Most resident memory so far.");
    describe_gauge!("process_open_fds", "Open file descriptors.");
    describe_gauge!("process_threads", "Threads.");
}

/// Sets the gauges from `/proc/self`; what cannot be read keeps its last value.
pub(crate) fn measure() {
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        let kibibytes = |key| field(&status, key).map(|value| value * 1024.0);
        set("process_resident_memory_bytes", kibibytes("VmRSS:"));
        set("process_resident_memory_peak_bytes", kibibytes("VmHWM:"));
        set("process_threads", field(&status, "Threads:"));
    }
    // One of them is the folder being read.
    let open = fs::read_dir("/proc/self/fd").ok().and_then(|fds| u32::try_from(fds.count()).ok());
    set("process_open_fds", open.map(|count| f64::from(count.saturating_sub(1))));
}

fn set(name: &'static str, value: Option<f64>) {
    if let Some(value) = value {
        gauge!(name).set(value);
    }
}

fn field(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "VmPeak:\t  200 kB\nVmRSS:\t   12 kB\nThreads:\t3\n";
        assert_eq!(field(status, "VmRSS:"), Some(12.0));
        assert_eq!(field(status, "Threads:"), Some(3.0));
        assert_eq!(field(status, "VmHWM:"), None);
    }
}
