//! What the tests need from the machine: asked of `examples/needs.sh` once, before the first test begins.
//!
//! The script installs what is missing where it may. Where it may not, it has printed one line to paste; then the whole binary ends here,
//! because the same complaint from each of the tests would hide that line.

use std::process::{Command, exit};

ctor::declarative::ctor! {
    /// Before `main`, which is the harness. Listing the tests needs nothing.
    #[ctor(unsafe)]
    fn look() {
        if std::env::args().any(|argument| argument == "--list") {
            return;
        }
        let mut script = Command::new("sh");
        let met = script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/needs.sh")).args(["trial", "tests"]).status();
        if !met.is_ok_and(|status| status.success()) {
            exit(1);
        }
    }
}
