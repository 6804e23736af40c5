//! What the tests need from the machine: asked of `examples/needs.sh` once, before the first test begins.
//!
//! The script installs what is missing where it may, and fetches a mongod where there is none. Where it may not, it has printed one line to
//! paste; then the whole binary ends here, because the same complaint from each of the tests would hide that line.

use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

use rustix::process::{Resource, getrlimit, setrlimit};

use super::target;

/// What the harness goes by.
const THREADS: &str = "RUST_TEST_THREADS";

/// Four times what the server had open at most. Not all that a machine allows: some programs look at each number up to their limit.
const OPEN_FILES: u64 = 16_384;

/// Most of these tests wait, for servers and for time to pass: twice as many at once as there are cores keep the cores busy. The harness
/// reads that from its environment alone, so this program begins once more with it.
fn more_at_once() {
    let is_set =
        std::env::var_os(THREADS).is_some() || std::env::args().any(|argument| argument.starts_with("--test-threads"));
    if let (false, Ok(program)) = (is_set, std::env::current_exe()) {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        // It returns only when it fails, and then as many at once as there are cores will do.
        let _ = Command::new(program).args(std::env::args_os().skip(1)).env(THREADS, (2 * cores).to_string()).exec();
    }
}

/// The server that the tests share has thousands of files open, and many machines begin with 1,024. What a process may have open, its
/// children may, too.
fn more_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(limit.maximum.map_or(OPEN_FILES, |most| most.min(OPEN_FILES)));
    // Where that fails, the server says in its log what it lacks.
    let _ = setrlimit(Resource::Nofile, limit);
}

ctor::declarative::ctor! {
    /// Before `main`, which is the harness. Listing the tests needs nothing.
    #[ctor(unsafe)]
    fn look() {
        if std::env::args().any(|argument| argument == "--list") {
            return;
        }
        more_at_once();
        more_open_files();
        let mut script = Command::new("sh");
        let script = script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/needs.sh")).args(["trial", "tests"]);
        let met = script.env("CARGO_TARGET_DIR", target()).status();
        if !met.is_ok_and(|status| status.success()) {
            exit(1);
        }
    }
}
