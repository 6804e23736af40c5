//! Converts stored batch documents between BSON and the program's types.
//!
//! Reading is lenient (a missing field is empty, an integer may be of any number type), because somebody may have
//! edited a document by hand in an emergency. The update that acts on a decision checks the fields again. What nobody
//! can do without, the state, the window, the fence and the attempt, is refused instead: an invented window would close a day.

use chrono::{DateTime, Utc};
use mongodb::bson::{Bson, Document, doc, oid::ObjectId};

use super::error::{Result, StoreError};
use crate::batch::{
    Attempt, Batch, BatchId, Class, CorrectionsTold, CutList, Details, Ending, Event, ExportSettings, FileFacts,
    Holder, Span, State, Untold, Voided,
};
use crate::calendar::parse_zone;
use crate::command::CommandName;
use crate::failure::{Explanation, Failure, Invalid, Stage};
use crate::id::Id;
use crate::layout::quoted;

/// A batch document that cannot be read: somebody edited it. Commands report it and go on with the other days.
#[derive(Clone, Debug)]
pub struct Damaged {
    pub batch: BatchId,
    /// Its number, if that can be read.
    pub number: Option<i64>,
    message: String,
}

impl Damaged {
    /// What is wrong with it, and what to do.
    pub fn why(&self) -> Explanation {
        let next = "put back what was edited, or restore the batch document from a backup";
        Explanation::new(self.message.clone(), next)
    }
}

impl From<Damaged> for Failure {
    fn from(damaged: Damaged) -> Failure {
        StoreError::malformed(damaged.message).into()
    }
}

/// Reads a batch document of a list. `None` when its id is that of no batch: a note, or a copy that somebody made.
pub(super) fn read(document: &Document) -> Option<Result<Batch, Damaged>> {
    let id = text(document, "_id")?.parse().ok()?;
    let damaged = |error: StoreError| Damaged { batch: id, number: int(document, "number"), message: error.message };
    Some(batch(document).map_err(damaged))
}

/// Reads a batch document.
///
/// # Errors
/// When the document is not a batch, or its state is unknown.
pub(super) fn batch(document: &Document) -> Result<Batch> {
    let id = text(document, "_id").unwrap_or_default();
    let id: BatchId =
        id.parse().map_err(|error| StoreError::malformed(format!("{} among the batches: {error}", quoted(&id))))?;
    let name = text(document, "state").unwrap_or_default();
    let state = State::from_name(&name).ok_or_else(|| {
        StoreError::malformed(format!("{id} has the unknown state {}; was it edited by hand?", quoted(&name)))
    })?;
    let window = document.get_document("window").ok();
    let without = |field: &str, needed: &str| {
        let found = window.and_then(|window| window.get(field)).map_or("missing".to_owned(), ToString::to_string);
        StoreError::malformed(format!("window.{field} of {id} is {found}, not {needed}; was it edited by hand?"))
    };
    let timezone = window.and_then(|w| parse_zone(w.get_str("timezone").ok()?).ok());
    Ok(Batch {
        state,
        number: int(document, "number"),
        attempt: counter(document, id, "attempt")? as i32,
        fence: counter(document, id, "fence")?,
        holder: document.get_document("holder").ok().map(holder),
        lease_expires_at: date(document, "leaseExpiresAt"),
        timezone: timezone.ok_or_else(|| without("timezone", "a time zone"))?,
        cutoff: window.and_then(|w| date(w, "cutoff")).ok_or_else(|| without("cutoff", "a date"))?,
        early: window.is_some_and(|w| w.get_bool("early").unwrap_or(false)),
        exported: window.and_then(|w| Some(Span { first: date(w, "first")?, last: date(w, "last")? })),
        next_retry_at: date(document, "nextRetryAt"),
        file: document.get_document("file").ok().map(file),
        settings: document.get("settings").filter(|stored| **stored != Bson::Null).map(export_settings),
        voided: documents(document, "voided").map(voided).collect(),
        refused: texts(document, "refused"),
        history: documents(document, "history").map(attempt).collect(),
        untold: document.get_document("untold").ok().and_then(untold),
        untold_details: document.get_document("untoldDetails").map(details).unwrap_or_default(),
        corrections_told: document
            .get_document("correctionsTold")
            .ok()
            .map(|told| CorrectionsTold { sha256: text(told, "sha256"), at: date(told, "at") }),
        marked: int(document, "marked").unwrap_or(0),
        changed_after_commit: ids(document, "changedAfterCommit"),
        edited_after_read: ids(document, "editedAfterRead"),
        created_at: date(document, "createdAt"),
        updated_at: date(document, "updatedAt"),
        completed_at: date(document, "completedAt"),
        id,
    })
}

