//! Errors of the database, in kinds. The kind is decided here, once, from codes and labels; from a text only where the server has no code.
//!
//! Risk: a message that nobody can read at night. The driver reports a server that does not answer as a dump of its own
//! state, and a server may echo a whole command. So the messages are written here: which host, and why, once; the rest
//! is cut.

use std::time::Duration;

use mongodb::Collection;
use mongodb::bson::Document;
use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure};

use super::refusals::{broken_rules, lacks, way_in};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::secret::{quoted, redact};

/// How many characters of a server's own message are shown.
const WORDS_MAX: usize = 400;

/// Error code of a missing right.
const UNAUTHORIZED: i32 = 13;

/// Error code of a write that conflicted with another one, or that found no room in the cache.
const WRITE_CONFLICT: i32 = 112;

/// Error code of a server with `requireApiVersion`.
pub(super) const API_VERSION_REQUIRED: i32 = 498_870;

/// What a server says of a write conflict that is none: its cache is full. Older servers have no other sign of it.
const CACHE_WORDS: [&str; 2] = ["Cache full", "rolled back for eviction"];

/// After a query that the server refuses because no index serves it.
const ALLOW_SCANS: &str = "the server was told to refuse queries that no index serves: let an administrator end that, at least for this \
    command, with db.adminCommand({ setParameter: 1, notablescan: false })";

/// Kinds of database errors that the program treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The login was refused, or the user lacks a privilege.
    Denied,
    /// The whole transaction may be run again.
    TransientTransaction,
    /// Another write of the same document came in between; the whole transaction may be run again.
    WriteConflict,
    /// A transaction that has not ended holds a document of ours: of a run that is committing, or was killed.
    Held,
    /// A change of the collection itself, such as an index that is built, waits for a transaction of somebody else; the whole transaction may
    /// be run again.
    Locked,
    /// The server's cache has no room for the writes of the transaction; a smaller one may fit.
    CacheFull,
    /// It is not known whether the transaction was committed.
    UnknownCommit,
    /// The snapshot is too old or not available yet; a new one will do.
    Snapshot,
    /// A rule of the collection forbids the write: a validator, a unique index.
    Rule,
    /// The kind of the collection forbids it: a capped collection, a time series.
    Unfit,
    /// The collection is a view, which cannot be written.
    View,
    /// A collection whose name no setting changes is a view.
    FixedView,
    /// The server does not know the command, or a part of it.
    Unsupported,
    /// The server lacks what every run needs. The message names it.
    Lacking,
    /// The server lets nobody in who declares no version of its API.
    ApiVersion,
    /// A document would exceed the size that the server allows.
    TooLarge,
    /// A document with that key exists.
    DuplicateKey,
    /// A field cannot be created inside a value that is no document.
    PathNotViable,
    /// The server refuses this name of a database or a collection.
    BadName,
    /// An index of that name or of those keys exists and is of another kind.
    IndexConflict,
    /// No further index can be made.
    IndexRefused,
    /// An index of places, texts or hashes, or of several lists, cannot take what a run writes.
    SpecialIndex,
    /// The index that would serve is hidden.
    HiddenIndex,
    /// A stored document of ours makes no sense: somebody edited it.
    Malformed,
    /// The server refuses writes of all users: it is being migrated.
    WritesBlocked,
    /// The server refuses a query that no index serves.
    ScanRefused,
    /// A version before this one left something half done that only that one can finish.
    EarlierVersion,
    /// A command had no answer in time, on a connection that stands.
    Unanswered,
    /// The server ended a command that had waited for too long.
    PassedLimit,
    /// The server takes no writes, because another one is the primary.
    NotPrimary,
    /// Everything else: unreachable, failing.
    Unavailable,
}

impl Kind {
    /// Whether nothing is known of what was asked, because no server that can answer did.
    pub(super) fn is_unanswered(self) -> bool {
        matches!(self, Kind::Unavailable | Kind::NotPrimary | Kind::Unanswered)
    }

    /// Whether a transaction that checks the fence, or its own progress, may be run again.
    pub(super) fn may_run_again(self) -> bool {
        matches!(
            self,
            Kind::TransientTransaction | Kind::WriteConflict | Kind::Locked | Kind::CacheFull | Kind::UnknownCommit
        )
    }
}

