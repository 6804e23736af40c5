//! Stdout and stderr: a thread writes each of them, so that nothing else waits for its reader.
//!
//! A pipe whose reader was stopped takes nothing more, and a terminal can be held. Work that wrote there itself would wait too, and with it
//! the tasks that watch over limits and signals. A progress bar belongs to the thread of stderr as well: with two writers, bar and log would
//! meet on one line of the terminal.
//!
//! Risk: lines that are lost in silence, or with the end of the process. So the lines that find no place are counted and reported, and
//! [`Stream::flush`] waits for the rest, though not for ever.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::ProgressBar;

/// The log, and the progress bar below it.
pub static STDERR: Stream = Stream::new();
/// The result.
pub static STDOUT: Stream = Stream::new();

/// How long the end of the process waits for the last lines of the log.
pub const LAST_LINES: Duration = Duration::from_secs(2);

/// How many lines wait for the reader. More than a pass writes at any level.
const PLACES: usize = 8192;

/// The progress bar, when there is one.
pub type Below = Option<ProgressBar>;

/// One task of the thread, usually to write a line.
type StreamWrite = Box<dyn FnOnce(&mut Below) + Send>;

/// What waits for the thread that writes.
pub struct Stream {
    state: Mutex<Backlog>,
    changed: Condvar,
}

struct Backlog {
    waiting: VecDeque<StreamWrite>,
    has_thread: bool,
    /// Lines that found no place.
    lost: u64,
    /// How many of them were reported.
    told: u64,
    /// A flush waited in vain for the reader.
    is_held: bool,
}

/// Writes a text to stderr, above the bar.
pub fn write_stderr(text: String) {
    // Without a reader there is nobody to tell of an error.
    let write = move || drop(io::stderr().lock().write_all(text.as_bytes()));
    STDERR.in_turn(|below| match below {
        Some(bar) => bar.suspend(write),
        None => write(),
    });
}

impl Stream {
    const fn new() -> Stream {
        let state = Backlog { waiting: VecDeque::new(), has_thread: false, lost: 0, told: 0, is_held: false };
        Stream { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Queues a task behind those that wait. When the queue is full, the task is dropped and counted.
    pub fn in_turn(&'static self, words: impl FnOnce(&mut Below) + Send + 'static) {
        self.put(Box::new(words), PLACES);
    }

    /// Waits until all that is queued is written, at most this long, and returns whether it is. After one wait in vain it does not wait again.
    pub fn flush(&'static self, limit: Duration) -> bool {
        if !self.lock().is_held {
            let (written, is_written) = mpsc::channel::<()>();
            self.put(Box::new(move |_| drop(written)), usize::MAX);
            // Nothing is ever sent: the end of the channel is the answer.
            let is_late = is_written.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            self.lock().is_held = is_late;
        }
        !self.lock().is_held
    }

    fn lock(&self) -> MutexGuard<'_, Backlog> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&'static self, words: StreamWrite, places: usize) {
        let mut state = self.lock();
        if state.waiting.len() >= places {
            state.lost += 1;
            return;
        }
        if !state.has_thread {
            state.has_thread = std::thread::Builder::new().spawn(|| self.work()).is_ok();
        }
        if state.has_thread {
            state.waiting.push_back(words);
            self.changed.notify_one();
        } else {
            drop(state);
            words(&mut None);
        }
    }

    fn work(&self) {
        let mut below = None;
        let mut state = self.lock();
        loop {
            let Some(words) = state.waiting.pop_front() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let lost = (state.lost > state.told).then_some(state.lost);
            state.told = state.lost;
            drop(state);
            words(&mut below);
            if let Some(lost) = lost {
                tracing::warn!("lines of the log that were lost because nobody read stderr in time: {lost}");
            }
            state = self.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_place_is_counted_and_what_has_one_comes_in_order() {
        let stream: &'static Stream = Box::leak(Box::new(Stream::new()));
        let (go_on, held) = mpsc::channel::<()>();
        let (said, heard) = mpsc::channel();
        stream.put(
            Box::new(move |_| {
                let _ = held.recv();
            }),
            3,
        );
        // Until the thread has begun with it, it takes a place.
        while !stream.lock().waiting.is_empty() {
            std::thread::yield_now();
        }
        for number in 0..5 {
            let said = said.clone();
            stream.put(
                Box::new(move |_| {
                    let _ = said.send(number);
                }),
                3,
            );
        }
        assert!(!stream.flush(Duration::from_millis(10)), "it is held");
        drop((go_on, said));
        assert_eq!(heard.iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(stream.lock().lost, 2);
        assert!(!stream.flush(Duration::MAX), "it is not waited for again");
    }
}
