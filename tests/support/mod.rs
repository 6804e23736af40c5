//! What the tests stand on: a real server, a proxy before it that can stop the world, the real binary, realistic data.
//!
//! Tests are plain synchronous functions and run in parallel. Each has a database of its own, so none sees another's rows; what is
//! shared (the server, its one fail point) is named where it is shared. Nothing is left behind, however a test ends.

pub mod browser;
pub mod command;
pub mod day;
pub mod db;
pub mod fake_drive;
pub mod mongod;
mod needs;
pub mod peak;
pub mod proxy;
mod proxy_rules;
mod proxy_wire;
pub mod receiver;
pub mod replica_set;
pub mod schema;
pub mod seed;
pub mod services;
pub mod stand_in;
pub mod terminal;
pub mod way_out;

use std::future::IntoFuture;
use std::path::Path;
use std::sync::OnceLock;

use tokio::runtime::Runtime;

/// Runs an action of the MongoDB driver to its end, from a synchronous test. The driver's background tasks live in the same
/// runtime, for as long as the test binary.
pub fn block<A: IntoFuture>(action: A) -> A::Output {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a tokio runtime for the tests")
    });
    runtime.block_on(action.into_future())
}

/// The folder of cargo's output, in which tests keep what was fetched once.
pub fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder inside of target")
}