/// An error of the database. The message holds no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What kind of error.
    pub kind: Kind,
    /// What the driver or the server said.
    pub message: String,
}

/// What the database answers.
pub(super) type Result<T, E = StoreError> = std::result::Result<T, E>;

impl StoreError {
    pub(super) fn timeout(limit: Duration) -> StoreError {
        let message = format!("no answer within {}", humantime::format_duration(limit));
        StoreError { kind: Kind::Unanswered, message }
    }

    pub(super) fn earlier_version(what: impl Into<String>) -> StoreError {
        StoreError { kind: Kind::EarlierVersion, message: what.into() }
    }

    pub(super) fn held(what: impl Into<String>) -> StoreError {
        StoreError { kind: Kind::Held, message: what.into() }
    }

    pub(super) fn failing(what: impl Into<String>) -> StoreError {
        StoreError { kind: Kind::Unavailable, message: what.into() }
    }

    pub(super) fn malformed(what: impl Into<String>) -> StoreError {
        StoreError { kind: Kind::Malformed, message: what.into() }
    }

    /// The first write error in the answer to a raw command.
    pub(super) fn in_answer(answer: &Document) -> Option<StoreError> {
        Some(StoreError::in_write_error(answer.get_array("writeErrors").ok()?.first()?.as_document()?))
    }

    /// A write error in such an answer. Only the key `_id` counts as a duplicate key: another one is a unique index of somebody else.
    pub(super) fn in_write_error(error: &Document) -> StoreError {
        let code = error.get_i32("code").unwrap_or_default();
        let message = error.get_str("errmsg").unwrap_or("a write was refused");
        let kind = match kind_of_code(code) {
            Kind::DuplicateKey if is_foreign(error) => Kind::Rule,
            kind => kind,
        };
        StoreError { kind, message: with_rules(message, error.get_document("errInfo").ok()) }
    }

    /// The failure of a write that the role in the README does not allow: it is enough for everything else.
    pub fn for_administrators(self) -> Failure {
        let is_denied = self.kind == Kind::Denied;
        let failure = Failure::from(self);
        match is_denied {
            true => failure.next("let an administrator run `batch-export init`: it creates collections and indexes"),
            false => failure,
        }
    }

    /// None of these hosts, each with the reason, can be used.
    pub(super) fn no_server(hosts: impl Iterator<Item = String>) -> StoreError {
        StoreError::failing(not_found_among(hosts))
    }

    /// A collection of a kind that no run can use.
    pub(super) fn unfit(kind: Kind, name: &str, what: &str) -> StoreError {
        StoreError { kind, message: format!("{name} is {what}") }
    }
}

/// Names the collection in the error of a command on it. A duplicate key counts as a rule here: only inserts of ours expect one.
pub(super) fn on<E: Into<StoreError>>(collection: &Collection<Document>) -> impl Fn(E) -> StoreError {
    move |error| {
        let error = error.into();
        let kind = if error.kind == Kind::DuplicateKey { Kind::Rule } else { error.kind };
        StoreError { kind, message: format!("{}: {}", collection.name(), error.message) }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        StoreError { kind: kind(&error), message: describe(&error) }
    }
}

