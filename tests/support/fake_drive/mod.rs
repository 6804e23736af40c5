//! A fake Google Drive on a port of its own: strict by nature, hostile on demand.
//!
//! It refuses what Google refuses (a wrong audience, a forgotten `supportsAllDrives`, an id that was never issued, a chunk behind a gap),
//! and it breaks where a test plans it ([`On`], [`Fault`]) or stops there ([`FakeDrive::hold`]), so that the product needs no test hooks.
//! Everything asked of it is in the [`FakeDrive::journal`]. It depends on nothing else in `tests/`.

mod answer;
mod face;
mod faults;
mod fields;
mod files;
mod hold;
mod journal;
mod query;
mod routes;
mod server;
mod session;
mod state;
mod tamper;
mod token;
mod wire;

pub use answer::Answer;
pub use face::{FakeDrive, Planted, StoredFile};
pub use faults::{Fault, On, Tamper};
pub use hold::{Hold, Point};
pub use journal::{Operation, Request};
pub use state::Role;
pub use token::{SCOPE_DRIVE, SCOPE_DRIVE_FILE, SERVICE_ACCOUNT, USER};
