//! Toro's thread pool: fork and join for kernels, nothing else.
//! The caller takes part; workers spin for a moment after a job and then sleep. Each thread has a range of the chunks, so
//! that kernel after kernel it finds in its own cache what it wrote before, and chunks are claimed one by one, from other
//! ranges when its own is empty: a core that the system has taken away delays at most the chunk it holds.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize};
use std::sync::{Mutex, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

const MAX_THREADS: usize = 256;

/// How long an idle worker keeps looking for the next job: longer than the gap between two kernels of one step,
/// shorter than anything a person would notice as load.
const SPIN: Duration = Duration::from_micros(40);

/// One call of [`parallel`]; lives on the caller's stack.
struct Job {
    body: *const (dyn Fn(usize) + Sync),
    chunks: usize,
    /// Into how many they are cut: one for each thread that is to take part.
    ranges: usize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

struct Worker {
    thread: OnceLock<Thread>,
    asleep: AtomicBool,
}

/// Keeps words written by different threads off each other's cache lines.
#[repr(align(128))]
struct Line<T>(T);

/// Threads a kernel may use, the caller included; 0 until first asked for.
static THREADS: AtomicUsize = AtomicUsize::new(0);
/// Taken by the caller whose job the workers serve.
static BUSY: Line<AtomicBool> = Line(AtomicBool::new(false));
/// The job on offer, or null.
static JOB: Line<AtomicPtr<Job>> = Line(AtomicPtr::new(ptr::null_mut()));
/// Rises by one with each job: what idle workers watch.
static EPOCH: Line<AtomicU32> = Line(AtomicU32::new(0));
/// Workers that may hold a reference to the job on offer.
static ACTIVE: Line<AtomicUsize> = Line(AtomicUsize::new(0));
/// Of each range of the job on offer, the next chunk.
static NEXT: [Line<AtomicUsize>; MAX_THREADS] = [const { Line(AtomicUsize::new(0)) }; MAX_THREADS];
static SLEEPERS: Line<AtomicUsize> = Line(AtomicUsize::new(0));
static STARTED: AtomicUsize = AtomicUsize::new(0);
static WORKERS: [Worker; MAX_THREADS - 1] = [const {
    Worker {
        thread: OnceLock::new(),
        asleep: AtomicBool::new(false),
    }
}; MAX_THREADS - 1];

/// Threads a kernel may use, the caller included. Default: `TORO_NUM_THREADS`, else the processors at hand.
pub fn threads() -> usize {
    match THREADS.load(Relaxed) {
        0 => {
            let asked = std::env::var("TORO_NUM_THREADS")
                .ok()
                .and_then(|text| text.trim().parse::<usize>().ok());
            let count = asked
                .filter(|&n| n > 0)
                .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()))
                .clamp(1, MAX_THREADS);
            // A set_threads that came in between wins.
            THREADS
                .compare_exchange(0, count, Relaxed, Relaxed)
                .map_or_else(|now| now, |_| count)
        }
        count => count,
    }
}

/// Sets the number of threads for jobs to come, clamped to 1..=256.
pub fn set_threads(count: usize) {
    THREADS.store(count.clamp(1, MAX_THREADS), Relaxed);
}

/// Runs `body(i)` for every `i` in `0..chunks`, in any order, on any of the pool's threads, and returns when all are
/// done. While another job has the pool (another thread's, or the one this is called from) the caller runs its chunks
/// alone. A panic in a chunk is raised again here after the other chunks have run.
pub fn parallel(chunks: usize, body: &(dyn Fn(usize) + Sync)) {
    let threads = threads();
    if chunks <= 1
        || threads == 1
        || BUSY.0.load(Relaxed)
        || BUSY
            .0
            .compare_exchange(false, true, Acquire, Relaxed)
            .is_err()
    {
        let mut panic = None;
        run_all(chunks, body, &mut panic);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
        return;
    }
    let helpers = (threads - 1).min(chunks - 1);
    start_workers(helpers);

    // SAFETY: only the lifetime changes. `body` outlives the job because this function does not return, nor unwind,
    // before the job is withdrawn and ACTIVE has been seen at zero.
    let body: *const (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(ptr::from_ref(body)) };
    let job = Job {
        body,
        chunks,
        ranges: helpers + 1,
        panic: Mutex::new(None),
    };
    // No worker is active: none claims chunks of the job before.
    for (range, next) in NEXT.iter().enumerate().take(job.ranges) {
        next.0.store(job.begin(range), Relaxed);
    }
    JOB.0.store(ptr::from_ref(&job).cast_mut(), SeqCst);
    EPOCH.0.fetch_add(1, SeqCst);
    // SeqCst here and in `rest`: either this sees the sleeper, or the sleeper sees the new epoch.
    if SLEEPERS.0.load(SeqCst) > 0 {
        for worker in &WORKERS[..helpers] {
            if worker.asleep.load(SeqCst)
                && let Some(thread) = worker.thread.get()
            {
                thread.unpark();
            }
        }
    }
    work(&job, 0);

    // Withdraw, then wait. A worker raises ACTIVE before it reads JOB, so (SeqCst) it either reads null, or is seen
    // here and waited for: none can touch `job` once ACTIVE has been zero.
    JOB.0.store(ptr::null_mut(), SeqCst);
    let mut spins = 0u32;
    while ACTIVE.0.load(SeqCst) != 0 {
        spins += 1;
        if spins < 2_000 {
            std::hint::spin_loop();
        } else {
            // The worker may be waiting for this very core.
            std::thread::yield_now();
        }
    }
    BUSY.0.store(false, Release);
    let panic = job
        .panic
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    if let Some(payload) = panic {
        resume_unwind(payload);
    }
}