impl From<mongodb::bson::error::Error> for StoreError {
    fn from(error: mongodb::bson::error::Error) -> StoreError {
        StoreError::malformed(format!("a document cannot be read: {error}"))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let refused = |next| Failure::configuration(format!("MongoDB refused: {}", error.message)).next(next);
        match error.kind {
            Kind::Denied => refused(way_in(&error.message)),
            Kind::BadName => refused("correct --database or the collection's name"),
            Kind::IndexConflict => refused("drop that index, or create it anew under another name; then run `batch-export init` again"),
            Kind::IndexRefused => refused(
                "drop an index that no query needs (a collection has 64 at most); then run `batch-export init` again",
            ),
            Kind::SpecialIndex => refused(
                "drop that index, or make it one of other fields: it takes no document that a run writes; `batch-export doctor` checks it",
            ),
            Kind::HiddenIndex => Failure::configuration(error.message).next(
                "unhide it in mongosh with unhideIndex, after which it serves; or drop that index and run `batch-export init` again",
            ),
            Kind::Unsupported => refused("use MongoDB itself, 5.0 or newer, and without loadBalanced in MONGODB_URI; `batch-export doctor` tries what a run needs"),
            Kind::Lacking => lacks(&error.message),
            Kind::ApiVersion => refused(
                "let an administrator end that with db.adminCommand({ setParameter: 1, requireApiVersion: false }): this program declares \
                 no version of the API",
            ),
            Kind::EarlierVersion => Failure::configuration(error.message).next(
                "run `batch-export init`, then `batch-export retry`",
            ),
            Kind::Malformed => Failure::configuration(format!("a record in MongoDB makes no sense: {}", error.message))
                .next("correct that document, or restore it from a backup"),
            Kind::WritesBlocked => refused(
                "the server was told to refuse all writes, as during a migration: let an administrator end that with \
                 db.adminCommand({ setUserWriteBlockMode: 1, global: false }), or use the server to which the data was moved",
            ),
            Kind::ScanRefused => refused(ALLOW_SCANS),
            Kind::Rule | Kind::DuplicateKey => refused(
                "change the named rule (validator, index) so that it allows the writes of a run; `batch-export doctor` checks it",
            ),
            Kind::Unfit => {
                refused("recreate it as a plain collection with the same documents; `batch-export doctor` checks it")
            }
            Kind::FixedView => {
                refused("drop the view, and run `batch-export init`; `batch-export doctor` checks it")
            }
            Kind::View => refused(
                "name the collection behind the view (--queue-collection, --log-collection, --batch-collection), or drop the view and run \
                 `batch-export init`; `batch-export doctor` checks it",
            ),
            Kind::TooLarge => refused(
                "shorten that document: an exported row gets some hundred bytes of marks, and the server takes 16 MiB; or, if it shall not be \
                 exported, take it out of the queue",
            ),
            Kind::Held | Kind::WriteConflict | Kind::Locked => {
                let message = match error.kind {
                    Kind::Held => error.message,
                    _ => format!("other programs keep writing the same documents: {}", error.message),
                };
                Failure::new(Exit::CommitConflict, message).next(
                    "`batch-export retry` tries again; if it goes on, look at db.currentOp() for a transaction that holds the documents: one of \
                     another program, or of a run that was killed, which the server ends within two minutes",
                )
            }
            Kind::CacheFull => {
                let message = format!("the cache of the MongoDB server is too small for one transaction: {}", error.message);
                Failure::new(Exit::DatabaseUnavailable, message).next(
                    "give the server more cache (storage.wiredTiger.engineConfig.cacheSizeGB), or see what else fills it; `batch-export retry` \
                     goes on",
                )
            }
            Kind::Unanswered | Kind::PassedLimit => Failure::new(Exit::DatabaseUnavailable, format!("MongoDB: {}", error.message)).next(
                "look at rs.status() (is a majority of the members up?) and at db.currentOp() (are writes locked by fsyncLock, does a \
                 transaction of another program hold a document?); `batch-export retry` goes on",
            ),
            Kind::NotPrimary => Failure::new(Exit::DatabaseUnavailable, format!("MongoDB: {}", error.message)).next(
                "wait until that server is the primary again. If MONGODB_URI has directConnection, remove it and add replicaSet= and the set's \
                 name: then the program finds the primary by itself",
            ),
            Kind::TransientTransaction
            | Kind::UnknownCommit
            | Kind::Snapshot
            | Kind::PathNotViable
            | Kind::Unavailable => Failure::new(Exit::DatabaseUnavailable, format!("MongoDB: {}", error.message)),
        }
    }
}

