//! The first stage: checks that the batch is due, and acquires it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join;

use super::refused::OTHERS_MAY_GO;
use super::{Pass, Report, Request};
use crate::batch::{Batch, BatchId, State};
use crate::exit::Exit;
use crate::failure::{Failure, Result, Stage};
use crate::host::host_name;
use crate::outcome::Outcome;
use crate::reader::Reader;
use crate::stop::Signal;
use crate::store::{Acquired, Acquisition, Claim, Records, StoreError};

/// How long an acquisition may still take after a signal.
const LOCK_GRACE: Duration = Duration::from_secs(2);

/// How far a cut-off that has passed by this machine's clock may be ahead of the database's clock: clocks differ a
/// little.
const CLOCK_DIFFERENCE_MAX: TimeDelta = TimeDelta::minutes(5);
/// The same, for a day that is closed before its cut-off; and how far this machine's clock may be behind.
pub(super) const A_DAY: TimeDelta = TimeDelta::hours(24);

/// How the lock stage ended.
pub(super) enum Locked {
    /// This run holds the batch. With the batch and the records that were read beside the acquisition.
    Ours(Claim, Box<Batch>, Records),
    /// The file of the batch is official, and rows are still to be marked.
    Marking,
    /// There is nothing to do, and the result says so.
    Done,
}

