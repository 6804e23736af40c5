pub mod destination;
pub mod exit;
pub mod failure;
pub mod progress;
pub mod spool;
