//! `batch-export`: every due journal entry of the day, exactly once, in one CSV that the accountant imports.
//!
//! # The story
//!
//! A scheduler starts `batch-export run` at 18:00. A *pass* acquires the batch document of the business date (lock),
//! writes everything that is due at one snapshot of the database into a spool file (generate), stores that file at the
//! destination under an id that was written into the database before (upload), and makes it official in one transaction
//! (commit). `batch-export retry` finishes a batch whose pass failed or was interrupted. Nothing that matters lives in
//! memory between two invocations.
//!
//! # The words
//!
//! - *Business date*: the day whose entries one file holds, in the zone of the settings.
//! - *Queue row*: the application's document that asks for the export of one journal entry, in `exportqueues`.
//! - *Batch*: one business date and its one document in `exportbatches`: lock, state, retry schedule and manifest.
//! - *Manifest*: what the batch document says of its file: id, name, checksums, counts and totals.
//! - *Cut-off*: the instant that closes a business date. A row is due when its `scheduledFor` is at or before it.
//! - *Snapshot*: the database as it was at one instant; all reads of one file are at the same snapshot.
//! - *Attempt*: one pass over a batch that counts: the first run, or one of its retries.
//! - *Claim*: the right to work on a batch, won by one atomic update. It names the batch, the fence and the attempt.
//! - *Lease*: how long a claim is valid without a renewal, by the database's clock. A crashed holder loses the batch
//!   when the lease ends.
//! - *Fence*: a number in the batch document that grows at every claim, at `unlock`, and when a crash used up the last attempt.
//!   Every write of a holder is filtered by its own fence, so a holder that was paused longer than the lease can write nothing more.
//! - *Spool*: the generated file on the local disk, private, before it is stored at the destination.
//! - *Installation*: the name of one database's batches, kept in the ledger. Every stored file carries it, so that the
//!   file itself tells whose it is, also after the database was restored or copied.
//! - *Adopt*: to use a file that an earlier attempt stored, when its content is the same.
//! - *Rebuild*: to write lost records anew from the export log (`init --adopt`). It touches no file.
//! - *Void*: to give up a file id for good, in the database first, then at the destination (trash). A voided id never
//!   becomes official.
//! - *Seal*: to write the batch number on a committed file. This program never removes a sealed file, whatever the database
//!   says.
//! - *Records*: what a pass reads of earlier batches before it begins: the ledger, the latest export in the log, and how many entries and
//!   committed batches are on record.
//! - *Official*: committed. Only an official file may be imported; a file that is stored and not committed may still be voided.
//! - *Ledger*: the one document that numbers the batches without a gap, chains their checksums, and names the batch
//!   that is marking.
//! - *Marking*: setting exported rows to `completed`. A large batch is official after its commit, while some of its
//!   rows are still to be marked.
//! - *Row list*: the rows of a large batch, stored before its commit in *pieces*. Each piece is marked, and removed, in a transaction of
//!   its own.
//! - *Roll forward*: to finish the marking of a committed batch; any later run does it.
//! - *Hold*: to keep an invalid entry out of the file and mark its row `failed`, while the others are exported.
//! - *Carried over*: due by the cut-off of an earlier day, exported today.
//!
//! # The states of a batch
//!
//! ```text
//! (no document)  claim ----------------------> running
//!
//! running        nothing was due ------------> empty        a later claim tries again
//! running        commit, all rows marked ----> completed
//! running        commit, rows are left ------> marking
//! marking        roll forward, by any run ---> completed
//! running        failure or interruption ----> failed       a later claim, when due again, makes it running
//! running        the last retry failed ------> exhausted
//!
//! exhausted      unlock, by a person --------> failed       due at once, with all attempts
//! running        unlock, by a person --------> failed       the same, once the lease is over, or at once with --force
//! failed, exhausted, running
//!                unlock, before its day -----> empty        its day begins anew at its cut-off
//! marking        unlock, by a person --------> marking      only its holder is gone; any run goes on
//! (no document), and every state before the commit
//!                init --adopt, when the log has its export --> completed, or marking when its rows may still be queued
//! failed, exhausted
//!                the refused entries were corrected or are not due any more: a claim makes it running
//! ```
//!
//! A run that crashes leaves its batch `running`. Once the lease has ended, the next claim takes the batch over; when the crash used up the
//! last attempt, it makes the batch `exhausted` instead.
//!
//! # The path of an entry
//!
//! 1. A queue row and its entry are read at a snapshot ([`store::Snapshot`]).
//! 2. The entry is checked and written as lines of the spool file ([`csv::Sheet`]).
//! 3. The file is stored ([`destination::Destination::create`]).
//! 4. The commit transaction ([`store::Store::commit`]) checks that the row is still queued and that the entry still has
//!    the content of the file, and marks the row. From then on the file is official. The rows of a large batch are marked after the
//!    commit, piece by piece ([`store::Store::mark_piece`]).
//! 5. The file is sealed ([`destination::Destination::seal`]). Beside it the entry is read once more
//!    ([`store::Store::edited_since`]): an edit that came during the commit is not in the file, and the result lists it.
//!
//! # The path of a failure
//!
//! A failure gets its exit code where it arises ([`failure`] has the rules) and travels up as a [`failure::Failure`].
//! The pass writes it into the batch document with the time of the next retry (`pass::record`). Then the command shows
//! it as the result ([`outcome`]), notifies people ([`notify`]), and ends the process with its exit code
//! ([`exit::Exit`]).
//!
//! # The map, from the bottom up (imports go down only), with the entry point of each folder
//!
//! - [`exit`], [`schema`], [`secret`], [`terminal`], [`failure`], [`trace`], [`plausible`], [`clock`], [`command`]: basic types without I/O
//!   (but [`plausible`] looks whether a path exists); the macro `named` makes an enum from one table of names
//! - [`calendar`], [`money`], [`totals`], [`id`]: dates, amounts and ids, without I/O
//! - [`layout`], [`entry`], [`batch`], [`backoff`], [`progress`]: types of the work, without I/O. Entry point of the folder:
//!   [`layout::parse`]
//! - [`csv`]: the file, written by a layout; the only user of the csv crate. Entry point: [`csv::Sheet`]
//! - [`streams`], [`files`], [`spool`], [`stop`], [`stuck`], [`host`]: stdout and stderr, the local disk, the signals, the name of this
//!   machine
//! - [`config`]: the settings after validation
//! - [`http`]: the one HTTP client, and the proxies. Entry point: [`http::Http`]
//! - [`store`]: the database; the only user of the mongodb crate. Entry point: [`store::Store::connect`]
//! - [`destination`]: a directory or Google Drive; the only user of HTTP besides the notifications. Entry point:
//!   [`destination::Destination::open`]
//! - [`reader`]: times as a person reads them
//! - [`outcome`]: what a command reports
//! - [`pass`]: the story above, readable in one function. Entry point: [`pass::Pass::run`]
//! - [`verify`]: checks afterwards that file, records and rows still agree, and lists the exported lines that the entries no longer
//!   produce. Entry points: [`verify::Verification::check`], [`verify::Verification::corrections`]
//! - [`notify`]: notifications, health checks and metrics, after the result. Entry point: [`notify::Listeners`]
//! - [`telemetry`]: the log. Entry point: [`telemetry::start`]
//! - [`cli`]: the commands; the only user of clap and the only writer of stdout. Entry point: [`cli::main`]
//!
//! # Invariants
//!
//! - A file id never changes its content. A wrong file is voided, in the database first, then at the destination.
//! - A file of another installation, and a sealed file, is never replaced, adopted for other content, or removed by this program.
//! - Every write of a holder carries its fence. Only the database's clock decides about leases and retries.
//! - Rows change in the commit transaction of their batch or, in large batches, in the marking after it. Nowhere else.
//! - Dropped work writes nothing. The commit is dropped last: at its own limit, or some seconds after a signal.
//! - Money is integers. Secrets are masked at the sink.

#![forbid(unsafe_code)]
#![warn(clippy::disallowed_macros, clippy::disallowed_methods)]

pub mod backoff;
pub mod batch;
pub mod calendar;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod csv;
pub mod destination;
pub mod entry;
pub mod exit;
pub mod failure;
pub mod files;
pub(crate) mod host;
pub mod http;
pub mod id;
pub mod layout;
pub mod money;
mod named;
pub(crate) mod notify;
pub(crate) mod outcome;
pub(crate) mod pass;
pub mod plausible;
pub mod progress;
pub mod reader;
pub(crate) mod schema;
pub mod secret;
pub mod spool;
pub(crate) mod stop;
pub(crate) mod store;
pub(crate) mod streams;
pub(crate) mod stuck;
pub(crate) mod telemetry;
pub(crate) mod terminal;
pub mod totals;
pub(crate) mod trace;
pub(crate) mod verify;

pub use store::COMMIT_LIMIT;
