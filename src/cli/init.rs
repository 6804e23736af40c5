//! `batch-export init`: the collections and the indexes that are needed.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::args::{InitArgs, OutputFormat};
use super::open_store;
use super::render::{self, Render};
use crate::batch::BatchId;
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::schema::{self, FormatVersion};
use crate::stop::Stop;
use crate::store::{Kind, Store, StoreError};

/// The result of `init`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct InitResult {
    #[schemars(extend("const" = "init"))]
    command: &'static str,
    #[schemars(extend("enum" = ["completed"]))]
    outcome: &'static str,
    #[schemars(schema_with = "schema::exit_code")]
    exit_code: u8,
    database: String,
    queue_index: String,
    queue_index_created: bool,
    batch_indexes: Vec<String>,
    entries_added: u64,
    adopted: Vec<BatchId>,
    /// Whether the ledger was missing, and was rebuilt with a new name of the installation.
    ledger_rebuilt: bool,
    /// Version of this object.
    format_version: FormatVersion,
}

impl Render for InitResult {
    fn text(&self) -> String {
        let mut text = format!("database {} is ready\n", self.database);
        let what = if self.queue_index_created { "created for" } else { "exists and serves" };
        let _ = writeln!(text, "  index {} {what} the query for due rows", self.queue_index);
        let _ = writeln!(text, "  indexes of the batches: {}", self.batch_indexes.join(", "));
        if self.entries_added > 0 {
            let _ = writeln!(text, "  {} entries of earlier batches were recorded", self.entries_added);
        }
        for batch in &self.adopted {
            let _ = writeln!(text, "  {batch} was rebuilt from the export log");
        }
        if self.ledger_rebuilt {
            text.push_str(
                "  the ledger was rebuilt, and this installation has a new name: if an unfinished batch is refused because of its own file \
                 (exit 31), move that file away\n",
            );
        }
        text
    }
}

/// Creates what is missing.
pub async fn execute(args: &InitArgs, config: &Config, stop: &Stop, output: OutputFormat) -> Result<Exit, Failure> {
    let store = open_store(config, stop).await?;
    stop.until_signal(store.check_abilities()).await?;
    // Before the entries of earlier batches are recorded: rebuilt batches have entries too.
    let (adopted, ledger_rebuilt) =
        if args.adopt { stop.until_signal(adopt(&store, config)).await? } else { (Vec::new(), false) };
    let made = stop.until_signal(async { store.initialize().await.map_err(for_administrators) }).await?;
    let result = InitResult {
        command: "init",
        outcome: "completed",
        exit_code: Exit::Ok.code(),
        database: store.database_name().to_owned(),
        queue_index: made.queue_index,
        queue_index_created: made.queue_index_created,
        batch_indexes: made.batch_indexes,
        entries_added: made.entries_added,
        adopted,
        ledger_rebuilt,
        format_version: FormatVersion,
    };
    render::print(&result, output);
    Ok(Exit::Ok)
}

/// The role that the README shows is enough for everything but this.
fn for_administrators(error: StoreError) -> Failure {
    let is_denied = error.kind == Kind::Denied;
    let failure = Failure::from(error);
    match is_denied {
        true => failure.next("let an administrator run `batch-export init`: it creates collections and indexes"),
        false => failure,
    }
}

async fn adopt(store: &Store, config: &Config) -> Result<(Vec<BatchId>, bool), StoreError> {
    let calendar = &config.calendar;
    store.adopt(calendar.zone.name(), &|date| calendar.cutoff(date)).await
}