/// The manifest as it is stored under `file`.
/// Without `unsent`: a file is recorded because it is about to be sent.
pub(super) fn file_document(file: &FileFacts) -> Document {
    doc! {
        "id": &file.id,
        "name": &file.name,
        "destination": file.destination.clone(),
        "sealed": file.sealed,
        "restricted": file.restricted,
        "sha256": &file.sha256,
        "md5": &file.md5,
        "bytes": file.bytes as i64,
        "rows": file.rows as i64,
        "entries": file.entries as i64,
        "totalDebit": file.total_debit,
        "totalCredit": file.total_credit,
        "link": file.link.clone(),
    }
}

fn file(document: &Document) -> FileFacts {
    FileFacts {
        id: file_id(document),
        name: text(document, "name").unwrap_or_default(),
        destination: text(document, "destination"),
        sealed: document.get_bool("sealed").unwrap_or(false),
        restricted: document.get_bool("restricted").unwrap_or(false),
        unsent: document.get_bool("unsent").unwrap_or(false),
        sha256: text(document, "sha256").unwrap_or_default(),
        md5: text(document, "md5").unwrap_or_default(),
        bytes: int(document, "bytes").unwrap_or(0) as u64,
        rows: int(document, "rows").unwrap_or(0) as u64,
        entries: int(document, "entries").unwrap_or(0) as u64,
        total_debit: int(document, "totalDebit").unwrap_or(0),
        total_credit: int(document, "totalCredit").unwrap_or(0),
        link: text(document, "link"),
    }
}

/// A number that grows by one; 0 before the first time.
fn counter(document: &Document, id: BatchId, key: &str) -> Result<i64> {
    match (document.get(key), int(document, key)) {
        (_, Some(number)) => Ok(number),
        (None | Some(Bson::Null), None) => Ok(0),
        (Some(found), None) => {
            Err(StoreError::malformed(format!("{key} of {id} is {found}, not a whole number; was it edited by hand?")))
        }
    }
}

/// What is no text cannot be the id of a file, and whoever looks for the file says so.
fn file_id(document: &Document) -> String {
    match document.get("id") {
        None | Some(Bson::Null) => String::new(),
        Some(Bson::String(id)) => id.clone(),
        Some(other) => format!("{other} (not a text)"),
    }
}

/// The settings as they are stored under `settings`.
pub(super) fn settings_document(settings: &ExportSettings) -> Document {
    doc! {
        "layout": &settings.layout,
        "layoutSha256": &settings.layout_sha256,
        "encoding": &settings.encoding,
        "timezone": &settings.timezone,
        "contraAccount": settings.contra_account.clone(),
        "invalid": &settings.invalid,
        "version": &settings.version,
    }
}

/// Strict, because a setting that was taken for another one would let correct lines look wrong.
fn export_settings(stored: &Bson) -> Result<ExportSettings, String> {
    let settings = stored.as_document().ok_or("the stored settings are not a document")?;
    let text = |key: &str| {
        settings.get_str(key).map(str::to_owned).map_err(|_| format!("settings.{key} is missing, or not a text"))
    };
    Ok(ExportSettings {
        layout: text("layout")?,
        layout_sha256: text("layoutSha256")?,
        encoding: text("encoding")?,
        timezone: text("timezone")?,
        contra_account: match settings.get("contraAccount") {
            None | Some(Bson::Null) => None,
            Some(_) => Some(text("contraAccount")?),
        },
        invalid: text("invalid")?,
        version: text("version")?,
    })
}

fn holder(document: &Document) -> Holder {
    Holder {
        id: text(document, "id").unwrap_or_default(),
        host: text(document, "host").unwrap_or_default(),
        pid: int(document, "pid").unwrap_or(0),
        command: text(document, "command").and_then(|name| CommandName::from_name(&name)),
        since: date(document, "since"),
    }
}

fn voided(document: &Document) -> Voided {
    Voided {
        id: file_id(document),
        destination: text(document, "destination"),
        sha256: text(document, "sha256"),
        reason: text(document, "reason").unwrap_or_default(),
        at: date(document, "at"),
        trashed: document.get_bool("trashed").unwrap_or(false),
    }
}

