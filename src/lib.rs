pub mod backoff;
pub mod destination;
pub mod exit;
pub mod failure;
pub mod progress;
pub mod secret;
pub mod spool;
