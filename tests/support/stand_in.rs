//! A server that speaks MongoDB's protocol and is not MongoDB: it answers as those do that lack an ability.
//!
//! Risk: a stand-in that is more honest than its model. Those servers do not only refuse: some pass over what they do not know, and answer as
//! if they had done it. So each profile says what it refuses, in the words that public reports quote, and what it passes over.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};

use super::proxy_wire::{Message, reply};

/// What a server does with the commands that a run needs and it lacks.
#[derive(Clone, Copy)]
pub struct Profile {
    /// Update pipelines: the code, its name and the words of the refusal.
    pub pipelines: Option<(i32, &'static str, &'static str)>,
    /// Snapshot reads: the refusal. They are passed over in any case: no answer tells a time.
    pub snapshots: Option<(i32, &'static str, &'static str)>,
    /// Writes in a transaction: the refusal.
    pub transactions: Option<(i32, &'static str, &'static str)>,
    /// Whether a transaction is passed over: what is written in it is there at once.
    pub writes_at_once: bool,
}

/// Amazon DocumentDB has transactions, and neither pipelines in updates nor `$$NOW`.
pub const AMAZON_DOCUMENTDB: Profile = Profile {
    pipelines: Some((9, "FailedToParse", "Failed to parse update: field must be of BSON type object")),
    snapshots: None,
    transactions: None,
    writes_at_once: false,
};

/// FerretDB 1 has no transactions; it does not know the commands that end one.
pub const FERRETDB_1: Profile = Profile {
    pipelines: Some((
        14,
        "TypeMismatch",
        "BSON field 'findAndModify.update' is the wrong type 'array', expected type 'object'",
    )),
    snapshots: None,
    transactions: None,
    writes_at_once: true,
};

/// FerretDB 2, and what else stands on the DocumentDB extension of PostgreSQL.
pub const FERRETDB_2: Profile = Profile {
    pipelines: None,
    snapshots: Some((115, "CommandNotSupported", "'Snapshot' read concern is not supported")),
    transactions: None,
    writes_at_once: false,
};

/// Cosmos DB for MongoDB (request units): transactions within one collection at most.
pub const COSMOS_DB: Profile = Profile {
    pipelines: None,
    snapshots: None,
    transactions: Some((
        2,
        "BadValue",
        "Error=2, Details='Response status code does not indicate success: BadRequest (400); Substatus: 1101; Reason: \
         (Message: {\"Errors\":[\"Transaction is not active\"]}",
    )),
    writes_at_once: false,
};

/// A server with a profile. Its threads end with the test binary.
pub struct StandIn {
    port: u16,
    kept: Arc<Mutex<Vec<Document>>>,
}

impl StandIn {
    /// Starts to listen.
    pub fn start(profile: Profile) -> StandIn {
        StandIn::saying(profile, Document::new())
    }

    /// Starts to listen, and says this in its `hello`; null removes a field.
    pub fn saying(profile: Profile, hello: Document) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let server = Server { profile, hello, port, kept: Arc::clone(&kept) };
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let server = server.clone();
                thread::spawn(move || server.serve(connection));
            }
        });
        StandIn { port, kept }
    }

    /// What the program gets as `--mongodb-uri`.
    pub fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/books?directConnection=true", self.port)
    }

    /// The documents that were written and not removed again.
    pub fn kept(&self) -> Vec<Document> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Clone)]
struct Server {
    profile: Profile,
    hello: Document,
    port: u16,
    kept: Arc<Mutex<Vec<Document>>>,
}

impl Server {
    fn serve(&self, mut connection: TcpStream) {
        while let Ok(Some(message)) = Message::read(&mut connection) {
            let command = message.command().expect("a command that can be read");
            let answer = self.refusal(&command).unwrap_or_else(|| self.answer(&command));
            if !message.is_unacknowledged() && connection.write_all(&reply(message.request_id(), &answer)).is_err() {
                return;
            }
        }
    }

