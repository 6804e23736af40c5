//! The content of a notification, independent of the webhook's format: what happened, the facts, and the next step.

use crate::batch::Event;
use crate::command::CommandName;
use crate::config::Config;
use crate::exit::Exit;
use crate::outcome::{BatchResult, Outcome};
use crate::trace;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Event(Event),
    /// Exported entries that were changed since.
    Corrections,
    Test,
}

impl Topic {
    pub(super) fn name(self) -> &'static str {
        match self {
            Topic::Event(event) => event.name(),
            Topic::Corrections => "corrections",
            Topic::Test => "test",
        }
    }
}

/// The database that a message is about: two databases have batches of the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) database: String,
    /// The name of its installation; `None` while it is not known.
    pub(super) installation: Option<String>,
    /// The trace of the invocation in which it happened.
    pub(super) trace: Option<String>,
}

impl Origin {
    /// The database of the settings.
    pub(super) fn of(config: &Config) -> Origin {
        Origin { database: config.database_name(), installation: None, trace: trace::current().map(str::to_owned) }
    }

    /// As facts of a message.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let trace = self.trace.clone().map(|trace| ("Trace", trace));
        std::iter::once(("Database", self.database.clone())).chain(trace)
    }
}

/// How many entries were left out. The lists in a result may be cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) held: u64,
    pub(super) refused: u64,
}

pub(super) struct Message<'a> {
    pub(super) topic: Topic,
    /// The same id whenever this event is sent again; unique within its installation.
    pub(super) id: String,
    pub(super) origin: Origin,
    pub(super) title: String,
    /// Names and values.
    pub(super) facts: Vec<(&'static str, String)>,
    /// What happens next, and who does it.
    pub(super) next: String,
    /// The result of the pass; only an event has one.
    pub(super) result: Option<&'a BatchResult>,
}

impl<'a> Message<'a> {
    /// `None` when people need no notification.
    pub(super) fn of(result: &'a BatchResult, origin: Origin) -> Option<Message<'a>> {
        let left_out = LeftOut { held: result.held.len() as u64, refused: result.invalid.len() as u64 };
        Some(Message::about(event(result)?, result, left_out, origin))
    }

    /// The message about an event of a batch, sent now or later.
    pub(super) fn about(event: Event, result: &'a BatchResult, left_out: LeftOut, origin: Origin) -> Message<'a> {
        let batch = &result.batch;
        let title = match event {
            Event::Completed => format!("{batch}: {} entries exported", result.entries),
            Event::Failed => format!("{batch}: failed ({})", class(result)),
            Event::Exhausted => format!("{batch}: ALL RETRIES USED, a person has to act"),
            Event::Interrupted => format!("{batch}: interrupted before it was done"),
        };
        let mut facts = match event {
            Event::Completed => success_facts(result, left_out),
            Event::Failed | Event::Exhausted | Event::Interrupted => failure_facts(result, left_out),
        };
        facts.extend(origin.facts());
        // Without a claim each invocation is another event, and this message is its only one.
        let claim = result.fence.map_or_else(|| uuid::Uuid::new_v4().to_string(), |fence| fence.to_string());
        let id = format!("{batch}/{}/{}/{claim}", result.attempt, event.name());
        let next = next(event, result, left_out);
        Message { topic: Topic::Event(event), id, origin, title, facts, next, result: Some(result) }
    }

    /// The facts of which something is known.
    pub(super) fn known_facts(&self) -> impl Iterator<Item = &(&'static str, String)> {
        self.facts.iter().filter(|(_, value)| !value.is_empty())
    }

    /// 24 bits of red, green and blue.
    pub(super) fn colour(&self) -> u32 {
        match self.topic {
            Topic::Event(Event::Completed) => 0x2e_a0_43,
            Topic::Event(Event::Failed) | Topic::Corrections => 0xd2_99_22,
            Topic::Event(Event::Exhausted) => 0xda_36_33,
            Topic::Event(Event::Interrupted) | Topic::Test => 0x6e_76_81,
        }
    }

    /// A message that is marked as a test.
    pub(super) fn test(origin: Origin) -> Message<'static> {
        Message {
            topic: Topic::Test,
            id: format!("test/{}", uuid::Uuid::new_v4()),
            title: "Test of batch-export: messages arrive here".to_owned(),
            facts: std::iter::once(("Sent by", "`batch-export doctor --send`".to_owned()))
                .chain(origin.facts())
                .collect(),
            origin,
            next: "Nothing to do: this is about no batch.".to_owned(),
            result: None,
        }
    }
}

pub(super) fn event(result: &BatchResult) -> Option<Event> {
    // A `retry` that fails before the lock runs again in minutes, and would send the same message each time.
    let never_began = result.command == CommandName::Retry && result.attempt == 0;
    match result.exit_code {
        Exit::Ok => (result.outcome == Outcome::Completed).then_some(Event::Completed),
        Exit::LockHeld | Exit::NotDue | Exit::LeaseLost => None,
        // The attempt that used the last retry reports why it failed; later results only say that the batch is
        // exhausted.
        Exit::Exhausted => (!is_of(result, Exit::Exhausted)).then_some(Event::Exhausted),
        Exit::InterruptedInt | Exit::InterruptedTerm => (result.attempt > 0).then_some(Event::Interrupted),
        Exit::Unexpected
        | Exit::Usage
        | Exit::DatabaseUnavailable
        | Exit::GenerateTimeout
        | Exit::UploadFailed
        | Exit::CommitConflict
        | Exit::CommitUnknown
        | Exit::Configuration
        | Exit::DriveRejected
        | Exit::InvalidEntries
        | Exit::CheckFailed => (!never_began).then_some(Event::Failed),
    }
}

fn class(result: &BatchResult) -> &'static str {
    result.error.as_ref().map_or(result.outcome.name(), |error| error.class.name())
}

