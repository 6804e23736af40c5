//! The integration tests: the real binary against a real mongod and a fake Drive on the wire.

mod auth;
mod backfill;
mod completions;
mod crash;
mod doctor;
mod drive_client;
mod drive_matrix;
mod fake_drive;
mod format;
mod man;
mod notify;
mod readme;
mod retry;
mod run;
mod scale;
mod schedulers;
mod status;
mod support;
mod support_command;
mod support_mongod;
mod support_proxy;
mod support_seed;
mod tidy;
mod unlock;
mod verify;
