//! The peak of a process's resident memory, as the kernel keeps it for this program alone.
//!
//! `wait4` would give a number for free, and a wrong one: its peak survives `exec`, so that it counts the test binary that forked.
//! `VmHWM` belongs to the address space made by `exec`, and is a high-water mark: reading it late loses nothing, and only what
//! grows within the last milliseconds before the end can be missed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(2);

/// The watch over one process; it ends with the process.
pub struct PeakMemory {
    peak_kib: Arc<AtomicU64>,
    watcher: Option<JoinHandle<()>>,
}

impl PeakMemory {
    /// Starts to watch a child of this process that was not waited for yet.
    pub fn watch(pid: u32) -> PeakMemory {
        // Opened once: it stays bound to this process, whoever gets the number later.
        let status = File::open(format!("/proc/{pid}/status")).expect("the status of our own child");
        let peak_kib = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&peak_kib);
        let watcher = std::thread::spawn(move || {
            while let Some(kib) = high_water_mark(&status) {
                seen.store(kib, Ordering::Relaxed);
                std::thread::sleep(INTERVAL);
            }
        });
        PeakMemory { peak_kib, watcher: Some(watcher) }
    }

    /// The peak in KiB; waits until the process has ended.
    pub fn kib(&mut self) -> u64 {
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
        self.peak_kib.load(Ordering::Relaxed)
    }
}

/// None when the process has no memory any more: it has ended.
fn high_water_mark(status: &File) -> Option<u64> {
    let mut text = [0; 4096];
    let length = status.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(&text[..length]).ok()?;
    text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?.trim().parse().ok()
}
