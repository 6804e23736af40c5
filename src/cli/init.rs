//! `batch-export init`: the collections and the indexes that are needed.

use std::fmt::Write as _;

use serde::Serialize;

use super::args::OutputFormat;
use super::open_store;
use super::render::{self, Render};
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::stop::Stop;

/// What `init` did.
#[derive(Debug, Serialize)]
struct InitResult {
    command: &'static str,
    outcome: &'static str,
    exit_code: u8,
    database: String,
    queue_index: String,
    queue_index_created: bool,
    batch_indexes: Vec<String>,
}

impl Render for InitResult {
    fn text(&self) -> String {
        let mut text = format!("database {} is ready\n", self.database);
        let what = if self.queue_index_created { "created for" } else { "exists and serves" };
        let _ = writeln!(text, "  index {} {what} the query for due rows", self.queue_index);
        let _ = writeln!(text, "  indexes of the batches: {}", self.batch_indexes.join(", "));
        text
    }
}

/// Creates what is missing.
///
/// # Errors
/// When the database cannot be used.
pub async fn execute(config: &Config, stop: &Stop, output: OutputFormat) -> Result<Exit, Failure> {
    let store = open_store(config, stop).await?;
    let made = stop.until_signal(store.initialize()).await?;
    let result = InitResult {
        command: "init",
        outcome: "completed",
        exit_code: Exit::Ok.code(),
        database: store.database_name().to_owned(),
        queue_index: made.queue_index,
        queue_index_created: made.queue_index_created,
        batch_indexes: made.batch_indexes,
    };
    render::print(&result, output);
    Ok(Exit::Ok)
}
