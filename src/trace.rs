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

#[cfg(test)]
mod tests {
    use super::trace_id;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn the_trace_is_taken_from_what_the_standard_allows_and_from_nothing_else() {
        for good in ["00-T-00f067aa0ba902b7-01", "cc-T-00f067aa0ba902b7-01-later"] {
            assert_eq!(trace_id(&good.replace('T', TRACE)), Some(TRACE), "{good}");
        }
        for bad in [
            "",
            "00-T",
            "00-T-00f067aa0ba902b7-01-more",
            "ff-T-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-T-0000000000000000-01",
            "00-T-00f067aa0ba902b7-1",
        ] {
            assert_eq!(trace_id(&bad.replace('T', TRACE)), None, "{bad}");
        }
        assert_eq!(trace_id(&format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase())), None);
    }
}
