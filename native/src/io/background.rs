//! Jobs beside the script: one after another on a thread of its own, which the process waits for before it ends.

use super::file_writer::lock;
use super::tensor_file::{answer, list, whole};
use super::{JobOutput, reason, text_of};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};

thread_local! {
    static IS_BACKGROUND: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread works beside the script.
pub(super) fn is_background() -> bool {
    IS_BACKGROUND.get()
}

type Ended = Arc<(Mutex<Option<Result<(), String>>>, Condvar)>;

/// What runs, and whose it is.
static RUNNING: Mutex<BTreeMap<u64, (u32, Ended)>> = Mutex::new(BTreeMap::new());

/// `{steps, undo}` → `{id}`: runs jobs one after another on a thread of its own, and after a failure those of `undo`.
/// The process does not end before they have.
pub fn start(request: &Value, owner: u32) -> Result<JobOutput, String> {
    static AT_EXIT: OnceLock<bool> = OnceLock::new();
    // SAFETY: the handler takes nothing and the library is never closed.
    if !AT_EXIT.get_or_init(|| unsafe { libc::atexit(at_exit) == 0 }) {
        return Err("Cannot wait for the work at the end of the process".to_string());
    }
    let steps = list(&request["steps"])?.clone();
    let undo = list(&request["undo"])?.clone();
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let ended: Ended = Arc::new((Mutex::new(None), Condvar::new()));
    lock(&RUNNING).insert(id, (owner, ended.clone()));
    let run = move || {
        IS_BACKGROUND.set(true);
        let each = |steps: &[Value]| {
            steps
                .iter()
                .try_for_each(|step| super::run(text_of(step, "kind")?, step, owner).map(|_| ()))
        };
        let outcome = each(&steps);
        if outcome.is_err() {
            for step in &undo {
                let _ = each(core::slice::from_ref(step));
            }
        }
        let (state, changed) = &*ended;
        *lock(state) = Some(outcome);
        changed.notify_all();
    };
    let spawned = std::thread::Builder::new()
        .name("toro-save".to_string())
        .spawn(run);
    if let Err(error) = spawned {
        lock(&RUNNING).remove(&id);
        return Err(format!("Cannot start a thread: {}", reason(&error)));
    }
    answer(json!({ "id": id }))
}

/// `{id}`: waits for what `start` began; its failure is this job's. A second one finds nothing to wait for.
pub fn wait(request: &Value) -> Result<JobOutput, String> {
    let id = whole(&request["id"])? as u64;
    let found = lock(&RUNNING).get(&id).cloned();
    let outcome = found.map(|(_, ended)| ended_of(&ended));
    lock(&RUNNING).remove(&id);
    outcome.unwrap_or(Ok(()))?;
    answer(json!({}))
}

fn ended_of(ended: &Ended) -> Result<(), String> {
    let (state, changed) = &**ended;
    let mut now = lock(state);
    loop {
        if let Some(outcome) = &*now {
            return outcome.clone();
        }
        now = changed.wait(now).unwrap_or_else(|e| e.into_inner());
    }
}

pub(super) fn await_all(of: impl Fn(u32) -> bool) {
    let all: Vec<(u32, Ended)> = lock(&RUNNING).values().cloned().collect();
    for (owner, ended) in all {
        if of(owner) {
            let _ = ended_of(&ended);
        }
    }
}

extern "C" fn at_exit() {
    await_all(|_| true);
}
