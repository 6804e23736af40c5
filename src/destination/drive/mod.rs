//! Google Drive as a destination.
//!
//! Risk: two files with one name after a retry, a truncated file that counts as a success, or an error without a next
//! step. So a file is created under an id that is known beforehand (Drive refuses a repeated create instead of making a
//! second file), Drive's own checksum decides about success, and every refusal has a next step.
//!
//! From the wire upwards: `wire` (bodies, limits), `credentials` and `auth` (tokens), `fault` (what an answer means),
//! `api` (the requests), `patience` (how long to try), `session` (the upload as a pure state machine), `upload` (runs
//! the session), `folder` (what is wrong with a folder).

mod advice;
mod api;
mod auth;
mod client;
pub mod consent;
mod credentials;
mod fault;
mod folder;
mod metadata;
mod owner;
mod patience;
mod session;
mod upload;
mod wire;

pub use self::client::Drive;
pub use self::credentials::Identity;
pub use self::folder::{FolderFacts, FolderState};
pub(super) use self::owner::{check_id, is_drive_id};