    fn refusal(&self, command: &Document) -> Option<Document> {
        let level = command.get_document("readConcern").and_then(|concern| concern.get_str("level")).ok();
        let (code, name, words) = match () {
            () if has_pipeline(command) => self.profile.pipelines?,
            () if level == Some("snapshot") => self.profile.snapshots?,
            () if command.contains_key("autocommit") => self.profile.transactions?,
            () => return None,
        };
        Some(doc! { "ok": 0, "errmsg": words, "code": code, "codeName": name })
    }

    fn answer(&self, command: &Document) -> Document {
        let name = command.keys().next().map_or("", String::as_str);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let cursor = |documents: Vec<Document>| doc! { "ok": 1, "cursor": { "id": 0_i64, "ns": "books.any", "firstBatch": documents } };
        match name {
            "hello" | "isMaster" | "ismaster" => self.hello(),
            "buildInfo" => doc! { "ok": 1, "version": "5.0.0" },
            "find" if command.get_str("find").is_ok_and(|name| name == "exportqueues") => {
                cursor(vec![doc! { "_id": ObjectId::new() }])
            }
            "find" => {
                let id = command.get_document("filter").ok().and_then(|filter| filter.get("_id"));
                cursor(kept.iter().filter(|document| document.get("_id") == id).cloned().collect())
            }
            "listCollections" | "listIndexes" | "aggregate" => cursor(Vec::new()),
            "insert" => {
                if !command.contains_key("autocommit") || self.profile.writes_at_once {
                    let documents = command.get_array("documents").cloned().unwrap_or_default();
                    kept.extend(documents.iter().filter_map(Bson::as_document).cloned());
                }
                doc! { "ok": 1, "n": 1 }
            }
            "delete" => {
                let before = kept.len();
                let deletes = command.get_array("deletes").cloned().unwrap_or_default();
                let filters: Vec<&Document> =
                    deletes.iter().filter_map(|delete| delete.as_document()?.get_document("q").ok()).collect();
                kept.retain(|document| !filters.iter().any(|filter| filter.get("_id") == document.get("_id")));
                doc! { "ok": 1, "n": (before - kept.len()) as i32 }
            }
            "update" => doc! { "ok": 1, "n": 0, "nModified": 0 },
            "findAndModify" => doc! { "ok": 1, "value": null, "lastErrorObject": { "n": 0, "updatedExisting": false } },
            "abortTransaction" | "commitTransaction" if self.profile.writes_at_once => {
                let words = format!("no such command: '{name}'");
                doc! { "ok": 0, "errmsg": words, "code": 59, "codeName": "CommandNotFound" }
            }
            "create" | "createIndexes" => {
                kept.push(command.clone());
                doc! { "ok": 1 }
            }
            _ => doc! { "ok": 1 },
        }
    }

    fn hello(&self) -> Document {
        let address = format!("127.0.0.1:{}", self.port);
        let mut hello = doc! {
            "ok": 1,
            "isWritablePrimary": true,
            "ismaster": true,
            "setName": "rs0",
            "setVersion": 1,
            "hosts": [&address],
            "primary": &address,
            "me": &address,
            "maxBsonObjectSize": 16_777_216,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "localTime": DateTime::now(),
            "logicalSessionTimeoutMinutes": 30,
            "minWireVersion": 0,
            "maxWireVersion": 13,
        };
        for (field, value) in &self.hello {
            match value {
                Bson::Null => drop(hello.remove(field)),
                value => drop(hello.insert(field, value)),
            }
        }
        hello
    }
}

fn has_pipeline(command: &Document) -> bool {
    let updates = command.get_array("updates").map(Vec::as_slice).unwrap_or_default();
    let statements = updates.iter().filter_map(|update| update.as_document()?.get("u"));
    statements.chain(command.get("update")).any(|update| matches!(update, Bson::Array(_)))
}
