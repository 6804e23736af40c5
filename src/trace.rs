//! The trace that this invocation is part of, by `TRACEPARENT` (W3C Trace Context), where a scheduler sets one.
//!
//! Only the trace id is used. It is in every line of the log, in the JSON result and in the notification, so that all
//! of them can be found from the scheduler's trace.

use std::sync::OnceLock;

static CURRENT: OnceLock<String> = OnceLock::new();

/// Makes this process part of the trace of a `TRACEPARENT`. A malformed value is ignored, as the standard requires.
pub fn join(traceparent: &str) {
    if let Some(id) = trace_id(traceparent) {
        let _ = CURRENT.set(id.to_owned());
    }
}

/// The id of the trace: 32 lower-case hexadecimal digits.
pub fn current() -> Option<&'static str> {
    CURRENT.get().map(String::as_str)
}

/// `version-traceid-parentid-flags`; a version later than 00 may have more fields.
fn trace_id(traceparent: &str) -> Option<&str> {
    let fields: Vec<&str> = traceparent.trim().split('-').collect();
    let hexadecimal = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let [version, trace, parent, flags, more @ ..] = fields.as_slice() else { return None };
    let well_formed =
        hexadecimal(version, 2) && hexadecimal(trace, 32) && hexadecimal(parent, 16) && hexadecimal(flags, 2);
    let of_version = *version != "ff" && (*version != "00" || more.is_empty());
    let is_set = |id: &str| id.bytes().any(|byte| byte != b'0');
    (well_formed && of_version && is_set(trace) && is_set(parent)).then_some(trace)
}