/// The error without the driver's debugging clutter, and without secrets.
pub(super) fn describe(error: &Error) -> String {
    let text = match &*error.kind {
        ErrorKind::ServerSelection { message, .. } => unanswered(message),
        // The server repeats the whole command that it does not allow.
        ErrorKind::Command(command) if command.code == UNAUTHORIZED => {
            let (what, _) = command.message.split_once(", ").unwrap_or((&command.message, ""));
            format!("{} ({})", cut(what.trim_end()), command.code_name)
        }
        ErrorKind::Command(command) => {
            let answer = answer_of(error);
            let info = answer.as_ref().and_then(|answer| answer.get_document("errInfo").ok());
            format!("{} ({})", with_rules(&command.message, info), command.code_name)
        }
        ErrorKind::Write(WriteFailure::WriteError(write)) => with_rules(&write.message, write.details.as_ref()),
        ErrorKind::Write(WriteFailure::WriteConcernError(late)) => {
            format!("{} ({})", cut(&late.message), late.code_name)
        }
        ErrorKind::InsertMany(many) => {
            let first = many.write_errors.as_ref().and_then(|errors| errors.first());
            let late =
                many.write_concern_error.as_ref().map(|late| format!("{} ({})", cut(&late.message), late.code_name));
            first.map(|write| with_rules(&write.message, write.details.as_ref())).or(late).unwrap_or_default()
        }
        ErrorKind::Io(error) => format!("the connection broke: {error}"),
        other => cut(&without_dump(&other.to_string())),
    };
    redact(&text).into_owned()
}

/// The message of a refused write, with the rules of a validator that it breaks.
fn with_rules(message: &str, info: Option<&Document>) -> String {
    match info.map(broken_rules).filter(|rules| !rules.is_empty()) {
        Some(rules) => cut(&format!("{message}: {rules}")),
        None => cut(message),
    }
}

/// A message that may be as long as a whole command.
fn cut(text: &str) -> String {
    quoted(text, WORDS_MAX)
}

/// A message of the driver without what it dumps of a cause: `... another operation failed with: Kind: I/O error: broken pipe, labels: ...`.
fn without_dump(message: &str) -> String {
    message.split(", labels: ").next().unwrap_or_default().replace("Kind: ", "")
}

/// Each host that the driver tried and why it cannot be used, from the driver's dump of its servers:
/// `{ Address: db1:27017, Type: Unknown, Error: Kind: I/O error: Connection refused (os error 111), labels: ...`.
fn unanswered(dump: &str) -> String {
    let mut hosts = dump
        .split("Address: ")
        .skip(1)
        .map(|server| {
            let (host, rest) = server.split_once(", ").unwrap_or((server, ""));
            let kind = rest.strip_prefix("Type: ").and_then(|rest| rest.split([',', ' ']).next()).unwrap_or_default();
            let cause = rest.split_once("Error: ").map(|(_, cause)| cause.split(", labels: ").next().unwrap_or(cause));
            match (cause, kind) {
                (Some(cause), _) => {
                    let cause = cause.trim_start_matches("Kind: ").trim_start_matches("I/O error: ");
                    format!("{host} ({})", cut(without_link(cause).trim_end_matches([' ', '}', ']'])))
                }
                (None, "RsSecondary" | "RSSecondary") => format!("{host} (a secondary)"),
                (None, _) => format!("{host} (no answer yet)"),
            }
        })
        .peekable();
    match hosts.peek() {
        None => cut(dump),
        Some(_) => not_found_among(hosts),
    }
}

/// No server can be used; each host with the reason.
fn not_found_among(hosts: impl Iterator<Item = String>) -> String {
    format!("no server that accepts writes was found among {}", hosts.collect::<Vec<_>>().join(", "))
}

/// A link into the manual of the TLS library is for programmers.
pub(super) fn without_link(cause: &str) -> &str {
    cause.split(": https://docs.rs").next().unwrap_or(cause)
}

fn kind(error: &Error) -> Kind {
    if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) {
        return Kind::UnknownCommit;
    }
    if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
        return match code(error) {
            Some(WRITE_CONFLICT) if CACHE_WORDS.iter().any(|words| describe(error).contains(words)) => Kind::CacheFull,
            Some(WRITE_CONFLICT) => Kind::WriteConflict,
            Some(code) => match kind_of_code(code) {
                kind @ (Kind::CacheFull | Kind::Locked) => kind,
                _ => Kind::TransientTransaction,
            },
            None => Kind::TransientTransaction,
        };
    }
    match &*error.kind {
        ErrorKind::Authentication { .. } => return Kind::Denied,
        ErrorKind::IncompatibleServer { .. } | ErrorKind::SessionsNotSupported => return Kind::Unsupported,
        _ => {}
    }
    match code(error).map_or(Kind::Unavailable, kind_of_code) {
        Kind::DuplicateKey if answer_of(error).is_some_and(|answer| is_foreign(&answer)) => Kind::Rule,
        kind => kind,
    }
}

