//! A replica set of three real servers, for what only several of them can do: fail over, and lose what was not replicated.
//!
//! Risk: a busy machine makes elections of its own, at any moment. So nothing here relies on a member that it asked for earlier; whoever
//! needs the primary looks for it again.

use std::time::{Duration, Instant};

use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};

use super::block;
use super::mongod::Mongod;

const NAME: &str = "failover";
/// Of an election or a catch-up on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);

/// Three servers, stopped when dropped.
pub struct ReplicaSet {
    members: [Mongod; 3],
    client: Client,
}

impl ReplicaSet {
    /// Starts and initiates a set; returns when it is healthy.
    pub fn start() -> ReplicaSet {
        let members = [(); 3].map(|()| Mongod::start_member(NAME));
        let hosts = members.iter().zip(0_i32..);
        let hosts: Vec<Document> =
            hosts.map(|(member, id)| doc! { "_id": id, "host": format!("127.0.0.1:{}", member.port()) }).collect();
        // As short as a busy machine bears.
        let settings = doc! { "electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 250 };
        members[0].admin(doc! { "replSetInitiate": { "_id": NAME, "members": hosts, "settings": settings } });
        let uri = format!("{}&serverSelectionTimeoutMS=60000&heartbeatFrequencyMS=1000", uri_of(&members, "admin"));
        let client = block(Client::with_uri_str(uri)).expect("a client of the new set");
        let set = ReplicaSet { members, client };
        set.wait_until_healthy();
        set
    }

    /// A client of the whole set.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A connection string of the whole set.
    pub fn uri(&self, database: &str) -> String {
        uri_of(&self.members, database)
    }

    /// Any member.
    pub fn first(&self) -> &Mongod {
        &self.members[0]
    }

    /// A member by its number.
    pub fn member(&self, member: usize) -> &Mongod {
        &self.members[member]
    }

    /// The number of the member that is the primary now.
    pub fn primary(&self) -> usize {
        self.primary_but(None)
    }

    /// The number of the primary among the others than `away`, which does not answer or does not know yet that it is none any more.
    pub fn primary_but(&self, away: Option<usize>) -> usize {
        let asked = || (0..self.members.len()).filter(|&member| Some(member) != away);
        wait_for("a primary", || asked().find(|&member| self.state_of(member) == Some(1)))
    }

    /// Waits until one member is the primary and the others are its secondaries and have all that it has.
    pub fn wait_until_healthy(&self) {
        wait_for("a healthy set", || {
            let primary = self.primary();
            let admin = self.members[primary].client().database("admin");
            let status = block(admin.run_command(doc! { "replSetGetStatus": 1 })).ok()?;
            let members: Vec<&Document> =
                status.get_array("members").ok()?.iter().filter_map(Bson::as_document).collect();
            let applied = |member: &&Document| member.get_document("optime").ok().cloned();
            let newest = applied(members.get(primary)?)?;
            let steady = members.iter().all(|member| {
                matches!(member.get_i32("state"), Ok(1 | 2)) && applied(member).as_ref() == Some(&newest)
            });
            steady.then_some(())
        });
    }

    /// Starts a member again that was stopped.
    pub fn start_again(&self, member: usize) {
        self.members[member].start_process_again();
    }

    /// Gives an order to a member until it is taken: on a busy machine a connection may be lost on the way.
    pub fn order(&self, member: usize, command: &Document) -> Document {
        let admin = self.members[member].client().database("admin");
        wait_for("an order to be taken", || block(admin.run_command(command.clone())).ok())
    }

    /// Whether this member is the primary.
    pub fn is_primary(&self, member: usize) -> bool {
        self.state_of(member) == Some(1)
    }

    /// Stops or resumes the replication to every member but this one. What it writes from now on is its own for the time being.
    pub fn replicate(&self, from: usize, replicate: bool) {
        let mode = if replicate { "off" } else { "alwaysOn" };
        for other in (0..self.members.len()).filter(|&other| other != from) {
            self.order(other, &doc! { "configureFailPoint": "stopReplProducer", "mode": mode });
        }
    }

    /// 1 for a primary, 2 for a secondary; `None` when the member does not tell.
    fn state_of(&self, member: usize) -> Option<i32> {
        self.members[member].pid()?;
        let hello = block(self.members[member].client().database("admin").run_command(doc! { "hello": 1 })).ok()?;
        match (hello.get_bool("isWritablePrimary"), hello.get_bool("secondary")) {
            (Ok(true), _) => Some(1),
            (_, Ok(true)) => Some(2),
            _ => None,
        }
    }
}

/// Asks until there is an answer.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(POLL);
    }
}

fn uri_of(members: &[Mongod; 3], database: &str) -> String {
    let hosts: Vec<String> = members.iter().map(|member| format!("127.0.0.1:{}", member.port())).collect();
    format!("mongodb://{}/{database}?replicaSet={NAME}&appName={database}", hosts.join(","))
}