/// Whether a failure of this kind ended the attempt.
fn is_of(result: &BatchResult, exit: Exit) -> bool {
    result.error.as_ref().map_or(result.outcome == Outcome::Failed(exit), |error| error.class == exit)
}

fn success_facts(result: &BatchResult, left_out: LeftOut) -> Vec<(&'static str, String)> {
    let file = result.file.as_ref();
    let mut facts = vec![
        ("Number", result.number.map_or_else(String::new, |number| number.to_string())),
        ("Entries", format!("{}, rows {}", result.entries, result.rows)),
        ("Debit", format!("{} THB", result.total_debit)),
        ("Credit", format!("{} THB", result.total_credit)),
        ("File", file.map_or_else(String::new, |file| file.link.clone().unwrap_or_else(|| file.name.clone()))),
        ("SHA-256", result.sha256.clone().unwrap_or_default()),
    ];
    let counted = [
        ("Carried over", result.carried_over),
        ("Held back", left_out.held),
        ("Changed after the commit", result.changed_after_commit),
        ("Edited during the commit: the file lacks the edits of", result.edited_after_read.len() as u64),
    ];
    facts.extend(counted.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name, count.to_string())));
    facts
}

fn failure_facts(result: &BatchResult, left_out: LeftOut) -> Vec<(&'static str, String)> {
    let Some(error) = &result.error else { return Vec::new() };
    let mut facts =
        vec![("What", error.message.clone()), ("Next", error.next.clone()), ("Class", error.class.name().to_owned())];
    facts.extend(error.stage.map(|stage| ("Stage", stage.name().to_owned())));
    if result.attempt > 0 {
        facts.push(("Attempt", result.attempt.to_string()));
    }
    if left_out.refused > 0 {
        facts.push(("Entries refused", left_out.refused.to_string()));
    }
    facts
}

fn next(event: Event, result: &BatchResult, left_out: LeftOut) -> String {
    let date = result.date;
    match event {
        Event::Completed => {
            let held = if left_out.held == 0 { "" } else { " Correct and queue again what was held back." };
            format!(
                "Accountant: import {}, and compare the number of entries and both totals with the above.{held}",
                result.file.as_ref().map_or("the file", |file| &file.name)
            )
        }
        Event::Failed => {
            let person = match result.exit_code.needs_a_person() {
                true => "An operator has to fix the cause; meanwhile ",
                false => "Nothing to do yet: ",
            };
            match result.next_retry_at.zip(result.reader) {
                Some((when, reader)) => {
                    let when = reader.in_full(when);
                    format!("{person}`batch-export retry` takes it up again at {when}. No entry is lost.")
                }
                None => format!("{person}`batch-export retry` takes it up when it finds it due. No entry is lost."),
            }
        }
        Event::Exhausted if is_of(result, Exit::InvalidEntries) => {
            "The batch is not tried again as it is. Operator: have corrected what the message names, the entries or the layout; \
             `batch-export retry` then takes the batch up by itself. No entry is lost; the accountant gets no file until then."
                .to_owned()
        }
        Event::Exhausted => format!(
            "The batch is not retried any more. Operator: fix the cause, then `batch-export unlock --date {date}` and \
             `batch-export run --date {date}`. No entry is lost; the accountant gets no file until then."
        ),
        Event::Interrupted => "A signal stopped the run cleanly: no entry is lost and no attempt is used up. The next \
             `batch-export retry` finishes it."
            .to_owned(),
    }
}
