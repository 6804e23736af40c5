//! The end of a process whose work waits in the kernel: for a file system that is frozen, or no longer reachable.
//!
//! A limit or a signal can drop work only where it waits for the runtime. A file operation that hangs in the kernel cannot be dropped.
//! So a task beside it looks at the time. It runs on another thread, ends what has to be ended (the lease, the record), and then the process.
//!
//! Risk: a process that ends while its work is merely late. So the task allows some seconds more than the limit, and goes with the work.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::task::AbortHandle;
use tracing::Instrument as _;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::stop::{SAYING, decided_or};
use crate::streams::STDERR;

/// How much later than its limit, or than a signal, work may end by itself.
pub const GRACE: Duration = Duration::from_secs(5);

type Print = Box<dyn Fn(&Failure) + Send + Sync>;

static PRINT: OnceLock<Print> = OnceLock::new();

/// Says how a failure becomes the result of this process.
pub fn set_last_words(print: impl Fn(&Failure) + Send + Sync + 'static) {
    // The first one counts: there is one result.
    let _ = PRINT.set(Box::new(print));
}

/// Stands beside work; the process does not end when this is dropped before.
pub struct Guard(AbortHandle);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Adds why the stage did not end by itself: it writes files, and waits for nothing else.
pub fn in_the_kernel(mut failure: Failure) -> Failure {
    failure.why.message.push_str("; a file operation still waits in the kernel: a file system does not answer");
    failure.next("look at the file systems of the spool folder and of the destination (`df`, `dmesg`)")
}

/// Ends the process with the failure that `end` comes to.
pub fn guard(end: impl Future<Output = Failure> + Send + 'static) -> Guard {
    let ending = async {
        let failure = end.await;
        tracing::error!("{failure}");
        STDERR.flush(SAYING);
        // Stdout may be a pipe whose reader is stopped, too.
        let exit = failure.exit;
        let print = move || PRINT.get().map(|print| print(&failure));
        let _ = tokio::time::timeout(SAYING, tokio::task::spawn_blocking(print)).await;
        std::process::exit(decided_or(exit));
    };
    Guard(tokio::spawn(ending.in_current_span()).abort_handle())
}

/// Ends the process after a while with a result that was printed before, and names the file that it may wait for.
pub fn guard_the_rest(limit: Duration, exit: Exit, file: Option<&Path>) -> Guard {
    let file = file.map_or(String::new(), |file| format!(", maybe that of {}", file.display()));
    let ending = async move {
        tokio::time::sleep(limit).await;
        tracing::error!("a file operation still waits in the kernel: a file system does not answer{file}");
        STDERR.flush(SAYING);
        std::process::exit(i32::from(exit.code()));
    };
    Guard(tokio::spawn(ending).abort_handle())
}
