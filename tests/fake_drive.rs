//! Tests of the fake Drive itself. Every other test relies on it, so its subtle parts are tested here: offsets,
//! refusals, the moment at which a fault strikes; and Google's own client must be able to upload to it.

mod client;
mod credentials;
mod faults;
mod files;
mod holds;
mod official_client;
mod sessions;
