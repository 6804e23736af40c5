//! Never lost, never twice, never half marked: whatever is killed, paused, cut off or started twice, at any instant.
//!
//! All of it from outside: the proxy and the fake Drive hold a pass at an exact message, then the test kills, pauses or lies.

mod changes;
mod crowd;
mod lease;
mod matrix;
mod outcomes;
mod points;
mod signals;
mod telling;

use std::time::Duration;

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// What "within a few seconds" is on a busy machine; whoever does not stop would take far longer.
const PROMPTLY: Duration = Duration::from_secs(15);
