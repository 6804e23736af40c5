//! The database: the only user of the `mongodb` crate.
//!
//! Every change that has to be atomic is one command or one transaction in this folder. The rules for exactly-once:
//!
//! - Every write of a holder is filtered by its fence. No match means that another run took over, and the pass ends.
//! - Leases and back-off are judged by the database's clock (`$$NOW`) only; no client time is ever stored as a deadline.
//! - All reads for the file are taken at one snapshot. The commit marks the rows of that snapshot, or none.
//!
//! Layers, upwards: `error` (the kinds of errors), `document` (BSON to the program's types), `expressions` (parts of
//! update pipelines), then one file per concern.

mod abilities;
mod acquire;
mod batches;
mod checks;
mod commit;
mod deployment;
mod document;
mod due;
mod entries;
mod error;
mod exported;
mod expressions;
mod filling;
mod indexes;
mod kinds;
mod ledger;
mod lost;
mod marking;
mod neighbours;
mod portion;
mod queue;
mod read_back;
mod rebuild;
mod refusals;
mod row_list;
mod scan;
mod snapshot;
mod untold;
mod uri;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use mongodb::bson::{Document, Timestamp};
use mongodb::error::ErrorKind;
use mongodb::options::{
    Acknowledgment, ClientOptions, CollectionOptions, ReadConcern, ReadPreference, SelectionCriteria, SessionOptions,
    Tls, WriteConcern,
};
use mongodb::{Client, ClientSession, Collection, Cursor, Database};
use serde::de::DeserializeOwned;

pub use acquire::{Acquired, Acquisition};
pub use batches::{Claim, Ended, Overview};
pub use checks::ServerFacts;
pub use commit::{COMMIT_LIMIT, CommitError, CommitRequest, Committed, Trial};
pub use deployment::Deployment;
use deployment::Unusable;
pub use document::Damaged;
pub use due::{DueRow, DueRows, NO_DATE, RowKey};
pub use entries::{EntryChunk, Fingerprint};
use error::Result;
pub use error::{Kind, StoreError};
pub use exported::{ExportedEntry, ExportedIn, Misplaced};
pub use filling::{Filling, Short};
pub use indexes::QueueIndex;
pub use ledger::{Records, already_logged};
pub use lost::Lost;
pub use marking::Marked;
use neighbours::Neighbours;
use portion::EntrySize;
pub use queue::NeverDue;
pub use read_back::{LogFacts, MarkedRows};
pub use refusals::lacks;
pub use scan::{DueScan, ScanError, in_chunks, of_entries};
pub use snapshot::{Ledger, Snapshot};
pub use untold::Teller;

use crate::batch::State;
use crate::clock::Clock;
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::secret::Secret;

/// How long a single small command may take before the database counts as failing.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a write outside of transactions may wait for one that holds its document. The server ends the write itself, before the client has
/// given it up: else it would be done after this process has ended, and nobody would know of a batch that it acquired.
const WAIT_MAX: Duration = Duration::from_secs(25);
/// How long to look for a writable server when the URI sets no limit: longer than an election takes.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(15);

/// Connections that a pass over a small day uses at the same time.
const CONNECTIONS: u32 = 4;

/// An open database: a replica set or mongos, MongoDB 5.0 or newer.
#[derive(Clone)]
pub struct Store {
    client: Client,
    /// What the client was made from.
    options: Arc<ClientOptions>,
    /// The option of the URI that decides about TLS, as it was written.
    tls_option: Option<String>,
    /// Whether the URI names the authority of the server's certificate.
    names_authority: bool,
    unusable: Unusable,
    db: Database,
    queue: Collection<Document>,
    entries: Collection<Document>,
    log: Collection<Document>,
    batches: Collection<Document>,
    /// The same collection, for reads in a snapshot session.
    ledger_at_snapshot: Collection<Document>,
    row_lists: Collection<Document>,
    /// The server's clock at one moment, and that moment by the local monotonic clock.
    clock: Option<(DateTime<Utc>, Instant)>,
    exported: Collection<Document>,
    /// How large an entry is at the moment.
    entry_size: EntrySize,
    /// Of the entries that follow each other in a file.
    near_entries: Neighbours,
    near_exported: Neighbours,
    /// Rows of which `metadata` is small, too: a read by ranges fetches it whole.
    near_rows: Neighbours,
    /// Rows of one piece that the server's cache can hold, as far as that is known.
    fitting_rows: Arc<AtomicUsize>,
    config: Arc<Config>,
}

