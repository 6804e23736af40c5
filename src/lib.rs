//! `batch-export`: every due journal entry of the day, exactly once, in one CSV that the accountant imports.
//!
//! # The story
//!
//! A scheduler starts `batch-export run` at 18:00. A *pass* acquires the batch document of the business date (lock), reads everything
//! that is due at one instant of the database into a spool file (generate), brings that file to the destination under an id that was
//! written down before (upload), and makes it official in one transaction (commit). `batch-export retry` finishes what did not get that
//! far. Nothing that matters lives in memory between two invocations.
//!
//! # The map, from the bottom up (imports go down only)
//!
//! - [`exit`], [`failure`], [`secret`], [`clock`], [`calendar`], [`money`], [`totals`], [`entry`], [`batch`], [`backoff`], [`progress`]: pure words
//! - [`csv`]: the formats; the only user of the csv crate
//! - [`spool`], [`stop`]: the local disk, the signals
//! - [`config`]: the settings after validation
//! - [`store`]: the database; the only user of the mongodb crate
//! - [`destination`]: a directory or Google Drive; the only user of HTTP besides the notifications
//! - [`outcome`]: what a command reports
//! - [`pass`]: the story above, readable in one function
//! - [`verify`]: the same things, looked at afterwards
//! - [`notify`]: people, health checks and metrics, after the result
//! - [`telemetry`] (logs)
//! - [`cli`]: the face; the only user of clap and the only writer of stdout
//!
//! # Invariants
//!
//! - A file id never changes its content. What is wrong is voided, in the database before it is at the destination.
//! - Every write of a holder carries its fence; time that decides anything about holders is the database's.
//! - Rows change in the commit transaction of their batch or, in large batches, after it. Nowhere else.
//! - Dropped work writes nothing. Only the commit is never dropped.
//! - Money is integers. Secrets are masked at the sink.

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
pub mod money;
pub mod notify;
pub mod outcome;
pub mod pass;
pub mod progress;
pub mod secret;
pub mod spool;
pub mod stop;
pub mod store;
pub mod telemetry;
pub mod totals;
pub mod verify;
