//! Stopping by a signal.
//!
//! A stage does not check for signals: it is dropped at the point where it waits. So no stage can forget the check. The
//! commit, which must not be dropped, does not run under [`Stop::until_signal`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::named::named;
use crate::streams::STDERR;

/// How long a signal may be without effect: longer than a commit that is under way, and than its record.
const LAST_RESORT: Duration = Duration::from_secs(100);

/// How long the last words may take when the process has to end.
pub const SAYING: Duration = Duration::from_millis(500);

/// How often to check whether a commit has ended.
const COMMIT_POLL: Duration = Duration::from_millis(200);

named! {
    /// The signals that end a run cleanly.
    pub enum Signal {
        /// Ctrl-C.
        Interrupt = "SIGINT",
        /// What schedulers send.
        Terminate = "SIGTERM",
        /// The terminal was closed, or its connection broke.
        HangUp = "SIGHUP",
    }
}

impl Signal {
    /// The exit code of a run that this signal stopped.
    pub fn exit(self) -> Exit {
        match self {
            Signal::Interrupt => Exit::InterruptedInt,
            Signal::Terminate | Signal::HangUp => Exit::InterruptedTerm,
        }
    }

    /// The failure of a command that this signal stopped.
    pub fn failure(self) -> Failure {
        Failure::new(self.exit(), format!("stopped by {}", self.name()))
    }
}

/// The exit code of a result that is being printed.
static DECIDED: OnceLock<Exit> = OnceLock::new();

/// The work is done and has this code. Whatever ends the process from now on, the code says what became of the work.
pub fn decide(exit: Exit) {
    let _ = DECIDED.set(exit);
}

/// The code of the process, which something else ends: of the work once that is done, else this one.
pub fn decided_or(exit: Exit) -> i32 {
    i32::from(DECIDED.get().copied().unwrap_or(exit).code())
}

/// Tells whether a signal was received. Clones share the answer.
#[derive(Clone, Debug)]
pub struct Stop {
    signal: watch::Receiver<Option<Signal>>,
    /// How many commits are under way, which no signal cuts short.
    commits: Arc<AtomicUsize>,
}

/// Stands beside a commit that is under way.
#[derive(Debug)]
pub struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Stop {
    /// Listens for SIGTERM, SIGINT and SIGHUP from now on, until the process ends. Under `nohup` SIGHUP stays ignored.
    pub fn on_signals() -> std::io::Result<Stop> {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut hang_up = if ignores_hang_up() { None } else { Some(signal(SignalKind::hangup())?) };
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let signal = tokio::select! {
                _ = interrupt.recv() => Signal::Interrupt,
                _ = terminate.recv() => Signal::Terminate,
                Some(_) = async { hang_up.as_mut()?.recv().await } => Signal::HangUp,
            };
            tracing::warn!("{} received, stopping", signal.name());
            sender.send_replace(Some(signal));
            // The channel stays open, so that a late listener still sees the value. A second signal ends the process at
            // once and leaves what a crash leaves.
            let second = tokio::select! {
                // Nothing takes this long that could still end by itself.
                () = tokio::time::sleep(LAST_RESORT) => signal,
                _ = interrupt.recv() => Signal::Interrupt,
                _ = terminate.recv() => Signal::Terminate,
                () = sender.closed() => return,
            };
            tracing::warn!("{} received, ending at once", second.name());
            STDERR.flush(SAYING);
            std::process::exit(decided_or(second.exit()));
        });
        Ok(Stop { signal: receiver, commits: Arc::default() })
    }

    /// The signal that was received, if any.
    pub fn requested(&self) -> Option<Signal> {
        *self.signal.borrow()
    }

    /// Says that a commit is under way, until the answer is dropped.
    pub fn commit_under_way(&self) -> UnderWay {
        self.commits.fetch_add(1, Ordering::SeqCst);
        UnderWay(Arc::clone(&self.commits))
    }

    /// Waits until a signal has been without effect for this long, and no commit is under way.
    pub async fn without_effect(&self, limit: Duration) -> Failure {
        let signal = self.wait_and(limit).await;
        // What a commit ended with is recorded and told after it.
        let mut since_commit = limit;
        while since_commit < limit || self.commits.load(Ordering::SeqCst) > 0 {
            let is_under_way = self.commits.load(Ordering::SeqCst) > 0;
            tokio::time::sleep(COMMIT_POLL).await;
            since_commit = if is_under_way { Duration::ZERO } else { since_commit + COMMIT_POLL };
        }
        let message = format!("{}; the work did not end within {} s", signal.failure(), limit.as_secs());
        Failure::new(signal.exit(), message)
            .next("look at the file systems (`df`, `dmesg`) and the database, then run the command again")
    }

    /// Runs work until it ends or a signal comes; then the work is dropped where it waits.
    ///
    /// # Errors
    /// The errors of the work, and [`Signal::failure`].
    pub async fn until_signal<T, E: Into<Failure>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T> {
        self.or_signal(work).await.map_err(Signal::failure)?.map_err(Into::into)
    }

    /// Runs work until it ends or a signal comes; then the work is dropped where it waits, and the signal is the error.
    ///
    /// # Errors
    /// The signal.
    pub async fn or_signal<T>(&self, work: impl Future<Output = T>) -> Result<T, Signal> {
        tokio::select! {
            biased;
            signal = self.wait() => Err(signal),
            result = work => Ok(result),
        }
    }

    /// Runs work until it ends; after a signal it has this long left, and is then dropped where it waits.
    ///
    /// # Errors
    /// The errors of the work, and [`Signal::failure`].
    pub async fn with_grace<T>(&self, grace: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            result = work => result,
            signal = self.wait_and(grace) => Err(signal.failure()),
        }
    }

    /// Waits for a signal, and then this long.
    pub async fn wait_and(&self, grace: Duration) -> Signal {
        let signal = self.wait().await;
        tokio::time::sleep(grace).await;
        signal
    }

    pub async fn wait(&self) -> Signal {
        let mut signal = self.signal.clone();
        let received = signal.wait_for(Option::is_some).await.ok().and_then(|signal| *signal);
        match received {
            Some(signal) => signal,
            // The task that listens has ended, so no signal will ever come.
            None => std::future::pending().await,
        }
    }
}

/// Whether SIGHUP is ignored already: the first bit of the mask that the kernel shows.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