/// The databases that a server keeps for itself.
const SYSTEM_DATABASES: [&str; 3] = ["admin", "config", "local"];
/// Id of the one document that numbers and chains the batches.
const LEDGER: &str = "ledger";
/// The states of a batch whose file is official, as documents name them.
const COMMITTED: [&str; 2] = [State::Marking.name(), State::Completed.name()];
/// First wire version with snapshot reads outside transactions: MongoDB 5.0.
const WIRE_VERSION_5_0: i32 = 13;

impl Store {
    /// A session whose reads all show one instant: the given one, or that of its first read.
    async fn snapshot_session(&self, at: Option<Timestamp>) -> Result<ClientSession> {
        let options = SessionOptions::builder().snapshot(true).snapshot_time(at).build();
        Ok(self.client.start_session().with_options(options).await?)
    }

    /// The connection string of the settings.
    pub fn uri(config: &Config) -> Result<&Secret, Failure> {
        config.mongodb_uri.as_ref().ok_or_else(|| {
            Failure::configuration("no database is set")
                .next("set MONGODB_URI to mongodb://host:27017/database?replicaSet=name")
        })
    }

    /// Connects, and checks that the deployment has what a run needs.
    ///
    /// # Errors
    /// `configuration` when no URI is set, it does not parse, the login is refused, or the server is no member of a replica set or too old;
    /// `database_unavailable` when no server answers.
    pub async fn connect(config: &Config) -> Result<Store, Failure> {
        let mut store = Store::open(config).await?;
        let (deployment, wire_version, now) = store.deployment().await?;
        deployment.check()?;
        store.clock = now.map(|now| (now, Instant::now()));
        if wire_version < WIRE_VERSION_5_0 {
            return Err(Failure::configuration("the MongoDB server is older than 5.0: it has no snapshot reads")
                .next("upgrade the server to 5.0 or newer"));
        }
        Ok(store)
    }

    /// Prepares a client without asking the server anything.
    pub async fn open(config: &Config) -> Result<Store, Failure> {
        let understood = uri::understand(Store::uri(config)?.expose())
            .map_err(|why| Failure::of(Exit::Configuration, why.of("MONGODB_URI is wrong:")))?;
        if !understood.dropped.is_empty() {
            let dropped = understood.dropped.join(", ");
            tracing::warn!("MONGODB_URI has options that only other drivers know; they are left out: {dropped}");
        }
        let mut options = ClientOptions::parse(Secret::new(&understood.uri).expose())
            .await
            .map_err(|error| refused_uri(&error, &understood.options))?;
        if let Some(Tls::Enabled(tls)) = &mut options.tls
            && tls.ca_file_path.is_none()
        {
            tls.ca_file_path = uri::system_certificates();
        }
        let majority = WriteConcern::builder().w(Acknowledgment::Majority).build();
        options.server_selection_timeout.get_or_insert(SERVER_SELECTION_TIMEOUT);
        options.app_name.get_or_insert_with(|| "batch-export".to_owned());
        options.write_concern = Some(majority);
        // Commands that run in parallel need their connections at once: the driver opens only two at a time, which
        // would be two waits.
        options.max_connecting.get_or_insert(CONNECTIONS);
        // Not set for the whole client: the driver would then send `majority` with snapshot sessions too.
        options.read_concern = None;
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        let name = &*config.database_name();
        if SYSTEM_DATABASES.iter().any(|system| name.eq_ignore_ascii_case(system)) {
            let message = format!("the database {name} is the server's own, and no application's");
            return Err(Failure::configuration(message).next(
                "give the application's database to --database, or write it in MONGODB_URI: mongodb://host/NAME?authSource=admin where the user \
                 is one of admin",
            ));
        }
        let unusable = deployment::watch_hosts(&mut options);
        let client = Client::with_options(options.clone()).map_err(|error| refused_uri(&error, &understood.options))?;
        let db = client.database(name);
        let names = &config.collections;
        let majority = CollectionOptions::builder().read_concern(ReadConcern::majority()).build();
        Ok(Store {
            queue: db.collection(&names.queue),
            entries: db.collection(&names.entries),
            log: db.collection(&names.log),
            batches: db.collection_with_options(&names.batches, majority),
            ledger_at_snapshot: db.collection(&names.batches),
            row_lists: db.collection("exportbatchrows"),
            clock: None,
            exported: db.collection("exportbatchentries"),
            entry_size: EntrySize::unknown(),
            near_entries: Neighbours::expected(true),
            near_exported: Neighbours::expected(true),
            near_rows: Neighbours::expected(false),
            fitting_rows: Arc::new(AtomicUsize::new(usize::MAX)),
            client,
            options: Arc::new(options),
            tls_option: understood.tls,
            unusable,
            names_authority: understood.options.iter().any(|name| name.eq_ignore_ascii_case("tlsCAFile")),
            db,
            config: Arc::new(config.clone()),
        })
    }