fn attempt(document: &Document) -> Attempt {
    Attempt {
        attempt: int(document, "attempt").map_or(0, |n| n as i32),
        holder: document.get_document("holder").ok().map(holder),
        started_at: date(document, "startedAt"),
        ended_at: date(document, "endedAt"),
        ending: text(document, "outcome").and_then(|name| Ending::from_name(&name)),
        class: text(document, "class").and_then(|name| Class::from_name(&name)),
        stage: text(document, "stage").and_then(|name| Stage::from_name(&name)),
        message: text(document, "message"),
        next: text(document, "next"),
    }
}

/// `None` for an event that this program does not know.
fn untold(document: &Document) -> Option<Untold> {
    Some(Untold {
        event: Event::from_name(document.get_str("event").ok()?)?,
        attempt: int(document, "attempt").unwrap_or(0) as i32,
        fence: int(document, "fence"),
        since: date(document, "since"),
    })
}

/// The details of a notification as they are stored under `untoldDetails`.
pub(super) fn details_document(details: &Details) -> Document {
    doc! {
        "carriedOver": details.carried_over as i64,
        "held": listed_document(&details.held),
        "refused": listed_document(&details.refused),
        "next": details.next.clone(),
        "trace": details.trace.clone(),
    }
}

fn details(document: &Document) -> Details {
    let list = |key| document.get_document(key).map(listed).unwrap_or_default();
    Details {
        carried_over: int(document, "carriedOver").unwrap_or(0) as u64,
        held: list("held"),
        refused: list("refused"),
        next: text(document, "next"),
        trace: text(document, "trace"),
    }
}

fn listed_document(list: &CutList) -> Document {
    let one = |entry: &Invalid| doc! { "entry": &entry.entry_id, "row": &entry.row_id, "reason": &entry.reason };
    doc! { "count": list.count as i64, "first": list.first.iter().map(one).collect::<Vec<_>>() }
}

fn listed(document: &Document) -> CutList {
    let one = |entry: &Document| Invalid {
        entry_id: text(entry, "entry").unwrap_or_default(),
        row_id: text(entry, "row").unwrap_or_default(),
        reason: text(entry, "reason").unwrap_or_default(),
    };
    CutList {
        count: int(document, "count").unwrap_or(0) as u64,
        first: documents(document, "first").map(one).collect(),
    }
}

pub(super) fn text(document: &Document, key: &str) -> Option<String> {
    document.get_str(key).ok().map(str::to_owned)
}

/// A batch id; `None` when the field is missing or null.
///
/// # Errors
/// When the field holds something else: treating that as missing could let two batches export the same rows.
pub(super) fn batch_id(document: &Document, key: &str) -> Result<Option<BatchId>> {
    match document.get(key) {
        None | Some(Bson::Null) => Ok(None),
        Some(other) => match other.as_str().and_then(|text| text.parse().ok()) {
            Some(id) => Ok(Some(id)),
            None => Err(StoreError::malformed(format!("{key} is {other}, not a batch like batch_2026-01-18"))),
        },
    }
}

/// An integer in whatever number type it was stored.
pub(super) fn int(document: &Document, key: &str) -> Option<i64> {
    match document.get(key)? {
        Bson::Int32(n) => Some(i64::from(*n)),
        Bson::Int64(n) => Some(*n),
        Bson::Double(n) if n.fract() == 0.0 => Some(*n as i64),
        _ => None,
    }
}

pub(super) fn date(document: &Document, key: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(document.get_datetime(key).ok()?.timestamp_millis())
}

fn documents<'a>(document: &'a Document, key: &str) -> impl Iterator<Item = &'a Document> {
    document.get_array(key).into_iter().flatten().filter_map(Bson::as_document)
}

/// Ids of any type, as text.
fn texts(document: &Document, key: &str) -> Vec<String> {
    let text = |id: &Bson| match id {
        Bson::ObjectId(id) => id.to_hex(),
        Bson::String(text) => text.clone(),
        other => other.to_string(),
    };
    document.get_array(key).into_iter().flatten().map(text).collect()
}

fn ids(document: &Document, key: &str) -> Vec<Id> {
    document.get_array(key).into_iter().flatten().filter_map(Bson::as_object_id).map(|id| Id(id.bytes())).collect()
}

impl From<Id> for Bson {
    fn from(id: Id) -> Bson {
        Bson::ObjectId(ObjectId::from_bytes(id.0))
    }
}

impl From<BatchId> for Bson {
    fn from(id: BatchId) -> Bson {
        Bson::String(id.to_string())
    }
}

/// A date as the database stores it: milliseconds.
pub(super) fn bson_date(instant: DateTime<Utc>) -> mongodb::bson::DateTime {
    mongodb::bson::DateTime::from_millis(instant.timestamp_millis())
}
