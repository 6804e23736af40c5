//! Tests of the fake Drive itself. Every other test believes it, so what is subtle about it is proven here: offsets, refusals, the
//! moment at which a fault strikes; and Google's own client must be able to upload to it.

mod client;
mod credentials;
mod faults;
mod files;
mod holds;
mod official_client;
mod sessions;
