//! A test's own database: fresh, named by nobody else, dropped with the value, with blocking calls for preparing and asserting.
//!
//! The connections that the test gives to the program carry its `appName`, so that a fail point hits this program only. Assertions
//! go through the server's own client and are never hit. A killed program leaves its transaction open on the server, with its
//! locks, for up to a minute: `abort_abandoned_transactions` makes that minute pass, and dropping the database does it too.
//!
//! Risk: a command of a killed program is still under way, and begins a transaction after the others were aborted. The next program
//! then waits for that minute. So the transactions are aborted only when the server has closed the connections of the program.

use std::future::IntoFuture;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Collection, Database};

use super::block;
use super::mongod::Mongod;
use super::replica_set::ReplicaSet;

/// Long enough for a server on a busy machine to execute what it has got.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database that lives as long as this value.
pub struct TestDb<'server> {
    server: &'server Mongod,
    name: String,
    database: Database,
    shares_server: bool,
    /// The connection string, where the server is not reached directly.
    set_uri: Option<String>,
}

/// A configured `failCommand`. Dropping it turns the fail point off, then lets the next test have its turn.
#[must_use = "the fail point is turned off when this is dropped"]
pub struct FailPoint<'server> {
    server: &'server Mongod,
    _turn: MutexGuard<'server, ()>,
}

impl TestDb<'static> {
    /// A fresh database on the shared server.
    pub fn new() -> TestDb<'static> {
        TestDb::create(Mongod::shared(), true)
    }
}