/// The server's answer to a command that failed.
fn answer_of(error: &Error) -> Option<Document> {
    error.server_response().and_then(|answer| Document::try_from(answer.as_ref()).ok())
}

/// Whether a duplicate key is one of another index than `_id`: a unique index of somebody else.
fn is_foreign(refused: &Document) -> bool {
    refused.get_document("keyPattern").is_ok_and(|keys| !keys.contains_key("_id"))
}

fn kind_of_code(code: i32) -> Kind {
    match code {
        // Unauthorized, AuthenticationFailed.
        13 | 18 => Kind::Denied,
        // SnapshotTooOld, SnapshotUnavailable.
        239 | 246 => Kind::Snapshot,
        // MaxTimeMSExpired.
        50 => Kind::PassedLimit,
        // CannotCreateIndex.
        67 => Kind::IndexRefused,
        // Places, texts and arrays that an index cannot take: 2d, 2dsphere, text, hashed; several arrays (CannotIndexParallelArrays).
        13_026 | 13_027 | 13_654 | 16_755 | 16_766 | 16_804 | 17_261 | 17_262 | 171 => Kind::SpecialIndex,
        // BSONObjectTooLarge, and the same of an update.
        10_334 | 17_419 | 17_420 => Kind::TooLarge,
        // NotWritablePrimary, NotPrimaryNoSecondaryOk.
        10_107 | 13_435 => Kind::NotPrimary,
        // LockTimeout.
        24 => Kind::Locked,
        // DocumentValidationFailure.
        121 => Kind::Rule,
        // CommandNotSupportedOnView.
        166 => Kind::View,
        // OperationNotSupportedInTransaction (capped, time series).
        263 => Kind::Unfit,
        // BadValue, FailedToParse, TypeMismatch, IllegalOperation, CommandNotFound, InvalidOptions, CommandNotSupported, NotAReplicaSet,
        // InvalidPipelineOperator, NotImplemented, and what other servers say: a feature, a stage, a variable that they do not know.
        2 | 9 | 14 | 20 | 59 | 72 | 115 | 123 | 168 | 238 | 303 | 304 | 17276 | 40324 | 40415 => Kind::Unsupported,
        11000 => Kind::DuplicateKey,
        28 => Kind::PathNotViable,
        // TransactionTooLarge, TemporarilyUnavailable, TransactionTooLargeForCache.
        257 | 365 | 388 => Kind::CacheFull,
        API_VERSION_REQUIRED => Kind::ApiVersion,
        // NoQueryExecutionPlans.
        291 => Kind::ScanRefused,
        // UserWritesBlocked.
        371 => Kind::WritesBlocked,
        // InvalidNamespace, DatabaseDifferCase.
        73 | 13_297 => Kind::BadName,
        // IndexOptionsConflict, IndexKeySpecsConflict.
        85 | 86 => Kind::IndexConflict,
        _ => Kind::Unavailable,
    }
}

pub(super) fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(late)) => Some(late.code),
        ErrorKind::InsertMany(many) => many.write_errors.as_ref()?.first().map(|error| error.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_answer_is_named_once_with_its_reason() {
        let dump = "Server selection timeout: No available servers. Topology: { Type: ReplicaSetNoPrimary, Set Name: x, Servers: \
                    [ { Address: 127.0.0.1:1, Type: Unknown, Error: Kind: I/O error: Connection refused (os error 111), labels: \
                    {\"RetryableError\"}, source: None, server response: None }, { Address: db2:27017, Type: RSSecondary, Average RTT: \
                    1ms } ] }";
        assert_eq!(
            unanswered(dump),
            "no server that accepts writes was found among 127.0.0.1:1 (Connection refused (os error 111)), db2:27017 (a secondary)"
        );
    }

    #[test]
    fn words_of_any_length_are_cut() {
        assert_eq!(cut("short"), "short");
        assert!(cut(&"ก".repeat(100_000)).chars().count() < 500);
        assert_eq!(unanswered("something else"), "something else");
        let dump = "the pool was cleared: Kind: I/O error: broken pipe, labels: {}, source: None";
        assert_eq!(without_dump(dump), "the pool was cleared: I/O error: broken pipe");
    }
}
