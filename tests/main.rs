//! The integration tests: the real binary against a real mongod and a fake Drive on the wire.

mod backfill;
mod drive_client;
mod fake_drive;
mod format;
mod readme;
mod retry;
mod run;
mod schedulers;
mod status;
mod support;
mod support_command;
mod support_mongod;
mod support_proxy;
mod support_seed;
mod tidy;
mod unlock;
