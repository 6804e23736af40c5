//! `batch-export unlock`: a person takes a batch from its holder, or gives it new attempts.
//!
//! Risk: a person takes a batch from a live run. The fence makes that safe (the old holder can write nothing more, and
//! ends with 25), but the work of that run is lost. So a live run keeps its batch unless `--force` is given, and the
//! holder is always shown. The database's clock decides whether a lease has run out.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::args::{OutputFormat, UnlockArgs};
use super::batch_line::{BatchLine, DayState};
use super::open_store_to_look;
use super::render::{self, Head, Render};
use crate::batch::{Batch, BatchId, Holder, State};
use crate::clock;
use crate::command::CommandName;
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::{Failure, Result, Stage};
use crate::host::host_name;
use crate::outcome::{Done, ErrorResult, FileResult};
use crate::reader::Reader;
use crate::schema;
use crate::secret::redact;
use crate::stop::Stop;
use crate::store::{Overview, Store};
use crate::terminal::one_line;

/// How often the document is read again when it changes between the read and the update.
const LOOKS: u32 = 3;

/// What `unlock` found and did.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct UnlockResult {
    #[serde(flatten)]
    head: Head,
    batch: BatchId,
    date: NaiveDate,
    /// The state before, or `missing`.
    #[schemars(with = "String")]
    state: DayState,
    attempt: i32,
    forced: bool,
    reason: Option<String>,
    /// Who held it.
    holder: Option<Holder>,
    /// How long ago the holder acquired it, for people, by the database's clock.
    age: Option<String>,
    #[serde(serialize_with = "clock::serialize")]
    #[schemars(schema_with = "schema::instant")]
    lease_expires_at: Option<DateTime<Utc>>,
    /// The last stage that wrote to the document.
    stage: Option<Stage>,
    /// The file of the document.
    file: Option<FileResult>,
    next: Option<String>,
    error: Option<ErrorResult>,
    #[serde(skip)]
    reader: Option<Reader>,
}

/// Reads the batch, decides, unlocks it, and prints the result.
pub async fn execute(args: &UnlockArgs, config: &Config, stop: &Stop, output: OutputFormat) -> Result<Exit> {
    let store = open_store_to_look(config, stop, Some(args.date)).await?;
    let (result, exit) = stop.until_signal(unlock(args, &store)).await?;
    render::print(&result, output);
    Ok(exit)
}

async fn unlock(args: &UnlockArgs, store: &Store) -> Result<(UnlockResult, Exit)> {
    let id = BatchId::new(args.date);
    let by = format!("{}@{}", rustix::process::getuid().as_raw(), host_name());
    let reason = args.reason.as_deref().map(|reason| one_line(&redact(reason)));
    for _ in 0..LOOKS {
        let Some(seen) = store.batch_range(id..=id, 1).await?.pop().transpose()? else {
            if let Some(lost) = store.lost_batches().await?.filter(|lost| lost.may_be(id)) {
                return Err(lost.failure);
            }
            let mut result = UnlockResult::new(args, None);
            result.next = Some(format!("run `batch-export run --date {}`: there is no {id} yet", args.date));
            return Ok((result, Exit::Ok));
        };
        let mut result = UnlockResult::new(args, Some(&seen));
        match decide(&seen, args) {
            Ok(None) => {}
            Ok(Some(next)) => {
                result.next = Some(next);
                return Ok((result, Exit::Ok));
            }
            Err(failure) => {
                result.refuse(&failure);
                return Ok((result, failure.exit));
            }
        }
        if let Some(after) = store.unlock(&seen, &by, reason.as_deref()).await? {
            tracing::warn!(batch = %id, fence = after.fence, "unlocked by {by}");
            result.head = Head::new(CommandName::Unlock, Done::Unlocked, Exit::Ok);
            result.forced = args.force && !seen.due && seen.batch.state != State::Exhausted;
            result.next = Some(match after.state {
                State::Empty => "nothing: it is given up, and its day begins anew at its cut-off".to_owned(),
                State::Running | State::Failed | State::Exhausted | State::Marking | State::Completed => {
                    format!("`batch-export retry`, or `batch-export run --date {}`", args.date)
                }
            });
            return Ok((result, Exit::Ok));
        }
    }
    Err(Failure::new(Exit::LockHeld, format!("{id} changed at each try to unlock it")).next("look at `status`"))
}

