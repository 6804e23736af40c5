//! `batch-export`: every due journal entry of the day, exactly once, in one CSV that the accountant imports.
//!
//! # The story
//!
//! A scheduler starts `batch-export run` at 18:00. A *pass* acquires the batch document of the business date (lock), reads everything
//! that is due at one instant of the database into a spool file (generate), stores that file at the destination under an id that was
//! written down before (upload), and makes it official in one transaction (commit). `batch-export retry` finishes what did not get that
//! far. Nothing that matters lives in memory between two invocations.
//!
//! # The words
//!
//! - *Batch*: one business date and its one document in `exportbatches`: lock, state, retry schedule and manifest in one.
//! - *Claim*: the right to work on a batch, won by one atomic update. It names the batch, the fence and the attempt.
//! - *Lease*: how long a claim is good without a renewal, by the database's clock. A dead holder loses the batch when the lease ends.
//! - *Fence*: a number in the batch document that grows at every claim. Every write of a holder is filtered by its own fence, so that a
//!   holder who was paused past the lease can write nothing more.
//! - *Spool*: the generated file on the local disk, private, before it is stored at the destination.
//! - *Void*: to give up a file id for good, in the database first, then at the destination (trash). A voided id never becomes official.
//! - *Ledger*: the one document that numbers the batches without a gap, chains their checksums, and names the batch that is marking.
//! - *Marking*: setting exported rows to `completed`. A large batch is official after its commit while rows are still to be marked.
//! - *Roll forward*: to finish the marking of a committed batch, by whoever comes next.
//! - *Hold*: to keep an invalid entry out of the file and mark its row `failed`, while the others are exported.
//! - *Carried over*: due by the cut-off of an earlier day, exported today.
//!
//! # The states of a batch
//!
//! ```text
//!                 (no document)
//!                      | claim
//!                      v
//!    +----------->  running  ------------------------> empty      nothing was due
//!    |               |    |
//!    | claim, when   |    | commit: all rows marked
//!    | due again     |    +--------------------------> completed
//!    |               |    | commit: rows are left        ^
//!    |  failure or   |    +-------> marking -------------+
//!    |  interruption |                  ^ roll forward, by any later run
//!    |               v
//!    +------------ failed
//!                    | the last retry failed
//!                    v
//!                 exhausted     until a person unlocks it: then failed, due at once, all attempts before it
//! ```
//!
//! # The path of an entry
//!
//! A queue row and its entry are read at a snapshot ([`store::Snapshot`]), checked and written as lines of the spool file ([`csv::Sheet`]), stored with that file ([`destination::Destination::create`]), and become official when the commit transaction
//! ([`store::Store::commit`]) finds the row still queued and the entry still what the file says; the same transaction marks the row.
//!
//! # The path of a failure
//!
//! It gets its exit code where it arises ([`failure`] has the rules), travels up as a [`failure::Failure`], is written into the batch
//! document with the time of the next retry (`pass::record`), shown as the result ([`outcome`]), told to people ([`notify`]), and is the
//! exit code of the process ([`exit::Exit`]).
//!
//! # The map, from the bottom up (imports go down only), with the door of each room
//!
//! - [`exit`], [`schema`], [`secret`], [`failure`], [`trace`], [`plausible`], [`clock`], [`calendar`], [`money`], [`totals`], [`id`]: pure words
//! - [`layout`], [`entry`], [`batch`], [`backoff`], [`progress`]: pure words about the work
//! - [`csv`]: the file, written by a layout; the only user of the csv crate. Door: [`csv::Sheet`]
//! - [`files`], [`spool`], [`stop`], [`host`]: the local disk, the signals, the name of this machine
//! - [`config`]: the settings after validation
//! - [`http`]: the one HTTP client, and the way out of this network. Door: [`http::Http`]
//! - [`store`]: the database; the only user of the mongodb crate. Door: [`store::Store::connect`]
//! - [`destination`]: a directory or Google Drive; the only user of HTTP besides the notifications. Door: [`destination::Destination`]
//! - [`outcome`]: what a command reports
//! - [`pass`]: the story above, readable in one function. Door: [`pass::Pass::run`]
//! - [`verify`]: the same things, looked at afterwards. Door: [`verify::Verification::check`]
//! - [`notify`]: people, health checks and metrics, after the result. Door: [`notify::Listeners`]
//! - [`telemetry`], the log. Door: [`telemetry::start`]
//! - [`cli`]: the face; the only user of clap and the only writer of stdout. Door: [`cli::main`]
//!
//! # Invariants
//!
//! - A file id never changes its content. What is wrong is voided, in the database before it is at the destination.
//! - Every write of a holder carries its fence; time that decides anything about holders is the database's.
//! - Rows change in the commit transaction of their batch or, in large batches, after it. Nowhere else.
//! - Dropped work writes nothing. Only the commit is never dropped.
//! - Money is integers. Secrets are masked at the sink.

#![forbid(unsafe_code)]
#![warn(clippy::disallowed_macros, clippy::disallowed_methods)]

pub mod backoff;
pub mod batch;
pub mod calendar;
pub mod cli;
pub mod clock;
pub mod config;
pub mod csv;
pub mod destination;
pub mod entry;
pub mod exit;
pub mod failure;
pub mod files;
pub mod host;
pub mod http;
pub mod id;
pub mod layout;
pub mod money;
pub mod notify;
pub mod outcome;
pub mod pass;
pub mod plausible;
pub mod progress;
pub mod reader;
pub mod schema;
pub mod secret;
pub mod spool;
pub mod stop;
pub mod store;
pub mod telemetry;
pub mod totals;
pub mod trace;
pub mod verify;