/// Splits `0..len` into ranges of `grain` (the last may be shorter) and runs `body` on each. The boundaries depend on
/// `len` and `grain` only, so a kernel that joins partial results in order gives the same bits for any thread count.
pub fn parallel_ranges(len: usize, grain: usize, body: &(dyn Fn(Range<usize>) + Sync)) {
    let grain = grain.max(1);
    match len.div_ceil(grain) {
        0 => {}
        1 => body(0..len),
        chunks => parallel(chunks, &|i| body(i * grain..len.min((i + 1) * grain))),
    }
}

/// Ranges to a thread, at least: enough for threads that differ in speed to end together.
const RANGES: usize = 32;

/// As [`parallel_ranges`] where nothing depends on where the ranges end: longer ones where there are many, since a
/// processor finds out anew in each what is read next.
pub fn parallel_spans(len: usize, grain: usize, body: &(dyn Fn(Range<usize>) + Sync)) {
    let grain = grain.max(1);
    let together = (len / grain / (RANGES * threads())).max(1);
    parallel_ranges(len, grain * together, body);
}

/// [`parallel_ranges`] over a slice to be written: `body(start, part)` owns `out[start..start + part.len()]`.
pub fn parallel_slices<T: Send>(
    out: &mut [T],
    grain: usize,
    body: &(dyn Fn(usize, &mut [T]) + Sync),
) {
    let base = Shared(out.as_mut_ptr());
    parallel_ranges(out.len(), grain, &|range| {
        // SAFETY: the ranges are disjoint, inside `out`, and `out` is borrowed for the whole call.
        let part =
            unsafe { std::slice::from_raw_parts_mut(base.get().add(range.start), range.len()) };
        body(range.start, part);
    });
}

/// A pointer that the chunks of one job may share. Whoever dereferences it answers for disjointness.
pub struct Shared<T>(pub *mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

// SAFETY: it is an address; every dereference is an unsafe block with its own reason.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// A method, so that a closure captures the wrapper and not the bare pointer inside.
    #[inline(always)]
    pub fn get(self) -> *mut T {
        self.0
    }
}

fn run_all(chunks: usize, body: &(dyn Fn(usize) + Sync), panic: &mut Option<Box<dyn Any + Send>>) {
    let mut next = 0;
    while next < chunks {
        let run = catch_unwind(AssertUnwindSafe(|| {
            while next < chunks {
                next += 1;
                body(next - 1);
            }
        }));
        if let Err(payload) = run {
            panic.get_or_insert(payload);
        }
    }
}

impl Job {
    /// Where a range begins, and the one before it ends.
    fn begin(&self, range: usize) -> usize {
        (range as u128 * self.chunks as u128 / self.ranges as u128) as usize
    }

    /// Claims a chunk of a range.
    fn claim(&self, range: usize) -> Option<usize> {
        let i = NEXT[range].0.fetch_add(1, Relaxed);
        (i < self.begin(range + 1)).then_some(i)
    }
}