/// Whether the batch is to be released; else why there is nothing to release, or why it is refused.
fn decide(seen: &Overview, args: &UnlockArgs) -> Result<Option<String>> {
    let (batch, reader) = (&seen.batch, Reader::of(seen));
    match batch.state {
        State::Completed | State::Empty => {
            Ok(Some(format!("{} is {}: there is nothing to unlock", batch.id, batch.state.name())))
        }
        State::Exhausted => Ok(None),
        State::Failed if seen.is_ahead() => Ok(None),
        State::Running | State::Marking if seen.due || args.force => Ok(None),
        State::Running | State::Marking => {
            let until = batch.lease_expires_at.map(|until| reader.ahead(until)).unwrap_or_default();
            let holder = batch.holder.as_ref().map(|holder| reader.holder(holder)).unwrap_or_default();
            let message = format!("{} is held by {holder}, and its lease is valid until {until}", batch.id);
            Err(Failure::new(Exit::LockHeld, message)
                .next("wait, or add --force: that run then ends with 25 and changes nothing more"))
        }
        State::Failed if seen.due => {
            Ok(Some(format!("{} is free and due: `batch-export retry` takes it up", batch.id)))
        }
        State::Failed => {
            let when = batch.next_retry_at.map(|when| reader.ahead(when)).unwrap_or_default();
            let message = format!("{} is free, and waits for its back-off until {when}", batch.id);
            let next = format!("wait, or try it now: `batch-export run --date {} --now`", args.date);
            Err(Failure::new(Exit::NotDue, message).next(next))
        }
    }
}

/// The last stage that wrote to the document, which does not follow every step of a run.
fn stage(batch: &Batch) -> Option<Stage> {
    let acquired = batch.holder.as_ref().and_then(|holder| holder.since);
    match batch.state {
        State::Marking => Some(Stage::Commit),
        // The only write between acquisition and commit stores the manifest, before the first byte is sent.
        State::Running if batch.file.is_some() && batch.updated_at > acquired => Some(Stage::Upload),
        State::Running => Some(Stage::Generate),
        State::Failed | State::Exhausted => batch.history.last().and_then(|attempt| attempt.stage),
        State::Completed | State::Empty => None,
    }
}

impl UnlockResult {
    fn new(args: &UnlockArgs, seen: Option<&Overview>) -> UnlockResult {
        let BatchLine { batch, date, state, attempt, holder, lease_expires_at, file, reader, .. } =
            BatchLine::of(args.date, seen);
        let since = holder.as_ref().and_then(|holder| holder.since);
        UnlockResult {
            head: Head::new(CommandName::Unlock, Done::NothingToDo, Exit::Ok),
            batch,
            date,
            state,
            attempt,
            forced: false,
            reason: args.reason.as_deref().map(one_line),
            age: since.zip(seen).map(|(since, seen)| age(since, seen.now)),
            holder,
            lease_expires_at,
            stage: seen.and_then(|seen| stage(&seen.batch)),
            file,
            next: None,
            error: None,
            reader,
        }
    }

    fn refuse(&mut self, failure: &Failure) {
        self.head = Head::new(CommandName::Unlock, Done::NothingToDo, failure.exit);
        self.error = Some(ErrorResult::of(failure, None));
    }
}

impl Render for UnlockResult {
    fn text(&self) -> String {
        let forced = if self.forced { " by force" } else { "" };
        let mut text = format!(
            "{}  {}{forced}  was {}, attempt {}\n",
            self.batch,
            self.head.outcome,
            self.state.name(),
            self.attempt
        );
        if let Some((holder, reader)) = self.holder.as_ref().zip(self.reader) {
            let _ = writeln!(text, "  holder   {}", reader.holder(holder));
        }
        if let Some(age) = &self.age {
            let until = self.lease_expires_at.zip(self.reader);
            let until = until.map_or("an unknown time".to_owned(), |(until, reader)| reader.at(until));
            let _ = writeln!(text, "  age      {age}; lease until {until}");
        }
        if let Some(stage) = &self.stage {
            let _ = writeln!(text, "  stage    {stage} (the last one that was recorded)");
        }
        if let Some(file) = &self.file {
            let link = file.link.as_deref().unwrap_or("the next attempt checks whether it exists");
            let _ = writeln!(text, "  file     {}", one_line(&format!("{} {} ({link})", file.name, file.id)));
        }
        if let Some(reason) = &self.reason {
            let _ = writeln!(text, "  reason   {reason}");
        }
        if let Some(error) = &self.error {
            text.push_str(&error.block(self.head.exit_code));
        }
        if let Some(next) = &self.next {
            let _ = writeln!(text, "  next     {next}");
        }
        text
    }
}

/// How long ago, in whole seconds.
fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> String {
    humantime::format_duration(std::time::Duration::from_secs((now - since).num_seconds().max(0) as u64)).to_string()
}
