//! The writes of two passes, tried in a transaction that is always aborted.
//!
//! The documents come from the functions of the pass itself: a validator or an index that refuses one of them here would
//! refuse it in a pass, too, and one that allows them is no finding. Two batches of different days are tried, because a
//! unique index refuses only the second one.
//!
//! Risk: the trial disturbs others. The batches are those of two days to come, which no pass has yet. The ledger and the
//! queued rows are needed by the next pass, and whoever writes one of them meanwhile waits for the abort: so they are
//! written last, and the rows by the thousand, each thousand in a transaction of its own ([`same_keys`](super::same_keys) looks for rows that
//! exclude each other across them). A conflict with somebody else ends the trial without a finding.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, NaiveTime, Utc};
use chrono_tz::Tz;
use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;

use super::tried_rows::{ROWS_MAX, RowSource, Trial, TriedRows, new_id};
use super::writes::{Written, log_entry};
use super::{CommitError, CommitRequest, abort};
use crate::batch::{BatchId, FileFacts};
use crate::command::CommandName;
use crate::exit::Exit;
use crate::failure::{Failure, Stage};
use crate::host::host_name;
use crate::id::Id;
use crate::store::batches::{Claim, Ended, file_changes};
use crate::store::document::{self, date, text};
use crate::store::due::RowKey;
use crate::store::entries::Fingerprint;
use crate::store::error::{Kind, Result, StoreError, on};
use crate::store::exported::Again;
use crate::store::row_list::whole_list;
use crate::store::snapshot::Ledger;
use crate::store::{Acquisition, LEDGER, Store};

/// A trial, with what it found.
#[derive(Clone, Copy)]
struct Tried<'a> {
    trial: &'a Trial<'a>,
    ledger: &'a Ledger,
    /// The rows of the first transaction.
    first: &'a TriedRows,
}

impl<'a> Tried<'a> {
    /// The commit of these rows, or of these held ones.
    fn request(
        &self,
        claim: &'a Claim,
        file: &'a FileFacts,
        rows: &'a [RowKey],
        held: &'a [(RowKey, String)],
    ) -> CommitRequest<'a> {
        CommitRequest {
            claim,
            file,
            ledger: self.ledger,
            rows,
            fingerprint: Fingerprint::default(),
            settings: self.trial.settings,
            fields: self.trial.fields,
            held,
            exported: Some(self.first.span),
            cutoff: self.first.cutoff,
            carried_over: 0,
            transaction_rows: usize::MAX,
        }
    }
}

impl Store {
    /// The next two batches after this one that are not in the database.
    pub async fn next_free(&self, after: BatchId) -> Result<[BatchId; 2]> {
        let later = self.batches.find(doc! { "_id": { "$gt": after } }).projection(doc! { "_id": 1 });
        let later = self.all(later).await?;
        let taken: BTreeSet<BatchId> = later.iter().filter_map(|found| text(found, "_id")?.parse().ok()).collect();
        let mut free = after.date().iter_days().skip(1).map(BatchId::new).filter(|batch| !taken.contains(batch));
        match (free.next(), free.next()) {
            (Some(first), Some(second)) => Ok([first, second]),
            (_, _) => Err(StoreError::failing(format!("no day is left after {after}"))),
        }
    }

    /// Tries every kind of read and write of two passes, and undoes them. Returns how many rows were marked; none when none is queued, and none
    /// may be made.
    ///
    /// # Errors
    /// When one of them is refused, with the collection's name.
    pub async fn try_writes(&self, trial: &Trial<'_>) -> Result<usize> {
        match self.try_all(trial).await {
            Err(error) => Err(self.cause_of(error).await),
            marked => marked,
        }
    }

    async fn try_all(&self, trial: &Trial<'_>) -> Result<usize> {
        self.check_kinds().await?;
        let ledger = self.ledger_now().await?;
        let mut session = self.bounded(self.client.start_session()).await?;
        let [(batch, file), _] = &trial.batches;
        let first = self.rows_to_try(&mut session, trial, cutoff_of(*batch)).await?;
        let tried = Tried { trial, ledger: &ledger, first: &first };
        let passes = async |session: &mut ClientSession| self.try_passes(session, &tried).await;
        let all_tried = self.undone(&mut session, &first.rows, passes).await?;
        let mut marked = match first.source {
            RowSource::Queue | RowSource::Change(_) | RowSource::Insert(_) if all_tried => first.rows.len(),
            _ => 0,
        };
        // A day may have more rows than one transaction marks, and any attempt may fail, also the last one.
        let marking = async |session: &mut ClientSession| self.try_marking(session, &tried).await;
        self.undone(&mut session, &[], marking).await?;
        for attempt in [1, 1 + self.config.retry_delays.len() as i32] {
            let failing = async |session: &mut ClientSession| self.try_failure(session, trial, attempt).await;
            self.undone(&mut session, &[], failing).await?;
        }
        let claim = Claim { batch: *batch, fence: 1, attempt: 1 };
        for rows in trial.rows.chunks(trial.rows_together()).skip(1) {
            let request = tried.request(&claim, file, rows, &[]);
            let mark = async |session: &mut ClientSession| self.mark(session, &request).await;
            if !all_tried || !self.undone(&mut session, rows, mark).await? {
                break;
            }
            marked += rows.len();
        }
        // Where no row is to be held now, another one shows what the rules say of those that will be.
        let other: Vec<(RowKey, String)> = first.rows.iter().take(1).map(|key| (*key, "a reason".to_owned())).collect();
        let (held, cutoff) = match (trial.holds, trial.bad) {
            (false, _) => (&[][..], trial.cutoff),
            (true, []) => (&other[..], first.cutoff),
            (true, held) => (held, trial.cutoff),
        };
        for held in held.chunks(ROWS_MAX) {
            let request = CommitRequest { cutoff, ..tried.request(&claim, file, &[], held) };
            let rows: Vec<RowKey> = held.iter().map(|(key, _)| *key).collect();
            let hold = async |session: &mut ClientSession| {
                if rows == first.rows {
                    self.prepare(session, &first).await?;
                }
                self.hold_rows(session, &request).await
            };
            self.undone(&mut session, &rows, hold).await?;
        }
        self.refuse_same_keys(trial).await?;
        Ok(marked)
    }

