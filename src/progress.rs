//! The progress of a pass: counters that the stages raise and a reporter reads.
//!
//! The stages only count and never write to the terminal. So a slow terminal cannot slow an export, and the progress
//! bar, the log line and the tests read the same numbers.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::Span;

use crate::failure::Stage;

/// Progress of one pass. All counters start at zero; `0` for a total means that it is not known yet.
#[derive(Debug, Default)]
pub struct Progress {
    /// Its place in [`Stage::ALL`], from 1; 0 before the first stage.
    stage: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
    span: Mutex<Option<Span>>,
}

impl Progress {
    /// Begins a pass, with the span under which a reporter logs.
    pub fn begin(&self, span: Span) {
        self.stage.store(0, Ordering::Relaxed);
        *self.span.lock().unwrap_or_else(PoisonError::into_inner) = Some(span);
    }

    /// The span of the pass; an empty span before the first pass.
    pub fn span(&self) -> Span {
        self.span.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_else(Span::none)
    }

    /// Enters a stage with a known or unknown (`0`) amount of work: rows for generate and commit, bytes for upload.
    pub fn enter(&self, stage: Stage, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.stage.store(stage as u8 + 1, Ordering::Relaxed);
    }

    /// Sets the total of the current stage, once it is known.
    pub fn expect(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// Sets what is done of the current stage. An upload may go back after a lost connection.
    pub fn set(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }

    /// Adds to what is done of the current stage.
    pub fn add(&self, more: u64) {
        self.done.fetch_add(more, Ordering::Relaxed);
    }

    /// The stage, what is done, and the total (`0` when not known); `None` before the first stage.
    pub fn read(&self) -> Option<(Stage, u64, u64)> {
        let place = usize::from(self.stage.load(Ordering::Relaxed)).checked_sub(1)?;
        let stage = *Stage::ALL.get(place)?;
        Some((stage, self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed)))
    }
}
