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
//! - *One shape*: message and next step are an [`Explanation`]. A failure and the error of an edge hold one; what is wrong with a value, a file
//!   or a batch is one.
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

/// What is wrong with something, and apart from it what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error, serde::Serialize, schemars::JsonSchema)]
#[error("{message}")]
pub struct Explanation {
    /// What is wrong and where, in one sentence, without secrets.
    pub message: String,
    /// What to do, as a sentence or a command, where there is something to do.
    pub next: Option<String>,
}

impl Explanation {
    /// With a next step.
    pub fn new(message: impl AsRef<str>, next: impl AsRef<str>) -> Explanation {
        Explanation::from(message).next(next)
    }

    /// Adds the next step.
    pub fn next(mut self, next: impl AsRef<str>) -> Explanation {
        self.next = Some(one_line(next.as_ref()));
        self
    }

    /// The same with its subject: the message is a predicate, or goes on behind these words.
    pub fn of(self, subject: &str) -> Explanation {
        Explanation { next: self.next, ..format!("{subject} {}", self.message).into() }
    }

    /// Both at once.
    pub fn and(self, other: Explanation) -> Explanation {
        let next: Vec<String> = [self.next, other.next].into_iter().flatten().collect();
        let next = (!next.is_empty()).then(|| next.join("; "));
        Explanation { message: format!("{}; {}", self.message, other.message), next }
    }

    /// For a list on a terminal: the next step has a line of its own, after this margin.
    pub fn lines(&self, margin: &str) -> String {
        let next = self.next.as_ref().map(|next| format!("{margin}next: {next}\n")).unwrap_or_default();
        format!("{}\n{next}", self.message)
    }
}

impl<T: AsRef<str>> From<T> for Explanation {
    fn from(message: T) -> Explanation {
        Explanation { message: one_line(&redact(message.as_ref())), next: None }
    }
}

impl From<&Failure> for Explanation {
    fn from(failure: &Failure) -> Explanation {
        failure.why.clone().next(failure.next_step())
    }
}

/// Something that ends a command before its work is done.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{why}")]
pub struct Failure {
    /// The kind of failure; decides what happens next.
    pub exit: Exit,
    /// What failed, and what to do next when there is better advice than the exit code's.
    pub why: Explanation,
    /// The refused entries, when that is the reason.
    pub invalid: Vec<Invalid>,
    /// Whether the message says what is wrong with all of them, so that people need no list.
    pub is_common: bool,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(exit: Exit, message: impl AsRef<str>) -> Failure {
        Failure::of(exit, message.into())
    }

    /// A failure of a kind, with all that is known of it.
    pub fn of(exit: Exit, why: Explanation) -> Failure {
        Failure { exit, why, invalid: Vec::new(), is_common: false }
    }

    /// A setting that is missing or wrong.
    pub fn configuration(message: impl AsRef<str>) -> Failure {
        Failure::new(Exit::Configuration, message)
    }

    /// Adds the next step.
    pub fn next(mut self, next: impl AsRef<str>) -> Failure {
        self.why = self.why.next(next);
        self
    }

    /// Of a holder whose fence no longer matches.
    pub fn lease_lost() -> Failure {
        Failure::new(Exit::LeaseLost, "another run took over this batch")
    }

    /// Of a command that `retry` does not continue: the next step is to run that command again.
    pub fn again(mut self) -> Failure {
        self.why.next.get_or_insert_with(|| self.exit.next_step_again().to_owned());
        self
    }

    /// What to do next: this failure's own advice, else the exit code's.
    pub fn next_step(&self) -> &str {
        self.why.next.as_deref().unwrap_or(self.exit.next_step())
    }
}

/// The result of work that may end with a [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;