/// Claims chunks, those of the thread's own range first, until none is left.
fn work(job: &Job, thread: usize) {
    // SAFETY: the job is on offer or its caller waits for us, so `body` is alive (see `parallel`).
    let body = unsafe { &*job.body };
    let mut left = 0..job.ranges;
    loop {
        let run = catch_unwind(AssertUnwindSafe(|| {
            while !left.is_empty() {
                match job.claim((thread + left.start) % job.ranges) {
                    Some(i) => body(i),
                    None => left.start += 1,
                }
            }
        }));
        match run {
            Ok(()) => break,
            Err(payload) => {
                job.panic
                    .lock()
                    .unwrap_or_else(|poison| poison.into_inner())
                    .get_or_insert(payload);
            }
        }
    }
}

/// Called with BUSY held, so by one thread at a time. A thread that cannot be started is done without.
fn start_workers(wanted: usize) {
    while STARTED.load(Relaxed) < wanted {
        let index = STARTED.load(Relaxed);
        let Ok(handle) = std::thread::Builder::new()
            .name(format!("toro-{}", index + 1))
            .spawn(move || serve(index))
        else {
            return;
        };
        // Never joined: the library is never closed.
        let _ = WORKERS[index].thread.set(handle.thread().clone());
        STARTED.store(index + 1, Relaxed);
    }
}

fn serve(index: usize) {
    let mut seen = EPOCH.0.load(SeqCst).wrapping_sub(1);
    loop {
        rest(index, seen);
        seen = EPOCH.0.load(SeqCst);
        if index + 1 >= threads() {
            continue;
        }
        ACTIVE.0.fetch_add(1, SeqCst);
        let job = JOB.0.load(SeqCst);
        if !job.is_null() {
            // SAFETY: ACTIVE was raised before JOB was read, so the caller of this job waits for the decrement below.
            work(unsafe { &*job }, index + 1);
        }
        // Publishes what the chunks wrote; the caller's load of ACTIVE acquires it.
        ACTIVE.0.fetch_sub(1, SeqCst);
    }
}

/// Returns when the epoch is no longer `seen`: spins, then sleeps.
fn rest(index: usize, seen: u32) {
    if index + 1 < threads() {
        let start = Instant::now();
        loop {
            for _ in 0..64 {
                if EPOCH.0.load(Relaxed) != seen {
                    return;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() > SPIN {
                break;
            }
        }
    }
    let me = &WORKERS[index];
    me.asleep.store(true, SeqCst);
    SLEEPERS.0.fetch_add(1, SeqCst);
    while EPOCH.0.load(SeqCst) == seen {
        std::thread::park();
    }
    SLEEPERS.0.fetch_sub(1, SeqCst);
    me.asleep.store(false, SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn every_chunk_runs_once() {
        for chunks in [0, 1, 2, 3, 7, 64, 1000] {
            let hits: Vec<AtomicU32> = (0..chunks).map(|_| AtomicU32::new(0)).collect();
            for round in 1..=50 {
                parallel(chunks, &|i| {
                    hits[i].fetch_add(1, Relaxed);
                });
                assert!(hits.iter().all(|h| h.load(Relaxed) == round));
            }
        }
    }

    #[test]
    fn writes_of_workers_are_seen_by_the_caller() {
        let mut out = vec![0usize; 10_000];
        for round in 0..200 {
            parallel_slices(&mut out, 37, &|start, part| {
                for (i, x) in part.iter_mut().enumerate() {
                    *x = start + i + round;
                }
            });
            assert!(out.iter().enumerate().all(|(i, &x)| x == i + round));
        }
    }

    #[test]
    fn nested_and_concurrent_calls() {
        let sum = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        parallel(8, &|i| {
                            parallel(4, &|j| {
                                sum.fetch_add((i * 4 + j) as u64, Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(sum.load(Relaxed), 4 * 200 * (0..32).sum::<u64>());
    }

    #[test]
    fn a_panic_comes_back_after_all_chunks() {
        for workers_first in [false, true] {
            let ran = AtomicUsize::new(0);
            let result = catch_unwind(AssertUnwindSafe(|| {
                parallel(64, &|i| {
                    ran.fetch_add(1, Relaxed);
                    assert!(i != if workers_first { 0 } else { 63 }, "chunk {i} fails");
                });
            }));
            assert!(result.is_err());
            assert_eq!(ran.load(Relaxed), 64);
        }
        parallel(4, &|_| {});
    }

    #[test]
    fn sleeping_workers_wake() {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(1));
            let ran = AtomicUsize::new(0);
            parallel(16, &|_| {
                ran.fetch_add(1, Relaxed);
            });
            assert_eq!(ran.load(Relaxed), 16);
        }
    }
}