    /// Does these writes in a transaction, and undoes them. Returns whether all were tried: somebody else may write the same documents at this
    /// moment, which is no finding. `rows` are those that are written.
    async fn undone(
        &self,
        session: &mut ClientSession,
        rows: &[RowKey],
        writes: impl AsyncFnOnce(&mut ClientSession) -> Written,
    ) -> Result<bool> {
        self.bounded(session.start_transaction()).await?;
        let tried = writes(session).await;
        abort(session).await;
        match tried {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict(_) | CommitError::LeaseLost | CommitError::Logged(_)) => Ok(false),
            Err(CommitError::Failed(StoreError {
                kind: Kind::WriteConflict | Kind::Locked | Kind::CacheFull | Kind::PathNotViable,
                ..
            })) => Ok(false),
            Err(CommitError::Failed(error) | CommitError::Unknown(error)) => {
                let rows: Vec<Id> = rows.iter().map(|key| key.row).collect();
                Err(self.by_size(error, &rows).await)
            }
        }
    }

    /// While another batch is marking, no commit takes place; what is tried here is undone, so it goes on as if the marking had ended.
    async fn end_marking(&self, session: &mut ClientSession, ledger: &Ledger) -> Result<()> {
        if ledger.marking.is_some() {
            let free = self.batches.update_one(doc! { "_id": LEDGER }, doc! { "$set": { "marking": null } });
            match self.bounded(free.session(&mut *session)).await {
                Ok(_) => {}
                // The run that marks writes it at this moment; the conflict ended the transaction.
                Err(error) if error.kind == Kind::WriteConflict => {
                    abort(session).await;
                    self.bounded(session.start_transaction()).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The commit of a batch whose rows are marked later.
    async fn try_marking(&self, session: &mut ClientSession, tried: &Tried<'_>) -> Written {
        let Tried { trial, ledger, first } = *tried;
        self.end_marking(session, ledger).await?;
        let [(batch, file), _] = &trial.batches;
        let (claim, _) = self.try_lock(session, *batch, trial).await?;
        self.try_change(session, &claim, vec![file_changes(file, trial.settings)]).await?;
        let request = tried.request(&claim, file, &first.rows, &[]);
        self.advance(session, &CommitRequest { transaction_rows: 0, ..request }).await
    }

    /// The end of a failed attempt: the batch is `failed` or, after the last one, `exhausted`.
    async fn try_failure(&self, session: &mut ClientSession, trial: &Trial<'_>, attempt: i32) -> Written {
        let [(batch, file), _] = &trial.batches;
        let (claim, _) = self.try_lock(session, *batch, trial).await?;
        self.try_change(session, &claim, vec![file_changes(file, trial.settings)]).await?;
        let failure = Failure::new(Exit::UploadFailed, "the destination did not answer");
        let mut changes = vec![doc! { "$set": { "attempt": attempt } }];
        changes.extend(self.released(Ended::Failed(Stage::Upload, &failure)));
        Ok(self.try_change(session, &claim, changes).await?)
    }

    async fn try_change(&self, session: &mut ClientSession, claim: &Claim, changes: Vec<Document>) -> Result<()> {
        let update = self.batches.update_one(claim.filter(), changes).session(session);
        self.bounded(update).await.map(drop).map_err(on(&self.batches))
    }

    /// What a pass writes alone comes first, then what it shares with others. As in a day's work, only one batch is running at a time, so
    /// each is released: once as empty, then as interrupted, which uses up no attempt.
    async fn try_passes(&self, session: &mut ClientSession, tried: &Tried<'_>) -> Written {
        let Tried { trial, ledger, first } = *tried;
        self.end_marking(session, ledger).await?;
        let mut previous = ledger.last_sha256.clone();
        for (day, (batch, file)) in trial.batches.iter().enumerate() {
            let (empty, _) = self.try_lock(session, *batch, trial).await?;
            if ledger.installation.is_none() {
                // A first pass makes it while its batch has no file yet.
                self.try_ledger(session).await?;
            }
            self.try_change(session, &empty, self.released(Ended::Empty)).await?;
            let (claim, now) = self.try_lock(session, *batch, trial).await?;
            self.try_change(session, &claim, vec![file_changes(file, trial.settings)]).await?;
            let number = ledger.number + 1 + day as i64;
            let now = now.checked_add_days(Days::new(day as u64)).unwrap_or(now);
            let log = log_entry(&claim, file, number, previous.as_deref(), now);
            let insert = self.log.insert_one(log).session(&mut *session);
            self.bounded(insert).await.map_err(on(&self.log))?;
            let nobody = [new_key(), new_key()];
            // The positions after those of the rows that are marked.
            let positions = (first.rows.len() as u32..).map(Some);
            self.insert_exported(session, nobody.iter().zip(positions), number, self.again()).await?;
            let list = whole_list(*batch, claim.fence, &nobody);
            let insert = self.row_lists.insert_many(&list).session(&mut *session);
            self.bounded(insert).await.map_err(on(&self.row_lists))?;
            let ids: Vec<Bson> = list.iter().filter_map(|one| one.get("_id").cloned()).collect();
            let delete = self.row_lists.delete_many(doc! { "_id": { "$in": ids } }).session(&mut *session);
            self.bounded(delete).await.map_err(on(&self.row_lists))?;
            previous = Some(file.sha256.clone());
            let told = Failure::new(Exit::InterruptedTerm, "told to stop");
            self.try_change(session, &claim, self.released(Ended::Interrupted(Stage::Upload, &told))).await?;
        }
        // A pass reads entries beside the transaction: they may be a view that no transaction can read.
        self.bounded(self.entries.find_one(doc! { "_id": "doctor" })).await.map_err(on(&self.entries))?;
        for collection in [&self.log, &self.row_lists] {
            let read = collection.find_one(doc! { "_id": "doctor" }).session(&mut *session);
            self.bounded(read).await.map_err(on(collection))?;
        }
        self.try_shared(session, tried).await
    }

    async fn try_lock(
        &self,
        session: &mut ClientSession,
        batch: BatchId,
        trial: &Trial<'_>,
    ) -> Written<(Claim, DateTime<Utc>)> {
        let request = Acquisition {
            batch,
            holder_id: uuid::Uuid::new_v4().to_string(),
            host: host_name(),
            command: CommandName::Run,
            timezone: trial.settings.timezone.parse().unwrap_or(Tz::UTC),
            cutoff: cutoff_of(batch),
            begins: true,
            early: false,
            ignore_back_off: false,
            corrected: false,
        };
        let pipeline = self.acquisition_pipeline(&request);
        let update = self.batches.find_one_and_update(doc! { "_id": batch }, pipeline).upsert(true);
        let update = update.return_document(ReturnDocument::After).session(session);
        let found = self.bounded(update).await.map_err(on(&self.batches))?;
        let found = found.unwrap_or_default();
        let made = document::batch(&found)?;
        let now = date(&found, "updatedAt").unwrap_or(request.cutoff);
        Ok((Claim { batch, fence: made.fence, attempt: made.attempt }, now))
    }

    async fn try_ledger(&self, session: &mut ClientSession) -> Result<()> {
        self.bounded(self.first_ledger().session(session)).await.map(drop).map_err(on(&self.batches))
    }

    /// The ledger and the queued rows.
    async fn try_shared(&self, session: &mut ClientSession, tried: &Tried<'_>) -> Written {
        let Tried { trial, first, .. } = *tried;
        self.try_ledger(session).await?;
        self.prepare(session, first).await?;
        let mut ledger = tried.ledger.clone();
        // As in a pass, one batch gets all the rows: equal values of theirs may meet in a unique index. It is the last one, because a row that is
        // nowhere ends the trial.
        for ((batch, file), rows) in trial.batches.iter().zip([&[][..], &first.rows]) {
            let (claim, _) = self.try_lock(session, *batch, trial).await?;
            let request = Tried { ledger: &ledger, ..*tried }.request(&claim, file, rows, &[]);
            self.advance(session, &request).await?;
            self.mark(session, &request).await?;
            ledger.number += 1;
        }
        Ok(())
    }

    fn again(&self) -> Again {
        if self.config.allow_reexport { Again::Move } else { Again::Refuse }
    }
}

/// A key that nobody has.
fn new_key() -> RowKey {
    RowKey { row: new_id(), entry: new_id() }
}

/// The cut-off of most installations.
fn cutoff_of(batch: BatchId) -> DateTime<Utc> {
    const SIX_IN_BANGKOK: NaiveTime = NaiveTime::from_hms_opt(11, 0, 0).unwrap();
    batch.date().and_time(SIX_IN_BANGKOK).and_utc()
}