impl Pass<'_> {
    /// Acquires the batch of the date, or reports why there is nothing to do, or fails: it is held, not due, or
    /// exhausted.
    pub(super) async fn lock(&self, request: Request, report: &mut Report) -> Result<Locked> {
        let began = report.enter(Stage::Lock);
        let mut acquisition = self.acquisition(request)?;
        if let Err(failure) = self.config.format() {
            return self.without_layout(acquisition.batch, failure, report).await;
        }
        if (acquisition.early || !acquisition.begins) && self.nothing_yet(&acquisition).await? {
            report.result.succeed(Outcome::NothingDue);
            return Ok(Locked::Done);
        }
        let (mut acquired, mut records, mut stopped) = self.acquire(&acquisition).await?;
        if let Acquired::Refused(Some(batch)) = &acquired
            && matches!(batch.state, State::Failed | State::Exhausted)
            && self.is_corrected(batch).await?
        {
            tracing::info!(batch = %batch.id, "what the last attempt refused is in order now: the entries, the layout or the settings were corrected");
            acquisition.corrected = true;
            (acquired, records, stopped) = self.acquire(&acquisition).await?;
        }
        report.leave(began);
        report.result.installation = records.as_ref().ok().and_then(Records::installation).map(str::to_owned);
        match acquired {
            Acquired::Ours(claim, batch) => {
                report.claim = Some(claim);
                report.result.attempt = claim.attempt;
                report.result.fence = Some(claim.fence);
                tracing::Span::current().record("attempt", claim.attempt);
                (self.on_claim)();
                if let Some(signal) = stopped {
                    return Err(signal.failure());
                }
                tracing::info!(batch = %claim.batch, attempt = claim.attempt, fence = claim.fence, "acquired");
                Ok(Locked::Ours(claim, batch, records?))
            }
            Acquired::Refused(batch) => {
                if batch.as_ref().is_some_and(|batch| batch.state == State::Marking) {
                    records?;
                }
                self.refused(batch, report).await
            }
        }
    }

    /// Nothing is acquired while the layout is unknown. But a committed batch needs no layout: its marking goes on.
    async fn without_layout(&self, batch: BatchId, failure: Failure, report: &mut Report) -> Result<Locked> {
        match self.stop.until_signal(self.store.batch(batch)).await? {
            Some(batch) if batch.state.is_committed() => {
                tracing::warn!(batch = %batch.id, "{failure}; the file of this batch is official and needs no layout");
                self.refused(Some(Box::new(batch)), report).await
            }
            Some(_) | None => Err(failure),
        }
    }

    /// One try to acquire. The records are read at the same time, which saves a round trip and changes nothing when the
    /// batch is refused. The third part is a signal that came meanwhile.
    async fn acquire(
        &self,
        acquisition: &Acquisition,
    ) -> Result<(Acquired, Result<Records, StoreError>, Option<Signal>)> {
        let mut acquire = std::pin::pin!(join(self.store.acquire(acquisition), self.store.records(acquisition.batch)));
        tokio::select! {
            biased;
            (acquired, records) = &mut acquire => match acquired {
                Ok(acquired) => Ok((acquired, records, None)),
                Err(error) => Err(self.store.refusal(error).await),
            },
            // If the acquisition were dropped here, the server might still grant it, and the batch would be blocked
            // until the lease ends.
            signal = self.stop.wait() => match tokio::time::timeout(LOCK_GRACE, acquire).await {
                Ok((Ok(acquired), records)) => Ok((acquired, records, Some(signal))),
                Ok((Err(_), _)) | Err(_) => Err(signal.failure()),
            },
        }
    }

    /// Whether a batch whose cut-off is still to come could go on, but nothing is due for it: then nothing is recorded.
    async fn nothing_yet(&self, acquisition: &Acquisition) -> Result<bool> {
        let look = async {
            let is_open = match self.store.batch(acquisition.batch).await?.map(|batch| batch.state) {
                None | Some(State::Empty) => acquisition.begins,
                Some(State::Running | State::Failed | State::Exhausted) => true,
                Some(State::Marking | State::Completed) => false,
            };
            Ok::<_, Failure>(is_open && self.store.due_count(acquisition.cutoff).await? == 0)
        };
        self.stop.until_signal(look).await
    }

    fn acquisition(&self, request: Request) -> Result<Acquisition> {
        let calendar = &self.config.calendar;
        let cutoff = calendar.cutoff(request.date);
        let has_passed = cutoff <= self.config.clock.now();
        let acquisition = Acquisition {
            batch: BatchId::new(request.date),
            holder_id: uuid::Uuid::new_v4().to_string(),
            host: host_name(),
            command: request.command,
            timezone: calendar.zone,
            cutoff,
            begins: has_passed || request.early,
            early: !has_passed && request.early,
            ignore_back_off: request.ignore_back_off,
            corrected: false,
        };
        if acquisition.begins {
            self.check_clock(cutoff, if acquisition.early { A_DAY } else { CLOCK_DIFFERENCE_MAX })?;
        }
        Ok(acquisition)
    }

    /// The failure of a day that has not begun.
    fn not_due(&self, batch: BatchId) -> Failure {
        let (calendar, now) = (&self.config.calendar, self.config.clock.now());
        let cutoff = Reader::new(calendar.zone, now).ahead(calendar.cutoff(batch.date()));
        let next = match batch.date() == calendar.today(now) {
            true => format!("wait, or `batch-export run --date {} --early`", batch.date()),
            false => "wait".to_owned(),
        };
        Failure::new(Exit::NotDue, format!("{batch} is due at its cut-off, {cutoff}")).next(next)
    }

    /// Compares this machine's clock with the database's. A machine that is ahead would close a day that has not come yet;
    /// one that is days behind would record a day of the past as empty. A rehearsal may be in the past.
    pub(super) fn check_clock(&self, day_ends: DateTime<Utc>, allowed: TimeDelta) -> Result<()> {
        let Some(theirs) = self.store.now() else { return Ok(()) };
        let ours = self.config.clock.now();
        let is_behind = !self.config.clock.is_rehearsal() && is_days_behind(ours, theirs);
        if day_ends - theirs <= allowed && !is_behind {
            return Ok(());
        }
        let reader = Reader::new(self.config.calendar.zone, theirs);
        let message = format!(
            "the clock of this machine or of the database is wrong: this machine shows {}, and the database {}",
            reader.day_and_time(ours),
            reader.day_and_time(theirs)
        );
        Err(Failure::configuration(message).next("set the clock of this machine (NTP); nothing was written"))
    }

    async fn refused(&self, batch: Option<Box<Batch>>, report: &mut Report) -> Result<Locked> {
        let Some(batch) = batch.filter(|batch| batch.state != State::Empty) else {
            return Err(self.not_due(report.result.batch));
        };
        if batch.state == State::Completed {
            report.result.late = self.stop.until_signal(self.store.due_count(batch.cutoff)).await?;
        }
        report.result.describe_batch(&batch);
        Err(match batch.state {
            State::Completed => {
                report.result.succeed(Outcome::AlreadyCompleted);
                return Ok(Locked::Done);
            }
            State::Marking => {
                report.result.fence = Some(batch.fence);
                return Ok(Locked::Marking);
            }
            State::Empty => self.not_due(batch.id),
            State::Running => held(&batch, self.reader()),
            State::Failed => {
                let when = batch.next_retry_at.map(|when| self.reader().ahead(when)).unwrap_or_default();
                let date = batch.id.date();
                Failure::new(Exit::NotDue, format!("{} failed and is due again at {when}", batch.id))
                    .next(format!("wait for `batch-export retry`, or `batch-export run --date {date} --now`"))
            }
            State::Exhausted => exhausted(&batch),
        })
    }
}

