//! Jobs: requests in JSON that touch files, pictures or facts about the process, away from the kernels.

use serde_json::{Value, json};

/// Runs one request for a thread and lays its result out for `toro_job`.
pub fn run(request: &[u8], owner: u32) -> Result<Vec<u8>, String> {
    let request: Value = serde_json::from_slice(request)
        .map_err(|e| format!("the job's request is not JSON: {e}"))?;
    let kind = request["kind"]
        .as_str()
        .ok_or("the job's request has no kind")?;
    match kind {
        "process" => Ok(layout(&process(), &[])),
        "cuda" => Ok(layout(&crate::cuda::describe(), &[])),
        "cuda_libraries" => Ok(layout(&crate::cuda::describe_libraries(), &[])),
        "cuda_memory" => Ok(layout(&crate::cuda::memory(), &[])),
        _ => {
            let output = crate::io::run(kind, &request, owner)?;
            Ok(layout(&output.json, &output.buffers))
        }
    }
}

/// The result of a job that failed.
pub fn failure(error: &str) -> Vec<u8> {
    layout(&json!({ "error": error }), &[])
}

/// [u32 length][JSON with the buffers' places][buffers on multiples of 64 bytes].
fn layout(result: &Value, buffers: &[Vec<u8>]) -> Vec<u8> {
    let places = |start: usize| {
        let mut at = start;
        let mut places = Vec::new();
        for b in buffers {
            places.push(json!([at, b.len()]));
            at = (at + b.len()).next_multiple_of(64);
        }
        (
            json!({ "result": result, "buffers": places }).to_string(),
            at,
        )
    };
    // The places' digits depend on the start, which depends on the digits: one generous guess settles it.
    let start = (4 + places(1 << 40).0.len()).next_multiple_of(64);
    let (text, end) = places(start);
    let mut out = Vec::with_capacity(end);
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    for b in buffers {
        out.resize(out.len().next_multiple_of(64).max(start), 0);
        out.extend_from_slice(b);
    }
    out
}

/// Resident memory and processor, from /proc, which needs no permission of Deno's.
fn process() -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| -> f64 {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap_or("");
        let kib = line
            .split_whitespace()
            .nth(1)
            .and_then(|x| x.parse::<f64>().ok());
        kib.unwrap_or(0.0) * 1024.0
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find(|l| l.starts_with("model name"))
        .and_then(|l| l.split(": ").nth(1));
    json!({
        "residentBytes": field("VmRSS:"),
        "peakResidentBytes": field("VmHWM:"),
        "processor": model.unwrap_or("unknown"),
        "simd": format!("{:?}", crate::simd::level()),
        "threads": crate::pool::threads(),
        "version": env!("CARGO_PKG_VERSION"),
    })
}
