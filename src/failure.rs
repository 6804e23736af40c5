//! Why a pass could not go on: what failed, where, and what to do next.
//!
//! # The rules for errors, everywhere in the program
//!
//! - *The kind is decided once*, at the place where the error arises, from codes and types. Where the other side has no
//!   code, from a text that is written down as a constant there (a full cache in `store`, a lost project in `destination`). A
//!   [`Failure`] carries it as its [`Exit`], which alone decides whether `retry` tries again, whether an attempt is used up, and who acts.
//! - *The message* says what failed and where, in one sentence. It names the resource (host, file, setting, entry) and quotes the
//!   other side's words cut to what matters. It holds no secret and no order.
//! - *The cause* is quoted in the message, masked and cut. A failure carries no other error: whoever acts reads one sentence.
//! - *The next step* is a sentence of its own: what a person does now. [`Failure::next_step`] falls back to what the
//!   exit code says. Results, notifications and logs show it apart from the message.
//! - *An edge has its own error type* where callers decide by kinds (`StoreError`, `DestinationError`); its conversion
//!   into a [`Failure`] stands beside that type. All other code makes a [`Failure`] directly.
//! - *The words*: a failure ends a command; an error is what one edge answers; a fault is what is wrong with one answer, entry or setting; a
//!   problem is what a check found.
//! - *A function's comment* has a section on errors where they tell more than that the database, Drive or a file failed.

use std::fmt;

use crate::exit::Exit;
use crate::named::named;
use crate::secret::redact;
use crate::terminal::one_line;

named! {
    /// The stages of a pass, as they are named in results, documents and logs.
    pub enum Stage {
        /// Acquiring the batch document.
        Lock = "lock",
        /// Reading the entries and writing the spool file.
        Generate = "generate",
        /// Storing the spool file at the destination.
        Upload = "upload",
        /// The commit transaction, and the marking of remaining rows after it.
        Commit = "commit",
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An entry that must not be exported as it is, and the queue row that asked for it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Invalid {
    /// `_id` of the journal entry, 24 hexadecimal digits.
    pub entry_id: String,
    /// `_id` of the queue row, 24 hexadecimal digits.
    pub row_id: String,
    /// What is wrong with it, for a person.
    pub reason: String,
}

impl Invalid {
    /// Its id in the batch document: the entry's id, or the row's when the row names no entry.
    pub fn id(&self) -> &str {
        if self.entry_id.is_empty() { &self.row_id } else { &self.entry_id }
    }
}

/// Something that ends a command before its work is done.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind of failure; decides what happens next.
    pub exit: Exit,
    /// What failed and where, in one sentence, without secrets.
    pub message: String,
    /// What to do next, as a sentence or a command, when there is better advice than the exit code's.
    pub next: Option<String>,
    /// The refused entries, when that is the reason.
    pub invalid: Vec<Invalid>,
    /// Whether the message says what is wrong with all of them, so that people need no list.
    pub is_common: bool,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        let message = one_line(&redact(&message.into()));
        Failure { exit, message, next: None, invalid: Vec::new(), is_common: false }
    }

    /// A setting that is missing or wrong.
    pub fn configuration(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Configuration, message)
    }

    /// Adds the next step.
    pub fn next(mut self, next: impl Into<String>) -> Failure {
        self.next = Some(one_line(&next.into()));
        self
    }

    /// Of a holder whose fence no longer matches.
    pub fn lease_lost() -> Failure {
        Failure::new(Exit::LeaseLost, "another run took over this batch")
    }

    /// Of a command that `retry` does not continue: the next step is to run that command again.
    pub fn again(mut self) -> Failure {
        self.next.get_or_insert_with(|| self.exit.next_step_again().to_owned());
        self
    }

    /// What to do next: this failure's own advice, else the exit code's.
    pub fn next_step(&self) -> &str {
        self.next.as_deref().unwrap_or(self.exit.next_step())
    }
}

/// The result of work that may end with a [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;