/// Whether this machine's clock shows a day of the past.
fn is_days_behind(ours: DateTime<Utc>, theirs: DateTime<Utc>) -> bool {
    theirs - ours > A_DAY
}

/// The failure that names the holder of a batch.
pub(super) fn held(batch: &Batch, reader: Reader) -> Failure {
    let holder = batch.holder.as_ref().map_or("a run that left no name".to_owned(), |holder| reader.holder(holder));
    let message = format!("{} is held by {holder}", batch.id);
    Failure::new(Exit::LockHeld, message).next("wait; if that run is dead, its lease ends by itself")
}

/// What is wrong with a batch that used all its retries, and the way on.
pub fn exhausted(batch: &Batch) -> Failure {
    let last = batch.history.iter().rev().find_map(|attempt| attempt.message.as_deref());
    let message = format!(
        "{} used all its retries after attempt {}; the last one: {}",
        batch.id,
        batch.attempt,
        last.unwrap_or("it crashed")
    );
    Failure::new(Exit::Exhausted, message).next(way_on(batch))
}

/// The next step for an exhausted batch: `retry` takes it up once the entries are corrected; any other cause, and the
/// export of the other entries alone, needs an unlock.
pub fn way_on(batch: &Batch) -> String {
    let date = batch.id.date();
    // The fault is the layout's, or no other entry is due: `--invalid hold` would close the day with an empty file.
    let step = batch.history.last().and_then(|attempt| attempt.next.as_deref());
    let without_others = step.filter(|step| !batch.refused.is_empty() && !step.ends_with(OTHERS_MAY_GO));
    match (batch.waits_for_entries(), without_others) {
        (true, Some(step)) => format!("{step}; `batch-export retry` then takes the batch up"),
        (true, None) if batch.refused.is_empty() => {
            "correct the entries, or queue those that are missing, until debits and credits are equal; `batch-export retry` then \
             takes the batch up"
                .to_owned()
        }
        (true, None) => format!(
            "correct the entries, or take them out of the queue; `batch-export retry` then takes the batch up. To export only the others \
             now: `batch-export unlock \
             --date {date}`, then `batch-export run --date {date} --invalid hold`"
        ),
        (false, _) => {
            format!("fix the cause, then `batch-export unlock --date {date}` and `batch-export run --date {date}`")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_behind_when_it_shows_another_day_and_not_for_some_hours() {
        let theirs = DateTime::from_timestamp(1_768_734_000, 0).unwrap();
        let at = |ours: TimeDelta| is_days_behind(theirs + ours, theirs);
        assert!(!at(TimeDelta::zero()) && !at(TimeDelta::hours(-12)) && !at(TimeDelta::days(400)));
        assert!(at(TimeDelta::hours(-25)) && at(TimeDelta::days(-365)));
    }
}
