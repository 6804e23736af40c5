//! Why a pass could not go on: what failed, where, and what to do next.
//!
//! A failure carries its exit code from the place where it arises, because only that place knows the kind of trouble. Nothing
//! downstream decides by the text of a message.

use std::fmt;

use crate::exit::Exit;

/// The stages of a pass, as they are named in results, documents and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Acquiring the batch document.
    Lock,
    /// Reading the entries and writing the spool file.
    Generate,
    /// Bringing the spool file to the destination.
    Upload,
    /// The commit transaction, and the marking of remaining rows after it.
    Commit,
}

impl Stage {
    /// The name in results, documents and logs.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Lock => "lock",
            Stage::Generate => "generate",
            Stage::Upload => "upload",
            Stage::Commit => "commit",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An entry that must not be exported as it is, and the queue row that asked for it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Invalid {
    /// `_id` of the journal entry, 24 hexadecimal digits.
    pub entry_id: String,
    /// `_id` of the queue row, 24 hexadecimal digits.
    pub row_id: String,
    /// What is wrong with it, for a person.
    pub reason: String,
}

/// Something that ends a command before its work is done.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind of trouble; decides what happens next.
    pub exit: Exit,
    /// What failed and where, in one sentence, without secrets.
    pub message: String,
    /// What to do next, as a sentence or a command, when it is more than the exit code says.
    pub next: Option<String>,
    /// The refused entries, when that is the reason.
    pub invalid: Vec<Invalid>,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), next: None, invalid: Vec::new() }
    }

    /// A setting that is missing or wrong.
    pub fn configuration(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Configuration, message)
    }

    /// Adds the next step.
    pub fn next(mut self, next: impl Into<String>) -> Failure {
        self.next = Some(next.into());
        self
    }

    /// The message with the next step behind it.
    pub fn full_message(&self) -> String {
        match &self.next {
            Some(next) => format!("{}; {next}", self.message),
            None => self.message.clone(),
        }
    }
}