impl<'server> TestDb<'server> {
    /// A fresh database on a private server.
    pub fn on(server: &'server Mongod) -> TestDb<'server> {
        TestDb::create(server, false)
    }

    /// A fresh database on a set of several servers: it is where the primary is.
    pub fn in_set(set: &'server ReplicaSet) -> TestDb<'server> {
        let name = fresh_name();
        let (database, uri) = (set.client().database(&name), set.uri(&name));
        TestDb { server: set.first(), name, database, shares_server: false, set_uri: Some(uri) }
    }

    fn create(server: &'server Mongod, shares_server: bool) -> TestDb<'server> {
        let name = fresh_name();
        let database = server.client().database(&name);
        TestDb { server, name, database, shares_server, set_uri: None }
    }

    /// The name of the database; also the `appName` of the connections made with `uri`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the program gets as `--mongodb-uri`: this server, this database, this test's `appName`.
    pub fn uri(&self) -> String {
        self.set_uri.clone().unwrap_or_else(|| self.uri_through(self.server.port()))
    }

    /// The same, through something that listens on another port of 127.0.0.1. The connection is direct, because discovery would
    /// lead around it, to the address that the server knows of itself.
    pub fn uri_through(&self, port: u16) -> String {
        format!("mongodb://127.0.0.1:{port}/{0}?directConnection=true&appName={0}", self.name)
    }

    /// The server it is on.
    pub fn server(&self) -> &'server Mongod {
        self.server
    }

    /// The driver's handle, for what the calls below do not offer.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The driver's handle of one collection.
    pub fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    /// Runs an action of the driver to its end.
    pub fn block<A: IntoFuture>(&self, action: A) -> A::Output {
        block(action)
    }

    /// Runs a command on this database.
    pub fn command(&self, command: Document) -> Document {
        block(self.database.run_command(command)).expect("a command of the test")
    }

    /// Inserts documents, many at a time.
    pub fn insert_many(&self, collection: &str, documents: Vec<Document>) {
        block(self.collection(collection).insert_many(documents).ordered(false)).expect("insert_many");
    }

    /// The first document that matches.
    pub fn find_one(&self, collection: &str, filter: Document) -> Option<Document> {
        block(self.collection(collection).find_one(filter)).expect("find_one")
    }

    /// All documents that match, by `_id`.
    pub fn find_all(&self, collection: &str, filter: Document) -> Vec<Document> {
        block(async { self.collection(collection).find(filter).sort(doc! {"_id": 1}).await?.try_collect().await })
            .expect("find")
    }

    /// How many documents match.
    pub fn count(&self, collection: &str, filter: Document) -> u64 {
        block(self.collection(collection).count_documents(filter)).expect("count_documents")
    }

    /// Updates the first document that matches, which must exist.
    pub fn update_one(&self, collection: &str, filter: Document, update: Document) {
        let result = block(self.collection(collection).update_one(filter.clone(), update));
        assert_eq!(result.expect("update_one").matched_count, 1, "no document of {collection} matches {filter}");
    }

    /// Updates all documents that match; how many were modified.
    pub fn update_many(&self, collection: &str, filter: Document, update: Document) -> u64 {
        block(self.collection(collection).update_many(filter, update)).expect("update_many").modified_count
    }

    /// Deletes all documents that match; how many there were.
    pub fn delete_many(&self, collection: &str, filter: Document) -> u64 {
        block(self.collection(collection).delete_many(filter)).expect("delete_many").deleted_count
    }

    /// Configures `failCommand` for the connections made with `uri`, and waits for the turn to do so: a server has ONE such
    /// configuration. `mode` is `"alwaysOn"` or `{times: n}`; `data` has `failCommands` and `errorCode`, `closeConnection`,
    /// `blockConnection`, ... as in MongoDB's documentation. Faults at one exact message are the proxy's business instead.
    pub fn fail_point(&self, mode: impl Into<Bson>, data: Document) -> FailPoint<'server> {
        let turn = self.server.fail_point_turn();
        let mut data = data;
        data.insert("appName", &self.name);
        self.server.admin(doc! {"configureFailPoint": "failCommand", "mode": mode.into(), "data": data});
        FailPoint { server: self.server, _turn: turn }
    }

    /// Aborts the transactions that programs left open when they ended, as the server does by itself when they are a minute old.
    /// No program may run on this database now.
    #[track_caller]
    pub fn abort_abandoned_transactions(&self) {
        self.wait_until_disconnected();
        self.abort_open_transactions();
    }

    /// Aborts the transactions of all programs on this database. For programs that live: each waits for a message that is held, and
    /// nothing else of it is under way (`Proxy::halt`).
    pub fn abort_open_transactions(&self) {
        block(self.try_abort_open_transactions()).expect("to abort the open transactions");
    }

    /// Waits until all programs on this database have ended, and the server has executed what was under way.
    #[track_caller]
    pub fn wait_until_disconnected(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let connected = block(self.connections()).expect("the connections of the server");
            if connected.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "a program is still connected: {connected:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The connections of the programs on this database. Not those in a greeting: only the driver's monitor waits in one, and the server
    /// finds out late that it has gone.
    async fn connections(&self) -> mongodb::error::Result<Vec<Document>> {
        let greeting =
            ["hello", "isMaster", "ismaster"].map(|name| doc! {format!("command.{name}"): {"$exists": true}});
        let pipeline = [
            doc! {"$currentOp": {"allUsers": true, "idleConnections": true}},
            doc! {"$match": {"appName": &self.name, "type": "op", "$nor": greeting.to_vec()}},
        ];
        self.server.client().database("admin").aggregate(pipeline).await?.try_collect().await
    }

    async fn try_abort_open_transactions(&self) -> mongodb::error::Result<()> {
        let admin = self.server.client().database("admin");
        let pipeline = [
            doc! {"$currentOp": {"allUsers": true, "idleSessions": true}},
            doc! {"$match": {"appName": &self.name, "transaction": {"$exists": true}}},
            doc! {"$group": {"_id": "$lsid.id", "uid": {"$first": "$lsid.uid"}}},
        ];
        let sessions: Vec<Document> = admin.aggregate(pipeline).await?.try_collect().await?;
        let patterns: Vec<Document> =
            sessions.iter().map(|s| doc! {"lsid": {"id": s.get("_id"), "uid": s.get("uid")}}).collect();
        if !patterns.is_empty() {
            admin.run_command(doc! {"killAllSessionsByPattern": patterns}).await?;
        }
        Ok(())
    }
}

fn fresh_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!("test_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

impl Drop for TestDb<'_> {
    fn drop(&mut self) {
        // A private server goes with its folder, and may be stopped or paused now: only the shared one is cleaned.
        if self.shares_server {
            let _ = block(self.try_abort_open_transactions());
            let _ = block(self.database.drop());
        }
    }
}

impl Drop for FailPoint<'_> {
    fn drop(&mut self) {
        let off = doc! {"configureFailPoint": "failCommand", "mode": "off"};
        let _ = block(self.server.client().database("admin").run_command(off));
    }
}