    pub fn database_name(&self) -> &str {
        self.db.name()
    }

    /// The database's clock, when it is known; the client's time is not used.
    pub fn now(&self) -> Option<DateTime<Utc>> {
        self.clock.map(|(told, since)| told + since.elapsed())
    }

    /// The present time: by the database's clock when it is known.
    pub fn now_or(&self, clock: &Clock) -> DateTime<Utc> {
        self.now().unwrap_or_else(|| clock.now())
    }

    /// Limits a small command that hangs: the driver has no limit of its own once a server is selected.
    async fn bounded<T>(&self, command: impl IntoFuture<Output = mongodb::error::Result<T>>) -> Result<T> {
        match tokio::time::timeout(COMMAND_TIMEOUT, command).await {
            Ok(result) => result.map_err(StoreError::from),
            Err(_) => Err(StoreError::timeout(COMMAND_TIMEOUT)),
        }
    }

    /// Everything that a query finds, for queries that find little.
    async fn all<T: DeserializeOwned>(
        &self,
        query: impl IntoFuture<Output = mongodb::error::Result<Cursor<T>>>,
    ) -> Result<Vec<T>> {
        let cursor = self.bounded(query).await?;
        self.bounded(cursor.try_collect()).await
    }
}

/// A connection string that the driver refuses. `written` are the names of the options in it.
fn refused_uri(error: &mongodb::error::Error, written: &[String]) -> Failure {
    match &*error.kind {
        // The driver's message quotes the text that it cannot parse, which may be a part of the password.
        ErrorKind::InvalidArgument { .. } => Failure::configuration(
            "MONGODB_URI is wrong: the driver does not understand its hosts, or the value of an option",
        )
        .next(match written.join(", ") {
            none if none.is_empty() => "check the hosts: a name or an address each, with a port up to 65535".to_owned(),
            options => format!("check the hosts and the values of {options}"),
        }),
        ErrorKind::InvalidTlsConfig { message, .. } if message.contains("KeyMismatch") => Failure::configuration(
            "MONGODB_URI is wrong: in the file of its option tlsCertificateKeyFile, the key is not that of the first \
             certificate",
        )
        .next(
            "write the key, the certificate that belongs to it, and after that those of its authorities into one PEM file",
        ),
        // The driver's message quotes what it read.
        ErrorKind::InvalidTlsConfig { .. } => Failure::configuration(
            "MONGODB_URI is wrong: the file of its option tlsCAFile or tlsCertificateKeyFile holds a certificate or a \
             key that cannot be read",
        )
        .next("make that PEM file anew from the certificates, and give it a key without a password"),
        // A network failure is not a wrong setting, and `retry` tries again.
        ErrorKind::DnsResolve { .. } => Failure::new(
            Exit::DatabaseUnavailable,
            format!("the hosts of MONGODB_URI were not found: {}", error::describe(error)),
        )
        .next("check this machine's network and name servers, and the host name in MONGODB_URI"),
        _ => Failure::configuration(format!("the MongoDB URI cannot be used: {}", error::describe(error)))
            .next("set MONGODB_URI to mongodb://host:27017/database?replicaSet=name"),
    }
}
