//! What the measurements need from the operating system.

/// How many bytes of memory the process takes up. Linux only.
///
/// # Panics
///
/// If `/proc` is not mounted.
#[cfg(target_os = "linux")]
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = resident.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: u64 = kibibytes.expect("a line `VmRSS`").parse().expect("a number");
    kibibytes * 1024
}

/// What all workloads are timed with: the CPU time of all threads of the process.
///
/// On one core, where one of the threads always has something to do, that is the time on the wall
/// but for what other processes take away.
pub use cpu_time::ProcessTime as Stopwatch;

/// Keeps this thread, and those that it starts from now on, on one core. Answers which, if it could.
///
/// With a second core a wake from another thread costs what it takes to wake an idle core: ten times
/// as much as all that the runtimes do, and a matter of luck. And the time on the wall would be
/// something else than CPU time.
pub fn pin_to_one_core() -> Option<usize> {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let allowed = sched_getaffinity(None).ok()?;
        // Not the first one, which has most of the interrupts.
        let core = (0..CpuSet::MAX_CPU).rev().find(|core| allowed.is_set(*core))?;
        let mut one = CpuSet::new();
        one.set(core);
        sched_setaffinity(None, &one).ok()?;
        Some(core)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// The environment variable, and its value, by which glibc's allocator keeps the memory it has got.
///
/// It gives the top of the heap back to the system and gets it again a moment later, or does not,
/// depending on what happens to lie there. A workload that frees 100,000 tasks would measure that.
/// Means nothing to other allocators.
pub const KEEP_FREED_MEMORY: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.trim_threshold=4294967296:glibc.malloc.mmap_threshold=33554432",
);

/// Starts the program again with [`KEEP_FREED_MEMORY`], unless that variable is set.
pub fn keep_freed_memory() {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let (variable, value) = KEEP_FREED_MEMORY;
        if std::env::var_os(variable).is_some() {
            return;
        }
        let Ok(program) = std::env::current_exe() else {
            return;
        };
        let error = std::process::Command::new(program)
            .args(std::env::args_os().skip(1))
            .env(variable, value)
            .exec();
        eprintln!("cannot start again with {variable}: {error}");
    }
}
